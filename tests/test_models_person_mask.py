"""Who is who in a crop: choosing among instances, cutting at other people."""

import numpy as np
import pytest
from test_models_segmenters import EDGES, box_of, figure, scene

from posepile.models import SegmentParams
from posepile.models.person_mask import (
    choose_instance,
    nearest_to,
    select_person,
    square_window,
    stand_in_skeleton,
    without_holes,
)


@pytest.mark.parametrize("given", ["joints", "box"])
def test_each_person_gets_their_own_instance(given):
    people = [figure(40, 30), figure(100, 30), figure(160, 30)]
    _, masks = scene(*people)
    for k, joints in enumerate(people):
        others = [p for p in people if p is not joints]
        found = choose_instance(
            masks, None, joints if given == "joints" else None, box_of(joints), others
        )
        assert found == k


def test_an_instance_that_is_another_persons_is_not_taken():
    """The network missed the wanted person, whose arm the neighbour's mask covers."""
    own, other = figure(80, 30), figure(96, 30)
    other[2] = own[2]
    _, (_, mask) = scene(own, other)
    assert choose_instance([mask], None, own, box_of(own), [other]) is None
    assert choose_instance([mask], None, other, box_of(other), [own]) == 0


def test_no_instance_fits():
    own = figure(40, 30)
    _, (mask,) = scene(figure(160, 30))
    assert choose_instance([mask], None, own, box_of(own)) is None
    assert choose_instance([], None, own, box_of(own)) is None


def test_boxes_of_the_network_are_used():
    """Masks that are equal are told apart by their boxes."""
    own = figure(100, 30)
    _, (mask,) = scene(own)
    far = np.array([0.0, 0, 20, 20])
    assert choose_instance([mask, mask], np.stack([far, box_of(own)]), own, box_of(own)) == 1


def test_who_appears_larger_is_in_front():
    """Where two overlap, the pixels between their bones are of the one who is nearer."""
    large, small = figure(90, 20), 0.6 * figure(90, 20) + [88, 36]
    shape = (160, 200)
    mine = nearest_to(shape, large, [small], EDGES)
    theirs = nearest_to(shape, small, [large], EDGES)
    assert (mine & theirs).mean() < 0.01  # the line between them
    row = mine[95]  # their trunks are 52 pixels apart; by size alone it would be 32 of them
    assert row[90] and not row[142]
    assert 35 <= row[90:142].sum() <= 40


def test_small_holes_are_filled_and_large_ones_are_not():
    mask = np.ones((60, 60), bool)
    mask[10:14, 10:14] = False  # a badge
    mask[30:50, 30:50] = False  # an arm on the hip
    filled = without_holes(mask)
    assert filled[10:14, 10:14].all() and not filled[30:50, 30:50].any()
    assert np.array_equal(without_holes(np.zeros((9, 9), bool)), np.zeros((9, 9), bool))


@pytest.mark.parametrize("taken_by", ["a strip", "a hole"])
def test_pixels_of_others_stay_theirs(taken_by):
    """Also those that would be filled as a hole."""
    joints = figure(90, 30)
    foreground = np.ones((160, 200), bool)
    taken = np.zeros((160, 200), bool)
    taken[:, 96:99] = taken_by == "a strip"
    taken[60:63, 96:99] = True
    found = select_person(
        foreground, box_of(joints), joints, [], params=SegmentParams(), edges=EDGES, taken=taken
    )
    assert not (found & taken).any() and found.any()


def test_windows_are_square_and_in_the_picture():
    rows, columns = square_window((400, 300), np.array([100, 100, 40, 160]))
    assert (rows.stop - rows.start, columns.stop - columns.start) == (200, 200)
    assert (rows.start, columns.start) == (80, 20)
    rows, columns = square_window((400, 300), np.array([250, 100, 40, 160]))
    assert columns.stop == 300 and rows == slice(80, 280)
    assert square_window((40, 30), np.array([100, 100, 4, 4])) == (slice(0, 40), slice(0, 30))


def test_others_without_joints_weigh_as_much_as_with():
    """The line that stands in for a skeleton is as long as one."""
    own, other = figure(60, 30), figure(120, 30)
    by_joints = nearest_to((160, 200), own, [other], EDGES)
    by_box = nearest_to((160, 200), own, [stand_in_skeleton(box_of(other))], EDGES)
    assert (by_joints != by_box).mean() < 0.06
