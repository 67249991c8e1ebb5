"""The hand benchmark: MPJPE and PA-MPJPE on truth prepared by the benchmark's rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import JOINT_NAMES, PARTS, Labels, read_json, read_labels
from posepile.ds.egoexo4d.cameras import project_undistorted
from posepile.ds.egoexo4d.predictions import aria_poses, load_npz, pose_array
from posepile.errors import CorruptInput, WorkError
from posepile.metrics import mpjpe, pa_mpjpe

HANDS = ("right", "left")  # the benchmark's order
HAND_SCENARIOS = ("Health", "Bike repair", "Music", "Cooking")

# Which joints of a hand are believed when truth is prepared.
MIN_VIEWS = 3
MIN_JOINTS = 10
MAX_LABEL_ERROR = 30.0  # pixels of the 512 image
BOX_PADDING = 20
FINGER_ROOTS = (5, 9, 13, 17)
BONE_MM = (5.0, 80.0)
ROOT_BONE_MM = (60.0, 120.0)
# Smallest angle at joints 1..3 of every finger, degrees.
MIN_ANGLES = {
    **{1: 100, 2: 90, 3: 90},
    **{
        4 * finger + k: angle for finger in range(1, 5) for k, angle in ((1, 60), (2, 70), (3, 80))
    },
}


def evaluate_hand(pred: dict, truth: dict, offset: bool = False) -> dict[str, float]:
    """MPJPE and PA-MPJPE in millimetres, means over hands.

    Args:
        pred: take_uid -> frame -> ``{left,right}_hand_3d`` 21x3 metres.
        truth: As :func:`hand_truth` returns it.
        offset: Predictions are relative to the wrist: the true wrist is added.

    Raises:
        WorkError: A hand that is evaluated has no prediction of 21 joints.
    """
    errors, aligned = [], []
    for uid, frames in truth.items():
        for frame, entry in frames.items():
            for hand in HANDS:
                if not len(entry[f"{hand}_hand_3d"]):
                    continue
                where = f"predictions: take {uid}, frame {frame}, {hand} hand"
                given = pred.get(uid, {}).get(frame, {}).get(f"{hand}_hand_3d")
                if given is None:
                    raise WorkError(f"{where} is missing")
                true = 1000 * np.array(entry[f"{hand}_hand_3d"], np.float64)
                given = 1000 * pose_array(given, 21, where)
                if offset:
                    given = given + true[0]
                valid = np.array(entry[f"{hand}_hand_valid_3d"], bool)
                errors.append(mpjpe(given[valid], true[valid]))
                aligned.append(pa_mpjpe(given[valid], true[valid]))
    if not errors:
        raise WorkError("truth: no hand to evaluate")
    return {
        "MPJPE_mm": float(np.mean(errors)),
        "PA-MPJPE_mm": float(np.mean(aligned)),
        "hands": len(errors),
    }


def hand_truth(
    root: Path, split: str, labels: str = "manual", use_mask: bool = True
) -> tuple[dict, Counter]:
    """Prepares truth from the labels by the benchmark's validity rules.

    Returns:
        take_uid -> frame -> ``{left,right}_hand_{3d,valid_3d,bbox}`` and ``metadata``; and what
        was left out, by reason.

    Raises:
        WorkError: A take has no factory calibration, which the mask of the rectified image needs.
    """
    truth: dict = {}
    left_out: Counter = Counter()
    folder = root / "annotations" / "ego_pose" / split / "hand" / takes.LABEL_FOLDERS[labels]
    for take in read_json(root / "takes.json"):
        uid, name = take["take_uid"], take["take_name"]
        if not (folder / f"{uid}.json").is_file():
            continue
        if takes.scenario(take) not in HAND_SCENARIOS:
            left_out[f"takes of {takes.scenario(take)}"] += 1
            continue
        poses, key = aria_poses(root, split, uid)
        mask = None
        if use_mask:
            calibration = takes.calibration_file(root, take, f"{key}_{aria.RGB_STREAM}")
            if calibration is None:
                raise WorkError(
                    f"{name}: no factory calibration of the glasses; download "
                    "take_vrs_noimagestream, or give --no-mask"
                )
            params = aria.to_recorded(aria.read_calibration(calibration), str(calibration))
            mask = aria.rectified_mask(params)
        content = read_labels(folder / f"{uid}.json", key)
        for k, frame in enumerate(content.frames):
            if int(frame) not in poses:
                left_out["frames without a pose of the glasses"] += 1
                continue
            entry = frame_truth(
                content, k, key=key, pose=poses[int(frame)], labels=labels, mask=mask
            )
            if entry:
                entry["metadata"] = {
                    "take_uid": uid,
                    "take_name": name,
                    "frame_number": int(frame),
                }
                truth.setdefault(uid, {})[str(frame)] = entry
            else:
                left_out["frames without a valid hand"] += 1
    return truth, left_out


def frame_truth(
    content: Labels, k: int, *, key: str, pose: tuple, labels: str, mask: np.ndarray | None
) -> dict:
    """Both hands of one frame, empty if neither is valid."""
    entry, any_valid = {}, False
    for hand in HANDS:
        part = PARTS[f"{hand}_hand"]
        world = content.coords[k, part].copy()
        if labels == "manual":
            world[content.views[k, part] < MIN_VIEWS] = np.nan
        camera, valid, box = hand_validity(world, content.image[key][k, part], pose, mask)
        any_valid |= valid.any()
        entry[f"{hand}_hand_3d"] = camera.tolist()
        entry[f"{hand}_hand_valid_3d"] = valid.tolist()
        entry[f"{hand}_hand_bbox"] = box.tolist()
    return entry if any_valid else {}


def hand_validity(
    world: np.ndarray, image: np.ndarray, pose: tuple, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Applies the benchmark's rules to one hand.

    Args:
        world: ``[21, 3]`` millimetres, NaN = missing.
        image: 2D labels ``[21, 2]`` in the rectified 512 image, NaN = missing.
        pose: World-to-camera rotation and translation (metres) of the glasses.
        mask: Where the rectified image shows something, bool ``[512, 512]``; None = everywhere.

    Returns:
        Camera coordinates ``[21, 3]`` in metres with NaN where invalid (the wrist is always kept),
        validity bool ``[21]`` and the box x1, y1, x2, y2; all empty if the hand is not evaluated.
    """
    empty = np.zeros(0), np.zeros(0, bool), np.zeros(0)
    world = np.array(world, np.float64)
    if not np.isfinite(world[0]).all():
        return empty
    world[implausible_joints(world)] = np.nan
    rotation, translation = pose
    camera = world / 1000 @ rotation.T + translation
    center = (aria.RECTIFIED_SIZE - 1) / 2
    linear = np.array([[150.0, 0, center], [0, 150.0, center], [0, 0, 1]])
    points = project_undistorted(world, linear, rotation, translation)
    seen = _visible(points, mask)
    with np.errstate(invalid="ignore"):
        near = np.linalg.norm(
            points - np.where(_visible(image, mask)[:, None], image, np.nan), axis=1
        )
        near = near <= MAX_LABEL_ERROR
    near[0] = True  # the wrist is a large region: its 2D label is not compared
    valid = seen & near
    if valid.sum() < MIN_JOINTS:
        return empty
    wrist = camera[0].copy()
    camera[~valid] = np.nan
    camera[0] = wrist  # predictions relative to the wrist need it
    low = points[valid].min(axis=0) - BOX_PADDING
    high = points[valid].max(axis=0) + BOX_PADDING
    return camera, valid, np.clip(np.r_[low, high], 0, aria.RECTIFIED_SIZE - 1)


