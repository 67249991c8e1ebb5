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
)
SPLITS = ("train", "val", "test")  # folders; not all of them have to be there
CAMERAS = "cameras.json"
UNIT = "mm"  # of cameras and joints: mm, cm or m
CAMERA = {  # camera -> its parameters
    "size": [int],
    "intrinsics": Array(3, 3),
    "rotation": Array(3, 3),  # world to camera
    "translation": Array(3),  # x_cam = R x + t
    "distortion?": Array(5),
}
DISTORTION = "k1 k2 p1 p2 k3"
JOINTS = Array("frames", SPEC.joint_info.n_joints, 3, finite=False)  # NaN = missing
TO_MM = {"mm": 1, "cm": 10, "m": 1000}[UNIT]


class Options(BaseModel):
    """Keys below ``dataset:`` in config.yaml; none yet."""

    model_config = ConfigDict(extra="forbid")


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per take and camera: ``<split>/<take>/<camera>.mp4`` and ``joints.npy``."""
    shared = {"cameras": root / CAMERAS}
    for split in SPLITS:
        for take in sorted(names_in(root / split)):
            folder = root / split / take
            videos = sorted(name for name in names_in(folder) if name.endswith(".mp4"))
            views = {Path(name).stem: {"video": folder / name} for name in videos}
            files = shared | {"joints": folder / "joints.npy"}
            yield from view_units(f"{split}/{take}", split, views, files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera."""
    files, view = unit_files(unit), unit.args["view"]
    camera = read_json(files["cameras"], {view: CAMERA})[view]
    joints = read_npy(files["joints"], JOINTS) * TO_MM
    person = Track(np.arange(len(joints)), world_coords=joints.astype(np.float32))
    size = tuple(camera["size"])
    return [
        view_sequence(
            unit,
            Video(files["video"], n_frames=len(joints), size=size),
            make_camera(
                f"{files['cameras']}: {view}",
                rotation=camera["rotation"],
                translation=camera["translation"],
                unit=UNIT,
                intrinsics=camera["intrinsics"],
                distortion=camera.get("distortion"),
                distortion_order=DISTORTION,
                size=size,
                world_up=SPEC.world_up,
            ),
            [person],
        )
    ]
