import json
from collections import Counter

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from posepile.bodies.charts import read_charts
from posepile.ds.densepose_coco import main
from posepile.ds.densepose_coco.main import Options
from posepile.errors import CorruptInput, UsageError
from posepile.shapes import coco, coco_people, dense

LABELS = "DensePose_COCO/densepose_coco_2014_{}.json"


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("densepose_coco")


def load(root, **options):
    options = Options(**options)
    return {u.id: main.load_unit(root, u, options)[0] for u in main.list_units(root, options)}


def people(sequence):
    """Name of the crop -> track and position of everyone kept."""
    return {
        sequence.image_name(int(frame), track.person): (track, k)
        for track in sequence.tracks
        for k, frame in enumerate(track.frames)
    }


def everyone(root, **options):
    return {k: v for s in load(root, **options).values() for k, v in people(s).items()}


def edited(root, tmp_path, change, phase="train"):
    """A copy of the miniature with a changed annotation file."""
    copy = tmp_path / "densepose_coco"
    (copy / "DensePose_COCO").mkdir(parents=True)
    for name in ("coco", "UV_data"):
        (copy / name).symlink_to(root / name)
    data = json.loads((root / LABELS.format(phase)).read_text())
    change(data)
    (copy / LABELS.format(phase)).write_text(json.dumps(data))
    return copy


def only(data, id):
    """Leaves one annotation."""
    data["annotations"] = [a for a in data["annotations"] if a["id"] == id]
    return data["annotations"][0]


def test_the_right_people_are_kept_and_the_rest_counted(root):
    sequences = load(root)
    assert [(s.split, len(people(s))) for s in sequences.values()] == [
        ("train", 3), ("train", 1), ("val", 1),
    ]  # fmt: skip
    train, more, _ = sequences.values()
    # One lacks the fields, one has a list of no points.
    assert train.dropped == {dense.NO_POINTS: 2}
    assert more.dropped == {main.FEW_LIMBS: 1, coco.FEW_LABELLED: 1}
    assert sorted(everyone(root)) == [
        "train2014/COCO_train2014_000000000009_1000.jpg",
        "train2014/COCO_train2014_000000000025_1100.jpg",
        "train2014/COCO_train2014_000000000025_1102.jpg",
        "val2014/COCO_val2014_000000000042_1300.jpg",
        "val2014/COCO_val2014_000000000073_1201.jpg",
    ]
    assert [len(train.bystanders[frame]) for frame in (0, 1)] == [1, 1]
    assert load(root, phases=["minival"]).keys() == {"minival/000000000042"}


def test_points_are_where_they_were_drawn_and_on_the_right_vertices(root):
    known = json.loads((root / "miniature_truth.json").read_text())["facts"]["points"]
    charts = read_charts(root / dense.TEMPLATE)
    found = everyone(root)
    assert len(found) == len(known) == 5
    for name, (track, k) in found.items():
        points, corners, weights = track.densepose(k)
        assert (points.dtype, corners.dtype, weights.dtype) == ("float32", "uint16", "float32")
        truth = known[name.rpartition("_")[2].removesuffix(".jpg")]
        # Raw box: rounded to pixels, the fractions and the one that leaves the picture would show.
        np.testing.assert_allclose(points, [t["at"] for t in truth], atol=1e-3)
        for corner, weight, t in zip(corners, weights, truth, strict=True):
            got = {int(c): w for c, w in zip(corner, weight, strict=True) if w > 1e-6}
            assert got == pytest.approx({int(v): w for v, w in t["weights"].items()}, abs=1e-6)
            if t["inside"]:
                back = charts.on_chart(t["part"], corner[None], weight[None])
                np.testing.assert_allclose(back[0], t["uv"], atol=1e-6)


def test_points_refer_to_the_box_as_it_is_and_255(root, tmp_path):
    def change(data):
        person = only(data, 1000)
        person["bbox"] = [-10.5, 7.25, 51.0, 102.0]  # left of the picture, with fractions
        person |= {"dp_x": [0.0, 255.0], "dp_y": [0.0, 127.5]}
        person |= {key: person[key][:2] for key in ("dp_I", "dp_U", "dp_V")}

    copy = edited(root, tmp_path, change)
    ((track, k),) = everyone(copy).values()
    np.testing.assert_allclose(track.densepose(k)[0], [[-10.5, 7.25], [40.5, 58.25]])
    np.testing.assert_allclose(track.bbox[k], [-10.5, 7.25, 51, 102])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dp_x": [1.0]}, dense.MALFORMED),  # of another length
        ({"dp_I": [3.0] * 7}, dense.MALFORMED),  # a part that the template lacks
        ({"dp_I": [2.5] * 7}, dense.MALFORMED),
        ({"dp_U": [1.5] * 7}, dense.MALFORMED),
        ({"dp_y": [300.0] * 7}, dense.MALFORMED),
        ({"dp_V": [float("nan")] * 7}, dense.MALFORMED),
        ({"dp_V": None}, dense.MALFORMED),
        ({"dp_x": None}, dense.NO_POINTS),
        ({"dp_masks": [[]] * 14}, None),  # not needed
        ({"bbox": None}, "lacks bbox"),
        ({"iscrowd": 1}, coco_people.CROWD),
        ({"keypoints": [0] * 51}, coco_people.UNLABELLED),
    ],
)
def test_one_bad_annotation_costs_itself(root, tmp_path, changed, reason):
    def change(data):
        next(a for a in data["annotations"] if a["id"] == 1100).update(changed)

    (sequence,) = load(edited(root, tmp_path, change)).values()
    assert len(people(sequence)) == (3 if reason is None else 2)
    if reason is not None:
        before = {dense.NO_POINTS: 2}
        assert sequence.dropped == before | {reason: before.get(reason, 0) + 1}


