"""Per-example entries: a record as the msgpack map that existing training code reads, and back.

:func:`encode_entry` writes the map, :func:`decode_entry` reads it, whether written here or by
earlier producers (float16 rows, int16 boxes, ``zcounts`` or ``ucounts`` masks). Fields without a
form of their own there stand under their own names. The format is described in docs/FORMAT.md.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from posepile.errors import WorkError, one_line
from posepile.store.cameras import camera_from_dict, camera_to_dict
from posepile.store.coords import as_compact_float, present_joints
from posepile.store.encoding import pack_msgpack, rle_with_counts, unpack_msgpack
from posepile.store.fields import FIELDS, Record

_MOST_JOINTS = 1_000_000  # also of a mesh, whose vertices somebody may take for joints

# Fields that the map holds in another form or under another name.
_OTHER_FORM = {
    "image_path", "split", "bbox", "imshape", "person", "world_coords", "coords2d", "camera",
    "mask", "valid_poly", "parameters", "densepose",
}  # fmt: skip
_AS_THEY_ARE = [field for name, field in FIELDS.items() if name not in _OTHER_FORM]


def entry_key(record: Record) -> str:
    """Returns the key of a record's entry, ``{split}/{image_path}_{person:02d}.msgpack``."""
    return f"{record.split}/{record.image_path}_{record.person:02d}.msgpack"


def split_key(key: str) -> tuple[str, str, int]:
    """Takes an entry's key apart into split, image path and person index."""
    split, _, rest = key.partition("/")
    image_path, _, person = rest.rpartition("_")
    try:
        return split, image_path, int(person.partition(".")[0])
    except ValueError:
        raise WorkError(
            f"entry {key!r}: expected a name of the form split/image_path_NN.msgpack"
        ) from None


def encode_entry(record: Record) -> bytes:
    """Writes a record as a per-example entry.

    Joint rows carry explicit indices even when all joints are valid: readers that take "no
    indices" for "all valid" would hand out the buffer itself, which is read-only.
    """
    entry: dict[str, Any] = {
        "impath": record.image_path,
        "bbox": np.asarray(record.bbox, np.float32),
    }
    if record.world_coords is not None:
        coords = as_compact_float(record.world_coords)
        entry["n_joints"] = len(coords)
        if len(coords):
            entry["joints3d"] = _joints(coords)
    if record.coords2d is not None:
        coords = np.asarray(record.coords2d, np.float32)
        entry["n_joints2d"] = len(coords)
        entry["joints2d"] = _joints(coords)
    if record.camera is not None:
        entry["cam"] = camera_to_dict(record.camera)
    if record.mask is not None:
        mask = rle_with_counts(record.mask)
        entry["mask"] = {
            "size": [int(x) for x in mask["size"]],
            "zcounts": zlib.compress(mask["counts"]),
        }
    if record.parameters is not None:
        entry["parameters"] = record.parameters
    if record.densepose is not None:
        imcoords, i_faces, barycoords = record.densepose
        entry["densepose"] = {"imcoords": imcoords, "i_faces": i_faces, "barycoords": barycoords}
    if record.valid_poly is not None and len(record.valid_poly):
        entry["valid_poly"] = np.asarray(record.valid_poly, np.float32)
    entry.update(imshape=[int(x) for x in record.imshape], person=int(record.person))
    for field in _AS_THEY_ARE:
        value = getattr(record, field.name)
        if value is not None:
            entry[field.name] = value.item() if isinstance(value, np.generic) else value
    return pack_msgpack(entry)


def decode_entry(data: bytes, key: str | None = None, n_joints: int | None = None) -> Record:
    """Reads a per-example entry.

    Args:
        data: The entry.
        key: Its key, from which split and person index are taken where the entry has none.
        n_joints: Number of joints of the skeleton, needed for entries of earlier producers.

    Returns:
        The record. Arrays are writable; coordinates are float32, or float64 where the entry has
        float64.

    Raises:
        WorkError: The bytes are not such an entry.
    """
    entry = unpack_msgpack(data)
    if not isinstance(entry, dict) or "impath" not in entry:
        raise WorkError(f"entry {key!r}: expected a msgpack map with the key 'impath'")
    try:
        return _record_of(entry, key, n_joints)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error) as e:
        raise WorkError(f"entry {key!r}: cannot be read: {type(e).__name__}: {one_line(e)}") from e


def _record_of(entry: dict, key: str | None, n_joints: int | None) -> Record:
    split, _, person = split_key(key) if key else ("", "", 0)

    world_coords = None
    j3d = entry.get("joints3d")
    if j3d is not None or "n_joints" in entry:
        world_coords = _dense_coords(j3d, entry.get("n_joints", n_joints), 3)
    coords2d = None
    j2d = entry.get("joints2d")
    if j2d is not None:
        coords2d = _dense_coords(j2d, entry.get("n_joints2d", n_joints), 2)
    parameters = entry.get("parameters")
    if parameters is not None:
        parameters = dict(parameters)
        if "pose" in parameters:
            parameters["pose"] = np.asarray(parameters["pose"]).reshape(-1)
    densepose = entry.get("densepose")
    if densepose is not None:
        densepose = (densepose["imcoords"], densepose["i_faces"], densepose["barycoords"])
    mask = entry.get("mask")
    return Record(
        image_path=entry["impath"],
        split=split,
        bbox=np.asarray(entry["bbox"]).astype(np.float32),
        imshape=tuple(entry.get("imshape", mask["size"] if mask else (0, 0))),
        person=entry.get("person", person),
        world_coords=world_coords,
        coords2d=coords2d,
        camera=camera_from_dict(entry["cam"]) if "cam" in entry else None,
        mask=rle_with_counts(mask) if mask is not None else None,
        valid_poly=entry.get("valid_poly"),
        parameters=parameters,
        densepose=densepose,
        **{field.name: entry.get(field.name, _unknown(field)) for field in _AS_THEY_ARE},
    )


def _unknown(field):
    # What earlier producers did not write: required all the same.
    return {"frame": -1, "sequence": ""}.get(field.name, field.default)


def _joints(coords):
    """Returns the rows of the joints that are there, and their indices.

    Where none is, one row that says NaN: readers take no indices for "all valid", and fail
    without the key.
    """
    index = present_joints(coords)
    if not len(index):
        index = np.arange(min(1, len(coords)))
    i_rows = index.astype(np.uint16 if len(coords) <= 65536 else np.uint32)
    return {"rows": np.ascontiguousarray(coords[index]), "i_rows": i_rows}


def _dense_coords(joints, n_joints, n_dims):
    if n_joints is not None and not (type(n_joints) is int and 0 <= n_joints <= _MOST_JOINTS):
        raise WorkError(f"number of joints: found {n_joints!r}; expected at most {_MOST_JOINTS}")
    if joints is None:
        return np.full([n_joints, n_dims], np.nan, np.float32)
    rows, i_rows = np.asarray(joints["rows"]), np.asarray(joints["i_rows"]).astype(np.int64)
    dtype = np.float64 if rows.dtype == np.float64 and n_dims == 3 else np.float32
    if not len(i_rows):
        if n_joints in (None, len(rows)):
            return rows.astype(dtype).reshape(-1, n_dims)
        if len(rows):
            raise WorkError(f"joint rows: found {len(rows)} without indices, expected {n_joints}")
    if n_joints is None:
        raise WorkError("joint rows with indices: the number of joints must be given to read them")
    coords = np.full([n_joints, n_dims], np.nan, dtype)
    coords[i_rows] = rows
    return coords
