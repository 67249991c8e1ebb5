"""EMDB: one person outdoors before a hand-held moving phone, SMPL in the world, for evaluation.

See README.md. One unit is one sequence. Joints are those of the body model, which is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.checks import check_up
from posepile.bodies.joints import GENDERS, SMPL_JOINT_NAMES
from posepile.bodies.parameters import join_pose, parameters_by_frame
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import names_like, numbered_files
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, OneOf
from posepile.geometry.cameras import moving_cameras
from posepile.geometry.pictures import box_of_points, check_projection
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import make_unit, same_count, unit_files

# Of a sequence of N frames, one for each picture; metres, radians, pixels.
SEQUENCE = {
    "gender": OneOf(*GENDERS),
    "name": str,
    "emdb1": bool,
    "emdb2": bool,
    "n_frames": int,
    "good_frames_mask": Array("N", dtype=bool),
    "camera": {
        "intrinsics": Array(3, 3),
        "extrinsics": Array("N", 4, 4, finite=False),  # world to camera
        "width": int,
        "height": int,
    },
    "smpl": {
        "poses_root": Array("N", 3),
        "poses_body": Array("N", 69),
        "trans": Array("N", 3),  # added after posing: not the pelvis
        "betas": Array("n_betas"),
    },
    "kp2d": Array("N", 24, 2, finite=False),
    "bboxes": {
        "bboxes": Array("N", 4, finite=False),  # left, top, right, bottom
        "invalid_idxs": Array("k", dtype=int),
    },
}
N_BETAS, PELVIS, HEAD = 10, SMPL_JOINT_NAMES.index("pelv"), SMPL_JOINT_NAMES.index("head")
NOT_GOOD = "nobody is seen (good_frames_mask)"
IN_NO_SET = "frame of a sequence in no set (dataset.sets)"
BOX_OF_JOINTS = "box of the joints, since the published one is marked as invalid"
# In other sequences people climb, lie or stand on their hands.
UPRIGHT, LEAST_UPRIGHT = ("walk", "stairs"), 5

SPEC = DatasetSpec(
    name="emdb",
    joint_info=JointInfo(
        SMPL_JOINT_NAMES,
        "head-neck-thor-rcla-rsho-relb-rwri-rhan,thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    image_dir="emdb_downscaled",
    world_up=(0.0, 1.0, 0.0),
    single_person=True,
    body_shape="exact",
    n_valid_betas=N_BETAS,
    citation="kaufmann2023emdb: Kaufmann et al., EMDB: The Electromagnetic Database of Global 3D "
    "Human Pose and Shape in the Wild, ICCV 2023",
    licence="EMDB licence: research, application form",
    sequence_names=r"(?P<subject>P\d)/(?P<motion>\d+_\w+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        sets: 1 (17 sequences, poses in the camera), 2 (25, paths through the world; three are in
            both), 0 (those in neither).
        max_projection_px: How far joints may project from the published pixels.
    """

    model_config = ConfigDict(extra="forbid")

    sets: list[Literal[0, 1, 2]] = Field([1, 2], min_length=1)
    max_projection_px: float = Field(3.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per sequence."""
    smpl = models.model_files("smpl", GENDERS, root)
    for person in names_like(root, r"P\d"):
        for name in names_like(root / person, r"\d+_\w+"):
            folder, file = root / person / name, f"{person}_{name}_data.pkl"
            if file in names_in(folder):
                pictures = names_like(folder / "images", r"\d+\.jpg")
                files = {"labels": folder / file, "models": smpl}
                files["pictures"] = [folder / "images" / picture for picture in pictures]
                yield make_unit(f"{person}/{name}", "test", files)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    lost = "there are no joints, so nothing is packed"
    return models.lacking_models("smpl", ("male", "female"), root, lost)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns a sequence in its good frames."""
    file = unit_files(unit)["labels"]
    data, pictures = read_sequence(file), numbered_files(file.parent / "images")
    n = same_count({file: data["n_frames"], file.parent / "images": len(pictures)})
    sets = {k for k in (1, 2) if data[f"emdb{k}"]} or {0}
    frames = np.flatnonzero(data["good_frames_mask"])
    frames = frames if sets & set(options.sets) else frames[:0]
    size = data["camera"]["width"], data["camera"]["height"]
    lens = {"intrinsics": data["camera"]["intrinsics"], "size": size, "world_up": SPEC.world_up}
    pose = {"world_to_camera": data["camera"]["extrinsics"][frames], "unit": "m"}
    camera = moving_cameras(file, frames, **pose, **lens)
    body = {key: values[frames] for key, values in data["body"].items()}
    joints, pixels = joints_of(root, data["gender"], body), data["kp2d"][frames]
    limit = options.max_projection_px
    off = check_projection(file, camera, joints, pixels, limit, frames=frames)
    if any(word in unit.id for word in UPRIGHT):
        towards_head = joints[:, HEAD] - joints[:, PELVIS]
        check_up(file, towards_head, SPEC.world_up, least=LEAST_UPRIGHT)
    left, top, right, bottom = data["bboxes"]["bboxes"][frames].T
    boxes = np.float32(np.stack([left, top, right - left, bottom - top], axis=1))
    invalid = np.isin(frames, data["bboxes"]["invalid_idxs"])
    boxes[invalid] = box_of_points(pixels[invalid], size)
    person = Track(
        frames,
        world_coords=np.float32(joints),
        bbox=boxes,
        parameters=parameters_by_frame(
            file, len(frames), type="smpl", gender=data["gender"], hands="none", **body
        ),
        note=[BOX_OF_JOINTS if bad else "" for bad in invalid] if invalid.any() else "",
    )
    n_good = int(data["good_frames_mask"].sum())
    dropped = {NOT_GOOD: n - n_good, IN_NO_SET: n_good - len(frames)}
    frames_of, checks = Stills(pictures, (size,) * n), {"projection_px": off}
    return [view_sequence(unit, frames_of, camera, [person], dropped=dropped, checks=checks)]


def joints_of(root: Path, gender: str, body: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the joints of SMPL bodies in the world, millimetres ``[n, 24, 3]``."""
    if not len(body["pose"]):
        return np.empty((0, 24, 3))
    models_root = models.models_below(root)
    return 1000.0 * models.body_joints("smpl", gender, body, models_root=models_root)


def read_sequence(file: Path) -> dict[str, Any]:
    """Returns what a file tells of a sequence, and ``body``: SMPL's parameters frame by frame."""
    data = read_pickle(file, SEQUENCE)
    if data["name"] != file.name.removesuffix("_data.pkl"):
        raise CorruptInput(file, f"name: found {data['name']!r}; expected that of the file")
    counts = {"n_frames": data["n_frames"], "good_frames_mask": len(data["good_frames_mask"])}
    n, smpl = same_count({f"{file}, {key}": n for key, n in counts.items()}), data["smpl"]
    pose = join_pose(file, "smpl", root=smpl["poses_root"], body=smpl["poses_body"])
    shape = np.tile(smpl["betas"][:N_BETAS], (n, 1))
    return data | {"body": {"pose": pose, "shape": shape, "trans": smpl["trans"]}}
