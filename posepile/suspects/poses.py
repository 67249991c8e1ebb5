"""What poses alone tell: sides, bones, motion, and where up is."""

from __future__ import annotations

import numpy as np

from posepile.geometry.sides import front
from posepile.suspects.batches import Batch
from posepile.suspects.collecting import MOST, Collector

# Runs of fewer examples have no medians worth the name.
LEAST = 10
_BACKWARDS = 0.4  # share of poses that are the wrong way round
# Of short runs nearly all must be, and by more than what a single measurement is off.
FEWEST = 4
_BACKWARDS_SHORT = 0.8
_BACKWARDS_SHORT_MM = 80.0
_BACKWARDS_MM = 300.0  # how far knees, toes and nose are behind together, in one pose
_EXCHANGED = 0.5  # the way of joints with sides exchanged, of that without
_EXCHANGED_MM = 70.0
# Limbs that may be exchanged alone, below the joint that is right: they cross the body then.
_LIMBS = {"legs": ("hip", ("kne", "ank", "toe")), "arms": ("sho", ("elb", "wri"))}
_CROSSED_MM = 50.0
_CROSSED = 0.6  # share of a sequence's poses: people seldom sit with crossed legs all the time
_CROSSED_BONE_MM = 20.0  # of thighs that lead to the knee of the other side
_AT_ONCE = 8  # frames within which nobody turns round
_SOON = 30
_TWIST_DEGREES = 120.0  # between the lines through hips and shoulders
_ODD_BONE = 0.3
_ODD_BONE_STILLS = 0.8
_ODD_BONE_MM = 40.0
_UNEVEN = np.log(1.12)
_UNEVEN_MM = 25.0
_JUMP_MM = 150.0
_JUMP_MM_PER_FRAME = 25.0  # between the pictures before and after: what a fast arm may do
_UPSIDE_DOWN_MM = 300.0


def sides(batch: Batch, out: Collector) -> None:
    """Finds poses with left and right exchanged."""
    ahead = front(batch.world.astype(np.float64), batch.body.index)
    behind = -ahead / _BACKWARDS_MM
    bad = np.flatnonzero(behind > 1)
    text = "knees, toes and nose are {:.0f} mm behind where they belong"
    out.add("swapped_sides", batch.positions[bad], behind[bad], -ahead[bad], text)
    out.drop("jump", batch.positions[bad])
    _twisted(batch, out)
    for run in batch.runs(3):
        told = ahead[run]
        clear = told != 0
        share = (told[clear] < 0).mean() if clear.any() else 0.0
        long = clear.sum() >= LEAST
        limit = _BACKWARDS if long else _BACKWARDS_SHORT
        if share > limit if long else _short_backwards(told[clear], share):
            out.add_run(
                "swapped_sides", batch.positions[run], share / limit, 100 * share,
                "knees, toes or nose point backwards in {:.0f} % of the sequence's poses",
                -told,
            )  # fmt: skip
        else:
            _exchanged(batch, run, told, out)
            for name in _LIMBS:
                _limbs(batch, run, name, out)


def _short_backwards(told: np.ndarray, share: float) -> bool:
    """Returns whether a run of few examples is the wrong way round without doubt."""
    return (
        len(told) >= FEWEST
        and share >= _BACKWARDS_SHORT
        and float(np.median(told)) < -_BACKWARDS_SHORT_MM
    )


def _twisted(batch: Batch, out: Collector) -> None:
    at, world = batch.body.at, batch.world
    hips, shoulders = (at(world, "l" + j) - at(world, "r" + j) for j in ("hip", "sho"))
    spine = (at(world, "lsho") + at(world, "rsho") - at(world, "lhip") - at(world, "rhip")) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        spine = spine / np.linalg.norm(spine, axis=1, keepdims=True)
        hips, shoulders = (
            v - (v * spine).sum(axis=1, keepdims=True) * spine for v in (hips, shoulders)
        )
        wide, broad = np.linalg.norm(hips, axis=1), np.linalg.norm(shoulders, axis=1)
        cosine = (hips * shoulders).sum(axis=1) / (wide * broad)
        turned = cosine < np.cos(np.radians(_TWIST_DEGREES))
        bad = np.flatnonzero(turned & (wide > 60) & (broad > 100))
    angle = np.degrees(np.arccos(np.clip(cosine[bad], -1, 1)))
    text = "shoulders are turned against the hips by {:.0f} degrees"
    out.add("swapped_sides", batch.positions[bad], angle / _TWIST_DEGREES, angle, text)
    out.drop("jump", batch.positions[bad])


