"""Which examples go into the files of other viewers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.recipe import SPLIT_NAMES
from posepile.store import bulk
from posepile.store.origin import UNKNOWN
from posepile.viewer.browsing import COLUMNS, Browsed

CONDITIONS = (*COLUMNS, "path", "quality")


@dataclass
class Chosen:
    """Examples of a dataset.

    Attributes:
        positions: By split, in the order in which they are shown.
        left_out: How many others were asked for.
        words: What they are, for people.
    """

    positions: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: int = 0
    words: str = ""

    def __len__(self):
        return sum(map(len, self.positions.values()))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for split, positions in self.positions.items():
            for position in positions.tolist():
                yield split, position

    def first(self, most: int | None) -> Chosen:
        """Returns no more than so many of them."""
        left, kept = len(self) if most is None else most, {}
        for split, positions in self.positions.items():
            kept[split] = positions[:left]
            left -= len(kept[split])
        short = Chosen(kept, self.left_out, self.words)
        short.left_out += len(self) - len(short)
        return short


def at(split: str, positions: list[int]) -> Chosen:
    """Returns examples by their places in a split, each once."""
    unique = list(dict.fromkeys(positions))
    return Chosen({split: np.array(unique, np.int64)}, words="the chosen examples")


def whole_recording(dataset: Any, split: str, position: int) -> Chosen:
    """Returns all views and frames of the recording that an example is of.

    Args:
        dataset: The dataset.
        split: Name of the example's split.
        position: Its place there.
    """
    number = next(number for number, name in SPLIT_NAMES.items() if name == split)
    browsed = Browsed(dataset.examples[number])
    recordings, texts = browsed.codes("recording")
    same = recordings == recordings[position]
    datasets = browsed.codes("dataset")[0]
    same &= datasets == datasets[position]
    name = texts[recordings[position]]
    if name == UNKNOWN:  # which says of no two examples that they belong together
        same = np.zeros(len(browsed), bool)
        same[browsed.together(position)] = True
        name = browsed.examples[position].image_path
    return Chosen({split: np.flatnonzero(same)}, words=f"recording {name}")


def that_meet(
    dataset: Any, conditions: Mapping[str, str], splits: list[str], suspects: Any = None
) -> Chosen:
    """Returns all examples that meet some conditions.

    Args:
        dataset: The dataset.
        conditions: By the name of one of :data:`CONDITIONS`, a text or a glob, as in the page.
        splits: Names of the splits.
        suspects: Split -> suspects, where there is a condition on ``quality``.

    Raises:
        UsageError: There is no such condition.
    """
    unknown = next((name for name in conditions if name not in CONDITIONS), None)
    if unknown is not None:
        raise UsageError(f"--where {unknown}: expected one of {', '.join(CONDITIONS)}")
    found = {}
    for number, split in SPLIT_NAMES.items():
        if split not in splits or not len(dataset.examples[number]):
            continue
        own = None if suspects is None else suspects.get(split)
        odd = None if own is None else _as_browsed(own)
        browsed = Browsed(dataset.examples[number], lambda odd=odd: odd)
        found[split] = np.asarray(browsed.select(conditions), np.int64)
    words = ", ".join(f"{name}={text}" for name, text in conditions.items())
    return Chosen(found, words=words or "all examples")


def by_picture(dataset: Any, chosen: Chosen) -> Chosen:
    """Returns the same examples, those of one picture one after the other."""
    ordered = {}
    for number, split in SPLIT_NAMES.items():
        if split in chosen.positions:
            positions = chosen.positions[split]
            codes = bulk.text_codes(Browsed(dataset.examples[number]).examples, "image_path")[0]
            own = codes[positions]
            # In the order in which pictures come first.
            _, first, picture = np.unique(own, return_index=True, return_inverse=True)
            ordered[split] = positions[np.argsort(first[picture], kind="stable")]
    return Chosen(ordered, chosen.left_out, chosen.words)


def _as_browsed(suspects):
    from posepile.suspects.found import KINDS

    return np.asarray(suspects.positions), np.asarray(suspects.kinds).astype(int), list(KINDS)
