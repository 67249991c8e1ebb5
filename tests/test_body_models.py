"""Joints from body-model parameters against a plain chain of rotations, and AMASS files."""

import pickle
import struct
import zipfile
from pathlib import Path

import forging
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posepile.bodies import joints as tree
from posepile.bodies import models as body_models
from posepile.bodies.amass import read_amass
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.miniature import bodies as miniature_bodies


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("body_models")
    miniature_bodies.write_body_models(root, ("smpl", "smplh", "smplh16", "smplx"))
    return root


def chain(model, parents, pose, shape, trans):
    """Forward kinematics by the textbook: joints of the shaped template, rotated down the tree."""
    rest = model["J_regressor"] @ (
        model["v_template"] + model["shapedirs"][..., : len(shape)] @ shape
    )
    rotations, points = [], []
    for j, parent in enumerate(parents):
        local = Rotation.from_rotvec(pose[3 * j : 3 * j + 3]).as_matrix()
        if parent < 0:
            rotations.append(local)
            points.append(rest[0])
        else:
            rotations.append(rotations[parent] @ local)
            points.append(points[parent] + rotations[parent] @ (rest[j] - rest[parent]))
    return np.array(points) + trans


@pytest.mark.parametrize(
    ("kind", "gender", "model_of", "n_shape"),
    [
        ("smpl", "female", ("smpl", 3), 10),
        ("smplh", "male", ("smplh16", 2), 16),
        ("smplh", "neutral", ("smplh16", 1), 10),
        ("smplh16", "f", ("smplh16", 3), 4),
        ("smplx", "NEUTRAL", ("smplx", 1), 10),
    ],
)
def test_joints_are_those_of_the_chain(models, kind, gender, model_of, n_shape):
    file, seed = model_of
    rng = np.random.default_rng(0)
    names = {"smpl": tree.SMPL_PARENTS, "smplx": tree.SMPLX_PARENTS}
    parents = names.get(kind, tree.SMPLH_PARENTS)
    pose, trans = rng.normal(0, 0.5, (2, 3 * len(parents))), rng.normal(0, 1, (2, 3))
    shape = rng.normal(0, 1, n_shape)
    params = {"pose": pose, "shape": shape, "trans": trans}
    joints = body_models.body_joints(kind, gender, params, models_root=models)
    model = miniature_bodies.make_model(file, seed=seed)
    expected = [chain(model, parents, p, shape, t) for p, t in zip(pose, trans, strict=True)]
    np.testing.assert_allclose(joints, expected, atol=1e-5)
    scaled = body_models.body_joints(kind, gender, params | {"scale": 2.0}, models_root=models)
    np.testing.assert_allclose(scaled, 2 * joints, atol=1e-5)


def test_names_and_parents_agree():
    for names, parents in (
        (tree.SMPL_JOINT_NAMES, tree.SMPL_PARENTS),
        (tree.SMPLH_JOINT_NAMES, tree.SMPLH_PARENTS),
        (tree.SMPLX_JOINT_NAMES, tree.SMPLX_PARENTS),
    ):
        assert len(names) == len(parents) == len(set(names))
        for name, parent in zip(names, parents, strict=True):
            if name.endswith("index2"):
                assert names[parent] == name[0] + "index1"
            if name.endswith("index1"):
                assert names[parent] == name[0] + "wri"


def test_what_is_missing_or_wrong_is_said(models, tmp_path):
    params = {"pose": np.zeros((1, 165)), "shape": np.zeros(10)}
    with pytest.raises(WorkError, match=r"SMPLX_MALE\.npz not found"):
        body_models.body_joints("smplx", "male", params, models_root=tmp_path)
    assert body_models.find_body_model("smplx", "male", models_root=tmp_path) is None
    with pytest.raises(UsageError, match="kind"):
        body_models.body_joints("smplz", "male", params, models_root=models)
    with pytest.raises(UsageError, match="gender"):
        body_models.body_joints("smplx", "x", params, models_root=models)
    with pytest.raises(WorkError, match="expected"):
        body_models.body_joints("smpl", "male", params, models_root=models)
    with pytest.raises(WorkError, match="shape components"):
        many = params | {"shape": np.zeros(30)}
        body_models.body_joints("smplx", "male", many, models_root=models)
    five = params | {"pose": np.zeros((5, 165)), "shape": np.zeros((5, 10))}
    for key, value in (("scale", np.ones(3)), ("expression", np.zeros((3, 10)))):
        with pytest.raises(WorkError, match="smplx parameters of 5 poses do not fit together"):
            body_models.body_joints("smplx", "male", five | {key: value}, models_root=models)
    smiling = {"pose": np.zeros((1, 72)), "expression": np.zeros(10)}
    with pytest.raises(WorkError, match="expression given, but smpl bodies have none"):
        body_models.body_joints("smpl", "male", smiling, models_root=models)


