"""docs/EVALUATION.md is followed as it stands: its benchmark scores a file of predictions."""

import json
import re
import sys

import numpy as np
import pytest
from conftest import ROOT

from posepile.ds import load_evaluation, load_miniature
from posepile.templates import new_dataset

DOCUMENT = (ROOT / "docs" / "EVALUATION.md").read_text()


def forget():
    for name in [name for name in sys.modules if name.startswith("posepile.ds.gym")]:
        del sys.modules[name]


@pytest.fixture
def gym(tmp_path, monkeypatch):
    """A dataset made from a template, with the document's eval.py; returns its raw folder."""
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path / "sets"))
    forget()  # another test may have made a dataset of that name
    folder = new_dataset("gym", "multiview", tmp_path / "sets")
    (code,) = re.findall(r"```python\n# ~/sets/gym/eval.py\n(.*?)```", DOCUMENT, re.DOTALL)
    (folder / "eval.py").write_text(code)
    load_miniature("gym").build(tmp_path / "raw", seed=1)
    yield tmp_path / "raw"
    forget()


def test_the_benchmark_of_the_document(gym, tmp_path, capsys):
    joints = np.load(gym / "run" / "joints.npy").astype(float)
    pred = joints + np.array([30.0, 0, 40]) * (np.arange(15) != 0)[:, None]
    paths = np.array([f"run/{i}" for i in range(len(joints))])
    order = np.random.default_rng(0).permutation(len(joints))
    np.savez(tmp_path / "p.npz", image_path=paths[order], coords3d_pred_world=pred[order])
    args = ["--data-dir", str(gym), "--pred-path", str(tmp_path / "p.npz")]
    assert load_evaluation("gym").main(args) == 0
    # The pelvis, which is subtracted, has no error; the other fourteen are 50 mm off.
    found = json.loads((tmp_path / "p.eval_gym_p1.json").read_text())["figures"]
    assert found["MPJPE_mm"] == pytest.approx(50 * 14 / 15)
    assert "46.67 mm" in capsys.readouterr().out
