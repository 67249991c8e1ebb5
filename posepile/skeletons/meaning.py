"""Whose joints a list of names is: of a convention, of a dataset, or of a merged set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.skeletons.data import (
    Point,
    Skeleton,
    conventions,
    dataset_skeleton,
    described_datasets,
    find_convention,
)

Whose = str | Mapping[str, str | list[str]] | None


@dataclass(frozen=True)
class Meaning:
    """What one joint of a skeleton is.

    Attributes:
        name: The joint.
        point: What it is.
        part: The suffix that tells its skeleton in a merged one, else ''.
        note: What else must be known of it.
        order: Place in the file that describes it; the first of several alike is taken.
    """

    name: str
    point: Point
    part: str
    note: str
    order: int


def meanings(joint_info: Any, dataset: Whose = None) -> list[Meaning]:
    """Returns what every joint is, in order.

    Args:
        joint_info: A :class:`JointInfo`, or a dataset, which knows itself what it is made of.
        dataset: The dataset or convention the joints are of. Of a merged set, for each suffix:
            the dataset, or several that share the suffix. None: told by the names, or by the
            parts of the dataset.

    Raises:
        UsageError: The names do not tell, or joints are not described.
    """
    info = joint_info if isinstance(joint_info, JointInfo) else joint_info.joint_info
    if dataset is None and info is not joint_info:
        dataset = _of_parts(getattr(joint_info, "parts", None), info)
    if dataset is None:
        return _told_by_names(info)
    if isinstance(dataset, str):
        return _of_skeletons(info.names, [_skeleton(dataset)], "")
    found = {}
    for suffix, whose in dataset.items():
        names = [name for name in info.names if _suffix(name, dataset) == suffix]
        several = [whose] if isinstance(whose, str) else whose
        for meaning in _of_skeletons(names, [_skeleton(name) for name in several], suffix):
            found[meaning.name] = meaning
    lacking = [name for name in info.names if name not in found]
    if lacking:
        raise UsageError(
            f"joint {lacking[0]!r}: has none of the suffixes {', '.join(dataset)}; give "
            "dataset={suffix: name of the dataset, ...} for all"
        )
    return [found[name] for name in info.names]


def _of_parts(parts: Any, info: JointInfo) -> Whose:
    """What ``parts`` of a dataset says: its own name, or the datasets of each suffix."""
    if not parts:
        return None
    if len(parts) == 1 and not all("_" in name for name in info.names):
        return next(iter(parts))
    found: dict[str, list[str]] = {}
    for name, facts in parts.items():
        found.setdefault(facts.get("skeleton") or name, []).append(name)
    if all(_suffix(name, found) is not None for name in info.names):
        return found
    return next(iter(parts)) if len(parts) == 1 else None


def _suffix(name: str, known: Mapping[str, Any]) -> str | None:
    """The last suffix of a name that is known; merging once more has put others after it."""
    head, _, suffix = name.rpartition("_")
    while suffix not in known and "_" in head:
        head, _, suffix = head.rpartition("_")
    return suffix if head and suffix in known else None


def _told_by_names(info: JointInfo) -> list[Meaning]:
    for skeleton in conventions().values():
        if list(skeleton.points) == list(info.names):
            return _of_skeletons(info.names, [skeleton], "")
    names = set(info.names)
    fitting = [s for s in described_datasets() if set(s.points) == names]
    # Of several with these names, those that have them in this order
    fitting = [s for s in fitting if list(s.points) == list(info.names)] or fitting
    if len({tuple(s.points[name] for name in info.names) for s in fitting}) == 1:
        return _of_skeletons(info.names, fitting, "")
    suffixes = {name.rpartition("_")[2] for name in info.names}
    known = {suffix: _known(suffix) for suffix in sorted(suffixes)}
    if names and all("_" in name for name in names) and all(known.values()):
        return meanings(info, known)
    wrong = f"the joints {', '.join(info.names[:5])}{', ...' if len(info.names) > 5 else ''}"
    if fitting:
        raise UsageError(
            f"{wrong}: are those of {' and '.join(s.name for s in fitting)}, where they are "
            "different points; say of which: dataset=NAME"
        )
    raise UsageError(
        f"{wrong}: of no convention and no dataset; say whose they are: dataset=NAME, or "
        "dataset={suffix: NAME, ...} where several are merged"
    )


def _known(suffix: str) -> str | None:
    """The dataset or convention that a suffix names, in which no ``_`` can be."""
    if find_convention(suffix) is not None:
        return suffix
    names = [s.name for s in described_datasets()]
    if suffix in names:
        return suffix
    return next((name for name in names if name.replace("_", "") == suffix), None)


def _skeleton(name: str) -> Skeleton:
    return find_convention(name) or dataset_skeleton(name)


def _of_skeletons(names: Any, skeletons: list[Skeleton], suffix: str) -> list[Meaning]:
    result = []
    for full in names:
        name = full[: full.rindex(f"_{suffix}")] if suffix else full
        skeleton = next((s for s in skeletons if name in s.points), None)
        if skeleton is None:
            raise UsageError(
                f"joint {full!r}: {name} is no joint of "
                f"{' or '.join(s.name for s in skeletons)}; say whose joints they are: dataset="
            )
        order = list(skeleton.points).index(name)
        note = skeleton.notes.get(name, "")
        result.append(Meaning(full, skeleton.points[name], suffix, note, order))
    return result
