"""Ego-Exo4D: the lens behind the released matrix, labels, the glasses, download, evaluation."""

import itertools
import json
import shutil
import stat
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.ds.egoexo4d import annotations, aria, cameras, download, main, miniature, takes
from posepile.ds.egoexo4d import eval as benchmark
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.miniature import kit
from posepile.stages.select import SelectParams, select_frames

SIZES = [(3840, 2160), (2160, 3840)]
SELECT = SelectParams(method="ring", buffer=200, check_validity=True, missing_is_unchanged=True)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("egoexo4d") / "egoexo4d"
    miniature.build(root)
    return root


@pytest.fixture
def copy(raw, tmp_path):
    """A miniature whose labels and metadata may be changed."""
    root = tmp_path / "egoexo4d"
    shutil.copytree(raw, root, copy_function=lambda a, b: Path(b).symlink_to(a)
                    if a.endswith(".mp4") else shutil.copyfile(a, b))  # fmt: skip
    return root


def load(root, unit_id, **options):
    options = main.Options(**options)
    (unit,) = [u for u in main.list_units(root, options) if u.id == unit_id]
    (sequence,) = main.load_unit(root, unit, options)
    return sequence


def unit_ids(root, **options):
    return [u.id for u in main.list_units(root, main.Options(**options))]


def edit(path, function):
    content = json.loads(path.read_text())
    function(content)
    path.write_text(json.dumps(content))


def lens_matrix(f, size):
    return np.array([[f, 0, size[0] / 2], [0, f, size[1] / 2], [0, 0, 1.0]])


def label_path(root, take, kind, split="train"):
    return root / f"annotations/ego_pose/{split}/{kind}/{miniature.UIDS[take]}.json"


CAM01 = f"train/{miniature.REPAIR}/cam01"
CAM02 = f"train/{miniature.REPAIR}/cam02"
EGO = f"train/{miniature.REPAIR}/aria01_214-1"
GP01 = f"val/{miniature.DANCE}/gp01"


# ------------------------------------------------------------------------------- the GoPro lens


@settings(max_examples=60, deadline=None)
@given(
    f=st.floats(1480, 4500),
    k=st.tuples(*[st.floats(-a, a) for a in (0.06, 0.02, 0.01, 0.004)]),
    size=st.sampled_from(SIZES),
)
def test_the_lens_is_recovered_from_the_released_matrix(f, k, size):
    k = np.array(k)
    released = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        lens_matrix(f, size), k, size, np.eye(3), balance=0.8
    )
    if released[0, 0] < 200:
        return  # a lens of nearly 180 degrees, whose undistorted image is a speck
    matrix, found_size = cameras.recover_lens(released, k)
    assert found_size == size
    again = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        matrix, k, size, np.eye(3), balance=0.8
    )
    assert abs(again[0, 0] - released[0, 0]) <= 1e-4
    assert abs(matrix[0, 0] / f - 1) <= 1e-6
    np.testing.assert_allclose(matrix[:2, 2], np.array(size) / 2)


