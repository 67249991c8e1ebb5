"""What training has in common with what somebody is tested on: people, motions, pictures.

People are compared by the subjects that ids of sequences tell, also across datasets where it is
public that they are the same; motions by the names that AMASS has for them; pictures by their
fingerprints. What a dataset does not tell is said, too: then nothing is known of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from posepile.merging.duplicates import Photographs, pairs_among
from posepile.merging.identities import motions_of, persons_of
from posepile.merging.sequences import sequences_of
from posepile.recipe import SPLIT_NAMES, TRAIN
from posepile.store.example_list import as_example_list

NO_SUBJECT = "ids of its sequences tell no subject"
NO_MOTION = "no name in AMASS is known for its motions"
NO_PICTURE = "its pictures have no fingerprints"

Kind = Literal["subject", "motion", "picture"]
TOLD_BY = {"subject": persons_of, "motion": motions_of}


@dataclass(frozen=True)
class Leak:
    """Something that is trained on and tested on.

    Attributes:
        kind: ``subject``, ``motion`` or ``picture``.
        what: Its name; of pictures how far they are apart, 0 = the same pixels.
        dataset: The dataset that is trained on.
        n_examples: How many examples of it show that; of a picture 1.
        place: The first sequence of these, or the image path.
        held_dataset: The dataset that is tested on, perhaps the same.
        held_split: ``val`` or ``test``.
        n_held_examples: As above.
        held_place: As above.
    """

    kind: Kind
    what: str
    dataset: str
    n_examples: int
    place: str
    held_dataset: str
    held_split: str
    n_held_examples: int
    held_place: str


@dataclass
class Hygiene:
    """What was found.

    Attributes:
        leaks: Subjects, motions and pictures, in this order.
        unknown: (dataset, split, reason) -> of how many examples something is not known.
        compared: Of which kinds something is known both in training and in what is tested on.
    """

    leaks: list[Leak] = field(default_factory=list)
    unknown: dict[tuple[str, str, str], int] = field(default_factory=dict)
    compared: list[Kind] = field(default_factory=list)


def find_leaks(datasets: Mapping[str, Any], *, pictures: bool = True) -> Hygiene:
    """Compares training examples with those for validation and testing.

    >>> from posepile import datasets2d
    >>> found = find_leaks({name: datasets2d.get_dataset(name) for name in ("mpii", "aic")})
    >>> len(found.leaks), found.leaks[0].kind, found.leaks[0].place, found.leaks[0].held_place
    (6, 'picture', 'mpii_downscaled/images/000000.jpg', 'aic_downscaled/images/000000.jpg')

    Args:
        datasets: Datasets by name; merged ones count as those they were merged of.
        pictures: Whether to compare pictures, which takes minutes for some 100,000.
    """
    result, parts = Hygiene(), _parts(datasets)
    for kind, reason in (("subject", NO_SUBJECT), ("motion", NO_MOTION)):
        shown = {}
        for (name, split), examples in parts.items():
            shown[name, split], n = _shown(examples, TOLD_BY[kind])
            if n:
                result.unknown[name, split, reason] = n
        result.leaks += _common(kind, shown)
        _note_compared(result, kind, [split for (_, split), names in shown.items() if names])
    if pictures:
        splits = _photographs(parts, result.unknown)
        result.leaks += _pictures(splits)
        _note_compared(result, "picture", [s.split for s in splits])
    return result


def _note_compared(result, kind, splits):
    if {True, False} <= {split == SPLIT_NAMES[TRAIN] for split in splits}:
        result.compared.append(kind)


def _parts(datasets):
    """Returns (dataset, split) -> examples; of merged datasets each one by itself."""
    parts: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for name, dataset in datasets.items():
        for i, split in SPLIT_NAMES.items():
            examples = as_example_list(dataset.examples[i])
            if not len(examples):
                continue
            numbers, names = examples.codes("dataset")
            if len(names) == 1 and not _is_merged(dataset):
                parts[name, split].append(examples)
                continue
            for k, own in enumerate(names):
                parts[own, split].append(examples[np.flatnonzero(numbers == k)])
    joined = {}
    for key, (first, *others) in parts.items():
        joined[key] = first if not others else sum(others, first)
    return joined


def _is_merged(dataset):
    return len(getattr(dataset, "parts", None) or ()) > 1


def _shown(examples, names_of):
    """Returns name -> (number of examples, first sequence), and of how many nothing is told."""
    sequence, facts = sequences_of(examples)
    counts = np.bincount(sequence, minlength=len(facts)).tolist()
    shown: dict[str, tuple[int, str]] = {}
    n_unknown = 0
    for n, known in zip(counts, facts, strict=True):
        names = set(names_of(known))
        n_unknown += 0 if names else n
        for name in names:
            before, place = shown.get(name, (0, known.id))
            shown[name] = before + n, place
    return shown, n_unknown


def _common(kind, shown) -> Iterator[Leak]:
    train = SPLIT_NAMES[TRAIN]
    for (held, split), tested in shown.items():
        if split == train:
            continue
        for (name, other), trained in shown.items():
            if other != train:
                continue
            for what in sorted(trained.keys() & tested.keys()):
                yield Leak(kind, what, name, *trained[what], held, split, *tested[what])


def _photographs(parts, unknown):
    splits = []
    for (name, split), examples in parts.items():
        known = examples.column("has_fingerprint")
        if n := int((~known).sum()):
            unknown[name, split, NO_PICTURE] = n
        if known.any():
            splits.append(Photographs(name, split, examples[known]))
    return splits


def _pictures(splits) -> Iterator[Leak]:
    train = SPLIT_NAMES[TRAIN]
    for one in (s for s in splits if s.split == train):
        for other in (s for s in splits if s.split != train):
            for pair in pairs_among((one, other)):
                here, there = (pair.dataset, 1, pair.image), (pair.other_dataset, pair.other_split)
                yield Leak("picture", f"{pair.distance:g}", *here, *there, 1, pair.other_image)
