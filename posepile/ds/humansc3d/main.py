"""HumanSC3D: people who touch themselves before four cameras, joints by markers, SMPL-X fits.

See README.md. One unit is one action seen by one camera; frames are those of the video. Two
releases exist, which differ in how many rows of joints there are for a frame; what the datasets of
this laboratory have in common is in :mod:`posepile.shapes.lab_json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from posepile.bodies.models import lacking_models
from posepile.recipe import DatasetSpec, Sequence, Unit
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
)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per action and camera of the subjects that joints are published of."""
    yield from lab_json.action_units(root, LAB, options)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one action seen by one camera."""
    return [lab_json.action_sequence(root, unit, LAB, options)]


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is missing."""
    return lacking_models("smplx", ["neutral"], root, "fits are not compared with the joints")
