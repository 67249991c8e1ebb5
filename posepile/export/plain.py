"""An example, and what is true of its dataset, as JSON: what several of the formats carry."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.export.rows import Exported, Row, dense
from posepile.recipe import SPLIT_NAMES
from posepile.store.cameras import distortion_tag
from posepile.store.coords import present_joints
from posepile.store.encoding import rle_with_counts
from posepile.store.fields import FIELDS, Record
from posepile.store.origin import UNKNOWN
from posepile.version import __version__

# Of the JSON of examples and of the description; readers refuse a higher one.
FORM_VERSION = 1

# The description's name in a folder, by which an export is known.
DESCRIPTION = "posepile_export.json"

# Texts that examples have beside their fields.
FACTS = ("dataset", "licence", "subject", "view", "recording", "motion")

_OWN_FORM = {
    "bbox", "world_coords", "coords2d", "camera", "mask", "valid_poly", "parameters", "densepose",
    "fingerprint",
}  # fmt: skip


def plain_example(row: Row) -> dict[str, Any]:
    """Returns an example as JSON-serialisable data; docs/EXPORT.md describes it.

    Numbers of single precision are written with the digits that tell them apart (9), so they come
    back exactly. What an example has not is left out.

    Args:
        row: The example.
    """
    record = row.record
    result: dict[str, Any] = {name: row.fact(name) for name in FACTS}
    for name in FIELDS:
        if name not in _OWN_FORM:
            value = getattr(record, name)
            if value is not None:
                result[name] = to_plain(value)
    result["bbox"] = to_plain(np.asarray(record.bbox))
    for name, unit, coords in (
        ("joints3d", "mm", record.world_coords),
        ("joints2d", "px", record.coords2d),
    ):
        if coords is not None:
            ids, values = sparse(coords)
            result[name] = {"ids": ids.tolist(), unit: to_plain(values)}
    if record.camera is not None:
        result["camera"] = plain_camera(record.camera)
    if record.mask is not None:
        result["mask"] = plain_mask(record.mask)
    if record.valid_poly is not None and len(record.valid_poly):
        result["valid_poly"] = to_plain(record.valid_poly)
    return result | plain_further(record)


def plain_further(record: Record) -> dict[str, Any]:
    """Returns body parameters, DensePose and fingerprint of an example as JSON-serialisable data.

    Args:
        record: Its fields.
    """
    result: dict[str, Any] = {}
    if record.parameters is not None:
        result["parameters"] = to_plain(dict(record.parameters))
    if record.densepose is not None:
        names = ("imcoords", "i_faces", "barycoords")
        values = (to_plain(np.asarray(v)) for v in record.densepose)
        result["densepose"] = dict(zip(names, values, strict=True))
    if record.fingerprint is not None:
        result["fingerprint"] = base64.b64encode(record.fingerprint).decode()
    return result


def sparse(coords: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns which joints are there, and their coordinates.

    Args:
        coords: ``[J, d]``, NaN = missing; or sparse ones.
    """
    if hasattr(coords, "to_array"):
        return np.asarray(coords.i_valid_joints), np.asarray(coords.valid_coords)
    coords = np.asarray(coords)
    ids = present_joints(coords)
    return ids, coords[ids]


def plain_camera(camera: Any) -> dict[str, Any]:
    """Returns a camera as JSON-serialisable data."""
    result = {
        "R": to_plain(np.asarray(camera.R)),
        "K": to_plain(np.asarray(camera.intrinsic_matrix)),
        "centre_mm": to_plain(np.asarray(camera.t)),
        "up": to_plain(np.asarray(camera.world_up)),
    }
    model = camera.distortion_model
    if model is not None and model.has_nonzero_coeffs():
        coeffs = to_plain(np.asarray(model.coeffs))
        result["distortion"] = {"model": distortion_tag(model), "coeffs": coeffs}
    if camera.image_shape is not None:
        result["imshape"] = [int(x) for x in camera.image_shape]
    return result


def plain_mask(mask: dict[str, Any]) -> dict[str, Any]:
    """Returns a mask as COCO writes it in JSON: the size, and the compressed counts as text."""
    mask = rle_with_counts(mask)
    return {"size": mask["size"], "counts": mask["counts"].decode("ascii")}


def to_plain(value: Any) -> Any:
    """Returns a value as what JSON has: NaN becomes null, bytes ``{"base64": text}``."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            return _plain_floats(value)
        return value.tolist()
    if isinstance(value, np.generic):
        return _plain_floats(np.asarray(value)) if value.dtype.kind == "f" else value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return value


def _plain_floats(array):
    read: Callable[[float], float] = float
    if array.dtype.itemsize <= 4:
        # The shortest number that is this one in single precision has at most 9 digits.
        def read(x):
            return float(f"{x:.9g}")

    flat = [read(x) if x - x == 0 else None for x in array.ravel().tolist()]
    if array.ndim == 0:
        return flat[0]
    for n in array.shape[:0:-1]:
        flat = [flat[i : i + n] for i in range(0, len(flat), n)] if n else [[]] * array.shape[0]
    return flat


def description(dataset: Any, name: str, to: str, exported: Exported) -> dict[str, Any]:
    """Returns what is true of an exported dataset as JSON-serialisable data.

    Args:
        dataset: The dataset.
        name: Its name.
        to: The format.
        exported: What was written.
    """
    info = dataset.joint_info
    bones = {
        key: None if value is None else to_plain(np.asarray(value))
        for key in ("train_bones", "trainval_bones")
        for value in (getattr(dataset, key, None),)
    }
    return {
        "posepile_export": FORM_VERSION,
        "format": to,
        "made_by": f"posepile {__version__}",
        "name": name,
        "kind": dataset.kind,
        "joint_names": list(info.names),
        "joint_edges": [[int(i) for i in edge] for edge in info.stick_figure_edges],
        "mirror_mapping": [int(i) for i in info.mirror_mapping],
        **bones,
        "counts": {s: len(dataset.examples[i]) for i, s in SPLIT_NAMES.items()},
        "written": {"examples": exported.examples, "images": exported.images},
        "left_out": dict(exported.left_out),
        "notes": dict(+exported.notes),
        "parts": to_plain(_parts(dataset)),
    }


def _parts(dataset):
    parts = getattr(dataset, "parts", None)
    return {} if parts is None else {k: dict(v) for k, v in parts.items()}


def licences(dataset: Any) -> dict[str, str]:
    """Returns the licence of each dataset that a dataset is made of."""
    return {name: str(part.get("licence") or UNKNOWN) for name, part in _parts(dataset).items()}


def dense_or_missing(coords: Any, n_joints: int, n_dims: int) -> np.ndarray:
    """Returns ``[J, d]`` float32 coordinates, all NaN where there are none."""
    coords = dense(coords)
    if coords is None:
        return np.full((n_joints, n_dims), np.nan, np.float32)
    return np.asarray(coords, np.float32)
