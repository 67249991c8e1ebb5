"""Files of predictions: read, or refused in one line that says what is wrong with them."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.evaluation import forms, predictions, trajectories, zip_forms
from posepile.evaluation.benchmark import Clip
from posepile.formats.schema import Array

KEY = "coords3d_pred_world"
JOINTS = {3: None, 5: [4, 0, 1]}
BOTH = Clip("all", ["d/a.jpg", "d/b.jpg"], {})


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
    taken = forms.npz_poses(path, KEY, JOINTS).take(BOTH)
    assert (taken.arrays["joints"] == coords).all() and taken.present.all()
    coords = write(path, 5, image_path=["d/b.jpg", "d/a.jpg"])
    opened = forms.npz_poses(path, KEY, JOINTS)
    assert (opened.take(BOTH).arrays["joints"] == coords[::-1, [4, 0, 1]]).all()
    assert opened.names == ["d/b.jpg", "d/a.jpg"] and opened.unit == "mm"


def test_text_in_object_arrays_is_text(tmp_path):
    path = tmp_path / "p.npz"
    write(path, image_path=np.array(["d/a.jpg", "d/b.jpg"], object))
    assert forms.npz_poses(path, KEY, JOINTS).names == BOTH.keys


def test_joints_that_are_not_evaluated_may_be_missing(tmp_path):
    path = tmp_path / "p.npz"
    coords = np.zeros((2, 5, 3))
    coords[:, 2] = np.nan
    write(path, **{KEY: coords})
    assert np.isfinite(forms.npz_poses(path, KEY, JOINTS).take(BOTH).arrays["joints"]).all()


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
        ({"units": "inch"}, "units: found 'inch'; expected mm, cm, m"),
        ({"units": [1, 2]}, "units: found [1, 2]; expected mm, cm, m"),
    ],
)
@pytest.mark.parametrize("views", [False, True])
def test_npz_files_that_cannot_be_used(tmp_path, changes, expected, views):
    path = tmp_path / "p.npz"
    write(path, **changes)
    key_of = (lambda name: name[2:]) if views else None
    with pytest.raises(CorruptInput) as error:
        forms.npz_poses(path, KEY, JOINTS, key_of=key_of, views=views)
    assert expected in message(error) and str(path) in message(error)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_damaged_npz_files(tmp_path, content):
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    with pytest.raises(CorruptInput) as error:
        forms.npz_poses(path, KEY, JOINTS)
    assert predictions.WRITE_AGAIN in message(error)
    whole = tmp_path / "w.npz"
    write(whole)
    path.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(CorruptInput) as error:
        forms.npz_poses(path, KEY, JOINTS)
    message(error)
    with pytest.raises(CorruptInput, match="missing") as error:
        forms.npz_poses(tmp_path / "none.npz", KEY, JOINTS)
    message(error)


def test_views_of_an_instant_are_averaged(tmp_path):
    path = tmp_path / "p.npz"
    names = ["c1/7.jpg", "c2/7.jpg", "c2/8.jpg", "elsewhere.jpg"]
    coords = np.arange(12.0).reshape(4, 1, 3)
    np.savez(path, image_path=names, **{KEY: coords})
    key_of = {name: name[3:-4] for name in names[:3]}.get
    opened = forms.npz_poses(path, KEY, {1: None}, key_of=key_of, views=True, what="instant")
    taken = opened.take(Clip("all", ["8", "7", "9"], {}))
    expected = [[[6, 7, 8]], [[1.5, 2.5, 3.5]], [[np.nan] * 3]]
    np.testing.assert_array_equal(taken.arrays["joints"], expected)
    assert taken.present.tolist() == [True, True, False]
    assert opened.names == ["7", "8", "elsewhere.jpg"]  # listed as not evaluated


def test_an_image_under_two_names_is_refused(tmp_path):
    path = tmp_path / "p.npz"
    names = ["data/a.jpg", "data/b.jpg", "data_downscaled/a.jpg"]
    np.savez(path, image_path=names, **{KEY: np.zeros((3, 1, 3))})
    with pytest.raises(CorruptInput) as error:
        forms.npz_poses(path, KEY, {1: None}, key_of=lambda name: name.split("/")[-1])
    assert "image a.jpg is there 2 times" in message(error)


def test_rows_are_flattened_only_of_triples(tmp_path):
    path, options = tmp_path / "p.npz", {"flat": ["pose"]}
    for shape in ((2, 24, 3), (2, 72)):
        np.savez(path, image_path=["a", "b"], pose=np.arange(144.0).reshape(shape))
        found = forms.npz_arrays(path, {"pose": (72,)}, **options).take(Clip("all", ["b"], {}))
        assert found.arrays["pose"].tolist() == [list(range(72, 144))]
    np.savez(path, image_path=["a", "b"], pose=np.zeros((2, 3, 24)))
    with pytest.raises(CorruptInput, match="shape") as error:
        forms.npz_arrays(path, {"pose": (72,)}, **options)
    assert "(2, 3, 24)" in message(error)


def test_a_zip_is_opened_once(tmp_path, monkeypatch):
    path, opened = tmp_path / "a.zip", []
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(3):
            archive.writestr(f"a_personId_{k}.pkl", pickle.dumps({"joints": [[k, 2]]}))
    whole = zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a, **k: opened.append(a) or whole(*a, **k))
    people = zip_forms.zipped_people(path, lambda person, where: person)
    taken = people.take(Clip("a", ["a"], {}))
    assert taken.arrays["joints"][0].tolist() == [[[0, 2]], [[1, 2]], [[2, 2]]]
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON"),
        ("[" * 5000, "not valid JSON"),
        ('{"a": [[1, 2, 3]], "a": [[1, 2, 3]]}', "key 'a' is there 2 times"),
        ('{"b": [[1, 2, 3]], "a": {"c": [{"d": 1, "d": 2}]}}', "key 'a/c/0/d' is there 2 times"),
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


def test_files_of_clips_are_found_by_name_alone(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a[1].npz", "a1.npz", "deep/b.npz", "b.npz", "s.npz", "d.npz"):
        np.savez(tmp_path / name, joints=np.full((1, 2, 3), ord(name[-5])))
    (tmp_path / "README").touch()

    def read(file):
        return forms.read_pred_npz(file, {"joints": Array("n", 2, 3)})

    names = {"a": ["a[1]"], "b": ["b"], "c": ["c", "e"], "d1": ["d1", "d"], "d2": ["d2", "d"]}
    opened = forms.files_of_clips(tmp_path, names, read)
    found = opened.take(Clip("a", ["0"], {}))
    assert found.file.name == "a[1].npz" and found.arrays["joints"][0, 0, 0] == ord("]")
    errors = {name: str(opened.take(Clip(name, ["0"], {})).error) for name in ("b", "c", "d1")}
    assert "2 predictions b.*; expected one: b.npz, deep/b.npz" in errors["b"]
    assert "no prediction c.* or e.*;" in errors["c"]
    assert "no prediction d1.*;" in errors["d1"]  # d.npz may be of either
    assert opened.names == ["a", "a1", "b", "d", "s"]
    with pytest.raises(CorruptInput, match="joints: 1 entries, but a has 2"):
        opened.take(Clip("a", ["0", "1"], {}))
    with pytest.raises(UsageError, match="is no folder"):
        forms.files_of_clips(tmp_path / "b.npz", names, read)


def test_a_clip_without_a_file_has_no_prediction(tmp_path):
    opened = forms.per_clip(tmp_path, lambda clip: None, lambda file, clip: {})
    taken = opened.take(Clip("a", ["0", "1"], {}))
    assert not taken.present.any() and len(taken.present) == 2 and taken.error is None

    def fail(file, clip):
        raise WorkError("no")

    taken = forms.per_clip(tmp_path, lambda clip: tmp_path, fail).take(Clip("a", ["0"], {}))
    assert not taken.present.any() and str(taken.error) == "no"


def test_trajectories_need_times_that_grow(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("t,a_x,a_y,a_z\n0.0,1,2,3\n0.1,1,2,4\n0.2,1,2,5\n")
    found = trajectories.read_trajectory(path, ["a"], "one", 5.0)
    np.testing.assert_array_equal(found["joints"], [[[1, 2, 3]], [[1, 2, 5]]])
    assert found["units"] is None
    for rows in ("", "0,1,2,3\n", "1,1,2,3\n0,1,2,3\n", "nan,1,2,3\n0,1,2,3\n"):
        path.write_text(f"t,a_x,a_y,a_z\n{rows}")
        with pytest.raises(CorruptInput, match="rate is 0 Hz"):
            trajectories.read_trajectory(path, ["a"], "one", 10.0)
    content = {"rate": float("nan"), "skel": "one", "points": [[[1, 2, 3]]]}
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptInput, match="rate: found nan; expected a finite number"):
        trajectories.read_trajectory(path, ["a"], "one", 10.0)
    path.write_text(json.dumps(content | {"rate": 10, "units": "m"}))
    assert trajectories.read_trajectory(path, ["a"], "one", 10.0)["units"] == "m"
    path.write_text(json.dumps(content | {"rate": 10, "units": "inch"}))
    with pytest.raises(CorruptInput, match="units: found 'inch'; expected"):
        trajectories.read_trajectory(path, ["a"], "one", 10.0)
