"""The ego-pose benchmarks of Ego-Exo4D: body (MPJPE, MPJVE) and hands (MPJPE, PA-MPJPE).

    python -m posepile.ds.egoexo4d.eval body --pred-path pred.json --split val
    python -m posepile.ds.egoexo4d.eval body --pred-path pred.npz --split test --submission s.json
    python -m posepile.ds.egoexo4d.eval hand --pred-path pred.json --split val [--offset]

Predictions are the challenge's JSON, or an ``.npz`` with ``image_path`` (of our archives) and
``coords3d_pred_world`` ``[n, 61, 3]`` (or 17 body joints) in millimetres; several views of one
instant are averaged. Results are printed and written as JSON beside the predictions.

Body JSON, global frame, metres: ``{take_uid: {"take_name": "takes/<name>", "body": {frame:
17x3}}}``. Hand JSON, frame of the glasses' RGB camera, metres: ``{take_uid: {frame:
{"left_hand_3d": 21x3, "right_hand_3d": 21x3}}}``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import (
    BODY_INDICES,
    JOINT_NAMES,
    PARTS,
    Labels,
    read_json,
    read_labels,
)
from posepile.ds.egoexo4d.cameras import (
    project_undistorted,
    read_camera_pose,
    split_extrinsics,
)
from posepile.errors import CorruptInput, PosePileError, UsageError, WorkError
from posepile.metrics import mpjpe, mpjve, pa_mpjpe

LABEL_RATE = 10  # entries per second the benchmark assumes, whatever the gaps
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


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        root = Path(args.data_dir) if args.data_dir else _default_root()
        lines, result = run_body(root, args) if args.what == "body" else run_hand(root, args)
        if result:
            out = args.out or args.pred_path.with_suffix(f".{args.what}_eval_{args.split}.json")
            write_json(out, result)
            lines.append(f"Written to {out}")
    except PosePileError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    print("\n".join(lines))
    return 0


# -------------------------------------------------------------------------------------------------
# Body


def run_body(root: Path, args: argparse.Namespace) -> tuple[list[str], dict]:
    """Evaluates body predictions and writes the submission if asked."""
    pred, lines = load_body_predictions(root, args.pred_path), []
    if args.submission:
        frames = read_json(args.frames) if args.frames else None
        submission = body_submission(root, pred, frames)
        write_json(args.submission, submission)
        n = sum(len(take["body"]) for take in submission.values())
        lines.append(f"Submission of {len(submission)} takes, {n} frames: {args.submission}")
    if args.split == "test":
        if not args.submission:
            raise UsageError("the test split has no labels here: give --submission FILE")
        return lines, {}
    result = evaluate_body(root, pred, args.split, args.labels, args.reference)
    for name, scores in [*result["scenarios"].items(), ("All", result["scores"])]:
        lines.append(
            f"{name}: {scores['takes']} takes, MPJPE {scores['MPJPE_cm']:.4f} cm, "
            f"MPJVE {scores['MPJVE_m_per_s']:.4f} m/s"
        )
    lines += [f"Left out: {n} frames {reason}" for reason, n in result["left_out"].items()]
    return lines, result


def evaluate_body(
    root: Path,
    pred: dict[str, dict[int, np.ndarray]],
    split: str = "val",
    labels: str = "manual",
    reference: str = "camera",
) -> dict[str, Any]:
    """MPJPE and MPJVE as the benchmark's own script computes them.

    Args:
        root: Raw folder.
        pred: take_uid -> frame -> ``[17, 3]`` metres, global frame.
        split: ``train`` or ``val``.
        labels: ``manual`` or ``automatic``.
        reference: Frame in which poses are compared: ``camera`` of the glasses at each instant,
            ``first`` (the glasses at the first instant) or ``global``. It matters for velocity.

    Returns:
        ``scores`` over all takes, ``scenarios``, ``per_take`` and ``left_out``.

    Raises:
        WorkError: A take or frame that is evaluated has no prediction.
    """
    left_out: Counter = Counter()
    per_take = {}
    folder = root / "annotations" / "ego_pose" / split / "body" / takes.LABEL_FOLDERS[labels]
    for take in read_json(root / "takes.json"):
        uid = take["take_uid"]
        if "bouldering" in take["take_name"] or not (folder / f"{uid}.json").is_file():
            continue
        truth = read_labels(folder / f"{uid}.json")
        poses, _ = aria_poses(root, split, uid)
        posed = [int(f) in poses for f in truth.frames]
        left_out["without a pose of the glasses"] += posed.count(False)
        frames = truth.frames[posed]
        true = truth.coords[posed][:, BODY_INDICES]
        if not len(frames) or not np.isfinite(true).any():
            continue
        if uid not in pred:
            raise WorkError(f"predictions: take {uid} ({take['take_name']}) is missing")
        missing = [int(f) for f in frames if int(f) not in pred[uid]]
        if missing:
            raise WorkError(
                f"predictions: take {uid} ({take['take_name']}) lacks frame {missing[0]} and "
                f"{len(missing) - 1} others of {len(frames)}"
            )
        given = np.stack([1000 * pred[uid][int(f)] for f in frames])
        given, true = (to_reference(x, frames, poses, reference) for x in (given, true))
        per_take[uid] = {
            "take_name": take["take_name"],
            "scenario": takes.scenario(take),
            "frames": len(frames),
            "MPJPE_cm": mpjpe(given, true) / 10,
            "MPJVE_m_per_s": mpjve(given, true, fps=LABEL_RATE) / 1000,
        }
    if not per_take:
        raise WorkError(f"{folder}: no {labels} body labels to evaluate with")
    scenarios = sorted({t["scenario"] for t in per_take.values()})
    return {
        "benchmark": "body",
        "split": split,
        "labels": labels,
        "reference": reference,
        "scores": _mean_scores(list(per_take.values())),
        "scenarios": {
            s: _mean_scores([t for t in per_take.values() if t["scenario"] == s])
            for s in scenarios
        },
        "per_take": per_take,
        "left_out": dict(left_out),
    }


def to_reference(coords: np.ndarray, frames: np.ndarray, poses: dict, reference: str):
    """World millimetres ``[n, J, 3]`` in the frame of the glasses, per instant or the first."""
    if reference == "global":
        return coords
    chosen = [poses[int(frames[0] if reference == "first" else f)] for f in frames]
    return np.stack(
        [x @ rotation.T + 1000 * t for x, (rotation, t) in zip(coords, chosen, strict=True)]
    )


def load_body_predictions(root: Path, path: Path) -> dict[str, dict[int, np.ndarray]]:
    """take_uid -> frame -> ``[17, 3]`` metres in the global frame."""
    if path.suffix == ".npz":
        by_instant = load_npz(root, path)
        return {
            uid: {f: (x if len(x) == 17 else x[BODY_INDICES]) / 1000 for f, x in frames.items()}
            for uid, frames in by_instant.items()
        }
    pred: dict[str, dict[int, np.ndarray]] = {}
    for uid, take in read_json(path).items():
        if not isinstance(take, dict) or not isinstance(take.get("body"), dict):
            raise CorruptInput(path, f"take {uid} has no map 'body' from frame to pose")
        pred[uid] = {
            int(f): _pose_array(x, 17, f"{path}, take {uid}, frame {f}")
            for f, x in take["body"].items()
        }
    return pred


def body_submission(
    root: Path, pred: dict[str, dict[int, np.ndarray]], wanted: dict | None = None
) -> dict:
    """The challenge's JSON.

    Args:
        root: Raw folder.
        pred: take_uid -> frame -> ``[17, 3]`` metres, global frame.
        wanted: Content of the distributed ``dummy_test.json``: exactly these frames are written.

    Raises:
        WorkError: A wanted frame is not predicted or a pose is incomplete.
    """
    names = {t["take_uid"]: t["root_dir"] for t in read_json(root / "takes.json")}
    if wanted is not None:
        frames_of = {uid: [int(f) for f in take["body"]] for uid, take in wanted.items()}
    else:
        frames_of = {uid: sorted(frames) for uid, frames in pred.items()}
    submission = {}
    for uid, frames in frames_of.items():
        if uid not in names:
            raise WorkError(f"submission: take {uid} is not in {root / 'takes.json'}")
        body = {}
        for f in frames:
            pose = pred.get(uid, {}).get(f)
            if pose is None or not np.isfinite(pose).all():
                raise WorkError(
                    f"submission: take {uid}, frame {f} is "
                    + ("not predicted" if pose is None else "predicted only in part")
                )
            body[str(f)] = pose.tolist()
        submission[uid] = {"take_name": names[uid], "body": body}
    return submission


# -------------------------------------------------------------------------------------------------
# Hands


def run_hand(root: Path, args: argparse.Namespace) -> tuple[list[str], dict]:
    """Evaluates hand predictions against given or prepared truth."""
    if args.truth:
        truth, left_out = read_json(args.truth), Counter()
    else:
        if args.split == "test":
            raise UsageError("the test split has no labels here: give --truth FILE")
        truth, left_out = hand_truth(root, args.split, args.labels, use_mask=args.mask)
    if args.write_truth:
        write_json(args.write_truth, truth, nan=True)  # as the official tools have it
    pred = load_hand_predictions(root, args.pred_path, args.split)
    result = {
        "benchmark": "hand",
        "split": args.split,
        "labels": args.labels,
        "offset": args.offset,
        "scores": evaluate_hand(pred, truth, args.offset),
        "left_out": dict(left_out),
    }
    scores = result["scores"]
    lines = [
        f"{scores['hands']} hands: MPJPE {scores['MPJPE_mm']:.4f} mm, "
        f"PA-MPJPE {scores['PA-MPJPE_mm']:.4f} mm"
    ]
    return lines + [f"Left out: {n} {reason}" for reason, n in left_out.items()], result


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
                given = 1000 * _pose_array(given, 21, where)
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


# -------------------------------------------------------------------------------------------------
# Shared


def aria_poses(root: Path, split: str, uid: str) -> tuple[dict[int, tuple], str]:
    """Poses of the glasses by frame (rotation, translation in metres), and their key."""
    path = takes.camera_pose_file(root, split, uid)
    cameras = read_camera_pose(path)
    key = aria.aria_key(cameras)
    if key is None:
        raise CorruptInput(path, "no camera of the glasses (a key with 'aria') in it")
    extrinsics = cameras[key].get("camera_extrinsics") or {}
    return {int(f): split_extrinsics(m, f"{path}, {key}, {f}") for f, m in extrinsics.items()}, key


def load_npz(root: Path, path: Path) -> dict[str, dict[int, np.ndarray]]:
    """take_uid -> frame -> mean over views of the predicted coordinates, millimetres."""
    uids = {t["take_name"]: t["take_uid"] for t in read_json(root / "takes.json")}
    try:
        with np.load(path, allow_pickle=False) as data:
            image_paths = [str(p) for p in data["image_path"]]
            coords = np.asarray(data["coords3d_pred_world"], np.float64)
    except (OSError, KeyError, ValueError) as e:
        raise CorruptInput(
            path, f"{e}; expected arrays image_path (text) and coords3d_pred_world"
        ) from None
    if coords.ndim != 3 or coords.shape[1] not in (17, len(JOINT_NAMES)) or coords.shape[2] != 3:
        raise CorruptInput(path, f"coords3d_pred_world is {coords.shape}, expected [n, 61, 3]")
    views: dict = defaultdict(lambda: defaultdict(list))
    for image_path, pose in zip(image_paths, coords, strict=True):
        parts = image_path.split("/")
        if len(parts) != 4 or parts[1] not in uids or not parts[3][:-4].isdigit():
            raise CorruptInput(path, f"{image_path} is not of a take in {root / 'takes.json'}")
        views[uids[parts[1]]][int(parts[3][:-4])].append(pose)
    return {
        uid: {f: np.mean(poses, axis=0) for f, poses in frames.items()}
        for uid, frames in views.items()
    }


def write_json(path: Path, content: dict, nan: bool = False) -> None:
    """Writes JSON beside and renames; NaN becomes null unless ``nan``."""
    path = Path(path)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        tmp.write_text(json.dumps(content if nan else _without_nan(content), indent=1) + "\n")
        tmp.replace(path)
    except OSError as e:
        tmp.unlink(missing_ok=True)
        raise WorkError(f"{path}: cannot be written: {e.strerror}") from None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _visible(points: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    size = aria.RECTIFIED_SIZE
    with np.errstate(invalid="ignore"):
        inside = ((points >= 0) & (points < size)).all(axis=1)
    if mask is not None:
        x, y = np.where(inside[:, None], points, 0).astype(int).T
        inside &= mask[y, x]
    return inside


def _mean_scores(per_take: list[dict]) -> dict:
    def mean(name: str) -> float:
        values = [t[name] for t in per_take if not np.isnan(t[name])]
        return float(np.mean(values)) if values else float("nan")

    return {
        "MPJPE_cm": mean("MPJPE_cm"),
        "MPJVE_m_per_s": mean("MPJVE_m_per_s"),
        "takes": len(per_take),
    }


def _pose_array(value: Any, n_joints: int, where: str) -> np.ndarray:
    try:
        pose = np.array(value, np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (n_joints, 3):
        raise WorkError(f"{where}: expected {n_joints} joints of 3 numbers, found {pose.shape}")
    return pose


def _default_root() -> Path:
    from posepile import paths

    return paths.raw_dir("egoexo4d")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m posepile.ds.egoexo4d.eval")
    commands = parser.add_subparsers(dest="what", required=True)
    body = commands.add_parser("body", help="17 body joints")
    hand = commands.add_parser("hand", help="2 x 21 hand joints")
    for sub in (body, hand):
        sub.add_argument(
            "--pred-path", type=Path, required=True, help="predictions, .json or .npz"
        )
        sub.add_argument("--data-dir", help="raw data; default $DATA_ROOT/egoexo4d")
        sub.add_argument("--split", choices=("train", "val", "test"), default="val")
        sub.add_argument("--labels", choices=("manual", "automatic"), default="manual")
        sub.add_argument("--out", type=Path, help="result; default beside the predictions")
    body.add_argument("--reference", choices=("camera", "first", "global"), default="camera")
    body.add_argument("--submission", type=Path, help="also write the challenge's JSON here")
    body.add_argument("--frames", type=Path, help="dummy_test.json: which frames to submit")
    hand.add_argument("--truth", type=Path, help="prepared truth instead of the labels")
    hand.add_argument("--write-truth", type=Path, help="also write the prepared truth here")
    hand.add_argument(
        "--offset", action="store_true", help="predictions are relative to the wrist"
    )
    hand.add_argument("--no-mask", dest="mask", action="store_false", help="without calibration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
