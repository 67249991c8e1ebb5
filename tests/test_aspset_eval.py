"""ASPset: the official evaluation, compared with plain loops."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from aspset_kit import plain_c3d
from evaluation_kit import evaluate

from posepile.ds.aspset import eval as aspset_eval
from posepile.ds.aspset import main, miniature
from posepile.errors import CorruptInput, UsageError, WorkError


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("aspset")


def reference(pred, truth):
    """The card's evaluation, pose by pose and in float32."""
    sums = np.zeros(6)
    for p, t in zip(pred.astype(np.float32), truth.astype(np.float32), strict=True):
        a, b = t.astype(np.float64), p.astype(np.float64)
        a_mean, b_mean = a.mean(0), b.mean(0)
        a, b = a - a_mean, b - b_mean
        a_norm, b_norm = np.sqrt((a**2).sum()), np.sqrt((b**2).sum())
        u, w, vt = np.linalg.svd((a / a_norm).T @ (b / b_norm))
        flip = np.diag([1.0, 1.0, np.linalg.det(u @ vt)])
        rotation = u @ flip @ vt
        scale = w.sum() * a_norm / b_norm
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = scale * rotation, a_mean - scale * rotation @ b_mean
        moved = (np.c_[p, np.ones(17, np.float32)] @ matrix.T.astype(np.float32))[:, :3]
        for i, (x, y) in enumerate(((p, t), (p - p[16], t - t[16]), (moved, t))):
            distance = np.sqrt(((y - x) ** 2).sum(axis=1))
            sums[i] += distance.mean()
            sums[3 + i] += np.mean(distance <= 150)
    return sums / len(pred)


NUMBERS = (
    "MPJPE_mm",
    "Root-relative MPJPE_mm",
    "Procrustes-aligned MPJPE_mm",
    "PCK",
    "Root-relative PCK",
    "Procrustes-aligned PCK",
)


def clip_joints(root, name="cccc-0003", part="test"):
    return plain_c3d(root / f"data/{part}/joints_3d/{name[:4]}/{name}.c3d").astype(np.float64)


def write_json(path, points, rate, changes=()):
    content = {"rate": rate, "units": "mm", "skel": "aspset_17j", "points": points.tolist()}
    path.write_text(json.dumps(content | dict(changes)))


def write_csv(path, points, rate, digits=4):
    header = ["t", *(f"{j}_{axis}" for j in miniature.JOINTS for axis in "xyz")]
    rows = [[f"{i / rate:.{digits}f}", *p.ravel()] for i, p in enumerate(points)]
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([header, *rows])


@pytest.mark.parametrize("mirrored", [False, True])
def test_six_numbers_equal_the_reference(root, tmp_path, mirrored):
    rng = np.random.default_rng(5)
    joints = clip_joints(root)
    pred = joints + rng.normal(scale=90, size=joints.shape) + [30, -40, 200]
    if mirrored:  # the alignment must undo a reflection and keep the official scale
        pred[..., 2] = 2 * miniature.SUBJECT_AT[2] - pred[..., 2]
    write_json(tmp_path / "cccc-0003.json", pred[::5], 10)
    result = evaluate("aspset", root, tmp_path)
    pred = pred[::5]
    assert tuple(result["figures"]) == NUMBERS
    np.testing.assert_allclose(
        list(result["figures"].values()), reference(pred, joints[::5]), atol=2e-5
    )
    assert result["entries"] == len(pred) and result["clips"] == 1
    worst = result["joints"]["MPJPE_mm"]
    assert list(worst) == main.LABELS
    assert np.mean(list(worst.values())) == pytest.approx(result["figures"]["MPJPE_mm"])


def test_formats_and_rates_agree(root, tmp_path):
    joints = clip_joints(root) + np.float64([7, 3, -2])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    found = []
    for suffix, rate in ((".c3d", 50), (".c3d", 10), (".json", 50), (".json", 10), (".csv", 50)):
        file = tmp_path / "deep" / "er" / f"cccc-0003-mid{suffix}"
        points = joints[:: int(50 / rate)]
        if suffix == ".c3d":
            miniature.write_c3d(file, points, float(rate))
        else:
            {".json": write_json, ".csv": write_csv}[suffix](file, points, rate)
        found.append(evaluate("aspset", root, tmp_path)["figures"])
        file.unlink()
    for scores in found:
        np.testing.assert_allclose(list(scores.values()), list(found[0].values()), atol=1e-4)
    assert found[0]["MPJPE_mm"] == pytest.approx(np.sqrt(62), abs=1e-3)


