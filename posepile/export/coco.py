"""COCO's keypoint files: one per split, images beside, and the whole example in a key of its own.

A file is written list after list, as its annotations may not fit into memory; the annotations lie
in a temporary file meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from posepile import paths
from posepile.errors import WorkError, one_line
from posepile.export.folders import new_folder, place_of_image, put_image, write_description
from posepile.export.plain import description, licences, plain_example, plain_mask
from posepile.export.rows import (
    ENCODED,
    Exported,
    Images,
    Progress,
    Row,
    dense,
    image_bytes,
    iter_rows,
)
from posepile.recipe import SPLITS
from posepile.store.joint_chunks import has_places, in_picture


def export_coco(
    dataset: Any,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    images: bool = True,
) -> Exported:
    """Writes COCO keypoint files; see docs/EXPORT.md.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_coco(get_dataset("aspset"), folder / "annotations")
    >>> made.examples, made.files[0].name
    (30, 'annotations')

    Args:
        dataset: The dataset.
        out: The folder to make; relative paths are below ``DATA_ROOT``.
        progress: Called with the number of examples written now and then.
        images: Whether to write the images, too.

    Returns:
        What was written. Examples without any point in the picture are written as COCO has them,
        with ``num_keypoints`` 0, and noted.
    """
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    done, numbers = Exported(files=[out]), Images()
    categories, rights = _Categories(dataset), _Licences(dataset)
    with new_folder(out, "coco") as folder, contextlib.ExitStack() as stack:
        files: dict[str, _SplitFile] = {}
        for row in iter_rows(dataset, progress):
            if row.split not in files:
                files[row.split] = stack.enter_context(_SplitFile(folder))
            if numbers.number(row)[1] and images:
                data, encoded = image_bytes(row)
                done.notes[ENCODED] += encoded
                put_image(folder, row.record.image_path, data)
            else:
                place_of_image(folder, row.record.image_path)  # what is no name is refused
            file = files[row.split]
            number = file.image(row, rights)
            annotation = _annotation(row, categories.of(row))
            file.add_annotation({"id": file.n + 1, "image_id": number, **annotation})
            done.notes.update(["no point in the picture"] * (not annotation["num_keypoints"]))
            done.examples += 1
        done.images = numbers.n
        content = description(dataset, out.name, "coco", done)
        (folder / "annotations").mkdir()
        for split in SPLITS:
            if split in files:
                head = {
                    "info": {"description": f"{out.name}, {split}", "posepile": content},
                    "licenses": rights.rows,
                    "categories": categories.rows,
                }
                path = folder / "annotations" / f"{out.name}_{split}.json"
                files[split].write(path, head)
                done.files.append(out / "annotations" / path.name)
        write_description(folder, dataset, out.name, "coco", done)
    return done


class _SplitFile:
    """The images and annotations of a split, on disk."""

    def __init__(self, folder: Path):
        self._images = tempfile.TemporaryFile(dir=folder)
        self._annotations = tempfile.TemporaryFile(dir=folder)
        self._numbers = Images()
        self.n = 0

    def image(self, row: Row, rights: _Licences) -> int:
        """Returns the number of an example's image, which is added unless it is there."""
        number, is_new = self._numbers.number(row)
        if is_new:
            height, width = (int(x) for x in row.record.imshape)
            image = {
                "id": number + 1,
                "file_name": row.record.image_path,
                "height": height,
                "width": width,
                "license": rights.number(row.fact("licence")),
            }
            _append(self._images, image, first=not number)
        return number + 1

    def add_annotation(self, annotation: dict[str, Any]) -> None:
        """Adds an annotation."""
        _append(self._annotations, annotation, first=not self.n)
        self.n += 1

    def write(self, path: Path, head: dict[str, Any]) -> None:
        """Writes the file."""
        with open(path, "wb", 1 << 20) as f:
            f.write(json.dumps(head, ensure_ascii=False).encode()[:-1])
            for name, part in (("images", self._images), ("annotations", self._annotations)):
                f.write(f',\n"{name}": [\n'.encode())
                part.seek(0)
                shutil.copyfileobj(part, f, 1 << 20)
                f.write(b"\n]")
            f.write(b"}\n")

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, tb):
        self._images.close()
        self._annotations.close()


