"""Examples as JSON, as exports write them (docs/EXPORT.md), read back into records."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.export.plain import FORM_VERSION
from posepile.formats.schema import AGAIN
from posepile.imports.facts import TOLD
from posepile.store.cameras import make_distortion
from posepile.store.coords import as_compact_float
from posepile.store.fields import FIELDS, Record

_ODD = (ValueError, TypeError, LookupError, AttributeError, OverflowError, binascii.Error)


def check_description(description: Any, where: str | Path) -> dict[str, Any]:
    """Returns the description of an export, looked at.

    Raises:
        CorruptInput: It is none, or of a later version.
    """
    version = description.get("posepile_export") if isinstance(description, dict) else None
    if type(version) is not int:
        raise CorruptInput(where, "no description of an export", hint=AGAIN)
    if version > FORM_VERSION:
        text = f"is of version {version}; expected at most {FORM_VERSION}"
        raise CorruptInput(where, text, hint="update posepile")
    names, edges = description.get("joint_names"), description.get("joint_edges")
    lists = isinstance(names, list) and isinstance(edges, list)
    if not lists or not all(isinstance(name, str) for name in names):
        raise CorruptInput(where, "its joint_names or joint_edges are no lists", hint=AGAIN)
    return description


def facts_of(description: dict[str, Any]) -> dict[str, Any]:
    """Returns the facts that the description of an export tells.

    Of several datasets it tells what is the same for all.
    """
    parts = [p for p in (description.get("parts") or {}).values() if isinstance(p, dict)]
    found: dict[str, Any] = {"units": "mm", "axes": "world"}
    for name in TOLD:
        values = [part[name] for part in parts if part.get(name) not in (None, "")]
        whole = name not in ("sequence_names", "image_dir") or len(values) == len(parts)
        if not values or not whole:
            continue
        if all(value == values[0] for value in values):
            found[name] = values[0]
        elif name in ("licence", "citation"):
            found[name] = "; ".join(sorted({str(v) for v in values}))
    return found


def record_of(example: Any, n_joints: int, where: str | Path) -> Record:
    """Returns the record of an example.

    Args:
        example: As docs/EXPORT.md describes it.
        n_joints: Number of joints of the skeleton.
        where: File and example, for messages.

    Raises:
        CorruptInput: It is not such an example.
    """
    try:
        return _record(example, n_joints)
    except _ODD as e:
        text = f"is no example of an export ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(where, text, hint=AGAIN) from None


def _record(example, n_joints):
    values: dict[str, Any] = {}
    for name in ("image_path", "split", "sequence", "activity", "scene"):
        if name in example:
            if not isinstance(example[name], str):
                raise ValueError(f"{name} is no text")
            values[name] = example[name]
    for name in ("frame", "person", "track"):
        if name in example and name in FIELDS:
            values[name] = int(example[name])
    world, points = example.get("joints3d"), example.get("joints2d")
    mask, camera = example.get("mask"), example.get("camera")
    parameters, dense = example.get("parameters"), example.get("densepose")
    height, width = example["imshape"]
    return Record(
        **{"frame": -1, "person": 0, "sequence": "unknown", "split": "train", **values},
        imshape=(int(height), int(width)),
        bbox=numbers(example["bbox"], np.float32).reshape(4),
        world_coords=None if world is None else _joints(world, "mm", n_joints, 3),
        coords2d=None if points is None else _joints(points, "px", n_joints, 2),
        camera=None if camera is None else camera_of(camera),
        mask=None if mask is None else mask_of(mask),
        valid_poly=_points(example.get("valid_poly")),
        parameters=None if parameters is None else parameters_of(parameters),
        densepose=None if dense is None else _dense(dense),
        fingerprint=_bytes(example.get("fingerprint")),
    )


def numbers(value: Any, dtype: Any = np.float64) -> np.ndarray:
    """Returns an array of numbers in which null is NaN."""
    return np.array(_with_nan(value), np.float64).astype(dtype)


def _with_nan(value):
    if isinstance(value, list):
        return [_with_nan(v) for v in value]
    return np.nan if value is None else value


def _joints(joints, unit, n_joints, n_dims):
    ids = np.array(joints["ids"], np.int64).reshape(-1)
    rows = numbers(joints[unit]).reshape(-1, n_dims)
    if len(ids) != len(rows) or (len(ids) and not 0 <= ids.min() <= ids.max() < n_joints):
        raise ValueError(f"joints {ids[:5]} of {n_joints}, {len(rows)} rows")
    coords = np.full((n_joints, n_dims), np.nan)
    coords[ids] = rows
    return as_compact_float(coords) if n_dims == 3 else coords.astype(np.float32)


def camera_of(camera: dict[str, Any]) -> Any:
    """Returns the camera of its JSON."""
    import deltacamera

    lens = camera.get("distortion")
    return deltacamera.Camera(
        rot_world_to_cam=numbers(camera["R"]).reshape(3, 3),
        intrinsic_matrix=numbers(camera["K"]).reshape(3, 3),
        optical_center=numbers(camera["centre_mm"]).reshape(3),
        world_up=numbers(camera["up"]).reshape(3),
        distortion_model=None
        if lens is None
        else make_distortion(numbers(lens["coeffs"]), lens["model"]),
        image_shape=tuple(camera["imshape"]) if camera.get("imshape") else None,
    )


def mask_of(mask: dict[str, Any]) -> dict[str, Any]:
    """Returns the RLE dict of a mask whose counts are text."""
    height, width = mask["size"]
    return {"size": [int(height), int(width)], "counts": mask["counts"].encode("ascii")}


def parameters_of(parameters: dict[str, Any]) -> dict[str, Any]:
    """Returns body parameters: lists of numbers as float32 arrays, all else as it is."""
    return {str(name): _parameter(name, value) for name, value in parameters.items()}


def _parameter(name, value):
    if isinstance(value, dict):
        if set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return parameters_of(value)
    if isinstance(value, list) and _is_numeric(value):
        return numbers(value, np.float32)
    return value


def _is_numeric(value):
    if isinstance(value, list):
        return all(_is_numeric(v) for v in value)
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _points(value):
    return None if value is None else numbers(value, np.float32).reshape(-1, 2)


def _dense(dense):
    faces = np.array(dense["i_faces"])
    if faces.dtype.kind not in "iu" and faces.size:
        raise ValueError("i_faces of densepose are no whole numbers")
    return (
        numbers(dense["imcoords"], np.float32).reshape(-1, 2),
        faces.astype(np.uint16 if not faces.size or faces.max() < 65536 else np.uint32),
        numbers(dense["barycoords"], np.float32),
    )


def _bytes(text):
    return None if text is None else base64.b64decode(text, validate=True)
