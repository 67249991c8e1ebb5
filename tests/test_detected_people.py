"""Which people of a picture a detector finds, and which boxes they get; a blind detector."""

from collections import Counter

import cv2
import numpy as np
import pytest
from fake_dataset import WholePictures, a_run, fake  # noqa: F401 - a fixture
from test_networks import default_config

import posepile.models
from posepile.ds import load_recipe
from posepile.errors import UsageError, WorkError
from posepile.miniature.kit import find_silhouette
from posepile.models import DetectParams
from posepile.recipe import Track
from posepile.run import commands, pack
from posepile.run.process import check_detected
from posepile.stages import crop
from posepile.stages.boxes import NOT_LOOKED_FOR, SOUGHT, BoxParams, choose_boxes
from posepile.stages.counts import Counts
from posepile.stages.select import Selected
from posepile.stages.task import Task


class FindsFigures(WholePictures):
    """What a network would do that knew drawn figures: the box of each connected outline."""

    label = "figures@1"

    def __call__(self, images):
        return [self.boxes(find_silhouette(image).astype(np.uint8)) for image in images]

    def boxes(self, figures):
        stats = cv2.connectedComponentsWithStats(figures)[2][1:]
        stats = stats[stats[:, cv2.CC_STAT_AREA] > 30]
        return np.column_stack([stats[:, :4], np.full(len(stats), 0.9)]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "expected", "found", "not_looked_for"),
    [
        ("agora", {"train": 9, "val": 9}, 14, 0),  # the others overlap, and keep their box
        ("egoexo4d", {"train": 12, "val": 2, "test": 1}, 14, 1),
        ("panoptic", {"train": 50}, 50, 0),
    ],
)
def test_default_detection_gives_the_examples_of_the_miniature(
    raw_miniature, tmp_path, name, expected, found, not_looked_for
):
    recipe, config = load_recipe(name), default_config(name, "crop.target=64")
    root, total, examples = raw_miniature(name), Counts(), Counter()
    for i, unit in enumerate(recipe.list_units(root, config.dataset)):
        sequences = recipe.load_unit(root, unit, config.dataset)
        out = tmp_path / f"{i}.part"
        task = Task(recipe.SPEC, lambda s=sequences: s, config, [], out, detector=FindsFigures)
        crop.run(task)
        total.add(task.counts)
        examples[unit.split] += task.counts.examples
    assert +examples == expected
    assert total.notes["box by figures@1"] == found
    assert total.notes[NOT_LOOKED_FOR] == not_looked_for
    assert total.checks.get("1 - IoU of detected and annotated box", (0, 0, 0))[2] < 0.5


# ---------------------------------------------------------------- a network that finds nobody


class Blind(WholePictures):
    """A detector that finds what it is told in the first pictures, and then nobody."""

    label = "blind"

    def __init__(self, boxes=()):
        self.boxes = list(boxes)

    def __call__(self, images):
        found = [self.boxes.pop(0) if self.boxes else np.zeros((0, 5)) for _ in images]
        return [np.asarray(boxes, np.float32) for boxes in found]


def detected(fake, monkeypatch, boxes, *more):  # noqa: F811
    """A run whose detector finds those boxes; whom it does not find keeps the annotated box."""
    monkeypatch.setattr(posepile.models, "_networks", {})
    detector = Blind(boxes)
    monkeypatch.setattr(posepile.models, "load_detector", lambda params: detector)
    model = fake.parent / "model.onnx"
    model.write_bytes(b"stands for weights")
    settings = (
        f"detect.model={{path: '{model}', decoder: yolox}}",
        "box.source=detect",
        "detect.unmatched=annotation",
    )
    return a_run(fake, *settings, *more, jobs=1)


