"""From declared facts to units and sequences; COCO-like files: test_coco.py."""

import json
import weakref
from pathlib import Path

import deltacamera
import numpy as np
import pytest
import rlemasklib

from posepile.errors import CorruptInput
from posepile.formats.derived import derived_folder
from posepile.recipe import Stills, Track, Unit, Video
from posepile.run.listing import open_units
from posepile.shapes.coco import coco_sequence, coco_units
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.multiview import joints_outside_boxes, view_sequence
from posepile.shapes.silhouettes import joints_outside_mask
from posepile.shapes.stills import (
    Person,
    Picture,
    masked_person,
    picture_sequence,
    picture_units,
    unlabelled_sequence,
    unlabelled_units,
)
from posepile.shapes.units import UNLABELLED, Rows, make_unit, same_count, unit_files, view_units

SIZE = (640, 480)
UNIT = Unit("s1/walk/left", "train", ())
VIDEO = Video(Path("left.mp4"), n_frames=4, size=SIZE)


def camera(x=0.0):
    return deltacamera.Camera(
        intrinsic_matrix=[[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], optical_center=[x, 0, 0]
    )


def joints(n=4, at=(0, 0, 4000)):
    """``[n, 3, 3]``: three joints, 100 mm apart, moving to the right."""
    pose = np.array([[0, -100, 0], [0, 0, 0], [0, 100, 0]], float) + at
    return np.stack([pose + np.array([50 * k, 0, 0]) for k in range(n)]).astype(np.float32)


def person(n=4, **more):
    return Track(np.arange(n), world_coords=joints(n), **more)


# ---------------------------------------------------------------- units


def test_files_keep_their_names_through_the_list_of_units(tmp_path):
    """The list is JSON with sorted keys; names must not be mixed up on the way."""
    root = tmp_path / "set"
    root.mkdir()
    (root / "l.mp4").touch()
    views = {"l": {"video": root / "l.mp4"}, "r": {"video": root / "r.mp4"}}
    shared = {"joints": root / "j.npy", "masks": [root / "0.png", root / "1.png"], "extra": []}
    made = list(view_units("s1", "val", views, shared, subject=3))
    listed = open_units(
        tmp_path / "units.sqlite", "key", root, lambda *_: iter(made), None, name="x"
    )
    back = [row.unit(root) for row in listed.rows(range(2))]
    assert [unit.id for unit in back] == ["s1/l", "s1/r"]
    assert [unit.args["view"] for unit in back] == ["l", "r"] and back[0].args["subject"] == 3
    expected = {"joints": root / "j.npy", "masks": (root / "0.png", root / "1.png"), "extra": ()}
    assert unit_files(back[1]) == {"video": root / "r.mp4", **expected}


def test_a_file_that_may_be_missing_is_among_the_others_where_it_is_there(tmp_path):
    files = {"video": tmp_path / "a.mp4", "pixels?": tmp_path / "a.npy"}
    assert list(unit_files(make_unit("a", "train", files))) == ["video"]
    (tmp_path / "a.npy").touch()
    unit = make_unit("a", "train", files)
    assert unit_files(unit)["pixels"] == unit.inputs[1] == tmp_path / "a.npy"


def test_counts_that_differ_are_refused_with_both_numbers():
    assert same_count({"a": 3}) == same_count({"a": 3, "b": 3}) == 3
    with pytest.raises(CorruptInput, match=r"b\.csv: found 4 boxes; expected 3, as in a\.npy"):
        same_count({Path("a.npy"): 3, Path("b.csv"): 4}, "boxes")


# ---------------------------------------------------------------- multi-view


def test_frames_without_any_joint_are_left_out_and_counted():
    track = person(bbox=np.arange(16.0).reshape(4, 4), activity=list("abcd"), mask=lambda k: k)
    track.world_coords[1] = np.nan
    track.world_coords[2, 0] = np.nan
    sequence = view_sequence(UNIT, VIDEO, camera(), [track], dropped={"dark": 2, "none": 0})
    (kept,) = sequence.tracks
    assert kept.frames.tolist() == [0, 2, 3] and kept.activity == ["a", "c", "d"]
    assert kept.bbox[:, 0].tolist() == [0, 8, 12] and [kept.mask(k) for k in range(3)] == [0, 2, 3]
    assert sequence.dropped == {"no joint known": 1, "dark": 2}
    assert sequence.id == UNIT.id and sequence.split == "train"
    assert len(track.frames) == 4, "the track is that of other views, too"


def test_names_have_the_person_where_there_are_several():
    alone = view_sequence(UNIT, VIDEO, camera(), [person()])
    assert alone.image_name(7, 0) == "s1/walk/left/000007.jpg"
    two = view_sequence(UNIT, VIDEO, camera(), [person(), person(person=1)], id="x")
    assert two.image_name(7, 1) == "x/000007_01.jpg"


def test_joints_outside_their_box_are_measured():
    # 500 / 4000 px per mm: joints at 319.5, 227 to 252
    box = np.tile([318.5, 227.0, 20, 15], (4, 1))
    box[:, 0] += np.arange(4) * 6.25
    sequence = view_sequence(UNIT, VIDEO, camera(), [person(bbox=box)], checks={"other": 1.0})
    assert sequence.checks["joints_outside_box_px"] == pytest.approx(252 - 242, abs=0.01)
    assert sequence.checks["other"] == 1
    # One camera moves along with the person, who stays in the same pixels.
    moving = {0: camera(), 1: camera(50), 2: None, 3: camera(150)}.get
    narrow = person(bbox=np.tile([318.5, 227.0, 2, 30], (4, 1)))
    checks = view_sequence(UNIT, VIDEO, moving, [narrow]).checks
    assert checks["joints_outside_box_px"] == 0
    checks = view_sequence(UNIT, VIDEO, camera(), [narrow]).checks
    assert checks["joints_outside_box_px"] == pytest.approx(338.25 - 320.5, abs=0.01)


def test_boxes_that_are_read_when_asked_for_are_compared_in_some_frames():
    asked = []

    def box(k):
        asked.append(k)
        return np.array([300, 200, 700, 100 if k < 90 else 20])

    track = person(100, bbox=Rows(range(100), box))
    far = joints_outside_boxes("boxes.mat", track, camera(), limit=0.1)
    assert len(asked) <= 11 and asked[0] == 0 and asked[-1] >= 90
    assert far == pytest.approx(239.5 + 12.5 - 220, abs=0.1)
    assert joints_outside_boxes("boxes.mat", track, camera(), joints=slice(0, 1)) < far
    with pytest.raises(CorruptInput, match=r"boxes\.mat: point 2 projects 32 px outside"):
        joints_outside_boxes("boxes.mat", track, camera(), limit=0.04)


def test_joints_outside_the_mask_are_counted_in_every_third():
    # 500 / 4000 px per mm: joints at 227, 239.5 and 252, the middle one between two parts
    masks = np.zeros((9, *SIZE[::-1]), np.uint8)
    for k in range(9):
        left = 314 + int(6.25 * k)
        masks[k, 220:230, left : left + 12] = masks[k, 250:255, left : left + 12] = 1
    asked = []

    def mask(k):
        asked.append(k)
        if k == 3:
            raise CorruptInput("3.png", "not a readable picture")
        return None if k == 6 else rlemasklib.encode(masks[k] * (k != 0))

    def share(limit=1.0, by=None, **more):
        asked.clear()
        track = Track(np.arange(9), world_coords=joints(9), mask=mask)
        return joints_outside_mask("masks", track, by or camera(), limit, **more)

    assert share() == pytest.approx(1 / 3)
    assert asked == [0, 1, 3, 4, 6, 7], "an empty, a damaged and a missing one are passed over"
    assert share(joints=slice(1)) == 0
    # A joint outside the picture is outside the mask; the camera may move.
    assert share(by=camera(3000)) == 1
    assert share(by=lambda k: camera(3000 * (k > 6))) == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)
    assert share(by=lambda k: camera() if k > 6 else None) == pytest.approx(1 / 3)
    with pytest.raises(CorruptInput, match=r"masks: 33% of the joints .* at most 30%: .*; do it"):
        share(0.3, hint="do it")
    partly = Track(
        np.arange(1), world_coords=joints(1), mask=lambda k: rlemasklib.encode(masks[0])
    )
    partly.world_coords[0, 1] = np.nan, 0, 0  # missing: does not count
    assert joints_outside_mask("masks", partly, camera(), 0) == 0
    partly.world_coords[0, 1] = 3000, 0, 4000  # outside the picture
    assert joints_outside_mask("masks", partly, camera(), 1) == pytest.approx(1 / 3)
    nothing = Track(np.arange(0), world_coords=joints(1)[:0], mask=mask)
    assert joints_outside_mask("masks", nothing, camera(), 0.1) == 0


