"""Exports for the original PosePile, read where the package of today is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import archive_kit as kit
import export_kit
import numpy as np
import pytest

from posepile.datasets2d import get_dataset as get_dataset_2d
from posepile.datasets3d import get_dataset
from posepile.errors import UsageError
from posepile.export.original_pickle import export_pickle
from posepile.export.upstream import export_upstream

KIT = Path(export_kit.__file__).with_name("original_kit.py")

# What the constructor of the original sets, and custom.
ATTRIBUTES_3D = (
    "image_path", "world_coords", "univ_coords", "bbox", "camera", "activity_name", "scene_name",
    "mask", "instance_mask", "custom", "image", "parameters",
)  # fmt: skip

CAMERA_CLASSES = {
    "deltacamera": ("deltacamera.Camera", "deltacamera.core.Camera"),
    "cameralib": ("cameralib.cameralib.Camera",),
}

# Hides the package from the interpreter, whether it lies on the path or is installed.
_HIDE = (
    "import runpy, sys, importlib.abc\n"
    "class Hidden(importlib.abc.MetaPathFinder):\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] == 'posepile': raise ImportError(name)\n"
    "sys.meta_path.insert(0, Hidden())\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        patch.delenv("CACHE_DIR", raising=False)
        yield (root, *export_kit.make_mix(root))


def read(tmp_path, *args):
    """What the stand-ins make of files."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DATA_ROOT")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _HIDE, str(KIT), *map(str, args)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def array(value):
    dtype, shape, numbers = value
    return np.array(numbers, dtype).reshape(shape)


def merged(record, dataset, kind):
    """Coordinates of a record in the merged skeleton."""
    name = record.image_path.split("_")[0]
    own = record.world_coords if kind == 3 else record.coords2d
    coords = np.full((dataset.joint_info.n_joints, kind), np.nan, np.float32)
    coords[[dataset.joint_info.ids[f"{j}_{name}"] for j in kit.JOINTS.names]] = own
    return coords


@pytest.mark.parametrize("cameras", ["deltacamera", "cameralib"])
def test_the_pickle_loads_into_the_originals_classes(made, tmp_path, cameras):
    _, dataset, records = made
    done = export_pickle(dataset, tmp_path / "x.pkl", cameras=cameras)
    assert [p.name for p in done.files] == ["x.pkl", "x_2d.pkl", "x_parametric.pkl"]
    kinds = {"x.pkl": "3d", "x_2d.pkl": "2d", "x_parametric.pkl": "3d"}
    n = 0
    for path in done.files:
        got = read(tmp_path, "pickle", path, cameras)
        kind = kinds[path.name]
        assert got["type"] == f"posepile.datasets{kind}.Pose{kind.upper()}Dataset"
        assert got["joints"] == dataset.joint_info.names
        assert [tuple(e) for e in got["edges"]] == dataset.joint_info.stick_figure_edges
        assert got["mirror"] == dataset.joint_info.mirror_mapping
        if kind == "3d":
            assert np.array_equal(array(got["bones"]), dataset.train_bones, equal_nan=True)
        people = {}
        for ex in got["examples"]:
            person = people[ex["image_path"]] = people.get(ex["image_path"], -1) + 1
            record = records[ex["image_path"], person]
            n += 1
            assert ex["type"] == f"posepile.datasets{kind}.Pose{kind.upper()}Example"
            assert ["train", "val", "test"][ex["split"]] == record.split
            assert np.array_equal(array(ex["bbox"]), record.bbox) and ex["image"] is None
            counts = record.mask and record.mask["counts"].decode("latin1")
            assert (ex["mask"] and ex["mask"]["counts"]) == counts
            if kind == "2d":
                expected = merged(record, dataset, 2)
                assert np.array_equal(array(ex["coords"]), expected, equal_nan=True)
                assert ex["attributes"] == sorted(
                    ["image_path", "coords", "bbox", "mask", "camera", "densepose", "image"]
                )
                if record.densepose:
                    assert np.array_equal(array(ex["densepose"][1]), record.densepose[1])
                continue
            assert ex["activity"] == record.activity
            assert ex["attributes"] == sorted(ATTRIBUTES_3D)
            assert ex["camera"] in CAMERA_CLASSES[cameras]
            if record.parameters:
                assert ex["coords"] is None
                pose = array(ex["parameters"]["pose"])
                assert np.array_equal(pose, record.parameters["pose"])
                continue
            expected = merged(record, dataset, 3)
            assert np.array_equal(array(ex["coords"]), expected, equal_nan=True)
            if cameras == "deltacamera":
                np.testing.assert_allclose(
                    array(ex["pixels"]), record.camera.world_to_image(expected), atol=1e-3
                )
            elif not record.camera.has_distortion():
                there = np.isfinite(record.camera.world_to_image(expected))
                np.testing.assert_allclose(
                    array(ex["pixels"])[there],
                    record.camera.world_to_image(expected)[there],
                    rtol=1e-4,
                    atol=0.01,
                )
    assert n == done.examples == 19


