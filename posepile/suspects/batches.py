"""Examples of whole sequences at a time, as arrays, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.joint_info import JointInfo
from posepile.store import bulk
from posepile.store.cameras import camera_to_row
from posepile.store.fields import FIELDS
from posepile.store.joint_chunks import joint_chunks, project_rows
from posepile.store.storage import HAS_OTHER_SIZE
from posepile.suspects.body import Body, body_of

# Coordinates per batch: what is computed from them takes some hundred megabytes.
_VALUES = 1 << 20
_MOST = 16_384


@dataclass
class Batch:
    """Examples of one dataset, run by run; a run is one person of one sequence.

    Attributes:
        positions: Where in the list of the split they are, ``[n]``.
        starts: Where each run begins, and the end, ``[r + 1]``.
        sequences: Number of the sequence of each example, ``[n]``.
        frames: Number of the frame, ``[n]``, rising in a run.
        body: Where the joints are.
        world: ``[n, j, 3]`` millimetres, NaN = missing.
        pixels: ``[n, j, 2]`` in the stored images, NaN = missing: annotated or projected.
        annotated: ``[n, j, 2]`` annotated places; None where there are none beside the world's.
        cameras: ``[n, 24]`` numbers of cameras, NaN = none.
        lenses: (lens model, numbers of the examples that have it).
        boxes: ``[n, 4]`` x, y, width, height, NaN = none.
        sizes: Width and height of the images, ``[n, 2]``.
        valid: ``[n, 4]`` left, top, right and bottom of what the source picture covers.
        masks: Bytes of compressed masks, one after the other, uint8.
        mask_ends: Where those of each begin and end, ``[n, 2]``; equal = no mask.
    """

    positions: np.ndarray
    starts: np.ndarray
    sequences: np.ndarray
    frames: np.ndarray
    body: Body
    world: np.ndarray
    pixels: np.ndarray
    annotated: np.ndarray | None
    cameras: np.ndarray
    lenses: list[tuple[Any, np.ndarray]]
    boxes: np.ndarray
    sizes: np.ndarray
    valid: np.ndarray
    masks: np.ndarray
    mask_ends: np.ndarray

    def runs(self, least: int = 1) -> Iterator[slice]:
        """Iterates over the runs of at least so many examples."""
        for a, b in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            if b - a >= least:
                yield slice(a, b)

    def project(self, world: np.ndarray, run: slice = slice(None)) -> np.ndarray:
        """Returns where the cameras of examples, lens and all, see points, ``[n, j, 2]``.

        Args:
            world: ``[n, j, 3]`` millimetres, of each example of the run.
            run: Which examples; all of them if it is not given.
        """
        begin, end, _ = run.indices(len(self.frames))
        lenses = [
            (lens, some[(some >= begin) & (some < end)] - begin) for lens, some in self.lenses
        ]
        return project_rows(self.cameras[run], world, [one for one in lenses if len(one[1])])


@dataclass
class Sequences:
    """Which sequences a list has.

    Attributes:
        codes: Number of the sequence of each example, int32 ``[n]``.
        names: Their ids; two datasets may have the same.
        datasets: Number of the dataset of each sequence.
    """

    codes: np.ndarray
    names: list[str]
    datasets: np.ndarray

    @classmethod
    def of(cls, examples: Any) -> Sequences:
        """Returns those of a list."""
        own, names = bulk.text_codes(examples, "sequence")
        datasets, _ = bulk.text_codes(examples, "dataset")
        keys, codes = np.unique(
            datasets.astype(np.int64) * max(1, len(names)) + own, return_inverse=True
        )
        names = ["" if name == "unknown" else name for name in names]
        n = max(1, len(names))
        return cls(codes.astype(np.int32), [names[k] for k in keys % n], keys // n)


def batches(examples: Any, sequences: Sequences, joint_info: JointInfo) -> Iterator[Batch]:
    """Iterates over all examples of a list, whole sequences at a time.

    A sequence of more than some ten thousand examples comes in pieces.

    Args:
        examples: An ``ExampleList``.
        sequences: Of the same.
        joint_info: Its skeleton.
    """
    for where, rows, source in _by_dataset(examples, sequences):
        some = examples.take(where)
        people = bulk.column(some, "track").astype(np.int64)
        people = np.where(people < 0, bulk.column(some, "person").astype(np.int64), people)
        frames = bulk.column(some, "frame").astype(np.int64)
        own = sequences.codes[where]
        order = np.lexsort((frames, people, own))
        people, frames, own = people[order], frames[order], own[order]
        new = np.flatnonzero((np.diff(own) != 0) | (np.diff(people) != 0)) + 1
        starts = np.concatenate([[0], new, [len(order)]])
        n_joints = max(1, len(joint_info.names))
        table = bulk.table_under(source)
        if table is not None and "joint_ids" not in table.columns:
            n_joints = max(1, table.n_joints)
        room = max(64, min(_MOST, _VALUES // (3 * n_joints)))
        for a, b, cuts in _pieces(starts, room):
            yield _batch(
                some, where, rows, source, table, order[a:b], cuts, own[a:b],
                frames[a:b], joint_info,
            )  # fmt: skip


def _by_dataset(examples, sequences) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Iterates over (positions, rows, source) of one dataset each."""
    for positions, numbers, source in bulk.by_source(examples):
        where, rows = np.asarray(positions), np.asarray(numbers)
        datasets = sequences.datasets[sequences.codes[where]]
        for dataset in np.unique(datasets):
            own = datasets == dataset
            yield where[own], rows[own], source


