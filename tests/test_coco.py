import errno
import functools
import json
import os
from collections import Counter

import cv2
import numpy as np
import pytest
import rlemasklib
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from posepile.ds.coco import main
from posepile.ds.coco.main import Options
from posepile.errors import CorruptInput, Shortage, UsageError
from posepile.formats import derived
from posepile.imaging.frames import open_frames
from posepile.miniature import photos
from posepile.shapes import coco, coco_files, coco_masks, coco_people


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("coco")


def load(root, **options):
    options = Options(**options)
    units = list(main.list_units(root, options))
    return {unit.id: main.load_unit(root, unit, options)[0] for unit in units}


def people(sequence):
    """(photograph, person index) of everyone kept."""
    return sorted(
        (sequence.frames.paths[frame].stem, track.person)
        for track in sequence.tracks
        for frame in track.frames
    )


def edited(root, tmp_path, change):
    """A copy of the miniature with a changed validation file."""
    copy = tmp_path / "coco"
    (copy / "annotations").mkdir(parents=True)
    (copy / "val2017").symlink_to(root / "val2017")
    name = "person_keypoints_val2017.json"
    data = json.loads((root / "annotations" / name).read_text())
    change(data)
    (copy / "annotations" / name).write_text(json.dumps(data))
    return copy


def cut_into(monkeypatch, size):
    """Units of so many photographs."""
    cut = functools.partial(coco_files.CocoFile, pictures_per_unit=size)
    monkeypatch.setattr(main, "CocoFile", cut)


def test_the_right_people_are_kept_and_the_rest_counted(root):
    sequences = load(root)
    assert list(sequences) == ["train2017/000000000007", "val2017/000000000285"]
    train, val = sequences.values()
    assert people(train) == [("000000000007", 0), ("000000000007", 2)]
    assert people(val) == [("000000000285", 0), ("000000000285", 3)]
    assert train.dropped == {coco.SMALL: 1, coco.FEW_LABELLED: 1, coco.FEW_VISIBLE: 1}
    assert val.dropped == {coco_people.CROWD: 1, coco_people.UNLABELLED: 1}
    assert train.split == "train"
    assert train.image_name(0, 2) == "train2017/000000000007_02.jpg"
    truth = json.loads((root / "miniature_truth.json").read_text())
    assert truth["counts"] == {"train": 2, "val": 2, "test": 0}


def test_joints_boxes_and_every_mask_form(root):
    forms = set()
    for phase in ("train2017", "val2017"):
        data = json.loads((root / f"annotations/person_keypoints_{phase}.json").read_text())
        by_id = {i["id"]: i for i in data["images"]}
        (sequence,) = [s for name, s in load(root).items() if name.startswith(phase)]
        for track in sequence.tracks:
            for k, frame in enumerate(track.frames):
                image_id = int(sequence.frames.paths[frame].stem)
                group = [a for a in data["annotations"] if a["image_id"] == image_id]
                person = sorted(group, key=lambda a: a["id"])[track.person]
                np.testing.assert_allclose(track.bbox[k], person["bbox"])
                for j, (x, y, v) in enumerate(np.reshape(person["keypoints"], (-1, 3))):
                    got = track.image_coords[k, j]
                    assert np.isnan(got).all() if v == 0 else got.tolist() == [x, y]
                segmentation = person["segmentation"]
                forms.add(type(segmentation["counts"] if isinstance(segmentation, dict) else []))
                mask = rlemasklib.decode(track.mask(k))
                image = by_id[image_id]
                assert mask.shape == (image["height"], image["width"])
                assert int(mask.sum()) == pytest.approx(person["area"], rel=0.05)
                x, y, w, h = person["bbox"]
                assert mask[y : y + h, x : x + w].sum() == mask.sum()
    assert forms == {list, str}


def test_single_leaves_out_who_overlaps(root, tmp_path):
    assert people(load(root, people="single")["val2017/000000000285"]) == [
        ("000000000285", 0),
        ("000000000285", 3),
    ]

    def move_together(data):
        first, last = (a for a in data["annotations"] if a["num_keypoints"] == 17)
        last["bbox"] = [v + 5 for v in first["bbox"]]

    copy = edited(root, tmp_path, move_together)
    sequence = load(copy, people="single")["val2017/000000000285"]
    assert people(sequence) == []
    assert sequence.dropped[main.OVERLAPPING] == 2
    assert len(people(load(copy)["val2017/000000000285"])) == 2


