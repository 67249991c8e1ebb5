import functools
import importlib.util
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.errors import CorruptInput
from posepile.shapes import coco, coco_files, coco_people, coco_places
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.stills import Person, Picture
from posepile.shapes.thinning import STILL, moved, thin_out

FOOT = ("foot_kpts", "foot_valid", 1)
PERSON = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
PERSON |= {"segmentation": [], "keypoints": [5, 6, 2], "foot_kpts": [7, 8, 1], "foot_valid": True}
GOOD = PERSON | {"id": 99, "keypoints": [9, 9, 2]}


def write(folder, *people, **image):
    image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48} | image
    content = {"images": [image], "annotations": list(people)}
    content["categories"] = [{"id": 1, "name": "person"}]
    (folder / "val.json").write_text(json.dumps(content))
    cv2.imwrite(str(folder / "1.jpg"), np.zeros((48, 64, 3), np.uint8))


def read(folder, **more):
    (picture,) = coco_files.read_pictures(CocoFile(folder / "val.json", folder, **more))
    return picture


@pytest.mark.parametrize(
    ("change", "points", "fault"),
    [
        ({}, [5, 6, 2, 7, 8, 1], None),
        ({"foot_valid": False}, [5, 6, 2, 0, 0, 0], None),
        ({"foot_valid": 0}, [5, 6, 2, 0, 0, 0], None),
        ({"foot_valid": None}, [], "lacks foot_valid"),
        ({"foot_kpts": None}, [], "lacks foot_kpts"),
        ({"foot_kpts": [7, 8]}, [], "foot_kpts are not 3 finite numbers"),
        ({"foot_kpts": [7, 8, float("nan")]}, [], "foot_kpts are not 3 finite numbers"),
        ({"foot_kpts": [1e9, 8, 1]}, [], "key points far outside the picture"),
        ({"keypoints": [5, 6, 2, 7, 8, 2]}, [], "key points are not 3 finite numbers"),
    ],
)
def test_parts_come_behind_the_key_points(tmp_path, change, points, fault):
    write(tmp_path, PERSON | change, GOOD)
    person, _ = read(tmp_path, n_joints=2, parts=(FOOT,))["people"]
    assert (person["keypoints"], person["fault"]) == (points, fault)


def test_sizes_are_those_of_the_files(tmp_path):
    # The file says width and height exchanged; x = 600 is within ten sides of what it says, too.
    near, far = PERSON | {"keypoints": [600, 6, 2]}, PERSON | {"keypoints": [700, 6, 2], "id": 5}
    write(tmp_path, near, far, width=48, height=64)
    source = CocoFile(tmp_path / "val.json", tmp_path, 1, sizes_of_files=True)
    (picture,) = coco.coco_pictures(source, coco_files.read_pictures(source))
    assert picture.size == (64, 48)
    assert [p.left_out for p in picture.people] == [None, "key points far outside the picture"]
    assert picture.people[1].bbox is None
    write(tmp_path, PERSON, width=None, height="?")
    (picture,) = coco.coco_pictures(source, coco_files.read_pictures(source))
    assert picture.size == (64, 48)
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    # That costs the picture alone, not its unit, when it is to be cropped.
    (picture,) = coco.coco_pictures(source, coco_files.read_pictures(source))
    assert (picture.size, len(picture.people)) == (None, 1)


def test_annotations_of_no_picture_come_last(tmp_path):
    write(tmp_path, {**PERSON, "image_id": None}, GOOD)
    picture, lost = coco_files.read_pictures(CocoFile(tmp_path / "val.json", tmp_path, 1))
    assert ([p["id"] for p in picture["people"]], lost["file_name"]) == ([99], None)
    assert [p["fault"] for p in lost["people"]] == ["lacks image_id"]


def test_a_file_of_another_form(tmp_path):
    def lines(path, kind):
        for number, line in enumerate(path.read_text().splitlines()):
            x, y = map(int, line.split())
            yield {
                "images": {"id": f"p{number}", "file_name": f"{number}.jpg"},
                "annotations": {"id": number, "image_id": f"p{number}", "keypoints": [x, y, 2]},
            }[kind]

    (tmp_path / "points.txt").write_text("3 4\n5 6\n")
    optional = ("iscrowd", "segmentation", "bbox")
    source = CocoFile(
        tmp_path / "points.txt", tmp_path, 1, category=None, optional=optional,
        sizes_of_files=True, read=lines,
    )  # fmt: skip
    first, second = coco_files.read_pictures(source)
    assert [p["keypoints"] for p in first["people"] + second["people"]] == [[3, 4, 2], [5, 6, 2]]
    (unit,) = coco.coco_units(source, tmp_path / "data", "train", "train")
    assert unit.id == "train/p0"
    assert [path.name for path in unit.inputs] == ["points.txt", "0.jpg", "1.jpg"]


