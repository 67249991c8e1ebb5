"""What of the labelled videos is on disk, and what is missing for using it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.download import INSTALL


def doctor(root: Path, options: Any) -> list[str]:
    """Returns problems of the files on disk, one per line."""
    needed = [root / "takes.json", root / "annotations" / "splits.json"]
    problems = [f"{f} is missing: run the download stage" for f in needed if not f.is_file()]
    if problems:
        missing = shutil.which("egoexo") is None
        return problems + [f"the program egoexo is missing: {INSTALL}"] * missing
    found = [t for t in takes.labelled_takes(root, options) if not t.entry.get("is_dropped")]
    videos = [video for take in found for video in take.videos]
    here = [video for video in videos if video.is_there]
    glasses = [video for video in here if video.camera.endswith(aria.RGB_STREAM)]
    unposed = sum(take.camera_pose is None for take in found)
    uncalibrated = sum(video.calibration is None for video in glasses)
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


def coverage(root: Path, options: Any) -> list[str]:
    """Returns how much of what has labels is on disk, and how many takes are of no split.

    Downloads are selective, so what is not here is no problem, but nobody shall have to guess.
    """
    split_of = takes.split_of_takes(root)
    splits = [split_of.get(take["take_uid"]) for take in takes.read_takes(root)]
    n_wanted = sum(s is not None and (s != "test" or options.test) for s in splits)
    found = list(takes.labelled_takes(root, options))
    here = [video.is_there for take in found for video in take.videos]
    others = "are not chosen or have none" if options.subjects else "have none"
    return [
        f"{sum(here)} of {len(here)} videos of the {len(found)} takes with labels (test: with "
        f"camera_pose) are on disk; {n_wanted - len(found)} takes {others}, {splits.count(None)} "
        "are in no split"
    ]
