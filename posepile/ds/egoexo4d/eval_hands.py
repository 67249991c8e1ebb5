"""The truth of the hand benchmark: made of the labels by its rules, or read from a file.

The benchmark's own form is ``{take_uid: {frame: {"left_hand_3d": 21x3, "left_hand_valid_3d": 21,
..}}}``, in metres and in the frame of the glasses' RGB camera; a hand that is not evaluated is
``[]``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import PARTS, read_labels
from posepile.ds.egoexo4d.eval_predictions import HANDS
from posepile.errors import UsageError
from posepile.evaluation.benchmark import Clip, Setup
from posepile.evaluation.predictions import read_pred_json
from posepile.evaluation.results import write_result
from posepile.formats.schema import Array, check
from posepile.geometry.fitting import project_fisheye624
from posepile.metrics import align, joint_errors

HAND_SCENARIOS = ("Health", "Bike repair", "Music", "Cooking")

# Which joints of a hand are believed when truth is prepared; millimetres, pixels, degrees.
MIN_VIEWS, MIN_JOINTS, MAX_LABEL_ERROR, BOX_PADDING = 3, 10, 30.0, 20
SIZE, FOCAL = 512, 150.0  # of the rectified image
LINEAR = np.array([[FOCAL, 0, (SIZE - 1) / 2], [0, FOCAL, (SIZE - 1) / 2], [0, 0, 1]])
IMAGE_CIRCLE = 1415 / 2  # radius: 1415 px on the 2880 sensor, as the Aria tools have it
PARENTS = [0 if j % 4 == 1 else max(j - 1, 0) for j in range(21)]
SHORTEST_BONE = np.array([5.0] * 5 + [60.0, 5.0, 5.0, 5.0] * 4)
LONGEST_BONE = np.array([80.0] * 5 + [120.0, 80.0, 80.0, 80.0] * 4)
SMALLEST_ANGLE = np.array([0, 100, 90, 90, 0] + [60, 70, 80, 0] * 4)


def hand_clips(setup: Setup) -> Iterator[Clip]:
    """Yields the hands of each take: ``joints`` ``[n, 21, 3]`` mm and which are ``valid``.

    Raises:
        UsageError: The split has no labels, and no truth is given.
    """
    args, left_out = setup.args, Counter()
    if args.truth:
        truth = read_pred_json(args.truth, {"*": {"*": dict}}, hint=f"--truth {args.truth}")
    elif args.split == "test":
        raise UsageError("the test split has no labels here: give --truth FILE")
    else:
        truth, left_out = hand_truth(setup.root, args.split, args.labels, use_mask=args.mask)
    if args.write_truth:
        write_result(args.write_truth, truth, nan=True)  # as the official tools have it
    for uid, frames in truth.items():
        keys, joints, valid = [], [], []
        for frame, entry in frames.items():
            for hand in HANDS:
                if given := entry.get(f"{hand}_3d"):
                    place = (args.truth or setup.root, f"{uid}/{frame}/{hand}")
                    keys.append(f"{uid}/{frame}/{hand}_3d")
                    joints.append(check(given, Array(21, 3, finite=False), *place))
                    seen = entry.get(f"{hand}_valid_3d")
                    valid.append(check(seen, Array(21, dtype=bool), *place))
        arrays = {"joints": 1000 * np.reshape(joints, (-1, 21, 3)), "valid": np.array(valid, bool)}
        yield Clip(uid, keys, arrays)
    yield Clip("", [], {}, left_out=left_out)


def score_hands(setup: Setup, clip: Clip, pred: np.ndarray) -> dict[str, np.ndarray]:
    """Returns mean distances of each hand ``[n]``, as they are and aligned, of valid joints."""
    true, valid = clip.truth["joints"], clip.truth["valid"]
    pred = pred + true[:, :1] if setup.args.offset else pred
    aligned = align(pred, true, valid)
    away = {"MPJPE_mm": joint_errors(pred, true, valid)}
    away["PA-MPJPE_mm"] = joint_errors(aligned, true, valid)
    counted = np.maximum(np.isfinite(true).all(axis=-1) & valid, 0).sum(axis=1)
    return {name: np.nansum(x, axis=1) / counted for name, x in away.items()}


def hand_truth(root: Path, split: str, labels="manual", use_mask=True) -> tuple[dict, Counter]:
    """Returns truth by the benchmark's rules, and what was left out, by reason.

    Truth is take_uid -> frame -> ``{left,right}_hand_{3d,valid_3d,bbox}`` and ``metadata``.
    """
    truth, left_out, mask = {}, Counter(), None
    for take, labels_file in takes.takes_with(root, split, "hand", labels):
        uid, name = take["take_uid"], take["take_name"]
        if takes.scenario(take) not in HAND_SCENARIOS:
            left_out[f"takes of {takes.scenario(take)}"] += 1
            continue
        glasses, camera = aria.read_glasses(takes.camera_pose_file(root, split, uid))
        if use_mask:
            file = takes.calibration_file(root, take, f"{camera}_{aria.RGB_STREAM}")
            mask = rectified_mask(aria.read_lens(file, f"{name} (see also --no-mask)", name))
        content = read_labels(labels_file, camera)
        if labels == "manual":
            content.coords[content.views < MIN_VIEWS] = np.nan
        for k, frame in enumerate(content.frames.tolist()):
            if frame not in glasses:
                left_out["frames without a pose of the glasses"] += 1
                continue
            entry = {}
            for hand in HANDS:
                world, image = (x[k, PARTS[hand]] for x in (content.coords, content.image))
                arrays = hand_validity(world, image, glasses[frame], mask)
                for key, array in zip(("3d", "valid_3d", "bbox"), arrays, strict=True):
                    entry[f"{hand}_{key}"] = array.tolist()
            if any(any(entry[f"{hand}_valid_3d"]) for hand in HANDS):
                facts = {"take_uid": uid, "take_name": name, "frame_number": frame}
                truth.setdefault(uid, {})[str(frame)] = entry | {"metadata": facts}
            else:
                left_out["frames without a valid hand"] += 1
    return truth, left_out


def hand_validity(
    world: np.ndarray, image: np.ndarray, pose: tuple, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what the benchmark believes of one hand; all empty if it is not evaluated.

    Of joints ``[21, 3]`` in world mm, 2D labels ``[21, 2]`` in the rectified image (NaN =
    missing), the pose of the glasses and what the rectified image shows (None = all of it) come
    camera coordinates ``[21, 3]`` in metres, NaN where invalid but for the wrist, which
    predictions may be relative to; validity bool ``[21]``; and the box x1, y1, x2, y2.
    """
    world = np.where(implausible_joints(world)[:, None], np.nan, world)
    camera = world / 1000 @ pose[0].T + pose[1]
    points = (camera @ LINEAR.T)[:, :2] / np.where(camera[:, 2:] > 0, camera[:, 2:], np.nan)
    with np.errstate(invalid="ignore"):
        seen = np.where(visible(image, mask)[:, None], image, np.nan)
        near = np.linalg.norm(points - seen, axis=1) <= MAX_LABEL_ERROR
    near[0] = True  # the wrist is a large region: its 2D label is not compared
    valid = visible(points, mask) & near
    if not np.isfinite(world[0]).all() or valid.sum() < MIN_JOINTS:
        return np.zeros(0), np.zeros(0, bool), np.zeros(0)
    box = points[valid].min(axis=0) - BOX_PADDING, points[valid].max(axis=0) + BOX_PADDING
    camera[~valid & (np.arange(21) > 0)] = np.nan
    return camera, valid, np.clip(np.concatenate(box), 0, SIZE - 1)


