"""Joints of one skeleton put in the order of another, with what they are worth there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.skeletons.data import (
    KIND_NAMES,
    MISSING,
    SAME,
    SIMILAR,
    Point,
    find_convention,
    likeness,
    load_convention,
)
from posepile.skeletons.meaning import Meaning, Whose, meanings


@dataclass(frozen=True, eq=False)
class JointMapping:
    """Which joint of a skeleton stands for each of ``K`` joints of another.

    ``coords[..., mapping.indices, :]`` is all that it takes where every example has the same
    joints; ``mapping.mask`` says which of the result mean something. An example of a merged set
    has the joints of its own dataset only: :meth:`of` gives the mapping of one dataset, and
    :meth:`apply` chooses for each example.

    >>> from posepile.datasets3d import get_joint_info
    >>> mapping = to_convention(get_joint_info("h36m"), "coco17", dataset="h36m")
    >>> mapping.joint_info.names[:6], mapping.mask[:6].tolist()
    (['nose', 'leye', 'reye', 'lear', 'rear', 'lsho'], [True, False, False, False, False, True])

    Attributes:
        joint_info: The joints that come out.
        names: The joints that go in, ``J``.
        alternatives: int64 ``[C, K]``, joints that go in, the most alike first; -1 = no more.
        alternative_kinds: uint8 ``[C, K]``: ``SAME``, ``SIMILAR``, or ``MISSING`` where -1.
        reasons: Why, in words, for each of ``alternatives``.
        parts: Suffix of each joint that goes in, '' where nothing is merged.
        indices: int64 ``[K]``, the first of ``alternatives``; -1 where nothing is alike.
        kinds: uint8 ``[K]``, how much those are alike.
        mask: bool ``[K]``, where there is one.
    """

    joint_info: JointInfo
    names: tuple[str, ...]
    alternatives: np.ndarray
    alternative_kinds: np.ndarray
    reasons: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]
    indices: np.ndarray = field(init=False)
    kinds: np.ndarray = field(init=False)
    mask: np.ndarray = field(init=False)

    def __post_init__(self):
        for array in (self.alternatives, self.alternative_kinds):
            array.flags.writeable = False
        for name, value in (
            ("indices", self.alternatives[0]),
            ("kinds", self.alternative_kinds[0]),
            ("mask", self.alternatives[0] >= 0),
        ):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def apply(self, coords: Any) -> np.ndarray:
        """Returns coordinates in the order of the other skeleton, NaN where there is none.

        Args:
            coords: ``[..., J, d]``, or :class:`posepile.datasets3d.SparseCoords`. NaN in any
                component = missing; of several joints alike the first is taken that is there.

        Returns:
            ``[..., K, d]``, a new array.

        Raises:
            UsageError: Another number of joints.
        """
        coords = self._dense(coords)
        if len(self.alternatives) == 1:
            result = coords[..., self.indices, :]
            result[..., ~self.mask, :] = np.nan
            return result
        indices, kinds = self.choose(coords)
        flat = coords.reshape(-1, *coords.shape[-2:])
        rows = np.arange(len(flat))[:, None]
        result = flat[rows, indices.reshape(len(flat), -1)].reshape(*kinds.shape, -1)
        result[kinds == MISSING] = np.nan
        return result

    def choose(self, coords: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns for coordinates as of :meth:`apply` which joints are taken.

        Returns:
            Indices, int64 ``[..., K]``, -1 where none is there; and kinds, uint8 ``[..., K]``: the
            mask per joint is ``kinds > 0``, or ``kinds == SAME`` for a loss that is strict.
        """
        coords = self._dense(coords)
        n, k = len(self.names), self.alternatives.shape[1]
        there = np.zeros((int(np.prod(coords.shape[:-2])), n + 1), bool)  # -1 is never there
        there[:, :n] = np.isfinite(coords).all(axis=-1).reshape(-1, n)
        there = there[:, self.alternatives]
        first, found = there.argmax(axis=1), there.any(axis=1)
        indices = np.where(found, self.alternatives[first, np.arange(k)], -1)
        kinds = np.where(found, self.alternative_kinds[first, np.arange(k)], MISSING)
        shape = (*coords.shape[:-2], k)
        return indices.reshape(shape), kinds.reshape(shape).astype(np.uint8)

    def of(self, part: str) -> JointMapping:
        """Returns the mapping of the joints with one suffix, a single one for each joint.

        Raises:
            UsageError: No joint has it.
        """
        if part not in self.parts:
            raise UsageError(
                f"suffix {part!r}: expected one of {', '.join(sorted(set(self.parts)))}"
            )
        own = np.array([p == part for p in self.parts])
        fits = own[self.alternatives] & (self.alternatives >= 0)
        first, joints = fits.argmax(axis=0), np.arange(fits.shape[1])
        found = fits.any(axis=0)
        return JointMapping(
            self.joint_info,
            self.names,
            np.where(found, self.alternatives[first, joints], -1)[None],
            np.where(found, self.alternative_kinds[first, joints], MISSING)[None].astype(np.uint8),
            (tuple(self.reasons[c][k] if found[k] else "" for k, c in enumerate(first)),),
            self.parts,
        )

    def first_only(self) -> JointMapping:
        """Returns the mapping without second choices: one indexing operation for all examples."""
        return JointMapping(
            self.joint_info,
            self.names,
            self.alternatives[:1].copy(),
            self.alternative_kinds[:1].copy(),
            self.reasons[:1],
            self.parts,
        )

    def table(self, parts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns indices and kinds of :meth:`of` for several suffixes, ``[P, K]`` each.

        For a batch in which example ``b`` is of dataset ``part[b]``,
        ``coords[np.arange(B)[:, None], indices[part]]`` is ``[B, K, d]``.
        """
        several = [self.of(part) for part in parts]
        return np.stack([m.indices for m in several]), np.stack([m.kinds for m in several])

    def rows(self) -> list[dict[str, Any]]:
        """Returns what a table of it shows, a row for each joint that comes out."""
        return [
            {
                "joint": name,
                "kind": KIND_NAMES[self.kinds[k]],
                "from": None if self.indices[k] < 0 else self.names[self.indices[k]],
                "index": int(self.indices[k]),
                "why": self.reasons[0][k],
            }
            for k, name in enumerate(self.joint_info.names)
        ]

    def _dense(self, coords: Any) -> np.ndarray:
        coords = np.asarray(coords.to_array() if hasattr(coords, "to_array") else coords)
        if coords.ndim < 2 or coords.shape[-2] != len(self.names):
            raise UsageError(
                f"coordinates: found shape {coords.shape}, expected [..., {len(self.names)}, d]"
            )
        return coords if coords.dtype.kind == "f" else coords.astype(np.float64)


def to_convention(
    joint_info: Any, name: str, similar: bool = True, *, dataset: Whose = None
) -> JointMapping:
    """Returns how joints become those of a convention, such as ``coco17`` or ``smplx55``.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> mapping = to_convention(ds, "coco17")
    >>> mapping.apply(ds.examples[TRAIN][0].world_coords).shape, mapping.kinds.tolist()
    ((17, 3), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])

    Args:
        joint_info: The joints, or a dataset with them, also one that is merged of several.
        name: The convention; :func:`posepile.skeletons.data.conventions` lists them.
        similar: Whether joints of the same place stand in where the point itself is not there.
        dataset: Whose joints they are, where the names do not tell; see
            :func:`posepile.skeletons.meaning.meanings`.

    Raises:
        UsageError: No such convention, or whose joints they are is not known.
    """
    target = load_convention(name)
    return map_joints(
        meanings(joint_info, dataset), list(target.points.values()), target.joint_info, similar
    )


def to_skeleton(
    joint_info: Any,
    other: Any,
    similar: bool = True,
    *,
    dataset: Whose = None,
    other_dataset: Whose = None,
) -> JointMapping:
    """Returns how joints become those of another skeleton, e.g. of another dataset.

    Args:
        joint_info: As of :func:`to_convention`.
        other: The joints that are wanted: as ``joint_info``, or the name of a convention.
        similar: As of :func:`to_convention`.
        dataset: As of :func:`to_convention`.
        other_dataset: Whose joints ``other`` are.
    """
    if isinstance(other, str) and find_convention(other) is not None:
        return to_convention(joint_info, other, similar, dataset=dataset)
    wanted = meanings(other, other_dataset)
    info = other if isinstance(other, JointInfo) else other.joint_info
    return map_joints(meanings(joint_info, dataset), [m.point for m in wanted], info, similar)


def map_joints(
    own: list[Meaning], wanted: list[Point], joint_info: JointInfo, similar: bool = True
) -> JointMapping:
    """Returns which of some joints stand for points that are wanted.

    Args:
        own: What the joints are that there are.
        wanted: The points, ``K``.
        joint_info: Names and edges of what comes out, ``K`` joints.
        similar: Whether joints that are only similar are taken.
    """
    columns, parts = [], {m.part for m in own}
    for point in wanted:
        found = []
        for i, meaning in enumerate(own):
            kind, rank, why = likeness(meaning.point, point)
            if kind == SAME or (similar and kind == SIMILAR):
                found.append((rank, meaning.order, i, kind, _reason(why, meaning)))
        # A second choice is for examples that lack the first: those of other datasets in a merged
        # set, and those of which one of two groups of joints is missing.
        best = {p: min([f[0] for f in found if own[f[2]].part == p], default=0) for p in parts}
        columns.append(sorted(f for f in found if f[0] <= max(1, best[own[f[2]].part])))
    depth = max([1, *map(len, columns)])
    indices = np.full((depth, len(wanted)), -1, np.int64)
    kinds = np.full((depth, len(wanted)), MISSING, np.uint8)
    reasons = [[""] * len(wanted) for _ in range(depth)]
    for k, column in enumerate(columns):
        for c, (_, _, i, kind, why) in enumerate(column):
            indices[c, k], kinds[c, k], reasons[c][k] = i, kind, why
    return JointMapping(
        joint_info,
        tuple(m.name for m in own),
        indices,
        kinds,
        tuple(map(tuple, reasons)),
        tuple(m.part for m in own),
    )


def _reason(why: str, meaning: Meaning) -> str:
    return f"{why}; {meaning.note}" if meaning.note else why
