"""AP of the joints of people in pictures, by hand: each quirk of PoseTrack's program."""

import numpy as np
import pytest

from posepile import metrics

NAN = float("nan")


def person(*points):
    return np.array([[x, 0.0] for x in points])


def picture(pred, true, scores=None, ignored=(), size=10.0):
    """Two joints; who is where on a line."""
    pred, true = (np.reshape(people, (-1, 2, 2)) for people in (pred, true))
    scores = np.ones(pred.shape[:2]) if scores is None else np.array(scores, float)
    return metrics.PosedPeople(pred, scores, true, np.full(len(true), size), ignored)


def test_a_head_is_six_tenths_of_the_diagonal_of_its_box():
    np.testing.assert_allclose(metrics.head_size([[100, 50, 30, 40], [0, 0, 3, 4]]), [30, 3])


def test_half_a_head_counts_and_precision_is_the_best_at_a_higher_recall():
    near = picture([person(5, 105.1)], [person(0, 100)])
    found = metrics.part_ap([near])
    np.testing.assert_allclose(found.ap, [1, 0])
    np.testing.assert_allclose(found.recall, [1, 0])
    # Scores 3 to 1: false, right, right; precision 0, 1/2, 2/3
    pictures = [picture([person(x, x)], [person(0, 0)], [[s, s]]) for x, s in ((90, 3), (0, 2))]
    pictures.append(picture([person(0, 0)], [person(0, 0)], [[1, 1]]))
    found = metrics.part_ap(pictures)
    np.testing.assert_allclose(found.ap, (2 / 3) * (2 / 3))
    np.testing.assert_allclose(found.precision, 2 / 3)
    # A fourth with the same score as the third: the last one comes first.
    tied = [*pictures, picture([person(90, 90)], [person(0, 0)], [[1, 1]])]
    np.testing.assert_allclose(metrics.part_ap(tied).ap, 2 / 4 * 0.5)


def test_who_loses_a_person_to_another_gets_no_second_one():
    # Both are best at the first person; the second prediction has a joint of the second as well.
    true = [person(0, 100), person(200, 106)]
    pred = [person(0, 100), person(0, 103)]
    found = metrics.part_ap([picture(pred, true, [[2, 2], [1, 1]])])
    np.testing.assert_allclose(found.recall, [0.5, 0.5])
    np.testing.assert_allclose(found.precision, [0.5, 0.5])


def test_a_joint_without_label_is_a_false_alarm():
    found = metrics.part_ap([picture([person(0, 100)], [person(0, NAN)])])
    assert found.ap[0] == 1 and np.isnan(found.ap[1]) and np.isnan(found.recall[1])
    assert found.precision.tolist() == [1, 0]
    # One that nobody predicts is 0, and so is one that nobody has.
    found = metrics.part_ap([picture([person(0, NAN)], [person(0, NAN)])])
    assert found.ap.tolist() == [1, 0] and found.recall.tolist() == [1, 0]


def test_pictures_without_people_do_not_count_unless_all_are_ignored():
    good = picture([person(0, 100)], [person(0, 100)])
    alarm = [person(0, 100)]
    empty = picture(alarm, [], [[2, 2]])
    np.testing.assert_allclose(metrics.part_ap([good, empty]).precision, 1)
    square = np.array([[490, -10], [510, -10], [510, 10], [490, 10.0]])
    hidden = picture(alarm, [person(500, 500)], [[2, 2]], [square])
    np.testing.assert_allclose(metrics.part_ap([good, hidden]).precision, 0.5)
    np.testing.assert_allclose(metrics.part_ap([good, hidden]).recall, 1)


def test_what_is_ignored_counts_on_neither_side_but_its_border_does():
    square = np.array([[-5, -5], [5, -5], [5, 5], [-5, 5.0]])
    both = picture([person(0, 100)], [person(0, 100)], ignored=[square])
    assert metrics.part_ap([both]).ap.tolist() == [0, 1]
    border = picture([person(5, 100)], [person(5, 100)], ignored=[square[::-1]])
    assert metrics.part_ap([border]).ap.tolist() == [1, 1]
    # A region that crosses itself twice over has a hole; one of two corners holds nothing.
    twice = np.concatenate([square, square])
    assert metrics.part_ap([both._replace(ignored=[twice])]).ap.tolist() == [1, 1]
    assert metrics.part_ap([both._replace(ignored=[square[:2] * 0])]).ap.tolist() == [1, 1]


