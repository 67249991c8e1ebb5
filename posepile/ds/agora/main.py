"""AGORA: rendered scans of 5 to 15 people in a picture, with SMPL and SMPL-X fits.

See README.md. Row ``r`` of the SMPL frame and of the SMPL-X frame describe one picture; person
``p`` of its lists has mask ``p + 1`` and colour ``p`` of the palette. One unit is some pictures.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import fits, joints, models
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats import derived, keys, tables, text_files
from posepile.formats.schema import Array, check
from posepile.geometry.cameras import unreal_camera
from posepile.geometry.pictures import check_projection
from posepile.geometry.rotations import unreal_placement
from posepile.imaging.masks import visible_masks
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes import stills
from posepile.shapes.units import make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

PARTS = {f"train_{i}": "train" for i in range(10)} | {f"validation_{i}": "val" for i in range(10)}
FULL_HEIGHT = 2160  # that joints in the picture refer to
MODELS = ("SMPL", "SMPLX")
ENDING = {2160: ".png", 720: "_1280x720.png"}  # of pictures and masks, by their height
# In the file name -> focal length (mm), position (cm), yaw, pitch (degrees); the first that is met
CAMERAS = {
    "hdri": (50, (0, 0, 170), 0, 0),
    "cam00": (18, (400, -275, 265), 135, 30),
    "cam01": (18, (400, 225, 265), -135, 30),
    "cam02": (18, (-490, 170, 265), -45, 30),
    "cam03": (18, (-490, -275, 265), 45, 30),
    "ag2": (28, (0, 0, 170), 0, 15),
}
PLACE = {f"cam{key}": Array() for key in ("X", "Y", "Z", "Yaw")}  # of other cameras
OTHER_FOCAL, EYE_HEIGHT, COLOR_TOLERANCE = 28, 170, 9
SMPLX_JOINTS = [*range(25), 28, 43, *range(55, 67), 68, 71, 73]  # of the 127
SMPLX_NAMES = [f"{joints.SMPLX_OUTPUT_NAMES[j]}_smplx" for j in SMPLX_JOINTS]
MAX_OCCLUSION, HIDDEN = 75, "invalid, or occluded by more than 75 %"
# What the rows of the frames must hold, of their P people.
SMPL = {"imgPath": str, "gt_joints_2d": Array("P", 45, 2), "gt_joints_3d": Array("P", 45, 3)}
SMPLX = {"imgPath": str, "gt_joints_2d": Array("P", 127, 2), "gt_joints_3d": Array("P", 127, 3)}
SMPLX |= dict.fromkeys(("X", "Y", "Z", "Yaw", "kid"), Array("P"))
SMPLX |= dict.fromkeys(("gender", "gt_path_smplx"), Array("P", dtype=str))
SMPLX |= {"isValid": Array("P", dtype=bool), "occlusion": Array("P", finite=False)}
SMPLX |= {f"{key}?": number for key, number in PLACE.items()}
EDGES = "head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri-rhan,"
SMPLX_EDGES = "rear-reye-nose-head-jaw-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,rank-rhee,"
SMPLX_EDGES += "thor-rcla-rsho-relb-rwri,rto2-rtoe-rto3"
EDGES += re.sub(r"\w+", r"\g<0>_smplx", SMPLX_EDGES)
SPEC = DatasetSpec(
    name="agora",
    joint_info=JointInfo([*joints.SMPL_JOINT_NAMES, *SMPLX_NAMES], EDGES),
    image_dir="agora_downscaled",
    world_up=(0.0, -1.0, 0.0),
    synthetic=True,
    body_shape="exact",
    n_valid_betas=10,
    citation="patel2021agora: Patel et al., AGORA, CVPR 2021",
    licence="AGORA licence: research, registration",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        height: Of the pictures: 2160 or 720.
        min_side: Shorter side of a person's box, pixels of the full size.
        pictures_per_unit: How many make a unit.
        max_projection_px: How far 2D joints may be from projected 3D joints, of the full size.
        max_unlabelled: Share of the pictures in a folder that may be in no frame.
    """

    model_config = ConfigDict(extra="forbid")

    height: Literal[720, 2160] = 2160
    min_side: float = Field(100.0, ge=0)
    pictures_per_unit: int = Field(50, ge=1)
    max_projection_px: float = Field(1.5, gt=0)
    max_unlabelled: float = Field(0.1, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some pictures of one part; their rows are put into a file each, once.

    Pictures that are in no frame make a unit without files, in which they are counted.
    """
    known, ending = defaultdict(list), ENDING[options.height]
    files = {"models": models.model_files("smplx", joints.GENDERS, root)}
    fitted = "smplx_gt" in names_in(root)  # if fits come later, units are made again
    for part, split in PARTS.items():
        labelled = known[folder := root / ("validation" if split == "val" else part), split]
        named = ([root / m / f"{part}{s}_withjv.pkl" for s in ("", f"_{m}")] for m in MODELS)
        frames = [keys.only_one(places, "a frame of a part") for places in named]
        if all(frames):
            made = derived.work_folder(root) / "frames", partial(joined_rows, *frames), "imgPath"
            pieces = derived.derived_rows(frames, *made, options.pictures_per_unit, version=2)
            for file, names in pieces.items():
                pictures = [folder / name.replace(".png", ending) for name in names]
                files |= {"frames": frames, "rows": file, "pictures": pictures}
                yield make_unit(f"{part}/{file.stem}", split, files, fitted=fitted)
                labelled += pictures
    for (folder, split), labelled in known.items():
        names, limit = rf".*_\d{{5}}{re.escape(ending)}", options.max_unlabelled
        yield from stills.unlabelled_units(folder, split, names, labelled, limit)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    return models.lacking_models("smplx", joints.GENDERS, root, "there are no body parameters")


def joined_rows(smpl_file: Path, smplx_file: Path) -> Iterator[dict]:
    """Yields what is needed of each picture of two frames, joints of both models together."""
    for smpl, row in tables.paired_rows((smpl_file, SMPL), (smplx_file, SMPLX), "imgPath"):
        for key in ("gt_joints_2d", "gt_joints_3d"):
            row[key] = np.concatenate([smpl[key][:, :24], row[key][:, SMPLX_JOINTS]], axis=1)
        # The model is told, too: girls were fitted with the neutral one.
        girls = np.array(row["kid"], bool) & (np.array(row["gender"]) == "female")
        yield row | {"gender": np.where(girls, "neutral", row["gender"])}


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit."""
    if lost := stills.unlabelled_sequence(unit):
        return [lost]
    files, pictures = unit_files(unit), []
    size, scale = (options.height * 16 // 9, options.height), options.height / FULL_HEIGHT
    for path, row in zip(files["pictures"], text_files.read_json(files["rows"]), strict=True):
        camera = camera_of(path, row, size)
        world = camera.camera_to_world(1000 * np.float32(row["gt_joints_3d"]))
        pixels = np.array(row["gt_joints_2d"]) * scale - 0.5
        check_projection(path, camera, world, pixels, options.max_projection_px * scale)
        people = []
        for p, mask in enumerate(read_masks(root, row["imgPath"], len(world), options)):
            seen = row["isValid"][p] and 0 <= row["occlusion"][p] <= MAX_OCCLUSION
            more = {"left_out": None if seen else HIDDEN, "hidden": row["occlusion"][p] / 100}
            place = unreal_placement([row[key][p] for key in "XYZ"], row["Yaw"][p])
            fit = Path(row["gt_path_smplx"][p]).with_suffix(".pkl"), place
            who = {"gender": row["gender"][p], "kid": bool(row["kid"][p])}
            more |= {"world_coords": world[p], **fits.moved_fit(root, *fit, **who)}
            people.append(stills.masked_person(p, mask, min_side=options.min_side * scale, **more))
        pictures.append(stills.Picture(path, size, people, camera))
    return [stills.picture_sequence(unit, pictures)]


def camera_of(path: Path, row: dict, size: tuple[int, int]) -> deltacamera.Camera:
    """Returns the camera that a picture's file name tells, else the columns of the row."""
    family = next((found for key, found in CAMERAS.items() if key in path.name), None)
    if family is None:
        x, y, z, yaw = check(row, PLACE, path, "row of the frame").values()
        family = OTHER_FOCAL, (x, y, z + EYE_HEIGHT), yaw, 0
    focal_mm, center, yaw, pitch = family
    return unreal_camera(path, center, yaw, -pitch, size=size, focal_mm=focal_mm)


def read_masks(root: Path, name: str, n: int, options: Options) -> Iterator[np.ndarray]:
    """Yields the visible pixels of each of n people, bool; the masks of some people are missing.

    In names of masks the camera comes after ``_mask``, and the number has six digits.
    """
    match = re.fullmatch(r"(.*?)(_cam\d\d)?_(\d{5})\.png", name)
    if match is None:
        raise CorruptInput(root / name, "expected a name like ag_…_<scene>_5_10_cam00_00000.png")
    stem, camera, number = match.groups("")
    split = "validation" if "_validationset_" in name else "train"
    folder = root / split / "_".join(stem.split("_")[:5])
    before = f"{stem}_mask{camera}_{int(number):06d}"
    labels, *masks = (f"{before}_{k:05d}{ENDING[options.height]}" for k in range(n + 1))
    colors = Array("ids", 3, dtype=int)
    colors = text_files.read_numbers(root / "seg_rgbs.txt", colors, numbered=True)
    return visible_masks(folder / labels, colors, [folder / m for m in masks], COLOR_TOLERANCE)
