"""HumanSC3D: people who touch themselves before four cameras, joints by markers, SMPL-X fits.

See README.md. One unit is one action seen by one camera; frames are those of the video. Two
releases exist, which differ in how many rows of joints there are for a frame; what the datasets of
this laboratory have in common is in :mod:`posepile.shapes.lab_json`.
"""

from __future__ import annotations

from posepile.recipe import DatasetSpec
from posepile.shapes import lab_json

LAB = lab_json.Lab("humansc3d", ("s01", "s02", "s03", "s06"))
Options = lab_json.LabOptions

SPEC = DatasetSpec(
    name="humansc3d",
    joint_info=lab_json.JOINT_INFO,
    image_dir="humansc3d_downscaled",
    world_up=lab_json.UP,
    single_person=True,
    body_shape="fitted",
    n_valid_betas=10,
    citation="fieraru2021humansc3d: Fieraru et al., Learning Complex 3D Human Self-Contact, AAAI "
    "2021",
    licence="HumanSC3D licence: academic use, on request",
    sequence_names=r"(?P<subject>s\d\d)/(?P<motion>.+)/(?P<view>\d+)",
)

list_units, load_unit, plan = lab_json.lab_recipe(LAB)