def implausible_joints(world: np.ndarray) -> np.ndarray:
    """Joints whose bone length or angle no hand has, bool ``[21]``; not the missing ones."""
    bad = np.zeros(21, bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        for j in range(1, 21):
            parent = 0 if j % 4 == 1 else j - 1
            low, high = ROOT_BONE_MM if j in FINGER_ROOTS else BONE_MM
            length = np.linalg.norm(world[j] - world[parent])
            bad[j] = length < low or length > high
            if j in MIN_ANGLES:
                a, b = world[parent] - world[j], world[j + 1] - world[j]
                cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
                bad[j] |= bool(np.degrees(np.arccos(np.clip(cosine, -1, 1))) < MIN_ANGLES[j])
    return bad


def load_hand_predictions(root: Path, path: Path, split: str) -> dict:
    """take_uid -> frame -> ``{left,right}_hand_3d`` in the frame of the glasses, metres."""
    if path.suffix != ".npz":
        return read_json(path)
    result: dict = defaultdict(dict)
    for uid, frames in load_npz(root, path).items():
        poses, _ = aria_poses(root, split, uid)
        for frame, coords in frames.items():
            if len(coords) != len(JOINT_NAMES):
                raise CorruptInput(path, f"{len(coords)} joints; hands need all 61")
            if frame in poses:
                rotation, translation = poses[frame]
                camera = coords / 1000 @ rotation.T + translation
                result[uid][str(frame)] = {
                    f"{h}_hand_3d": camera[PARTS[f"{h}_hand"]] for h in HANDS
                }
    return result


def _visible(points: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    size = aria.RECTIFIED_SIZE
    with np.errstate(invalid="ignore"):
        inside = ((points >= 0) & (points < size)).all(axis=1)
    if mask is not None:
        x, y = np.where(inside[:, None], points, 0).astype(int).T
        inside &= mask[y, x]
    return inside
