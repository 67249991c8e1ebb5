"""Rows of tables that pandas has pickled."""

from __future__ import annotations

import os
from typing import Any

from posepile.formats.pickles import read_pickle
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import opened


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
