"""Metrics against plain loops, scipy and invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from posepile import metrics

seeds = st.integers(0, 2**32 - 1)


def make_poses(seed, n=4, n_joints=7, missing=0.2):
    rng = np.random.default_rng(seed)
    true = rng.normal(scale=300, size=(n, n_joints, 3)) + rng.normal(scale=2000, size=3)
    pred = true + rng.normal(scale=80, size=true.shape)
    true[rng.random(true.shape[:2]) < missing] = np.nan
    valid = rng.random(true.shape[:2]) > missing
    return rng, pred, true, valid


def loop_errors(pred, true, valid):
    """Per pose: the list of errors of its counted joints."""
    result = []
    for p, t, v in zip(pred, true, valid, strict=True):
        result.append([])
        for j in range(len(p)):
            if v[j] and not np.isnan(t[j]).any():
                e = sum((a - b) ** 2 for a, b in zip(p[j], t[j], strict=True)) ** 0.5
                result[-1].append(float("inf") if np.isnan(e) else e)
    return result


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


@given(seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_errors_equal_plain_loops(seed, missing_prediction):
    rng, pred, true, valid = make_poses(seed)
    if missing_prediction:
        pred[rng.integers(4), rng.integers(7), rng.integers(3)] = np.nan
    expected = loop_errors(pred, true, valid)
    pooled = [e for pose in expected for e in pose]
    np.testing.assert_allclose(metrics.mpjpe(pred, true, valid), mean(pooled))
    per_pose = mean(mean(pose) for pose in expected if pose)
    np.testing.assert_allclose(metrics.mpjpe(pred, true, valid, average="pose"), per_pose)
    hits = mean(e <= 130 for e in pooled)
    np.testing.assert_allclose(metrics.pck(pred, true, 130, valid), hits)
    curve = mean(mean(e <= t for e in pooled) for t in np.linspace(0, 150, 31))
    np.testing.assert_allclose(metrics.auc(pred, true, valid=valid), curve)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_velocity_error_equals_plain_loop(seed):
    _, pred, true, valid = make_poses(seed, n=6)
    values = []
    for k in range(5):
        for j in range(7):
            if valid[k, j] and valid[k + 1, j] and np.isfinite(true[k : k + 2, j]).all():
                dp, dt = pred[k + 1, j] - pred[k, j], true[k + 1, j] - true[k, j]
                values.append(10 * np.sqrt(np.sum((dp - dt) ** 2)))
    np.testing.assert_allclose(metrics.mpjve(pred, true, valid, fps=10), mean(values))


def test_known_values():
    # Figures of the ASPset toolkit's own test.
    pred = np.array([[[1, 1, 1], [0, 0, 2]]], float)
    true = np.array([[[1, 1, 1], [3, 4, 2]]], float)
    assert metrics.mpjpe(pred, true) == 2.5
    assert metrics.pck(pred, true, 4) == 0.5
    assert metrics.pck(pred, true, 5) == 1.0  # the threshold itself is a hit
    assert metrics.auc(pred, true, 5, steps=2) == 0.75


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_alignment_equals_scipy(seed):
    """scipy allows reflections, so only poses where none is needed are comparable."""
    _, pred, true, _ = make_poses(seed, missing=0)
    aligned = metrics.align(pred, true)
    for p, t, a in zip(pred, true, aligned, strict=True):
        rotation, _ = Rotation.align_vectors(t - t.mean(0), p - p.mean(0))
        _, r, _ = metrics.similarity_transform(p, t)
        np.testing.assert_allclose(r, rotation.as_matrix(), atol=1e-6)
        if np.linalg.det(orthogonal_procrustes(p - p.mean(0), t - t.mean(0))[0]) < 0:
            continue
        norm = np.linalg.norm(t - t.mean(0))
        disparity = np.sum((a - t) ** 2) / norm**2
        np.testing.assert_allclose(disparity, scipy_procrustes(t, p)[2], atol=1e-9)


@given(seeds, st.floats(0.01, 100), st.booleans())
@settings(max_examples=40, deadline=None)
def test_alignment_undoes_any_similarity(seed, scale, use_subset):
    rng, _, _, _ = make_poses(seed)
    true = rng.normal(scale=300, size=(3, 9, 3))
    rotation = Rotation.random(3, random_state=seed % 2**31).as_matrix()
    pred = scale * true @ np.swapaxes(rotation, -1, -2) + rng.normal(scale=5e3, size=(3, 1, 3))
    valid = None
    if use_subset:  # joints outside the subset must have no influence on the alignment
        valid = np.ones((3, 9), bool)
        valid[:, 7:] = False
        pred[:, 7:] += 500
        true[0, 8] = np.nan
        pred[1, 8] = np.nan
    aligned = metrics.align(pred, true, valid)
    np.testing.assert_allclose(aligned[:, :7], true[:, :7], atol=1e-5)
    assert metrics.pa_mpjpe(pred, true, valid) < 1e-5
    assert metrics.pck(aligned, true, 1, valid) == 1


@given(seeds, st.booleans())
@settings(max_examples=40, deadline=None)
def test_alignment_is_optimal_and_never_reflects(seed, mirrored):
    rng, pred, true, _ = make_poses(seed, missing=0)
    if mirrored:
        pred = pred * [-1, 1, 1]
    s, rotation, t = metrics.similarity_transform(pred, true)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-9)

    identity = np.eye(3)

    def cost(ds=1.0, turn=identity, dt=0.0):
        moved = (s * ds)[:, None, None] * pred @ np.swapaxes(turn @ rotation, -1, -2)
        return np.sum((moved + (t + dt)[:, None] - true) ** 2, axis=(-1, -2))

    best = cost()
    assert np.all(cost(dt=rng.normal(scale=5, size=3)) >= best)
    # Scale and rotation are optimal about the centroid: move it to the origin first.
    pred -= pred.mean(1, keepdims=True)
    true -= true.mean(1, keepdims=True)
    t = np.zeros_like(t)
    assert np.all(cost(ds=1.02) >= best * (1 - 1e-9))
    assert np.all(cost(ds=0.98) >= best * (1 - 1e-9))
    turn = Rotation.from_rotvec(rng.normal(scale=0.05, size=3)).as_matrix()
    assert np.all(cost(turn=turn) >= best * (1 - 1e-9))


def test_plain_scale_differs_only_after_a_reflection():
    _, pred, true, _ = make_poses(3, missing=0)
    plain, _, _ = metrics.similarity_transform(pred, true, plain_scale=True)
    best, _, _ = metrics.similarity_transform(pred, true)
    np.testing.assert_allclose(plain, best)
    plain, _, _ = metrics.similarity_transform(pred * [1, 1, -1], true, plain_scale=True)
    best, _, _ = metrics.similarity_transform(pred * [1, 1, -1], true)
    assert np.all(plain > best * 1.01)


def test_alignment_without_scale():
    _, pred, true, _ = make_poses(5, missing=0)
    s, rotation, _ = metrics.similarity_transform(pred, true, scale=False)
    np.testing.assert_array_equal(s, 1)
    np.testing.assert_allclose(rotation, metrics.similarity_transform(pred, true)[1])


def test_what_cannot_be_aligned():
    _, pred, true, _ = make_poses(7, n=3, missing=0)
    true[0, 2:] = np.nan  # two joints do not determine a rotation
    pred[1] = pred[1, :1]  # all joints in one place
    pred[2, 2:] = np.nan  # truth is there, prediction is not
    aligned = metrics.align(pred, true)
    assert np.isnan(aligned[0]).all()
    np.testing.assert_allclose(aligned[1], np.broadcast_to(true[1].mean(0), (7, 3)))
    assert metrics.pa_mpjpe(pred[:2], true[:2]) == pytest.approx(
        metrics.mpjpe(aligned[1:2], true[1:2])
    )
    assert metrics.pa_mpjpe(pred, true) == np.inf


def test_root_relative_ignores_translation():
    _, pred, _, _ = make_poses(9, missing=0)
    moved = metrics.root_relative(pred + np.array([1000, -50, 3]), 4)
    np.testing.assert_allclose(moved, metrics.root_relative(pred, 4), atol=1e-9)
    np.testing.assert_array_equal(moved[:, 4], 0)


FORMS = ("f2", "f4", "i1", "u1", "i2", "i4", "i8", "u8", "strided", "big-endian", "list", "object")

# Every public function of poses, as a function of two poses ``[T, J, 3]`` and a mask.
FUNCTIONS = {
    "acceleration_errors": lambda p, t, v: metrics.acceleration_errors(p, t, v, fps=30),
    "align": lambda p, t, v: metrics.align(p, t, v),
    "align without scale": lambda p, t, v: metrics.align(p, t, v, scale=False),
    "align in float32": lambda p, t, v: metrics.align(p, t, v, single=True),
    "auc": lambda p, t, v: metrics.auc(p, t, valid=v, average="pose"),
    "chunk_errors": lambda p, t, v: metrics.chunk_errors(p, t, v, chunk=3),
    "cps": lambda p, t, v: metrics.cps(p, t, 60, v),
    "cps_auc": lambda p, t, v: metrics.cps_auc(p, t, 90, v, scale=False),
    "foot_sliding": lambda p, t, v: metrics.foot_sliding(p, t, 100),
    "jitter_values": lambda p, t, v: metrics.jitter_values(p, v, fps=30),
    "joint_errors": metrics.joint_errors,
    "mean_acceleration_error": metrics.mean_acceleration_error,
    "mean_jitter": lambda p, t, v: metrics.mean_jitter(p, v),
    "mpjpe": metrics.mpjpe,
    "mpjve": lambda p, t, v: metrics.mpjve(p, t, v, fps=30),
    "n_mpjpe": lambda p, t, v: metrics.n_mpjpe(p, t, v, root=0),
    "pa_mpjpe": lambda p, t, v: metrics.pa_mpjpe(p, t, v, average="pose"),
    "pck": lambda p, t, v: metrics.pck(p, t, 60, v),
    "pose_errors": lambda p, t, v: metrics.pose_errors(p, t, v, root=(1, 2), alignment="rigid"),
    "root_relative": lambda p, t, v: metrics.root_relative(p, 2) - metrics.root_relative(t, 1),
    "rte_percent": lambda p, t, v: metrics.rte_percent(np.array(p)[:, 0], np.array(t)[:, 0]),
    "scale_factor": metrics.scale_factor,
    "similarity_transform": metrics.similarity_transform,
    "transform_points": lambda p, t, v: metrics.transform_points(
        p, *metrics.similarity_transform(p, t)
    ),
    "velocity_errors": metrics.velocity_errors,
    "w_errors": metrics.w_errors,
    "wa_errors": metrics.wa_errors,
}
# Functions of errors, counts, rotations, pictures; tried in the other test_metrics_*.py.
OTHERS = """
    COCO_FIGURES COCO_SIGMAS PartScores PosedPeople Scores TrackScores WHOLEBODY_SIGMAS
    area_3dhp area_in_bins area_under_line binary_counts bootstrap_interval contact_distances
    contact_scores detection_scores group_means head_size hits interval_of_sums joint_means
    keypoint_ap label_means match_greedily mean_hits mean_value mpjae_deg normalized_error oks
    oks_beside_box orientation_errors_deg overlap_pixels part_ap part_mota pooled_iou
    pose_means silhouette_ious trapezoid_hits worst_errors"""


def test_every_public_function_is_tried():
    assert {name.split()[0] for name in FUNCTIONS} | set(OTHERS.split()) == set(metrics.__all__)


def in_form(values, form):
    """The same numbers in another form; integers below 128 fit all of them."""
    if form == "strided":
        return np.repeat(np.asfortranarray(values), 2, axis=1)[::-1, ::2][::-1]
    if form == "big-endian":
        return values.astype(">f8")
    if form == "list":
        return values.tolist()
    if form == "object":
        return values.astype(object)
    return values.astype(form)


@given(seeds, st.sampled_from(FORMS), st.sampled_from(FORMS), st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_numeric_type_gives_the_values_of_float64(seed, form, other, large):
    rng = np.random.default_rng(seed)
    pred, true = rng.integers(0, 128, (2, 4, 6, 3)).astype(np.float64)
    if large and not {"i1", "u1", "i2"} & {form, other}:
        pred, true = 512 * pred, 512 * true  # float16 holds them, but no square of them
    valid = rng.random((4, 6)) < 0.8
    for name, function in FUNCTIONS.items():
        expected = function(pred, true, valid)
        found = function(in_form(pred, form), in_form(true, other), valid)
        np.testing.assert_equal(found, expected, err_msg=f"{name} of {form}, {other}")
        for same in (valid.astype(np.int8), valid.astype(float), valid.tolist()):
            np.testing.assert_equal(function(pred, true, same), expected, err_msg=name)


def test_squares_of_float16_and_differences_of_integers_do_not_overflow():
    true = np.zeros((1, 3, 3))
    pred = np.full((1, 3, 3), 300.0)
    assert metrics.mpjpe(pred.astype("f2"), true.astype("f2")) == pytest.approx(300 * 3**0.5)
    down, up = np.full((1, 1, 3), 10, "u2"), np.full((1, 1, 3), 20, "u2")
    assert metrics.joint_errors(down, up)[0, 0] == pytest.approx(10 * 3**0.5)
    assert metrics.root_relative(np.uint8([[10], [20]]), 1).tolist() == [[-10], [0]]
    assert metrics.mpjve(np.uint8([[[20]], [[10]]]), np.uint8([[[20]], [[20]]])) == 10


def test_masked_coordinates_are_missing():
    _, pred, true, _ = make_poses(1)
    missing = np.isnan(true)
    masked = np.ma.MaskedArray(np.where(missing, 5.0, true), missing)
    assert metrics.mpjpe(pred, masked) == metrics.mpjpe(pred, true)
    assert metrics.pa_mpjpe(pred, masked) == metrics.pa_mpjpe(pred, true)


def test_nothing_to_count_is_nan_and_shapes_must_agree():
    nothing = np.full((2, 3, 3), np.nan)
    for average in ("joint", "pose"):
        assert np.isnan(metrics.mpjpe(np.zeros((2, 3, 3)), nothing, average=average))
        assert np.isnan(metrics.pck(np.zeros((2, 3, 3)), nothing, average=average))
    assert np.isnan(metrics.pa_mpjpe(np.zeros((2, 3, 3)), nothing))
    with pytest.raises(ValueError, match=r"\(2, 3, 3\).*\(2, 4, 3\)"):
        metrics.mpjpe(np.zeros((2, 3, 3)), np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match="average"):
        metrics.mpjpe(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), average="frames")