def test_options_move_the_limits(root):
    everyone = load(root, visible_share=0, labelled_share=0, min_size=0)
    assert len(people(everyone["train2017/000000000007"])) == 5
    assert len(load(root, phases=["val2017"])) == 1


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([0, 1, 2]), min_size=17, max_size=17),
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=17, max_size=17),
)
def test_keep_rule_is_that_of_the_card(visibility, points):
    keypoints = [
        x for p, v in zip(points, visibility, strict=True) for x in ((*p, v) if v else (0, 0, 0))
    ]
    person = {"iscrowd": 0, "keypoints": keypoints, "bbox": [0, 0, 400, 400]}
    labelled = [p for p, v in zip(points, visibility, strict=True) if v]
    sides = [max(c) - min(c) for c in zip(*labelled, strict=True)] or [0, 0]
    expected = (
        visibility.count(2) >= 17 / 3 and len(labelled) >= 17 / 2 and max(sides) * 1.25 >= 200
    )
    assert (main.why_not(person, np.zeros((0, 4)), Options()) is None) == expected


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**20), st.booleans())
def test_rle_forms_agree(height, width, seed, nearly_empty):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < (0.05 if nearly_empty else 0.5)
    for form in ("plain", "compressed"):
        rle = coco_masks.decode_mask(photos.encode_mask(mask, form), width, height)
        assert isinstance(rle["counts"], bytes)
        np.testing.assert_array_equal(coco_mask.decode(rle).astype(bool), mask)


def test_degenerate_polygons_are_ignored():
    assert coco_masks.decode_mask([[1, 1, 5, 5]], 9, 9) is None
    assert coco_masks.decode_mask([], 9, 9) is None
    square = [1, 1, 5, 1, 5, 5, 1, 5]
    rle = coco_masks.decode_mask([[1, 1, 5, 5], square], 9, 9)
    assert coco_mask.area(rle) == 16


def test_missing_phases_are_named(root, tmp_path):
    copy = edited(root, tmp_path, lambda data: None)
    assert [u.split for u in main.list_units(copy, Options())] == ["val"]
    lines = main.calibrate(copy, Options())
    assert lines[0].startswith("train2017: left out, there is no folder ")
    assert lines[1] == "val2017: 1 photographs with labelled people, 1 units"
    assert main.calibrate(root, Options(phases=["val2017"]))[0] == (
        "train2017: left out, it is not in dataset.phases"
    )
    with pytest.raises(CorruptInput, match=r"train2017: folder is missing.*posepile plan"):
        list(main.list_units(copy, Options(phases=["train2017", "val2017"])))
    with pytest.raises(UsageError, match="'val'; .* train2017, val2017"):
        list(main.list_units(copy, Options(phases=["val"])))
    with pytest.raises(CorruptInput, match=r"expected .*train2014, .*val2014"):
        list(main.list_units(copy, Options(year=2014)))
    (copy / "annotations" / "person_keypoints_val2017.json").unlink()
    with pytest.raises(CorruptInput, match=r"person_keypoints_val2017\.json: file is missing"):
        list(main.list_units(copy, Options()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["annotations"][0].update(image_id=4), "image 4, which is not listed"),
        (
            lambda d: d["images"][0].update(id=139),
            r"image id 139: found at images\.0 and at",
        ),
        (lambda d: d["images"][0].update(id="0139"), r"image id 139: found at images\.0 and at"),
        (
            lambda d: d["images"][0].update(file_name=d["images"][1]["file_name"]),
            "file_name 000000000139.jpg: found at image id 285 and at image id 139",
        ),
        (
            lambda d: d["annotations"][0].update(id="1200"),
            r"annotation id 1200: found at annotations\.0 and at annotations\.3; expected once",
        ),
        (lambda d: d.pop("images"), "no list 'images'"),
        (lambda d: d["images"][1].pop("id"), "image number 1 lacks an id"),
        (lambda d: d["categories"][0].update(name="cat"), "no category 'person'"),
    ],
)
def test_broken_annotations_are_explained(root, tmp_path, change, message):
    copy = edited(root, tmp_path, change)
    with pytest.raises(CorruptInput, match=message) as e:
        list(main.list_units(copy, Options()))
    assert "person_keypoints_val2017.json" in str(e.value)


