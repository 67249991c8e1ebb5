"""Labels of many examples as arrays, some thousands at a time, without building examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from posepile.export.plain import plain_further, plain_mask, sparse
from posepile.export.rows import Row, make_row
from posepile.recipe import SPLIT_NAMES
from posepile.store import bulk
from posepile.store.cameras import camera_to_row, distortion_to_row
from posepile.store.encoding import rle_with_counts
from posepile.store.example_list import as_example_list
from posepile.store.fields import FIELDS
from posepile.store.storage import CAMERA_KNOWS_SHAPE, HAS_OTHER_SIZE

CHUNK = 8192

# What stands in the JSON of an example for lack of an array of its own.
EXTRAS = ("parameters", "densepose", "fingerprint")

_WITH_EXTRAS = HAS_OTHER_SIZE | sum(FIELDS[name].flag for name in EXTRAS)

Ragged = tuple[np.ndarray, np.ndarray]  # number of values of each example; the values


def chunks(dataset: Any, size: int = CHUNK) -> Iterator[tuple[int, int, Any]]:
    """Iterates over (number of the split, position of the first, list of some examples)."""
    for split in SPLIT_NAMES:
        examples = as_example_list(dataset.examples[split])
        for start in range(0, len(examples), size):
            yield split, start, examples[start : start + size]


def joints_of(part: Any, name: str, n_dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the joints of examples that are there.

    Args:
        part: A list of examples.
        name: ``world_coords`` or ``coords2d``.
        n_dims: 3 or 2.

    Returns:
        How many joints each example has ``[n]``, their numbers in the skeleton of the list
        ``[m]``, and their coordinates ``[m, n_dims]``.
    """
    where, ids, values = [], [], []
    for positions, rows, source in bulk.by_source(part):
        table = bulk.table_under(source)
        if table is None or (name == "world_coords" and "joint_ids" in table.columns):
            for position, row in _rows_of(part, positions):
                coords = getattr(row.record, name)
                if coords is None:
                    continue
                own, found = sparse(coords)
                where.append(np.full(len(own), position))
                ids.append(own)
                values.append(found)
        elif name in table.columns:
            coords = table.columns[name][bulk.as_slice(rows)]
            placed = _placed(source, table.n_joints)
            i, j = np.nonzero(~np.isnan(coords).all(axis=-1) & (placed >= 0))
            where.append(np.asarray(positions)[i])
            ids.append(placed[j])
            values.append(coords[i, j])
    if not where:
        return np.zeros(len(part), np.int64), np.zeros(0, np.uint32), np.zeros((0, n_dims), "<f4")
    where, ids, values = np.concatenate(where), np.concatenate(ids), np.concatenate(values)
    order = np.argsort(where, kind="stable")
    return np.bincount(where, minlength=len(part)), ids[order].astype(np.uint32), values[order]


def coords_dtype(dataset: Any) -> np.dtype:
    """Returns float64 if world coordinates of a dataset need it, else float32.

    Args:
        dataset: The dataset.
    """
    for split in SPLIT_NAMES:
        examples = as_example_list(dataset.examples[split])
        for positions, _, source in bulk.by_source(examples):
            table = bulk.table_under(source)
            names = ("world_coords", "joint_rows")
            if table is not None:
                found = [table.columns[name].dtype for name in names if name in table.columns]
            else:
                coords = (row.record.world_coords for _, row in _rows_of(examples, positions))
                found = [sparse(c)[1].dtype for c in coords if c is not None]
            if any(dtype == np.float64 for dtype in found):
                return np.dtype(np.float64)
    return np.dtype(np.float32)


def _placed(source, n_joints):
    """Returns the number in the skeleton of a merged list of each joint of a table, -1 = none."""
    return getattr(source, "joint_ids", np.arange(n_joints))


