"""Looks through a split for examples that are probably wrong, by columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.recipe import SPLITS
from posepile.store import bulk
from posepile.store.example_list import as_example_list
from posepile.suspects import outlines, poses
from posepile.suspects.batches import Sequences, batches
from posepile.suspects.collecting import Collector, ranked
from posepile.suspects.found import Suspects
from posepile.suspects.places import places
from posepile.suspects.shifts import Shifts
from posepile.suspects.together import Together
from posepile.suspects.whole import Whole


def find_suspects(dataset: Any, split: str | int) -> Suspects:
    """Returns the examples of a split that are probably wrong, worst first.

    No picture is read. Memory is some hundred megabytes, and some forty bytes for each example.

    Args:
        dataset: An opened dataset, of one or merged.
        split: ``train``, ``val`` or ``test``, or its number.
    """
    number = SPLITS.index(split) if isinstance(split, str) else split
    examples = as_example_list(dataset.examples[number])
    if not len(examples):
        return Suspects()
    sequences, out = Sequences.of(examples), Collector()
    whole, shifts, together = Whole(), Shifts(), Together(len(examples))
    for batch in batches(examples, sequences, dataset.joint_info):
        lengths = poses.bone_lengths(batch)
        poses.sides(batch, out)
        poses.bones(batch, lengths, out)
        poses.jumps(batch, out)
        poses.upside_down(batch, out)
        places(batch, out)
        together.add(batch)
        seen = outlines.outlines(batch)
        outlines.examples(batch, seen, out)
        for run in batch.runs(outlines.LEAST):
            if outlines.mirrored(batch, run, seen, out):
                for kind in ("outside_mask", "outside_box"):  # which follow from it
                    out.drop(kind, batch.positions[run])
                seen.usable[run] = False  # and so does what else is odd about the outline
            outlines.off_by_frames(batch, run, seen, out)
            whole.add(batch, run, lengths)
            shifts.add(batch, run, seen)
    together.finish(examples, sequences, out)
    subjects, recordings = _who(examples, sequences)
    whole.sizes(subjects, recordings, out)
    shifts.finish(out)
    return ranked(out, sequences, recordings)


def _who(examples: Any, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Returns numbers of subject and recording of each sequence; negative = subject unknown."""
    first = np.zeros(len(sequences.names), np.int64)
    first[sequences.codes[::-1]] = np.arange(len(sequences.codes))[::-1]
    datasets, names = bulk.text_codes(examples, "dataset")
    found = []
    for name in ("subject", "recording"):
        codes, texts = bulk.text_codes(examples, name)
        unknown = np.array([text == "unknown" for text in texts])
        numbers = codes.astype(np.int64) * len(names) + datasets
        found.append(np.where(unknown[codes], -1, numbers)[first])
    subjects, recordings = found
    alone = -2 - np.arange(len(recordings))
    return subjects, np.where(recordings < 0, alone, recordings)
