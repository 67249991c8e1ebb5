"""CHI3D: pairs of people in contact before four cameras, one of them with markers, SMPL-X fits.

See README.md. One unit is one action seen by one camera; frames are those of the video. Two
releases exist, which differ in how many rows of joints there are for a frame; what the datasets of
this laboratory have in common is in :mod:`posepile.shapes.lab_json`.
"""

from __future__ import annotations

from posepile.recipe import DatasetSpec
from posepile.shapes import lab_json

LAB = lab_json.Lab("chi3d", ("s02", "s03", "s04"), n_people=2)
Options = lab_json.LabOptions

SPEC = DatasetSpec(
    name="chi3d",
    joint_info=lab_json.JOINT_INFO,
    image_dir="chi3d_downscaled",
    world_up=lab_json.UP,
    body_shape="fitted",
    n_valid_betas=10,
    citation="fieraru2020chi3d: Fieraru et al., Three-Dimensional Reconstruction of Human "
    "Interactions, CVPR 2020",
    licence="CHI3D licence: academic use, on request",
    sequence_names=r"(?P<subject>s\d\d)/(?P<motion>.+)/(?P<view>\d+)",
)

list_units, load_unit, plan = lab_json.lab_recipe(LAB)
