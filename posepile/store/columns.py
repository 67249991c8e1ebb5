"""Turns records into the columns of a part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import WorkError
from posepile.store import codec

if TYPE_CHECKING:
    pass
from posepile.recipe import SPLITS
from posepile.store.fields import (
    CAMERA_KNOWS_SHAPE,
    FIXED,
    HAS_2D,
    HAS_CAMERA,
    HAS_DENSEPOSE,
    HAS_MASK,
    HAS_OTHER_SIZE,
    HAS_PARAMETERS,
    HAS_POLY,
    HAS_WORLD,
    MAX_DENSE_JOINTS,
    OPTIONAL,
    PART_ONLY,
    RAGGED,
    STRINGS,
)


class ColumnBuilder:
    """Collects records of one part and turns them into columns."""

    def __init__(self):
        self.n_rows = 0
        self.n_joints: int | None = None
        self._fixed = {name: [] for name in (*FIXED, *PART_ONLY)}
        self._ragged = {name: ([0], []) for name in RAGGED}
        self._strings: dict[str, dict[str, int]] = {name: {} for name in STRINGS}

    def add(
        self,
        record: codec.Record,
        *,
        offset: int,
        size: int,
        crc32c: int,
        new_image: bool,
    ) -> None:
        """Adds a record whose image lies at the given place of the part's shard.

        Raises:
            WorkError: The record does not fit the columns; the builder is unchanged then.
        """
        row, ragged = self._checked(record)
        row.update(offset=offset, size=size, crc32c=crc32c, new_image=new_image, shard=0)
        directory, _, name = record.image_path.rpartition("/")
        ragged["name"] = name.encode()
        for column, value in (
            ("dir", directory),
            ("sequence", record.sequence),
            ("activity", record.activity),
            ("scene", record.scene),
        ):
            table = self._strings[column]
            row[column] = table.setdefault(value, len(table))
        for column, values in self._fixed.items():
            values.append(row.get(column))
        for column, (ptr, values) in self._ragged.items():
            value = ragged.get(column)
            if value is not None:
                values.append(value)
            ptr.append(ptr[-1] + (0 if value is None else len(value)))
        self.n_rows += 1

    def _checked(self, record):
        where = f"{record.image_path}, person {record.person}"
        if record.split not in SPLITS:
            raise WorkError(
                f"{where}: split {record.split!r}, expected one of {', '.join(SPLITS)}"
            )
        bbox = np.asarray(record.bbox, np.float32)
        if bbox.shape != (4,):
            raise WorkError(f"{where}: bbox of shape {bbox.shape}, expected (4,)")
        flags, extras, ragged = 0, {}, {}
        imshape = tuple(int(x) for x in record.imshape)
        row = {
            "split": SPLITS.index(record.split),
            "bbox": bbox,
            "imshape": imshape,
            "frame": int(record.frame),
            "person": int(record.person),
        }
        if record.world_coords is not None:
            coords = codec.as_compact_float(record.world_coords)
            self._check_joints(where, coords, 3)
            flags |= HAS_WORLD
            if len(coords) <= MAX_DENSE_JOINTS:
                row["world_coords"] = coords
            else:
                (index,) = np.nonzero(~np.isnan(coords).all(axis=-1))
                ragged["joint_ids"] = index.astype("<u2")
                ragged["joint_rows"] = coords[index]
        if record.coords2d is not None:
            coords = np.asarray(record.coords2d, np.float32)
            self._check_joints(where, coords, 2)
            row["coords2d"] = coords
            flags |= HAS_2D
        if record.camera is not None:
            row["camera"], distortion, camera_shape = _camera_row(record.camera, where)
            flags |= HAS_CAMERA
            if distortion is not None:
                ragged["distortion"] = distortion
            if camera_shape == imshape:
                flags |= CAMERA_KNOWS_SHAPE
            elif camera_shape is not None:
                extras["camera_imshape"] = list(camera_shape)
                flags |= HAS_OTHER_SIZE
        if record.mask is not None:
            mask = codec.rle_with_counts(record.mask)
            ragged["mask"] = mask["counts"]
            flags |= HAS_MASK
            if tuple(mask["size"]) != imshape:
                extras["mask_size"] = mask["size"]
                flags |= HAS_OTHER_SIZE
        if record.valid_poly is not None and len(record.valid_poly):
            ragged["valid_poly"] = np.asarray(record.valid_poly, "<f4").reshape(-1, 2)
            flags |= HAS_POLY
        if record.parameters is not None:
            extras["parameters"] = record.parameters
            flags |= HAS_PARAMETERS
        if record.densepose is not None:
            extras["densepose"] = list(record.densepose)
            flags |= HAS_DENSEPOSE
        if extras:
            ragged["extras"] = codec.pack_msgpack(extras)
        row["flags"] = flags
        return row, ragged

    def _check_joints(self, where, coords, n_dims):
        if coords.ndim != 2 or coords.shape[1] != n_dims:
            raise WorkError(
                f"{where}: coordinates of shape {coords.shape}, expected (J, {n_dims})"
            )
        if self.n_joints is None:
            self.n_joints = len(coords)
        if len(coords) != self.n_joints:
            raise WorkError(f"{where}: {len(coords)} joints, expected {self.n_joints}")

    def finish(self) -> dict[str, np.ndarray]:
        """Returns the columns; those that no row uses are left out."""
        columns = {}
        for name, (dtype, shape) in {**FIXED, **PART_ONLY}.items():
            columns[name] = self._fixed_column(name, dtype, shape)
        for name, (dtype, shape) in RAGGED.items():
            ptr, values = self._ragged[name]
            if name != "name" and ptr[-1] == 0:
                continue
            columns[f"{name}_ptr"] = np.array(ptr, "<u8")
            columns[name] = _join(values, dtype, shape)
        for name in STRINGS:
            blobs = [s.encode() for s in self._strings[name]]
            columns[f"{name}_strings"] = _join(blobs, "u1", ())
            columns[f"{name}_strings_ptr"] = np.cumsum([0, *map(len, blobs)]).astype("<u8")
        return {name: column for name, column in columns.items() if column is not None}

    def _fixed_column(self, name, dtype, shape):
        values = self._fixed[name]
        if name in OPTIONAL:
            filled = [v for v in values if v is not None]
            if not filled:
                return None
            if any(v.dtype == np.float64 for v in filled):
                dtype = "<f8"
            column = np.full((len(values), *filled[0].shape), np.nan, dtype)
            for i, v in enumerate(values):
                if v is not None:
                    column[i] = v
            return column
        return np.array(values, dtype).reshape(len(values), *shape)


def _camera_row(camera, where):
    row = np.empty(24, np.float32)
    row[:9] = np.asarray(camera.R).reshape(9)
    row[9:18] = np.asarray(camera.intrinsic_matrix).reshape(9)
    row[18:21] = camera.t
    row[21:] = camera.world_up
    if not np.all(np.isfinite(row)):
        raise WorkError(f"{where}: the camera has parameters that are not finite")
    model = camera.distortion_model
    distortion = None
    if model is not None and model.has_nonzero_coeffs():
        fisheye = codec.distortion_tag(model) == codec.FISHEYE
        distortion = np.append(np.float32(fisheye), np.asarray(model.coeffs)).astype("<f4")
    shape = camera.image_shape
    return row, distortion, None if shape is None else tuple(int(x) for x in shape)


def _join(values, dtype, shape):
    if not values:
        return np.zeros((0, *shape), dtype)
    if isinstance(values[0], bytes):
        return np.frombuffer(b"".join(values), dtype)
    dtype = np.result_type(np.dtype(dtype), *{v.dtype for v in values})
    return np.concatenate(values).astype(dtype).reshape(-1, *shape)


def write_columns(records: Iterable[codec.Record]) -> dict[str, np.ndarray]:
    """Turns records into columns, without images (all at offset 0 with size 0)."""
    builder = ColumnBuilder()
    for record in records:
        builder.add(record, offset=0, size=0, crc32c=0, new_image=True)
    return builder.finish()
