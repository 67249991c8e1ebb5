"""GPA: people among boxes, a chair and a stair, five cameras of a studio, 34 joints.

See README.md. Joints are in the axes of the camera, millimetres. One unit is some pictures of one
camera, in the order of the annotations.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.arrays import read_npy
from posepile.formats.derived import derived_rows, work_folder
from posepile.formats.folders import files_by_id
from posepile.formats.schema import Array, check
from posepile.formats.tables import iter_json_pairs
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.numbering import tell_cameras
from posepile.geometry.pictures import project
from posepile.imaging.masks import read_rle
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, chosen_subjects
from posepile.shapes import stills
from posepile.shapes.units import check_there, make_unit, unit_files, unlabelled

LABELS, WORLD = "xyz_gpa12_mdp_cntind_crop_cam_c2g.json", "xyz_gpa12_cntind_world_cams.json"
PICTURES, MASKS = "Gaussian_img_jpg_new", "img_jpg_new_resnet101deeplabv3humanmask"
SIZE, PER_PIECE = (1920, 1080), 4000
LENS = {"f": Array(2, finite=False), "c": Array(2, finite=False)}
LABEL = {"joint_cams": Array(3, 34, finite=False), "joint_imgs_uncrop": Array(34, 2, finite=False)}
LABEL |= {"istrains": bool, "istests": bool}
ROW = LENS | {"joints": Array(34, 3, finite=False), "pixels": Array(34, 2, finite=False)}
TOLD = {"max_lenses", "max_cameras", "first_number"}  # options that tell cameras
NO_SPLIT, NO_FILE = "neither for training nor for testing", "picture or its mask is not there"
SPEC = DatasetSpec(
    name="gpa",
    joint_info=JointInfo(
        "pelv,spin,spi1,spi2,spi3,neck,head,htop,rcla,rsho,relb,rwri,rhan,rfin,rthu,rthu2,lcla,"
        "lsho,lelb,lwri,lhan,lfin,lthu,lthu2,rhip,rkne,rank,rfoo,rtoe,lhip,lkne,lank,lfoo,ltoe",
        "rtoe-rfoo-rank-rkne-rhip-pelv-spin-spi1-spi2-spi3-neck-head-htop,"
        "spi3-rcla-rsho-relb-rwri-rhan-rfin,rwri-rthu-rthu2",
    ),
    image_dir="gpa_downscaled",
    # Joints are in the axes of the camera, so this is up only as far as the camera is level.
    world_up=(0.0, -1.0, 0.0),
    citation="gpa19: Wang, Chen, Rathore, Shin, Fowlkes, Geometric Pose Affordance: 3D Human Pose "
    "with Scene Constraints, arXiv:1905.07718, 2019",
    licence="none is stated; research only",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        distortion: Camera -> k1 k2 p1 p2 k3; other cameras have none.
        max_projection_px: How far joints in the picture may be from projected ones, on average.
        max_lenses: How many focal lengths and principal points a camera's pictures may have.
        max_cameras: How many cameras there may be.
        first_number: Of the picture that the table of cameras begins with; None: as lenses tell.
        max_missing: Share of the annotations whose picture or mask may be missing.
        max_unlabelled: Share of the pictures that may lack annotations.
    """

    model_config = ConfigDict(extra="forbid")

    distortion: dict[str, list[float]] = {}
    max_projection_px: float = Field(1.0, gt=0)
    max_lenses: int = Field(1, ge=1)
    max_cameras: int = Field(10, ge=1)
    first_number: Literal[0, 1] | None = None
    max_missing: float = Field(0.01, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)
    max_unlabelled: float = Field(0.7, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some pictures of one camera, and one of pictures without annotations."""
    pictures = files_by_id(root / PICTURES, r"(\d{10})\.jpg")
    masks = files_by_id(root / MASKS, r"(\d{10})_mask\.jpg")
    pieces, there = label_pieces(root, options), pictures.keys() & masks.keys()
    labels = [name for names in pieces.values() for name in names]
    chosen_subjects(options.distortion or None, {c for _, c, _ in labels}, "distortion", "camera")
    check_there(root / PICTURES, (id for *_, id in labels), there, options.max_missing)
    for piece, names in pieces.items():
        groups = defaultdict(list)
        for split, camera, id in names:
            groups[split, camera].append(id)
        for (split, camera), ids in sorted(groups.items(), reverse=True):
            some = [id for id in ids if id in there]
            files = {"rows": piece, "labels": root / LABELS, "masks": [masks[id] for id in some]}
            files |= {"pictures": [pictures[id] for id in some]}
            id, told = f"{split or 'none'}/{camera}/{piece.stem}", {"key": [split, camera]}
            yield make_unit(id, split or "test", files if split else {}, n=len(ids), **told)
    known = (pictures.get(id) for *_, id in labels)
    if lost := unlabelled(pictures.values(), known, options.max_unlabelled):
        yield make_unit(f"{PICTURES}/unlabelled", "train", {}, unlabelled=len(lost))


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit."""
    if lost := stills.unlabelled_sequence(unit):
        return [lost]
    (split, camera), n = unit.args["key"], unit.args["n"]
    if not split:
        return [stills.picture_sequence(unit, [], dropped={NO_SPLIT: n})]
    files, where = unit_files(unit), f"{root / LABELS}, camera {camera}"
    rows = {row["name"][2]: row for row in read_json(files["rows"])}
    rows = check([rows[p.stem] for p in files["pictures"]], [ROW], files["labels"])
    lens = {"distortion": options.distortion.get(camera), "world_up": SPEC.world_up, "size": SIZE}
    pictures, away = [], []
    for row, path, file in zip(rows, files["pictures"], files["masks"], strict=True):
        seen_by = make_camera(f"{where}, {path.stem}", focal=row["f"], principal=row["c"], **lens)
        known = np.isfinite([*row["joints"].T, *row["pixels"].T]).all(axis=0)
        off = np.linalg.norm(project(seen_by, row["joints"]) - row["pixels"], axis=-1)[known]
        away += np.nan_to_num(off, nan=np.inf).tolist()
        mask = functools.partial(read_rle, file, 10)
        person = stills.Person(0, world_coords=np.float32(row["joints"]), mask=mask)
        pictures.append(stills.Picture(path, SIZE, [person], seen_by))
    if (off := float(np.mean(away or [0]))) > options.max_projection_px:
        found = f"joints in the picture lie {off:.3g} px (mean) from projected ones; expected at "
        hint = f"are pictures distorted? See dataset.distortion; {WORLD} has lenses (src_cam1)"
        raise CorruptInput(where, f"{found}most {options.max_projection_px:g} px", hint=hint)
    told = {"image_name": lambda path, _: f"{path.stem[:6]}/{path.stem[6:8]}/{path.stem}.jpg"}
    told |= {"checks": {"projection_px": off}, "dropped": {NO_FILE: n - len(pictures)}}
    return [stills.without_poor_masks(stills.picture_sequence(unit, pictures, **told))]


def label_pieces(root: Path, options: Options) -> dict[Path, list[tuple[str, str, str]]]:
    """Returns files with the labels of some pictures each, and split, camera, id of these."""
    rows = functools.partial(read_rows, root, options)
    version = "-".join(map(str, [2, *options.model_dump(include=TOLD).values()]))
    place, sources = work_folder(root) / "annotations", [root / LABELS, camera_table(root)]
    return derived_rows(sources, place, rows, "name", PER_PIECE, version=version)


def read_rows(root: Path, options: Options) -> Iterator[dict]:
    """Yields what is used of the annotations, in their order."""
    path, lists = root / LABELS, {"images": {"file_name": str}, "annotations": LENS}
    ids, lenses = [], []
    for image, label in iter_json_pairs(path, lists):
        if not re.fullmatch(r"\d{10}", id := image["file_name"][-14:-4]):
            raise CorruptInput(path, f"images: found {image['file_name']!r}; expected 10 digits")
        lens = np.round([*label["f"], *label["c"]], 2)
        lenses.append((int(id), tuple(lens.tolist()) if np.isfinite(lens).all() else None))
        ids.append(id)
    table = [str(value) for value in np.ravel(read_npy(camera_table(root)))]
    cameras = tell_cameras(camera_table(root), table, lenses, **options.model_dump(include=TOLD))
    labels = iter_json_pairs(path, lists | {"annotations": LENS | LABEL})
    for id, camera, (_, label) in zip(ids, cameras, labels, strict=True):
        splits = [split for split in ("train", "test") if label[f"is{split}s"]]
        if len(splits) > 1:
            raise CorruptInput(path, f"picture {id} is for training and for testing")
        row = {"name": (*(splits or [""]), camera, id), "f": label["f"], "c": label["c"]}
        yield row | {"joints": label["joint_cams"].T, "pixels": label["joint_imgs_uncrop"]}


def camera_table(root: Path) -> Path:
    """Returns the table of cameras; people have its folder in small letters, too."""
    is_small = "sequence_ids" in names_in(root)
    return root / ("sequence_ids" if is_small else "Sequence_ids") / "cam_ids_750k.npy"
