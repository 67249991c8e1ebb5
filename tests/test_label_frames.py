"""Labels of one release and pictures of another are some frames apart."""

import numpy as np
import pytest

from posepile.errors import CorruptInput
from posepile.shapes.label_frames import OFFSET, check_frame_offset


def walk(n, speed, seed=0, tracks=3):
    """Boxes of people who walk to either side, in pixels per frame, and shake a little."""
    rng, boxes = np.random.default_rng(seed), {}
    for track in range(tracks):
        x, step = rng.uniform(0, 500), speed * (-1) ** track
        for k in range(n):
            boxes[track, k] = np.array([x + step * k, 100, 50, 150]) + rng.normal(0, 0.7, 4)
    return boxes


def poses(boxes, shift, seed=1):
    """Boxes around joints: smaller than those of people, of other sizes from frame to frame."""
    rng = np.random.default_rng(seed)
    inner = np.array([4, 6, -8, -12])
    return {
        (t, k - shift): box + inner + rng.normal(0, 2, 4)
        for (t, k), box in boxes.items()
        if k >= shift
    }


@pytest.mark.parametrize("speed", [12, 40])
@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 2, 3])
def test_the_offset_is_found_and_another_one_is_refused(shift, speed):
    boxes = walk(60, speed)
    labels = {(t, k - shift): box for (t, k), box in poses(boxes, 0).items()}
    assert check_frame_offset("a.json", labels, boxes, shift) == {OFFSET: 0.0}
    for wrong in {0, 2} - {shift}:
        with pytest.raises(CorruptInput, match=f"{shift} frames later best.*expected {wrong} f"):
            check_frame_offset("a.json", labels, boxes, wrong, most=6)


@pytest.mark.parametrize("speed", [3, 5])
def test_two_frames_are_found_of_slow_people(speed):
    boxes = walk(100, speed)
    with pytest.raises(CorruptInput, match="[123] frames later best"):
        check_frame_offset("a.json", poses(boxes, 2), boxes, 0)
    assert check_frame_offset("a.json", poses(boxes, 0), boxes, 0) == {OFFSET: 0.0}


@pytest.mark.parametrize("speed", [3, 5, 8])
@pytest.mark.parametrize("shift", [-1, 1])
def test_one_frame_is_found_of_slow_people(speed, shift):
    boxes = walk(100, speed, tracks=6)
    labels = {(t, k - shift): box for (t, k), box in poses(boxes, 0).items()}
    with pytest.raises(CorruptInput, match=f"fit boxes {shift} frames later best"):
        check_frame_offset("a.json", labels, boxes, 0)


def test_all_one_way_at_one_small_speed_proves_nothing():
    boxes = {
        (t, k): np.array([90.0 * t + 2 * k, 100, 50, 150]) for t in range(4) for k in range(60)
    }
    assert check_frame_offset("a.json", poses(boxes, 1), boxes, 0) == {}


@pytest.mark.parametrize("speed", [0, 12])
@pytest.mark.parametrize(
    "change", [lambda box: box / [640, 480, 640, 480], lambda box: 2 * box, lambda box: box + 300]
)
def test_labels_that_are_nowhere_near_their_boxes_are_refused(change, speed):
    boxes = walk(60, speed)
    labels = {key: change(box) for key, box in poses(boxes, 0).items()}
    with pytest.raises(CorruptInput, match=r"widths beside the boxes.*of other pictures"):
        check_frame_offset("a.json", labels, boxes, 0)


@pytest.mark.parametrize("bias", [-4, 4])
def test_joints_beside_the_middle_of_the_box_are_no_offset(bias):
    boxes = {(0, k): np.array([12.0 * k, 100, 50, 150]) for k in range(80)}  # all one way
    labels = {key: box + np.array([bias, 0, 0, 0]) for key, box in poses(boxes, 0).items()}
    assert check_frame_offset("a.json", labels, boxes, 0) == {OFFSET: 0.0}


def test_people_who_stand_prove_nothing():
    boxes = walk(200, 0)
    assert check_frame_offset("a.json", poses(boxes, 2), boxes, 0) == {}


def test_one_who_walks_among_many_who_stand_is_enough():
    boxes = walk(200, 0, tracks=20) | {(99, k): b[1] for k, b in enumerate(walk(60, 12).items())}
    with pytest.raises(CorruptInput, match="2 frames later"):
        check_frame_offset("a.json", poses(boxes, 2), boxes, 0)
    assert check_frame_offset("a.json", poses(boxes, 0), boxes, 0) == {OFFSET: 0.0}


def test_few_frames_and_no_boxes_prove_nothing():
    boxes = walk(11, 15, tracks=2)
    assert check_frame_offset("a.json", poses(boxes, 2), boxes, 0) == {}
    assert check_frame_offset("a.json", poses(boxes, 2), {}, 0) == {}
    assert check_frame_offset("a.json", {}, boxes, 0) == {}
    with pytest.raises(CorruptInput, match="2 frames later"):
        check_frame_offset("a.json", poses(boxes, 2), boxes, 0, least=10)


def test_other_people_prove_nothing():
    labels = {(t + 50, k): box for (t, k), box in poses(walk(60, 12), 2).items()}
    assert check_frame_offset("a.json", labels, walk(60, 12), 0) == {}
