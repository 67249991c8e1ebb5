"""The reference evaluators of meshes and bodies give the values that the descriptions state."""

import json

import numpy as np
import pytest
from references import agora, bodies, common, ehf, rich, ssp3d, tdoh
from scipy.spatial.transform import Rotation

from posepile.miniature.bodies import write_body_models


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with body models."""
    folder = tmp_path_factory.mktemp("models")
    write_body_models(folder / "body_models", ("smpl", "smplx"))
    return folder


@pytest.mark.parametrize("kind, n_joints", [("smpl", 24), ("smplx", 55)])
def test_a_posed_body_is_as_a_library_poses_it(root, kind, n_joints):
    from smplfitter.np import BodyModel

    rng = np.random.default_rng(0)
    pose, betas, trans = rng.normal(0, 0.4, (n_joints, 3)), rng.normal(size=10), rng.normal(size=3)
    library = BodyModel(kind, "female", model_root=str(root / "body_models" / kind))
    expected = library.single(pose.ravel(), betas, trans)
    model = bodies.load_model(root, kind, "female")
    vertices, joints = bodies.pose_body(model, pose, betas, trans)
    np.testing.assert_allclose(vertices, expected["vertices"], atol=3e-6)
    np.testing.assert_allclose(joints, expected["joints"], atol=3e-6)


def test_a_triangle_covers_the_pixels_whose_centre_it_holds():
    corners = np.array([[0.5, 0.5, 1], [4.5, 0.5, 1], [0.5, 3.5, 1.0]])
    mask = bodies.silhouette(corners, np.array([[0, 1, 2]]), 1.0, (0, 0), (6, 5))
    assert [row.nonzero()[0].tolist() for row in mask] == [[], [1, 2, 3], [1, 2], [1], []]


def test_tdoh_counts_seven_units_as_a_metre_and_takes_the_hips_as_root(root, tmp_path):
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(14, 3))
    label = {"lsp_joints_3d": joints.tolist(), "pose": rng.normal(0, 0.3, (1, 72)).tolist()}
    label |= {"betas": np.zeros((1, 10)).tolist(), "extri": np.eye(4).tolist()}
    (tmp_path / "testset").mkdir()
    (tmp_path / "testset" / "annots.json").write_text(json.dumps({"00000": label}))
    (tmp_path / "body_models").symlink_to(root / "body_models")
    true = tdoh.truth(tmp_path, "tdoh.lsp14")
    np.testing.assert_allclose(true["00000"], joints * 1000 / 7)
    moved = {"00000": true["00000"] + np.array([70, 0, 0])}
    assert tdoh.scores(true, moved, "tdoh.lsp14")["MPJPE_mm"] == pytest.approx(0, abs=1e-9)
    ankle = true["00000"].copy()
    ankle[0] += [0, 0, 140]
    assert tdoh.scores(true, {"00000": ankle}, "tdoh.lsp14") == pytest.approx({"MPJPE_mm": 10})
    turned = {"00000": 1.3 * true["00000"] @ Rotation.from_rotvec([1, 2, 3]).as_matrix()}
    assert tdoh.scores(true, turned, "tdoh.lsp14-pa")["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-9)


def test_tdoh_turns_the_body_into_the_camera(root, tmp_path):
    turn = Rotation.from_rotvec([0.4, -0.7, 0.2]).as_matrix()
    out = {}
    for name, matrix in (("world", np.eye(3)), ("camera", turn)):
        extri = np.eye(4)
        extri[:3, :3] = matrix
        label = {"pose": np.full((1, 72), 0.1).tolist(), "betas": np.ones((1, 10)).tolist()}
        (tmp_path / name / "testset").mkdir(parents=True)
        text = json.dumps({"00000": label | {"extri": extri.tolist()}})
        (tmp_path / name / "testset" / "annots.json").write_text(text)
        (tmp_path / name / "body_models").symlink_to(root / "body_models")
        np.save(tmp_path / name / "J_regressor_h36m.npy", np.full((17, 330), 1 / 330))
        out[name] = tdoh.truth(tmp_path / name, "tdoh.pare")
    world, camera = (out[name]["00000"]["vertices"] for name in ("world", "camera"))
    np.testing.assert_allclose(camera - camera[0], (world - world[0]) @ turn.T, atol=1e-7)
    shifted = {"00000": camera + 5}
    figures = tdoh.scores(out["camera"], shifted, "tdoh.pare")
    assert figures == pytest.approx({"MPJPE_mm": 0, "PA-MPJPE_mm": 0, "PVE_mm": 0}, abs=1e-3)


def test_the_camera_of_ehf_sees_the_points_that_are_stated():
    for point, expected in (([0, 0, 0], (767.5, 853.2)), ([0, 0.9, 0], (763.1, 273.5))):
        x, y, z = ehf.TURN @ np.array(point) + ehf.SHIFT
        pixel = (ehf.FOCAL * x / z + ehf.CENTRE[0], ehf.FOCAL * y / z + ehf.CENTRE[1])
        assert pixel == pytest.approx(expected, abs=0.06)


def ehf_truth(rng):
    """A made-up truth of one picture."""
    ids = rng.permutation(10475)
    parts = {"left": ids[:30], "right": ids[30:70], "face": ids[70:150]}
    regressor, body14 = rng.dirichlet(np.ones(10475), 55), rng.dirichlet(np.ones(10475), 14)
    used = {"parts": parts, "regressor": regressor, "body14": body14}
    return {"01_img.png": rng.normal(0, 0.5, (10475, 3)), "": used}


def test_ehf_aligns_with_scale_as_published_and_without_as_posepile():
    rng = np.random.default_rng(0)
    true = ehf_truth(rng)
    mesh = true["01_img.png"]
    guess = {"01_img.png": 0.9 * mesh @ Rotation.from_rotvec([1, 0, 2]).as_matrix() + 3}
    published = ehf.scores(true, guess, "ehf.hand4whole")
    own = ehf.scores(true, guess, "ehf.posepile")
    aligned = [name for name in published if name.startswith("PA")]
    assert len(aligned) == 5 and len(published) == 8 and len(own) == 9
    assert [published[name] for name in aligned] == pytest.approx([0] * 5, abs=1e-8)
    size = 100 * common.distances(mesh, mesh.mean(axis=0)).mean()  # a tenth, in mm
    assert own["PA-MPVPE-all_mm"] == pytest.approx(size)
    assert all(own[name] == pytest.approx(published[name]) for name in published if name[0] == "M")


def test_ehf_shifts_hands_by_the_wrist_and_all_by_the_pelvis():
    true = ehf_truth(np.random.default_rng(0))
    guess = {"01_img.png": true["01_img.png"] + np.array([1, 2, 3])}
    figures = ehf.scores(true, guess, "ehf.hand4whole")
    assert all(value == pytest.approx(0, abs=1e-7) for value in figures.values())
    guess["01_img.png"] = true["01_img.png"].copy()
    guess["01_img.png"][true[""]["parts"]["left"]] += [0.05, 0, 0]
    moved = true[""]["regressor"][20][true[""]["parts"]["left"]].sum() * 0.05
    still = true[""]["regressor"][21][true[""]["parts"]["left"]].sum() * 0.05
    expected = 500 * (0.05 - moved + still)
    figures = ehf.scores(true, guess, "ehf.hand4whole")
    assert figures["MPVPE-hands_mm"] == pytest.approx(expected)


def ssp3d_truth(root, rng, protocol="ssp3d.official", gender="male"):
    """A made-up truth of one picture: labels that are the body itself."""
    model = bodies.load_model(root, "smpl", gender)
    pose = rng.normal(0, 0.2, (24, 3))
    pose[0], betas, trans = [np.pi, 0, 0], rng.normal(size=10), np.array([0.1, 0, 40])
    vertices, joints = bodies.pose_body(model, pose, betas, trans)
    rest, _ = bodies.pose_body(model, np.zeros((24, 3)), betas)
    true = {"model": model, "vertices": vertices, "joints": joints, "rest": rest}
    true |= {"mask": ssp3d.draw(model, vertices), "faces": model["f"], "side": 200.0}
    true["centre"] = np.array([250.0, 270.0])
    return {"a.png": true}, {"a.png": {"pose": pose, "betas": betas, "trans": trans}}


def test_ssp3d_gives_nothing_for_the_body_itself(root):
    true, guess = ssp3d_truth(root, np.random.default_rng(0))
    figures = ssp3d.scores(true, guess, "ssp3d.official")
    assert figures == pytest.approx({"PVE-T-SC_mm": 0, "mIOU": 1}, abs=1e-9)
    assert 2000 < true["a.png"]["mask"].sum() < 100000
    guess["a.png"]["betas"] = guess["a.png"]["betas"] + 1
    assert ssp3d.scores(true, guess, "ssp3d.official")["PVE-T-SC_mm"] > 1


def test_ssp3d_does_not_mind_the_size_of_a_body():
    mesh = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_allclose(ssp3d.same_size(1.1 * mesh + 4, mesh), mesh)


def test_ssp3d_crops_around_row_and_column():
    mask = np.zeros((512, 512), bool)
    mask[300, 200] = True
    crop = ssp3d.crop(mask, (300, 200), 256 / 1.2)
    assert np.argwhere(crop).tolist() == [[128, 128]]


def test_rich_measures_the_contact_of_each_picture():
    label = np.array([1, 1, 1, 1, 0, 0, 0, 0.0])
    apart = np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))
    true = {("s", 1, "000"): label, "": apart}
    guess = {("s", 1, "000"): np.array([0.9, 0.5, 0.1, 0.1, 0.1, 0.8, 0.2, 0.3])}
    expected = {"precision": 2 / 3, "recall": 1 / 2, "F1": 4 / 7, "geodesic_cm": 100 * 2 / 3}
    assert rich.scores(true, guess, "rich.contact") == pytest.approx(expected)
    nothing = {("s", 1, "000"): np.zeros(8)}
    figures = rich.scores(true, nothing, "rich.contact")
    assert figures["F1"] == 0 and figures["precision"] == 0


def test_rich_takes_acceleration_from_second_differences():
    rng = np.random.default_rng(0)
    regressor, mesh = rng.dirichlet(np.ones(40), 24), rng.normal(size=(40, 3))
    true = {f"s/cam_00/0000{i}_00_000.jpg": mesh for i in range(3, 8)} | {"": regressor}
    guess = {key: value for key, value in true.items() if key}
    zero = dict.fromkeys(("MPJPE_mm", "PA-MPJPE_mm", "PVE_mm", "acceleration_m_per_s2"), 0)
    assert rich.scores(true, guess, "rich.body") == pytest.approx(zero, abs=1e-9)
    # A vertex of no joint but the ankle that moves by t^2 / 2 a frame.
    regressor[:] = 0
    regressor[:, 0], regressor[7] = 1, np.eye(40)[1]
    for key, value in list(guess.items()):
        frame = int(key[9:14])
        guess[key] = value + np.eye(40)[1][:, None] * [0, 0, frame**2 / 2]
    figures = rich.scores(true, guess, "rich.body")
    assert figures["acceleration_m_per_s2"] == pytest.approx(900 / 24)


def agora_people(rng, n, valid=None):
    """Made-up people that stand apart."""
    people = []
    for i in range(n):
        person = {"joints_2d": rng.uniform(0, 100, (45, 2)) + 500 * i, "valid": True}
        person["joints_3d"] = rng.normal(size=(45, 3))
        person["verts"] = rng.normal(size=(60, 3))
        people.append(person)
    for i, value in enumerate(valid or ()):
        people[i]["valid"] = value
    return people


AGORA_USED = {"parts": {"body": range(0, 60, 2)}, "kind": "smpl"}


def test_agora_finds_everybody_and_rounds():
    people = agora_people(np.random.default_rng(0), 3)
    true = {"a.png": people, "": AGORA_USED}
    figures = agora.scores(true, {"a.png": people[::-1]}, "agora.smpl")
    zero = dict.fromkeys(("MPJPE_mm", "MVE_mm", "NMJE_mm", "NMVE_mm"), 0)
    assert figures == {"F1": 1} | zero
    one_missed = agora.scores(true, {"a.png": people[:2]}, "agora.smpl")
    assert one_missed["F1"] == 0.8 and one_missed["NMJE_mm"] == 0
    exact = agora.scores(true, {"a.png": people[:1]}, "agora.smpl-corrected")
    assert exact["F1"] == pytest.approx(0.5)
    nobody = agora.scores(true, {}, "agora.smpl")
    assert nobody["F1"] == 0


def test_agora_normalizes_by_the_rounded_f1():
    rng = np.random.default_rng(1)
    people = agora_people(rng, 3)
    guess = [dict(p, joints_3d=p["joints_3d"] + 0.05 * rng.normal(size=(45, 3))) for p in people]
    # Two hits, one miss, two wrong ones: F1 = 2 / 3.5 = 0.571..., 0.57 when rounded.
    far = [dict(guess[0], joints_2d=guess[0]["joints_2d"] + 90000 * (i + 1)) for i in range(2)]
    true = {"a.png": people, "": AGORA_USED}
    official = agora.scores(true, {"a.png": [*guess[:2], *far]}, "agora.smpl")
    assert official["F1"] == 0.57
    assert official["NMJE_mm"] == round(official["MPJPE_mm"] / 0.57, 1)
    corrected = agora.scores(true, {"a.png": [*guess[:2], *far]}, "agora.smpl-corrected")
    assert corrected["F1"] == pytest.approx(2 / 3.5)
    assert round(corrected["MPJPE_mm"], 1) == official["MPJPE_mm"]


def test_agora_loses_a_good_pair_when_rejected_ones_use_up_the_predictions():
    people = agora_people(np.random.default_rng(0), 2)
    # Lines, whose boxes do not meet five pixels apart: that of the first prediction lies between
    # the two people, and so two pairs are rejected before the good one is looked at.
    line = np.stack([np.linspace(0, 100, 45), np.zeros(45)], axis=1)
    people[0]["joints_2d"], people[1]["joints_2d"] = line, line + np.array([0, 10])
    guess = [dict(people[1], joints_2d=line + np.array(shift)) for shift in ((0, 5), (30, 10))]
    true = {"a.png": people, "": AGORA_USED}
    assert agora.scores(true, {"a.png": guess}, "agora.smpl")["F1"] == 0
    corrected = agora.scores(true, {"a.png": guess}, "agora.smpl-corrected")
    assert corrected["F1"] == 0.5 and corrected["MPJPE_mm"] == 0


def test_agora_leaves_invalid_people_out():
    people = agora_people(np.random.default_rng(0), 2, valid=(True, False))
    true = {"a.png": people, "": AGORA_USED}
    assert agora.scores(true, {"a.png": people[:1]}, "agora.smpl")["F1"] == 1
    # Who is found at the invalid one matches nobody else: wrong.
    assert agora.scores(true, {"a.png": people}, "agora.smpl")["F1"] == round(1 / 1.5, 2)
