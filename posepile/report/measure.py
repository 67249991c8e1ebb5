"""Figures of the examples of a split, by columns: sizes, distances, motion, bones, joints.

At most :data:`MOST` examples are looked at, in blocks that keep neighbours in time together, so
time and memory do not grow with the dataset. What is wrong with single examples is the business
of :mod:`posepile.suspects`, which looks at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posepile.merging.sequences import SequenceFacts, sequences_of
from posepile.store import bulk
from posepile.store.cameras import camera_to_row
from posepile.store.fields import FIELDS
from posepile.store.joint_chunks import JointChunk, joint_chunks

MOST = 1 << 19
BLOCK = 1 << 12
# Examples that are no rows of a table are built one by one.
MOST_BUILT = 4000
MOST_BONES = 80
HEADS = ("htop", "head", "nose", "neck")
FEET = ("lank", "rank", "lfoo", "rfoo", "ltoe", "rtoe", "lhee", "rhee")


@dataclass
class BoneMeans:
    """Mean length of bones of each person in each sequence that has them.

    Attributes:
        edges: ``[b, 2]`` joints of the skeleton.
        sequences: Number of the sequence of each row, ``[s]``.
        people: Index of the person in it, ``[s]``; 0 where pictures are unrelated.
        means: ``[s, b]`` millimetres, NaN where a bone is never complete.
        spread: ``[s, b]`` standard deviation within the sequence, millimetres.
    """

    edges: np.ndarray
    sequences: np.ndarray
    people: np.ndarray
    means: np.ndarray
    spread: np.ndarray


@dataclass
class Figures:
    """What was measured of a split; arrays are over the ``n`` examples looked at.

    Attributes:
        total: How many examples the split has.
        positions: Where in the list of the split those looked at are, ``[n]``.
        sequences: Number of the sequence, ``[n]``, in ``sequence_facts``.
        frames: Source frame index, ``[n]``.
        box_side: Longer side of the box, pixels, ``[n]``.
        box_shape: Width of the box over its height, ``[n]``.
        cameras: Rows as of ``camera_to_row``, ``[n, 24]``; NaN = none.
        middles: Mean of the joints in the world, ``[n, 3]`` millimetres, NaN = none.
        distance: From the camera to that, metres, ``[n]``.
        heights: From the feet to the head along the up vector, metres, ``[n]``.
        moved: How far the joint that moved most moved since the example before, mm, ``[n]``.
        gap: Frames since the example before of the person in the sequence, ``[n]``.
        n_joints: Joints with coordinates, ``[n]``.
        with_joint: How many examples have each joint, ``[J]``.
        could_have: How many examples are of a skeleton with the joint, ``[J]``.
        bones: By skeleton.
    """

    total: int
    positions: np.ndarray
    sequences: np.ndarray
    sequence_facts: list[SequenceFacts]
    frames: np.ndarray
    box_side: np.ndarray
    box_shape: np.ndarray
    cameras: np.ndarray
    middles: np.ndarray
    distance: np.ndarray
    heights: np.ndarray
    moved: np.ndarray
    gap: np.ndarray
    n_joints: np.ndarray
    with_joint: np.ndarray
    could_have: np.ndarray
    bones: list[BoneMeans] = field(default_factory=list)

    @property
    def n(self) -> int:
        """How many examples were looked at."""
        return len(self.positions)

    @property
    def in_time(self) -> np.ndarray:
        """Which sequences are frames in the order of time, bool ``[s]``."""
        return np.array([facts.in_time for facts in self.sequence_facts], bool)


def chosen_positions(n: int, most: int, block: int) -> np.ndarray:
    """Returns positions of evenly spaced blocks of a list, all of it where it is short.

    >>> chosen_positions(10, 4, 2)
    array([0, 1, 8, 9])

    Args:
        n: Length of the list.
        most: How many positions at most.
        block: How many lie together.
    """
    if n <= most:
        return np.arange(n)
    block = min(block, most)
    starts = np.linspace(0, n - block, most // block).round().astype(np.int64)
    return np.unique(starts[:, None] + np.arange(block))


def measure(examples: Any, joint_info: Any, ups: dict[str, np.ndarray]) -> Figures:
    """Measures the examples of a split.

    Args:
        examples: An ``ExampleList``.
        joint_info: Its skeleton.
        ups: Dataset -> up vector of its world, of those that have one.
    """
    slow = any(_is_slow(source) for _, _, source in bulk.by_source(examples))
    positions = chosen_positions(len(examples), MOST_BUILT if slow else MOST, BLOCK)
    if slow and len(positions) < len(examples):
        positions = chosen_positions(len(examples), MOST_BUILT, 64)
    some = examples if len(positions) == len(examples) else examples[positions]
    n, n_all = len(some), joint_info.n_joints
    boxes = np.asarray(some.column("bbox"), np.float32).reshape(n, 4)
    sequences, facts = sequences_of(some)
    blank = np.full(n, np.nan, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = boxes[:, 2] / boxes[:, 3]
    found = Figures(
        total=len(examples),
        positions=positions,
        sequences=sequences,
        sequence_facts=facts,
        frames=some.column("frame"),
        box_side=boxes[:, 2:].max(axis=1),
        box_shape=shape,
        cameras=camera_rows(some),
        middles=np.full((n, 3), np.nan, np.float32),
        distance=blank.copy(),
        heights=blank.copy(),
        moved=blank.copy(),
        gap=blank.copy(),
        n_joints=np.zeros(n, np.int32),
        with_joint=np.zeros(n_all, np.int64),
        could_have=np.zeros(n_all, np.int64),
    )
    person = some.column("person").astype(np.int64)
    track = some.column("track").astype(np.int64)
    person = np.where(track >= 0, track, person)
    bases = [name.partition("_")[0] for name in joint_info.names]
    edges = np.asarray(joint_info.stick_figure_edges, np.int64).reshape(-1, 2)
    bones: dict[bytes, list] = {}
    top = int(person.max(initial=0)) + 1
    who = sequences * np.int64(top) + np.where(found.in_time[sequences], person, 0)
    dataset, names = some.codes("dataset")
    nowhere = np.full(3, np.nan)
    up = np.array([ups.get(name, nowhere) for name in names]).reshape(-1, 3)[dataset]
    for chunk in joint_chunks(some, pixels=getattr(some[0], "KIND", "3d") == "2d" if n else False):
        _add_joints(found, chunk)
        if not chunk.in_world.any():
            continue
        world = np.asarray(chunk.world, np.float64)
        _add_places(found, chunk, world, up, bases)
        _add_motion(found, chunk, world, person)
        _add_bones(bones, who, chunk, world, edges)
    found.bones = [_bone_means(*parts, top) for parts in bones.values()]
    return found


def camera_rows(examples: Any) -> np.ndarray:
    """Returns the cameras of examples as numbers, float32 ``[n, 24]``, NaN where there is none."""
    result = np.full((len(examples), 24), np.nan, np.float32)
    for positions, rows, source in bulk.by_source(examples):
        table = bulk.table_under(source)
        where = bulk.as_slice(positions)
        if table is not None:
            if "camera" in table.columns:
                own = bulk.as_slice(rows)
                there = (table.columns["flags"][own] & FIELDS["camera"].flag) != 0
                values = np.asarray(table.columns["camera"][own], np.float32)
                result[where] = np.where(there[:, None], values, np.nan)
            continue
        for i, example in zip(positions, bulk.one_by_one(examples, rows, source), strict=True):
            if getattr(example, "camera", None) is not None:
                result[i] = camera_to_row(example.camera)
    return result


def _is_slow(source):
    table = None if source is None else bulk.table_under(source)
    return table is None or "joint_ids" in table.columns


def _add_joints(found: Figures, chunk: JointChunk) -> None:
    present, kept = chunk.present(), chunk.joint_ids >= 0
    found.n_joints[chunk.positions] = present.sum(axis=1)
    np.add.at(found.with_joint, chunk.joint_ids[kept], present[:, kept].sum(axis=0))
    np.add.at(found.could_have, chunk.joint_ids[kept], len(chunk.positions))


def _add_places(found, chunk, world, up, bases):
    there = np.isfinite(world).all(axis=2)
    n = there.sum(axis=1)
    total = np.where(there[..., None], world, 0).sum(axis=1)
    middles = np.full((len(n), 3), np.nan)
    np.divide(total, n[:, None], out=middles, where=n[:, None] > 0)
    found.middles[chunk.positions] = middles
    centers = found.cameras[chunk.positions, 18:21]
    found.distance[chunk.positions] = np.linalg.norm(middles - centers, axis=1) / 1000
    names = [bases[j] if j >= 0 else "" for j in chunk.joint_ids]
    heads = next(([names.index(h)] for h in HEADS if h in names), [])
    feet = [i for i, name in enumerate(names) if name in FEET]
    if heads and feet:
        along = np.einsum("njk,nk->nj", world, up[chunk.positions])
        low = np.where(there[:, feet].any(axis=1), _nan_mean(along[:, feet]), np.nan)
        found.heights[chunk.positions] = (along[:, heads[0]] - low) / 1000


def _nan_mean(values):
    there = np.isfinite(values)
    total = np.where(there, values, 0).sum(axis=1)
    return total / np.maximum(1, there.sum(axis=1))


def _add_motion(found, chunk, world, person):
    """Compares with the example before of the same person in the same sequence."""
    where = chunk.positions
    order = np.lexsort((found.frames[where], person[where], found.sequences[where]))
    a, b = order[:-1], order[1:]
    same = (found.sequences[where[a]] == found.sequences[where[b]]) & (
        person[where[a]] == person[where[b]]
    )
    same &= found.in_time[found.sequences[where[b]]]
    a, b = a[same], b[same]
    steps = found.frames[where[b]] - found.frames[where[a]]
    a, b, steps = a[steps > 0], b[steps > 0], steps[steps > 0]
    if not len(b):
        return
    moved = np.linalg.norm(world[b] - world[a], axis=2)
    some = np.isfinite(moved).any(axis=1)
    moved = np.where(np.isfinite(moved), moved, -1).max(axis=1)
    found.moved[where[b[some]]] = moved[some]
    found.gap[where[b[some]]] = steps[some]


def _add_bones(bones, who, chunk, world, edges):
    key = chunk.joint_ids.tobytes()
    if key not in bones:
        place = np.full(max(edges.max(initial=-1), chunk.joint_ids.max(initial=-1)) + 1, -1)
        kept = chunk.joint_ids >= 0
        place[chunk.joint_ids[kept]] = np.flatnonzero(kept)
        own = np.flatnonzero((place[edges] >= 0).all(axis=1))[:MOST_BONES]
        bones[key] = [edges[own], place[edges[own]], []]
    _, ends, parts = bones[key]
    if not len(ends):
        return
    lengths = np.linalg.norm(world[:, ends[:, 0]] - world[:, ends[:, 1]], axis=2)
    codes = who[chunk.positions]
    order = np.argsort(codes, kind="stable")
    codes, lengths = codes[order], lengths[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    there = np.isfinite(lengths)
    lengths = np.where(there, lengths, 0)
    sums = [np.add.reduceat(v, starts, axis=0) for v in (there, lengths, lengths**2)]
    parts.append((codes[starts], *sums))


def _bone_means(edges, ends, parts, top):
    if not parts:
        empty = np.zeros((0, len(edges)))
        nobody = np.zeros(0, np.int64)
        return BoneMeans(edges, nobody, nobody, empty, empty)
    codes = np.concatenate([part[0] for part in parts])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    counts, total, squares = (
        np.add.reduceat(np.concatenate([part[i] for part in parts])[order], starts, axis=0)
        for i in (1, 2, 3)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        means = total / counts
        spread = np.sqrt(np.maximum(0, squares / counts - means**2))
    return BoneMeans(edges, *np.divmod(codes[order][starts], top), means, spread)
