"""What every evaluation shares: prediction files that cannot be used, averages, command line."""

import json

import numpy as np
import pytest

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.evaluation import command, predictions, results, trajectories
from posepile.formats.schema import Array

KEY = "coords3d_pred_world"
JOINTS = {3: None, 5: [4, 0, 1]}


def write(path, n_joints=3, **changes):
    rng = np.random.default_rng(0)
    arrays = {"image_path": ["d/a.jpg", "d/b.jpg"], KEY: rng.normal(size=(2, n_joints, 3))}
    arrays |= changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return arrays[KEY]


def message(error):
    text = str(error.value)
    assert "\n" not in text and "fetch" not in text and "download" not in text
    return text


def test_poses_and_their_joints(tmp_path):
    path = tmp_path / "p.npz"
    coords = write(path)
    assert (predictions.read_poses(path, KEY, JOINTS).coords == coords).all()
    coords = write(path, 5)
    poses = predictions.read_poses(path, KEY, JOINTS)
    assert (poses.coords == coords[:, [4, 0, 1]]).all()
    assert poses.image_paths == ["d/a.jpg", "d/b.jpg"]


def test_text_in_object_arrays_is_text(tmp_path):
    path = tmp_path / "p.npz"
    write(path, image_path=np.array(["d/a.jpg", "d/b.jpg"], object))
    assert predictions.read_poses(path, KEY, JOINTS).image_paths == ["d/a.jpg", "d/b.jpg"]


def test_joints_that_are_not_evaluated_may_be_missing(tmp_path):
    path = tmp_path / "p.npz"
    coords = np.zeros((2, 5, 3))
    coords[:, 2] = np.nan
    write(path, **{KEY: coords})
    assert np.isfinite(predictions.read_poses(path, KEY, JOINTS).coords).all()
    coords[1, 4] = np.inf
    write(path, **{KEY: coords})
    with pytest.raises(CorruptInput) as error:
        predictions.read_poses(path, KEY, JOINTS)
    assert "1 of 2 poses" in message(error) and "d/b.jpg, joint 0" in message(error)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image_path": None}, "no image_path"),
        ({KEY: None}, f"no {KEY}"),
        ({"image_path": ["d/a.jpg"]}, f"1 image_path, but {KEY} has 2"),
        ({"image_path": ["d/a.jpg"] * 2}, "image d/a.jpg is there 2 times (1 such, 2"),
        ({"image_path": [1, 2]}, "image_path is no list of text"),
        ({"image_path": "d/a.jpg"}, "image_path is no list of text"),
        ({KEY: np.zeros((2, 4, 3))}, "has 4 joints; expected 3 or 5"),
        ({KEY: np.zeros((2, 3, 2))}, "shape (2, 3, 2); expected shape (n, joints, 3)"),
        ({KEY: np.array([["x"] * 3] * 2)}, "expected numbers"),
    ],
)
def test_npz_files_that_cannot_be_used(tmp_path, changes, expected):
    path = tmp_path / "p.npz"
    write(path, **changes)
    with pytest.raises(CorruptInput) as error:
        predictions.read_poses(path, KEY, JOINTS)
    assert expected in message(error) and str(path) in message(error)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_damaged_npz_files(tmp_path, content):
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    with pytest.raises(CorruptInput) as error:
        predictions.read_poses(path, KEY, JOINTS)
    assert predictions.WRITE_AGAIN in message(error)
    whole = tmp_path / "w.npz"
    write(whole)
    path.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(CorruptInput) as error:
        predictions.read_poses(path, KEY, JOINTS)
    message(error)
    with pytest.raises(CorruptInput, match="missing") as error:
        predictions.read_poses(tmp_path / "none.npz", KEY, JOINTS)
    message(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON"),
        ("[" * 5000, "not valid JSON"),
        ('{"a": [[1, 2, 3]], "a": [[1, 2, 3]]}', "key 'a' is there 2 times"),
        ('{"a": [[1, 2]]}', "a: found shape (1, 2)"),
        ('{"a": [[1, 2, NaN]]}', "expected finite"),
        ("[]", "expected a mapping"),
    ],
)
def test_json_that_cannot_be_used(tmp_path, text, expected):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(CorruptInput) as error:
        predictions.read_pred_json(path, {"*": Array("J", 3)})
    assert expected in message(error) and str(path) in message(error)


def test_rows_out_of_order_are_found():
    rows = predictions.match(["c", "a", "b", "x"], ["a", "b", "c"], "p.npz")
    assert rows.tolist() == [1, 2, 0]
    with pytest.raises(WorkError) as error:
        predictions.match(["c", "x"], ["a", "b", "c"], "p.npz")
    assert "lacks image a and 1 more, 2 of the 3" in message(error)
    with pytest.raises(CorruptInput, match=r"a is there 3 times \(1 such, 4 predictions\)"):
        predictions.match(["a", "b", "a", "a"], ["a"], "p.npz")


