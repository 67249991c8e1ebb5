"""The pickle of a dataset that the classes of the original PosePile load."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import UsageError
from posepile.export.folders import alone
from posepile.export.loaders import path_of_loader, rows_by_loader
from posepile.export.pickle_writer import Instance, PickleWriter
from posepile.export.rows import Exported, Images, Progress, dense
from posepile.export.writing import places_read, replacing_file, require_replaceable
from posepile.files import open_regular
from posepile.recipe import SPLITS
from posepile.store.encoding import rle_with_counts
from posepile.store.fields import Record

# From so many joints on, coordinates are written without the missing ones.
_DENSE_UP_TO = 256

# Which class of cameras the pickle names.
CAMERAS = {
    "deltacamera": ("deltacamera", "Camera"),
    "cameralib": ("cameralib.cameralib", "Camera"),
}

_DATASETS = {
    "3d": ("posepile.datasets3d", "Pose3DDataset"),
    "parametric": ("posepile.datasets3d", "Pose3DDataset"),
    "2d": ("posepile.datasets2d", "Pose2DDataset"),
}


def export_pickle(
    dataset: Any,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    cameras: str = "deltacamera",
) -> Exported:
    """Writes a pickle that loads where the original PosePile is installed.

    The images are not in it: the original opens ``image_path`` as a file, see
    :func:`posepile.export.folder.export_folder`.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_pickle(get_dataset("aspset"), folder / "old.pkl")
    >>> made.examples, made.files[0].name
    (30, 'old.pkl')

    Args:
        dataset: The dataset.
        out: The file; relative paths are below ``DATA_ROOT``. Kinds that the original keeps in
            datasets of their own get files of their own, see docs/EXPORT.md.
        progress: Called with the number of examples written now and then.
        cameras: The library whose cameras the pickle names: ``deltacamera``, or ``cameralib``
            where the original has that.

    Returns:
        What was written.

    Raises:
        UsageError: Something lies there that is no such export.
    """
    if cameras not in CAMERAS:
        raise UsageError(f"cameras: found {cameras!r}, expected {' or '.join(map(repr, CAMERAS))}")
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    done, images, read = Exported(), Images(), places_read(dataset)
    _require_own(out, read)
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(out))
        writers: dict[str, _DatasetWriter] = {}

        def writer_of(loader):
            if loader not in writers:
                path = path_of_loader(out, loader, len(writers))
                _require_own(path, read)
                f = stack.enter_context(replacing_file(path))
                writers[loader] = _DatasetWriter(f, dataset, loader, CAMERAS[cameras])
                done.files.append(path)
            return writers[loader]

        for row, loader in rows_by_loader(dataset, done, progress):
            writer_of(loader).add(row.split, row.record)
            images.number(row)
        if not writers:
            writer_of(dataset.kind)
        for writer in writers.values():
            writer.close()
    done.images = images.n
    return done


def _require_own(path, read):
    is_own = not os.path.lexists(path) or _is_export(path)
    require_replaceable(path, read, "export of such a pickle", is_own)


def _is_export(path):
    """Returns whether a file begins as those written here, which no pickler of Python does."""
    with open_regular(path) as f:
        head = f.read(100)
    for name in _DATASETS.values():
        begun = io.BytesIO()
        PickleWriter(begun).begin(Instance(*name))
        if head.startswith(begun.getvalue() + b"X"):
            return True
    return False


class _DatasetWriter:
    """Writes a dataset of one kind, example by example, split after split."""

    def __init__(self, f: Any, dataset: Any, loader: str, camera_class: tuple[str, str]):
        self._loader, self._camera_class = loader, camera_class
        self._splits: Iterator[int] = iter(range(len(SPLITS)))
        self._open: int | None = None
        self._out = PickleWriter(f)
        self._out.begin(Instance(*_DATASETS[loader]))
        self._attribute("joint_info", _joint_info(dataset.joint_info))
        for name in ("train_bones", "trainval_bones"):
            bones = getattr(dataset, name, None)
            if bones is not None and loader != "2d":
                self._attribute(name, np.asarray(bones, np.float32))
        self._out.begin_attribute("examples")
        self._out.begin_dict()

    def _attribute(self, name, value):
        self._out.begin_attribute(name)
        self._out.write(value)
        self._out.end_item()

    def add(self, split: str, record: Record) -> None:
        """Writes the next example; those of a split come together, in the order of splits."""
        while self._open != SPLITS.index(split):
            self._next_split()
        make = _example_2d if self._loader == "2d" else _example_3d
        self._out.append(make(record, self._camera_class))

    def _next_split(self):
        if self._open is not None:
            self._out.end_item()
        self._open = next(self._splits)
        self._out.write(self._open)
        self._out.begin_list()

    def close(self) -> None:
        """Ends the pickle, with empty lists for the splits that are left."""
        while self._open != len(SPLITS) - 1:
            self._next_split()
        self._out.end_item()
        self._out.end_item()
        self._out.end()
        self._out.close()


def _joint_info(info):
    return Instance(
        "posepile.joint_info",
        "JointInfo",
        {
            "ids": Instance("addict.addict", "Dict", items=dict(info.ids)),
            "names": list(info.names),
            "mirror_mapping": [int(i) for i in info.mirror_mapping],
            "stick_figure_edges": [(int(i), int(j)) for i, j in info.stick_figure_edges],
        },
    )


def _example_3d(record: Record, camera_class: tuple[str, str]) -> Instance:
    return Instance(
        "posepile.datasets3d",
        "Pose3DExample",
        {
            "image_path": record.image_path,
            "world_coords": _coords(record.world_coords),
            "univ_coords": None,
            "bbox": np.asarray(record.bbox),
            "camera": _camera(record.camera, camera_class),
            "activity_name": record.activity,
            "scene_name": record.scene,
            "mask": _mask(record.mask),
            "instance_mask": None,
            "custom": None,
            "image": None,
            "parameters": _parameters(record.parameters),
        },
    )


def _example_2d(record: Record, camera_class: tuple[str, str]) -> Instance:
    return Instance(
        "posepile.datasets2d",
        "Pose2DExample",
        {
            "image_path": record.image_path,
            "coords": np.asarray(dense(record.coords2d)),
            "bbox": np.asarray(record.bbox),
            "mask": _mask(record.mask),
            "camera": _camera(record.camera, camera_class),
            "densepose": None if record.densepose is None else tuple(record.densepose),
            "image": None,
        },
    )


def _coords(coords):
    if coords is None or (len(coords) if hasattr(coords, "ndim") else coords.shape[0]) <= (
        _DENSE_UP_TO
    ):
        return dense(coords)
    from posepile.store.coords import SparseCoords

    if not isinstance(coords, SparseCoords):
        coords = SparseCoords(np.asarray(coords))
    return Instance(
        "posepile.datasets3d",
        "SparseCoords",
        {
            "shape": tuple(int(x) for x in coords.shape),
            "i_valid_joints": np.asarray(coords.i_valid_joints, np.uint16),
            "valid_coords": np.asarray(coords.valid_coords),
        },
    )


def _camera(camera, camera_class):
    if camera is None:
        return None
    model = camera.distortion_model
    has_lens = model is not None and model.has_nonzero_coeffs()
    attributes = {
        "R": np.asarray(camera.R),
        "t": np.asarray(camera.t),
        "intrinsic_matrix": np.asarray(camera.intrinsic_matrix),
        "distortion_coeffs": np.asarray(model.coeffs) if has_lens else None,
        "world_up": np.asarray(camera.world_up),
    }
    if camera_class[0] == "deltacamera" and camera.image_shape is not None:
        attributes["_image_shape"] = tuple(int(x) for x in camera.image_shape)
    return Instance(*camera_class, attributes)


def _mask(mask):
    if mask is None:
        return None
    mask = rle_with_counts(mask)
    return {"size": mask["size"], "counts": bytes(mask["counts"])}


def _parameters(parameters):
    return None if parameters is None else dict(parameters)
