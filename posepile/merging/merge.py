"""Several datasets as one, without writing anything: the joints of each keep apart by a suffix.

The skeleton of the merged dataset has the joints of all skeletons, ``lwri_h36m`` beside
``lwri_coco``; an example has those of its own dataset and none of the others. Nothing is read:
lists refer to the archives of the datasets, so merging takes as long as opening them. Only
where pictures are compared, their fingerprints are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.recipe import SPLIT_NAMES, TRAIN, VALID
from posepile.store.bones import compute_mean_bones
from posepile.store.datasets import Pose2DDataset, Pose3DDataset
from posepile.store.example_list import ExampleList, as_example_list
from posepile.store.placed import PlacedSource, Placement, placed_example, placed_source

Dataset = Pose2DDataset | Pose3DDataset


def merge_datasets(
    datasets: Mapping[str, Dataset],
    skeletons: Mapping[str, str] | None = None,
    *,
    joints: Mapping[str, Sequence[str]] | None = None,
    weights: Mapping[str, float] | None = None,
    leave_out_held_out: bool = False,
    held_out_pictures: Iterable[Path] = (),
) -> Dataset:
    """Merges datasets: 3D, parametric and 2D ones.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> sets = {name: get_dataset(name) for name in ("aspset", "h36m")}
    >>> both = merge_datasets(sets, weights={"aspset": 3, "h36m": 1})
    >>> both
    <Pose3DDataset of 2 datasets (aspset, h36m), 34 joints, train: 30, val: 6, test: 6>
    >>> both.joint_info.names[:2], both.examples[TRAIN][-1].dataset, both.weights(TRAIN)
    (['rank_aspset', 'rkne_aspset'], 'h36m', {'aspset': 3.0, 'h36m': 1.0})

    Args:
        datasets: Datasets by name, in the order of the merged lists.
        skeletons: Name of the skeleton of a dataset where it is not the dataset's own name.
            Datasets that name the same skeleton must have the same joints and share them.
        joints: Names of the joints that are taken of a dataset, in the order of the merged
            skeleton; all where it is not named. Datasets of one skeleton must agree.
        weights: Share of a dataset in training, relative to the others; where there are any, all
            with training examples must have one. Kept in ``parts``, where datasets without
            training examples have none. That of a dataset that was merged before is divided among
            its parts, by their weights, or by their numbers of training examples if they have
            none. Without ``weights`` such parts keep theirs as they are, if all have one.
        leave_out_held_out: Training examples whose picture is, also in part, in another size or
            compressed anew, among those for validation or testing of any of the datasets are left
            out; ``left_out`` of the result says how many of each dataset. 2D datasets only: those
            of other kinds stay as they are.
        held_out_pictures: With that, files of further pictures that somebody is tested on: as of
            :func:`posepile.merging.duplicates.held_out`.

    Returns:
        A dataset with the joints ``<joint>_<skeleton>``. Where all datasets are 2D it is a 2D
        dataset, else a 3D one: its coordinates are
        :class:`posepile.datasets3d.SparseCoords`, examples of 2D datasets have ``coords2d`` and no
        ``world_coords``, and bone lengths are those of each skeleton. They hold a joint only if
        all its coordinates are known: of one with x and y alone nothing is kept. ``coords`` and
        ``coords2d`` are dense and as they were, NaN for the joints of other skeletons.

    Raises:
        UsageError: No dataset, a name that is not among them, names that would be ambiguous,
            different joints under one skeleton name, joints that a dataset does not have, weights
            that are not positive numbers, weights of a former merge beside datasets without,
            or pictures without fingerprints where they are to be
            compared.
    """
    if not isinstance(datasets, Mapping) or not datasets:
        raise UsageError(
            "merge_datasets: expected datasets by name: {'aspset': get_dataset(…), …}"
        )
    for what, given in (("skeletons", skeletons), ("joints", joints), ("weights", weights)):
        unknown = next((name for name in given or {} if name not in datasets), None)
        if unknown is not None:
            raise UsageError(
                f"merge_datasets: {what} names {unknown!r}; expected one of {', '.join(datasets)}"
            )
    _check_weights(datasets, weights)
    skeletons = {name: (skeletons or {}).get(name, name) for name in datasets}
    members: dict[str, list[str]] = {}
    infos = {
        name: _chosen(name, dataset.joint_info, (joints or {}).get(name))
        for name, dataset in datasets.items()
    }
    for name, skeleton in skeletons.items():
        if "_" in skeleton or not skeleton:
            raise UsageError(
                f"skeleton {skeleton!r}: must not be empty or hold '_', which separates it from "
                "the joint's name; give another name in `skeletons`"
            )
        members.setdefault(skeleton, []).append(name)
        first = members[skeleton][0]
        if infos[name] != infos[first]:
            raise UsageError(
                f"skeleton {skeleton!r}: {first} and {name} have different joints; give them "
                "different names in `skeletons`"
            )
    names, edges, first_joint = [], [], {}
    for skeleton, users in members.items():
        info = infos[users[0]]
        first_joint[skeleton] = len(names)
        edges += [(i + len(names), j + len(names)) for i, j in info.stick_figure_edges]
        names += [f"{joint}_{skeleton}" for joint in info.names]
    joint_info = JointInfo(names, edges, strict=False)
    pictures = tuple(held_out_pictures)
    if pictures and not leave_out_held_out:
        raise UsageError("held_out_pictures has no effect without leave_out_held_out=True")
    apart = _held_out(datasets, pictures) if leave_out_held_out else {}
    kind = "2d" if all(dataset.kind == "2d" for dataset in datasets.values()) else "3d"
    lists = {split: ExampleList() for split in SPLIT_NAMES}
    taken: dict[str, dict[int, ExampleList]] = {}
    for name, dataset in datasets.items():
        placement = _placement(
            dataset.joint_info, infos[name], first_joint[skeletons[name]], len(names)
        )
        taken[name] = {}
        for split, merged in lists.items():
            examples = as_example_list(dataset.examples[split])
            if split == TRAIN and name in apart:
                examples = examples[~apart[name]]
            taken[name][split] = _placed(examples, placement, name, kind)
            merged.extend(taken[name][split])
    if kind == "2d":
        result = Pose2DDataset(joint_info, *lists.values())
    else:
        result = Pose3DDataset(joint_info, *lists.values(), compute_bone_lengths=False)
        groups = [({n: datasets[n] for n in users}, infos[users[0]]) for users in members.values()]
        _set_bones(result, groups)
    result.parts = _parts(taken, datasets, skeletons, weights)
    if leave_out_held_out:
        result.left_out = {name: int(mask.sum()) for name, mask in apart.items()}
    return result


def _check_weights(datasets, weights):
    for name, dataset in datasets.items() if weights else ():
        weight = weights.get(name)
        if weight is None and not len(dataset.examples[TRAIN]):
            continue
        if not isinstance(weight, (int, float)) or not 0 < weight < np.inf:
            raise UsageError(
                f"merge_datasets: weight of {name}: found {weight!r}, expected a number above 0 "
                "for each dataset with training examples"
            )


def _chosen(name, info, wanted):
    """Returns the skeleton of the joints that are taken."""
    if wanted is None:
        return info
    unknown = next((joint for joint in wanted if joint not in info.ids), None)
    if unknown is not None or not wanted or len(set(wanted)) < len(wanted):
        raise UsageError(
            f"merge_datasets: joints of {name}: found {unknown or list(wanted)!r}; expected some, "
            f"each once, of {', '.join(info.names)}"
        )
    return info.select_joints([info.ids[joint] for joint in wanted])


def _placement(own, chosen, first, n_joints):
    place = {joint: first + k for k, joint in enumerate(chosen.names)}
    return Placement(np.array([place.get(joint, -1) for joint in own.names], np.int64), n_joints)


def _placed(examples, placement, name, kind):
    def source(own):
        if own.kind != kind and kind == "2d":
            _refuse(name, own.kind)
        return PlacedSource(own, placement, name, kind)

    def example(own):
        if own.KIND != kind and kind == "2d":
            _refuse(name, own.KIND)
        return placement.example(own, kind)

    return examples.mapped(source, example)


def _refuse(name, found):
    raise UsageError(f"{name}: a 2D dataset with examples of a {found.upper()} one")


def _parts(taken, datasets, skeletons, weights):
    """Returns facts about each dataset; of those that were merged before, of each of theirs."""
    parts: dict[str, dict[str, Any]] = {}
    for name, dataset in datasets.items():
        own, counts = dataset.parts, None
        if dataset.is_merged:
            counts = counts_by_dataset(taken[name])
        else:
            facts = next(iter(own.values()), {"kind": dataset.kind})
            own = {name: {**facts, "skeleton": skeletons[name]}}
        for inner, facts in own.items():
            if inner in parts:
                raise UsageError(
                    f"merge_datasets: {inner} is in two of the datasets; merge each dataset once"
                )
            parts[inner] = {**facts, "counts": {}}
            for i, split in SPLIT_NAMES.items():
                n = len(taken[name][i]) if counts is None else counts[split].get(inner, 0)
                parts[inner]["counts"][split] = n
        if weights:
            _spread({inner: parts[inner] for inner in own}, weights.get(name))
    return _all_or_none_weighted(parts)


def _spread(parts, weight):
    """Sets the weights of the parts of a dataset: that of the dataset, divided among them."""
    sizes = {name: facts.get("weight") for name, facts in _trained(parts).items()}
    if None in sizes.values():
        sizes = {name: parts[name]["counts"][SPLIT_NAMES[TRAIN]] for name in sizes}
    whole = sum(sizes.values())
    for name, size in sizes.items():
        parts[name]["weight"] = float(weight) * (size / whole)


def _all_or_none_weighted(parts):
    """Returns the parts, those without training examples without weights."""
    trained = _trained(parts)
    weights = {name: facts.get("weight") for name, facts in trained.items()}
    without = [name for name, weight in weights.items() if weight is None]
    if without and len(without) < len(weights):
        first = next(name for name, weight in weights.items() if weight is not None)
        raise UsageError(
            f"merge_datasets: {first} has a weight since it was merged before, {without[0]} has "
            "none; give `weights` of all the datasets"
        )
    return {name: {**facts, "weight": weights.get(name)} for name, facts in parts.items()}


def _trained(parts):
    return {n: facts for n, facts in parts.items() if facts["counts"][SPLIT_NAMES[TRAIN]]}


def counts_by_dataset(lists: Mapping[int, ExampleList]) -> dict[str, dict[str, int]]:
    """Returns split -> dataset -> number of its examples, of a merged dataset's lists.

    Args:
        lists: Examples by the number of the split.
    """
    counts = {}
    for number, split in SPLIT_NAMES.items():
        codes, names = lists[number].codes("dataset")
        counts[split] = dict(zip(names, np.bincount(codes).tolist(), strict=True))
    return counts


def _set_bones(result, groups):
    """Sets the bone lengths of a merged dataset from those of the users of each skeleton."""
    for attribute, splits in (
        ("train_bones", (TRAIN,)),
        ("trainval_bones", (TRAIN, VALID)),
    ):
        bones = [_bones(users, info, attribute, splits) for users, info in groups]
        if any(np.isfinite(b).any() for b in bones):
            setattr(result, attribute, np.concatenate(bones).astype(np.float32))


def _held_out(datasets, pictures):
    """Returns for each dataset which of its training examples have pictures that are held out."""
    from posepile.merging.duplicates import held_out  # not needed where nothing is compared

    flat = {name: dataset for name, dataset in datasets.items() if dataset.kind == "2d"}
    return held_out(flat, pictures=pictures)


def _bones(datasets, info, attribute, splits):
    """Returns the bone lengths of the datasets of one skeleton, NaN where none are known."""
    whole = len(datasets) == 1 and next(iter(datasets.values()))
    if whole and whole.joint_info == info:
        bones = getattr(whole, attribute)
    else:
        examples, n_joints = ExampleList(), info.n_joints
        for name, dataset in datasets.items():
            placement = _placement(dataset.joint_info, info, 0, n_joints)
            for split in splits:
                own = as_example_list(dataset.examples[split])
                examples.extend(_placed(own, placement, name, "3d"))
        bones = compute_mean_bones(examples, info)
    return np.full(len(info.stick_figure_edges), np.nan) if bones is None else bones


# Names in pickles of version 0.1.0.


def MappedSource(source: Any, first_joint: int, n_joints: int) -> PlacedSource:
    """Returns the source of a merged dataset's examples, as older pickles refer to it."""
    return placed_source(source, first_joint, n_joints, None)


def _mapped_example(source, first_joint, n_joints, row):
    return placed_example(source, first_joint, n_joints, None, row)  # without opening the archive
