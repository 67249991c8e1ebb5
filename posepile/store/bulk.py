"""Fields of many examples at once: read from columns, source by source, no example built.

What a list gives for a name is one array over the list, in its order. Numbers come from the fixed
columns of the tables; texts as numbers of strings, each string once, whichever of the sources it
comes from. Examples in memory and those of archives without a table are asked one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from posepile.errors import UsageError, WorkError, one_line
from posepile.store.column_readers import missing_value
from posepile.store.fields import names_in_examples
from posepile.store.origin import UNKNOWN, Origin
from posepile.store.placed import without_placing
from posepile.store.storage import Fixed, JointCoords, Text

_FIELDS = {**names_in_examples("2d"), **names_in_examples("3d")}

# Equal for all examples of a source, and for all of a sequence.
_OF_SOURCES = ("dataset", "licence")
_OF_SEQUENCES = tuple(name for name in Origin._fields if name not in _OF_SOURCES)

TEXTS = (
    *_OF_SOURCES,
    *_OF_SEQUENCES,
    *(name for name, field in _FIELDS.items() if isinstance(field.how, Text)),
    "image_path",
)
NUMBERS = tuple(n for n, field in _FIELDS.items() if isinstance(field.how, Fixed | JointCoords))
PRESENCES = tuple(f"has_{name}" for name, field in _FIELDS.items() if field.flag)

_OF_DAMAGE = (LookupError, ValueError, OverflowError, TypeError)

Positions = range | np.ndarray


def text_codes(examples: Any, name: str) -> tuple[np.ndarray, list[str]]:
    """Returns a text of all examples, as numbers of strings.

    Args:
        examples: An ``ExampleList``.
        name: One of :data:`TEXTS`.

    Returns:
        int32 ``[n]``, and the strings that the numbers are of; each once, and each is used.

    Raises:
        UsageError: There is no such text.
    """
    if name not in TEXTS:
        raise UsageError(f"codes of {name!r}: expected one of {', '.join(TEXTS)}")
    numbers = np.empty(len(examples), np.int32)
    known: dict[str, int] = {}
    for positions, rows, source in by_source(examples):
        table = table_under(source)
        if source is None or (table is None and name not in _OF_SOURCES):
            texts = (
                getattr(ex, name, UNKNOWN) or UNKNOWN for ex in one_by_one(examples, rows, source)
            )
            numbers[positions] = [known.setdefault(text, len(known)) for text in texts]
            continue
        try:
            own, strings = _codes_of_source(source, table, rows, name)
        except _OF_DAMAGE as e:
            raise _damaged(source, name, e) from e
        shared = [known.setdefault(text or UNKNOWN, len(known)) for text in strings]
        numbers[as_slice(positions)] = np.array(shared, np.int32)[own]
    return numbers, list(known)


def column(examples: Any, name: str) -> np.ndarray:
    """Returns a field of all examples as an array.

    Args:
        examples: An ``ExampleList``.
        name: One of :data:`NUMBERS` (NaN, or the field's default, where an example has none),
            of :data:`TEXTS`, or of :data:`PRESENCES`: whether an example has such a field at all.

    Returns:
        ``[n, ...]`` of the type of the column, an object array of strings, or booleans.

    Raises:
        UsageError: There is no such field, or it is one per joint of skeletons that are merged.
    """
    if name in TEXTS:
        numbers, strings = text_codes(examples, name)
        return np.array([*strings, None], object)[numbers]
    if name in PRESENCES:
        read, field = _presence, _FIELDS[name.removeprefix("has_")]
    elif name in NUMBERS:
        read, field = _numbers, _FIELDS[name]
    else:
        known = ", ".join((*TEXTS, *NUMBERS, *PRESENCES))
        raise UsageError(f"column {name!r}: expected one of {known}")
    parts = []
    for positions, rows, source in by_source(examples):
        table = table_under(source)
        if read is _numbers and field.per_joint and not _has_its_own_joints(source):
            raise UsageError(
                f"column {name!r}: these examples have the joints of a merged skeleton, nearly "
                "all of them missing; iter_joint_chunks gives those that are there"
            )
        try:
            if table is None:
                values = _of_examples(one_by_one(examples, rows, source), field, read)
            else:
                values = read(field, table, as_slice(rows))
        except _OF_DAMAGE as e:
            raise _damaged(source, name, e) from e
        if values is not None:
            parts.append((positions, values))
    return _joined(parts, len(examples), field, read)


def has_any(lists: Iterable[Any], name: str) -> bool:
    """Returns whether any example has a field, such as ``mask``; True where none can tell.

    Args:
        lists: Some ``ExampleList``, of the splits of a dataset.
        name: Of the field, as in :data:`PRESENCES`.
    """
    try:
        return any(bool(column(some, f"has_{name}").any()) for some in lists)
    except WorkError:  # damaged: told where it is looked at
        return True


def _joined(parts, n, field, read):
    if read is _presence:
        dtype, shape, missing = np.dtype(bool), (), False
    else:
        shapes = {values.shape[1:] for _, values in parts}
        if len(shapes) > 1:
            found = " and ".join(map(str, sorted(shapes)))
            raise UsageError(f"column {field.name!r}: values of the shapes {found}, expected one")
        dtype = np.result_type(_dtype(field), *(values.dtype for _, values in parts))
        shape, missing = shapes.pop() if shapes else _shape(field), _missing(field)
    covered = sum(len(values) for _, values in parts)
    result = np.empty((n, *shape), dtype) if covered == n else np.full((n, *shape), missing, dtype)
    for positions, values in parts:
        result[as_slice(positions)] = values
    return result


def _dtype(field):
    return np.dtype(getattr(field.how, "dtype", "<f4"))


def _shape(field, n_joints=0):
    return tuple(n_joints if size == "J" else size for size in field.how.shape)


def _missing(field):
    """Returns what stands for a value that an example does not have."""
    if field.default is not None:
        return field.default
    return -1 if _dtype(field).kind == "i" else missing_value(_dtype(field))


def by_source(examples) -> Iterator[tuple[Positions, Positions, Any]]:
    """Iterates over (positions, rows, source); objects in memory come last, from no source."""
    in_memory, n = None, 0
    for positions, rows, source in examples.by_source():
        if not len(positions):
            continue
        yield positions, rows, source
        n += len(positions)
        if len(positions) < len(examples):
            in_memory = np.ones(len(examples), bool) if in_memory is None else in_memory
            in_memory[positions] = False
    if n < len(examples):
        rest = np.arange(n, len(examples)) if in_memory is None else np.flatnonzero(in_memory)
        yield rest, rest, None


def one_by_one(examples: Any, rows: Positions, source: Any) -> Iterable[Any]:
    """Iterates over the examples of a source's rows; without source, over those at positions."""
    return (examples[int(i)] if source is None else source.example(int(i)) for i in rows)


def table_under(source):
    """Returns the table that a source's rows are of, however its joints are placed, or None."""
    source = without_placing(source)
    return source.table() if hasattr(source, "table") else None


def _has_its_own_joints(source):
    ids = getattr(source, "joint_ids", None)
    return ids is None or np.array_equal(ids, np.arange(source.n_joints))


def as_slice(rows: Positions) -> slice | np.ndarray:
    """Returns rows so that they index an array, without a copy where they lie together."""
    return slice(rows.start, rows.stop) if isinstance(rows, range) and rows.step == 1 else rows


def _damaged(source, name, error):
    where = "examples in memory" if source is None else source.annotation_path
    todo = "look at them" if source is None else "posepile verify finds what is"
    why = f"{type(error).__name__}: {one_line(error)}"
    return WorkError(f"{where}: their {name!r} cannot be read ({why}); {todo}")


def _numbers(field, table, rows):
    values = table.columns.get(field.name)
    if values is not None:
        return values[rows]
    if "joint_ids" in table.columns and isinstance(field.how, JointCoords):
        raise UsageError(
            f"column {field.name!r}: stored sparsely, for a skeleton of {table.n_joints} joints; "
            "iter_joint_chunks gives some examples at a time"
        )
    n = len(table.columns["flags"][rows])
    return np.full((n, *_shape(field, table.n_joints)), _missing(field), _dtype(field))


def _presence(field, table, rows):
    return (table.columns["flags"][rows] & field.flag) != 0


def _of_examples(examples, field, read):
    """Returns values of examples that are asked one by one; None where none has any."""
    values = []
    for example in examples:
        name = field.names.get(example.KIND)
        value = None if name is None else getattr(example, name)
        values.append(value.to_array() if hasattr(value, "to_array") else value)
    if read is _presence:
        return np.array([value is not None for value in values], bool)
    shape = next((np.shape(v) for v in values if v is not None), None)
    if shape is None:
        return None
    dtypes = {v.dtype for v in values if hasattr(v, "dtype")}
    result = np.full(
        (len(values), *shape), _missing(field), np.result_type(_dtype(field), *dtypes)
    )
    for i, value in enumerate(values):
        if value is not None:
            result[i] = value
    return result


def _codes_of_source(source, table, rows, name):
    """Returns numbers of a source's rows, and the strings that they are of, each used.

    One number stands for all rows; a slice says that there is a string for each row.
    """
    if name in _OF_SOURCES:
        return 0, [getattr(source.origin(int(rows[0])), name)]
    if name == "image_path":
        return _image_paths(table, rows)
    if name in _OF_SEQUENCES:
        archive = source.archive()
        says_nothing = not archive.metadata.get("sequence_names")
        if says_nothing and name != "recording":
            return 0, [UNKNOWN]
        numbers, used = _used(table.columns["sequence"][as_slice(rows)])
        texts = _strings(table.columns, "sequence", used)
        if not says_nothing:
            texts = [getattr(archive.origin(text), name) for text in texts]
        return numbers, texts
    field = _FIELDS[name]
    if field.name not in table.columns:
        return 0, [field.default]
    numbers, used = _used(table.columns[field.name][as_slice(rows)])
    return numbers, _strings(table.columns, field.name, used)


def _used(numbers):
    """Returns numbers without gaps, and those that they stand for, rising."""
    there = np.zeros(int(numbers.max()) + 1, bool)
    there[numbers] = True
    used = np.flatnonzero(there)
    if len(used) == len(there):
        return numbers, used
    place = np.zeros(len(there), np.int32)
    place[used] = np.arange(len(used))
    return place[numbers], used


def _image_paths(table, rows):
    columns = table.columns
    values, ptr = columns["name"], columns["name_ptr"]
    starts, ends = ptr[:-1][as_slice(rows)], ptr[1:][as_slice(rows)]
    folders, used = _used(columns["dir"][as_slice(rows)])
    prefixes = [f"{folder}/" if folder else "" for folder in _strings(columns, "dir", used)]
    paths = []
    for i in range(0, len(rows), _CHUNK):
        names = _texts(values, starts[i : i + _CHUNK], ends[i : i + _CHUNK])
        own = folders[i : i + _CHUNK].tolist()
        paths += [prefixes[k] + name for k, name in zip(own, names, strict=True)]
    return slice(None), paths


_CHUNK = 65536


def _strings(columns, name, used):
    values, ptr = columns[f"{name}_strings"], columns[f"{name}_strings_ptr"]
    if len(used) and int(used[-1]) >= len(ptr) - 1:
        raise IndexError(f"string {int(used[-1])} of {len(ptr) - 1}")
    return _texts(values, ptr[:-1][used], ptr[1:][used])


def _texts(values, starts, ends):
    """Returns the texts between places of a byte array."""
    if not len(starts):
        return []
    starts, ends = starts.astype(np.int64), ends.astype(np.int64)
    low, high = int(starts.min()), int(ends.max())
    if not 0 <= low <= high <= len(values):
        raise IndexError(f"bytes {low} to {high} of {len(values)}")
    if high - low > 4 * int((ends - starts).sum()) + _CHUNK:  # far apart: not what is between
        return [values[a:b].tobytes().decode() for a, b in zip(starts, ends, strict=True)]
    blob = values[low:high].tobytes()
    pairs = zip((starts - low).tolist(), (ends - low).tolist(), strict=True)
    if blob.isascii():
        text = blob.decode()
        return [text[a:b] for a, b in pairs]
    return [blob[a:b].decode() for a, b in pairs]