# Annotation 1203 is that of a whole person, the fourth of photograph 285; 1200 has a plain RLE.
@pytest.mark.parametrize(
    ("id", "change", "reason"),
    [
        (1203, {"keypoints": [5, 5, 2] * 16}, "key points are not 51 finite numbers"),
        (1203, {"keypoints": [5, 5, 7] * 17}, "a visibility other than 0, 1, 2"),
        (1203, {"keypoints": [5, float("nan"), 2] * 17}, "key points are not 51 finite numbers"),
        (1203, {"keypoints": ["5", 5, 2] * 17}, "key points are not 51 finite numbers"),
        (1203, {"keypoints": [5, 1e9, 2] * 17}, "key points far outside the picture"),
        (1203, {"keypoints": None}, coco_people.UNLABELLED),
        (1203, {"bbox": [1, 2, 3]}, "box is not four finite numbers x, y, w, h"),
        (1203, {"bbox": [1, 2, 3, float("nan")]}, "box is not four finite numbers x, y, w, h"),
        (1203, {"bbox": [1, 2, 3, 1e9]}, "box far outside the picture"),
        (1203, {"id": None}, "lacks id"),
        (1203, {"image_id": None}, "lacks image_id"),
        (1203, {"category_id": None}, "lacks category_id"),
        (1203, {"segmentation": [[1, 1, 9, 1, 9, 1e9]]}, coco_masks.FAR_OUTSIDE),
        (1203, {"segmentation": [[1, 1, 9, 1, 9, float("nan")]]}, coco_masks.NO_POLYGONS),
        (1203, {"segmentation": [1, 1, 9, 1, 9, 9]}, coco_masks.NO_POLYGONS),
        (1203, {"segmentation": [[1, 1, 9, 1, 9, 9, 9]]}, coco_masks.NO_POLYGONS),
        (1203, {"segmentation": [[0, 0, 400, 300] * 9999]}, coco_masks.TOO_LONG),
        (1203, {"segmentation": "none"}, coco_masks.NO_MASK),
        (1200, {"segmentation": {"size": [10, 10], "counts": [100]}}, coco_masks.OTHER_SIZE),
        (1200, {"segmentation": {"size": [460, 740], "counts": [100]}}, coco_masks.NOT_FULL),
        (1200, {"segmentation": {"size": [460, 740], "counts": "zz~"}}, coco_masks.NOT_FULL),
        (1200, {"segmentation": {"size": [460, 740]}}, coco_masks.NOT_FULL),
    ],
)
def test_a_malformed_annotation_costs_that_one_alone(root, tmp_path, id, change, reason):
    def spoil(data):
        next(a for a in data["annotations"] if a["id"] == id).update(change)

    copy = edited(root, tmp_path, spoil)
    (sequence,) = load(copy).values()
    rest = {"000000000285": 3 if id == 1200 else 0}
    assert people(sequence) == list(rest.items())
    assert sequence.dropped == Counter(
        {coco_people.CROWD: 1, coco_people.UNLABELLED: 1}
    ) + Counter([reason])
    for track in sequence.tracks:
        assert track.mask(0) is not None
    if reason != coco_people.UNLABELLED:
        line = f"val2017: 1 annotations left out: {reason} (the first one: annotation"
        assert any(found.startswith(line) for found in main.calibrate(copy, Options()))


def test_a_photograph_without_a_size_costs_its_people_alone(root, tmp_path):
    def spoil(data):
        person = next(a for a in data["annotations"] if a["id"] == 1203)
        data["annotations"].append({**person, "id": 9, "image_id": 139})
        data["images"][[i["id"] for i in data["images"]].index(139)].pop("width")

    (sequence,) = load(edited(root, tmp_path, spoil)).values()
    assert people(sequence) == [("000000000285", 0), ("000000000285", 3)]
    assert sequence.dropped["its image lacks file_name, width or height"] == 1


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [10**9, 10**9], "counts": "PPYo1"},
    ],
)
def test_masks_of_pictures_that_nobody_has(segmentation):
    with pytest.raises(ValueError, match=coco_masks.TOO_LARGE):
        coco_masks.decode_mask(segmentation, 10**9, 10**9)


