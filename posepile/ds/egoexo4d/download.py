"""Selective download through the official ``egoexo`` program, and what it would cost.

All of Ego-Exo4D is 38 TB; poses need a small part. The download runs in two steps: labels and
metadata first, then, with ``takes.json`` at hand, the videos of the chosen takes. The program
skips files that are there with the right size, so that a second run goes on where the first
stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from posepile.ds.egoexo4d import aria, takes
from posepile.errors import CorruptInput, UsageError, WorkError

BASE = "s3://ego4d-consortium-sharing/egoexo-public"
REQUEST = "https://ego4d.dev/request/ego-exo4d"

# Published size of every part in GB, for estimates without manifests.
PART_GB = {
    **{"metadata": 0.046, "annotations": 10.5, "takes": 10_553, "captures": 43.6},
    **{"take_trajectory": 509.5, "take_vrs_noimagestream": 995.6, "ego_pose_pseudo_gt": 138.6},
    **{"downscaled_takes/448": 438.6, "take_eye_gaze": 3.3, "take_point_cloud": 6_165},
    **{"take_vrs": 12_301, "capture_trajectory": 852, "capture_eye_gaze": 5.6},
    **{"capture_point_cloud": 4_750, "features/omnivore_video": 50, "expert_commentary": 42},
    **{"features/maws_clip_2b": 534, "take_transcription": 0.1, "take_audio": 1_057},
}
LABEL_PARTS = ("metadata", "annotations", "ego_pose_pseudo_gt")

INSTALL = (
    "install it with: pip install 'posepile[egoexo]' awscli   (the package ego4d brings the "
    "program egoexo)"
)
RENEW = (
    "the AWS keys are missing, wrong or expired (they live 14 days): 1. ask for new ones at "
    f"{REQUEST} with the e-mail address of your signed licence, renewal is immediate; 2. run "
    "'aws configure' with the keys from the mail, region and format as they are; 3. run this step "
    "again, it goes on where it stopped"
)
KEY_TROUBLE = (
    *("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"),
    *("InvalidToken", "NoCredentials", "Unable to locate credentials", "Forbidden", "(403)"),
    *("ProfileNotFound", "could not get manifests for all parts"),
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

    parts: list[str] = list(LABEL_PARTS)
    take_parts: list[str] = []
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


@dataclass(frozen=True)
class Step:
    """One call of ``egoexo``."""

    parts: tuple[str, ...]
    uids: tuple[str, ...] | None = None
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a part of a step amounts to, from its manifest."""

    files: int
    size: int
    unsized: int
    present: int


def label_step(options: Any) -> Step:
    """The parts that are downloaded whole."""
    check_parts(options.download)
    return Step(tuple(options.download.parts))


def video_step(root: Path, options: Any) -> Step | None:
    """The videos (and parts per take) of the chosen takes; None if none are wanted."""
    wanted = options.download
    check_parts(wanted)
    uids = choose_takes(root, wanted)
    if not uids:
        return None
    videos = "downscaled_takes/448" if options.video == "448" else "takes"
    views = list(dict.fromkeys([*wanted.views, *(["ego"] if options.ego else [])]))
    parts = [videos, *wanted.take_parts]
    if options.ego and "take_vrs_noimagestream" not in parts:
        parts.append("take_vrs_noimagestream")
    return Step(tuple(parts), tuple(uids), tuple(views))


def check_parts(wanted: DownloadOptions) -> None:
    """Refuses names of parts that do not exist, before the program does."""
    for part in (*wanted.parts, *wanted.take_parts):
        if part not in PART_GB:
            raise UsageError(
                f"dataset.download: no part {part!r}; there are: {', '.join(sorted(PART_GB))}"
            )


