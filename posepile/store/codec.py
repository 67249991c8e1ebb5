"""The only place that turns an example into bytes and back.

:class:`Record` is one example as plain data. :func:`encode_entry` writes it as the per-example
msgpack map that existing training code reads, :func:`decode_entry` reads that map, whether written
here or by earlier producers (float16 rows, int16 boxes, ``zcounts`` or ``ucounts`` masks). The
format is described in docs/FORMAT.md.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from posepile.errors import WorkError

if TYPE_CHECKING:
    import deltacamera

FISHEYE = "kannala_brandt"
BROWN_CONRADY = "brown_conrady"

# Float32 is given up for coordinates when it would move a point by more than this (millimetres).
FLOAT32_TOLERANCE_MM = 0.01


@dataclass(slots=True, eq=False)
class Record:
    """One example of a dataset as plain data.

    Attributes:
        image_path: ``<image_dir>/<...>.jpg``, forward slashes.
        split: ``train``, ``val`` or ``test``.
        bbox: float32 ``[4]`` x, y, width, height in crop pixels.
        imshape: Height and width of the crop.
        frame: Source frame index.
        person: Index of the person within the image.
        sequence: Id of the sequence.
        world_coords: ``[J, 3]`` millimetres, NaN = missing; None if there are no 3D joints at all.
        coords2d: ``[J, 2]`` crop pixels, NaN = missing.
        camera: Camera of the crop.
        mask: RLE dict ``{'size': [h, w], 'counts': bytes}`` in crop pixels.
        valid_poly: float32 ``[K, 2]`` outline in crop pixels of what the source image covers;
            None or empty = all of the crop.
        parameters: Body-model parameters.
        densepose: (imcoords ``[n, 2]``, i_faces, barycoords ``[n, 3]``).
        activity: Activity label.
        scene: Scene label.
    """

    image_path: str
    split: str
    bbox: np.ndarray
    imshape: tuple[int, int]
    frame: int
    person: int
    sequence: str
    world_coords: np.ndarray | None = None
    coords2d: np.ndarray | None = None
    camera: deltacamera.Camera | None = None
    mask: dict | None = None
    valid_poly: np.ndarray | None = None
    parameters: dict | None = None
    densepose: tuple | None = None
    activity: str = "unknown"
    scene: str = "unknown"


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
        rows, i_rows = _valid_rows(coords)
        if len(i_rows):  # without any, "no indices" would be read as "all valid"
            entry["joints3d"] = {"rows": rows, "i_rows": i_rows}
    if record.coords2d is not None:
        coords = np.asarray(record.coords2d, np.float32)
        entry["n_joints2d"] = len(coords)
        rows, i_rows = _valid_rows(coords)
        if not len(i_rows) and len(coords):  # 2D readers require the key: one explicit NaN row
            rows, i_rows = coords[:1], np.zeros(1, np.uint16)
        entry["joints2d"] = {"rows": rows, "i_rows": i_rows}
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
    entry.update(
        imshape=[int(x) for x in record.imshape],
        frame=int(record.frame),
        person=int(record.person),
        sequence=record.sequence,
        activity=record.activity,
        scene=record.scene,
    )
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
        frame=entry.get("frame", -1),
        person=entry.get("person", person),
        sequence=entry.get("sequence", ""),
        world_coords=world_coords,
        coords2d=coords2d,
        camera=camera_from_dict(entry["cam"]) if "cam" in entry else None,
        mask=rle_with_counts(mask) if mask is not None else None,
        valid_poly=entry.get("valid_poly"),
        parameters=parameters,
        densepose=densepose,
        activity=entry.get("activity", "unknown"),
        scene=entry.get("scene", "unknown"),
    )


def camera_to_dict(camera: deltacamera.Camera) -> dict[str, Any]:
    """Writes a camera as the map ``cam`` of an entry.

    ``rot_w2c`` is added where a rotation vector cannot hold the matrix (mirrored images).
    """
    import cv2

    rot = np.asarray(camera.R)
    rotvec = cv2.Rodrigues(rot.astype(np.float64))[0][:, 0]
    result = {
        "rotvec_w2c": rotvec,
        "loc": np.asarray(camera.t),
        "intr": np.asarray(camera.intrinsic_matrix)[:2],
        "up": np.asarray(camera.world_up),
    }
    if np.abs(cv2.Rodrigues(rotvec)[0] - rot).max() > 1e-6:
        result["rot_w2c"] = rot
    model = camera.distortion_model
    if model is not None and model.has_nonzero_coeffs():
        result["distcoef"] = np.asarray(model.coeffs)
        result["distmodel"] = distortion_tag(model)
    if camera.image_shape is not None:
        result["imshape"] = [int(x) for x in camera.image_shape]
    return result


def camera_from_dict(cam: dict[str, Any]) -> deltacamera.Camera:
    """Reads the map ``cam`` of an entry; without a model tag the coefficient count decides."""
    import cv2
    import deltacamera

    rot = cam.get("rot_w2c")
    if rot is None:
        rot = cv2.Rodrigues(np.asarray(cam["rotvec_w2c"], np.float64))[0]
    intrinsics = np.eye(3, dtype=np.float32)
    intrinsics[:2] = cam["intr"]
    coeffs = cam.get("distcoef")
    return deltacamera.Camera(
        rot_world_to_cam=rot,
        optical_center=np.asarray(cam["loc"]),
        intrinsic_matrix=intrinsics,
        distortion_model=make_distortion(coeffs, cam.get("distmodel")),
        world_up=cam.get("up", (0, 0, 1)),
        image_shape=cam.get("imshape"),
    )


def distortion_tag(model: deltacamera.LensDistortionModel) -> str:
    """Returns the name under which a distortion model is stored."""
    import deltacamera

    return FISHEYE if isinstance(model, deltacamera.FisheyeKannalaBrandt) else BROWN_CONRADY


def make_distortion(
    coeffs: np.ndarray | None, tag: str | None
) -> deltacamera.LensDistortionModel | None:
    """Builds a distortion model; None where all coefficients are zero.

    Args:
        coeffs: Coefficients, or None.
        tag: Stored model name, or None: then 4 coefficients are a fisheye lens and any other
            number Brown-Conrady. Tagged Brown-Conrady coefficients are padded with zeros.
    """
    import deltacamera

    if coeffs is None:
        return None
    coeffs = np.asarray(coeffs, np.float32).reshape(-1)
    if not coeffs.any():
        return None
    if tag == FISHEYE or (tag is None and len(coeffs) == 4):
        return deltacamera.FisheyeKannalaBrandt(coeffs)
    if tag not in (None, BROWN_CONRADY):
        raise WorkError(f"distortion model {tag!r}: expected {FISHEYE!r} or {BROWN_CONRADY!r}")
    n_params = next((n for n in (5, 8, 12, 14) if n >= len(coeffs)), len(coeffs))
    return deltacamera.BrownConradyEx(np.pad(coeffs, (0, n_params - len(coeffs))))


def rle_with_counts(mask: dict[str, Any]) -> dict[str, Any]:
    """Brings any stored form of an RLE mask to ``{'size': [h, w], 'counts': bytes}``."""
    size = [int(x) for x in mask["size"]]
    if "zcounts" in mask:
        return {"size": size, "counts": zlib.decompress(mask["zcounts"])}
    if "counts" in mask and not isinstance(mask["counts"], list):
        counts = mask["counts"]
        return {"size": size, "counts": counts.encode() if isinstance(counts, str) else counts}
    import rlemasklib

    ucounts = np.asarray(mask.get("ucounts", mask.get("counts")), np.uint32)
    return {
        "size": size,
        "counts": rlemasklib.compress({"size": size, "ucounts": ucounts})["counts"],
    }


def as_compact_float(coords: np.ndarray) -> np.ndarray:
    """Returns coordinates as float32, or float64 where float32 would lose more than 0.01 mm."""
    coords = np.asarray(coords)
    if coords.dtype == np.float32:
        return coords
    single = coords.astype(np.float32)
    if coords.dtype != np.float64 or not coords.size:
        return single
    error = np.abs(single.astype(np.float64) - coords)
    return coords if np.any(error > FLOAT32_TOLERANCE_MM) else single


def pack_msgpack(obj: Any) -> bytes:
    """Writes msgpack with numpy arrays in the encoding of ``msgpack-numpy``."""
    return msgpack.packb(obj, default=_encode_numpy, use_bin_type=True)


def unpack_msgpack(data: bytes) -> Any:
    """Reads msgpack with numpy arrays, which come out writable.

    Pickled object arrays, which ``msgpack-numpy`` would execute, are refused.
    """
    try:
        return msgpack.unpackb(data, object_hook=_decode_numpy, strict_map_key=False)
    except (ValueError, TypeError, KeyError) as e:
        raise WorkError(f"msgpack entry of {len(data)} bytes: cannot be read: {e}") from e


def _encode_numpy(obj):
    if isinstance(obj, np.ndarray):
        if obj.dtype.kind in "OV":
            raise WorkError(f"array of dtype {obj.dtype}: expected numbers, booleans or strings")
        return {
            b"nd": True,
            b"type": obj.dtype.str,
            b"kind": b"",
            b"shape": list(obj.shape),
            b"data": obj.tobytes(),
        }
    if isinstance(obj, (np.bool_, np.number)):
        return {b"nd": False, b"type": obj.dtype.str, b"data": obj.tobytes()}
    raise TypeError(f"cannot be stored in an entry: {type(obj).__name__}")


def _decode_numpy(obj):
    if b"nd" not in obj:
        return obj
    if obj.get(b"kind", b"") not in (b"", ""):
        raise WorkError(
            "msgpack entry: holds a pickled or structured array; expected plain numbers"
        )
    dtype = obj[b"type"]
    array = np.frombuffer(
        obj[b"data"], np.dtype(dtype if isinstance(dtype, str) else dtype.decode())
    )
    return array.reshape(obj[b"shape"]).copy() if obj[b"nd"] else array[0]


def _valid_rows(coords):
    # A row with only some components is kept: nothing that was given may get lost.
    (index,) = np.nonzero(~np.all(np.isnan(coords), axis=-1))
    return np.ascontiguousarray(coords[index]), index.astype(
        np.uint16 if len(coords) <= 65536 else np.uint32
    )


def _dense_coords(joints, n_joints, n_dims):
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
