import json
import tarfile

import numpy as np
import pytest
from stills_kit import annotation, changed, crops, dropped, load

from posepile import cli
from posepile.ds.aic import main, miniature
from posepile.errors import CorruptInput
from posepile.shapes import coco, coco_people

FILE = "annotations/aic_train.json"
ORIGINAL = f"{main.ORIGINAL}/keypoint_train_annotations_20170902.json"


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("aic")


@pytest.fixture
def original(tmp_path):
    miniature.build(tmp_path / "original" / "aic", original=True)
    return tmp_path / "original" / "aic"


def test_who_is_taken_and_the_rest_counted(root):
    sequences = load(main, root)
    (sequence,) = sequences.values()
    stems = [path.stem for path in sequence.frames.paths]
    expected = [(stems[0], 0), (stems[0], 1), (stems[1], 1), (stems[2], 1)]
    assert sorted(crops(sequences)) == sorted(
        f"{stem[:2]}/{stem[2:4]}/{stem}_{rank:02d}.jpg" for stem, rank in expected
    )
    assert dropped(sequences) == {coco.FEW_LABELLED: 2, coco.FEW_VISIBLE: 1}


def test_both_forms_give_the_same(root, original):
    converted, other = load(main, root), load(main, original)
    assert dropped(converted) == dropped(other)
    found, same = crops(converted), crops(other)
    assert sorted(found) == sorted(same)
    for name, joints in found.items():
        np.testing.assert_array_equal(joints, same[name])
    boxes = [
        sorted(tuple(row) for t in s.tracks for row in t.bbox.tolist())
        for s in (*converted.values(), *other.values())
    ]
    np.testing.assert_allclose(boxes[0], boxes[1], atol=1e-3)


def test_visibilities_of_the_original_mean_something_else(original):
    entries = json.loads((original / ORIGINAL).read_text())
    human = entries[0]["keypoint_annotations"]["human2"]
    assert {1, 2, 3} == set(human[2::3])
    (person,) = (p for p in main.read_original(original / ORIGINAL, "annotations") if p["id"] == 2)
    expected = [{1: 2, 2: 1, 3: 0}[v] for v in human[2::3]]
    assert person["keypoints"][2::3] == expected


def test_images_are_found_by_id(root, tmp_path):
    before = crops(load(main, root))

    def reorder(data):
        data["images"].reverse()
        data["annotations"].reverse()

    after = crops(load(main, changed(root, tmp_path, FILE, reorder)))
    assert sorted(before) == sorted(after)
    for name, joints in before.items():
        np.testing.assert_array_equal(joints, after[name])


def test_labels_of_the_image_before_are_refused(root, tmp_path):
    def shift(data):  # as if ids were places in the list of images
        for person in data["annotations"]:
            person["image_id"] = person["image_id"] % 3 + 1

    with pytest.raises(CorruptInput, match=r"aic_train\.json: train/0+1: found .* beyond the"):
        load(main, changed(root, tmp_path, FILE, shift))
    assert load(main, tmp_path / "aic", max_beyond=1)


