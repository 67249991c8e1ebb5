"""3DPW: everything in the axes of the camera, valid frames, and its evaluation."""

import pickle
import re
import shutil

import numpy as np
import pytest
from evaluation_kit import evaluate

from posepile.bodies.models import body_joints
from posepile.ds.tdpw import eval as evaluation
from posepile.ds.tdpw import main, miniature
from posepile.errors import CorruptInput, WorkError
from posepile.evaluation.meshes import moved
from posepile.formats.pickles import read_pickle

WALK, PAIR = "test/downtown_walking_00", "train/courtyard_basketball_00"


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("tdpw"), tmp_path / "tdpw")


def raw(root, name):
    return read_pickle(root / f"sequenceFiles/{name}.pkl")


def edit(root, name, **values):
    path = root / f"sequenceFiles/{name}.pkl"
    path.write_bytes(pickle.dumps(read_pickle(path) | values, protocol=2))


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def test_joints_are_in_the_axes_of_the_camera_pelvis_last(root):
    person, data = load(root)[PAIR].tracks[1], raw(root, PAIR)
    joints = np.reshape(data["jointPositions"][1], (-1, 24, 3))[person.frames]
    seen = moved(joints, data["cam_poses"][person.frames])
    np.testing.assert_allclose(person.world_coords, 1000 * seen[:, miniature.ORDER], atol=0.01)
    assert person.world_coords[:, :, 2].min() > 2000  # before the camera
    camera = load(root)[PAIR].camera
    assert np.allclose(camera.R, np.eye(3)) and not np.any(camera.t)
    np.testing.assert_allclose(camera.intrinsic_matrix, data["cam_intrinsics"], atol=1e-3)


def test_bodies_are_in_the_axes_of_the_camera(root):
    for sequence in load(root).values():
        for person in sequence.tracks:
            body = person.parameters(3)
            assert body["shape"].shape == (10,)
            found = body_joints("smpl", body["gender"], body, models_root=root / "body_models")
            found = 1000 * found[0, miniature.ORDER]
            np.testing.assert_allclose(found, person.world_coords[3], atol=0.05)
        assert sequence.checks["body_mm"] < 0.01


def test_frames_that_do_not_count_are_counted(root):
    pair = load(root)[PAIR]
    first, second = pair.tracks
    assert first.frames.tolist() == [0, 2, 3, 4, 5] and second.frames.tolist() == [*range(6)]
    reasons = [second.unusable(k) for k in range(6)]
    assert reasons == [None] * 3 + [main.UNDETECTED] + [None] * 2
    assert pair.dropped[main.MISALIGNED] == 1
    assert pair.image_name(4, 1) == "courtyard_basketball_00/image_00004_001.jpg"
    assert [s.split for s in load(root).values()] == ["train", "val", "test"]
    assert set(load(root, splits=["test"])) == {WALK}


def test_upright_and_wide_pictures_have_their_size(root):
    sizes = {name: sequence.frames.sizes[0] for name, sequence in load(root).items()}
    assert sizes[PAIR] == (1080, 1920) and sizes[WALK] == (1920, 1080)


