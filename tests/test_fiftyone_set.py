"""Datasets of FiftyOne: its own samples, and where its database runs, the dataset."""

import sys
import types

import archive_kit
import export_kit
import numpy as np
import pytest
import viewer_kit as kit

from posepile.cli import main
from posepile.store.opening import open_dataset
from posepile.suspects.found import CODES, Suspects
from posepile.viewer import chosen as choosing


def view(*options):
    """Runs the command and returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["view", "toy", *options])
    return ended.value.code


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_dataset(tmp_path, n=4)
    return open_dataset(tmp_path / "toy.barecat")


@pytest.fixture
def fo(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    return pytest.importorskip("fiftyone")


def samples(dataset, chosen, folder, suspects=None):
    from posepile.viewer.fiftyone_set import iter_samples

    return list(iter_samples(dataset, chosen, folder, suspects))


def test_places_are_shares_of_the_picture(fo, toy, tmp_path):
    folder = tmp_path / "pictures"
    every = choosing.that_meet(toy, {"subject": "anna"}, ["train"])
    found = samples(toy, every, folder)
    assert len(found) == 8
    for n, sample in enumerate(found):
        view, i = divmod(n, 4)
        # By hand: the camera looks ahead from 100 mm times its number; the picture has 24 x 16
        # pixels, and the centre of the first is half a pixel from the border.
        x, y, z = kit.pose(i).T.astype(np.float64)
        expected = np.stack(
            [(500 * (x - 100 * view) / z + 12.5) / 24, (500 * y / z + 8.5) / 16], axis=1
        )
        points = np.array(sample.joints.keypoints[0].points)
        assert np.isnan(points[1]).all() and np.isnan(points).sum() == 2
        assert np.allclose(points, expected, atol=1e-5, equal_nan=True)
        (box,) = sample.boxes.detections
        assert np.allclose(box.bounding_box, [2.5 / 24, 2.5 / 16, 12 / 24, 11 / 16])
        assert box.position == 4 * view + i
        assert (folder / sample.image_path).read_bytes() == archive_kit.jpeg(i)
        assert sample.filepath == str(folder / sample.image_path)
        assert sample.tags == ["train", f"sequence:anna-1-{view}", "subject:anna"]
        assert (sample.subject, sample.view, sample.frame) == ("anna", str(view), i)
        assert sample.has_field("masks") == bool(i % 3)
        if i % 3:
            (mask,) = sample.masks.detections  # a diagonal of 16 pixels
            assert np.allclose(mask.bounding_box, [0, 0, 16 / 24, 1])
            assert np.array_equal(mask.mask, np.eye(16, dtype=bool))


def test_people_of_a_picture_are_one_sample_with_what_is_odd(fo, toy, tmp_path):
    odd = Suspects(
        positions=np.int32([1, 0]),
        kinds=np.int8([CODES["odd_bone"], CODES["outside_box"]]),
        scores=np.float32([2, 1.5]),
        values=np.float32([12, 3]),
        details=np.int32([0, 0]),
        texts=["{:.0f} too many"],
        sequences=np.int32([0, 0]),
        sequence_names=["cara-2-0"],
        sequence_sizes=np.int32([8]),
        n=8,
    )
    both = choosing.at("test", [1, 4, 0])  # not beside each other
    first, other = samples(toy, both, tmp_path / "pictures", {"test": odd})
    assert [k.position for k in first.joints.keypoints] == [1, 0]
    assert first.tags[-2:] == ["suspect:odd_bone", "suspect:outside_box"]
    assert "12 too many" in first.suspects[0] and len(first.suspects) == 2
    assert not any(tag.startswith("suspect") for tag in other.tags)


def test_joints_of_2d_sets(fo, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    dataset, records = export_kit.make_2d(tmp_path)
    every = choosing.that_meet(dataset, {}, ["train"])
    found = samples(dataset, every, tmp_path / "pictures")
    assert [len(s.joints.keypoints) for s in found] == [2, 2]
    points = np.array(found[0].joints.keypoints[1].points)
    expected = (records[1].coords2d.astype(np.float64) + 0.5) / [24, 16]
    assert np.allclose(points, expected, atol=1e-6, equal_nan=True)


def test_the_skeleton(fo, toy):
    from posepile.viewer.fiftyone_set import skeleton_of

    skeleton = skeleton_of(toy.joint_info)
    assert skeleton.labels == list(archive_kit.JOINTS.names)
    names = [tuple(skeleton.labels[j] for j in edge) for edge in skeleton.edges]
    named = {frozenset((side + a, side + b)) for side in "lr" for a, b in [("hip", "kne")]}
    named |= {frozenset(("pelv", side + "hip")) for side in "lr"}
    assert set(map(frozenset, names)) == named


def test_the_dataset_in_the_database(fo, toy, tmp_path, capsys):
    try:
        fo.list_datasets()
    except Exception as e:
        pytest.skip(f"FiftyOne's database does not start here: {type(e).__name__}")
    name = f"toy of {tmp_path.name}"
    assert view("--fiftyone", name) == 0
    try:
        assert "fiftyone app launch" in capsys.readouterr().out
        made = fo.load_dataset(name)
        assert len(made) == 23 and made.persistent  # 24 examples, two of them in one picture
        assert made.default_skeleton.labels == list(archive_kit.JOINTS.names)
        assert made.match_tags("subject:anna").count() == 8
        assert view("--fiftyone", name) == 2
        assert "give another one" in capsys.readouterr().err
    finally:
        fo.delete_dataset(name)


class Labels(types.SimpleNamespace):
    """A label, sample or dataset that keeps what it is given."""

    def __setitem__(self, name, value):
        setattr(self, name, value)

    def add_samples(self, samples, **_):
        self.samples = [*getattr(self, "samples", ()), *samples]


def test_the_command_with_a_library_that_keeps_what_it_is_given(
    toy, tmp_path, monkeypatch, capsys
):
    made = {}

    def make(name):
        return made.setdefault(name, Labels(persistent=False))

    library = types.SimpleNamespace(
        Dataset=make,
        dataset_exists=made.__contains__,
        **dict.fromkeys(("Sample", "Detection", "Detections", "Keypoint", "Keypoints"), Labels),
        KeypointSkeleton=Labels,
    )
    monkeypatch.setitem(sys.modules, "fiftyone", library)
    assert view("--fiftyone") == 0
    said = capsys.readouterr().out
    assert "24 examples in 23 pictures" in said and "fiftyone app launch toy" in said
    assert made["toy"].persistent and len(made["toy"].samples) == 23
    assert len(list((tmp_path / "toy_fiftyone").rglob("*.jpg"))) == 23
    assert view("--fiftyone") == 2
    assert "give another one" in capsys.readouterr().err
    path = "toy_downscaled/s2/0003.jpg"
    assert view(path, "--fiftyone", "bert") == 0
    assert {s.subject for s in made["bert"].samples} == {"bert"}
    # Another picture lies where one is to be put: nothing is made that would stay.
    (tmp_path / "toy_fiftyone" / path).write_bytes(b"mine")
    assert view("--fiftyone", "third") == 1
    assert "another file" in capsys.readouterr().err and not made["third"].persistent


def test_a_database_that_does_not_start_is_one_line(fo, toy, monkeypatch, capsys):
    def fail(name):
        raise RuntimeError("MongoDB could not be\ninstalled")

    monkeypatch.setattr(fo, "dataset_exists", fail)
    assert view("--fiftyone") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "FiftyOne's database: " in said and "MongoDB" in said


def test_without_the_library_one_line_says_what_to_install(toy, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    assert view("--fiftyone") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "pip install 'fiftyone" in said
