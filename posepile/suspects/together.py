"""Examples compared with others anywhere in the split: other cameras, and the same pose again."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.store import bulk
from posepile.store.joint_chunks import joint_chunks
from posepile.suspects.batches import Batch, Sequences
from posepile.suspects.body import Body
from posepile.suspects.collecting import MOST, Collector

_DIFFER_MM = 50.0
_EXACT_MM = 2.0
_OWN_WORLDS = 0.3  # share of instants that differ: then each camera has a world of its own
_FEW = 5  # examples of a sequence
_JOINTS = 5  # joints without which equal numbers are no evidence


class Together:
    """Keeps a few numbers of every pose.

    Attributes:
        places: ``[n, 3]`` mean of the joints in the world, NaN = none.
        known: uint32 ``[n]``, a bit for each joint that ``places`` is a mean of.
        bodies: Where the joints are, of each batch.
        own_body: Which of these an example has, int32 ``[n]``.
        marks: uint64 ``[n]``, equal for equal poses seen from one place; 0 = too few joints.
    """

    def __init__(self, n: int):
        self.places = np.full((n, 3), np.nan, np.float32)
        self.known = np.zeros(n, np.uint32)
        self.bodies: list[Body] = []
        self.own_body = np.zeros(n, np.int32)
        self.marks = np.zeros(n, np.uint64)
        rng = np.random.default_rng(0)
        self._factors = rng.integers(1, 2**63, 4096, np.uint64) | np.uint64(1)

    def add(self, batch: Batch) -> None:
        """Takes the poses of a batch."""
        in_world = np.isfinite(batch.world).all(axis=2)
        known = in_world[:, batch.body.inner]
        self.places[batch.positions] = _means(batch.world[:, batch.body.inner], known)
        bits = np.uint32(1) << batch.body.inner_bits.astype(np.uint32)
        self.known[batch.positions] = (known * bits).sum(axis=1, dtype=np.uint32)
        self.own_body[batch.positions] = len(self.bodies)
        self.bodies.append(batch.body)
        has_world = in_world.sum(axis=1) >= _JOINTS
        values = np.where(has_world[:, None, None], batch.world, 0).reshape(len(in_world), -1)
        marks = self._marks(values)
        if not has_world.all():  # image coordinates alone
            flat = batch.pixels.reshape(len(in_world), -1)
            ok = np.isfinite(batch.pixels).all(axis=2).sum(axis=1) >= _JOINTS
            marks = np.where(has_world, marks, np.where(ok, self._marks(flat), np.uint64(0)))
        # Cameras whose names do not tell that they recorded together have one pose rightly.
        eyes = np.nan_to_num(batch.cameras[:, 18:21])
        self.marks[batch.positions] = np.where(marks > 0, marks ^ self._marks(eyes), marks)

    def _marks(self, values: np.ndarray) -> np.ndarray:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
        factors = self._factors[np.arange(bits.shape[1]) % len(self._factors)]
        mixed = (bits + np.uint64(1)) * factors
        return (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64) | np.uint64(1)

    def finish(self, examples: Any, sequences: Sequences, out: Collector) -> None:
        """Says which examples are unlike what they should equal, or like what they should not."""
        recordings, _ = bulk.text_codes(examples, "recording")
        datasets, _ = bulk.text_codes(examples, "dataset")
        frames = bulk.column(examples, "frame").astype(np.int64)
        people = bulk.column(examples, "track").astype(np.int64)
        keys = np.stack([datasets, recordings, frames, people], axis=1)
        self._views(examples, keys, sequences, out)
        self._duplicates(keys, out)

    def _common_places(self, examples, order, new):
        """Returns the means of the joints that all views of an instant have, ``[k, 3]``.

        Args:
            examples: The list.
            order: Positions of views, those of an instant adjoin.
            new: Which of them are the first of an instant.
        """
        places, starts = self.places[order], np.flatnonzero(new)
        sizes = np.diff(np.append(starts, len(order)))
        common = np.repeat(np.bitwise_and.reduceat(self.known[order], starts), sizes)
        # Few instants: all the others have their means already.
        fewer = np.flatnonzero(
            common != np.repeat(np.bitwise_or.reduceat(self.known[order], starts), sizes)
        )
        if not len(fewer):
            return places
        for chunk in joint_chunks(examples.take(order[fewer])):
            rows = fewer[chunk.positions]
            own_body = self.own_body[order[rows]]
            for number in np.unique(own_body):
                body, these = self.bodies[number], np.flatnonzero(own_body == number)
                bits = body.inner_bits.astype(np.uint32)
                shared = (common[rows[these], None] >> bits & np.uint32(1)) > 0
                places[rows[these]] = _means(chunk.world[these][:, body.inner], shared)
        return places

    def _views(self, examples, keys, sequences, out):
        use = np.flatnonzero((keys[:, 3] >= 0) & np.isfinite(self.places[:, 0]))
        order = use[np.lexsort(keys[use].T[::-1])]
        if len(order) < 2:
            return
        new = np.concatenate([[True], (np.diff(keys[order], axis=0) != 0).any(axis=1)])
        group = np.cumsum(new) - 1
        sizes = np.bincount(group)
        places = self._common_places(examples, order, new)
        off = np.linalg.norm(places - _medians(places, new)[group], axis=1)
        off[sizes[group] < 2] = np.nan
        for dataset in np.unique(keys[order, 0]):
            own = np.flatnonzero((keys[order, 0] == dataset) & np.isfinite(off))
            if not len(own) or (off[own] > _DIFFER_MM).mean() > _OWN_WORLDS:
                continue
            bad = own[off[own] > _DIFFER_MM]
            text = "by {:.0f} mm in the mean of the joints from the median of the cameras"
            score = off[bad] / _DIFFER_MM
            out.add("views_differ", order[bad], score, off[bad], text)
            codes = sequences.codes[order[own]]
            by_code = np.argsort(codes, kind="stable")
            cuts = np.flatnonzero(np.diff(codes[by_code])) + 1
            parts = np.split(own[by_code], cuts)
            medians = np.array([np.median(off[part]) for part in parts])
            # Most have one pose for all cameras: then little is much.
            limit = max(_EXACT_MM, min(_DIFFER_MM, 6 * float(np.median(medians))))
            for part, mm in zip(parts, medians.tolist(), strict=True):
                if mm > limit and len(part) >= _FEW:
                    text = "by {:.0f} mm in the median of the sequence from the other cameras"
                    score = min(MOST, mm / limit)
                    out.add_run("views_differ", order[part], score, mm, text, off[part])

    def _duplicates(self, keys, out):
        use = np.flatnonzero(self.marks > 0)
        if not len(use):
            return
        order = use[np.lexsort((use, self.marks[use]))]
        new = np.concatenate([[True], self.marks[order][1:] != self.marks[order][:-1]])
        group = np.cumsum(new) - 1
        first = order[np.flatnonzero(new)][group]
        other = (keys[order, :3] != keys[first, :3]).any(axis=1)
        bad = order[other]
        copies = np.bincount(group)[group][other]
        text = "{:.0f} examples of different instants have it"
        score = 1 + 0.5 * np.log2(copies)
        out.add("duplicate", bad, score, copies, text)


def _means(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns the mean of the known ones of points ``[n, j, 3]``, NaN without any."""
    n = known.sum(axis=1, keepdims=True)
    sums = np.where(known[..., None], points, 0).sum(axis=1, dtype=np.float64)
    return sums / np.where(n > 0, n, np.nan)


def _medians(values: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns the median of each group, coordinate by coordinate; groups adjoin."""
    group = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(new)))
    result = np.empty((len(starts), values.shape[1]))
    for k in range(values.shape[1]):
        ordered = values[np.lexsort((values[:, k], group)), k]
        result[:, k] = (
            ordered[starts + (sizes - 1) // 2].astype(float) + ordered[starts + sizes // 2]
        ) / 2
    return result
