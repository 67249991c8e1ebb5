"""What the report says of body models over the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile import paths
from posepile.bodies.models import models_below
from posepile.ds import split_build
from posepile.errors import PosePileError
from posepile.posing import Reposed, ReposeLimits, repose
from posepile.recipe import SPLITS
from posepile.store.example_list import as_example_list

SAMPLED = 40  # examples of each split, evenly spaced
WORST = 6
COLUMNS = ["split", "posed", "joints", "mean mm", "largest mm", "outside", "largest outside"]
COLUMNS += ["over the limit"]
WORST_COLUMNS = ["split", "example", "person", "mean mm", "furthest joint", "outside", "of limit"]


@dataclass(frozen=True)
class ReposeSection:
    """A section of the report.

    Attributes:
        title: With the result.
        bad: Whether an example is over the limit.
        lines: Sentences: the limits, what is missing.
        rows: Of the table with :data:`COLUMNS`.
        worst: Of the table with :data:`WORST_COLUMNS`, worst first.
    """

    title: str
    bad: bool
    lines: list[str]
    rows: list[list[Any]]
    worst: list[list[Any]]


def repose_section(
    name: str, dataset: Any, limits: ReposeLimits | None = None
) -> ReposeSection | None:
    """Returns what is said of a dataset's body models, None if no example has parameters.

    Args:
        name: Of the build; body models are looked for in its raw folder first.
        dataset: Opened.
        limits: None: those of :class:`posepile.posing.ReposeLimits`.
    """
    limits = limits or ReposeLimits()
    rows: list[list[Any]] = []
    worst: list[tuple[float, list[Any]]] = []
    lines: dict[str, None] = {}
    n_with = n_posed = n_over = 0
    for index, split in enumerate(SPLITS):
        examples = as_example_list(dataset.examples[index])
        there = np.flatnonzero(examples.column("has_parameters")) if len(examples) else []
        if not len(there):
            continue
        n_with += len(there)
        picks = np.linspace(0, len(there) - 1, SAMPLED).round().astype(int)
        chosen = examples[there[np.unique(picks)]]
        try:
            root = models_below(paths.raw_dir(split_build(name)[0]))
            found = repose(chosen, dataset, models_root=root)
        except PosePileError as e:
            lines[str(e)] = None
            continue
        lines |= dict.fromkeys(found.lacking)
        if not found.posed.any():
            continue
        lines |= {found.note: None} if found.note else {}
        excess = found.excess(limits)
        n_posed += int(found.posed.sum())
        n_over += int((excess > 1).sum())
        rows.append(_row(split, found, int((excess > 1).sum())))
        for i in np.argsort(-excess, kind="stable")[:WORST].tolist():
            if excess[i] > 0:
                worst.append((excess[i], _named(split, chosen[i], found, i, excess[i])))
    if not n_with:
        return None
    if n_posed:
        lines = {_limits_in_words(limits): None, **lines}
        title = f"{n_over} of {n_posed} examples over the limit" if n_over else "within the limits"
    else:
        title = "not looked at"
    worst.sort(key=lambda entry: -entry[0])
    return ReposeSection(title, n_over > 0, list(lines), rows, [row for _, row in worst[:WORST]])


def _limits_in_words(limits: ReposeLimits) -> str:
    return (
        f"Up to {SAMPLED} examples of each split, evenly spaced. Limits: mean distance of the "
        f"model's joints from those of the example {limits.same_mm:g} mm where they are the same "
        f"points, {limits.similar_mm:g} mm where they are only similar; {limits.outside:.0%} of "
        "the vertices outside the mask, which lacks what is hidden."
    )


def _row(split: str, found: Reposed, n_over: int) -> list[Any]:
    sides = (("same", found.same), ("similar", ~found.same))
    kinds = [word for word, some in sides if np.isfinite(found.joint_mm[some]).any()]
    figures = [_figure(found.joint_mm, "mean"), _figure(found.joint_mm, "max")]
    shares = [_figure(found.outside, "mean", True), _figure(found.outside, "max", True)]
    posed = f"{int(found.posed.sum())} of {len(found.posed)}"
    return [split, posed, ", ".join(kinds) or "none compared", *figures, *shares, n_over]


def _named(split: str, example: Any, found: Reposed, i: int, excess: float) -> list[Any]:
    figures = [_figure(found.joint_mm[[i]], "mean"), found.worst_joints[i]]
    share = _figure(found.outside[[i]], "mean", True)
    return [split, example.image_path, int(example.person), *figures, share, f"{excess:.0%}"]


def _figure(values: np.ndarray, how: str, share: bool = False) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    value = float(values.max() if how == "max" else values.mean())
    return f"{value:.1%}" if share else f"{value:.1f}"