def _limbs(batch: Batch, run: slice, name: str, out: Collector) -> None:
    """Finds legs, or arms, that are exchanged while hips, or shoulders, are not.

    People cross their legs, too; but then thighs are as long as ever.
    """
    base, joints = _LIMBS[name]
    at, world = batch.body.at, batch.world[run].astype(np.float64)
    left, right = ([at(world, side + j) for j in (base, *joints)] for side in "lr")
    across = left[0] - right[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        across /= np.linalg.norm(across, axis=1, keepdims=True)
    pairs = zip(left[1:], right[1:], strict=True)
    apart = _nanmean(np.stack([((a - b) * across).sum(axis=1) for a, b in pairs], axis=1))
    crossed, known = apart < -_CROSSED_MM, np.isfinite(apart).sum()
    if known < LEAST:
        return
    share = crossed.sum() / known
    if share > _CROSSED:
        out.add_run(
            "swapped_sides", batch.positions[run], share / _CROSSED, 100 * share,
            f"{name} cross the body in {{:.0f}} % of the sequence's poses", -apart,
        )  # fmt: skip
        return
    bones = np.linalg.norm([left[0] - left[1], right[0] - right[1]], axis=-1)
    usual = _median(bones, 1)[:, None]
    off = np.abs(bones - usual).mean(axis=0)
    others = np.linalg.norm([left[0] - right[1], right[0] - left[1]], axis=-1)
    limit = max(_CROSSED_BONE_MM, 4 * float(np.nan_to_num(_median(off, 0))))
    better = np.abs(others - usual).mean(axis=0) < 0.5 * off
    bad = np.flatnonzero(crossed & better & (off > limit))
    positions = batch.positions[run][bad]
    text = f"{name} cross the body, and {base} to {joints[0]} is wrong by {{:.0f}} mm"
    out.add("swapped_sides", positions, np.minimum(MOST, off[bad] / limit), off[bad], text)
    for kind in ("odd_bone", "jump"):
        out.drop(kind, positions)


def _exchanged(batch: Batch, run: slice, ahead: np.ndarray, out: Collector) -> None:
    pairs = batch.body.pairs
    if len(pairs) < 3:
        return
    left, right = (batch.world[run][:, pairs[:, k]] for k in (0, 1))
    own = _way(left[1:], left[:-1], right[1:], right[:-1])
    other = _way(left[1:], right[:-1], right[1:], left[:-1])
    gap = np.diff(batch.frames[run])
    with np.errstate(invalid="ignore", divide="ignore"):
        flips = (other < _EXCHANGED * own) & (own > _EXCHANGED_MM) & (gap <= _SOON)
    if not flips.any():
        return
    state = np.concatenate([[0], np.cumsum(flips) % 2])
    fewer = 1 if state.mean() <= 0.5 else 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], state == fewer, [0]]).astype(int)))
    for a, b in edges.reshape(-1, 2).tolist():
        borders = [k for k in (a - 1, b - 1) if 0 <= k < len(flips) and flips[k]]
        told = ahead[a:b].sum()
        if not borders or told > 0 or (told == 0 and gap[borders].max() > _AT_ONCE):
            continue
        k = max(borders, key=lambda j: own[j] / max(other[j], 1.0))
        score = min(MOST, _EXCHANGED * own[k] / max(float(other[k]), 1.0))
        positions = batch.positions[run][a:b]
        out.add(
            "swapped_sides", positions, np.full(b - a, score), own[k],
            "joints move by {:.0f} mm to the next picture, hardly if sides are exchanged",
        )  # fmt: skip
        out.drop("jump", batch.positions[run][max(0, a - 1) : b + 1])


def _way(a, b, c, d) -> np.ndarray:
    """Returns how far joints of both sides move, the mean over those that are known."""
    with np.errstate(invalid="ignore"):
        way = np.linalg.norm(a - b, axis=-1) + np.linalg.norm(c - d, axis=-1)
    return _nanmean(way) / 2


def _nanmean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    n = known.sum(axis=-1)
    return np.where(known, values, 0).sum(axis=-1) / np.where(n > 0, n, np.nan)


def bone_lengths(batch: Batch) -> np.ndarray:
    """Returns the length of each bone, ``[n, b]`` millimetres, NaN = missing."""
    ends = batch.body.bones
    return np.linalg.norm(batch.world[:, ends[:, 0]] - batch.world[:, ends[:, 1]], axis=-1)


def bones(batch: Batch, lengths: np.ndarray, out: Collector) -> None:
    """Finds bones that are not as long as elsewhere in the sequence, or in other pictures."""
    if not lengths.shape[1]:
        return
    lengths = np.where(lengths > 0, lengths, np.nan).astype(np.float64)
    short = np.ones(len(lengths), bool)
    for run in batch.runs(LEAST):
        short[run] = False
        _odd(batch, np.arange(run.start, run.stop), lengths[run], _ODD_BONE, "sequence", out)
        _uneven(batch, run, np.log(lengths[run]), out)
    rest = np.flatnonzero(short)
    if len(rest) >= 3 * LEAST:  # people of all sizes: each at the scale of the median
        own = lengths[rest]
        scale = _median(own / _median(own, 0), 1)
        _odd(batch, rest, own / scale[:, None], _ODD_BONE_STILLS, "dataset", out)


