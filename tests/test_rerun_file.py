"""Files for the Rerun viewer, read back by its own library."""

import subprocess
import sys
from collections import defaultdict

import archive_kit
import export_kit
import numpy as np
import pytest
import viewer_kit as kit

from posepile.cli import main, other_viewers
from posepile.viewer import chosen as choosing

SEES = "/anna-1-\\*/cameras/{}/picture"


def view(*options):
    """Runs the command and returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["view", "toy", *options])
    return ended.value.code


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("rerun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        kit.make_dataset(root, n=6)
    return root


@pytest.fixture
def toy(root, monkeypatch):
    from posepile.store.opening import open_dataset

    monkeypatch.setenv("DATA_ROOT", str(root))
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")  # no window
    return open_dataset(root / "toy.barecat")


def read(file):
    """(Entity, component) -> time -> value; time None: for ever."""
    reader = pytest.importorskip("rerun.chunk").RrdReader(file)
    found = defaultdict(dict)
    for chunk in reader.stream().to_chunks():
        batch = chunk.to_record_batch()
        names = batch.schema.names
        timeline = next((name for name in ("frame", "example") if name in names), None)
        times = [None] * batch.num_rows if timeline is None else batch.column(timeline).to_pylist()
        for name in set(names) - {"frame", "example", "log_time", "rerun.controls.RowId"}:
            for time, value in zip(times, batch.column(name).to_pylist(), strict=True):
                if value is not None:
                    found[chunk.entity_path, name][time] = value
    return found


def written(dataset, chosen, tmp_path):
    pytest.importorskip("rerun")
    from posepile.viewer.rerun_file import write_rrd

    file = tmp_path / "a.rrd"
    done = write_rrd(dataset, chosen, file)
    assert [p.name for p in tmp_path.iterdir()] == ["a.rrd"]
    return done, read(file)


def test_a_recording_with_all_its_views(toy, tmp_path):
    done, found = written(toy, choosing.whole_recording(toy, "train", 2), tmp_path)
    assert done == (12, 1, 0)  # two views of six frames
    for view in (0, 1):
        place = SEES.format(view)
        for i in range(6):
            # By hand: the camera looks ahead from 100 mm times its number; the centre of the
            # first pixel is (0.5, 0.5) there and (0, 0) here.
            joints = [0, 2, 3, 4]
            x, y, z = kit.pose(i)[joints].T.astype(np.float64)
            expected = np.stack([500 * (x - 100 * view) / z + 12, 500 * y / z + 8], axis=1) + 0.5
            points = found[f"{place}/person\\ 0/joints", "Points2D:positions"][i]
            assert np.abs(np.array(points) - expected).max() < 1e-3
            assert (
                found[f"{place}/person\\ 0/joints", "Points2D:keypoint_ids"][i] == joints  # no 1
            )
            space = f"/anna-1-\\*/poses/{view}/person\\ 0/joints"
            assert np.array_equal(found[space, "Points3D:positions"][i], kit.pose(i)[joints])
            edges = archive_kit.JOINTS.stick_figure_edges
            ends = [np.float32(kit.pose(i)[list(edge)]) for edge in edges if 1 not in edge]
            bones = found[space.replace("joints", "bones"), "LineStrips3D:strips"][i]
            assert np.array_equal(bones, ends) and len(ends) == 2
            bones = found[f"{place}/person\\ 0/bones", "LineStrips2D:strips"][i]
            of = {j: point for j, point in zip(joints, expected, strict=True)}
            drawn = [[of[a], of[b]] for a, b in edges if 1 not in (a, b)]
            assert np.abs(np.array(bones) - drawn).max() < 1e-3
            # The file alone says the same: its pose, by its camera, lies on its joints.
            projected = seen_by(found, place, i, found[space, "Points3D:positions"][i])
            assert np.abs(projected - points).max() < 1e-3
            centre = np.array(found[f"{place}/person\\ 0/box", "Boxes2D:centers"][i][0])
            half = np.array(found[f"{place}/person\\ 0/box", "Boxes2D:half_sizes"][i][0])
            # Box (2, 2, 12, 11) reaches from the centre of a pixel to the centre of another.
            assert (centre - half).tolist() == [2.5, 2.5] and (half * 2).tolist() == [12, 11]
            assert found[place, "Pinhole:resolution"][i] == [[24, 16]]
            data = found[place, "EncodedImage:blob"][i][0]
            assert bytes(data) == archive_kit.jpeg(i)
            name = found[place, "image_path"][i][0]
            assert name == f"toy_downscaled/s{view}/{i:04d}.jpg"
            mask = found.get((f"{place}/person\\ 0/mask", "SegmentationImage:buffer"), {})
            assert (i in mask) == bool(i % 3)
            if i in mask:
                pixels = np.frombuffer(bytes(mask[i][0]), np.uint8).reshape(16, 24)
                assert np.array_equal(pixels, np.eye(16, 24))
    assert found["/anna-1-\\*", "ViewCoordinates:xyz"][None] == [[3, 2, 5]]  # right, down, ahead
    nobody, meaning = found["/", "AnnotationContext:context"][None][0]
    assert nobody["class_id"] == 0 and nobody["class_description"]["info"]["color"] == 0
    names = [k["label"] for k in meaning["class_description"]["keypoint_annotations"]]
    assert names == list(archive_kit.JOINTS.names)


def seen_by(found, place, time, points):
    """Points in a picture by the camera that a file has; its matrices are column after column."""
    above = place.rpartition("/")[0]
    to_world = np.reshape(found[above, "Transform3D:mat3x3"][time][0], (3, 3)).T
    position = np.array(found[above, "Transform3D:translation"][time][0])
    matrix = np.reshape(found[place, "Pinhole:image_from_camera"][time][0], (3, 3)).T
    seen = (np.array(points) - position) @ to_world @ matrix.T
    return seen[:, :2] / seen[:, 2:]


def test_turned_cameras_and_single_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    dataset, records = export_kit.make_3d(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    own = choosing.at("train", [0, 1, 2, 3])
    done, found = written(dataset, own, out)
    assert done == (4, 1, 0)
    place = next(e for e, name in found if name == "Pinhole:resolution")
    folder = place.split("/cameras/")[0]
    for i, record in enumerate(records[:4]):
        space = next(e for e, n in found if e.startswith(folder) and n == "Points3D:positions")
        points = np.array(found[space, "Points3D:positions"][i])
        there = np.isfinite(record.world_coords).all(axis=1)
        assert np.array_equal(points, record.world_coords[there])
        rotation, t = np.asarray(record.camera.R, float), np.asarray(record.camera.t, float)
        local = (record.world_coords[there] - t) @ rotation.T
        by_hand = local[:, :2] / local[:, 2:] * 500 + [12.5, 8.5]
        projected = seen_by(found, place, i, points)
        assert np.abs(projected - by_hand).max() < 1e-2 + 1e-4 * np.abs(by_hand).max()
    lone, found = written(dataset, choosing.at("val", [4]), out)  # it has a lens
    assert lone == (1, 1, 1) and ("/pictures/cameras/camera/picture", "image_path") in found


def test_people_of_one_picture_and_2d(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    dataset, records = export_kit.make_2d(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    done, found = written(dataset, choosing.that_meet(dataset, {}, ["train"]), out)
    assert done.examples == 4
    joints = {e: v for (e, n), v in found.items() if n == "Points2D:positions"}
    assert len(joints) == 2 and not any("poses" in e and "Points" in n for e, n in found)
    first = sorted(joints)[0]
    expected = records[0].coords2d[[0, 2, 3, 4]] + 0.5
    assert np.allclose(next(iter(joints[first].values())), expected)
    assert not any(n == "Pinhole:resolution" for _, n in found)


def test_what_is_not_there_any_more_is_cleared(toy, tmp_path):
    """The second view lacks two frames: its picture must not stand still meanwhile."""
    picked = choosing.at("train", [0, 1, 2, 3, 6, 9])
    _, found = written(toy, picked, tmp_path)
    for place in (SEES.format(1), SEES.format(1) + "/person\\ 0/joints"):
        # Where a camera is written at the time at which it is cleared, the viewer shows none.
        assert found[place, "Clear:is_recursive"] == {1: [False]}
    assert not any("cameras/0" in e and "Clear" in n for e, n in found if "mask" not in e)
    assert set(found[SEES.format(1), "EncodedImage:blob"]) == {0, 3}


def test_the_command(toy, root, tmp_path, capsys):
    pytest.importorskip("rerun")
    file = tmp_path / "some file.rrd"
    path = "toy_downscaled/s2/0003.jpg"
    assert view(path, "--rerun", str(file)) == 0
    said = capsys.readouterr().out
    assert "12 examples, recording bert-1-*" in said and f"rerun '{file}'" in said
    assert {e.split("/")[1] for e, _ in read(file)} >= {"bert-1-\\*"}
    assert view("--rerun", "--where", "subject=a*", "--most", "5") == 0
    said = capsys.readouterr().out
    assert str(root / "toy.rrd") in said and "left out: 7 examples" in said
    names = [
        v[0] for (_, n), t in read(root / "toy.rrd").items() if n == "split" for v in t.values()
    ]
    assert names == ["train"] * 5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--rerun", "a.jpg"], "expected .rrd"),
        (["--rerun", "--where", "subject"], "expected FIELD=TEXT"),
        (["--rerun", "--where", "colour=red"], "expected one of dataset"),
        (["--rerun", "--where", "subject=zoe"], "no example of toy"),
        (["--rerun", "--where", "view=0", "--where", "view=1"], "use a glob"),
        (["--rerun", "--where", "view=0", "--index", "1"], "give it, or"),
        (["--rerun", "--index", "99"], "24 train examples"),
        (["--rerun", "--most", "0"], "expected 1"),
        (["--most", "3"], "goes with"),
        (["--where", "view=0"], "goes with"),
        (["--rerun", "--png", "a.png"], "not allowed"),
    ],
)
def test_what_cannot_be_meant_is_refused(toy, capsys, options, expected):
    assert view(*options) == 2 and expected in capsys.readouterr().err.replace("\n", " ")


def test_without_the_library_one_line_says_what_to_install(toy, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert view("--rerun") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "pip install 'rerun-sdk" in said


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, posepile.cli.viewing, posepile.viewer.rerun_file, posepile.viewer.serving\n"
        "import posepile.viewer.fiftyone_set\n"
        "assert not {'rerun', 'fiftyone'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_there_is_a_window_the_viewer_is_started(toy, tmp_path, monkeypatch, capsys):
    pytest.importorskip("rerun")
    started = []
    monkeypatch.setattr("posepile.cli.windows.has_windows", lambda: True)
    monkeypatch.setattr(other_viewers.subprocess, "Popen", lambda line, **_: started.append(line))
    file = tmp_path / "a.rrd"
    assert view("--rerun", str(file), "--index", "0", "1") == 0
    assert started == [[sys.executable, "-m", "rerun", str(file)]]
    assert view("--rerun", str(file), "--index", "0", "--no-open") == 0
    assert len(started) == 1
