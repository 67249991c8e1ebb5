"""Units of work with named input files, and counts that have to agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from posepile.errors import CorruptInput
from posepile.files import presence
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
        CorruptInput: More are.
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