def test_masks_that_are_black_or_white_do_not_pass():
    def share(values, limit=1.0, at=(0, 0, 4000)):
        masks = [np.full(SIZE[::-1], value, np.uint8) for value in values]
        track = Track(np.arange(len(values)), world_coords=joints(len(values), at))
        track.mask = lambda k: rlemasklib.encode(masks[k])
        return joints_outside_mask("masks", track, camera(), limit)

    assert share([0] * 9) == 1
    assert share([0] * 9, at=(9000, 0, 4000)) == 0, "nobody is before the camera"
    with pytest.raises(CorruptInput, match="100% .* at most 90%: all masks are empty"):
        share([0] * 9, 0.9)
    assert share([1] * 9) == 1
    with pytest.raises(CorruptInput, match="at most 90%: masks are much larger than the people"):
        share([1] * 9, 0.9)
    assert share([1], at=(0, 0, 150)) == pytest.approx(2 / 3), "somebody fills the picture"
    assert share([1, 0, 0]) == 1, "only masks that are there count, if there is one"


def test_people_out_of_the_picture_are_judged_after_selection():
    track = person()
    track.world_coords[:, :, 0] += np.array([0, 0, 2560, 2570])[:, None]  # 320 px is the border
    track.world_coords[1, 0, 0] += 2560  # and two are left
    (kept,) = view_sequence(UNIT, VIDEO, camera(), [track], min_joints_inside=2).tracks
    assert len(kept.frames) == 4
    reasons = [kept.unusable(k) for k in range(4)]
    assert reasons == [None, None, *["fewer than 2 joints inside the picture"] * 2]
    (kept,) = view_sequence(
        UNIT, VIDEO, {0: camera(), 3: camera(2500)}.get, [track], min_joints_inside=2
    ).tracks
    assert [kept.unusable(k) for k in range(4)] == [None] * 4, "no camera is another matter"
    own = person(unusable=lambda k: "dark" if k == 1 else None)
    (kept,) = view_sequence(UNIT, VIDEO, camera(), [own], min_joints_inside=2).tracks
    assert kept.unusable(1) == "dark" and kept.unusable(0) is None


