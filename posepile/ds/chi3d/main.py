"""CHI3D: pairs of people in contact before four cameras, one of them with markers, SMPL-X fits.

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