def test_a_person_without_joints_is_nobody_only_where_something_is_ignored():
    far = np.array([[900, 900], [910, 900], [905, 910.0]])
    lone = picture([person(0, 100)], [person(NAN, NAN)], size=NAN)
    for one in (lone, lone._replace(ignored=[far])):
        assert metrics.part_ap([one]).precision.tolist() == [0, 0]
    assert np.isnan(metrics.part_ap([]).ap).all()


@pytest.mark.parametrize("n_pred, n_true", [(0, 2), (2, 1), (3, 3)])
def test_any_number_of_people(n_pred, n_true):
    rng = np.random.default_rng(n_pred)
    pred, true = (rng.uniform(0, 20, (n, 2, 2)) for n in (n_pred, n_true))
    found = metrics.part_ap([picture(pred, true)])
    assert np.isfinite(found.ap).all() and (found.ap <= 1).all()


# ---------------------------------------------------------------- tracking


def frame(pred, true, pred_tracks=None, true_tracks=None, **more):
    """A picture with tracks, by default as listed."""
    one = picture(pred, true, **more)
    tracks = (range(len(p)) if t is None else t
              for p, t in ((one.pred, pred_tracks), (one.true, true_tracks)))  # fmt: skip
    return one._replace(**dict(zip(("pred_tracks", "true_tracks"), tracks, strict=True)))


ALONE = [person(0, 100)]
LAST = frame([], ALONE)  # that does not count


def test_a_track_that_stays_near_is_right_also_where_another_is_nearer():
    both = [person(0, 100), person(3, 103)]
    start, later = frame([person(2, 102)], ALONE), frame(both, ALONE, [5, 0])
    found = metrics.part_mota([[start, later, LAST]])
    np.testing.assert_allclose(found.mota, [0.5, 0.5])  # one false alarm of two
    np.testing.assert_allclose(found.motp, 1 - (0.2 + 0.3) / 2)
    np.testing.assert_allclose(found.precision, 2 / 3)
    np.testing.assert_allclose(found.recall, 1)


def test_another_track_is_a_switch_also_after_a_gap():
    gone = frame([person(900, 900)], ALONE, [0])
    frames = [frame(ALONE, ALONE, [0]), gone, frame(ALONE, ALONE, [7]), LAST]
    found = metrics.part_mota([frames])
    np.testing.assert_allclose(found.mota, 1 - (1 + 1 + 1) / 3)  # miss, false alarm, switch
    np.testing.assert_allclose(found.recall, 2 / 3)
    # Who they were does not carry over to another video.
    twice = [[frame(ALONE, ALONE, [0]), LAST], [frame(ALONE, ALONE, [7]), LAST]]
    np.testing.assert_allclose(metrics.part_mota(twice).mota, 1)


def test_as_many_pairs_as_possible_as_near_as_possible():
    # The first prediction is nearest to the first person, but only it can be the second.
    true, pred = [person(0, 100), person(6, 106)], [person(1.5, 101.5), person(-4, 96)]
    found = metrics.part_mota([[frame(pred, true), LAST]])
    np.testing.assert_allclose(found.recall, 1)
    np.testing.assert_allclose(found.motp, 1 - (0.45 + 0.4) / 2)


def test_quirks_of_pictures():
    good = frame(ALONE, ALONE)
    nobody = frame([], [*ALONE, *ALONE])
    found = metrics.part_mota([[good, nobody, LAST]])
    # Two people were missed: one miss, and one false alarm of nobody.
    np.testing.assert_allclose(found.mota, 1 - 2 / 2)
    np.testing.assert_allclose(found.precision, 0.5)
    # A picture without people does not count, so it is not the last one, either.
    empty = frame(ALONE, [])
    found = metrics.part_mota([[good, LAST, empty]])
    np.testing.assert_allclose(found.mota, 1)
    square = np.array([[490, -10], [510, -10], [510, 10], [490, 10.0]])
    ignored = frame(ALONE, [person(500, 500)], ignored=[square])
    np.testing.assert_allclose(metrics.part_mota([[good, ignored, LAST]]).recall, 0.5)
    assert np.isnan(metrics.part_mota([[good], [empty, empty]])).all()


def test_a_joint_that_nobody_has_or_found():
    half = [person(0, NAN)]
    found = metrics.part_mota([[frame(ALONE, half), LAST]])
    assert np.isnan(found.mota[1]) and np.isnan(found.recall[1]) and found.motp[1] == 0
    found = metrics.part_mota([[frame(half, ALONE), LAST]])
    assert found.mota[1] == 0 and np.isnan(found.precision[1]) and found.recall[1] == 0
