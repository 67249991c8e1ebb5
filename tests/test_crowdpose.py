import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stills_kit import annotation, changed, crops, dropped, load

from posepile.acquire.plan import plan
from posepile.acquire.sources import load_sources
from posepile.ds import dataset_dir
from posepile.ds.crowdpose import main
from posepile.errors import CorruptInput, UsageError
from posepile.shapes import coco, coco_people

TRAIN, VAL = "json/crowdpose_train.json", "json/crowdpose_val.json"


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("crowdpose")


def test_who_is_taken_and_the_rest_counted(root):
    sequences = load(main, root)
    assert [(s.id, s.split) for s in sequences.values()] == [
        ("train/000000100018", "train"),
        ("val/000000103319", "val"),
        ("test/000000106848", "test"),
    ]
    assert sorted(crops(sequences)) == [
        "test/106848_1300.jpg", "test/106848_1301.jpg", "train/100018_1000.jpg",
        "train/100018_1001.jpg", "val/103319_1202.jpg", "val/119953_1100.jpg",
        "val/119953_1101.jpg",
    ]  # fmt: skip
    assert dropped(sequences) == {
        coco.FEW_LABELLED: 1,  # head and neck alone
        main.FEW_LIMBS: 1,
        coco_people.CROWD: 1,
    }


def test_width_and_height_of_the_file_are_not_believed(root):
    images = json.loads((root / TRAIN).read_text())["images"]
    assert [(i["width"], i["height"]) for i in images] == [(400, 500)]
    (train,) = load(main, root, phases=["train"]).values()
    assert train.frames.sizes == ((500, 400),)


def test_labels_of_other_photographs_are_refused(root, tmp_path):
    def narrow(data):
        for person in data["annotations"]:
            person["keypoints"][::3] = [x + 400 for x in person["keypoints"][::3]]

    with pytest.raises(CorruptInput, match=r"train\.json: train/0+100018: found .* beyond the"):
        load(main, changed(root, tmp_path, TRAIN, narrow))
    load(main, tmp_path / "crowdpose", max_beyond=1, max_strays=1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2]), min_size=14, max_size=14))
def test_keep_rule_is_that_of_the_card(v):
    person = {"image_id": 1, "keypoints": [x for k in v for x in (5, 5, k)], "bbox": None}
    labelled = [k > 0 for k in v]  # whether 1 or 2 says nothing
    expected = sum(labelled) >= 7 and sum(labelled[:12]) > 6
    assert (main.why_not(person, [], main.Options()) is None) == expected


def test_joints_far_outside_the_box_are_dropped(root, tmp_path):
    data = json.loads((root / TRAIN).read_text())
    joints = crops(load(main, root))["train/100018_1000.jpg"]
    given = np.reshape(annotation(data, 1000)["keypoints"], (-1, 3))[:, :2]
    lwri = main.SPEC.joint_info.ids.lwri
    assert np.isnan(joints[lwri]).all()
    rest = np.arange(14) != lwri
    np.testing.assert_array_equal(joints[rest], given[rest])
    assert not np.isnan(crops(load(main, root, max_stray=9))["train/100018_1000.jpg"]).any()

    def move(data):  # a quarter of the side outside, and a pixel more
        person = annotation(data, 1001)
        x, y, w, h = person["bbox"] = [200, 100, 80, 200]
        person["keypoints"] = [x + 9, y + 9, 2] * 14
        person["keypoints"][:9] = [x - w / 4, y, 2, x + w + w / 4, y, 2, x, y + h + h / 4 + 1, 2]

    sequences = load(main, changed(root, tmp_path, TRAIN, move), max_strays=1)
    joints = crops(sequences)["train/100018_1001.jpg"]
    assert joints[:2].tolist() == [[180, 100], [300, 100]]
    assert np.isnan(joints[2]).all()
    assert 0 < sequences["train/000000100018"].checks["strays"] < 0.5


@pytest.mark.parametrize(("n_strays", "kept"), [(7, True), (8, False), (14, False)])
def test_who_has_too_few_joints_near_the_box_is_left_out(root, tmp_path, n_strays, kept):
    def spoil(data):  # the last ones: seven of the first twelve are just enough
        person = annotation(data, 1001)
        x, y, *_ = person["bbox"]
        points = [x + 9, y + 9, 2] * (14 - n_strays) + [1, 1, 2] * n_strays
        person["keypoints"] = points

    copy = changed(root, tmp_path, TRAIN, spoil)
    sequences = load(main, copy, phases=["train"], max_strays=1)
    assert ("train/100018_1001.jpg" in crops(sequences)) == kept
    assert dropped(sequences).get(main.FEW_OWN, 0) == (not kept)


def test_boxes_of_other_people_are_refused(root, tmp_path):
    def exchange(data):
        first, second = data["annotations"]
        first["bbox"], second["bbox"] = second["bbox"], first["bbox"]

    with pytest.raises(CorruptInput, match="of the joints far outside the boxes"):
        load(main, changed(root, tmp_path, TRAIN, exchange))
    assert load(main, root, phases=["train"])["train/000000100018"].checks["strays"] < 0.2


def test_boxes_beyond_the_border_are_refused(root, tmp_path):
    def spoil(data):
        for person in data["annotations"]:
            person["bbox"][2] = 600

    with pytest.raises(CorruptInput, match="of joints and boxes beyond the border"):
        load(main, changed(root, tmp_path, TRAIN, spoil))


