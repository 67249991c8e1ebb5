"""The command line of evaluations: exit codes, what is printed, the JSON file, the page."""

import base64
import hashlib
import json
import re
from pathlib import Path

import cv2
import deltacamera
import numpy as np
import pytest
from evaluation_kit import JOINTS, P1, Gym

from posepile import cli
from posepile.ds import dataset_names, has_evaluation
from posepile.ds.aspset import miniature
from posepile.errors import WorkError
from posepile.evaluation.benchmark import Picture
from posepile.evaluation.command import run_benchmark
from posepile.evaluation.results import default_output, write_result
from posepile.formats.arrays import read_npz

P2 = P1.variant("gym.p2", figures=("PA-MPJPE_mm",), official=False, note="aligned")


@pytest.fixture
def gym():
    return Gym(P1, P2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.npz"


def off(gym):
    coords = gym.stacked()
    coords[:, 2, 0] += 30
    return coords


def test_the_result(gym, path, capsys):
    gym.write(path, off(gym))
    assert gym.run(path) == 0
    result = json.loads((path.parent / "p.eval_gym_p1.json").read_text())
    assert result["protocol"] == "gym.p1" and result["official"] is True
    assert result["figures"]["MPJPE_mm"] == pytest.approx(7.5)
    assert list(result["figures"]) == ["MPJPE_mm", "PA-MPJPE_mm"]
    assert result["more_figures"].keys() == {"N-MPJPE_mm", "absolute-MPJPE_mm", "hits"}
    assert result["groups"]["activity"]["run"]["MPJPE_mm"] == pytest.approx(7.5)
    assert result["groups"]["activity"].keys() == {"run", "sit"}
    assert result["joints"]["MPJPE_mm"] == pytest.approx(
        dict(zip(JOINTS, (0, 0, 30, 0), strict=True))
    )
    assert result["per_clip"]["clip2"]["MPJPE_mm"] == pytest.approx(7.5)
    low, high = result["intervals_95"]["PA-MPJPE_mm"]
    assert low < result["figures"]["PA-MPJPE_mm"] < high
    assert (result["entries"], result["clips"]) == (12, 3)
    assert result["left_out"] == {} == result["skipped"] == result["options"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert result["predictions"] == {
        "path": str(path), "bytes": path.stat().st_size, "sha256": digest
    }  # fmt: skip
    assert result["definition"]["root"] == "pelvis" and result["definition"]["unit"] == "mm"
    printed = capsys.readouterr().out
    assert "gym.p1: 12 entries of 3 clips" in printed
    assert re.search(r"^ +MPJPE +7\.5000 mm +\(95 %: 7\.5000 to 7\.5000\)$", printed, re.MULTILINE)
    assert re.search(r"^ +run: MPJPE 7\.5000 mm, PA-MPJPE \d", printed, re.MULTILINE)
    assert printed.endswith(f"Written to {path.parent / 'p.eval_gym_p1.json'}\n")


def test_several_protocols_at_once(gym, path, capsys):
    gym.write(path, off(gym))
    out = path.parent / "r.json"
    assert gym.run(path, "--protocol", "p2,gym.p1", "--out", str(out)) == 0
    second, first = json.loads(out.read_text())
    assert (second["protocol"], first["protocol"]) == ("gym.p2", "gym.p1")
    assert list(second["figures"]) == ["PA-MPJPE_mm"]
    assert second["figures"]["PA-MPJPE_mm"] == first["figures"]["PA-MPJPE_mm"]
    printed = capsys.readouterr().out
    assert "gym.p2, not an official figure: 12" in printed and "gym.p1: 12" in printed


def test_what_is_left_out_is_printed(gym, path, capsys):
    keys = [*gym.keys[1:], "nowhere.jpg"]
    gym.write(path, gym.stacked(), keys)
    assert gym.run(path, "--allow-missing") == 0
    printed = capsys.readouterr().out
    assert "Left out, without a prediction: 1\n" in printed
    assert "Predicted but not evaluated: 1, e.g. nowhere.jpg\n" in printed


def test_numbers_that_are_none_are_null(path, capsys):
    gym = Gym(P1, finish=lambda setup, figures: {**figures, "MPJPE_mm": float("nan")})
    assert gym.run(gym.write(path)) == 0
    text = (path.parent / "p.eval_gym_p1.json").read_text()
    assert json.loads(text)["figures"]["MPJPE_mm"] is None
    assert re.search(r"MPJPE +nan mm$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (
            ["--protocol", "p3"],
            2,
            "--protocol p3: gym has no such protocol; it has gym.p1, gym.p2",
        ),
        (["--pred-path", "/no/such"], 2, "--pred-path /no/such: no such file or folder"),
        (["--pred-path", "x" * 300], 2, "no such file or folder"),
        (["--out", "x" * 300], 2, "nothing can be written to . (File name too long)"),
        (["--protocol", "p1,p2,gym.p1"], 2, "--protocol p1,p2,gym.p1: gym.p1 is there twice"),
        (["--protocol", "p1,"], 2, "--protocol '': gym has no such protocol; it has gym.p1"),
        (["--out", "/"], 2, "is a folder"),
        (["--units", "mm", "--protocol", ""], 0, ""),
        (["--worst", "some"], 2, "'some' is no whole number"),
        (["--units", "inch"], 2, "--units"),
    ],
)
def test_exit_codes(gym, path, capsys, options, code, says):
    gym.write(path, off(gym))
    try:
        assert gym.run(path, *options) == code
    except SystemExit as end:  # of the parser
        assert end.code == code
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == (1 if code else 0)
    assert bool(list(path.parent.glob("*.json"))) == (not code)


