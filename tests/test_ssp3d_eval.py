"""Evaluation on SSP-3D: shape in a T-pose, silhouettes, models by gender, what is refused."""

import numpy as np
import pytest
from evaluation_kit import evaluate
from smplfitter.np import bodyfitter

from posepile.bodies.fitting import TRIES, fit_bodies
from posepile.bodies.models import body_forward, models_below
from posepile.ds import load_evaluation
from posepile.ds.ssp3d import main as ssp3d
from posepile.errors import WorkError
from posepile.evaluation.body_shape import rest_figures

GENDERS = {"m": "male", "f": "female"}


@pytest.fixture(scope="module")
def root(raw_miniature):
    return raw_miniature("ssp3d")


@pytest.fixture(scope="module")
def labels(root):
    return dict(np.load(root / "labels.npz"))


@pytest.fixture
def told(labels):
    """What a perfect prediction of parameters holds, in another order."""
    rows = [2, 0, 3, 1]
    names = {"image_path": "fnames", "pose": "poses", "betas": "shapes", "trans": "cam_trans"}
    return {key: labels[name][rows] for key, name in names.items()}


@pytest.fixture(scope="module")
def points(root, labels):
    """What a perfect prediction of points holds, in the order of the labels."""
    found = []
    for i, gender in enumerate(labels["genders"]):
        body = {"pose": labels["poses"][i], "shape": labels["shapes"][i]}
        root_of = models_below(root)
        forward = body_forward("smpl", GENDERS[gender], body, models_root=root_of)
        found.append([forward[k][0] + labels["cam_trans"][i] for k in ("vertices", "joints")])
    vertices, joints = (np.array(kind) for kind in zip(*found, strict=True))
    sure = {"vertex_uncertainties": np.ones(vertices.shape[:2])}
    sure["joint_uncertainties"] = np.ones(joints.shape[:2])
    return {"vertices": vertices, "joints": joints, **sure}


def run(root, path, protocol, *options, **arrays):
    np.savez(path / "pred.npz", **arrays)
    return evaluate("ssp3d", root, path / "pred.npz", "--protocol", protocol, *options)


def rest(root, gender, betas):
    """A body in T-pose, millimetres."""
    body = {"pose": np.zeros((len(betas), 72)), "shape": betas}
    forward = body_forward("smpl", gender, body, models_root=models_below(root))
    return 1000 * forward["vertices"].astype(float)


def test_true_parameters_have_no_error_by_the_model_of_the_gender(root, told, tmp_path):
    found = run(root, tmp_path, "official", **told)
    assert found["figures"]["PVE-T-SC_mm"] == pytest.approx(0, abs=1e-3)
    assert 0.05 < found["figures"]["mIOU"] < 0.9  # silhouettes were drawn separately
    assert list(found["per_clip"]) == [
        "0a1Bc_-d9_clip_2_person_0",
        "gym-Vault_clip_1_person_1",
        "x_person_clip_10_person_0",
    ]
    # The neutral model gives other bodies of the same numbers.
    neutral = run(root, tmp_path, "hierprob", **told)["figures"]
    assert neutral["PVE-T-SC_mm"] > 1


def test_size_and_place_do_not_matter_in_a_t_pose_but_turns_do(root, labels):
    true = rest(root, "male", labels["shapes"][:2])
    found = rest_figures(1.1 * true + [5, 6, 7], true)
    assert found["PVE-T-SC_mm"].max() < 1e-9
    away = np.linalg.norm(true - true.mean(axis=1, keepdims=True), axis=2).mean(axis=1)
    np.testing.assert_allclose(found["PVE-T_mm"], 0.1 * away, atol=1e-9)
    assert rest_figures(true[..., [1, 0, 2]], true)["PVE-T-SC_mm"].min() > 100


def test_the_shape_is_compared_by_the_same_model_on_both_sides(root, labels, told, tmp_path):
    changed = told | {"betas": told["betas"] + np.eye(10)[0]}
    errors = []
    for i, gender in enumerate(labels["genders"]):
        betas = labels["shapes"][[i]]
        a, b = (rest(root, GENDERS[gender], x)[0] for x in (betas + np.eye(10)[0], betas))
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        a *= np.sqrt((b**2).sum() / (a**2).sum())
        errors.append(np.linalg.norm(a - b, axis=1).mean())
    found = run(root, tmp_path, "official", **changed)["figures"]["PVE-T-SC_mm"]
    assert found == pytest.approx(np.mean(errors), rel=1e-5)


