"""What ``takes.json`` says about a take, and where its files lie."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posepile.ds.egoexo4d import aria
from posepile.ds.egoexo4d.annotations import AGAIN
from posepile.files import names_in
from posepile.formats.text_files import read_json
from posepile.recipe import SPLITS, chosen_subjects

Names = Callable[[Path], frozenset[str]]

TAKE = {"take_uid": str, "take_name": str, "root_dir": str, "*": None}
# Not cameras of their own: previews, a copy of the best view, and a phone without aligned video.
PSEUDO_CAMERAS = ("collage", "best_exo", "mobile", "moblie", "ego_preview")
LABEL_FOLDERS = {"manual": "annotation", "automatic": "automatic"}
SCENARIOS = {
    **{1: "Cooking", 2: "Health", 3: "Campsite", 4: "Bike repair", 5: "Music"},
    **{6: "Basketball", 7: "Bouldering", 8: "Soccer", 9: "Dance"},
}


def read_takes(root: Path) -> list[dict]:
    """Returns the entries of ``takes.json``.

    Raises:
        CorruptInput: Not a list of takes with the keys that everything else is found by.
    """
    return read_json(root / "takes.json", [TAKE], hint="download metadata again; " + AGAIN)


def split_of_takes(root: Path) -> dict[str, str]:
    """take_uid -> train, val or test, from ``annotations/splits.json``."""
    schema = {"take_uid_to_split": {"*": None}}
    path = root / "annotations" / "splits.json"
    return read_json(path, schema, hint="download annotations again; " + AGAIN)[
        "take_uid_to_split"
    ]


def labelled_takes(
    root: Path, options: Any, names: Names = names_in
) -> Iterator[tuple[dict, str, list[Path], Path | None]]:
    """Yields the chosen takes that have labels (test: calibrated cameras).

    Args:
        root: Raw folder.
        options: The recipe's options.
        names: Lists a folder, e.g. a cached :func:`names_in`.

    Yields:
        Entry of ``takes.json``, split, label files in order of preference, and the calibration of
        the cameras or None.

    Raises:
        UsageError: ``dataset.subjects`` names nobody in ``takes.json``.
    """
    names = functools.cache(names)
    split_of, takes = split_of_takes(root), read_takes(root)
    chosen = chosen_subjects(options.subjects, filter(None, map(participant, takes)))
    for take in takes:
        uid = take["take_uid"]
        split = split_of.get(uid)
        if split not in SPLITS or (split == "test" and not options.test):
            continue
        if options.subjects and participant(take) not in chosen:
            continue
        labels = [] if split == "test" else label_files(root, split, uid, options, names)
        cameras = camera_pose_file(root, split, uid)
        posed = cameras.name in names(cameras.parent)
        if labels or (split == "test" and posed):
            yield take, split, labels, cameras if posed else None


def participant(take: dict) -> str | None:
    """Returns the id of the person who wears the glasses, None where it is not said."""
    number = take.get("participant_uid")
    return None if number is None else str(number)


def facts(take: dict) -> dict[str, Any]:
    """Returns the facts that examples carry; JSON-serialisable."""
    return {
        "uid": take["take_uid"],
        "name": take["take_name"],
        "n_frames": n_frames(take),
        "activity": take.get("task_name") or scenario(take),
        "scene": str(take.get("physical_setting_uid") or take.get("university_name") or "unknown"),
    }


def n_frames(take: dict) -> int | None:
    """Returns frames of the aligned videos; the end of the synchronized range is exclusive."""
    start, end = take.get("timesync_start_idx"), take.get("timesync_end_idx")
    if start is not None and end is not None:
        return int(end) - int(start)
    seconds = take.get("duration_sec")
    return None if seconds is None else round(30 * float(seconds))


def scenario(take: dict) -> str:
    """Returns the scenario by the first digit of the task."""
    digit = str(take.get("task_id") or "0")[0]
    return SCENARIOS.get(int(digit) if digit.isdigit() else 0, "unknown")


def videos(take: dict, options: Any) -> Iterator[tuple[str, str]]:
    """Yields the cameras of a take with their aligned video, sorted.

    Args:
        take: Entry of ``takes.json``.
        options: The recipe's options ``ego`` (also the RGB camera of the glasses) and ``video``.

    Yields:
        Camera name (``cam01``; ``aria01_214-1``) and path below the take's folder. Left out are
        the pseudo cameras, GoPros worn on the head, eye and SLAM cameras, and what has no video.
    """
    worn = {
        str(c.get("cam_id"))
        for c in (take.get("capture") or {}).get("cameras") or []
        if str(c.get("is_ego")).lower() == "true"
    }
    for camera, streams in sorted((take.get("frame_aligned_videos") or {}).items()):
        if camera.lower() in PSEUDO_CAMERAS or not isinstance(streams, dict):
            continue
        is_aria = "aria" in camera
        if camera in worn and not is_aria:
            continue  # a GoPro on the wearer's head has no static pose
        for stream, video in sorted(streams.items()):
            path = video.get("relative_path")
            if not path or video.get("is_collage"):
                continue
            if is_aria:
                wanted = options.ego and (
                    stream == "rgb" or video.get("stream_id") == aria.RGB_STREAM
                )
                name = f"{camera}_{aria.RGB_STREAM}"
            else:
                wanted, name = True, camera
            if wanted:
                yield name, _downscaled(path) if options.video == "448" else path


def label_files(
    root: Path, split: str, uid: str, options: Any, names: Names = names_in
) -> list[Path]:
    """Returns the label files of a take that exist, the preferred source first."""
    sources = sorted(options.labels, key=lambda s: s != options.prefer)
    folder = root / "annotations" / "ego_pose" / split
    files = (folder / p / LABEL_FOLDERS[s] / f"{uid}.json" for s in sources for p in options.parts)
    return [f for f in files if f.name in names(f.parent)]


def camera_pose_file(root: Path, split: str, uid: str) -> Path:
    """Returns the calibration of a take's cameras."""
    return root / "annotations" / "ego_pose" / split / "camera_pose" / f"{uid}.json"


def calibration_file(root: Path, take: dict, camera: str, names: Names = names_in) -> Path | None:
    """Returns ``gopro_calibs.csv``, or the factory calibration of the glasses, if there."""
    take_dir = root / take["root_dir"]
    if camera.endswith(aria.RGB_STREAM):
        key = camera.removesuffix(f"_{aria.RGB_STREAM}")
        candidates = aria.calibration_files(root, take["take_name"], take_dir, key)
        return next((f for f in candidates if f.name in names(f.parent)), None)
    folders = [take_dir]
    capture = take.get("capture") or {}
    if capture.get("root_dir") or capture.get("capture_name"):
        folders.append(root / (capture.get("root_dir") or f"captures/{capture['capture_name']}"))
    files = (f / "trajectory" / "gopro_calibs.csv" for f in folders)
    return next((f for f in files if f.name in names(f.parent)), None)


def _downscaled(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/downscaled/448/{name}"