def test_a_shift_of_ten_millimetres(root, tmp_path):
    miniature.write_c3d(tmp_path / "cccc-0003.c3d", clip_joints(root) + np.float64([0, 10, 0]))
    scores = evaluate("aspset", root, tmp_path)["figures"]
    expected = dict(zip(NUMBERS, (10, 0, 0, 1, 1, 1), strict=True))
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=2e-3)


def test_universal_scale_is_of_the_truth_only(root, tmp_path):
    joints = clip_joints(root)
    ids = {name: i for i, name in enumerate(miniature.JOINTS)}
    scaled = []
    for pose in joints:
        height = sum(
            np.linalg.norm(pose[ids[a]] - pose[ids[b]])
            for a, b in (("left_knee", "left_hip"), ("spine", "pelvis"), ("neck", "spine"))
        )
        scaled.append(pose * 910 / height)
    miniature.write_c3d(tmp_path / "cccc-0003.c3d", np.array(scaled))
    scores = evaluate("aspset", root, tmp_path, "--protocol", "universal")["figures"]
    assert scores["MPJPE_mm"] < 2e-3
    assert evaluate("aspset", root, tmp_path)["figures"]["MPJPE_mm"] > 50


def test_other_splits_are_evaluated_at_50_hz_per_view(root, tmp_path):
    joints = clip_joints(root, "bbbb-0016", "trainval")
    for i, view in enumerate(main.VIEWS):
        miniature.write_c3d(
            tmp_path / f"bbbb-0016-{view}.c3d", joints + np.float64([0, 0, 10 * i])
        )
    result = evaluate("aspset", root, tmp_path, "--split", "val")
    assert result["entries"] == 3 * len(joints) and result["clips"] == 3
    assert result["figures"]["MPJPE_mm"] == pytest.approx(10, abs=1e-3)
    # A clip seen by several views must not be predicted without naming one.
    for view in main.VIEWS:
        (tmp_path / f"bbbb-0016-{view}.c3d").unlink()
    miniature.write_c3d(tmp_path / "bbbb-0016.c3d", joints)
    with pytest.raises(WorkError, match=r"no prediction bbbb-0016-left\.\*;"):
        evaluate("aspset", root, tmp_path, "--split", "val")
    write_json(tmp_path / "bbbb-0016-left.json", joints[::5], 10)
    with pytest.raises(WorkError, match=r"10 Hz; expected an integer multiple of 50 Hz"):
        evaluate("aspset", root, tmp_path, "--split", "val")


def test_skipping_says_what_and_why(root, tmp_path):
    joints = clip_joints(root, "bbbb-0016", "trainval")
    miniature.write_c3d(tmp_path / "bbbb-0016-mid.c3d", joints)
    (tmp_path / "bbbb-0016-left.json").write_text("{")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        miniature.write_c3d(tmp_path / folder / "bbbb-0016-right.c3d", joints)
    with pytest.raises(WorkError):
        evaluate("aspset", root, tmp_path, "--split", "val")
    result = evaluate("aspset", root, tmp_path, "--split", "val", "--allow-missing")
    assert result["clips"] == 1 and result["figures"]["PCK"] == 1
    assert "expected JSON" in result["skipped"]["bbbb-0016-left"]
    assert "2 predictions" in result["skipped"]["bbbb-0016-right"]
    with pytest.raises(WorkError, match="nothing to evaluate; left out, without a prediction: 4"):
        evaluate("aspset", root, tmp_path, "--allow-missing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [[[0.0] * 3] * 17] * 3}, "3 entries, but cccc-0003-mid has 4"),
        ({"skel": "mpii_16j"}, "mpii_16j"),
        ({"rate": 25}, "25 Hz"),
        ({"rate": 0}, "rate is 0"),
        ({"points": [[[0.0] * 2] * 17] * 4}, "shape"),
        ({"points": "none"}, "expected JSON"),
    ],
)
def test_predictions_that_do_not_fit(root, tmp_path, change, message):
    write_json(tmp_path / "cccc-0003.json", clip_joints(root)[::5], 10, change)
    with pytest.raises(CorruptInput, match=message):
        evaluate("aspset", root, tmp_path)


