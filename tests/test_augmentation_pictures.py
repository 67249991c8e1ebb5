"""Augmented pictures: masks, backgrounds, borders, objects in front, colours; drawn people."""

import pickle
import types
import warnings

import cv2
import numpy as np
import pytest
import rlemasklib

from posepile.augmentation import Augmentation, AugmentationParams, Backgrounds, Occluders
from posepile.augmentation.colors import color_matrix
from posepile.checking import pixels
from posepile.datasets2d import Pose2DExample
from posepile.errors import CorruptInput, UsageError
from posepile.imaging import jpeg
from posepile.joint_info import JointInfo
from posepile.miniature.truth import read_truth

JOINTS = JointInfo("lwri,rwri,pelv")
NOTHING = AugmentationParams().plain()
GREEN = (30, 160, 60)


def draw(seed):
    return types.SimpleNamespace(index=seed, epoch=0, rng=np.random.default_rng(seed))


def person(valid_poly=None, mask=True):
    """A white ellipse on blue, with its mask; black outside of the polygon."""
    image = np.full((400, 380, 3), (20, 30, 200), np.uint8)
    shape = np.zeros((400, 380), np.uint8)
    cv2.ellipse(shape, (190, 200), (60, 110), 0, 0, 360, 1, -1)
    image[shape > 0] = 255
    if valid_poly is not None:
        inside = np.zeros((400, 380), np.uint8)
        cv2.fillPoly(inside, [np.int32(np.rint(valid_poly))], 1)
        image[inside == 0] = 0
    points = np.float32([[150, 150], [230, 250], [190, 200]])
    e = Pose2DExample("a", points, [130, 90, 120, 220], image=image)
    e.mask = rlemasklib.encode(shape) if mask else None
    e.valid_poly = valid_poly
    return e


@pytest.fixture
def backgrounds(tmp_path):
    (tmp_path / "b.jpg").write_bytes(jpeg.encode(np.full((512, 512, 3), GREEN, np.uint8)))
    return Backgrounds([tmp_path / "b.jpg"])


@pytest.fixture
def occluders(tmp_path):
    soft = np.full((60, 40), 0.75, np.float32)
    soft[4:-4, 4:-4] = 1
    things = [(np.full((60, 40, 3), (200, 30, 30), np.uint8), soft)]
    (tmp_path / "o.pkl").write_bytes(pickle.dumps(things, 3))
    return Occluders(tmp_path / "o.pkl")


def params(**changes):
    geometry = {
        name: getattr(AugmentationParams(), name) for name in ("zoom", "rotation", "shift")
    }
    return NOTHING.model_copy(update={**geometry, "mirror": 0.5, **changes})


def test_masks_are_the_person_in_the_new_picture():
    augmentation = Augmentation(params(), JOINTS)
    for seed in range(12):
        result = augmentation(person(), draw(seed))
        white = result["image"].min(axis=2) > 128
        mask = result["mask"] > 127
        assert result["has_mask"] and mask.any()
        assert (white & mask).sum() / (white | mask).sum() > 0.98
    assert not augmentation(person(mask=False), draw(0))["has_mask"]


def test_backgrounds_go_behind_the_person(backgrounds):
    augmentation = Augmentation(params(background=1), JOINTS, backgrounds, replaceable=True)
    for seed in range(12):
        result = augmentation(person(), draw(seed))
        mask = cv2.erode((result["mask"] == 255).astype(np.uint8), np.ones((3, 3))) > 0
        outside = cv2.dilate((result["mask"] > 0).astype(np.uint8), np.ones((3, 3))) == 0
        assert result["image"][mask].min() > 250
        assert np.abs(result["image"][outside].astype(int) - GREEN).max() < 6


def test_only_backgrounds_that_may_be_replaced_are(backgrounds):
    def green(example, **kwargs):
        augmentation = Augmentation(params(background=1), JOINTS, backgrounds, **kwargs)
        image = augmentation(example, draw(1))["image"].astype(int)
        return bool((np.abs(image - GREEN).max(axis=2) < 6).any())

    class Named(Pose2DExample):
        dataset = "toy"

    toy = Named("a", person().coords, person().bbox, person().mask, image=person().image)
    assert green(toy, replaceable=["toy"]) and green(toy, replaceable=True)
    assert not green(toy, replaceable=["other"]) and not green(toy)
    assert not green(person(mask=False), replaceable=True)


def test_the_black_border_is_filled_and_nothing_else():
    polygon = np.float32([[60, 20], [300, 40], [330, 370], [80, 390]])
    augmentation = Augmentation(params(border=1), JOINTS)
    plain, shares = Augmentation(params(), JOINTS), []
    for seed in range(10):
        filled = augmentation(person(polygon), draw(seed))["image"]
        black = plain(person(polygon), draw(seed))["image"]
        was_black = black.max(axis=2) < 8
        shares.append(was_black.mean())
        core = cv2.erode((~was_black).astype(np.uint8), np.ones((11, 11))) > 0
        core[[*range(4), *range(-4, 0)]] = core[:, [*range(4), *range(-4, 0)]] = False
        assert (filled[core] == black[core]).all()
        # One colour, and no black line around what is seen
        colors = np.unique(filled[was_black].reshape(-1, 3), axis=0)
        assert len(colors) == 1
        assert filled.max(axis=2).min() > min(200, int(colors[0].max())) - 25
    assert np.mean(shares) > 0.05