@pytest.mark.parametrize(
    ("track", "message"),
    [
        (person(bbox=np.zeros((3, 4))), "left.mp4: person 0: found 3 bbox; expected 4"),
        (person(5), r"left.mp4: found 4 frames; expected at least 5: person 0 .* frame 4"),
    ],
)
def test_counts_of_a_view_that_differ_are_refused(track, message):
    with pytest.raises(CorruptInput, match=message):
        view_sequence(UNIT, VIDEO, camera(), [track])


def test_rows_that_are_read_when_asked_for_stay_so():
    asked = []

    class Boxes:
        def __len__(self):
            return 4

        def __getitem__(self, k):
            asked.append(k)
            return np.full(4, k)

    track = person(bbox=Boxes())
    track.world_coords[[0, 2]] = np.nan
    (chosen,) = view_sequence(UNIT, VIDEO, camera(), [track]).tracks
    assert len(chosen.bbox) == 2 and asked == []
    assert chosen.bbox[1].tolist() == [3] * 4 and asked == [3]


# ---------------------------------------------------------------- pictures


def pictures(*people_of):
    return [Picture(Path(f"p{i}.jpg"), SIZE, people) for i, people in enumerate(people_of)]


def test_people_become_tracks_by_their_index():
    pose = joints(1)[0]
    sequence = picture_sequence(
        Unit("train/000040", "train", ()),
        pictures(
            [Person(0, pose, bbox=[1, 2, 3, 4]), Person(1, pose, left_out="crowd")],
            [Person(1, pose + 1, bbox=lambda: [5, 6, 7, 8], activity="run")],
            [Person(0, activity="sit"), Person(2, left_out="crowd")],
        ),
        dropped={"elsewhere": 2},
    )
    first, second = sequence.tracks
    assert first.person == 0 and first.frames.tolist() == [0, 2]
    assert second.person == 1 and second.frames.tolist() == [1] and second.activity == "run"
    assert np.isnan(first.world_coords[1]).all() and np.isnan(first.bbox[1]).all()
    assert first.activity == ["unknown", "sit"]
    np.testing.assert_array_equal(second.bbox[0], [5, 6, 7, 8])
    assert sequence.dropped == {"crowd": 2, "elsewhere": 2}
    assert sequence.image_name(2, 1) == "train/p2_01.jpg" and sequence.camera is None
    assert isinstance(sequence.frames, Stills) and sequence.frames.sizes == (SIZE,) * 3


