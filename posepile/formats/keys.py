"""Entries of raw files by what they are called; none may be there twice."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from posepile.errors import CorruptInput
from posepile.files import names_in


def by_key(
    entries: Iterable[tuple[Hashable, Any, Any]],
    file: str | os.PathLike,
    what: str,
    *,
    hint: str | None = None,
) -> dict[Any, Any]:
    """Returns values by their keys, in order; two of one key are refused, with both places.

    A plain dictionary would silently keep the last.

    >>> by_key([(7, "a_7.png", "first"), (8, "a_8.png", "second")], "images", "frame")
    {7: 'first', 8: 'second'}
    >>> by_key([(7, "a_7.png", "first"), (7, "a_007.png", "second")], "images", "frame")
    Traceback (most recent call last):
    posepile.errors.CorruptInput: images: frame 7: found at a_7.png and at a_007.png; expected once

    Args:
        entries: (key, place in the file, value).
        file: File or folder that the places are in, for the message.
        what: What a key is called there, e.g. ``image id``.
        hint: What the user can do about it.

    Raises:
        CorruptInput: Two entries have one key.
    """
    values: dict = {}
    places: dict = {}
    for key, place, value in entries:
        if key in values:
            name = " ".join(map(str, key)) if isinstance(key, tuple) else key
            raise CorruptInput(
                file,
                f"{what} {name}: found at {places[key]} and at {place}; expected once",
                hint=hint,
            )
        values[key], places[key] = value, place
    return values


def splits_by_name(
    lists: Mapping[str, Iterable[str]], file: str | os.PathLike, pattern: str
) -> dict[str, str]:
    r"""Returns the split of each name, of the lists of names of each split.

    >>> splits_by_name({"train": ["s1_walk"], "test": ["s2_walk"]}, "split.json", r"s\d_\w+")
    {'s1_walk': 'train', 's2_walk': 'test'}
    >>> splits_by_name({"train": ["s1_walk"], "test": ["s2_walk\r"]}, "split.json", r"s\d_\w+")
    Traceback (most recent call last):
    posepile.errors.CorruptInput: split.json: test: found 's2_walk\r'; expected names like ...

    Args:
        lists: Split -> names.
        file: File or folder of the lists, for messages.
        pattern: Of whole names. A name with a blank or a line's end at its end is no recording's.

    Raises:
        CorruptInput: A name that does not look like the pattern, or is listed twice; a split
            without any.
    """
    named = [(name, split, split) for split in lists for name in lists[split]]
    odd = next((row for row in named if not re.fullmatch(pattern, row[0])), None)
    if odd:
        expected = f"names like {pattern}"
        raise CorruptInput(file, f"{odd[1]}: found {odd[0]!r}; expected {expected}")
    empty = lists.keys() - {split for _, split, _ in named}
    if empty:
        raise CorruptInput(file, f"{min(empty)}: found no name; expected some in every list")
    return by_key(named, file, "split of")


def by_number(entries: Mapping[str, Any], file: str | os.PathLike, what: str) -> dict[int, Any]:
    """Returns the entries of a JSON object by the decimal numbers that are its keys.

    >>> by_number({"0": "first", "7": "second"}, "poses.json", "frame")
    {0: 'first', 7: 'second'}

    Args:
        entries: The object.
        file: For messages.
        what: What a number is called, e.g. ``frame``.

    Raises:
        CorruptInput: A key is no decimal number, or two are the same one: ``0`` and ``000``.
    """
    wrong = next((key for key in entries if not (key.isascii() and key.isdigit())), None)
    if wrong is not None:
        raise CorruptInput(file, f"{what} key {wrong!r} is not a decimal number")
    return by_key(((int(k), repr(k), value) for k, value in entries.items()), file, what)


def by_name(folder: str | os.PathLike, key_of: Callable[[str], Any]) -> dict[Any, str]:
    """Returns the names in a folder by what they stand for, in order; two of one are refused.

    >>> for name in ("walk.cdf", "sit.cdf", "notes.txt"):
    ...     (folder / name).touch()
    >>> by_name(folder, lambda name: name[:-4] if name.endswith(".cdf") else None)
    {'sit': 'sit.cdf', 'walk': 'walk.cdf'}

    Args:
        folder: The folder; if there is none, nothing is found.
        key_of: Name -> what it stands for; None = it does not count.

    Raises:
        CorruptInput: Two names stand for the same.
    """
    named = ((key_of(name), name, name) for name in sorted(names_in(folder)))
    return by_key((entry for entry in named if entry[0] is not None), folder, "file of")


def alike(paths: Iterable[Path], pattern: str) -> dict[tuple[str, ...], list[Path]]:
    r"""Returns files by what their names say, in any case; several that say the same are all kept.

    A unit takes them all and says with :func:`only_one` that there are two; the others go on.

    >>> paths = [Path("walk_C1.AVI"), Path("old/walk_c1.avi"), Path("notes.txt")]
    >>> {key: len(same) for key, same in alike(paths, r"(\w+)_C(\d)\.avi").items()}
    {('walk', '1'): 2}

    Args:
        paths: The files.
        pattern: Of whole names, with groups, which are in lower case in the keys. Other names do
            not count.
    """
    found: dict[tuple[str, ...], list[Path]] = {}
    for path in sorted(paths):
        if match := re.fullmatch(pattern, path.name, re.IGNORECASE):
            found.setdefault(tuple(group.lower() for group in match.groups()), []).append(path)
    return found


def only_one(paths: Iterable[Path], what: str) -> Path | None:
    """Returns the one of some places at which something is; None if it is at none of them.

    >>> (folder / "data").mkdir()
    >>> only_one([folder / "data", folder / "dataset"], "the labels").name
    'data'

    Args:
        paths: Where it may lie, as people's disks and releases differ.
        what: What that is, for the message.

    Raises:
        CorruptInput: It is at two of them, and these are neither links to the same nor files of
            the same content.
    """
    found = [path for path in map(Path, paths) if path.name in names_in(path.parent)]
    other = next((path for path in found[1:] if not _is_same(found[0], path)), None)
    if other is not None:
        raise CorruptInput(
            other,
            f"{what}: found here and at {found[0]}; expected once",
            hint="move the one that does not belong there out of the raw folder",
        )
    return found[0] if found else None


def _is_same(first: Path, second: Path) -> bool:
    return os.path.samefile(first, second) or filecmp.cmp(first, second, shallow=False)
