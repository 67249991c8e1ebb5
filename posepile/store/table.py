"""The example table: annotations as columns, read row by row (layout in docs/FORMAT.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import WorkError
from posepile.store import codec

if TYPE_CHECKING:
    import deltacamera
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
    OPTIONAL,
    RAGGED,
    STRINGS,
)


class ExampleTable:
    """Fields of single rows, read from columns.

    Args:
        columns: Arrays by name, as :meth:`ColumnBuilder.finish` returns them or mapped from an
            archive.
        n_joints: Number of joints, where no dense column tells.
    """

    def __init__(self, columns: dict[str, np.ndarray], n_joints: int | None = None):
        missing = [name for name in FIXED if name not in columns and name not in OPTIONAL]
        if missing:
            raise WorkError(f"example table: column {missing[0]!r} not found")
        self.columns = columns
        get = columns.get
        self.n_rows = len(columns["flags"])
        # Typed memory views give Python numbers several times faster than array indexing does.
        self._flags = memoryview(columns["flags"])
        self._address = tuple(memoryview(columns[name]) for name in ("shard", "offset", "size"))
        self._split = memoryview(columns["split"])
        self._frame = memoryview(columns["frame"])
        self._person = memoryview(columns["person"])
        self._imshape = columns["imshape"]
        self._bbox = columns["bbox"]
        self._world, self._coords2d, self._camera = (
            get("world_coords"),
            get("coords2d"),
            get("camera"),
        )
        self._ids = {name: memoryview(columns[name]) for name in STRINGS}
        self._strings = {
            name: (
                columns[f"{name}_strings"],
                memoryview(columns[f"{name}_strings_ptr"]),
            )
            for name in STRINGS
        }
        self._ragged = {
            name: (columns[name], memoryview(columns[f"{name}_ptr"]))
            for name in RAGGED
            if name in columns
        }
        self._string_cache: dict[str, dict[int, str]] = {name: {} for name in STRINGS}
        self.n_joints = n_joints
        for column in (self._world, self._coords2d):
            if column is not None:
                self.n_joints = column.shape[1]

    def __len__(self):
        return self.n_rows

    def split_ranges(self) -> dict[str, range | np.ndarray]:
        """Returns which rows each split has: a range where they lie together."""
        split = self.columns["split"]
        result = {}
        for i, name in enumerate(SPLITS):
            start, stop = np.searchsorted(split, [i, i + 1]) if self._is_sorted else (0, 0)
            result[name] = (
                range(int(start), int(stop)) if self._is_sorted else np.flatnonzero(split == i)
            )
        return result

    @property
    def _is_sorted(self):
        split = self.columns["split"]
        return bool(np.all(split[1:] >= split[:-1]))

    def image_address(self, row: int) -> tuple[int, int, int]:
        """Returns shard, offset and size of a row's image."""
        shard, offset, size = self._address
        return shard[row], offset[row], size[row]

    def split(self, row: int) -> str:
        """Returns the split's name."""
        return SPLITS[self._split[row]]

    def image_path(self, row: int) -> str:
        """Returns the image path."""
        values, ptr = self._ragged["name"]
        name = values[ptr[row] : ptr[row + 1]].tobytes().decode()
        directory = self._string("dir", row)
        return f"{directory}/{name}" if directory else name

    def path(self, row: int) -> str:
        """Returns the key of the row's entry."""
        return f"{self.split(row)}/{self.image_path(row)}_{self._person[row]:02d}.msgpack"

    def bbox(self, row: int) -> np.ndarray:
        """Returns the box, writable."""
        return self._bbox[row].copy()

    def world_coords(self, row: int) -> np.ndarray | Any | None:
        """Returns ``[J, 3]``, writable; sparse coordinates for large merged skeletons."""
        if not self._flags[row] & HAS_WORLD:
            return None
        if self._world is not None:
            return self._world[row].copy()
        return self._sparse_coords(row)

    def _sparse_coords(self, row):
        from posepile.datasets3d import SparseCoords

        ids = self._ragged_value("joint_ids", row)
        coords = SparseCoords.__new__(SparseCoords)
        coords.shape = (self.n_joints, 3)
        coords.i_valid_joints = ids.copy()
        coords.valid_coords = self._ragged_value("joint_rows", row).copy()
        return coords

    def coords2d(self, row: int) -> np.ndarray | None:
        """Returns ``[J, 2]``, writable."""
        return self._coords2d[row].copy() if self._flags[row] & HAS_2D else None

    def camera(self, row: int) -> deltacamera.Camera | None:
        """Returns the camera."""
        flags = self._flags[row]
        if not flags & HAS_CAMERA:
            return None
        if flags & CAMERA_KNOWS_SHAPE:
            shape = self.imshape(row)
        elif flags & HAS_OTHER_SIZE:
            shape = self._extras(row).get("camera_imshape")
            shape = None if shape is None else tuple(shape)
        else:
            shape = None
        distortion = None
        if "distortion" in self._ragged:
            values = self._ragged_value("distortion", row)
            if len(values):
                tag = codec.FISHEYE if values[0] else codec.BROWN_CONRADY
                distortion = codec.make_distortion(values[1:], tag)
        return make_camera(self._camera[row].copy(), distortion, shape)

    def mask(self, row: int) -> dict | None:
        """Returns the RLE mask."""
        flags = self._flags[row]
        if not flags & HAS_MASK:
            return None
        size = list(self.imshape(row))
        if flags & HAS_OTHER_SIZE:
            size = self._extras(row).get("mask_size", size)
        return {"size": size, "counts": self._ragged_value("mask", row).tobytes()}

    def valid_poly(self, row: int) -> np.ndarray | None:
        """Returns the outline of what the source image covers, None = all."""
        if not self._flags[row] & HAS_POLY:
            return None
        return self._ragged_value("valid_poly", row).copy()

    def parameters(self, row: int) -> dict | None:
        """Returns body-model parameters."""
        if not self._flags[row] & HAS_PARAMETERS:
            return None
        return self._extras(row)["parameters"]

    def densepose(self, row: int) -> tuple | None:
        """Returns the DensePose triple."""
        if not self._flags[row] & HAS_DENSEPOSE:
            return None
        return tuple(self._extras(row)["densepose"])

    def imshape(self, row: int) -> tuple[int, int]:
        """Returns height and width of the image."""
        return tuple(self._imshape[row].tolist())

    def frame(self, row: int) -> int:
        """Returns the source frame index."""
        return self._frame[row]

    def person(self, row: int) -> int:
        """Returns the index of the person within the image."""
        return self._person[row]

    def sequence(self, row: int) -> str:
        """Returns the sequence id."""
        return self._string("sequence", row)

    def activity(self, row: int) -> str:
        """Returns the activity label."""
        return self._string("activity", row)

    def scene(self, row: int) -> str:
        """Returns the scene label."""
        return self._string("scene", row)

    def record(self, row: int) -> codec.Record:
        """Returns the whole row as a record."""
        coords = self.world_coords(row)
        if hasattr(coords, "to_array"):
            coords = coords.to_array()
        return codec.Record(
            image_path=self.image_path(row),
            split=self.split(row),
            bbox=self.bbox(row),
            imshape=self.imshape(row),
            frame=self.frame(row),
            person=self.person(row),
            sequence=self.sequence(row),
            world_coords=coords,
            coords2d=self.coords2d(row),
            camera=self.camera(row),
            mask=self.mask(row),
            valid_poly=self.valid_poly(row),
            parameters=self.parameters(row),
            densepose=self.densepose(row),
            activity=self.activity(row),
            scene=self.scene(row),
        )

    def iter_coord_chunks(self, rows: range | np.ndarray, size: int) -> Iterator[np.ndarray]:
        """Iterates over dense ``[n, J, 3]`` world coordinates of the given rows."""
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            if self._world is not None:
                if isinstance(chunk, range):
                    chunk = slice(chunk.start, chunk.stop)
                has = (self.columns["flags"][chunk] & HAS_WORLD) != 0
                yield self._world[chunk][has]
            else:
                coords = [self.world_coords(int(row)) for row in chunk]
                coords = [c.to_array() for c in coords if c is not None]
                if coords:
                    yield np.stack(coords)

    def _extras(self, row):
        return codec.unpack_msgpack(self._ragged_value("extras", row).tobytes())

    def _ragged_value(self, name, row):
        if name not in self._ragged:  # no row of the whole table has a value
            dtype, shape = RAGGED[name]
            return np.zeros((0, *shape), dtype)
        values, ptr = self._ragged[name]
        return values[ptr[row] : ptr[row + 1]]

    def _string(self, name, row):
        i = self._ids[name][row]
        cache = self._string_cache[name]
        value = cache.get(i)
        if value is None:
            values, ptr = self._strings[name]
            value = values[ptr[i] : ptr[i + 1]].tobytes().decode()
            if len(cache) > 10_000:  # a table may have as many folders as examples
                cache.clear()
            cache[i] = value
        return value


