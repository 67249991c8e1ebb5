"""Mean bone lengths, averaged in one place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from posepile.joint_info import JointInfo


class BoneLengths:
    """Sums of bone lengths, from which means are taken.

    Args:
        joint_info: Skeleton with ``n`` edges.
    """

    def __init__(self, joint_info: JointInfo):
        self._edges = np.asarray(joint_info.stick_figure_edges, np.int64).reshape(-1, 2)
        self._sum = np.zeros(len(self._edges))
        self._count = np.zeros(len(self._edges), np.int64)

    def add(self, coords: np.ndarray, joints: np.ndarray | None = None) -> None:
        """Adds poses; a bone with a missing end is left out.

        Args:
            coords: ``[m, j, 3]``.
            joints: Index in the skeleton of each, ``[j]``; None = all in their order.
        """
        if coords.dtype not in (np.float32, np.float64):  # in which squares would overflow
            coords = coords.astype(np.float64)
        bones, edges = slice(None), self._edges
        if joints is not None:
            place = np.full(max(self._edges.max(initial=-1), joints.max(initial=-1)) + 1, -1)
            place[joints] = np.arange(len(joints))
            edges = place[self._edges]
            bones = np.flatnonzero((edges >= 0).all(axis=1))
            edges = edges[bones]
        vectors = coords[:, edges[:, 0]] - coords[:, edges[:, 1]]
        lengths = np.sqrt(np.einsum("nek,nek->ne", vectors, vectors))
        valid = np.isfinite(lengths)
        self._sum[bones] += np.where(valid, lengths, 0).sum(axis=0, dtype=np.float64)
        self._count[bones] += np.count_nonzero(valid, axis=0)

    def mean(self, *others: BoneLengths) -> np.ndarray | None:
        """Returns the means over what was added here and to others of the same skeleton.

        Returns:
            float32 ``[n]`` millimetres, NaN for a bone that was never complete; None where none
            was.
        """
        total = sum((other._sum for other in others), self._sum)
        count = sum((other._count for other in others), self._count)
        if not count.any():
            return None
        means = np.full(len(count), np.nan, np.float32)
        np.divide(total, count, out=means, where=count > 0, casting="same_kind")
        return means


def bone_lengths(examples: Iterable[Any], joint_info: JointInfo) -> BoneLengths:
    """Returns the bone lengths of examples.

    Args:
        examples: Examples, or a list of a finished dataset (then read as columns).
        joint_info: Their skeleton.
    """
    lengths = BoneLengths(joint_info)
    if hasattr(examples, "iter_joint_chunks"):
        for joints, coords in examples.iter_joint_chunks():
            lengths.add(coords, joints)
    else:
        for coords in stacked_coords(examples, 4096):
            lengths.add(coords)
    return lengths


def compute_mean_bones(examples: Iterable[Any], joint_info: JointInfo) -> np.ndarray | None:
    """Returns mean bone lengths over examples; see :meth:`BoneLengths.mean`."""
    return bone_lengths(examples, joint_info).mean()


def stacked_coords(examples: Iterable[Any], size: int) -> Iterator[np.ndarray]:
    """Iterates over dense ``[n, J, 3]`` world coordinates of examples, ``size`` at a time."""
    iterator = iter(examples)
    while chunk := list(itertools.islice(iterator, size)):
        coords = [c for c in (ex.get_world_coords() for ex in chunk) if c is not None]
        if coords:
            yield np.stack(coords)