def _pieces(starts: np.ndarray, room: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Iterates over begin, end and the starts of runs in it, of at most so many examples."""
    begin, total = 0, int(starts[-1])
    while begin < total:
        end = begin + room
        last = starts[np.searchsorted(starts, end, "right") - 1]
        end = int(last) if last > begin else min(end, total)
        inner = starts[(starts > begin) & (starts < end)]
        yield begin, end, np.concatenate([[begin], inner, [end]]) - begin
        begin = end


def _batch(some, where, rows, source, table, order, starts, own, frames, joint_info) -> Batch:
    part = some.take(order)
    world = pixels = joint_ids = None
    lenses = []
    for chunk in joint_chunks(part, pixels=True):
        if world is None:
            joint_ids = chunk.joint_ids
            world = np.full((len(order), len(chunk.joint_ids), 3), np.nan, np.float32)
            pixels = np.full((len(order), len(chunk.joint_ids), 2), np.nan, np.float32)
        world[chunk.positions] = chunk.world
        pixels[chunk.positions] = chunk.pixels
        lenses += [(lens, chunk.positions[which]) for lens, which in chunk.lenses]
    known = np.isfinite(world).all(axis=2).any(axis=0) | np.isfinite(pixels).all(axis=2).any(
        axis=0
    )
    body = body_of(joint_info, joint_ids, known)
    numbers, n = rows[order], len(order)
    annotated = None
    if table is not None:
        columns, has = table.columns, table.columns["flags"][numbers]
        cameras = np.full((n, 24), np.nan, np.float32)
        if "camera" in columns:
            seen = (has & FIELDS["camera"].flag) != 0
            cameras[seen] = columns["camera"][numbers[seen]]
        if "world_coords" in columns and "coords2d" in columns:
            annotated = columns["coords2d"][numbers]
        masks, ends = _masks_of_table(columns, numbers, has)
        polygons = _polygons_of_table(columns, numbers)
    else:
        cameras, annotated, masks, ends = _of_examples(part)
        polygons = [(i, ex.valid_poly) for i, ex in enumerate(part)]
    boxes = np.asarray(bulk.column(part, "bbox"), np.float32)
    sizes = np.asarray(bulk.column(part, "imshape"))[:, ::-1].astype(np.int64)
    valid = np.concatenate([np.full((n, 2), -0.5), sizes - 0.5], axis=1)
    for i, polygon in polygons:
        if polygon is not None and len(polygon):
            valid[i, :2] = np.maximum(valid[i, :2], np.min(polygon, axis=0))
            valid[i, 2:] = np.minimum(valid[i, 2:], np.max(polygon, axis=0))
    return Batch(
        where[order], starts, own, frames, body, world, pixels, annotated, cameras, lenses,
        boxes, sizes, valid, masks, ends,
    )  # fmt: skip


def _polygons_of_table(columns, rows):
    if "valid_poly" not in columns:
        return
    ptr = columns["valid_poly_ptr"]
    first, last = ptr[:-1][rows].astype(np.int64), ptr[1:][rows].astype(np.int64)
    for i in np.flatnonzero(last > first).tolist():
        yield i, columns["valid_poly"][first[i] : last[i]]


def _masks_of_table(columns, rows, has):
    if "mask" not in columns:
        return np.zeros(0, np.uint8), np.zeros((len(rows), 2), np.int64)
    ends = np.stack([columns["mask_ptr"][:-1][rows], columns["mask_ptr"][1:][rows]], axis=1)
    ends = ends.astype(np.int64)
    ends[(has & HAS_OTHER_SIZE) != 0] = 0
    return np.asarray(columns["mask"]), ends


def _of_examples(examples):
    n = len(examples)
    cameras = np.full((n, 24), np.nan, np.float32)
    places, pieces, ends = [], [], np.zeros((n, 2), np.int64)
    total = 0
    for i, example in enumerate(examples):
        if example.camera is not None:
            cameras[i] = camera_to_row(example.camera)
        places.append(example.coords2d if example.KIND == "3d" else None)
        mask, size = example.mask, example.imshape
        counts = mask.get("counts") if isinstance(mask, dict) else None
        if isinstance(counts, bytes) and size is not None and tuple(mask["size"]) == tuple(size):
            pieces.append(np.frombuffer(counts, np.uint8))
            ends[i] = total, total + len(counts)
            total += len(counts)
    annotated = None
    if any(place is not None for place in places):
        shape = next(np.shape(place) for place in places if place is not None)
        nothing = np.full(shape, np.nan, np.float32)
        annotated = np.stack([nothing if place is None else place for place in places])
    return cameras, annotated, np.concatenate([np.zeros(0, np.uint8), *pieces]), ends
