"""Ego-Exo4D: labels, units and pixels."""

import json

import numpy as np
import pytest
from egoexo4d_kit import CAM01, CAM02, EGO, GP01, body_of, copy_of, edit, load, unit_ids

from posepile.ds.egoexo4d import (
    annotations,
    main,
    miniature,
    takes,
)
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import project
from posepile.imaging.frames import open_frames
from posepile.miniature import kit
from posepile.stages.select import SelectParams, select_frames


@pytest.fixture
def raw(raw_miniature):
    return raw_miniature("egoexo4d")


@pytest.fixture
def copy(raw, tmp_path):
    """A miniature whose labels and metadata may be changed."""
    return copy_of(raw, tmp_path / "egoexo4d")


SELECT = SelectParams(method="ring", buffer=200, check_validity=True, missing_is_unchanged=True)


def test_labels_that_are_off_are_refused(copy):
    def shift(content):
        for poses in content.values():
            for pose in poses:
                for joint in pose["annotation2D"]["cam01"].values():
                    joint["x"] += 70

    for kind in ("body/automatic", "body/annotation", "hand/automatic"):
        edit(miniature.label_path(copy, miniature.REPAIR, kind), shift)
    with pytest.raises(CorruptInput, match=r"70.0 px \(median\).*max_reprojection_px"):
        load(copy, CAM01)
    checks = load(copy, CAM01, max_reprojection_px=80).checks
    assert checks["reprojection_body_automatic_px"] > 69


def test_joint_table():
    names = annotations.JOINT_NAMES
    assert len(names) == 61 and main.SPEC.joint_info.n_joints == 61
    where = {key: names[i] for key, i in annotations.KEY_TO_INDEX.items()}
    assert len(where) == 59 and len(set(where.values())) == 59
    assert {"neck", "pelv"} == set(names) - set(where.values())
    assert where["nose"] == "nose" and where["left-shoulder"] == "lsho"
    assert where["left_wrist"] == "lhan1" and where["right_thumb_1"] == "rhan2"
    assert where["left_index_1"] == "lhan6" and where["right_middle_4"] == "rhan13"
    assert where["left_ring_1"] == "lhan14" and where["right_pinky_4"] == "rhan21"


def test_motion_is_compared_in_the_camera_frame(raw):
    sequence = load(raw, CAM02)
    track = sequence.tracks[0]
    cam = miniature.gopro(-40, 4600, 1200, upright=True)
    expected = track.world_coords @ cam.rotation.T + cam.translation
    np.testing.assert_allclose(track.motion_coords, expected, atol=0.01)


def test_counts_are_those_of_the_miniature(raw):
    truth = json.loads((raw / "miniature_truth.json").read_text())["counts"]
    counts = dict.fromkeys(truth, 0)
    for unit in main.list_units(raw, main.Options()):
        for sequence in main.load_unit(raw, unit, main.Options()):
            for track in sequence.tracks:
                counts[sequence.split] += len(select_frames(track.motion_coords, SELECT))
    assert counts == truth == {"train": 12, "val": 2, "test": 1}


def test_body_and_hands_are_each_of_use_alone(copy):
    both = load(copy, EGO, ego=True).tracks[0]
    body = load(copy, CAM01, parts=["body"]).tracks[0]
    hand = load(copy, EGO, ego=True, parts=["hand"]).tracks[0]
    assert list(body.frames) == [0, 1, 2, 3, 4, 5, 7]
    assert list(hand.frames) == list(both.frames) == [0, 1, 2, 3, 4, 6, 7]
    assert np.isnan(body.world_coords[:, 19:]).all() and np.isnan(hand.world_coords[:, :19]).all()
    k = list(both.frames).index(6)  # a frame whose body list is empty still has hands
    assert np.isfinite(both.world_coords[k, 19:]).all()
    assert np.isnan(both.world_coords[k, :19]).all()
    for path in copy.glob("annotations/ego_pose/train/hand/*/*.json"):
        path.unlink()
    assert list(load(copy, CAM01).tracks[0].frames) == [0, 1, 2, 3, 4, 5, 7]
    for path in copy.glob("annotations/ego_pose/train/body/*/*.json"):
        path.unlink()
    assert CAM01 not in unit_ids(copy)


def test_which_labels_win_is_a_matter_of_configuration(raw):
    ears = [annotations.JOINT_NAMES.index(j) for j in ("lear", "rear")]
    nose = annotations.JOINT_NAMES.index("nose")
    for options, has_ears in (
        ({"prefer": "manual"}, False),  # the annotators did not see the ears in frame 1
        ({"prefer": "automatic"}, True),
        ({"labels": ["automatic"]}, True),
        ({"labels": ["manual"]}, False),
    ):
        track = load(raw, CAM01, **options).tracks[0]
        k = list(track.frames).index(1)
        assert np.isfinite(track.world_coords[k, ears]).all() == has_ears
        assert np.isfinite(track.world_coords[k, nose]).all()
    assert list(load(raw, CAM01, labels=["manual"]).tracks[0].frames) == [1, 4]