def cameras_of(part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of cameras, as :func:`posepile.store.cameras.camera_to_row` gives them.

    Args:
        part: A list of examples.

    Returns:
        float32 ``[n, 24]``, NaN where an example has no camera; and whether its camera knows the
        shape of the image, bool ``[n]``.
    """
    numbers = np.full((len(part), 24), np.nan, np.float32)
    knows = np.zeros(len(part), bool)
    flag = FIELDS["camera"].flag
    for positions, rows, source in bulk.by_source(part):
        table = bulk.table_under(source)
        if table is None:
            for position, row in _rows_of(part, positions):
                camera = row.record.camera
                if camera is not None:
                    numbers[position] = camera_to_row(camera)
                    knows[position] = camera.image_shape is not None
        elif "camera" in table.columns:
            own = bulk.as_slice(rows)
            flags = table.columns["flags"][own]
            has = (flags & flag) != 0
            where = np.asarray(positions)
            numbers[where[has]] = table.columns["camera"][own][has]
            # A shape that is not the image's is among the extras.
            knows[where] = (flags & CAMERA_KNOWS_SHAPE) != 0
    return numbers, knows


def ragged_of(part: Any, name: str) -> Ragged:
    """Returns values of different length.

    Args:
        part: A list of examples.
        name: ``mask`` (compressed counts, uint8), ``valid_poly`` (float32 ``[k, 2]``) or
            ``distortion`` (float32, as in the table).
    """
    read, empty = _RAGGED[name]
    pieces = [empty] * len(part)
    for positions, rows, source in bulk.by_source(part):
        table = bulk.table_under(source)
        if table is None:
            for position, row in _rows_of(part, positions):
                value = read(row)
                if value is not None:
                    pieces[position] = value
        elif name in table.columns:
            values, ptr = table.columns[name], table.columns[f"{name}_ptr"]
            own = bulk.as_slice(rows)
            starts, ends = ptr[:-1][own].tolist(), ptr[1:][own].tolist()
            for position, start, end in zip(positions, starts, ends, strict=True):
                if end > start:
                    pieces[position] = values[start:end]
    counts = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return counts, np.concatenate([p for p in pieces if len(p)] or [empty])


def _mask(row):
    mask = row.record.mask
    return None if mask is None else np.frombuffer(rle_with_counts(mask)["counts"], np.uint8)


def _valid_poly(row):
    poly = row.record.valid_poly
    return None if poly is None else np.asarray(poly, np.float32).reshape(-1, 2)


def _distortion(row):
    camera = row.record.camera
    return None if camera is None else distortion_to_row(camera)


_RAGGED: dict[str, tuple[Callable[[Row], np.ndarray | None], np.ndarray]] = {
    "mask": (_mask, np.zeros(0, np.uint8)),
    "valid_poly": (_valid_poly, np.zeros((0, 2), np.float32)),
    "distortion": (_distortion, np.zeros(0, np.float32)),
}


def extras_of(part: Any) -> Ragged:
    """Returns what has no array of its own, as JSON in UTF-8; nothing for most examples.

    Of an example: what :func:`posepile.export.plain.plain_further` writes of it,
    ``mask_size`` where that is not the image's, ``camera_imshape`` likewise.

    Args:
        part: A list of examples.
    """
    pieces = [b""] * len(part)
    for positions, rows, source in bulk.by_source(part):
        table = bulk.table_under(source)
        asked = slice(None)
        if table is not None:
            asked = (table.columns["flags"][bulk.as_slice(rows)] & _WITH_EXTRAS) != 0
        for position, row in _rows_of(part, np.asarray(positions)[asked]):
            pieces[position] = _extras(row.record)
    counts = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return counts, np.frombuffer(b"".join(pieces), np.uint8)


def _extras(record):
    found, imshape = plain_further(record), list(record.imshape)
    for name, size in (
        ("mask_size", None if record.mask is None else plain_mask(record.mask)["size"]),
        ("camera_imshape", None if record.camera is None else record.camera.image_shape),
    ):
        if size is not None and list(size) != imshape:
            found[name] = [int(x) for x in size]
    return json.dumps(found).encode() if found else b""


def _rows_of(part, positions):
    for position in np.asarray(positions).tolist():
        yield position, make_row("", position, part[position])