def test_a_lens_that_cannot_be_recovered_is_refused():
    k = np.array([0.03, -0.01, 0.009, -0.004])
    released = cameras.released_matrix(lens_matrix(1760, (3840, 2160)), k, (3840, 2160))
    off_centre = released + np.array([[0, 0, 3.0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(CorruptInput, match=r"principal point.*take_trajectory"):
        cameras.recover_lens(off_centre, k, "file, cam01")
    too_long = released * np.array([[9.0], [9.0], [1.0]])
    too_long[:2, 2] = 1920, 1080
    with pytest.raises(CorruptInput, match="no focal length"):
        cameras.recover_lens(too_long, k, "file, cam01")


@pytest.mark.parametrize("portrait", [False, True])
def test_the_camera_projects_as_the_lens_and_not_as_the_released_matrix(portrait):
    cam = miniature.gopro(12, 5, 1.5, portrait=portrait)
    entry = camera_entry(cam)
    lens = cameras.exo_lens(entry, [], "here")
    assert lens.source == "recovered" and lens.size == cam["size"]
    points = 1000 * np.array(list(miniature.body_at(1).values()))
    truth = kit.project(
        points / 1000, cam["K"], cam["R"], cam["t"], miniature.LENS_D, fisheye=True
    )
    mine = cameras.project(cameras.make_camera(lens), points)
    np.testing.assert_allclose(mine, truth, atol=0.02)
    wrong = kit.project(
        points / 1000, cam["released"], cam["R"], cam["t"], miniature.LENS_D, fisheye=True
    )
    assert np.abs(wrong - truth).max() > 50  # what combining the two would cost


def camera_entry(cam, d=miniature.LENS_D):
    return {
        "camera_intrinsics": cam["released"].tolist(),
        "camera_extrinsics": np.c_[cam["R"], cam["t"]].tolist(),
        "distortion_coeffs": list(d),
    }


def test_gopro_calibs_blanks_and_quality(tmp_path):
    cams = {
        "cam01": miniature.gopro(10, 5, 1.7),
        "cam02": miniature.gopro(-9, 4, 1, portrait=True),
    }
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, cams)
    assert ", KANNALABRANDTK3," in path.read_text()  # the blanks are there
    rows = cameras.read_gopro_calibs(path)
    assert set(rows) == {"cam01", "cam02"}, "cam03 has quality 0"
    for name, cam in cams.items():
        (row,) = rows[name]
        np.testing.assert_allclose(row.matrix, cam["K"])
        np.testing.assert_allclose(row.distortion, miniature.LENS_D)
        np.testing.assert_allclose(row.rotation, cam["R"], atol=1e-9)
        np.testing.assert_allclose(row.translation, cam["t"], atol=1e-9)
        lens = cameras.exo_lens(camera_entry(cam), [row], "here")
        assert lens.source == "gopro_calibs" and lens.size == cam["size"]


@pytest.mark.parametrize("quality", ["0", "-1"])
def test_cameras_that_are_not_localized_in_the_csv_are_recovered(tmp_path, quality):
    cam = miniature.gopro(10, 5, 1.7)
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, {"cam01": cam})
    path.write_text(
        path.read_text().replace(", 1\n", f", {quality}\n").replace(", 1\r\n", f", {quality}\r\n")
    )
    assert cameras.read_gopro_calibs(path) == {}
    # of a camera that is not localized nothing else need be there
    header, row = path.read_text().splitlines()[:2]
    names, values = header.split(","), row.split(",")
    values = [v if n.strip() in ("cam_uid", "quality") else "" for n, v in zip(names, values)]  # noqa: B905
    path.write_text(f"{header}\n{','.join(values)}\n")
    assert cameras.read_gopro_calibs(path) == {}


def test_a_csv_of_an_upright_camera_given_as_landscape_is_turned(tmp_path):
    cam = miniature.gopro(10, 5, 1.7, portrait=True)
    path = tmp_path / "gopro_calibs.csv"
    lying = {**cam, "size": (3840, 2160), "K": lens_matrix(miniature.LENS_F, (3840, 2160))}
    miniature.write_gopro_calibs(path, {"cam01": lying})
    lens = cameras.exo_lens(camera_entry(cam), cameras.read_gopro_calibs(path)["cam01"], "here")
    assert lens.size == (2160, 3840)
    np.testing.assert_allclose(lens.matrix, cam["K"])


def test_the_two_sources_must_agree(tmp_path):
    cam = miniature.gopro(10, 5, 1.7)
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, {"cam01": cam})
    (row,) = cameras.read_gopro_calibs(path)["cam01"]
    other = miniature.gopro(10, 5, 1.7)
    lens = cam["K"] * np.array([[1.002], [1.002], [1]])
    lens[:2, 2] = 1920, 1080
    other["released"] = cameras.released_matrix(lens, miniature.LENS_D, (3840, 2160))
    with pytest.raises(CorruptInput, match=r"released fx .* gives .*allowed 0.001"):
        cameras.exo_lens(camera_entry(other), [row], "pose.json, cam01", "calibs.csv")
    moved = {**cam, "t": cam["t"] + [0.05, 0, 0]}
    with pytest.raises(CorruptInput, match=r"pose differs from calibs.csv .*50.0 mm"):
        cameras.exo_lens(camera_entry(moved), [row], "pose.json, cam01", "calibs.csv")
    with pytest.raises(CorruptInput, match="distortion differs"):
        d = miniature.LENS_D + np.array([0, 0.002, 0, 0])
        cameras.exo_lens(camera_entry(cam, d), [row], "pose.json, cam01", "calibs.csv")


def test_another_lens_model_or_a_broken_row_is_named(tmp_path):
    path = tmp_path / "gopro_calibs.csv"
    miniature.write_gopro_calibs(path, {"cam01": miniature.gopro(10, 5, 1.7)})
    text = path.read_text()
    path.write_text(text.replace("KANNALABRANDTK3", "FISHEYE624", 1))
    with pytest.raises(CorruptInput, match="line 2: lens model 'FISHEYE624'"):
        cameras.read_gopro_calibs(path)
    path.write_text(text.replace("3840", "wide", 1))
    with pytest.raises(CorruptInput, match="line 2: ValueError"):
        cameras.read_gopro_calibs(path)


def test_the_self_check_uses_undistorted_pixels(raw):
    for unit_id in (CAM01, CAM02, GP01):
        assert load(raw, unit_id).checks["reprojection_px"] <= 0.5
    assert load(raw, EGO, ego=True).checks["reprojection_px"] <= 0.5


def test_labels_that_are_off_are_refused(copy):
    def shift(content):
        for poses in content.values():
            for pose in poses:
                for joint in pose["annotation2D"]["cam01"].values():
                    joint["x"] += 70

    for kind in ("body/automatic", "body/annotation", "hand/automatic"):
        edit(label_path(copy, miniature.REPAIR, kind), shift)
    with pytest.raises(CorruptInput, match=r"70.0 px \(median\).*max_reprojection_px"):
        load(copy, CAM01)
    assert load(copy, CAM01, max_reprojection_px=80).checks["reprojection_px"] > 69


