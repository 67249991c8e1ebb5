"""The compiled inner loops of ``warp``.

More than 450 lines in one file, because numba's cache notices a change of a function only in the
file that it stands in: loops that call each other must not lie in several.

Imported when the first pixel is touched, because loading the compiler takes a moment. Compiled
code is cached beside the source or, where that folder cannot be written, in the user's cache
folder; without either it is compiled anew in each process (some seconds).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

WHITE = 32767  # 15 bits of light
PHASE_BITS = 6  # 64 sub-pixel steps in the tap tables
FRACTION = 20  # bits after the point of source positions
U = np.uintp  # an index of this type spares numba the check for negative ones
N_LEVELS = 12  # no picture has more pyramid levels
BLOCK = 128  # crop pixels per side of what is drawn at once, at most
BLOCK_PIXELS = 1 << 16  # source pixels of a block: 512 KB of light stay in the second cache


def compiled(**options):
    """``njit`` that releases the interpreter lock and caches its result where that is possible."""

    def decorate(function):
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # numba found no folder that it may write to
            return njit(nogil=True, **options)(function)

    return decorate


@compiled(fastmath={"contract"})
def to_light(v):
    """Linear light of an sRGB value in 0..1, float32.

    A polynomial in place of a table, because it runs on many values at once. It is within 0.06 of
    an 8-bit step of the sRGB curve.
    """
    c4, c3, c2 = np.float32(-0.11679677), np.float32(0.5265232), np.float32(0.56036453)
    c1, c0 = np.float32(0.02840564), np.float32(0.0010462)
    bent = (((c4 * v + c3) * v + c2) * v + c1) * v + c0
    return v * np.float32(1 / 12.92) if v <= np.float32(0.04045) else bent


@compiled(fastmath={"contract"})
def to_srgb(light):
    """8-bit sRGB value of linear light: the inverse of :func:`to_light` and rounding, clipped.

    A polynomial of the square root, within 0.09 of an 8-bit step of the sRGB curve; every 8-bit
    value finds back through both.
    """
    light = min(max(light, np.float32(0)), np.float32(1))
    r = np.sqrt(light)
    c5, c4, c3 = np.float32(131.9231824), np.float32(-414.06794634), np.float32(518.09173219)
    c2, c1, c0 = np.float32(-357.71799405), np.float32(387.08173997), np.float32(-10.22823759)
    bent = ((((c5 * r + c4) * r + c3) * r + c2) * r + c1) * r + c0
    value = light * np.float32(255 * 12.92) if light <= np.float32(0.0031308) else bent
    return np.uint8(np.int32(value + np.float32(0.5)))


# The sRGB curve for 8-bit values as a polynomial in integers: coefficients in units of light, from
# the constant up, then the slope of its linear part. A step is (coefficient + value * 256 * rest)
# >> 16, so that it runs on many 16-bit values at once. It is within 0.1 of an 8-bit step.
CURVE = (35, 935, 18506, 17456, -3887)
CURVE_LINEAR, CURVE_KNEE = 2546, 10
AT_ONCE = 32  # values per step of `lights`


@intrinsic
def lights(typingctx, source, position, target, place, ahead):
    """Light of ``AT_ONCE`` 8-bit values; those ``ahead`` are asked of the memory meanwhile."""
    i64 = types.int64

    def codegen(context, builder, signature, values):
        i8, i16, i32 = (ir.VectorType(ir.IntType(n), AT_ONCE) for n in (8, 16, 32))

        def pointer(index, position, kind):
            base = context.make_array(signature.args[index])(context, builder, values[index]).data
            return builder.bitcast(builder.gep(base, [position]), ir.PointerType(kind))

        def constant(value, kind=i16):
            return ir.Constant(kind, [value] * AT_ONCE)

        def times(factor):
            product = builder.mul(builder.zext(scaled, i32), builder.zext(factor, i32))
            return builder.trunc(builder.lshr(product, constant(16, i32)), i16)

        _, position, _, place, ahead = values
        byte, flag = ir.PointerType(ir.IntType(8)), ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]),
            "llvm.prefetch.p0i8",
        )
        to_read, keep, data = (ir.Constant(flag, n) for n in (0, 3, 1))
        later = pointer(0, builder.add(position, ahead), ir.IntType(8))
        builder.call(prefetch, [later, to_read, keep, data])
        value = builder.zext(builder.load(pointer(0, position, i8), align=1), i16)
        scaled = builder.shl(value, constant(8))
        light = builder.sub(constant(CURVE[3]), times(constant(-CURVE[4])))
        for coefficient in CURVE[2::-1]:
            light = builder.add(constant(coefficient), times(light))
        dark = builder.icmp_unsigned("<=", value, constant(CURVE_KNEE))
        light = builder.select(dark, times(constant(CURVE_LINEAR)), light)
        builder.store(light, pointer(2, place, i16), align=2)
        return context.get_dummy_value()

    return types.void(source, i64, target, i64, i64), codegen


@compiled()
def light_of(value):
    """Light of one 8-bit value, as :func:`lights`."""
    scaled = np.int64(value) << 8
    if value <= CURVE_KNEE:
        return np.int16((scaled * CURVE_LINEAR) >> 16)
    light = np.int64(CURVE[3]) - ((scaled * -CURVE[4]) >> 16)
    for k in range(2, -1, -1):
        light = CURVE[k] + ((scaled * light) >> 16)
    return np.int16(light)


@compiled()
def packed_row(row, x0, x1, line):
    """Light of the pixels ``x0`` to ``x1`` of a row uint8 ``[4 w]``, whose ends are repeated.

    ``line`` is int16 ``[4 (x1 - x0)]``.
    """
    w = row.shape[0] // 4
    left = min(max(-x0, 0), x1 - x0)
    right = max(min(w - x0, x1 - x0), left)
    n, ahead = 4 * (right - left), np.int64(2 * row.shape[0])
    source, target = row[4 * (x0 + left) :], line[4 * left :]
    if n >= AT_ONCE:
        for k in range(0, n - AT_ONCE, AT_ONCE):
            lights(source, k, target, k, ahead)
        lights(source, n - AT_ONCE, target, n - AT_ONCE, ahead)
    else:
        for k in range(n):
            target[k] = light_of(source[k])
    for c in range(4):
        first, last = light_of(row[c]), light_of(row[4 * (w - 1) + c])
        for j in range(left):
            line[4 * j + c] = first
        for j in range(right, x1 - x0):
            line[4 * j + c] = last


@compiled(fastmath={"contract"})
def planar_row(planes, size, to_rgb, y, x0, x1, room, line):
    """Light of the pixels ``x0`` to ``x1`` of row ``y`` of YUV 4:2:0, as :func:`packed_row`.

    Chroma samples lie at even columns and between two rows (the MPEG-2 siting). ``room`` is for
    what comes in between, float32 ``[6, >= x1 - x0 + 4]``.
    """
    luma, blue, red = planes
    w, h = size
    cw, ch = (w + 1) // 2, (h + 1) // 2
    left, right = min(max(x0, 0), w - 1), max(min(x1, w), 1)
    c0 = left >> 1
    n = ((right - 1) >> 1) + 1 - c0
    c1 = min(c0 + n + 1, cw)
    near = min(y >> 1, ch - 1)
    far = min(max(near + (1 if y & 1 else -1), 0), ch - 1)
    three, quarter, half = np.float32(3), np.float32(0.25), np.float32(0.5)
    zero, one, white = np.float32(0), np.float32(1), np.float32(WHITE)
    inner, narrow = c1 - c0, room[5]
    for k in range(2):
        chroma = blue if k == 0 else red
        above, below = chroma[near, c0:c1], chroma[far, c0:c1]
        for q in range(inner):
            narrow[q] = (three * np.float32(above[q]) + np.float32(below[q])) * quarter
        for q in range(inner, n + 1):
            narrow[q] = narrow[inner - 1]
        wide = room[3 + k]
        for q in range(n):
            wide[U(2 * q)] = narrow[q]
            wide[U(2 * q + 1)] = (narrow[q] + narrow[q + 1]) * half
    row, start = luma[y, left:right], left - 2 * c0
    us, vs = room[3, start:], room[4, start:]
    for k in range(3):
        my, mu, mv, m1 = to_rgb[k, 0], to_rgb[k, 1], to_rgb[k, 2], to_rgb[k, 3]
        values = room[k]
        for j in range(right - left):
            value = my * np.float32(row[j]) + (mu * us[j] + (mv * vs[j] + m1))
            values[j] = to_light(min(max(value, zero), one)) * white + half
    reds, greens, blues = room[0], room[1], room[2]
    target = line[4 * (left - x0) :]
    for j in range(right - left):
        target[U(4 * j)] = np.int16(np.int32(reds[j]))
        target[U(4 * j + 1)] = np.int16(np.int32(greens[j]))
        target[U(4 * j + 2)] = np.int16(np.int32(blues[j]))
        target[U(4 * j + 3)] = 0
    for j in range(left - x0):
        line[4 * j : 4 * j + 4] = line[4 * (left - x0) : 4 * (left - x0) + 4]
    for j in range(right - x0, x1 - x0):
        line[4 * j : 4 * j + 4] = line[4 * (right - 1 - x0) : 4 * (right - x0)]


@compiled()
def add_row(line, total):
    """Adds a row to a sum of rows."""
    for k in range(line.shape[0]):
        total[k] += np.float32(line[k])


@compiled()
def add_pairs(line, n, out):
    """Sums of two neighbouring pixels: ``n`` of them, float32 ``[4 n]``."""
    for j in range(n):
        for c in range(4):
            out[U(4 * j + c)] = line[U(8 * j + c)] + line[U(8 * j + 4 + c)]


@compiled()
def means(total, spare, side, out):
    """Means of ``side`` neighbours in a sum of ``side`` rows; ``total`` and ``spare`` are lost."""
    share, half = np.float32(1 / (side * side)), np.float32(0.5)
    n = out.shape[0] // 4
    while side > 1:
        side //= 2
        add_pairs(total, n * side, spare)
        total, spare = spare, total
    for k in range(4 * n):
        out[k] = np.int16(np.int32(total[k] * share + half))


def row_of(source, y, x0, x1, room, line):
    """Light of the pixels ``x0`` to ``x1`` of a row of either kind of picture; see `light`."""


@overload(row_of)
def _row_of(source, y, x0, x1, room, line):
    def packed(source, y, x0, x1, room, line):
        packed_row(source[0][y], x0, x1, line)

    def planar(source, y, x0, x1, room, line):
        planar_row(source[0], source[1], source[2], y, x0, x1, room, line)

    return packed if len(source) == 2 else planar


@compiled()
def light(source, region, side, out):
    """Light of a region, downscaled by ``side``.

    Args:
        source: ``(rows, size)``: uint8 ``[h, 4 w]``, the last of four channels unused, and width
            and height. Or ``(planes, size, to_rgb)``: luma ``[h, >= w]`` and two chroma planes
            ``[ceil(h / 2), >= ceil(w / 2)]``, uint8 or uint16, and float32 ``[3, 4]`` from
            stored (Y, U, V, 1) to RGB in 0..1.
        region: Left, top, right and bottom (exclusive) in pixels of the result; may reach beyond
            the picture, where the outermost pixels are repeated.
        side: Each pixel of the result is the mean of ``side x side`` pixels; a power of 2.
        out: int16 ``[y1 - y0, 4 (x1 - x0)]``, ``WHITE`` = white.
    """
    x0, y0, x1, y1 = region
    last = source[1][1] - 1
    room = np.empty((6, (x1 - x0) * side + 4), np.float32)
    n = 4 * (x1 - x0) * side if side > 1 else 0
    line, total, spare = np.empty(n, np.int16), np.empty(n, np.float32), np.empty(n, np.float32)
    for i in range(y1 - y0):
        if side == 1:
            row_of(source, min(max(y0 + i, 0), last), x0, x1, room, out[i])
            continue
        total[:] = 0
        for k in range(side):
            y = min(max((y0 + i) * side + k, 0), last)
            row_of(source, y, x0 * side, x1 * side, room, line)
            add_row(line, total)
        means(total, spare, side, out[i])


@compiled(error_model="numpy")
def survey(grid, stride, high, ratios):
    """Levels and tap tables of the cells of a coarse map; see ``warp.survey``."""
    gh, gw, _ = grid.shape
    first_ratio, ratio_step, n_ratios, level_ratio = ratios
    level = np.full((gh - 1, gw - 1), -1, np.int8)
    banks = np.zeros((gh - 1, gw - 1, 2), np.uint8)
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
    return level, banks, np.array([undefined, bend_x + bend_y, step])


@compiled()
def fixed_point(grid, high, n):
    """Positions and the picture's bounds (lowest and highest x, y) in pixels of level ``n``."""
    one, scale = float(1 << FRACTION), 1.0 / (1 << n)
    gh, gw, _ = grid.shape
    fixed = np.empty((gh, gw, 2), np.int64)
    for i in range(gh):
        for j in range(gw):
            for c in range(2):
                v = grid[i, j, c]
                # A position that does not exist lies outside any bounds
                v = (v + 0.5) * scale - 0.5 if np.isfinite(v) else -float(1 << 20)
                fixed[i, j, c] = np.int64(np.rint(v * one))
    low = -np.int64(1 << (FRACTION - 1))  # half a pixel before the first one, at any level
    x_high = np.int64(np.rint(((high[0] + 0.5) * scale - 0.5) * one))
    y_high = np.int64(np.rint(((high[1] + 0.5) * scale - 0.5) * one))
    return fixed, (low, x_high, low, y_high)


