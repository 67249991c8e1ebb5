"""Person masks out of label images: by colour, by what is not black, whatever the file's form."""

import cv2
import numpy as np
import pytest

from posepile.errors import CorruptInput
from posepile.imaging.masks import (
    person_rule,
    pixels_of_color,
    read_label_image,
    read_mask,
    visible_masks,
)
from posepile.miniature import writers


def random_picture(seed=0, shape=(30, 40)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("tolerance", [0, 9, 300])
@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (55, 181, 57), (3, 250, 128)])
def test_colours_are_those_of_the_plain_difference(color, tolerance):
    picture = random_picture()
    picture[3, 4] = color
    off = np.abs(picture.astype(int) - color)
    expected = (off <= tolerance).all(axis=-1)
    assert expected[3, 4]
    np.testing.assert_array_equal(pixels_of_color(picture, color, tolerance), expected)


def test_a_rule_of_several_colours():
    picture = random_picture()
    rule = person_rule(f"color in {[picture[0, 0].tolist(), picture[5, 6].tolist()]}")
    expected = (picture == picture[0, 0]).all(axis=-1) | (picture == picture[5, 6]).all(axis=-1)
    np.testing.assert_array_equal(rule(picture), expected)


def test_labels_are_rgb(tmp_path):
    picture = random_picture()
    writers.write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), picture)


def test_masks_are_what_is_not_black(tmp_path):
    mask = random_picture()[..., 0] > 99
    faint = np.zeros((*mask.shape, 3), np.uint8)
    faint[mask, 2] = 1  # which is black as a grey picture
    alpha = np.dstack([faint, np.full(mask.shape, 255, np.uint8)])
    forms = {
        "grey": np.uint8(255) * mask,
        "small": mask.astype(np.uint8),
        "sixteen": mask.astype(np.uint16),
        "faint": faint,
        "alpha": alpha,
    }
    for name, image in forms.items():
        path = tmp_path / f"{name}.png"
        assert cv2.imwrite(str(path), image)
        found = read_mask(path)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, mask, name)
    writers.write_png(tmp_path / "palette.png", mask, np.uint8([[0, 0, 0], [0, 9, 0]]))
    np.testing.assert_array_equal(read_mask(tmp_path / "palette.png"), mask)


def test_visible_pixels_lie_in_the_own_mask(tmp_path):
    labels = np.zeros((20, 20, 3), np.uint8)
    labels[2:10, 2:10], labels[12:18, 12:18] = (200, 0, 0), (0, 90, 0)
    own = np.zeros((20, 20), bool)
    own[:6] = True
    writers.write_png(tmp_path / "labels.png", labels)
    writers.write_png(tmp_path / "own.png", own)
    colors = [(201, 0, 0), (0, 90, 0), (5, 5, 5)]
    given = tmp_path / "labels.png", colors, [tmp_path / "own.png", tmp_path / "none.png"]
    first, second = visible_masks(*given, 1)
    assert (first.sum(), second.sum()) == (4 * 8, 36)
    first, _ = visible_masks(*given)
    assert not first.any()
    with pytest.raises(CorruptInput, match="found 2 people; expected at most 1"):
        list(visible_masks(given[0], colors[:1], given[2]))
    with pytest.raises(CorruptInput, match=r"b\.png: file is missing"):
        read_mask(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes(b"?")
    with pytest.raises(CorruptInput, match=r"b\.png: not a readable picture"):
        read_mask(tmp_path / "b.png")
