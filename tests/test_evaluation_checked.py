"""Predictions that are complete and in millimetres are scored; others are refused, or counted."""

from argparse import Namespace
from collections import Counter

import numpy as np
import pytest
from evaluation_kit import P1, Gym

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.evaluation.benchmark import Clip, Setup
from posepile.evaluation.checked import clip_arrays
from posepile.evaluation.forms import keyed


@pytest.fixture
def gym():
    return Gym()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.npz"


def message(error, *parts):
    text = str(error.value)
    assert "\n" not in text and "fetch" not in text and "download" not in text
    for part in parts:
        assert part in text, text
    return text


def shifted(gym):
    """A prediction of which one joint is 30 mm off."""
    coords = gym.stacked()
    coords[:, 2, 0] += 30
    return coords


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("cm", 0.1), ("m", 0.001)])
def test_units_that_are_stated_are_honoured(gym, path, unit, factor):
    coords = shifted(gym) * factor
    for found in (
        gym.evaluate(gym.write(path, coords, units=unit)),
        gym.evaluate(gym.write(path, coords), "--units", unit),
        gym.evaluate(gym.write(path, coords, units=unit), "--units", unit),
    ):
        assert found["figures"]["MPJPE_mm"] == pytest.approx(30 / 4)


def test_units_that_contradict_each_other(gym, path):
    gym.write(path, shifted(gym) / 1000, units="m")
    with pytest.raises(CorruptInput) as error:
        gym.evaluate(path, "--units", "mm")
    message(error, str(path), "states m as its unit", "--units mm")


@pytest.mark.parametrize(
    ("factor", "stated", "says"),
    [
        (0.001, None, "1000 times smaller"),
        (0.1, None, "10 times smaller"),
        (1000, None, "1000 times larger"),
        (10, None, "10 times larger"),
        (1, "m", "1000 times larger"),
        (1, "cm", "10 times larger"),
        (0.001, "mm", "1000 times smaller"),
    ],
)
def test_another_unit_is_suspected_aloud(gym, path, factor, stated, says):
    more = {"units": stated} if stated else {}
    gym.write(path, gym.stacked() * factor, **more)
    with pytest.raises(CorruptInput) as error:
        gym.evaluate(path)
    said = "as it states" if stated else "as is usual"
    hint = f"say that it is: --units {stated}" if stated else "--units m, cm or mm"
    message(error, str(path), "joints of clip0", says, f"{stated or 'mm'}, {said}", hint)


@pytest.mark.parametrize(
    "change",
    [lambda m: 0 * m, lambda m: 2 * m, lambda m: -m, lambda m: m + 0.5, lambda m: m * 1e200],
)
def test_matrices_that_do_not_turn_are_refused(path, change):
    turns = np.tile(np.eye(3), (2, 9, 1, 1)) + 1e-4
    setup = Setup(None, path, P1, Namespace(allow_missing=False, units=None))
    clip = Clip("walk", ["frame 0", "frame 7"], {"orientations": turns})
    pred = keyed(path, clip.keys, {"orientations": turns})
    clip_arrays(setup, clip, pred, Counter(), {})
    turns = turns.copy()
    turns[1, 4] = change(turns[1, 4])
    pred = keyed(path, clip.keys, {"orientations": turns})
    with pytest.raises(CorruptInput) as error:
        clip_arrays(setup, clip, pred, Counter(), {})
    message(error, str(path), "orientations 4 of frame 7 of walk", "expected a rotation")


def test_huge_numbers_do_not_fill_the_message(gym, path):
    gym.write(path, gym.stacked() * 1e150)
    with pytest.raises(CorruptInput) as error:
        gym.evaluate(path)
    assert len(message(error, "1e+150 times larger")) < len(str(path)) + 250


def test_bad_predictions_are_not_suspected(gym, path):
    """Bodies half or four times as large, and poses that hardly move, are just wrong."""
    for coords in (shifted(gym) * 0.3, shifted(gym) * 4):
        assert gym.evaluate(gym.write(path, coords))["figures"]["MPJPE_mm"] > 100


def test_whoever_says_the_unit_is_believed(gym, path):
    gym.write(path, shifted(gym) / 1000)
    assert gym.evaluate(path, "--units", "mm")["figures"]["MPJPE_mm"] > 500


def test_rows_may_be_in_any_order(gym, path):
    coords, keys = shifted(gym), gym.keys
    coords[:, 1, 1] += np.arange(len(coords))  # so that each has its own error
    in_order = gym.evaluate(gym.write(path, coords))
    rows = np.random.default_rng(1).permutation(len(coords))
    gym.write(path, coords[rows], [keys[i] for i in rows])
    found = gym.evaluate(path)
    for result in (in_order, found):
        del result["predictions"]
    assert found == in_order


def test_an_entry_that_is_there_twice(gym, path):
    coords = shifted(gym)
    gym.write(path, np.r_[coords, coords[:1]], [*gym.keys, gym.keys[0]])
    for options in ((), ("--allow-missing",)):
        with pytest.raises(CorruptInput) as error:
            gym.evaluate(path, *options)
        message(error, str(path), "image clip0/0.jpg is there 2 times")