def test_a_note_is_of_the_people_whom_it_is_about():
    def noted(*notes):
        pictures = [
            Picture(Path(f"{i}.jpg"), SIZE, [Person(0, world_coords=np.ones((3, 3)), note=note)])
            for i, note in enumerate(notes)
        ]
        (unit,) = picture_units("val", "val", [picture.path for picture in pictures], {})
        (track,) = picture_sequence(unit, pictures).tracks
        return track.note

    assert noted("", "") == "" and noted("no body", "no body") == "no body"
    assert noted("no body", "", "no fit") == ["no body", "", "no fit"]


def test_pictures_that_no_annotation_names_are_counted_or_refused(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg", "._3.jpg", "mask_1.jpg"):
        (tmp_path / name).touch()
    labelled = [tmp_path / "1.jpg", tmp_path / "absent.jpg"]
    given = tmp_path, "val", r"\d\.jpg", labelled
    (unit,) = unlabelled_units(*given, 0.7)
    sequence = unlabelled_sequence(unit)
    assert sequence.split == "val" and sequence.dropped == {UNLABELLED: 2}
    with pytest.raises(CorruptInput, match=r"2\.jpg: .* 1 others of 3 .*at most 50%"):
        list(unlabelled_units(*given, 0.5))
    labelled += [tmp_path / "2.jpg", tmp_path / "3.jpg"]
    assert list(unlabelled_units(*given, 0)) == []


def test_a_mask_is_not_held_as_a_picture():
    mask = np.zeros((480, 640), bool)
    mask[100:140, 200:260] = True
    held = weakref.ref(mask)
    person = masked_person(0, mask)
    del mask
    assert held() is None
    assert rlemasklib.area(person.mask()) == 40 * 60
    assert person.bbox.tolist() == [199.5, 99.5, 60, 40]
    assert masked_person(0, np.zeros((9, 9), bool), min_side=5).left_out == "no pixel in the mask"
    assert masked_person(0, np.ones((9, 9), bool), left_out="hidden").left_out == "hidden"


def test_every_picture_may_have_a_camera():
    found = pictures([Person(0, joints(1)[0])], [])
    found[1].camera = camera(10)
    sequence = picture_sequence(UNIT, found)
    assert sequence.camera(0) is None and sequence.camera(1).t[0] == 10


def test_an_index_is_there_once():
    with pytest.raises(CorruptInput, match=r"p1\.jpg, frame 1: found two people of index 3"):
        picture_sequence(UNIT, pictures([], [Person(3), Person(3, left_out="x")]))


def test_pictures_are_cut_into_units():
    paths = [Path(f"{i}.jpg") for i in range(5)]
    units = list(picture_units("val", "val", paths, {"labels": Path("l.json")}, size=2, part=9))
    assert [u.id for u in units] == ["val/000000", "val/000002", "val/000004"]
    assert [u.args["first"] for u in units] == [0, 2, 4] and units[0].args["part"] == 9
    assert unit_files(units[1]) == {"pictures": tuple(paths[2:4]), "labels": Path("l.json")}


# ---------------------------------------------------------------- COCO-like files


def coco_file(root, annotations, **facts):
    root.mkdir(exist_ok=True)
    images = [{"id": 3, "file_name": "a.jpg", "width": 640, "height": 480}]
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "person"}]
    path = root / "labels.json"
    path.write_text(json.dumps(content))
    return CocoFile(path, root / "pictures", 2, **facts)


