"""Four real photographs, read in two layouts: key points, boxes and masks fit each other.

They are not in the project; the tests skip where they are not at hand. What is added to COCO's
annotations in the layout of the whole body are some points of one person, as facts.
"""

import json
import os
import shutil

import numpy as np
import pytest
import rlemasklib
from real_data import real_data

from posepile.config import load_config
from posepile.ds import load_recipe

SKIER = 442619  # id of an annotation
# Part -> index in its list -> x, y of the skier: jaw from her right ear to her left, tip of the
# nose, outer corners of the eyes; wrist, tips of thumb and little finger; big toes.
POINTS = {
    "face_kpts": {0: (355.8, 75.4), 8: (372.2, 96.1), 16: (383.9, 71.4), 30: (367.0, 80.5)}
    | {36: (358.7, 75.5), 45: (375.7, 72.7)},
    "righthand_kpts": {0: (304.1, 181.8), 4: (290.1, 187.8), 20: (288.4, 194.5)},
    "foot_kpts": {0: (439, 378), 3: (377, 359)},
    "lefthand_kpts": {},
}
COUNTS = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """DATA_ROOT with the photographs in both layouts."""
    real, root = real_data() / "coco", tmp_path_factory.mktemp("real")
    (root / "coco").mkdir()
    os.symlink(real / "val2017", root / "coco" / "val2017")
    shutil.copytree(real / "annotations", root / "coco" / "annotations")
    file = real / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(file.read_text())
    for person in content["annotations"]:
        for part, n in COUNTS.items():
            given = POINTS[part] if person["id"] == SKIER else {}
            triples = np.zeros((n, 3))
            for k, (x, y) in given.items():
                triples[k] = x, y, 1
            person[part] = triples.ravel().tolist()
            person[part.replace("kpts", "valid")] = bool(given)
    (root / "coco_wholebody").mkdir()
    file = root / "coco_wholebody" / "coco_wholebody_val_v1.0.json"
    file.write_text(json.dumps(content))
    return root


def people(name, root):
    """Everybody in the photographs who is labelled, by annotation id of their sequence."""
    recipe = load_recipe(name)
    options = load_config(name, recipe.Options).dataset.model_copy(
        update={"min_size": 1, "visible_share": 0, "labelled_share": 0}
    )
    recipe.calibrate(root / name, options)
    (unit,) = recipe.list_units(root / name, options)
    (sequence,) = recipe.load_unit(root / name, unit, options)
    for track in sequence.tracks:
        for k, frame in enumerate(track.frames):
            path = sequence.frames.paths[frame]
            yield path.stem, track.image_coords[k], np.array(track.bbox[k]), track.mask(k)


@pytest.mark.parametrize("name", ["coco", "coco_wholebody"])
def test_key_points_boxes_and_masks_fit_each_other(name, photographs):
    found, inside = list(people(name, photographs)), []
    assert len(found) == 12 and len({stem for stem, *_ in found}) == 4
    for _, joints, box, mask in found:
        body = joints[:17][np.isfinite(joints[:17, 0])]
        pixels = rlemasklib.decode(mask)
        rows, columns = np.nonzero(pixels)
        around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(np.r_[box[:2], box[:2] + box[2:]], around, atol=12)
        near = np.pad(pixels, 6)
        for x, y in np.round(body).astype(int):
            inside.append(near[y : y + 13, x : x + 13].any())  # within six pixels
    assert np.mean(inside) > 0.93


def test_parts_of_the_whole_body_are_where_the_body_has_them(photographs):
    names = load_recipe("coco_wholebody").SPEC.joint_info.names
    skier = next(joints for stem, joints, *_ in people("coco_wholebody", photographs)
                 if stem == "000000000785")  # fmt: skip
    at = dict(zip(names, skier, strict=True))
    assert np.isfinite(skier[:, 0]).sum() == 17 + sum(map(len, POINTS.values()))
    face, hand = skier[23:91], skier[112:133]
    np.testing.assert_allclose(face[30], at["nose"], atol=2)
    np.testing.assert_allclose(face[36], at["reye"], atol=3)
    np.testing.assert_allclose(face[45], at["leye"], atol=3)
    assert face[0, 0] < face[8, 0] < face[16, 0] and face[8, 1] > face[30, 1]
    np.testing.assert_allclose(hand[0], at["rwri"], atol=8)
    assert np.isnan(skier[91:112]).all(), "the left hand is not labelled"
    assert np.linalg.norm(at["ltoe"] - at["lank"]) < 40
    assert np.linalg.norm(at["rtoe"] - at["rank"]) < 40