def test_people_are_in_the_order_of_the_file(original):
    entries = json.loads((original / ORIGINAL).read_text())
    people = entries[0]["keypoint_annotations"]
    entries[0]["keypoint_annotations"] = {
        f"human{n}": people[f"human{k}"] for n, k in ((10, 1), (2, 2), (1, 3))
    }
    boxes = entries[0]["human_annotations"]
    entries[0]["human_annotations"] = {
        f"human{n}": boxes[f"human{k}"] for n, k in ((1, 3), (2, 2), (10, 1))
    }
    expected = sorted(crops(load(main, original)))
    (original / ORIGINAL).write_text(json.dumps(entries))
    assert sorted(crops(load(main, original))) == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"keypoints": [5, 5, 3] * 14}, "a visibility other than 0, 1, 2"),
        ({"keypoints": [5, 5, 2] * 13}, "key points are not 42 finite numbers"),
        ({"bbox": [5, 5]}, "box is not four finite numbers x, y, w, h"),
    ],
)
def test_a_malformed_annotation_costs_that_one_alone(root, tmp_path, change, reason):
    first = 1000
    copy = changed(root, tmp_path, FILE, lambda data: annotation(data, first).update(change))
    sequences = load(main, copy)
    assert len(crops(sequences)) == 3
    assert dropped(sequences)[reason] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e["keypoint_annotations"]["human1"].__setitem__(2, 0), "a visibility other"),
        (lambda e: e["keypoint_annotations"].pop("human1"), "lacks keypoints"),
        (lambda e: e["keypoint_annotations"].update(human1="1, 2"), "key points are not"),
        (lambda e: e["keypoint_annotations"].update(human1=[5, 5, [1]] * 14), "key points are"),
        (lambda e: e["human_annotations"].update(human1=[1, 2, 3]), "box is not four"),
        (lambda e: e["human_annotations"].update(human1=7), "box is not four"),
    ],
)
def test_a_malformed_person_of_the_original_costs_that_one_alone(original, change, reason):
    entries = json.loads((original / ORIGINAL).read_text())
    change(entries[0])
    (original / ORIGINAL).write_text(json.dumps(entries))
    sequences = load(main, original)
    assert len(crops(sequences)) == 3
    assert [n for why, n in dropped(sequences).items() if why.startswith(reason)] == [1]


@pytest.mark.parametrize(
    ("change", "people"),
    [
        ({"keypoint_annotations": None, "human_annotations": []}, 2),
        ({"human_annotations": None}, 4),  # then without boxes
    ],
)
def test_a_malformed_entry_of_the_original_costs_its_people(original, change, people):
    entries = json.loads((original / ORIGINAL).read_text())
    entries[0].update(change)
    (original / ORIGINAL).write_text(json.dumps(entries))
    assert len(crops(load(main, original))) == people


@pytest.mark.parametrize("entry", [7, {}, {"image_id": None}, {"image_id": 1e308}])
def test_an_entry_without_an_image_is_refused(original, entry):
    entries = json.loads((original / ORIGINAL).read_text())
    (original / ORIGINAL).write_text(json.dumps([entry, *entries]))
    with pytest.raises(CorruptInput, match="image number 0 lacks an id"):
        load(main, original)


def test_crowds_and_masks_are_not_in_the_converted_form(root):
    data = json.loads((root / FILE).read_text())
    assert not {"iscrowd", "area", "segmentation"} & set().union(*data["annotations"])
    assert coco_people.CROWD not in dropped(load(main, root))


def test_the_photographs_are_extracted_from_the_archive(root, tmp_path, monkeypatch):
    folder = tmp_path / "aic"
    (folder / "annotations").mkdir(parents=True)
    (folder / FILE).write_bytes((root / FILE).read_bytes())
    with tarfile.open(folder / "AI_Challenger.tar.gz", "w:gz") as archive:
        archive.add(root / "train", "./train")
        archive.add(root / "train", "./test")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.main(["step", "aic", "download"])
    assert ended.value.code == 0
    assert not (folder / "test").exists()
    assert sorted(crops(load(main, folder))) == sorted(crops(load(main, root)))


def test_a_converted_file_with_other_key_points_is_refused(root, tmp_path):
    def reorder(data):
        data["categories"][0]["keypoints"].reverse()

    with pytest.raises(CorruptInput, match="key points are neck, head_top, .*; expected right_sh"):
        load(main, changed(root, tmp_path, FILE, reorder))


def test_boxes_of_larger_photographs_are_refused(root, tmp_path):
    def spoil(data):
        for person in data["annotations"]:
            person["bbox"][0] += 600

    with pytest.raises(CorruptInput, match="of joints and boxes beyond the border"):
        load(main, changed(root, tmp_path, FILE, spoil))
