"""Truth from the packed dataset: that of the raw files, or what it lacks is named."""

import base64
import re

import cv2
import numpy as np
import pytest
from evaluation_kit import evaluate

from posepile.datasets3d import TEST, get_dataset
from posepile.ds import load_evaluation
from posepile.errors import WorkError
from posepile.evaluation import packed

OFTEN = "h36m.lifting-p2"  # every frame


@pytest.fixture
def h36m(miniature, monkeypatch):
    """DATA_ROOT with the raw and the packed miniature."""
    root = miniature("h36m")
    monkeypatch.setenv("DATA_ROOT", str(root))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return root


@pytest.fixture
def path(h36m, tmp_path):
    """Predictions near what is packed, in PosePile's order of 17 joints, the pelvis first."""
    rng, examples = np.random.default_rng(0), get_dataset("h36m").examples[TEST]
    joints = np.array([e.world_coords for e in examples])[:, [16, *range(16)]]
    names = np.array([e.image_path for e in examples])
    coords = joints + rng.normal(0, 40, joints.shape)
    np.savez(tmp_path / "p.npz", image_path=names, coords3d_pred_world=coords)
    return tmp_path / "p.npz"


def of_packed(path, *options, protocol="p2"):
    """Figures by packed truth; there are no raw files."""
    options = ("--truth", "packed", *options)
    return evaluate("h36m", path.parent / "nothing", path, "--protocol", protocol, *options)


def test_packed_truth_gives_the_figures_of_the_raw_files(h36m, path):
    raw = evaluate("h36m", h36m / "h36m", path, "--protocol", "p2")
    with pytest.raises(WorkError) as error:  # a miniature is not all of the benchmark
        of_packed(path)
    n = raw["entries"]
    assert f"{n} frames that are evaluated; expected 8724" in str(error.value)
    found = of_packed(path, "--allow-missing")
    assert found["figures"] == pytest.approx(raw["figures"], abs=0.01)
    assert (found["entries"], raw["truth"], found["truth"]) == (n, "raw", "packed")
    assert found["joints"]["PA-MPJPE_mm"] == pytest.approx(raw["joints"]["PA-MPJPE_mm"], abs=0.05)
    assert found["groups"]["activity"].keys() == raw["groups"]["activity"].keys()
    assert found["left_out"] == {} and found["clips"] == raw["clips"] == 8
    file = str(h36m / "h36m.barecat")
    by_file = of_packed(path, "--truth", file, "--allow-missing")
    assert by_file["figures"] == found["figures"] and by_file["truth"] == file


def test_frames_that_are_not_packed_are_named(h36m, path, monkeypatch):
    """One view of a take lacks a frame, and a protocol wants every frame."""
    examples = list(get_dataset("h36m").examples[TEST])[::-1]
    gone = next(e.image_path for e in examples if "frame_000064" in e.image_path)
    few = type("Few", (), {"examples": {TEST: [e for e in examples if e.image_path != gone]}})
    monkeypatch.setattr(packed, "get_dataset", lambda name: few)
    with pytest.raises(WorkError) as error:
        of_packed(path)
    key = gone.replace("h36m_downscaled", "h36m")
    said = f"packed dataset h36m: lacks {key} and 0 more, 1 of the {len(examples)} frames"
    assert said in str(error.value) and "\n" not in str(error.value)
    found = of_packed(path, "--allow-missing")
    assert found["left_out"] == {"not in the packed dataset": 1}
    assert found["entries"] == len(examples) - 1
    with pytest.raises(WorkError, match=rf"frame_000001\.jpg and \d+ more.* {OFTEN} evaluates"):
        of_packed(path, protocol=OFTEN)


def test_the_worst_are_drawn_over_the_packed_crops(path):
    options = ["--protocol", "p2", "--truth", "packed", "--allow-missing", "--worst", "2"]
    argv = [*options, "--pred-path", str(path), "--data-dir", str(path.parent / "nothing")]
    assert load_evaluation("h36m").main(argv) == 0
    page = path.with_name("p.eval_h36m_p2.worst.html").read_text()
    found = re.findall(r"base64,([^']+)'", page)
    assert len(found) == 2
    for text in found:
        tile = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        assert (np.abs(tile.astype(int) - 90) < 12).all(axis=-1).mean() < 0.3  # no grey tile
        pink, green = (
            ((tile[..., 0] > 150) & (tile[..., 1] < 120) & (tile[..., 2] > 180)),
            ((tile[..., 1] > 180) & (tile[..., 0] < 120) & (tile[..., 2] < 120)),
        )
        assert pink.any() and green.any()


def test_an_archive_of_another_dataset_is_one_line():
    with pytest.raises(
        WorkError, match=r"picture walk/first\.jpg: its name has no clip and frame"
    ):
        packed._evaluated_keys(["walk/f_01.jpg", "walk/first.jpg"])