def test_it_is_said_how_to_get_the_kid_template(tmp_path):
    miniature_bodies.write_body_models(tmp_path, ("smpl",))
    (tmp_path / "smpl" / "kid_template.npy").unlink()
    with pytest.raises(WorkError, match=r"kid_template.npy; .*smplfitter.download"):
        body_models.body_joints("smpl", "male", {"pose": np.zeros(72)}, models_root=tmp_path)


@pytest.mark.parametrize(("gender", "n_betas"), [("neutral", 10), ("male", 16), ("male", 10)])
def test_the_file_that_is_asked_for_is_one_that_is_looked_for(tmp_path, gender, n_betas):
    params = {"pose": np.zeros((1, 156)), "shape": np.zeros(n_betas)}
    (line,) = body_models.lacking_models("smplh", [gender], tmp_path, "x", models_root=tmp_path)
    with pytest.raises(WorkError, match=f": smplh16/{gender}/model.npz not found"):
        body_models.body_joints("smplh", gender, params, models_root=tmp_path)
    assert f"put them into {tmp_path / 'smplh16' / gender} (" in line
    (tmp_path / "smplh16" / gender).mkdir(parents=True)
    (tmp_path / "smplh16" / gender / "model.npz").touch()
    assert body_models.find_body_model("smplh", gender, n_betas=n_betas, models_root=tmp_path)
    assert not body_models.lacking_models("smplh", [gender], tmp_path, "x", models_root=tmp_path)


def write_motion(path, **changes):
    data = {
        "poses": np.zeros((5, 156)),
        "trans": np.zeros((5, 3)),
        "betas": np.zeros(16),
        "gender": np.array("male"),
        "mocap_framerate": np.array(120.0),
    }
    data = {k: v for k, v in (data | changes).items() if v is not None}
    np.savez(path, **data)
    return path


@pytest.mark.parametrize(
    ("stored", "gender"),
    [
        (np.array("male"), "male"),
        (np.array("Female"), "female"),
        (np.array(b"female"), "female"),
        (np.array(str(b"female")), "female"),
        (np.array([b"neutral"]), "neutral"),
    ],
)
def test_gender_of_all_forms(tmp_path, stored, gender):
    motion = read_amass(write_motion(tmp_path / "m.npz", gender=stored))
    assert (motion.gender, motion.framerate, motion.poses.shape) == (gender, 120.0, (5, 156))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gender": np.array(b"x")}, "gender"),
        ({"gender": np.array({"a": 1}, object)}, "gender is"),
        ({"poses": None}, "has no poses"),
        ({"poses": np.zeros((5, 72))}, "expected \\(T, 156\\)"),
        ({"trans": np.zeros((4, 3))}, "trans"),
        ({"mocap_framerate": np.array(0.0)}, "mocap_framerate"),
    ],
)
def test_unusable_motions_are_named(tmp_path, changes, message):
    path = write_motion(tmp_path / "m.npz", **changes)
    with pytest.raises(CorruptInput, match=message):
        read_amass(path)


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("poses.npy", forging.npy("<f8", (2**40, 156)), "more memory than the limit"),
        ("trans.npy", forging.npy("<f8", "(5,"), "damaged npy header"),
        ("betas.npy", forging.npy("<f8", (), bytes(8)), None),
        ("gender.npy", forging.npy("<U1", (), b"\xff\xff\xff\x7f"), "not|damaged|outside"),
        (
            "poses.npy",
            forging.npy("<c16", (1, 156), bytes(156 * 16)),
            "poses: found .*; expected numbers",
        ),
    ],
)
def test_motions_whose_members_are_forged(tmp_path, member, content, message):
    """What NumPy itself meets with a lack of memory, an error of its own or a warning."""
    path = write_motion(tmp_path / "m.npz")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(forging.zip_of(members | {member: content}))
    if message is None:
        assert read_amass(path).betas.tolist() == [0.0]
        return
    with pytest.raises(CorruptInput, match=message):
        read_amass(path)


# ---------------------------------------------------------------- model files


def forged_model(change):
    """The folder of a male SMPL whose content was changed."""

    def write(root):
        miniature_bodies.write_body_models(root, ("smpl",))
        path = root / "smpl" / "basicmodel_m_lbs_10_207_0_v1.1.0.pkl"
        content = pickle.loads(path.read_bytes())
        changed = change(content)
        path.write_bytes(changed if isinstance(changed, bytes) else pickle.dumps(content, 2))

    return write


def without_end(content):
    return pickle.dumps(content, 2)[:-50]


def in_a_far_place(content):
    """Python would make room for four thousand million values."""
    return pickle.dumps(content, 2)[:-1] + b"r" + struct.pack("<I", 2**32 - 1) + b"."