def _odd(batch, rows, lengths, least, where, out):
    middle = _median(lengths, 0)
    off = np.abs(lengths - middle)
    spread = 1.4826 * np.nan_to_num(_median(off, 0))
    limit = np.maximum(np.maximum(_ODD_BONE_MM, 6 * spread), np.nan_to_num(least * middle))
    scores = np.nan_to_num(off / limit)
    worst = scores.argmax(axis=1)
    score = scores[np.arange(len(rows)), worst]
    bad = np.flatnonzero(score > 1)
    ratio = (lengths / middle)[bad, worst[bad]]
    names = batch.body.bone_names
    texts = [f"{_plain(names[b])} is {{:.2f}} times its median in the {where}" for b in worst[bad]]
    out.add("odd_bone", batch.positions[rows[bad]], score[bad], ratio, texts)


def _uneven(batch, run, logs, out):
    for left, right in batch.body.sides.tolist():
        ratio = logs[:, left] - logs[:, right]
        known = np.isfinite(ratio)
        if known.sum() < LEAST:
            continue
        middle = float(np.median(ratio[known]))
        mm = np.exp(np.median(logs[known, left])) - np.exp(np.median(logs[known, right]))
        if abs(middle) > _UNEVEN and abs(mm) > _UNEVEN_MM:
            names = batch.body.bone_names
            out.add_run(
                "uneven_sides", batch.positions[run], abs(middle) / _UNEVEN, np.exp(middle),
                f"{_plain(names[left])} is {{:.2f}} times {_plain(names[right])} in the sequence",
                np.abs(np.nan_to_num(ratio)),
            )  # fmt: skip


def _plain(name: str) -> str:
    """Returns a name as part of a sentence with a place for a figure."""
    return name.replace("{", "{{").replace("}", "}}")


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Returns medians of what is known, NaN without any, without a warning."""
    known = np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(known, axis), values, 0)
    return np.where(known, np.nanmedian(filled, axis=axis), np.nan)


def jumps(batch: Batch, out: Collector) -> None:
    """Finds poses, or joints, that leave the way of their neighbours in time and come back."""
    for run in batch.runs(5):
        frames, world = batch.frames[run].astype(float), batch.world[run].astype(np.float64)
        before, after = frames[1:-1] - frames[:-2], frames[2:] - frames[1:-1]
        use = (before > 0) & (after > 0) & (before + after <= 2 * _SOON)
        if use.sum() < 3:
            continue
        part = (before / np.where(before + after > 0, before + after, 1))[:, None, None]
        between = (1 - part) * world[:-2] + part * world[2:]
        way = np.linalg.norm(world[1:-1] - between, axis=-1)
        way[~use] = np.nan
        usual = _median(way[use], 0)
        most = _JUMP_MM + _JUMP_MM_PER_FRAME * (before + after)
        limit = np.maximum(most[:, None], 8 * np.nan_to_num(usual))
        scores = np.nan_to_num(way / limit)
        # Neighbours of a jump lie between it and the others: they are not the culprits.
        joint = scores.argmax(axis=1)
        score = scores[np.arange(len(scores)), joint]
        around = np.maximum(np.append(score[1:], 0), np.insert(score[:-1], 0, 0))
        bad = np.flatnonzero((score > 1) & (score >= 0.9 * around))
        names = {j: name for name, j in batch.body.index.items()}
        texts = [
            f"{_plain(names.get(int(j), 'a joint'))} is {{:.0f}} mm away from where it is between "
            "the pictures before and after"
            for j in joint[bad]
        ]
        out.add("jump", batch.positions[run][1:-1][bad], score[bad], way[bad, joint[bad]], texts)


def upside_down(batch: Batch, out: Collector) -> None:
    """Finds poses with the feet above the head, by the up vector of the camera."""
    at, world = batch.body.at, batch.world
    up = batch.cameras[:, 21:].astype(np.float64)
    if np.isfinite(up).any():
        feet = (at(world, "lank") + at(world, "rank")) / 2
        higher = ((feet - at(world, "htop", "head", "neck")) * up).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            higher = higher / np.linalg.norm(up, axis=1)
        bad = np.flatnonzero(higher > _UPSIDE_DOWN_MM)
        out.add(
            "upside_down", batch.positions[bad], higher[bad] / _UPSIDE_DOWN_MM, higher[bad],
            "by {:.0f} mm along the up vector of the world",
        )  # fmt: skip
