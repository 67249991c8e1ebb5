"""The limit of every self-check of a recipe is an option, which has an effect."""

import ast
import importlib
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from posepile.ds import dataset_names
from posepile.errors import CorruptInput

# Dataset, limit, its default, and one that the miniature is beyond; None: it fits exactly.
LIMITS = [
    ("aist", "max_projection_px", 20, 1e-3),
    ("agora", "max_projection_px", 1.5, 1e-9),
    ("behave", "max_outside_mask", 0.6, 1e-9),
    ("behave", "max_outside_half", 0.35, 1e-9),
    ("behave", "max_unreadable", 0.1, None),
    ("behave", "max_fit_mm", 100, None),
    ("behave", "max_lens_px", 0.1, None),
    ("behave", "max_origin", 1e-3, None),
    ("crowdpose", "max_beyond", 0.02, None),
    ("crowdpose", "max_strays", 0.2, 1e-9),
    ("aic", "max_beyond", 0.02, None),
    ("coco_wholebody", "max_other_side", 0.25, None),
    ("coco_wholebody", "max_beyond", 0.02, None),
    ("halpe", "max_other_side", 0.25, None),
    ("halpe", "max_beyond", 0.02, None),
    ("egoexo4d", "max_reprojection_px", 40, 1e-6),
    ("egoexo4d", "max_calibs_difference", 1e-3, 1e-18),
    ("egoexo4d", "max_calibs_degrees", 0.1, 1e-30),
    ("egoexo4d", "max_calibs_mm", 10, 1e-15),
    ("egoexo4d", "max_aria_lens_px", 0.3, 1e-3),
    ("ehf", "max_detection", 0.06, 1e-9),
    ("emdb", "max_projection_px", 3, 1e-9),
    ("genebody", "max_mesh_error_mm", 5, 1e-9),
    ("genebody", "max_keypoints_mm", 50, 1e-9),
    ("genebody", "max_outside_mask", 0.4, None),
    ("h36m", "max_projection_px", 0.5, 1e-9),
    ("hspace", "max_behind", 0.5, None),
    ("hspace", "max_outside", 0.35, 1e-9),
    ("hspace", "max_heel", 0, -9),
    ("jta", "max_projection_px", 1.5, 1e-9),
    ("jta", "max_missing", 0.05, 1e-9),
    ("mads", "max_lens_px", 0.01, None),
    ("mads", "max_tilt", 50, 1e-3),
    ("humbi", "max_projection_px", 0.5, 1e-9),
    ("humbi", "max_fit_mm", 100, None),
    ("mupots", "max_projection_px", 1, 1e-9),
    ("panoptic", "max_pelvis_mm", 1, 1e-30),
    ("rich", "max_mesh_mm", 1, 1e-9),
    ("rich", "max_tilt", 3, 1e-9),
    ("sailvos", "max_camera_px", 2, 1e-9),
    ("sailvos", "max_focal_error", 0.1, None),
    ("sailvos", "max_unfitted", 0.5, None),
    ("sailvos", "max_outside", 0.1, None),
    ("spec", "max_projection_px", 3, 1e-9),
    ("spec", "max_turn", 5, 1e-9),
    ("ssp3d", "max_projection_px", 10, 1e-3),
    ("surreal", "max_projection_px", 0.75, 1e-3),
    ("surreal", "max_bone_mm", 1, 1e-9),
    ("synthego", "max_reprojection_px", 0.5, 1e-9),
    ("synthego", "max_pose_mm", 20, 1e-30),
    ("synthego", "max_bone_mm", 1, 1e-30),
    ("tdpw", "max_detection_px", 40, 1e-3),
    ("tdpw", "max_bone_mm", 2, 1e-30),
    ("tdpw", "max_body_mm", 5, 1e-9),
    ("tdhp", "max_projection_px", 0.5, 1e-9),
    ("tdhp", "max_views_mm", 5, 1e-9),
    ("tdhp", "max_universal_mm", 2, 1e-15),
    ("tdhp_full", "max_projection_px", 0.5, 1e-9),
    ("tdhp_full", "max_views_mm", 5, 1e-9),
    ("tdoh", "max_projection_px", 5, 1e-9),
    ("tdoh", "max_body_px", 1, 1e-9),
    ("fit3d", "max_pelvis_mm", 100, 1e-12),
    ("fit3d", "max_body_mm", 120, 1e-9),
    ("humansc3d", "max_pelvis_mm", 100, 1e-12),
    ("humansc3d", "max_body_mm", 120, 1e-9),
    ("fit3d", "max_unpaired", 0.1, None),
    ("fit3d", "max_distance_m", 15, 1e-9),
    ("chi3d", "max_pelvis_mm", 100, 1e-12),
    ("chi3d", "max_body_mm", 120, 1e-9),
    ("ikea", "max_views_mm", 20, 1e-12),
    ("ikea", "max_marks_px", 30, 1e-9),
    ("bml_movi", "max_reach_mm", 1500, None),
    ("bml_movi", "max_virtual_mm", 1, None),
    ("bml_movi", "max_clock_rows", 8, None),
    ("bml_movi", "max_ankle_mm", 150, None),
    ("bml_movi", "max_phone_px", 15, None),
    ("human4d", "max_projection_px", 5, 1e-9),
    ("human4d", "max_tilt", 15, 1e-9),
    ("human4d", "max_sensors_mm", 100, 1e-9),
    ("tdpeople", "max_projection_px", 1, 1e-12),
    ("tdpeople", "max_views_mm", 1, None),
    ("tdpeople", "max_outside_mask", 0.2, None),
    ("tdpeople", "max_skin_outside", 0.05, None),
    ("muco", "max_projection_px", 0.5, 1e-9),
    ("muco", "max_views_mm", 5, None),
    ("muco", "max_list_px", 0.5, 1e-9),
    ("muco", "max_lens_px", 0.5, None),
    ("totalcapture", "max_stretch_mm", 1, 1e-9),
    ("totalcapture", "max_outside_matte", 0.25, None),
    ("umpm", "max_outside", 0.5, None),
    ("bmhad", "max_text_mm", 0.5, 1e-9),
    ("bmhad", "max_camera_mm", 1, 1e-9),
    ("gpa", "max_projection_px", 1, 1e-9),
    ("ntu", "max_projection_px", 3, 1e-9),
    ("ntu", "max_focal_px", 100, 1e-9),
    ("ntu", "max_beside_mm", 150, 1),
    ("smarthome", "max_projection_px", 25, 1e-9),
    # Shares, of which so few points say nothing
    ("densepose_coco", "max_off_chart", 0.05, None),
    ("densepose_coco", "max_beyond", 0.02, None),
    ("densepose_posetrack", "max_off_chart", 0.05, None),
    ("densepose_posetrack", "max_beyond", 0.02, None),
    ("densepose_coco", "max_off_body", 0.3, None),
    ("densepose_coco", "max_other_side", 0.25, None),
    ("densepose_posetrack", "max_off_body", 0.3, None),
    ("densepose_posetrack", "max_other_side", 0.25, None),
    ("coco", "max_beyond", 0.02, None),
    ("mpii", "max_beyond", 0.02, None),
]


