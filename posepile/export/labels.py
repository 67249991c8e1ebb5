"""The labels of a dataset as arrays in one file, without images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import PosePileError
from posepile.export import columns
from posepile.export.npz_writer import NpzWriter
from posepile.export.plain import FACTS, description
from posepile.export.rows import Exported, Progress, require_own_pictures
from posepile.export.writing import places_read, replacing_file, require_replaceable
from posepile.formats.numpy_files import load_npz
from posepile.recipe import SPLIT_NAMES
from posepile.store import bulk
from posepile.store.example_list import as_example_list
from posepile.store.fields import FIELDS

# Of the record -> of the file.
_TEXTS = {**{name: name for name in FACTS}, "sequence": "sequence"}
_TEXTS_3D = {"activity_name": "activity", "scene_name": "scene"}


def export_labels(
    dataset: Any, out: str | os.PathLike, progress: Progress | None = None
) -> Exported:
    """Writes all labels into one ``.npz`` without pickled arrays; see docs/EXPORT.md.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_labels(get_dataset("aspset"), folder / "labels.npz")
    >>> made.examples, made.files[0].name
    (30, 'labels.npz')

    Args:
        dataset: The dataset.
        out: The file; relative paths are below ``DATA_ROOT``.
        progress: Called with the number of examples written now and then.

    Returns:
        What was written.

    Raises:
        UsageError: Something lies there that is no such export.
    """
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    require_labels(dataset, out)
    require_own_pictures(dataset)
    done = Exported(files=[out])
    out.parent.mkdir(parents=True, exist_ok=True)
    with NpzWriter(out.parent) as file, replacing_file(out) as f:
        for split, _, part in columns.chunks(dataset):
            _add(file, split, part)
            done.examples += len(part)
            if progress is not None:
                progress(done.examples)
        _add_texts(file, dataset)
        content = description(dataset, out.stem, "labels", done)
        file.put("description", json.dumps(content))
        file.write(f)
    return done


def require_labels(dataset: Any, out: Path) -> None:
    """Refuses to write labels where something else lies.

    Args:
        dataset: The dataset.
        out: The file.

    Raises:
        UsageError: Something else lies there.
    """
    is_own = not os.path.lexists(out) or _is_export(out)
    require_replaceable(out, places_read(dataset), "export of labels", is_own)


def _is_export(path):
    try:
        return json.loads(load_npz(path, ["description"])["description"].item())["format"] == (
            "labels"
        )
    except (PosePileError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _add(file, split, part):
    file.add("split", np.full(len(part), split, np.uint8))
    file.add_texts("image_path", part.column("image_path").tolist())
    for name in bulk.NUMBERS:
        if not _is_per_joint(name):
            file.add(name, part.column(name))
    cameras, knows_shape = columns.cameras_of(part)
    file.add("has_camera", ~np.isnan(cameras[:, 0]))
    file.add("camera_R", cameras[:, :9].reshape(-1, 3, 3))
    file.add("camera_K", cameras[:, 9:18].reshape(-1, 3, 3))
    file.add("camera_centre", cameras[:, 18:21])
    file.add("camera_up", cameras[:, 21:])
    file.add("camera_knows_imshape", knows_shape)
    for key, name, n_dims in (("joints3d", "world_coords", 3), ("joints2d", "coords2d", 2)):
        counts, ids, values = columns.joints_of(part, name, n_dims)
        file.add_ragged(key, counts, **{f"{key}_ids": ids, key: values})
    for name in ("mask", "valid_poly", "distortion"):
        counts, values = columns.ragged_of(part, name)
        file.add_ragged(name, counts, **{name: values})
    counts, values = columns.extras_of(part)
    file.add_ragged("extras", counts, extras=values)


def _is_per_joint(name: str) -> bool:
    """Returns whether a field of examples has a value per joint."""
    return name in ("coords", "coords2d", "world_coords") or (
        name in FIELDS and FIELDS[name].per_joint
    )


def _add_texts(file, dataset):
    names = dict(_TEXTS) if dataset.kind == "2d" else {**_TEXTS, **_TEXTS_3D}
    for name, own in names.items():
        known: dict[str, int] = {}
        for split in SPLIT_NAMES:
            examples = as_example_list(dataset.examples[split])
            if not len(examples):
                continue
            numbers, strings = examples.codes(name)
            shared = [known.setdefault(text, len(known)) for text in strings]
            file.add(own, np.array(shared, np.int32)[numbers])
        file.put(f"{own}_names", np.array(list(known) or ["unknown"]))
