"""Helpers of the tests of ASPset."""

import struct

import numpy as np


def plain_c3d(path):
    """Points of a c3d file by the format's own description: blocks of 512 bytes, Intel floats."""
    data = path.read_bytes()
    n_points = struct.unpack_from("<H", data, 2)[0]
    first, last = struct.unpack_from("<HH", data, 6)
    scale = struct.unpack_from("<f", data, 12)[0]
    start = struct.unpack_from("<H", data, 16)[0]
    assert scale < 0, "negative scale: stored as floats"
    n = last - first + 1
    values = np.frombuffer(data, "<f4", n * n_points * 4, (start - 1) * 512)
    return values.reshape(n, n_points, 4)[..., :3]
