"""Evaluation on 3DOH50K: units, roots, the fitted mesh, predictions that are refused."""

import json
import shutil

import numpy as np
import pytest
from evaluation_kit import evaluate
from scipy.spatial.transform import Rotation

from posepile.bodies.models import body_forward, models_below
from posepile.ds import load_evaluation

MM = 1000 / 7
HIPS = [2, 3]


@pytest.fixture(scope="module")
def root(raw_miniature):
    return raw_miniature("tdoh")


@pytest.fixture(scope="module")
def labels(root):
    return json.loads((root / "testset/annots.json").read_text())


@pytest.fixture
def told(labels):
    """What a perfect prediction of the published joints holds."""
    joints = [np.array(label["lsp_joints_3d"]) * MM for label in labels.values()]
    return {"image_id": np.array(list(labels)), "coords3d_pred_cam": np.array(joints)}


@pytest.fixture(scope="module")
def meshes(root, labels):
    """Bodies without scale, turned like the camera, metres, by our own hand."""
    found = []
    for label in labels.values():
        pose = np.array(label["pose"][0])
        turn = Rotation.from_matrix(np.array(label["extri"])[:3, :3])
        pose[:3] = (turn * Rotation.from_rotvec(pose[:3])).as_rotvec()
        body = {"pose": pose, "shape": np.array(label["betas"][0])}
        forward = body_forward("smpl", "neutral", body, models_root=models_below(root))
        found.append(forward["vertices"][0].astype(float))
    return np.array(found)


def run(root, path, protocol, *options, **arrays):
    np.savez(path / "pred.npz", **arrays)
    return evaluate("tdoh", root, path / "pred.npz", "--protocol", protocol, *options)["figures"]


def refused(root, path, capsys, protocol="lsp14", **arrays):
    """What the command line says of predictions that it refuses: one line."""
    np.savez(path / "pred.npz", **arrays)
    given = [
        "--pred-path",
        str(path / "pred.npz"),
        "--data-dir",
        str(root),
        "--protocol",
        protocol,
    ]
    assert load_evaluation("tdoh").main(given) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pred.npz" in line
    return line


def test_the_middle_of_the_hips_is_the_root(root, told, tmp_path):
    moved = told | {"coords3d_pred_cam": told["coords3d_pred_cam"] + [40, -300, 2000]}
    assert run(root, tmp_path, "lsp14", **moved)["MPJPE_mm"] == pytest.approx(0, abs=1e-9)
    # Both hips 30 mm off to one side: the root goes along, twelve joints are 30 mm off.
    shifted = told["coords3d_pred_cam"].copy()
    shifted[:, HIPS, 0] += 30
    figures = run(root, tmp_path, "lsp14", **told | {"coords3d_pred_cam": shifted})
    assert figures["MPJPE_mm"] == pytest.approx(30 * 12 / 14)
    # One hip 28 mm off: itself by half of that, as are all others.
    shifted = told["coords3d_pred_cam"].copy()
    shifted[:, 2, 1] += 28
    figures = run(root, tmp_path, "lsp14", **told | {"coords3d_pred_cam": shifted})
    assert figures["MPJPE_mm"] == pytest.approx(14)


def test_units_are_a_seventh_of_a_metre(root, told, tmp_path):
    """Joints divided by 10, as another evaluation has it, are 30 % too small."""
    other = told | {"coords3d_pred_cam": told["coords3d_pred_cam"] * 0.7}
    relative = told["coords3d_pred_cam"]
    relative = relative - relative[:, HIPS].mean(axis=1, keepdims=True)
    expected = 0.3 * np.linalg.norm(relative, axis=2).mean()
    assert run(root, tmp_path, "lsp14", **other)["MPJPE_mm"] == pytest.approx(expected)


