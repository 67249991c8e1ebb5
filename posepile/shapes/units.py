"""Units of work with named input files, and counts that have to agree."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in, presence
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_numbers
from posepile.recipe import Unit

Files = Mapping[str, Path | Iterable[Path]]

UNLABELLED = "picture without annotations"


def make_unit(id: str, split: str, files: Files, **args: Any) -> Unit:
    """Returns a unit whose input files have names, see :func:`unit_files`.

    >>> unit = make_unit("s1/walk", "train", {"video": Path("a.mp4"), "masks": [Path("0.png")]})
    >>> unit_files(unit)["masks"]
    (PosixPath('0.png'),)

    Args:
        id: As of :class:`posepile.recipe.Unit`.
        split: ``train``, ``val`` or ``test``.
        files: Name -> raw file, or several. A file whose name ends in ``?`` may be missing, and is
            then not among those of the unit.
        **args: Whatever else the recipe has to know when it loads the unit; plain data.
    """
    paths: list[Path] = []
    # A list, since the keys of a dictionary would not keep their order on the disk.
    counts: list[list] = []
    is_there = presence()
    for key, given in files.items():
        name = key.removesuffix("?")
        if name != key and not is_there(Path(given)):
            continue
        one = isinstance(given, (str, os.PathLike))
        some = [given] if one else list(given)
        paths += map(Path, some)
        counts.append([name, None if one else len(some)])
    return Unit(id, split, tuple(paths), {"files": counts, **args})


def unit_files(unit: Unit) -> dict[str, Any]:
    """Returns the input files of a unit by name: a path, or a tuple of them.

    >>> unit_files(make_unit("walk", "train", {"video": Path("walk.mp4")}))
    {'video': PosixPath('walk.mp4')}
    """
    files, paths = {}, iter(unit.inputs)
    for name, count in unit.args["files"]:
        some = tuple(next(paths) for _ in range(1 if count is None else count))
        files[name] = some[0] if count is None else some
    return files


def view_units(
    id: str, split: str, views: Mapping[str, Files], shared: Files, **args: Any
) -> Iterator[Unit]:
    """Yields a unit for every view of a recording, ``<id>/<view>``.

    >>> views = {"left": {"video": Path("l.mp4")}, "right": {"video": Path("r.mp4")}}
    >>> [unit.id for unit in view_units("s1/walk", "train", views, {"joints": Path("j.npy")})]
    ['s1/walk/left', 's1/walk/right']

    Args:
        id: Of the recording.
        split: ``train``, ``val`` or ``test``.
        views: View -> files of that view alone.
        shared: Files that all views need.
        **args: As of :func:`make_unit`; ``view`` is added to them.
    """
    for view, files in views.items():
        yield make_unit(f"{id}/{view}", split, {**files, **shared}, view=view, **args)


def same_count(counts: Mapping[str | os.PathLike, int], what: str = "frames") -> int:
    """Returns the one number of frames (or whatever is counted) that all files have.

    >>> same_count({Path("joints.npy"): 7, Path("boxes.csv"): 7})
    7

    Args:
        counts: File -> how many it holds; the first one is the measure.
        what: What is counted.

    Raises:
        CorruptInput: Two files hold different numbers.
    """
    (first, expected), *others = counts.items()
    for file, found in others:
        if found != expected:
            raise CorruptInput(
                file,
                f"found {found} {what}; expected {expected}, as in {os.fspath(first)}",
                hint="fetch or extract both again",
            )
    return expected


def usable_only(
    parts: Iterable[Any], judge: Callable[[Any], Any], where: str | os.PathLike
) -> tuple[dict[Any, Any], dict[Any, CorruptInput]]:
    """Returns what is found of each part of a dataset that can be used, and faults of the others.

    For parts that many units share, so that a bad one costs what is made of it, and no more.

    >>> def judge(take):
    ...     if take == 3:
    ...         raise CorruptInput(f"{take}.mat", "cut short")
    ...     return take**2
    >>> found, faults = usable_only([2, 3], judge, "takes")
    >>> found, [str(fault) for fault in faults.values()]
    ({2: 4}, ['3.mat: cut short'])

    Args:
        parts: They.
        judge: Part -> what is found of it; raises CorruptInput.
        where: Their folder, for the message.

    Raises:
        CorruptInput: None can be used.
    """
    found, faults = {}, {}
    for part in parts:
        try:
            found[part] = judge(part)
        except CorruptInput as e:
            faults[part] = e
    if not found:
        raise next(iter(faults.values()), CorruptInput(where, "nothing there that can be used"))
    return found, faults


def read_row_numbers(path: Path, column: int, pictures: Sequence[Path], n_rows: int) -> np.ndarray:
    r"""Returns which row of a motion each picture is of, as a table of numbers says.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> table = Path(folder.name, "rows.txt")
    >>> _ = table.write_text("0 0.0 0\n1 0.1 22\n")
    >>> read_row_numbers(table, 2, [Path("a/0.jpg"), Path("a/1.jpg")], 40).tolist()
    [0, 22]

    Args:
        path: The table, a line for each picture.
        column: Which one holds the rows, from 0.
        pictures: In order.
        n_rows: How many the motion has.

    Raises:
        CorruptInput: Other numbers of lines than pictures, or rows that do not increase or are
            outside the motion.
    """
    table = read_numbers(path, Array("n", "columns"))
    some = table[:, column : column + 1]
    rows = check(some, Array("n", 1, dtype=int), path, f"column {column + 1}")[:, 0]
    same_count({pictures[0].parent: len(pictures), path: len(rows)}, "pictures or rows")
    if not (0 <= rows[0] and rows[-1] < n_rows and (np.diff(rows) > 0).all()):
        raise CorruptInput(
            path,
            f"column {column + 1}: found {rows[0]} to {rows[-1]}; expected increasing rows of "
            f"the motion, 0 to {n_rows - 1}",
        )
    return rows


def unlabelled(pictures: Collection[Path], labelled: Iterable[Path], limit: float) -> list[Path]:
    """Returns the pictures on the disk that no annotation is of, to be counted as left out.

    >>> pictures = [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]
    >>> unlabelled(pictures, pictures[:2], limit=0.5)
    [PosixPath('c.jpg')]

    Args:
        pictures: All that are there.
        labelled: Those that the annotations name, perhaps others as well.
        limit: Largest share of the pictures that may be without.

    Raises:
        CorruptInput: More of them are.
    """
    known = set(labelled)
    lost = [picture for picture in pictures if picture not in known]
    if len(lost) > limit * len(pictures):
        raise CorruptInput(
            lost[0],
            f"found no annotations of this and {len(lost) - 1} others of {len(pictures)} "
            f"pictures; expected that at most {limit:.0%} lack them",
            hint="fetch or extract the annotations again, or raise dataset.max_unlabelled",
        )
    return lost


def check_there(
    folder: Path, labelled: Iterable[str], there: Collection[str], limit: float
) -> None:
    """Makes sure that most pictures that are annotated are there, with all that belongs to them.

    The rest is for the recipe to count as left out; that most are missing is told at once.

    >>> check_there(Path("images"), ["000001", "000002"], {"000001"}, limit=0.1)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: images: 1 of 2 annotated pictures, or what belongs to them, ...

    Args:
        folder: Of the pictures, for the message.
        labelled: Ids of those that are annotated.
        there: Ids of those that are there.
        limit: Largest share that may be missing.

    Raises:
        CorruptInput: More are, or all.
    """
    ids = list(labelled)
    n_lost = sum(id not in there for id in ids)
    if n_lost > limit * len(ids):
        raise CorruptInput(
            folder,
            f"{n_lost} of {len(ids)} annotated pictures, or what belongs to them, are not there; "
            f"expected at most {limit:.0%}",
            hint="fetch or extract them, or raise dataset.max_missing",
        )


def readable(
    where: str | os.PathLike, keys: Iterable[Any], read: Callable[[Any], Any], limit: float
) -> dict[Any, Any]:
    """Returns what is read of each piece of a recording, without those whose files are damaged.

    One damaged file is one piece less, which the recipe counts as left out; many are an error.

    >>> readable("walk", ["a", "b"], str.upper, limit=0.1)
    {'a': 'A', 'b': 'B'}

    Args:
        where: The recording, for the message.
        keys: The pieces.
        read: Reads one of them.
        limit: Largest share that may be damaged; one may be in any case, if others are not.

    Raises:
        CorruptInput: More are, or all.
    """
    if not (pieces := list(keys)):
        return {}
    found, faults = usable_only(pieces, read, where)
    if len(faults) > max(1, limit * len(pieces)):
        raise CorruptInput(
            where,
            f"{len(faults)} of {len(pieces)} cannot be read, the first one: "
            f"{next(iter(faults.values()))}; "
            f"expected that at most {limit:.0%} are damaged",
            hint="fetch or extract them again",
        )
    return found


def misplaced_units(
    folder: Path, pattern: str, split: str, subjects: Collection[str] | None = None
) -> Iterator[Unit]:
    r"""Yields a unit for all that a list of a folder by this pattern passes over by its place.

    That is what lies one folder deeper, or is named like that in other capitals. The unit fails in
    :func:`check_placed`, so that nothing vanishes; the others go on.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> for name in ("s1_walk", "S2_walk", "more/s3_walk"):
    ...     Path(folder.name, name).mkdir(parents=True)
    >>> units = misplaced_units(Path(folder.name), r"(s\d)_walk", "train")
    >>> [unit.id for unit in units]
    ['misplaced/S2_walk', 'misplaced/more/s3_walk']

    Args:
        folder: Where the pattern's names belong.
        pattern: Of whole names; its first group is the subject.
        split: Of the units.
        subjects: Those that are asked for; None = all.
    """
    wanted = None if subjects is None else {subject.lower() for subject in subjects}
    tops = sorted(names_in(folder))
    below = (f"{top}/{name}" for top in tops for name in sorted(names_in(folder / top)))
    for place in (*(top for top in tops if not re.fullmatch(pattern, top)), *below):
        match = re.fullmatch(pattern, Path(place).name, re.IGNORECASE)
        if match and (wanted is None or match[1].lower() in wanted):
            yield make_unit(f"misplaced/{place}", split, {}, misplaced=place, pattern=pattern)


def check_placed(folder: Path, unit: Unit) -> None:
    """Makes sure that a unit is not one of :func:`misplaced_units`.

    >>> check_placed(Path("raw"), make_unit("s1_walk", "train", {}))

    Args:
        folder: As given there.
        unit: Any.

    Raises:
        CorruptInput: It is.
    """
    if place := unit.args.get("misplaced"):
        raise CorruptInput(
            folder / place,
            f"found here; expected in {folder} itself, named like {unit.args['pattern']}",
            hint="move it there under such a name",
        )


class Rows:
    """Rows of a track's array that are made when asked for, e.g. boxes of masks read then.

    >>> Rows([5, 7], lambda key: 10 * key)[1]
    70

    Args:
        keys: What each row is made from, e.g. the frames.
        make: Makes it.
    """

    def __init__(self, keys: Sequence, make: Callable[[Any], Any]):
        self._keys, self._make = keys, make

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self._keys)

    def __getitem__(self, k: int) -> Any:
        """Returns the k-th row."""
        return self._make(self._keys[k])
