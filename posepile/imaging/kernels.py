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

PHASE_BITS = 6  # 64 sub-pixel steps in the tap tables
FRACTION = 20  # bits after the point of source positions
N_LEVELS = 12  # no picture has more pyramid levels
YUV_SHIFT = 12  # bits after the point in the sums of luma and chroma
ENCODE_SHIFT = 2  # 16-bit light -> 14-bit index of the encoding table


def compiled(**options):
    """``njit`` that releases the interpreter lock and caches its result where that is possible."""

    def decorate(function):
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # numba found no folder that it may write to
            return njit(nogil=True, **options)(function)

    return decorate


@compiled(fastmath={"contract"})
def linearize(rows, region):
    """8-bit sRGB to 16-bit light, ``rows`` uint8 ``[h, 4 w]``; see ``warp.linearize``.

    A polynomial in place of a table, because it runs on many values at once. It is within 0.0008
    of the sRGB curve, a tenth of an 8-bit step, so that every value finds back.
    """
    x0, y0, x1, y1 = region
    h, w = rows.shape[0], rows.shape[1] // 4
    out = np.empty((y1 - y0, 4 * (x1 - x0)), np.uint16)
    left = min(max(-x0, 0), x1 - x0)
    right = max(min(w - x0, x1 - x0), left)
    first, n = 4 * min(max(x0, 0), w - 1), 4 * (right - left)
    white = np.float32(65535)
    c0, c1, c2 = (
        white * np.float32(0.0009998),
        white * np.float32(0.02938417),
        white * np.float32(0.55444228),
    )
    c3, c4 = white * np.float32(0.53734924), white * np.float32(-0.12217549)
    linear, half = white / np.float32(12.92), np.float32(0.5)
    scale, knee = np.float32(1 / 255), np.float32(0.04045)
    for i in range(y1 - y0):
        row = rows[min(max(y0 + i, 0), h - 1)]
        source = row[first : first + n]
        target = out[i, 4 * left : 4 * left + n]
        for k in range(n):
            v = np.float32(source[k]) * scale
            bent = (((c4 * v + c3) * v + c2) * v + c1) * v + c0
            target[k] = np.uint16(np.int32((linear * v if v <= knee else bent) + half))
        line = out[i]
        for c in range(4):
            v = np.float32(row[c]) * scale
            bent = (((c4 * v + c3) * v + c2) * v + c1) * v + c0
            at_left = np.uint16(np.int32((linear * v if v <= knee else bent) + half))
            v = np.float32(row[4 * (w - 1) + c]) * scale
            bent = (((c4 * v + c3) * v + c2) * v + c1) * v + c0
            at_right = np.uint16(np.int32((linear * v if v <= knee else bent) + half))
            for j in range(left):
                line[4 * j + c] = at_left
            for j in range(right, x1 - x0):
                line[4 * j + c] = at_right
    return out


@compiled()
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


@compiled()
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


@compiled(error_model="numpy")
def survey(grid, stride, high, ratios):
    """Levels, tap tables and extents of the cells of a coarse map; see ``warp.survey``."""
    gh, gw, _ = grid.shape
    first_ratio, ratio_step, n_ratios, level_ratio = ratios
    level = np.full((gh - 1, gw - 1), -1, np.int8)
    banks = np.zeros((gh - 1, gw - 1, 2), np.uint8)
    extents = np.empty((N_LEVELS, 4), np.float64)
    extents[:, :2] = np.inf
    extents[:, 2:] = -np.inf
    undefined, bend_x, bend_y, step = 0.0, 0.0, 0.0, np.inf
    for i in range(gh):
        for j in range(gw):
            for c in range(2):
                here = grid[i, j, c]
                if not np.isfinite(here):
                    undefined += 1
                if j + 2 < gw:
                    bend_x = max(bend_x, abs(grid[i, j + 2, c] - 2 * grid[i, j + 1, c] + here))
                if i + 2 < gh:
                    bend_y = max(bend_y, abs(grid[i + 2, j, c] - 2 * grid[i + 1, j, c] + here))
    for i in range(gh - 1):
        for j in range(gw - 1):
            a, b, c, d = grid[i, j], grid[i, j + 1], grid[i + 1, j], grid[i + 1, j + 1]
            du0, du1 = (b[0] - a[0] + d[0] - c[0]) / 2, (b[1] - a[1] + d[1] - c[1]) / 2
            dv0, dv1 = (c[0] - a[0] + d[0] - b[0]) / 2, (c[1] - a[1] + d[1] - b[1]) / 2
            rx = np.sqrt(du0 * du0 + dv0 * dv0) / stride
            ry = np.sqrt(du1 * du1 + dv1 * dv1) / stride
            step = min(step, rx, ry)
            x_low, x_high = min(a[0], b[0], c[0], d[0]), max(a[0], b[0], c[0], d[0])
            y_low, y_high = min(a[1], b[1], c[1], d[1]), max(a[1], b[1], c[1], d[1])
            seen = x_low <= high[0] and y_low <= high[1] and x_high >= -0.5 and y_high >= -0.5
            if not (seen and np.isfinite(rx) and np.isfinite(ry)):
                continue
            n, ratio = 0, np.sqrt(rx * ry)
            while ratio >= 2 * level_ratio and n < N_LEVELS - 1:
                ratio /= 2
                rx /= 2
                ry /= 2
                n += 1
            level[i, j] = n
            banks[i, j, 0] = min(max(np.rint((rx - first_ratio) / ratio_step), 0), n_ratios - 1)
            banks[i, j, 1] = min(max(np.rint((ry - first_ratio) / ratio_step), 0), n_ratios - 1)
            extent = extents[n]
            extent[0] = min(extent[0], x_low)
            extent[1] = min(extent[1], y_low)
            extent[2] = max(extent[2], x_high)
            extent[3] = max(extent[3], y_high)
    return level, banks, extents, np.array([undefined, bend_x + bend_y, step])


