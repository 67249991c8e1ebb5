"""The data: places, families, conventions, and the joints of datasets."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posepile.errors import UsageError
from posepile.joint_info import JointInfo

FOLDER = Path(__file__).parent
JOINTS_FILE = "joints.yaml"
# How much a joint is like another: nothing is, one of the same place, the very same point.
MISSING, SIMILAR, SAME = range(3)
KIND_NAMES = ("missing", "similar", "same")


@dataclass(frozen=True)
class Point:
    """What a joint is.

    Attributes:
        family: Who says what the point is; that of one dataset alone has the dataset's name.
        place: Where it is, a key of ``places.yaml``.
    """

    family: str
    place: str

    def __str__(self):
        return f"{self.family}.{self.place}"


@dataclass(frozen=True)
class Skeleton:
    """Joints with their meaning.

    Attributes:
        name: Of the convention or the dataset.
        title: What it is, in words; empty for a dataset.
        points: Joint name to point; of a convention in its order.
        notes: Joint name to what else must be known of it.
        sources: Where the facts are from.
        how: Family to how its points come about.
        joint_info: Order and edges; None for a dataset, whose recipe has them.
        official: Names of a convention's joints at its source, in order.
    """

    name: str
    title: str
    points: dict[str, Point]
    notes: dict[str, str]
    sources: tuple[str, ...]
    how: dict[str, str]
    joint_info: JointInfo | None = None
    official: tuple[str, ...] = ()


@functools.cache
def places() -> dict[str, tuple[float, float, str, str]]:
    """Returns for every place x, y, whether it is drawn with ``body`` or ``face``, and a text."""
    found = {}
    for section, entries in _read(FOLDER / "places.yaml").items():
        for name, (x, y, text) in entries.items():
            for side, sign in (("l", 1), ("r", -1)) if name[0] == "~" else (("", 1),):
                words = {"l": "left ", "r": "right ", "": ""}[side] + text
                found[side + name.lstrip("~")] = (sign * float(x), float(y), section, words)
    return found


@functools.cache
def families() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Returns for every family of several skeletons how its points come about, and the sources."""
    entries = _read(FOLDER / "families.yaml")["families"]
    return {name: (entry["how"], tuple(entry["sources"])) for name, entry in entries.items()}


@functools.cache
def near() -> dict[tuple[str, str], tuple[int, str]]:
    """Returns the pairs that stand in for one another: rank, and reason with its source."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for rank, entry in enumerate(_read(FOLDER / "families.yaml")["near"]):
        one, other, why, source = entry
        for side in "lr" if "~" in one else ("",):
            a, b = one.replace("~", side), other.replace("~", side)
            found[a, b] = found[b, a] = (rank, f"{why} ({source})")
    return found


def likeness(one: Point, other: Point) -> tuple[int, int, str]:
    """Returns how much two points are alike.

    Returns:
        The kind (``SAME``, ``SIMILAR``, ``MISSING``), a rank by which less is more alike, and the
        reason in words.
    """
    if one == other:
        return SAME, 0, f"both are {one}"
    if one.place == other.place:
        return SIMILAR, 1, f"{one} and {other} are the same place of the body by other means"
    for a in (str(one), one.place):
        for b in (str(other), other.place):
            if (a, b) in near():
                rank, why = near()[a, b]
                return SIMILAR, 2 + rank, why
    return MISSING, 1000, ""


@functools.cache
def conventions() -> dict[str, Skeleton]:
    """Returns the conventions there are, by name."""
    return {
        name: _skeleton(name, entry, FOLDER / "conventions.yaml")
        for name, entry in _read(FOLDER / "conventions.yaml").items()
    }


def find_convention(name: str) -> Skeleton | None:
    """Returns a convention by its name or another that it has, None if there is none.

    Case and signs do not matter: ``COCO-17`` is ``coco17``.
    """
    wanted = _plain(name)
    for key, entry in _read(FOLDER / "conventions.yaml").items():
        if wanted in (key, *entry.get("aliases", ())):
            return conventions()[key]
    return None


def load_convention(name: str) -> Skeleton:
    """Returns a convention by its name.

    Raises:
        UsageError: There is none of that name; the message lists those there are.
    """
    found = find_convention(name)
    if found is None:
        raise UsageError(f"convention {name!r}: expected one of {', '.join(conventions())}")
    return found


def dataset_skeleton(name: str) -> Skeleton:
    """Returns what the joints of a dataset are.

    Raises:
        UsageError: No such dataset, or nobody has described its joints.
    """
    from posepile.ds import dataset_dir, split_build

    dataset, _ = split_build(name)
    path = dataset_dir(dataset) / JOINTS_FILE
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; it says which points the joints of {dataset} are, see "
            "docs/SKELETONS.md"
        )
    return _dataset_skeleton(dataset, path)


def described_datasets() -> Iterator[Skeleton]:
    """Yields the skeletons of all datasets that have one."""
    from posepile.ds import dataset_dir, dataset_names

    for name in dataset_names():
        if (dataset_dir(name) / JOINTS_FILE).is_file():
            yield dataset_skeleton(name)


@functools.cache
def _dataset_skeleton(name: str, path: Path) -> Skeleton:
    return _skeleton(name, _read(path), path)


def _skeleton(name: str, entry: dict[str, Any], path: Path) -> Skeleton:
    own = {name: entry["how"]} if "how" in entry else {}
    points: dict[str, Point] = {}
    how = {}
    for key, tokens in entry["joints"].items():
        family = name if key == "own" else key
        if family not in own and family not in families():
            raise UsageError(
                f"{path}: joints: {key}: expected own, with `how` beside joints, or one of "
                f"{', '.join(families())}"
            )
        how[family] = own[family] if family in own else families()[family][0]
        for token in tokens.split():
            joint, _, place = token.partition("=")
            place = place or joint
            if place not in places():
                raise UsageError(
                    f"{path}: joints: {key}: {token}: no place {place!r} in "
                    f"{FOLDER / 'places.yaml'}; expected joint=place"
                )
            if joint in points:
                raise UsageError(f"{path}: joints: {key}: {joint} is named twice")
            points[joint] = Point(family, place)
    unknown = next((joint for joint in entry.get("notes", ()) if joint not in points), None)
    if unknown is not None:
        raise UsageError(f"{path}: notes: {unknown}: no such joint below joints")
    edges = entry.get("edges")
    info = None
    if edges is not None:
        info = JointInfo(list(points), re.sub(r"\s", "", edges), strict=False)
    return Skeleton(
        name=name,
        title=entry.get("title", ""),
        points=points,
        notes=dict(entry.get("notes", {})),
        sources=tuple(entry["sources"]),
        how=how,
        joint_info=info,
        official=tuple(entry.get("official", "").split()),
    )


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    from posepile.formats.yaml_files import load_yaml, read_yaml
    from posepile.skeletons.forms import FORMS, JointsForm

    if path.parent != FOLDER:
        read_yaml(path, JointsForm, kind="description of joints")
    else:
        read_yaml(path, FORMS[path.name])
    return load_yaml(path)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
