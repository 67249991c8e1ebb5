"""SURREAL: clips of one rendered SMPL body before a photograph, 320x240 at 30 fps, 100 frames.

See README.md. The published map from the world to the pictures is a reflection: a person's left is
on the left of the picture where they face the camera. Here every picture and mask is turned
left for right, so that labels and pictures agree. One unit is one motion with all its clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.checks import check_bones
from posepile.bodies.joints import SMPL_JOINT_NAMES, SMPL_PARENTS, SMPL_PART_ENDS, global_rotations
from posepile.bodies.parameters import parameters_by_frame
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import names_like
from posepile.formats.keys import only_one
from posepile.formats.matlab_files import read_mat
from posepile.formats.schema import Array
from posepile.geometry.agreement import check_parts
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_mask, check_projection, project
from posepile.geometry.rotations import euler_matrix, matrix_rotvec, rotvec_matrix
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import Rows, make_unit, unit_files

SIZE = (320, 240)
# World to camera as published, a reflection; focal length and principal point count from the
# pictures' edge.
REFLECTION = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])
FOCAL, PRINCIPAL = 600.0, (160.0, 120.0)
GENDERS = ("female", "male")
INFO = {  # metres, radians; T frames
    "joints2D": Array(2, 24, "T", squeezed=True),
    "joints3D": Array(3, 24, "T", squeezed=True),
    "pose": Array(72, "T", squeezed=True),
    "shape": Array(10, "T", squeezed=True),
    "zrot": Array("T", 1, squeezed=True),
    "gender": Array("T", 1, squeezed=True, dtype=int),
    "camLoc": Array(3, 1, squeezed=True),
}
PELVIS_LAST = [*range(1, 24), 0]

SPEC = DatasetSpec(
    name="surreal",
    joint_info=JointInfo(
        [SMPL_JOINT_NAMES[j] for j in PELVIS_LAST],
        "head-neck-thor-rcla-rsho-relb-rwri-rhan,thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    image_dir="surreal_downscaled",
    world_up=(0.0, -1.0, 0.0),
    single_person=True,
    synthetic=True,
    realistic_background=False,
    body_shape="exact",
    n_valid_betas=10,
    citation="varol2017surreal: Varol et al., Learning from Synthetic Humans, CVPR 2017",
    licence="SURREAL licence: non-commercial research, registration, no redistribution",
    sequence_names=r"\w+/run\d/(?:ung_)?(?:(?P<motion>(?P<subject>\d+)_\d+)|\w+)/\w+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        splits: Splits to pack; val is a part of test.
        runs: Of 0, 1, 2: they differ in how far the clips of a motion overlap (50, 70, 30 %).
        max_projection_px: How far joints may project from joints2D, which are rounded to integers.
        max_bone_mm: How far bones may change, and be off from where the pose puts them.
        max_off_part: How far joints may be from pixels of their part, in the median, as a share of
            the person's size; 1 = parts of another person or frame are accepted.
    """

    model_config = ConfigDict(extra="forbid")

    splits: list[Literal["train", "val", "test"]] = Field(
        ["train", "val", "test"], min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    runs: list[Literal[0, 1, 2]] = Field([0, 1, 2], min_length=1, json_schema_extra=CHOOSES_UNITS)
    max_projection_px: float = Field(0.75, gt=0)
    max_bone_mm: float = Field(1.0, gt=0)
    max_off_part: float = Field(0.1, gt=0, le=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per sequence of motion that is on the disk."""
    smpl = models.model_files("smpl", GENDERS, root)
    for split in options.splits:
        places = (at / split for at in (root / "cmu", root))
        base = only_one(places, f"the {split} set") or root / split
        for run in options.runs:
            folder = base / f"run{run}"
            for motion in sorted(names_in(folder)):
                clips = names_like(folder / motion, r"(\w+)_info\.mat").values()
                files = {
                    kind: [folder / motion / f"{clip}{kind}" for (clip,) in clips]
                    for kind in (".mp4", "_info.mat", "_segm.mat")
                }
                if clips:
                    files["models"] = smpl
                    yield make_unit(f"{split}/run{run}/{motion}", split, files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the clips of a sequence of motion."""
    files = unit_files(unit)
    clips = zip(files[".mp4"], files["_info.mat"], files["_segm.mat"], strict=True)
    return [load_clip(unit, paths, models.models_below(root), options) for paths in clips]


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is not there."""
    return models.lacking_models("smpl", GENDERS, root, "there are no body parameters")


def load_clip(unit: Unit, paths: tuple, models_root: Path | None, options: Options) -> Sequence:
    """Returns one clip of which video, annotations and masks are given."""
    video, info_file, masks_file = paths
    info = read_mat(info_file, INFO)
    gender = int(info["gender"][0, 0])
    if gender not in (0, 1) or (info["gender"] != gender).any():
        found = np.unique(info["gender"]).tolist()
        raise CorruptInput(info_file, f"gender: found {found}; expected 0 or 1 in all frames")
    joints = 1000 * info["joints3D"].transpose(2, 1, 0)
    n, known = len(joints), np.abs(joints).max(axis=(1, 2)) > 0  # some clips have zeros only
    joints[~known] = np.nan
    place = {"rotation": REFLECTION, "center": info["camLoc"].ravel(), "unit": "m"}
    lens = {"focal": FOCAL, "principal": PRINCIPAL, "pixel_origin": "edge", "size": SIZE}
    camera = make_camera(info_file, **place, **lens, mirrored=True, world_up=SPEC.world_up)
    stored = (SIZE[0] - 0.5, -0.5) + info["joints2D"].transpose(2, 1, 0) * (-1, 1)
    pose = info["pose"].T.reshape(n, 24, 3)
    zrot, pelvis = euler_matrix("z", info["zrot"][:, 0]), rotvec_matrix(pose[:, 0])
    pose[:, 0] = matrix_rotvec(euler_matrix("x", 90, degrees=True) @ zrot @ pelvis)
    turns, mm = global_rotations(pose, SMPL_PARENTS)[known], options.max_bone_mm
    bones = check_bones(info_file, joints[known], turns, "smpl", max_stretch=mm, max_off=mm)
    px = options.max_projection_px
    off = check_projection(info_file, camera, joints[known], stored[known], px)
    pixels, labels = project(camera, joints), read_labels(masks_file, n)
    part = check_parts(masks_file, pixels, labels, SMPL_PART_ENDS, options.max_off_part)
    checks = {"projection_px": off, "bone_mm": max(bones), "joints_off_part": part}
    note = models.parameters_note("smpl", GENDERS[gender], models_root=models_root)
    masks = [rlemasklib.encode((picture > 0).astype(np.uint8)) for picture in labels]
    person = Track(
        np.arange(n),
        world_coords=joints[:, PELVIS_LAST].astype(np.float32),
        bbox=Rows(masks, box_of_mask),
        mask=masks.__getitem__,
        parameters=None if note else body_of(info_file, GENDERS[gender], info, pose, models_root),
        unusable=lambda k: None if rlemasklib.area(masks[k]) else "empty mask",
        note=note,
    )
    clip = f"{unit.id}/{video.stem}"
    return view_sequence(
        unit,
        Video(video, n_frames=n, size=SIZE, mirrored=True),
        camera,
        [person],
        id=clip,
        image_name=lambda frame, _: f"{clip}/frame_{frame:06d}.jpg",
        checks=checks,
    )


def body_of(where: Path, gender: str, info: dict, pose: np.ndarray, models_root: Path | None):
    """Returns SMPL parameters by frame; the pelvis of the shaped model gives the translation."""
    rest = {"pose": np.zeros(72), "shape": info["shape"][:, 0]}
    pelvis = models.body_joints("smpl", gender, rest, models_root=models_root)[0, 0]
    body = {"type": "smpl", "gender": gender, "hands": "none", "shape": info["shape"].T}
    body |= {"pose": pose.reshape(-1, 72), "trans": info["joints3D"][:, 0].T - pelvis}
    return parameters_by_frame(where, len(pose), **body)


def read_labels(path: Path, n_frames: int) -> np.ndarray:
    """Returns body parts, uint8 ``[n, 240, 320]``: 0 or 1 + the joint; turned left for right."""
    shape = Array(SIZE[1], SIZE[0], dtype=np.uint8)
    names = [f"segm_{i + 1}" for i in range(n_frames)]
    parts = read_mat(path, {**dict.fromkeys(names, shape), "*": None})
    if more := [name for name in parts if name.startswith("segm_") and name not in names]:
        raise CorruptInput(path, f"found {more[0]}; expected {n_frames} frames, as in _info.mat")
    return np.stack([parts[name] for name in names])[..., ::-1]