def test_unknown_images_are_counted():
    poses = predictions.Poses(["x/1", "q/1", "x/1b", "q/2"], np.arange(12.0).reshape(4, 1, 3))
    means = predictions.mean_by(poses, lambda p: p[2:], "p.npz")
    np.testing.assert_array_equal(means["1"], [[1.5, 2.5, 3.5]])
    with pytest.raises(CorruptInput) as error:
        predictions.mean_by(poses, lambda p: p if p[0] == "x" else None, "p.npz")
    assert "image q/1 is unknown (2 such of 4)" in message(error)


def test_stacked_poses_are_checked():
    pred = {"t/1": np.ones((2, 3)), "t/2": [[1, 2, 3]], "t/3": np.full((2, 3), np.nan)}
    assert predictions.stack_poses(pred, ["t/1"], 2, "p").shape == (1, 2, 3)
    assert np.isnan(predictions.stack_poses(pred, ["t/3"], 2, "p", finite=False)).all()
    for wanted, expected in (
        (["t/2"], "t/2: found shape"),
        (["t/1", "t/3"], "1 of 2 poses have"),
        (["t/9"], "lacks pose t/9"),
        ([], "no pose to evaluate"),
    ):
        with pytest.raises(WorkError) as error:
            predictions.stack_poses(pred, wanted, 2, "p")
        assert expected in message(error)


def test_files_are_found_by_name_alone(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a[1].json", "a1.json", "deep/b.c3d", "b.csv"):
        (tmp_path / name).touch()
    assert predictions.find_file(tmp_path, "a[1]").name == "a[1].json"
    with pytest.raises(WorkError, match=r"2 predictions b\.\*.*b\.csv, deep/b\.c3d"):
        predictions.find_file(tmp_path, "b")
    with pytest.raises(WorkError, match=r"no prediction c\.\* or d\.\*"):
        predictions.find_file(tmp_path, "c", "d")


def test_trajectories_need_times_that_grow(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("t,a_x,a_y,a_z\n0.0,1,2,3\n0.1,1,2,3\n0.2,1,2,3\n")
    points, rate = trajectories.read_trajectory(path, ["a"], "one")
    assert rate == 10 and points.shape == (3, 1, 3)
    for rows in ("", "0,1,2,3\n", "1,1,2,3\n0,1,2,3\n", "nan,1,2,3\n0,1,2,3\n"):
        path.write_text(f"t,a_x,a_y,a_z\n{rows}")
        points, rate = trajectories.read_trajectory(path, ["a"], "one")
        with pytest.raises(CorruptInput, match="rate is 0 Hz"):
            trajectories.resample(points, rate, 10.0, path)
    content = {"rate": float("nan"), "skel": "one", "points": [[[1, 2, 3]]]}
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptInput, match="rate: found nan; expected a finite number"):
        trajectories.read_trajectory(path, ["a"], "one")
    path.write_text(json.dumps(content | {"rate": 10, "units": "m"}))
    with pytest.raises(CorruptInput, match="units: found 'm'; expected 'mm'"):
        trajectories.read_trajectory(path, ["a"], "one")


def test_averages_leave_missing_figures_out():
    values = {"e": [1.0, np.nan, 5.0], "none": [np.nan] * 3}
    all_, groups = results.average(values, "n"), results.average_by(list("xyx"), values, "n")
    assert all_["e"] == 3 and np.isnan(all_["none"]) and all_["n"] == 3
    assert groups["x"]["e"] == 3 and groups["x"]["n"] == 2 and np.isnan(groups["y"]["e"])
    with pytest.raises(ValueError, match="3 entries, groups 2"):
        results.average_by(list("xy"), values, "n")


def evaluation(outcome):
    def evaluate(root, args):
        if isinstance(outcome, Exception):
            raise outcome
        return command.Report(outcome, ["a line"], "eval_val")

    parser = command.make_parser("mydata", "What it is.")
    command.add_options(parser, "mydata", "predictions", ("val", "test"), "val")
    return lambda *argv: command.run(parser, evaluate, argv)


def test_exit_codes_and_files(tmp_path, capsys, monkeypatch):
    pred = tmp_path / "p.npz"
    given = ("--pred-path", str(pred), "--data-dir", str(tmp_path))
    result = {"score": float("inf"), "left_out": {"frames": 3}, "skipped": {"c": "why"}}
    assert evaluation(result)(*given) == 0
    printed = capsys.readouterr().out
    assert "a line\nLeft out, frames: 3\nSkipped c: why\nWritten to" in printed
    assert json.loads((tmp_path / "p.eval_val.json").read_text())["score"] is None
    for error, code in ((UsageError("u"), 2), (WorkError("w"), 1)):
        assert evaluation(error)(*given) == code
        assert capsys.readouterr().err == f"{error}\n"
    assert evaluation({"a": 1})(*given, "--out", str(tmp_path)) == 2
    assert "is a folder" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))
    assert evaluation({"a": 1})("--pred-path", str(pred)) == 2  # no DATA_ROOT
    assert "DATA_ROOT" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        evaluation({})("--split", "nonsense")
    assert stop.value.code == 2
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert evaluation({})("--pred-path", str(pred)) == 0


def test_results_of_a_folder_lie_beside_it(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert results.default_output(tmp_path / "link", "e") == tmp_path / "run_e.json"