@compiled()
def touched(fixed, cells, bounds, block):
    """The pixels that the selected cells of a block touch: left, top, right, bottom (exclusive).

    Empty where the block has no selected cell.
    """
    i0, i1, j0, j1 = block
    x_low, x_high, y_low, y_high = bounds
    xa, xb, ya, yb = x_high, x_low, y_high, y_low
    found = False
    for i in range(i0, i1):
        for j in range(j0, j1):
            if cells[i, j]:
                found = True
                for k in range(2):
                    for m in range(2):
                        x, y = fixed[i + k, j + m]
                        xa, xb = min(xa, x), max(xb, x)
                        ya, yb = min(ya, y), max(yb, y)
    if not found:
        return 0, 0, 0, 0
    # Four taps reach from one pixel before to two behind; one more for what is rounded
    x0, y0 = max(xa, x_low) >> FRACTION, max(ya, y_low) >> FRACTION
    x1, y1 = min(xb, x_high) >> FRACTION, min(yb, y_high) >> FRACTION
    return x0 - 2, y0 - 2, x1 + 5, y1 + 5


@compiled()
def lay_blocks(fixed, cells, bounds, stride):
    """Blocks of cells whose pixels fit into the processor's cache, and what they touch.

    Returns:
        int64 ``[n, 8]``: first and last (exclusive) row and column of cells, then left, top,
        right and bottom (exclusive) of the pixels; the largest number of pixels.
    """
    gh, gw = cells.shape
    blocks = np.empty((gh * gw, 8), np.int64)
    count, largest = 0, 0
    whole = max(BLOCK // stride, 1)
    for i in range(0, gh, whole):
        for j in range(0, gw, whole):
            side = whole
            first = count
            while True:
                count, fits = first, True
                for bi in range(i, min(i + whole, gh), side):
                    for bj in range(j, min(j + whole, gw), side):
                        block = (bi, min(bi + side, gh), bj, min(bj + side, gw))
                        x0, y0, x1, y1 = touched(fixed, cells, bounds, block)
                        n = (x1 - x0) * (y1 - y0)
                        if n == 0:
                            continue
                        fits = fits and n <= BLOCK_PIXELS
                        for k in range(4):
                            blocks[count, k] = block[k]
                        blocks[count, 4] = x0
                        blocks[count, 5] = y0
                        blocks[count, 6] = x1
                        blocks[count, 7] = y1
                        count += 1
                if fits or side == 1:
                    break
                side = max(side // 2, 1)
            for k in range(first, count):
                n = (blocks[k, 6] - blocks[k, 4]) * (blocks[k, 7] - blocks[k, 5])
                largest = max(largest, n)
    return blocks[:count], largest


@intrinsic
def weigh(typingctx, light, offset, pitch, taps_y, start_y, taps_x, start_x, target, place):
    """Weighted sum over 4x4 pixels of four int16 channels, stored as four float32.

    Written as vector instructions because the compiler does not find them by itself: a row of
    four pixels is sixteen numbers. Rows are summed in integers, two at a time (what processors
    have an instruction for), columns in floats. ``offset``, ``pitch``, ``place`` and the starts
    count elements of ``light``, ``target`` and the tap tables of ``warp``.
    """
    i64 = types.int64
    args = (light, i64, i64, taps_y, i64, taps_x, i64, target, i64)

    def codegen(context, builder, signature, values):
        _, offset, pitch, _, start_y, _, start_x, _, place = values
        f32, i16, i32 = ir.FloatType(), ir.IntType(16), ir.IntType(32)
        row_type, sum_type = ir.VectorType(i16, 16), ir.VectorType(f32, 8)

        def load(index, position, kind):
            base = context.make_array(signature.args[index])(context, builder, values[index]).data
            address = builder.gep(base, [position])
            return builder.load(builder.bitcast(address, ir.PointerType(kind)), align=2)

        def after(position, n):
            return builder.add(position, ir.Constant(position.type, n))

        def shuffle(a, b, order):
            mask = ir.Constant(ir.VectorType(i32, len(order)), list(order))
            return builder.shuffle_vector(a, b, mask)

        def multiply_add(a, b):
            wide = ir.VectorType(i32, 16)
            products = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
            even, odd = range(0, 16, 2), range(1, 16, 2)
            return builder.add(shuffle(products, products, even), shuffle(products, products, odd))

        def splat(value):
            lane = ir.Constant(ir.VectorType(i32, 8), ir.Undefined)
            lane = builder.insert_element(lane, value, ir.Constant(i32, 0))
            return builder.bitcast(shuffle(lane, lane, [0] * 8), row_type)

        rows = []
        for _ in range(4):
            rows.append(load(0, offset, row_type))
            offset = builder.add(offset, pitch)
        upper = splat(load(3, start_y, i32))
        lower = splat(load(3, after(start_y, 1), i32))
        # Pixels 0 and 2, then 1 and 3; each channel of a row beside that of the next row
        total = None
        for part, first in enumerate((0, 4)):
            order = [k for x in (first, first + 8) for c in range(4) for k in (x + c, 16 + x + c)]
            column = builder.add(
                multiply_add(shuffle(rows[0], rows[1], order), upper),
                multiply_add(shuffle(rows[2], rows[3], order), lower),
            )
            weights = load(5, after(start_x, 8 * part), sum_type)
            product = builder.fmul(builder.sitofp(column, sum_type), weights)
            total = product if total is None else builder.fadd(total, product)
        total = builder.fadd(shuffle(total, total, range(4)), shuffle(total, total, range(4, 8)))
        base = context.make_array(signature.args[7])(context, builder, values[7]).data
        address = builder.gep(base, [place])
        builder.store(total, builder.bitcast(address, ir.PointerType(total.type)), align=4)
        return context.get_dummy_value()

    return types.void(*args), codegen


@compiled()
def part_inside(line, n, bounds):
    """First and last (exclusive) of ``n`` positions along a line that lie within the bounds."""
    x, y, dx, dy = line
    x_low, x_high, y_low, y_high = bounds
    first, last = n, n
    for k in range(n):
        if x >= x_low and x <= x_high and y >= y_low and y <= y_high:
            first = min(first, k)
        elif first < n:
            last = k
            break
        x += dx
        y += dy
    return first, last


@compiled(error_model="numpy")
def sample_line(light, frame, line, n, tables, sums):
    """Weighted 4x4 sums at ``n`` positions along a line (x, y, dx, dy)."""
    x, y, dx, dy = line
    pitch, start = frame
    taps_x, start_x, taps_y, start_y = tables
    to_phase = FRACTION - PHASE_BITS
    rounding = np.int64(1 << (to_phase - 1))
    phase_mask = np.int64((1 << PHASE_BITS) - 1)
    for k in range(n):
        px, py = (x + rounding) >> to_phase, (y + rounding) >> to_phase
        weigh(
            light,
            (py >> PHASE_BITS) * pitch + (px >> PHASE_BITS) * 4 - start,
            pitch,
            taps_y,
            start_y + (py & phase_mask) * 2,
            taps_x,
            start_x + (px & phase_mask) * 16,
            sums,
            k * 4,
        )
        x += dx
        y += dy


@compiled(error_model="numpy")
def sample(light, block, mesh, bounds, taps, sums, out):
    """Fills the selected cells of a block from the light of the pixels that it touches."""
    fixed, stride, banks, cells = mesh
    taps_x, taps_y = taps
    height, width = out.shape[0], out.shape[1] // 4
    shift = 0  # the stride is a power of two
    while 1 << shift < stride:
        shift += 1
    pitch = 4 * (block[6] - block[4])
    start = (block[5] + 1) * pitch + (block[4] + 1) * 4  # taps begin one row and one pixel before
    bank_x, bank_y = np.int64(taps_x.shape[1]), np.int64(taps_y.shape[1])
    x_low, x_high, y_low, y_high = bounds
    for gi in range(block[0], block[1]):
        for s in range(min(stride, height - gi * stride)):
            gj = block[2]
            while gj < block[3]:
                first, count = gj * stride, 0
                while gj < block[3] and cells[gi, gj]:
                    xa, ya = fixed[gi, gj]
                    xb, yb = fixed[gi, gj + 1]
                    xc, yc = fixed[gi + 1, gj]
                    xd, yd = fixed[gi + 1, gj + 1]
                    inside = (
                        min(xa, xb, xc, xd) >= x_low
                        and max(xa, xb, xc, xd) <= x_high
                        and min(ya, yb, yc, yd) >= y_low
                        and max(ya, yb, yc, yd) <= y_high
                    )
                    x = xa + ((xc - xa) * s >> shift)
                    y = ya + ((yc - ya) * s >> shift)
                    dx = (xb + ((xd - xb) * s >> shift) - x) >> shift
                    dy = (yb + ((yd - yb) * s >> shift) - y) >> shift
                    n = max(min(stride, width - gj * stride), 0)
                    tables = (
                        taps_x,
                        np.int64(banks[gi, gj, 0]) * bank_x,
                        taps_y,
                        np.int64(banks[gi, gj, 1]) * bank_y,
                    )
                    k0, k1 = 0, n
                    if not inside:
                        k0, k1 = part_inside((x, y, dx, dy), n, bounds)
                        sums[4 * count : 4 * (count + n)] = 0
                    line = (x + k0 * dx, y + k0 * dy, dx, dy)
                    place = sums[4 * (count + k0) :]
                    sample_line(light, (pitch, start), line, k1 - k0, tables, place)
                    count += n
                    gj += 1
                target = out[gi * stride + s, 4 * first :]
                for k in range(4 * count):
                    target[k] = to_srgb(sums[k])
                gj += 1


@compiled()
def draw(source, side, view, n, taps, out):
    """Fills the cells of level ``n``; see ``warp.draw_packed`` and :func:`light`."""
    grid, stride, high, level, banks = view
    fixed, bounds = fixed_point(grid, high, n)
    cells = level == n
    blocks, largest = lay_blocks(fixed, cells, bounds, stride)
    room, sums = np.empty(4 * largest, np.int16), np.empty(4 * BLOCK, np.float32)
    for k in range(len(blocks)):
        x0, y0, x1, y1 = blocks[k, 4], blocks[k, 5], blocks[k, 6], blocks[k, 7]
        pixels = room[: 4 * (x1 - x0) * (y1 - y0)]
        light(source, (x0, y0, x1, y1), side, pixels.reshape(y1 - y0, 4 * (x1 - x0)))
        sample(pixels, blocks[k], (fixed, stride, banks, cells), bounds, taps, sums, out)
