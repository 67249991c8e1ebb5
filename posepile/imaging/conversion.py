"""Whole pictures out of planes of luma and chroma, and the input of networks; compiled.

Imported when it is needed, like :mod:`posepile.imaging.kernels`.
"""

from __future__ import annotations

import numpy as np

from posepile.imaging.kernels import compiled


@compiled()
def grow_row(near, far, out):
    """Chroma of a row of pixels, in units of the stored samples, rounded half to even.

    Samples lie at even columns and between two rows (the MPEG-2 siting).

    Args:
        near: Row of samples that is a quarter of a sample away.
        far: Row of samples that is three quarters away.
        out: int32 ``[2 n]`` for ``n`` samples.
    """
    n = out.shape[0] // 2
    for i in range(n - 1):
        # In eighths, exact in integers
        here = np.int32(3) * near[i] + far[i]
        following = np.int32(3) * near[i + 1] + far[i + 1]
        even, odd = here + here, here + following
        out[2 * i] = (even + 3 + ((even >> 3) & 1)) >> 3
        out[2 * i + 1] = (odd + 3 + ((odd >> 3) & 1)) >> 3
    even = 2 * (np.int32(3) * near[n - 1] + far[n - 1])
    out[2 * n - 2] = out[2 * n - 1] = (even + 3 + ((even >> 3) & 1)) >> 3


@compiled(fastmath={"contract"})
def to_rgb(planes, size, matrix, out):
    """Converts a picture of YUV 4:2:0.

    Args:
        planes: Luma ``[h, >= w]`` and two chroma planes ``[ceil(h / 2), >= ceil(w / 2)]``, uint8
            or uint16.
        size: Width and height.
        matrix: float32 ``[3, 4]`` from stored (Y, U, V, 1) to RGB in 0..1.
        out: uint8 ``[h, 3 w]``.
    """
    luma, blue, red = planes
    w, h = size
    cw, ch = (w + 1) // 2, (h + 1) // 2
    us, vs = np.empty(2 * cw, np.int32), np.empty(2 * cw, np.int32)
    low, high, white, half = np.float32(0), np.float32(255.5), np.float32(255), np.float32(0.5)
    r0, r1, r2, r3 = matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3]
    g0, g1, g2, g3 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3]
    b0, b1, b2, b3 = matrix[2, 0], matrix[2, 1], matrix[2, 2], matrix[2, 3]
    for y in range(h):
        near = y // 2
        far = min(near + 1, ch - 1) if y % 2 else max(near - 1, 0)
        grow_row(blue[near], blue[far], us)
        grow_row(red[near], red[far], vs)
        row, line = luma[y], out[y]
        for x in range(w):
            l, u, v = np.float32(row[x]), np.float32(us[x]), np.float32(vs[x])  # noqa: E741
            r = (l * r0 + (u * r1 + (v * r2 + r3))) * white + half
            g = (l * g0 + (u * g1 + (v * g2 + g3))) * white + half
            b = (l * b0 + (u * b1 + (v * b2 + b3))) * white + half
            line[3 * x] = np.uint8(np.int32(min(max(r, low), high)))
            line[3 * x + 1] = np.uint8(np.int32(min(max(g, low), high)))
            line[3 * x + 2] = np.uint8(np.int32(min(max(b, low), high)))


def to_planes(
    image: np.ndarray,
    bgr: bool,
    corner: tuple[int, int],
    scale: np.float32,
    mean: np.ndarray,
    std: np.ndarray,
    out: np.ndarray,
) -> None:
    """Writes a picture into the input of a network: ``(value * scale - mean) / std``.

    Args:
        image: uint8 RGB ``[h, w, 3]``, also in memory plane by plane.
        bgr: Whether the first plane is blue.
        corner: Column and row of ``out`` where the picture begins.
        scale: Factor on 0..255.
        mean: float32 ``[3]`` in the order of the planes.
        std: Likewise.
        out: float32 ``[3, height, width]``, at least as large as the picture.
    """
    (h, w, _), (left, top) = image.shape, corner
    plain = scale == 1 and not mean.any() and (std == 1).all()
    if image.strides[1] != 1:
        _to_planes(np.ascontiguousarray(image).reshape(h, -1), bgr, corner, out)
    else:
        for plane, source in zip(out, image.transpose(2, 0, 1)[:: -1 if bgr else 1], strict=True):
            plane[top : top + h, left : left + w] = source
    if not plain:
        inside = out[:, top : top + h, left : left + w]
        inside *= scale  # in place, as new memory costs more than the sum
        inside -= mean[:, None, None]
        inside /= std[:, None, None]


@compiled()
def _to_planes(image, bgr, corner, out):
    left, top = corner
    first, last = (2, 0) if bgr else (0, 2)
    for y in range(image.shape[0]):
        row = image[y]
        a, b, c = out[first, top + y, left:], out[1, top + y, left:], out[last, top + y, left:]
        for x in range(image.shape[1] // 3):
            a[x] = np.float32(row[3 * x])
            b[x] = np.float32(row[3 * x + 1])
            c[x] = np.float32(row[3 * x + 2])
