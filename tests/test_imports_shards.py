"""Shards of WebDataset in the layouts of others become packed datasets."""

import pickle

import imports_kit as kit
import numpy as np
import pytest

from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.imports.facts import Facts
from posepile.imports.forms import import_dataset
from posepile.store import verifying


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


@pytest.mark.parametrize("shift", [True, False])
def test_sam_3d_body(root, shift):
    known = kit.sam3d(root / "000000.tar", shift=shift)
    facts = Facts(licence="x", split="train")
    result = import_dataset([root / "000000.tar"], "webdataset", "sam", facts)
    assert result.splits["train"] == 12 and result.n_images == 6
    assert result.notes == {"body parameters not kept: said to be not valid": 6}
    ds = datasets3d.get_dataset("sam")
    for ex in ds.examples[TRAIN]:
        expected = known[ex.sequence, ex.person]
        np.testing.assert_allclose(ex.world_coords, expected, atol=0.01)
        seen = ex.camera.world_to_image(ex.world_coords)
        there = ~np.isnan(ex.coords2d[:, 0])
        assert there.sum() == 69
        np.testing.assert_allclose(seen[there], ex.coords2d[there], atol=0.01)
        assert ex.bbox.tolist() == [5, 6, 30, 40]
        assert (ex.parameters is None) == (ex.person == 1)
    parameters = ds.examples[TRAIN][0].load().parameters
    assert parameters["type"] == "mhr" and parameters["shape"].tolist() == list(range(45))
    assert verifying.verify("sam.barecat") == []


def test_hmr2(root):
    kit.hmr2(root / "a.tar")
    result = import_dataset(
        [root / "a.tar"], "webdataset", "hmr", Facts(licence="x", split="train")
    )
    assert result.splits["train"] == 6
    ex = datasets2d.get_dataset("hmr").examples[TRAIN][2]
    assert ex.image_path == "hmr/aic/02.jpg" and ex.coords.shape == (44, 2)
    assert ex.bbox.tolist() == [20, 2, 20, 40]
    assert ex.parameters["shape"].tolist() == list(range(10))
    assert np.isnan(ex.parameters["trans"]).all()


def test_shards_of_unknown_layout(root):
    kit.tar(root / "a.tar", [("0.jpg", kit.picture()), ("0.cls", b"3")])
    with pytest.raises(UsageError, match="found cls, jpg"):
        import_dataset([root / "a.tar"], "webdataset", "x", Facts(licence="x"))
    (root / "b.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(CorruptInput):
        import_dataset([root / "b.tar"], "webdataset", "x", Facts(licence="x"))


def test_code_in_shards_is_not_run(root):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    data = pickle.dumps([{"keypoints_2d": Evil()}])
    kit.tar(root / "a.tar", [("0.jpg", kit.picture()), ("0.annotation.pyd", data)])
    with pytest.raises(CorruptInput, match="print"):
        import_dataset([root / "a.tar"], "webdataset", "x", Facts(licence="x", split="train"))


def test_shards_of_the_same_name(root):
    for name in ("a_train", "b_train"):
        (root / name).mkdir()
        kit.tar(root / name / "0.tar", [])
    kit.hmr2(root / "a_train/0.tar", n=2)
    kit.sam3d(root / "b_train/0.tar", n=2)
    (root / "b_train/0.tar").write_bytes((root / "a_train/0.tar").read_bytes())
    with pytest.raises(WorkError, match="found 2 times"):
        import_dataset(
            [root / "a_train/0.tar", root / "b_train/0.tar"], "webdataset", "x", Facts(licence="x")
        )