def test_crops_may_be_named_by_the_annotation(tmp_path):
    write(tmp_path, PERSON, PERSON | {"id": 90})
    source = CocoFile(tmp_path / "val.json", tmp_path, 1)
    pictures = coco.coco_pictures(source, coco_files.read_pictures(source), index="id")
    assert [p.index for p in pictures[0].people] == [4, 90]


COORDS = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=2, max_size=2), max_size=12
)


@settings(max_examples=200)
@given(COORDS, st.integers(1, 20))
def test_what_is_left_out_shows_nothing_new(rows, limit):
    x = np.array([[np.nan if v is None else v for v in row] for row in rows], float)
    coords = np.stack([x, np.where(np.isnan(x), np.nan, 0)], axis=-1).reshape(len(rows), 2, 2)
    keep = moved(coords, np.full(len(rows), float(limit)))
    last = None
    for row, kept in zip(coords[:, :, 0], keep, strict=True):
        news = last is None or any(
            np.isfinite(b) and (not np.isfinite(a) or abs(b - a) > limit)
            for a, b in zip(last, row, strict=True)
        )
        assert kept == news
        last = row if kept else last


def test_thinning_is_per_person_and_knows_no_limit():
    def person(index, x, **more):
        return Person(index, image_coords=np.array([[x, 0.0]]), **more)

    pictures = [
        Picture(None, None, [person(1, 0), person(2, 0)]),
        Picture(None, None, [person(1, 3), person(2, 30, left_out="small")]),
        Picture(None, None, [person(1, 4), person(2, 4)]),
    ]
    thin_out(pictures, lambda k, p: np.nan if k == 2 and p.index == 2 else 5.0)
    assert [[p.left_out for p in picture.people] for picture in pictures] == [
        [None, None], [STILL, "small"], [STILL, None],
    ]  # fmt: skip


