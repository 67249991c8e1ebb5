"""Rows of tables: pickled by pandas, or in lists of JSON that have the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import iter_json, opened


def read_rows(
    path: str | os.PathLike, schema: dict[str, Any], *, hint: str | None = AGAIN
) -> list[dict[str, Any]]:
    """Returns the checked rows of a pickled DataFrame; only the columns that the schema names.

    >>> from posepile.miniature.pickled import frame, write_pickle
    >>> write_pickle(folder / "a.pkl", frame({"name": ["x", "y"], "age": [7, 8]}))
    >>> read_rows(folder / "a.pkl", {"age": int})
    [{'age': 7}, {'age': 8}]

    Args:
        path: The file.
        schema: Of one row, see :mod:`posepile.formats.schema`.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, damaged or refused; a column is missing or a row not as expected,
            which is named by its number.
    """
    with opened(path, hint=hint):
        pass
    names = [name.removesuffix("?") for name in schema]
    table = check(read_pickle(path), {"*": None}, path, hint=hint)
    known = [name for name in names if name in table]
    rows = zip(*(table[name] for name in known), strict=True)
    return [
        check(dict(zip(known, row, strict=True)), schema, path, f"row {number}", hint=hint)
        for number, row in enumerate(rows)
    ]


def rows_by(values: np.ndarray) -> dict[Any, np.ndarray]:
    """Returns which rows have each value of a column, in the order of the values.

    >>> rows_by(np.array(["b.png", "a.png", "b.png"]))
    {'a.png': array([1]), 'b.png': array([0, 2])}

    Args:
        values: ``[n]``; rows of one value may be anywhere.
    """
    names, of = np.unique(values, return_inverse=True)
    order = np.argsort(of, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(of[order])) + 1)
    return dict(zip(names.tolist(), groups, strict=False))  # no row is one group, too


def paired_rows(
    first: tuple[str | os.PathLike, dict], second: tuple[str | os.PathLike, dict], key: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yields the rows of two pickled DataFrames whose rows are about the same things in one order.

    >>> from posepile.miniature.pickled import frame, write_pickle
    >>> write_pickle(folder / "a.pkl", frame({"file": ["x", "y"], "age": [7, 8]}))
    >>> write_pickle(folder / "b.pkl", frame({"file": ["x", "y"], "height": [120, 130]}))
    >>> ages, heights = {"file": str, "age": int}, {"file": str, "height": int}
    >>> pairs = paired_rows((folder / "a.pkl", ages), (folder / "b.pkl", heights), "file")
    >>> [(a["age"], b["height"]) for a, b in pairs]
    [(7, 120), (8, 130)]

    Args:
        first: File and schema, as of :func:`read_rows`.
        second: File and schema of the other one; axes of the same name are as long in both rows.
        key: Column that both have, of what a row is about.

    Raises:
        CorruptInput: As there, or the tables are about different things.
    """
    (file, schema), (other_file, other_schema) = first, second
    rows, others = read_rows(file, schema), read_rows(other_file, other_schema)
    expected = f" as in {os.fspath(file)}"
    if len(others) != len(rows):
        text = f"found {len(others)} rows; expected {len(rows)}{expected}"
        raise CorruptInput(other_file, text, hint=AGAIN)
    for number, (row, other) in enumerate(zip(rows, others, strict=True)):
        if row[key] != other[key]:
            text = f"row {number}, {key}: found {other[key]}; expected {row[key]}{expected}"
            raise CorruptInput(other_file, text, hint=AGAIN)
        both = {"first table": schema, "second table": other_schema}
        pair = dict(zip(both, (row, other), strict=True))
        yield tuple(check(pair, both, other_file, f"row {number}", hint=AGAIN).values())


def iter_json_pairs(
    path: str | os.PathLike, lists: dict[str, Any], *, hint: str | None = AGAIN
) -> Iterator[tuple[Any, Any]]:
    """Yields the entries of two lists of a JSON file that have the same order, pair by pair.

    >>> _ = (folder / "a.json").write_text('{"images": [{"id": 4}], "annotations": [{"x": 1}]}')
    >>> list(iter_json_pairs(folder / "a.json", {"images": {"id": int}, "annotations": None}))
    [({'id': 4}, {'x': 1})]

    Args:
        path: The file; those of the first list are held in memory.
        lists: Name of each list -> schema of its entries.
        hint: As in :func:`posepile.formats.text_files.read_json`.

    Raises:
        CorruptInput: As there, or the lists are not equally long; entries before have
            been yielded then.
    """
    (name, schema), (other, other_schema) = lists.items()
    first = list(iter_json(path, f"{name}.item", schema, hint=hint))
    n = 0
    for entry in iter_json(path, f"{other}.item", other_schema, hint=hint):
        n += 1
        if n <= len(first):
            yield first[n - 1], entry
    if n != len(first):
        found = f"{other}: found {n} entries; expected {len(first)}, as in {name}"
        raise CorruptInput(path, found, hint=hint)
