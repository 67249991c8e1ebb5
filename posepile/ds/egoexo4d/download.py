"""Selective download through the official ``egoexo`` program: what it costs, what is here.

All of Ego-Exo4D is 38 TB; poses need a small part. The download runs twice: labels and
metadata first, then, with ``takes.json`` at hand, the videos of the chosen takes. The program
skips files that are there with the right size, so that a second run goes on where the first
stopped.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.acquire.manifests import Bucket, Request, plan_requests
from posepile.acquire.programs import AWS_KEY_TROUBLE, fetch_by_program
from posepile.ds.egoexo4d import takes
from posepile.ds.egoexo4d.aria import RGB_STREAM
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
VIDEO_PART = {"full": "takes", "448": "downscaled_takes/448"}

INSTALL = (
    "install it with: pip install 'posepile[egoexo]' awscli   (the package ego4d brings the "
    "program egoexo)"
)
RENEW = (
    "the AWS keys are missing, wrong or expired (they live 14 days): 1. ask for new ones at "
    "https://ego4d.dev/request/ego-exo4d with the e-mail address of your signed licence, renewal "
    "is immediate; 2. run 'aws configure' with the keys from the mail, region and format as they "
    "are; 3. run this step again, it goes on where it stopped"
)
KEY_TROUBLE = (*AWS_KEY_TROUBLE, "could not get manifests for all parts")
LEFT_OUT = ("failed to get stats",)  # of a file's size; the program warns and still exits with 0


class DownloadOptions(BaseModel):
    """Keys below ``dataset.download:``.

    Attributes:
        parts: Parts without video, downloaded whole.
        take_parts: Further parts, downloaded for the chosen takes only: ``take_trajectory`` for
            ``gopro_calibs.csv``, ``take_vrs_noimagestream`` for the lens of the glasses.
        every: Videos of every so-manieth take of ``takes.json``; 1 = all, 0 = no videos.
        uids: Videos of exactly these takes instead.
        labelled_only: Of those only takes that ``dataset`` asks for and that have pose labels
            (test: calibrated cameras).
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


def label_request(options: Any) -> Request:
    """Returns the parts that are downloaded whole."""
    filters = options.download.model_dump(include={"splits", "benchmarks", "universities"})
    return Request(options.download.parts, filters=filters)


def video_request(root: Path, options: Any) -> Request | None:
    """Returns videos (and parts per take) of the chosen takes; None if none are wanted."""
    uids, filters = choose_takes(root, options), label_request(options).filters
    of_ego = (["take_vrs_noimagestream"], ["ego"]) if options.ego else ([], [])
    parts = [VIDEO_PART[options.video], *options.download.take_parts, *of_ego[0]]
    views = list(dict.fromkeys([*options.download.views, *of_ego[1]]))
    unique = list(dict.fromkeys(parts))
    return Request(unique, uids, filters | {"views": views}) if uids else None


def choose_takes(root: Path, options: Any) -> list[str]:
    """Returns uids of the takes whose videos are wanted, in the order of ``takes.json``.

    Raises:
        UsageError: A uid that is not in ``takes.json``.
    """
    wanted, known = options.download, [take["take_uid"] for take in takes.read_takes(root)]
    unknown = sorted(set(wanted.uids) - set(known))
    if unknown:
        raise UsageError(f"dataset.download.uids: {unknown[0]} is not in {root}/takes.json")
    if wanted.uids:
        return [uid for uid in known if uid in wanted.uids]
    chosen, split_of = known[:: wanted.every] if wanted.every else [], takes.split_of_takes(root)
    if wanted.splits:
        chosen = [uid for uid in chosen if split_of.get(uid) in wanted.splits]
    if chosen and wanted.labelled_only:
        labelled = {take.entry["take_uid"] for take in takes.labelled_takes(root, options)}
        chosen = [uid for uid in chosen if uid in labelled]
    return chosen


def missing_metadata(root: Path) -> list[Path]:
    """Returns the files that say which takes there are, as far as they are not there."""
    files = (root / "takes.json", root / "annotations" / "splits.json")
    return [path for path in files if not path.is_file()]


def download(root: Path, options: Any) -> list[str]:
    """Fetches labels first, then the videos of the chosen takes.

    Raises:
        WorkError: The program is missing, the keys do not work, or files could not be fetched.
    """
    root.mkdir(parents=True, exist_ok=True)
    run_egoexo(root, label_request(options), options.download)
    request = video_request(root, options)
    if request is None:
        return [f"labels are in {root}; dataset.download asks for no videos"]
    run_egoexo(root, request, options.download)
    return [f"labels and the videos of {len(request.uids or ())} takes are in {root}"]


