"""AGORA: rendered scans of 5 to 15 people in a picture, with SMPL and SMPL-X fits.

See README.md. Row ``r`` of the SMPL frame and of the SMPL-X frame describe one picture; person
``p`` of its lists has mask ``p + 1`` and colour ``p`` of the palette. One unit is some pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.joints import SMPL_JOINT_NAMES
from posepile.bodies.models import find_body_model, models_below, move_body
from posepile.bodies.parameters import body_parameters, load_hands, parameters_of_fit
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.derived import RowPieces, derived_rows, work_folder
from posepile.formats.keys import only_one
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array
from posepile.formats.tables import read_rows
from posepile.formats.text_files import read_text
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_mask, check_projection
from posepile.geometry.rotations import euler_matrix, unreal_rotation, unreal_to_opencv
from posepile.imaging.masks import read_label_image
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Unit
from posepile.shapes.stills import Person, Picture, picture_sequence
from posepile.shapes.units import make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

PARTS = {f"{part}_{i}": split for part, split in (("train", "train"), ("validation", "val"))
         for i in range(10)}  # fmt: skip
FULL_HEIGHT = 2160  # that joints in the picture refer to
# In the file name -> focal length (mm), position (cm), yaw, pitch (degrees); the first that is met
CAMERAS = {
    "hdri": (50, (0, 0, 170), 0, 0),
    "cam00": (18, (400, -275, 265), 135, 30),
    "cam01": (18, (400, 225, 265), -135, 30),
    "cam02": (18, (-490, 170, 265), -45, 30),
    "cam03": (18, (-490, -275, 265), 45, 30),
    "ag2": (28, (0, 0, 170), 0, 15),
}
OTHER_FOCAL, EYE_HEIGHT, SENSOR_WIDTH = 28, 170, 36
SMPLX_NAMES = (
    *SMPL_JOINT_NAMES[:22],
    *"jaw,leyehf,reyehf,lmiddle1,rmiddle1,nose,reye,leye,rear,lear,lto2,lto3,lhee,rto2,rto3,rhee,"
    "lthu,lmiddle,rthu,rmiddle".split(","),
)
SMPLX_JOINTS = [*range(25), 28, 43, *range(55, 67), 68, 71, 73]  # of the 127
COLOR_TOLERANCE = 10
MAX_PROJECTION_PX = 1.5  # of the full size
MAX_OCCLUSION = 75
SMALL = "shorter side below dataset.min_side"


def row_of(n_joints: int) -> dict:
    """Returns what a row of a frame with that many joints must hold, of its P people."""
    each = {key: Array("P") for key in ("X", "Y", "Z", "Yaw", "kid")}
    joints = {f"gt_joints_{n}d": Array("P", n_joints, n) for n in (2, 3)}
    camera = {f"cam{key}?": Array() for key in ("X", "Y", "Z", "Yaw")}
    texts = {"imgPath": str, "gender": [str], "gt_path_smplx?": [str]}
    valid = {"isValid": Array("P", dtype=bool), "occlusion": Array("P", finite=False)}
    return each | joints | camera | texts | valid


EDGES = (
    "head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri-rhan,"
    "rear_smplx-reye_smplx-nose_smplx-head_smplx-jaw_smplx-neck_smplx-thor_smplx-spin_smplx-"
    "bell_smplx-pelv_smplx-rhip_smplx-rkne_smplx-rank_smplx-rtoe_smplx,thor_smplx-rcla_smplx-"
    "rsho_smplx-relb_smplx-rwri_smplx,rank_smplx-rhee_smplx,rto2_smplx-rtoe_smplx-rto3_smplx"
)
SPEC = DatasetSpec(
    name="agora",
    joint_info=JointInfo([*SMPL_JOINT_NAMES, *(f"{n}_smplx" for n in SMPLX_NAMES)], EDGES),
    image_dir="agora_downscaled",
    world_up=(0.0, -1.0, 0.0),
    synthetic=True,
    body_shape="exact",
    n_valid_betas=10,
    citation="patel2021agora: Patel et al., AGORA: Avatars in Geography Optimized for Regression "
    "Analysis, CVPR 2021",
    licence="AGORA licence: research, registration",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        height: Of the pictures: 2160 or 720.
        min_side: Shorter side of a person's box, pixels of the full size.
        pictures_per_unit: How many make a unit.
    """

    model_config = ConfigDict(extra="forbid")

    height: Literal[720, 2160] = 2160
    min_side: float = Field(100.0, ge=0)
    pictures_per_unit: int = Field(50, ge=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some pictures of one part."""
    for part, split in PARTS.items():
        frames = [frame_file(root, model, part) for model in ("SMPL", "SMPLX")]
        folder = root / ("validation" if split == "val" else part)
        for piece, names in cut(root, frames, options).names().items() if all(frames) else ():
            pictures = [folder / sized(name, options) for name in names]
            files = {"frames": frames, "pictures": pictures}
            yield make_unit(f"{part}/{piece}", split, files, piece=piece)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit."""
    files, pictures = unit_files(unit), []
    rows = cut(root, files["frames"], options).rows(unit.args["piece"])
    for path, row in zip(files["pictures"], rows, strict=True):
        camera = camera_of(path, row, options)
        world = camera.camera_to_world(np.float32(row["gt_joints_3d"]).reshape(-1, 3) * 1000)
        world = world.reshape(np.shape(row["gt_joints_3d"]))
        scale = options.height / FULL_HEIGHT
        pixels = np.array(row["gt_joints_2d"]) * scale - 0.5
        check_projection(path, camera, world, pixels, max(0.2, MAX_PROJECTION_PX * scale))
        masks = read_masks(root, row["imgPath"], len(world), options)
        people = [
            Person(
                p,
                world_coords=coords,
                bbox=box_of_mask(mask),
                mask=partial(rlemasklib.encode, mask),
                parameters=partial(read_body, root, row, p),
                left_out=why_not(row, p, mask, options.min_side * scale),
            )
            for p, (coords, mask) in enumerate(zip(world, masks, strict=True))
        ]
        pictures.append(Picture(path, (options.height * 16 // 9, options.height), people, camera))
    return [picture_sequence(unit, pictures)]


def why_not(row: dict, p: int, mask: np.ndarray, min_side: float) -> str | None:
    """Returns why a person is left out, or None."""
    if not row["isValid"][p] or not 0 <= row["occlusion"][p] <= MAX_OCCLUSION:
        return f"invalid, or occluded by more than {MAX_OCCLUSION} %"
    if not mask.any():
        return "no pixel in the mask"
    return SMALL if box_of_mask(mask)[2:].min() < min_side else None


def frame_file(root: Path, model: str, part: str) -> Path | None:
    """Returns the pandas frame of a part under whichever of its names is there."""
    names = (f"{part}_withjv.pkl", f"{part}_{model}_withjv.pkl")
    return only_one((root / model / name for name in names), "the frame of a part")


def cut(root: Path, frames: list[Path], options: Options) -> RowPieces:
    """Returns what is needed of the frames of a part, in pieces of some pictures."""
    place, read = work_folder(root) / "frames", partial(joined_rows, *frames)
    return derived_rows(frames, place, read, "imgPath", options.pictures_per_unit)


def joined_rows(smpl_file: Path, smplx_file: Path) -> Iterator[dict]:
    """Yields what is needed of each picture of two frames, as plain data."""
    smpl, smplx = read_rows(smpl_file, row_of(45)), read_rows(smplx_file, row_of(127))
    for first, second in zip(smpl, smplx, strict=True):
        if first["imgPath"] != second["imgPath"]:
            found, expected = second["imgPath"], f"{first['imgPath']} as in {smpl_file.name}"
            raise CorruptInput(smplx_file, f"found {found}; expected {expected}")
        for key in ("gt_joints_3d", "gt_joints_2d"):
            parts = first[key][:, :24], second[key][:, SMPLX_JOINTS]
            second[key] = np.concatenate(parts, axis=1)
        yield {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in second.items()}


def sized(name: str, options: Options) -> str:
    """Returns the name of a picture or mask of the size that is asked for."""
    return name if options.height == FULL_HEIGHT else name.replace(".png", "_1280x720.png")


def camera_of(path: Path, row: dict, options: Options) -> deltacamera.Camera:
    """Returns the camera that a picture's file name tells, else the columns of the row."""
    family = next((found for key, found in CAMERAS.items() if key in path.name), None)
    if family is None:
        x, y, z, yaw = (row[key] for key in ("camX", "camY", "camZ", "camYaw"))
        family = OTHER_FOCAL, (x, y, z + EYE_HEIGHT), yaw, 0
    focal_mm, center, yaw, pitch = family
    size = options.height * 16 // 9, options.height
    pose = {"rotation": unreal_rotation(yaw, -pitch), "center": center}
    lens = {"focal": focal_mm / SENSOR_WIDTH * size[0], "size": size}
    return make_camera(path, axes="unreal", unit="cm", world_up=SPEC.world_up, **pose, **lens)


def read_masks(root: Path, name: str, n: int, options: Options) -> list[np.ndarray]:
    """Returns the visible pixels of each of n people, uint8.

    These are the pixels of the label image that have nearly the person's colour, as far as they
    lie in the person's own mask.
    """
    stem, camera, number = re.fullmatch(r"(.*?)(_cam\d\d)?_(\d{5})\.png", name).groups("")
    scene = re.sub(r"(_\d+mm)?(_5_1[05])?$", "", stem)
    folder = root / ("validation" if "_validationset_" in name else "train") / scene
    before = folder / f"{stem}_mask{camera}_{int(number):06d}"
    files = [Path(sized(f"{before}_{k:05d}.png", options)) for k in range(n + 1)]
    there = names_in(folder)
    if files[0].name not in there:
        raise CorruptInput(files[0], "label image is missing", hint="extract the masks again")
    labels = read_label_image(files[0]).astype(int)
    masks = []
    for color, file in zip(read_palette(root / "seg_rgbs.txt")[:n], files[1:], strict=True):
        near = (np.abs(labels - color) < COLOR_TOLERANCE).all(axis=-1)
        if file.name in there:  # some are missing
            near &= read_label_image(file).any(axis=-1)
        masks.append(near.astype(np.uint8))
    return masks


@cache
def read_palette(path: Path) -> np.ndarray:
    """Returns the RGB colours of label images by id, ``[n, 3]``."""
    found = re.findall(r"^\s*(\d+)\s*\[(\d+), *(\d+), *(\d+)\]", read_text(path), re.MULTILINE)
    colors = np.array(found, int).reshape(-1, 4)
    if not len(colors) or (colors[:, 0] != range(len(colors))).any():
        raise CorruptInput(path, "expected lines `id [r, g, b]` with ids from 0 on")
    return colors[:, 1:]


def read_body(root: Path, row: dict, p: int) -> dict | None:
    """Returns SMPL-X parameters in the world; None where the body model is not on disk.

    The fits lack the mean hand. Girls were fitted with the neutral model, boys with the male one.
    """
    kid, gender, models = bool(row["kid"][p]), row["gender"][p], models_below(root)
    gender = "neutral" if kid and gender == "female" else gender
    model = find_body_model("smplx", gender, models_root=models)
    if model is None:
        return None
    file = (root / row["gt_path_smplx"][p]).with_suffix(".pkl")
    hands = load_hands(model)
    body = parameters_of_fit(file, read_pickle(file), gender=gender, hands=hands, kid=kid)
    turn = euler_matrix("y", row["Yaw"][p] - 90, degrees=True)
    transform = np.eye(4)
    transform[:3, :3] = turn @ np.diag([1.0, -1, -1])
    transform[:3, 3] = unreal_to_opencv([row[key][p] for key in "XYZ"]) / 100
    moved = move_body("smplx", gender, body, transform, models_root=models)
    return body_parameters(file, hands="whole", **moved)
