"""INRIA Holidays: upright squares, the list of those without people, and what has made it."""

import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import tiny_networks
from real_data import real_data

from posepile import cli
from posepile.config import load_config
from posepile.ds.inria_holidays import main
from posepile.errors import CorruptInput, UsageError
from posepile.imaging import jpeg
from posepile.miniature.truth import read_truth
from posepile.models.params import DetectorFile, DetectParams
from posepile.run import networks


@pytest.fixture
def root(raw_miniature, tmp_path):
    shutil.copytree(raw_miniature("inria_holidays"), tmp_path / "inria_holidays")
    return tmp_path / "inria_holidays"


def calibrate(root, **options):
    return main.calibrate(root, main.Options(**options))


def listed(root):
    return (root / main.LIST).read_text().split("\n")


def record(root):
    return json.loads((root / main.RECORD).read_text())


def rewrite(root, **changes):
    path = root / main.UPSTREAMS
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | changes))


def test_squares_are_upright_whatever_the_orientation(miniature):
    root = miniature("inria_holidays") / "inria_holidays"
    facts = read_truth(root).facts
    assert sorted(os.listdir(root / "jpg_small")) == facts["pictures"]
    for name in facts["pictures"]:
        data = (root / "jpg_small" / name).read_bytes()
        image = jpeg.decode(data)
        assert image.shape == (512, 512, 3) and jpeg.read_orientation(data) == 1
        corners = [image[4, 4], image[4, -5], image[-5, -5], image[-5, 4]]
        np.testing.assert_allclose(corners, facts["corners"], atol=12, err_msg=name)


def test_quality_is_95(miniature):
    import cv2

    root = miniature("inria_holidays") / "inria_holidays"
    data = (root / "jpg_small" / "149902.jpg").read_bytes()
    wanted = jpeg.encode(np.zeros((16, 16, 3), np.uint8), 95)
    tables = [d[d.index(b"\xff\xdb") : d.index(b"\xff\xc0")] for d in (data, wanted)]
    assert tables[0] == tables[1]
    assert cv2.imdecode(np.frombuffer(data, np.uint8), -1).shape == (512, 512, 3)


def test_the_list_is_of_pictures_without_rows(miniature):
    root = miniature("inria_holidays") / "inria_holidays"
    facts = read_truth(root).facts
    text = (root / main.LIST).read_text()
    assert text.splitlines() == sorted(facts["without_people"]) and not text.endswith("\n")
    assert not set(facts["unknown"]) & set(text.splitlines())
    found = record(root)
    assert found["made_by"]["file"] == main.UPSTREAMS
    digest = hashlib.sha256((root / main.UPSTREAMS).read_bytes()).hexdigest()
    assert found["made_by"]["sha256"] == digest
    assert found["pictures"]["of which nothing is known"] == len(facts["unknown"])


def test_lists_of_lists_are_detections_as_well(root):
    rewrite(root, **{"100000.jpg": [[1, 2, 3, 4, 0.5], [1, 2, 3, 4, 0.4]], "100300.jpg": []})
    calibrate(root)
    assert "100000.jpg" not in listed(root) and "100300.jpg" in listed(root)


@pytest.mark.parametrize("rows", [np.zeros((2, 4)), "nobody", [[1, 2]], None])
def test_what_are_no_detections_is_refused(root, rows):
    rewrite(root, **{"100000.jpg": rows})
    with pytest.raises(CorruptInput, match=r"yolov4_person_detections.pkl: 100000.jpg: found"):
        calibrate(root)


def test_detections_of_other_pictures_are_refused(root):
    rows = {f"jpg_small/{n}": [] for n in os.listdir(root / "jpg")}
    (root / main.UPSTREAMS).write_bytes(pickle.dumps(rows))
    with pytest.raises(CorruptInput, match=r"yolov4_.*'jpg_small/.*; expected names such as '1"):
        calibrate(root)


def test_small_pictures_and_other_suffixes(root):
    names = sorted(os.listdir(root / "jpg"))
    (root / "jpg" / names[0]).rename(root / "jpg" / f"{names[0][:-4]}.jpeg")
    (root / "jpg" / "tiny.jpg").write_bytes(jpeg.encode(np.zeros((255, 900, 3), np.uint8)))
    lines = calibrate(root)
    assert lines[0].startswith(f"{len(names)} pictures of 512x512")
    assert "tiny.jpg: found 900x255 pixels; expected a side of 256 at least" in lines[-1]