def test_a_hand_and_the_body_of_a_frame_may_come_from_different_sources():
    def labels(frames, part, value):
        coords = np.full((len(frames), 61, 3), np.nan)
        coords[:, annotations.PARTS[part]] = value
        views, image = np.zeros((len(frames), 61), int), coords[..., :2]
        return annotations.Labels(np.array(frames), coords, views, image)

    frames, coords = annotations.merge_labels(
        [
            labels([3], "left_hand", 1.0),
            labels([2, 3], "left_hand", 2.0),
            labels([3, 9], "body", 3.0),
        ]
    )
    assert list(frames) == [2, 3, 9]
    hand, body = annotations.PARTS["left_hand"], annotations.PARTS["body"]
    assert (coords[1, hand] == 1).all() and (coords[0, hand] == 2).all()
    assert (coords[1, body] == 3).all() and np.isnan(
        coords[1, annotations.PARTS["right_hand"]]
    ).all()


def test_what_is_left_out_is_counted(raw):
    assert load(raw, CAM01).dropped == {
        "no pose in the labels": 1,
        "no box of the person: fewer than 6 body joints in the image": 1,
    }
    dance = load(raw, GP01)
    assert list(dance.tracks[0].frames) == [1, 4]
    assert dance.dropped == {"fewer than 6 joints": 1}
    lost = load(raw, f"val/{miniature.DANCE}/gp02")
    assert lost.tracks == [] and sum(lost.dropped.values()) == 3
    assert "not localized" in next(iter(lost.dropped))
    gone = load(raw, f"train/{miniature.DROPPED}/cam01")
    assert gone.tracks == [] and gone.dropped == {"take is marked is_dropped": 6}


def test_units_are_the_real_exo_videos(raw):
    assert set(unit_ids(raw)) == {
        CAM01,
        CAM02,
        GP01,
        f"val/{miniature.DANCE}/gp02",
        f"train/{miniature.DROPPED}/cam01",
        f"test/{miniature.COOK}/cam01",
    }
    assert EGO in unit_ids(raw, ego=True)
    assert not any(u.startswith("test") for u in unit_ids(raw, test=False))
    take = json.loads((raw / "takes.json").read_text())[1]
    assert [c for c, _ in takes.videos(raw, take, main.Options(ego=True))] == [
        "aria01_214-1",
        "gp01",
        "gp02",
    ]


def test_participants_can_be_chosen(copy):
    assert set(unit_ids(copy, subjects=[0, 2])) == {CAM01, CAM02, f"test/{miniature.COOK}/cam01"}
    assert unit_ids(copy, subjects=["0"], ego=True)[0] == EGO
    with pytest.raises(UsageError, match=r"no subject 7; there are: 0, 1, 2, 3"):
        unit_ids(copy, subjects=[7])
    edit(copy / "takes.json", lambda takes: [take.pop("participant_uid") for take in takes])
    assert len(unit_ids(copy)) == 6
    with pytest.raises(UsageError, match="no subject 0"):
        unit_ids(copy, subjects=[0])


def test_options_without_effect_are_refused():
    assert main.Options(labels=["automatic"]).prefer == "manual"
    with pytest.raises(ValueError, match="not among dataset.labels"):
        main.Options(labels=["manual"], prefer="automatic")
    with pytest.raises(ValueError, match="no effect with test: false"):
        main.Options(test=False, test_stride=5)


def test_bouldering_takes_are_an_option(copy):
    def rename(content):
        content[0]["take_name"] = "unc_bouldering_1"  # root_dir stays: that is where files lie

    edit(copy / "takes.json", rename)
    unit_id = "train/unc_bouldering_1/cam01"
    assert load(copy, unit_id).dropped == {"bouldering take": 8}
    assert load(copy, unit_id, bouldering=True).tracks


def test_broken_metadata_is_named(copy):
    (copy / "annotations/splits.json").write_text("{}")
    with pytest.raises(CorruptInput, match="splits.json: found no take_uid_to_split"):
        unit_ids(copy)
    (copy / "annotations/splits.json").unlink()
    with pytest.raises(CorruptInput, match="posepile doctor egoexo4d"):
        unit_ids(copy)


def test_the_two_lists_of_splits_agree(copy):
    """A take in another split than the second list says would be trained on, or lost."""
    path = copy / "annotations/splits.json"
    before = unit_ids(copy)
    edit(path, lambda c: c.update(split_to_take_uids=None))
    assert unit_ids(copy) == before
    uid = miniature.UIDS[miniature.DANCE]
    edit(path, lambda c: c.update(split_to_take_uids={"test": [uid]}))
    with pytest.raises(CorruptInput, match=f"{uid}: found .*; expected test, as in split_to_take"):
        unit_ids(copy)


