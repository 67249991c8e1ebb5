"""Everybody in a frame is known when a crop is segmented, example or not."""

import shutil
import sys

import barecat
import cv2
import deltacamera
import fake_dataset
import numpy as np
import pytest
import rlemasklib

from posepile.ds.coco import main as coco
from posepile.errors import CorruptInput
from posepile.joint_info import JointInfo
from posepile.models.params import DetectParams, SegmentParams
from posepile.recipe import Bystander, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.run import pack
from posepile.shapes.stills import Person, Picture, picture_sequence
from posepile.stages import crop, segment
from posepile.stages.boxes import BoxParams
from posepile.stages.detections import Detections
from posepile.stages.exclusions import Exclusion
from posepile.stages.neighbours import Neighbour, from_arrays, to_arrays
from posepile.stages.plausible import CheckParams
from posepile.stages.select import SelectParams
from posepile.stages.task import StageParams, Task
from posepile.store import parts

fake = fake_dataset.fake  # the fixture

SIZE = (640, 480)
JOINTS = JointInfo("head,pelv,lank,rank", "head-pelv,pelv-lank,pelv-rank")
FIGURE = np.array([[0, -90], [0, 0], [-30, 100], [30, 100]], np.float32)
NAN = float("nan")


def at(x, y=230):
    return FIGURE + np.float32([x, y])


def around(joints):
    low, high = joints.min(axis=0) - 15, joints.max(axis=0) + 15
    return np.float32([[*low, *(high - low)]])


def person_2d(index, joints, **more):
    found = {"image_coords": joints[None], "bbox": around(joints), "one_person": False, **more}
    return Track(np.arange(1), index, **found)


def mask_of(x, y, w, h):
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[y : y + h, x : x + w] = 1
    return rlemasklib.encode(mask)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "0.jpg"
    cv2.imwrite(str(path), np.full((*SIZE[::-1], 3), 90, np.uint8))
    return path


@pytest.fixture
def asked(monkeypatch):
    """What the segmenter is told: its arguments, by example."""
    calls = []

    class Spy:
        label = "spy"

        def __call__(self, image, box, joints, others, edges, *, taken=None):
            calls.append((image, box, joints, others, taken))

    monkeypatch.setattr(segment, "cached_segmenter", lambda params: Spy())
    return calls


def parameters(**more):
    sections = {"select": SelectParams(method="none"), "check": CheckParams(enabled=False)}
    return StageParams(**{**sections, "segment": SegmentParams(model="grabcut"), **more})


def crop_and_segment(out, sequence, params, *, kind="2d", exclusions=(), detections=None):
    """Crops, then segments from the part alone."""
    spec = DatasetSpec("made", JOINTS, "made", kind=kind)
    first = Task(
        spec, lambda: [sequence], params, list(exclusions), out / "crop.part",
        detections=detections, describe=lambda ids: {"sequences": ids},
    )  # fmt: skip
    crop.run(first)

    def nothing():
        raise AssertionError("the annotations are not at hand")

    second = Task(spec, nothing, params, [], out / "segment.part", source=out / "crop.part")
    segment.run(second)
    return first


def sequence_2d(picture, tracks, **more):
    name = lambda frame, person: f"a/{frame}_{person}.jpg"
    return Sequence("a", "val", Stills((picture,), (SIZE,)), None, tracks, name, **more)


LEFT_OUT = {
    "excluded": dict(exclusion=Exclusion(sequence="*", person=1, reason="known", source="here")),
    "unusable": dict(track=dict(unusable=lambda k: "no image in this view")),
    "implausible": dict(track=dict(mask=lambda k: mask_of(5, 5, 20, 20)), check=True),
    "without a box": dict(track=dict(bbox=np.full((1, 4), NAN, np.float32))),
    "with a damaged box": dict(damaged=True),
    "small": dict(min_side=235),
    "by the recipe": dict(bystander=True),
}


@pytest.mark.parametrize("why", LEFT_OUT)
def test_who_becomes_no_example_is_known_all_the_same(tmp_path, picture, asked, why):
    case, me, other = LEFT_OUT[why], at(300), at(380)
    me[3] += [0, 40]  # larger than the other
    tracks, more = [person_2d(0, me)], {}
    if case.get("bystander"):
        more["bystanders"] = {0: [Bystander(image_coords=other)]}
    else:
        tracks.append(person_2d(1, other, **case.get("track", {})))
    if case.get("damaged"):
        tracks[1].unusable = lambda k: "damaged"
        tracks[1].bbox = Damaged()
    params = parameters(
        check=CheckParams(enabled=case.get("check", False)),
        box=BoxParams(min_side=case.get("min_side", 0)),
    )
    sequence = sequence_2d(picture, tracks, **more)
    exclusions = [case["exclusion"]] if "exclusion" in case else []
    crop_and_segment(tmp_path, sequence, params, exclusions=exclusions)
    ((_, _, mine, others, taken),) = asked
    (found,) = others
    scale = np.linalg.norm(mine[1] - mine[0]) / 90
    assert found == pytest.approx(mine[1] + scale * (other - me[1]), abs=0.6)
    assert taken is None


