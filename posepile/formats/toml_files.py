"""Raw files in TOML."""

from __future__ import annotations

import os
from typing import Any

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import read_text


def read_toml(path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN) -> Any:
    r"""Returns the checked content of a TOML file.

    >>> _ = (folder / "take.toml").write_text('name = "walk"\nsize = [640, 480]\n')
    >>> read_toml(folder / "take.toml", {"name": str, "size": Array(2, dtype=int)})["size"]
    array([640, 480])

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, not TOML, or not as expected.
    """
    text = read_text(path, hint=hint)
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        raise CorruptInput(path, f"not valid TOML: {one_line(e)}", hint=hint) from None
    return check(content, schema, path, hint=hint)