def that_runs(content):
    return forging.end(forging.call(forging.name("os", "mkdir"), forging.value("was-run")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (that_runs, r"the pickle wants to use os\.mkdir"),
        (without_end, "damaged pickle"),
        (in_a_far_place, "found a value in place 4294967295"),
        (lambda model: model.pop("posedirs"), "found no posedirs"),
        (lambda model: model["kintree_table"].__setitem__((0, 3), 7), "a joint before its parent"),
        (lambda model: model.update(weights=model["weights"][:-1]), "weights: found shape"),
        (lambda model: model["v_template"].fill(np.nan), "v_template: found nan"),
        (lambda model: model["f"].fill(9999), "found a face of vertex 9999 of 330"),
        (lambda model: model.update(posedirs=model["posedirs"][..., :-9]), "9 for each joint"),
        (lambda model: model.update(J_regressor=np.zeros((2, 2))), "J_regressor: found shape"),
    ],
)
def test_model_files_are_looked_at_before_a_library_loads_them(
    tmp_path, monkeypatch, change, message
):
    monkeypatch.chdir(tmp_path)
    forged_model(change)(tmp_path)
    body = {"pose": np.zeros(72), "shape": np.zeros(10)}
    with pytest.raises(CorruptInput, match=message) as e:
        body_models.body_joints("smpl", "male", body, models_root=tmp_path)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "was-run").exists()
    assert body_models.body_joints("smpl", "female", body, models_root=tmp_path).shape[1] == 24


def test_a_library_loads_no_pickle_of_others(tmp_path, monkeypatch):
    """Two readers of pickles may understand one differently, so the library gets our own."""
    miniature_bodies.write_body_models(tmp_path, ("smpl",))
    loaded, load = [], pickle.load

    def note(file, **how):
        loaded.append(Path(file.name))
        return load(file, **how)

    monkeypatch.setattr(pickle, "load", note)
    body = {"pose": np.zeros(72), "shape": np.zeros(10)}
    body_models._load_model.cache_clear()
    body_models.body_joints("smpl", "male", body, models_root=tmp_path)
    assert [path.name for path in loaded] == ["basicmodel_m_lbs_10_207_0_v1.1.0.pkl"]
    assert not loaded[0].is_relative_to(tmp_path) and not loaded[0].exists()


def test_a_kid_template_of_another_model(tmp_path):
    miniature_bodies.write_body_models(tmp_path, ("smplx",))
    np.save(tmp_path / "smplx" / "kid_template.npy", np.zeros((5, 3)))
    body = {"pose": np.zeros(165), "shape": np.zeros(10)}
    with pytest.raises(CorruptInput, match=r"kid_template\.npy: found shape \(5, 3\)"):
        body_models.body_joints("smplx", "male", body, models_root=tmp_path)


def test_damaged_and_missing_motions(tmp_path):
    path = write_motion(tmp_path / "m.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CorruptInput, match="not a complete npz"):
        read_amass(path)
    with pytest.raises(CorruptInput, match="missing"):
        read_amass(tmp_path / "none.npz")


@pytest.mark.parametrize("more", [{}, {"scale": 1.2}])
def test_a_moved_body_is_where_its_joints_were_moved_to(models, more):
    rng = np.random.default_rng(5)
    params = {
        "pose": rng.normal(0, 0.5, 165),
        "shape": rng.normal(0, 1, 10),
        "trans": rng.normal(0, 1, 3),
        "kid_factor": 0.3,
        **more,
    }
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_rotvec([0.4, -1, 2]).as_matrix()
    transform[:3, 3] = 1, -2, 0.5
    before = body_models.body_joints("smplx", "male", params, models_root=models)
    moved = body_models.move_body("smplx", "male", params, transform, models_root=models)
    after = body_models.body_joints("smplx", "male", moved, models_root=models)
    np.testing.assert_allclose(after, before @ transform[:3, :3].T + transform[:3, 3], atol=1e-5)
    assert moved["kid_factor"] == 0.3


def test_global_rotations():
    rng = np.random.default_rng(6)
    pose = rng.normal(0, 1, (4, 72))
    found = tree.global_rotations(pose, tree.SMPL_PARENTS)
    for k in range(4):
        for j in (0, 7, 23):
            expected, at = np.eye(3), j
            while at >= 0:
                expected = (
                    Rotation.from_rotvec(pose[k, 3 * at : 3 * at + 3]).as_matrix() @ expected
                )
                at = tree.SMPL_PARENTS[at]
            np.testing.assert_allclose(found[k, j], expected, atol=1e-12)
    one = tree.global_rotations(pose[1].reshape(24, 3), tree.SMPL_PARENTS)
    np.testing.assert_array_equal(one, found[1])
