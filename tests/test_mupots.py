"""MuPoTS-3D: labels of several people, the fitted camera, the official matching and its scores."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from posepile.ds.mupots import eval as evaluation
from posepile.ds.mupots import main
from posepile.errors import CorruptInput, UsageError
from posepile.evaluation.crowds import match_crowd, with_bones_of
from posepile.geometry.markerless import PARENTS, PELVIS_LAST

PAIR = ("preds_2d_kpt_mupots.mat", "preds_3d_kpt_mupots.mat")


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "mupots"
    shutil.copytree(raw_miniature("mupots"), target)
    main.read_labels.cache_clear()
    yield target
    main.read_labels.cache_clear()


def load(root, name, **options):
    options = main.Options(**options)
    (unit,) = [u for u in main.list_units(root, options) if u.id == name]
    return main.load_unit(root, unit, options)[0]


def edit(root, name, change, variable="annotations"):
    path = root / name / ("annot.mat" if variable == "annotations" else "occlusion.mat")
    content = {k: v for k, v in loadmat(path).items() if k[0] != "_"}
    content[variable] = change(content[variable])
    savemat(path, content)
    main.read_labels.cache_clear()


def test_everybody_who_is_valid_is_there_with_the_column_as_person(root):
    sequence = load(root, "TS3")  # nobody is valid in frame 1
    assert [t.person for t in sequence.tracks] == [0, 1]
    assert [t.frames.tolist() for t in sequence.tracks] == [[0, 2], [0, 2]]
    assert sequence.dropped["not a valid person"] == 2
    assert sequence.image_name(2, 1) == "TS3/img_000002_1.jpg"
    one = load(root, "TS4")  # of one column, which loses its axis
    assert [t.frames.tolist() for t in one.tracks] == [[0, 1]]
    assert load(root, "TS1").frames.sizes[0] == (2048, 2048)
    assert load(root, "TS6").frames.sizes[0] == (1920, 1080)
    assert load(root, "TS1").scene == "indoors" and load(root, "TS6").scene == "outdoors"
    with pytest.raises(UsageError, match="no sequence TS21"):
        load(root, "TS21", sequences=["TS21"])


def test_hidden_is_the_share_of_occluded_joints(root):
    cells = loadmat(root / "TS1/occlusion.mat")["occlusion_labels"]
    track = load(root, "TS1").tracks[1]
    np.testing.assert_allclose(track.hidden, [cells[k, 1].mean() for k in track.frames])
    edit(root, "TS1", lambda cells: cells[:, :1], "occlusion_labels")
    with pytest.raises(CorruptInput, match="occlusion"):
        load(root, "TS1")


def test_the_camera_is_fitted_to_valid_people_without_hips_and_spine(root):
    for name in ("TS2", "TS13"):
        labels = main.read_labels(root / name / "annot.mat", None)
        matrix = main.fit_camera(name, labels)
        focal = 1500 if name == "TS2" else 1110
        assert abs(matrix[0, 0] / focal - 1) < 0.04 and matrix[0, 1] == 0
        seen = labels["annot3"][labels["valid"]] @ matrix.T
        off = np.linalg.norm(
            seen[..., :2] / seen[..., 2:] - labels["annot2"][labels["valid"]], axis=-1
        )
        assert off[:, [0, 1, 2, 9, 16]].max() < 1e-3
        assert off[:, 8].max() > 1  # re-centred hips


def test_labels_that_do_not_fit_together_are_refused(root):
    def sides(cells):  # left and right exchanged in space alone
        for cell in cells.flat:
            for field in ("annot3",):
                order = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14, 15, 16]
                cell[0, 0][field] = cell[0, 0][field][:, order]
        return cells

    edit(root, "TS2", sides)
    with pytest.raises(CorruptInput, match="2D labels lie|labels fit focal lengths"):
        load(root, "TS2")

    def behind(cells):
        cells[0, 0][0, 0]["annot3"] = -cells[0, 0][0, 0]["annot3"]
        return cells

    edit(root, "TS5", behind)
    with pytest.raises(CorruptInput, match="behind the camera"):
        load(root, "TS5")
    edit(root, "TS7", lambda cells: cells[:-1])
    with pytest.raises(CorruptInput, match=r"found cells of shape \(2, 2\); expected 3 rows"):
        load(root, "TS7")

    def rows(cells):  # a joint a row
        for cell in cells.flat:
            cell[0, 0]["annot2"] = cell[0, 0]["annot2"].T
        return cells

    edit(root, "TS8", rows)
    with pytest.raises(CorruptInput, match=r"annotations\(1,1\)\.annot2: found shape \(17, 2\)"):
        load(root, "TS8")


# ---------------------------------------------------------------- matching and bones, by hand


def test_a_joint_is_near_below_40_px_in_either_direction_and_not_at_the_origin():
    true = np.full((1, 13, 2), 500.0)
    far = true + 1000
    for moved, found in (((39.9, -39.9), 0), ((40, 0), -1), ((0, -40), -1)):
        pred = far.copy()
        pred[0, 4] = true[0, 4] + moved
        assert match_crowd(true, pred, 40).tolist() == [found]
    at_origin = np.zeros((1, 13, 2))
    assert match_crowd(true - 490, at_origin, 40).tolist() == [-1]
    at_origin[0, 0] = (0, 1e-9)  # not exactly there
    assert match_crowd(true - 490, at_origin, 40).tolist() == [0]


def test_matching_is_greedy_in_the_order_of_the_labels_and_ties_go_to_the_first():
    true = np.stack([np.full((13, 2), 100.0), np.full((13, 2), 110.0)])
    exact = true[::-1].copy()  # either is near both: the first of equals is taken
    assert match_crowd(true, exact, 40).tolist() == [0, 1]
    fewer = exact.copy()
    fewer[0, 0] = 900
    assert match_crowd(true, fewer, 40).tolist() == [1, 0]
    assert match_crowd(true, exact[:1], 40).tolist() == [0, -1]
    assert match_crowd(true, exact[:0], 40).tolist() == [-1, -1]


def test_bones_are_followed_from_the_pelvis_as_predicted():
    rng = np.random.default_rng(0)
    true, pred = rng.normal(0, 300, (2, 1, 17, 3))
    mapped = with_bones_of(pred, true, PARENTS)
    np.testing.assert_array_equal(mapped[:, 14], pred[:, 14])
    for joint, parent in enumerate(PARENTS):
        bones = [pose[0, joint] - pose[0, parent] for pose in (mapped, pred, true)]
        assert np.linalg.norm(bones[0]) == pytest.approx(np.linalg.norm(bones[2]))
        np.testing.assert_allclose(np.cross(bones[0], bones[1]), 0, atol=1e-6)
    official = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]  # from one
    assert [p + 1 for p in PARENTS] == official


# ---------------------------------------------------------------- evaluation


def run(root, pred, protocol, *more):
    out = root.parent / "result.json"
    argv = ["--pred-path", str(pred), "--data-dir", str(root), "--protocol", protocol]
    code = evaluation.main([*argv, "--out", str(out), *more])
    return code, json.loads(out.read_text())["figures"] if code == 0 else None


def people_of(root, kind="univ_annot3"):
    """Image -> points and poses of everybody who is valid, read without the reader."""
    found = {}
    for k in range(1, 21):
        cells = loadmat(root / f"TS{k}/annot.mat")["annotations"]
        for frame, row in enumerate(cells):
            there = [c[0, 0] for c in row if c[0, 0]["isValidFrame"][0, 0]]
            if there:
                points = np.stack([c["annot2"].T for c in there])
                found[f"TS{k}_img_{frame:06d}"] = points, np.stack([c[kind].T for c in there])
    return found


def write_pair(folder, people, **more):
    folder.mkdir(exist_ok=True)
    for which, file in enumerate(PAIR):
        savemat(folder / file, {k: both[which] for k, both in people.items()} | more)
    return folder


def test_perfect_predictions_in_any_order_and_with_others_beside(root, tmp_path):
    people = {
        key: (
            np.concatenate([points[::-1], points[:1] + 3000]),
            np.concatenate([poses[::-1], poses[:1]]),
        )
        for key, (points, poses) in people_of(root).items()
    }
    for protocol in evaluation.PROTOCOLS:
        code, found = run(root, write_pair(tmp_path / "pred", people), protocol.name)
        assert code == 0 and found["PCK150_percent"] == 100, protocol.name
        assert found["AUC150_percent"] == pytest.approx(100 * 30 / 31)


def test_who_is_not_matched_is_wrong_and_sequences_count_alike(root, tmp_path):
    people = people_of(root)
    counts = {}
    for key, (points, poses) in people.items():
        name = key.split("_")[0]
        counts.setdefault(name, [0, 0])
        kept = slice(1, None) if name in ("TS2", "TS5") else slice(None)
        people[key] = points[kept], poses[kept]
        counts[name][0] += len(points[kept])
        counts[name][1] += len(points)
    pred = write_pair(tmp_path / "pred", people)
    shares = [found / there for found, there in counts.values()]
    assert run(root, pred, "mupots.all")[1]["PCK150_percent"] == pytest.approx(
        100 * np.mean(shares)
    )
    assert run(root, pred, "mupots.matched")[1]["PCK150_percent"] == 100


def test_bones_of_any_length_are_right_unless_corrected(root, tmp_path):
    people = {}
    for key, (points, poses) in people_of(root).items():
        root_joint = poses[:, 14:15]
        people[key] = points, root_joint + 1.5 * (poses - root_joint)
    pred = write_pair(tmp_path / "pred", people)
    assert run(root, pred, "mupots.all")[1]["PCK150_percent"] == 100
    assert run(root, pred, "mupots.all-corrected")[1]["PCK150_percent"] < 80
    moved = {
        key: (points, poses + np.array([0, 0, 400]))
        for key, (points, poses) in people_of(root).items()
    }
    pred = write_pair(tmp_path / "pred", moved)
    assert run(root, pred, "mupots.all")[1]["PCK150_percent"] == 100
    assert run(root, pred, "mupots.all-absolute")[1]["PCK150_percent"] == 0


def test_an_npz_has_a_row_per_person_and_fitted_projections(root, tmp_path):
    rng, people = np.random.default_rng(0), people_of(root, "annot3")
    noisy = {
        k: (pts, poses + rng.normal(0, 40, poses.shape)) for k, (pts, poses) in people.items()
    }
    paths, rows = [], []
    for key, (_, poses) in noisy.items():
        paths += [f"mupots/{key.replace('_', '/', 1)}.jpg"] * len(poses)
        rows += list(poses)
    pred, rows = tmp_path / "pred.npz", np.array(rows)
    np.savez(pred, image_path=paths, coords3d_pred_world=rows)
    code, found = run(root, pred, "mupots.all")
    assert code == 0 and found["PCK150_percent"] > 60
    ours = [path.replace("mupots/", "mupots_downscaled/") for path in paths]
    packed = rows[:, list(PELVIS_LAST)] / 1000
    np.savez(pred, image_path=ours, coords3d_pred_world=packed, units="m")
    assert run(root, pred, "mupots.all", "--root-last")[1] == pytest.approx(found)
    kept = [i for i, path in enumerate(paths) if "TS7" not in path]
    np.savez(pred, image_path=[paths[i] for i in kept], coords3d_pred_world=rows[kept])
    assert run(root, pred, "mupots.all")[0] == 1  # nothing of a whole sequence
    half = [i for i, path in enumerate(paths) if "TS7/img_000001" not in path]
    np.savez(pred, image_path=[paths[i] for i in half], coords3d_pred_world=rows[half])
    assert run(root, pred, "mupots.all")[0] == 0  # nobody found in a picture


def test_bad_predictions_are_one_line(root, tmp_path, capsys):
    people, key = people_of(root), "TS2_img_000001"
    points, poses = people[key]
    broken = poses.copy()
    broken[1, 3, 0] = np.nan
    bad = {
        "joint 3 (relb) of mupots/TS2/img_000001.jpg: found nan": people | {key: (points, broken)},
        "lacks image mupots/TS2/img_000001.jpg": {k: v for k, v in people.items() if k != key},
        f"{key}: found 2 people; expected 3": people | {key: (points, poses[:2])},
        f"{key}: found shape (3, 16": people | {key: (points, poses[:, :16])},
        "times smaller than the true ones": {k: (p, v / 1000) for k, (p, v) in people.items()},
    }
    for text, changed in bad.items():
        code, _ = run(root, write_pair(tmp_path / "pred", changed), "mupots.all")
        said = capsys.readouterr().err
        assert code == 1 and text in said and said.count("\n") == 1, said
        assert str(tmp_path / "pred") in said and "fetch" not in said
    write_pair(tmp_path / "pred", people)
    savemat(tmp_path / "pred" / PAIR[1], {k: v for k, (_, v) in people.items() if k != key})
    assert run(root, tmp_path / "pred", "mupots.all")[0] == 1
    assert f"{key}: found in preds_2d_kpt_mupots.mat alone" in capsys.readouterr().err
    (tmp_path / "pred" / PAIR[0]).unlink()
    assert run(root, tmp_path / "pred", "mupots.all")[0] == 1
    assert "preds_2d_kpt_mupots.mat: file is missing" in capsys.readouterr().err
    more = people | {"TS21_img_000000": people[key]}
    assert run(root, write_pair(tmp_path / "pred", more), "mupots.all")[0] == 0
    assert "Predicted but not evaluated: 1, e.g. mupots/TS21" in capsys.readouterr().out
