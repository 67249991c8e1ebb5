import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from posepile.errors import CorruptInput, UsageError
from posepile.recipe import Sequence, Track, Video
from posepile.stages.examples import check_track
from posepile.stages.select import SelectParams, select_frames

T = 100.0


def last_by_the_card(coords, threshold, missing_is_unchanged):
    """First frame with a valid joint, then whenever some joint moved; NaN counts as moved."""
    kept, reference = [], None
    for i, pose in enumerate(coords):
        valid = ~np.isnan(pose).any(axis=1)
        if not valid.any():
            continue
        if reference is None:
            moved = True
        else:
            moved = False
            for joint, before in zip(pose, reference, strict=True):
                distance = np.linalg.norm(joint - before)
                moved |= (
                    (not missing_is_unchanged) if np.isnan(distance) else distance >= threshold
                )
        if moved:
            kept.append(i)
            if reference is None or not missing_is_unchanged:
                reference = pose.copy()
            else:
                reference = np.where(np.isnan(pose), reference, pose)
    return kept


def ring_by_the_card(coords, threshold, size, check_validity, missing_is_unchanged, min_moved=1):
    """Far from every one of the last ``size`` kept poses, or with a joint that became valid."""
    kept, ring = [], []
    for i, pose in enumerate(coords):
        valid = ~np.isnan(pose).any(axis=1)
        if not valid.any():
            continue
        if not ring:
            keep = True
        elif check_validity and (valid & np.isnan(ring[-1]).any(axis=1)).any():
            keep = True
        else:
            verdicts = []
            joints = np.flatnonzero(valid) if check_validity else range(len(pose))
            for before in ring:
                distances = [np.linalg.norm(pose[j] - before[j]) for j in joints]
                if missing_is_unchanged:
                    known = [d for d in distances if not np.isnan(d)]
                else:
                    known = [np.inf if np.isnan(d) else d for d in distances]
                if known:
                    n_moved = sum(d >= threshold for d in known)
                    verdicts.append(n_moved >= min(min_moved, len(known)))
            keep = bool(verdicts) and all(verdicts)
        if keep:
            kept.append(i)
            if missing_is_unchanged and ring:
                pose = np.where(np.isnan(pose), ring[-1], pose)
            ring = [*ring, pose][-size:]
    return kept


@st.composite
def motions(draw):
    """Walks on a 20 mm grid (distances such as 60-80-100 are hit exactly), with joints lost."""
    n, n_joints = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = rng.integers(-3, 4, (n, n_joints, 3)) * rng.integers(0, 2, (n, 1, 1))
    coords = 20.0 * np.clip(np.cumsum(steps, axis=0), -5, 5)
    coords[rng.random((n, n_joints)) < draw(st.sampled_from([0, 0, 0.1, 0.5]))] = np.nan
    return coords