def run_egoexo(root: Path, request: Request, wanted: DownloadOptions) -> None:
    """Calls ``egoexo`` for a request."""
    call = ["egoexo", "-o", str(root), "--parts", *request.parts]
    for flag, values in {"uids": request.uids, **request.filters}.items():
        call += [f"--{flag}", *values] if values else []
    call += ["--release", wanted.release, "--s3_profile", wanted.s3_profile]
    call += ["--num_workers", str(wanted.workers), "-y"]
    signs = {"key_trouble": KEY_TROUBLE, "left_out": LEFT_OUT}
    fetch_by_program(call, install=INSTALL, renew=RENEW, **signs)


def plan(root: Path, options: Any) -> list[str]:
    """Returns what the download would fetch, by the manifests where they can be had."""
    wanted, requests, n_takes = options.download, [label_request(options)], 0
    lines = [f"Program: {'egoexo is installed' if shutil.which('egoexo') else INSTALL}"]
    missing = missing_metadata(root)
    if not missing:
        n_takes = len(takes.read_takes(root))
        requests += filter(None, [video_request(root, options)])
    elif wanted.every or wanted.uids:
        share = 1 / wanted.every if wanted.every else 0
        gigabytes = PART_GB[VIDEO_PART[options.video]] * share
        lines += [
            f"Videos are planned once the labels are there ({missing[0]} is missing).",
            f"  at most {gigabytes:,.0f} GB for {share:.0%} of all takes; about half of the takes "
            "have pose labels",
        ]
    return lines + plan_requests(root, bucket(root, wanted), requests, n_takes, "takes")


def bucket(root: Path, wanted: DownloadOptions) -> Bucket:
    """Returns where the manifests are."""
    return Bucket(
        url=f"s3://ego4d-consortium-sharing/egoexo-public/{wanted.release}",
        folder=root / "manifests" / wanted.release,
        gigabytes=PART_GB,
        profile=wanted.s3_profile if wanted.fetch_manifests else None,
        install=INSTALL,
        renew=RENEW,
        more="--set dataset.download.fetch_manifests=true asks for missing manifests through aws, "
        "with your keys (else no network is used)",
    )


def doctor(root: Path, options: Any) -> list[str]:
    """Returns problems of the files on disk, one per line."""
    if missing_metadata(root):  # said by the comparison with the expected layout
        return [] if shutil.which("egoexo") else [f"the program egoexo is missing: {INSTALL}"]
    problems = []
    found = [t for t in takes.labelled_takes(root, options) if not t.entry.get("is_dropped")]
    unposed = sum(take.camera_pose is None for take in found)
    if unposed:
        problems.append(f"{unposed} takes have labels but no camera_pose: they give no example")
    views = [(camera, files) for take in found for camera, files in take.views.items()]
    n_videos = len(views) + sum(len(take.absent) for take in found)
    if not n_videos:
        problems.append("no take has pose labels: download annotations and ego_pose_pseudo_gt")
    elif not views:
        problems.append(f"none of the {n_videos} videos with labels is here; see posepile plan")
    ego = (files for camera, files in views if camera.endswith(RGB_STREAM))
    uncalibrated = sum("calibration" not in files for files in ego)
    if uncalibrated:
        problems.append(
            f"{uncalibrated} videos of the glasses have no factory calibration: download "
            "take_vrs_noimagestream or set dataset.ego=false"
        )
    return problems


def coverage(root: Path, options: Any) -> list[str]:
    """Says how much of what has labels is on disk, and how many takes are of no split.

    Downloads are selective, so what is not here is no problem, but nobody shall have to guess.
    """
    split_of = takes.split_of_takes(root)
    splits = [split_of.get(take["take_uid"]) for take in takes.read_takes(root)]
    n_wanted = sum(s is not None and (s != "test" or options.test) for s in splits)
    found = list(takes.labelled_takes(root, options))
    here = sum(len(take.views) for take in found)
    absent = sum(len(take.absent) for take in found)
    others = "are not chosen or have none" if options.subjects else "have none"
    return [
        f"{here} of {here + absent} videos of the {len(found)} takes with labels (test: with "
        f"camera_pose) are on disk; {n_wanted - len(found)} takes {others}, {splits.count(None)} "
        "are in no split"
    ]
