"""Motion, orientation, trajectories against plain loops, scipy and values by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_kit import INF, NAN, known, length, loop_errors, loop_similarity, make_poses, mean
from scipy.spatial.transform import Rotation

from posepile import metrics

seeds = st.integers(0, 2**32 - 1)

# Motion


@given(seeds, st.sampled_from([1, 2, 3]), st.booleans(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_differences_equal_plain_loops(seed, order, gaps, max_step):
    rng, pred, true, valid = make_poses(seed, n=14, n_joints=3, missing=0.05, lost=0.05)
    frames = np.cumsum(rng.integers(1, 4, 14))
    frames[5:] -= 4  # may stand still or run backwards, for sure where a new clip begins
    frames[9:] -= 8
    clips = ["a"] * 9 + ["b"] * 5
    facts = {"fps": 30.0}
    if gaps:
        facts |= {"frames": frames, "max_step": max_step, "clips": clips}
    weights = {1: (-1, 1), 2: (1, -2, 1), 3: (-1, 3, -3, 1)}[order]
    expected = np.full((14 - order, 3), NAN)
    for k in range(14 - order):
        rows = range(k, k + order + 1)
        steps = [frames[b] - frames[a] for a, b in itertools.pairwise(rows)]
        if gaps and (
            len({clips[i] for i in rows}) > 1 or not all(0 < s <= max_step for s in steps)
        ):
            continue
        for j in range(3):
            if not all(valid[i, j] for i in rows):
                continue
            p = sum(w * pred[i, j] for w, i in zip(weights, rows, strict=True))
            t = sum(w * true[i, j] for w, i in zip(weights, rows, strict=True))
            if order == 3:
                expected[k, j] = length(p) * 30**3 if known(p) else NAN
            elif known(t):
                expected[k, j] = length(p - t) * 30**order if known(p) else INF
    if order == 3:
        values = metrics.jitter_values(pred, valid, **facts)
        scalar = metrics.mean_jitter(pred, valid, **facts)
    elif order == 2:
        values = metrics.acceleration_errors(pred, true, valid, **facts)
        scalar = metrics.mean_acceleration_error(pred, true, valid, **facts)
    else:
        values = metrics.velocity_errors(pred, true, valid, **facts)
        scalar = metrics.mpjve(pred, true, valid, **facts)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(scalar, mean(expected.ravel()), rtol=1e-9)


@pytest.mark.parametrize("n", range(4))
def test_too_few_entries_have_no_motion(n):
    poses = np.zeros((n, 2, 3))
    assert metrics.jitter_values(poses, np.ones((n, 2), bool), frames=range(n)).shape == (0, 2)
    assert metrics.acceleration_errors(poses, poses, clips="a" * n).shape == (max(n - 2, 0), 2)
    assert np.isnan(metrics.mean_jitter(poses))
    with pytest.raises(ValueError, match=rf"5 frames, {n} entries"):
        metrics.mpjve(poses, poses, frames=range(5))


# Orientation


@given(seeds, st.sampled_from([0.0, 1e-7, 0.01, 1.0, 3.0, math.pi - 1e-7]))
@settings(max_examples=40, deadline=None)
def test_angles_equal_those_of_scipy(seed, angle):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=(4, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    true = Rotation.random(4, random_state=seed % 2**31)
    pred = true * Rotation.from_rotvec(angle * axis)
    matrices = pred.as_matrix()[None], true.as_matrix()[None]
    found = metrics.orientation_errors_deg(*matrices)
    np.testing.assert_allclose(found, math.degrees(angle), rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(metrics.mpjae_deg(*matrices), math.degrees(angle), atol=1e-7)
    # Both turned by the same, and turned back.
    turn = Rotation.random(random_state=1)
    turned = (turn.inv() * pred).as_matrix()[None]
    found = metrics.orientation_errors_deg(turned, matrices[1], turn=turn.as_matrix()[None])
    np.testing.assert_allclose(found, math.degrees(angle), rtol=1e-9, atol=1e-6)


def test_angles_of_what_is_missing():
    pred, true = np.tile(np.eye(3), (2, 4, 1, 1)), np.tile(np.eye(3), (2, 4, 1, 1))
    true[0, 0], pred[0, 1], valid = NAN, NAN, np.ones((2, 4), bool)
    valid[1, :3] = False
    expected = [[NAN, INF, 0, 0], [NAN, NAN, NAN, 0]]
    np.testing.assert_array_equal(metrics.orientation_errors_deg(pred, true, valid), expected)
    assert metrics.mpjae_deg(pred[1], true[1], valid[1]) == 0
    with pytest.raises(ValueError, match="shape"):
        metrics.orientation_errors_deg(pred, true[:1])


# Motion through the world


@given(seeds, st.integers(1, 12), st.sampled_from([None, 1, 2]))
@settings(max_examples=40, deadline=None)
def test_chunks_equal_plain_loops(seed, chunk, fit_frames):
    _, pred, true, valid = make_poses(seed, n=10, n_joints=4, lost=0.05)
    expected = np.full((10, 4), NAN)
    for start in range(0, 10, chunk):
        stop = min(start + chunk, 10)
        basis = [
            (i, j)
            for i in range(start, min(stop, start + (fit_frames or chunk)))
            for j in range(4)
            if valid[i, j] and known(true[i, j]) and known(pred[i, j])
        ]
        expected[start:stop] = loop_errors(
            np.full((stop - start, 4, 3), NAN), true[start:stop], valid[start:stop]
        )
        if len(basis) < 3:
            continue
        points = [np.array([x[i, j] for i, j in basis]) for x in (pred, true)]
        s, r, t = loop_similarity(*points)
        moved = s * pred[start:stop] @ r.T + t
        expected[start:stop] = loop_errors(moved, true[start:stop], valid[start:stop])
    found = metrics.chunk_errors(pred, true, valid, chunk=chunk, fit_frames=fit_frames)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-8)
    named = {None: metrics.wa_errors, 2: metrics.w_errors}.get(fit_frames)
    if named:
        np.testing.assert_array_equal(named(pred, true, valid, chunk=chunk), found)


def test_paths_and_feet_by_hand():
    true = np.array([[0.0, 0, 0], [3, 4, 0], [3, 4, 5], [0, 0, 5]])  # 15 long
    turn = Rotation.from_euler("xyz", [1, 2, 3]).as_matrix()
    np.testing.assert_allclose(metrics.rte_percent(true @ turn.T + 7, true), 0, atol=1e-12)
    # Twice as long, so no rigid motion is right: about the centre, half of the distance to it.
    distance = np.linalg.norm(true - true.mean(0), axis=1)
    np.testing.assert_allclose(metrics.rte_percent(2 * true @ turn.T, true), 100 * distance / 15)
    assert not np.isfinite(metrics.rte_percent(true[:1], true[:1])).any()

    true = np.zeros((4, 2, 3))
    true[2:, 0, 0] = 10.0  # the first point moves once, by exactly the threshold
    pred = np.zeros((4, 2, 3))
    pred[:, :, 1] = [[0, 0], [1, 2], [3, 4], [3, NAN]]
    found = metrics.foot_sliding(pred, true, 10)
    np.testing.assert_array_equal(found, [[1, 2], [NAN, 2], [0, INF]])
