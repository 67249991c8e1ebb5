"""Which pictures show the same photograph, one of them perhaps cut, by their fingerprints.

All pairs of pictures are compared, in two steps. First by 63 signs of the cosine transform: those
of the one picture with those of nine windows of the other, and the other way round; that is a few
instructions per pair. Of the few that remain, the window of the one is sought, in steps of 1 % of
the sides, in which its transform is most like that of the whole other one. Transforms are compared
by the cosine of the angle between them, every coefficient weighted with its frequency (in
photographs, the higher ones are that much smaller) and then as its root, so that no single one
decides. The figures here were chosen by ``benchmarks/duplicates.py``.

A picture with nothing but a brightness that changes evenly, or a single small thing in front of
it, is like many others. So the evidence of a picture is as how many equal coefficients those of it
count, or as how many equal cells of the picture that they make up, if those are fewer. Below a
limit nothing is compared; from there on, the distance allowed rises with the evidence.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np

from posepile.imaging.fingerprints import SIDE, unpack
from posepile.shortage import require_memory_for_threads

MAX_DISTANCE = 0.2  # 1 - cosine
LARGEST_CUT = 12  # per cent of a side that may be cut off, with room for rounding
COMPARED = 12  # coefficients per axis that are compared in the second step
_SIGNS = 8  # and in the first one
_FIRST_CUTS = ((1, 1), (1, 7), (7, 1))  # per cent at both ends: the windows of the first step
MOST_SIGNS = 14  # that may differ then
_LEAST_EVIDENCE, _FULL_EVIDENCE = 4.0, 25.0
_LEAST_SHARE = 0.15  # of the distance allowed with full evidence
_ASPECT = math.log(1 / 0.9) + 0.02  # as far may logarithms of width / height differ
_QUERIES = 256
_ROOM = 1 << 20  # pairs that pass the first step at once


@dataclass
class Pictures:
    """Pictures, made ready to be compared.

    Attributes:
        numbers: Which of the fingerprints given they are; those that are no evidence are not.
        roots: int8 ``[n, 16, 16]``, signed roots of the coefficients.
        hashes: int64 ``[10, n]``: signs of nine windows and of the whole picture.
        aspects: Logarithm of width / height.
        allowed: The distance allowed by the evidence, 1 = any, float32.
    """

    numbers: np.ndarray
    roots: np.ndarray
    hashes: np.ndarray
    aspects: np.ndarray
    allowed: np.ndarray

    def __len__(self):
        return len(self.numbers)


def prepare(fingerprints: np.ndarray) -> Pictures:
    """Makes pictures ready to be compared.

    Args:
        fingerprints: uint8 ``[n, 260]``.
    """
    parts = [
        _prepare(fingerprints[i : i + 4096], i) for i in range(0, max(1, len(fingerprints)), 4096)
    ]
    numbers, roots, hashes, aspects, allowed = zip(*parts, strict=True)
    return Pictures(
        np.concatenate(numbers),
        np.concatenate(roots),
        np.ascontiguousarray(np.concatenate(hashes, axis=1)),
        np.concatenate(aspects),
        np.concatenate(allowed),
    )


def _prepare(fingerprints, first):
    sizes, coefficients = unpack(fingerprints)
    evidence = evidence_of(coefficients)
    evident = (evidence > _LEAST_EVIDENCE) & (sizes > 0).all(axis=1)
    kept = np.flatnonzero(evident)
    sizes, coefficients = sizes[kept], coefficients[kept]
    share = (evidence[kept] - _LEAST_EVIDENCE) / (_FULL_EVIDENCE - _LEAST_EVIDENCE)
    cut = [window_matrices()[left, right, :_SIGNS] for left, right in _FIRST_CUTS]
    seen = [y @ coefficients @ x.T for y in cut for x in cut]
    signs = np.stack([*seen, coefficients[:, :_SIGNS, :_SIGNS]]).reshape(10, len(kept), 64) > 0
    signs[..., 0] = False
    hashes = np.packbits(signs, axis=-1).view("<i8")[..., 0].astype(np.int64)
    roots = np.sign(coefficients) * np.rint(127 * np.sqrt(np.abs(coefficients)))
    aspects = np.log(sizes[:, 0] / sizes[:, 1]) if len(kept) else np.zeros(0)
    allowed = np.minimum(_LEAST_SHARE + (1 - _LEAST_SHARE) * share, 1)
    return kept + first, roots.astype(np.int8), hashes, aspects, allowed


def evidence_of(coefficients: np.ndarray) -> np.ndarray:
    """Returns how much there is to compare in pictures, float32 ``[n]`` from 0 to 144.

    Args:
        coefficients: float32 ``[n, 16, 16]``.
    """
    places = (np.arange(COMPARED) + 0.5) / COMPARED
    cosines = np.cos(np.pi * np.outer(np.arange(COMPARED), places))
    cosines[0] *= math.sqrt(2)
    cosines = cosines.astype(np.float32)
    even = np.where(np.arange(COMPARED) == 0, 1, math.sqrt(0.5)).astype(np.float32)
    weighted = coefficients[:, :COMPARED, :COMPARED] * weights() * np.outer(even, even)
    return np.minimum(_as_many(weighted), _as_many(cosines.T @ weighted @ cosines))


def _as_many(values):
    """As how many equal ones values count: all of them if they are equal, 1 if one is all."""
    energy = values**2
    total, squares = energy.sum(axis=(1, 2)), (energy**2).sum(axis=(1, 2))
    return total**2 / np.maximum(squares, np.finfo(np.float32).tiny)


@functools.cache
def weights() -> np.ndarray:
    """Weight of each coefficient that is compared, float32 ``[12, 12]``; 0 of the mean."""
    axis = np.arange(COMPARED)
    return np.hypot(axis, axis[:, None]).astype(np.float32)


@functools.cache
def window_matrices() -> np.ndarray:
    """The matrices that give the transform of a window from that of the whole, along one axis.

    Returns:
        float32 ``[13, 13, 12, 16]``: by per cent cut off at the beginning and at the end.
    """
    result = np.zeros((LARGEST_CUT + 1, LARGEST_CUT + 1, COMPARED, SIDE), np.float32)
    places = (np.arange(256) + 0.5) / 256
    small = np.cos(np.pi * np.outer(np.arange(COMPARED), places)) * (2 / 256)
    small[0] /= 2
    for start, end in itertools.product(range(LARGEST_CUT + 1), repeat=2):
        seen = (start + (100 - start - end) * places) / 100
        result[start, end] = small @ np.cos(np.pi * np.outer(np.arange(SIDE), seen)).T
    return result


def search(
    one: Pictures, other: Pictures, max_distance: float = MAX_DISTANCE
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Finds the pictures of the one that are in the other.

    Exact: every pair that is near enough in both steps is found. Memory is some hundred bytes per
    picture, whatever is found.

    Args:
        one: Pictures.
        other: Pictures.
        max_distance: From 0 to 1; larger ones than the default find pictures that are different.

    Yields:
        Fingerprint numbers of pictures of the one, those of the other, and the distances; rising.
    """
    if not len(one) or not len(other):
        return
    order = np.argsort(other.aspects, kind="stable")
    rows = Pictures(
        other.numbers[order],
        other.roots[order],
        np.ascontiguousarray(other.hashes[:, order]),
        other.aspects[order],
        other.allowed[order],
    )
    blocks = [(i, min(i + _QUERIES, len(one))) for i in range(0, len(one), _QUERIES)]
    n_threads = joblib.cpu_count()
    require_memory_for_threads(n_threads)
    with ThreadPoolExecutor(n_threads) as pool:
        # A few at a time, as there may be any number of pairs.
        for start in range(0, len(blocks), 4 * n_threads):
            ready = blocks[start : start + 4 * n_threads]
            for found in pool.map(lambda b: list(_search(one, rows, *b, max_distance)), ready):
                yield from found


