"""Numbers that no person has give a plain reason, and no warning of numpy on the way."""

import json

import fake_dataset
import numpy as np
import pytest
from fake_dataset import a_run, outcomes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_kit import crop_units
from test_plausible import H36M, LIMBS, TURNS, faults, pose

from posepile.geometry.cameras import make_camera
from posepile.imaging import cropping
from posepile.models.params import DetectParams
from posepile.recipe import Track
from posepile.stages import poses
from posepile.stages.boxes import BoxParams, choose_boxes, project_joints
from posepile.stages.counts import Counts
from posepile.stages.motion import check_motion
from posepile.stages.plausible import CheckParams
from posepile.stages.select import Selected
from posepile.stages.sides import refuse_wrong_sides
from posepile.stages.views import box_fits, check_views

fake = fake_dataset.fake  # the fixture

EXTREME = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [1e39, -1e39, 1e300, 1e308, -1.7e308, 5e-324, 1e10, 0.0]
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50), EXTREME), max_size=40),
    st.booleans(),
)
@example([(0, 1, 1.7e308), (0, 16, -1.7e308), (1, 0, 1e300), (2, 3, 2e11)], True)
@example([(0, 1, 1.7e308), (0, 16, -1.7e308), (1, 0, 1e300), (2, 3, 2e11)], False)
@example([(1, 0, 2.225073858507203e-309), (1, 1, 5e-324)], False)
def test_no_number_is_too_large(places, geocentric):
    coords = pose(TURNS["seated"], 5)
    for k, at, value in places:
        coords[k].reshape(-1)[at] = value
    camera = make_camera("x", focal=1400, size=(1920, 1080))
    frames = np.arange(5)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = faults(coords, far_from_origin=geocentric)
        kept = coords[[k for k in range(5) if k not in found]]
        refuse_wrong_sides("a", kept, H36M, CheckParams(max_backwards=1, max_asymmetry=1e9))
        check_motion(frames, coords, frames, lambda: 30.0, CheckParams())
        points = coords[..., :2]
        bad = poses.check_pixels(points)
        for k in range(5):
            large = np.nanmax(np.abs(coords[k]), initial=0)
            assert large < 1e6 or (geocentric and large <= 1e11) or k in found
            assert (k in bad) == (np.nanmax(np.abs(points[k]), initial=0) > 1e6)
    # As without the check
    track = Track(frames, world_coords=coords, bbox=coords[:, 0, [0, 1, 0, 1]])
    flat = Track(frames, image_coords=points, bbox=coords[:, 0, [0, 1, 0, 1]])
    for k in range(5):
        for one in (Selected(k, track, k), Selected(k, flat, k)):
            joints = project_joints(one, camera)
            for source in ("annotation", "joints"):
                params = BoxParams(source=source, expand=1.5)
                counts = Counts()
                (box,) = choose_boxes(
                    [one], [joints], None, (1920, 1080), params, DetectParams(), counts
                )
                assert (box is None) == bool(counts.dropped)
                assert box is None or np.isfinite(box).all()
                with np.errstate(over="raise", invalid="raise", divide="raise"):
                    check_views([(joints, box)], (1920, 1080), LIMBS, CheckParams())
                if box is not None and np.isfinite(joints).any():
                    box_fits([joints], [box])
    plan = cropping.plan_crop(None, [500, 300, 200, 400], (1920, 1080))
    cropping.transform_points(points, None, plan)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("value", [1e39, 1e300, 1e308])
def test_recipes_may_narrow_what_files_say(fake, value):
    path = fake / "fake/seq0/world.json"
    world = json.loads(path.read_text())
    world[1][2][0] = value
    path.write_text(json.dumps(world))
    counts = outcomes(a_run(fake, only="seq0"))["seq0"].counts
    assert counts.dropped == {poses.INFINITE: 1} and counts.examples == 3


def test_image_joints_beyond_any_picture_are_dropped(raw_miniature, tmp_path):
    values = [1e300, np.inf]

    def spoil(sequences):
        for track in (track for sequence in sequences for track in sequence.tracks):
            if values:
                track.image_coords = np.array(track.image_coords, np.float64)
                track.image_coords[0, 5, 0] = values.pop()
        return sequences

    root, settings = raw_miniature("coco"), ["check.max_share=1"]
    before = crop_units("coco", root, tmp_path / "before").total()
    after = crop_units("coco", root, tmp_path / "after", settings=settings, change=spoil).total()
    assert after.dropped[poses.FAR_IN_PICTURE] == after.dropped[poses.INFINITE] == 1
    assert after.examples == before.examples - 2
