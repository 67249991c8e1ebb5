"""Values as bytes: msgpack with arrays, and masks in any of their stored forms."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack
import numpy as np

from posepile.errors import WorkError, one_line

_LONGEST_DTYPE = 16
_BYTES_OF_COUNT = 7  # at most, of a number of 32 bits in COCO's compressed form
_MOST_COUNTS = 1 << 28


def pack_msgpack(obj: Any) -> bytes:
    """Writes msgpack with numpy arrays in the encoding of ``msgpack-numpy``."""
    return msgpack.packb(obj, default=_encode_numpy, use_bin_type=True)


def unpack_msgpack(data: bytes) -> Any:
    """Reads msgpack with numpy arrays, which come out writable.

    Pickled object arrays, which ``msgpack-numpy`` would execute, are refused.
    """
    try:
        return msgpack.unpackb(data, object_hook=_decode_numpy, strict_map_key=False)
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        why = one_line(e) or type(e).__name__
        raise WorkError(f"msgpack entry of {len(data)} bytes: cannot be read: {why}") from e


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
    dtype = obj[b"type"] if isinstance(obj[b"type"], str) else obj[b"type"].decode()
    if len(dtype) > _LONGEST_DTYPE or np.dtype(dtype).kind in "OV":
        raise WorkError(f"msgpack entry: found an array of {dtype[:20]!r}; expected plain numbers")
    array = np.frombuffer(obj[b"data"], np.dtype(dtype))
    return array.reshape(obj[b"shape"]).copy() if obj[b"nd"] else array[0]


def _inflated(data: bytes, size: list[int]) -> bytes:
    """The counts of a mask: more than one of its pixels each cannot be."""
    most = min(_BYTES_OF_COUNT * (size[0] * size[1] + 2), _MOST_COUNTS)
    inflating = zlib.decompressobj()
    counts = inflating.decompress(data, most)
    if not inflating.eof:
        raise WorkError(f"mask of {size}: found more than {most} bytes of counts, or cut ones")
    return counts


def rle_with_counts(mask: dict[str, Any]) -> dict[str, Any]:
    """Brings any stored form of an RLE mask to ``{'size': [h, w], 'counts': bytes}``."""
    size = [int(x) for x in mask["size"]]
    if "zcounts" in mask:
        return {"size": size, "counts": _inflated(mask["zcounts"], size)}
    if "counts" in mask and not isinstance(mask["counts"], list):
        counts = mask["counts"]
        return {"size": size, "counts": counts.encode() if isinstance(counts, str) else counts}
    import rlemasklib

    ucounts = np.asarray(mask.get("ucounts", mask.get("counts")), np.uint32)
    return {
        "size": size,
        "counts": rlemasklib.compress({"size": size, "ucounts": ucounts})["counts"],
    }