def test_pictures_that_nothing_is_told_of_are_counted_and_missing_ones_refused(root):
    folder = root / "imageFiles/downtown_walking_00"
    shutil.copy(folder / "image_00005.jpg", folder / "image_00006.jpg")
    assert load(root)[WALK].dropped["picture without annotations"] == 1
    for k in (5, 6):
        (folder / f"image_{k:05d}.jpg").unlink()
    with pytest.raises(CorruptInput, match="found 5 pictures; expected 6, as in .*walking_00.pkl"):
        load(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"sequence": "other"}, "sequence: found 'other'; expected 'downtown_walking"),
        (lambda d: {"genders": ["m", "f"]}, "betas: found 1 people; expected 2"),
        (lambda d: {"poses": [d["poses"][0][1:]]}, r"where N is 5 as in poses\[0\]"),
        (lambda d: {"img_frame_ids": [0, 2]}, r"img_frame_ids: found shape \(2,\)"),
        (lambda d: {"cam_poses": d["cam_poses"].transpose(0, 2, 1)}, "expected 0 0 0 1"),
        (lambda d: {"trans": [d["trans"][0] + 0.1]}, "the body model puts joint .* mm from its"),
        (lambda d: {"betas": [d["betas"][0] + 1]}, "the body model puts joint .* mm from its"),
        (lambda d: {"genders": ["f"]}, "the body model puts joint .* mm from its place"),
        (lambda d: {"poses2d": [d["poses2d"][0] + 60.0]}, "2D labels lie 8.* px"),
        (lambda d: {"cam_intrinsics": np.eye(2)}, r"cam_intrinsics: found shape \(2, 2\)"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(root, change, message):
    edit(root, WALK, **change(raw(root, WALK)))
    with pytest.raises(CorruptInput, match=message) as error:
        load(root)
    assert "downtown_walking_00.pkl" in str(error.value) and "\n" not in str(error.value)


def test_without_models_there_are_joints_and_a_note(root):
    shutil.rmtree(root / "body_models")
    (person,) = load(root)[WALK].tracks
    assert person.parameters is None and "SMPL file was not found" in person.note
    assert len(person.world_coords) == 5
    (line,) = main.plan(root, main.Options())
    assert "basicmodel_m_lbs" in line and "there are no body parameters" in line


# ---------------------------------------------------------------- evaluation


def predict(root, folder, change=lambda x: x, **more):
    """Writes the stored joints, in the frame of the camera, as predictions."""
    for path in (root / "sequenceFiles").glob("*/*.pkl"):
        data = read_pickle(path)
        joints = [np.reshape(j, (-1, 24, 3)) for j in data["jointPositions"]]
        joints = np.stack([moved(j, data["cam_poses"]) for j in joints])
        file = folder / path.parent.name / path.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps({"jointPositions": change(joints), **more}))
    return folder


def figures(root, folder, protocol, *options):
    found = evaluate("tdpw", root, folder, "--protocol", protocol, *options)
    return found["figures"] | {"n": found["entries"]}


def test_true_joints_have_no_error_and_all_valid_frames_count(root, tmp_path):
    pred = predict(root, tmp_path / "pred", lambda j: j + 5)
    for protocol, n in (("tdpw.challenge-test", 5), ("tdpw.posepile", 20)):
        found = figures(root, pred, protocol)
        assert found["n"] == n
        assert found["MPJPE_mm"] == pytest.approx(0, abs=1e-2)
        assert found["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-2)


def test_figures_by_hand(root, tmp_path):
    """One limb joint of twelve 60.5 mm off, in all frames."""

    def off(joints):
        joints[:, :, 20, 1] += 0.0605
        return joints

    pred = predict(root, tmp_path / "pred", off)
    found = figures(root, pred, "tdpw.posepile")
    assert found["MPJPE_mm"] == pytest.approx(60.5 / 24, abs=1e-6)
    assert found["PCK50_percent"] == pytest.approx(100 * 11 / 12)
    area = 11 * (1 - 0.5 / 50) + 1 - 15.5 / 50  # 60.5 mm is in bin 15 of 50 up to 199
    assert found["AUC50_percent"] == pytest.approx(100 * area / 12)
    assert found["NCPS125_percent"] == 100
    found = figures(root, pred, "tdpw.challenge-test")
    assert found["PCK50"] == pytest.approx(11 / 12, abs=1e-6)
    # Model and stored joints differ by a thousandth of a millimetre: threshold 0 misses.
    area = (11 * (199 - 0.5) + 138.5) / 199
    assert found["AUC200"] == pytest.approx(area / 12, abs=1e-6)
    assert np.isnan(found["MPJAE_deg"])


def test_a_prediction_at_one_place_gets_the_mean_of_the_truth(root, tmp_path):
    pred = predict(root, tmp_path / "pred", np.zeros_like)
    data = raw(root, WALK)
    joints = 1000 * np.reshape(data["jointPositions"][0], (-1, 24, 3))[1:]
    expected = np.linalg.norm(joints - joints.mean(axis=1, keepdims=True), axis=-1).mean()
    found = figures(root, pred, "tdpw.challenge-test", "--units", "m")
    assert found["PA-MPJPE_mm"] == pytest.approx(expected, rel=1e-5)


def test_the_challenge_needs_all_tracks(root, tmp_path):
    pred = predict(root, tmp_path / "pred")
    with pytest.raises(WorkError, match="4 tracks; expected 87; or take tdpw.challenge-test"):
        figures(root, pred, "tdpw.challenge")


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda j: j[:, 1:], {}, r"jointPositions: found shape \(1, 5, 24, 3\); expected"),
        (lambda j: j[..., :14, :], {}, r"expected shape \(1, 6, 24, 3\)"),
        (lambda j: j * 1000, {}, "poses are 1000 times larger than the true ones"),
        (lambda j: j, {"units": "mm"}, "poses are 1000 times smaller"),
        (lambda j: j, {"units": "inch"}, "units: found 'inch'; expected mm, cm, m"),
        (lambda j: j * [1, np.nan, 1], {}, "joint 0.* of person 0, frame 1: found nan"),
    ],
)
def test_bad_predictions_are_refused_in_one_line(root, tmp_path, change, more, message):
    pred = predict(root, tmp_path / "pred", change, **more)
    with pytest.raises(WorkError, match=message) as error:
        figures(root, pred, "tdpw.challenge-test")
    said = str(error.value)
    assert "\n" not in said and "downtown_walking_00" in said and "fetch" not in said


