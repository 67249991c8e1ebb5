"""SSP-3D: pictures of sportspersons in tight clothes, with SMPL fits, silhouettes and 2D joints.

See README.md. All of it is for evaluation. World and camera are one; joints are those of the body
model of each person's gender, without which nothing is packed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.joints import SMPL_JOINT_NAMES
from posepile.bodies.parameters import body_parameters
from posepile.errors import CorruptInput
from posepile.formats.arrays import read_npz
from posepile.formats.keys import by_key, only_one
from posepile.formats.schema import Array
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_mask, check_median_projection
from posepile.imaging.masks import read_mask
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes import stills
from posepile.shapes.units import unit_files

if TYPE_CHECKING:
    import deltacamera

SIZE, FOCAL, PRINCIPAL = (512, 512), 5000.0, (256.0, 256.0)
LABELS = {  # metres, radians, pixels
    "fnames": Array("N", dtype=str),
    "shapes": Array("N", 10),
    "poses": Array("N", 72),
    "genders": Array("N", dtype=str),
    "cam_trans": Array("N", 3),
    "joints2D": Array("N", 17, 3),  # COCO; x, y, confidence
    "bbox_centres": Array("N", 2),  # row, column
    "bbox_whs": Array("N"),
}
GENDERS = {"m": "male", "f": "female"}
# Joints that SMPL and COCO share: shoulders, elbows, wrists, knees, ankles; left, right.
LIMBS = [16, 17, 18, 19, 20, 21, 4, 5, 7, 8]
COCO_LIMBS = [5, 6, 7, 8, 9, 10, 13, 14, 15, 16]

SPEC = DatasetSpec(
    name="ssp3d",
    joint_info=JointInfo(
        SMPL_JOINT_NAMES,
        "head-neck-thor-rcla-rsho-relb-rwri-rhan,thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    image_dir="ssp3d_downscaled",
    world_up=(0.0, -1.0, 0.0),
    single_person=True,
    body_shape="fitted",
    n_valid_betas=10,
    citation="STRAPS2020BMVC: Sengupta, Budvytis, Cipolla, Synthetic Training, BMVC 2020",
    licence="code MIT; rights in the pictures are not stated",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        max_projection_px: How far 2D joints may be from projected joints of the body, which were
            fitted to them and others, in the median over the limbs of a unit.
        max_unlabelled: Share of the pictures that may lack labels.
    """

    model_config = ConfigDict(extra="forbid")

    max_projection_px: float = Field(10.0, gt=0)
    max_unlabelled: float = Field(0.1, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)


def data_folder(root: Path) -> Path:
    """Returns the folder of the labels: that of the archive, or the raw folder itself."""
    labels = only_one((root / "ssp_3d" / "labels.npz", root / "labels.npz"), "the labels")
    return labels.parent if labels else root / "ssp_3d"


def read_labels(path: Path) -> dict[str, np.ndarray]:
    """Returns the checked labels, arrays over all pictures."""
    labels = read_npz(path, LABELS)
    by_key(((name, i, None) for i, name in enumerate(labels["fnames"])), path, "file name")
    for name, gender in zip(labels["fnames"], labels["genders"], strict=True):
        if gender not in GENDERS:
            raise CorruptInput(path, f"gender of {name}: found {gender!r}; expected 'm' or 'f'")
    check_box_order(path, labels)
    return labels


@functools.cache
def the_camera() -> deltacamera.Camera:
    """Returns the camera, one for all pictures."""
    lens = {"focal": FOCAL, "principal": PRINCIPAL, "size": SIZE}
    return make_camera("labels.npz", **lens, world_up=SPEC.world_up)


