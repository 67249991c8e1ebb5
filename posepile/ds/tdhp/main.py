"""MPI-INF-3DHP: eight actors before 14 cameras in a green studio, six test sequences elsewhere.

See README.md. One unit is one take seen by one camera, or one test sequence. Row ``i`` of the
labels belongs to frame ``i`` of the video and, in test sequences, to picture ``i + 1``. All labels
are in the axes of the camera that they are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.formats.folders import numbered_files
from posepile.formats.keys import only_one
from posepile.geometry import markerless
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import inside, project
from posepile.imaging.masks import boxed_masks
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.markerless import FRAMES, SIZE, WORLD_UP, load_view, take_units
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import make_unit, same_count, unit_files

if TYPE_CHECKING:
    import deltacamera

SPLITS = {subject: "val" if subject == "S8" else "train" for subject in FRAMES}
ACTIVITIES = "Stand/Walk,Exercise,Sit on Chair,Reach/Crouch,On Floor,Sports,Misc".split(",")
# Test cameras: focal lengths and principal point; optical centre, up and right in the world.
STUDIO = (1500.172, 1500.832, 1017.387, 1043.032), (3427.28, 1387.86, 309.42)
STUDIO += (-0.208215, 0.976233, 0.06014), (0.000575281, 0.0616098, -0.9981)
FIELD = (1683.983, 1672.594, 939.858, 560.141), (-2104.3074, 1038.6707, -4596.6367)
FIELD += (0.025272345, 0.995038509, 0.096227370), (-0.939647257, -0.009210289, 0.342020929)
TS2 = (1503.78, 1501.27, 1015.23, 1038.68), *STUDIO[1:]  # the lens that its labels have
PLAIN, OUTDOOR = ("no-green-screen", SIZE, STUDIO), ("outdoor", (1920, 1080), FIELD)
TESTS = {"TS1": ("green-screen", SIZE, STUDIO), "TS2": ("green-screen", SIZE, TS2), "TS3": PLAIN}
TESTS |= {"TS4": PLAIN, "TS5": OUTDOOR, "TS6": OUTDOOR}
LENS = (-0.276859611, 0.131125256, -0.000360494, -0.001149441, -0.049318332)  # of TS5 and TS6
SPEC = DatasetSpec(
    name="tdhp",
    joint_info=JointInfo(markerless.NAMES, markerless.EDGES),
    image_dir="3dhp_downscaled",
    world_up=WORLD_UP,
    single_person=True,
    citation="mehta2017mpiinf3dhp: Mehta et al., Monocular 3D Human Pose Estimation In The Wild "
    "Using Improved CNN Supervision, 3DV 2017",
    licence="MPI-INF-3DHP: non-commercial research, no redistribution",
    sequence_names=r"(?P<subject>T?S\d)(?:/(?P<motion>Seq\d)/(?P<view>\d+))?",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``S1`` to ``S8`` and ``TS1`` to ``TS6``; None = all.
        cameras: Of the training takes, 0 to 13.
        train_step: Of the training takes, every so many frames are looked at.
        max_projection_px: How far labels in the picture may be from the projected ones (medians).
        max_views_mm: How far labels of two cameras may be from each other.
        max_universal_mm: How far those of universal size may be from scaled ones, test sequences.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    cameras: list[Annotated[int, Field(ge=0, le=13)]] = Field(
        [0, 1, 2, 4, 5, 6, 7, 8], min_length=1, json_schema_extra=recipe.CHOOSES_UNITS
    )
    train_step: int = Field(5, ge=1)
    max_projection_px: float = Field(0.5, gt=0)
    max_views_mm: float = Field(5.0, gt=0)
    max_universal_mm: float = Field(2.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video of a take, and one per test sequence."""
    chosen = sorted(recipe.chosen_subjects(options.subjects, [*SPLITS, *TESTS]))
    for subject in chosen:
        if subject in TESTS and (folder := test_folder(root, subject)):
            files = {"labels": folder / "annot_data.mat"}
            files["pictures"] = numbered_files(folder / "imageSequence", 1)
            yield make_unit(subject, "test", files)
    takes = {subject: SPLITS[subject] for subject in chosen if subject in SPLITS}
    yield from take_units(root, takes, options.cameras)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera, or one test sequence."""
    if unit.split == "test":
        return [load_test(unit, options)]
    view = load_view(unit, options.max_projection_px, options.max_views_mm)
    points, camera = view.points[:, list(markerless.OF_STUDIO)], view.camera
    world = camera.camera_to_world(points)[:, markerless.PELVIS_LAST]
    frames = np.arange(0, len(world), options.train_step)
    seen = inside(project(camera, world[frames]), SIZE).all(axis=1)
    person = Track(frames[seen], world_coords=world[frames[seen]])
    if view.red:
        person.mask = boxed_masks(view.red, person, camera, SIZE)
    dropped = {"a joint outside the picture": int((~seen).sum())}
    told = {"scene": "green-screen", "checks": view.checks, "dropped": dropped}
    take, _, c = unit.id.rpartition("/")
    told["image_name"] = lambda k, _: f"{take}/imageSequence/img_{c}_{k:06d}.jpg"
    return [view_sequence(unit, view.video, camera, [person], **told)]


def load_test(unit: Unit, options: Options) -> Sequence:
    """Returns the frames of a test sequence that are evaluated."""
    files = unit_files(unit)
    labels = markerless.read_valid(files["labels"], options.max_universal_mm)
    same_count({files["labels"]: len(labels["valid"]), "imageSequence": len(files["pictures"])})
    frames, camera = np.flatnonzero(labels["valid"]), test_camera(unit.id)
    world = camera.camera_to_world(np.float32(labels["annot3"][frames]))
    pixels, limit = labels["annot2"][frames], options.max_projection_px
    hint = "an older release? Its labels of TS6 are not corrected" if unit.id == "TS6" else None
    checks = markerless.check_labels(files["labels"], camera, world, pixels, limit, hint=hint)
    person = Track(frames, world_coords=world[:, markerless.PELVIS_LAST])
    person.activity = [ACTIVITIES[k - 1] for k in labels["activity"][frames]]
    scene, size, _ = TESTS[unit.id]
    dropped = {"not a valid frame": len(labels["valid"]) - len(frames)}
    told = {"scene": scene, "checks": checks, "dropped": dropped}
    told["image_name"] = lambda k, _: f"{unit.id}/imageSequence/img_{k + 1:06d}.jpg"
    pictures = Stills(files["pictures"], (size,) * len(files["pictures"]))
    return view_sequence(unit, pictures, camera, [person], **told)


def test_camera(name: str, lens: tuple = (), axes: bool = False) -> deltacamera.Camera:
    """Returns a test sequence's camera, the pinhole of its 2D labels; in its own ``axes``?"""
    (fx, fy, x, y), center, up, right = TESTS[name][-1]
    turned = [right, -np.array(up), np.cross(up, right)]
    pose = {} if axes else {"rotation": turned, "center": center}
    optics = {"focal": (fx, fy), "principal": (x, y), "distortion": lens or None}
    return make_camera(f"camera of {name}", **pose, **optics, world_up=SPEC.world_up)


# As published, under the names that training code knows; the latter with its lens.
get_test_camera_subj1_4 = partial(test_camera, "TS1")
get_test_camera_subj5_6 = partial(test_camera, "TS5", LENS)


def test_folder(root: Path, name: str) -> Path | None:
    """Returns the folder of a test sequence, however deep it was unpacked; None without one."""
    inner = "mpi_inf_3dhp_test_set"
    places = (root, root / inner, root / inner / inner)
    return only_one((place / name for place in places), name)
