"""Aligned errors, shares and areas against plain loops and values computed by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_kit import INF, NAN, known, length, loop_errors, loop_similarity, make_poses, mean
from scipy.spatial.transform import Rotation

from posepile import metrics
from posepile.metrics import planes
from posepile.metrics.rotation_fit import fit_rotation

seeds = st.integers(0, 2**32 - 1)

# Alignments of poses


@given(seeds, st.sampled_from(["rigid", "similarity"]), st.sampled_from(["counted", "all"]))
@settings(max_examples=60, deadline=None)
def test_aligned_errors_equal_plain_loops(seed, alignment, fit):
    _, pred, true, valid = make_poses(seed, lost=0.1)
    expected = np.full(true.shape[:2], NAN)
    for i, (p, t) in enumerate(zip(pred, true, strict=True)):
        counted = [j for j in range(7) if valid[i, j] and known(t[j])]
        if len(counted) < 3:
            continue
        basis = [
            j for j in (counted if fit == "counted" else range(7)) if known(p[j]) and known(t[j])
        ]
        expected[i, counted] = INF
        if len(basis) < 3:
            continue
        s, r, shift = loop_similarity(p[basis], t[basis], alignment == "similarity")
        for j in counted:
            if known(p[j]):
                expected[i, j] = length(s * r @ p[j] + shift - t[j])
    found = metrics.pose_errors(pred, true, valid, alignment=alignment, fit=fit)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    scalar = metrics.pa_mpjpe(pred, true, valid, scale=alignment == "similarity", fit=fit)
    np.testing.assert_allclose(scalar, mean(expected.ravel()), rtol=1e-9)


@given(seeds, st.sampled_from([None, 2, (1, 4)]))
@settings(max_examples=40, deadline=None)
def test_scaled_and_root_relative_errors_equal_plain_loops(seed, root):
    _, pred, true, valid = make_poses(seed, lost=0.1)
    plain, scaled = np.full(true.shape[:2], NAN), np.full(true.shape[:2], NAN)
    for i in range(len(true)):
        p, t = pred[i].copy(), true[i].copy()
        if root is not None:
            joints = [root] if isinstance(root, int) else list(root)
            p, t = (x - sum(x[j] for j in joints) / len(joints) for x in (p, t))
        plain[i] = loop_errors(p[None], t[None], valid[i][None])[0]
        basis = [j for j in range(7) if valid[i, j] and known(p[j]) and known(t[j])]
        if basis:
            above = sum(float(p[j] @ t[j]) for j in basis)
            below = sum(float(p[j] @ p[j]) for j in basis)  # 0 where only the root is known
            p *= above / below if below else 1.0
        scaled[i] = loop_errors(p[None], t[None], valid[i][None])[0]
    found = metrics.pose_errors(pred, true, valid, root=root)
    np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(metrics.mpjpe(pred, true, valid, root=root), mean(plain.ravel()))
    found = metrics.pose_errors(pred, true, valid, root=root, alignment="scale")
    np.testing.assert_allclose(found, scaled, rtol=1e-9, atol=1e-9)
    found = metrics.n_mpjpe(pred, true, valid, root=root)
    np.testing.assert_allclose(found, mean(scaled.ravel()))


def test_scale_by_hand():
    true = np.array([[[2.0, 0, 0], [0, 4, 0]]])
    assert metrics.scale_factor(true / 2, true).tolist() == [2]
    assert metrics.scale_factor(-true, true).tolist() == [-1]
    assert metrics.scale_factor(0 * true, true).tolist() == [1]
    assert metrics.scale_factor(1e-200 * true, true).tolist() == [pytest.approx(1e200)]
    assert np.isnan(metrics.scale_factor(np.full((1, 2, 3), NAN), true)).all()
    assert metrics.n_mpjpe(true / 2, true) == 0
    with pytest.raises(ValueError, match="alignment is 'scaled'"):
        metrics.pose_errors(true, true, alignment="scaled")


@pytest.mark.parametrize("kind", ["collinear", "coplanar", "mirrored", "equal", "tiny", "far"])
@given(seeds)
@settings(max_examples=15, deadline=None)
def test_degenerate_poses_are_aligned_as_well_as_possible(kind, seed):
    """Against the formula in the test, by what does not depend on an undetermined rotation."""
    _, pred, true, _ = make_poses(seed, missing=0)
    if kind == "collinear":
        pred = pred[:, :1] + np.linspace(0, 1, 7)[:, None] * (pred[:, 1:2] - pred[:, :1])
    elif kind == "coplanar":
        pred = pred * [1, 1, 0]
    elif kind == "mirrored":
        pred = true * [-1, 1, 1]
    elif kind == "equal":
        pred = np.repeat(pred[:, :1], 7, axis=1)
    elif kind == "tiny":
        pred = 1e-6 * pred
    else:
        pred, true = pred + 1e6, true - 1e6
    s, rotation, shift = metrics.similarity_transform(pred, true)
    moved = metrics.transform_points(pred, s, rotation, shift)
    np.testing.assert_allclose(rotation @ np.swapaxes(rotation, 1, 2), [np.eye(3)] * 6, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, rtol=1e-9)
    for i in range(6):
        spread = ((pred[i] - pred[i].mean(0)) ** 2).sum()
        if spread < 1e-9 * (pred[i] ** 2).sum() * 1e-9:
            np.testing.assert_allclose(moved[i], np.tile(true[i].mean(0), (7, 1)), atol=1e-6)
            continue
        best, r, t = loop_similarity(pred[i], true[i])
        cost = ((best * pred[i] @ r.T + t - true[i]) ** 2).sum()
        np.testing.assert_allclose(((moved[i] - true[i]) ** 2).sum(), cost, rtol=1e-9)
        np.testing.assert_allclose(s[i], best, rtol=1e-9)


# Shares and areas


@given(seeds, st.booleans(), st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_shares_equal_plain_loops(seed, strict, threshold):
    _, pred, true, valid = make_poses(seed, lost=0.1)
    pred, true = np.round(pred), np.round(true)  # distances that lie on thresholds
    pred[..., 1:] = true[..., 1:]
    errors = metrics.joint_errors(pred, true, valid)
    below = (lambda e, t: e < t) if strict else (lambda e, t: e <= t)
    counted = [e for e in errors.ravel() if not math.isnan(e)]
    np.testing.assert_allclose(
        metrics.pck(pred, true, threshold, valid, strict=strict),
        mean(float(below(e, threshold)) for e in counted),
    )
    steps = [5.0 * k for k in range(31)]
    for zero in (True, False):
        thresholds = steps[0 if zero else 1 :]
        shares = [mean(float(below(e, t)) for e in counted) for t in thresholds]
        found = metrics.auc(pred, true, valid=valid, strict=strict, zero=zero)
        np.testing.assert_allclose(found, mean(shares))
        values = metrics.mean_hits(errors, thresholds, strict=strict)
        np.testing.assert_allclose(metrics.mean_value(values), mean(shares))
    thresholds = list(range(200))
    shares = [mean(float(below(e, t)) for e in counted) for t in thresholds]
    area = sum((a + b) / 2 for a, b in itertools.pairwise(shares)) / 199
    values = metrics.trapezoid_hits(errors, thresholds, strict=strict)
    np.testing.assert_allclose(metrics.mean_value(values), area)


@given(st.lists(st.floats(0, 400) | st.sampled_from([0.0, 150.0, 199.0, 200.0, INF]), min_size=1))
@settings(max_examples=100, deadline=None)
def test_closed_forms_equal_explicit_ones(errors):
    errors = np.minimum(errors, 1e6)  # far beyond all thresholds
    for maximum, steps in ((150, 30), (200, 50)):
        on_threshold = np.abs(errors * steps / maximum % 1 - 0.5) > 0.5 - 1e-12
        explicit = metrics.mean_hits(errors, np.arange(steps + 1) * (maximum / steps), strict=True)
        closed = metrics.area_3dhp(errors, maximum, steps)
        sure = ~on_threshold | (errors > 2 * maximum)
        np.testing.assert_allclose(closed[sure], explicit[sure], atol=1e-12)
    assert metrics.area_3dhp([INF]) == metrics.area_in_bins([INF]) == [0]
    # The area under the line is the limit of ever more thresholds and of the trapezoids.
    fine = np.linspace(0, 150, 20001)
    np.testing.assert_allclose(
        metrics.area_under_line(errors, 150), metrics.trapezoid_hits(errors, fine), atol=1e-4
    )
    found = metrics.area_in_bins(errors, 199, 50)
    middle = (np.floor(errors / (199 / 50)) + 0.5) * (199 / 50)
    inside = np.abs(errors / (199 / 50) % 1 - 0.5) < 0.5 - 1e-9
    np.testing.assert_allclose(
        found[inside], metrics.area_under_line(middle, 199)[inside], atol=1e-9
    )


def test_shares_by_hand():
    errors = np.array([0.0, 5.0, 149.0, 150.0, INF, NAN])
    np.testing.assert_array_equal(metrics.hits(errors, 150), [1, 1, 1, 1, 0, NAN])
    np.testing.assert_array_equal(metrics.hits(errors, 150, strict=True), [1, 1, 1, 0, 0, NAN])
    official = metrics.mean_hits(errors, np.arange(31) * 5, strict=True)
    np.testing.assert_allclose(official, [30 / 31, 29 / 31, 1 / 31, 0, 0, NAN])
    np.testing.assert_allclose(metrics.area_3dhp(errors)[[0, 1, 2, 3, 4]], official[:5])
    np.testing.assert_allclose(
        metrics.mean_hits(errors, [0, 5, 150]), [1, 2 / 3, *[1 / 3] * 2, 0, NAN]
    )
    challenge = metrics.trapezoid_hits(np.array([0, 0.5, 198, 198.5, 199, 200.0]), range(200))
    np.testing.assert_allclose(challenge * 199, [199, 198.5, 1.5, 0.5, 0.5, 0])
    np.testing.assert_allclose(metrics.area_in_bins([0, 3.98, 500]), [0.99, 0.97, 0])
    np.testing.assert_allclose(metrics.area_under_line([0, 75, 300], 150), [1, 0.5, 0])
    worst = metrics.worst_errors([[1, 5, NAN], [NAN, NAN, NAN], [2, INF, 1]])
    np.testing.assert_array_equal(worst, [5, NAN, INF])


@given(seeds, st.floats(20, 200), st.booleans())
@settings(max_examples=40, deadline=None)
def test_pose_scores_equal_plain_loops(seed, threshold, scale):
    _, pred, true, valid = make_poses(seed, lost=0.05)
    alignment = "similarity" if scale else "rigid"
    errors = metrics.pose_errors(pred, true, valid, alignment=alignment)
    worst = [max((e for e in row if not math.isnan(e)), default=NAN) for row in errors.tolist()]
    shares = [NAN if math.isnan(w) else float(w <= threshold) for w in worst]
    found = metrics.cps(pred, true, threshold, valid, scale=scale)
    np.testing.assert_allclose(found, mean(shares))
    areas = [NAN if math.isnan(w) else max(0, 1 - w / 300) for w in worst]
    found = metrics.cps_auc(pred, true, 300, valid, scale=scale)
    np.testing.assert_allclose(found, mean(areas))


@given(seeds, st.floats(-1, 1), st.floats(-6, 0))
@settings(max_examples=60, deadline=None)
def test_closed_form_of_rotations_equals_singular_values(seed, third, exponent):
    """Over all shapes of poses: flat, thin, mirrored; undetermined ones give the same trace."""
    second = 10**exponent
    left, right = (Rotation.random(20, random_state=(seed + k) % 2**31) for k in (0, 1))
    singular = np.array([1, second, third * second])
    size = 10.0 ** np.random.default_rng(seed).integers(-90, 90, 20)
    product = left.as_matrix() * singular @ right.as_matrix() * size[:, None, None]
    rotation, trace = fit_rotation(np.moveaxis(product, 0, -1))
    np.testing.assert_allclose(trace, singular.sum() * size, rtol=1e-9)
    np.testing.assert_allclose(np.einsum("den,nde->n", rotation, product), trace, rtol=1e-9)
    np.testing.assert_allclose(
        np.einsum("den,dfn->nef", rotation, rotation), [np.eye(3)] * 20, atol=1e-11
    )
    if (1 + third) * second > 0.02:  # well determined: the very rotation
        expected = np.moveaxis((left * right).as_matrix(), 0, -1)
        np.testing.assert_allclose(rotation, expected, atol=1e-11)
    _, plain = fit_rotation(np.moveaxis(product, 0, -1), plain=True)
    np.testing.assert_allclose(plain, np.abs(singular).sum() * size, rtol=1e-9)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_pose_has_the_same_figures_in_any_company(seed):
    """Batches, their memory layout (many poses, or one of many points) and neighbours."""
    _, pred, true, valid = make_poses(seed, n=40, lost=0.05)
    pred[7:20] *= [1, 1, 1e-3]
    for alignment in ("none", "scale", "rigid", "similarity"):
        facts = {"alignment": alignment, "root": 1}
        together = metrics.pose_errors(pred, true, valid, **facts)
        for rows in (slice(0, 20), slice(20, 40), slice(5, 6)):
            alone = metrics.pose_errors(pred[rows], true[rows], valid[rows], **facts)
            np.testing.assert_allclose(alone, together[rows], rtol=1e-12, atol=1e-9)
        before = planes.BATCH_NUMBERS
        try:
            planes.BATCH_NUMBERS = 100
            cut = metrics.pose_errors(pred, true, valid, **facts)
            scalar = metrics.n_mpjpe(pred, true, valid), metrics.cps(pred, true, 60, valid)
            moving = metrics.mean_jitter(pred), metrics.mpjve(pred, true, valid, max_step=3)
        finally:
            planes.BATCH_NUMBERS = before
        np.testing.assert_allclose(cut, together, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(metrics.n_mpjpe(pred, true, valid), scalar[0])
        assert metrics.cps(pred, true, 60, valid) == scalar[1]
        np.testing.assert_allclose(metrics.mean_jitter(pred), moving[0])
        np.testing.assert_allclose(metrics.mpjve(pred, true, valid), moving[1])


def test_extreme_coordinates():
    true = np.zeros((2, 4, 3))
    true[:, 1:] = [[1, -2, 2], [-3, 0, 4], [0, 1, 0]]
    for size in (1e-140, 1e160, 1e300):
        errors = metrics.pose_errors(2 * size * true, size * true)
        np.testing.assert_allclose(errors, size * np.linalg.norm(true, axis=-1), rtol=1e-12)
        assert metrics.n_mpjpe(2 * size * true, size * true) <= 1e-12 * size
    for size in (1e-150, 1e150):
        assert metrics.pa_mpjpe(2 * size * true, size * true) <= 1e-12 * size
    pred = true.copy()
    pred[0, 0] = INF
    assert metrics.joint_errors(pred, true)[0, 0] == INF


def test_inputs_stay_as_they_are():
    _, pred, true, valid = make_poses(0)
    before = pred.copy(), true.copy(), valid.copy()
    for rows in (slice(None), slice(0, 1)):
        p, t, v = pred[rows], true[rows], valid[rows]
        for alignment in ("none", "scale", "rigid", "similarity"):
            metrics.pose_errors(p, t, v, root=0, alignment=alignment)
        metrics.cps(p, t, 3, v)
        metrics.worst_errors(metrics.joint_errors(p, t, v))
    for now, then in zip((pred, true, valid), before, strict=True):
        np.testing.assert_array_equal(now, then)
