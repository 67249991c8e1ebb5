"""Drawn photographs of 2D datasets: points of face, hands and feet, labels, boxes, masks."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from posepile.miniature import details, photos
from posepile.miniature.actor import move, pose_skeleton
from posepile.miniature.photos import (
    COCO_NAMES,
    COCO_PERSON,
    Album,
    Sitter,
    encode_mask,
    photo_figure,
)
from posepile.miniature.skeleton import REST

# How a face is flipped, as programs that find iBUG's 68 points do it
FLIPPED = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)]
FLIPPED += [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
FLIPPED += [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
WHOLE = [*COCO_NAMES, *details.FEET, *details.FACE, *details.LEFT_HAND, *details.RIGHT_HAND]


def place(name):
    return details.DETAILS[name][0] if name in details.DETAILS else REST[name]


def mirrored(name):
    return {"l": "r", "r": "l"}.get(name[0], name[0]) + name[1:]


def test_flipping_a_face_swaps_left_and_right_names():
    face, flip = details.FACE, dict(FLIPPED) | {b: a for a, b in FLIPPED}
    assert len(face) == len(set(face)) == 68
    assert [face[flip.get(i, i)] for i in range(68)] == list(map(mirrored, face))


@pytest.mark.parametrize("name", sorted({*details.DETAILS, *details.FEET}))
def test_the_sides_are_mirror_images(name):
    np.testing.assert_array_equal(place(mirrored(name)), place(name) * (-1, 1, 1))


def test_a_face_looks_like_one():
    x, y, z = np.array([place(name) for name in details.FACE]).T
    assert (np.diff(x[:17]) > 0).all() and y.argmin() == 8  # from the right; the chin
    assert y[17:27].min() > y[36:48].max() > y[27:36].max() - 0.01 > y[48:].max()
    assert z.argmax() == 30  # the tip of the nose
    assert (np.diff(x[17:27]) > 0).all() and (np.diff(y[27:31]) < 0).all()
    assert x[36:42].max() < 0 < x[42:48].min()
    for corners, outer, inner in ((x[[36, 39]], 36, 39), (x[[42, 45]], 42, 45)):
        assert corners[0] == x[outer:inner].min() and corners[1] > x[outer:inner].max()
    assert x[48] == x[48:].min() and x[54] == x[48:].max() and x[60] > x[48]


def test_fingers_begin_at_the_wrist_and_the_thumb_is_first():
    points = np.array([place(name) for name in details.LEFT_HAND])
    np.testing.assert_array_equal(points[0], REST["lwri"])
    fingers = points[1:].reshape(5, 4, 3)
    assert (np.diff(fingers[..., 0], axis=1) > 0).all()
    assert (np.diff(fingers[:, 3, 2]) < 0).all() and fingers[0, 3, 0] < fingers[1:, 3, 0].min()


def test_details_move_with_the_body():
    motion = move(5, at=(300, 4000, 0))
    joints = pose_skeleton(motion, WHOLE, more=details.DETAILS)
    assert np.isfinite(joints).all()
    of = dict(zip(WHOLE, joints.swapaxes(0, 1), strict=True))
    for a, b in (("nose4", "nose"), ("lhan1", "lwri"), ("rhan13", "rwri"), ("ltoe2", "ltoe")):
        distance = np.linalg.norm(of[a] - of[b], axis=1)
        np.testing.assert_allclose(distance, 1000 * np.linalg.norm(place(a) - place(b)), rtol=1e-6)
    without = pose_skeleton(motion, WHOLE)
    assert np.isnan(without[:, WHOLE.index("nose4")]).all()


@pytest.mark.parametrize("names", [COCO_NAMES, WHOLE, "htop neck lsho rsho lhip rhip".split()])
def test_labels_boxes_and_masks_are_of_what_is_drawn(names):
    forms = "polygon", "plain", "compressed"
    people = [Sitter(120 + 170 * i, mask=form, tall=250) for i, form in enumerate(forms)]
    (photo,) = photos.take_photos((600, 420), people, photo_figure(names), seed=3)
    for i in range(3):
        person, mask = photo.annotation(i), photo.shots[i].mask(photo.size)
        segmentation, (x, y, w, h) = person["segmentation"], person["bbox"]
        assert segmentation == encode_mask(mask, forms[i])
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            segmentation = coco_mask.frPyObjects(segmentation, 420, 600)
        if isinstance(segmentation, list):
            segmentation = coco_mask.merge(segmentation)
        decoded = coco_mask.decode(segmentation).astype(bool)
        assert (decoded ^ mask).sum() < (0.03 * mask.sum() if i == 0 else 1)
        assert mask[y : y + h, x : x + w].sum() == mask.sum() == person["area"]
        assert not mask[:, x - 1].any() and mask[:, x].any() and mask[y].any()
        points = np.reshape(person["keypoints"], (-1, 3))
        np.testing.assert_allclose(points[:, :2], photo.shots[i].points, atol=0.5)
        assert person["num_keypoints"] == len(names)


def test_somebody_is_as_tall_as_they_are_said_to_be():
    names = ["htop", "lank", "rhee", *COCO_NAMES]
    for tall in (100, 300):
        (photo,) = photos.take_photos((700, 700), [Sitter(350, tall)], photo_figure(names))
        y = photo.shots[0].points[[0, 2], 1]
        # One knee is bent.
        assert 0.85 * tall < y[1] - y[0] < tall
        assert abs(y.mean() - 350) < 0.1 * tall


def test_an_album_is_a_file_like_cocos():
    album = Album(photo_figure(COCO_NAMES), decimals=2)
    v = [2] * 15 + [0, -1]
    people = [Sitter(90, v=v, more={"track_id": 7}), Sitter(230, 150, kept=False, crowd=True)]
    for image_id in (31, 7):
        album.take("val", image_id, (320, 300), people, file_name=f"{image_id}.jpg", width=9)
    content = album.content("val", COCO_PERSON, without=["segmentation"])
    size = {"width": 9, "height": 300}
    assert content["images"] == [{"id": i, "file_name": f"{i}.jpg", **size} for i in (31, 7)]
    ids = [(a["id"], a["image_id"]) for a in content["annotations"]]
    assert ids == [(1001, 31), (1000, 31), (1101, 7), (1100, 7)]
    crowd, person = content["annotations"][:2]
    assert (crowd["iscrowd"], person["iscrowd"], person["track_id"]) == (1, 0, 7)
    assert "segmentation" not in person and person["num_keypoints"] == 15
    assert person["keypoints"][45:48] == [0, 0, 0]
    assert person["keypoints"][48] > 0 and person["keypoints"][50] == 0
    assert person["keypoints"][0] == round(person["keypoints"][0], 2)
    truth = album.sequences({"val": "test"}, {31: "ab", 7: "cd"}, by_annotation=True)["val"]
    assert (truth.split, truth.examples) == ("test", [(31, 0), (7, 0)])
    assert truth.frames == {"ab": 31, "cd": 7} and truth.persons == {"1000": 0, "1100": 0}


def test_people_of_a_video_move_on():
    figure = photo_figure(COCO_NAMES)
    taken = photos.take_photos((400, 300), [Sitter(200, 200)], figure, n=3, number=5)
    assert [photo.id for photo in taken] == [5, 6, 7]
    x = [photo.shots[0].points[0, 0] for photo in taken]
    assert 2 < abs(x[1] - x[0]) < 12 and (x[2] - x[1]) * (x[1] - x[0]) > 0