# ------------------------------------------------------------------------------- labels


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
    cam = miniature.gopro(-25, 4.6, 1.2, portrait=True)
    expected = track.world_coords / 1000 @ cam["R"].T + cam["t"]
    np.testing.assert_allclose(track.motion_coords, 1000 * expected, atol=0.01)


def test_counts_are_those_of_the_miniature(raw):
    truth = json.loads((raw / "miniature_truth.json").read_text())["counts"]
    counts = dict.fromkeys(truth, 0)
    for unit in main.list_units(raw, main.Options()):
        for sequence in main.load_unit(raw, unit, main.Options()):
            for track in sequence.tracks:
                counts[sequence.split] += len(select_frames(track.motion_coords, SELECT))
    assert counts == truth == {"train": 14, "val": 2, "test": 1}


def test_body_and_hands_are_each_of_use_alone(copy):
    both = load(copy, CAM01).tracks[0]
    body = load(copy, CAM01, parts=["body"]).tracks[0]
    hand = load(copy, CAM01, parts=["hand"]).tracks[0]
    assert list(body.frames) == [0, 1, 2, 3, 4, 5, 7]
    assert list(hand.frames) == list(both.frames) == list(range(8))
    assert np.isnan(body.world_coords[:, 19:]).all() and np.isnan(hand.world_coords[:, :19]).all()
    k = list(both.frames).index(6)  # a frame whose body list is empty still has hands
    assert np.isfinite(both.world_coords[k, 19:]).all()
    assert np.isnan(both.world_coords[k, :19]).all()
    for path in copy.glob("annotations/ego_pose/train/body/*/*.json"):
        path.unlink()
    assert list(load(copy, CAM01).tracks[0].frames) == list(range(8))
    for path in copy.glob("annotations/ego_pose/train/hand/*/*.json"):
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
        return annotations.Labels(np.array(frames), coords, np.zeros((len(frames), 61), int))

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
    assert load(raw, CAM01).dropped == {"no pose in the labels": 1}
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
    assert [c for c, _ in takes.videos(take, ego=True, downscaled=False)] == [
        "aria01_214-1",
        "gp01",
        "gp02",
    ]


def test_bouldering_takes_are_an_option(copy):
    def rename(content):
        content[0]["take_name"] = "unc_bouldering_1"  # root_dir stays: that is where files lie

    edit(copy / "takes.json", rename)
    unit_id = "train/unc_bouldering_1/cam01"
    assert load(copy, unit_id).dropped == {"bouldering take": 8}
    assert load(copy, unit_id, bouldering=True).tracks


def test_broken_metadata_is_named(copy):
    (copy / "annotations/splits.json").write_text("{}")
    with pytest.raises(CorruptInput, match="splits.json: no key take_uid_to_split"):
        unit_ids(copy)
    (copy / "annotations/splits.json").unlink()
    with pytest.raises(CorruptInput, match="posepile doctor egoexo4d"):
        unit_ids(copy)


