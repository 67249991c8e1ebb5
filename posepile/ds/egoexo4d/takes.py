"""What ``takes.json`` says about a take, and where its files lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posepile.ds.egoexo4d.annotations import AGAIN, LABEL_FOLDERS
from posepile.ds.egoexo4d.aria import RGB_STREAM
from posepile.errors import CorruptInput
from posepile.files import presence
from posepile.formats.keys import by_key
from posepile.formats.text_files import read_json
from posepile.recipe import SPLITS, chosen_subjects

TAKE = {"take_uid": str, "take_name": str, "root_dir": str, "*": None}
# Not cameras of their own: previews, a copy of the best view, and a phone without aligned video.
PSEUDO_CAMERAS = ("collage", "best_exo", "mobile", "moblie", "ego_preview")
SCENARIOS = {  # by the first digit of the task
    **{"1": "Cooking", "2": "Health", "3": "Campsite", "4": "Bike repair", "5": "Music"},
    **{"6": "Basketball", "7": "Bouldering", "8": "Soccer", "9": "Dance"},
}


@dataclass(frozen=True)
class Take:
    """A take that has labels (test: calibrated cameras).

    Attributes:
        entry: Of ``takes.json``.
        split: ``train``, ``val`` or ``test``.
        labels: Label files, the preferred source first; none for test.
        camera_pose: Calibration of the cameras, if there.
        views: Camera (``cam01``; ``aria01_214-1`` for the glasses) -> its ``video`` and, if there,
            ``calibration`` of its lens; sorted.
        absent: Cameras whose video is not on disk; downloads are selective.
    """

    entry: dict[str, Any]
    split: str
    labels: list[Path]
    camera_pose: Path | None
    views: dict[str, dict[str, Path]]
    absent: list[str]


def read_takes(root: Path) -> list[dict]:
    """Returns the entries of ``takes.json``.

    Raises:
        CorruptInput: Not a list of takes, or two of one id or name.
    """
    path, hint = root / "takes.json", "download metadata again; " + AGAIN
    takes = read_json(path, [TAKE], hint=hint)
    for key in ("take_uid", "take_name"):
        by_key(((t[key], f"[{i}]", t) for i, t in enumerate(takes)), path, key, hint=hint)
    return takes


def split_of_takes(root: Path) -> dict[str, str]:
    """take_uid -> train, val or test, from ``annotations/splits.json``; its lists must agree."""
    path, hint = root / "annotations" / "splits.json", "download annotations again; " + AGAIN
    schema = {"take_uid_to_split": {"*": None}, "split_to_take_uids?": {"*": [str]}}
    found = read_json(path, schema, hint=hint)
    split_of, lists = found["take_uid_to_split"], found.get("split_to_take_uids") or {}
    for uid, split in ((uid, split) for split, uids in lists.items() for uid in uids):
        if split_of.get(uid, split) != split:
            text = f"take_uid_to_split: {uid}: found {split_of[uid]}; expected {split}, as in"
            raise CorruptInput(path, f"{text} split_to_take_uids", hint=hint)
    return split_of


def labelled_takes(root: Path, options: Any) -> Iterator[Take]:
    """Yields the chosen takes that have labels (test: calibrated cameras).

    Raises:
        UsageError: ``dataset.subjects`` names nobody in ``takes.json``.
    """
    here = presence()
    split_of, entries = split_of_takes(root), read_takes(root)
    chosen = chosen_subjects(options.subjects, filter(None, map(participant, entries)))
    for entry in entries:
        uid = entry["take_uid"]
        split = split_of.get(uid)
        if split not in SPLITS or (split == "test" and not options.test):
            continue
        if options.subjects and participant(entry) not in chosen:
            continue
        folder = root / "annotations" / "ego_pose" / split
        sources = sorted(options.labels, key=lambda source: source != options.prefer)
        kinds = [] if split == "test" else [(part, s) for s in sources for part in options.parts]
        labels = [folder / part / LABEL_FOLDERS[source] / f"{uid}.json" for part, source in kinds]
        labels, camera_pose = [*filter(here, labels)], camera_pose_file(root, split, uid)
        cameras = camera_pose if here(camera_pose) else None
        if labels or (split == "test" and cameras):
            views, absent = {}, []
            for camera, video in videos(root, entry, options):
                if here(video):
                    calibration = calibration_file(root, entry, camera, here)
                    files = {"video": video, "calibration": calibration}
                    views[camera] = {name: file for name, file in files.items() if file}
                else:
                    absent.append(camera)
            yield Take(entry, split, labels, cameras, views, absent)


def takes_with(root: Path, split: str, what: str, labels: str) -> list[tuple[dict, Path]]:
    """Returns takes that have labels of ``body`` or ``hand``, each with the file of labels."""
    folder = root / "annotations" / "ego_pose" / split / what / LABEL_FOLDERS[labels]
    files = [(take, folder / f"{take['take_uid']}.json") for take in read_takes(root)]
    return [(take, file) for take, file in files if file.is_file()]


def participant(entry: dict) -> str | None:
    """Returns the id of the person who wears the glasses, None where it is not said."""
    number = entry.get("participant_uid")
    return None if number is None else str(number)


def capture_uid(entry: dict) -> str | None:
    """Returns the id of the capture that a take is cut from, None where it is not said."""
    return entry.get("capture_uid") or (entry.get("capture") or {}).get("capture_uid")


def capture_dir(entry: dict) -> str:
    """Returns the folder of the capture below the root, empty where it is not said."""
    capture = entry.get("capture") or {}
    name = capture.get("capture_name")
    return capture.get("root_dir") or (f"captures/{name}" if name else "")


def view_of(camera: str) -> str:
    """Returns ``ego`` for a camera of the glasses, else ``exo``."""
    return "ego" if camera.endswith(RGB_STREAM) else "exo"


def n_frames(entry: dict) -> int | None:
    """Returns frames of the aligned videos; the end of the synchronized range is exclusive."""
    start, end = entry.get("timesync_start_idx"), entry.get("timesync_end_idx")
    if start is not None and end is not None:
        return int(end) - int(start)
    seconds = entry.get("duration_sec")
    return None if seconds is None else round(30 * float(seconds))


def scenario(entry: dict) -> str:
    """Returns the scenario of a take."""
    return SCENARIOS.get(str(entry.get("task_id"))[:1], "unknown")


def videos(root: Path, entry: dict, options: Any) -> Iterator[tuple[str, Path]]:
    """Yields camera and video of a take, sorted, whether they are on disk or not.

    Left out are the pseudo cameras, GoPros worn on the head (they have no static pose), eye and
    SLAM cameras, the RGB camera of the glasses without ``ego``, and what has no video.
    """
    devices = (entry.get("capture") or {}).get("cameras") or []
    worn = {str(d.get("cam_id")) for d in devices if str(d.get("is_ego")).lower() == "true"}
    for camera, streams in sorted((entry.get("frame_aligned_videos") or {}).items()):
        is_aria = "aria" in camera
        if camera.lower() in PSEUDO_CAMERAS or (camera in worn and not is_aria):
            continue
        there = streams.items() if isinstance(streams, dict) else ()
        for stream, video in sorted((stream, video) for stream, video in there if video):
            path = video.get("relative_path")
            is_rgb = RGB_STREAM == video.get("stream_id") or stream == "rgb"
            if not path or video.get("is_collage") or (is_aria and not (options.ego and is_rgb)):
                continue
            file = root / entry["root_dir"] / path
            if options.video == "448":
                file = file.parent / "downscaled" / "448" / file.name
            yield f"{camera}_{RGB_STREAM}" if is_aria else camera, file


def camera_pose_file(root: Path, split: str, uid: str) -> Path:
    """Returns the calibration of a take's cameras."""
    return root / "annotations" / "ego_pose" / split / "camera_pose" / f"{uid}.json"


def calibration_file(
    root: Path, entry: dict, camera: str, here: Callable[[Path], bool] = Path.is_file
) -> Path | None:
    """Returns ``gopro_calibs.csv``, or the factory calibration of the glasses, if there.

    The latter is a JSON of the benchmark's collection, or the VRS recording of the take, with or
    without image streams.
    """
    take_dir = root / entry["root_dir"]
    if view_of(camera) == "ego":
        key, name = camera.removesuffix(f"_{RGB_STREAM}"), f"{entry['take_name']}.json"
        collection = root / "aria_calib_json"
        files = [collection / "takes" / name, collection / name]
        files += [take_dir / f"{key}_noimagestreams.vrs", take_dir / f"{key}.vrs"]
    else:
        folders = [entry["root_dir"], *filter(None, [capture_dir(entry)])]
        files = [root / folder / "trajectory" / "gopro_calibs.csv" for folder in folders]
    return next(filter(here, files), None)
