"""Videos that are known to have another number of frames than their annotations say."""

import sys

import cv2
import fake_dataset
import numpy as np
import pytest
from fake_dataset import WholePictures, a_run, process_and_pack

import posepile.models
from posepile.errors import WorkError
from posepile.miniature.video import write_video
from posepile.recipe import Unit, Video
from posepile.run import commands

fake = fake_dataset.fake  # the fixture

LOST = "annotated frame beyond the end of the video"


@pytest.fixture
def short(fake, monkeypatch):
    """The dataset ``fake`` with videos of 3 frames, of which 4 are annotated."""
    recipe = sys.modules["posepile.ds.fake.main"]
    known = {"mismatch_known": True, "n_frames": 4}

    def load_unit(root, unit, options):
        (sequence,) = fake_dataset.load_unit(root, unit, options)
        sequence.frames = Video(root / unit.id / "video.mp4", **known)
        return [sequence]

    def list_units(root, options):
        for unit in fake_dataset.list_units(root, options):
            yield Unit(unit.id, unit.split, (*unit.inputs, root / unit.id / "video.mp4"))

    for folder in (fake / "fake").iterdir():
        files = fake_dataset.images(folder)[:3]
        write_video(folder / "video.mp4", [cv2.imread(str(f))[..., ::-1] for f in files], 30)
    monkeypatch.setattr(recipe, "load_unit", load_unit)
    monkeypatch.setattr(recipe, "list_units", list_units)
    return fake, known


def test_frames_that_are_not_there_are_dropped_and_the_difference_is_reported(short, capsys):
    fake, _ = short
    manifest, _ = process_and_pack(fake)
    assert manifest["counts"] == {"train": 6, "val": 3, "test": 0}
    train = manifest["splits"]["train"]
    assert train["dropped"] == {LOST: 2} and train["frames_read"] == 6
    assert train["notes"] == {"video has fewer frames than annotated": 2}
    assert f"dropped: 1 x {LOST}" in capsys.readouterr().out.replace("3 x", "1 x")


def test_more_frames_than_annotated_are_reported(short):
    fake, known = short
    known["n_frames"] = 2  # what takes the count from elsewhere than from the labels
    manifest, _ = process_and_pack(fake, "dataset.stride=2")
    train = manifest["splits"]["train"]
    assert train["dropped"] == {} and manifest["counts"]["train"] == 4
    assert train["notes"] == {"video has more frames than annotated": 2}


def test_where_no_difference_is_known_it_stays_an_error(short):
    fake, known = short
    known["mismatch_known"] = False
    with pytest.raises(WorkError):
        process_and_pack(fake)


def test_detection_apart_reads_what_is_there(short, monkeypatch):
    fake, _ = short
    calls = []

    class Nobody(WholePictures):
        label = "nobody"

        def __call__(self, batch):
            calls.append(len(batch))
            return [np.zeros((0, 5), np.float32) for _ in batch]

    monkeypatch.setattr(posepile.models, "_networks", {})
    monkeypatch.setattr(posepile.models, "load_detector", lambda params: Nobody())
    model = fake.parent / "model.onnx"
    model.write_bytes(b"stands for weights")
    options = f"detect.model={{path: '{model}', decoder: yolox}}", "box.source=detect"
    run = a_run(fake, *options, "detect.unmatched=annotation", "check.min_detected=0")
    commands.process(run, ("detect",))
    assert sum(calls) == 9
    commands.process(run, ("crop",))
    assert sum(calls) == 9