def test_entries_that_are_missing(gym, path):
    coords, keys = shifted(gym), gym.keys
    rows = [i for i in range(len(keys)) if i not in (1, 2, 5)]
    gym.write(path, coords[rows], [keys[i] for i in rows])
    with pytest.raises(WorkError) as error:
        gym.evaluate(path)
    message(error, str(path), "lacks image clip0/1.jpg and 1 more, 2 of 4", "--allow-missing")
    found = gym.evaluate(path, "--allow-missing")
    assert found["left_out"] == {"without a prediction": 3} and found["entries"] == 9
    assert found["figures"]["MPJPE_mm"] == pytest.approx(30 / 4)


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_numbers_that_are_not_finite(gym, path, value, shown):
    coords = shifted(gym)
    coords[5, 3, 1] = coords[6, 0, 0] = value
    gym.write(path, coords)
    with pytest.raises(CorruptInput) as error:
        gym.evaluate(path)
    message(error, f"{path}: joint 3 (rank) of clip1/1.jpg: found {shown}; 2 of 3 entries")
    found = gym.evaluate(path, "--allow-missing")
    assert found["left_out"] == {"a number is not finite": 2} and found["entries"] == 10
    assert found["figures"]["MPJPE_mm"] == pytest.approx(30 / 4)
    assert found["per_clip"]["clip1"]["hits"] == 0.0


def test_what_is_missing_is_not_counted_twice(gym, path):
    coords = shifted(gym)[1:]
    coords[4, 2] = np.nan
    gym.write(path, coords, gym.keys[1:])
    found = gym.evaluate(path, "--allow-missing")
    assert found["left_out"] == {"without a prediction": 1, "a number is not finite": 1}
    coords = shifted(gym)[1:]
    coords[0, 2] = np.nan  # of the clip that lacks one
    gym.write(path, coords, gym.keys[1:])
    found = gym.evaluate(path, "--allow-missing")
    assert found["left_out"] == {"without a prediction": 1, "a number is not finite": 1}
    assert found["entries"] == 10


def test_a_clip_without_any_prediction(gym, path):
    rows = [i for i, key in enumerate(gym.keys) if not key.startswith("clip1")]
    gym.write(path, shifted(gym)[rows], [gym.keys[i] for i in rows])
    found = gym.evaluate(path, "--allow-missing")
    assert found["clips"] == 2 and list(found["per_clip"]) == ["clip0", "clip2"]
    assert found["left_out"] == {"without a prediction": 3}


def test_other_names_are_shown(gym, path):
    gym.write(path, shifted(gym), [f"raw/{key}" for key in gym.keys])
    with pytest.raises(WorkError) as error:
        gym.evaluate(path)
    message(error, "4 of 4 of clip0 that are evaluated (the first that is predicted: raw/clip0/")


def test_no_prediction_at_all(gym, path):
    gym.write(path, np.zeros((0, 4, 3)), [])
    with pytest.raises(WorkError) as error:
        gym.evaluate(path)
    message(error, "lacks image clip0/0.jpg and 3 more, 4 of 4")
    with pytest.raises(WorkError) as error:
        gym.evaluate(path, "--allow-missing")
    message(error, f"{path}: nothing to evaluate; left out, without a prediction: 12")


def test_predictions_of_nothing_that_is_evaluated_are_listed(gym, path):
    coords = shifted(gym)
    unknown = [f"elsewhere/{i:02}.jpg" for i in range(12)]
    gym.write(path, np.r_[coords, coords], [*gym.keys, *unknown])
    found = gym.evaluate(path)
    assert found["not_evaluated"] == {"number": 12, "first": unknown[:10]}
    assert found["figures"]["MPJPE_mm"] == pytest.approx(30 / 4)


def test_no_truth_at_all(path):
    gym = Gym(sizes=())
    with pytest.raises(WorkError, match=r"raw: no truth to evaluate gym\.p1 with"):
        gym.evaluate(gym.write(path, np.zeros((1, 4, 3)), ["a"]))


def test_people_that_are_not_found_are_no_error(path):
    """Where misses are part of the protocol, what lacks a prediction is NaN, and is scored."""
    gym = Gym(P1.variant("gym.people", misses_count=True))
    gym.write(path, shifted(gym)[1:], gym.keys[1:])
    found = gym.evaluate(path)
    assert found["entries"] == 12 and found["left_out"] == {}
    assert found["figures"]["MPJPE_mm"] == np.inf  # as joint_errors has it
    coords = shifted(gym)[1:]
    coords[3, 1] = np.nan
    gym.write(path, coords, gym.keys[1:])
    with pytest.raises(CorruptInput) as error:
        gym.evaluate(path)
    message(error, "joint 1 (head) of clip1/0.jpg: found nan", "leave out people")


def test_an_unknown_protocol(gym, path):
    with pytest.raises(
        UsageError, match=r"--protocol p3: gym has no such protocol; it has gym\.p1"
    ):
        gym.evaluate(gym.write(path), "--protocol", "p3")


def test_arrays_without_names_for_their_numbers(path):
    """What is not of joints is named by its place in the array."""
    gym, rotations = Gym(), np.zeros((1, 2, 3, 3))
    rotations[0, 1, 2, 0] = np.nan
    pred = keyed(path, ["a"], {"rotations": rotations})
    args = Namespace(allow_missing=False, units=None)
    setup = Setup(path.parent, path, P1, args)
    with pytest.raises(CorruptInput) as error:
        clip_arrays(setup, Clip("c", ["a"], {}), pred, {}, {})
    message(error, "rotations 1, 2, 0 of a: found nan; 1 of 1 entries of c")
    assert gym.benchmark.protocol("p1") is P1
