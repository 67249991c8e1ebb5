"""Names that consumers import, finding datasets, skeletons, paths."""

import os
import pickle
import subprocess
import sys

import archive_kit as kit
import numpy as np
import pytest

import posepile.ds
from posepile import datasets2d, datasets3d, paths
from posepile.datasets3d import TRAIN, Pose3DDataset, Pose3DExample, SparseCoords
from posepile.errors import UsageError, WorkError
from posepile.joint_info import JointInfo, get_joint2bone_mat
from posepile.merging.merge import merge_datasets
from posepile.store import opening
from posepile.store.coords import as_compact_float


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Adds a folder of dataset modules for the duration of a test."""
    folder = tmp_path / "more_ds"
    monkeypatch.setattr(posepile.ds, "__path__", [*posepile.ds.__path__, str(folder)])

    def add(name, code):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
        (folder / name / "main.py").write_text(code)

    yield add
    for name in [n for n in sys.modules if n.startswith("posepile.ds.zz_")]:
        del sys.modules[name]


def test_nothing_happens_at_import(tmp_path):
    code = (
        "import os; os.environ.pop('DATA_ROOT', None)\n"
        "import posepile.datasets3d, posepile.datasets2d, posepile.joint_info, sys\n"
        "from posepile.paths import DATA_ROOT, CACHE_DIR\n"
        "heavy = {'cv2', 'torch', 'deltacamera', 'barecat', 'scipy', 'numba', 'simplejpeg'}\n"
        "assert not heavy & set(sys.modules)\n"
        "try: f'{DATA_ROOT}/x'\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(posepile.__file__))}
    result = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("UsageError environment variable DATA_ROOT: not set")


def test_data_root_behaves_like_a_string(root, monkeypatch):
    assert f"{paths.DATA_ROOT}/x" == f"{root}/x" == paths.DATA_ROOT + "/x"
    assert os.path.join(paths.DATA_ROOT, "x") == f"{root}/x"
    assert paths.DATA_ROOT == str(root) and paths.DATA_ROOT.startswith("/")
    assert os.listdir(paths.DATA_ROOT) == []
    assert paths.CACHE_DIR == f"{root}/cache"
    monkeypatch.setenv("CACHE_DIR", "/elsewhere")
    assert paths.CACHE_DIR == "/elsewhere"
    assert pickle.loads(pickle.dumps(paths.DATA_ROOT)) is paths.DATA_ROOT
    monkeypatch.setenv("DATA_ROOT", "/changed")
    assert str(paths.DATA_ROOT) == "/changed"


def test_unknown_dataset_names_the_one_that_is_meant(root, recipe):
    recipe("zz_one", "")
    with pytest.raises(UsageError, match=r"'zz_on' \(did you mean zz_one\?\)"):
        datasets3d.get_dataset("zz_on")


def test_known_but_not_built(root, recipe):
    recipe("zz_two", "")
    with pytest.raises(WorkError, match=r"zz_two.*nothing there yet.*posepile run zz_two \("):
        datasets3d.get_dataset("zz_two")


def test_keyword_arguments_reach_the_dataset_module(root, recipe):
    recipe("zz_three", "def make_dataset(a=1, b=2): return (a, b)")
    assert datasets3d.get_dataset("zz_three", b=5) == (1, 5)
    assert datasets3d.get_dataset("zz_three") == (1, 2)
    recipe("zz_four", "")
    with pytest.raises(UsageError, match="unknown option 'b'"):
        datasets2d.get_dataset("zz_four", b=5)


def test_import_errors_inside_a_dataset_module_are_shown(root, recipe):
    recipe("zz_five", "import a_module_that_does_not_exist")
    missing = "main.py, line 1: ModuleNotFoundError: .*a_module_that_does_not_exist"
    with pytest.raises(UsageError, match=missing):
        datasets3d.get_dataset("zz_five")


def test_finds_pickle_and_archive(root):
    kit.make_archive(root)
    assert len(datasets3d.get_dataset("toy").examples[TRAIN]) == 12
    assert len(datasets3d.get_dataset("toy.barecat").examples[TRAIN]) == 12
    with pytest.raises(UsageError, match="holds its images itself"):
        datasets3d.get_dataset("toy.barecat", image_barecat_path="x.barecat")
    opening.write_pickle(root / "toy.barecat", root / "cache" / "toy.pkl")
    for name in ("toy", "cache/toy.pkl", str(root / "cache" / "toy.pkl")):
        assert len(datasets3d.get_dataset(name).examples[TRAIN]) == 12
    assert datasets3d.get_joint_info("toy") == kit.JOINTS
    assert datasets3d.get_dataset_cached("toy").joint_info == kit.JOINTS
    with pytest.raises(UsageError, match="3D dataset"):
        datasets2d.get_dataset("toy")


def test_a_variant_is_another_build(root, recipe):
    kit.make_archive(root)
    kit.make_archive(root, "toy@small", n=4)
    opening.write_pickle(root / "toy@small.barecat", root / "cache" / "toy@small.pkl")
    assert len(datasets3d.get_dataset("toy").examples[TRAIN]) == 12
    assert len(datasets3d.get_dataset("toy@small").examples[TRAIN]) == 8
    (root / "cache" / "toy@small.pkl").unlink()
    assert len(datasets3d.get_dataset("toy@small").examples[TRAIN]) == 8
    assert datasets3d.get_joint_info("toy@small") == kit.JOINTS
    recipe("zz_seven", "import archive_kit\nSPEC = archive_kit.spec('zz_seven')")
    assert datasets3d.get_joint_info("zz_seven@small") == kit.JOINTS
    with pytest.raises(
        WorkError, match=r"nothing there yet.*posepile run zz_seven --variant small \("
    ):
        datasets3d.get_dataset("zz_seven@small")
    for name in ("zz_seven@", "@small"):
        with pytest.raises(UsageError, match="expected name or name@variant"):
            datasets3d.get_dataset(name)
    with pytest.raises(UsageError, match="unknown dataset 'zz_eight'"):
        datasets3d.get_dataset("zz_eight@small")


def test_joint_info_of_a_dataset_not_built(root, recipe):
    recipe("zz_six", "import archive_kit\nSPEC = archive_kit.spec('zz_six')")
    assert datasets3d.get_joint_info("zz_six") == kit.JOINTS
    assert "zz_six" in posepile.ds.dataset_names()


def test_dataset_of_plain_examples():
    def example(scale):
        coords = scale * np.float32([[0, 0, 0], [3, 4, 0], [np.nan] * 3, [0, 0, 0], [0, 0, 0]])
        return Pose3DExample("a/b.jpg", coords, [0, 0, 1, 1], None)

    ds = Pose3DDataset(kit.JOINTS, [example(1), example(3)], [example(5)])
    assert ds.train_bones[0] == pytest.approx(10)
    assert ds.trainval_bones[0] == pytest.approx(15)
    assert np.isnan(ds.train_bones[1])
    assert len(list(ds.iter_examples())) == 3
    ex = ds.examples[TRAIN][0]
    ex.world_coords = SparseCoords(ex.world_coords)
    ex.world_coords.invalidate_coords([1])
    assert np.isnan(ex.get_world_coords()[[1, 2]]).all()
    assert Pose3DDataset(kit.JOINTS).train_bones is None


@pytest.mark.parametrize("dtype", ["f2", "i2", "i4", "i8", "u2"])
def test_bones_and_coordinates_of_small_types_do_not_overflow(dtype):
    coords = (np.arange(15).reshape(5, 3) ** 2 * 20).astype(dtype)
    wide = coords.astype(np.float64)
    made = [Pose3DExample("a.jpg", c, None, None) for c in (coords, wide)]
    ours, expected = (Pose3DDataset(kit.JOINTS, [ex]).train_bones for ex in made)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    merged = merge_datasets({"x": Pose3DDataset(kit.JOINTS, made[:1])}).examples[TRAIN][0]
    np.testing.assert_array_equal(merged.get_world_coords(), wide)
    merged.world_coords.invalidate_coords([1])
    assert np.isnan(merged.get_world_coords()[1]).all()


def test_large_integer_coordinates_keep_their_hundredths():
    far = np.full((2, 3), 2**24 + 1)
    np.testing.assert_array_equal(as_compact_float(far), far)


def test_joint_info():
    info = JointInfo("pelv,lhip,rhip,lkne,rkne", "pelv-lhip-lkne,pelv-unknown")
    assert info.stick_figure_edges == [(0, 1), (0, 2), (1, 3), (2, 4)]
    assert info.mirror_mapping == [0, 2, 1, 4, 3]
    assert info.ids.lkne == 3 and info.n_joints == 5
    assert JointInfo({"b": 1, "a": 0}).names == ["a", "b"]
    assert JointInfo(np.array(["a", "b"]), [(0, 1)]).stick_figure_edges == [(0, 1)]
    np.testing.assert_array_equal(get_joint2bone_mat(info)[2], [0, 1, 0, -1, 0])
    part = info.select_joints([3, 1])
    assert part.names == ["lkne", "lhip"] and part.stick_figure_edges == [(1, 0)]
    copy = pickle.loads(pickle.dumps(info))
    assert copy == info and pickle.dumps(copy) == pickle.dumps(info)
    info.update_names("pelv,rhip,lhip,a,b")
    assert info.ids.lhip == 2 and info.mirror_mapping == [0, 2, 1, 3, 4]
    assert JointInfo([]).n_joints == 0 and pickle.loads(pickle.dumps(JointInfo([]))).names == []


@pytest.mark.parametrize(
    ("joints", "edges", "message"),
    [
        ("pelv,lhip", "", "'lhip': no counterpart 'rhip'"),
        ("a,b,a", "", "'a': found twice"),
        ({"a": 0, "b": 2}, "", "expected 0 to 1"),
        ("a,b", [(0, 2)], "expected indices below 2"),
    ],
)
def test_joint_info_refuses(joints, edges, message):
    with pytest.raises(UsageError, match=message):
        JointInfo(joints, edges)


def test_a_dataset_in_another_folder_is_found(root, tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "zz_mine"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text("import archive_kit\nSPEC = archive_kit.spec('zz_mine')")
    monkeypatch.setattr(posepile.ds, "__path__", list(posepile.ds.__path__))
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path / "mine"))
    assert "zz_mine" in posepile.ds.dataset_names()
    assert posepile.ds.load_recipe("zz_mine").SPEC.name == "zz_mine"
    monkeypatch.delenv("POSEPILE_DATASETS")
