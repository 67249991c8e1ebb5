"""Values as bytes: msgpack with arrays, and masks in any of their stored forms."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack
import numpy as np

from posepile.errors import WorkError


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