def test_a_frame_with_two_poses_is_not_guessed(copy):
    edit(
        label_path(copy, miniature.REPAIR, "body/automatic"), lambda c: c.update({"2": c["2"] * 2})
    )
    sequence = load(copy, CAM01, parts=["body"])
    assert sequence.dropped["more than one pose in a frame"] == 1
    assert 2 not in sequence.tracks[0].frames


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"0": [', "not valid JSON"),
        ("[]", "expected a map from frame"),
        ('{"a": []}', "frame key 'a'"),
        ('{"0": {}}', "frame 0: expected a list"),
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
        joints = 1000 * np.array(list(miniature.body_at(frame).values()))
        points = cameras.project(sequence.camera, joints)
        assert (points > [x, y]).all() and (points < [x + w, y + h]).all()
        assert h < 1.5 * np.ptp(points[:, 1]) and w < 700
    for params in (SELECT, SelectParams(method="last")):
        assert len(select_frames(track.motion_coords, params)) == 2


# ------------------------------------------------------------------------------- pixels


def decode(path, rot90=0):
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.rot90(frame.to_ndarray(format="rgb24"), rot90)


@pytest.mark.parametrize(
    ("unit_id", "options", "tolerance"),
    [
        (CAM01, {}, 1.0),
        (CAM02, {}, 1.0),
        (CAM01, {"video": "448"}, 0.5),
        (CAM02, {"video": "448"}, 0.5),
        (EGO, {"ego": True}, 1.0),
    ],
)
def test_projected_joints_hit_the_drawn_discs(raw, unit_id, options, tolerance):
    sequence = load(raw, unit_id, **options)
    track = sequence.tracks[0]
    order = [j for j in miniature.BODY]
    joints = [miniature.ORDER[j] for j in order]
    errors = []
    for frame, image in enumerate(decode(sequence.frames.path, sequence.frames.rot90)):
        camera = sequence.camera(frame) if callable(sequence.camera) else sequence.camera
        if frame not in track.frames or frame == 6:
            continue
        assert image.shape[:2] == camera.image_shape
        coords = track.world_coords[list(track.frames).index(frame), joints]
        points = cameras.project(camera, coords)
        found = kit.find_joints(np.ascontiguousarray(image), points, kit.joint_colors(17), 30)
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
            points = cameras.project(sequence.camera, coords)
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
        edit(label_path(copy, miniature.REPAIR, kind), walk_away)
    sequence = load(copy, CAM01)
    assert len(sequence.tracks[0].frames) == 0
    assert sequence.dropped["fewer than 6 joints in the image"] == 8


# ------------------------------------------------------------------------------- the glasses


def test_gaps_in_the_trajectory_are_missing_poses(raw):
    sequence = load(raw, EGO, ego=True)
    gap = miniature.ARIA_FRAME_WITHOUT_POSE
    assert sequence.camera(gap) is None
    assert gap not in sequence.tracks[0].frames
    assert sequence.dropped["no pose of the glasses in this frame"] == 1
    rotation, translation = miniature.aria_pose(gap + 1)  # looked up by key, not by position
    camera = sequence.camera(gap + 1)
    np.testing.assert_allclose(camera.R, rotation, atol=1e-6)
    np.testing.assert_allclose(camera.t, -1000 * rotation.T @ translation, atol=0.01)


def test_the_lens_of_the_glasses_is_matched_or_refused(monkeypatch):
    params = aria.to_recorded(miniature.ARIA)
    np.testing.assert_allclose(params[:3], [608.35, 714.9, 706.8])
    _, _, residual = aria.fit_lens(tuple(params), "calib")
    assert residual <= 0.2
    rng = np.random.default_rng(0)
    rays = np.c_[rng.uniform(-0.9, 0.9, (50, 2)), np.ones(50)]
    mine = aria.project_fisheye624(params, rays)
    theirs = miniature.project_fisheye624(rays, np.eye(3), np.zeros(3))
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    monkeypatch.setattr(aria, "MAX_RESIDUAL", 0.01)
    with pytest.raises(CorruptInput, match=r"matched only to 0\.\d\d px, allowed 0.01"):
        aria.fit_lens(tuple(params), "another file")


def test_calibration_is_found_in_the_recording(tmp_path):
    text = json.dumps(
        {
            "CameraCalibrations": [
                {
                    "Label": "camera-rgb",
                    "Projection": {
                        "Name": "FisheyeRadTanThinPrism",
                        "Params": miniature.ARIA.tolist(),
                    },
                }
            ]
        }
    ).encode()
    path = tmp_path / "aria01_noimagestreams.vrs"
    tag = struct.pack("<I", 10) + b"calib_json" + struct.pack("<I", len(text)) + text
    path.write_bytes(b"VRS\0 the words calib_json alone are no tag" + bytes(99) + tag + bytes(999))
    np.testing.assert_array_equal(aria.read_calibration(path), miniature.ARIA)
    path.write_bytes(bytes(5000))
    with pytest.raises(CorruptInput, match="no calib_json tag"):
        aria.read_calibration(path)


def test_glasses_without_calibration_say_what_to_download(copy):
    shutil.rmtree(copy / "aria_calib_json")
    with pytest.raises(CorruptInput, match="take_vrs_noimagestream"):
        load(copy, EGO, ego=True)
    assert any("no factory calibration" in p for p in main.doctor(copy, main.Options(ego=True)))
    assert main.doctor(copy, main.Options()) == []


# ------------------------------------------------------------------------------- download


def program(folder, name, body):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def bin_dir(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


EXPIRED = (
    "botocore.exceptions.ClientError: An error occurred (ExpiredToken) when calling HeadObject"
)


@pytest.mark.parametrize(
    "body",
    [
        f"echo '{EXPIRED}' >&2; exit 1",
        "echo 'ERROR: could not get manifests for all parts (nothing to download)'; exit 1",
        "echo 'botocore.exceptions.NoCredentialsError: Unable to locate credentials'; exit 1",
        "echo 'WARN: failed to get stats for 3 files, will skip. Forbidden'; exit 0",
    ],
)
def test_expired_keys_give_the_renewal_steps(raw, bin_dir, body):
    program(bin_dir, "egoexo", body)
    with pytest.raises(WorkError) as e:
        main.download(raw, main.Options())
    message = str(e.value)
    assert "ego4d.dev/request/ego-exo4d" in message and "aws configure" in message
    assert "goes on where it stopped" in message and "\n" not in message


def test_a_missing_program_says_what_to_install(tmp_path, bin_dir):
    with pytest.raises(WorkError, match=r"posepile\[egoexo\]"):
        main.download(tmp_path / "raw", main.Options())
    assert any("posepile[egoexo]" in line for line in main.plan(tmp_path / "raw", main.Options()))
    assert any("posepile[egoexo]" in line for line in main.doctor(tmp_path, main.Options()))


@pytest.mark.parametrize(
    "body",
    [
        "echo 'Please retry the download (... returning with error code 2)'; exit 2",
        "echo 'WARN: failed to get stats for 3 files, will skip.'; echo 'Bye.'",
    ],
)
def test_an_incomplete_download_is_not_taken_for_a_finished_one(raw, bin_dir, body):
    program(bin_dir, "egoexo", body)
    with pytest.raises(WorkError, match="run this step again"):
        main.download(raw, main.Options())


def calls_of(bin_dir, root, **options):
    log = bin_dir / "calls"
    program(bin_dir, "egoexo", f'echo "$@" >> {log}')
    lines = main.download(root, main.Options(**options))
    calls = [c.split() for c in log.read_text().splitlines()]
    log.unlink()
    return calls, lines


def after(call, flag):
    rest = call[call.index(flag) + 1 :]
    end = next((i for i, x in enumerate(rest) if x.startswith("-")), len(rest))
    return rest[:end]


def test_only_what_is_chosen_is_asked_for(raw, bin_dir):
    uids = miniature.UIDS
    (labels, videos), lines = calls_of(bin_dir, raw, download={"every": 2})
    assert after(labels, "--parts") == ["metadata", "annotations", "ego_pose_pseudo_gt"]
    assert "--uids" not in labels and after(labels, "-o") == [str(raw)]
    assert after(videos, "--parts") == ["takes"] and after(videos, "--views") == ["exo"]
    # Every second take of takes.json; the fifth has no pose labels.
    assert after(videos, "--uids") == [uids[miniature.REPAIR], uids[miniature.COOK]]
    assert after(videos, "--release") == ["v2"] and videos[-1] == "-y"
    assert "2 takes" in lines[0]

    (_, videos), _ = calls_of(
        bin_dir,
        raw,
        ego=True,
        video="448",
        download={
            "uids": [uids[miniature.DANCE]],
            "benchmarks": ["egopose"],
            "splits": ["val"],
            "universities": ["upenn"],
            "take_parts": ["take_trajectory"],
        },
    )
    assert after(videos, "--parts") == [
        "downscaled_takes/448",
        "take_trajectory",
        "take_vrs_noimagestream",
    ]
    assert after(videos, "--views") == ["exo", "ego"]
    assert after(videos, "--uids") == [uids[miniature.DANCE]]
    assert after(videos, "--benchmarks") == ["egopose"] and after(videos, "--splits") == ["val"]
    assert after(videos, "--universities") == ["upenn"]

    calls, _ = calls_of(bin_dir, raw, download={"every": 0})
    assert len(calls) == 1


def test_mistaken_choices_are_refused(raw):
    with pytest.raises(UsageError, match="no part 'take'"):
        main.plan(raw, main.Options(download={"take_parts": ["take"]}))
    with pytest.raises(UsageError, match="no-such-uid is not in"):
        main.plan(raw, main.Options(download={"uids": ["no-such-uid"]}))


def manifest(uid, *files, **attributes):
    return {
        "uid": uid,
        "paths": [
            {"source_path": f"s3://b/{p}", "relative_path": p, "size": size, **more}
            for p, size, more in files
        ],
        **attributes,
    }


def test_plan_adds_up_the_chosen_files_offline(copy, bin_dir):
    uids, name = miniature.UIDS, f"takes/{miniature.REPAIR}/frame_aligned_videos/"
    here = (copy / f"{name}cam01.mp4").stat().st_size
    entries = [
        manifest(
            uids[miniature.REPAIR],
            (f"{name}cam01.mp4", here, {"views": ["exo"]}),
            (f"{name}cam02.mp4", 5_000_000, {"views": ["exo"]}),
            (f"{name}aria01_214-1.mp4", 7_000_000, {"views": ["ego"]}),
            (f"{name}note.txt", None, {}),
        ),
        manifest(uids[miniature.UNPOSED], ("other.mp4", 10**12, {"views": ["exo"]})),
        manifest(None, ("general.json", 1_000, {"views": None}), splits=None),
    ]
    wanted = main.Options(download={"uids": [uids[miniature.REPAIR]]})
    step = download.video_step(copy, wanted)
    cost = download.cost_of(copy, entries, step, wanted.download)
    assert (cost.files, cost.size, cost.unsized) == (4, here + 5_001_000, 1)
    assert cost.present == here

    path = download.manifest_path(copy, "takes", "v2")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(entries))
    lines = main.plan(copy, wanted)
    total = f"{(here + 5_001_000) / 1e9:,.3f} GB"
    assert any(
        "takes: 4 files" in x and total in x and "1 files of unknown size" in x for x in lines
    )
    assert any("total:" in x and total in x for x in lines)
    assert any("ego_pose_pseudo_gt: about 138.6 GB" in x for x in lines)
    assert any("aws s3 cp" in x for x in lines)

    path.write_text("<html>")
    with pytest.raises(CorruptInput, match="not valid JSON"):
        main.plan(copy, wanted)


def test_manifests_are_fetched_whole_or_not_at_all(tmp_path, bin_dir):
    root = tmp_path / "raw"
    wanted = download.DownloadOptions(fetch_manifests=True)
    with pytest.raises(WorkError, match=r"program aws is missing: .*posepile\[egoexo\]"):
        download.load_manifest(root, "takes", wanted)
    program(bin_dir, "aws", 'for x; do f="$x"; done; echo "[{" > "$f"; echo slow >&2; exit 1')
    with pytest.raises(WorkError, match="aws did not get s3://.*manifest.json: slow"):
        download.load_manifest(root, "takes", wanted)
    program(bin_dir, "aws", f"echo '{EXPIRED}' >&2; exit 1")
    with pytest.raises(WorkError, match="ego4d.dev/request/ego-exo4d"):
        download.load_manifest(root, "takes", wanted)
    assert not root.exists()
    program(bin_dir, "aws", 'for x; do f="$x"; done; echo "[]" > "$f"')
    assert download.load_manifest(root, "takes", wanted) == []
    assert download.manifest_path(root, "takes", "v2").is_file()


def test_plan_reaches_the_network_only_when_asked(copy, bin_dir):
    log = bin_dir / "calls"
    program(bin_dir, "aws", f'echo "$@" >> {log}; exit 1')
    for root in (copy, copy / "nothing_yet"):
        text = "\n".join(main.plan(root, main.Options()))
        assert "fetch_manifests=true" in text and "138.6 GB" in text
    assert not log.exists()
    with pytest.raises(WorkError, match="aws did not get"):
        main.plan(copy, main.Options(download={"fetch_manifests": True}))
    assert "metadata/manifest.json" in log.read_text()


def test_what_is_on_disk_is_said(copy):
    (line,) = main.calibrate(copy, main.Options())
    assert "6 of 6 videos of the 4 takes" in line
    (copy / f"takes/{miniature.REPAIR}/frame_aligned_videos/cam01.mp4").unlink()
    edit(
        copy / "annotations/splits.json",
        lambda c: c["take_uid_to_split"].pop(miniature.UIDS[miniature.DANCE]),
    )
    (line,) = main.calibrate(copy, main.Options())
    assert "3 of 4 videos of the 3 takes" in line and "1 are in no split" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"takes": c}, "not a list of takes"),
        (lambda c: [*c, {"take_uid": "x", "take_name": "y"}], "has no root_dir"),
    ],
)
def test_a_strange_list_of_takes_is_named(copy, change, message):
    path = copy / "takes.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(CorruptInput, match=f"takes.json: .*{message}.*download metadata"):
        main.list_units(copy, main.Options())


