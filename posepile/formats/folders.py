"""Folders of numbered files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from posepile.errors import CorruptInput
from posepile.files import files_below, names_in
from posepile.formats.keys import by_key

ONE_OF_BOTH = "move the one that does not belong there out of the raw folder"


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
        CorruptInput: No such files, two of one number, or numbers that leave gaps.
    """
    found = (
        (int(digits[-1]), name, name)
        for name in sorted(names_in(folder))
        if (digits := re.findall(r"\d+", Path(name).stem)) and not name.startswith(".")
    )
    numbered = by_key(found, folder, "number", hint=ONE_OF_BOTH)
    if not numbered:
        raise CorruptInput(folder, "no numbered picture there", hint="fetch or extract it again")
    files = tuple(folder / numbered[k] for k in sorted(numbered))
    check_numbers(files, first)
    return files


def check_numbers(files: Sequence[Path], first: int = 0) -> None:
    """Makes sure that files of a folder are numbered without a gap, by the last number in a name.

    >>> check_numbers([Path("cam2_001.png"), Path("cam2_003.png")], 1)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: .: no number 2 among 2 files numbered 1 to 3; ...

    Args:
        files: In order.
        first: The number of the first one.

    Raises:
        CorruptInput: There is a gap.
    """
    order = [int(re.findall(r"\d+", path.stem)[-1]) for path in files]
    gap = next((n for n, k in enumerate(order, first) if n != k), None)
    if gap is not None:
        raise CorruptInput(
            files[0].parent,
            f"no number {gap} among {len(order)} files numbered {order[0]} to {order[-1]}; "
            f"expected all from {first} on",
            hint="extract it again, or correct the number of the first picture",
        )


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

    Numbers, not names, are compared between folders.

    >>> (folder / "mask0046.png").touch()
    >>> (folder / "notes.txt").touch()
    >>> {number: path.name for number, path in files_by_number(folder, r"mask(\d+)\.png").items()}
    {46: 'mask0046.png'}

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: Of whole names; its first group is the number. Other names do not count.

    Raises:
        CorruptInput: Two files of one number, as with and without leading zeros.
    """
    matches = (re.fullmatch(pattern, name) for name in sorted(names_in(folder)))
    found = ((int(match[1]), match[0], folder / match[0]) for match in matches if match)
    return dict(sorted(by_key(found, folder, "number", hint=ONE_OF_BOTH).items()))


def files_by_id(folder: Path, pattern: str) -> dict[str, Path]:
    r"""Returns files by the id in their names, whatever folders people have sorted them into.

    >>> (folder / "0000/14").mkdir(parents=True)
    >>> (folder / "0000/14/000014_mask.jpg").touch()
    >>> list(files_by_id(folder, r"(\d{6})_mask\.jpg"))
    ['000014']

    Args:
        folder: Where they lie, or below; if there is none, nothing is found.
        pattern: Of whole names; its first group is the id. Other names do not count.

    Raises:
        CorruptInput: Two files of one id.
    """
    paths = ((re.fullmatch(pattern, path.name), path) for path in files_below(folder, "**/*"))
    found = ((match[1], path, path) for match, path in paths if match)
    return by_key(found, folder, "file of", hint=ONE_OF_BOTH)


def in_order(folder: Path, pattern: str) -> list[Path]:
    r"""Returns the files of a folder in the order of their numbers; of one number perhaps several.

    A unit takes them and refuses two of one number itself, so that the others go on.

    >>> for name in ("10.json", "9.json", "009.json"):
    ...     (folder / name).touch()
    >>> [path.name for path in in_order(folder, r"(\d+)\.json")]
    ['009.json', '9.json', '10.json']

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: As of :func:`files_by_number`.
    """
    found = sorted((int(number), name) for name, (number,) in names_like(folder, pattern).items())
    return [folder / name for _, name in found]
