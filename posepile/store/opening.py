"""From a name or file to a dataset: pickles, archives, and the folders below ``ds``."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.ds import dataset_names, load_recipe
from posepile.errors import UsageError, WorkError, not_there_yet
from posepile.files import write_atomically
from posepile.joint_info import JointInfo
from posepile.recipe import SPLIT_NAMES
from posepile.remote.copies import remote_archive
from posepile.store import restricted_pickle
from posepile.store.datasets import Pose2DDataset, Pose3DDataset
from posepile.store.example_list import ExampleList
from posepile.store.layout import find_index
from posepile.store.mixed import check_mix
from posepile.store.reading import ArchiveReplaced, open_archive
from posepile.store.row_sources import (
    EntrySource,
    StringColumn,
    run_command,
    short_identity,
    table_source,
)


def get_dataset(name: str, kind: str | None, **kwargs: Any) -> Any:
    """Opens a dataset; see :func:`posepile.datasets3d.get_dataset`.

    Args:
        name: Name, ``name@variant`` or file.
        kind: ``3d`` or ``2d``; None = either.
        **kwargs: Options.
    """
    name = str(name)
    if paths.is_address(name) and not name.endswith(".barecat"):
        raise UsageError(f"{name}: expected the address of an archive, which ends in .barecat")
    if name.endswith(".pkl"):
        _refuse(name, kwargs)
        check_mix(paths.ensure_absolute(name))
        return _of_kind(restricted_pickle.load(paths.ensure_absolute(name)), kind, name)
    if name.endswith(".barecat"):
        images = kwargs.pop("image_barecat_path", None)
        _refuse(name, kwargs)
        return _open_archive(name, kind, images)

    pickle_path, archive_path = paths.cache_dir() / f"{name}.pkl", paths.archive_path(name)
    dataset, variant = _split_name(name)
    if kwargs:
        make = getattr(load_recipe(dataset), "make_dataset", None)
        if make is None:
            _refuse(name, kwargs)
        return make(**kwargs)
    if pickle_path.exists():
        check_mix(pickle_path)
        return _of_kind(restricted_pickle.load(pickle_path), kind, name)
    if find_index(archive_path) is not None:
        return _open_archive(archive_path, kind, None)
    if (paths.config_dir() / "merge" / f"{name}.yaml").is_file():
        raise not_there_yet(pickle_path, "pickle", f"the mix {name}", f"posepile merge {name}")
    module = load_recipe(dataset)
    if hasattr(module, "make_dataset") and variant is None:
        return module.make_dataset()
    todo = f"{run_command(name)} (looked for {pickle_path}, too)"
    raise not_there_yet(archive_path, "archive", name, todo)


def get_joint_info(name: str) -> JointInfo:
    """Returns the skeleton of a dataset; the recipe's where it has not been built."""
    name = str(name)
    if name.endswith(".pkl"):
        return restricted_pickle.load(paths.ensure_absolute(name)).joint_info
    if name.endswith(".barecat"):
        return open_archive(name).joint_info
    dataset, _ = _split_name(name)
    if dataset in dataset_names():
        return load_recipe(dataset).SPEC.joint_info
    pickle_path, archive_path = paths.cache_dir() / f"{name}.pkl", paths.archive_path(name)
    if pickle_path.exists():
        return restricted_pickle.load(pickle_path).joint_info
    if find_index(archive_path) is not None:
        return open_archive(archive_path).joint_info
    return load_recipe(dataset).SPEC.joint_info


def _split_name(name):
    """Returns the dataset and the variant of a build's name; no variant is None."""
    dataset, at, variant = name.partition("@")
    if at and not (dataset and variant):
        raise UsageError(f"dataset {name!r}: expected name or name@variant")
    return dataset, variant or None


def _open_archive(path, kind, images):
    if paths.is_address(path):
        remote_archive(path, anew=True)
    own_kind = _steady(lambda: open_archive(path).metadata.get("kind"))
    if own_kind == "2d" and kind == "3d":
        raise UsageError(
            f"{path}: a 2D dataset; open it with posepile.datasets2d.get_dataset instead"
        )
    if images is None and not open_archive(path).has_table:
        images = _images_by_flag()
    return open_dataset(path, kind, images)


