"""Ego-Exo4D: the two official protocols of the body, a corrected one, and that of hands."""

import json
from pathlib import Path

import numpy as np

from references.common import distances, procrustes
from references.entries import folder_of, mean, pairs_of

BODY = (
    "nose left-eye right-eye left-ear right-ear left-shoulder right-shoulder left-elbow "
    "right-elbow left-wrist right-wrist left-hip right-hip left-knee right-knee left-ankle "
    "right-ankle"
).split()
SIDES = ("right", "left")
# Of the pooled protocol: labels come every third frame; shorter clips do not count.
STEP, SHORTEST, FARTHEST = 3, 120, 10


def truth(root, protocol, split="val", folder="annotation"):
    """Returns by take uid and frame the joints ``[17, 3]``, NaN where none is labelled, and the
    pose of the glasses, metres; frames without that pose are left out unless the protocol pools.
    """
    if protocol == "egoexo4d.hand":
        return read_hands(Path(root) / "hand_truth.json")
    base = folder_of(root, "egoexo4d") / "annotations" / "ego_pose" / split
    out = {}
    for path in sorted((base / "body" / folder).glob("*.json")):
        cameras = json.loads((base / "camera_pose" / path.name).read_text())
        glasses = next(value for name, value in cameras.items() if "aria" in name)
        for frame, people in json.loads(path.read_text()).items():
            joints = np.full((17, 3), np.nan)
            for name, point in (people[0]["annotation3D"] if len(people) == 1 else {}).items():
                if name in BODY:
                    joints[BODY.index(name)] = [point[axis] for axis in "xyz"]
            pose = glasses["camera_extrinsics"].get(frame)
            if pose is not None or protocol == "egoexo4d.body-pooled":
                out[path.stem, int(frame)] = joints, pose and np.array(pose, float)
    return out


def read_hands(path):
    """Returns by take uid, frame and side the joints ``[21, 3]``, metres, and which are valid."""
    out = {}
    for uid, frames in json.loads(Path(path).read_text()).items():
        for frame, hands in frames.items():
            for side in SIDES:
                if len(hands[f"{side}_hand_3d"]):
                    joints = np.array(hands[f"{side}_hand_3d"], float)
                    valid = np.array(hands[f"{side}_hand_valid_3d"], bool)
                    out[uid, int(frame), side] = joints, valid
    return out


def guess(truth, rng, protocol):
    """Returns predictions near the truth, metres; all joints, also those without a label."""
    spread = 0.01 if protocol == "egoexo4d.hand" else 0.1
    return {k: np.nan_to_num(v[0]) + rng.normal(0, spread, v[0].shape) for k, v in truth.items()}


def write_predictions(path, poses, protocol, names=None):
    """Writes the submission's JSON.

    Args:
        path: The file.
        poses: By take uid and frame ``[17, 3]``; of hands by take uid, frame and side.
        protocol: Name of the protocol.
        names: Take names by uid.
    """
    takes = {}
    for key, joints in pairs_of(poses):
        points = np.asarray(joints, float).tolist()
        hand = [] if protocol != "egoexo4d.hand" else [f"{key[2]}_hand_3d"]
        takes.setdefault(key[0], []).append((str(key[1]), hand, points))
    texts = []
    for uid, frames in takes.items():
        if protocol == "egoexo4d.hand":
            hands = {}
            for frame, (name,), points in frames:
                hands.setdefault(frame, []).append(f"{json.dumps(name)}: {json.dumps(points)}")
            inner = [f'"{frame}": {{{", ".join(both)}}}' for frame, both in hands.items()]
            texts.append(f'"{uid}": {{{", ".join(inner)}}}')
        else:
            inner = [f'"{frame}": {json.dumps(points)}' for frame, _, points in frames]
            name = json.dumps(f"takes/{(names or {}).get(uid, uid)}")
            texts.append(f'"{uid}": {{"take_name": {name}, "body": {{{", ".join(inner)}}}}}')
    Path(path).write_text(f"{{{', '.join(texts)}}}")


def in_frame(protocol, joints, pose):
    """Returns joints in the frame in which errors are measured: the glasses' or the world."""
    joints = np.asarray(joints, float)
    if protocol == "egoexo4d.body-pooled":
        return joints
    return joints @ pose[:, :3].T + pose[:, 3]


def scores(truth, poses, protocol):
    """Returns the figures of a protocol."""
    if protocol == "egoexo4d.hand":
        return hand_scores(truth, poses)
    positions, velocities = [], []  # of each take
    for uid in sorted({key[0] for key in truth}):
        frames = sorted(frame for u, frame in truth if u == uid)
        if protocol == "egoexo4d.body-pooled":
            frames = long_clips(frames)
        away, faster, compared = [], [], {}
        for i, now in enumerate(frames):
            true, pose = truth[uid, now]
            true = in_frame(protocol, true, pose)
            seen = np.isfinite(true[:, 0])
            pred = in_frame(protocol, poses[uid, now], pose) if seen.any() else 0 * true
            away += list(distances(pred, true)[seen])
            if i:
                before = frames[i - 1]
                true0, pred0 = compared[before]
                both = seen & np.isfinite(true0[:, 0])
                change = distances(pred - pred0, true - true0)[both]
                per_second = factor(protocol, before, now)
                faster += [per_second * value for value in change if per_second]
            compared[now] = true, pred
        positions.append(away)
        velocities.append(faster)
    return {
        "MPJPE_cm": 100 * average(positions, protocol),
        "MPJVE_m_per_s": average(velocities, protocol),
    }


def factor(protocol, before, now):
    """Returns how often the step goes into a second; 0: no velocity across it."""
    if protocol == "egoexo4d.body-pooled":
        return 30 / (now - before) if now - before < FARTHEST else 0
    if protocol == "egoexo4d.body-corrected" and now - before != STEP:
        return 0
    return 10  # 10 Hz is taken for granted, whatever lies between


def long_clips(frames):
    """Returns the frames of clips, without a gap of more than three, that last 120 or longer."""
    clips = []
    for frame in frames:
        if clips and frame - clips[-1][-1] <= STEP:
            clips[-1].append(frame)
        else:
            clips.append([frame])
    return [f for clip in clips if clip[-1] - clip[0] + STEP >= SHORTEST for f in clip]


def average(takes, protocol):
    """Returns the mean of the takes' means, or of all."""
    if protocol == "egoexo4d.body-pooled":
        return mean([value for take in takes for value in take])
    return mean([mean(take) for take in takes if take])


def hand_scores(truth, poses):
    """Returns mean errors of hands, mm, as they are and after a similarity."""
    direct, aligned = [], []
    for key, (joints, valid) in truth.items():
        true, pred = 1000 * joints[valid], 1000 * np.asarray(poses[key], float)[valid]
        direct.append(mean(distances(pred, true)))
        aligned.append(mean(distances(procrustes(pred, true), true)))
    return {"MPJPE_mm": mean(direct), "PA-MPJPE_mm": mean(aligned)}
