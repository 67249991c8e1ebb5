"""People in pictures: matching, parts of bodies, zips of pickles, bodies by their parameters."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from references import bodies
from scipy.spatial.transform import Rotation

from posepile.errors import CorruptInput
from posepile.evaluation.benchmark import Clip, pictures_of
from posepile.evaluation.columns import pose_figures, share_figures
from posepile.evaluation.library_bodies import library_body
from posepile.evaluation.people import Part, official_parts, people_figures, picture_figures
from posepile.evaluation.zip_forms import read_body, zipped_people
from posepile.metrics import match_greedily
from posepile.miniature.bodies import write_body_models

OUTPUTS = [*range(55), *range(76, 127)]


def boxed(x, y=0):
    """24 points in a box 20 wide and 100 high."""
    return np.array([[x, y], [x + 20, y + 100], *[[x + 10, y + 50]] * 22], float)


def test_matching_that_ends_early_loses_a_pair():
    true, pred = np.array([boxed(0), boxed(30)]), np.array([boxed(0), boxed(30, 35)])
    valid = np.array([True, True])
    # The first prediction and the second person are nearer than the second pair, but apart.
    assert match_greedily(pred, true, valid, ends_early=False).tolist() == [0, 1]
    assert match_greedily(pred, true, valid).tolist() == [0, -1]


def test_matching_of_invalid_people_and_of_nobody():
    true, pred = np.array([boxed(0), boxed(2)]), np.array([boxed(0)])
    # The nearest is invalid: the prediction stays free and meets the other one.
    assert match_greedily(pred, true, np.array([False, True])).tolist() == [-1, 0]
    assert match_greedily(pred, true, np.array([False, False])).tolist() == [-1, -1]
    assert match_greedily(pred[:0], true, np.array([True, True])).tolist() == [-1, -1]
    assert match_greedily(pred, true[:0], np.zeros(0, bool)).tolist() == []
    # Boxes that share a tenth of their pixels match, less does not: 21 wide, 17 apart: 4 of 38.
    valid = np.array([True])
    assert match_greedily(np.array([boxed(17)]), true[:1], valid).tolist() == [0]
    assert match_greedily(np.array([boxed(18)]), true[:1], valid).tolist() == [-1]


# Parameters of bodies


def parameters(kind, rng, matrices=False):
    parts = {"global_orient": 1, "body_pose": 21 if kind == "smplx" else 23}
    if kind == "smplx":
        parts |= {"jaw_pose": 1, "leye_pose": 1, "reye_pose": 1}
        parts |= {"left_hand_pose": 15, "right_hand_pose": 15}
    pose = {part: rng.normal(0, 0.3, (1, n, 3)) for part, n in parts.items()}
    shape = {"betas": rng.normal(0, 1, (1, 10)), "transl": rng.normal(0, 1, (1, 3))}
    if kind == "smplx":
        shape["expression"] = rng.normal(0, 1, (1, 10))
    if matrices:
        made = {k: Rotation.from_rotvec(v[0]).as_matrix()[None] for k, v in pose.items()}
        return pose, shape, made
    return pose, shape, {k: v.reshape(1, -1) for k, v in pose.items()}


@pytest.mark.parametrize("matrices", [False, True])
@pytest.mark.parametrize("kind", ["smpl", "smplx"])
def test_parameters_give_the_body_that_they_are_of(tmp_path, kind, matrices):
    root, rng = tmp_path / "raw", np.random.default_rng(3)
    write_body_models(root / "body_models", (kind,))
    pose, shape, given = parameters(kind, rng, matrices)
    found = library_body(kind, given | shape, tmp_path / "a.pkl", root / "body_models")
    model = bodies.load_model(root, kind, "neutral")
    whole = np.concatenate([v[0] for v in pose.values()])
    if kind == "smplx" and not matrices:  # the library adds the mean hand to vectors
        whole[25:] += np.concatenate([model["hands_meanl"], model["hands_meanr"]]).reshape(30, 3)
    betas = shape["betas"][0]
    if kind == "smplx":
        with np.load(root / "body_models/smplx/SMPLX_NEUTRAL.npz") as file:
            faces, n = file["f"], file["shapedirs"].shape[2]
        betas = np.concatenate(
            [betas, np.zeros(n - 20 if n < 300 else 290), shape["expression"][0]]
        )
    vertices, joints = bodies.pose_body(model, whole, betas, shape["transl"][0])
    np.testing.assert_allclose(found["vertices"], 1000 * vertices, atol=0.01)
    np.testing.assert_allclose(found["joints"][: len(joints)], 1000 * joints, atol=0.01)
    if kind == "smplx":
        middle = 1000 * vertices[faces[:51]].mean(axis=1)  # so the miniature's face is made
        np.testing.assert_allclose(found["joints"][55:], middle, atol=0.01)


def test_both_forms_of_a_person_are_read_as_the_same(tmp_path):
    where, models = tmp_path / "a.pkl", tmp_path
    write_body_models(models, ("smplx",))
    rules = {"model": "SMPLX", "joints": OUTPUTS, "n": (330, 127)}  # of a small model
    _, shape, given = parameters("smplx", np.random.default_rng(1))
    body = library_body("smplx", given | shape, where, models)
    joints = np.zeros((127, 3))
    joints[OUTPUTS] = body["joints"] / 1000
    person = {"joints": np.zeros((24, 2)), "verts": body["vertices"] / 1000}
    whole = read_body(person | {"allSmplJoints3d": joints}, where, rules=rules)
    params = {"joints": np.zeros((24, 2)), "params": given | shape | {"gender": "neutral"}}
    found = read_body(params, where, rules=rules, models_root=models)
    assert found.keys() == whole.keys() and found["joints"].shape == (106, 3)
    for name, values in found.items():
        np.testing.assert_allclose(values, whole[name], atol=1e-9)
    with pytest.raises(CorruptInput, match="has 330 vertices; expected 10475"):
        read_body(params, where, rules=rules | {"n": (10475, 127)}, models_root=models)


# Parts and figures


def test_parts_of_bodies_come_from_the_index_files(tmp_path):
    folder = tmp_path / "body_models" / "smplx"
    folder.mkdir(parents=True)
    np.save(folder / "body_verts_smplx.npy", [0, 10474])
    hands = {"left_hand": np.array([1, 2]), "right_hand": np.array([3])}
    (folder / "MANO_SMPLX_vertex_ids.pkl").write_bytes(pickle.dumps(hands))
    np.save(folder / "SMPL-X__FLAME_vertex_ids.npy", [4, 5, 6])
    parts = official_parts("smplx", tmp_path, 10475)
    found = {
        name: (part.root, len(part.joints), len(part.vertices)) for name, part in parts.items()
    }
    assert found == {
        "body": ([1, 2], 22, 2),
        "lhand": ([20], 16, 2),
        "rhand": ([21], 16, 1),
        "face": ([12], 52, 3),
    }
    np.save(folder.parent / "body_verts_smpl.npy", [0, 6890])
    with pytest.raises(CorruptInput, match="body_verts_smpl.npy: found other vertices than 0 to"):
        official_parts("smpl", tmp_path, 6890)


def test_people_of_a_picture():
    true = {"points": np.array([boxed(0), boxed(500)]), "valid": np.array([True, True])}
    true |= {"joints": np.zeros((2, 3, 3)), "vertices": np.zeros((2, 4, 3))}
    pred = {"points": true["points"][::-1], "joints": true["joints"].copy()}
    pred["vertices"] = np.array([np.full((4, 3), [0, 0, 7.0]), np.zeros((4, 3))])
    parts = {"body": Part([1, 2], [0, 1], np.array([0, 3]))}
    found = picture_figures(pred, true, parts, official=True)
    assert (found["TP"], found["FP"], found["FN"]) == ([2], [0], [0])
    assert found["MVE-body_mm"].tolist() == [0, 7]  # in the order of the truth
    nobody = picture_figures({}, true, parts, official=True)
    assert nobody == {"TP": [0], "FP": [0], "FN": [2]}


def test_figures_of_people_are_rounded_in_the_official_order():
    means = {"TP": 1, "FP": 1, "FN": 1}  # F1 = 0.5
    means |= {f"{n}-{k}_mm": 10.04 for n in ("MPJPE", "MVE") for k in ("body", "lhand", "rhand")}
    means |= {"MPJPE-face_mm": 10.06, "MVE-face_mm": 10.06}
    found = people_figures(means, rounded=True, whole=True)
    assert (found["F1"], found["MPJPE-body_mm"], found["MPJPE-face_mm"]) == (0.5, 10.0, 10.1)
    assert found["MPJPE-full_mm"] == 20.0  # 10 + 30.1 / 3 = 20.03
    assert found["NMJE-full_mm"] == 40.0 and found["NMJE_mm"] == found["NMJE-body_mm"] == 20.0
    exact = people_figures(means, rounded=False, whole=True)
    assert exact["MPJPE-full_mm"] == pytest.approx(10.04 + 30.14 / 3)
    nobody = people_figures({"TP": 0, "FP": 0, "FN": 3}, rounded=True, whole=False)
    assert nobody["F1"] == 0 and np.isnan(nobody["NMVE_mm"]) and np.isnan(nobody["MPJPE_mm"])


def test_zips_hold_people_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k in (10, 2):
            archive.writestr(f"x/b_c_personId_{k}.pkl", pickle.dumps({"k": k}))
        archive.writestr("__MACOSX/x/._b_personId_1.pkl", b"")
    opened = zipped_people(path, lambda person, where: {"k": [person["k"]]}, unit="m")
    taken = opened.take(Clip("all", ["b_c", "other"], {}))
    assert opened.names == ["b_c"] and opened.unit == "m"
    assert taken.present.tolist() == [True, False]
    assert [k.tolist() for k in taken.arrays["k"]] == [[[2], [10]], []]


@pytest.mark.parametrize("damage", ["contents", "encrypted", "empty", "method"])
def test_damaged_members_are_named(tmp_path, damage):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        content = b"" if damage == "empty" else pickle.dumps({"k": list(range(300))})
        archive.writestr("b_personId_0.pkl", content)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    if damage == "contents":
        data[60:90] = b"?" * 30
    elif damage == "encrypted":
        data[entry + 8] |= 1
    elif damage == "method":
        data[entry + 10] = 99
    path.write_bytes(data)
    opened = zipped_people(path, lambda person, where: person)
    with pytest.raises(CorruptInput, match=r"a\.zip/b_personId_0\.pkl: (not readable|found 0)"):
        opened.take(Clip("all", ["b"], {}))


# Poses


def test_shares_are_of_joints_or_of_worst_joints():
    true = np.random.default_rng(0).normal(0, 300, (3, 17, 3))
    pred = true.copy()
    pred[0, 5, 0] += 100
    found = share_figures(pose_figures(pred, true, root=0))
    assert found["PCK100_percent"].mean() == pytest.approx(100 * (1 - 1 / 51))
    assert found["PCK150_percent"].mean() == 100
    assert found["AUC150_percent"].mean() == pytest.approx(100 * (1 - 2 / 3 / 51))
    assert found["CPS100_percent"].tolist() == [100] * 3  # less than 100 after Procrustes
    assert found["CPS-AUC200_percent"][1:].tolist() == pytest.approx([100, 100])
    assert found["CPS-AUC200_percent"][0] < 100


def test_pictures_are_shown_where_they_are(tmp_path):
    (tmp_path / "a.jpg").touch()
    files = [Path(tmp_path, name) for name in ("a.jpg", "b.jpg")]
    first, second = object(), object()
    shown = pictures_of(files, first)
    assert shown(0)[:2] == (files[0], first) and shown(1) is None
    assert pictures_of(files[:1] * 2, [first, second])(1)[:2] == (files[0], second)
