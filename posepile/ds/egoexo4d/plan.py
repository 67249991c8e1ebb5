"""What is on disk of the labelled videos, and what the download would fetch by its manifests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from posepile.acquire.manifests import Wanted, fetch_by_aws, plan_lines, read_manifest
from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.download import (
    INSTALL,
    KEYS,
    PART_GB,
    DownloadOptions,
    Request,
    label_request,
    video_part,
    video_request,
)

MANIFESTS = "s3://ego4d-consortium-sharing/egoexo-public/{}/{}/manifest.json"


def missing_lists(root: Path) -> list[Path]:
    """Returns those of the files that say what takes there are that are not here."""
    files = [root / "takes.json", root / "annotations" / "splits.json"]
    return [file for file in files if not file.is_file()]


def plan(root: Path, options: Any) -> list[str]:
    """Returns what the download would fetch, by the manifests where they can be had."""
    wanted, part = options.download, video_part(options)
    lines = [f"Program: {'egoexo is installed' if shutil.which('egoexo') else INSTALL}"]
    requests, missing = [label_request(options)], missing_lists(root)
    if not missing:
        requests += filter(None, [video_request(root, options)])
    elif wanted.every or wanted.uids:
        share = 1 / wanted.every if wanted.every else 0
        lines += [
            f"Videos are planned once the labels are there ({missing[0]} is missing).",
            f"  at most {PART_GB[part] * share:,.0f} GB for {share:.0%} of all takes; about half "
            "of the takes have pose labels",
        ]
    costs = []
    for request in requests:
        title, share = "", 1.0
        if request.uids is not None:
            n, n_takes = len(request.uids), len(takes.read_takes(root))
            title, share = f"For {n} of {n_takes} takes:", n / n_takes
        manifests = {part: load_manifest(root, part, wanted) for part in request.parts}
        costs.append(Wanted(title, manifests, share, filters(request, wanted)))
    exact = (
        "--set dataset.download.fetch_manifests=true asks for missing manifests through aws, with "
        "your keys (else no network is used); or put them at "
        f"{manifest_path(root, 'PART', wanted.release)}: aws s3 cp "
        f"{MANIFESTS.format(wanted.release, 'PART')} FILE"
    )
    return lines + plan_lines(root, costs, PART_GB, exact)


def manifest_path(root: Path, part: str, release: str) -> Path:
    """Returns where the manifest of a part is kept."""
    return root / "manifests" / release / part / "manifest.json"


def load_manifest(root: Path, part: str, wanted: DownloadOptions) -> list[dict] | None:
    """Returns a part's manifest: from disk, else (if asked to) through ``aws``, else None.

    Raises:
        WorkError: It was asked for and ``aws`` is missing or does not get it.
        CorruptInput: What is there is no manifest.
    """
    path, url = manifest_path(root, part, wanted.release), MANIFESTS.format(wanted.release, part)
    if not path.is_file() and wanted.fetch_manifests:
        fetch_by_aws(url, path, wanted.s3_profile, install=INSTALL, keys=KEYS)
    return read_manifest(path) if path.is_file() else None


def filters(request: Request, wanted: DownloadOptions) -> tuple:
    """Returns which files of a manifest are asked for, as the program decides it."""
    of_entry = {"splits": wanted.splits, "benchmarks": wanted.benchmarks}
    of_file = {"views": request.views or (), "universities": wanted.universities}
    return request.uids, of_entry, of_file


def doctor(root: Path, options: Any) -> list[str]:
    """Returns problems of the files on disk, one per line."""
    problems = [f"{file} is missing: run the download stage" for file in missing_lists(root)]
    if problems:
        missing = shutil.which("egoexo") is None
        return problems + [f"the program egoexo is missing: {INSTALL}"] * missing
    found = [t for t in takes.labelled_takes(root, options) if not t.entry.get("is_dropped")]
    videos = [(take.entry, *video) for take in found for video in take.videos.items()]
    here = [(take, camera) for take, camera, path in videos if path]
    unposed = sum(take.camera_pose is None for take in found)
    uncalibrated = sum(
        camera.endswith(aria.RGB_STREAM) and not takes.calibration_file(root, take, camera)
        for take, camera in here
    )
    if unposed:
        problems.append(f"{unposed} takes have labels but no camera_pose: they give no example")
    if not videos:
        problems.append("no take has pose labels: download annotations and ego_pose_pseudo_gt")
    elif not here:
        problems.append(f"none of the {len(videos)} videos with labels is here; see posepile plan")
    if uncalibrated:
        problems.append(
            f"{uncalibrated} videos of the glasses have no factory calibration: download "
            "take_vrs_noimagestream or set dataset.ego=false"
        )
    return problems


def calibrate(root: Path, options: Any) -> list[str]:
    """Returns how much of what has labels is on disk, and how many takes are of no split.

    Nothing is kept: each video's lens is recovered on loading. Downloads are selective, so what is
    not here is no problem, but nobody shall have to guess.
    """
    split_of = takes.split_of_takes(root)
    splits = [split_of.get(take["take_uid"]) for take in takes.read_takes(root)]
    n_wanted = sum(s is not None and (s != "test" or options.test) for s in splits)
    found = list(takes.labelled_takes(root, options))
    here = [path is not None for take in found for path in take.videos.values()]
    others = "are not chosen or have none" if options.subjects else "have none"
    return [
        f"{sum(here)} of {len(here)} videos of the {len(found)} takes with labels (test: with "
        f"camera_pose) are on disk; {n_wanted - len(found)} takes {others}, {splits.count(None)} "
        "are in no split"
    ]
