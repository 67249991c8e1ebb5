"""Joints of many examples at once, in the world and in pixels, some thousands at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.geometry.pictures import inside
from posepile.store import bulk
from posepile.store.cameras import camera_maker, camera_to_row, distortion_from_row
from posepile.store.column_readers import ragged_reader
from posepile.store.fields import FIELDS
from posepile.store.table import ExampleTable

# Coordinates per chunk: some ten megabytes with what is computed from them.
_VALUES = 1 << 17


@dataclass
class JointChunk:
    """Joints of some examples of a list: those of their own dataset.

    Attributes:
        positions: Where in the list the examples are, ``[n]``.
        joint_ids: Index in the skeleton of the list of each own joint, ``[j]``; -1 = left out.
        in_world: Which examples have world coordinates, bool ``[n]``.
        world: ``[n, j, 3]`` millimetres, NaN = missing.
        pixels: ``[n, j, 2]`` pixels of the stored images, NaN = missing or behind the camera; None
            where they were not asked for. Annotated ones where an example has any; those of others
            are projected, lens and all, if they have joints in the world and a camera.
        lenses: (lens model, numbers in the chunk of the examples that have it), as
            :func:`project_rows` takes them; empty where pixels were not asked for.
    """

    positions: np.ndarray
    joint_ids: np.ndarray
    in_world: np.ndarray
    world: np.ndarray
    pixels: np.ndarray | None
    lenses: list[tuple[Any, np.ndarray]]

    def present(self) -> np.ndarray:
        """Returns which joints have coordinates, in the world or annotated, bool ``[n, j]``."""
        found = ~np.isnan(self.world).any(axis=2)
        if self.pixels is not None:
            found |= ~np.isnan(self.pixels).any(axis=2)
        return found & (self.joint_ids >= 0)


def joint_chunks(
    examples: Any, pixels: bool = False, size: int | None = None
) -> Iterator[JointChunk]:
    """Iterates over the joints of all examples of a list, source by source.

    Memory is some ten megabytes, however long the list is.

    Args:
        examples: An ``ExampleList``, of one dataset or merged.
        pixels: Whether places in the pictures are wanted, too.
        size: Largest number of examples in a chunk; None = by the number of joints.
    """
    for positions, rows, source in bulk.by_source(examples):
        table = bulk.table_under(source)
        by_columns = table is not None and "joint_ids" not in table.columns
        if by_columns:
            source.check()
            joint_ids = getattr(source, "joint_ids", np.arange(table.n_joints))
        elif source is not None:
            joint_ids = np.arange(source.n_joints)
        else:
            joint_ids = np.arange(_n_joints(examples[int(i)] for i in positions))
        n = size or max(1, _VALUES // max(1, 3 * len(joint_ids)))
        order = None  # as they are stored: neighbours are read together
        if not isinstance(rows, range):
            order = np.argsort(rows, kind="stable")
        for i in range(0, len(positions), n):
            some = slice(i, i + n) if order is None else order[i : i + n]
            where, own = positions[some], rows[some]
            if by_columns:
                found = _of_table(table, bulk.as_slice(own), pixels)
            else:
                made = bulk.one_by_one(examples, own, source)
                found = _of_examples(made, len(joint_ids), pixels)
            yield JointChunk(np.asarray(where), joint_ids, *found)


def world_chunks(examples: Any, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Iterates over joint indices ``[j]`` and world coordinates ``[n, j, 3]`` of a list.

    Args:
        examples: An ``ExampleList``, of one dataset or merged.
        size: Largest number of examples in a chunk.
    """
    for chunk in joint_chunks(examples, size=size):
        kept = chunk.joint_ids >= 0
        if not chunk.in_world.any() or not kept.any():
            continue
        world = chunk.world if chunk.in_world.all() else chunk.world[chunk.in_world]
        yield chunk.joint_ids[kept], world if kept.all() else world[:, kept]


def has_places(annotated: np.ndarray) -> np.ndarray:
    """Returns which examples have annotated places of joints; others are seen by their cameras.

    >>> has_places(np.array([[[1, 2], [np.nan, 0]], [[np.nan, 3], [np.nan, 0]]])).tolist()
    [True, False]

    Args:
        annotated: ``[..., J, 2]`` pixels, NaN = missing.

    Returns:
        bool ``[...]``: whether any place is known, both coordinates of it.
    """
    return np.isfinite(annotated).all(axis=-1).any(axis=-1)


def in_picture(places: np.ndarray, imshape: np.ndarray) -> np.ndarray:
    """Returns which places of joints are in their pictures; where its size is unknown, all are.

    >>> in_picture(np.array([[-0.5, 0], [99.6, 0], [np.nan, 0]]), np.array([80, 100])).tolist()
    [True, False, False]

    Args:
        places: ``[..., 2]`` pixels, NaN = missing.
        imshape: ``[..., 2]`` height and width, which broadcast; 0 = unknown.
    """
    places, imshape = np.asarray(places), np.asarray(imshape)
    unknown = ~(imshape > 0).all(axis=-1)
    return inside(places, imshape[..., ::-1]) | (unknown & np.isfinite(places).all(axis=-1))


def _n_joints(examples):
    for example in examples:
        for coords in (_world(example), _annotated(example)):
            if coords is not None:
                return len(coords)
    return 0