def only_sequence(source, root, **more):
    (unit,) = coco_units(source, root, "val", "val")
    return coco_sequence(source, root, unit, **more)


BARE = {"id": 1, "image_id": 3, "category_id": 1, "keypoints": [5, 6, 2, 7, 8, 0]}


def test_annotations_may_lack_box_mask_and_crowd(tmp_path):
    root = tmp_path / "set"
    optional = ("bbox", "segmentation", "iscrowd")
    sequence = only_sequence(coco_file(root, [BARE], optional=optional), root)
    (track,) = sequence.tracks
    assert track.bbox is None and track.mask is None
    np.testing.assert_array_equal(track.image_coords[0], [[5, 6], [np.nan, np.nan]])
    with pytest.raises(CorruptInput, match="annotation 1: lacks iscrowd, segmentation"):
        only_sequence(coco_file(root, [BARE], optional=("bbox",)), root)


def test_other_spellings_numbers_and_keys(tmp_path):
    root, optional = tmp_path / "set", ("bbox", "segmentation", "keypoints")
    people = [
        BARE | {"keypoints": [5, 6, 0.4, 7, 8, -0.1], "is_crowd": 0, "track_id": 12},
        BARE | {"id": 2, "is_crowd": 1},
        {k: v for k, v in BARE.items() if k != "keypoints"} | {"id": 4, "is_crowd": 0},
        BARE | {"id": 5, "category_id": 7, "is_crowd": 0},
    ]
    facts = {"optional": optional, "crowd_key": "is_crowd", "more": ("track_id",)}
    source = coco_file(root, people, visibility=None, **facts)
    more = lambda person, image: {"activity": f"{person['track_id']}"} if person["id"] == 1 else {}
    sequence = only_sequence(source, root, more=more)
    (track,) = sequence.tracks
    assert track.activity == "12" and track.frames.tolist() == [0]
    assert sequence.dropped == {"crowd region": 1, "no key point labelled": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": None}, r"annotation 1: lacks keypoints \(1 such\)"),
        ({"bbox": "wide"}, r"annotation 1: box is not four finite numbers"),
        ({"keypoints": [[1, 2, 2], [3, 4, 2]]}, "annotation 1: key points are not 6 finite"),
        ({"image_id": 9}, "annotation 1 belongs to image 9"),
    ],
)
def test_a_file_of_nothing_but_malformed_annotations_is_refused(tmp_path, change, message):
    root = tmp_path / "set"
    person = BARE | {"bbox": [1, 2, 3, 4], "segmentation": [], "iscrowd": 0} | change
    with pytest.raises(CorruptInput, match=message):
        only_sequence(coco_file(root, [person]), root)


def test_what_is_derived_is_made_once_for_a_content(tmp_path):
    source, made = tmp_path / "huge.json", []
    source.write_text("1")

    def make(folder):
        made.append(source.read_text())
        (folder / "copy").write_text(source.read_text())

    def derived(**more):
        return (derived_folder([source], tmp_path / "work", make, **more) / "copy").read_text()

    assert [derived(), derived()] == ["1", "1"] and made == ["1"]
    source.write_text("22")
    assert derived() == "22"
    source.write_text("1")
    assert derived() == "1" and made == ["1", "22"], "the content is known"
    assert derived(version=2) == "1" and len(made) == 3
    source.unlink()
    with pytest.raises(CorruptInput, match=r"huge\.json: cannot be read"):
        derived()
    source.mkdir()
    with pytest.raises(CorruptInput, match=r"huge\.json: cannot be read: Is a directory"):
        derived()


def test_another_process_may_derive_at_the_same_time(tmp_path):
    """File systems without locks: the folder of the faster one is taken."""
    source, place = tmp_path / "huge.json", tmp_path / "work"
    source.write_text("1")

    def make(folder):
        (folder / "copy").write_text("slow")
        faster = place / folder.name.rsplit(".", 2)[0].removeprefix(".")
        faster.mkdir()
        (faster / "copy").write_text("fast")

    made = derived_folder([source], place, make)
    assert (made / "copy").read_text() == "fast"
    assert [p.name for p in place.iterdir() if p.is_dir()] == [made.name]
