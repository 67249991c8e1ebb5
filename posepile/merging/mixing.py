"""From a mix to one dataset: what is there of it, the merged dataset, and its files.

A mix that was made is ``$CACHE_DIR/<name>.pkl``, which refers to the archives of its datasets, and
``<name>.merge.json`` beside it, which says what it was made of: which archives (a dataset that is
packed anew is noticed when the mix is opened), how many examples of each, what was left out and
why, shares and licences.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.ds import dataset_names, load_recipe, split_build
from posepile.errors import UsageError, WorkError
from posepile.files import write_atomically
from posepile.joint_info import JointInfo
from posepile.merging import filters
from posepile.merging.merge import merge_datasets
from posepile.merging.mixes import Mix
from posepile.recipe import SPLIT_NAMES
from posepile.store.datasets import Pose2DDataset, Pose3DDataset
from posepile.store.example_list import ExampleList
from posepile.store.layout import find_index
from posepile.store.mixed import MANIFEST_VERSION, mix_manifest_path
from posepile.store.opening import open_dataset
from posepile.store.reading import open_archive
from posepile.store.row_sources import run_command, short_identity
from posepile.version import __version__

SPLITS = tuple(SPLIT_NAMES.values())
_NUMBERS = {name: number for number, name in SPLIT_NAMES.items()}

_OF_STATE = ("name", "state", "todo", "unmatched")  # what the manifest does not keep

READY, NOT_PACKED, NO_RECIPE, HELPER = "ready", "not packed", "no recipe", "a helper"


@dataclass
class PartState:
    """What is there of one dataset of a mix.

    Attributes:
        name: The dataset, ``name@variant`` for a variant.
        state: ``ready``, or why it is not there.
        todo: What brings it; empty where nothing does.
        kind: ``3d``, ``2d`` or ``parametric``; empty if not known.
        licence: Licence of the raw data; empty if not known.
        citation: Short reference; empty if not known.
        joints: Names of its joints that the mix keeps.
        counts: Number of examples by split of the mix; before filters where ``left_out`` is None.
        left_out: Reason -> number of training examples that were left out.
        weight: Its share of what is drawn in training; None: by its size.
        unmatched: File of exclusions -> its lines that match no training example.
    """

    name: str
    state: str
    todo: str = ""
    kind: str = ""
    licence: str = ""
    citation: str = ""
    joints: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] | None = None
    weight: float | None = None
    unmatched: dict[str, list[str]] = field(default_factory=dict)


def examine(mix: Mix) -> dict[str, PartState]:
    """Returns what is there of the datasets of a mix, without reading an example.

    Args:
        mix: The mix.

    Raises:
        UsageError: It keeps joints that a dataset does not have, or a file of exclusions cannot
            be read.
    """
    states, known = {}, frozenset(dataset_names())
    for path in dict.fromkeys(p for name in mix.parts for p in mix.filters(name).exclusions):
        filters.exclusion_lines(path)
    for name in mix.parts:
        state = states[name] = _state_of(name, known)
        info = None
        if state.state == READY:
            archive = open_archive(paths.archive_path(name))
            _add_facts(state, archive.metadata)
            info = archive.joint_info
            lists = open_dataset(archive.path).examples
            lengths = {split: len(lists[number]) for split, number in _NUMBERS.items()}
            for split, sources in mix.splits(name).items():
                state.counts[split] = sum(lengths[source] for source in sources)
        elif state.state == NOT_PACKED:
            spec = load_recipe(name).SPEC
            _add_facts(state, asdict(spec))
            info = spec.joint_info
        if info is not None:
            state.joints = kept_joints(mix, name, info)
    _add_weights(mix, states)
    return states


def _state_of(name: str, known_names: Collection[str]) -> PartState:
    dataset, _ = split_build(name)
    known = dataset in known_names
    if known and load_recipe(name).SPEC.kind == "helper":
        return PartState(name, HELPER, "it has files, but no examples")
    if find_index(paths.archive_path(name)) is not None:
        return PartState(name, READY)
    return PartState(name, NOT_PACKED, run_command(name)) if known else PartState(name, NO_RECIPE)


def _add_facts(state: PartState, facts: Mapping[str, Any]) -> None:
    for key in ("kind", "licence", "citation"):
        setattr(state, key, str(facts.get(key) or ""))


def _add_weights(mix: Mix, states: Mapping[str, PartState]) -> None:
    counts = {name: s.counts["train"] for name, s in states.items() if s.state == READY}
    weights = mix.weights(counts) or {}
    for name, state in states.items():
        state.weight = weights.get(name)


def kept_joints(mix: Mix, name: str, info: JointInfo) -> list[str]:
    """Returns the names of the joints of a dataset that the mix keeps, in their order.

    Raises:
        UsageError: One of the mix's patterns is none of the joints.
    """
    patterns = mix.parts[name].joints
    if patterns is None:
        return list(info.names)
    for pattern in patterns:
        if not fnmatch.filter(info.names, pattern):
            some = ", ".join(info.names[:10]) + (", …" if info.n_joints > 10 else "")
            raise UsageError(
                f"{mix.path}: datasets.{name}.joints: {pattern!r} is no joint of {name}; it has "
                f"{some or 'none'}"
            )
    return [j for j in info.names if any(fnmatch.fnmatchcase(j, p) for p in patterns)]


def missing_text(states: Mapping[str, PartState]) -> str:
    """Returns which datasets are not there, and what brings them; empty if all are."""
    by_state: dict[str, list[str]] = {}
    for state in states.values():
        if state.state != READY:
            by_state.setdefault(state.state, []).append(state.name)
    said = [f"{state}: {', '.join(names)}" for state, names in by_state.items()]
    if NOT_PACKED in by_state:
        said[list(by_state).index(NOT_PACKED)] += " (posepile run NAME)"
    n = sum(map(len, by_state.values()))
    return f"{n} of {len(states)} datasets are not there: {'; '.join(said)}" if n else ""


def missing_error(mix: Mix, states: Mapping[str, PartState]) -> WorkError | None:
    """Returns the error that names the datasets that are not there; None if all are."""
    text = missing_text(states)
    if not text:
        return None
    return WorkError(f"mix {mix.name}: {text}; make them, or do without: --skip-missing")


def make_mix(
    mix: Mix, states: Mapping[str, PartState], *, skip_missing: bool = False
) -> Pose2DDataset | Pose3DDataset:
    """Returns the merged dataset of a mix, and notes in ``states`` what became of each part.

    Args:
        mix: The mix.
        states: What :func:`examine` says of it.
        skip_missing: Do without the datasets that are not there.

    Raises:
        WorkError: Datasets are not there, or all are left out.
        UsageError: They cannot be merged.
    """
    error = missing_error(mix, states)
    there = {name: s for name, s in states.items() if s.state == READY}
    if error is not None and not (skip_missing and there):
        raise error
    n_before = sum(state.counts["train"] for state in there.values())
    datasets = {name: _part(mix, state) for name, state in there.items()}
    if n_before and not any(state.counts["train"] for state in there.values()):
        reasons = Counter()
        for state in there.values():
            reasons.update(state.left_out)
        said = ", ".join(f"{reason}: {n:,}" for reason, n in reasons.most_common())
        raise WorkError(
            f"{mix.path}: no training example is left of {n_before:,} ({said}); change the filters"
        )
    skeletons = {name: mix.skeleton(name) for name in there}
    _refuse_ambiguous(mix, datasets, skeletons)
    merged = merge_datasets(
        datasets,
        skeletons,
        joints={name: s.joints for name, s in there.items() if mix.parts[name].joints},
        leave_out_held_out=mix.file.leave_out_held_out,
    )
    for name, n in (merged.left_out or {}).items():
        if n:
            there[name].left_out["picture is held out"] = n
            there[name].counts["train"] -= n
    # Only now it is known of which datasets there is anything to draw.
    _add_weights(mix, states)
    merged.parts = {n: {**facts, "weight": there[n].weight} for n, facts in merged.parts.items()}
    return merged


def _part(mix: Mix, state: PartState) -> Pose2DDataset | Pose3DDataset:
    """Returns one dataset with the splits and training examples that the mix has of it."""
    name, part = state.name, mix.parts[state.name]
    whole = open_dataset(paths.archive_path(name))
    lists, left_out, changed = {}, Counter(), False
    for split, sources in mix.splits(name).items():
        found = [whole.examples[_NUMBERS[source]] for source in sources]
        lists[split] = sum(found[1:], found[0]) if found else ExampleList()
        changed |= split in ("train", "val") and list(sources) != [split]
    n = len(lists["train"])
    mask, reasons = filters.keep(
        lists["train"], whole.joint_info, mix.filters(name), whole.train_bones
    )
    left_out.update(reasons)
    for path in mix.filters(name).exclusions:
        state.unmatched[str(path)] = filters.without_match(lists["train"], path)
    chosen = np.flatnonzero(mask)
    thinned = chosen[:: part.every]
    if part.most is not None and len(thinned) > part.most:
        thinned = thinned[np.arange(part.most) * len(thinned) // part.most]
    left_out["thinned out"] += len(chosen) - len(thinned)
    if len(thinned) < n:
        lists["train"] = lists["train"][thinned]
        changed = True
    state.counts = {split: len(examples) for split, examples in lists.items()}
    state.left_out = {reason: int(count) for reason, count in left_out.items() if count}
    result = _with_lists(whole, lists, changed)
    # Pages that were looked at count as memory, and those of dozens of archives would add up.
    open_archive(paths.relative_to_root(paths.archive_path(name))).let_go()
    return result


def _with_lists(whole, lists, changed):
    """Returns a dataset with other lists; bone lengths are those of the lists."""
    if whole.kind == "2d":
        result = Pose2DDataset(whole.joint_info, *lists.values())
    else:
        result = Pose3DDataset(whole.joint_info, *lists.values(), compute_bone_lengths=changed)
        if not changed:
            result.train_bones, result.trainval_bones = whole.train_bones, whole.trainval_bones
    return result


def _refuse_ambiguous(mix, datasets, skeletons):
    """Refuses suffixes that two datasets with other joints have by their names alone."""
    users: dict[str, str] = {}
    for name, skeleton in skeletons.items():
        first = users.setdefault(skeleton, name)
        differ = datasets[first].joint_info != datasets[name].joint_info
        if (
            differ
            and split_build(first)[0] != split_build(name)[0]
            and not (mix.parts[first].skeleton and mix.parts[name].skeleton)
        ):
            raise UsageError(
                f"{mix.path}: {first} and {name} would both have joints …_{skeleton}; give one of "
                f"them another name: datasets.{name}.skeleton"
            )


def mix_manifest(
    mix: Mix, states: Mapping[str, PartState], merged: Any, command: str
) -> dict[str, Any]:
    """Returns what a mix was made of, as plain data.

    Args:
        mix: The mix.
        states: What :func:`make_mix` noted.
        merged: What it returned.
        command: What makes it again.
    """
    datasets, skipped = {}, {}
    for name, state in states.items():
        if state.state != READY:
            skipped[name] = state.state
            continue
        path = paths.archive_path(name)
        datasets[name] = {
            "archive": paths.relative_to_root(path),
            "identity": short_identity(open_archive(path)),
            "skeleton": mix.skeleton(name),
            **{k: v for k, v in asdict(state).items() if k not in _OF_STATE},
            "splits": {split: list(s) for split, s in mix.splits(name).items()},
            "share": mix.parts[name].share,
            "source": mix.source(name),
        }
    return {
        "version": MANIFEST_VERSION,
        "name": mix.name,
        "command": command,
        "posepile": __version__,
        "kind": merged.kind,
        "n_joints": merged.joint_info.n_joints,
        "counts": {split: len(merged.examples[i]) for i, split in SPLIT_NAMES.items()},
        "datasets": datasets,
        "skipped": skipped,
        "mix": mix.file.model_dump(mode="json", exclude_defaults=True),
    }


def write_mix(mix: Mix, merged: Any, manifest: Mapping[str, Any]) -> Path:
    """Writes the pickle of a mix, and beside it what it was made of.

    Args:
        mix: The mix.
        merged: What :func:`make_mix` returned.
        manifest: What :func:`mix_manifest` returned.

    Returns:
        The pickle.
    """
    pickle_path = paths.cache_dir() / f"{mix.name}.pkl"
    data = pickle.dumps(merged, protocol=4)
    of_pickle = {"pickle_sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps({**manifest, **of_pickle}, indent=1, ensure_ascii=False)
    pickle_path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(mix_manifest_path(pickle_path), text.encode() + b"\n")
    write_atomically(pickle_path, data)
    return pickle_path


def copy_mix(mix: Mix, merged: Any, manifest: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Writes the archives that a merged dataset is made of once more, with what is taken of them.

    Args:
        mix: The mix.
        merged: What :func:`make_mix` returned.
        manifest: What :func:`mix_manifest` returned.

    Returns:
        The dataset and its manifest, of the archives ``$DATA_ROOT/<name>_<dataset>.barecat``.
    """
    from posepile.merging.subset import write_subset  # not needed where nothing is copied

    made = write_subset(merged, paths.archive_path(mix.name), {"of": mix.name, "mix": mix.name})
    datasets, skipped = {}, dict(manifest["skipped"])
    for name, part in manifest["datasets"].items():
        copied = made.archives.get(name)
        if copied is None:
            skipped[name] = "no example is taken"
            continue
        datasets[name] = {
            **part,
            "copy_of": {k: part[k] for k in ("archive", "identity")},
            "archive": paths.relative_to_root(copied),
            "identity": short_identity(open_archive(copied)),
        }
    return made.dataset, {**manifest, "datasets": datasets, "skipped": skipped}