def _append(f: BinaryIO, value: dict[str, Any], first: bool) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    f.write((text if first else ",\n" + text).encode())


class _Licences:
    """COCO's list of licences."""

    def __init__(self, dataset: Any):
        self.rows: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}
        for licence in licences(dataset).values():
            self.number(licence)

    def number(self, licence: str) -> int:
        """Returns the number of a licence, from 1."""
        if licence not in self._numbers:
            self._numbers[licence] = len(self.rows) + 1
            self.rows.append({"id": len(self.rows) + 1, "name": licence, "url": ""})
        return self._numbers[licence]


class _Categories:
    """A category per set of joints: the joints that the examples of a source can have."""

    def __init__(self, dataset: Any):
        self.rows: list[dict[str, Any]] = []
        self._info = dataset.joint_info
        self._by_source: dict[Any, tuple[int, np.ndarray]] = {}
        self._by_joints: dict[tuple, tuple[int, np.ndarray]] = {}
        self._names: set[str] = set()

    def of(self, row: Row) -> tuple[int, np.ndarray]:
        """Returns the number of an example's category, and its joints in the skeleton."""
        source = row.source
        found = self._by_source.get(source) if source is not None else None
        if found is None:
            ids = _joints_of(source, self._info.n_joints)
            key = tuple(ids.tolist())
            found = self._by_joints.get(key)
            if found is None:
                found = self._by_joints[key] = (self._add(row.dataset, ids), ids)
            if source is not None:
                self._by_source[source] = found
        return found

    def _add(self, name, ids):
        place = {int(i): k + 1 for k, i in enumerate(ids)}
        edges = [
            [place[i], place[j]]
            for i, j in self._info.stick_figure_edges
            if i in place and j in place
        ]
        number = len(self.rows) + 1
        name = "person" if len(ids) == self._info.n_joints else name
        if name in self._names:
            name = f"{name} {number}"
        self._names.add(name)
        self.rows.append(
            {
                "id": number,
                "name": name,
                "supercategory": "person",
                "keypoints": [self._info.names[i] for i in ids],
                "skeleton": edges,
            }
        )
        return number


def _joints_of(source, n_joints):
    """Returns which joints of the skeleton the examples of a source can have, rising."""
    ids = getattr(source, "joint_ids", None)
    return np.arange(n_joints) if ids is None else np.unique(ids[ids >= 0])


def _annotation(row, category):
    number, ids = category
    record = row.record
    points = points_in_picture(row)
    points = np.full((len(ids), 2), np.nan) if points is None else points[ids].astype(np.float64)
    seen = np.isfinite(points).all(axis=1)
    flat = np.zeros((len(ids), 3))
    flat[seen, :2] = points[seen]
    flat[seen, 2] = np.where(in_picture(points[seen], record.imshape), 2, 1)
    box = [_short(x) if np.isfinite(x) else 0.0 for x in np.asarray(record.bbox, float).tolist()]
    result = {
        "category_id": number,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "keypoints": [
            int(x) if k % 3 == 2 else _short(x) for k, x in enumerate(flat.ravel().tolist())
        ],
        "num_keypoints": int(seen.sum()),
    }
    if record.mask is not None:
        result["segmentation"] = plain_mask(record.mask)
        result["area"] = _area(record)
    return {**result, "posepile": plain_example(row)}


def _area(record):
    import rlemasklib

    try:
        return int(rlemasklib.area(record.mask))
    except ValueError as e:
        raise WorkError(
            f"{record.image_path}: its mask is damaged ({one_line(e)}); pack the dataset anew or "
            "leave the example out"
        ) from e


def _short(x):
    return float(f"{x:.9g}")


def points_in_picture(row: Row) -> np.ndarray | None:
    """Returns the joints of an example in pixels of its image, NaN where they are missing.

    Annotated points where the example has any, else the projections of its joints, NaN behind
    the camera.

    Args:
        row: The example.
    """
    record = row.record
    points = dense(record.coords2d)
    if points is not None and has_places(points):
        return np.asarray(points)
    joints = dense(record.world_coords)
    if joints is None or record.camera is None:
        return points
    ids = np.flatnonzero(np.isfinite(joints).all(axis=1))
    result = np.full((len(joints), 2), np.nan, np.float32)
    if len(ids):
        result[ids] = np.asarray(record.camera.world_to_image(joints[ids]))
    return result