_camera_ways: list[Callable] = []


def make_camera(
    values: np.ndarray,
    distortion: deltacamera.LensDistortionModel | None,
    shape: tuple[int, int] | None,
) -> deltacamera.Camera:
    """Builds a camera from stored numbers that were checked when they were written.

    Args:
        values: float32 ``[24]``: rotation, intrinsics, optical centre, up vector. Taken over.
        distortion: Lens model.
        shape: Height and width known to the camera.
    """
    if not _camera_ways:
        _camera_ways.append(_find_camera_way())
    return _camera_ways[0](values, distortion, shape)


def _camera_by_constructor(values, distortion, shape):
    import deltacamera

    return deltacamera.Camera(
        rot_world_to_cam=values[:9].reshape(3, 3),
        intrinsic_matrix=values[9:18].reshape(3, 3),
        optical_center=values[18:21],
        world_up=values[21:],
        distortion_model=distortion,
        image_shape=shape,
    )


def _find_camera_way():
    # The constructor checks its arguments for some twenty times longer than reading them takes.
    # Its result is imitated, but only if this release of the library builds exactly this.
    import deltacamera

    reference = deltacamera.Camera()
    array_type = type(reference.R)
    new = deltacamera.Camera.__new__
    camera_type = deltacamera.Camera

    def quick(values, distortion, shape):
        camera = new(camera_type)
        values = values.view(array_type)
        camera.__dict__.update(
            R=values[:9].reshape(3, 3),
            t=values[18:21],
            intrinsic_matrix=values[9:18].reshape(3, 3),
            world_up=values[21:],
            _distortion_model=distortion,
            _image_shape=shape,
        )
        return camera

    values = np.concatenate([np.eye(3).ravel(), np.eye(3).ravel(), [0] * 5, [1]])
    made = quick(values.astype(np.float32), None, None)
    same = set(vars(made)) == set(vars(reference)) and all(
        type(vars(made)[k]) is type(v) and np.shape(vars(made)[k]) == np.shape(v)
        for k, v in vars(reference).items()
    )
    return quick if same and made == reference else _camera_by_constructor
