"""Predictions of a clip as they may be scored: millimetres, complete, finite; or one line why not.

What is wrong with predictions is for their author to repair: every message names the file, the
entry and the joint, and none advises to fetch anything.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, WorkError
from posepile.evaluation.benchmark import (
    MILLIMETRES,
    Clip,
    Predictions,
    Setup,
    Taken,
    chosen_rows,
)

ABSENT, NOT_FINITE = "without a prediction", "a number is not finite"
# Predicted and true lengths differ by less, unless units do: bodies are alike.
LARGEST_RATIO = 8.0
# Arrays of 3 x 3 matrices, and how far the product with the transpose may be from the identity.
ROTATIONS, NEARLY = ("orientations", "pred_theta_mats"), 0.05


def clip_arrays(
    setup: Setup, clip: Clip, pred: Predictions, left_out: Counter, skipped: dict[str, str]
) -> tuple[Clip, dict[str, Any]]:
    """Returns a clip and its predictions, both without the entries that cannot be scored.

    >>> from types import SimpleNamespace as Some
    >>> setup = Some(protocol=Some(misses_count=False), args=Some(allow_missing=True, units=None))
    >>> poses = np.array([[[0.0, 0, 0], [0, 1, 0]]])
    >>> taken = Taken({"joints": np.tile(poses, (2, 1, 1))}, np.array([True, False]), folder)
    >>> pred = Predictions(folder, lambda clip: taken, unit="m")
    >>> clip = Clip("walk", ["a", "b"], {"joints": np.tile(1000 * poses, (2, 1, 1))})
    >>> left_out = Counter()
    >>> kept, arrays = clip_arrays(setup, clip, pred, left_out, {})
    >>> kept.keys, arrays["joints"].tolist(), dict(left_out)
    (['a'], [[[0.0, 0.0, 0.0], [0.0, 1000.0, 0.0]]], {'without a prediction': 1})

    Args:
        setup: What is asked for; ``units`` and, where there is one, ``allow_missing`` are read.
        clip: Truth.
        pred: Predictions.
        left_out: Reason -> number of entries, counted on.
        skipped: Name of a clip of which nothing could be read -> why, added to.

    Raises:
        WorkError: An entry has no prediction.
        CorruptInput: Numbers are not finite, or in another unit than expected or stated.
    """
    taken, unit = pred.take(clip), setup.args.units
    allowed = getattr(setup.args, "allow_missing", False)  # what is submitted must be complete
    arrays = _in_millimetres(taken, pred, unit)
    if setup.protocol.misses_count:
        there = np.flatnonzero(taken.present)
        _refuse_not_finite(clip.subset(there), taken, chosen_rows(arrays, there), setup)
        _refuse_unit(clip, taken, arrays, pred, unit)
        return clip, arrays
    keep = taken.present.copy()
    if not keep.all():
        if not allowed:
            raise taken.error or _lacking(clip, taken, pred)
        if taken.error:
            skipped[clip.name] = str(taken.error)
        left_out[ABSENT] += int((~keep).sum())
    finite = _all_finite(arrays, len(clip.keys))
    if not (finite | ~keep).all():
        if not allowed:
            there = np.flatnonzero(keep)
            _refuse_not_finite(clip.subset(there), taken, chosen_rows(arrays, there), setup)
        left_out[NOT_FINITE] += int((~finite & keep).sum())
        keep &= finite
    if not keep.all():
        there = np.flatnonzero(keep)
        clip, arrays = clip.subset(there), chosen_rows(arrays, there)
    _refuse_no_rotation(clip, taken, arrays)
    _refuse_unit(clip, taken, arrays, pred, unit)
    return clip, arrays


def _in_millimetres(taken: Taken, pred: Predictions, asked: str | None) -> dict[str, Any]:
    """Returns the arrays, lengths in millimetres.

    Raises:
        CorruptInput: The file states another unit than the command line does.
    """
    if taken.unit and asked and taken.unit != asked:
        reason = f"states {taken.unit} as its unit; the command line says --units {asked}"
        raise CorruptInput(taken.file, reason, hint="leave out --units, or write the file again")
    factor = MILLIMETRES[taken.unit or asked or pred.unit]
    result = {}
    for name, values in taken.arrays.items():
        scale = factor if name in pred.lengths else 1.0
        if isinstance(values, np.ndarray):
            result[name] = values if scale == 1.0 else np.asarray(values, np.float64) * scale
        else:
            result[name] = [np.asarray(value, np.float64) * scale for value in values]
    return result


def _all_finite(arrays: dict[str, Any], n: int) -> np.ndarray:
    """Returns which entries have finite numbers only, bool ``[n]``."""
    ok = np.ones(n, bool)
    for values in arrays.values():
        if isinstance(values, np.ndarray):
            ok &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
        else:
            ok &= np.array([np.isfinite(value).all() for value in values], bool)
    return ok


def _lacking(clip: Clip, taken: Taken, pred: Predictions) -> WorkError:
    """Returns the error for entries without a prediction: the first of them and how many."""
    absent = [key for key, there in zip(clip.keys, taken.present, strict=True) if not there]
    if pred.of_clips() and len(absent) == len(clip.keys):
        text = f"{taken.file}: lacks {pred.what} {clip.name}, which is evaluated"
    else:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        what = pred.what if not pred.of_clips() else f"{clip.name}, entry"
        number = f"{len(absent)} of {len(clip.keys)} of {clip.name} that are evaluated"
        text = f"{taken.file}: lacks {what} {absent[0]}{more}, {number}"
    if pred.names and len(absent) == len(clip.keys):
        text += f" (the first that is predicted: {pred.names[0]})"
    return WorkError(f"{text}; predict all, or see --allow-missing")


def _refuse_not_finite(clip: Clip, taken: Taken, arrays: dict[str, Any], setup: Setup) -> None:
    """Refuses numbers that are not finite.

    Raises:
        CorruptInput: Names file, entry and joint of the first, and the number of entries.
    """
    ok = _all_finite(arrays, len(clip.keys))
    if ok.all():
        return
    first = int(np.flatnonzero(~ok)[0])
    for name, values in arrays.items():
        bad = np.argwhere(~np.isfinite(values[first]))
        if not len(bad):
            continue
        where = " of ".join(
            [_place_of(name, bad[0], np.ndim(values[first]), setup), clip.keys[first]]
        )
        value = np.asarray(values[first])[tuple(bad[0])]
        count = f"{int((~ok).sum())} of {len(ok)} entries of {clip.name} are like this"
        hint = "predict every joint, or see --allow-missing"
        if setup.protocol.misses_count:
            hint = "leave out people that were not found"
        raise CorruptInput(taken.file_of(name), f"{where}: found {value}; {count}", hint=hint)


def _refuse_no_rotation(clip: Clip, taken: Taken, arrays: dict[str, Any]) -> None:
    """Refuses matrices that do not turn: libraries make a rotation of most, or crash.

    Raises:
        CorruptInput: Names file, entry and number of the first matrix.
    """
    for name in (name for name in ROTATIONS if name in arrays):
        for key, matrices in zip(clip.keys, arrays[name], strict=True):
            flat = np.reshape(matrices, (-1, 3, 3))
            with np.errstate(over="ignore", invalid="ignore"):
                off = np.abs(flat @ flat.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
                right = (off <= NEARLY) & (np.linalg.det(flat) > 0)
            if not right.all():
                i = int(np.argmin(right))
                found = str(flat[i].round(3).tolist())
                reason = (
                    f"{name} {i} of {key} of {clip.name}: found {found:.90}; expected a rotation"
                )
                raise CorruptInput(taken.file_of(name), reason, hint="write rotation matrices")


def _place_of(name: str, index: np.ndarray, ndim: int, setup: Setup) -> str:
    """Returns in words which number of an entry is meant."""
    names = setup.protocol.joint_names
    if ndim >= 2 and name in ("joints", "points"):
        joint = int(index[-2])
        named = f" ({names[joint]})" if joint < len(names) else ""
        person = f"person {int(index[0])}, " if ndim == 3 else ""
        return f"{person}joint {joint}{named}"
    return f"{name} {', '.join(map(str, index.tolist()))}" if len(index) else name


def _refuse_unit(
    clip: Clip, taken: Taken, arrays: dict[str, Any], pred: Predictions, asked: str | None
) -> None:
    """Refuses poses of which the unit is likely another one, whatever the file says.

    Raises:
        CorruptInput: The median extent is far from that of the truth.
    """
    if asked:
        return
    for name in pred.lengths:
        if name not in arrays or name not in clip.truth or name == "trans":
            continue
        given, true = _extent(arrays[name]), _extent(clip.truth[name])
        if not (given > 0 and true > 0) or 1 / LARGEST_RATIO < given / true < LARGEST_RATIO:
            continue
        factor = given / true if given > true else true / given
        size = "larger" if given > true else "smaller"
        hint = "say which it is: --units m, cm or mm"
        if taken.unit:  # the command line must not contradict the file
            hint = f"write the right one, or say that it is: --units {taken.unit}"
        raise CorruptInput(
            taken.file_of(name),
            f"{name} of {clip.name}: poses are {factor:.4g} times {size} than the true ones "
            f"(median extent {given:.4g} mm, true {true:.4g} mm); the unit was taken to be "
            f"{taken.unit or pred.unit}, as {'it states' if taken.unit else 'is usual'}",
            hint=hint,
        )


def _extent(poses: Any) -> float:
    """Returns the median over poses of the RMS distance of joints from their mean; 0 for none.

    >>> _extent(np.array([[[0.0, 0, 0], [2, 0, 0]]]))
    1.0
    """
    if isinstance(poses, np.ndarray):
        flat = poses.reshape(-1, *poses.shape[-2:])
    else:
        flat = [p for people in poses for p in np.reshape(people, (-1, *np.shape(people)[-2:]))]
        flat = np.array(flat) if flat else np.zeros((0, 1, 3))
    if not flat.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        known = np.isfinite(flat).all(axis=-1)
        count = np.maximum(known.sum(axis=1), 1)[:, None, None]
        points = np.where(known[..., None], flat, 0.0)
        off = np.where(known[..., None], points - points.sum(axis=1, keepdims=True) / count, 0.0)
        spread = np.sqrt((off**2).sum(axis=(1, 2)) / count[:, 0, 0])
    spread = spread[known.sum(axis=1) > 1]
    return float(np.median(spread)) if len(spread) else 0.0