def test_a_test_take_of_unknown_length_is_counted(copy):
    def forget(content):
        for take in content:
            take.update(timesync_start_idx=None, timesync_end_idx=None, duration_sec=None)

    edit(copy / "takes.json", forget)
    sequence = load(copy, f"test/{miniature.COOK}/cam01")
    assert sequence.dropped == {"takes.json does not say how many frames": 1}


def test_downloads_say_nothing_about_results():
    a, b = main.Options(), main.Options(download={"every": 1})
    assert a.model_dump() == b.model_dump()


def test_doctor_counts_what_is_missing(copy):
    assert main.doctor(copy, main.Options()) == []
    for path in copy.glob("takes/*/frame_aligned_videos/*.mp4"):
        path.unlink()
    assert any("none of the 5 videos" in p for p in main.doctor(copy, main.Options()))
    for path in copy.glob("annotations/ego_pose/*/camera_pose/*.json"):
        path.unlink()
    assert any(
        "2 takes have labels but no camera_pose" in p for p in main.doctor(copy, main.Options())
    )


# ------------------------------------------------------------------------------- evaluation


def body_truth(raw, take, split, kind="annotation"):
    content = json.loads(label_path(raw, take, f"body/{kind}", split).read_text())
    poses = {}
    for frame, entries in content.items():
        if entries:
            joints = entries[0]["annotation3D"]
            poses[int(frame)] = np.array(
                [[joints[j][a] for a in "xyz"] if j in joints else [np.nan] * 3
                 for j in annotations.BODY_KEYS]
            )  # fmt: skip
    return poses


