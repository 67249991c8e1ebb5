import itertools

import numpy as np
import pytest

from posepile.shapes.matching import match_over_time, tracks_of_people

BODY = np.random.default_rng(0).normal(0, 400, (7, 3))


def at(x, y=0.0):
    return BODY + np.array([x, y, 0])


def test_people_are_followed_however_they_are_listed():
    n = 12
    walks = [np.linspace(0, 1500, n), np.linspace(1500, 0, n), np.full(n, 4000.0)]
    order = list(itertools.islice(itertools.cycle(itertools.permutations(range(3))), n))
    frames = np.repeat(np.arange(n), 3)
    # The first two pass each other at 300 mm.
    poses = np.array([at(walks[w][i], 300 * w) for i in range(n) for w in order[i]])
    expected = [w for i in range(n) for w in order[i]]
    assert expected[:3] == [0, 1, 2]
    people = match_over_time(frames, poses)
    assert people.tolist() == expected
    tracks = tracks_of_people(frames, poses, people)
    assert [t.person for t in tracks] == [0, 1, 2]
    assert tracks[1].frames.tolist() == list(range(n))
    np.testing.assert_allclose(tracks[1].world_coords[:, 0, 0] - BODY[0, 0], walks[1])


def test_whoever_is_far_from_all_is_new():
    frames, poses = [0, 0, 1, 1, 1], [at(0), at(800), at(30), at(830), at(2500)]
    assert match_over_time(frames, np.array(poses)).tolist() == [0, 1, 0, 1, 2]
    # The nearest of all is no match if somebody else is nearer to it.
    frames, poses = [0, 1, 1], [at(0), at(40), at(10)]
    assert match_over_time(frames, np.array(poses)).tolist() == [0, 1, 0]


def test_as_many_as_possible_are_matched():
    # Matching the nearest pair first would leave the second one without a partner.
    frames, poses = [0, 0, 1, 1], [at(0), at(450), at(300), at(700)]
    assert match_over_time(frames, np.array(poses)).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("gap", "same"), [(30, True), (31, False)])
def test_somebody_away_is_remembered_for_a_while(gap, same):
    people = match_over_time([5, 5 + gap], np.array([at(0), at(50)]))
    assert people.tolist() == [0, 0 if same else 1]


def test_missing_joints_take_no_part():
    left, right = at(0), at(100)
    left[3:], right[:3] = np.nan, np.nan
    assert match_over_time([0, 1], np.array([left, right])).tolist() == [0, 1]
    right[2] = at(100)[2]
    assert match_over_time([0, 1], np.array([left, right])).tolist() == [0, 0]


def test_nobody():
    nobody = np.zeros((0, 7, 3))
    assert match_over_time([], nobody).tolist() == []
    assert tracks_of_people(np.zeros(0, int), nobody, np.zeros(0, int)) == []
