"""The reference evaluators of ASPset and Ego-Exo4D give the values that are stated."""

import numpy as np
import pytest
from references import aspset, egoexo4d


def poses(rng, n, n_joints=17, spread=300.0):
    """Random poses, in float32."""
    return rng.normal(0, spread, (n, n_joints, 3)).astype(np.float32)


def test_aspset_of_the_truth_moved_by_ten_millimetres():
    true = {"1e28-0001-left": poses(np.random.default_rng(0), 5)}
    guess = {key: value + np.float32([0, 10, 0]) for key, value in true.items()}
    figures = aspset.scores(true, guess, "aspset.official")
    expected = {"MPJPE_mm": 10, "Root-relative MPJPE_mm": 0}
    expected |= {"Procrustes-aligned MPJPE_mm": 0}
    expected |= {"PCK": 1, "Root-relative PCK": 1, "Procrustes-aligned PCK": 1}
    assert figures == pytest.approx(expected, abs=1e-4)


def test_aspset_counts_the_pelvis_and_all_up_to_the_threshold():
    true = {"a": np.zeros((1, 17, 3), np.float32)}
    guess = {"a": np.zeros((1, 17, 3), np.float32)}
    guess["a"][0, 0], guess["a"][0, 1] = [150, 0, 0], [150.1, 0, 0]
    figures = aspset.scores(true, guess, "aspset.official")
    assert figures["PCK"] == pytest.approx(16 / 17)
    assert figures["MPJPE_mm"] == pytest.approx(300.1 / 17)


def test_aspset_scales_by_the_plain_sum_of_singular_values_even_of_a_mirror():
    fixed = poses(np.random.default_rng(0), 1)[0].astype(float)
    mirrored = fixed * [-1, 1, 1]
    moved = aspset.procrustes(mirrored, fixed)
    spread = [np.linalg.norm(points - points.mean(axis=0)) for points in (moved, fixed)]
    assert spread[0] > 1.001 * aspset.distances(fixed, fixed.mean(axis=0)).min()
    turned = aspset.procrustes(2 * fixed[:, [1, 2, 0]] + 7, fixed)
    np.testing.assert_allclose(turned, fixed, atol=1e-9)


def test_universal_height_is_that_of_the_left_leg_and_the_spine():
    pose = np.zeros((17, 3))
    pose[[7, 8, 15, 14]] = [[0, 700, 0], [0, 300, 0], [0, -200, 0], [0, -500, 0]]
    assert aspset.height(pose) == pytest.approx(400 + 200 + 300)


def body(rng, frames):
    """Truth of one take."""
    return {("take", frame): rng.normal(size=(17, 3)) for frame in frames}


def seen_by(joints):
    """Truth with glasses that stay where the world begins."""
    return {key: (value, np.eye(4)[:3]) for key, value in joints.items()}


@pytest.mark.parametrize("protocol", ["body", "body-pooled", "body-corrected"])
def test_a_constant_shift_has_no_velocity(protocol):
    true = body(np.random.default_rng(0), range(0, 120, 3))
    guess = {key: value + np.array([0, 0.3, 0.4]) for key, value in true.items()}
    figures = egoexo4d.scores(seen_by(true), guess, f"egoexo4d.{protocol}")
    assert figures == pytest.approx({"MPJPE_cm": 50, "MPJVE_m_per_s": 0}, abs=1e-9)


def test_body_means_takes_first_and_the_pooled_protocol_does_not():
    rng = np.random.default_rng(0)
    true = body(rng, range(0, 120, 3)) | {("b", f): np.zeros((17, 3)) for f in range(0, 240, 3)}
    guess = {
        key: value + np.array([0.01 if key[0] == "take" else 0.04, 0, 0])
        for key, value in true.items()
    }
    assert egoexo4d.scores(seen_by(true), guess, "egoexo4d.body")["MPJPE_cm"] == pytest.approx(2.5)
    pooled = egoexo4d.scores(seen_by(true), guess, "egoexo4d.body-pooled")
    assert pooled["MPJPE_cm"] == pytest.approx(3)


def test_velocity_across_gaps_and_across_frames_without_labels():
    still = np.zeros((17, 3))
    true = {("t", 0): still, ("t", 3): still, ("t", 6): np.full((17, 3), np.nan), ("t", 9): still}
    true |= {("t", 30): still}
    guess = {("t", f): still + np.array([0.01 * i, 0, 0]) for i, f in enumerate((0, 3, 6, 9, 30))}
    # From 0 to 3 and from 9 to 30 the joints move by 1 cm in what counts as a tenth of a second.
    official = egoexo4d.scores(seen_by(true), guess, "egoexo4d.body")
    assert official["MPJVE_m_per_s"] == pytest.approx(0.1)
    guess["t", 30] = still + np.array([1, 0, 0])
    assert egoexo4d.scores(seen_by(true), guess, "egoexo4d.body")["MPJVE_m_per_s"] > 4
    corrected = egoexo4d.scores(seen_by(true), guess, "egoexo4d.body-corrected")
    assert corrected["MPJVE_m_per_s"] == pytest.approx(0.1)


def test_short_clips_do_not_count_in_the_pooled_protocol():
    long, short = list(range(0, 120, 3)), list(range(200, 317, 3))
    assert egoexo4d.long_clips(long) == long and egoexo4d.long_clips(long[1:]) == []
    assert egoexo4d.long_clips(long + short) == long


def test_hands_are_aligned_with_their_valid_joints():
    rng = np.random.default_rng(0)
    joints, valid = rng.normal(0, 0.05, (21, 3)), np.arange(21) < 12
    true = {("take", 3, "left"): (joints, valid)}
    guess = 2 * joints[:, [2, 0, 1]] + 1
    guess[12:] = 77
    figures = egoexo4d.scores(true, {("take", 3, "left"): guess}, "egoexo4d.hand")
    assert figures["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-9) and figures["MPJPE_mm"] > 1000
    near = {("take", 3, "left"): joints + np.array([0, 0, 0.005])}
    assert egoexo4d.scores(true, near, "egoexo4d.hand")["MPJPE_mm"] == pytest.approx(5)