def noisy(poses, seed=0):
    rng = np.random.default_rng(seed)
    return {f: np.nan_to_num(p) + rng.normal(0, 0.03, p.shape) for f, p in poses.items()}


def reference_body(true, pred, extrinsics=None):
    """The benchmark's numbers of one take, by plain loops over the official definition."""
    frames = sorted(true)
    if extrinsics is not None:
        frames = [f for f in frames if f in extrinsics]
        rt = {f: extrinsics[f] for f in frames}
        true = {f: np.array([rt[f][0] @ x + rt[f][1] for x in true[f]]) for f in frames}
        pred = {f: np.array([rt[f][0] @ x + rt[f][1] for x in pred[f]]) for f in frames}
    errors, velocities = [], []
    for f in frames:
        for a, b in zip(true[f], pred[f], strict=True):
            if np.isfinite(a).all():
                errors.append(np.sqrt(((a - b) ** 2).sum()))
    for f, g in itertools.pairwise(frames):
        for j in range(17):
            if np.isfinite(true[f][j]).all() and np.isfinite(true[g][j]).all():
                v = (true[g][j] - true[f][j]) * 10 - (pred[g][j] - pred[f][j]) * 10
                velocities.append(np.sqrt((v**2).sum()))
    return 100 * np.mean(errors), np.mean(velocities)


