"""The compiled loops against plain numpy and against what they promise each other."""

import numpy as np
import pytest
from analytic_scene import light_to_srgb, srgb_to_light
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.imaging import kernels, warp

VALUES = np.arange(256)


def test_light_is_that_of_the_srgb_curve_and_every_value_finds_back():
    truth = srgb_to_light(VALUES / 255)
    step = np.gradient(truth)
    eight_bit = np.array([kernels.light_of(np.uint8(v)) for v in VALUES]) / kernels.WHITE
    any_value = np.array([kernels.to_light(np.float32(v / 255)) for v in VALUES])
    assert np.abs((eight_bit - truth) / step).max() < 0.11
    assert np.abs((any_value - truth) / step).max() < 0.06
    for light in (eight_bit, any_value, truth):
        assert [kernels.to_srgb(np.float32(v)) for v in light] == VALUES.tolist()
    assert [kernels.to_srgb(np.float32(v)) for v in (-0.3, 0, 1, 1.7)] == [0, 0, 255, 255]


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(-9, 60), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_a_row_of_any_width_is_what_its_values_are_one_by_one(width, x0, n, seed):
    x0 = min(x0, width - 1)
    x1 = max(x0 + n, 1)
    row = np.random.default_rng(seed).integers(0, 256, 4 * width, np.uint8)
    guard = np.full(4 * (x1 - x0) + 64, -7, np.int16)
    kernels.packed_row(row, x0, x1, guard[32:-32])
    columns = np.clip(np.arange(x0, x1), 0, width - 1)
    one_by_one = [kernels.light_of(v) for v in row.reshape(-1, 4)[columns].ravel()]
    assert guard[32:-32].tolist() == one_by_one
    assert (guard[:32] == -7).all() and (guard[-32:] == -7).all()


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("inner", [False, True])
def test_planes_give_the_light_that_numpy_computes(side, dtype, inner):
    rng = np.random.default_rng(3)
    w, h = 37, 23  # odd: the last chroma sample serves one pixel
    top = 255 if dtype == np.uint8 else 1023
    luma = rng.integers(0, top + 1, (h, w + 5)).astype(dtype)  # rows longer than the picture
    blue, red = (rng.integers(0, top + 1, (12, 19 + 3)).astype(dtype) for _ in range(2))
    to_rgb = np.array(
        [[1, 0, 1.5, -0.75], [1, -0.2, -0.5, 0.35], [1, 1.8, 0, -0.9]], np.float32
    ) / np.float32([top, top, top, 1])
    region = (-2, -3, w // side + 3, h // side + 2)
    if inner:
        region = (3, 2, 8, 5)
    out = np.zeros((region[3] - region[1], 4 * (region[2] - region[0])), np.int16)
    kernels.light(((luma, blue, red), (w, h), to_rgb), region, side, out)

    def grown(chroma):
        chroma = chroma[:, :19].astype(np.float64)
        y = np.arange(h)
        near, far = y // 2, np.clip(y // 2 + np.where(y % 2, 1, -1), 0, 11)
        rows = (3 * chroma[near] + chroma[far]) / 4
        after = rows[:, np.minimum(np.arange(19) + 1, 18)]
        return np.stack([rows, (rows + after) / 2], axis=-1).reshape(h, -1)[:, :w]

    yuv = np.stack([luma[:, :w], grown(blue), grown(red), np.ones((h, w))])
    light = srgb_to_light(np.clip(np.tensordot(yuv, to_rgb, (0, 1)), 0, 1))
    x = np.clip(np.arange(region[0] * side, region[2] * side), 0, w - 1)
    y = np.clip(np.arange(region[1] * side, region[3] * side), 0, h - 1)
    expected = light[y][:, x].reshape(len(y) // side, side, len(x) // side, side, 3)
    found = out.reshape(len(out), -1, 4)[..., :3] / kernels.WHITE
    assert np.abs(found - expected.mean(axis=(1, 3))).max() < 6e-4


@st.composite
def views(draw):
    """Projective maps of a small output into pictures of all sizes, some of it outside them."""
    size = draw(st.integers(20, 900)), draw(st.integers(20, 900))
    stride = draw(st.sampled_from([1, 2, 8, 16]))
    length = st.integers(1, 20) | st.integers(1, 150)  # also outputs smaller than a cell
    shape = draw(length), draw(length)
    number = st.floats(-1, 1)
    scale = 2 ** draw(st.floats(-1, 3.5))
    tilt = [draw(number) * 1e-3 for _ in range(2)]
    matrix = scale * (np.eye(2) + 0.3 * np.array([[draw(number), draw(number)] for _ in range(2)]))
    shift = np.array([draw(st.floats(-0.3, 0.8)) * n for n in size])
    xs = np.arange(max(-(-shape[1] // stride), 2) + 1)[None] * float(stride)
    ys = np.arange(max(-(-shape[0] // stride), 2) + 1)[:, None] * float(stride)
    points = np.stack(np.broadcast_arrays(xs, ys), axis=-1)
    grid = (points @ matrix.T + shift) / (1 + points @ tilt)[..., None]
    return warp.survey(grid, stride, size), size, shape


def positions_of(fixed, stride, shape):
    """Fixed-point positions of all output pixels, by the recurrence that the kernel promises."""
    h, w = shape
    cell_y, cell_x = np.arange(h)[:, None] // stride, np.arange(w)[None] // stride
    s, k = np.arange(h)[:, None, None] % stride, np.arange(w)[None, :, None] % stride
    a, b = fixed[cell_y, cell_x], fixed[cell_y, cell_x + 1]
    c, d = fixed[cell_y + 1, cell_x], fixed[cell_y + 1, cell_x + 1]
    left = a + (c - a) * s // stride
    return left + (b + (d - b) * s // stride - left) // stride * k, (cell_y, cell_x)


@settings(max_examples=150, deadline=None)
@given(views())
def test_a_block_holds_every_pixel_that_its_taps_reach(drawn):
    view, _, shape = drawn
    for level in view.levels():
        fixed, bounds = kernels.fixed_point(view.grid, view.high, level)
        cells = view.level == level
        blocks, largest = kernels.lay_blocks(fixed, cells, bounds, view.stride)
        where, (cell_y, cell_x) = positions_of(fixed, view.stride, shape)
        x_low, x_high, y_low, y_high = bounds
        x, y = where[..., 0], where[..., 1]
        drawn_pixels = (x >= x_low) & (x <= x_high) & (y >= y_low) & (y <= y_high)
        drawn_pixels &= cells[cell_y, cell_x]
        covered = np.zeros(cells.shape, int)
        rounded = 1 << (kernels.FRACTION - kernels.PHASE_BITS - 1)
        for i0, i1, j0, j1, x0, y0, x1, y1 in blocks.tolist():
            covered[i0:i1, j0:j1] += 1
            mine = drawn_pixels & (cell_y >= i0) & (cell_y < i1) & (cell_x >= j0) & (cell_x < j1)
            first_x, first_y = ((v[mine] + rounded) >> kernels.FRACTION for v in (x, y))
            assert (first_x - 1 >= x0).all() and (first_x + 2 < x1).all()
            assert (first_y - 1 >= y0).all() and (first_y + 2 < y1).all()
            assert (x1 - x0) * (y1 - y0) <= largest
            side = max(i1 - i0, j1 - j0)
            assert side * view.stride <= max(kernels.BLOCK, view.stride)
        assert covered.max() <= 1
        assert (covered[cells] == 1).all()


@settings(max_examples=40, deadline=None)
@given(views(), st.integers(0, 2**32 - 1))
def test_drawing_is_the_weighted_sum_that_the_taps_say(drawn, seed):
    view, size, shape = drawn
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (size[1], size[0], 4), np.uint8)
    out = np.full((*shape, 4), 77, np.uint8)
    expected = np.full((*shape, 3), 77.0)
    light = srgb_to_light(image[..., :3] / 255)
    taps = np.stack([warp.optimal_taps(r) for r in warp.RATIOS]).astype(np.float64)
    for level in view.levels():
        warp.draw_packed(image, 0, view, level, out)
        n = 1 << level
        h, w = -(-size[1] // n), -(-size[0] // n)
        beyond = [(4 * n, (k + 4) * n - side) for k, side in ((h, size[1]), (w, size[0]))]
        padded = np.pad(light, (*beyond, (0, 0)), "edge")
        means = padded.reshape(h + 8, n, w + 8, n, 3).mean(axis=(1, 3))
        fixed, bounds = kernels.fixed_point(view.grid, view.high, level)
        where, (cell_y, cell_x) = positions_of(fixed, view.stride, shape)
        x, y = where[..., 0], where[..., 1]
        phase = (where + (1 << (kernels.FRACTION - kernels.PHASE_BITS - 1))) >> (
            kernels.FRACTION - kernels.PHASE_BITS
        )
        bank = view.banks[cell_y, cell_x]
        weights = [taps[bank[..., c], phase[..., c] % warp.PHASES] for c in range(2)]
        first = phase >> kernels.PHASE_BITS
        total = np.zeros((*shape, 3))
        for j in range(4):
            for i in range(4):
                rows = np.clip(first[..., 1] + j + 3, 0, h + 7)
                columns = np.clip(first[..., 0] + i + 3, 0, w + 7)
                share = weights[1][..., j] * weights[0][..., i]
                total += means[rows, columns] * share[..., None]
        selected = (view.level == level)[cell_y, cell_x]
        inside = (x >= bounds[0]) & (x <= bounds[1]) & (y >= bounds[2]) & (y <= bounds[3])
        value = 255 * light_to_srgb(np.clip(total, 0, 1)) * inside[..., None]
        expected[selected] = value[selected]
    # Rounding to 8 bits, and 15-bit light of which a step of 8 bits is small where it is dark
    steps = np.interp(expected, VALUES, np.gradient(srgb_to_light(VALUES / 255)))
    assert (np.abs(out[..., :3] - expected) < 0.62 + 2e-4 / steps).all()