def choose_takes(root: Path, wanted: DownloadOptions) -> list[str]:
    """UIDs of the takes whose videos are wanted, in the order of ``takes.json``.

    Raises:
        UsageError: A uid that is not in ``takes.json``.
    """
    all_takes = takes.read_takes(root)
    split_of = takes.split_of_takes(root)
    known = [t["take_uid"] for t in all_takes]
    if wanted.uids:
        missing = sorted(set(wanted.uids) - set(known))
        if missing:
            raise UsageError(f"dataset.download.uids: {missing[0]} is not in {root}/takes.json")
        return [u for u in known if u in set(wanted.uids)]
    if not wanted.every:
        return []
    chosen = known[:: wanted.every]
    if wanted.splits:
        chosen = [u for u in chosen if split_of.get(u) in wanted.splits]
    if wanted.labelled_only:
        labelled = labelled_uids(root)
        chosen = [u for u in chosen if u in labelled]
    return chosen


def labelled_uids(root: Path) -> set[str]:
    """Takes with pose labels on disk; of the test split those with calibrated cameras."""
    folder = root / "annotations" / "ego_pose"
    files = [*folder.glob("*/*/annotation/*.json"), *folder.glob("*/*/automatic/*.json")]
    return {f.stem for f in [*files, *folder.glob("test/camera_pose/*.json")]}


def command(root: Path, step: Step, wanted: DownloadOptions) -> list[str]:
    """The call of ``egoexo`` for a step."""
    call = ["egoexo", "-o", str(root), "--parts", *step.parts]
    for flag, values in (
        ("--uids", step.uids),
        ("--views", step.views),
        ("--splits", wanted.splits),
        ("--benchmarks", wanted.benchmarks),
        ("--universities", wanted.universities),
    ):
        if values:
            call += [flag, *values]
    call += ["--release", wanted.release, "--s3_profile", wanted.s3_profile]
    return [*call, "--num_workers", str(wanted.workers), "-y"]


# -------------------------------------------------------------------------------------------------
# Hooks of the recipe


def download(root: Path, options: Any) -> list[str]:
    """Runs both steps.

    Raises:
        WorkError: The program is missing, the keys do not work, or files could not be fetched.
    """
    root.mkdir(parents=True, exist_ok=True)
    run_egoexo(command(root, label_step(options), options.download))
    step = video_step(root, options)
    if step is None:
        return [f"labels are in {root}; dataset.download asks for no videos"]
    run_egoexo(command(root, step, options.download))
    return [f"labels and the videos of {len(step.uids or ())} takes are in {root}"]


def plan(root: Path, options: Any) -> list[str]:
    """What the download would fetch, by the manifests where they can be had."""
    lines = [f"Program: {'egoexo is installed' if shutil.which('egoexo') else INSTALL}"]
    steps = [label_step(options)]
    needed = [root / "takes.json", root / "annotations" / "splits.json"]
    missing = [str(f) for f in needed if not f.is_file()]
    if not missing:
        video = video_step(root, options)
        steps += [video] if video else []
    elif options.download.every or options.download.uids:
        lines.append(f"Videos are planned once the labels are there ({missing[0]} is missing).")
        share = 1 / options.download.every if options.download.every else 0
        part = "downscaled_takes/448" if options.video == "448" else "takes"
        lines.append(
            f"  at most {PART_GB[part] * share:,.0f} GB for {share:.0%} of all takes; about half "
            "of the takes have pose labels"
        )
    total = estimated = 0.0
    for step in steps:
        share = 1.0
        if step.uids is not None:
            n_takes = len(takes.read_takes(root))
            share = len(step.uids) / max(1, n_takes)
            lines.append(f"For {len(step.uids)} of {n_takes} takes:")
        for part in step.parts:
            entries = load_manifest(root, part, options.download)
            if entries is None:
                estimated += share * PART_GB[part]
                lines.append(
                    f"  {part}: about {share * PART_GB[part]:,.4g} GB, by the published size of "
                    "the part"
                )
                continue
            cost = cost_of(root, entries, step, options.download)
            total += cost.size / 1e9
            lines.append(
                f"  {part}: {cost.files} files, {cost.size / 1e9:,.3f} GB, of which "
                f"{cost.present / 1e9:,.3f} GB are here"
                + (f"; {cost.unsized} files of unknown size" if cost.unsized else "")
            )
    if estimated:
        lines.append(
            "  for exact figures: --set dataset.download.fetch_manifests=true asks for missing "
            "manifests through aws, with your keys (else no network is used); or put them at "
            f"{manifest_path(root, 'PART', options.download.release)}: aws s3 cp "
            f"{manifest_url('PART', options.download.release)} FILE"
        )
    lines.append(
        f"  total: {total:,.3f} GB by manifests, about {estimated:,.4g} GB estimated, into {root}"
    )
    return lines


