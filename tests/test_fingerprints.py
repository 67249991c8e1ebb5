"""Fingerprints of pictures, and the search that finds the same photograph by them."""

import itertools

import cv2
import numpy as np
import pytest
from fingerprints_kit import PACKED, PICTURES, changed, matches, packed, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data

from posepile.imaging import cropping, fingerprints, jpeg
from posepile.imaging.pictures import ArrayFrame, ConvertedFrame, JpegFrame, PlanarFrame
from posepile.merging import alike


@st.composite
def cuts(draw):
    """Shares cut off on the left, right, top and bottom: 10 % of a side at most."""
    result = []
    for _ in range(2):
        share, at = draw(st.floats(0, 0.1)), draw(st.floats(0, 1))
        result += [share * at, share * (1 - at)]
    return result


# ---------------------------------------------------------------- fingerprints


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 23), cuts(), st.floats(0.5, 2), st.integers(50, 95))
def test_a_changed_picture_is_found_both_ways_and_nothing_else(i, cut, scale, quality):
    copy = packed(changed(PICTURES[i], cut, scale, quality))
    assert matches(copy, PACKED).keys() == {(0, i)}
    assert matches(PACKED, copy).keys() == {(i, 0)}


def test_different_pictures_are_far_from_each_other():
    assert not [pair for pair in matches(PACKED, PACKED) if pair[0] != pair[1]]
    same = matches(PACKED, PACKED)
    assert len(same) == 24 and max(same.values()) < 1e-3


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90))
@settings(max_examples=25, deadline=None)
def test_equal_pixels_have_equal_fingerprints_of_a_fixed_length(seed, w, h):
    image = np.random.default_rng(seed).integers(0, 255, (h, w, 3), np.uint8)
    made = fingerprints.of_frame(ArrayFrame(image))
    assert made == fingerprints.of_frame(ArrayFrame(image.copy()))
    assert len(made) == fingerprints.SIZE == 260
    sizes, coefficients = fingerprints.unpack(np.frombuffer(made, np.uint8)[None])
    assert sizes.tolist() == [[w, h]] and np.isfinite(coefficients).all()
    assert np.abs(coefficients).max() in (0, 1) and coefficients[0, 0, 0] == 0


def test_a_fingerprint_is_the_cosine_transform_of_the_picture():
    rows, columns = ((np.arange(n) + 0.5) / n for n in (192, 256))
    waves = 0.5 * np.cos(3 * np.pi * rows)[:, None] + 0.25 * np.cos(5 * np.pi * columns)
    image = np.rint(128 + 100 * waves).astype(np.uint8)
    _, found = fingerprints.unpack(packed(np.repeat(image[..., None], 3, -1)))
    assert found[0, 3, 0] == 1 and abs(found[0, 0, 5] - 0.5) < 0.01
    found[0, 3, 0] = found[0, 0, 5] = 0
    assert np.abs(found).max() < 2e-3


def test_it_hardly_depends_on_the_scale_at_which_a_picture_was_decoded():
    large = cv2.resize(picture(3), (2400, 1800), interpolation=cv2.INTER_CUBIC)
    data = jpeg.encode(large, 90)
    made = []
    for level in range(4):
        frame = JpegFrame(data, "x.jpg")
        frame.expect(level)
        made.append(np.frombuffer(fingerprints.of_frame(frame), np.uint8))
    assert max(matches(np.array(made[:1]), np.array(made)).values()) < 2e-3


def test_it_does_not_depend_on_whether_a_network_looked_before():
    data = jpeg.encode(cv2.resize(picture(3), (1280, 960)), 90)
    plan = cropping.plan_crop(None, np.array([100.0, 50, 700, 800]), (1280, 960))
    made = []
    for looks in (False, True):
        frame = JpegFrame(data, "x.jpg")
        if looks:
            frame.rgb(416)
        list(cropping.render_many(frame, None, [plan]))
        made.append(fingerprints.of_frame(frame))
    assert made[0] == made[1]


@pytest.mark.parametrize("depth", [8, 10])
def test_frames_of_videos_have_the_same_as_stills(depth):
    import av

    image = picture(5)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p" if depth == 8 else "yuv420p10le"
    )
    both = [PlanarFrame(frame), ConvertedFrame(frame)]
    made = np.array([np.frombuffer(fingerprints.of_frame(f), np.uint8) for f in both])
    assert max(matches(packed(image), made).values()) < 5e-3 and len(made) == 2


