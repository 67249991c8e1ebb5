"""``posepile model``: what a network's file is taken for, for a person to read."""

import json

import answering
import cv2
import numpy as np
import pytest
import tiny_networks
from networks_kit import NETWORKS

from posepile.cli import main


def call(capsys, *arguments):
    """Returns the exit code, and what was said on either stream."""
    with pytest.raises(SystemExit) as ended:
        main(["model", *map(str, arguments)])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    cv2.imwrite(str(path), picture)
    return path


def test_a_detector_is_described_and_its_boxes_are_drawn(capsys, photo, tmp_path):
    drawn = tmp_path / "boxes.png"
    code, out, err = call(
        capsys, "check", NETWORKS / "yolov8.onnx", "--image", photo, "--score", 0, "--out", drawn
    )
    assert (code, err) == (0, "")
    for said in (
        "input    images float32 [1, 3, 160, 160]",
        "output   output0 float32 [1, 7, 525]",
        "metadata task: detect",
        "decoder  yolo: ",
        "because class 0 is 'person' in the file's metadata",
        "shown    RGB / 255, 160x160, nchw, centred",
        "person   class 0",
        "photo.png (90x60): ",
    ):
        assert said in out
    assert cv2.imread(str(drawn)).shape == (60, 90, 3)
    assert (cv2.imread(str(drawn)) != cv2.imread(str(photo))).any()


def test_the_same_as_data(capsys, photo):
    code, out, _ = call(
        capsys, "check", NETWORKS / "rfdetr.onnx", "--image", photo, "--score", 0, "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert (told["kind"], told["decoder"], told["person_class"]) == ("detector", "rfdetr", 1)
    assert told["inputs"] == [{"name": "input", "type": "float32", "shape": [None, 3, 96, 96]}]
    assert told["look"]["mean"] == [0.485, 0.456, 0.406]
    assert "detr_softmax" in told["other_interface"]
    (picture,) = told["pictures"]
    assert picture["size"] == [90, 60]
    assert len(picture["boxes"]) > 3


def test_what_cannot_be_told_is_refused_with_what_is_known(capsys, tmp_path):
    path = tmp_path / "net.onnx"
    answering.network(path, {"output": answering.scores(1, 1000)})
    code, out, err = call(capsys, "check", path)
    assert code == 1
    assert "output   output float32 [1, 1000]" in out
    assert err.count("\n") == 1
    assert "not the interface of any known detector" in err
    assert "model check" not in err
    code, out, _ = call(capsys, "check", path, "--json")
    assert code == 1
    assert "not the interface" in json.loads(out)["refused"]


def test_a_stated_decoder_is_taken_or_refused(capsys):
    path = NETWORKS / "detr_hf.onnx"
    code, out, _ = call(capsys, "check", path, "--set", "input_size=[96, 128]")
    assert code == 0
    assert "decoder  detr_softmax" in out
    assert "not rfdetr: " in out
    code, _, err = call(
        capsys, "check", path, "--set", "input_size=[96, 128]", "--decoder", "rfdetr"
    )
    assert code == 1
    assert "softmax" in err
    assert "set decoder: detr_softmax" in err


def test_a_segmenter_is_described_and_its_mask_is_drawn(capsys, photo, tmp_path):
    path, drawn = tiny_networks.matting(tmp_path / "matting.onnx"), tmp_path / "mask.png"
    picture = cv2.imread(str(photo))
    picture[:] = 20
    picture[10:50, 20:70] = 250
    cv2.imwrite(str(photo), picture)
    asked = ["--image", photo, "--box", 15, 5, 60, 50, "--decoder", "matting", "--out", drawn]
    code, out, err = call(capsys, "check", path, *asked)
    assert (code, err) == (0, "")
    assert "decoder  matting" in out
    assert "photo.png (90x60): 37.0% marked" in out
    assert cv2.imread(str(drawn))[30, 40].tolist() != picture[30, 40].tolist()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nothing"], "neither a file nor a network"),
        (["check", NETWORKS / "detr_hf.onnx"], "its size is free, so set input_size"),
        (["check", NETWORKS / "detr_hf.onnx", "--decoder", "yolo99"], "decoder"),
        (["check", NETWORKS / "detr_hf.onnx", "--set", "scale"], "expected KEY=VALUE"),
        (["check", NETWORKS / "detr_hf.onnx", "--set", "scle=1"], "scle"),
        (["check", NETWORKS / "detr_hf.onnx", "--image", "none.jpg"], "no such file"),
        (["check", NETWORKS / "detr_hf.onnx", "--out", "x.png"], "give --image FILE"),
        (["check", NETWORKS / "detr_hf.onnx", "--score", "2"], "expected 0 to 1"),
    ],
)
def test_wrong_requests_are_told_in_a_line(capsys, arguments, said):
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_files_that_are_no_networks_or_pictures(capsys, tmp_path):
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"junk")
    code, _, err = call(capsys, "check", junk)
    assert code == 1
    assert err.count("\n") == 1
    assert "not an ONNX network" in err
    code, _, err = call(capsys, "check", NETWORKS / "rfdetr.onnx", "--image", junk)
    assert code == 1
    assert "not a picture" in err


