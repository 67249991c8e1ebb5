"""AGORA's protocols: values by hand, both forms of people, what is refused."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest
from evaluation_kit import evaluate
from references import agora as reference

from posepile.ds import load_evaluation
from posepile.errors import CorruptInput

N_SKIN = {"smpl": 6890, "smplx": 10475}


@pytest.fixture(scope="module")
def root(raw_miniature, tmp_path_factory):
    """Labels and models of the miniature, with the index files of the official package."""
    root, rng = tmp_path_factory.mktemp("data") / "agora", np.random.default_rng(0)
    for name in ("SMPL", "SMPLX", "body_models"):
        shutil.copytree(raw_miniature("agora") / name, root / name)
    folder = root / "body_models" / "smplx"
    for kind, n in N_SKIN.items():
        ids = np.sort(rng.choice(n, 4010, replace=False))
        np.save(root / "body_models" / f"body_verts_{kind}.npy", ids)
    hands = {f"{side}_hand": rng.choice(10475, 778, replace=False) for side in ("left", "right")}
    (folder / "MANO_SMPLX_vertex_ids.pkl").write_bytes(pickle.dumps(hands))
    np.save(folder / "SMPL-X__FLAME_vertex_ids.npy", rng.choice(10475, 5023, replace=False))
    return root


def people_of(root, protocol):
    """True people by image, as another reader has them; and which of them are valid."""
    truth = reference.truth(root, protocol)
    truth.pop("")
    return truth


def write(path, people, **more):
    reference.write_predictions(path, people, "agora.smpl")
    return path


def figures(root, pred, protocol):
    result = evaluate("agora", root, pred, "--protocol", protocol)
    return result["figures"] | result["more_figures"]


def copies(people):
    return {
        image: [{**p, "joints_3d": p["joints_3d"].copy(), "verts": p["verts"].copy()} for p in of]
        for image, of in people.items()
    }


@pytest.mark.parametrize("protocol", ["smpl", "smplx", "smpl-corrected", "smplx-corrected"])
def test_the_truth_itself_has_no_error(root, tmp_path, protocol):
    people = people_of(root, f"agora.{protocol}")
    valid = {k: [p for p in of if p["valid"]] for k, of in people.items()}
    found = figures(root, write(tmp_path / "a.zip", valid), protocol)
    assert found["F1"] == 1 and found["FN"] == found["FP"] == 0
    assert found["TP"] == sum(map(len, valid.values())) > 2
    errors = [v for k, v in found.items() if k.endswith("_mm")]
    assert len(errors) == (18 if "smplx" in protocol else 6)
    assert errors == pytest.approx([0] * len(errors), abs=1e-6)


def test_errors_of_parts_and_their_roots(root, tmp_path):
    """Hands and faces count from their own root, bodies from the hips; all in the same place."""
    people = copies(people_of(root, "agora.smplx"))
    for person in (p for of in people.values() for p in of):
        person["joints_3d"] += [1, 0, 0]  # alignment takes it away
        person["verts"] += [1, 0, 0]
        person["joints_3d"][25] += [0, 0.016, 0]  # one of 16 joints of the left hand: 1 mm
        person["joints_3d"][76] += [0, 0.052, 0]  # one of 52 of the face
        person["joints_3d"][3] += [0, 0, 0.044]  # one of 22 of the body: 2 mm
    found = figures(root, write(tmp_path / "a.zip", people), "smplx")
    names = ("body", "lhand", "rhand", "face", "full")
    values = [found[f"MPJPE-{name}_mm"] for name in names]
    assert values == pytest.approx([2, 1, 0, 1, 2.7])  # 2 + (1 + 0 + 1) / 3
    assert found["MPJPE_mm"] == found["MPJPE-body_mm"] and found["MVE-full_mm"] == 0
    # Nobody takes the place of invalid people, whose predictions are left over.
    invalid = sum(not p["valid"] for of in people.values() for p in of)
    assert found["FP"] == invalid and found["FN"] == 0


def test_f1_is_rounded_before_errors_are_divided(root, tmp_path):
    people = copies(people_of(root, "agora.smpl"))
    image = next(k for k, of in people.items() if sum(p["valid"] for p in of) > 1)
    people = {k: [p for p in of if p["valid"]] for k, of in people.items()}
    n = sum(map(len, people.values()))
    people[image] = people[image][1:]
    for person in (p for of in people.values() for p in of):
        person["joints_3d"][5] += [0.24, 0, 0]  # 10 mm
    found = figures(root, write(tmp_path / "a.zip", people), "smpl")
    exact = (n - 1) / (n - 1 + 0.5)
    assert found["F1"] == round(exact, 2) and found["MPJPE_mm"] == 10
    assert found["NMJE_mm"] == round(10 / round(exact, 2), 1)
    found = figures(root, tmp_path / "a.zip", "smpl-corrected")
    assert found["F1"] == pytest.approx(exact)
    assert found["NMJE_mm"] == pytest.approx(10 / exact)


def test_hands_of_missed_people_count_as_right_only_officially(root, tmp_path):
    people = copies(people_of(root, "agora.smplx"))
    image = next(k for k, of in people.items() if sum(p["valid"] for p in of) > 1)
    valid = [p for p in people[image] if p["valid"]]
    for person in valid:
        person["joints_3d"][25] += [0, 0.16, 0]  # 10 mm in the mean of the hand
    pred = write(tmp_path / "a.zip", {image: valid[:1]})
    share = 1 / len(valid)
    found = figures(root, pred, "smplx")
    assert found["MPJPE-lhand_mm"] == pytest.approx(round(10 * share, 1))
    assert figures(root, pred, "smplx-corrected")["MPJPE-lhand_mm"] == pytest.approx(10)


def test_what_was_unpacked_is_read_like_the_zip(root, tmp_path):
    people = copies(people_of(root, "agora.smpl"))
    for person in (p for of in people.values() for p in of):
        person["verts"][:100] += [0, 0.02, 0]
    expected = figures(root, write(tmp_path / "a.zip", people), "smpl")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "folder")
    assert figures(root, tmp_path / "folder", "smpl") == expected and expected["MVE_mm"] > 0


# What is refused


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


GOOD = {"joints": np.zeros((24, 2)), "verts": np.zeros((6890, 3))}
GOOD["allSmplJoints3d"] = np.zeros((24, 3))
NAME = "predictions/ag_validationset_axyz_body_ag2_5_15_00002_personId_0.pkl"
NAN = GOOD | {"allSmplJoints3d": np.where(np.arange(24)[:, None] == 7, np.nan, np.zeros(3))}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (NAME, GOOD | {"verts": np.zeros((10475, 3))}, "verts"),
        (NAME, GOOD | {"allSmplJoints3d": np.zeros((23, 3))}, "23 joints; expected 24 or 45"),
        (NAME, GOOD | {"joints": np.zeros((17, 2))}, "17 points of the image; expected 24"),
        (NAME, NAN, "allSmplJoints3d"),
        (NAME, {"joints": GOOD["joints"]}, "verts"),
        (NAME, {"joints": GOOD["joints"], "params": {"betas": [0.0]}}, "global_orient"),
        (NAME, [1, 2], "expected"),
        (NAME, Evil(), "refused"),
        ("predictions/someone.pkl", GOOD, "predictions/someone.pkl: expected a name like"),
        ("notes.txt", GOOD, "found no person"),
    ],
)  # fmt: skip
def test_bad_predictions_are_refused_in_one_line(root, tmp_path, capsys, name, content, said):
    path = tmp_path / "pred.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, pickle.dumps(content))
    argv = ["--pred-path", str(path), "--data-dir", str(root), "--protocol", "smpl"]
    assert load_evaluation("agora").main(argv) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(path) in error and said in error
    assert "download" not in error and "fetch" not in error


def test_damaged_zips_and_wrong_units_are_refused(root, tmp_path):
    path = tmp_path / "pred.zip"
    path.write_bytes(b"PK\x03\x04 not at all")
    with pytest.raises(CorruptInput, match=r"pred\.zip: not readable"):
        figures(root, path, "smpl")
    people = copies(people_of(root, "agora.smpl"))
    for person in (p for of in people.values() for p in of):
        person["joints_3d"] *= 1000
        person["verts"] *= 1000
    with pytest.raises(CorruptInput, match="1000 times larger"):
        figures(root, write(path, people), "smpl")
    found = evaluate("agora", root, path, "--protocol", "smpl", "--units", "mm")
    assert found["figures"]["MPJPE_mm"] == 0
    cut = path.read_bytes()
    path.write_bytes(cut[: len(cut) // 2])
    with pytest.raises(CorruptInput, match=r"pred\.zip: not readable"):
        figures(root, path, "smpl")


def test_index_files_that_are_not_there_are_named(raw_miniature, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    people = people_and_no_indices(raw_miniature)
    path = write(tmp_path / "a.zip", people)
    argv = ["--pred-path", str(path), "--data-dir", str(raw_miniature("agora"))]
    assert load_evaluation("agora").main(argv) == 1
    assert "body_verts_smpl.npy: not there" in capsys.readouterr().err


def people_and_no_indices(raw_miniature):
    import pandas

    frame = pandas.read_pickle(raw_miniature("agora") / "SMPL/validation_0_withjv.pkl")
    row = frame.iloc[0]
    person = {"joints_2d": row["gt_joints_2d"][0][:24], "verts": row["gt_verts"][0]}
    return {row["imgPath"]: [person | {"joints_3d": row["gt_joints_3d"][0]}]}
