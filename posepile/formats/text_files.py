"""Raw files that are text: JSON, also huge ones, CSV, XML."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, check


def read_bytes(path: str | os.PathLike, *, hint: str | None = AGAIN) -> bytes:
    """Returns the content of a file.

    Raises:
        CorruptInput: It is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise CorruptInput(path, "file is missing", hint=hint) from None
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}", hint=hint) from None


def read_text(path: str | os.PathLike, *, hint: str | None = AGAIN) -> str:
    r"""Returns a file's text, UTF-8, without a byte-order mark; errors as :func:`read_bytes`.

    >>> _ = (folder / "note.txt").write_bytes(b"\xef\xbb\xbfsubject 7")
    >>> read_text(folder / "note.txt")
    'subject 7'
    """
    try:
        return read_bytes(path, hint=hint).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise CorruptInput(
            path, f"not UTF-8 text: {e.reason} at byte {e.start}", hint=hint
        ) from None


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
        CorruptInput: Missing, damaged or not as expected.
    """
    try:
        content = json.loads(read_text(path, hint=hint))
    except (ValueError, RecursionError) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None
    return check(content, schema, path, hint=hint)


def iter_json(
    path: str | os.PathLike,
    prefix: str,
    schema: Any = None,
    *,
    hint: str | None = AGAIN,
) -> Iterator[Any]:
    """Yields the checked entries of a list in a JSON file of any size, one at a time.

    >>> _ = (folder / "huge.json").write_text('{"annotations": [{"id": 4}, {"id": 9}]}')
    >>> [entry["id"] for entry in iter_json(folder / "huge.json", "annotations.item", {"id": int})]
    [4, 9]

    Args:
        path: The file.
        prefix: Where the entries stand, as ijson has it: ``annotations.item``.
        schema: Of one entry.
        hint: As in :func:`read_json`.

    Raises:
        CorruptInput: As there; entries before the damage have been yielded then.
    """
    import ijson

    try:
        with open(path, "rb") as f:
            for i, entry in enumerate(ijson.items(f, prefix, use_float=True)):
                yield check(entry, schema, path, prefix.replace("item", str(i)), hint=hint)
    except FileNotFoundError:
        raise CorruptInput(path, "file is missing", hint=hint) from None
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}", hint=hint) from None
    except (ijson.JSONError, UnicodeDecodeError) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None


def read_csv(
    path: str | os.PathLike,
    columns: dict[str, type],
    *,
    header: bool = True,
    hint: str | None = AGAIN,
) -> list[dict[str, Any]]:
    r"""Returns the rows of a CSV file, each a dictionary of the columns asked for.

    >>> _ = (folder / "boxes.csv").write_text("frame,left\n0,12.5\n1,13\n")
    >>> read_csv(folder / "boxes.csv", {"frame": int, "left": float})
    [{'frame': 0, 'left': 12.5}, {'frame': 1, 'left': 13.0}]

    Args:
        path: The file; blank lines at its end do not count.
        columns: Name -> ``str``, ``int`` or ``float`` of every column needed. ``"name?"`` may be
            absent or empty, then it is None. Without a header: of all columns, in order.
        header: The first row names the columns.
        hint: As in :func:`read_json`.

    Raises:
        CorruptInput: Missing, not CSV, a column is missing, or a value is not of its type; with
            the line.
    """
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, hint=hint), newline=""), strict=True))
    except csv.Error as e:
        raise CorruptInput(path, f"not a CSV file: {e}", hint=hint) from None
    while rows and not any(rows[-1]):
        rows.pop()
    wanted = {name.removesuffix("?"): name for name in columns}
    names = list(wanted)
    if header:
        names = [name.strip() for name in rows[0]] if rows else []
        missing = [n for n, key in wanted.items() if n == key and n not in names]
        if missing:
            raise CorruptInput(
                path,
                f"line 1: found the columns {', '.join(names) or 'none'}; expected also "
                f"{', '.join(missing)}",
                hint=hint,
            )
    result = []
    for line, row in enumerate(rows[header:], 1 + header):
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
                entry[name] = None if not text and name != key else columns[key](text)
            except ValueError:
                kind = {int: "a whole number", float: "a number"}[columns[key]]
                raise CorruptInput(
                    path, f"line {line}, column {name}: found {text!r}; expected {kind}", hint=hint
                ) from None
        result.append(entry)
    return result


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
    except (ParseError, DefusedXmlException, ValueError) as e:
        raise CorruptInput(path, f"not valid XML: {one_line(e)}", hint=hint) from None