def test_registered_networks_are_listed(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEPILE_MODELS", str(tmp_path))
    (tmp_path / "yolox_nano.onnx").write_bytes(b"stands for weights")
    code, out, _ = call(capsys, "list")
    assert code == 0
    (nano,) = [line for line in out.splitlines() if " yolox_nano " in line]
    assert nano.split() == ["detector", "yolox_nano", "3.7", "MB", "present", "Apache-2.0"]
    assert "not there" in next(line for line in out.splitlines() if " yolox_x " in line)
    assert str(tmp_path) in out
    code, out, _ = call(capsys, "list", "--json")
    told = {entry["name"]: entry for entry in json.loads(out)["networks"]}
    assert told["yolox_nano"]["present"]
    assert told["efficientsam_ti"]["kind"] == "segmenter"


def test_a_segmenter_of_free_size_needs_no_setting(capsys, tmp_path):
    """A detector would; RVM's own file leaves its size free."""
    alpha = np.full((1, 1, 512, 512), 0.02, np.float32)
    alpha[..., 100:, 120:400] = 0.98
    path = tmp_path / "net.onnx"
    answering.network(path, {"pha": alpha}, image=(1, 3, "h", "w"))
    code, out, err = call(capsys, "check", path)
    assert (code, err) == (0, "")
    assert "512x512" in out


def test_segmenters_are_described_too(capsys, photo):
    decoder = NETWORKS / "sam_decoder.onnx"
    encoder = NETWORKS / "sam_encoder.onnx"
    code, out, err = call(
        capsys, "check", encoder, "--set", f"decoder_path={decoder}", "--image", photo
    )
    assert (code, err) == (0, "")
    for said in (
        "decoder  sam: promptable, two files: SAM",
        "because the second file takes image_embeddings, point_coords",
        "because it knows points beside the object (label 0)",
        "photo.png (90x60): ",
    ):
        assert said in out
    code, out, err = call(capsys, "check", encoder, "--decoder", "sam")
    assert code == 2
    assert "the encoder of a promptable network in two files" in out + err


def test_what_is_looked_at_is_not_drawn_over(capsys, photo, tmp_path):
    network = tmp_path / "net.onnx"
    network.write_bytes((NETWORKS / "yolov8.onnx").read_bytes())
    for out in (network, photo):
        before = out.read_bytes()
        code, _, err = call(capsys, "check", network, "--image", photo, "--out", out)
        assert (code, out.read_bytes()) == (2, before)
        assert "name another file" in err


def test_another_file_than_the_one_named_is_no_setting(capsys):
    code, _, err = call(capsys, "check", NETWORKS / "yolov8.onnx", "--set", "path=other.onnx")
    assert code == 2 and "--set path=other.onnx: the file to look at is " in err


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("scale=0", "scale = 0"),
        ("scale=.nan", "scale = nan"),
        ("std=[1,0,1]", "std[1] = 0"),
        ("mean=[.inf,0,0]", "mean[0] = inf"),
        ("input_size=[0,64]", "input_size[0] = 0"),
    ],
)
@pytest.mark.parametrize("decoder", ["yolo", "matting"])
def test_numbers_that_no_picture_can_be_shown_with(capsys, setting, key, decoder):
    code, _, err = call(
        capsys, "check", NETWORKS / "yolov8.onnx", "--decoder", decoder, "--set", setting
    )
    assert code == 2 and f"--set: {key} is not allowed" in err


def test_why_it_is_no_segmenter_either_is_said(capsys, tmp_path):
    mask = np.full((1, 1, 64, 64), np.inf, np.float32)
    path = answering.network(tmp_path / "net.onnx", {"alpha": mask})
    code, _, err = call(capsys, "check", path)
    assert code == 1
    assert "not the interface of any known detector; nor a segmenter: " in err
    assert "values of inf to inf" in err
