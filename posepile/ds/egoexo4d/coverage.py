"""What of the labelled videos is on disk, and what is missing for using it."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.download import INSTALL
from posepile.files import names_in


def doctor(root: Path, options: Any) -> list[str]:
    """Lists problems of the files on disk, one per line."""
    problems = []
    for name in ("takes.json", "annotations/splits.json"):
        if not (root / name).is_file():
            problems.append(f"{root / name} is missing: run the download stage")
    if problems:
        if shutil.which("egoexo") is None:
            problems.append(f"the program egoexo is missing: {INSTALL}")
        return problems
    names = functools.cache(names_in)
    n_videos = missing = unposed = uncalibrated = 0
    for take, _, _, cameras in takes.labelled_takes(root, options, names):
        if take.get("is_dropped"):
            continue
        unposed += cameras is None
        for camera, video in takes.videos(take, options):
            path = root / take["root_dir"] / video
            n_videos += 1
            here = path.name in names(path.parent)
            missing += not here
            if here and camera.endswith(aria.RGB_STREAM):
                uncalibrated += takes.calibration_file(root, take, camera, names) is None
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
    """Says how much of what has labels is on disk, and how many takes are of no split.

    Downloads are selective, so what is not here is no problem, but nobody shall have to guess.
    """
    split_of = takes.split_of_takes(root)
    splits = [split_of.get(take["take_uid"]) for take in takes.read_takes(root)]
    n_wanted = sum(s is not None and (s != "test" or options.test) for s in splits)
    names = functools.cache(names_in)
    n_takes = n_videos = here = 0
    for take, *_ in takes.labelled_takes(root, options, names):
        n_takes += 1
        for _, video in takes.videos(take, options):
            path = root / take["root_dir"] / video
            n_videos += 1
            here += path.name in names(path.parent)
    others = "are not chosen or have none" if options.subjects else "have none"
    return [
        f"{here} of {n_videos} videos of the {n_takes} takes with labels (test: with camera_pose) "
        f"are on disk; {n_wanted - n_takes} takes {others}, {splits.count(None)} are in no split"
    ]
