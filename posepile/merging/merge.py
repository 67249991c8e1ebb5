"""Several datasets as one, without writing anything: the joints of each keep apart by a suffix.

The skeleton of the merged dataset has the joints of all skeletons, ``lwri_h36m`` beside
``lwri_coco``; an example has those of its own dataset and none of the others. Nothing is read:
lists refer to the archives of the datasets, so merging takes as long as opening them. Only
where pictures are compared, their fingerprints are read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.recipe import SPLIT_NAMES, TRAIN, VALID
from posepile.store.bones import compute_mean_bones
from posepile.store.column_readers import missing_value
from posepile.store.coords import SparseCoords
from posepile.store.datasets import Pose2DDataset, Pose3DDataset
from posepile.store.example_list import ExampleList, as_example_list
from posepile.store.fields import FIELDS
from posepile.store.lazy import LAZY_EXAMPLES, LazyExample

Dataset = TypeVar("Dataset", Pose2DDataset, Pose3DDataset)


def merge_datasets(
    datasets: Mapping[str, Dataset],
    skeletons: Mapping[str, str] | None = None,
    *,
    leave_out_held_out: bool = False,
    held_out_pictures: Iterable[Path] = (),
) -> Dataset:
    """Merges 3D datasets, or 2D datasets.

    Args:
        datasets: Datasets by name, in the order of the merged lists; all 3D or all 2D.
        skeletons: Name of the skeleton of a dataset where it is not the dataset's own name.
            Datasets that name the same skeleton must have the same joints and share them.
        leave_out_held_out: Training examples whose picture is, also in part, in another size or
            compressed anew, among those for validation or testing of any of the datasets are left
            out; ``left_out`` of the result says how many of each dataset.
        held_out_pictures: With that, files of further pictures that somebody is tested on: as of
            :func:`posepile.merging.duplicates.held_out`.

    Returns:
        A dataset with the joints ``<joint>_<skeleton>``. In 3D coordinates are
        :class:`posepile.datasets3d.SparseCoords`, and bone lengths are those of each skeleton; in
        2D coordinates are dense, NaN for the joints of other skeletons.

    Raises:
        UsageError: No dataset, 2D and 3D datasets together, a skeleton of a dataset that is not
            among them, names that would be ambiguous, different joints under one skeleton name,
            or pictures without fingerprints where they are to be compared.
    """
    if not isinstance(datasets, Mapping) or not datasets:
        raise UsageError(
            "merge_datasets: expected datasets by name: {'aspset': get_dataset(…), …}"
        )
    kind = next(iter(datasets.values())).kind
    for name, dataset in datasets.items():
        if dataset.kind != kind:
            _refuse(name, dataset.kind, kind)
    unknown = next((name for name in skeletons or {} if name not in datasets), None)
    if unknown is not None:
        raise UsageError(
            f"merge_datasets: skeletons names {unknown!r}; expected one of {', '.join(datasets)}"
        )
    skeletons = {name: (skeletons or {}).get(name, name) for name in datasets}
    members: dict[str, list[str]] = {}
    for name, skeleton in skeletons.items():
        if "_" in skeleton or not skeleton:
            raise UsageError(
                f"skeleton {skeleton!r}: must not be empty or hold '_', which separates it from "
                "the joint's name; give another name in `skeletons`"
            )
        members.setdefault(skeleton, []).append(name)
        first = members[skeleton][0]
        if datasets[name].joint_info != datasets[first].joint_info:
            raise UsageError(
                f"skeleton {skeleton!r}: {first} and {name} have different joints; give them "
                "different names in `skeletons`"
            )
    names, edges, first_joint = [], [], {}
    for skeleton, users in members.items():
        info = datasets[users[0]].joint_info
        first_joint[skeleton] = len(names)
        edges += [(i + len(names), j + len(names)) for i, j in info.stick_figure_edges]
        names += [f"{joint}_{skeleton}" for joint in info.names]
    joint_info = JointInfo(names, edges, strict=False)
    pictures = tuple(held_out_pictures)
    if pictures and not leave_out_held_out:
        raise UsageError("held_out_pictures has no effect without leave_out_held_out=True")
    apart = _held_out(datasets, pictures) if leave_out_held_out else {}
    lists = {split: ExampleList() for split in SPLIT_NAMES}
    for name, dataset in datasets.items():
        for split, merged in lists.items():
            examples = as_example_list(dataset.examples[split])
            if split == TRAIN and name in apart:
                examples = examples[~apart[name]]
            first, n_joints = first_joint[skeletons[name]], len(names)
            merged.extend(_with_joints(examples, first, n_joints, name, kind))
    if kind == "2d":
        result = Pose2DDataset(joint_info, *lists.values())
    else:
        result = Pose3DDataset(joint_info, *lists.values(), compute_bone_lengths=False)
        _set_bones(result, [[datasets[name] for name in users] for users in members.values()])
    if leave_out_held_out:
        result.left_out = {name: int(mask.sum()) for name, mask in apart.items()}
    return result


def _set_bones(result, groups):
    """Sets the bone lengths of a merged dataset from those of the users of each skeleton."""
    for attribute, splits in (
        ("train_bones", (TRAIN,)),
        ("trainval_bones", (TRAIN, VALID)),
    ):
        bones = [_bones(users, attribute, splits) for users in groups]
        if any(np.isfinite(b).any() for b in bones):
            setattr(result, attribute, np.concatenate(bones).astype(np.float32))


def _held_out(datasets, pictures):
    """Returns for each dataset which of its training examples have pictures that are held out."""
    from posepile.merging.duplicates import held_out  # not needed where nothing is compared

    return held_out(datasets, pictures=pictures)


def _refuse(name, found, kind):
    raise UsageError(
        f"{name}: a {found.upper()} dataset among {kind.upper()} ones, whose examples differ; "
        "merge 2D datasets with each other and 3D datasets with each other, and train on both "
        "beside each other"
    )


def _bones(datasets, attribute, splits):
    info = datasets[0].joint_info
    if len(datasets) == 1:
        bones = getattr(datasets[0], attribute)
    else:
        examples = ExampleList()
        for dataset in datasets:
            for split in splits:
                examples.extend(dataset.examples[split])
        bones = compute_mean_bones(examples, info)
    return np.full(len(info.stick_figure_edges), np.nan) if bones is None else bones


def _with_joints(examples, first_joint, n_joints, name, kind):
    def source(own):
        if own.kind != kind:
            _refuse(name, own.kind, kind)
        return MappedSource(own, first_joint, n_joints)

    def example(own):
        if kind != own.KIND:
            _refuse(name, own.KIND, kind)
        result = copy.copy(own.load(load_image=False))
        if kind == "3d":
            result.world_coords = _place(result.world_coords, first_joint, n_joints)
        else:
            result.coords = _place_rows(result.coords, first_joint, n_joints)
        return result

    return examples.mapped(source, example)


def _place(coords, first_joint, n_joints):
    """Returns coordinates as part of a larger skeleton."""
    if coords is None:
        return None
    sparse = SparseCoords(coords) if not isinstance(coords, SparseCoords) else copy.copy(coords)
    sparse.shape = (n_joints, 3)
    sparse.i_valid_joints = (sparse.i_valid_joints + first_joint).astype(np.uint16)
    return sparse


def _place_rows(values, first_joint, n_joints):
    """Returns values of every joint as part of those of a larger skeleton."""
    placed = np.full((n_joints, *values.shape[1:]), missing_value(values.dtype), values.dtype)
    placed[first_joint : first_joint + len(values)] = values
    return placed


def _mapped_example(source, first_joint, n_joints, row):
    return LAZY_EXAMPLES[source.kind](MappedSource(source, first_joint, n_joints), row)


class MappedSource:
    """The examples of another source with their joints placed in a larger skeleton.

    Args:
        source: The other source.
        first_joint: Index that its first joint gets.
        n_joints: Number of joints of the larger skeleton.
    """

    def __init__(self, source: Any, first_joint: int, n_joints: int):
        self.source = source
        self.kind = source.kind
        self.first_joint = first_joint
        self.n_joints = n_joints
        self.getters: dict[str, Any] = {}

    @property
    def annotation_path(self) -> str:
        """Path of the annotation archive."""
        return self.source.annotation_path

    @property
    def image_archive_path(self) -> str:
        """Path of the image archive."""
        return self.source.image_archive_path

    def __len__(self):
        return len(self.source)

    def example(self, row: Any) -> LazyExample:
        """Returns the lazy example of a row."""
        self.check()
        return LAZY_EXAMPLES[self.kind](self, row)

    def fetch(self, row: Any, name: str) -> Any:
        """Returns one field of a row."""
        return self._placed(name, self.source.fetch(row, name))

    def values(self, row: Any) -> dict[str, Any]:
        """Returns the fields of a row, by their names in examples; they can be changed."""
        record_field = LAZY_EXAMPLES[self.kind].FETCHED
        values = self.source.values(row)
        return {name: self._placed(record_field[name], value) for name, value in values.items()}

    def _placed(self, name, value):
        if name == "world_coords":
            return _place(value, self.first_joint, self.n_joints)
        if value is not None and FIELDS[name].per_joint:
            return _place_rows(value, self.first_joint, self.n_joints)
        return value

    def place(self, row: Any) -> tuple:
        """Returns what tells a row from every other example."""
        return self.first_joint, self.n_joints, self.source.place(row)

    def check(self) -> None:
        """Opens the archive if it is not open yet, which compares identities."""
        self.source.check()

    def image_path(self, row: Any) -> str:
        """Returns the image path of a row."""
        return self.source.image_path(row)

    def path(self, row: Any) -> str:
        """Returns the entry key of a row."""
        return self.source.path(row)

    def image_bytes(self, row: Any) -> bytes:
        """Returns the stored image file of a row."""
        return self.source.image_bytes(row)

    def image(self, row: Any) -> np.ndarray:
        """Returns the decoded image of a row."""
        return self.source.image(row)

    def reduce_example(self, row: Any) -> tuple:
        """Returns how to make the example in another process."""
        return _mapped_example, (self.source, self.first_joint, self.n_joints, row)

    def __eq__(self, other):
        if not isinstance(other, MappedSource):
            return NotImplemented
        return (self.source, self.first_joint, self.n_joints) == (
            other.source,
            other.first_joint,
            other.n_joints,
        )

    def __hash__(self):
        return hash((self.source, self.first_joint))

    def __reduce__(self):
        return MappedSource, (self.source, self.first_joint, self.n_joints)
