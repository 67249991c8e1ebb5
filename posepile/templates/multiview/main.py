"""newdata: what it is, in one sentence. Static calibrated cameras, joints in the world.

See README.md. One unit is one take seen by one camera. Frame ``i`` of the joints is frame ``i`` of
every video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from posepile.files import names_in
from posepile.formats.arrays import read_npy
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import unit_files, view_units

# Facts. Joint names have an l or r in front where there are two of them; edges are mirrored.
SPEC = DatasetSpec(
    name="newdata",
    joint_info=JointInfo(
        "pelv,neck,htop,lsho,lelb,lwri,rsho,relb,rwri,lhip,lkne,lank,rhip,rkne,rank",
        "htop-neck-pelv,neck-lsho-lelb-lwri,pelv-lhip-lkne-lank",
    ),
    image_dir="newdata_downscaled",
    world_up=(0.0, 0.0, 1.0),
    single_person=True,
    citation="newdata: who is to be cited",
    licence="not stated",
    # Ids are <take>/<camera>; frame k is the same instant in all cameras.
    sequence_names=r"(?P<motion>[^/]+)/(?P<view>[^/]+)",
)
SPLIT_OF_TAKE = {"turn": "val", "run": "test"}  # all others are for training
CAMERAS, JOINTS, VIDEO = "cameras.json", "joints.npy", ".mp4"
UNIT = "mm"  # of cameras and joints: mm, cm or m
TO_MM = {"mm": 1, "cm": 10, "m": 1000}[UNIT]
CAMERA = {  # camera -> its parameters
    "size": Array(2, dtype=np.int64),
    "K": Array(3, 3),
    "R": Array(3, 3),  # world to camera
    "t": Array(3),  # x_cam = R x + t
    "dist?": Array(5),
}
DISTORTION = "k1 k2 p1 p2 k3"
POSES = Array("frames", SPEC.joint_info.n_joints, 3, finite=False)  # NaN = missing


class Options(BaseModel):
    """Keys below ``dataset:`` in config.yaml; none yet."""

    model_config = ConfigDict(extra="forbid")


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per take and camera: ``<take>/<camera>.mp4`` beside ``joints.npy``."""
    for take in sorted(names_in(root)):
        folder = root / take
        videos = sorted(name for name in names_in(folder) if name.endswith(VIDEO))
        views = {Path(name).stem: {"video": folder / name} for name in videos}
        shared = {"cameras": root / CAMERAS, "joints": folder / JOINTS}
        yield from view_units(take, SPLIT_OF_TAKE.get(take, "train"), views, shared)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera."""
    files, view = unit_files(unit), unit.args["view"]
    given = read_json(files["cameras"], {view: CAMERA})[view]
    size = tuple(given["size"].tolist())
    camera = make_camera(
        f"{files['cameras']}: {view}",
        rotation=given["R"],
        translation=given["t"],
        unit=UNIT,
        intrinsics=given["K"],
        distortion=given.get("dist"),
        distortion_order=DISTORTION,
        size=size,
        world_up=SPEC.world_up,
    )
    joints = np.float32(read_npy(files["joints"], POSES) * TO_MM)
    video = Video(files["video"], n_frames=len(joints), size=size)
    person = Track(np.arange(len(joints)), world_coords=joints)
    return [view_sequence(unit, video, camera, [person])]
