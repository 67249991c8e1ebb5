"""The question what ids of sequences tell, and whether the views that they name belong together.

``SPEC.sequence_names`` is compared with the ids that were packed. A view that it names promises
that frames of one number are the same instant in all views of a recording: then the joints are at
the same place of the world.
"""

from __future__ import annotations

import re

import numpy as np

from posepile.checking.findings import Answer, Finding, not_asked
from posepile.checking.sample import Sample, data_root
from posepile.recipe import SPLIT_NAMES

GROUPS = ("subject", "view", "motion", "instant", "stills")
APART_MM = 30.0  # in the median of the joints, where each view has a pose of its own


def origins_are_told_by_ids(sample: Sample) -> Answer:
    """Whether ids of sequences are as declared, and poses the same in all views of an instant."""
    name, declared = sample.name, sample.spec.sequence_names
    if not declared:
        return not_asked("SPEC.sequence_names is empty: sequences are no recordings")
    try:
        pattern = re.compile(declared)
    except re.error as e:
        return Answer([Finding(name, f"SPEC.sequence_names: {e}")])
    if odd := sorted(set(pattern.groupindex).difference(GROUPS)):
        text = f"SPEC.sequence_names: the group {odd[0]!r} is none of {', '.join(GROUPS)}"
        return Answer([Finding(name, text)])
    texts, sequences, instants = {}, set(), {}
    with data_root(sample.root):
        for split in SPLIT_NAMES:
            for example in sample.dataset.examples[split]:
                sequences.add(id := example.sequence)
                match = pattern.fullmatch(id)
                texts |= {fault: example.image_path for fault in faults(match, id, declared)}
                if match and match.groupdict().get("view") and hasattr(example, "world_coords"):
                    key = without_view(match), example.frame, example.track
                    instants.setdefault(key, {})[match["view"]] = example.world_coords
    findings = [Finding(name, text, path) for text, path in texts.items()]
    shared = {key: [*poses.values()] for key, poses in instants.items() if len(poses) > 1}
    off = {key: spread(poses) for key, poses in shared.items()}
    for (recording, frame, person), mm in off.items():
        if mm > APART_MM:
            text = f"{recording}, frame {frame}, person {person}: joints of its views are {mm:.0f}"
            findings.append(Finding(name, f"{text} mm apart; expected the same instant"))
    note = f"{len(sequences)} sequences tell {', '.join(pattern.groupindex) or 'nothing more'}"
    if "view" in pattern.groupindex:
        far = max(off.values(), default=0.0)
        note += f"; {len(shared)} instants in several views, joints up to {far:.2g} mm apart"
    return Answer(findings, note)


def faults(match: re.Match | None, id: str, declared: str) -> list[str]:
    """Returns what is wrong with the id of a sequence, which is the same for all its examples."""
    if match is None:
        return [f"sequence {id!r} is not as SPEC.sequence_names says: {declared}"]
    empty = [group for group, value in match.groupdict().items() if value == ""]
    return [f"sequence {id!r}: its {group} is empty" for group in empty]


def without_view(match: re.Match) -> str:
    """Returns the id of a sequence with its view cut out."""
    start, end = match.span("view")
    return f"{match.string[:start]}*{match.string[end:]}"


def spread(poses: list) -> float:
    """Returns by how many millimetres joints of poses differ, in the median of the joints."""
    poses = [np.asarray(pose, np.float64) for pose in poses if pose is not None and len(pose)]
    worst = 0.0
    for pose in poses[1:]:
        off = np.linalg.norm(pose - poses[0], axis=-1)
        if np.isfinite(off).any():
            worst = max(worst, float(np.nanmedian(off)))
    return worst
