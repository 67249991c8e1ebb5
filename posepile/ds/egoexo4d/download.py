"""Selective download through the official ``egoexo`` program.

All of Ego-Exo4D is 38 TB; poses need a small part. The download runs twice: labels and
metadata first, then, with ``takes.json`` at hand, the videos of the chosen takes. The program
skips files that are there with the right size, so that a second run goes on where the first
stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.acquire.programs import Keys, run_downloader
from posepile.ds.egoexo4d import takes
from posepile.errors import UsageError

# Published size of every part in GB, for estimates without manifests.
PART_GB = {
    **{"metadata": 0.046, "annotations": 10.5, "takes": 10_553, "captures": 43.6},
    **{"take_trajectory": 509.5, "take_vrs_noimagestream": 995.6, "ego_pose_pseudo_gt": 138.6},
    **{"downscaled_takes/448": 438.6, "take_eye_gaze": 3.3, "take_point_cloud": 6_165},
    **{"take_vrs": 12_301, "capture_trajectory": 852, "capture_eye_gaze": 5.6},
    **{"capture_point_cloud": 4_750, "features/omnivore_video": 50, "expert_commentary": 42},
    **{"features/maws_clip_2b": 534, "take_transcription": 0.1, "take_audio": 1_057},
}
Part = Literal[tuple(PART_GB)]

INSTALL = (
    "install it with: pip install 'posepile[egoexo]' awscli   (the package ego4d brings the "
    "program egoexo)"
)
KEYS = Keys(
    signs=(
        *("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"),
        *("InvalidToken", "NoCredentials", "Unable to locate credentials", "Forbidden", "(403)"),
        *("ProfileNotFound", "could not get manifests for all parts"),
    ),
    renew="the AWS keys are missing, wrong or expired (they live 14 days): 1. ask for new ones at "
    "https://ego4d.dev/request/ego-exo4d with the e-mail address of your signed licence, renewal "
    "is immediate; 2. run 'aws configure' with the keys from the mail, region and format as they "
    "are; 3. run this step again, it goes on where it stopped",
)


class DownloadOptions(BaseModel):
    """Keys below ``dataset.download:``.

    Attributes:
        parts: Parts without video, downloaded whole.
        take_parts: Further parts, downloaded for the chosen takes only: ``take_trajectory`` for
            ``gopro_calibs.csv``, ``take_vrs_noimagestream`` for the lens of the glasses.
        every: Videos of every so-manieth take of ``takes.json``; 1 = all, 0 = no videos.
        uids: Videos of exactly these takes instead.
        labelled_only: Of those only takes with pose labels (test: with calibrated cameras).
        views: Views of the videos; ``ego`` is added when ``dataset.ego`` is set.
        splits: Only these splits, all if empty.
        benchmarks: Only data of these benchmarks (e.g. ``egopose``), all if empty.
        universities: Only from these, all if empty.
        release: Release of the dataset.
        s3_profile: AWS profile with the keys.
        workers: Parallel transfers.
        fetch_manifests: Let ``posepile plan`` ask for missing manifests, through ``aws``. Nothing
            but this makes it use the network.
    """

    model_config = ConfigDict(extra="forbid")

    parts: list[Part] = ["metadata", "annotations", "ego_pose_pseudo_gt"]
    take_parts: list[Part] = []
    every: int = Field(5, ge=0)
    uids: list[str] = []
    labelled_only: bool = True
    views: list[Literal["exo", "ego"]] = ["exo"]
    splits: list[Literal["train", "val", "test"]] = []
    benchmarks: list[str] = []
    universities: list[str] = []
    release: str = "v2"
    s3_profile: str = "default"
    workers: int = Field(15, ge=1)
    fetch_manifests: bool = False

    @field_validator("uids")
    @classmethod
    def _alone(cls, value: list[str], info: ValidationInfo) -> list[str]:
        every = info.data.get("every")
        if value and every != cls.model_fields["every"].default:
            raise ValueError(f"is at odds with every: {every}; give one of the two")
        return value


class Request(NamedTuple):
    """One call of ``egoexo``: parts, and of which takes and views; None = of all."""

    parts: list[str]
    uids: list[str] | None = None
    views: list[str] | None = None


def label_request(options: Any) -> Request:
    """Returns the parts that are downloaded whole."""
    return Request(options.download.parts)


def video_request(root: Path, options: Any) -> Request | None:
    """Returns videos (and parts per take) of the chosen takes; None if none are wanted."""
    wanted, ego = options.download, options.ego
    parts = [video_part(options), *wanted.take_parts, *["take_vrs_noimagestream"] * ego]
    views = [*wanted.views, *["ego"] * ego]
    uids = choose_takes(root, wanted)
    return Request(list(dict.fromkeys(parts)), uids, list(dict.fromkeys(views))) if uids else None


def video_part(options: Any) -> str:
    """Returns the part that the videos are in."""
    return "downscaled_takes/448" if options.video == "448" else "takes"


def choose_takes(root: Path, wanted: DownloadOptions) -> list[str]:
    """Returns uids of the takes whose videos are wanted, in the order of ``takes.json``.

    Raises:
        UsageError: A uid that is not in ``takes.json``.
    """
    known = [take["take_uid"] for take in takes.read_takes(root)]
    if wanted.uids:
        missing = sorted(set(wanted.uids) - set(known))
        if missing:
            raise UsageError(f"dataset.download.uids: {missing[0]} is not in {root}/takes.json")
        return [uid for uid in known if uid in set(wanted.uids)]
    chosen = known[:: wanted.every] if wanted.every else []
    if wanted.splits:
        split_of = takes.split_of_takes(root)
        chosen = [uid for uid in chosen if split_of.get(uid) in wanted.splits]
    if wanted.labelled_only:
        places = ("*/*/annotation", "*/*/automatic", "test/camera_pose")
        folder = root / "annotations" / "ego_pose"
        labelled = {file.stem for place in places for file in folder.glob(f"{place}/*.json")}
        chosen = [uid for uid in chosen if uid in labelled]
    return chosen


def command(root: Path, request: Request, wanted: DownloadOptions) -> list[str]:
    """Returns the call of ``egoexo`` for a request."""
    call = ["egoexo", "-o", str(root), "--parts", *request.parts]
    filters = {"--uids": request.uids, "--views": request.views, "--splits": wanted.splits}
    filters |= {"--benchmarks": wanted.benchmarks, "--universities": wanted.universities}
    for flag, values in filters.items():
        call += [flag, *values] if values else []
    call += ["--release", wanted.release, "--s3_profile", wanted.s3_profile]
    return [*call, "--num_workers", str(wanted.workers), "-y"]


def download(root: Path, options: Any) -> list[str]:
    """Fetches labels first, then the videos of the chosen takes.

    Raises:
        WorkError: The program is missing, the keys do not work, or files could not be fetched.
    """
    root.mkdir(parents=True, exist_ok=True)
    how = {"install": INSTALL, "keys": KEYS, "skips": "failed to get stats"}
    run_downloader(command(root, label_request(options), options.download), **how)
    request = video_request(root, options)
    if request is None:
        return [f"labels are in {root}; dataset.download asks for no videos"]
    run_downloader(command(root, request, options.download), **how)
    return [f"labels and the videos of {len(request.uids)} takes are in {root}"]
