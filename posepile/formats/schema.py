"""What a raw file must hold, declared as one literal, and checked in one call.

A schema is built of

* ``Array("T", 24, 3)``: numbers of that shape; a name stands for an axis of any length that is the
  same wherever the name appears in one call; ``Array()`` is one number;
* a dictionary: keys that must be there; ``"key?"`` may be absent or null; ``"*"`` is the schema of
  all other keys, which are left out otherwise;
* ``[item]``: a list of items;
* a type, or a tuple of types: ``int``, ``float`` (takes whole numbers, refuses NaN and infinity),
  ``str``, ``bool``;
* ``OneOf("train", "val")``: one of these values;
* ``None``: anything, taken as it is.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from posepile.errors import CorruptInput

# Of a list as long as a file only the first entries are looked at.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 70

AGAIN = "fetch or extract it again"


class Array:
    """Numbers of one shape; see the module's docstring.

    Args:
        *shape: Lengths, names of free axes, or ``...`` for any number of leading axes.
        dtype: Of the result. What cannot become it (text, fractions where integers are expected,
            numbers out of its range) is refused.
        finite: Refuse NaN and infinity; otherwise None is NaN, as JSON has no other word for it.
        squeezed: Axes of length 1 may have been lost, as MATLAB does.
    """

    def __init__(
        self,
        *shape: int | str | Any,
        dtype: Any = np.float64,
        finite: bool = True,
        squeezed: bool = False,
    ):
        self.shape, self.dtype, self.finite = shape, np.dtype(dtype), finite
        self.squeezed = squeezed

    def __repr__(self) -> str:
        return f"{_kind(self.dtype)} of shape {_text(self.shape)}"


class OneOf:
    """One of some values; see the module's docstring."""

    def __init__(self, *values: Any):
        self.values = values

    def __repr__(self) -> str:
        return " or ".join(map(repr, self.values))


def check(
    value: Any,
    schema: Any,
    file: str | os.PathLike,
    place: str = "",
    *,
    hint: str | None = None,
) -> Any:
    """Returns a value in the form that a schema declares: dictionaries, lists, arrays.

    >>> check({"R": np.eye(3).tolist(), "id": 7}, {"R": Array(3, 3), "id": int}, "a.json")["id"]
    7
    >>> check({"poses": [[1, 2]]}, {"poses": Array("T", 3)}, "a.json")
    Traceback (most recent call last):
    posepile.errors.CorruptInput: a.json: poses: found shape (1, 2); expected shape (T, 3)

    Args:
        value: What a reader found.
        schema: What is expected.
        file: For messages.
        place: Where in the file the value stands.
        hint: What the user can do about it.

    Raises:
        CorruptInput: File, place, what was found and what was expected.
    """
    return _Check(file, hint).value(value, schema, place)


def lookup(data: Any, key: str, file: str | os.PathLike, *, hint: str | None = None) -> Any:
    """Returns the value below a dotted key of nested mappings and lists.

    >>> lookup({"cameras": [{"K": 1}, {"K": 2}]}, "cameras.1.K", "a.json")
    2

    Raises:
        CorruptInput: Names the part of the key that is missing and what there is instead.
    """
    node = data
    for part in key.split("."):
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise CorruptInput(
                file, f"has no {part!r} of key {key!r}; there: {_names(node)}", hint=hint
            ) from None
    return node


