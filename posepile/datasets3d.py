"""3D pose datasets as training code sees them: the names that consumers import.

These names are in pickles on people's disks, and the attributes of the classes are an interface;
the code is in ``posepile.store``. An example of a finished dataset is *lazy*: it knows its place
in the archive's table and fetches a field when it is asked for. It is read-only. ``load()``
returns a new, complete example with the image, which is the caller's own; to change an example of
a dataset, put such a one back (``ds.examples[TRAIN][i] = ex``). The rule in full is in
``docs/TRAINING.md``.
"""

from __future__ import annotations

import os
from typing import Any

from posepile.joint_info import JointInfo, get_joint2bone_mat
from posepile.recipe import TEST, TRAIN, VALID
from posepile.store import opening
from posepile.store.bones import compute_mean_bones
from posepile.store.coords import SparseCoords
from posepile.store.datasets import Pose3DDataset
from posepile.store.example_list import example_list
from posepile.store.examples import Pose3DExample
from posepile.store.lazy import LazyPose3DExample
from posepile.store.placed import placed_example, placed_source
from posepile.store.row_sources import entry_example, entry_source, table_example, table_source

__all__ = [
    "TEST",
    "TRAIN",
    "VALID",
    "JointInfo",
    "LazyPose3DExample",
    "Pose3DDataset",
    "Pose3DDatasetBarecat",
    "Pose3DExample",
    "Pose3DExampleBarecat",
    "SparseCoords",
    "compute_mean_bones",
    "entry_example",
    "entry_source",
    "example_list",
    "get_compressed_dataset",
    "get_dataset",
    "get_dataset_cached",
    "get_joint2bone_mat",
    "get_joint_info",
    "placed_example",
    "placed_source",
    "table_example",
    "table_source",
]

# What the original PosePile calls the examples of an archive.
Pose3DExampleBarecat = LazyPose3DExample


def get_dataset(name: str, **kwargs: Any) -> Pose3DDataset:
    """Opens a dataset by name or file.

    >>> ds = get_dataset("aspset")
    >>> ds
    <Pose3DDataset aspset (CC0 1.0), 17 joints, train: 24, val: 6, test: 0>
    >>> ex = ds.examples[TRAIN][0].load()
    >>> ex.image.shape, ex.world_coords.shape, ex.camera.world_up.tolist()
    ((96, 128, 3), (17, 3), [0.0, -1.0, 0.0])

    Args:
        name: ``*.pkl`` (a dataset pickle), ``*.barecat`` (an archive), both relative to
            ``DATA_ROOT``; the address of an archive in an object store
            (``s3://bucket/aspset.barecat``), read through a cache on the disk; or the name of a
            dataset that has been built, ``name@variant`` where it was built under a variant's
            name.
        **kwargs: ``image_barecat_path``: archive that holds the images of an annotation archive.
            Anything else is handed to ``make_dataset`` of the dataset's module.

    Raises:
        UsageError: There is no such dataset, or a keyword argument that nothing understands.
        WorkError: The dataset is known but has not been built.
    """
    return opening.get_dataset(name, "3d", **kwargs)


def Pose3DDatasetBarecat(
    annotations_path: str | os.PathLike, images_path: str | os.PathLike | None = None
) -> Pose3DDataset:
    """Opens an archive, as the class of this name does in the original PosePile.

    Args:
        annotations_path: The archive; relative paths are below ``DATA_ROOT``.
        images_path: Where the images are of an archive of entries; one with a table holds its
            own, and this is not used.
    """
    return opening.open_entries(annotations_path, "3d", images_path)


def get_dataset_cached(name: str, **kwargs: Any) -> Pose3DDataset:
    """Same as :func:`get_dataset`, which is as fast as a cache."""
    return get_dataset(name, **kwargs)


def get_compressed_dataset(name: str, **kwargs: Any) -> Pose3DDataset:
    """Same as :func:`get_dataset`; examples take no memory until they are used."""
    return get_dataset(name, **kwargs)


def get_joint_info(name: str) -> JointInfo:
    """Returns the skeleton of a dataset, built or not.

    >>> get_joint_info("h36m").names[:5]
    ['rhip', 'rkne', 'rank', 'lhip', 'lkne']
    """
    return opening.get_joint_info(name)
