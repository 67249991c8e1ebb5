"""BABEL: action labels of AMASS motions, and its split with every subject on one side.

Punnakkal et al., BABEL: Bodies, Action and Behavior with English Labels, CVPR 2021; the files
``train.json``, ``val.json``, ``test.json`` and ``extra_*.json`` of release 1.0.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from posepile.errors import CorruptInput
from posepile.formats.schema import shortened
from posepile.formats.text_files import read_json

JOINT = "|"  # between labels that hold at the same time


@dataclass(frozen=True)
class BabelEntry:
    """Labels of one AMASS sequence.

    Attributes:
        split: ``train``, ``val`` or ``test``, by the file it stands in.
        duration: Seconds.
        segments: (label, start, end) in seconds, in order of start; may overlap.
        whole: Labels of the sequence as a whole, where none have times.
    """

    split: str
    duration: float
    segments: tuple[tuple[str, float, float], ...]
    whole: tuple[str, ...]


def load_babel(folder: Path, split_files: Iterable[str]) -> dict[str, BabelEntry]:
    """Reads BABEL's JSON files.

    >>> label = {"act_cat": ["walk"], "proc_label": "walk"}
    >>> motion = {"feat_p": "CMU/CMU/01/01_01_poses.npz", "dur": 2.0}
    >>> motion["seq_ann"] = {"labels": [label]}
    >>> import json
    >>> _ = (folder / "train.json").write_text(json.dumps({"7": motion}))
    >>> load_babel(folder, ["train.json"])["CMU/01/01_01_poses.npz"].whole
    ('walk',)

    Args:
        folder: ``babel_v1.0_release``.
        split_files: e.g. ``train.json``, ``val.json``, ``extra_train.json``.

    Returns:
        Path inside the AMASS archive (``feat_p`` without its first component) -> entry. What
        several files say of one sequence is put together; the first file decides the split.

    Raises:
        CorruptInput: Missing or damaged file.
    """
    entries: dict[str, BabelEntry] = {}
    for name in split_files:
        path = folder / name
        hint = f"download BABEL (https://babel.is.tue.mpg.de/data.html) and extract it to {folder}"
        data = read_json(path, {"*": {"*": None}}, hint=hint)
        split = path.stem.removeprefix("extra_")
        if split not in ("train", "val", "test"):
            raise CorruptInput(path, "file name does not say train, val or test")
        for sid, raw in data.items():
            try:
                key, entry = _amass_key(raw["feat_p"]), _parse_entry(raw, split)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
                raise CorruptInput(path, f"entry {sid}: {type(e).__name__} {e}") from e
            entries[key] = entry if key not in entries else _join(entries[key], entry)
    return entries


def _amass_key(feat_p: str) -> str:
    """``<Zip>/<folder>/<subject>/<motion>_poses.npz`` -> the path inside the AMASS archive."""
    parts = PurePosixPath(feat_p).parts
    if len(parts) < 3:
        raise ValueError(f"feat_p {feat_p!r} has fewer than three parts")
    return "/".join(parts[1:])


def _parse_entry(raw: dict, split: str) -> BabelEntry:
    """One sequence; annotations may be null, one mapping, or a list of them (extra files)."""
    segments, whole = [], []
    in_time = _annotations(raw, "frame_ann")
    for annotation in in_time:
        for label in annotation["labels"]:
            start, end = _seconds(label["start_t"]), _seconds(label["end_t"])
            segments += [(name, start, end) for name in _label_names(label)]
    # Where times are labelled, those without a category have none, not that of the whole.
    for annotation in () if in_time else _annotations(raw, "seq_ann"):
        for label in annotation["labels"]:
            whole += _label_names(label)
    segments.sort(key=lambda s: (s[1], s[2]))
    return BabelEntry(split, _seconds(raw["dur"]), tuple(segments), tuple(whole))


def _annotations(raw: dict, key: str) -> list[dict]:
    """Returns the annotations of a kind that hold labels."""
    found = [raw.get(key), *(raw.get(f"{key}s") or [])]
    return [a for a in found if a is not None and a.get("labels")]


def _label_names(label: dict) -> list[str]:
    """Returns the categories of a label; free text, which each has, is none."""
    names = label.get("act_cat") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"act_cat is {shortened(names)}; expected a list of names")
    return names


def _seconds(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{shortened(value)} is no time in seconds")
    return float(value)


def _join(first: BabelEntry, second: BabelEntry) -> BabelEntry:
    """Returns labels of both; split and duration of the first."""
    segments = sorted(set(first.segments + second.segments), key=lambda s: (s[1], s[2], s[0]))
    whole = tuple(dict.fromkeys(first.whole + second.whole))
    return BabelEntry(first.split, first.duration, tuple(segments), whole)


def activity_at(entry: BabelEntry | None, time: float) -> str:
    """Returns the activity at a time of the motion.

    Segments are half-open; one that reaches the end of the sequence (``end_t`` may lie beyond it)
    includes the end. Labels that hold together are joined in order of their start, each once.

    >>> entry = BabelEntry("train", 3.0, (("walk", 0.0, 2.0), ("turn", 1.0, 3.0)), ())
    >>> activity_at(entry, 0.5), activity_at(entry, 1.5), activity_at(None, 0.5)
    ('walk', 'walk|turn', 'unknown')

    Args:
        entry: Labels, None for a sequence BABEL does not have.
        time: Seconds from the start of the AMASS motion.

    Returns:
        e.g. ``walk``, ``walk|turn``, or ``unknown``.
    """
    if entry is None:
        return "unknown"
    if not entry.segments:
        return JOINT.join(dict.fromkeys(entry.whole)) or "unknown"
    names = [
        name
        for name, start, end in entry.segments
        if start <= time < end or (end >= entry.duration and start <= time <= end)
    ]
    return JOINT.join(dict.fromkeys(names)) or "unknown"


def subject_of(amass_path: str) -> str:
    """``<folder>/<subject>`` of a path inside the AMASS archive.

    >>> subject_of("CMU/01/01_01_poses.npz")
    'CMU/01'
    """
    return amass_path.rpartition("/")[0] or "."


def assign_splits(
    amass_paths: Iterable[str], entries: Mapping[str, BabelEntry]
) -> tuple[dict[str, str], list[str]]:
    """Returns the split of every AMASS subject, so that none is on two sides.

    A subject goes where most of its BABEL sequences are (a tie goes to the split met first in
    order of path); a subject without any goes to train.

    >>> entries = {"CMU/01/a_poses.npz": BabelEntry("val", 1.0, (), ())}
    >>> assign_splits(["CMU/01/a_poses.npz", "CMU/02/b_poses.npz"], entries)[0]
    {'CMU/01': 'val', 'CMU/02': 'train'}

    Args:
        amass_paths: Paths inside the AMASS archive of all clips, in any order.
        entries: BABEL.

    Returns:
        (subject -> split, one line for each subject that BABEL itself has on several sides).
    """
    votes: dict[str, Counter] = defaultdict(Counter)
    for path in sorted(set(amass_paths)):
        votes[subject_of(path)]  # a subject without a vote is a subject all the same
        if path in entries:
            votes[subject_of(path)][entries[path].split] += 1
    # Counter.most_common keeps the order of first meeting among equals
    chosen = {s: (c.most_common(1)[0][0] if c else "train") for s, c in votes.items()}
    conflicts = [
        f"subject {s} is in {' and '.join(f'{k} ({n})' for k, n in c.most_common())} of BABEL; "
        f"all its clips go to {chosen[s]}"
        for s, c in sorted(votes.items())
        if len(c) > 1
    ]
    return chosen, conflicts