class _Check:
    """One call of :func:`check`: the axes whose length is known by now."""

    def __init__(self, file: str | os.PathLike, hint: str | None):
        self.file, self.hint = file, hint
        self.axes: dict[str, tuple[int, str]] = {}

    def value(self, value: Any, schema: Any, place: str) -> Any:
        if schema is None:
            return value
        if isinstance(schema, Array):
            return self.array(value, schema, place)
        if isinstance(schema, dict):
            return self.mapping(value, schema, place)
        if isinstance(schema, list):
            if not isinstance(value, (list, tuple)) and not (
                isinstance(value, np.ndarray) and value.ndim == 1
            ):
                self.refuse(place, shortened(value), "a list")
            return [self.value(v, schema[0], f"{place}[{i}]") for i, v in enumerate(value)]
        if isinstance(schema, OneOf):
            value = _unwrapped(value)
            if not any(type(value) is type(v) and value == v for v in schema.values):
                self.refuse(place, shortened(value), schema)
            return value
        return self.scalar(value, schema, place)

    def mapping(self, value: Any, schema: dict, place: str) -> dict:
        if not isinstance(value, Mapping):
            named = f" with {_names(schema)}" if set(schema) - {"*"} else ""
            self.refuse(place, shortened(value), f"a mapping{named}")
        result, known = {}, set()
        for key, inner in schema.items():
            if key == "*":
                continue
            name = key.removesuffix("?") if isinstance(key, str) else key
            known.add(name)
            if name in value and not (value[name] is None and name != key):
                result[name] = self.value(value[name], inner, f"{place}.{name}".lstrip("."))
            elif name == key:
                self.refuse(place, f"no {name} (there: {_names(value)})", f"the key {name}")
        if "*" in schema:
            for name in value:
                if name not in known:
                    result[name] = self.value(
                        value[name], schema["*"], f"{place}.{name}".lstrip(".")
                    )
        return result

    def scalar(self, value: Any, schema: Any, place: str) -> Any:
        types = schema if isinstance(schema, tuple) else (schema,)
        expected = " or ".join(t.__name__ for t in types)
        found, value = value, _unwrapped(value)
        if isinstance(value, int) and not isinstance(value, bool) and int not in types:
            try:
                value = float(value) if float in types else value
            except OverflowError:
                self.refuse(place, shortened(found), expected)
        # Every number of MATLAB is a floating-point one.
        if value is not found and isinstance(value, float) and float not in types:
            value = int(value) if int in types and value.is_integer() else value
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            self.refuse(place, shortened(value), expected)
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(place, value, "a finite number")
        return value

    def array(self, value: Any, schema: Array, place: str) -> np.ndarray:
        try:
            found = np.asarray(value)
        except ValueError:
            self.refuse(place, "lists of different lengths", schema)
        if found.dtype.kind == "O" and schema.dtype.kind == "f" and not schema.finite:
            found = _nan_for_none(found)
        if found.size == 0 and found.ndim < len(schema.shape):
            # An empty list says nothing about the axes behind the first.
            rest = [self.axes.get(n, (0,))[0] if isinstance(n, str) else n for n in schema.shape]
            found = found.reshape([0, *rest[1:]])
            schema = Array(schema.shape[0], *found.shape[1:], dtype=schema.dtype)
        if found.dtype.kind == "O" or not _fits(found, schema.dtype):
            self.refuse(place, f"{_kind(found.dtype)}, {shortened(value)}", schema)
        if schema.shape == () and found.size == 1:
            found = found.reshape(())
        if schema.squeezed and found.ndim < len(schema.shape):
            found = _unsqueezed(found, schema.shape)
        expected, given = schema.shape, found.shape
        if expected[:1] == (...,):
            expected = expected[1:]
            given = given[len(given) - len(expected) :] if len(given) >= len(expected) else given
        if len(given) != len(expected) or not all(
            self.axis(n, wanted, place) for n, wanted in zip(given, expected, strict=True)
        ):
            known = {n: self.axes[n] for n in expected if isinstance(n, str) and n in self.axes}
            there = "".join(
                f", where {name} is {length} as in {where}"
                for name, (length, where) in known.items()
                if where != place
            )
            wanted = f"shape {_text(schema.shape)}{there}" if schema.shape else "one number"
            self.refuse(place, f"shape {found.shape}", wanted)
        with np.errstate(over="ignore", invalid="ignore"):
            result = found.astype(schema.dtype)
        if result.dtype.kind in "iu" and not np.array_equal(result, found):
            self.refuse(
                place, f"numbers of {found.min():g} to {found.max():g}", f"those of {schema.dtype}"
            )
        if schema.finite and result.dtype.kind == "f" and not np.isfinite(result).all():
            at = tuple(np.argwhere(~np.isfinite(result))[0].tolist())  # () of one number
            self.refuse(place, f"{result[at]}{f' at {list(at)}' * bool(at)}", "finite numbers")
        return result

    def axis(self, length: int, wanted: int | str, place: str) -> bool:
        if not isinstance(wanted, str):
            return length == wanted
        return self.axes.setdefault(wanted, (length, place))[0] == length

    def refuse(self, place: str, found: Any, expected: Any) -> None:
        text = f"{place}: " if place else ""
        text += f"found {found}; expected {expected}"
        # Names of keys are the file's, and may hold line breaks.
        raise CorruptInput(self.file, " ".join(text.split()), hint=self.hint) from None


def _unwrapped(value: Any) -> Any:
    """A plain value out of one of NumPy's."""
    one = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1)
    return value.item() if one else value


def _nan_for_none(array: np.ndarray) -> np.ndarray:
    """The array as numbers if it holds nothing else than numbers and None."""
    if all(value is None or type(value) in (int, float) for value in array.flat):
        with contextlib.suppress(OverflowError):
            return array.astype(np.float64)
    return array


def _unsqueezed(array: np.ndarray, shape: tuple) -> np.ndarray:
    """The array with axes of length 1 put back where the shape has 1 or a name, if that fits."""
    candidates = [i for i, n in enumerate(shape) if isinstance(n, str) or n == 1]
    for axes in itertools.combinations(candidates, len(shape) - array.ndim):
        restored = np.expand_dims(array, axes)
        if all(isinstance(n, str) or n == m for n, m in zip(shape, restored.shape, strict=True)):
            return restored
    return array


def _fits(array: np.ndarray, dtype: np.dtype) -> bool:
    if dtype.kind in "iu" and array.dtype.kind == "f":
        return bool((array == np.round(array)).all())
    kinds = {"f": "fiub", "i": "iub", "u": "iub", "b": "b", "U": "U", "S": "S"}
    return array.size == 0 or array.dtype.kind in kinds.get(dtype.kind, dtype.kind)


def _kind(dtype: np.dtype) -> str:
    kinds = {"f": "numbers", "i": "integers", "u": "integers", "b": "truth values"}
    kinds |= {"O": "objects", "c": "complex numbers"}
    return kinds.get(dtype.kind, "text")


def _text(shape: tuple) -> str:
    inner = ", ".join("..." if n is ... else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def shortened(value: Any) -> str:
    """Returns a value as a few characters, for a message.

    >>> shortened({"x": list(range(9))})
    "{'x': [0, 1, 2, 3, 4, 5, ...]}"
    """
    try:
        text = " ".join(_REPR.repr(value).split())
    except ValueError:  # an integer of thousands of digits
        text = f"{type(value).__name__} too long to print"
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."


def _names(node: Any) -> str:
    if isinstance(node, Mapping):
        names = sorted(
            " ".join(str(name).removesuffix("?").split()) for name in node if name != "*"
        )
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        return ", ".join(names[:10]) + more or "nothing"
    return f"{len(node)} entries" if isinstance(node, (list, tuple)) else type(node).__name__