def doctor(root: Path, options: Any) -> list[str]:
    """Problems of the files on disk, one per line."""
    problems = []
    for name in ("takes.json", "annotations/splits.json"):
        if not (root / name).is_file():
            problems.append(f"{root / name} is missing: run the download stage")
    if problems:
        if shutil.which("egoexo") is None:
            problems.append(f"the program egoexo is missing: {INSTALL}")
        return problems
    split_of = takes.split_of_takes(root)
    n_videos = missing = unposed = uncalibrated = 0
    for take in takes.read_takes(root):
        uid, split = take["take_uid"], split_of.get(take["take_uid"])
        if split is None or take.get("is_dropped"):
            continue
        labels = takes.label_files(
            root, split, uid, parts=options.parts, labels=options.labels, prefer=options.prefer
        )
        posed = takes.camera_pose_file(root, split, uid).is_file()
        if not labels and not (split == "test" and posed):
            continue
        unposed += not posed
        for camera, video in takes.videos(
            take, ego=options.ego, downscaled=options.video == "448"
        ):
            n_videos += 1
            here = (root / take["root_dir"] / video).is_file()
            missing += not here
            if here and camera.endswith(aria.RGB_STREAM):
                uncalibrated += takes.calibration_file(root, take, camera) is None
    if unposed:
        problems.append(f"{unposed} takes have labels but no camera_pose: they give no example")
    if not n_videos:
        problems.append("no take has pose labels: download annotations and ego_pose_pseudo_gt")
    elif missing == n_videos:
        problems.append(f"none of the {n_videos} videos with labels is here; see posepile plan")
    if uncalibrated:
        problems.append(
            f"{uncalibrated} videos of the glasses have no factory calibration: download "
            "take_vrs_noimagestream or set dataset.ego=false"
        )
    return problems


def coverage(root: Path, options: Any) -> list[str]:
    """How much of what has labels is on disk, and which takes are of no split.

    Downloads are selective, so what is not here is no problem, but nobody shall have to guess.
    """
    split_of = takes.split_of_takes(root)
    wanted = [s for s in ("train", "val", "test") if s != "test" or options.test]
    no_split = no_labels = n_takes = n_videos = here = 0
    for take in takes.read_takes(root):
        split = split_of.get(take["take_uid"])
        no_split += split is None
        if split not in wanted:
            continue
        if split == "test":
            labelled = takes.camera_pose_file(root, split, take["take_uid"]).is_file()
        else:
            labelled = bool(
                takes.label_files(
                    root,
                    split,
                    take["take_uid"],
                    parts=options.parts,
                    labels=options.labels,
                    prefer=options.prefer,
                )
            )
        if not labelled:
            no_labels += 1
            continue
        n_takes += 1
        for _, video in takes.videos(take, ego=options.ego, downscaled=options.video == "448"):
            n_videos += 1
            here += (root / take["root_dir"] / video).is_file()
    return [
        f"{here} of {n_videos} videos of the {n_takes} takes with labels (test: with camera_pose) "
        f"are on disk; {no_labels} takes have none, {no_split} are in no split"
    ]


# -------------------------------------------------------------------------------------------------
# Programs and manifests