def test_a_detector_that_finds_nobody_fails_the_run(fake, monkeypatch):  # noqa: F811
    run = detected(fake, monkeypatch, [])
    with pytest.raises(WorkError) as e:
        commands.process(run, ("crop",))
    line = str(e.value)
    assert line.startswith("fake: 0 of 12 people were found by the detector")
    for part in (str(fake.parent / "model.onnx"), "person class", "posepile model check"):
        assert part in line
    assert e.value.exit_code == 1 and "\n" not in line
    with pytest.raises(WorkError, match="0 of 8 people of split train were found"):
        pack.pack(run)
    allowed = a_run(fake, *run.settings[0][1:], "check.min_detected=0")
    commands.process(allowed, ("crop",))
    assert pack.pack(allowed)[0]["counts"] == {"train": 8, "val": 4, "test": 0}


def test_every_split_is_judged(fake, monkeypatch):  # noqa: F811
    everywhere = [[0, 0, 640, 480, 0.9]]
    run = detected(fake, monkeypatch, [everywhere] * 8, "detect.iou=0.01")
    commands.process(run, ("crop",))
    with pytest.raises(WorkError, match="0 of 4 people of split val were found"):
        pack.pack(run)


@pytest.mark.parametrize(
    ("sought", "found", "refused"),
    [(0, 0, False), (1, 0, True), (99, 1, False), (1000, 9, True), (1000, 10, False)],
)
def test_less_than_a_percent_of_many_people_is_nobody(fake, monkeypatch, sought, found, refused):  # noqa: F811
    run, counts = detected(fake, monkeypatch, []), Counts()
    counts.notes.update({SOUGHT: sought, "box by net@1": found, "box from annotation (…)": 7})
    if refused:
        with pytest.raises(WorkError, match=f"^fake: {found} of {sought} people were found"):
            check_detected(run, counts, "people")
    else:
        check_detected(run, counts, "people")


def test_a_limit_for_detectors_without_a_detector_is_a_wrong_request():
    with pytest.raises(UsageError, match=r"check\.min_detected has no effect: .* no detector"):
        default_config("aspset", "check.min_detected=0.1")


# ---------------------------------------------------------------- whom a card keeps


def person_of(world, bbox, hidden=0.0):
    track = Track(
        np.array([0]), world_coords=np.float32([world]), bbox=np.float32([bbox]),
        hidden=np.array([hidden]),
    )  # fmt: skip
    return Selected(0, track, 0)


def boxes_of(people, joints, found, **detect):
    counts = Counts()
    params = DetectParams(model="yolox_s", min_joints_inside=0, expand=1, **detect)
    boxes = choose_boxes(
        people, joints, np.float32(found), (640, 480), BoxParams(source="detect"), params, counts
    )
    return boxes, counts


def test_who_is_not_found_and_mostly_hidden_is_dropped():
    box, joints = [10, 10, 50, 100], np.float32([[10, 10], [60, 110]])
    people = [person_of([[0, 0, 1], [1, 1, 1]], box, hidden) for hidden in (0.5, 0.6, np.nan)]
    settings = {"unmatched": "annotation", "max_hidden": 0.5, "compare": "annotation", "iou": 0.5}
    boxes, counts = boxes_of(people, [joints] * 3, np.zeros((0, 5)), **settings)
    assert [b is None for b in boxes] == [False, True, False]
    np.testing.assert_array_equal(boxes[0], box)
    assert dict(counts.dropped) == {"no detection in the image": 1}
    found = [[12, 12, 50, 100, 0.9]]
    (kept,), _ = boxes_of(people[1:2], [joints], found, **settings)
    np.testing.assert_array_equal(kept, found[0][:4])


def test_who_has_no_labelled_joints_keeps_the_annotated_box():
    """As in a split for prediction, where there is nothing that tells people apart."""
    unknown = np.full((2, 3), np.nan)
    people = [person_of(unknown, [10, 10, 50, 100]), person_of([[0, 0, 1]] * 2, [9, 9, 9, 9])]
    joints = [np.full((2, 2), np.nan, np.float32), np.float32([[200, 10], [250, 110]])]
    found = [[198, 8, 54, 104, 0.9], [10, 10, 50, 100, 0.9]]
    boxes, counts = boxes_of(people, joints, found)
    np.testing.assert_array_equal(boxes, [[10, 10, 50, 100], [198, 8, 54, 104]])
    assert (counts.notes[SOUGHT], counts.notes[NOT_LOOKED_FOR]) == (1, 1)