def open_entries(
    path: str | os.PathLike, kind: str, images: str | os.PathLike | None
) -> Pose3DDataset | Pose2DDataset:
    """Opens an archive for callers that always name an archive of images, too.

    Args:
        path: The archive.
        kind: ``3d`` or ``2d``.
        images: The archive of images; not used where ``path`` has a table and so its own.
    """
    own = os.fspath(path) if os.path.isabs(path) else paths.ensure_absolute(path)
    return _open_archive(own, kind, None if open_archive(own).has_table else images)


def _images_by_flag():
    """Returns the archive of images that the command line of training code names, None if none.

    That code (metrabs, NLF) keeps it in the global flags of simplepyutils, where the original
    PosePile looks for it.
    """
    flags = sys.modules.get("simplepyutils")
    return None if flags is None else getattr(flags.FLAGS, "image_barecat_path", None)


def _of_kind(dataset, kind, name):
    found = getattr(dataset, "kind", None)
    if found is None:
        raise WorkError(f"{name}: the pickle holds {type(dataset).__name__}, expected a dataset")
    if kind is not None and found != kind:
        raise UsageError(
            f"{name}: a {found.upper()} dataset; open it with posepile.datasets{found}.get_dataset"
        )
    return dataset


def _refuse(name, kwargs):
    if kwargs:
        raise UsageError(f"dataset {name!r}: unknown option {sorted(kwargs)[0]!r}")


def open_dataset(
    path: str | os.PathLike,
    kind: str | None = None,
    image_archive_path: str | os.PathLike | None = None,
) -> Pose3DDataset | Pose2DDataset:
    """Opens an archive as a dataset; the time it takes does not depend on its size.

    Archives without a table (per-example entries only) are listed first.

    Args:
        path: The archive.
        kind: ``3d`` or ``2d``; None = what the archive says of itself.
        image_archive_path: Where the images are, if not in the archive itself.
    """
    return _steady(lambda: _open_dataset(path, kind, image_archive_path))


def _steady(open_it):
    """Opens what may be replaced while it is opened, until it was not."""
    for _ in range(20):
        with contextlib.suppress(ArchiveReplaced):
            return open_it()
    return open_it()


def _open_dataset(path, kind, image_archive_path):
    archive = open_archive(path)
    metadata, joint_info = archive.metadata, archive.joint_info
    if kind is None:
        kind = "2d" if metadata.get("kind") == "2d" else "3d"
    ref = archive.reference
    if archive.has_table:
        if image_archive_path is not None:
            raise UsageError(
                f"{archive.name}: image_barecat_path={os.fspath(image_archive_path)!r} "
                "given, but this archive holds its images itself; leave it out"
            )
        source = table_source(ref, kind, archive.table.n_rows, short_identity(archive))
        source.check()
        rows = archive.split_rows()
        lists = [ExampleList(source, rows[name]) for name in SPLIT_NAMES.values()]
    else:
        images = None
        if image_archive_path is not None:
            images = paths.relative_to_root(paths.ensure_absolute(image_archive_path))
        lists = []
        for name in SPLIT_NAMES.values():
            keys = StringColumn(key for key, *_ in archive.entries(name))
            lists.append(ExampleList(EntrySource(ref, images, kind, joint_info.n_joints, keys)))
    if kind == "2d":
        return Pose2DDataset(joint_info, *lists)
    dataset = Pose3DDataset(joint_info, *lists, compute_bone_lengths=False)
    for name in ("train_bones", "trainval_bones"):
        lengths = metadata.get(f"{name.removesuffix('s')}_lengths")
        if lengths is not None and len(lengths):
            setattr(dataset, name, np.array(lengths, np.float32))
    return dataset


def write_pickle(path: str | os.PathLike, pickle_path: str | os.PathLike) -> None:
    """Writes the dataset pickle of an archive: a few kilobytes that refer to the archive.

    Args:
        path: The archive.
        pickle_path: Where to; written to a temporary file and renamed.
    """
    data = pickle.dumps(open_dataset(path), protocol=4)
    pickle_path = Path(pickle_path)
    pickle_path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(pickle_path, data)
