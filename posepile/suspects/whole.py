"""Sequences compared with one another: the size of the person, and of its bones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posepile.stages.limbs import LIMB_SHARES
from posepile.suspects.batches import Batch
from posepile.suspects.collecting import Collector
from posepile.suspects.outlines import LEAST

_SHORTEST, _TALLEST = 800.0, 2300.0  # millimetres
_OF_SUBJECT = np.log(1.03)
_OF_ALL = np.log(1.3)
_ODD_BONE = np.log(1.35)
_OTHERS = 4  # sequences without which there is nothing to compare with


@dataclass
class Run:
    """What is kept of one person in one sequence.

    Attributes:
        positions: Of the examples.
        sequence: Number of the sequence.
        stature: Millimetres by the limbs, NaN = unknown.
        lengths: Bone -> its median length.
    """

    positions: np.ndarray
    sequence: int
    stature: float
    lengths: dict[str, float]


@dataclass
class Whole:
    """Collects sequences, and says at the end which are unlike the others.

    Attributes:
        runs: What is known of each.
    """

    runs: list[Run] = field(default_factory=list)

    def add(self, batch: Batch, run: slice, lengths: np.ndarray) -> None:
        """Takes a sequence."""
        own = lengths[run]
        known = np.isfinite(own).sum(axis=0) >= LEAST // 2
        medians = {
            name: float(np.median(own[np.isfinite(own[:, b]), b]))
            for b, name in enumerate(batch.body.bone_names)
            if known[b]
        }
        sequence = int(batch.sequences[run.start])
        self.runs.append(Run(batch.positions[run], sequence, _stature(medians), medians))

    def sizes(self, subjects: np.ndarray, recordings: np.ndarray, out: Collector) -> None:
        """Finds sequences of a wrong scale, and bones that are not as long as in others.

        Args:
            subjects: Number of the subject of each sequence; negative = unknown.
            recordings: Number of what the cameras recorded together.
            out: Takes what is found.
        """
        for run, score, value, text in self._scales(subjects, recordings):
            out.add_run("wrong_scale", run.positions, score, value, text)
        names = {name for run in self.runs for name in run.lengths}
        table = {name: [] for name in names}
        stature = np.array([run.stature for run in self.runs])
        for name in names:
            table[name] = np.log([run.lengths.get(name, np.nan) for run in self.runs] / stature)
        for name, logs in sorted(table.items()):
            known = np.isfinite(logs)
            if known.sum() <= _OTHERS:
                continue
            off = np.abs(logs - np.median(logs[known]))
            limit = max(_ODD_BONE, 6 * float(np.median(off[known])))
            for k in np.flatnonzero(known & (off > limit)):
                mm = self.runs[k].lengths[name]
                usual = float(np.exp(np.median(logs[known])) * stature[k])
                if abs(mm - usual) > 40:
                    shown = name.replace("{", "{{").replace("}", "}}")
                    text = f"{shown} is {{:.2f}} times as long as in other sequences"
                    score = off[k] / limit
                    out.add_run("odd_bone", self.runs[k].positions, score, mm / usual, text)

    def _scales(self, subjects, recordings):
        known = [run for run in self.runs if run.stature > 0]
        if not known:
            return
        logs = np.log([run.stature for run in known])
        own = np.array([run.sequence for run in known])
        who, takes = subjects[own], recordings[own]
        usual, spread = _middle(logs, takes)
        enough = len(np.unique(takes)) > _OTHERS
        of_subject, same_limit = _of_subjects(logs, who, takes)
        tall = "by its limbs the person is {:.0f} mm tall"
        for k, run in enumerate(known):
            over, under = np.log(run.stature / _TALLEST), np.log(_SHORTEST / run.stature)
            found = [(1 + max(over, under) / np.log(1.1), run.stature, tall)]
            if enough:
                text = "the person is {:.2f} times as large as the median of the dataset"
                off = logs[k] - usual
                found.append((abs(off) / max(_OF_ALL, 5 * spread), np.exp(off), text))
            if who[k] in of_subject:
                middle, share = of_subject[who[k]]
                text = "the person is {:.2f} times as large as in other sequences of the same one"
                off = logs[k] - middle
                found.append((abs(off) * share / same_limit, np.exp(off), text))
            score, value, text = max(found, key=lambda one: one[0])
            if score > 1:
                yield run, score, value, text


def _of_subjects(logs, who, takes) -> tuple[dict[int, tuple[float, float]], float]:
    """Returns median and weight of each subject that was recorded several times, and the limit.

    Of two recordings each is half the difference away from the median: that counts twice.
    """
    found, off = {}, []
    for subject in np.unique(who[who >= 0]).tolist():
        same = who == subject
        n_takes = len(np.unique(takes[same]))
        if n_takes > 1:
            middle, _ = _middle(logs[same], takes[same])
            found[subject] = middle, 2.0 if n_takes == 2 else 1.0
            off.append(np.abs(logs[same] - middle))
    usual = float(np.median(np.concatenate(off))) if off else 0.0
    return found, max(_OF_SUBJECT, 6 * 1.4826 * usual)


def _middle(logs: np.ndarray, takes: np.ndarray) -> tuple[float, float]:
    """Returns median and spread over recordings, each counted once."""
    _, number = np.unique(takes, return_inverse=True)
    order = np.argsort(number, kind="stable")
    each = np.split(logs[order], np.cumsum(np.bincount(number))[:-1])
    medians = np.array([np.median(some) for some in each])
    middle = float(np.median(medians))
    return middle, 1.4826 * float(np.median(np.abs(medians - middle)))


def _stature(medians: dict[str, float]) -> float:
    """Returns how tall a person with such limbs is, NaN with fewer than four."""
    found = [
        medians[name] / share
        for (a, b), share in LIMB_SHARES.items()
        for s in "lr"
        if (name := f"{s}{a}-{s}{b}") in medians
    ]
    return float(np.median(found)) if len(found) >= 4 else np.nan
