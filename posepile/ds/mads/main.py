"""MADS, the multi-view part: five movements before three calibrated cameras, joints by markers.

See README.md. One unit is one video. Pose ``k`` belongs to frame ``k``; poses may end before the
video does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import names_like
from posepile.formats.keys import alike, by_name, only_one
from posepile.formats.matlab_files import read_cell_rows, read_mat
from posepile.formats.schema import Array
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import inside, project
from posepile.geometry.rotations import rotvec_matrix
from posepile.imaging.videos import index_packets
from posepile.joint_info import JointInfo
from posepile.recipe import (
    CHOOSES_UNITS,
    DatasetSpec,
    Sequence,
    Track,
    Unit,
    Video,
    chosen_subjects,
)
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

Movement = Literal["HipHop", "Jazz", "Kata", "Sports", "Taichi"]
MOVEMENTS = {name.lower(): name for name in Movement.__args__}
VIDEO = r"(.+)_C([0-2])\.avi"
POSES, TABLE = r"(.+)_GT\.mat", r"(.+)\.mat"
NO_VIDEO = "view of a take of which there is no video (videos)"
NO_MOVEMENT = "video in a folder that is called by no movement (videos)"
CALIBRATION = {"KK": Array(3, 3), "kc": Array(5, 1, squeezed=True)}  # k1 k2 p1 p2 k3
CALIBRATION |= {"fc": Array(2, 1, squeezed=True), "cc": Array(2, 1, squeezed=True)}
CALIBRATION |= {"om_ext": Array(3, 1, squeezed=True), "T_ext": Array(3, 1, squeezed=True)}  # mm
CALIBRATION |= {"alpha_c": float}
# Where the joints of a frame belong, by how many there are: 15 are without toes and hands.
SLOTS = {19: range(19), 15: [0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18]}
NECK, ANKLES = 0, [4, 8]
DOUBTFUL = "no calibration of MADS has been published; is the sign of om_ext another one?"

SPEC = DatasetSpec(
    name="mads",
    joint_info=JointInfo(
        "neck,pelv,lhip,lkne,lank,ltoe,rhip,rkne,rank,rtoe,lsho,lelb,lwri,lhan,rsho,relb,rwri,"
        "rhan,head",
        "head-neck-pelv-rhip-rkne-rank-rtoe,neck-rsho-relb-rwri-rhan",
    ),
    image_dir="mads_downscaled",
    world_up=(0.0, 1.0, 0.0),
    single_person=True,
    citation="zhang2017mads: Zhang et al., Martial Arts, Dancing and Sports Dataset: a "
    "Challenging Stereo and Multi-View Dataset for 3D Human Pose Estimation, IVC 2017",
    licence="MADS: research use, see the project's page",
    sequence_names=r"\w+/(?P<motion>.+)_(?i:C(?P<view>\d)\.avi)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        movements: Groups to pack; None = all that are in place.
        views: Cameras, 0 to 2.
        max_outside: Share of a take's joints that may be outside the picture or behind the camera.
        max_tilt: Degrees between the downward axis of a picture and that of the world.
        max_lens_px: How far focal lengths and principal point may be from those in the matrix.
    """

    model_config = ConfigDict(extra="forbid")

    movements: list[Movement] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    views: list[Literal[0, 1, 2]] = Field([0, 1, 2], min_length=1, json_schema_extra=CHOOSES_UNITS)
    max_outside: float = Field(0.02, ge=0, le=1)
    max_tilt: float = Field(50.0, gt=0, le=180)
    max_lens_px: float = Field(0.01, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video of a take; views without a video are counted in one more."""
    lost, base = [], root / "multi_view_data"
    folders = by_name(base, lambda name: MOVEMENTS.get(name.lower()))
    there = folders or MOVEMENTS.values()
    chosen = chosen_subjects(options.movements, there, "movements", "movement")
    for movement, at in folders.items():
        if movement not in chosen:
            continue
        paths = [base / at / name for name in names_in(base / at)]
        known = {take for (take,) in alike(paths, POSES)}
        videos, tables = alike(paths, VIDEO), alike(paths, TABLE)
        for (_, view), found in videos.items():
            if int(view) in options.views:
                files = {"video": found}
                needed = {"poses": f"{found[0].stem[:-2]}GT", "camera": f"Calib_Cam{view}"}
                for kind, stem in needed.items():
                    files[kind] = tables.get((stem.lower(),), [base / at / f"{stem}.mat"])
                yield make_unit(f"{movement}/{found[0].name}", "train", files)
        missing = ((take, str(v)) for take in known for v in options.views)
        lost += [NO_VIDEO for key in missing if key not in videos]
    for other in names_in(base) - set(folders.values()):
        lost += [NO_MOVEMENT for _ in names_like(base / other, f"(?i:{VIDEO})")]
    yield from left_out_units("left_out", "train", lost)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera, or how many videos were left out."""
    if lost := left_out_sequence(unit):
        return [lost]
    files = {kind: only_one(at, f"the {kind}") or at[0] for kind, at in unit_files(unit).items()}
    path = files["video"]
    joints, size = read_poses(files["poses"]), index_packets(path).size
    camera = read_camera(files["camera"], size, options)
    check_up(files["poses"], joints[:, NECK] - joints[:, ANKLES].mean(axis=1), SPEC.world_up)
    known = joints[np.isfinite(joints).all(axis=-1)]
    outside = float((~inside(project(camera, known), size)).mean()) if len(known) else 0.0
    if outside > options.max_outside:
        text = f"{outside:.0%} of the joints of {files['poses'].name} are outside the picture or "
        text += f"behind the camera; expected at most {options.max_outside:.0%}"
        raise CorruptInput(files["camera"], text, hint=DOUBTFUL)
    person = Track(np.arange(len(joints)), world_coords=joints)
    person.activity = unit.id.partition("/")[0].lower()
    video = Video(path, n_frames=len(joints), mismatch_known=True, size=size)
    told = {"checks": {"joints_outside": outside}, "scene": "studio"}
    told["image_name"] = lambda k, _: f"multi_view_data/{unit.id}/{k:06d}.jpg"
    return [view_sequence(unit, video, camera, [person], **told)]


def read_poses(path: Path) -> np.ndarray:
    """Returns joints ``[T, 19, 3]``, mm; of 15 joints, toes and hands are missing."""
    cells = read_cell_rows(path, "GTpose2", 1, Array("J", 3, finite=False))[0]
    joints = np.full((len(cells), 19, 3), np.nan, np.float32)
    for k, cell in enumerate(cells):
        if len(cell) not in SLOTS:
            text = f"GTpose2: found {len(cell)} joints; expected 19 or 15"
            raise CorruptInput(path, text, frame=k)
        joints[k, SLOTS[len(cell)]] = cell
    return joints


def read_camera(path: Path, size: tuple[int, int], options: Options) -> deltacamera.Camera:
    """Returns the camera of a view, as Bouguet's toolbox describes it."""
    found = read_mat(path, CALIBRATION)
    (fx, fy), (cx, cy) = found["fc"].ravel(), found["cc"].ravel()
    matrix = np.array([[fx, found["alpha_c"] * fx, cx], [0, fy, cy], [0, 0, 1]])
    if (off := abs(found["KK"] - matrix).max()) > options.max_lens_px:
        text = f"KK is {off:.3g} px from fc, cc and alpha_c; expected at most "
        raise CorruptInput(path, f"{text}{options.max_lens_px:g}")
    rotation = rotvec_matrix(found["om_ext"].ravel())
    tilt = float(np.degrees(np.arccos(np.clip(-rotation[1] @ SPEC.world_up, -1, 1))))
    if tilt > options.max_tilt:
        text = f"the picture's downward axis is {tilt:.0f} degrees from -y; expected at most "
        raise CorruptInput(path, f"{text}{options.max_tilt:g}", hint=DOUBTFUL)
    lens = {"intrinsics": found["KK"], "distortion": found["kc"].ravel()}
    pose = {"rotation": rotation, "translation": found["T_ext"].ravel(), "unit": "mm"}
    return make_camera(path, **pose, **lens, size=size, world_up=SPEC.world_up)
