"""The compiled inner loops of ``warp`` and ``frames``.

Imported when the first pixel is touched, because loading the compiler takes a moment. Compiled
code is cached beside the source or, where that folder cannot be written, in the user's cache
folder; without either it is compiled anew in each process (some seconds).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

PHASES = 64  # sub-pixel steps of the tap tables
ENCODE_SHIFT = 2  # 16-bit light -> 14-bit index of the encoding table


@njit(cache=True, nogil=True)
def linearize(image, region, table):
    """8-bit sRGB to 16-bit light; see ``warp.linearize``."""
    x0, y0, x1, y1 = region
    h, w, _ = image.shape
    out = np.empty((y1 - y0, x1 - x0, 4), np.uint16)
    left = min(max(-x0, 0), x1 - x0)
    right = max(min(w - x0, x1 - x0), left)
    for i in range(y1 - y0):
        row = image[min(max(y0 + i, 0), h - 1)]
        line = out[i]
        for j in range(left, right):
            x = x0 + j
            line[j, 0] = table[row[x, 0]]
            line[j, 1] = table[row[x, 1]]
            line[j, 2] = table[row[x, 2]]
            line[j, 3] = 0
        for j in range(left):
            for c in range(3):
                line[j, c] = table[row[0, c]]
            line[j, 3] = 0
        for j in range(right, x1 - x0):
            for c in range(3):
                line[j, c] = table[row[w - 1, c]]
            line[j, 3] = 0
    return out


@njit(cache=True, nogil=True)
def linearize_half(image, region, table):
    """8-bit sRGB to 16-bit light at half the size; region in pixels of the result."""
    x0, y0, x1, y1 = region
    h, w, _ = image.shape
    out = np.empty((y1 - y0, x1 - x0, 4), np.uint16)
    for i in range(y1 - y0):
        upper = image[min(max(2 * (y0 + i), 0), h - 1)]
        lower = image[min(max(2 * (y0 + i) + 1, 0), h - 1)]
        for j in range(x1 - x0):
            xa = min(max(2 * (x0 + j), 0), w - 1)
            xb = min(max(2 * (x0 + j) + 1, 0), w - 1)
            for c in range(3):
                total = (
                    np.uint32(table[upper[xa, c]])
                    + np.uint32(table[upper[xb, c]])
                    + np.uint32(table[lower[xa, c]])
                    + np.uint32(table[lower[xb, c]])
                )
                out[i, j, c] = (total + 2) >> 2
            out[i, j, 3] = 0
    return out


@njit(cache=True, nogil=True)
def halve(light):
    """Means of 2x2 values."""
    h, w, _ = light.shape
    out = np.empty((h // 2, w // 2, 4), np.uint16)
    for i in range(h // 2):
        for j in range(w // 2):
            for c in range(4):
                total = (
                    np.uint32(light[2 * i, 2 * j, c])
                    + np.uint32(light[2 * i, 2 * j + 1, c])
                    + np.uint32(light[2 * i + 1, 2 * j, c])
                    + np.uint32(light[2 * i + 1, 2 * j + 1, c])
                )
                out[i, j, c] = (total + 2) >> 2
    return out


@intrinsic
def weigh(typingctx, light, offset, pitch, taps_y, start_y, taps_x, start_x):
    """Weighted sum over 4x4 pixels of four uint16 channels, as three int32 in 0..65535.

    Written as vector instructions because the compiler does not find them by itself: a row of
    four pixels is sixteen numbers. ``offset`` and ``pitch`` count uint16 elements.
    """
    result = types.UniTuple(types.int32, 3)
    args = (light, types.int64, types.int64, taps_y, types.int64, taps_x, types.int64)

    def codegen(context, builder, signature, values):
        _, offset, pitch, _, start_y, _, start_x = values
        f32, i16, i32 = ir.FloatType(), ir.IntType(16), ir.IntType(32)
        row_type, sum_type = ir.VectorType(i16, 16), ir.VectorType(f32, 16)

        def pointer(index):
            array = context.make_array(signature.args[index])(context, builder, values[index])
            return array.data

        def load_at(base, position, vector_type, align):
            address = builder.gep(base, [position])
            return builder.load(builder.bitcast(address, ir.PointerType(vector_type)), align=align)

        fma = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(sum_type, [sum_type] * 3),
            "llvm.fmuladd.v16f32",
        )
        data, rows_y, rows_x = pointer(0), pointer(3), pointer(5)
        total = ir.Constant(sum_type, [0.0] * 16)
        for j in range(4):
            row = load_at(data, offset, row_type, 2)
            offset = builder.add(offset, pitch)
            index = builder.add(start_y, ir.Constant(start_y.type, j))
            weight = builder.load(builder.gep(rows_y, [index]))
            lane = builder.insert_element(
                ir.Constant(sum_type, ir.Undefined), weight, ir.Constant(i32, 0)
            )
            zeros = ir.Constant(ir.VectorType(i32, 16), [0] * 16)
            splat = builder.shuffle_vector(lane, lane, zeros)
            total = builder.call(fma, [builder.uitofp(row, sum_type), splat, total])
        total = builder.fmul(total, load_at(rows_x, start_x, sum_type, 4))

        def part(vector, first, n):
            index = ir.Constant(ir.VectorType(i32, n), list(range(first, first + n)))
            return builder.shuffle_vector(vector, vector, index)

        total = builder.fadd(part(total, 0, 8), part(total, 8, 8))
        total = builder.fadd(part(total, 0, 4), part(total, 4, 4))
        integers = builder.fptosi(
            builder.fadd(total, ir.Constant(total.type, [0.5] * 4)), ir.VectorType(i32, 4)
        )
        low = ir.Constant(integers.type, [0] * 4)
        high = ir.Constant(integers.type, [65535] * 4)
        integers = builder.select(builder.icmp_signed("<", integers, low), low, integers)
        integers = builder.select(builder.icmp_signed(">", integers, high), high, integers)
        channels = [builder.extract_element(integers, ir.Constant(i32, c)) for c in range(3)]
        return context.make_tuple(builder, signature.return_type, channels)

    return result(*args), codegen


@njit(cache=True, nogil=True, error_model="numpy")
def sample(light, mesh, bounds, tables, out):
    """Weighted 4x4 sums at mapped positions; see ``warp.sample``."""
    grid, stride, banks, cells = mesh
    taps_y, taps_x, encode = tables
    height, width, _ = out.shape
    pitch = np.int64(light.shape[1] * 4)
    x_low, x_high, y_low, y_high = bounds
    per_bank = taps_y.shape[1]
    step = np.float32(1.0 / stride)
    phases = np.float32(PHASES)
    for gi in range(cells.shape[0]):
        for i in range(gi * stride, min((gi + 1) * stride, height)):
            s = np.float32(i - gi * stride) * step
            for gj in range(cells.shape[1]):
                if not cells[gi, gj]:
                    continue
                xa = grid[gi, gj, 0] + s * (grid[gi + 1, gj, 0] - grid[gi, gj, 0])
                xb = grid[gi, gj + 1, 0] + s * (grid[gi + 1, gj + 1, 0] - grid[gi, gj + 1, 0])
                ya = grid[gi, gj, 1] + s * (grid[gi + 1, gj, 1] - grid[gi, gj, 1])
                yb = grid[gi, gj + 1, 1] + s * (grid[gi + 1, gj + 1, 1] - grid[gi, gj + 1, 1])
                dx = (xb - xa) * step
                dy = (yb - ya) * step
                base_x = np.int64(banks[gi, gj, 0]) * per_bank
                base_y = np.int64(banks[gi, gj, 1]) * per_bank
                j0 = gj * stride
                for j in range(j0, min(j0 + stride, width)):
                    k = np.float32(j - j0)
                    x = xa + k * dx
                    y = ya + k * dy
                    if x >= x_low and x <= x_high and y >= y_low and y <= y_high:
                        ix = np.int64(x)  # positions inside the bounds are positive
                        iy = np.int64(y)
                        px = np.int64((x - np.float32(ix)) * phases + np.float32(0.5))
                        py = np.int64((y - np.float32(iy)) * phases + np.float32(0.5))
                        r, g, b = weigh(
                            light,
                            (iy - 1) * pitch + (ix - 1) * 4,
                            pitch,
                            taps_y,
                            (base_y + py) * 4,
                            taps_x,
                            (base_x + px) * 16,
                        )
                        out[i, j, 0] = encode[r >> ENCODE_SHIFT]
                        out[i, j, 1] = encode[g >> ENCODE_SHIFT]
                        out[i, j, 2] = encode[b >> ENCODE_SHIFT]


@njit(cache=True, nogil=True)
def planes_to_light(planes, m, table, region):
    """YUV 4:2:0 to 16-bit light; see ``warp.planes_to_light``."""
    luma, blue, red = planes
    x0, y0, x1, y1 = region
    # Chroma samples lie at even columns and between two rows (the MPEG-2 siting)
    h, w = luma.shape
    ch, cw = blue.shape
    out = np.empty((y1 - y0, x1 - x0, 4), np.uint16)
    top, half = np.int32(len(table) - 1), np.float32(0.5)
    us = np.empty(cw, np.float32)
    vs = np.empty(cw, np.float32)
    for i in range(y1 - y0):
        y = min(max(y0 + i, 0), h - 1)
        near = min(y >> 1, ch - 1)
        far = min(max(near + (1 if y & 1 else -1), 0), ch - 1)
        a, b = np.float32(0.75), np.float32(0.25)
        first = max(min(x0 >> 1, cw - 1), 0)
        last = max(min((x1 >> 1) + 2, cw), first + 1)
        for c in range(first, last):
            us[c] = a * blue[near, c] + b * blue[far, c]
            vs[c] = a * red[near, c] + b * red[far, c]
        row = luma[y]
        for j in range(x1 - x0):
            x = min(max(x0 + j, 0), w - 1)
            c = min(x >> 1, cw - 1)
            d = min(c + (x & 1), cw - 1)
            u = half * (us[c] + us[d])
            v = half * (vs[c] + vs[d])
            for k in range(3):
                value = m[k, 0] * row[x] + m[k, 1] * u + m[k, 2] * v + m[k, 3]
                out[i, j, k] = table[min(max(np.int32(value + half), np.int32(0)), top)]
            out[i, j, 3] = 0
    return out


@njit(cache=True, nogil=True)
def planes_to_half(planes, m, table, region):
    """YUV 4:2:0 to 16-bit light at half the size; region in pixels of the result."""
    luma, blue, red = planes
    x0, y0, x1, y1 = region
    h, w = luma.shape
    ch, cw = blue.shape
    out = np.empty((y1 - y0, x1 - x0, 4), np.uint16)
    top, half = np.int32(len(table) - 1), np.float32(0.5)
    for i in range(y1 - y0):
        y = min(max(y0 + i, 0), ch - 1)
        ya = min(2 * y, h - 1)
        yb = min(2 * y + 1, h - 1)
        for j in range(x1 - x0):
            x = min(max(x0 + j, 0), cw - 1)
            xa = min(2 * x, w - 1)
            xb = min(2 * x + 1, w - 1)
            d = min(x + 1, cw - 1)
            u = np.float32(0.75) * blue[y, x] + np.float32(0.25) * blue[y, d]
            v = np.float32(0.75) * red[y, x] + np.float32(0.25) * red[y, d]
            for k in range(3):
                chroma = m[k, 1] * u + m[k, 2] * v + m[k, 3] + half
                p = table[min(max(np.int32(m[k, 0] * luma[ya, xa] + chroma), np.int32(0)), top)]
                q = table[min(max(np.int32(m[k, 0] * luma[ya, xb] + chroma), np.int32(0)), top)]
                r = table[min(max(np.int32(m[k, 0] * luma[yb, xa] + chroma), np.int32(0)), top)]
                s = table[min(max(np.int32(m[k, 0] * luma[yb, xb] + chroma), np.int32(0)), top)]
                total = np.uint32(p) + np.uint32(q) + np.uint32(r) + np.uint32(s)
                out[i, j, k] = (total + 2) >> 2
            out[i, j, 3] = 0
    return out