def test_a_file_of_detections_that_is_named_must_be_there(root):
    with pytest.raises(CorruptInput, match="yolov3_person_detections.pkl"):
        calibrate(root, detections="yolov3_person_detections.pkl")
    (root / main.UPSTREAMS).rename(root / "yolov3_person_detections.pkl")
    calibrate(root, detections="yolov3_person_detections.pkl")
    assert record(root)["made_by"]["file"] == "yolov3_person_detections.pkl"
    with pytest.raises(UsageError, match="name a detector"):
        calibrate(root, detect=DetectParams(model="none"))


def test_it_goes_on_and_makes_again_what_is_damaged_or_older(root):
    assert "8 made now" in calibrate(root)[0] and "0 made now" in calibrate(root)[0]
    small, originals = root / "jpg_small", root / "jpg"
    before = {p.name: p.read_bytes() for p in small.iterdir()}
    (small / "100000.jpg").write_bytes(before["100000.jpg"][:900])
    (small / "100001.jpg").write_bytes(jpeg.encode(np.zeros((256, 256, 3), np.uint8)))
    (small / "100100.jpg").unlink()
    os.utime(small / "100101.jpg", (1, 1))
    assert "4 made now" in calibrate(root)[0]
    assert {p.name: p.read_bytes() for p in small.iterdir()} == before
    assert len(list(originals.iterdir())) == 8


def test_squares_without_originals_are_taken_as_they_are(root):
    calibrate(root)
    shutil.rmtree(root / "jpg")
    assert "8 pictures of 512x512 in jpg_small, 0 made now" in calibrate(root)
    assert not main.doctor(root, main.Options())
    shutil.rmtree(root / "jpg_small")
    assert main.doctor(root, main.Options()) == [f"  {root / 'jpg'}: no pictures"]
    with pytest.raises(CorruptInput, match="found 0 good pictures and 0 damaged"):
        calibrate(root)


def test_a_damaged_picture_costs_itself_and_is_counted(root):
    path = root / "jpg" / "149902.jpg"
    path.write_bytes(path.read_bytes()[:3000])
    *_, line = calibrate(root)
    assert line.startswith(f"left out: {path}: damaged or truncated JPEG")
    assert "149902.jpg" not in listed(root) and len(listed(root)) == 4
    assert record(root)["damaged"] == ["149902.jpg"]
    assert record(root)["pictures"]["damaged"] == 1
    with pytest.raises(CorruptInput, match=r"7 good pictures and 1 damaged .* at most 10%"):
        calibrate(root, max_damaged=0.1)


def test_a_list_that_comes_with_the_recipe_is_used_before_detection(root, tmp_path, monkeypatch):
    names = ["100000.jpg", "100200.jpg"]
    shipped = tmp_path / "shipped.json"
    shipped.write_text(json.dumps({"made_by": {"detector": "x"}, "without_people": names}))
    monkeypatch.setattr(main, "SHIPPED", shipped)
    calibrate(root, detections=None)
    assert listed(root) == names and record(root)["made_by"] == {"detector": "x"}
    # what a run has written is such a list
    (root / main.RECORD).rename(shipped)
    calibrate(root, detections=None)
    assert listed(root) == names
    with pytest.raises(UsageError, match="name a detector"):
        calibrate(root, detections=None, shipped=False, detect={"model": "none"})
    (root / "jpg" / "100200.jpg").unlink()
    (root / "jpg_small" / "100200.jpg").unlink()
    with pytest.raises(CorruptInput, match=r"100200.jpg: 1 of 2 pictures of the list are missing"):
        calibrate(root, detections=None)


def test_doctor_looks_at_every_listed_picture(root):
    calibrate(root)
    assert not main.doctor(root, main.Options())
    (root / "jpg_small" / "100001.jpg").unlink()
    (line,) = main.doctor(root, main.Options())
    assert "1 of 5 listed pictures cannot be used in jpg_small: 100001.jpg" in line


def test_nobody_without_people_is_refused(root):
    everybody = {name: np.zeros((1, 5)) for name in read_truth(root).facts["pictures"]}
    rewrite(root, **everybody)
    with pytest.raises(CorruptInput, match="found no picture without people among 8"):
        calibrate(root)


# ---------------------------------------------------------------- a detector


@pytest.fixture
def bright(root, tmp_path):
    """Pictures of which two hold something bright, and a network that takes it for people."""
    for k, path in enumerate(sorted((root / "jpg").iterdir())):
        image = np.full((256, 256, 3), 60, np.uint8)
        if k in (2, 5):
            image[40:200, 80:140] = 255
        path.write_bytes(jpeg.encode(image))
    file = tiny_networks.yolox(tmp_path / "bright.onnx", (256, 256))
    return DetectorFile(path=str(file), decoder="yolox", person_class=0)


