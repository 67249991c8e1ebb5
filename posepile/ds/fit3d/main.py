"""Fit3D: exercises before four cameras, joints by markers, SMPL-X fits.

See README.md. One unit is one exercise seen by one camera; frames are those of the video. Two
releases exist, which differ in how many rows of joints there are for a frame; what the datasets of
this laboratory have in common is in :mod:`posepile.shapes.lab_json`.
"""

from __future__ import annotations

from posepile.recipe import DatasetSpec
from posepile.shapes import lab_json

LAB = lab_json.Lab("fit3d", ("s03", "s04", "s05", "s07", "s08", "s09", "s10", "s11"))
Options = lab_json.LabOptions

SPEC = DatasetSpec(
    name="fit3d",
    joint_info=lab_json.JOINT_INFO,
    image_dir="fit3d_downscaled",
    world_up=lab_json.UP,
    single_person=True,
    body_shape="fitted",
    n_valid_betas=10,
    citation="fieraru2021aifit: Fieraru et al., AIFit: Automatic 3D Human-Interpretable Feedback "
    "Models for Fitness Training, CVPR 2021",
    licence="Fit3D licence: academic use, on request",
    sequence_names=r"(?P<subject>s\d\d)/(?P<motion>.+)/(?P<view>\d+)",
)

list_units, load_unit, plan = lab_json.lab_recipe(LAB)
