"""Bodies that become those of another model, made-up models of which are the same body."""

import numpy as np
import pytest
from bodies_kit import N_VERTICES, ORDER, make_body, write_one_body, write_transfer
from hypothesis import given
from hypothesis import strategies as st

from posepile.bodies.batches import alike_bodies, family_of, kind_of_body
from posepile.bodies.conversion import (
    SMPL_SURFACE_VERTICES,
    convert_bodies,
    copied_pose,
    read_transfer,
)
from posepile.bodies.fitting import fit_bodies
from posepile.bodies.joints import JOINT_NAMES, SMPLX_SURFACE_VERTICES
from posepile.bodies.models import body_forward, load_body_model
from posepile.bodies.parameters import load_hands
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.miniature import bodies as miniature_bodies

KINDS = ("smpl", "smplh", "smplx")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_one_body(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def with_transfer(tmp_path_factory):
    return write_one_body(tmp_path_factory.mktemp("transfer"), transfer=True)


def posed(body, root, **more):
    params = {k: v for k, v in body.items() if k in ("pose", "shape", "trans", "expression")}
    params |= {k: body[k] for k in ("scale", "kid_factor") if k in body}
    return body_forward(body["type"], body["gender"], params, models_root=root, **more)


def vertices_in(body, root, mesh):
    """Vertices of a body in the order of another mesh, for models that are the same body."""
    found = posed(body, root)["vertices"][0]
    if (body["type"] == "smplx") == (mesh == "smplx"):
        return found
    return found[ORDER] if body["type"] == "smplx" else found[np.argsort(ORDER)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_what_the_other_model_can_do_it_does(with_transfer, kind, other):
    hands = not {"smpl"} & {kind, other}
    bodies = [make_body(kind, k, hands=hands) for k in range(4)]
    found = convert_bodies(bodies, other, models_root=with_transfer)
    same_mesh = (kind == "smplx") == (other == "smplx")
    how = "as given" if kind == other else "vertices" if same_mesh else "transferred vertices"
    assert found.compared == [how] * 4
    assert found.max_mm.max() < 0.1
    for body, new, mean in zip(bodies, found.parameters, found.mean_mm, strict=True):
        assert (new["type"], new["gender"], len(new["shape"])) == (other, "male", 10)
        assert new["converted_from"] == f"{kind} male" and new["fit_of"] == how
        assert new["fit_mm"][0] == mean
        off = vertices_in(body, with_transfer, other) - posed(new, with_transfer)["vertices"][0]
        assert np.linalg.norm(off, axis=1).max() < 1e-4
        np.testing.assert_allclose(new["shape"], body["shape"], atol=0.01)


def test_the_error_that_is_kept_is_that_of_the_vertices(with_transfer):
    """A SMPL body has no fingers, so that those of SMPL-X cannot be followed."""
    body = make_body("smplx", 3)
    found = convert_bodies([body], "smpl", models_root=with_transfer)
    (new,) = found.parameters
    off = vertices_in(body, with_transfer, "smpl") - posed(new, with_transfer)["vertices"][0]
    off = 1000 * np.linalg.norm(off, axis=1)
    assert off.max() > 20
    np.testing.assert_allclose(new["fit_mm"], [off.mean(), off.max()], rtol=1e-3)
    # The fingers alone are off: less than a copied pose would leave.
    weights = load_body_model("smpl", "male", models_root=with_transfer).weights
    assert off[weights[:, 22:].sum(axis=1) < 1e-6].mean() < 5


def test_rotations_are_fitted_where_those_taken_over_are_wrong(with_transfer, monkeypatch):
    """As where the other model is at rest in another pose."""

    def turned(pose, family, other):
        result = copied_pose(pose, family, other).reshape(len(pose), -1, 3)
        result[:, [1, 4, 16, 18]] += 0.4
        return result.reshape(len(pose), -1)

    monkeypatch.setattr("posepile.bodies.conversion.copied_pose", turned)
    bodies = [make_body("smpl", k, hands=False) for k in range(3)]
    fitted = convert_bodies(bodies, "smplx", models_root=with_transfer)
    copied = convert_bodies(bodies, "smplx", fit_to="points", models_root=with_transfer)
    assert fitted.mean_mm.max() < 10 and copied.mean_mm.min() > 30


@pytest.mark.parametrize(("kind", "other"), [("smpl", "smplx"), ("smplx", "smplh")])
def test_without_transfer_files_joints_are_fitted(plain, kind, other):
    bodies = [make_body(kind, k, hands=kind != "smpl") for k in range(4)]
    found = convert_bodies(bodies, other, models_root=plain)
    assert found.compared == ["joints"] * 4
    names = [JOINT_NAMES[k] for k in (kind, other)]
    common = [name for name in names[0] if name in names[1]]
    assert len(common) == (22 if "smpl" in (kind, other) else 52)
    for k, body in enumerate(bodies):
        sides = [posed(b, plain)["joints"][0] for b in (body, found.parameters[k])]
        points = [s[[n.index(c) for c in common]] for s, n in zip(sides, names, strict=True)]
        off = 1000 * np.linalg.norm(points[0] - points[1], axis=1)
        errors = found.mean_mm[k], found.max_mm[k]
        np.testing.assert_allclose(errors, [off.mean(), off.max()], rtol=1e-3)
        assert found.mean_mm[k] < 4


def test_points_can_be_asked_for(with_transfer):
    found = convert_bodies(
        [make_body("smpl")], "smplx", fit_to="points", models_root=with_transfer
    )
    assert found.compared == ["joints"] and 0.1 < found.mean_mm[0] < 5


def test_points_of_the_surface_help_where_models_are_whole(tmp_path, monkeypatch):
    """The vertices that are the same points, by the numbers of both models."""
    sizes = {"smpl": N_VERTICES, "smplx": N_VERTICES}
    write_one_body(tmp_path)
    chosen = tuple(range(0, 63, 3))
    surface = {"smpl": (sizes["smpl"], chosen), "smplx": (N_VERTICES, tuple(ORDER[list(chosen)]))}
    monkeypatch.setattr("posepile.bodies.conversion._SURFACE", surface)
    bodies = [make_body("smpl", k) for k in range(4)]
    found = convert_bodies(bodies, "smplx", models_root=tmp_path)
    assert found.compared == ["joints and surface points"] * 4
    assert found.mean_mm.max() < 2
    monkeypatch.undo()
    alone = convert_bodies(bodies, "smplx", models_root=tmp_path)
    shapes = [
        np.abs(
            [new["shape"] - old["shape"] for new, old in zip(f.parameters, bodies, strict=True)]
        )
        for f in (found, alone)
    ]
    assert shapes[0].max() < shapes[1].max() / 2


def test_the_points_of_the_surface_are_the_same_ones():
    """By the numbers that miniatures of whole models put where they belong."""
    models = [
        miniature_bodies.make_model(kind, miniature_bodies.FULL_SIZE[kind], 1)
        for kind in ("smpl", "smplx")
    ]
    ids = SMPL_SURFACE_VERTICES, SMPLX_SURFACE_VERTICES
    places = [m["v_template"][list(i)] for m, i in zip(models, ids, strict=True)]
    assert len(ids[0]) == len(set(ids[0])) == 21
    thumbs = [11, 16]  # made-up ones hang on other joints
    np.testing.assert_allclose(*np.delete(places, thumbs, axis=1), atol=1e-6)
    np.testing.assert_allclose(*places, atol=0.07)


@pytest.mark.parametrize("fit_to", ["best", "points"])
def test_scale_and_kid_are_kept(with_transfer, fit_to):
    body = make_body("smplx", 5, hands=False, scale=1.3, kid_factor=0.4)
    found = convert_bodies([body], "smplh", fit_to=fit_to, models_root=with_transfer)
    (new,) = found.parameters
    assert new["scale"] == pytest.approx(1.3)
    assert new["kid_factor"] == pytest.approx(0.4, abs=0.02 if fit_to == "best" else 0.2)
    off = vertices_in(body, with_transfer, "smplh") - posed(new, with_transfer)["vertices"][0]
    off = 1000 * np.linalg.norm(off, axis=1)
    if fit_to == "best":
        np.testing.assert_allclose(new["fit_mm"], [off.mean(), off.max()], rtol=0.02, atol=1e-3)
    assert off.max() < (0.2 if fit_to == "best" else 40)


def test_hands_that_lack_their_mean_get_it(with_transfer):
    body = make_body("smplx", 6)
    file = with_transfer / "smplx" / "SMPLX_MALE.npz"
    lacking = dict(body, hands_mean_included=False, pose=body["pose"].copy())
    lacking["pose"][-90:] -= load_hands(file).mean.ravel()
    found = [
        convert_bodies([b], "smplh", models_root=with_transfer).parameters[0]
        for b in (body, lacking)
    ]
    np.testing.assert_allclose(found[0]["pose"], found[1]["pose"], atol=1e-4)
    assert "hands_mean_included" not in found[1]


def test_components_that_hold_no_shape_do_not_count(with_transfer):
    body = make_body("smpl", 7)
    other = dict(body, shape=np.where(np.arange(10) < 4, body["shape"], 9.0))
    cut = dict(body, shape=body["shape"][:4])
    found = convert_bodies([other, cut], "smplh", n_valid_betas=4, models_root=with_transfer)
    np.testing.assert_allclose(*[p["shape"] for p in found.parameters], atol=1e-6)


def test_many_bodies_of_many_models_stay_in_order(with_transfer, monkeypatch):
    """More than are fitted at a time; each is what it is alone."""
    monkeypatch.setattr("posepile.bodies.conversion._CHUNK", 2)
    bodies = [make_body(KINDS[k % 3], k, hands=False) for k in range(10)]
    bodies[5] = bodies[8] = None
    found = convert_bodies(bodies, "smplh", models_root=with_transfer)
    assert found.parameters[5] is found.parameters[8] is None
    assert found.compared[5] == "" and np.isnan(found.mean_mm).nonzero()[0].tolist() == [5, 8]
    for k in (0, 1, 2, 9):
        alone = convert_bodies([bodies[k]], "smplh", models_root=with_transfer)
        np.testing.assert_allclose(
            found.parameters[k]["pose"], alone.parameters[0]["pose"], atol=1e-3
        )
        np.testing.assert_allclose(found.max_mm[k], alone.max_mm[0], atol=0.01)


def test_another_gender_is_fitted_to_the_vertices(plain):
    body = make_body("smplx", 8, expression=np.zeros(10, np.float32))
    found = convert_bodies([body], "smplx", gender="female", models_root=plain)
    assert found.parameters[0]["gender"] == "female" and found.compared == ["vertices"]
    sides = [posed(b, plain)["vertices"] for b in (body, dict(body, gender="female"))]
    without_a_fit = 1000 * np.linalg.norm(sides[0] - sides[1], axis=-1).mean()
    assert found.mean_mm[0] < 0.9 * without_a_fit


def test_what_is_wrong_is_said(plain, tmp_path):
    body = make_body("smpl")
    with pytest.raises(UsageError, match="'mhr' is unknown; known: smpl"):
        convert_bodies([body], "mhr", models_root=plain)
    with pytest.raises(UsageError, match="gender 'x' is unknown"):
        convert_bodies([body], "smplx", gender="x", models_root=plain)
    with pytest.raises(WorkError, match=r"SMPLX_MALE\.npz not found below"):
        convert_bodies([body], "smplx", models_root=tmp_path)
    with pytest.raises(CorruptInput, match=r"a\.jpg: body parameters: found no trans"):
        lacking = {k: v for k, v in body.items() if k != "trans"}
        convert_bodies([lacking], "smplx", where=["a.jpg"], models_root=plain)
    with pytest.raises(CorruptInput, match="found type 'smply' and a pose of 72 numbers"):
        convert_bodies([dict(body, type="smply")], "smplx", models_root=plain)


def test_transfer_files_that_are_wrong(tmp_path):
    write_one_body(tmp_path)
    path = tmp_path / "smplx" / "smpl2smplx_deftrafo_setup.pkl"
    write_transfer(path, np.eye(5))
    with pytest.raises(CorruptInput, match=r"found a matrix \(5, 5\); expected \(330, 330\)"):
        convert_bodies([make_body("smpl")], "smplx", models_root=tmp_path)
    assert read_transfer(path).toarray().tolist() == np.eye(5).tolist()
    path.write_bytes(b"\x80\x02}.")
    with pytest.raises(CorruptInput, match="found neither mtx nor matrix"):
        read_transfer(path)


@given(st.integers(0, 1000), st.sampled_from(["smplh", "smplx"]))
def test_a_pose_comes_back_from_a_model_with_more_joints(seed, other):
    pose = np.random.default_rng(seed).normal(0, 0.5, (2, 72))
    back = copied_pose(copied_pose(pose, "smpl", other), other, "smpl")
    np.testing.assert_allclose(back, pose, atol=1e-9)


def test_bodies_of_one_model_are_put_together():
    bodies = [make_body("smpl", 1), None, make_body("smplx", 2), make_body("smpl", 3)]
    bodies[0].pop("type")
    found = {b.kind: b for b in alike_bodies(bodies)}
    assert found["smpl"].positions.tolist() == [0, 3]
    np.testing.assert_array_equal(found["smpl"].params["pose"][1], bodies[3]["pose"])
    assert found["smplx"].params["scale"].tolist() == [1.0]
    assert kind_of_body(bodies[0]) == "smpl" and family_of("smplxmoyo") == "smplx"


def test_a_fit_of_few_components_is_not_a_fit_of_many_that_is_cut(plain):
    """What the mesh of the result is, is what its parameters give."""
    body = make_body("smplx", 9)
    mesh, joints = (posed(body, plain)[name] for name in ("vertices", "joints"))
    found = fit_bodies("smplx", "male", mesh, joints, n_betas=4, models_root=plain)
    assert found["shape"].shape == (1, 4)
    again = body_forward("smplx", "male", found, models_root=plain)
    np.testing.assert_allclose(again["vertices"], found["vertices"], atol=1e-5)