def _of_table(table: ExampleTable, rows, pixels):
    columns = table.columns
    has = columns["flags"][rows]
    world = columns.get("world_coords")
    in_world = (has & FIELDS["world_coords"].flag) != 0
    if world is None:
        world = np.broadcast_to(np.float32(np.nan), (len(has), table.n_joints, 3))
    else:
        world = world[rows]
    if not pixels:
        return in_world, world, None, []
    camera, lenses = columns.get("camera"), _lenses(columns, rows)
    both = FIELDS["world_coords"].flag | FIELDS["camera"].flag
    projected = (has & both) == both if camera is not None else np.zeros(len(has), bool)
    places = columns.get("coords2d")
    if places is None:
        places = np.full((*world.shape[:2], 2), np.nan, np.float32)
    else:
        places = places[rows]
        projected &= ~has_places(places)
    if projected.any():
        found = project_rows(camera[rows], world, lenses)
        places = np.where(projected[:, None, None], found, places)
    return in_world, world, places, lenses


def _lenses(columns, rows):
    """Returns the distinct lenses of rows as (numbers, lens), and which rows have each."""
    if "distortion" not in columns:
        return []
    read = ragged_reader(columns, "distortion", "<f4")
    ptr = columns["distortion_ptr"]
    is_slice = isinstance(rows, slice)
    numbers = np.arange(rows.start, rows.stop) if is_slice else np.asarray(rows)
    with_lens = np.flatnonzero(ptr[1:][numbers] > ptr[:-1][numbers])
    found: dict[bytes, list[int]] = {}
    for i in with_lens.tolist():
        found.setdefault(read(int(numbers[i])).tobytes(), []).append(i)
    return [(distortion_from_row(np.frombuffer(k, "<f4")), np.array(v)) for k, v in found.items()]


def project_rows(cameras: np.ndarray, points: np.ndarray, lenses: list = ()) -> np.ndarray:
    """Returns points in pixels, each pose by the camera of its own row.

    >>> straight_ahead = np.array([[*np.eye(3).ravel(), 100, 0, 8, 0, 100, 8, 0, 0, 1,
    ...                             0, 0, 0, 0, -1, 0]])
    >>> project_rows(straight_ahead, np.array([[[0, 0, 1000], [10, 0, 1000], [0, 0, -5.0]]]))
    array([[[ 8.,  8.],
            [ 9.,  8.],
            [nan, nan]]])

    Args:
        cameras: ``[n, 24]`` as :func:`posepile.store.cameras.camera_to_row` gives them.
        points: ``[n, j, 3]`` millimetres.
        lenses: (lens model, numbers of the rows that have it).

    Returns:
        float64 ``[n, j, 2]``, NaN behind the camera.
    """
    # One coordinate at a time: many small products of matrices take several times longer.
    numbers = np.asarray(cameras, np.float64).T[:, :, None]
    x, y, z = (points[..., k] - numbers[18 + k] for k in range(3))
    u, v, depth = (numbers[k] * x + numbers[k + 1] * y + numbers[k + 2] * z for k in (0, 3, 6))
    depth[~(depth > 0)] = np.nan
    u /= depth
    v /= depth
    for lens, which in lenses:
        flat = np.stack([u[which], v[which]], axis=-1).reshape(-1, 2)
        there = np.isfinite(flat).all(axis=1)
        flat[there] = _bent(lens, flat[there])
        u[which], v[which] = np.moveaxis(flat.reshape(len(which), -1, 2), -1, 0)
    result = np.empty((*u.shape, 2))
    for k, row in enumerate((9, 12)):
        result[..., k] = numbers[row] * u + numbers[row + 1] * v + numbers[row + 2]
    return result


def _bent(lens, flat):
    row = np.array([*np.eye(3).ravel(), *np.eye(3).ravel(), 0, 0, 0, 0, -1, 0], np.float32)
    camera = camera_maker()(row, lens, None)
    rays = np.concatenate([flat, np.ones((len(flat), 1))], axis=1).astype(np.float32)
    return np.asarray(camera.camera_to_image(rays)) if len(rays) else flat


def _world(example):
    return example.get_world_coords() if example.KIND == "3d" else None


def _annotated(example):
    return example.coords if example.KIND == "2d" else example.coords2d


def _of_examples(examples, n_joints, pixels):
    worlds, places, in_world, lenses = [], [], [], []
    for i, example in enumerate(examples):
        world = _world(example)
        missing = np.full((n_joints, 3), np.nan, np.float32)
        in_world.append(world is not None)
        worlds.append(missing if world is None else world)
        if not pixels:
            continue
        camera = example.camera
        place = _annotated(example)
        annotated = place is not None and has_places(place)
        bent = camera is not None and camera.has_distortion()
        if bent:
            lenses.append((camera.distortion_model, np.array([i])))
        if world is not None and camera is not None and not annotated:
            lens = [(camera.distortion_model, np.array([0]))] if bent else []
            place = project_rows(camera_to_row(camera)[None], world[None], lens)[0]
        places.append(missing[:, :2] if place is None else place)
    return np.array(in_world), np.stack(worlds), np.stack(places) if pixels else None, lenses
