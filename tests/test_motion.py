"""From frame to frame: who jumps, and poses that are held."""

import numpy as np
import pytest
from raw_kit import copy_raw, crop_units
from test_plausible import TURNS, pose

from posepile.stages import examples
from posepile.stages.motion import HELD, JUMP, check_motion
from posepile.stages.plausible import CheckParams

EVERY = np.arange(90)
FAST = np.array([1500.0, 0, 0])


def moving(n=90, noise=3.0):
    """Somebody who walks, measured with noise, ``[n, 17, 3]`` millimetres."""
    coords = pose(TURNS["tai-chi"], n) * 1.0
    coords -= (coords[:, :1] - coords[:1, :1]) * 0.8
    return coords + np.random.default_rng(0).normal(0, noise, coords.shape)


def found(coords, chosen=EVERY, fps=30.0, frames=EVERY, **keys):
    faults, jumps = check_motion(frames, coords, chosen, lambda: fps, CheckParams(), **keys)
    return {k: reason for k, (reason, _) in faults.items()}, jumps


def test_people_move():
    def never():
        raise AssertionError("nothing is suspicious")

    coords = moving()
    coords[20:30] = np.nan
    coords[40, 3:] = np.nan
    assert check_motion(EVERY, coords, EVERY, never, CheckParams()) == ({}, 0)
    assert check_motion(EVERY, coords[:, :0], EVERY, never, CheckParams()) == ({}, 0)
    assert check_motion(EVERY, coords, EVERY[:0], never, CheckParams()) == ({}, 0)


@pytest.mark.parametrize("chosen", [EVERY, EVERY[::5], np.array([3, 45, 80])])
def test_who_jumps_away_and_back_is_dropped(chosen):
    coords = moving()
    coords[45] += FAST
    assert found(coords, chosen) == ({int(np.flatnonzero(chosen == 45)[0]): JUMP}, 0)
    assert found(coords, chosen, fps=5.0) == ({}, 0)
    assert found(coords, chosen, fps=None) == ({}, 0)


def test_who_jumps_and_stays_is_counted():
    coords = moving()
    coords[45:] += FAST
    assert found(coords) == ({}, 2)
    assert found(coords, EVERY[40:45]) == ({}, 1)
    assert found(coords, EVERY[::7]) == ({}, 0)
    coords[20] += FAST
    assert found(coords) == ({20: JUMP}, 2)


def test_two_who_change_places_every_frame_are_dropped():
    coords = moving()
    coords[::2] += FAST
    faults, jumps = found(coords)
    assert len(faults) == 88 and jumps == 0


def test_frames_that_are_far_apart_in_time_say_nothing():
    coords = moving()
    coords[::2] += FAST
    assert found(coords, frames=10 * EVERY) == ({}, 0)


def test_one_joint_that_jumps_is_another_matter():
    coords = moving()
    coords[45, :16] += 1e300
    coords[46, 3] = np.inf
    assert found(coords) == ({}, 0)


def test_all_of_a_video_may_be_faster_than_it_says():
    assert found(moving() + EVERY[:, None, None] * FAST) == ({}, 90)


def test_a_pose_that_is_held_is_kept_once():
    coords = moving()
    coords[10:80] = coords[10]
    coords[10:80, 4] = np.nan
    faults, _ = found(coords)
    assert faults == dict.fromkeys(range(11, 80), HELD)
    text = check_motion(EVERY, coords, EVERY, lambda: 30.0, CheckParams())[0][50][1]
    assert text == "is that of frame 10, held for 2.3 s"
    coords[80:] = np.nan
    assert found(coords, synthetic=True) == ({}, 0)
    assert found(coords, fps=None) == ({}, 0)
    assert found(coords, fps=60.0) == ({}, 0)
    assert found(coords, EVERY[::9]) == ({}, 0)  # others in between may be different


def test_labels_at_a_lower_rate_than_the_video_are_not_held():
    assert found(np.repeat(moving(3), 30, axis=0)) == ({}, 0)


def test_who_lies_still_is_measured_with_noise():
    still = np.repeat(pose(TURNS["lying"], 1), 90, axis=0)
    assert found(still + np.random.default_rng(0).normal(0, 0.2, still.shape)) == ({}, 0)
    few = still.copy()
    few[:, 4:] = np.nan
    assert found(few) == ({}, 0)


def test_a_video_in_which_a_pose_jumps_and_one_is_held(raw_miniature, tmp_path):
    def spoil(sequences):
        for sequence in sequences:
            for track in sequence.tracks:
                track.bbox = np.array(track.bbox)
                track.world_coords = np.array(track.world_coords)
                track.world_coords[3:9] = track.world_coords[3]
        return sequences

    root = copy_raw(raw_miniature("aspset"), tmp_path / "raw")
    settings = ["select.method=none", "check.max_held=0.05"]
    wanted = ["*/aaaa-*-left"]
    (tmp_path / "before").mkdir()
    before = crop_units("aspset", root, tmp_path / "before", wanted, settings=settings).total()
    after = crop_units("aspset", root, tmp_path, wanted, settings=settings, change=spoil).total()
    n = after.dropped[HELD]
    assert n > 0 and after.examples == before.examples - n and not before.dropped[HELD]


def test_a_video_that_cannot_be_read_has_no_rate(tmp_path):
    from posepile.recipe import Video

    assert examples.rate_of(Video(tmp_path / "none.mp4"))() is None