def test_given_silhouettes_are_taken_and_iou_is_a_mean_or_pooled(root, labels, told, tmp_path):
    true = {
        name: next(iter(known["silhouettes"][[k]]))
        for _, paths, known in ssp3d.persons(root)
        for k, name in enumerate(path.name for path in paths)
    }
    masks = np.array([true[name] for name in told["image_path"]], np.uint8)
    found = run(root, tmp_path, "official", silhouettes=masks, **told)["figures"]
    assert found["mIOU"] == 1
    masks[0] = 0  # one of four is not seen at all
    assert run(root, tmp_path, "official", silhouettes=masks, **told)["figures"]["mIOU"] == 0.75
    found = run(root, tmp_path, "hierprob", silhouettes=masks, **told)
    counted = found["more_figures"]
    assert found["figures"]["IOU"] == counted["common_px"] / counted["either_px"] != 0.75


def test_joints_in_the_crop_are_those_of_coco(root, told, tmp_path):
    """The hips of the 2D joints are elsewhere than SMPL's, all others within their noise."""
    moved = told | {"trans": told["trans"] + [0.4, 0, 0]}
    before, after = (run(root, tmp_path, "hierprob", **x) for x in (told, moved))
    side = np.mean(np.load(root / "labels.npz")["bbox_whs"])
    step = 5000 * 0.4 / told["trans"][:, 2].mean() * 256 / (1.2 * side)
    names = [f["figures"]["joints2D_px"] for f in (before, after)]
    assert names[0] < 25 and names[1] == pytest.approx(step, rel=0.4)


def test_points_that_are_true_have_no_error_and_a_neutral_shape(root, points, tmp_path):
    found = run(root, tmp_path, "posepile", **points)
    assert found["figures"]["mIOU"] == pytest.approx(1, abs=1e-3)
    assert found["figures"]["MVE_mm"] == pytest.approx(0, abs=1e-2)
    assert 0 < found["more_figures"]["mIOU-fit"] < 1 < found["figures"]["PVE-T-SC_mm"]
    moved = points | {"joints": points["joints"] + [0.01, 0, 0]}  # joint 0 is the root
    assert run(root, tmp_path, "posepile", **moved)["figures"]["MVE_mm"] == pytest.approx(
        10, abs=0.01
    )


@pytest.mark.parametrize("failures", [1, 100])
def test_a_fit_that_fails_is_tried_again(root, points, monkeypatch, failures):
    project, tries = bodyfitter.proj_SO3, []

    def fail(matrices):
        tries.append(len(matrices))
        if len(tries) <= failures:
            raise np.linalg.LinAlgError("SVD did not converge")
        return project(matrices)

    given = "smpl", "neutral", points["vertices"], points["joints"]
    expected = fit_bodies(*given, models_root=models_below(root))
    monkeypatch.setattr(bodyfitter, "proj_SO3", fail)
    if failures == 1:
        found = fit_bodies(*given, models_root=models_below(root))
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
    else:
        with pytest.raises(WorkError, match=r"4 smpl bodies cannot be fitted .*SVD did not") as e:
            fit_bodies(*given, models_root=models_below(root))
        assert "\n" not in str(e.value) and len(tries) == TRIES


def test_predictions_that_are_refused(root, told, points, tmp_path, capsys):
    def say(protocol, **arrays):
        np.savez(tmp_path / "pred.npz", **arrays)
        given = ["--pred-path", str(tmp_path / "pred.npz"), "--data-dir", str(root)]
        assert load_evaluation("ssp3d").main([*given, "--protocol", protocol]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "pred.npz" in line
        return line

    name, broken = told["image_path"][1], told["betas"].copy()
    broken[1, 3] = np.inf
    assert f"betas 3 of {name}: found inf" in say("official", **told | {"betas": broken})
    line = say("official", **{key: values[1:] for key, values in told.items()})
    assert f"lacks image {told['image_path'][0]}" in line
    doubled = told | {"image_path": told["image_path"][[0, 0, 1, 2]]}
    assert str(told["image_path"][0]) in say("hierprob", **doubled)
    far = told | {"trans": told["trans"] * 1000}
    assert "mm from the camera, the true ones" in say("official", **far)
    assert "pose: found shape (4, 66); expected" in say(
        "official", **told | {"pose": np.ones((4, 66))}
    )
    unknown = told | {"image_path": np.array(list("abcd"))}
    assert "lacks image 0a1Bc_-d9" in say("official", **unknown)
    fewer = {key: values[:3] for key, values in points.items()}
    assert "vertices has 3 rows; expected 4" in say("posepile", **fewer)
    small = points | {key: points[key] / 1000 for key in ("vertices", "joints")}
    assert "1000 times smaller than the true ones" in say("posepile", **small)
    assert "vertex_uncertainties" in say(
        "posepile", **points | {"vertex_uncertainties": np.ones(4)}
    )