def _search(one, rows, start, stop, max_distance):
    """Compares the pictures from ``start`` to ``stop`` with all rows."""
    from posepile.merging import alike_kernels as kernels

    aspects = one.aspects[start:stop]
    low = np.searchsorted(rows.aspects, aspects - _ASPECT)
    high = np.searchsorted(rows.aspects, aspects + _ASPECT, "right")
    pairs = np.empty((max(_ROOM, len(rows)), 2), np.int32)
    queries = np.ascontiguousarray(one.hashes[:, start:stop])
    n = kernels.candidates(queries, rows.hashes, low, high, MOST_SIGNS, pairs)
    if n > len(pairs):
        middle = (start + stop) // 2
        yield from _search(one, rows, start, middle, max_distance)
        yield from _search(one, rows, middle, stop, max_distance)
        return
    pairs = pairs[:n].copy()
    distances = np.empty(n, np.float32)
    kernels.distances(
        pairs, one.roots[start:stop], rows.roots, queries, rows.hashes,
        window_matrices(), weights(), np.array(_FIRST_CUTS), distances,
    )  # fmt: skip
    least = np.minimum(one.allowed[start:stop][pairs[:, 0]], rows.allowed[pairs[:, 1]])
    near = distances <= max_distance * least
    ours, theirs = pairs[near, 0] + start, rows.numbers[pairs[near, 1]]
    order = np.lexsort((theirs, ours))
    yield one.numbers[ours[order]], theirs[order], distances[near][order]
