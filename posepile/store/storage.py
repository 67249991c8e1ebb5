"""How one value of an example is put into columns and read back: one class for each way.

Each has ``columns(name)``, the columns it takes; ``store(field, value, row)``, which puts a value
into a row under construction; and ``reader(field, columns)``, which returns a function from row
number to value. Which field is stored in which way stands in :mod:`posepile.store.fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posepile.errors import WorkError
from posepile.store import cameras, encoding
from posepile.store.column_readers import (
    Columns,
    extras_reader,
    fixed_reader,
    imshape_reader,
    nothing,
    ragged_column,
    ragged_reader,
    text_reader,
)
from posepile.store.coords import SparseCoords, as_compact_float, present_joints
from posepile.store.read_only import ReadOnlyDict, ReadOnlyList, read_only, read_only_reader

# Bits of the column ``flags`` that belong to no field.
CAMERA_KNOWS_SHAPE = 1 << 7  # the camera carries the crop's shape
HAS_OTHER_SIZE = 1 << 8  # mask or camera of another size than the crop, see ``extras``

# Skeletons larger than this (merged ones) store only the joints that are there.
MAX_DENSE_JOINTS = 256


@dataclass
class ColumnTypes:
    """Columns by name: (dtype, shape of a row), where J stands for the number of joints.

    Attributes:
        fixed: One row per example.
        ragged: Rows one after another; ``<name>_ptr`` says where those of an example are.
        texts: Names of fixed columns that are numbers of strings in ``<name>_strings``.
    """

    fixed: dict[str, tuple[str, tuple]] = field(default_factory=dict)
    ragged: dict[str, tuple[str, tuple]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


class Row:
    """One example on its way into columns.

    Attributes:
        where: Names the example in messages.
        imshape: Height and width of the image.
        n_joints: Number of joints; None until a value tells.
        flags: Bits of what the row has.
        fixed: Values of fixed columns.
        ragged: Bytes or arrays of ragged columns.
        texts: Strings (or bytes that are shared), by column.
        extras: What goes into the msgpack map ``extras``.
    """

    def __init__(self, where: str, imshape: tuple[int, int], n_joints: int | None):
        self.where, self.imshape, self.n_joints = where, imshape, n_joints
        self.flags = 0
        self.fixed: dict[str, Any] = {}
        self.ragged: dict[str, Any] = {}
        self.texts: dict[str, str | bytes] = {}
        self.extras: dict[str, Any] = {}

    def check_shape(self, name: str, value: np.ndarray, shape: tuple) -> None:
        """Compares an array with the shape that its column says, and its joints with others'.

        Raises:
            WorkError: They differ.
        """
        expected = tuple(self.n_joints if n == "J" else n for n in shape)
        if value.ndim != len(shape) or any(
            found != n for found, n in zip(value.shape, expected, strict=True) if n is not None
        ):
            if shape[:1] == ("J",) and value.shape[1:] == shape[1:]:
                raise WorkError(
                    f"{self.where}: {len(value)} joints, expected {self.n_joints} ({name})"
                )
            wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
            raise WorkError(f"{self.where}: {name} of shape {value.shape}, expected {wanted}")
        if shape[:1] == ("J",):
            self.n_joints = len(value)


@dataclass(frozen=True)
class Field:
    """A field of examples, as :class:`posepile.store.fields.Record` declares it.

    Attributes:
        name: Its name in records and columns.
        how: How it is stored.
        flag: Bit of rows that have a value; 0 where all rows have one.
        required: Whether every record must have a value.
        default: The value otherwise.
        names: Its name in examples, by kind; examples of other kinds do not have it.
    """

    name: str
    how: Any
    flag: int
    required: bool
    default: Any
    names: Mapping[str, str]

    @property
    def per_joint(self) -> bool:
        """Whether it has a row for each joint."""
        return getattr(self.how, "shape", ())[:1] == ("J",)

    def store(self, value: Any, row: Row) -> None:
        """Puts a value into a row of columns; None is left out."""
        if value is not None:
            self.how.store(self, value, row)

    def reader(self, columns: Columns) -> Callable[[int], Any]:
        """Returns a function from row number to value."""
        return self.how.reader(self, columns)


@dataclass(frozen=True)
class Fixed:
    """A number or an array of one shape; ``("J", ...)`` for one per joint.

    Attributes:
        dtype: Of the column.
        shape: Of a row.
        convert: Applied to the row as a list, where all rows have a value.
    """

    dtype: str
    shape: tuple = ()
    convert: Callable[[list], Any] | None = None

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(fixed={name: (self.dtype, self.shape)})

    def store(self, field: Field, value: Any, row: Row) -> None:
        """Puts a value into a row."""
        if self.shape:
            value = np.asarray(value, self.dtype)
            row.check_shape(field.name, value, self.shape)
        row.fixed[field.name] = value
        row.flags |= field.flag

    def reader(self, field: Field, columns: Columns) -> Callable[[int], Any]:
        """Returns a function from row number to value."""
        return fixed_reader(columns, field.name, field.flag, field.default, self.convert)


@dataclass(frozen=True)
class Choice:
    """One of a few names, stored as its number."""

    names: tuple[str, ...]

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(fixed={name: ("u1", ())})

    def store(self, field: Field, value: str, row: Row) -> None:
        """Puts a value into a row."""
        if value not in self.names:
            raise WorkError(
                f"{row.where}: {field.name} {value!r}, expected one of {', '.join(self.names)}"
            )
        row.fixed[field.name] = self.names.index(value)

    def reader(self, field: Field, columns: Columns) -> Callable[[int], str]:
        """Returns a function from row number to value."""
        numbers, names = memoryview(columns[field.name]), self.names
        return lambda row: names[numbers[row]]


class Text:
    """A string, of which many rows have the same."""

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(fixed={name: ("<u4", ())}, texts=(name,))

    def store(self, field: Field, value: str, row: Row) -> None:
        """Puts a value into a row."""
        row.texts[field.name] = value

    def reader(self, field: Field, columns: Columns) -> Callable[[int], str]:
        """Returns a function from row number to value."""
        return text_reader(field.name, columns, field.default)


class Shared:
    """Bytes that several rows have in common; equal ones are stored once per part."""

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(fixed={name: ("<u4", ())}, texts=(name,))

    def store(self, field: Field, value: bytes, row: Row) -> None:
        """Puts a value into a row."""
        row.texts[field.name] = value
        row.flags |= field.flag

    def reader(self, field: Field, columns: Columns) -> Callable[[int], bytes | None]:
        """Returns a function from row number to value."""
        if field.name not in columns:
            return nothing
        flags, flag = memoryview(columns["flags"]), field.flag
        numbers = memoryview(columns[field.name])
        values, ptr = ragged_column(columns, f"{field.name}_strings")

        def read(row):
            if not flags[row] & flag:
                return None
            i = numbers[row]
            return values[ptr[i] : ptr[i + 1]].tobytes()

        return read


class ImagePath:
    """A path, the folder as a text and the name as bytes of its own."""

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes({"dir": ("<u4", ())}, {"name": ("u1", ())}, ("dir",))

    def store(self, field: Field, value: str, row: Row) -> None:
        """Puts a value into a row."""
        row.texts["dir"], _, name = value.rpartition("/")
        row.ragged["name"] = name.encode()

    def reader(self, field: Field, columns: Columns) -> Callable[[int], str]:
        """Returns a function from row number to value."""
        directory = text_reader("dir", columns, "")
        values, ptr = ragged_column(columns, "name")

        def read(row):
            name = values[ptr[row] : ptr[row + 1]].tobytes().decode()
            folder = directory(row)
            return f"{folder}/{name}" if folder else name

        return read


@dataclass(frozen=True)
class Ragged:
    """An array of any length; an empty one is as good as none."""

    dtype: str
    shape: tuple = ()

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(ragged={name: (self.dtype, self.shape)})

    def store(self, field: Field, value: Any, row: Row) -> None:
        """Puts a value into a row."""
        if len(value):
            row.ragged[field.name] = np.asarray(value, self.dtype).reshape(-1, *self.shape)
            row.flags |= field.flag

    def reader(self, field: Field, columns: Columns) -> Callable[[int], np.ndarray | None]:
        """Returns a function from row number to value."""
        flags, flag = memoryview(columns["flags"]), field.flag
        values_of = ragged_reader(columns, field.name)
        if not columns.write:
            return read_only_reader(lambda row: values_of(row) if flags[row] & flag else None)
        return lambda row: values_of(row).copy() if flags[row] & flag else None


@dataclass(frozen=True)
class Extra:
    """Anything that msgpack can hold, for the few; decoded when asked for."""

    convert: Callable[[Any], Any] | None = None

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(ragged={"extras": ("u1", ())})

    def store(self, field: Field, value: Any, row: Row) -> None:
        """Puts a value into a row."""
        row.extras[field.name] = list(value) if isinstance(value, tuple) else value
        row.flags |= field.flag

    def reader(self, field: Field, columns: Columns) -> Callable[[int], Any]:
        """Returns a function from row number to value."""
        flags, flag, name = memoryview(columns["flags"]), field.flag, field.name
        extras, convert = extras_reader(columns), self.convert

        def read(row):
            if not flags[row] & flag:
                return None
            there = extras(row)
            if name not in there:
                raise WorkError(f"example table, row {row}: no {name!r} in its extras")
            value = there[name]
            return value if convert is None else convert(value)

        return read if columns.write else read_only_reader(read)


@dataclass(frozen=True)
class JointCoords:
    """``[J, 3]`` coordinates; in large skeletons only the joints that are there."""

    shape: tuple = ("J", 3)

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(
            {name: ("<f4", self.shape)}, {"joint_ids": ("<u2", ()), "joint_rows": ("<f4", (3,))}
        )

    def store(self, field: Field, value: np.ndarray, row: Row) -> None:
        """Puts a value into a row."""
        coords = as_compact_float(value)
        row.check_shape(field.name, coords, self.shape)
        if len(coords) <= MAX_DENSE_JOINTS:
            row.fixed[field.name] = coords
        else:
            index = present_joints(coords)
            row.ragged["joint_ids"] = index.astype("<u2")
            row.ragged["joint_rows"] = coords[index]
        row.flags |= field.flag

    def reader(
        self, field: Field, columns: Columns
    ) -> Callable[[int], np.ndarray | SparseCoords | None]:
        """Returns a function from row number to value."""
        if field.name in columns:
            return fixed_reader(columns, field.name, field.flag)
        flags, flag, n_joints = memoryview(columns["flags"]), field.flag, columns.n_joints
        ids = ragged_reader(columns, "joint_ids", "<u2")
        rows = ragged_reader(columns, "joint_rows", "<f4", (3,))

        def read(row):
            if not flags[row] & flag:
                return None
            return SparseCoords.of_rows((n_joints, 3), ids(row).copy(), rows(row).copy())

        return read if columns.write else read_only_reader(read)


class Camera:
    """A camera: its numbers in a fixed column, the lens in a ragged one."""

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes({name: ("<f4", (24,))}, {"distortion": ("<f4", ())})

    def store(self, field: Field, value: Any, row: Row) -> None:
        """Puts a value into a row."""
        numbers = cameras.camera_to_row(value)
        if not np.all(np.isfinite(numbers)):
            raise WorkError(f"{row.where}: the camera has parameters that are not finite")
        row.fixed[field.name] = numbers
        distortion = cameras.distortion_to_row(value)
        if distortion is not None:
            row.ragged["distortion"] = distortion
        shape = value.image_shape
        if shape is not None:
            shape = tuple(int(x) for x in shape)
            if shape == row.imshape:
                row.flags |= CAMERA_KNOWS_SHAPE
            else:
                row.extras["camera_imshape"] = list(shape)
                row.flags |= HAS_OTHER_SIZE
        row.flags |= field.flag

    def reader(self, field: Field, columns: Columns) -> Callable[[int], Any]:
        """Returns a function from row number to value."""
        flags, flag, numbers = memoryview(columns["flags"]), field.flag, columns.get(field.name)
        if numbers is None:
            return nothing
        imshape = imshape_reader(columns)
        distortion_of = ragged_reader(columns, "distortion", "<f4")
        has_distortion = "distortion" in columns
        extras, write = extras_reader(columns), columns.write
        if not write:
            numbers = read_only(numbers.view())  # and so are views of its rows
        make = None

        def read(row):
            nonlocal make
            has = flags[row]
            if not has & flag:
                return None
            shape = None
            if has & CAMERA_KNOWS_SHAPE:
                shape = imshape(row)
            elif has & HAS_OTHER_SIZE:
                shape = extras(row).get("camera_imshape")
                shape = None if shape is None else tuple(shape)
            distortion = (
                cameras.distortion_from_row(distortion_of(row)) if has_distortion else None
            )
            if make is None:
                make = cameras.camera_maker(write)
            parameters = numbers[row].copy() if write else numbers[row]
            return make(parameters, distortion, shape)

        return read


class Mask:
    """An RLE mask, almost always of the size of the image."""

    def columns(self, name: str) -> ColumnTypes:
        """The columns it takes."""
        return ColumnTypes(ragged={name: ("u1", ())})

    def store(self, field: Field, value: dict, row: Row) -> None:
        """Puts a value into a row."""
        mask = encoding.rle_with_counts(value)
        row.ragged[field.name] = mask["counts"]
        row.flags |= field.flag
        if tuple(mask["size"]) != row.imshape:
            row.extras["mask_size"] = mask["size"]
            row.flags |= HAS_OTHER_SIZE

    def reader(self, field: Field, columns: Columns) -> Callable[[int], dict | None]:
        """Returns a function from row number to value."""
        flags, flag, imshape = memoryview(columns["flags"]), field.flag, imshape_reader(columns)
        counts_of, extras = ragged_reader(columns, field.name), extras_reader(columns)
        make_list, make_dict = (list, dict) if columns.write else (ReadOnlyList, ReadOnlyDict)

        def read(row):
            has = flags[row]
            if not has & flag:
                return None
            size = make_list(imshape(row))
            if has & HAS_OTHER_SIZE:
                size = make_list(extras(row).get("mask_size", size))
            return make_dict({"size": size, "counts": counts_of(row).tobytes()})

        return read
