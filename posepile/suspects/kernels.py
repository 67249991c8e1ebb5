"""The compiled inner loops over masks; loaded when there is work."""

from __future__ import annotations

import numpy as np

from posepile.imaging.kernels import compiled

# Joints are also looked for so many steps to each side: to find by how much a camera is off.
REACH = 6


@compiled()
def decode(values, start, end, out):
    """Draws a compressed mask, column by column.

    Args:
        values: uint8, bytes of masks.
        start: Where those of this one begin.
        end: Where they end.
        out: uint8 ``[w * h]``; filled with 0 and 1.

    Returns:
        Whether its runs make up exactly the picture.
    """
    place, previous, before, value, k = start, 0, 0, 0, 0
    filled = 0
    while place < end:
        number, shift, more = np.int64(0), 0, True
        while more and place < end and shift < 60:
            byte = np.int64(values[place]) - 48
            number |= (byte & 31) << shift
            more = (byte & 32) != 0
            shift += 5
            place += 1
            if not more and byte & 16:
                number |= np.int64(-1) << shift
        if k > 2:
            number += before
        before, previous = previous, number
        k += 1
        if number < 0 or filled + number > len(out):
            return False
        out[filled : filled + number] = value
        filled += number
        value = 1 - value
    return filled == len(out)


@compiled()
def _near(mask, w, h, x, y, radius):
    """Whether the mask, or its border, is within a distance of a place, by nine looks."""
    for i in range(-1, 2):
        for j in range(-1, 2):
            s = 0.7071 if i * j != 0 else 1.0
            u = int(np.floor(x + 0.5 + i * radius * s))
            v = int(np.floor(y + 0.5 + j * radius * s))
            if 0 <= u < w and 0 <= v < h and mask[u * h + v]:
                return True
    return False


@compiled()
def look_at_masks(values, ends, sizes, points, steps, facts, distances, fits, shifts):
    """Measures masks against joints.

    Args:
        values: uint8, bytes of masks.
        ends: int64 ``[n, 2]``.
        sizes: int64 ``[n, 2]`` width and height.
        points: float32 ``[n, j, 2]`` places of joints, NaN = missing.
        steps: float32 ``[n]``, the step in which shifts are tried, pixels.
        facts: float32 ``[n, 10]``, filled: left, top, right, bottom of the mask, mean x and y,
            area, share of the picture's border that it touches, joints in the picture, 1.
        distances: float32 ``[n, j]``, filled: by how many pixels a joint is outside, about.
        fits: float32 ``[n, 2]``, filled: share of the joints that are in the mask, and in its
            mirror image.
        shifts: int32 ``[n, 2 * REACH + 1, 2 * REACH + 1]``, filled: how many joints would be in
            the mask if they were moved so many steps down and right.
    """
    for i in range(len(ends)):
        w, h = sizes[i, 0], sizes[i, 1]
        if ends[i, 1] <= ends[i, 0] or w <= 0 or h <= 0 or w * h > 1 << 26:
            continue
        mask = np.empty(w * h, np.uint8)
        if not decode(values, ends[i, 0], ends[i, 1], mask):
            continue
        left, right, top, bottom, area, border = w, -1, h, -1, 0, 0
        sum_x, sum_y = 0.0, 0.0
        for x in range(w):
            low, high, n = h, -1, 0
            for y in range(h):
                if mask[x * h + y]:
                    low = min(low, y)
                    high = y
                    n += 1
                    sum_y += y
            if n:
                left, right = min(left, x), x
                top, bottom = min(top, low), max(bottom, high)
                area += n
                sum_x += x * n
                if x == 0 or x == w - 1:
                    border += n
                border += (low == 0) + (high == h - 1)
        if not area:
            continue
        facts[i, 0], facts[i, 1], facts[i, 2], facts[i, 3] = left, top, right, bottom
        facts[i, 4], facts[i, 5], facts[i, 6] = sum_x / area, sum_y / area, area
        facts[i, 7] = border / (2.0 * (w + h))
        n_in, own, mirrored = 0, 0, 0
        for k in range(points.shape[1]):
            x, y = points[i, k, 0], points[i, k, 1]
            if not (x >= -0.5 and y >= -0.5 and x < w - 0.5 and y < h - 0.5):
                continue
            n_in += 1
            own += mask[int(np.floor(x + 0.5)) * h + int(np.floor(y + 0.5))]
            mirrored += mask[int(np.floor(w - 0.5 - x)) * h + int(np.floor(y + 0.5))]
            radius = 0.0
            while radius < w + h and not _near(mask, w, h, x, y, radius):
                radius = max(1.0, radius * 1.25)
            distances[i, k] = radius
            for a in range(-REACH, REACH + 1):
                for b in range(-REACH, REACH + 1):
                    u = int(np.floor(x + b * steps[i] + 0.5))
                    v = int(np.floor(y + a * steps[i] + 0.5))
                    if 0 <= u < w and 0 <= v < h:
                        shifts[i, a + REACH, b + REACH] += mask[u * h + v]
        facts[i, 8], facts[i, 9] = n_in, 1
        if n_in:
            fits[i, 0], fits[i, 1] = own / n_in, mirrored / n_in