def test_pieces_are_cut_anew_when_the_code_that_reads_changes(tmp_path):
    write(tmp_path, PERSON)
    code = """
from posepile.formats.text_files import iter_json


def read(path, kind):
    for entry in iter_json(path, f"{kind}.item"):
        yield {**entry, "keypoints": [X, 6, 2]} if kind == "annotations" else entry
"""
    found = []
    for x in ("5", "70"):  # of another length, lest the compiled file is taken for that of it
        (tmp_path / "reader.py").write_text(code.replace("X", x))
        spec = importlib.util.spec_from_file_location("reader", tmp_path / "reader.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for read in (module.read, functools.partial(module.read)):
            source = CocoFile(tmp_path / "val.json", tmp_path, 1, read=read)
            (piece,) = coco_files.read_pieces(source, tmp_path / "data")
            whole = coco_files.read_piece(source, tmp_path / "data", piece["name"])
            found.append(whole["images"][0]["people"][0]["keypoints"][0])
    assert found == [5, 5, 70, 70]


def test_others_are_told_of_what_is_wrong_whatever_the_order(tmp_path):
    far = PERSON | {"keypoints": [700, 6, 2], "id": 5}
    write(tmp_path, PERSON, far, width=48, height=64)
    source = CocoFile(tmp_path / "val.json", tmp_path, 1, sizes_of_files=True)
    seen = []

    def why_not(person, others):
        seen.extend(other["bbox"] for other in others)

    coco.coco_pictures(source, coco_files.read_pictures(source), why_not)
    assert seen == [None]


def test_a_few_annotations_of_unlisted_images_cost_themselves(tmp_path):
    people = [PERSON | {"id": k, "keypoints": [k, 6, 2]} for k in range(1, 12)]
    write(tmp_path, *people[:9], people[9] | {"image_id": 7})
    source = CocoFile(tmp_path / "val.json", tmp_path, 1)
    (unit,) = coco.coco_units(source, tmp_path / "data", "val", "val")
    sequence = coco.coco_sequence(source, tmp_path / "data", unit)
    assert sequence.dropped == {coco_files.UNLISTED: 1}
    write(tmp_path, *people[:9], people[9] | {"image_id": 7}, people[10] | {"image_id": 7})
    message = "annotation 10 belongs to image 7, which is not listed; there are 2 such of 11"
    with pytest.raises(CorruptInput, match=message):
        coco_files.read_pieces(source, tmp_path / "data")


def test_a_file_in_which_nobody_is_labelled_is_another(tmp_path):
    write(tmp_path, PERSON | {"keypoints": [0, 0, 0]})
    with pytest.raises(CorruptInput, match="no labelled key point in 1 annotations"):
        coco_files.read_pieces(CocoFile(tmp_path / "val.json", tmp_path, 1), tmp_path / "data")


@pytest.mark.parametrize("stated", [(64, 48), (48, 64), (64, 64), (128, 96), (None, "?")])
def test_sizes_may_be_exchanged_and_nothing_else(tmp_path, stated):
    write(tmp_path, PERSON, width=stated[0], height=stated[1])
    source = CocoFile(tmp_path / "val.json", tmp_path, 1, sizes_of_files="exchanged")
    (picture,) = coco.coco_pictures(source, coco_files.read_pictures(source))
    is_that = {*stated} == {64, 48}
    assert [p.left_out for p in picture.people] == [None if is_that else coco.OTHER_PICTURE]


def test_who_is_annotated_twice_is_one_person(tmp_path):
    write(tmp_path, PERSON, PERSON | {"id": 5}, PERSON | {"id": 6, "keypoints": [0, 0, 0]},
          PERSON | {"id": 7, "keypoints": [0, 0, 0]})  # fmt: skip
    source = CocoFile(tmp_path / "val.json", tmp_path, 1)
    (picture,) = coco.coco_pictures(source, coco_files.read_pictures(source))
    none = coco_people.UNLABELLED
    assert [p.left_out for p in picture.people] == [None, coco.TWICE, none, none]
    assert picture.people[1].bbox is None


def test_visibilities_of_another_form_are_refused(tmp_path):
    def people(n):
        odd = [PERSON | {"id": k, "keypoints": [k, 6, 3]} for k in range(n)]
        return [*odd, *(PERSON | {"id": k, "keypoints": [k, 6, 1]} for k in range(n, 40))]

    write(tmp_path, *people(10))
    read(tmp_path, n_joints=1)
    write(tmp_path, *people(11))
    message = "a visibility other than 0, 1, 2 in 11 of 40 annotations; is it a file of another"
    with pytest.raises(CorruptInput, match=message):
        read(tmp_path, n_joints=1)


def test_a_photograph_is_labelled_in_one_phase(tmp_path):
    write(tmp_path, PERSON)
    (tmp_path / "train.json").write_bytes((tmp_path / "val.json").read_bytes())
    root = tmp_path / "data"

    def files(root, options):
        return {p: (CocoFile(tmp_path / f"{p}.json", tmp_path, 1), p) for p in ("train", "val")}

    list_units, _, _ = coco.coco_recipe(files, lambda *_: None)
    with pytest.raises(CorruptInput, match=r"1\.jpg: its labels are in train and in val"):
        list(list_units(root, None))


def test_what_is_empty_hides_nothing(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "1.jpg").touch()
    (tmp_path / "new.json").touch()
    (tmp_path / "old.json").write_text("{}")
    for suffix in ("", ".json"):
        places = [tmp_path / f"{name}{suffix}" for name in ("none", "new", "old")]
        assert coco_places.first_there(places) == places[2]
        assert coco_places.first_there(places[:2]) == places[1]
        assert coco_places.first_there(places[:1]) == places[0]


def test_joints_and_boxes_are_in_the_pictures(tmp_path):
    write(tmp_path, PERSON, PERSON | {"id": 5, "bbox": [40, 2, 30, 40], "keypoints": [9, 6, 2]})
    source = CocoFile(tmp_path / "val.json", tmp_path, 1)
    (unit,) = coco.coco_units(source, tmp_path / "data", "val", "val")
    sequence = coco.coco_sequence(source, tmp_path / "data", unit)
    found = coco_places.check_inside(sequence, source.path, 0.2).checks
    assert found == {"beyond_border": pytest.approx(1 / 6)}
    assert coco_places.check_inside(sequence, source.path, 0, boxes=False).checks == {
        "beyond_border": 0
    }
    with pytest.raises(CorruptInput, match=r"16\.7% of joints and boxes beyond the border"):
        coco_places.check_inside(sequence, source.path, 0.16)


@pytest.mark.parametrize("box", [[1, 2, 0, 40], [1, 2, 30, -5]])
def test_a_box_has_width_and_height(tmp_path, box):
    write(tmp_path, PERSON | {"bbox": box}, GOOD)
    person, _ = read(tmp_path, n_joints=1)["people"]
    assert person["fault"] == "box without width or height"
