"""3DPW: people outdoors and a moving hand-held phone, SMPL poses from sensors they wear.

See README.md. One unit is one sequence. Its up vector is not reliable, so everything is expressed
in the axes of the camera: one camera without a pose for all frames, and y points down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.checks import check_bones, check_model_joints
from posepile.bodies.joints import SMPL_JOINT_NAMES, SMPL_PARENTS, global_rotations
from posepile.bodies.parameters import parameters_by_frame
from posepile.errors import CorruptInput
from posepile.formats.folders import names_like, numbered_files
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, OneOf
from posepile.geometry.cameras import camera_pose, make_camera
from posepile.geometry.pictures import check_median_projection
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import UNLABELLED, make_unit, same_count, unit_files

if TYPE_CHECKING:
    import deltacamera

FOLDERS = {"train": "train", "val": "validation", "test": "test"}
GENDERS = {"m": "male", "f": "female"}
SHORT, LONG = 1080, 1920  # sides of the pictures, upright or not
# N frames at the rate of the video; every value of a list is of one person. Lengths are metres.
# img_frame_ids count the 60 Hz data, so they name no picture: rows are numbered as pictures are.
PER_PERSON = {
    "genders": [OneOf(*GENDERS)],
    "betas": [Array(...)],  # ten of them count
    "poses": [Array("N", 72)],
    "trans": [Array("N", 3)],
    "jointPositions": [Array("N", 72)],
    "poses2d": [Array("N", 3, 18)],  # x, y, confidence of OpenPose's 18 joints
    "campose_valid": [Array("N", dtype=int)],
}
SEQUENCE = {"sequence": str, **PER_PERSON, "img_frame_ids": Array("N", dtype=int)}
SEQUENCE |= {"cam_poses": Array("N", 4, 4, finite=False), "cam_intrinsics": Array(3, 3)}
# SMPL's joints in the places of OpenPose's 2 to 13; its face and neck have no like among SMPL's.
SIDES = {"right": [*range(3), *range(6, 9)], "left": [*range(3, 6), *range(9, 12)]}
OPENPOSE = "rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank".split()
OF_LIMBS = slice(2, 14)
LIMBS = [SMPL_JOINT_NAMES.index(name) for name in OPENPOSE]
PELVIS_LAST = [*range(1, 24), 0]
MISALIGNED = "camera does not fit the person (campose_valid is 0)"
UNDETECTED = "fewer than 6 joints detected (poses2d is all zero)"

SPEC = DatasetSpec(
    name="tdpw",
    joint_info=JointInfo(
        [SMPL_JOINT_NAMES[j] for j in PELVIS_LAST],
        "head-neck-thor-rcla-rsho-relb-rwri-rhan,thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    image_dir="tdpw_downscaled",
    world_up=(0.0, -1.0, 0.0),
    body_shape="exact",
    n_valid_betas=10,
    citation="vonmarcard2018: von Marcard et al., Recovering Accurate 3D Human Pose in The Wild "
    "Using IMUs and a Moving Camera, ECCV 2018",
    licence="3DPW licence: research, https://virtualhumans.mpi-inf.mpg.de/3DPW/license.html",
    sequence_names=r"\w+/(?P<motion>\w+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        splits: Splits to pack.
        max_detection_px: How far joints may project from those that OpenPose found, in the median
            over a person's left or right limbs.
        max_bone_mm: How far bones may change, and be off from where the pose puts them.
        max_body_mm: How far joints of the body model, taken into the camera, may be from the
            published ones.
    """

    model_config = ConfigDict(extra="forbid")

    splits: list[Literal["train", "val", "test"]] = Field(
        ["train", "val", "test"], min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    max_detection_px: float = Field(40.0, gt=0)
    max_bone_mm: float = Field(2.0, gt=0)
    max_body_mm: float = Field(5.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per sequence of the chosen splits."""
    smpl = models.model_files("smpl", GENDERS.values(), root)
    for split in options.splits:
        folder = root / "sequenceFiles" / FOLDERS[split]
        for name, (stem,) in names_like(folder, r"(\w+)\.pkl").items():
            pictures = names_like(root / "imageFiles" / stem, r"image_\d+\.jpg")
            paths = [root / "imageFiles" / stem / picture for picture in pictures]
            files = {"labels": folder / name, "pictures": paths, "models": smpl}
            yield make_unit(f"{split}/{stem}", split, files)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    return models.lacking_models("smpl", GENDERS.values(), root, "there are no body parameters")


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns a sequence with its one or two people."""
    file = unit_files(unit)["labels"]
    data, folder = read_sequence(file), root / "imageFiles" / file.stem
    pictures, n = numbered_files(folder), len(data["cam_poses"])
    if len(pictures) < n:
        raise CorruptInput(folder, f"found {len(pictures)} pictures; expected {n}, as in {file}")
    x, y = data["cam_intrinsics"][:2, 2]
    size = (SHORT, LONG) if x < y else (LONG, SHORT)  # compared with every picture
    lens = {"intrinsics": data["cam_intrinsics"], "size": size, "world_up": SPEC.world_up}
    camera, tracks, checks = make_camera(file, **lens), [], Counter()
    for p in range(len(data["genders"])):
        person = {key: data[key][p] for key in PER_PERSON} | {"cam_poses": data["cam_poses"]}
        track, found = load_person(f"{file}, person {p}", person, camera, root, options)
        track.person = p
        tracks.append(track)
        checks |= found  # the larger of each
    dropped = {UNLABELLED: len(pictures) - n}
    dropped[MISALIGNED] = n * len(tracks) - sum(len(track.frames) for track in tracks)
    sequence = view_sequence(
        unit,
        Stills(pictures[:n], (size,) * n),
        camera,
        tracks,
        image_name=lambda frame, p: f"{file.stem}/image_{frame:05d}_{p:03d}.jpg",
        dropped=dropped,
        checks=checks,
    )
    return [sequence]


def read_sequence(file: Path) -> dict[str, Any]:
    """Returns what a file tells of a sequence, as many people in each list."""
    data = read_pickle(file, SEQUENCE)
    if data["sequence"] != file.stem:
        found = f"sequence: found {data['sequence']!r}; expected {file.stem!r}, as the file's name"
        raise CorruptInput(file, found, hint="extract sequenceFiles.zip again")
    same_count({f"{file}, {key}": len(data[key]) for key in PER_PERSON}, "people")
    return data


def load_person(
    where: str, person: dict[str, Any], camera: deltacamera.Camera, root: Path, options: Options
) -> tuple[Track, dict[str, float]]:
    """Returns one person in the frames whose camera fits them, in its axes, and the checks."""
    frames, gender = np.flatnonzero(person["campose_valid"] > 0), GENDERS[person["genders"]]
    to_camera, trans = person["cam_poses"][frames], person["trans"][frames]
    poses, detected = person["poses"][frames], person["poses2d"][frames].transpose(0, 2, 1)
    joints, mm = 1000 * person["jointPositions"].reshape(-1, 24, 3)[frames], options.max_bone_mm
    turns = global_rotations(poses, SMPL_PARENTS)
    bones = check_bones(where, joints, turns, "smpl", max_stretch=mm, max_off=mm)
    turn, center = camera_pose(where, world_to_camera=to_camera, unit="m")
    joints = np.einsum("nab,njb->nja", turn, joints - center[:, None])
    pixels = np.where(detected[..., 2:] > 0, detected[..., :2], np.nan)[:, OF_LIMBS]
    given = (where, camera, frames, joints[:, LIMBS], pixels, options.max_detection_px)
    off = check_median_projection(*given, parts=SIDES)
    checks = {"bone_mm": max(bones), "detection_px": max(off.values(), default=0.0)}
    found = {"models_root": models.models_below(root)}
    body, note = None, models.parameters_note("smpl", gender, **found)
    if not note and len(frames):
        given = {"pose": poses, "shape": person["betas"].ravel()[:10], "trans": trans}
        given = models.move_body("smpl", gender, given, to_camera, **found)
        who = {"type": "smpl", "gender": gender, "hands": "none"}
        body, mm = parameters_by_frame(where, len(frames), **who, **given), options.max_body_mm
        posed = 1000 * models.body_joints("smpl", gender, given, **found)
        checks["body_mm"] = check_model_joints(where, posed, joints, mm, frames)
    track = Track(
        frames,
        world_coords=joints[:, PELVIS_LAST].astype(np.float32),
        parameters=body,
        unusable=lambda k: None if detected[k].any() else UNDETECTED,
        note=note,
    )
    return track, checks