class Damaged:
    """Boxes whose file cannot be read."""

    def __len__(self):
        return 1

    def __getitem__(self, k):
        raise CorruptInput("boxes.csv", "damaged")


def test_who_was_not_selected_is_known(tmp_path, picture, asked):
    """One walks, the other stands: of the second frame on, only the first is an example."""
    world = np.float32([[0, -800, 4000], [0, 0, 4000], [-300, 900, 4000], [300, 900, 4000]])
    steps = np.float32([[0, 0, 0], [300, 0, 0], [600, 0, 0]])[:, None]
    camera = deltacamera.Camera(
        intrinsic_matrix=[[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], world_up=(0, -1, 0)
    )
    tracks = []
    for index, places in enumerate((world + steps - [400, 0, 0], np.stack([world] * 3))):
        pixels = places[..., :2] / places[..., 2:] * 500 + [319.5, 239.5]
        boxes = np.concatenate([around(p) for p in pixels])
        tracks.append(Track(np.arange(3), index, world_coords=np.float32(places), bbox=boxes))
    name = lambda frame, person: f"a/{frame}_{person}.jpg"
    stills = Stills((picture,) * 3, (SIZE,) * 3)
    sequence = Sequence("a", "val", stills, camera, tracks, name)
    params = parameters(select=SelectParams(method="last"))
    crop_and_segment(tmp_path, sequence, params, kind="3d")
    assert [len(others) for *_, others, _ in asked] == [1, 1, 1, 1]
    (_, _, mine, (other,), _) = asked[-1]
    scale = np.linalg.norm(mine[1] - mine[0]) / 100  # pelvis to head in the frame
    assert mine[1, 0] - other[1, 0] == pytest.approx(scale * 25, abs=1.0)


def test_whose_joints_are_unknown_is_known_by_box_and_mask(tmp_path, picture, asked):
    """A box stands in for joints, the pixels of a group are taken; far ones do not count."""
    bystanders = [
        Bystander(bbox=[340, 120, 60, 220]),
        Bystander(mask=lambda: mask_of(220, 100, 30, 100)),
        Bystander(bbox=[600, 10, 20, 40], mask=lambda: mask_of(600, 10, 20, 40)),
        Bystander(image_coords=np.full((4, 2), NAN)),
    ]
    me = at(300)
    sequence = sequence_2d(picture, [person_2d(0, me)], bystanders={0: bystanders})
    crop_and_segment(tmp_path, sequence, parameters())
    ((image, _, mine, (stand_in,), taken),) = asked
    scale = np.linalg.norm(mine[1] - mine[0]) / 90
    assert np.ptp(stand_in[:, 0]) == 0
    assert stand_in.mean(axis=0) == pytest.approx(
        mine[1] + scale * np.array([370 - 300, 230 - 230]), abs=1.0
    )
    assert taken.shape == image.shape[:2]
    y, x = np.argwhere(taken).mean(axis=0)
    assert [x, y] == pytest.approx(mine[1] + scale * np.array([234.5 - 300, 149.5 - 230]), abs=1)
    assert taken.sum() == pytest.approx(3000 * scale**2, rel=0.05)


def test_whom_only_a_detector_has_seen_is_known(tmp_path, picture, asked):
    me = at(300)
    boxes = np.float32([
        [*around(me)[0], 0.9],  # the person, a part of the person, and somebody else
        [285, 130, 30, 60, 0.6],
        [360, 120, 60, 220, 0.8],
    ])  # fmt: skip
    params = parameters(
        box=BoxParams(source="detect"), detect=DetectParams(model="any", min_joints_inside=4)
    )
    sequence = sequence_2d(picture, [person_2d(0, me)])
    found = Detections("any", {0: {0: boxes}})
    crop_and_segment(tmp_path, sequence, params, detections=found)
    ((_, _, mine, (stranger,), _),) = asked
    assert stranger[:, 0].mean() - mine[1, 0] > 50


def test_an_annotation_made_twice_is_nobody_else(tmp_path, picture, asked):
    me = at(300)
    sequence = sequence_2d(picture, [person_2d(0, me)], bystanders={0: [Bystander(None, me)]})
    crop_and_segment(tmp_path, sequence, parameters())
    ((_, _, _, others, _),) = asked
    assert others == []


def test_who_is_left_out_of_coco_is_known_to_be_there(raw_miniature):
    """With joints, box and mask as far as they are annotated; of a group only the mask."""
    root, options = raw_miniature("coco"), coco.Options()
    units = coco.list_units(root, options)
    ((train,), (val,)) = (coco.load_unit(root, unit, options) for unit in units)
    assert {frame: len(there) for frame, there in train.bystanders.items()} == {0: 1, 1: 2}
    (small,) = train.bystanders[0]
    assert np.isfinite(small.image_coords).all() and small.bbox[3] > 0
    assert rlemasklib.area(small.mask()) > 0
    group, far = val.bystanders[0]
    assert group.bbox is None and far.bbox is not None
    assert np.isnan(group.image_coords).all() and np.isnan(far.image_coords).all()
    assert rlemasklib.area(group.mask()) > rlemasklib.area(far.mask()) > 0


def test_pictures_pass_on_whom_the_recipe_leaves_out(picture):
    unit = Unit("val/000000", "val", (picture,))
    kept = Person(0, image_coords=at(300), bbox=around(at(300))[0])
    out = Person(1, image_coords=at(380), bbox=around(at(380))[0], left_out="few joints")
    sequence = picture_sequence(unit, [Picture(picture, SIZE, [kept, out])])
    ((frame, (bystander,)),) = sequence.bystanders.items()
    assert frame == 0
    assert np.array_equal(bystander.image_coords, at(380))
    assert [track.person for track in sequence.tracks] == [0]


def test_who_has_a_mask_needs_no_neighbours(tmp_path, picture, asked):
    """Their part is as small as it was."""
    me = person_2d(0, at(300), mask=lambda k: mask_of(255, 125, 90, 220))
    sequence = sequence_2d(picture, [me, person_2d(1, at(380), unusable=lambda k: "so")])
    crop_and_segment(tmp_path, sequence, parameters())
    assert asked == [] and parts.read_between(tmp_path / "crop.part") == {}


def test_neighbours_are_small_and_come_back():
    mask = {"size": [100, 80], "counts": rlemasklib.encode(np.eye(100, 80, dtype=np.uint8))}
    mask = mask["counts"]
    joints = np.float32([[10.5, 20.25], [NAN, NAN]])
    box = np.float32([1, 2, 30, 40])
    rows = [[], [Neighbour(joints, box), Neighbour(joints + 1, np.full(4, NAN), mask)], []]
    arrays = to_arrays(rows)
    assert sum(a.nbytes for n, a in arrays.items() if n != "neighbours_mask") == 8 + 2 * (20 + 8)
    back = from_arrays(arrays, [(90, 70), (100, 80), (60, 60)])
    assert [len(people) for people in back] == [0, 2, 0]
    first, second = back[1]
    assert np.array_equal(first.joints, joints, equal_nan=True)
    assert np.array_equal(first.bbox, box) and first.mask is None
    assert np.isnan(second.bbox).all() and second.mask == mask
    assert to_arrays([[], []]) == {} and from_arrays({}, [(1, 1)]) == [[]]


def test_stages_one_by_one_give_the_bytes_of_one_pass_and_no_archive_has_neighbours(
    fake, monkeypatch
):
    """Of each frame's two people one is selected; the other is in the parts of crops alone."""
    load_alone = fake_dataset.load_unit

    def load_with_another(root, unit, options):
        (sequence,) = load_alone(root, unit, options)
        joints = sequence.tracks[0].world_coords
        sequence.bystanders = {k: [Bystander(joints[k] + [400, 0, 0])] for k in range(len(joints))}
        return [sequence]

    monkeypatch.setattr(sys.modules["posepile.ds.fake.main"], "load_unit", load_with_another)
    segmented = "segment.model=grabcut"
    fake_dataset.process_and_pack(fake, segmented)
    whole = fake_dataset.packed_bytes(fake)
    between = parts.read_between(fake_dataset.part_of(fake_dataset.a_run(fake), "crop", "seq0"))
    assert len(between["neighbours_row"]) == 4
    for path in [*fake.glob("fake.barecat*"), fake / "cache" / "fake.pkl"]:
        path.unlink()
    shutil.rmtree(fake / "fake_work")
    for stage in ("crop", "segment"):
        fake_dataset.states(fake_dataset.a_run(fake, segmented), (stage,))
    pack.pack(fake_dataset.a_run(fake, segmented))
    assert fake_dataset.packed_bytes(fake) == whole
    fake_dataset.process_and_pack(
        fake, "segment.model=none"
    )  # packs the parts of crops themselves
    with barecat.Barecat(str(fake / "fake.barecat")) as archive:
        assert not [name for name in archive if "neighbours" in name]
        assert [name for name in archive if name.startswith("table/")]


def test_a_box_that_reaches_far_beyond_the_crop_still_covers_it():
    person = Neighbour(np.full((3, 2), np.nan), np.array([-4e4, -10, 8e4, 9e4]))
    ((found,),) = from_arrays(to_arrays([[person]]), [(100, 100)])
    x, y, w, h = found.bbox
    assert np.isfinite(found.bbox).all()
    assert x < 0 and y < 0 and x + w > 100 and y + h > 100
