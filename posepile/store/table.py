"""The example table: annotations as columns, and lists of examples that cost an index array.

A table is a set of named arrays over examples, usually memory-mapped from the archive (layout in
docs/FORMAT.md). :class:`ColumnBuilder` makes columns of records, :class:`ExampleTable` reads
fields of one row, :class:`ExampleList` behaves like a list of examples that are built when asked
for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import WorkError
from posepile.store import codec

if TYPE_CHECKING:
    import deltacamera

SPLITS = ("train", "val", "test")

# Bits of the column ``flags``: which optional fields a row has.
HAS_WORLD, HAS_2D, HAS_CAMERA, HAS_MASK, HAS_POLY, HAS_PARAMETERS, HAS_DENSEPOSE = (
    1 << i for i in range(7)
)
CAMERA_KNOWS_SHAPE = 1 << 7  # the camera carries the crop's shape
HAS_OTHER_SIZE = 1 << 8  # mask or camera of another size than the crop, see ``extras``

# Skeletons larger than this (merged ones) store only the joints that are there.
MAX_DENSE_JOINTS = 256

# name -> (dtype, shape of a row); J stands for the number of joints
FIXED = {
    "split": ("u1", ()),
    "flags": ("<u2", ()),
    "shard": ("<u4", ()),
    "offset": ("<u8", ()),
    "size": ("<u4", ()),
    "bbox": ("<f4", (4,)),
    "imshape": ("<i4", (2,)),
    "frame": ("<i8", ()),
    "person": ("<u4", ()),
    "camera": ("<f4", (24,)),  # rotation, intrinsics (both row-major), optical centre, up vector
    "world_coords": ("<f4", ("J", 3)),
    "coords2d": ("<f4", ("J", 2)),
    "dir": ("<u4", ()),
    "sequence": ("<u4", ()),
    "activity": ("<u4", ()),
    "scene": ("<u4", ()),
}
# Values of rows one after another; ``<name>_ptr`` (uint64, one longer than the table) says where.
RAGGED = {
    "name": ("u1", ()),
    "mask": ("u1", ()),
    "valid_poly": ("<f4", (2,)),
    "distortion": ("<f4", ()),
    "extras": ("u1", ()),
    "joint_ids": ("<u2", ()),
    "joint_rows": ("<f4", (3,)),
}
STRINGS = ("dir", "sequence", "activity", "scene")
# Left out altogether when no row has a value.
OPTIONAL = {
    "camera": HAS_CAMERA,
    "world_coords": HAS_WORLD,
    "coords2d": HAS_2D,
}
# Needed only to write the index; they stay in the part.
PART_ONLY = {"crc32c": ("<u4", ()), "new_image": ("u1", ())}


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


class ExampleList(MutableSequence):
    """A list of examples that are built when asked for.

    Behaves like a list: index, slice, iterate, assign, delete, insert, append, concatenate,
    sort, shuffle in place. Costs 4 bytes per example once its order has been changed, and nothing
    before. Each access builds a new example, so a change to one is kept only by assigning it.

    Args:
        source: Where examples come from: has ``__len__``, ``example(row)``, and equality.
        rows: Which rows of the source, as a range or array.
    """

    __slots__ = ("_codes", "_n", "_objects", "_sources", "_starts")

    def __init__(self, source: Any = None, rows: range | np.ndarray | None = None):
        self._sources = [] if source is None else [source]
        self._starts = [0] if source is None else [0, len(source)]
        self._objects: list[Any] = []
        if rows is None:
            rows = range(0 if source is None else len(source))
        self._codes = rows if isinstance(rows, range) else np.array(rows, self._dtype())
        self._n = len(rows)

    # Codes: row of a source plus the source's start; negative: ~index into the list of objects
    # that come from no source (changed examples, or ones made by hand).

    def _dtype(self):
        return np.int32 if self._starts[-1] < 2**31 else np.int64

    def _own(self, capacity=None):
        # Turns the codes into an array of our own, with room for `capacity`.
        if isinstance(self._codes, range):
            codes = self._codes
            self._codes = np.arange(codes.start, codes.stop, codes.step, self._dtype())
        if self._codes.dtype != self._dtype():
            self._codes = self._codes.astype(self._dtype())
        if capacity is not None and capacity > len(self._codes):
            grown = np.empty(max(capacity, len(self._codes) * 9 // 8 + 16), self._codes.dtype)
            grown[: self._n] = self._codes[: self._n]
            self._codes = grown

    def _build(self, code):
        if code < 0:
            return self._objects[~code]
        starts = self._starts
        if code < starts[1]:
            return self._sources[0].example(code)
        k = int(np.searchsorted(starts, code, "right")) - 1
        return self._sources[k].example(code - starts[k])

    def _code_of(self, example):
        place = getattr(example, "pristine_place", None)
        if place is None:
            self._objects.append(example)
            return ~(len(self._objects) - 1)
        source, row = place
        return self._start_of(source) + row

    def _start_of(self, source):
        for k, own in enumerate(self._sources):
            if own is source or own == source:
                return self._starts[k]
        self._sources.append(source)
        self._starts.append(self._starts[-1] + len(source))
        return self._starts[-2]

    def __len__(self):
        return self._n

    def __getitem__(self, key):
        if isinstance(key, slice):
            part = ExampleList()
            part._sources, part._starts = list(self._sources), list(self._starts)
            part._objects = list(self._objects)
            if isinstance(self._codes, range):
                part._codes = self._codes[key]
            else:
                part._codes = self._codes[: self._n][key].copy()
            part._n = len(part._codes)
            return part
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        return self._build(int(self._codes[i]))

    def __iter__(self):
        # By position, so that deleting while iterating does what it does with lists.
        i = 0
        while i < self._n:
            yield self._build(int(self._codes[i]))
            i += 1

    def __setitem__(self, key, value):
        if isinstance(key, slice):
            indices = range(self._n)[key]
            new = self._codes_of_many(value)
            self._own()
            codes = self._codes[: self._n]
            if key.step not in (None, 1):
                if len(new) != len(indices):
                    raise ValueError(
                        f"assigning {len(new)} examples to a slice of {len(indices)} with steps"
                    )
                codes[key] = new
            else:
                start, stop = indices.start, max(indices.start, indices.stop)
                self._codes = np.concatenate([codes[:start], new, codes[stop:]])
                self._n = len(self._codes)
            return
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        code = self._code_of(value)
        self._own()
        self._codes[i] = code

    def __delitem__(self, key):
        self._own()
        if isinstance(key, slice):
            keep = np.ones(self._n, bool)
            keep[key] = False
            self._codes = self._codes[: self._n][keep]
            self._n = len(self._codes)
            return
        i = operator.index(key)
        if i < 0:
            i += self._n
        if not 0 <= i < self._n:
            raise IndexError(f"example {key}: the list has {self._n}")
        self._codes[i : self._n - 1] = self._codes[i + 1 : self._n]
        self._n -= 1

    def insert(self, index: int, value: Any) -> None:
        """Inserts an example before the given position."""
        i = operator.index(index)
        i = max(0, i + self._n) if i < 0 else min(i, self._n)
        code = self._code_of(value)
        self._own(self._n + 1)
        self._codes[i + 1 : self._n + 1] = self._codes[i : self._n]
        self._codes[i] = code
        self._n += 1

    def extend(self, values: Iterable[Any]) -> None:
        """Appends examples; another list of this kind is appended without building any."""
        new = self._codes_of_many(values)
        self._own(self._n + len(new))
        self._codes[self._n : self._n + len(new)] = new
        self._n += len(new)

    def _codes_of_many(self, values):
        if not isinstance(values, ExampleList):
            return np.array([self._code_of(v) for v in values], np.int64)
        theirs = values._codes
        if isinstance(theirs, range):
            theirs = np.arange(theirs.start, theirs.stop, theirs.step, np.int64)
        else:
            theirs = theirs[: values._n].astype(np.int64)
        shift = [self._start_of(source) for source in values._sources]
        result = np.empty_like(theirs)
        made = theirs < 0
        result[made] = theirs[made] - len(self._objects)
        self._objects.extend(values._objects)
        for k, start in enumerate(shift):
            own = (theirs >= values._starts[k]) & (theirs < values._starts[k + 1])
            result[own] = theirs[own] - values._starts[k] + start
        return result

    def clear(self) -> None:
        """Removes all examples."""
        self._codes, self._n, self._objects = range(0), 0, []

    def copy(self) -> ExampleList:
        """Returns a copy of the list."""
        return self[:]

    def __add__(self, other):
        result = self[:]
        result.extend(other)
        return result

    def __radd__(self, other):
        result = self[:0]
        result.extend(other)
        result.extend(self)
        return result

    def __iadd__(self, other):
        self.extend(other)
        return self

    def __eq__(self, other):
        if not isinstance(other, (ExampleList, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None

    def reverse(self) -> None:
        """Reverses the order in place."""
        self._codes = self._codes[: self._n][::-1]
        if not isinstance(self._codes, range):
            self._codes = self._codes.copy()

    def sort(self, *, key: Callable[[Any], Any], reverse: bool = False) -> None:
        """Sorts in place; stable."""
        keys = [key(ex) for ex in self]
        order = sorted(range(self._n), key=keys.__getitem__, reverse=reverse)
        self._reorder(np.array(order, np.int64))

    def shuffle(self, seed: int | np.random.Generator | None = None) -> None:
        """Shuffles in place, millions per second; ``random.shuffle`` works too, slower."""
        self._own()
        np.random.default_rng(seed).shuffle(self._codes[: self._n])

    def take(self, indices: Any) -> ExampleList:
        """Returns the list of the examples at the given positions (indices or a boolean mask)."""
        result = self[:]
        result._reorder(np.asarray(indices))
        return result

    def mapped(self, source: Callable[[Any], Any], example: Callable[[Any], Any]) -> ExampleList:
        """Returns the list with each source, and each example from no source, replaced.

        Args:
            source: Returns the source to put in place of one; of equal length.
            example: Returns the example to put in place of one.
        """
        result = self[:]
        result._sources = [source(s) for s in self._sources]
        result._objects = [example(ex) for ex in self._objects]
        return result

    def _reorder(self, indices):
        self._own()
        self._codes = self._codes[: self._n][indices]
        self._n = len(self._codes)

    def storage_order(self) -> np.ndarray | None:
        """Returns the positions of the list in the order their images are stored.

        Rows of a table are in the order of its shards. None if the list is in that order already.
        """
        if isinstance(self._codes, range) and self._codes.step > 0:
            return None
        self._own()
        return np.argsort(self._codes[: self._n], kind="stable")

    def iter_coord_chunks(self, size: int = 4096) -> Iterator[np.ndarray]:
        """Iterates over dense ``[n, J, 3]`` world coordinates, in any order of the examples."""
        for rows, source in self.rows_by_source():
            if hasattr(source, "table"):
                yield from source.table().iter_coord_chunks(rows, size)
            else:
                yield from _stack_coords((source.example(int(r)) for r in rows), size)
        codes = self._codes
        if self._objects and not isinstance(codes, range):
            used = (~codes[: self._n][codes[: self._n] < 0]).tolist()
            yield from _stack_coords((self._objects[i] for i in used), size)

    def rows_by_source(self) -> Iterator[tuple[range | np.ndarray, Any]]:
        """Iterates over (rows, source), rows in list order within each source."""
        if isinstance(self._codes, range):
            if (
                self._sources
                and len(self._codes)
                and self._codes.step == 1
                and (self._codes.stop <= self._starts[1])
            ):
                yield self._codes, self._sources[0]
                return
            codes = np.arange(self._codes.start, self._codes.stop, self._codes.step)
        else:
            codes = self._codes[: self._n]
        for k, source in enumerate(self._sources):
            own = (codes >= self._starts[k]) & (codes < self._starts[k + 1])
            if own.any():
                yield codes[own].astype(np.int64) - self._starts[k], source

    def __repr__(self):
        return f"<ExampleList of {self._n}>"

    def __reduce__(self):
        if isinstance(self._codes, range):
            codes: Any = (self._codes.start, self._codes.stop, self._codes.step)
        else:
            codes = self._codes[: self._n].copy()
        return _rebuild_list, (self._sources, codes, self._objects)


def _rebuild_list(sources, codes, objects):
    result = ExampleList()
    result._sources = sources
    for source in sources:
        result._starts.append(result._starts[-1] + len(source))
    result._codes = range(*codes) if isinstance(codes, tuple) else codes
    result._n = len(result._codes)
    result._objects = objects
    return result


def _stack_coords(examples, size):
    chunk = []
    for ex in examples:
        coords = ex.get_world_coords()
        if coords is not None:
            chunk.append(coords)
        if len(chunk) == size:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)