@pytest.mark.parametrize("reference", ["global", "camera"])
def test_body_numbers_equal_plain_loops(raw, tmp_path, capsys, reference):
    uid = miniature.UIDS[miniature.DANCE]
    true = body_truth(raw, miniature.DANCE, "val")
    pred = noisy(true)
    path = tmp_path / "pred.json"
    path.write_text(
        json.dumps(
            {uid: {"take_name": "x", "body": {str(f): p.tolist() for f, p in pred.items()}}}
        )
    )
    gap = miniature.ARIA_FRAME_WITHOUT_POSE
    poses = {f: miniature.aria_pose(f) for f in true if f != gap}
    if reference == "global":  # frames without a pose of the glasses are left out all the same
        poses = {f: (np.eye(3), np.zeros(3)) for f in poses}
    cm, velocity = reference_body(true, pred, poses)
    args = ["body", "--pred-path", str(path), "--data-dir", str(raw), "--reference", reference]
    assert benchmark.main(args) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "pred.body_eval_val.json").read_text())
    assert result["scores"]["MPJPE_cm"] == pytest.approx(cm, rel=1e-9)
    assert result["scores"]["MPJVE_m_per_s"] == pytest.approx(velocity, rel=1e-9)
    assert result["scenarios"] == {"Dance": result["scores"]}
    assert result["left_out"] == {"without a pose of the glasses": 1}
    assert f"Dance: 1 takes, MPJPE {cm:.4f} cm" in printed


def test_body_scores_are_means_over_takes(raw):
    takes_ = {
        miniature.UIDS[t]: noisy(body_truth(raw, t, "train", "automatic"), seed)
        for seed, t in enumerate((miniature.REPAIR, miniature.DROPPED))
    }
    with pytest.raises(CorruptInput, match="camera_pose"):  # the dropped take has none
        benchmark.evaluate_body(raw, takes_, "train", "automatic")


def test_missing_predictions_are_named(raw):
    uid = miniature.UIDS[miniature.DANCE]
    with pytest.raises(WorkError, match=f"take {uid} .* is missing"):
        benchmark.evaluate_body(raw, {})
    pred = noisy(body_truth(raw, miniature.DANCE, "val"))
    del pred[4]
    with pytest.raises(WorkError, match="lacks frame 4"):
        benchmark.evaluate_body(raw, {uid: pred})


