"""2D pose datasets as training code sees them; see :mod:`posepile.datasets3d`."""

from __future__ import annotations

import os
from typing import Any

from posepile.joint_info import JointInfo
from posepile.recipe import TEST, TRAIN, VALID
from posepile.store import opening
from posepile.store.datasets import Pose2DDataset
from posepile.store.examples import Pose2DExample
from posepile.store.lazy import LazyPose2DExample

__all__ = [
    "TEST",
    "TRAIN",
    "VALID",
    "JointInfo",
    "LazyPose2DExample",
    "Pose2DDataset",
    "Pose2DDatasetBarecat",
    "Pose2DExample",
    "Pose2DExampleBarecat",
    "get_compressed_dataset",
    "get_dataset",
    "get_dataset_cached",
    "get_joint_info",
]

# What the original PosePile calls the examples of an archive.
Pose2DExampleBarecat = LazyPose2DExample


def get_dataset(name: str, **kwargs: Any) -> Pose2DDataset:
    """Opens a dataset by name or file, as :func:`posepile.datasets3d.get_dataset` does.

    >>> photographs = get_dataset("coco")
    >>> ex = photographs.examples[TRAIN][0].load()
    >>> ex.image.shape, ex.coords.shape, ex.bbox.tolist()
    ((96, 128, 3), (17, 2), [40.0, 20.0, 48.0, 60.0])
    """
    return opening.get_dataset(name, "2d", **kwargs)


def Pose2DDatasetBarecat(
    annotations_path: str | os.PathLike, images_path: str | os.PathLike | None = None
) -> Pose2DDataset:
    """Opens an archive, as the class of this name does in the original PosePile.

    Args:
        annotations_path: The archive; relative paths are below ``DATA_ROOT``.
        images_path: Where the images are of an archive of entries; one with a table holds its
            own, and this is not used.
    """
    return opening.open_entries(annotations_path, "2d", images_path)


def get_dataset_cached(name: str, **kwargs: Any) -> Pose2DDataset:
    """Same as :func:`get_dataset`, which is as fast as a cache."""
    return get_dataset(name, **kwargs)


def get_compressed_dataset(name: str, **kwargs: Any) -> Pose2DDataset:
    """Same as :func:`get_dataset`; examples take no memory until they are used."""
    return get_dataset(name, **kwargs)


def get_joint_info(name: str) -> JointInfo:
    """Returns the skeleton of a dataset, built or not.

    >>> get_joint_info("coco").n_joints
    17
    """
    return opening.get_joint_info(name)
