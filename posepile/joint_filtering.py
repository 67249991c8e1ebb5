"""Datasets and coordinates in another skeleton, by the names of the joints.

The names that training code imports. Nothing is copied: the lists of a converted dataset refer to
the same rows.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.recipe import SPLIT_NAMES
from posepile.store.datasets import Pose2DDataset, Pose3DDataset
from posepile.store.example_list import as_example_list
from posepile.store.placed import PlacedSource, Placement

Dataset = TypeVar("Dataset", Pose2DDataset, Pose3DDataset)

# Names that skeletons have for about the same place.
_ALIKE = {"tors": "spin", "spin": "tors"}


def get_coord_mapping(
    src_joint_info: JointInfo, dst_joint_info: JointInfo, suffix: str = ""
) -> np.ndarray:
    """Returns which joint of one skeleton is which of another.

    Joints are the same that have the same name; ``tors`` and ``spin`` stand in for each other
    where only one of them is there.

    Args:
        src_joint_info: The skeleton that there is.
        dst_joint_info: The skeleton that is wanted.
        suffix: What may follow the names of the first one, and then comes first: ``_h36m``.

    Returns:
        float64 ``[n_wanted, n_there]``: 1 where a joint is taken from; NaN in all of a row whose
        joint is not there. To be applied by :func:`convert_coords`.
    """
    mapping = np.zeros([dst_joint_info.n_joints, src_joint_info.n_joints])
    for i, name in enumerate(dst_joint_info.names):
        own = [name, _ALIKE[name]] if name in _ALIKE else [name]
        sought = [n + suffix for n in own] + own
        found = next((n for n in sought if n in src_joint_info.ids), None)
        if found is None:
            mapping[i] = np.nan
        else:
            mapping[i, src_joint_info.ids[found]] = 1
    return mapping


def convert_coords(coords: np.ndarray, mapping: np.ndarray) -> np.ndarray:
    """Returns coordinates ``[..., J, D]`` in the skeleton of a mapping; NaN where there are none.

    Args:
        coords: In the skeleton that there is.
        mapping: As of :func:`get_coord_mapping`.
    """
    coords = np.asarray(coords)
    known = ~np.isnan(mapping).any(axis=1)
    converted = np.full((*coords.shape[:-2], len(mapping), coords.shape[-1]), np.nan, coords.dtype)
    converted[..., known, :] = coords[..., np.nan_to_num(mapping[known]).argmax(axis=1), :]
    return converted


def convert_dataset(
    src_dataset: Dataset, dst_joint_info: JointInfo, update_bones: bool = True
) -> Dataset:
    """Changes a dataset into one of another skeleton, and returns it.

    Args:
        src_dataset: The dataset. Examples that were loaded are copied, all others stay lazy; their
            ``world_coords`` are :class:`posepile.datasets3d.SparseCoords` then.
        dst_joint_info: The skeleton that is wanted.
        update_bones: Compute bone lengths anew; otherwise they are unknown.

    Raises:
        UsageError: Two joints are wanted that would both be taken from one.
    """
    mapping = get_coord_mapping(src_dataset.joint_info, dst_joint_info)
    taken = np.nan_to_num(mapping).astype(bool)
    twice = np.flatnonzero(taken.sum(axis=0) > 1)
    if len(twice):
        wanted = [dst_joint_info.names[i] for i in np.flatnonzero(taken[:, twice[0]])]
        raise UsageError(
            f"joints {' and '.join(wanted)}: both would be "
            f"{src_dataset.joint_info.names[twice[0]]!r} of the dataset; leave one out"
        )
    joint_ids = np.where(taken.any(axis=0), taken.argmax(axis=0), -1)
    placement, kind = Placement(joint_ids, dst_joint_info.n_joints), src_dataset.kind

    def source(own: Any) -> PlacedSource:
        return PlacedSource(own, placement, None, kind)

    def example(own: Any) -> Any:
        return placement.example(own, kind)

    for split in SPLIT_NAMES:
        examples = as_example_list(src_dataset.examples[split])
        src_dataset.examples[split] = examples.mapped(source, example)
    src_dataset.joint_info = dst_joint_info
    src_dataset.train_bones = src_dataset.trainval_bones = None
    if update_bones:
        src_dataset.update_bones()
    return src_dataset


convert_sparse_dataset = convert_dataset
