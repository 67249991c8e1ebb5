"""MPI-INF-3DHP: labels and cameras that do not fit together, the test set, its evaluation."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from posepile.ds.tdhp import eval as evaluation
from posepile.ds.tdhp import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry import markerless
from posepile.geometry.markerless import LABELLED, PELVIS_LAST
from posepile.geometry.pictures import project
from posepile.metrics import joint_errors

INNER = "mpi_inf_3dhp_test_set/mpi_inf_3dhp_test_set"


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "tdhp"
    shutil.copytree(raw_miniature("tdhp"), target)
    return target


def units(root, **options):
    options = main.Options(**options)
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name, **options):
    unit, options = units(root, **options)[name]
    return main.load_unit(root, unit, options)[0]


def test_joints_of_training_and_test_have_one_order():
    raw = (  # the 28 of the training labels, by hand
        "spi3,spi4,spi2,spin,pelv,neck,head,htop,lcla,lsho,lelb,lwri,lhan,rcla,rsho,relb,rwri,"
        "rhan,lhip,lkne,lank,lfoo,ltoe,rhip,rkne,rank,rfoo,rtoe"
    ).split(",")
    assert [raw[j] for j in markerless.OF_STUDIO] == LABELLED.split(",")
    official = [8, 6, 15, 16, 17, 10, 11, 12, 24, 25, 26, 19, 20, 21, 5, 4, 7]  # from one
    assert [j + 1 for j in markerless.OF_STUDIO] == official
    assert main.SPEC.joint_info.names[-1] == "pelv"


def test_cameras_of_the_test_set_are_those_published():
    studio, field = main.get_test_camera_subj1_4(), main.get_test_camera_subj5_6()
    np.testing.assert_allclose(studio.intrinsic_matrix[:2, 2], [1017.387, 1043.032], atol=1e-3)
    # From millimetres on the sensor, as in the calibration files: no aspect in cy.
    f, aspect, offset = 8.770747185, 0.993236423, (-0.104908645, 0.104899704)
    expected = [
        [f * 192, 0, (5 + offset[0]) * 192],
        [0, f * 192 * aspect, (2.8125 + offset[1]) * 192],
    ]
    np.testing.assert_allclose(field.intrinsic_matrix[:2], expected, atol=1e-3)
    assert field.has_distortion() and not studio.has_distortion()
    assert not main.test_camera("TS5").has_distortion()  # its 2D labels have none
    for camera, center in ((studio, 1387.86), (field, 1038.6707)):
        assert camera.t[1] == pytest.approx(center)
        rotation = np.float64(camera.R)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(rotation) == pytest.approx(1) and rotation[1, 1] < -0.9


def test_frames_of_a_take_are_those_with_everybody_inside(root):
    sequence = load(root, "S8/Seq1/1")
    points = project(sequence.camera, sequence.tracks[0].world_coords)
    assert (points >= -0.5).all() and (points <= 2047.5).all()
    assert len(points) + sequence.dropped["a joint outside the picture"] == 4  # 0, 5, 10, 15
    assert sequence.dropped["a joint outside the picture"] > 0
    assert load(root, "S1/Seq1/0").split == "train" and load(root, "S8/Seq1/1").split == "val"
    assert {name for name in units(root, subjects=["S1"])} == {
        "S1/Seq1/0",
        "S1/Seq1/8",
        "S1/Seq2/4",
    }
    with pytest.raises(UsageError, match="no subject TS7"):
        units(root, subjects=["TS7"])


def test_masks_are_red_but_for_two_takes(root):
    assert load(root, "S1/Seq2/4").tracks[0].mask is None
    track = load(root, "S1/Seq1/0").tracks[0]
    assert track.mask(0) is not None
    shutil.rmtree(root / "S1/Seq1/FGmasks")
    assert load(root, "S1/Seq1/0").tracks[0].mask is None


def test_labels_and_cameras_that_do_not_fit_together_are_refused(root):
    path = root / "S1/Seq1/annot.mat"
    content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    content["frames"] = content["frames"] + 1
    savemat(path, content)
    with pytest.raises(CorruptInput, match=r"frames: found other numbers"):
        load(root, "S1/Seq1/0")
    for cut, text in (("annot3", "annot3: found 13 cells; expected 14"), ("", "found 13 cameras")):
        changed = content | {"frames": content["frames"] - 1}
        for key in ("annot2", "annot3", "cameras"):
            if cut in ("", key):
                changed[key] = changed[key][:13] if key != "cameras" else np.arange(13)
        savemat(path, changed)
        markerless.read_views.cache_clear()
        with pytest.raises(CorruptInput, match=text):
            load(root, "S1/Seq1/0")
    markerless.read_views.cache_clear()
    calibration = root / "S1/Seq2/camera.calibration"
    text = calibration.read_text()
    for old, new, fault in (
        ("Skeletool", "Skeleton", "line 1: found 'Skeleton Camera"),
        ("name          13", "name          12", "camera 12: found at line"),
        ("radial      0", "radial      0.1", "radial"),
        ("size        2048 2048", "size        2048 204", r"pictures of \(2048, 204\)"),
        ("extrinsic", "extrinsics", "the key extrinsic"),
    ):
        calibration.write_text(text.replace(old, new, 1))
        assert calibration.read_text() != text
        with pytest.raises(CorruptInput, match=fault):
            load(root, "S1/Seq2/4")
    blocks = text.split("name")
    calibration.write_text("name".join(blocks[:-1]))
    with pytest.raises(CorruptInput, match="found cameras 0, 1, .*; expected 0 to 13"):
        load(root, "S1/Seq2/4")


def edit_test(root, name, change):
    import h5py

    with h5py.File(root / INNER / name / "annot_data.mat", "r+") as file:
        change(file)


def test_frames_of_the_test_set_are_the_valid_ones(root):
    sequence = load(root, "TS1")
    valid = np.array([0, 1, 1, 0, 1])
    assert sequence.tracks[0].frames.tolist() == np.flatnonzero(valid).tolist()
    assert sequence.dropped["not a valid frame"] == 2
    assert sequence.image_name(1, 0) == "TS1/imageSequence/img_000002.jpg"
    assert sequence.frames.paths[1].name == "img_000002.jpg"
    shutil.move(root / INNER / "TS1", root / "TS1")  # as PosePile has it
    assert load(root, "TS1").tracks[0].frames.tolist() == [1, 2, 4]
    (root / "TS1/imageSequence/img_000005.jpg").unlink()
    with pytest.raises(CorruptInput, match="found 4 frames; expected 5"):
        load(root, "TS1")


def test_test_labels_of_another_order_or_release_are_refused(root):
    def older(file):  # knees and ankles that were corrected since
        file["annot3"][:, 0, [9, 10, 12, 13], 0] += 60

    edit_test(root, "TS6", older)
    with pytest.raises(CorruptInput, match=r"legs: 2D labels .*an older release"):
        load(root, "TS6")

    def transposed(file):
        data = file["univ_annot3"][()]
        file["univ_annot3"][...] = data[..., [1, 0, 2]]

    edit_test(root, "TS3", transposed)
    with pytest.raises(CorruptInput, match="poses of universal size are up to"):
        load(root, "TS3")
    edit_test(root, "TS4", lambda file: file["activity_annotation"].__setitem__(..., 8))
    with pytest.raises(CorruptInput, match="activity: found 8; expected 1 to 7"):
        load(root, "TS4")


# ---------------------------------------------------------------- evaluation


def run(root, pred, protocol, *more):
    out = pred.with_suffix(".json")
    argv = ["--pred-path", str(pred), "--data-dir", str(root), "--protocol", protocol]
    code = evaluation.main([*argv, "--out", str(out), *more])
    return code, json.loads(out.read_text())["figures"] if code == 0 else None


def true_poses(root, kind="univ_annot3"):
    poses = {}
    for name in main.TESTS:
        labels = markerless.read_valid(root / INNER / name / "annot_data.mat", 2)
        rows = np.flatnonzero(labels["valid"])
        keys = [f"3dhp/{name}/imageSequence/img_{row + 1:06d}.jpg" for row in rows]
        poses |= dict(zip(keys, labels[kind][rows], strict=True))
    return poses


def write_mat(path, poses):
    content = {}
    for name in main.TESTS:
        rows = [pose for key, pose in poses.items() if f"/{name}/" in key]
        content[name] = np.stack([pose.T[:, :, None] for pose in rows], axis=-1)
    savemat(path, content)
    return path


def write_npz(path, poses, **more):
    keys = list(poses)
    np.savez(path, image_path=keys, coords3d_pred_world=[poses[k] for k in keys], **more)
    return path


def relative(poses):
    return {key: pose - pose[14] for key, pose in poses.items()}


def test_a_distance_of_150_mm_is_wrong_and_the_threshold_0_counts(root, tmp_path):
    """Of 14 joints one is exactly at 150, one below it, one at 0; all others are far away."""
    poses = relative(true_poses(root))
    for pose in poses.values():
        pose[:14] += (1000, 0, 0)
        pose[0] -= (850, 0, 0)
        pose[3] -= (1000 - 149.9, 0, 0)
        pose[5] -= (1000, 0, 0)
        pose[15] += (0, 0, 7)
    code, found = run(root, write_mat(tmp_path / "pred.mat", poses), "tdhp.official")
    assert code == 0
    # Rounding decides at exactly 150: it is the distance of the numbers that are there.
    hit = [
        d < 150
        for d in (
            np.linalg.norm(p[0] - t[0])
            for p, t in zip(poses.values(), relative(true_poses(root)).values(), strict=True)
        )
    ]
    assert found["PCK150_percent"] == pytest.approx(100 * (2 + np.mean(hit)) / 14)
    assert found["MPJPE_mm"] == pytest.approx((11 * 1000 + 150 + 149.9 + 7) / 17, abs=1e-3)
    shares = (30 + 1) / 31 - 1 / 31 + 1 / 31  # of the joint at 0: all but the threshold 0
    assert found["AUC150_percent"] == pytest.approx(
        100 * (shares + 1 / 31 + np.mean(hit) / 31 - 1 / 31) / 14, abs=0.01
    )


def test_official_predictions_are_taken_as_they_are(root, tmp_path):
    absolute = write_mat(tmp_path / "pred.mat", true_poses(root))
    _, found = run(root, absolute, "tdhp.official")
    assert found["MPJPE_mm"] > 1000 and found["PCK150_percent"] == 0
    _, found = run(root, absolute, "tdhp.official-corrected")
    assert found["MPJPE_mm"] == pytest.approx(0, abs=1e-6)
    assert found["PCK150_percent"] == 100
    assert found["AUC150_percent"] == pytest.approx(100 * 30 / 31)


def test_means_over_sequences_count_each_once(root, tmp_path):
    poses = relative(true_poses(root))
    counts = dict.fromkeys(main.TESTS, 0)
    for key, pose in poses.items():
        counts[key.split("/")[1]] += 1
        pose[:14] += (170 if "/TS1/" in key else 20, 0, 0)
    _, found = run(root, write_mat(tmp_path / "pred.mat", poses), "tdhp.official-corrected")
    pooled = 1 - counts["TS1"] / sum(counts.values())
    assert found["PCK150_percent"] == pytest.approx(100 * pooled)
    assert found["PCK150-sequence-mean_percent"] == pytest.approx(100 * 5 / 6)


def test_either_form_and_order_of_joints_gives_the_same(root, tmp_path):
    rng, true = np.random.default_rng(1), true_poses(root, "annot3")
    poses = {key: pose + rng.normal(0, 80, (17, 3)) for key, pose in true.items()}
    expected = run(root, write_mat(tmp_path / "a.mat", poses), "tdhp.posepile")[1]
    assert run(root, write_npz(tmp_path / "b.npz", poses), "tdhp.posepile")[1] == pytest.approx(
        expected
    )
    ours = {
        key.replace("3dhp/", "3dhp_downscaled/"): pose[list(PELVIS_LAST)] / 1000
        for key, pose in poses.items()
    }
    packed = write_npz(tmp_path / "c.npz", ours, units="m")
    assert run(root, packed, "tdhp.posepile", "--root-last")[1] == pytest.approx(expected)
    errors = [
        joint_errors((poses[key] - poses[key][14])[None], (pose - pose[14])[None])
        for key, pose in true.items()
    ]
    assert expected["MPJPE_mm"] == pytest.approx(np.mean(errors))
    assert expected["PA-MPJPE_mm"] < expected["MPJPE_mm"]


BAD = {
    "not finite": (lambda p: p | {next(iter(p)): np.full((17, 3), np.nan)}, "joint 0"),
    "missing": (lambda p: dict(list(p.items())[1:]), "lacks image 3dhp/TS1"),
    "another shape": (lambda p: {k: v[:16] for k, v in p.items()}, "expected 17"),
    "metres": (lambda p: {k: v / 1000 for k, v in p.items()}, "times smaller"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_predictions_are_one_line(root, tmp_path, capsys, name):
    change, text = BAD[name]
    pred = write_npz(tmp_path / "pred.npz", change(true_poses(root, "annot3")))
    code, _ = run(root, pred, "tdhp.posepile")
    said = capsys.readouterr().err
    assert code == 1 and said.count("\n") == 1 and text in said and str(pred) in said


def test_mat_files_of_other_shapes_and_clips_are_told(root, tmp_path, capsys):
    poses = relative(true_poses(root))
    write_mat(tmp_path / "pred.mat", poses)
    content = {k: v for k, v in loadmat(tmp_path / "pred.mat").items() if k[0] != "_"}
    for change, text in (
        ({"TS1": content["TS1"][..., :-1]}, "joints: 2 entries, but TS1 has 3"),
        ({"TS2": content["TS2"].transpose(1, 0, 2, 3)}, "TS2: found shape (17, 3"),
        ({"TS3": None}, "lacks sequence TS3"),
        ({"units": "feet"}, "units: found 'feet'"),
    ):
        changed = {k: v for k, v in (content | change).items() if v is not None}
        savemat(tmp_path / "bad.mat", changed)
        code, _ = run(root, tmp_path / "bad.mat", "tdhp.official")
        said = capsys.readouterr().err
        assert code == 1 and text in said and said.count("\n") == 1, said
    savemat(tmp_path / "more.mat", content | {"TS7": content["TS1"]})
    assert run(root, tmp_path / "more.mat", "tdhp.official")[0] == 0
    assert "Predicted but not evaluated: 1, e.g. TS7" in capsys.readouterr().out
    (tmp_path / "no.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    code, _ = run(root, tmp_path / "no.mat", "tdhp.official")
    said = capsys.readouterr().err
    assert code == 1 and "write the predictions again" in said and "fetch" not in said


def test_the_worst_frames_are_drawn_over_their_pictures(root, tmp_path):
    poses = true_poses(root, "annot3")
    key = "3dhp/TS5/imageSequence/img_000001.jpg"
    poses[key] = poses[key] + np.random.default_rng(0).normal(0, 200, (17, 3))
    code, _ = run(root, write_npz(tmp_path / "pred.npz", poses), "tdhp.posepile", "--worst", "2")
    page = (tmp_path / "pred.worst.html").read_text()
    assert code == 0 and "TS5" in page and "data:image" in page
    labels = markerless.read_valid(root / INNER / "TS5/annot_data.mat", 2)
    camera = main.test_camera("TS5", axes=True)
    off = project(camera, labels["annot3"][0]) - labels["annot2"][0]
    assert np.abs(off).max() < 3  # hips and spine
