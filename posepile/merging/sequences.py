"""The sequences that examples are of, and what their ids tell, read once for each sequence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from posepile.store.origin import NamesOfSequences
from posepile.store.placed import without_placing


@dataclass(frozen=True)
class SequenceFacts:
    """What is known of a sequence.

    Attributes:
        dataset: Name of the dataset it is of.
        id: Its id.
        subject: Who is seen; ``unknown`` where the id does not tell.
        view: From where; the same.
        motion: What is performed; the same.
        recording: Its id without the view.
        in_time: Whether its frames are in the order of time.
        is_instant: Whether its frames are views of one instant.
        single_person: Whether at most one person is in a picture.
        recipe: Name of the recipe, which is not that of the dataset where a merge has another.
    """

    dataset: str
    id: str
    subject: str = "unknown"
    view: str = "unknown"
    motion: str = "unknown"
    recording: str = "unknown"
    in_time: bool = False
    is_instant: bool = False
    single_person: bool = False
    recipe: str = "unknown"


def read_sequence_id(id: str, pattern: str, **facts: Any) -> SequenceFacts:
    r"""Returns what the id of a sequence tells.

    >>> pattern = r"(?P<subject>S\d)/(?P<motion>\w+)/(?P<view>\w+)"
    >>> facts = read_sequence_id("S1/walk/left", pattern, dataset="studio")
    >>> facts.subject, facts.motion, facts.view, facts.recording
    ('S1', 'walk', 'left', 'S1/walk/*')

    Args:
        id: The id.
        pattern: :attr:`posepile.recipe.DatasetSpec.sequence_names` of its dataset.
        **facts: What is known of the dataset, as of :class:`SequenceFacts`.
    """
    subject, view, recording, motion = _names(pattern).of(id)
    match = re.fullmatch(pattern, id) if pattern else None
    told = match.groupdict() if match else {}
    return SequenceFacts(
        id=id,
        subject=subject,
        view=view,
        motion=motion,
        recording=recording,
        in_time=bool(match) and told.get("stills") is None and told.get("instant") is None,
        is_instant=told.get("instant") is not None,
        **facts,
    )


@lru_cache(maxsize=128)
def _names(pattern):
    return NamesOfSequences(pattern)


def sequences_of(examples: Any) -> tuple[np.ndarray, list[SequenceFacts]]:
    """Returns which sequence each example is of.

    Args:
        examples: An ``ExampleList``.

    Returns:
        int32 ``[n]``, and the sequences that the numbers are of, each once.
    """
    names, datasets = examples.codes("dataset")
    ids, texts = examples.codes("sequence")
    known = _described(examples, names)
    pairs, numbers = _numbered(names.astype(np.int64) * len(texts) + ids)
    facts = []
    for pair in pairs.tolist():
        dataset, id = divmod(pair, len(texts))
        pattern, more = known.get(dataset, ("", {}))
        facts.append(read_sequence_id(texts[id], pattern, dataset=datasets[dataset], **more))
    return numbers, facts


def _numbered(values):
    """Returns the different values, rising, and the number of each; in linear time if it can."""
    top = int(values.max(initial=-1)) + 1
    if top > 4 * len(values) + (1 << 20):
        different, numbers = np.unique(values, return_inverse=True)
        return different, numbers.astype(np.int32)
    there = np.zeros(top, bool)
    there[values] = True
    different = np.flatnonzero(there)
    place = np.zeros(top, np.int32)
    place[different] = np.arange(len(different))
    return different, place[values]


def _described(examples, names):
    """Returns number of a dataset -> how its ids are read, and what else its archive tells."""
    result: dict[int, tuple[str, dict[str, Any]]] = {}
    for positions, _, source in examples.by_source():
        base = without_placing(source)
        if hasattr(base, "table") and len(positions):
            told = base.archive().metadata
            more = {
                "recipe": str(told.get("name") or "unknown"),
                "single_person": bool(told.get("single_person")),
            }
            pattern = str(told.get("sequence_names") or "")
            result.setdefault(int(names[positions[0]]), (pattern, more))
    return result
