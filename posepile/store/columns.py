"""Turns records into the columns of a part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from posepile.store.column_readers import missing_value
from posepile.store.encoding import pack_msgpack
from posepile.store.fields import FIELDS, FIXED, OPTIONAL, PART_ONLY, RAGGED, STRINGS, Record
from posepile.store.storage import Row


class ColumnBuilder:
    """Collects records of one part and turns them into columns."""

    def __init__(self):
        self.n_rows = 0
        self.n_joints: int | None = None
        self._fixed = {name: [] for name in (*FIXED, *PART_ONLY)}
        self._ragged = {name: ([0], []) for name in RAGGED}
        self._strings: dict[str, dict[str | bytes, int]] = {name: {} for name in STRINGS}

    def add(
        self,
        record: Record,
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
        where = f"{record.image_path}, person {record.person}"
        row = Row(where, tuple(int(x) for x in record.imshape), self.n_joints)
        for field in FIELDS.values():
            field.store(getattr(record, field.name), row)
        if row.extras:
            row.ragged["extras"] = pack_msgpack(row.extras)
        self.n_joints = row.n_joints
        row.fixed.update(
            flags=row.flags, offset=offset, size=size, crc32c=crc32c, new_image=new_image, shard=0
        )
        for name, text in row.texts.items():
            numbers = self._strings[name]
            row.fixed[name] = numbers.setdefault(text, len(numbers))
        for name, values in self._fixed.items():
            values.append(row.fixed.get(name))
        for name, (ptr, values) in self._ragged.items():
            value = row.ragged.get(name)
            if value is not None:
                values.append(value)
            ptr.append(ptr[-1] + (0 if value is None else len(value)))
        self.n_rows += 1

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
            if name in OPTIONAL and not self._strings[name]:
                continue
            blobs = [s if isinstance(s, bytes) else s.encode() for s in self._strings[name]]
            columns[f"{name}_strings"] = _join(blobs, "u1", ())
            columns[f"{name}_strings_ptr"] = np.cumsum([0, *map(len, blobs)]).astype("<u8")
        return {name: column for name, column in columns.items() if column is not None}

    def _fixed_column(self, name, dtype, shape):
        values = self._fixed[name]
        if name not in OPTIONAL:
            return np.array(values, dtype).reshape(len(values), *shape)
        filled = [np.asarray(v) for v in values if v is not None]
        if not filled:
            return None
        if shape and any(v.dtype == np.float64 for v in filled):
            dtype = "<f8"
        column = np.full((len(values), *filled[0].shape), missing_value(dtype), dtype)
        for i, v in enumerate(values):
            if v is not None:
                column[i] = v
        return column


def _join(values, dtype, shape):
    if not values:
        return np.zeros((0, *shape), dtype)
    if isinstance(values[0], bytes):
        return np.frombuffer(b"".join(values), dtype)
    dtype = np.result_type(np.dtype(dtype), *{v.dtype for v in values})
    return np.concatenate(values).astype(dtype).reshape(-1, *shape)


def write_columns(records: Iterable[Record]) -> dict[str, np.ndarray]:
    """Turns records into columns, without images (all at offset 0 with size 0)."""
    builder = ColumnBuilder()
    for record in records:
        builder.add(record, offset=0, size=0, crc32c=0, new_image=True)
    return builder.finish()