def test_a_missing_sequence_is_named_and_an_unknown_one_listed(root, tmp_path):
    pred = predict(root, tmp_path / "pred")
    (pred / "train" / "courtyard_basketball_00.pkl").rename(pred / "train" / "more.pkl")
    with pytest.raises(WorkError, match=f"lacks sequence {PAIR}"):
        figures(root, pred, "tdpw.posepile")
    argv = ("--protocol", "tdpw.posepile", "--allow-missing")
    found = evaluate("tdpw", root, pred, *argv)
    assert found["entries"] == 10 and found["not_evaluated"]["first"] == ["train/more"]


def test_files_without_what_is_evaluated_are_refused(root, tmp_path):
    pred = predict(root, tmp_path / "pred")
    with pytest.raises(WorkError, match=re.escape("found no vertices; expected it")):
        figures(root, pred, "tdpw.hmr14")


def test_hmr_is_about_the_pelvis_of_the_regressor(root, tmp_path):
    """A mesh that is only moved has no error; one twice as large has none after Procrustes."""
    folder = tmp_path / "pred/test"
    folder.mkdir(parents=True)
    truth = evaluation.BENCHMARK.truth
    setup = type("Setup", (), {"root": root, "protocol": evaluation.HMR})
    (clip,) = truth(setup)
    assert clip.keys[0] == "person 0, frame 1"
    mesh = np.full((1, 6, *clip.truth["vertices"].shape[1:]), np.nan)
    mesh[0, 1:] = clip.truth["vertices"] / 1000 + [0.3, 0, 2]
    (folder / "downtown_walking_00.pkl").write_bytes(pickle.dumps({"vertices": mesh}))
    found = figures(root, folder.parent, "tdpw.hmr14")
    assert found["MPJPE_mm"] == pytest.approx(0, abs=1e-3) and found["PVE_mm"] < 1e-3
    mesh[0, 1:] *= 2
    (folder / "downtown_walking_00.pkl").write_bytes(pickle.dumps({"vertices": mesh}))
    found = figures(root, folder.parent, "tdpw.hmr14")
    assert found["MPJPE_mm"] > 100 and found["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-3)


def test_a_regressor_with_the_legs_the_other_way_is_refused(root, tmp_path):
    (tmp_path / "pred").mkdir()
    path = root / "body_models/smpl/J_regressor_h36m.npy"
    np.save(path, np.load(path)[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]])
    test_pred = predict(root, tmp_path / "pred", vertices=np.zeros((1, 6, 330, 3)) + 1.0)
    with pytest.raises(CorruptInput, match="row 1 is a joint of the right leg; expected SPIN's"):
        figures(root, test_pred, "tdpw.hmr14", "--units", "m")
