"""3DOH50K: single pictures of people behind objects, SMPL fitted to several calibrated views.

See README.md. Lengths are in units of about 1/7 m, joints are in the frame of the camera, pose and
translation of the body in that of the world. One unit is some pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PureWindowsPath

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.parameters import parameters_by_frame
from posepile.errors import CorruptInput
from posepile.formats.arrays import stacked
from posepile.formats.derived import derived_rows, work_folder
from posepile.formats.schema import Array
from posepile.formats.text_files import iter_json, read_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_projection
from posepile.imaging.masks import read_rle
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes import stills
from posepile.shapes.units import make_unit, unit_files

SETS = {"trainset": "train", "testset": "test"}
LABELS = {  # of one picture; lengths in units of about 1/7 m
    "img_path": str,
    "extri": Array(4, 4),
    "intri": Array(3, 3),
    "bbox": Array(2, 2),  # left, top; right, bottom
    "betas": Array(1, 10, squeezed=True),
    "pose": Array(1, 72, squeezed=True),
    "trans": Array(1, 3, squeezed=True),
    "scale": Array(1, squeezed=True),
    **{f"smpl_joints_{n}d": Array(24, n) for n in (2, 3)},
    **{f"lsp_joints_{n}d": Array(14, n) for n in (2, 3)},  # 3D in the camera's frame
}
FITTED = {"type": "smpl", "gender": "neutral", "hands": "none"}
PER_UNIT = 400

SPEC = DatasetSpec(
    name="tdoh",
    joint_info=JointInfo(
        "rank,rkne,rhip,lhip,lkne,lank,rwri,relb,rsho,lsho,lelb,lwri,neck,head",
        "rsho-relb-rwri,rhip-rkne-rank,neck-head",
    ),
    image_dir="3doh_downscaled",
    single_person=True,
    body_shape="fitted",
    n_valid_betas=10,
    citation="Zhang20CVPR: Zhang, Huang, Wang, Object-Occluded Human Shape and Pose Estimation",
    licence="research",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        units_per_metre: Lengths in the files by metres; the fitted scales are about 7, too.
        max_projection_px: How far 2D joints may be from projected 3D joints.
        max_body_px: How far 2D joints of the body may be from those of its parameters.
        max_unlabelled: Share of the pictures of a set that may lack annotations.
    """

    model_config = ConfigDict(extra="forbid")

    units_per_metre: float = Field(7.0, gt=0)
    max_projection_px: float = Field(5.0, gt=0)
    max_body_px: float = Field(1.0, gt=0)
    max_unlabelled: float = Field(0.1, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is not there."""
    return models.lacking_models("smpl", ["neutral"], root, "there are no body parameters")


def calibrate(root: Path, options: Options) -> list[str]:
    """Returns the fitted scales of each set, which are the units per metre of its bodies."""
    lines, used = [], options.units_per_metre
    for name in SETS:
        scales = [row["scale"] for piece in label_pieces(root, name) for row in read_json(piece)]
        low, middle, high = np.percentile(scales, [1, 50, 99])
        line = f"{name}: fitted scale {middle:.3f} (median), {low:.3f} to {high:.3f} (98 %)"
        off = f"warning: dataset.units_per_metre is {used:g}, more than 2 % off: "
        lines.append(off + line if abs(middle / used - 1) > 0.02 else line)
    return lines


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some pictures of one set."""
    smpl = models.model_files("smpl", ["neutral"], root)
    for name, split in SETS.items():
        folder, labelled = root / name, []
        for piece, ids in label_pieces(root, name).items():
            pictures = [folder / "images" / f"{id}.jpg" for id in ids]
            files = {"labels": folder / "annots.json", "rows": piece, "pictures": pictures}
            if split == "train":  # the test set has none
                files["masks"] = [folder / "masks" / f"{id}.png" for id in ids]
            yield make_unit(f"{name}/{piece.stem}", split, {**files, "models": smpl})
            labelled += pictures
        given = r"\d+\.jpg", labelled, options.max_unlabelled
        yield from stills.unlabelled_units(folder / "images", split, *given)


def label_pieces(root: Path, name: str) -> dict[Path, list[str]]:
    """Returns files with the labels of some pictures each, and the pictures' ids; made once."""
    source = root / name / "annots.json"
    place, rows = work_folder(root) / "labels" / name, partial(read_labels, source)
    return derived_rows([source], place, rows, "id", PER_UNIT)


def read_labels(path: Path) -> Iterator[dict]:
    """Yields the labels of pictures with their ``id``."""
    for id, label in iter_json(path, "", LABELS, keyed=True):
        if PureWindowsPath(label["img_path"]).stem != id:  # some paths have backslashes
            found = f"{id}.img_path: found {label['img_path']!r:.60}; expected picture {id}"
            raise CorruptInput(path, found)
        yield {"id": id, **label}


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit."""
    if lost := stills.unlabelled_sequence(unit):
        return [lost]
    files = unit_files(unit)
    where, mm = files["labels"], 1000 / options.units_per_metre
    rows = read_json(files["rows"], [LABELS])
    labels = stacked([{k: v for k, v in row.items() if k != "img_path"} for row in rows])
    cameras = []
    for row in rows:
        lens = {"intrinsics": row["intri"], "world_up": tuple(-row["extri"][1, :3])}  # picture's
        place = f"{where}, {row['img_path']}"
        cameras.append(make_camera(place, world_to_camera=row["extri"], unit=mm, **lens))
    note = models.parameters_note("smpl", "neutral", models_root=models.models_below(root))
    body, world = None if note else scaled_body(root, labels, options), {}
    for kind in ("smpl", "lsp"):
        pairs = zip(cameras, np.float32(mm * labels[f"{kind}_joints_3d"]), strict=True)
        world[f"{kind}_joints"] = np.stack([c.camera_to_world(points) for c, points in pairs])
    if body:
        place = {"models_root": models.models_below(root)}
        world["body"] = 1000 * models.body_joints("smpl", "neutral", body, **place)
        body = parameters_by_frame(where, len(rows), **FITTED, **body)
    ids = [int(path.stem) for path in files["pictures"]]
    by_id = dict(zip(ids, cameras, strict=True))
    checks = {}
    for kind, points in world.items():
        pixels = labels["lsp_joints_2d" if kind == "lsp_joints" else "smpl_joints_2d"]
        limit = options.max_body_px if kind == "body" else options.max_projection_px
        frame = "world" if kind == "body" else "camera"  # that they are taken to be in
        place = f"{where}, {kind} in the frame of the {frame}"
        given = (place, by_id.__getitem__, points, pixels, limit)
        checks[f"{kind}_px"] = check_projection(*given, frames=by_id)
    pictures = []
    for k, path in enumerate(files["pictures"]):
        low, high = labels["bbox"][k]
        person = stills.Person(
            0,
            world_coords=world["lsp_joints"][k],
            bbox=np.float32([*low, *(high - low)]),
            mask=partial(read_mask, files["masks"][k]) if "masks" in files else None,
            parameters=body and partial(body, k),
            note=note,
        )
        pictures.append(stills.Picture(path, None, [person], cameras[k]))
    return [stills.picture_sequence(unit, pictures, image_name=crop_name, checks=checks)]


def crop_name(path: Path, person: int) -> str:
    """Returns the path of a crop, by the set and the id of its picture."""
    return f"{path.parts[-3]}/{path.stem}.jpg"


def scaled_body(root: Path, labels: Mapping, options: Options) -> dict[str, np.ndarray]:
    """Returns parameters of the bodies ``[n, ...]``, metres.

    The authors' model multiplies the body round its rest pelvis p by the scale, before it is
    moved; ours everything at the end: ``s R (x - p) + p + t = s (R (x - p) + p + t')``.
    """
    body = {"pose": labels["pose"][:, 0], "shape": labels["betas"][:, 0]}
    rest = {**body, "pose": np.zeros_like(body["pose"])}
    place = {"models_root": models.models_below(root)}
    pelvis = models.body_joints("smpl", "neutral", rest, **place)[:, 0]
    body["trans"] = (pelvis + labels["trans"][:, 0]) / labels["scale"] - pelvis
    return body | {"scale": labels["scale"][:, 0] / options.units_per_metre}


def read_mask(path: Path) -> dict:
    """Returns the visible pixels of the person as RLE."""
    return read_rle(path)
