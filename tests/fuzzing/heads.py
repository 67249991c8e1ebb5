"""Whether a file is of its format by its head, for readers that say the same of all faults.

A picture that cannot be decoded gets the same message whether it is none at all or damaged in its
last line, so that the message does not tell whether the reader came beyond its first check.
"""

from __future__ import annotations

import netrc
import zlib
from pathlib import Path

from posepile.formats.yaml_files import parse_yaml


def is_png(path: Path) -> bool:
    """Signature and a first chunk with the size of the picture, its checksum right."""
    data = path.read_bytes()[:33]
    first = data[8:16] == b"\0\0\0\x0dIHDR" and len(data) == 33
    return first and zlib.crc32(data[12:29]) == int.from_bytes(data[29:], "big")


def is_picture(path: Path) -> bool:
    """The head of a BMP, WebP or TIFF file, with lengths and places within the file."""
    data = path.read_bytes()
    if data[:2] == b"BM":
        return int.from_bytes(data[14:18], "little") in (40, 108, 124) and len(data) > 54
    if data[:4] == b"RIFF":
        return data[8:15] == b"WEBPVP8" and len(data) > 30
    at = int.from_bytes(data[4:8], "little")
    return data[:4] in (b"II*\0", b"MM\0*") and 8 <= at < len(data) - 14


def is_onnx(path: Path) -> bool:
    """Messages of Protocol Buffers with a graph that has nodes."""
    import onnx

    return len(onnx.load_from_string(path.read_bytes()).graph.node) > 0


def is_mapping(path: Path) -> bool:
    """YAML with a mapping in it."""
    return isinstance(parse_yaml(path.read_text()), dict)


def is_netrc(path: Path) -> bool:
    """What the standard library reads as a netrc file with a machine."""
    return len(netrc.netrc(path).hosts) > 0


def has_calibration(path: Path) -> bool:
    """The tag of the calibration, its length and the beginning of JSON behind it."""
    return b"calib_json" in path.read_bytes()
