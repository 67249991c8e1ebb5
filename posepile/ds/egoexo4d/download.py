"""Selective download through the official ``egoexo`` program: what it costs, what is here.

All of Ego-Exo4D is 38 TB; poses need a small part. The download runs several times: labels and
metadata first, then, with ``takes.json`` at hand, the videos of the chosen takes, then parts of
their captures. The program skips files that are there with the right size, so that a second run
goes on where the first stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from posepile.acquire.amounts import Amount
from posepile.acquire.manifests import Request, plan_requests
from posepile.acquire.release import ProgramOptions, read_release
from posepile.ds.egoexo4d import takes
from posepile.errors import UsageError

RELEASE = read_release(Path(__file__).with_name("release.yaml"))
Part = Literal[tuple(RELEASE.parts)]
EGO = (["take_vrs_noimagestream"], ["ego"])  # parts and views of the glasses
TAKE_UID = itemgetter("take_uid")
VIDEO_PART = {"full": "takes", "448": "downscaled_takes/448"}


class DownloadOptions(ProgramOptions):
    """Keys below ``dataset.download:``.

    Attributes:
        parts: Parts without video, downloaded whole; ``default`` and ``all`` are the program's
            names for several.
        take_parts: Further parts, downloaded for the chosen takes and their captures only:
            ``take_trajectory`` or ``capture_trajectory`` for ``gopro_calibs.csv``,
            ``take_vrs_noimagestream`` for the lens of the glasses.
        every: Videos of every n-th take of ``takes.json``; 1 = all, 0 = no videos.
        uids: Videos of exactly these takes instead.
        labelled_only: Of those only takes that ``dataset`` asks for and that have pose labels
            (test: calibrated cameras).
        views: Views of the videos; ``ego`` is added when ``dataset.ego`` is set.
        splits: Only these splits, null = all.
        benchmarks: Only data of these benchmarks (e.g. ``egopose``), null = all.
        universities: Only from these, null = all.
        release: Release of the dataset.
        s3_profile, absent, workers, fetch_manifests: As of :class:`ProgramOptions`.
    """

    parts: list[Part] = Field(["metadata", "annotations", "ego_pose_pseudo_gt"])
    take_parts: list[Part] = Field([])
    every: int = Field(5, ge=0)
    uids: list[str] | None = Field(None, min_length=1)
    labelled_only: bool = True
    views: list[Literal["exo", "ego"]] = Field(["exo"], min_length=1)
    splits: list[Literal["train", "val", "test"]] | None = Field(None, min_length=1)
    benchmarks: list[str] | None = Field(None, min_length=1)
    universities: list[str] | None = Field(None, min_length=1)
    release: str = "v2"

    @field_validator("parts", "take_parts", mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        return RELEASE.spelled_out(value)

    @field_validator("uids")
    @classmethod
    def _alone(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        every = info.data.get("every")
        if value and every != cls.model_fields["every"].default:
            raise ValueError(f"is at odds with every: {every}; give one of the two")
        return value


def label_request(options: Any) -> Request:
    """Returns the parts that are downloaded whole."""
    filters = options.download.model_dump(include={"splits", "benchmarks", "universities"})
    return Request(options.download.parts, filters=filters)


def take_requests(root: Path, options: Any) -> list[Request]:
    """Returns videos and parts of the chosen takes, and parts of their captures.

    The program knows captures, which several takes are cut from, by ids of their own.
    """
    wanted, (parts, views) = options.download, EGO if options.ego else ([], [])
    parts = dict.fromkeys([VIDEO_PART[options.video], *wanted.take_parts, *parts])
    views = list(dict.fromkeys([*wanted.views, *views]))
    filters = label_request(options).filters | {"views": views}
    chosen, every = choose_takes(root, options), takes.read_takes(root)
    requests = []
    for level, uid_of in (("take", TAKE_UID), ("capture", takes.capture_uid)):
        of_level = [p for p in parts if p.startswith("capture") == (level == "capture")]
        uids = list(dict.fromkeys(filter(None, map(uid_of, chosen))))
        total = len(set(map(uid_of, every))), f"{level}s"
        requests += [Request(of_level, uids, filters, *total)] if uids and of_level else []
    return requests


def choose_takes(root: Path, options: Any) -> list[dict]:
    """Returns the entries of takes whose videos are wanted, in the order of ``takes.json``.

    Raises:
        UsageError: A uid that is not in ``takes.json``.
    """
    wanted, known = options.download, takes.read_takes(root)
    unknown = sorted(set(wanted.uids or ()) - {take["take_uid"] for take in known})
    if unknown:
        raise UsageError(f"dataset.download.uids: {unknown[0]} is not in {root}/takes.json")
    if wanted.uids:
        return [take for take in known if take["take_uid"] in wanted.uids]
    chosen, split_of = known[:: wanted.every] if wanted.every else [], takes.split_of_takes(root)
    if wanted.splits:
        chosen = [take for take in chosen if split_of.get(take["take_uid"]) in wanted.splits]
    if chosen and wanted.labelled_only:
        labelled = {take.entry["take_uid"] for take in takes.labelled_takes(root, options)}
        chosen = [take for take in chosen if take["take_uid"] in labelled]
    return chosen


def expectation(root: Path, options: Any) -> Callable[[str, str | None], list[str]]:
    """Returns what tells, for a part and the id of a take or capture, where one of its files is.

    These are globs below the root; none where nothing is known of the part.
    """
    entries = [] if missing_metadata(root) else takes.read_takes(root)
    entry_of = {uid(e): e for uid in (TAKE_UID, takes.capture_uid) for e in entries}

    def expected(part: str, uid: str | None) -> list[str]:
        if uid is None:
            return RELEASE.expected(part, {"take": "takes/*", "capture": "captures/*"}, {})
        take, schools = entry_of[uid], options.download.universities
        if schools and take.get("university_name") not in schools:
            return []
        if part == VIDEO_PART[options.video]:
            views = {*options.download.views, "ego"}  # others than asked for are not listed
            videos = (v for c, v in takes.videos(root, take, options) if takes.view_of(c) in views)
            return [str(video.relative_to(root)) for video in videos]
        folders = {"take": take["root_dir"], "capture": takes.capture_dir(take)}
        return RELEASE.expected(part, folders, take)

    return expected


def missing_metadata(root: Path) -> list[Path]:
    """Returns the files that say which takes there are, as far as they are not there."""
    files = (root / "takes.json", root / "annotations" / "splits.json")
    return [path for path in files if not path.is_file()]


def download(root: Path, options: Any) -> list[str]:
    """Fetches labels first, then the videos of the chosen takes; looks at what has arrived.

    Raises:
        WorkError: The program is missing, the keys do not work, or files have not arrived.
    """
    root.mkdir(parents=True, exist_ok=True)
    absent = fetch(root, label_request(options), options)
    if missing_metadata(root):
        RELEASE.refuse(absent)
    requests = take_requests(root, options)
    for request in requests:
        absent += fetch(root, request, options)
    if options.download.absent == "error":
        RELEASE.refuse(absent, accept="dataset.download.absent=report")
    if not requests:
        return [f"labels are in {root}; dataset.download asks for no videos", *absent]
    n, but = len(requests[0].uids or ()), ", but for this:" if absent else ""
    return [f"labels and the videos of {n} takes are in {root}{but}", *absent]


def fetch(root: Path, request: Request, options: Any) -> list[str]:
    """Calls ``egoexo`` for a request; returns what has not arrived all the same."""
    wanted, call = options.download, ["-o", str(root), "--parts", *request.parts]
    for flag, values in {"uids": request.uids, **request.filters}.items():
        call += [f"--{flag}", *values] if values else []
    call += ["--release", wanted.release, "--s3_profile", wanted.s3_profile]
    call += ["--num_workers", str(wanted.workers), "-y"]
    bucket, expected = RELEASE.bucket(root, wanted.release, wanted), expectation(root, options)
    return RELEASE.fetch(root, bucket, request, call, expected)


def plan(root: Path, options: Any) -> list[str]:
    """Returns what the download would fetch, by the manifests where they can be had."""
    wanted, requests = options.download, [label_request(options)]
    lines = [f"Program: {'egoexo is installed' if shutil.which('egoexo') else RELEASE.install}"]
    missing = missing_metadata(root)
    if not missing:
        requests += take_requests(root, options)
    elif wanted.every or wanted.uids:
        share = 1 / wanted.every if wanted.every else 0
        gigabytes = RELEASE.parts[VIDEO_PART[options.video]].gigabytes * share
        lines += [
            f"Videos are planned once {missing[0].name} is there.",
            Amount(
                f"  at most {gigabytes:,.0f} GB for {share:.0%} of all takes "
                f"(dataset.download.every={wanted.every}); about half of them have pose labels",
                1e9 * gigabytes,
                less=f"dataset.download.every={10 * wanted.every}" if wanted.every else "",
            ),
        ]
    bucket, expected = RELEASE.bucket(root, wanted.release, wanted), expectation(root, options)
    return lines + plan_requests(root, bucket, requests, expected)


def doctor(root: Path, options: Any) -> list[str]:
    """Returns problems of the files on disk, one per line."""
    if missing_metadata(root):  # said by the comparison with the expected layout
        missing = [f"the program egoexo is missing: {RELEASE.install}"]
        return [] if shutil.which("egoexo") else missing
    problems = []
    found = [t for t in takes.labelled_takes(root, options) if not t.entry.get("is_dropped")]
    if unposed := sum(take.camera_pose is None for take in found):
        problems.append(f"{unposed} takes have labels but no camera_pose: they give no example")
    views = [(camera, files) for take in found for camera, files in take.views.items()]
    n_videos = len(views) + sum(len(take.absent) for take in found)
    if not n_videos:
        problems.append("no take has pose labels: download annotations and ego_pose_pseudo_gt")
    elif not views:
        problems.append(f"none of the {n_videos} videos with labels is here; see posepile plan")
    ego = (files for camera, files in views if takes.view_of(camera) == "ego")
    if uncalibrated := sum("calibration" not in files for files in ego):
        problems.append(
            f"{uncalibrated} videos of the glasses have no factory calibration: download "
            "take_vrs_noimagestream or set dataset.ego=false"
        )
    return problems


def coverage(root: Path, options: Any) -> list[str]:
    """Says how much of what has labels is on disk, and how many takes are of no split."""
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