def run_egoexo(call: Sequence[str]) -> None:
    """Runs ``egoexo``, passing its output on.

    Raises:
        WorkError: It is missing, or failed; the message says what to do.
    """
    if shutil.which(call[0]) is None:
        raise WorkError(f"the program {call[0]} is missing: {INSTALL}")
    tail = ""
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if process.stdout is None:
            raise WorkError(f"{call[0]} has no output to read")
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            text = chunk.decode(errors="replace")
            sys.stderr.write(text)
            tail = (tail + text)[-20_000:]
    sys.stderr.flush()
    if any(sign in tail for sign in KEY_TROUBLE) and not finished(tail, process.returncode):
        raise WorkError(f"{call[0]}: {RENEW}")
    # A file whose size cannot be asked is skipped with a warning, and the program still says 0.
    skipped = next((line for line in tail.splitlines() if "failed to get stats" in line), None)
    if process.returncode or skipped:
        last = skipped or next((x for x in reversed(tail.splitlines()) if x.strip()), "no output")
        raise WorkError(
            f"{call[0]} ended with code {process.returncode}: {last.strip()[:200]}; run this step "
            "again, it goes on where it stopped"
        )


def finished(output: str, code: int) -> bool:
    """Whether the program did all its work, whatever else it printed."""
    return code == 0 and "failed to get stats" not in output and "ERROR" not in output


def manifest_path(root: Path, part: str, release: str) -> Path:
    """Where manifests are kept."""
    return root / "manifests" / release / part / "manifest.json"


def manifest_url(part: str, release: str) -> str:
    """Where manifests come from."""
    return f"{BASE}/{release}/{part}/manifest.json"


def load_manifest(root: Path, part: str, wanted: DownloadOptions) -> list[dict] | None:
    """A part's manifest: from disk, else (if asked to) through the ``aws`` program, else None.

    Raises:
        WorkError: It was asked for and ``aws`` is missing or does not get it.
        CorruptInput: What is there is no manifest.
    """
    path = manifest_path(root, part, wanted.release)
    if not path.is_file() and wanted.fetch_manifests:
        fetch_manifest(path, part, wanted)
    if not path.is_file():
        return None
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as e:
        raise CorruptInput(path, f"not valid JSON ({e})", hint="delete it") from None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise CorruptInput(path, "expected a list of entries with uid and paths")
    return entries


def fetch_manifest(path: Path, part: str, wanted: DownloadOptions) -> None:
    """Fetches a manifest with ``aws``; leaves nothing behind where that does not succeed.

    Raises:
        WorkError: ``aws`` is missing, or says why not.
    """
    if shutil.which("aws") is None:
        raise WorkError(f"the program aws is missing: {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "manifest.json"
        call = ["aws", "s3", "cp", "--only-show-errors", "--profile", wanted.s3_profile]
        call += [manifest_url(part, wanted.release), str(fetched)]
        try:
            done = subprocess.run(call, capture_output=True, timeout=120, check=False)
        except (subprocess.TimeoutExpired, OSError) as e:
            raise WorkError(f"aws: {e}; without fetch_manifests plan needs no network") from None
        if done.returncode or not fetched.is_file():
            said = " ".join(done.stderr.decode(errors="replace").split())
            trouble = any(sign in said for sign in KEY_TROUBLE)
            raise WorkError(
                f"aws did not get {call[-2]}: {RENEW if trouble else said[:200] or 'no output'}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        shutil.copyfile(fetched, beside)
        beside.replace(path)


def cost_of(root: Path, entries: list[dict], step: Step, wanted: DownloadOptions) -> Cost:
    """Sums the files of a manifest that pass the filters, as the program applies them.

    A filter applies only to entries (and files) that carry its attribute.
    """
    uids = set(step.uids or ())
    files = size = unsized = present = 0
    for entry in entries:
        if not (
            (step.uids is None or entry.get("uid") is None or entry["uid"] in uids)
            and _passes(entry.get("splits"), wanted.splits)
            and _passes(entry.get("benchmarks"), wanted.benchmarks)
        ):
            continue
        for file in entry.get("paths") or []:
            if not _passes(file.get("views"), step.views):
                continue
            if not _passes(file.get("universities"), wanted.universities):
                continue
            files += 1
            if file.get("size") is None:
                unsized += 1
                continue
            size += file["size"]
            here = root / file["relative_path"]
            if here.is_file() and here.stat().st_size == file["size"]:
                present += file["size"]
    return Cost(files, size, unsized, present)


def _passes(values: Iterable[str] | None, wanted: Iterable[str]) -> bool:
    wanted = set(wanted)
    return values is None or not wanted or bool(set(values) & wanted)
