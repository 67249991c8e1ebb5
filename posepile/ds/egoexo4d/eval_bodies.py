"""The truth and the figures of the body benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import BODY_INDICES, read_labels
from posepile.evaluation.benchmark import Clip, Setup
from posepile.metrics import joint_errors

FPS = 30  # of the frames that entries are named after
ENTRY_RATE = 10  # entries per second that the official script assumes, whatever the gaps
STEP, SHORTEST = 3, 120  # frames between entries of a clip; of a clip, to be evaluated pooled


def body_clips(setup: Setup) -> Iterator[Clip]:
    """Yields the takes: ``joints`` ``[n, 17, 3]`` mm, NaN = not labelled, ``frame``, ``entry``.

    Entries without a labelled joint need no prediction, but they count in the numbers of entries:
    there is no velocity across them. Where the protocol is not pooled, ``rotation`` and
    ``translation`` (mm) bring joints into the frame in which they are compared, ``--reference``.
    """
    args = setup.args
    for take, file in takes.takes_with(setup.root, args.split, "body", args.labels):
        uid, labels = take["take_uid"], read_labels(file, keep_empty=True)
        glasses: dict = {}
        if "pooled" in setup.protocol.settings:
            keep, why = in_long_clips(labels.frames), "in clips of fewer than 120 frames"
        elif "bouldering" in take["take_name"]:
            continue
        else:
            glasses, _ = aria.read_glasses(takes.camera_pose_file(setup.root, args.split, uid))
            keep = np.array([frame in glasses for frame in labels.frames.tolist()], bool)
            why = "without a pose of the glasses"
        joints = labels.coords[:, BODY_INDICES]
        labelled = np.isfinite(joints).all(axis=-1).any(axis=1)
        left_out = {why: ~keep, "without a labelled joint": keep & ~labelled}
        entry = np.cumsum(keep)
        keep &= labelled
        frames = labels.frames[keep]
        yield Clip(
            uid,
            [f"{uid}/body/{frame}" for frame in frames.tolist()],
            {"joints": joints[keep], "frame": frames, "entry": entry[keep]}
            | reference_frames(glasses, frames.tolist(), args.reference),
            {"scenario": [takes.scenario(take)] * len(frames)},
            left_out={why: int(rows.sum()) for why, rows in left_out.items() if rows.any()},
        )


def reference_frames(glasses: dict, frames: list[int], reference: str) -> dict[str, np.ndarray]:
    """Returns rotations and translations (mm) into the frame in which poses are compared.

    Args:
        glasses: Poses of the glasses by frame; none: the world.
        frames: Of the entries.
        reference: ``camera`` of each entry, that of the ``first``, or ``global``: the world.
    """
    if reference == "global" or not frames or not glasses:
        return {}
    used = [glasses[frames[0] if reference == "first" else frame] for frame in frames]
    rotations, translations = (np.array(part) for part in zip(*used, strict=True))
    return {"rotation": rotations, "translation": 1000 * translations}


def in_long_clips(frames: np.ndarray) -> np.ndarray:
    """Returns which entries are in clips that the pooled protocol evaluates, bool ``[n]``.

    >>> in_long_clips(np.array([0, 3, 9, *range(100, 220, 3)])).tolist()[:4]
    [False, False, False, True]
    """
    clip = np.cumsum(np.diff(frames, prepend=frames[:1]) > STEP)
    lengths = [np.ptp(frames[clip == c]) + STEP for c in range(clip[-1] + 1 if len(clip) else 0)]
    return np.array(lengths, int)[clip] >= SHORTEST


def score_body(setup: Setup, clip: Clip, pred: np.ndarray) -> dict[str, np.ndarray]:
    """Returns distances ``[n, 17]`` and those of velocities ``[n - 1, 17]``."""
    true, step = clip.truth["joints"], np.diff(clip.truth["frame"])
    if "rotation" in clip.truth:
        pred, true = (
            joints @ np.swapaxes(clip.truth["rotation"], 1, 2) + clip.truth["translation"][:, None]
            for joints in (pred, true)
        )
    per_second = np.full(len(step), float(ENTRY_RATE))
    if farthest := setup.protocol.settings.get("farthest"):
        per_second = np.where(step <= farthest, FPS / step, np.nan)
    per_second[np.diff(clip.truth["entry"]) > 1] = np.nan
    change = joint_errors(np.diff(pred, axis=0), np.diff(true, axis=0))
    return {
        "MPJPE_cm": joint_errors(pred, true) / 10,
        "MPJVE_m_per_s": change * per_second[:, None] / 1000,
    }