@pytest.mark.parametrize("counts", [[2**32, 2**32], [-1, 3073], [2**32 + 3072], "o" * 40, "", "P"])
def test_runs_that_do_not_fill_the_picture(counts):
    with pytest.raises(ValueError, match=coco_masks.NOT_FULL):
        coco_masks.decode_mask({"size": [48, 64], "counts": counts}, 64, 48)


@pytest.mark.parametrize("key", ["iscrowd", "segmentation", "bbox"])
def test_what_is_optional_is_not_missed(root, tmp_path, key):
    def spoil(data):
        person = next(a for a in data["annotations"] if a["id"] == 1203)
        del person[key]

    copy = edited(root, tmp_path, spoil)
    for mode in ("multi", "single"):
        (sequence,) = load(copy, people=mode).values()
        assert people(sequence) == [("000000000285", 0), ("000000000285", 3)]
    track = sequence.tracks[-1]
    assert (track.bbox is None) == (key == "bbox")
    assert (track.mask is None) == (key == "segmentation")


def test_ids_may_be_texts(root, tmp_path):
    def numbers_as_texts(data):
        for entry in data["images"] + data["categories"]:
            entry["id"] = str(entry["id"])
        for entry in data["annotations"]:
            entry |= {key: str(entry[key]) for key in ("id", "image_id", "category_id")}

    def names(data):
        for entry in data["images"]:
            entry["id"] = f"photo/{entry['id']}"
        for entry in data["annotations"]:
            entry |= {"id": f"a{entry['id']}", "image_id": f"photo/{entry['image_id']}"}

    expected = people(load(root)["val2017/000000000285"])
    assert list(load(edited(root, tmp_path / "1", numbers_as_texts))) == ["val2017/000000000285"]
    assert people(*load(tmp_path / "1" / "coco").values()) == expected
    assert list(load(edited(root, tmp_path / "2", names))) == ["val2017/photo%2F285"]
    assert people(*load(tmp_path / "2" / "coco").values()) == expected


def test_two_photographs_whose_crops_have_one_name_are_refused(root, tmp_path):
    def other_folder(data):
        person = next(a for a in data["annotations"] if a["id"] == 1203)
        data["annotations"].append({**person, "id": 9, "image_id": 139})
        data["images"][[i["id"] for i in data["images"]].index(139)] |= {
            "file_name": "more/000000000285.jpg", "width": 740, "height": 460,
        }  # fmt: skip
        data["annotations"] = [a for a in data["annotations"] if a["id"] != 1203]

    with pytest.raises(CorruptInput, match=r"_00\.jpg: found at .*more/0+285\.jpg and at "):
        load(edited(root, tmp_path, other_folder))


