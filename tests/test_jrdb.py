import json

import numpy as np
import pytest
import yaml

from posepile.ds.jrdb import main, miniature
from posepile.ds.jrdb.main import Options
from posepile.errors import CorruptInput, UsageError
from posepile.shapes import coco_videos
from posepile.shapes.coco_people import CROWD, UNLABELLED
from posepile.shapes.coco_videos import NO_TRACK
from posepile.shapes.label_frames import NO_PICTURE, OFFSET, SEAM
from posepile.shapes.thinning import STILL

TOP, SEQUENCE = "train_dataset_with_activity", "meyer-green-2019-03-16_0"
POSES = f"labels/labels_2d_pose_coco/{SEQUENCE}_image{{}}.json"
FIRST = POSES.format(0)
NAMES = list(main.SPEC.joint_info.names)


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("jrdb")


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Poses two frames before their pictures, as with the pictures of 2019."""
    root = tmp_path_factory.mktemp("jrdb_shifted")
    miniature.build(root, shift=2)
    return root


def load(root, camera=None, **options):
    options = Options(**options)
    units = [u for u in main.list_units(root, options) if camera in (None, u.id.split("/")[0][-1])]
    return {unit.id.split("/")[0]: main.load_unit(root, unit, options)[0] for unit in units}


def kept(sequence):
    """Number of the picture and track of everyone kept."""
    return sorted(
        (int(sequence.frames.paths[frame].stem), track.person)
        for track in sequence.tracks
        for frame in track.frames
    )


def copied(root, tmp_path, change, file=FIRST, top="train_dataset"):
    """A copy of the miniature by the other name of its folder, with a changed JSON file."""
    new = tmp_path / "jrdb" / top
    for path in (root / TOP).glob("*/*"):
        target = new / path.relative_to(root / TOP)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name == "labels":
            target.mkdir()
            for label in path.iterdir():
                (target / label.name).write_text(label.read_text())
        else:
            target.symlink_to(path)
    data = json.loads((new / file).read_text())
    change(data)
    (new / file).write_text(json.dumps(data))
    return tmp_path / "jrdb"


def test_units_people_and_what_is_left_out(root):
    sequences = load(root)
    assert list(sequences) == ["image_0", "image_2", "image_4", "image_6", "image_8"]
    assert {s.split for s in sequences.values()} == {"train"}
    assert {s.scene for s in sequences.values()} == {SEQUENCE}
    # Who stands is kept once, and again when a wrist is newly labelled.
    assert kept(sequences["image_0"]) == [(0, 3), (0, 8), (2, 3), (3, 8), (4, 3)]
    assert sequences["image_0"].dropped == {STILL: 7}
    assert sequences["image_2"].dropped == {CROWD: 6, STILL: 4}  # spelt is_crowd
    assert sequences["image_6"].dropped == {UNLABELLED: 6, STILL: 5}  # without keypoints
    assert not sequences["image_4"].tracks  # sees nobody
    name = sequences["image_6"].image_name(0, 130)
    assert name == f"image_6/{SEQUENCE}/000000_130.jpg"
    assert [len(sequences["image_2"].bystanders[k]) for k in range(6)] == [1, 2, 2, 2, 1, 2]


def test_joints_of_visibility_zero_have_coordinates_and_are_missing(root):
    data = json.loads((root / TOP / POSES.format(0)).read_text())
    wrist = NAMES.index("lwri")
    first = next(a for a in data["annotations"] if a["track_id"] == 8 and a["image_id"] == 1)
    x, y, v = first["keypoints"][3 * wrist : 3 * wrist + 3]
    assert x > 0 and y > 0 and v == 0
    assert first["keypoints"][3 * NAMES.index("rwri") + 2] == 1  # hidden, and there
    track = next(t for t in load(root, "0")["image_0"].tracks if t.person == 8)
    assert np.isnan(track.image_coords[0, wrist]).all()
    assert np.isfinite(track.image_coords[1, wrist]).all()
    assert np.isfinite(track.image_coords[:, NAMES.index("rwri")]).all()


def test_the_head_is_its_top_and_sides_are_those_of_the_person(root):
    for sequence in load(root).values():
        for track in sequence.tracks:
            joints = dict(zip(NAMES, track.image_coords[0], strict=True))
            assert joints["htop"][1] < joints["reye"][1] < joints["neck"][1] < joints["pelv"][1]
            assert joints["rsho"][0] < joints["lsho"][0]  # they face the robot


def test_labels_of_another_release_are_refused_and_measured(shifted):
    for pictures in ("cameras", "panoramas"):
        with pytest.raises(CorruptInput, match=r"2 frames later best.*dataset\.frame_offset"):
            load(shifted, pictures=pictures, min_compared=4)
    # Few people who move prove nothing.
    assert OFFSET not in load(shifted, "0")["image_0"].checks


def test_with_the_right_offset_they_are_as_before(root, shifted):
    before = load(root, "0", min_compared=4)["image_0"]
    after = load(shifted, "0", frame_offset=2, min_compared=4)["image_0"]
    assert before.checks == {OFFSET: 0.0}  # after: no frames are left on one side
    assert {number for number, _ in kept(after)} == {2, 3, 4} == {n for n, _ in kept(after)}
    joints = {}
    for s in (before, after):
        joints[id(s)] = {
            (int(s.frames.paths[f].stem), t.person): t.image_coords[k]
            for t in s.tracks
            for k, f in enumerate(t.frames)
        }
    shared = joints[id(before)].keys() & joints[id(after)].keys()
    assert shared
    for key in shared:
        np.testing.assert_array_equal(joints[id(before)][key], joints[id(after)][key])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_0/", "image_2/", coco_videos.OTHER_VIDEO),
        (SEQUENCE, "other-2019-01-01_0", coco_videos.OTHER_VIDEO),
        ("/00000", "/00001", coco_videos.OTHER_FRAME),
    ],
)
def test_labels_of_another_camera_sequence_or_frame_are_refused(root, tmp_path, old, new, message):
    def change(data):
        for image in data["images"]:
            image["file_name"] = image["file_name"].replace(old, new)

    with pytest.raises(CorruptInput, match=f"{message}.*expected some that are well-formed"):
        load(copied(root, tmp_path, change), "0")


def test_tracks_that_are_no_numbers_are_no_empty_video(root, tmp_path):
    def change(data):
        for person in data["annotations"]:
            person["track_id"] = "pedestrian:8"

    with pytest.raises(CorruptInput, match=coco_videos.NO_TRACK):
        load(copied(root, tmp_path, change), "0")


def test_a_camera_without_its_pictures_is_named(root, tmp_path):
    copy = copied(root, tmp_path, lambda data: None)
    folder = copy / "train_dataset/images/image_0"
    folder.unlink()  # a link
    (folder / SEQUENCE).mkdir(parents=True)
    with pytest.raises(CorruptInput, match=f"{SEQUENCE}: found 0 pictures, none of those that"):
        load(copy, "0")


def test_pictures_that_are_not_there_cost_their_people(root):
    sequence = load(root, "0", frame_offset=2)["image_0"]
    assert sequence.dropped[NO_PICTURE] == 4
    assert max(number for number, _ in kept(sequence)) <= 5


def test_without_boxes_nothing_is_said(root, tmp_path):
    copy = copied(root, tmp_path, lambda data: None)
    for path in (copy / "train_dataset/labels/labels_2d").iterdir():
        path.unlink()
    assert OFFSET not in load(copy, "0", min_compared=1)["image_0"].checks


def test_the_number_in_a_box_is_that_of_another_release(root, tmp_path):
    def change(data):
        for name, boxes in data["labels"].items():
            for box in boxes:
                box["file_id"] = f"{int(name[:6]) + 2:06d}.jpg"

    copy = copied(root, tmp_path, change, f"labels/labels_2d/{SEQUENCE}_image0.json")
    assert load(copy, "0", min_compared=4)["image_0"].checks == {OFFSET: 0.0}


def test_panoramas_have_sizes_of_their_own_no_camera_and_a_seam(root):
    data = json.loads(
        (root / TOP / f"labels/labels_2d_pose_stitched_coco/{SEQUENCE}.json").read_text()
    )
    assert {image["width"] for image in data["images"]} == {752}
    (sequence,) = load(root, pictures="panoramas").values()
    assert set(sequence.frames.sizes) == {(3760, 480)}
    assert sequence.camera is None
    assert sequence.dropped[SEAM] == 6
    assert {track.person for track in sequence.tracks} == {3, 8, 21}
    assert sequence.image_name(0, 3) == f"image_stitched/{SEQUENCE}/000000_003.jpg"
    joints = np.concatenate([track.image_coords for track in sequence.tracks])
    assert (np.nanmax(joints, axis=1) - np.nanmin(joints, axis=1) < 400).all()


def test_each_camera_looks_where_it_is_known_to_look_and_distorts(root):
    for name, sequence in load(root).items():
        if not sequence.tracks:
            continue
        camera, heading = sequence.camera(0), main.HEADINGS[int(name[-1]) // 2]
        x, _, z = camera.R[2]
        assert np.degrees(np.arctan2(x, z)) == pytest.approx(heading, abs=1e-3)
        np.testing.assert_allclose(camera.world_up, [0, -1, 0])
        assert set(sequence.frames.sizes) == {(752, 480)}
        lens = (-0.33, 0.15, 0.0007, -0.0005, -0.04)
        np.testing.assert_allclose(camera.get_distortion_coeffs()[:5], lens, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s["sensor_1"].update(R=transposed(s["sensor_1"]["R"])), "camera 2 of 5 is at"),
        (lambda s: s.update(sensor_1=s["sensor_4"]), "camera 2 of 5 is at -72 degrees"),
        (lambda s: s["sensor_0"].update(T="0 0 -5"), "5 mm away"),
        (lambda s: s.pop("sensor_3"), "found no sensor_3"),
        (lambda s: s["sensor_2"].update(D="0 0 0 0"), "sensor_2: found 4, 9, 9 and 3 numbers"),
        (lambda s: s["sensor_2"].update(K="a b c"), "expected numbers"),
        (lambda s: s["sensor_2"].pop("width"), "width"),
    ],
)
def test_cameras_elsewhere_are_refused(root, tmp_path, change, text):
    copy = copied(root, tmp_path, lambda data: None)
    folder = copy / "train_dataset/calibration"
    content = yaml.safe_load((folder / "cameras.yaml").read_text())
    change(content["cameras"])
    (folder / "cameras.yaml").unlink()
    (folder / "cameras.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(CorruptInput, match=text):
        load(copy, "0")


def transposed(text):
    matrix = np.array(text.split(), float).reshape(3, 3)
    return " ".join(map(str, matrix.T.ravel()))


def test_key_points_have_the_order_that_is_known(root, tmp_path):
    def renamed(data):  # as the paper calls them
        names = data["categories"][0]["keypoints"]
        names[names.index("center hip")] = "tailbone"
        names[names.index("left wrist")] = "left hand"

    def exchanged(data):
        names = data["categories"][0]["keypoints"]
        names[1], names[2] = names[2], names[1]

    before = kept(load(root, "0")["image_0"])
    assert kept(load(copied(root, tmp_path / "a", renamed), "0")["image_0"]) == before
    with pytest.raises(CorruptInput, match="head, left eye, right eye"):
        load(copied(root, tmp_path / "b", exchanged), "0")


def test_one_bad_annotation_costs_itself(root, tmp_path):
    def change(data):
        people = [a for a in data["annotations"] if a["track_id"] == 3]
        del people[0]["track_id"]
        people[1]["keypoints"] = [1.0]

    sequence = load(copied(root, tmp_path, change), "0")["image_0"]
    assert sequence.dropped[NO_TRACK] == 1
    assert sequence.dropped["key points are not 51 finite numbers"] == 1
    assert (0, 8) in kept(sequence)


def test_sequences_are_chosen_by_name(root):
    assert len(load(root, sequences=[SEQUENCE])) == 5
    with pytest.raises(UsageError, match="meyer-green-2019-03-16_0"):
        load(root, sequences=["meyer-green-2019-03-16_1"])
    with pytest.raises(CorruptInput, match="found no labels of poses"):
        load(root / "nowhere")