def test_procrustes_takes_any_similarity_but_no_reflection(root, told, tmp_path):
    turn = Rotation.from_rotvec([0.3, -2, 0.5]).as_matrix()
    like = told | {"coords3d_pred_cam": 1.7 * told["coords3d_pred_cam"] @ turn.T + 900}
    assert run(root, tmp_path, "lsp14-pa", **like)["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-6)
    mirrored = told | {"coords3d_pred_cam": told["coords3d_pred_cam"] * [-1, 1, 1]}
    assert run(root, tmp_path, "lsp14-pa", **mirrored)["PA-MPJPE_mm"] > 30


def test_rows_may_be_in_any_order_and_metres_where_the_file_says_so(root, told, tmp_path):
    told["coords3d_pred_cam"][0] += np.arange(14)[:, None]
    expected = run(root, tmp_path, "lsp14", **told)
    assert run(root, tmp_path, "lsp14", **{k: v[::-1] for k, v in told.items()}) == expected
    metres = told | {"coords3d_pred_cam": told["coords3d_pred_cam"] / 1000, "units": "m"}
    assert run(root, tmp_path, "lsp14", **metres) == pytest.approx(expected)


def test_the_fitted_mesh_is_that_of_the_model_without_scale(root, labels, meshes, tmp_path):
    told = {"image_id": np.array(list(labels)), "vertices": meshes + np.array([0.1, 0.2, 4])}
    figures = run(root, tmp_path, "pare", **told)
    assert set(figures) == {"MPJPE_mm", "PA-MPJPE_mm", "PVE_mm"}
    assert max(figures.values()) < 1e-3
    grown = told | {"vertices": 7 * meshes / 6.5}
    figures = run(root, tmp_path, "pare", **grown)
    regressor = np.load(root / "body_models/smpl/J_regressor_h36m.npy").astype(float)
    off = np.linalg.norm(meshes - np.einsum("v,nvc->nc", regressor[0], meshes)[:, None], axis=2)
    assert figures["PVE_mm"] == pytest.approx(1000 * off.mean() * (7 / 6.5 - 1), rel=1e-3)
    assert figures["PA-MPJPE_mm"] < 1e-3 < figures["MPJPE_mm"]


def test_joints_of_the_mesh_are_in_the_order_of_the_legs_of_the_regressor(
    root, labels, meshes, tmp_path
):
    """With the rows of one leg taken for the other in both, nothing would show: one is moved."""
    regressor = np.load(root / "body_models/smpl/J_regressor_h36m.npy")
    moved = meshes.copy()
    moved[:, regressor[2] > 0] += [0, 0.14, 0]  # the left knee, one of 14 joints
    told = {"image_id": np.array(list(labels)), "vertices": moved}
    assert run(root, tmp_path, "pare", **told)["MPJPE_mm"] == pytest.approx(10, abs=1e-3)


def test_a_regressor_that_is_absent_or_another_is_refused(
    root, labels, meshes, tmp_path, capsys, monkeypatch
):
    other = tmp_path / "tdoh"
    shutil.copytree(root, other)
    (other / "body_models/smpl/J_regressor_h36m.npy").unlink()
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(tmp_path))
    np.savez(tmp_path / "p.npz", image_id=np.array(list(labels)), vertices=meshes)
    given = ["--pred-path", str(tmp_path / "p.npz"), "--data-dir", str(other)]
    assert load_evaluation("tdoh").main([*given, "--protocol", "pare"]) == 1
    assert "J_regressor_h36m.npy: not there" in capsys.readouterr().err
    rows = np.load(root / "body_models/smpl/J_regressor_h36m.npy")
    legs = rows[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]  # as in METRO's file
    np.save(other / "body_models/smpl/J_regressor_h36m.npy", legs)
    assert load_evaluation("tdoh").main([*given, "--protocol", "pare"]) == 1
    assert "row 1 is a joint of the right leg" in capsys.readouterr().err


def test_predictions_that_are_refused(root, told, tmp_path, capsys):
    coords = told["coords3d_pred_cam"]

    def say(**changes):
        return refused(root, tmp_path, capsys, **{**told, **changes})

    broken = coords.copy()
    broken[1, 5, 2] = np.nan
    assert "joint 5 (lank) of 00003: found nan" in say(coords3d_pred_cam=broken)
    assert "lacks image 00003" in say(image_id=told["image_id"][:1], coords3d_pred_cam=coords[:1])
    assert "00000" in say(image_id=told["image_id"][[0, 0]])
    assert "1000 times smaller" in say(coords3d_pred_cam=coords / 1000)
    assert "17 joints; expected 14" in say(coords3d_pred_cam=np.zeros((2, 17, 3)))
    assert "lacks image 00000 and 1 more" in say(image_id=np.array(["0", "3"]))
    line = refused(
        root, tmp_path, capsys, "pare", image_id=told["image_id"], vertices=np.zeros((2, 99, 3))
    )
    assert "vertices: found shape (2, 99, 3); expected shape (n, 330, 3)" in line


def test_what_is_missing_may_be_left_out_and_is_counted(root, told, tmp_path):
    np.savez(tmp_path / "p.npz", **{k: v[1:] for k, v in told.items()})
    found = evaluate("tdoh", root, tmp_path / "p.npz", "--allow-missing")
    assert found["entries"] == 1 and found["left_out"] == {"without a prediction": 1}