@pytest.mark.parametrize(("name", "key", "default", "tight"), LIMITS)
def test_a_limit_is_an_option(raw_miniature, tmp_path, name, key, default, tight):
    recipe = importlib.import_module(f"posepile.ds.{name}.main")
    assert recipe.Options.model_fields[key].default == default
    told = "\n".join(str(c.__doc__) for c in recipe.Options.__mro__)  # also of what it extends
    assert re.search(rf"^ +{key}: [A-Z…]", told, re.MULTILINE)
    if tight is not None:
        more = {"ego": True, "test": False} if name == "egoexo4d" else {}
        options, root = recipe.Options(**{key: tight}, **more), raw_miniature(name)
        if name == "synthego":  # its calibration changes the raw files
            root = Path(shutil.copytree(root, tmp_path / name))
            recipe.calibrate(root, options)
        with pytest.raises(CorruptInput):
            for unit in recipe.list_units(root, options):
                recipe.load_unit(root, unit, options)


def test_no_limit_is_a_constant_of_a_recipe():
    found = set()
    for name in dataset_names():
        for path in (ROOT / "posepile" / "ds" / name).glob("*.py"):
            nodes = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Assign)]
            names = [getattr(target, "id", "") for node in nodes for target in node.targets]
            found |= {(name, n) for n in names if re.fullmatch(r"MAX_\w*(MM|PX|RESIDUAL)", n)}
    assert not found
