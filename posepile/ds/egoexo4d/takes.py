"""Takes with labels: what ``takes.json`` says about them, and which of their files are there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from posepile.ds.egoexo4d.annotations import AGAIN
from posepile.ds.egoexo4d.aria import RGB_STREAM
from posepile.files import names_in
from posepile.formats.text_files import read_json
from posepile.recipe import SPLITS, chosen_subjects

TAKE = {"take_uid": str, "take_name": str, "root_dir": str, "*": None}
# Not cameras of their own: previews, a copy of the best view, and a phone without aligned video.
PSEUDO_CAMERAS = ("collage", "best_exo", "mobile", "moblie", "ego_preview")
LABEL_FOLDERS = {"manual": "annotation", "automatic": "automatic"}
SCENARIOS = {
    **{1: "Cooking", 2: "Health", 3: "Campsite", 4: "Bike repair", 5: "Music"},
    **{6: "Basketball", 7: "Bouldering", 8: "Soccer", 9: "Dance"},
}


class Take(NamedTuple):
    """A take with labels, or of the test split.

    Attributes:
        entry: What ``takes.json`` says.
        split: ``train``, ``val`` or ``test``.
        labels: Label files, the preferred source first; none of the test split.
        camera_pose: Calibration of the cameras, if there.
        videos: Camera (``cam01``; ``aria01_214-1``) -> its video, None where that is not here.
    """

    entry: dict
    split: str
    labels: list[Path]
    camera_pose: Path | None
    videos: dict[str, Path | None]


def read_takes(root: Path) -> list[dict]:
    """Returns the entries of ``takes.json``; those have the keys that files are found by."""
    return read_json(root / "takes.json", [TAKE], hint="download metadata again; " + AGAIN)


def split_of_takes(root: Path) -> dict[str, str]:
    """Returns take_uid -> train, val or test, from ``annotations/splits.json``."""
    path, schema = root / "annotations" / "splits.json", {"take_uid_to_split": {"*": None}}
    found = read_json(path, schema, hint="download annotations again; " + AGAIN)
    return found["take_uid_to_split"]


def labelled_takes(root: Path, options: Any) -> Iterator[Take]:
    """Yields the chosen takes that have labels (test: calibrated cameras).

    Raises:
        UsageError: ``dataset.subjects`` names nobody in ``takes.json``.
    """
    split_of, entries, is_there = split_of_takes(root), read_takes(root), listed()
    chosen = chosen_subjects(options.subjects, filter(None, map(participant, entries)))
    sources = sorted(options.labels, key=lambda source: source != options.prefer)
    kinds = [f"{part}/{LABEL_FOLDERS[s]}" for s in sources for part in options.parts]
    for entry in entries:
        uid, split = entry["take_uid"], split_of.get(entry["take_uid"])
        if split not in SPLITS or (split == "test" and not options.test):
            continue
        if options.subjects and participant(entry) not in chosen:
            continue
        camera_pose = camera_pose_file(root, split, uid)
        files = [camera_pose.parents[1] / kind / f"{uid}.json" for kind in kinds]
        labels = [] if split == "test" else [file for file in files if is_there(file)]
        posed = is_there(camera_pose)
        if labels or (split == "test" and posed):
            folder = root / entry["root_dir"]
            paths = {camera: folder / video for camera, video in videos(entry, options)}
            found = {camera: path if is_there(path) else None for camera, path in paths.items()}
            yield Take(entry, split, labels, camera_pose if posed else None, found)


def listed() -> Callable[[Path], bool]:
    """Returns a function that says whether a file is there and lists each folder only once."""
    names = functools.cache(names_in)
    return lambda path: path.name in names(path.parent)


def participant(take: dict) -> str | None:
    """Returns the id of the person who wears the glasses, None where it is not said."""
    number = take.get("participant_uid")
    return None if number is None else str(number)


def facts(take: dict) -> dict[str, Any]:
    """Returns the facts that examples carry; JSON-serialisable."""
    return {
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
    """Yields the cameras of a take with their aligned video below the take's folder, sorted.

    Left out are the pseudo cameras, GoPros worn on the head, which have no static pose, eye and
    SLAM cameras, what has no video, and without the option ``ego`` the glasses.
    """
    cameras = (take.get("capture") or {}).get("cameras") or []
    worn = {str(c.get("cam_id")) for c in cameras if str(c.get("is_ego")).lower() == "true"}
    for camera, streams in sorted((take.get("frame_aligned_videos") or {}).items()):
        is_aria = "aria" in camera
        if camera.lower() in PSEUDO_CAMERAS or not isinstance(streams, dict):
            continue
        if not options.ego if is_aria else camera in worn:
            continue
        for stream, video in sorted(streams.items()):
            path = video.get("relative_path")
            if not path or video.get("is_collage"):
                continue
            if is_aria and stream != "rgb" and video.get("stream_id") != RGB_STREAM:
                continue
            folder, _, name = path.rpartition("/")
            small = f"{folder}/downscaled/448/{name}"
            key = f"{camera}_{RGB_STREAM}" if is_aria else camera
            yield key, small if options.video == "448" else path


def camera_pose_file(root: Path, split: str, uid: str) -> Path:
    """Returns the calibration of a take's cameras."""
    return root / "annotations" / "ego_pose" / split / "camera_pose" / f"{uid}.json"


def calibration_file(root: Path, take: dict, camera: str) -> Path | None:
    """Returns ``gopro_calibs.csv``, or the factory calibration of the glasses, if there.

    That is a JSON of the benchmark's collection or the VRS recording, with or without images.
    """
    folder, name, capture = root / take["root_dir"], take["take_name"], take.get("capture") or {}
    if camera.endswith(RGB_STREAM):
        key, jsons = camera.removesuffix(f"_{RGB_STREAM}"), root / "aria_calib_json"
        files = [jsons / "takes" / f"{name}.json", jsons / f"{name}.json"]
        files += [folder / f"{key}_noimagestreams.vrs", folder / f"{key}.vrs"]
    else:
        of_capture = capture.get("root_dir") or f"captures/{capture.get('capture_name')}"
        files = [f / "trajectory" / "gopro_calibs.csv" for f in (folder, root / of_capture)]
    return next(filter(Path.is_file, files), None)
