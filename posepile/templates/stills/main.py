"""newdata: what it is, in one sentence. Pictures with a camera each, people with SMPL bodies.

See README.md. One unit is some hundred pictures of a split, in the order of its annotation file.
Person ``i`` of a picture is the i-th one that its entry lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.parameters import body_parameters
from posepile.files import names_in
from posepile.formats.schema import Array, OneOf
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Unit
from posepile.shapes.stills import Person, Picture, picture_sequence, picture_units
from posepile.shapes.units import unit_files

if TYPE_CHECKING:
    import deltacamera

# Facts. Joint names have an l or r in front where there are two of them; edges are mirrored.
SPEC = DatasetSpec(
    name="newdata",
    joint_info=JointInfo(
        "pelv,lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,lsho,"
        "rsho,lelb,relb,lwri,rwri,lhan,rhan",
        "head-neck-thor-spin-bell-pelv-lhip-lkne-lank-ltoe,thor-lcla-lsho-lelb-lwri-lhan",
    ),
    image_dir="newdata_downscaled",
    world_up=(0.0, 0.0, 1.0),
    body_shape="fitted",
    citation="newdata: who is to be cited",
    licence="not stated",
)
SPLITS = ("train", "val", "test")  # <split>.json; not all of them have to be there
UNIT = "m"  # of cameras and joints: mm, cm or m
TO_MM = {"mm": 1, "cm": 10, "m": 1000}[UNIT]
SMPL = {"gender": OneOf("female", "male", "neutral"), "pose": Array(72), "betas": Array(10)}
PERSON = {
    "joints": Array(SPEC.joint_info.n_joints, 3, finite=False),  # NaN = missing
    "box": Array(4),  # x, y, width, height
    "mask?": str,  # grey picture, above 127 = the person
    "smpl?": SMPL | {"trans": Array(3)},  # metres
}
PICTURES = [
    {
        "file": str,
        "size": [int],
        "intrinsics": Array(3, 3),
        "rotation": Array(3, 3),  # world to camera
        "translation": Array(3),  # x_cam = R x + t
        "people": [PERSON],
    }
]


class Options(BaseModel):
    """Keys below ``dataset:`` in config.yaml.

    Attributes:
        pictures_per_unit: That many make a unit of work.
    """

    model_config = ConfigDict(extra="forbid")

    pictures_per_unit: int = Field(200, ge=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some hundred pictures of the splits that are there."""
    there = names_in(root)
    for split in SPLITS:
        file = root / f"{split}.json"
        if file.name in there:
            paths = [root / entry["file"] for entry in read_json(file, [{"file": str}])]
            shared, size = {"annotations": file}, options.pictures_per_unit
            yield from picture_units(split, split, paths, shared, size=size)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit, each with its people and its camera."""
    files, first = unit_files(unit), unit.args["first"]
    entries = read_json(files["annotations"], PICTURES)[first:]
    pictures = []
    for path, entry in zip(files["pictures"], entries[: len(files["pictures"])], strict=True):
        people = [read_person(root, path, i, p) for i, p in enumerate(entry["people"])]
        pictures.append(Picture(path, tuple(entry["size"]), people, read_camera(path, entry)))
    return [picture_sequence(unit, pictures)]


def read_person(root: Path, path: Path, index: int, entry: dict[str, Any]) -> Person:
    """Returns a person; mask and parameters are made when they are needed."""
    from posepile.imaging.masks import MaskFrames, person_rule  # decoders are slow to import

    mask, body = entry.get("mask"), entry.get("smpl")
    if mask is not None:
        source, rule = Stills((root / mask,)), person_rule("value > 127")
        mask = partial(MaskFrames(source, rule), 0)
    if body is not None:
        given = {"gender": body["gender"], "pose": body["pose"], "trans": body["trans"]}
        given |= {"type": "smpl", "hands": "none", "shape": body["betas"]}
        body = partial(body_parameters, f"{path}, person {index}", **given)
    joints = (entry["joints"] * TO_MM).astype(np.float32)
    return Person(index, world_coords=joints, bbox=entry["box"], mask=mask, parameters=body)


def read_camera(path: Path, entry: dict[str, Any]) -> deltacamera.Camera:
    """Returns the camera of a picture."""
    return make_camera(
        path,
        rotation=entry["rotation"],
        translation=entry["translation"],
        unit=UNIT,
        intrinsics=entry["intrinsics"],
        size=tuple(entry["size"]),
        world_up=SPEC.world_up,
    )
