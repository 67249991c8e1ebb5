"""MPI-INF-3DHP with all it has: eight actors before 14 cameras, 28 joints, every frame.

See README.md. One unit is one take seen by one camera. Row ``i`` of the labels belongs to frame
``i`` of the video; labels are in the axes of the camera that they are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.geometry.markerless import ALL_EDGES, ALL_NAMES, ALL_OF_STUDIO
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Track, Unit
from posepile.shapes.markerless import FRAMES, N_CAMERAS, WORLD_UP, load_view, take_units
from posepile.shapes.multiview import view_sequence

SPEC = DatasetSpec(
    name="tdhp_full",
    joint_info=JointInfo(ALL_NAMES, ALL_EDGES),
    image_dir="3dhp_full_downscaled",
    world_up=WORLD_UP,
    single_person=True,
    citation="mehta2017mpiinf3dhp: Mehta et al., Monocular 3D Human Pose Estimation In The Wild "
    "Using Improved CNN Supervision, 3DV 2017",
    licence="MPI-INF-3DHP: non-commercial research, no redistribution",
    sequence_names=r"(?P<subject>S\d)/(?P<motion>Seq\d)/(?P<view>\d+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``S1`` to ``S8``; None = all.
        cameras: 0 to 13.
        min_joints_inside: So many joints must be in the picture.
        max_projection_px: How far labels in the picture may be from the projected ones (medians).
        max_views_mm: How far labels of two cameras may be from each other.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    cameras: list[Annotated[int, Field(ge=0, lt=N_CAMERAS)]] = Field(
        [*range(N_CAMERAS)], min_length=1, json_schema_extra=recipe.CHOOSES_UNITS
    )
    min_joints_inside: int = Field(9, ge=1, le=28)
    max_projection_px: float = Field(0.5, gt=0)
    max_views_mm: float = Field(5.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video of a take."""
    subjects = sorted(recipe.chosen_subjects(options.subjects, FRAMES))
    yield from take_units(root, dict.fromkeys(subjects, "train"), options.cameras)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera.

    All frames take part in the selection by motion; who has too few joints in the picture is left
    out after it.
    """
    view = load_view(unit, options.max_projection_px, options.max_views_mm)
    world = view.camera.camera_to_world(view.points[:, list(ALL_OF_STUDIO)])
    person = Track(np.arange(len(world)), world_coords=world, mask=view.red)
    take, _, c = unit.id.rpartition("/")
    told = {"scene": "green-screen", "checks": view.checks}
    told["image_name"] = lambda k, _: f"{take}/imageSequence/video_{c}/{k:06d}.jpg"
    least = options.min_joints_inside
    return [
        view_sequence(unit, view.video, view.camera, [person], min_joints_inside=least, **told)
    ]
