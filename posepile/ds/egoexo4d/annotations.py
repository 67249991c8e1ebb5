"""Pose labels of a take: reading the JSON files and joining body, hands, manual and automatic.

Four files can exist per take (body or hand, manual or automatic); each is of use alone. All give
the joints of one person, the wearer of the Aria glasses, in the world of the capture.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.keys import by_number
from posepile.formats.text_files import read_json
from posepile.geometry.pictures import check_median_projection

BODY_KEYS = (
    *("nose", "left-eye", "right-eye", "left-ear", "right-ear", "left-shoulder"),
    *("right-shoulder", "left-elbow", "right-elbow", "left-wrist", "right-wrist", "left-hip"),
    *("right-hip", "left-knee", "right-knee", "left-ankle", "right-ankle"),
)
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HAND_SUFFIXES = ("wrist", *(f"{finger}_{i}" for finger in FINGERS for i in range(1, 5)))

JOINT_NAMES = (
    *"neck nose pelv lsho lelb lwri lhip lkne lank rsho relb rwri rhip rkne rank".split(),
    *"leye lear reye rear".split(),
    *(f"{side}han{i}" for side in "lr" for i in range(1, 22)),
)
EDGES = (
    "nose-neck-pelv,rwri-relb-rsho-neck,rank-rkne-rhip-pelv,nose-reye-rear,"
    "rhan1-rhan2-rhan3-rhan4-rhan5,rhan1-rhan6-rhan7-rhan8-rhan9,"
    "rhan1-rhan10-rhan11-rhan12-rhan13,rhan1-rhan14-rhan15-rhan16-rhan17,"
    "rhan1-rhan18-rhan19-rhan20-rhan21"
)

LABEL_FOLDERS = {"manual": "annotation", "automatic": "automatic"}
AGAIN = "run the download stage again; posepile doctor egoexo4d lists what is missing"

# What a label source decides about as a whole: where manual and automatic labels both have a part,
# its joints come from one of them, never mixed.
PARTS = {"body": slice(0, 19), "left_hand": slice(19, 40), "right_hand": slice(40, 61)}

# Position in JOINT_NAMES of every key of the files: left-shoulder is lsho.
KEY_TO_INDEX = {
    key: JOINT_NAMES.index(key.replace("left-", "l").replace("right-", "r")[:4])
    for key in BODY_KEYS
} | {
    f"{side}_{suffix}": PARTS[f"{side}_hand"].start + i
    for side in ("left", "right")
    for i, suffix in enumerate(HAND_SUFFIXES)
}
BODY_INDICES = [KEY_TO_INDEX[k] for k in BODY_KEYS]  # the benchmark's order of the 17


@dataclass(slots=True)
class Labels:
    """The content of one label file.

    Attributes:
        frames: Annotated frames, ascending, int ``[n]``.
        coords: ``[n, 61, 3]`` world millimetres, NaN = missing.
        views: ``[n, 61]`` number of views each point was triangulated from, 0 = missing.
        image: ``[n, 61, 2]`` pixels of the undistorted image of one camera, NaN = missing.
        dropped: Frames left out while reading, by reason.
    """

    frames: np.ndarray
    coords: np.ndarray
    views: np.ndarray
    image: np.ndarray
    dropped: Counter = field(default_factory=Counter)


def read_labels(path: Path, camera: str | None = None, *, keep_empty: bool = False) -> Labels:
    """Returns frames with at least one joint of a file of labels of one kind and source.

    Args:
        path: ``annotations/ego_pose/<split>/{body,hand}/{annotation,automatic}/<take_uid>.json``.
        camera: Also read the 2D labels of this camera.
        keep_empty: Also return the frames without a joint, as the benchmark has them.

    Raises:
        CorruptInput: Not of the released form; the message says where.
    """
    dropped: Counter = Counter()
    rows: dict[int, dict] = {}
    pose = {"annotation3D?": {"*": dict}, "annotation2D?": {f"{camera}?": {"*": dict}}}
    found = by_number(read_json(path, {"*": [pose]}, hint=AGAIN), path, "frame")
    for frame, poses in found.items():
        if len(poses) != 1:
            dropped["no pose in the labels" if not poses else "more than one pose in a frame"] += 1
        elif not poses[0].get("annotation3D"):
            dropped["no 3D joint in the labels"] += 1
        else:
            rows[frame] = poses[0]
        if keep_empty:
            rows.setdefault(frame, {"annotation3D": {}})

    shape = (len(rows), len(JOINT_NAMES))
    coords, image = np.full((*shape, 3), np.nan), np.full((*shape, 2), np.nan)
    views = np.zeros(shape, np.int64)
    for k, frame in enumerate(sorted(rows)):
        for name, joint in rows[frame]["annotation3D"].items():
            j, meters = _joint(path, frame, name, joint, "xyz")
            coords[k, j], views[k, j] = 1000 * meters, joint.get("num_views_for_3d") or 0
        for name, joint in rows[frame].get("annotation2D", {}).get(camera, {}).items():
            j, pixels = _joint(path, frame, name, joint, "xy")
            image[k, j] = pixels
    return Labels(np.array(sorted(rows), np.int64), coords, views, image, dropped)


def _joint(path: Path, frame: int, name: str, joint: dict, axes: str) -> tuple[int, np.ndarray]:
    if name not in KEY_TO_INDEX:
        known = "one of the 17 body or 42 hand joints (e.g. left-shoulder, right_index_2)"
        raise CorruptInput(path, f"unknown joint {name!r}; expected {known}", frame=frame)
    try:
        return KEY_TO_INDEX[name], np.array([joint[a] for a in axes], np.float64)  # null: NaN
    except (KeyError, TypeError, ValueError):
        message = f"joint {name!r} has no numbers {', '.join(axes)}"
        raise CorruptInput(path, message, frame=frame) from None


def merge_labels(files: list[Labels]) -> tuple[np.ndarray, np.ndarray]:
    """Joins label files; frame by frame and part by part the first file that has the part wins.

    Args:
        files: In order of preference.

    Returns:
        frames ``[n]``, ascending, and coords ``[n, 61, 3]``.
    """
    frames = np.unique(np.concatenate([f.frames for f in files] or [np.empty(0, np.int64)]))
    coords = np.full((len(frames), len(JOINT_NAMES), 3), np.nan)
    for labels in reversed(files):
        rows = np.searchsorted(frames, labels.frames)
        for part in PARTS.values():
            has = np.isfinite(labels.coords[:, part]).all(axis=-1).any(axis=-1)
            coords[rows[has], part] = labels.coords[has, part]
    return frames, coords


def check_labels(
    files: dict[Path, Labels], key: str, camera: Any, limit: float
) -> dict[str, float]:
    """Returns how far 2D labels lie from projected 3D ones in the median, by part and source.

    Args:
        files: Label files with the 2D labels of the camera.
        key: Of the camera.
        camera: That of the undistorted image that 2D labels refer to.
        limit: Largest median allowed, pixels.

    Raises:
        CorruptInput: One is larger; names the file and the part.
    """
    hint = "raise dataset.max_reprojection_px, leave these labels out, or exclude the take"
    found, sources = {}, {folder: source for source, folder in LABEL_FOLDERS.items()}
    for path, file in files.items():
        given = file.frames, file.coords, file.image, limit
        off = check_median_projection(f"{path}, {key}", camera, *given, parts=PARTS, hint=hint)
        source = sources[path.parent.name]
        found |= {f"reprojection_{part}_{source}_px": px for part, px in off.items()}
    return found
