"""What detectors hand over, and the order in which it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posepile.suspects.batches import Sequences
from posepile.suspects.found import CODES, Suspects

# What is told of a whole sequence counts this much more than an example as far over its limit.
# Chosen; that whole sequences are surer is measured: see docs/SUSPECTS.md.
WHOLE = 1.5
# Shares of what may be nearly nothing say no more from here on.
MOST = 6.0
# The second worst sequence of a kind counts so much less than the worst, and so on: the first
# page shows every kind.
_NEXT = 0.75
# Scores are compared up to here; what is a hundred times over its limit is not worse to look at.
_WORST = 10.0
# Entries of one kind in one sequence that are kept.
_MOST = 5000
# What is odd about a pose is so in all cameras that saw it: one of them is enough at first.
_OF_POSES = ("swapped_sides", "wrong_scale", "odd_bone", "uneven_sides", "jump", "upside_down")


@dataclass
class Collector:
    """Collects what detectors find.

    Attributes:
        parts: (kind, positions, scores, values, details) of each finding.
        texts: Sentence with a place for the figure -> its number.
        dropped: (kind, positions) of what something else explains.
    """

    parts: list[tuple] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)
    dropped: list[tuple] = field(default_factory=list)

    def add(self, kind: str, positions, scores, values, texts) -> None:
        """Takes examples that are odd in one way.

        Args:
            kind: Of :data:`posepile.suspects.found.KINDS`.
            positions: In the list, ``[k]``.
            scores: ``[k]``, what was measured in multiples of its limit.
            values: ``[k]`` or one for all.
            texts: A sentence for each, or one for all, with ``{}`` for the value.
        """
        n = len(positions)
        if not n:
            return
        if isinstance(texts, str):
            texts = [texts] * n
        details = [self.texts.setdefault(text, len(self.texts)) for text in texts]
        values = np.broadcast_to(np.asarray(values, np.float32), n)
        self.parts.append(
            (CODES[kind], np.asarray(positions, np.int32), np.asarray(scores, np.float32),
             values, np.array(details, np.int32))
        )  # fmt: skip

    def add_run(self, kind: str, positions, score: float, value: float, text: str, seen=None):
        """Takes a whole sequence that is odd in one way.

        Args:
            kind: Of the kinds.
            positions: Of its examples.
            score: What was measured of the whole, in multiples of its limit.
            value: The figure.
            text: The sentence for it.
            seen: ``[k]``, how well it is seen in each example; those are shown first.
        """
        n = len(positions)
        rank = np.zeros(n)
        if seen is not None:
            rank[np.argsort(-np.nan_to_num(np.asarray(seen, float)), kind="stable")] = np.arange(n)
        self.add(kind, positions, WHOLE * score * (1 - 0.1 * rank / n), value, text)

    def drop(self, kind: str, positions) -> None:
        """Takes back what is found of a kind, now or later, where something else explains it."""
        self.dropped.append((CODES[kind], np.asarray(positions)))

    def kept(self) -> list[tuple]:
        """Returns the findings that nothing else explains."""
        for code in {code for code, _ in self.dropped}:
            explained = np.concatenate([p for c, p in self.dropped if c == code])
            for i, (own_code, own, *arrays) in enumerate(self.parts):
                if own_code == code:
                    keep = ~np.isin(own, explained)
                    self.parts[i] = (code, own[keep], *(a[keep] for a in arrays))
        self.dropped = []
        return [part for part in self.parts if len(part[1])]


def ranked(collector: Collector, sequences: Sequences, recordings: np.ndarray) -> Suspects:
    """Returns what was found, in the order in which a person looks at it.

    First comes the worst example of every sequence and kind, then the second worst of every; among
    these by score, which counts the less the more there were of the same kind.

    Args:
        collector: What was found.
        sequences: Of the list.
        recordings: Number of what several cameras recorded together, of each sequence.
    """
    n = len(sequences.codes)
    sizes = np.bincount(sequences.codes, minlength=len(sequences.names)).astype(np.int32)
    nothing = Suspects(n=n, sequence_names=tuple(sequences.names), sequence_sizes=sizes)
    parts = collector.kept()
    if not parts:
        return nothing
    kinds = np.concatenate([np.full(len(part[1]), part[0], np.int8) for part in parts])
    positions, scores, values, details = (
        np.concatenate([part[k] for part in parts]) for k in range(1, 5)
    )
    # One entry for an example and kind: the worst.
    order = np.lexsort((-scores, positions, kinds))
    first = np.ones(len(order), bool)
    a, b = order[1:], order[:-1]
    first[1:] = (positions[a] != positions[b]) | (kinds[a] != kinds[b])
    order = order[first]
    own = sequences.codes[positions]
    _, takes = np.unique(recordings, return_inverse=True)
    of_poses = np.isin(kinds, [CODES[kind] for kind in _OF_POSES])
    unit = np.where(of_poses, takes[own], len(takes) + own.astype(np.int64))
    order = order[np.lexsort((positions[order], -scores[order], unit[order], kinds[order]))]
    tier = _rank_in(kinds[order].astype(np.int64) * (2 * len(takes) + 1) + unit[order])
    order, tier = order[tier < _MOST], tier[tier < _MOST]
    again = np.lexsort((positions[order], -scores[order], kinds[order], tier))
    order, tier = order[again], tier[again]
    number = _rank_in(tier.astype(np.int64) * 128 + kinds[order])
    weight = np.minimum(scores[order], _WORST) * _NEXT ** np.minimum(number, 100)
    order = order[np.lexsort((positions[order], kinds[order], -weight, tier))]
    return Suspects(
        positions[order], kinds[order], scores[order], values[order], details[order],
        tuple(collector.texts), own[order], tuple(sequences.names), sizes, n,
    )  # fmt: skip


def _rank_in(keys: np.ndarray) -> np.ndarray:
    """Returns the how manieth of its key each is; equal keys adjoin."""
    new = np.flatnonzero(np.diff(keys)) + 1
    starts = np.concatenate([[0], new])
    lengths = np.diff(np.concatenate([starts, [len(keys)]]))
    return np.arange(len(keys)) - np.repeat(starts, lengths)