def test_who_has_no_box_keeps_all_joints(root, tmp_path):
    def spoil(data):
        for person in data["annotations"]:
            del person["bbox"]

    joints = crops(load(main, changed(root, tmp_path, TRAIN, spoil)))
    assert np.isfinite(joints["train/100018_1000.jpg"]).all()


def test_nobody_is_taken_from_a_photograph_to_be_left_out(root, tmp_path):
    assert main.Options().without == [105273]

    def as_texts(data):
        for entry in (*data["images"], *data["annotations"]):
            key = "image_id" if "image_id" in entry else "id"
            entry[key] = str(entry[key])

    for copy in (root, changed(root, tmp_path, VAL, as_texts)):
        sequences = load(main, copy, without=[119953], phases=["val"])
        assert sorted(crops(sequences)) == ["val/103319_1202.jpg"]
        assert dropped(sequences)[main.LEFT_OUT] == 2


def test_the_corrected_annotations_are_preferred(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "crowdpose")
    (copy / "annotations").mkdir()
    for split in ("train", "val"):
        data = json.loads((root / f"json/crowdpose_{split}.json").read_text())
        data["annotations"] = data["annotations"][:1]
        (copy / f"annotations/mmpose_crowdpose_{split}.json").write_text(json.dumps(data))
    assert len(crops(load(main, copy))) == 4


def test_trainval_is_not_read_and_splits_may_be_missing(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "crowdpose")
    (copy / TRAIN).unlink()
    assert sorted({s.split for s in load(main, copy).values()}) == ["test", "val"]
    lines = main.calibrate(copy, main.Options())
    assert lines[0].startswith("train: left out, there is no file ")
    (copy / "images").rename(copy / "pictures")
    with pytest.raises(CorruptInput, match=r"found no folder of pictures; .*images"):
        load(main, copy)
    (copy / "pictures").rename(copy / "images")
    with pytest.raises(CorruptInput, match=r"crowdpose_train\.json: file is missing"):
        load(main, copy, phases=["train"])
    with pytest.raises(UsageError, match=r"dataset\.phases: found 'trainval'; expected some of"):
        load(main, root, phases=["trainval"])


def test_files_with_other_key_points_are_refused(root, tmp_path):
    def rename(data):
        names = data["categories"][0]["keypoints"]
        assert names[-2:] == ["head", "neck"]
        names[-2:] = ["top_head", "neck"]  # as MMPose calls it

    copy = changed(root, tmp_path / "1", VAL, rename)
    assert len(crops(load(main, copy, phases=["val"]))) == 3

    def reorder(data):
        data["categories"][0]["keypoints"].sort()

    with pytest.raises(
        CorruptInput, match=r"key points are head, left_ankle, .*; expected left_s"
    ):
        load(main, changed(root, tmp_path / "2", VAL, reorder))
    copy = changed(root, tmp_path / "3", VAL, lambda data: data["categories"][0].pop("keypoints"))
    assert load(main, copy)


def test_the_annotations_of_one_split_are_not_all(tmp_path):
    (tmp_path / "json").mkdir()
    sources = load_sources(dataset_dir("crowdpose") / "sources.yaml")
    for split, state in (("val", "fetch"), ("train", "fetch"), ("test", "have")):
        (tmp_path / "json" / f"crowdpose_{split}.json").touch()
        decisions = {d.source.name: d.action for d in plan(sources, tmp_path)}
        assert decisions["annotations"] == state


def test_what_num_keypoints_and_skeleton_say_does_not_matter(root, tmp_path):
    def spoil(data):
        del data["categories"][0]["skeleton"]
        for person in data["annotations"]:
            person["num_keypoints"] = 0

    copy = changed(root, tmp_path, VAL, spoil)
    assert sorted(crops(load(main, copy))) == sorted(crops(load(main, root)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"keypoints": [5, 5, 2] * 13}, "key points are not 42 finite numbers"),
        ({"keypoints": [5, 5, 3] * 14}, "a visibility other than 0, 1, 2"),
        ({"keypoints": [9999, 5, 2] * 14}, "key points far outside the picture"),
        ({"bbox": [1, 2, 3]}, "box is not four finite numbers x, y, w, h"),
    ],
)
def test_a_malformed_annotation_costs_that_one_alone(root, tmp_path, change, reason):
    copy = changed(root, tmp_path, VAL, lambda data: annotation(data, 1101).update(change))
    sequences = load(main, copy)
    assert len(crops(sequences)) == 6
    assert dropped(sequences)[reason] == 1


def test_an_annotation_without_a_number_costs_that_one_alone(root, tmp_path):
    def spoil(data):
        annotation(data, 1100).update(id=None)
        annotation(data, 1101).update(id="a1")
        annotation(data, 1200).pop("id")

    sequences = load(main, changed(root, tmp_path, VAL, spoil), phases=["val"])
    assert sorted(crops(sequences)) == ["val/103319_1202.jpg"]
    left_out = dropped(sequences)
    assert left_out["lacks id"] == 2
    assert left_out["id of the annotation is no number"] == 1


def test_a_damaged_photograph_is_not_all_that_is_looked_at(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "crowdpose")
    (copy / "images" / "119953.jpg").write_bytes(b"no picture")
    (sequence,) = load(main, copy, phases=["val"]).values()
    assert len(crops({"": sequence})) == 3
    assert sequence.checks["beyond_border"] == 0
