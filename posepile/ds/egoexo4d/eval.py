"""The ego-pose benchmarks of Ego-Exo4D: body (MPJPE, MPJVE) and hands (MPJPE, PA-MPJPE).

    python -m posepile.ds.egoexo4d.eval body --pred-path pred.json --split val
    python -m posepile.ds.egoexo4d.eval body --pred-path pred.npz --split test --submission s.json
    python -m posepile.ds.egoexo4d.eval hand --pred-path pred.json --split val [--offset]

Predictions are the challenge's JSON, or an ``.npz`` with ``image_path`` (of our archives) and
``coords3d_pred_world`` ``[n, 61, 3]`` (or 17 body joints) in millimetres; several views of one
instant are averaged. Results are printed and written as JSON next to the

Body JSON, global frame, metres: ``{take_uid: {"take_name": "takes/<name>", "body": {frame:
17x3}}}``. Hand JSON, frame of the glasses' RGB camera, metres: ``{take_uid: {frame:
{"left_hand_3d": 21x3, "right_hand_3d": 21x3}}}``. Here a pose has its path in that JSON as key.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import BODY_INDICES, PARTS, read_labels
from posepile.errors import UsageError, WorkError
from posepile.evaluation import predictions
from posepile.evaluation.command import Report, add_options, make_parser, run
from posepile.evaluation.results import average, average_by, format_table, write_result
from posepile.formats.schema import Array, check
from posepile.geometry.fitting import project_fisheye624
from posepile.metrics import mpjpe, mpjve, pa_mpjpe

LABEL_RATE = 10  # entries per second the benchmark assumes, whatever the gaps
BODY_TABLE = ("{takes} takes", "MPJPE {MPJPE_cm:.4f} cm", "MPJVE {MPJVE_m_per_s:.4f} m/s")
HAND_TABLE = ("{hands} hands", "MPJPE {MPJPE_mm:.4f} mm", "PA-MPJPE {PA-MPJPE_mm:.4f} mm")
HANDS = ("right_hand", "left_hand")  # the benchmark's order
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


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("egoexo4d", __doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    body = commands.add_parser("body", help="17 body joints")
    hand = commands.add_parser("hand", help="2 x 21 hand joints")
    for sub, report in ((body, body_report), (hand, hand_report)):
        sub.set_defaults(report=report)
        add_options(sub, "egoexo4d", "a .json or .npz file", ("train", "val", "test"), "val")
        sub.add_argument("--labels", choices=("manual", "automatic"), default="manual")
    body.add_argument("--reference", choices=("camera", "first", "global"), default="camera")
    body.add_argument("--submission", type=Path, help="also write the challenge's JSON here")
    body.add_argument("--frames", type=Path, help="dummy_test.json: which frames to submit")
    hand.add_argument("--truth", type=Path, help="prepared truth instead of the labels")
    hand.add_argument("--write-truth", type=Path, help="also write the prepared truth here")
    hand.add_argument("--offset", action="store_true", help="predicted relative to the wrist")
    hand.add_argument("--no-mask", dest="mask", action="store_false", help="without calibration")
    return run(parser, lambda root, args: args.report(root, args), argv)


def body_report(root: Path, args: argparse.Namespace) -> Report:
    """Evaluates body predictions and writes the submission if asked."""
    if args.split == "test" and not args.submission:
        raise UsageError("the test split has no labels here: give --submission FILE")
    pred, lines, result = load_predictions(root, args.pred_path, "body"), [], {}
    if args.submission:
        submission = body_submission(root, pred, args.frames)
        write_result(args.submission, submission)
        n = sum(len(take["body"]) for take in submission.values())
        lines = [f"Submission of {len(submission)} takes, {n} frames: {args.submission}"]
    if args.split != "test":
        result = evaluate_body(root, pred, args.split, args.labels, args.reference)
        lines += format_table(result["scenarios"] | {"All": result["scores"]}, BODY_TABLE)
    return Report(result, lines, f"body_eval_{args.split}")


def evaluate_body(
    root: Path, pred: dict, split: str = "val", labels: str = "manual", reference: str = "camera"
) -> dict:
    """Returns MPJPE and MPJVE as the benchmark's own script computes them, with the settings.

    Predictions are ``<take_uid>/body/<frame>`` -> ``[17, 3]`` metres, global frame. Poses are
    compared in the frame of the glasses at each instant (``reference`` is ``camera``) or at the
    ``first``, or in the ``global`` one; it matters for velocity.
    """
    per_take, left_out = {}, Counter()
    for take, file in labelled_takes(root, split, "body", labels):
        if "bouldering" in take["take_name"]:
            continue
        uid, content = take["take_uid"], read_labels(file)
        glasses, _ = aria.read_glasses(takes.camera_pose_file(root, split, uid))
        frames = [f for f in content.frames.tolist() if f in glasses]
        left_out["without a pose of the glasses"] += len(content.frames) - len(frames)
        true = content.coords[np.isin(content.frames, frames)][:, BODY_INDICES]
        if not np.isfinite(true).any():
            continue
        keys = [f"{uid}/body/{f}" for f in frames]
        given = 1000 * predictions.stack_poses(pred, keys, 17, "predictions")
        if reference != "global":
            used = [glasses[frames[0] if reference == "first" else f] for f in frames]
            given, true = (
                np.stack([x @ r.T + 1000 * t for x, (r, t) in zip(coords, used, strict=True)])
                for coords in (given, true)
            )
        facts = {"take_name": take["take_name"], "scenario": takes.scenario(take)}
        facts |= {"frames": len(frames), "MPJPE_cm": mpjpe(given, true) / 10}
        per_take[uid] = facts | {"MPJVE_m_per_s": mpjve(given, true, fps=LABEL_RATE) / 1000}
    if not per_take:
        raise WorkError(f"{root}: no {labels} body labels of {split} to evaluate with")
    scores = {k: [t[k] for t in per_take.values()] for k in ("MPJPE_cm", "MPJVE_m_per_s")}
    scenarios = average_by([t["scenario"] for t in per_take.values()], scores, "takes")
    result = {"benchmark": "body", "split": split, "labels": labels, "reference": reference}
    result |= {"scores": average(scores, "takes"), "scenarios": scenarios, "per_take": per_take}
    return result | {"left_out": dict(left_out)}


def load_predictions(root: Path, path: Path, what: str, split: str = "") -> dict:
    """Returns predicted poses in metres by their path in the JSON, also those of an npz file."""
    if path.suffix != ".npz":
        form = {"*": {"body": {"*": None}}} if what == "body" else {"*": {"*": {"*": None}}}
        return predictions.flatten(predictions.read_pred_json(path, form), 3)
    uids = {t["take_name"]: t["take_uid"] for t in takes.read_takes(root)}

    def instant(image_path: str) -> tuple[str, int] | None:
        found = re.fullmatch(r"[^/]+/([^/]+)/[^/]+/([0-9]{1,18})\.jpg", image_path)
        return (uids[found[1]], int(found[2])) if found and found[1] in uids else None

    joints = {17: None, 61: BODY_INDICES} if what == "body" else {61: range(61)}
    poses = predictions.read_poses(path, "coords3d_pred_world", joints)
    poses = predictions.mean_by(poses, instant, path)
    if what == "body":
        return {f"{uid}/body/{frame}": pose / 1000 for (uid, frame), pose in poses.items()}
    result = {}
    for (uid, frame), coords in poses.items():
        glasses, _ = aria.read_glasses(takes.camera_pose_file(root, split, uid))
        if frame in glasses:
            camera = coords / 1000 @ glasses[frame][0].T + glasses[frame][1]
            result |= {f"{uid}/{frame}/{hand}_3d": camera[PARTS[hand]] for hand in HANDS}
    return result


def body_submission(root: Path, pred: dict, frames_file: Path | None) -> dict:
    """Returns the challenge's JSON, of exactly the frames of ``dummy_test.json`` if given."""
    names = {t["take_uid"]: t["root_dir"] for t in takes.read_takes(root)}
    wanted = pred if frames_file is None else load_predictions(root, frames_file, "body")
    paths = [key.split("/") for key in wanted]
    predictions.match(list(names), [uid for uid, *_ in paths], root / "takes.json", "take")
    poses = predictions.stack_poses(pred, list(wanted), 17, "predictions")
    submission: dict = {}
    for (uid, _, frame), pose in zip(paths, poses, strict=True):
        take = submission.setdefault(uid, {"take_name": names[uid], "body": {}})
        take["body"][frame] = pose.tolist()
    return submission