def test_predictions_are_not_written_over(gym, path, capsys):
    before = gym.write(path, off(gym)).read_bytes()
    (path.parent / "link").symlink_to(path)
    for out in (path, path.parent / "link"):
        assert gym.run(path, "--out", str(out)) == 2
        assert "holds the predictions" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_the_page_is_not_written_over_predictions_or_a_folder(gym, tmp_path, capsys):
    path = gym.write(tmp_path / "p.npz", off(gym)).rename(tmp_path / "p.worst.html")
    before, out = path.read_bytes(), str(tmp_path / "p.json")
    assert gym.run(path, "--out", out, "--worst", "1") == 2
    assert "holds the predictions" in capsys.readouterr().err
    assert path.read_bytes() == before
    (tmp_path / "q.worst.html").mkdir()
    assert gym.run(path, "--out", str(tmp_path / "q.json"), "--worst", "1") == 2
    assert "q.worst.html: is a folder" in capsys.readouterr().err
    assert gym.run(path, "--out", out) == 0


def test_failed_work_is_one_line(gym, path, capsys):
    gym.write(path, off(gym)[1:], gym.keys[1:])
    assert gym.run(path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{path}: lacks image clip0/0.jpg") and error.count("\n") == 1
    assert not list(path.parent.glob("*.json"))


def test_no_raw_data_is_said(path, capsys, monkeypatch):
    gym = Gym()

    def truth(setup):
        yield read_npz(setup.root / "truth.npz", {"joints": None})

    object.__setattr__(gym.benchmark, "truth", truth)
    assert gym.run(gym.write(path)) == 1
    assert "no raw data of gym" in capsys.readouterr().err
    monkeypatch.delenv("DATA_ROOT", raising=False)
    assert run_benchmark(gym.benchmark, ["--pred-path", str(path)]) == 2
    assert "DATA_ROOT" in capsys.readouterr().err


def test_explaining_reads_nothing(gym, capsys):
    path = Path("/no/such/p.npz")
    assert gym.run(path, "--explain") == 0
    printed = capsys.readouterr().out
    assert printed.count("protocol: ") == 2 and "root: pelvis" in printed
    assert gym.run(path, "--explain", "--protocol", "p2") == 0
    printed = capsys.readouterr().out
    assert "protocol: gym.p2" in printed and "note: aligned" in printed
    assert "gym.p1" not in printed


def test_no_predictions_are_a_wrong_request(gym, capsys):
    with pytest.raises(SystemExit) as end:
        run_benchmark(gym.benchmark, [])
    assert end.value.code == 2 and "--pred-path" in capsys.readouterr().err


# ---------------------------------------------------------------- the page of the worst


def pictured(folder):
    """A benchmark whose entries can be seen: the camera looks along z, pictures are blue."""
    camera = deltacamera.Camera(
        intrinsic_matrix=np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1.0]]),
        world_up=(0, -1, 0),
    )
    picture = folder / "blue.png"
    cv2.imwrite(str(picture), np.full((480, 640, 3), (200, 60, 20), np.uint8))
    return Gym(P1, picture=lambda joints: Picture(picture, camera))


