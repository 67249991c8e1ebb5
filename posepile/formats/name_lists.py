"""Lists of names, one a line, under a heading."""

from __future__ import annotations

import os
import re

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN, shortened
from posepile.formats.text_files import read_text


def read_counted_names(
    path: str | os.PathLike, pattern: str, *, hint: str | None = AGAIN
) -> list[str]:
    r"""Returns the names of a list, in order, whose heading begins with how many there are.

    The heading ends with an empty line. A list that is cut short, or another page in its place,
    would otherwise name fewer, or nobody.

    >>> _ = (folder / "missing.txt").write_text("2 of the clips are incomplete.\n\nS001\nS007\n")
    >>> read_counted_names(folder / "missing.txt", r"S\d{3}")
    ['S001', 'S007']

    Args:
        path: The file.
        pattern: Of whole names.
        hint: What the user can do about a damaged file.

    Raises:
        CorruptInput: It is missing, has no such heading, names something else, or names another
            number of different ones.
    """
    lines = [line.strip() for line in read_text(path, hint=hint).strip().splitlines()]
    heading = lines.index("") if "" in lines else 0
    told = re.match(r"[0-9]{1,9} ", lines[0]) if heading else None
    if told is None:
        found = f"line 1: found {shortened(lines[0] if lines else '')}; expected how many names"
        raise CorruptInput(path, f"{found} follow after an empty line", hint=hint)
    names = []
    for k, line in enumerate(lines[heading:], heading + 1):
        if line and not re.fullmatch(pattern, line):
            found = f"line {k}: found {shortened(line)}; expected a name like {pattern}"
            raise CorruptInput(path, found, hint=hint)
        names += [line] if line else []
    if len({*names}) != int(told[0]):
        found = f"found {len({*names})} different names; expected {int(told[0])}, as line 1 says"
        raise CorruptInput(path, found, hint=hint)
    return names