def hand_report(root: Path, args: argparse.Namespace) -> Report:
    """Evaluates hand predictions against given or prepared truth."""
    if args.truth:
        truth, left_out = predictions.read_pred_json(args.truth, {"*": {"*": dict}}), {}
    elif args.split == "test":
        raise UsageError("the test split has no labels here: give --truth FILE")
    else:
        truth, left_out = hand_truth(root, args.split, args.labels, use_mask=args.mask)
    if args.write_truth:
        write_result(args.write_truth, truth, nan=True)  # as the official tools have it
    pred = load_predictions(root, args.pred_path, "hand", args.split)
    result = {"benchmark": "hand", "split": args.split, "labels": args.labels}
    result |= {"offset": args.offset, "scores": evaluate_hand(pred, truth, args.offset)}
    lines = format_table({"All": result["scores"]}, HAND_TABLE)
    return Report({**result, "left_out": dict(left_out)}, lines, f"hand_eval_{args.split}")


def evaluate_hand(pred: dict, truth: dict, offset: bool = False) -> dict:
    """Returns MPJPE and PA-MPJPE in millimetres, means over hands.

    Predictions are ``<take_uid>/<frame>/<side>_hand_3d`` -> 21x3 metres; with ``offset`` relative
    to the wrist, where the true wrist is added. Truth is as :func:`hand_truth` returns it.
    """
    flat = predictions.flatten(truth, 3)
    keys = [f"{frame}/{hand}_3d" for frame in predictions.flatten(truth, 2) for hand in HANDS]
    wanted = [key for key in keys if flat.get(key)]
    true = 1000 * predictions.stack_poses(flat, wanted, 21, "truth", finite=False)
    given = 1000 * predictions.stack_poses(pred, wanted, 21, "predictions")
    moved = given + true[:, :1] if offset else given
    form = Array(21, dtype=bool)
    valid = [check(flat.get(k.replace("_3d", "_valid_3d")), form, "truth", k) for k in wanted]
    hands = [(p[v], t[v]) for p, t, v in zip(moved, true, valid, strict=True)]
    errors, aligned = ([metric(p, t) for p, t in hands] for metric in (mpjpe, pa_mpjpe))
    return average({"MPJPE_mm": errors, "PA-MPJPE_mm": aligned}, "hands")


def hand_truth(root: Path, split: str, labels="manual", use_mask=True) -> tuple[dict, Counter]:
    """Returns truth by the benchmark's rules, and what was left out, by reason.

    Truth is take_uid -> frame -> ``{left,right}_hand_{3d,valid_3d,bbox}`` and ``metadata``.
    """
    truth, left_out, mask = {}, Counter(), None
    for take, labels_file in labelled_takes(root, split, "hand", labels):
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


def labelled_takes(root: Path, split: str, what: str, labels: str) -> list[tuple[dict, Path]]:
    """Returns takes that have labels, with the file of labels."""
    folder = root / "annotations" / "ego_pose" / split / what / takes.LABEL_FOLDERS[labels]
    files = [(take, folder / f"{take['take_uid']}.json") for take in takes.read_takes(root)]
    return [(take, file) for take, file in files if file.is_file()]


if __name__ == "__main__":
    sys.exit(main())