def test_pieces_are_cut_once_and_anew_when_the_file_changes(root, tmp_path):
    copy = edited(root, tmp_path, lambda data: None)
    list(main.list_units(copy, Options()))
    work = tmp_path / "coco_work" / "annotations"
    (folder,) = (p for p in work.iterdir() if p.is_dir())
    before = [(p.name, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    list(main.list_units(copy, Options()))
    assert before == [(p.name, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    path = copy / "annotations" / "person_keypoints_val2017.json"
    data = json.loads(path.read_text())
    os.utime(path)  # as after copying: the content is the same
    list(main.list_units(copy, Options()))
    assert [p for p in work.iterdir() if p.is_dir()] == [folder]
    data["annotations"] = [a for a in data["annotations"] if a["num_keypoints"]]
    path.write_text(json.dumps(data))
    assert not load(copy)["val2017/000000000285"].dropped
    assert len([p for p in work.iterdir() if p.is_dir()]) == 2


def test_units_are_chunks_in_order_of_image_id(root, tmp_path, monkeypatch):
    def many(data):
        image, person = data["images"][0], data["annotations"][0]
        rng = np.random.default_rng(0)
        data["images"] = [
            {**image, "id": int(i), "file_name": f"{i:012d}.jpg"} for i in rng.permutation(50)
        ]
        data["annotations"] = [
            {**person, "id": int(i), "image_id": int(i)} for i in rng.permutation(50)
        ]

    copy = edited(root, tmp_path, many)
    cut_into(monkeypatch, 20)
    units = list(main.list_units(copy, Options()))
    assert [u.id for u in units] == [f"val2017/{i:012d}" for i in (0, 20, 40)]
    names = [path.stem for unit in units for path in unit.inputs[1:]]
    assert names == [f"{i:012d}" for i in range(50)]


@pytest.mark.parametrize("chunk_size", [1, 2])
def test_whoever_lies_behind_the_last_chunk_is_counted(root, tmp_path, monkeypatch, chunk_size):
    def add_unlabelled(data):
        nobody = next(a for a in data["annotations"] if not any(a["keypoints"]))
        data["images"].append({**data["images"][0], "id": 999, "file_name": "999.jpg"})
        data["annotations"].append({**nobody, "id": 5, "image_id": 999, "iscrowd": 0})

    copy = edited(root, tmp_path, add_unlabelled)
    cut_into(monkeypatch, chunk_size)
    (sequence,) = load(copy).values()
    assert sequence.dropped == {coco_people.CROWD: 1, coco_people.UNLABELLED: 2}


def test_a_changed_label_changes_its_unit_only(root, tmp_path, monkeypatch):
    # The annotation file is too large to be read whole for every unit's key: the pieces tell.
    def two(data):
        person = next(a for a in data["annotations"] if a["num_keypoints"] == 17)
        data["annotations"].append({**person, "id": 7, "image_id": 139})

    copy = edited(root, tmp_path, two)
    cut_into(monkeypatch, 1)
    before = [unit.args["content"] for unit in main.list_units(copy, Options())]
    path = copy / "annotations" / "person_keypoints_val2017.json"
    data = json.loads(path.read_text())
    person = next(a for a in data["annotations"] if a["id"] == 7)
    person["keypoints"][2] = 1
    path.write_text(json.dumps(data))
    after = [unit.args["content"] for unit in main.list_units(copy, Options())]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True]  # 139, 285


def test_a_resized_copy_of_the_photographs_is_refused(root, tmp_path):
    copy = edited(root, tmp_path, lambda data: None)
    (copy / "val2017").unlink()
    (copy / "val2017").mkdir()
    for file in (root / "val2017").iterdir():
        image = cv2.imread(str(file))
        cv2.imwrite(str(copy / "val2017" / file.name), cv2.resize(image, None, fx=0.5, fy=0.5))
    (sequence,) = load(copy).values()
    message = r"285\.jpg, frame 0: is 370x230 pixels, but its annotations are for 740x460"
    with open_frames(sequence.frames) as reader, pytest.raises(CorruptInput, match=message):
        list(reader.read([0]))


def test_a_full_disk_while_cutting_is_one_line(root, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    copy = edited(root, tmp_path, lambda data: None)
    monkeypatch.setattr(derived.os, "rename", full)
    with pytest.raises(Shortage, match=r"coco_work.*No space left on device.*half-written"):
        main.calibrate(copy, Options())
    left = [p.name for p in (tmp_path / "coco_work" / "annotations").iterdir()]
    assert left == [".lock"]


def test_the_miniature_is_what_pycocotools_reads(root, capsys):
    from pycocotools.coco import COCO

    for phase in ("train2017", "val2017"):
        coco = COCO(str(root / "annotations" / f"person_keypoints_{phase}.json"))
        for image_id in coco.getImgIds():
            for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
                assert int(coco.annToMask(annotation).sum()) == pytest.approx(
                    annotation["area"], rel=0.05
                )


def test_options_without_effect_are_refused():
    assert Options(people="single", max_overlap=0.3).max_overlap == 0.3
    assert Options(people="multi", max_overlap=0.1).max_overlap == 0.1
    with pytest.raises(ValueError, match="has no effect with people: multi"):
        Options(max_overlap=0.3)
