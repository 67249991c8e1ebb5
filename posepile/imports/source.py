"""What every form of files is read as: a skeleton, facts, and units of records with pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import UsageError, WorkError
from posepile.imaging.declared import declared_size
from posepile.imports.facts import Facts
from posepile.imports.pictures import Pictures
from posepile.joint_info import JointInfo
from posepile.store.fields import Record

EXAMPLES_PER_UNIT = 2000

# Boxes made of key points: the share of their sides that is added on each.
_MARGIN = 0.1

_SPLIT_WORDS = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip

NO_PICTURE = "picture not found"
NO_READABLE_PICTURE = "picture that cannot be read"
NO_BOX = "no box, and no key point to make one of"
BOX_OF_POINTS = "box made of the key points"


@dataclass
class Options:
    """What who imports has said.

    Attributes:
        files: The files.
        name: Of the dataset that is made.
        facts: Facts that were said.
        images: Where the pictures are; None = where the form has them.
        skip_missing: Leave out examples without a picture instead of failing.
    """

    files: list[Path]
    name: str
    facts: Facts
    images: Path | None = None
    skip_missing: bool = False


@dataclass(frozen=True)
class Unit:
    """So much of a dataset as becomes one part.

    Attributes:
        id: Unique; parts of a split are ordered by it.
        split: ``train``, ``val`` or ``test``.
        key: JSON-serialisable; another one where what the unit gives may be another.
        read: Yields records and the bytes of their pictures; what it leaves out or makes up it
            counts in the counters that it is given.
    """

    id: str
    split: str
    key: Any
    read: Callable[[Tally], Iterator[tuple[Record, bytes]]]


@dataclass
class Tally:
    """What became of examples.

    Attributes:
        left_out: Reason -> how many.
        notes: What was made up or not kept -> of how many.
    """

    left_out: Counter = field(default_factory=Counter)
    notes: Counter = field(default_factory=Counter)


@dataclass
class Source:
    """Files of one form, opened.

    Attributes:
        where: Names them in messages.
        joint_info: The skeleton.
        kind: ``3d``, ``2d`` or ``parametric``.
        facts: All facts, those that the files tell included.
        units: Yields the units, in any order.
        notes: What is to be said of the whole.
        described: What the files say of themselves, kept in the manifest.
    """

    where: str
    joint_info: JointInfo
    kind: str
    facts: Facts
    units: Callable[[], Iterable[Unit]]
    notes: list[str] = field(default_factory=list)
    described: dict[str, Any] = field(default_factory=dict)


def split_of(path: Path) -> str | None:
    """Returns the split that a file's name tells, or the last word of its folder's; else None.

    >>> split_of(Path("person_keypoints_val2017.json")), split_of(Path("coco_train/000.tar"))
    ('val', 'train')
    >>> split_of(Path("test_of_mine/000.tar"))
    """
    words, of_folder = (
        "".join(c if c.isalpha() else " " for c in name.lower()).split()
        for name in (path.stem, path.parent.name)
    )
    found = (_SPLIT_WORDS.get(w) for w in (*reversed(words), *of_folder[-1:]))
    return next((split for split in found if split is not None), None)


def file_stamp(path: Path) -> list[Any]:
    """Returns what tells one state of a file from another."""
    found = os.stat(path)
    return [path.name, found.st_size, found.st_mtime_ns]


def complete_record(
    record: Record, data: bytes | None, options: Options, tally: Tally
) -> tuple[Record, bytes] | None:
    """Returns a record that fits its picture, with a box; None if there is no making one.

    Args:
        record: As the files have it; ``imshape`` ``(0, 0)`` and ``bbox`` NaN where unknown.
        data: The picture; None if it was not found.
        options: Says what happens then.
        tally: Is told what was left out and made up.

    Raises:
        WorkError: The picture is missing, or of another size than the files say.
    """
    if data is None:
        if not options.skip_missing:
            raise WorkError(
                f"{record.image_path}: picture not found; give their place with --images, or "
                "leave such examples out with --skip-missing"
            )
        tally.left_out[NO_PICTURE] += 1
        return None
    size = declared_size(data)
    if size is None or not all(size):
        tally.left_out[NO_READABLE_PICTURE] += 1
        return None
    imshape = (int(size[1]), int(size[0]))
    if any(record.imshape) and tuple(record.imshape) != imshape:
        raise WorkError(
            f"{record.image_path}: the picture has height and width {imshape}, its annotations "
            f"are for {tuple(record.imshape)}; give the pictures that they belong to"
        )
    record.imshape = imshape
    box = np.asarray(record.bbox, np.float32).reshape(-1)[:4]
    if len(box) < 4 or not np.isfinite(box).all() or (box[2:] <= 0).any():
        box = _box_of_points(record)
        if box is None:
            tally.left_out[NO_BOX] += 1
            return None
        tally.notes[BOX_OF_POINTS] += 1
    record.bbox = box
    return record, data


def _box_of_points(record):
    points = record.coords2d
    if points is None and record.world_coords is not None and record.camera is not None:
        points = np.asarray(record.camera.world_to_image(np.float32(record.world_coords)))
    if points is None:
        return None
    points = np.asarray(points)[np.isfinite(points).all(axis=-1)]
    if len(points) < 2:
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * np.maximum(high - low, 1)
    return np.float32([*(low - margin), *(high - low + 2 * margin)])


def chunks(positions: Iterable[tuple[str, Any]], size: int | None = None) -> Iterator[list[Any]]:
    """Yields lists of things, those of one picture never apart.

    Args:
        positions: (picture, thing), those of a picture one after another.
        size: About so many things in a list; None = :data:`EXAMPLES_PER_UNIT`.
    """
    size = EXAMPLES_PER_UNIT if size is None else size
    chunk: list[Any] = []
    last = None
    for picture, thing in positions:
        if len(chunk) >= size and picture != last:
            yield chunk
            chunk = []
        chunk.append(thing)
        last = picture
    if chunk:
        yield chunk


class FileOfPicture:
    """Which file the people of a picture are in: of this form, they cannot be in two."""

    def __init__(self):
        self._files: dict[str, Path] = {}

    def claim(self, names: Iterable[str], path: Path) -> None:
        """Notes that people of pictures are in a file.

        Raises:
            UsageError: There are such in another file, too.
        """
        for name in names:
            other = self._files.setdefault(os.path.normpath(name), path)
            if other != path:
                raise UsageError(
                    f"{path}: has people of picture {name}, as {other} has; expected the people "
                    "of a picture in one file; import them one by one"
                )


def one_split(name: str, first: tuple[str, Path], other: tuple[str, Path]) -> None:
    """Refuses people of one picture in two splits.

    Args:
        name: The picture.
        first: Split of its first example, and the file that it is in.
        other: Those of another one.

    Raises:
        UsageError: The splits differ.
    """
    if first[0] != other[0]:
        places = " and ".join(f"{split} in {path}" for split, path in (first, other))
        raise UsageError(
            f"picture {name}: found people of {places}; expected one split per picture; correct "
            "the split of one"
        )


def by_picture(names: Iterable[str]) -> list[int]:
    """Returns positions in order of first appearance, those of one picture together."""
    first: dict[str, int] = {}
    groups: list[list[int]] = []
    for i, name in enumerate(names):
        place = first.setdefault(name, len(groups))
        if place == len(groups):
            groups.append([])
        groups[place].append(i)
    return [i for group in groups for i in group]


__all__ = [
    "EXAMPLES_PER_UNIT",
    "FileOfPicture",
    "Options",
    "Pictures",
    "Source",
    "Tally",
    "Unit",
    "by_picture",
    "chunks",
    "complete_record",
    "file_stamp",
    "one_split",
    "split_of",
]
