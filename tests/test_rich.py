"""RICH: worlds and cameras of scenes, fits and meshes, which frame is which, its evaluations."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest

from posepile.bodies.fits import read_fits
from posepile.bodies.parameters import load_hands
from posepile.bodies.surface import joint_regressor
from posepile.ds.rich import eval as rich_eval
from posepile.ds.rich import eval_truth, main
from posepile.errors import CorruptInput, WorkError
from posepile.evaluation import meshes
from posepile.geometry.pictures import project
from posepile.miniature import writers
from posepile.shapes.multiview import SMALL

BBQ, PAVALLION = "train/BBQ_001_x1", "val/Pavallion_003_018_y1"
PREFIX = "ps/project/multi-ioi/rich_release"
TEST = "LectureHall_011_z1"


@pytest.fixture
def root(raw_miniature, tmp_path, monkeypatch):
    raw, target = raw_miniature("rich"), tmp_path / "rich"
    shutil.copytree(raw, target, ignore=shutil.ignore_patterns("body_models"))
    # Large models are read once, and not for each copy.
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(raw / "body_models"))
    return target


def load(root, only="", **options):
    main.load_people.cache_clear()  # files do not change in a run
    options = main.Options(**options)
    units = [unit for unit in main.list_units(root, options) if only in unit.id]
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def refit(root, change, recording=f"train_body/{BBQ[6:]}"):
    for path in (root / recording).rglob("*.pkl"):
        fit = pickle.loads(path.read_bytes())
        path.write_bytes(pickle.dumps(fit | change(fit)))


def test_files_are_found_below_the_prefix_of_the_archives(root):
    found = load(root)
    assert set(found) == {f"{BBQ}/cam_0{v}" for v in (0, 1)} | {
        f"{PAVALLION}/cam_0{v}" for v in (0, 3)
    }
    for name in ("val", "val_body", "scan_calibration/Pavallion"):
        (root / PREFIX / name).rename(root / name)
    assert set(load(root)) == set(found)


def test_pictures_of_the_moving_camera_are_counted_once(root):
    lost = [s.dropped[main.UNCALIBRATED] for s in load(root, BBQ).values()]
    assert sorted(lost) == [0, 3]


def test_numbers_of_pictures_are_those_of_the_fits(root):
    sequence = load(root, f"{PAVALLION}/cam_03")[f"{PAVALLION}/cam_03"]
    assert sequence.image_name(48, 1) == f"{PAVALLION}/cam_03/00048_03_018.jpg"
    assert [t.frames.tolist() for t in sequence.tracks] == [
        [46, 47, 48],
        [46, 47],
    ]  # one is missing
    folder = root / PREFIX / PAVALLION / "cam_03"
    (folder / "00046_03.jpeg").unlink()
    sequence = load(root, f"{PAVALLION}/cam_03")[f"{PAVALLION}/cam_03"]
    # As in the other cameras, which have all pictures.
    assert [t.frames.tolist() for t in sequence.tracks] == [[47, 48], [47]]
    assert sequence.dropped[main.NO_PICTURE] == 2
    assert sequence.image_name(48, 0).endswith("/00048_03_003.jpg")


def test_one_frame_has_one_picture(root):
    folder = root / BBQ / "cam_00"
    shutil.copy(folder / "00012_00.jpg", folder / "00012_00.bmp")
    with pytest.raises(
        CorruptInput, match=r"number 12: found at 00012_00.bmp and at 00012_00.jpg"
    ):
        load(root)


@pytest.mark.parametrize("name", [f"{BBQ}/cam_01", f"{PAVALLION}/cam_03"])
def test_the_world_is_level_and_pictures_agree(root, raw_miniature, name):
    sequence = load(root, name)[name]
    joints = sequence.tracks[0].world_coords
    ankles, neck = joints[:, [7, 8]].mean(axis=1), joints[:, 12]
    up = (neck - ankles) / np.linalg.norm(neck - ankles, axis=1, keepdims=True)
    assert (up[:, 2] > 0.97).all()
    assert (sequence.frames.sizes[0][0] > sequence.frames.sizes[0][1]) == ("cam_01" in name)
    # As the authors' tools project: published frame, without distortion.
    plain = load(root, name, distortion=False)[name]
    _, recording, view = name.split("/")
    scene = recording.split("_")[0]
    calibration = main.find(root, f"scan_calibration/{scene}") / f"calibration/0{view[4:]}.xml"
    found = main.read_opencv_xml(calibration, main.CAMERA)
    pose, k = found["CameraMatrix"].reshape(3, 4), found["Intrinsics"].reshape(3, 3)
    people = main.load_people(
        root / "resource/gender.json",
        tuple(
            main.find_fits(
                main.find(root, name.split("/")[0] + f"_body/{recording}"), ["001", "003"]
            )
        ),
        None,
    )
    (_, _, published), *_ = people.values()
    seen = (published / 1000 @ pose[:, :3].T + pose[:, 3]) @ k.T
    points = project(plain.camera, plain.tracks[0].world_coords)
    np.testing.assert_allclose(points, seen[..., :2] / seen[..., 2:], atol=0.02)


def test_parameters_give_the_joints_in_the_same_world(root):
    for sequence in load(root).values():
        for track in sequence.tracks:
            body = track.parameters(len(track.frames) - 1)
            joints = main.smplx_output_joints(
                body["gender"],
                {k: body[k] for k in ("pose", "shape", "trans", "expression")},
            )
            np.testing.assert_allclose(1000 * joints[0], track.world_coords[-1], atol=0.05)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: {"R": np.transpose(w["R"])}, "R: up is .* degrees from that of BBQ"),
        (lambda w: {"R": np.multiply(w["R"], 1.05)}, "from the nearest rotation"),
        (lambda w: {"R": np.multiply(w["R"], [1, 1, -1])}, "from the nearest reflection"),
    ],
)
def test_a_world_that_is_none_is_refused(root, change, text):
    path = root / "multicam2world/BBQ_multicam2world.json"
    world = json.loads(path.read_text())
    writers.write_json(path, world | change(world))
    with pytest.raises(CorruptInput, match=text):
        load(root, BBQ)


def test_the_meta_file_tells_the_scan_of_lecture_hall(root):
    found = load(root, "test/", parts=["test"])
    assert set(found) == {f"test/{TEST}/cam_00", f"test/{TEST}/cam_01"}
    path = root / "resource/meta/test.txt"
    path.write_text(path.read_text().replace("scan_chair_scene", "scan_yoga_scene"))
    with pytest.raises(CorruptInput, match="LectureHall_yoga_multicam2world.json: R: up is 7"):
        load(root, "test/", parts=["test"])
    path.write_text(path.read_text().partition("\n")[0] + "\n")
    with pytest.raises(CorruptInput, match=f"test.txt: found no row of {TEST}"):
        load(root, "test/", parts=["test"])


def test_a_wrong_gender_shows_in_the_mesh(root):
    path = root / "resource/gender.json"
    writers.write_json(path, json.loads(path.read_text()) | {"1": "female"})
    with pytest.raises(
        CorruptInput, match=r"001.ply: the female SMPL-X mesh of the parameters is"
    ):
        load(root, BBQ)
    writers.write_json(path, {"2": "male"})
    with pytest.raises(CorruptInput, match=r"gender.json: found no subject 1; expected 0 to 21"):
        load(root, BBQ)


@pytest.mark.parametrize(
    "change",
    [
        lambda fit: {"transl": fit["transl"] + 0.01},
        lambda fit: {"left_hand_pose": 0 * fit["left_hand_pose"]},
        lambda fit: {"left_hand_pose": fit["right_hand_pose"]},
        lambda fit: {"expression": fit["betas"], "betas": fit["expression"]},
        lambda fit: {"jaw_pose": 0 * fit["jaw_pose"]},
        lambda fit: {"global_orient": -fit["global_orient"]},
    ],
)
def test_parameters_of_another_convention_show_in_the_mesh(root, change):
    refit(root, change)
    with pytest.raises(CorruptInput, match=r"001.ply: the male SMPL-X mesh of the parameters is"):
        load(root, BBQ)


def test_it_is_told_if_the_mean_hand_was_in_the_fits(root, raw_miniature):
    (file, *_) = main.find_fits(root / f"train_body/{BBQ[6:]}", ["001"])
    who = {"gender": "male", "models_root": raw_miniature("rich") / "body_models"}
    fit = read_fits([file], **who)
    fit["pose"][:, 75:] -= load_hands(who["models_root"] / "smplx/SMPLX_MALE.npz").mean.ravel()
    (mesh,) = meshes.posed_bodies("smplx", params=fit, **who)["vertices"]
    writers.write_ply(file.with_suffix(".ply"), mesh / 1000, np.array([[0, 1, 2]]))
    with pytest.raises(CorruptInput, match=r"agrees to 0.0. mm with the mean hand not added"):
        load(root, BBQ)


def test_fits_of_another_form_are_one_line(root):
    refit(root, lambda fit: {"body_pose": fit["body_pose"][:, :60]})
    with pytest.raises(CorruptInput, match=r"001.pkl: body_pose: found shape \(1, 60\)"):
        load(root, BBQ)


def test_smaller_copies_of_the_pictures_are_refused(root):
    path = root / "scan_calibration/BBQ/calibration/001.xml"
    found = main.read_opencv_xml(path, main.CAMERA)
    large = found["Intrinsics"].reshape(3, 3) * [[4], [4], [1]]
    numbers = {"CameraMatrix": found["CameraMatrix"].reshape(3, 4), "Intrinsics": large}
    numbers["Distortion"] = found["Distortion"].reshape(1, -1)
    writers.write_opencv_xml(path, numbers)
    with pytest.raises(CorruptInput, match=r"001.xml: principal point .*1028 x 752 pixels"):
        load(root, f"{BBQ}/cam_01")
    path.write_text(path.read_text().replace("CameraMatrix", "Camera"))
    with pytest.raises(CorruptInput, match=r"001.xml: .*CameraMatrix"):
        load(root, f"{BBQ}/cam_01")


@pytest.mark.parametrize(
    "change",
    [
        lambda pose: np.hstack([pose[:, :3].T, pose[:, 3:]]),  # rows and columns exchanged
        lambda pose: np.diag([1, -1, -1]) @ pose,  # y up
        lambda pose: np.hstack([pose[:, :3], 1000 * pose[:, 3:]]),  # millimetres
    ],
)
def test_a_camera_that_sees_nobody_is_refused(root, change):
    path = root / "scan_calibration/BBQ/calibration/001.xml"
    found = main.read_opencv_xml(path, main.CAMERA)
    shapes = {"CameraMatrix": (3, 4), "Intrinsics": (3, 3), "Distortion": (1, -1)}
    numbers = {name: found[name].reshape(shape) for name, shape in shapes.items()}
    writers.write_opencv_xml(path, numbers | {"CameraMatrix": change(numbers["CameraMatrix"])})
    with pytest.raises(CorruptInput, match=r"001.xml: in none of \d+ poses"):
        load(root, f"{BBQ}/cam_01")


def test_people_too_small_are_left_out(root):
    (sequence,) = load(root, f"{BBQ}/cam_00", min_side=1e3).values()
    assert sequence.tracks[0].unusable(0) == SMALL
    (sequence,) = load(root, f"{BBQ}/cam_00").values()
    assert sequence.tracks[0].unusable(0) is None


def test_without_the_models_it_is_said_where_they_belong(root, monkeypatch):
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(root))
    assert "SMPLX_FEMALE.npz, SMPLX_MALE.npz" in main.plan(root, main.Options())[0]
    with pytest.raises(WorkError, match="SMPLX_MALE.npz not found"):
        load(root, BBQ)


# Evaluation.


@pytest.fixture(scope="module")
def raw(raw_miniature):
    return raw_miniature("rich")


@pytest.fixture(scope="module")
def truth(raw):
    """Key of each entry -> mesh of SMPL in the frame of the camera, mm."""
    files = main.find_fits(raw / f"test_body/{TEST}", ["011"])
    clips = list(eval_truth.body_clips(raw, TEST, files))
    assert [clip.name for clip in clips] == [f"{TEST}/cam_00/011", f"{TEST}/cam_01/011"]
    return {k: v for c in clips for k, v in zip(c.keys, c.truth["vertices"], strict=True)}


@pytest.fixture
def score(raw, tmp_path, capsys):
    """Returns the figures of predictions, or the one line by which they are refused."""

    def run(keys, *options, **arrays):
        path, out = tmp_path / "pred.npz", tmp_path / "result.json"
        np.savez(path, image_path=np.array(list(keys), str), **arrays)
        given = ["--pred-path", path, "--data-dir", raw, "--out", out, *options]
        code = rich_eval.main([str(value) for value in given])
        if code:
            text = capsys.readouterr().err.rstrip("\n")
            assert code == 1 and "\n" not in text and str(path) in text, text
            return text
        return json.loads(out.read_text())["figures"]

    return run


def array(truth):
    return np.array(list(truth.values()))


def test_moving_a_body_costs_nothing(truth, score):
    figures = score(truth, vertices=(array(truth) + np.array([10, 20, 500])) / 1000)
    assert list(figures) == ["MPJPE_mm", "PA-MPJPE_mm", "PVE_mm", "acceleration_m_per_s2"]
    assert max(figures.values()) < 1e-4


def test_figures_by_hand(raw, truth, score):
    """A body that is a tenth larger about its hips in the middle frame of each view."""
    regressor = joint_regressor("smpl", "neutral", models_root=raw / "body_models")
    vertices = array(truth)
    joints = regressor @ vertices
    hips = joints[:, [1, 2]].mean(axis=1, keepdims=True)
    larger = vertices.copy()
    larger[[1, 4]] = (hips + 1.1 * (vertices - hips))[[1, 4]]
    figures = score(truth, vertices=larger / 1000)
    reach = np.linalg.norm(joints - hips, axis=-1)[[1, 4]]
    assert figures["MPJPE_mm"] == pytest.approx(0.1 * reach.mean() / 3, rel=1e-6)
    assert figures["PA-MPJPE_mm"] < 1e-4
    skin = np.linalg.norm(vertices - hips, axis=-1)[[1, 4]]
    assert figures["PVE_mm"] == pytest.approx(0.1 * skin.mean() / 3, rel=1e-6)
    # The second difference is off by -2 times the error of the middle frame, at 30 fps.
    expected = 2 * 0.1 * reach.mean() * 30**2 / 1000
    assert figures["acceleration_m_per_s2"] == pytest.approx(expected, rel=1e-6)


def test_the_truth_has_hands_and_face_at_rest_and_its_own_gender(raw, truth, score):
    files = main.find_fits(raw / f"test_body/{TEST}", ["011"])
    poses = eval_truth.camera_poses(raw, TEST)
    values = {}
    for gender in ("male", "female"):  # subject 11 is male
        who = {"gender": gender, "models_root": raw / "body_models"}
        mesh = meshes.smpl_of_fits(files, who, raw)
        values[gender] = np.concatenate([mesh @ r.T + t for r, t in poses.values()])
    assert max(score(truth, vertices=values["male"] / 1000).values()) < 1e-6
    assert score(truth, vertices=values["female"] / 1000)["PA-MPJPE_mm"] > 1
    fit = pickle.loads(files[0].read_bytes())
    assert all(np.abs(fit[part]).max() > 0.01 for part in ("jaw_pose", "left_hand_pose"))


def test_meshes_of_smplx_become_those_of_smpl(raw, truth, score):
    rng = np.random.default_rng(0)
    large = rng.normal((0, 0, 3), 0.4, (6, 10475, 3))
    small = meshes.smpl_of_smplx(large, raw)
    expected = score(truth, vertices=small)
    assert score(truth, vertices=large) == pytest.approx(expected, rel=1e-9)
    matrix = pickle.loads((raw / "body_models/smplx/smplx2smpl.pkl").read_bytes())["matrix"]
    np.testing.assert_allclose(small, np.einsum("sv,nvc->nsc", matrix, large), atol=1e-12)


def test_bodies_are_posed_by_the_neutral_model(raw, truth, score):
    rng = np.random.default_rng(0)
    body = {"pose": rng.normal(0, 0.2, (6, 72)), "betas": rng.normal(size=(6, 10))}
    body["trans"] = rng.normal((0, 0, 3), 0.2, (6, 3))
    params = {"pose": body["pose"], "shape": body["betas"], "trans": body["trans"]}
    posed = meshes.posed_bodies("smpl", "neutral", params, models_root=raw / "body_models")
    expected = score(truth, vertices=posed["vertices"] / 1000)
    assert score(truth, **body) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda k, v: (k[:-1], v[:-1]), "lacks image .*cam_01/00346_01_011.jpg, 1 of 3"),
        (lambda k, v: ([*k[:-1], k[0]], v), "image .*00344_00_011.jpg is there 2 times"),
        (lambda k, v: (k, 1000 * v), "times larger than the true ones"),
        (lambda k, v: (k, v[:, :100]), "vertices: found 100 of each; expected 330 or 10475"),
        (lambda k, v: (k, v[..., :2]), r"vertices: found shape \(6, 330, 2\)"),
        (lambda k, v: (k[:4], v), "vertices has 6 rows; expected 4"),
        (lambda k, v: (k, np.where(np.arange(6)[:, None, None] == 4, np.nan, v)),
         "vertices 0, 0 of .*cam_01/00345_01_011.jpg: found nan"),
        (lambda k, v: (["x.jpg"] * 0, v[:0]), "lacks image .* and 2 more, 3 of 3"),
    ],
)  # fmt: skip
def test_bad_predictions_are_refused(truth, score, change, text):
    keys, vertices = change(list(truth), array(truth) / 1000)
    said = score(keys, vertices=vertices)
    assert isinstance(said, str) and re.search(text, said), said


def test_contact_by_hand(raw, tmp_path):
    true = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    pred = np.array([[0.5, 0.4, 0.9, 0.1], [0, 0, 0, 0], [0, 0, 0, 1]])
    figures = eval_truth.contact_figures(tmp_path, pred, true)
    np.testing.assert_allclose(figures["precision"], [0.5, 0, 0], atol=1e-9)
    np.testing.assert_allclose(figures["recall"], [0.5, 0, 0], atol=1e-9)
    np.testing.assert_allclose(figures["F1"], [0.5, 0, 0], atol=1e-9)
    assert np.isnan(figures["geodesic_cm"]).all()
    (tmp_path / "body_models/smpl").mkdir(parents=True)
    away = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) * 0.25  # metres
    np.save(tmp_path / "body_models/smpl/smpl_neutral_geodesic_dist.npy", away)
    figures = eval_truth.contact_figures(tmp_path, pred, true)
    # 0 is right and 2 is one vertex off; nothing predicted: all; nothing true: no distance.
    expected = [100 * 0.25 / 2, 100 * 0.25 * (1 + 2 + 3) / 4, 0]
    np.testing.assert_allclose(figures["geodesic_cm"], expected, atol=1e-9)


def test_contacts_are_those_of_people_and_frames(raw, score):
    files = main.find_fits(raw / f"test_hsc/{TEST}", ["011"])
    clip = eval_truth.contact_clip(TEST, files, 6890)
    assert clip.keys[0] == f"test/{TEST}/00344/011" and clip.truth["contact"].any()
    contact = np.float64(clip.truth["contact"])
    figures = score(clip.keys[::-1], "--protocol", "contact", contact=contact[::-1])
    assert figures == {"precision": 1, "recall": 1, "F1": 1, "geodesic_cm": None} or all(
        figures[name] == pytest.approx(1) for name in ("precision", "recall", "F1")
    )
    said = score(clip.keys, "--protocol", "contact", contact=contact[:, :10])
    assert "contact: found shape (3, 10); expected shape (n, 6890)" in said
    contact[1, 7] = np.nan
    assert "contact 7 of" in score(clip.keys, "--protocol", "contact", contact=contact)