def check_box_order(path: Path, labels: Mapping) -> None:
    """Makes sure that middles of boxes are row, column, not x, y: they are near the 2D joints'.

    Raises:
        CorruptInput: They are not clearly nearer as row, column.
    """
    middles = labels["joints2D"][..., :2]
    middles = (middles.min(axis=1) + middles.max(axis=1)) / 2
    xy, yx = labels["bbox_centres"], labels["bbox_centres"][:, ::-1]
    off, swapped = (np.linalg.norm(found - middles, axis=1).mean() for found in (yx, xy))
    if not off < 0.8 * swapped:
        raise CorruptInput(
            path,
            f"bbox_centres as (row, column) are {off:.0f} px from the middle of the 2D joints, as "
            f"(x, y) {swapped:.0f} px; expected the former to be clearly nearer",
            hint="these labels are not as published; fetch or extract them again",
        )


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit of all pictures, and one that counts those without labels."""
    folder = data_folder(root)
    labels = folder / "labels.npz"
    names = read_labels(labels)["fnames"].tolist()
    pictures = [folder / "images" / name for name in names]
    outlines = [folder / "silhouettes" / name for name in names]
    files = {"labels": labels, "silhouettes": outlines}
    files["models"] = models.model_files("smpl", GENDERS.values(), root)
    yield from stills.picture_units("test", "test", pictures, files)
    given = r".*\.png", pictures, options.max_unlabelled
    yield from stills.unlabelled_units(folder / "images", "test", *given)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    return models.lacking_models("smpl", GENDERS.values(), root, "nothing can be packed")


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit."""
    if lost := stills.unlabelled_sequence(unit):
        return [lost]
    files = unit_files(unit)
    path, labels = files["labels"], read_labels(files["labels"])
    pictures, joints, first = [], [], unit.args["first"]
    for k, picture in enumerate(files["pictures"], first):
        pose, shape, trans = (labels[key][k] for key in ("poses", "shapes", "cam_trans"))
        body = {"pose": pose, "shape": shape, "trans": trans}
        gender = GENDERS[labels["genders"][k]]
        found = models.body_joints("smpl", gender, body, models_root=models.models_below(root))
        joints.append(1000 * found[0])
        silhouette = partial(read_silhouette, files["silhouettes"][k])
        given = {"type": "smpl", "gender": gender, "hands": "none", **body}
        person = stills.Person(
            0,
            world_coords=joints[-1].astype(np.float32),
            bbox=lambda silhouette=silhouette: box_of_mask(silhouette()),
            mask=silhouette,
            parameters=partial(body_parameters, f"{path}, {picture.name}", **given),
        )
        pictures.append(stills.Picture(picture, SIZE, [person], the_camera()))
    frames, limbs = range(len(joints)), np.stack(joints)[:, LIMBS]
    seen = labels["joints2D"][first:, COCO_LIMBS][: len(joints)]
    seen = np.where(seen[..., 2:] > 0, seen[..., :2], np.nan)  # confidence
    given = {"parts": {"limbs": slice(None)}, "hint": "sides, axes or models are not those meant"}
    px = options.max_projection_px
    off = check_median_projection(path, the_camera(), frames, limbs, seen, px, **given)
    checks = {"limbs_projection_px": off["limbs"]} if off else {}
    return [stills.picture_sequence(unit, pictures, image_name=crop_name, checks=checks)]


def persons(root: Path) -> Iterator[tuple[str, list[Path], dict[str, np.ndarray]]]:
    """Yields one person after the other: name, pictures, and what is known of each picture.

    That is ``gender``, ``pose``, ``shape``, ``trans`` (metres), ``joints2D``, ``box`` (x, y of the
    middle, side) and ``silhouettes``.
    """
    folder = data_folder(root)
    labels = read_labels(folder / "labels.npz")
    of = np.array([name.rpartition("_frame_")[0] for name in labels["fnames"]])
    for person in dict.fromkeys(of.tolist()):
        some = {key: values[of == person] for key, values in labels.items()}
        names = some["fnames"].tolist()
        known = {"pose": some["poses"], "shape": some["shapes"], "trans": some["cam_trans"]}
        known["gender"] = np.array([GENDERS[gender] for gender in some["genders"]])
        known["joints2D"] = some["joints2D"][..., :2]
        known["box"] = np.column_stack([some["bbox_centres"][:, ::-1], some["bbox_whs"]])
        masks = [read_mask(folder / "silhouettes" / name) for name in names]
        known["silhouettes"] = np.stack(masks)
        yield person, [folder / "images" / name for name in names], known


def crop_name(path: Path, person: int) -> str:
    """Returns the path of a crop, which is that of the picture."""
    return f"{path.stem}.jpg"


def read_silhouette(path: Path) -> dict:
    """Returns the annotated silhouette as RLE; its pixels have a value of 1, or others above 0."""
    return rlemasklib.encode(read_mask(path).astype(np.uint8))