@pytest.mark.parametrize(
    "image",
    [
        np.full((240, 320, 3), 90, np.uint8),
        np.repeat(np.linspace(40, 200, 240).astype(np.uint8)[:, None, None], 320, 1)
        * np.ones(3, np.uint8),
        np.random.default_rng(0).integers(120, 125, (240, 320, 3), np.uint8),
    ],
    ids=["one grey", "a gradient", "faint noise"],
)
def test_pictures_with_nothing_in_them_are_no_evidence(image):
    assert len(alike.prepare(packed(image, PICTURES[0]))) == 1
    assert not matches(packed(image), packed(image))


def test_where_there_is_little_in_a_picture_little_may_differ():
    wall = np.full((240, 320, 3), 200, np.uint8)
    dots = [cv2.circle(wall.copy(), (x, 80), 9, (0, 0, 0), -1) for x in (100, 110)]
    assert alike.prepare(packed(*dots)).allowed.max() < 0.3
    assert alike.prepare(PACKED).allowed.min() > 0.7


def test_real_photographs_are_found():
    folder = real_data() / "coco" / "val2017"
    images = [cv2.imread(str(f))[..., ::-1].copy() for f in sorted(folder.glob("*.jpg"))]
    originals, rng = packed(*images), np.random.default_rng(0)
    for i, image in enumerate(images):
        for _ in range(10):
            share, at = rng.uniform(0, 0.1, 2), rng.uniform(0, 1, 2)
            cut = np.stack([share * at, share * (1 - at)], 1).ravel()
            copy = changed(image, cut, rng.uniform(0.5, 2), int(rng.integers(50, 96)))
            assert matches(packed(copy), originals).keys() == {(0, i)}


# ---------------------------------------------------------------- the search


def best_by_trying(feature_of, other):
    """1 - the best cosine of a whole picture with all windows of another one, worked out anew."""
    _, (mine, theirs) = fingerprints.unpack(np.stack([feature_of, other]))
    axis = np.arange(12)
    weight = np.hypot(axis, axis[:, None])

    def feature(values):
        values = values * weight
        values = np.sign(values) * np.sqrt(np.abs(values))
        return values / np.linalg.norm(values)

    def matrix(start, end):
        places = (np.arange(400) + 0.5) / 400
        inner = start + (1 - start - end) * places
        basis = np.cos(np.pi * np.outer(np.arange(16), inner))
        cosines = np.cos(np.pi * np.outer(axis, places)) * np.where(axis, 2, 1)[:, None] / 400
        return cosines @ basis.T

    windows = [(a / 100, b / 100) for a in range(0, 13, 2) for b in range(0, 13 - a, 2)]
    matrices = [matrix(a, b) for a, b in windows]
    whole = feature(mine[:12, :12])
    best = max(
        (whole * feature(down @ theirs @ across.T)).sum()
        for down, across in itertools.product(matrices, matrices)
    )
    return 1 - best


@pytest.mark.parametrize("cut", [(0.1, 0, 0, 0.1), (0.04, 0.04, 0, 0), (0, 0, 0.06, 0.02)])
def test_distances_are_those_of_the_best_window(cut):
    copy = packed(changed(PICTURES[4], cut))
    (found,) = matches(copy, PACKED[4:5]).values()
    assert abs(found - best_by_trying(copy[0], PACKED[4])) < 2e-3
    (back,) = matches(PACKED[4:5], copy).values()
    assert abs(found - back) < 1e-5


def test_any_number_of_pairs_is_found(monkeypatch):
    monkeypatch.setattr(alike, "_QUERIES", 16)
    monkeypatch.setattr(alike, "_ROOM", 0)
    many = np.repeat(PACKED[:3], 30, axis=0)
    found = matches(many, many)
    assert found.keys() == {(a, b) for a in range(90) for b in range(90) if a // 30 == b // 30}


def test_pairs_come_in_order_whatever_the_blocks(monkeypatch):
    def pairs():
        blocks = alike.search(alike.prepare(PACKED[::-1]), alike.prepare(PACKED))
        return [pair for a, b, _ in blocks for pair in zip(a.tolist(), b.tolist(), strict=True)]

    whole = pairs()
    monkeypatch.setattr(alike, "_QUERIES", 5)
    assert pairs() == whole == [(i, 23 - i) for i in range(24)]


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_is_in_nothing(n):
    assert not matches(PACKED[:n], PACKED[:0]) and not matches(PACKED[:0], PACKED[:n])
