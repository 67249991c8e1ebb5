"""Raw files that are text: JSON, also huge ones, CSV, XML."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal
from xml.etree.ElementTree import Element, ParseError

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.files import open_regular
from posepile.formats.schema import AGAIN, Array, check, shortened

AS_IT_CAME = "a spreadsheet may have saved it; take the file as it came"


def read_bytes(path: str | os.PathLike, *, hint: str | None = AGAIN) -> bytes:
    """Returns the content of a file.

    >>> _ = (folder / "a.bin").write_bytes(b"ply")
    >>> read_bytes(folder / "a.bin")
    b'ply'

    Raises:
        CorruptInput: It is missing or cannot be read.
    """
    with opened(path, hint=hint) as f:
        return f.read()


@contextmanager
def opened(path: str | os.PathLike, *, hint: str | None = AGAIN) -> Iterator[BinaryIO]:
    """A file open for reading, for a ``with`` statement; errors as :func:`read_bytes`.

    >>> _ = (folder / "note.txt").write_text("subject 7")
    >>> with opened(folder / "note.txt") as f:
    ...     f.read(7)
    b'subject'
    """
    try:
        with open_regular(path) as f:
            yield f
    except FileNotFoundError:
        raise CorruptInput(path, "file is missing", hint=hint) from None
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror or e}", hint=hint) from None


def read_text(path: str | os.PathLike, *, hint: str | None = AGAIN) -> str:
    r"""Returns a file's text, UTF-8, without a byte-order mark; errors as :func:`read_bytes`.

    >>> _ = (folder / "note.txt").write_bytes(b"\xef\xbb\xbfsubject 7")
    >>> read_text(folder / "note.txt")
    'subject 7'
    """
    data = read_bytes(path, hint=hint)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        found = f"{e.reason} at byte {e.start}"
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            found = "it begins like UTF-16, as spreadsheets save"
        raise CorruptInput(path, f"not UTF-8 text: {found}", hint=hint) from None


def read_lines(path: str | os.PathLike, *, hint: str | None = AGAIN) -> list[str]:
    r"""Returns the lines of a text that are not empty, without blanks around them.

    >>> _ = (folder / "list.txt").write_text("walk \n\nrun\r\n")
    >>> read_lines(folder / "list.txt")
    ['walk', 'run']
    """
    return [text for line in read_text(path, hint=hint).splitlines() if (text := line.strip())]


def read_json(path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN) -> Any:
    """Returns the checked content of a JSON file.

    >>> _ = (folder / "take.json").write_text('{"name": "walk", "joints": [[1, 2, 3]]}')
    >>> read_json(folder / "take.json", {"name": str, "joints": Array("J", 3)})
    {'name': 'walk', 'joints': array([[1., 2., 3.]])}

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, damaged or not as expected, or an object has a key twice.
    """

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            key = next(name for name in names if names.count(name) > 1)
            first, second, *_ = (value for name, value in pairs if name == key)
            raise _key_twice(path, "", (key, first, second), hint)
        return found

    text = read_text(path, hint=hint)
    try:
        content = json.loads(text, object_pairs_hook=as_dict)
    except (ValueError, RecursionError) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None
    return check(content, schema, path, hint=hint)


def _key_twice(
    path: str | os.PathLike, place: str, found: tuple[str, Any, Any], hint: str | None
) -> CorruptInput:
    """What to say of a key that an object has twice; a dictionary would keep the last."""
    key, first, second = found
    place = f"{place}: " if place else ""
    return CorruptInput(
        path,
        f"{place}found key {key!r} twice in one object, as {shortened(first)} and as "
        f"{shortened(second)}; expected once",
        hint=hint,
    )


def iter_json(
    path: str | os.PathLike,
    prefix: str,
    schema: Any = None,
    *,
    keyed: bool = False,
    hint: str | None = AGAIN,
) -> Iterator[Any]:
    """Yields the checked entries of a list in a JSON file of any size, one at a time.

    ``NaN`` and ``Infinity``, which Python writes although they are no JSON, become None.

    >>> _ = (folder / "huge.json").write_text('{"annotations": [{"id": 4}, {"id": 9}]}')
    >>> [entry["id"] for entry in iter_json(folder / "huge.json", "annotations.item", {"id": int})]
    [4, 9]

    Args:
        path: The file.
        prefix: Where the entries stand, as ijson has it: ``annotations.item``.
        schema: Of one entry.
        keyed: They are those of an object at ``prefix`` (empty: the file's outermost one): yields
            key and entry.
        hint: As in :func:`read_json`.

    Raises:
        CorruptInput: As there, or no such list or object; entries before the damage have been
            yielded then.
    """
    import ijson

    twice: list[tuple[dict, str, Any, Any]] = []

    class Once(dict):
        """A dictionary that notes which keys are set again; the parser passes no error on."""

        __slots__ = ()

        def __setitem__(self, key: str, value: Any) -> None:
            if key in self:
                twice.append((self, key, self[key], value))
            dict.__setitem__(self, key, value)

    name = prefix if keyed else prefix.removesuffix("item").rstrip(".")
    i, keys = -1, set()
    try:
        with opened(path, hint=hint) as f:
            parse = ijson.kvitems if keyed else ijson.items
            entries = parse(_NullForNan(f), prefix, use_float=True, map_type=Once)
            for i, given in enumerate(entries):
                key, entry = given if keyed else (i, given)
                place = f"{name}.{key}".lstrip(".")
                # The parser is some entries ahead.
                if twice and _is_within(twice[0][0], entry):
                    raise _key_twice(path, place, twice[0][1:], hint)
                if keyed and key in keys:
                    raise CorruptInput(path, f"{place}: found twice; expected once", hint=hint)
                keys.add(key)
                found = check(entry, schema, path, place, hint=hint)
                yield (key, found) if keyed else found
        if i < 0:  # an empty list, or none
            kind, word = (dict, "object") if keyed else (list, "list")
            with opened(path, hint=hint) as f:
                if not isinstance(next(ijson.items(_NullForNan(f), name), None), kind):
                    raise CorruptInput(path, f"found no {word} {name!r}; expected one", hint=hint)
    except (ijson.JSONError, UnicodeDecodeError, _TooDeep) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None


def _is_within(wanted: dict, node: Any) -> bool:
    """Whether an object is another one or one of those in it."""
    waiting = [node]  # no recursion: the node may be as deep as Python goes
    while waiting:
        if (node := waiting.pop()) is wanted:
            return True
        waiting += (
            node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        )
    return False


class _TooDeep(ValueError):
    """JSON that is nested more deeply than any annotation is."""


_DEEPEST = 500
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_NO_STEPS = bytes(set(range(256)) - set(b'[]{}"'))


class _NullForNan:
    """A JSON file as read with ``null`` in place of ``NaN`` and ``Infinity`` outside of texts.

    It is read no further than lists and objects are nested deeply: for each level the parser keeps
    the names of all levels above.
    """

    _TEXT_OR_NAN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("|$)|-?Infinity|NaN', re.DOTALL)

    def __init__(self, file: BinaryIO):
        self._file, self._kept, self._in_text, self._depth = file, b"", False, 0

    def read(self, n: int = 1 << 16) -> bytes:
        """Returns some bytes, none at the end of the file."""
        while n:
            new = self._file.read(n)
            found = self._kept + new
            # Neither a number nor what is escaped in a text goes on behind a comma.
            end = found.rfind(b",") + 1 if new else len(found)
            self._kept = found[end:]
            if end or not new:
                some = found[:end]
                plain = re.sub(rb"\\.", b"", some, flags=re.DOTALL) if b"\\" in some else some
                self._descend(plain)
                return self._replaced(some, plain)
        return b""

    def _descend(self, plain: bytes) -> None:
        """Counts how deeply the file is nested behind these bytes, which hold nothing escaped."""
        codes = np.frombuffer(plain.translate(None, _NO_STEPS), np.uint8)
        in_text = np.logical_xor.accumulate(codes == ord('"')) ^ self._in_text
        steps = np.where(in_text, 0, _STEPS[codes])
        depth = np.cumsum(steps, dtype=np.int32)
        if len(depth):
            if self._depth + depth.max() > _DEEPEST:
                raise _TooDeep(f"lists and objects are nested more than {_DEEPEST} deep")
            self._depth += int(depth[-1])

    def _replaced(self, some: bytes, plain: bytes) -> bytes:
        if b"NaN" not in some and b"Infinity" not in some:
            self._in_text ^= bool(plain.count(b'"') % 2)
            return some
        before = b'"' * self._in_text
        self._in_text = False

        def one(match: re.Match) -> bytes:
            if match[1] is None:
                return b"null"
            self._in_text = not match[1]
            return match[0]

        return self._TEXT_OR_NAN.sub(one, before + some)[len(before) :]


def read_csv(
    path: str | os.PathLike,
    columns: dict[str, type],
    *,
    header: bool | Literal["unnamed"] = True,
    separator: str = ",",
    hint: str | None = AGAIN,
) -> list[dict[str, Any]]:
    r"""Returns the rows of a CSV file, each a dictionary of the columns asked for.

    >>> _ = (folder / "boxes.csv").write_text("frame,left\n0,12.5\n1,13\n")
    >>> read_csv(folder / "boxes.csv", {"frame": int, "left": float})
    [{'frame': 0, 'left': 12.5}, {'frame': 1, 'left': 13.0}]

    Args:
        path: The file; blank lines at its end do not count.
        columns: Name -> ``str``, ``int`` or ``float`` of every column needed. ``"name?"`` may be
            absent or empty, then it is None. Without a header that names them: of all columns, in
            order.
        header: Whether the first row names the columns; ``unnamed``: there is such a row, but its
            names are not known.
        separator: Between the columns.
        hint: As in :func:`read_json`.

    Raises:
        CorruptInput: Missing, not CSV, a column is missing, or a value is not of its type; with
            the line.
    """
    text = read_text(path, hint=hint)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise CorruptInput(path, f"line {line}: found a NUL byte; expected text", hint=hint)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as e:
        raise CorruptInput(path, f"not a CSV file: {e}", hint=hint) from None
    while rows and not any(rows[-1]):
        rows.pop()
    wanted = {name.removesuffix("?"): name for name in columns}
    names = list(wanted)
    if header == "unnamed":
        if not rows or _are_values(rows[0], columns):
            found = repr(",".join(rows[0])) if rows else "nothing"
            raise CorruptInput(
                path, f"line 1: found {found}; expected a header row above the values", hint=hint
            )
    elif header:
        names = [name.strip() for name in rows[0]] if rows else []
        missing = [n for n, key in wanted.items() if n == key and n not in names]
        twice = [n for n in wanted if names.count(n) > 1]
        if twice:
            raise CorruptInput(
                path, f"line 1: found two columns {twice[0]}; expected one", hint=hint
            )
        if missing:
            raise CorruptInput(
                path,
                f"line 1: found the columns {', '.join(names) or 'none'}; expected also "
                f"{', '.join(missing)}",
                hint=hint,
            )
    result = []
    for line, row in enumerate(rows[bool(header) :], 1 + bool(header)):
        while len(row) > len(names) and not row[-1]:  # as spreadsheets add them
            row.pop()
        if len(row) != len(names):
            found = ",".join(row)
            raise CorruptInput(
                path, f"line {line}: found {found!r}; expected {','.join(names)}", hint=hint
            )
        texts = dict(zip(names, map(str.strip, row), strict=True))
        entry = {}
        for name, key in wanted.items():
            text = texts.get(name, "")
            try:
                entry[name] = None if not text and name != key else _value(columns[key], text)
            except ValueError:
                kind = {int: "a whole number", float: "a number"}[columns[key]]
                raise CorruptInput(
                    path, f"line {line}, column {name}: found {text!r}; expected {kind}", hint=hint
                ) from None
        result.append(entry)
    return result


def _value(kind: type, text: str) -> Any:
    """A text as a value; Python would also take other digits than 0 to 9, and underscores."""
    if kind is not str and not (text.isascii() and "_" not in text and len(text) < 100):
        raise ValueError(text)
    return kind(text)


def _are_values(row: list[str], columns: dict[str, type]) -> bool:
    try:
        for kind, text in zip(columns.values(), row, strict=True):
            _value(kind, text)
    except ValueError:
        return False
    return any(kind is not str for kind in columns.values())


def read_numbers(
    path: str | os.PathLike,
    schema: Array,
    *,
    numbered: bool = False,
    comment: str | None = None,
    hint: str | None = AGAIN,
) -> np.ndarray:
    r"""Returns the checked numbers of a text file, a row for each line that is not empty.

    >>> _ = (folder / "palette.txt").write_text("0\t[55, 181, 57]\n1\t[153, 108, 6]\n")
    >>> read_numbers(folder / "palette.txt", Array("n", 3, dtype=int), numbered=True)[1].tolist()
    [153, 108, 6]

    Args:
        path: The file; brackets, commas, semicolons and blanks are between the numbers.
        schema: Of all rows together.
        numbered: Every row begins with its number, counted from 0, which is taken away.
        comment: Lines that begin with it are no rows.
        hint: As in :func:`read_json`.

    Raises:
        CorruptInput: Missing, something else than numbers, or not as expected.
    """
    rows = []
    for line, text in enumerate(read_text(path, hint=hint).splitlines(), 1):
        if comment is not None and text.lstrip().startswith(comment):
            continue
        row = numbers_in(text, path, line, hint)
        if numbered and row and row.pop(0) != len(rows):
            found = f"line {line}: found {text!r}; expected row {len(rows)} there"
            raise CorruptInput(path, found, hint=hint)
        rows += [row] if row else []
    return check(rows, schema, path, hint=hint)


def numbers_in(
    text: str, path: str | os.PathLike, line: int, hint: str | None = AGAIN
) -> list[float]:
    """Returns the numbers of a line; brackets, commas, semicolons and blanks are between them.

    >>> numbers_in("[1.5, 2]", "camera.txt", 7)
    [1.5, 2.0]

    Raises:
        CorruptInput: Something else than numbers; with the line.
    """
    words = text.translate(str.maketrans("[](),;", "      ")).split()
    try:
        return [_value(float, word) for word in words]
    except ValueError as e:
        fault = f"line {line}: {one_line(e)[:80]}; expected numbers"
        raise CorruptInput(path, fault, hint=hint) from None


def read_xml(path: str | os.PathLike, *, hint: str | None = AGAIN) -> Element:
    """Returns the root element of an XML file; entities and external references are refused.

    >>> _ = (folder / "meta.xml").write_text("<meta><actor>S1</actor></meta>")
    >>> read_xml(folder / "meta.xml").findtext("actor")
    'S1'

    Raises:
        CorruptInput: Missing, damaged, or it holds what is refused.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(read_bytes(path, hint=hint))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as e:  # of an encoding
        raise CorruptInput(path, f"not valid XML: {one_line(e)}", hint=hint) from None