def test_a_joint_missing_in_the_truth_makes_the_error_nan_and_a_miss(raw_miniature, tmp_path):
    root = tmp_path / "aspset"
    shutil.copytree(raw_miniature("aspset"), root)
    joints = clip_joints(root)
    pred = joints.copy()
    joints[5, 4] = np.nan
    miniature.write_c3d(root / "data/test/joints_3d/cccc/cccc-0003.c3d", joints)
    (tmp_path / "p").mkdir()
    miniature.write_c3d(tmp_path / "p" / "cccc-0003.c3d", pred)
    result = evaluate("aspset", root, tmp_path / "p")
    scores, n = result["figures"], len(pred[::5])
    assert np.isnan(scores["MPJPE_mm"]) and np.isnan(scores["Procrustes-aligned MPJPE_mm"])
    assert scores["PCK"] == pytest.approx(1 - 1 / (17 * n))
    assert scores["Procrustes-aligned PCK"] == pytest.approx(1 - 1 / n)
    joint = result["joints"]["MPJPE_mm"]
    assert np.isnan(joint["right_elbow"]) and joint["right_wrist"] == pytest.approx(0, abs=1e-3)


def test_a_joint_missing_in_a_prediction_is_named(root, tmp_path):
    joints = clip_joints(root)
    joints[5, 4] = np.nan
    miniature.write_c3d(tmp_path / "cccc-0003.c3d", joints)
    with pytest.raises(CorruptInput) as error:
        evaluate("aspset", root, tmp_path)
    assert "cccc-0003.c3d: joint 4 (right_elbow) of 5: found nan; 1 of 4" in str(error.value)
    result = evaluate("aspset", root, tmp_path, "--allow-missing")
    assert result["entries"] == 3 and result["left_out"] == {"a number is not finite": 1}


def test_units_of_a_file_are_honoured(root, tmp_path):
    joints = clip_joints(root)[::5]
    write_json(tmp_path / "cccc-0003.json", joints / 1000, 10, {"units": "m"})
    assert evaluate("aspset", root, tmp_path)["figures"]["MPJPE_mm"] < 1e-3
    with pytest.raises(CorruptInput, match="states m as its unit.*--units mm"):
        evaluate("aspset", root, tmp_path, "--units", "mm")
    write_json(tmp_path / "cccc-0003.json", joints / 1000, 10)
    with pytest.raises(CorruptInput, match="1000 times smaller"):
        evaluate("aspset", root, tmp_path)


def test_files_of_no_clip_are_listed(root, tmp_path):
    for name in ("cccc-0003-mid", "cccc-0004", "notes"):
        write_json(tmp_path / f"{name}.json", clip_joints(root)[::5], 10)
    found = evaluate("aspset", root, tmp_path)["not_evaluated"]
    assert found == {"number": 2, "first": ["cccc-0004", "notes"]}


def test_command_line(root, tmp_path, capsys):
    folder = tmp_path / "predictions"
    folder.mkdir()
    miniature.write_c3d(folder / "cccc-0003.c3d", clip_joints(root))
    arguments = ["--pred-path", str(folder), "--data-dir", str(root)]
    assert aspset_eval.main(arguments) == 0
    output = capsys.readouterr().out
    assert "4 entries of 1 clips" in output and re.search(r"MPJPE +0\.0000 mm", output)
    result = json.loads((tmp_path / "predictions_eval_aspset_official.json").read_text())
    assert result["figures"]["PCK"] == 1 and result["options"] == {"split": "test"}
    assert aspset_eval.main([*arguments, "--split", "val"]) == 1
    error = capsys.readouterr().err
    assert "no prediction bbbb-0016-left" in error and error.count("\n") == 1
    assert aspset_eval.main(["--pred-path", str(tmp_path / "none"), "--data-dir", str(root)]) == 2
    with pytest.raises(UsageError):
        evaluate("aspset", root, tmp_path / "none")