def tiles(page):
    found = re.findall(r"src='data:image/jpeg;base64,([^']+)'", page.read_text())
    raw = (np.frombuffer(base64.b64decode(text), np.uint8) for text in found)
    return [cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(int) for data in raw]


def worst_of(gym, path, n="2"):
    coords = gym.stacked()
    coords[5, 1] += [200, 0, 0]
    coords[2, 3] += [300, 0, 0]
    gym.write(path, coords)
    assert gym.run(path, "--worst", n) == 0
    return path.parent / "p.eval_gym_p1.worst.html"


def test_the_worst_are_drawn_over_their_pictures(path, tmp_path, capsys):
    page = worst_of(pictured(tmp_path), path)
    assert f"The 2 worst: {page}" in capsys.readouterr().out
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text())
    assert captions == ["75.00 mm: clip0 clip0/2.jpg", "50.00 mm: clip1 clip1/1.jpg"]
    for tile in tiles(page):
        assert tile.shape == (320, 320, 3)
        # Mostly the picture's blue, some green of the truth and pink of the prediction.
        r, g, b = np.moveaxis(tile, -1, 0)
        assert ((b > 150) & (r < 80) & (g < 110)).mean() > 0.8
        truth, pred = (g > 150) & (r < 120) & (b < 120), (r > 180) & (g < 120) & (b > 120)
        assert truth.sum() > 20 and pred.sum() > 20
        # The truth is in the middle, and as high as the tile less its border.
        y, x = np.nonzero(truth)
        assert 190 < np.ptp(y) < 240 and abs(np.median(x) - 160) < 40
        # The prediction is moved so that its centre is that of the truth.
        assert abs(np.nonzero(pred)[1].mean() - x.mean()) < 12
    a, b = tiles(page)
    assert (a != b).any()


def test_the_worst_without_pictures(path):
    page = worst_of(Gym(P1), path)
    a, b = tiles(page)
    assert (np.abs(a - b) < 30).all() and np.median(a) == pytest.approx(90, abs=5)
    assert "<script" not in page.read_text()


def test_a_picture_that_is_gone(path, tmp_path):
    gym = pictured(tmp_path)
    (tmp_path / "blue.png").unlink()
    assert len(tiles(worst_of(gym, path, "3"))) == 3


# ---------------------------------------------------------------- posepile eval


def posepile(*argv):
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", *argv])
    return end.value.code


@pytest.fixture
def aspset(raw_miniature, tmp_path):
    """Raw data of a benchmark and a folder of its predictions: the truth itself."""
    root, folder = raw_miniature("aspset"), tmp_path / "predictions"
    folder.mkdir()
    source = root / "data/test/joints_3d/cccc/cccc-0003.c3d"
    (folder / source.name).write_bytes(source.read_bytes())
    assert miniature.JOINTS
    return ["--data-dir", str(root), "--pred-path", str(folder)]


def test_posepile_eval_is_the_same(aspset, tmp_path, capsys):
    assert posepile("aspset.universal", *aspset) == 0
    assert "aspset.universal: 4 entries" in capsys.readouterr().out
    assert (tmp_path / "predictions_eval_aspset_universal.json").is_file()
    assert posepile("aspset", *aspset, "--protocol", "official,universal") == 0
    assert posepile("aspset.nonsense", *aspset) == 2
    assert "aspset has no such protocol" in capsys.readouterr().err


def test_posepile_eval_lists_every_benchmark(capsys):
    assert posepile() == 0
    lines = capsys.readouterr().out.splitlines()
    named = {line.partition(".")[0] for line in lines}
    assert named == {name for name in dataset_names() if has_evaluation(name)}
    assert any(line.split()[0] == "aspset.official" for line in lines)
    assert any(line.endswith("(not official)") for line in lines)


def test_posepile_eval_help_is_that_of_the_benchmark(capsys):
    assert posepile("aspset", "--help") == 0
    printed = capsys.readouterr().out
    assert "--split" in printed and "ASPset-510" in printed and "aspset.universal" in printed


# ---------------------------------------------------------------- where results go


def test_results_of_a_folder_lie_beside_it(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert default_output(tmp_path / "link", "e") == tmp_path / "run_e.json"


def test_results_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match="cannot be written: .*; see --out"):
        write_result(tmp_path / "file" / "r.json", {})
    write_result(tmp_path / "r.json", {"a": [float("inf"), 1.5]})
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": [None, 1.5]}
    assert not list(tmp_path.glob(".*"))