def test_a_frame_with_two_poses_is_not_guessed(copy):
    edit(
        miniature.label_path(copy, miniature.REPAIR, "body/automatic"),
        lambda c: c.update({"2": c["2"] * 2}),
    )
    sequence = load(copy, CAM01, parts=["body"])
    assert sequence.dropped["more than one pose in a frame"] == 1
    assert 2 not in sequence.tracks[0].frames


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"0": [', "not valid JSON"),
        ("[]", "expected a mapping"),
        ('{"a": []}', "frame key 'a'"),
        ('{"0": {}}', "0: found {}; expected a list"),
        (
            '{"0": [{"annotation3D": {"left-knie": {"x":1,"y":1,"z":1}}}]}',
            "unknown joint 'left-knie'",
        ),
        (
            '{"7": [{"annotation3D": {"nose": {"x":1,"y":1}}}]}',
            "frame 7: joint 'nose' has no numbers",
        ),
    ],
)
def test_broken_label_files_are_named(tmp_path, content, message):
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(CorruptInput, match=message):
        annotations.read_labels(path)


def test_a_test_frame_without_a_pose_of_the_glasses_is_counted(copy):
    pose = copy / f"annotations/ego_pose/test/camera_pose/{miniature.UIDS[miniature.COOK]}.json"
    edit(pose, lambda c: c["aria01"]["camera_extrinsics"].pop("2"))
    sequence = load(copy, f"test/{miniature.COOK}/cam01", test_stride=2)
    assert list(sequence.tracks[0].frames) == [0]
    assert sequence.dropped == {"no pose of the glasses in this frame": 1}
    edit(pose, lambda c: c.pop("aria01"))
    assert len(load(copy, f"test/{miniature.COOK}/cam01").tracks[0].frames) == 0


def test_the_test_split_is_packed_for_prediction(raw):
    sequence = load(raw, f"test/{miniature.COOK}/cam01", test_stride=2)
    track = sequence.tracks[0]
    assert list(track.frames) == [0, 2]
    assert np.isnan(track.world_coords).all() and track.world_coords.shape == (2, 61, 3)
    # The glasses say where the wearer is: the box holds them and is not the whole image.
    for frame, (x, y, w, h) in zip(track.frames, track.bbox, strict=True):
        joints = body_of(miniature.wearer(miniature.COOK)[frame])
        points = project(sequence.camera, joints)
        assert (points > [x, y]).all() and (points < [x + w, y + h]).all()
        assert h < 1.5 * np.ptp(points[:, 1]) and w < 700
    for params in (SELECT, SelectParams(method="last")):
        assert len(select_frames(track.motion_coords, params)) == 2


@pytest.mark.parametrize(
    ("unit_id", "options", "tolerance", "search"),
    [
        (CAM01, {}, 0.2, 30),
        (CAM02, {}, 0.2, 30),
        (CAM01, {"video": "448"}, 0.3, 8),
        (CAM02, {"video": "448"}, 0.3, 8),
        (EGO, {"ego": True}, 0.4, 80),
    ],
)
def test_projected_joints_hit_the_drawn_discs(raw, unit_id, options, tolerance, search):
    sequence = load(raw, unit_id, **options)
    track = sequence.tracks[0]
    joints = [j for j, color in enumerate(miniature.FIGURE.colors) if color]
    colors = np.array([miniature.FIGURE.colors[j] for j in joints], np.uint8)
    errors = []
    with open_frames(sequence.frames) as reader:
        images = [np.ascontiguousarray(frame.rgb()) for _, frame in reader.read(range(8))]
    for frame, coords in zip(track.frames.tolist(), track.world_coords, strict=True):
        camera = sequence.camera(frame) if callable(sequence.camera) else sequence.camera
        assert images[frame].shape[:2] == camera.image_shape
        points = project(camera, coords[joints])
        found = kit.find_joints(images[frame], points, colors, search)
        error = np.linalg.norm(found - points, axis=-1)
        errors.extend(error[np.isfinite(error)])
    assert len(errors) > 25
    assert np.mean(errors) <= tolerance


def test_boxes_are_the_projected_joints_inside_the_image(raw):
    for unit_id in (CAM01, CAM02):
        sequence = load(raw, unit_id)
        track = sequence.tracks[0]
        h, w = sequence.camera.image_shape
        for box, coords in zip(track.bbox, track.world_coords, strict=True):
            points = project(sequence.camera, coords)
            low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
            center, half = (low + high) / 2, 1.05 * (high - low) / 2
            low = np.maximum(center - half, -0.5)
            high = np.minimum(center + half, [w - 0.5, h - 0.5])
            np.testing.assert_allclose(box, [*low, *(high - low)], atol=0.05)


def test_a_person_outside_the_image_is_counted(copy):
    def walk_away(content):
        for poses in content.values():
            for pose in poses:
                for joint in pose["annotation3D"].values():
                    joint["x"] += 30
                pose["annotation2D"] = {}

    for kind in ("body/automatic", "body/annotation", "hand/automatic"):
        edit(miniature.label_path(copy, miniature.REPAIR, kind), walk_away)
    sequence = load(copy, CAM01)
    assert len(sequence.tracks[0].frames) == 0
    assert sequence.dropped["fewer than 6 joints in the image"] == 8