def test_a_detector_makes_the_list_and_is_recorded(root, bright):
    calibrate(root, detections=None, detect=DetectParams(model=bright, score=0.3))
    names = sorted(p.name for p in (root / "jpg").iterdir())
    assert listed(root) == [name for k, name in enumerate(names) if k not in (2, 5)]
    digest = hashlib.sha256(open(bright.path, "rb").read()).hexdigest()
    made_by = {"detector": "bright.onnx", "sha256": digest, "score": 0.3, "nms": 0.45}
    assert record(root)["made_by"] == made_by
    assert record(root)["pictures"]["with people"] == 2


def test_detection_goes_on_where_it_stopped(root, bright, monkeypatch):
    from posepile.models import in_pictures
    from posepile.models.detectors import Detector

    seen, call = [], Detector.__call__
    monkeypatch.setattr(in_pictures, "_SAVED_EVERY", 3)
    monkeypatch.setattr(Detector, "__call__", lambda d, images: seen.append(1) or call(d, images))

    def run(score=0.3):
        seen.clear()
        calibrate(root, detections=None, detect=DetectParams(model=bright, score=score))
        return len(seen)

    def break_off(path, content):
        raise KeyboardInterrupt

    write = in_pictures.write_json
    monkeypatch.setattr(
        in_pictures, "write_json", lambda *a: write(*a) if len(seen) < 6 else 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run()
    monkeypatch.setattr(in_pictures, "write_json", write)
    assert run() == 5 and run() == 0  # three of six were written down
    (root / "jpg_small" / "100000.jpg").unlink()
    assert run() == 0, "the same picture made again"
    assert run(score=0.4) == 8, "other thresholds"


@pytest.mark.parametrize("key", ["iou", "expand", "max_area", "min_joints_inside"])
def test_what_is_compared_with_nobody_is_refused(key):
    with pytest.raises(ValueError, match=f"{key} has no effect here"):
        main.Options(detect={"model": "yolox_s", key: 1})
    with pytest.raises(ValueError, match="model: joints has no effect here"):
        main.Options(detect={"model": "joints"})


def config_of(*overrides):
    return load_config("inria_holidays", main.Options, overrides, spec=main.SPEC)


def test_a_helper_has_its_own_detector(tmp_path):
    config = config_of()
    made, line = networks.without_networks(config, set())
    assert made.dataset.detect.model == "none" and made.dataset.detect.score == 0.25
    assert line.endswith(": dataset.detect.model = none instead of yolox_x")
    assert networks.without_networks(config, {"dataset.detect.model"}) == (config, "")
    path = tmp_path / "mine.onnx"
    config = config_of(f"dataset.detect.model={{path: {path}}}")
    assert networks.doctor_lines(config, False) == [
        f"  dataset.detect.model: {path}: no such file"
    ]
    with pytest.raises(UsageError, match=r"has no effect: inria_holidays is a helper"):
        config_of("detect.model=yolox_s")


def test_the_miniature_needs_no_network_and_a_wrong_one_is_named(root, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(root.parent))
    assert cli._main(["step", "inria_holidays", "calibrate"]) == 0
    told = capsys.readouterr().out
    assert "drawn figures are no people" not in told and "3 of 3 artefacts are there" in told
    assert cli._main(["step", "inria_holidays", "download", "--miniature"]) == 0
    assert "dataset.detect.model = none instead of yolox_x" in capsys.readouterr().out
    file = "--set=dataset.detect.model={path: /none.onnx}"
    assert cli._main(["plan", "inria_holidays", file]) == 0
    assert (
        "dataset.detect.model, a file of your own: /none.onnx: no such" in capsys.readouterr().out
    )
    (root / main.UPSTREAMS).unlink()
    assert cli._main(["step", "inria_holidays", "calibrate", file]) == 2
    assert "/none.onnx: no such ONNX file" in capsys.readouterr().err


def test_people_in_real_photographs_are_found(tmp_path):
    weights, photos = real_data() / "models" / "yolox_nano.onnx", real_data() / "coco" / "val2017"
    if not weights.is_file():
        pytest.skip(f"no {weights}")
    root = tmp_path / "inria_holidays"
    shutil.copytree(photos, root / "jpg")
    noise = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    (root / "jpg" / "000000.jpg").write_bytes(jpeg.encode(noise))
    detect = DetectParams(model=DetectorFile(path=str(weights), decoder="yolox"), score=0.25)
    calibrate(root, detect=detect)
    assert listed(root) == ["000000.jpg"]