def test_objects_hide_what_they_are_in_front_of(occluders):
    augmentation = Augmentation(params(occlusion=1), JOINTS, occluders=occluders)
    plain = Augmentation(params(), JOINTS)
    n_red = []
    for seed in range(20):
        result, bare = augmentation(person(), draw(seed)), plain(person(), draw(seed))
        red = np.abs(result["image"].astype(int) - (200, 30, 30)).max(axis=2) < 3
        n_red.append(red.mean())
        assert (result["mask"][red] < 6).all()
        far = cv2.dilate(red.astype(np.uint8), np.ones((25, 25))) == 0
        assert (result["image"][far] == bare["image"][far]).mean() > 0.99
        np.testing.assert_array_equal(result["coords2d"], bare["coords2d"])
    assert np.mean(n_red) > 0.01


def test_colors_are_other_ones_within_their_ranges():
    grey = np.full((4, 4, 3), 100, np.uint8)
    for brightness, contrast in ((0.1, 1), (0, 1.3), (-0.1, 0.8)):
        made = cv2.transform(grey, color_matrix(brightness, contrast, 1.5, 40))
        expected = (100 - 127.5) * contrast + 127.5 + 255 * brightness
        assert np.abs(made.astype(float) - expected).max() <= 1.5  # grey has no hue
    red = np.full((1, 1, 3), (200, 60, 60), np.uint8)
    turned = cv2.transform(red, color_matrix(0, 1, 1, 120))[0, 0]
    assert turned.argmax() != 0
    np.testing.assert_allclose(color_matrix(0, 1, 1, 0), np.eye(3, 4), atol=1e-6)
    before = person().image
    made = [
        Augmentation(params(color=1, blur=1, jpeg=1), JOINTS)(person(), draw(seed))["image"]
        for seed in range(8)
    ]
    assert len({image.tobytes() for image in made}) == 8
    assert (person().image == before).all()


def test_what_helpers_leave_is_found(miniature, tmp_path, monkeypatch):
    for name in ("inria_holidays", "pascal_voc"):
        (tmp_path / name).symlink_to(miniature(name) / name)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    dataset = types.SimpleNamespace(
        joint_info=JOINTS,
        parts={"toy": {"realistic_background": False}, "real": {"realistic_background": True}},
    )
    with pytest.warns(UserWarning, match=r"pascal_voc_occluders.*posepile run pascal_voc"):
        augmentation = Augmentation.of(dataset)
    assert augmentation.occluders is None and len(augmentation.backgrounds) == 5
    monkeypatch.setenv("CACHE_DIR", str(miniature("pascal_voc") / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augmentation = Augmentation.of(dataset)
    assert len(augmentation.occluders) == 5 and augmentation.replaceable == {"toy"}
    for background, border, wanted in ((0, 1, True), (1, 0, True), (0, 0, False)):
        chances = AugmentationParams(background=background, border=border, occlusion=0)
        assert (Augmentation.of(dataset, chances).backgrounds is not None) == wanted
    copy = pickle.dumps(augmentation)
    assert len(copy) < 5000  # objects are read again, not sent
    images = [a(person(), draw(3))["image"] for a in (augmentation, pickle.loads(copy))]
    assert (images[0] == images[1]).all()


def test_broken_files_of_helpers_are_named(tmp_path, monkeypatch):
    for things in ([], {}, [1], [(np.zeros((4, 4, 3), np.uint8), np.zeros((3, 4)))]):
        (tmp_path / "o.pkl").write_bytes(pickle.dumps(things, 3))
        with pytest.raises(CorruptInput, match=r"o\.pkl.*posepile run pascal_voc"):
            Occluders(tmp_path / "o.pkl")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    folder = tmp_path / "inria_holidays"
    (folder / "jpg_small").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"non_person_images\.txt: file is missing"):
        Backgrounds.find()
    (folder / "non_person_images.txt").write_text("a.jpg\nb.jpg")
    with pytest.raises(UsageError, match=r"a\.jpg: file is missing.*1 other"):
        Backgrounds.find()


# ---------------------------------------------------------------- drawn people


def check_discs(name, miniature, monkeypatch, get_dataset, **changes):
    """Joints lie on the discs of their colour; mirrored, on those of the other side."""
    monkeypatch.setenv("DATA_ROOT", str(miniature(name)))
    dataset = get_dataset(name)
    colors = read_truth(miniature(name) / name).colors
    mirror = dataset.joint_info.mirror_mapping
    examples = next(examples for examples in dataset.examples.values() if len(examples))
    augmentation = Augmentation(params(**changes), dataset.joint_info)
    offsets, n_mirrored = [], 0
    for seed in range(24):
        result = augmentation(examples[seed % len(examples)], draw(seed))
        order = mirror if result["mirrored"] else range(len(colors))
        n_mirrored += int(result["mirrored"])
        drawn = [None if colors[j] is None else tuple(colors[j]) for j in order]
        places = result["coords2d"].astype(float)
        found = pixels.find_discs(result["image"], places, drawn, None)
        offsets.append((found - places)[np.isfinite(found).all(axis=1)])
    assert 4 < n_mirrored < 20
    offsets = np.concatenate(offsets)
    assert len(offsets) > 24 * 4
    assert np.quantile(np.linalg.norm(offsets, axis=1), 0.9) < 2
    assert np.abs(offsets.mean(axis=0)).max() < 0.3


def test_joints_are_on_drawn_people_in_space(miniature, monkeypatch):
    from posepile.datasets3d import get_dataset

    check_discs("aspset", miniature, monkeypatch, get_dataset, color=1)


def test_joints_are_on_drawn_people_in_pictures(miniature, monkeypatch):
    from posepile.datasets2d import get_dataset

    check_discs("coco", miniature, monkeypatch, get_dataset)