def implausible_joints(world: np.ndarray) -> np.ndarray:
    """Returns joints whose bone length or angle no hand has, bool ``[21]``; missing ones pass."""
    bone, to_next = world[PARENTS] - world, np.roll(world, -1, axis=0) - world
    length = np.linalg.norm(bone, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (bone * to_next).sum(axis=1) / (length * np.linalg.norm(to_next, axis=1))
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    bad = (length < SHORTEST_BONE) | (length > LONGEST_BONE) | (angle < SMALLEST_ANGLE)
    return bad & (np.arange(21) > 0)


def visible(points: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Returns which pixels ``[n, 2]`` of the rectified image show something."""
    inside = ((points >= 0) & (points < SIZE)).all(axis=1)
    x, y = np.where(inside[:, None], points, 0).astype(int).T
    return inside if mask is None else inside & mask[y, x]


def rectified_mask(lens: np.ndarray) -> np.ndarray:
    """Returns where the rectified image shows something, by the lens of the recorded one."""
    y, x = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / FOCAL
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    pixels = project_fisheye624(lens, rays)
    inside = ((pixels > -0.5) & (pixels < aria.RECORDED_SIZE[0] - 0.5)).all(axis=1)
    return (inside & (np.hypot(*(pixels - lens[1:3]).T) <= IMAGE_CIRCLE)).reshape(x.shape)
