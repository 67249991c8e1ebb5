"""The comparison with references notices what it is there for."""

import math
from pathlib import Path

import numpy as np
import pytest
from protocols_kit import Outcome, Row, check_equal, check_refused, pose_attacks
from references import h36m

ROW, PRED = Row("h36m.p1", h36m), Path("folder/p.npz")
SAID = "folder/p.npz: joint 3 of S9/Images/a.jpg: found nan"


def test_a_figure_that_differs_is_noticed():
    found = Outcome(0, {"MPJPE_mm": 50.0, "AUC": None}, "", "")
    check_equal(ROW, found, {"MPJPE_mm": 50 * (1 + 5e-7), "AUC": math.nan})
    for expected in ({"MPJPE_mm": 50.0001}, {"MPJPE_mm": math.nan}, {"AUC": 0.0}, {"MVE_mm": 1.0}):
        with pytest.raises(AssertionError):
            check_equal(ROW, found, expected)
    with pytest.raises(AssertionError):
        check_equal(ROW, Outcome(1, {}, "", SAID), {})


def test_a_refusal_that_does_not_say_enough_is_noticed():
    named = (("a.jpg", "TS1"), "joint 3")
    check_refused(ROW, Outcome(1, {}, "", SAID + "\n"), PRED, named)
    for code, said in (
        (0, SAID),
        (2, SAID),
        (1, ""),
        (1, SAID.replace("p.npz", "q.npz")),
        (1, SAID.replace("a.jpg", "b.jpg")),
        (1, SAID.replace("joint 3", "joint 4")),
        (1, f"Traceback\n{SAID}"),
        (1, f"{SAID}; download it again"),
    ):
        with pytest.raises(AssertionError):
            check_refused(ROW, Outcome(code, {}, "", said), PRED, named)


def test_attacks_do_what_they_are_called():
    poses = {f"a/{i}.jpg": np.full((17, 3), float(i)) for i in range(4)}
    rng, attacks = np.random.default_rng(0), pose_attacks(h36m.SWAPPED)
    found = {name: attack.change(poses, rng) for name, attack in attacks.items()}
    assert sum(np.isnan(pose).sum() for pose in found["nan"].poses.values()) == 1
    assert len(found["missing"].poses) == 3 and len(found["single"].poses) == 1
    assert len(found["doubled"].poses) == 5 and found["empty"].poses == {}
    keys = [key for key, _ in found["shuffled"].poses]
    assert keys != list(poses) and sorted(keys) == list(poses)
    assert found["exchanged"].poses["a/0.jpg"][0, 0] == 3
    assert found["times_1000"].poses["a/2.jpg"][0, 0] == 2000
    assert found["mirrored"].poses["a/2.jpg"][0].tolist() == [-2, 2, 2]
    assert not any(np.isnan(pose).any() for pose in poses.values())
    assert [h36m.SWAPPED[j] for j in h36m.SWAPPED] == list(range(17))