@given(motions(), st.sampled_from([0.0, 40.0, T, 170.0]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_last_equals_plain_loop(coords, threshold, unchanged):
    params = SelectParams(threshold_mm=threshold, missing_is_unchanged=unchanged)
    got = select_frames(coords, params)
    assert got.dtype == np.int64
    assert got.tolist() == last_by_the_card(coords, threshold, unchanged)


@given(motions(), st.integers(1, 6), st.booleans(), st.booleans(), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_ring_equals_plain_loop(coords, size, check_validity, unchanged, min_moved):
    params = SelectParams(
        method="ring",
        threshold_mm=T,
        buffer=size,
        check_validity=check_validity,
        missing_is_unchanged=unchanged,
        min_moved=min_moved,
    )
    expected = ring_by_the_card(coords, T, size, check_validity, unchanged, min_moved)
    assert select_frames(coords, params).tolist() == expected


def walk(*x):
    """One joint along x, millimetres."""
    return np.array([[[v, 0.0, 0.0]] for v in x])


def test_threshold_is_inclusive_and_relative_to_the_last_kept_pose():
    coords = walk(0, 60, 99.9, 100, 160, 199, 200)
    assert select_frames(coords, SelectParams()).tolist() == [0, 3, 6]


def test_several_joints_must_have_moved():
    coords = np.zeros((6, 4, 3))
    coords[1:, 0, 0] = 150
    coords[2:, 1, 0] = 100
    coords[3:, 2, 0] = 120
    coords[4, :3] = np.nan  # of one joint known, that one
    coords[4, 3, 0] = 100
    coords[5, 3, 0] = 0
    params = SelectParams(min_moved=3, missing_is_unchanged=True)
    assert select_frames(coords, params).tolist() == [0, 3, 4]


def test_ring_does_not_sample_a_repeated_movement_again():
    coords = walk(*[0, 200, 400] * 5)
    assert len(select_frames(coords, SelectParams())) == 15
    ring = SelectParams(method="ring", buffer=3)
    assert select_frames(coords, ring).tolist() == [0, 1, 2]
    assert select_frames(coords, ring.model_copy(update={"buffer": 2})).tolist() == [*range(15)]


def test_largest_displacement_over_joints_decides_not_the_sum_or_mean():
    coords = np.zeros((3, 4, 3))
    coords[1] = [60, 0, 0]  # every joint moves a little
    coords[2, 3] = [0, 100, 0]  # one joint moves enough
    assert select_frames(coords, SelectParams()).tolist() == [0, 2]


def test_missing_joints():
    coords = walk(0, np.nan, 10, 20)
    coords = np.concatenate([coords, np.zeros_like(coords)], axis=1)
    assert select_frames(coords, SelectParams()).tolist() == [0, 1, 2]
    assert select_frames(coords, SelectParams(missing_is_unchanged=True)).tolist() == [0]
    # Becoming valid forces a frame only where the joint was missing in the last kept pose.
    coords = np.zeros((4, 2, 3))
    coords[:2, 1] = np.nan
    forced = SelectParams(method="ring", check_validity=True, missing_is_unchanged=True)
    assert select_frames(coords, forced).tolist() == [0, 2]


def test_frames_without_any_valid_joint_are_not_kept():
    coords = walk(np.nan, np.nan, 0, np.nan, 150)
    for method in ("last", "ring"):
        for unchanged in (False, True):
            params = SelectParams(method=method, missing_is_unchanged=unchanged)
            assert select_frames(coords, params).tolist() == [2, 4]
    assert select_frames(coords[:2], SelectParams()).tolist() == []


def test_none_keeps_everything_and_needs_no_joints():
    params = SelectParams(method="none")
    assert select_frames(np.full((4, 2, 3), np.nan), params).tolist() == [0, 1, 2, 3]
    assert select_frames(np.empty((3, 0, 3)), params).tolist() == [0, 1, 2]
    assert select_frames(np.empty((0, 2, 3)), SelectParams()).tolist() == []


def test_input_is_untouched_and_any_float_type_will_do():
    coords = walk(0, 50, 100, np.inf).astype(np.float32)
    before = coords.copy()
    assert select_frames(coords, SelectParams()).tolist() == [0, 2]
    np.testing.assert_array_equal(coords, before)


def test_bad_requests_name_what_is_wrong():
    with pytest.raises(UsageError, match=r"\(4, 3\).*\[frames, joints, 3\]"):
        select_frames(np.zeros((4, 3)), SelectParams())
    with pytest.raises(UsageError, match=r"select\.method=none"):
        select_frames(np.zeros((4, 0, 3)), SelectParams())
    for bad in ({"buffer": 0}, {"threshold_mm": -1}, {"method": "first"}, {"treshold": 3}):
        with pytest.raises(ValidationError):
            SelectParams(**bad)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint32, np.uint64])
@pytest.mark.parametrize("frames", [[5, 3], [0, 0], [1, 2, 2]])
def test_frames_that_do_not_increase_are_refused_in_any_integer_type(frames, dtype):
    track = Track(frames=np.array(frames, dtype), world_coords=np.zeros((len(frames), 1, 3)))
    sequence = Sequence("clip", "train", Video("clip.mp4"), None, [track], str)
    with pytest.raises(CorruptInput, match="frame indices do not increase from 0"):
        check_track(sequence, track)
    track.frames = np.arange(len(frames), dtype=dtype)
    check_track(sequence, track)