def test_submission_from_predictions_on_our_crops(raw, tmp_path):
    uid, name = miniature.UIDS[miniature.COOK], miniature.COOK
    rng = np.random.default_rng(3)
    coords = rng.normal(0, 500, (4, 61, 3))
    np.savez(
        tmp_path / "pred.npz",
        image_path=[
            f"egoexo4d_downscaled/{name}/cam0{c}/{f:06d}.jpg" for f in (0, 30) for c in (1, 2)
        ],
        coords3d_pred_world=coords,
    )
    out = tmp_path / "submission.json"
    args = ["body", "--split", "test", "--pred-path", str(tmp_path / "pred.npz")]
    assert benchmark.main([*args, "--data-dir", str(raw), "--submission", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written[uid]["take_name"] == f"takes/{name}"
    assert list(written[uid]["body"]) == ["0", "30"]
    mean = coords[2:].mean(axis=0)  # both views of frame 30
    nose = mean[annotations.JOINT_NAMES.index("nose")] / 1000
    np.testing.assert_allclose(written[uid]["body"]["30"][0], nose)
    assert np.shape(written[uid]["body"]["30"]) == (17, 3)

    dummy = tmp_path / "dummy_test.json"
    dummy.write_text(json.dumps({uid: {"body": {"0": [], "60": []}}}))
    more = ["--data-dir", str(raw), "--submission", str(out), "--frames", str(dummy)]
    assert benchmark.main([*args, *more]) == 1
    assert benchmark.main([*args, "--data-dir", str(raw)]) == 2


def plain_procrustes(x, y):
    """Error after the best rotation, scale and shift of y onto x, by numerical definition."""
    x0, y0 = x - x.mean(0), y - y.mean(0)
    u, s, vt = np.linalg.svd(y0.T @ x0)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(d)).sum() / (y0**2).sum()
    return np.linalg.norm(scale * y0 @ u @ d @ vt - x0, axis=1).mean()


def plain_hand_truth(raw):
    """Wrist-first joints of both hands in the frame of the glasses, for posed frames."""
    content = json.loads(label_path(raw, miniature.REPAIR, "hand/automatic").read_text())
    frames = {}
    for frame, entries in content.items():
        if int(frame) == miniature.ARIA_FRAME_WITHOUT_POSE:
            continue
        rotation, translation = miniature.aria_pose(int(frame))
        joints = entries[0]["annotation3D"]
        frames[frame] = {
            f"{side}_hand_3d": np.array(
                [
                    rotation @ [joints[f"{side}_{s}"][a] for a in "xyz"] + translation
                    for s in annotations.HAND_SUFFIXES
                ]
            )
            for side in ("left", "right")
        }
    return frames


@pytest.mark.parametrize("offset", [False, True])
def test_hand_numbers_equal_plain_loops(raw, tmp_path, offset):
    uid = miniature.UIDS[miniature.REPAIR]
    true = plain_hand_truth(raw)
    rng = np.random.default_rng(1)
    pred, errors, aligned = {uid: {}}, [], []
    for frame, hands in true.items():
        pred[uid][frame] = {}
        for key, joints in hands.items():
            guess = joints + rng.normal(0, 0.01, joints.shape)
            pred[uid][frame][key] = (guess - joints[0] if offset else guess).tolist()
            errors.append(1000 * np.linalg.norm(guess - joints, axis=1).mean())
            aligned.append(1000 * plain_procrustes(joints, guess))
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(pred))
    args = ["hand", "--pred-path", str(path), "--data-dir", str(raw), "--split", "train"]
    args += ["--labels", "automatic", *(["--offset"] if offset else [])]
    assert benchmark.main([*args, "--write-truth", str(tmp_path / "truth.json")]) == 0
    result = json.loads((tmp_path / "pred.hand_eval_train.json").read_text())
    assert result["scores"]["hands"] == len(errors) == 14
    assert result["scores"]["MPJPE_mm"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert result["scores"]["PA-MPJPE_mm"] == pytest.approx(np.mean(aligned), rel=1e-6)
    again = [*args, "--truth", str(tmp_path / "truth.json"), "--out", str(tmp_path / "again.json")]
    assert benchmark.main(again) == 0
    assert json.loads((tmp_path / "again.json").read_text())["scores"] == result["scores"]
    del pred[uid]["2"]["left_hand_3d"]
    path.write_text(json.dumps(pred))
    assert benchmark.main(args) == 1


def one_hand(frame=2):
    joints = miniature.hands_at(frame)
    world = 1000 * np.array([joints[f"right_{s}"] for s in annotations.HAND_SUFFIXES])
    pose = miniature.aria_pose(frame)
    linear = np.array([[150.0, 0, 255.5], [0, 150.0, 255.5], [0, 0, 1]])
    return world, cameras.project_undistorted(world, linear, *pose), pose


def test_rules_of_the_hand_benchmark():
    world, image, pose = one_hand()
    camera, valid, box = benchmark.hand_validity(world, image, pose)
    assert valid.all() and camera.shape == (21, 3)
    low, high = image.min(0) - 20, image.max(0) + 20
    np.testing.assert_allclose(box, np.clip([*low, *high], 0, 511))

    def judged(change_world=None, change_image=None, mask=None):
        w, i = world.copy(), image.copy()
        if change_world:
            change_world(w)
        if change_image:
            change_image(i)
        return benchmark.hand_validity(w, i, pose, mask)

    def lose_wrist(w):
        w[0] = np.nan

    assert all(len(x) == 0 for x in judged(lose_wrist))

    def far_label(i):
        i[[0, 7]] += 31  # the wrist is exempt

    _, valid, _ = judged(None, far_label)
    assert valid[0] and not valid[7] and valid.sum() == 20

    def no_label(i):
        i[9] = np.nan

    assert not judged(None, no_label)[1][9]

    def long_bone(w):
        w[8] += 60 * (w[8] - w[7]) / np.linalg.norm(w[8] - w[7]) + (w[8] - w[7])

    camera, valid, _ = judged(long_bone)
    assert not valid[8] and np.isnan(camera[8]).all()

    everything = np.ones((512, 512), bool)
    x, y = image[4].astype(int)
    everything[y, x] = False
    assert not judged(mask=everything)[1][4]

    def lose_twelve(i):
        i[1:13] = np.nan

    assert all(len(x) == 0 for x in judged(None, lose_twelve))  # nine joints are too few


def test_bones_and_angles_no_hand_has():
    world, _, _ = one_hand()
    assert not benchmark.implausible_joints(world).any()
    folded = world.copy()
    folded[7:9] = folded[6] + 0.2 * (folded[5] - folded[6])  # index folded back onto itself
    assert benchmark.implausible_joints(folded)[6]
    near_root = world.copy()
    near_root[5] = world[0] + 0.5 * (world[5] - world[0])  # 45 mm from the wrist
    assert benchmark.implausible_joints(near_root)[5]
    thumb = world.copy()
    thumb[1] = world[0] + 0.9 * (world[1] - world[0])  # the thumb may be that near
    assert not benchmark.implausible_joints(thumb)[1]
    missing = world.copy()
    missing[6] = np.nan
    assert not benchmark.implausible_joints(missing).any()


def test_few_views_do_not_count_for_manual_hands(copy):
    def reduce(content):
        for poses in content.values():
            for joint in poses[0]["annotation3D"].values():
                joint["num_views_for_3d"] = 2

    path = label_path(copy, miniature.REPAIR, "hand/automatic")
    edit(path, reduce)
    assert benchmark.hand_truth(copy, "train", "automatic")[0]
    manual = label_path(copy, miniature.REPAIR, "hand/annotation")
    manual.parent.mkdir(parents=True)
    path.rename(manual)
    truth, left_out = benchmark.hand_truth(copy, "train", "manual")
    assert truth == {} and left_out["frames without a valid hand"] == 7