def many(person):
    """Repeats a person's first five points, which lie in faces, until shares count."""
    for key in dense.FIELDS:
        person[key] = person[key][:5] * 40
    return person


def test_exchanged_u_and_v_are_refused(root, tmp_path):
    def right(data):
        many(only(data, 1000))

    def exchanged(data):
        person = many(only(data, 1000))
        person["dp_U"], person["dp_V"] = person["dp_V"], person["dp_U"]

    (sequence,) = load(edited(root, tmp_path / "a", right)).values()
    assert sequence.checks == dict.fromkeys(
        (dense.OFF_CHART, dense.BEYOND, dense.OFF_BODY, dense.OTHER_SIDE), 0
    )
    copy = edited(root, tmp_path / "b", exchanged)
    with pytest.raises(CorruptInput, match=f"{dense.OFF_CHART}.*max_off_chart"):
        load(copy)
    assert load(copy, max_off_chart=1)


def test_labels_of_other_pictures_are_refused(root, tmp_path):
    def change(data):
        person = many(only(data, 1000))
        person["bbox"][0] += 400

    with pytest.raises(CorruptInput, match=f"{dense.BEYOND}.*other pictures.*max_beyond"):
        load(edited(root, tmp_path, change))


def test_a_unit_whose_points_are_malformed_is_no_unit_without_points(root, tmp_path):
    def from_nought(data):
        for person in data["annotations"]:
            if person.get("dp_I"):
                person["dp_I"] = [part - 1 for part in person["dp_I"]]

    with pytest.raises(CorruptInput, match=f"train/.*: {dense.MALFORMED} of . people, and well"):
        load(edited(root, tmp_path, from_nought))


@pytest.mark.parametrize("way", ["exchanged", "halved"])
def test_points_are_on_the_body(root, tmp_path, way):
    def change(data):
        person = many(only(data, 1000))
        if way == "exchanged":
            person["dp_x"], person["dp_y"] = person["dp_y"], person["dp_x"]
        else:
            person["dp_x"] = [x / 2 for x in person["dp_x"]]

    copy = edited(root, tmp_path, change)
    with pytest.raises(CorruptInput, match=f"{dense.OFF_BODY}.*other people.*max_off_body"):
        load(copy)
    (sequence,) = load(copy, max_off_body=1).values()
    assert sequence.checks[dense.OFF_BODY] > 0.3


def test_hands_and_feet_are_at_their_own_side(root, monkeypatch):
    data = json.loads((root / LABELS.format("train")).read_text())
    person = only(data, 1000)
    joints = np.reshape(person["keypoints"], (17, 3))[:, :2]
    for part, (own, other) in {3: (10, 9), 4: (9, 10), 5: (15, 16), 6: (16, 15)}.items():
        person["dp_I"] = [part, part]
        for at, wrong in ((own, False), (other, True)):
            points = joints[at] + [[-2, 0], [3, 1]]
            assert dense._other_side(person, points).tolist() == [wrong]
        person["keypoints"][3 * other + 2] = 0
        assert dense._other_side(person, points).tolist() == []
        person["keypoints"][3 * other + 2] = 2
    seen = Counter(dense._counts(dense.OTHER_SIDE, [True] * 6 + [False] * 14))
    with pytest.raises(CorruptInput, match=f"30.0 % {dense.OTHER_SIDE}.*max_other_side"):
        dense._checks(root, next(iter(main.list_units(root, Options()))), seen, Options())


def test_the_template_is_an_input_and_must_count_from_one(root, tmp_path):
    units = list(main.list_units(root, Options()))
    assert all(root / dense.TEMPLATE in unit.inputs for unit in units)
    copy = edited(root, tmp_path, lambda data: None)
    (copy / "UV_data").unlink()
    (unit,) = main.list_units(copy, Options())
    with pytest.raises(CorruptInput, match="densepose_uv_data"):
        main.load_unit(copy, unit, Options())
    (copy / "UV_data").mkdir()
    content = {k: v for k, v in loadmat(root / dense.TEMPLATE).items() if k.startswith("All")}
    savemat(copy / dense.TEMPLATE, content | {"All_Faces": content["All_Faces"] - 1})
    with pytest.raises(CorruptInput, match="from 1 to 10"):
        main.load_unit(copy, unit, Options())


@pytest.mark.parametrize("place", ["", "coco", "../coco"])
def test_files_lie_under_either_name_and_photographs_in_three_places(root, tmp_path, place):
    copy = tmp_path / "densepose_coco"
    (copy / "annotations" / "coco").mkdir(parents=True)
    (copy / "UV_data").symlink_to(root / "UV_data")
    (copy / "annotations/coco/densepose_minival2014.json").symlink_to(
        root / LABELS.format("minival")
    )
    (copy / place).mkdir(exist_ok=True)
    (copy / place / "val2014").symlink_to(root / "coco" / "val2014")
    assert list(everyone(copy)) == ["val2014/COCO_val2014_000000000042_1300.jpg"]
    lines = main.calibrate(copy, Options())
    assert [line.partition(",")[0] for line in lines[:-1]] == [
        "train: left out",
        "valminusminival: left out",
    ]
    assert lines[-1] == "minival: 1 photographs with labelled people, 1 units"
    with pytest.raises(UsageError, match="found 'test'"):
        load(copy, phases=["test"])
    with pytest.raises(CorruptInput, match="densepose_coco_2014_train.json|train2014"):
        load(copy, phases=["train"])