@intrinsic
def weigh(typingctx, light, offset, pitch, taps_y, start_y, taps_x, start_x, target, place):
    """Weighted sum over 4x4 pixels of four uint16 channels, stored as four uint16.

    Written as vector instructions because the compiler does not find them by itself: a row of
    four pixels is sixteen numbers. ``offset``, ``pitch``, ``place`` and the starts count elements.
    """
    i64 = types.int64
    args = (light, i64, i64, taps_y, i64, taps_x, i64, target, i64)

    def codegen(context, builder, signature, values):
        _, offset, pitch, _, start_y, _, start_x, _, place = values
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
        integers = builder.fptosi(total, ir.VectorType(i32, 4))
        low = ir.Constant(integers.type, [0] * 4)
        high = ir.Constant(integers.type, [65535] * 4)
        integers = builder.select(builder.icmp_signed("<", integers, low), low, integers)
        integers = builder.select(builder.icmp_signed(">", integers, high), high, integers)
        short = builder.trunc(integers, ir.VectorType(i16, 4))
        address = builder.gep(pointer(7), [place])
        builder.store(short, builder.bitcast(address, ir.PointerType(short.type)), align=2)
        return context.get_dummy_value()

    return types.void(*args), codegen


@compiled(error_model="numpy")
def sample(light, mesh, bounds, tables, out):
    """Weighted 4x4 sums at mapped positions; see ``warp.sample``. Positions are fixed-point."""
    grid, stride, banks, cells = mesh
    taps_y, taps_x, encode = tables
    height, width, _ = out.shape
    pitch = np.int64(light.shape[1] * 4)
    x_low, x_high, y_low, y_high = bounds
    per_bank = np.int64(taps_y.shape[1])
    to_phase = FRACTION - PHASE_BITS
    rounding = np.int64(1 << (to_phase - 1))
    phase_mask = np.int64((1 << PHASE_BITS) - 1)
    sums = np.empty((stride, 4), np.uint16)
    start = pitch + 4  # the first of the four taps lies one row up and one pixel left
    for gi in range(cells.shape[0]):
        n_rows = min(stride, height - gi * stride)
        for gj in range(cells.shape[1]):
            if not cells[gi, gj]:
                continue
            xa, ya = grid[gi, gj]
            xb, yb = grid[gi, gj + 1]
            xc, yc = grid[gi + 1, gj]
            xd, yd = grid[gi + 1, gj + 1]
            inside = (
                min(xa, xb, xc, xd) >= x_low
                and max(xa, xb, xc, xd) <= x_high
                and min(ya, yb, yc, yd) >= y_low
                and max(ya, yb, yc, yd) <= y_high
            )
            base_x = np.int64(banks[gi, gj, 0]) * per_bank
            base_y = np.int64(banks[gi, gj, 1]) * per_bank
            j0 = gj * stride
            n = min(stride, width - j0)
            for s in range(n_rows):
                line = out[gi * stride + s]
                x = xa + (xc - xa) * s // stride
                y = ya + (yc - ya) * s // stride
                dx = (xb + (xd - xb) * s // stride - x) // stride
                dy = (yb + (yd - yb) * s // stride - y) // stride
                for k in range(n):
                    if inside or (x >= x_low and x <= x_high and y >= y_low and y <= y_high):
                        px = (x + rounding) >> to_phase
                        py = (y + rounding) >> to_phase
                        weigh(
                            light,
                            (py >> PHASE_BITS) * pitch + (px >> PHASE_BITS) * 4 - start,
                            pitch,
                            taps_y,
                            (base_y + (py & phase_mask)) * 4,
                            taps_x,
                            (base_x + (px & phase_mask)) * 16,
                            sums,
                            k * 4,
                        )
                    else:
                        sums[k] = 0
                    x += dx
                    y += dy
                for k in range(n):
                    line[j0 + k, 0] = encode[sums[k, 0] >> ENCODE_SHIFT]
                    line[j0 + k, 1] = encode[sums[k, 1] >> ENCODE_SHIFT]
                    line[j0 + k, 2] = encode[sums[k, 2] >> ENCODE_SHIFT]


@compiled()
def planes_to_light(planes, m, table, region):
    """YUV 4:2:0 to 16-bit light; see ``warp.planes_to_light``. ``m`` is fixed-point."""
    # Chroma samples lie at even columns and between two rows (the MPEG-2 siting)
    luma, blue, red = planes
    x0, y0, x1, y1 = region
    h, w = luma.shape
    ch, cw = blue.shape
    out = np.empty((y1 - y0, x1 - x0, 4), np.uint16)
    left, right = min(max(x0, 0), w - 1), max(min(x1, w), 1)
    c0, c1 = left >> 1, ((right - 1) >> 1) + 1
    n = c1 - c0
    share_r = np.empty(n + 1, np.int32)
    share_g = np.empty(n + 1, np.int32)
    share_b = np.empty(n + 1, np.int32)
    pairs = np.zeros((2 * n, 4), np.uint16)
    gain = m[0, 0]  # luma counts alike in all three
    for i in range(y1 - y0):
        y = min(max(y0 + i, 0), h - 1)
        near = min(y >> 1, ch - 1)
        far = min(max(near + (1 if y & 1 else -1), 0), ch - 1)
        u_near, u_far, v_near, v_far = blue[near], blue[far], red[near], red[far]
        for q in range(n + 1):
            c = min(c0 + q, cw - 1)
            u = (3 * np.int32(u_near[c]) + np.int32(u_far[c]) + 2) >> 2
            v = (3 * np.int32(v_near[c]) + np.int32(v_far[c]) + 2) >> 2
            share_r[q] = m[0, 1] * u + m[0, 2] * v + m[0, 3]
            share_g[q] = m[1, 1] * u + m[1, 2] * v + m[1, 3]
            share_b[q] = m[2, 1] * u + m[2, 2] * v + m[2, 3]
        row = luma[y]
        for q in range(n):
            even = gain * np.int32(row[2 * (c0 + q)])
            odd = gain * np.int32(row[min(2 * (c0 + q) + 1, w - 1)])
            pairs[2 * q, 0] = table[np.uint32((even + share_r[q]) >> YUV_SHIFT)]
            pairs[2 * q, 1] = table[np.uint32((even + share_g[q]) >> YUV_SHIFT)]
            pairs[2 * q, 2] = table[np.uint32((even + share_b[q]) >> YUV_SHIFT)]
            r = (share_r[q] + share_r[q + 1]) >> 1
            g = (share_g[q] + share_g[q + 1]) >> 1
            b = (share_b[q] + share_b[q + 1]) >> 1
            pairs[2 * q + 1, 0] = table[np.uint32((odd + r) >> YUV_SHIFT)]
            pairs[2 * q + 1, 1] = table[np.uint32((odd + g) >> YUV_SHIFT)]
            pairs[2 * q + 1, 2] = table[np.uint32((odd + b) >> YUV_SHIFT)]
        line = out[i]
        line[left - x0 : right - x0] = pairs[left - 2 * c0 : right - 2 * c0]
        for j in range(left - x0):
            line[j] = line[left - x0]
        for j in range(right - x0, x1 - x0):
            line[j] = line[right - 1 - x0]
    return out


@compiled()
def planes_to_half(planes, m, table, region):
    """YUV 4:2:0 to 16-bit light at half the size; region in pixels of the result."""
    luma, blue, red = planes
    x0, y0, x1, y1 = region
    h, w = luma.shape
    ch, cw = blue.shape
    out = np.empty((y1 - y0, x1 - x0, 4), np.uint16)
    gain = m[0, 0]
    for i in range(y1 - y0):
        y = min(max(y0 + i, 0), ch - 1)
        upper, lower = luma[min(2 * y, h - 1)], luma[min(2 * y + 1, h - 1)]
        for j in range(x1 - x0):
            x = min(max(x0 + j, 0), cw - 1)
            xa = min(2 * x, w - 1)
            xb = min(2 * x + 1, w - 1)
            d = min(x + 1, cw - 1)
            u = (3 * np.int32(blue[y, x]) + np.int32(blue[y, d]) + 2) >> 2
            v = (3 * np.int32(red[y, x]) + np.int32(red[y, d]) + 2) >> 2
            ya, yb = gain * np.int32(upper[xa]), gain * np.int32(upper[xb])
            yc, yd = gain * np.int32(lower[xa]), gain * np.int32(lower[xb])
            for k in range(3):
                share = m[k, 1] * u + m[k, 2] * v + m[k, 3]
                total = np.uint32(2)
                total += table[np.uint32((ya + share) >> YUV_SHIFT)]
                total += table[np.uint32((yb + share) >> YUV_SHIFT)]
                total += table[np.uint32((yc + share) >> YUV_SHIFT)]
                total += table[np.uint32((yd + share) >> YUV_SHIFT)]
                out[i, j, k] = total >> 2
            out[i, j, 3] = 0
    return out
