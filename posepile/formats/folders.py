"""Folders of numbered files."""

from __future__ import annotations

import re
from pathlib import Path

from posepile.errors import CorruptInput
from posepile.files import names_in


def numbered_files(folder: Path, first: int = 0) -> tuple[Path, ...]:
    r"""Returns the files of a folder by the last number in their names, which must leave no gap.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> for name in ("cam2_002.png", "cam2_001.png", "notes.txt"):
    ...     Path(folder.name, name).touch()
    >>> [path.name for path in numbered_files(Path(folder.name), 1)]
    ['cam2_001.png', 'cam2_002.png']

    Args:
        folder: The folder; hidden files in it and names without a number do not count.
        first: The number of the first picture.

    Raises:
        CorruptInput: No such files, or numbers that leave gaps.
    """
    numbered: dict[int, str] = {}
    for name in sorted(names_in(folder)):
        digits = re.findall(r"\d+", Path(name).stem)
        if digits and not name.startswith("."):
            numbered[int(digits[-1])] = name
    if not numbered:
        raise CorruptInput(folder, "no numbered picture there", hint="fetch or extract it again")
    order = sorted(numbered)
    gap = next((n for n, k in enumerate(order, first) if n != k), None)
    if gap is not None:
        raise CorruptInput(
            folder,
            f"no number {gap} among {len(order)} files numbered {order[0]} to {order[-1]}; "
            f"expected all from {first} on",
            hint="extract it again, or correct the number of the first picture",
        )
    return tuple(folder / numbered[k] for k in order)


def names_like(folder: Path, pattern: str) -> dict[str, tuple[str, ...]]:
    r"""Returns the names in a folder that look like a pattern, in order, with what its groups are.

    >>> (folder / "Walking 1.5413.mp4").touch()
    >>> (folder / "_ALL.5413.mp4").touch()
    >>> names_like(folder, r"([^_]+)\.(\d+)\.mp4")
    {'Walking 1.5413.mp4': ('Walking 1', '5413')}

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: Of whole names, with groups. Other names do not count.
    """
    matches = (re.fullmatch(pattern, name) for name in sorted(names_in(folder)))
    return {match[0]: match.groups() for match in matches if match}


def files_by_number(folder: Path, pattern: str) -> dict[int, Path]:
    r"""Returns the files of a folder by the number in their names, in its order; gaps are fine.

    Numbers, not names, are compared between folders. Should a number appear with and without
    leading zeros, the shorter name counts.

    >>> (folder / "mask0046.png").touch()
    >>> (folder / "notes.txt").touch()
    >>> {number: path.name for number, path in files_by_number(folder, r"mask(\d+)\.png").items()}
    {46: 'mask0046.png'}

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: Of whole names; its first group is the number. Other names do not count.
    """
    found = {}
    for name in sorted(names_in(folder), key=lambda name: (-len(name), name)):
        if match := re.fullmatch(pattern, name):
            found[int(match[1])] = folder / name
    return dict(sorted(found.items()))