def test_the_package_of_today_opens_the_pickle_too(made, tmp_path):
    _, dataset, records = made
    for cameras in ("deltacamera", "cameralib"):
        export_pickle(dataset, tmp_path / "x.pkl", cameras=cameras)
        got = get_dataset(str(tmp_path / "x.pkl"))
        assert got.joint_info == dataset.joint_info
        assert [len(got.examples[s]) for s in (0, 1, 2)] == [6, 6, 0]
        for ex in got.iter_examples():
            record = records[ex.image_path, 0]
            assert ex.camera == record.camera or ex.camera.has_distortion()
            expected = merged(record, dataset, 3)
            assert np.array_equal(ex.get_world_coords(), expected, equal_nan=True)
        assert len(get_dataset_2d(str(tmp_path / "x_2d.pkl")).examples[0]) == 4
    with pytest.raises(UsageError, match="cameras: found 'opencv', expected"):
        export_pickle(dataset, tmp_path / "y.pkl", cameras="opencv")


def test_the_pair_is_read_as_the_original_reads_it(made, tmp_path):
    root, dataset, records = made
    done = export_upstream(dataset, root / "pair.barecat")
    names = ["pair.barecat", "pair_2d.barecat", "pair_parametric.barecat", "pair_images.barecat"]
    assert [p.name for p in done.files] == names
    n = 0
    for path in done.files[:3]:
        got = read(tmp_path, "pair", path, done.files[3])
        parametric = "parametric" in path.name
        assert got["joints"] == ([] if parametric else dataset.joint_info.names)
        assert got["n"] == len(got["examples"]) + 1
        people = {}
        for ex in sorted(got["examples"], key=lambda ex: ex["image_path"]):
            person = people[ex["image_path"]] = people.get(ex["image_path"], -1) + 1
            record = records[ex["image_path"], person]
            n += 1
            assert ex["split"] == record.split and ex["image"] == [16, 24, 3]
            assert np.array_equal(array(ex["bbox"]), record.bbox)
            if record.mask is not None:
                assert ex["mask"] == export_kit.MASKED_PIXELS.sum()
            if parametric:
                assert np.array_equal(array(ex["pose"]), record.parameters["pose"])
                assert ex["gender"] == "female"
            elif "2d" in path.name:
                expected = merged(record, dataset, 2)
                assert np.array_equal(array(ex["joints2d"]), expected, equal_nan=True)
            else:
                expected = merged(record, dataset, 3)
                assert np.array_equal(array(ex["joints3d"]), expected, equal_nan=True)
                pixels = np.asarray(record.camera.world_to_image(expected))
                np.testing.assert_allclose(array(ex["pixels"]), pixels, rtol=1e-3, atol=0.05)
    assert n == done.examples == 19


def test_the_archive_of_images_is_no_empty_dataset(made, tmp_path):
    """Whoever opens it as a dataset is told, by the original's own error."""
    root, dataset, _ = made
    done = export_upstream(dataset, root / "loud.barecat")
    images = done.files[-1]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    failed = subprocess.run(
        [sys.executable, "-c", _HIDE, str(KIT), "pair", str(images), str(images)],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode != 0 and "KeyError: 'metadata.msgpack'" in failed.stderr


def test_examples_without_a_joint_break_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    dataset, _ = export_kit.make_3d(tmp_path)
    nothing, nobody = (dataset.examples[0][i].load(load_image=False) for i in (1, 2))
    nothing.world_coords = None
    nobody.world_coords[:] = np.nan
    dataset.examples[0][1], dataset.examples[0][2] = nothing, nobody
    done = export_upstream(dataset, tmp_path / "x.barecat")
    assert list(done.left_out.values()) == [1] and list((+done.notes).values()) == [1]
    got = read(tmp_path, "pair", done.files[0], done.files[-1])
    assert len(got["examples"]) == done.examples == 11
    (seen,) = [ex for ex in got["examples"] if ex["image_path"] == nobody.image_path]
    assert np.isnan(array(seen["joints3d"])).all()
    export_pickle(dataset, tmp_path / "x.pkl")
    got = read(tmp_path, "pickle", tmp_path / "x.pkl", "deltacamera")
    assert len(got["examples"]) == 11 and np.isnan(array(got["examples"][1]["coords"])).all()
