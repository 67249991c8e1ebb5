"""The body benchmark: MPJPE and MPJVE per take, and the challenge's submission file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from posepile.ds.egoexo4d import takes
from posepile.ds.egoexo4d.annotations import BODY_INDICES, read_json, read_labels
from posepile.ds.egoexo4d.predictions import aria_poses, load_npz, pose_array
from posepile.errors import CorruptInput, WorkError
from posepile.metrics import mpjpe, mpjve

LABEL_RATE = 10  # entries per second the benchmark assumes, whatever the gaps


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
            int(f): pose_array(x, 17, f"{path}, take {uid}, frame {f}")
            for f, x in take["body"].items()
        }
    return pred


def body_submission(
    root: Path, pred: dict[str, dict[int, np.ndarray]], wanted: dict | None = None
) -> dict:
    """Returns the challenge's JSON.

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


def _mean_scores(per_take: list[dict]) -> dict:
    def mean(name: str) -> float:
        values = [t[name] for t in per_take if not np.isnan(t[name])]
        return float(np.mean(values)) if values else float("nan")

    return {
        "MPJPE_cm": mean("MPJPE_cm"),
        "MPJVE_m_per_s": mean("MPJVE_m_per_s"),
        "takes": len(per_take),
    }
