"""SPEC-SYN: rendered people before cameras of many focal lengths, pitches and rolls.

See README.md. Annotations have a row for each person, with pose, shape and 2D joints but without a
place, which is solved for. Axes of the world are those of the files, its origin is the camera.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.body25 import BODY25_NAMES
from posepile.bodies.joints import SMPL_JOINT_NAMES
from posepile.bodies.parameters import body_parameters
from posepile.errors import CorruptInput
from posepile.formats import derived
from posepile.formats.folders import names_like
from posepile.formats.keys import by_key
from posepile.formats.numpy_files import load_npz
from posepile.formats.schema import AGAIN, Array, check
from posepile.formats.tables import rows_by
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.fitting import fit_pose
from posepile.geometry.pictures import box_of_points, project
from posepile.geometry.rotations import euler_matrix, turn_degrees
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit
from posepile.shapes import stills
from posepile.shapes.units import make_unit, unit_files, unlabelled

# Of all people; radians, pixels. ``S`` and ``cam_trans`` mean nothing that is known.
each = partial(Array, "N", finite=False)
PEOPLE = {"pose": each(72), "shape": each(10), "openpose_gt": each(25, 3)}
CAMERAS = {"cam_rotmat": each(3, 3), "cam_int": each(3, 3)}  # world to camera
CAMERAS |= {"cam_pitch": each(), "cam_roll": each()}
LABELS = {"imgname": Array("N", dtype=str), **PEOPLE, **CAMERAS}
PICTURE = {"imgname": str, "rows": [int], "differ": [str], **PEOPLE}
PICTURE |= {key: Array(*array.shape[1:]) for key, array in CAMERAS.items()}
# BODY_25 has these of SMPL: neck, arms, pelvis, legs.
BOTH = slice(1, 15)
OF_SMPL = [SMPL_JOINT_NAMES.index(name) for name in BODY25_NAMES[BOTH]]
LEAST = 6  # points that tell where somebody is
TURNED = "pitch and roll are not those of the camera's rotation, which is taken"
LOST, EXPAND = "place not found: 2D joints do not fit the pose", 1.15

SPEC = DatasetSpec(
    name="spec",
    joint_info=JointInfo(
        SMPL_JOINT_NAMES,
        "head-neck-thor-rcla-rsho-relb-rwri-rhan,thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    image_dir="spec_downscaled",
    world_up=(0.0, -1.0, 0.0),
    synthetic=True,
    body_shape="exact",
    n_valid_betas=10,
    citation="Kocabas_SPEC_2021: Kocabas et al., SPEC, ICCV 2021",
    licence="SPEC licence: non-commercial research, registration",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        min_side: Shorter side of the box of a person's joints (x 1.15), pixels.
        max_projection_px: How far 2D joints may be from those of a body at its place, RMS.
        max_turn: Degrees by which the solved rotation may be off from ``cam_rotmat``.
        max_median: What these two may be in the median over a unit's people, as a share of the
            limits of one: children fit less.
        max_lost: Share of a unit's people of whom no such place is found.
        pictures_per_unit: How many make a unit.
        max_unlabelled: Share of the pictures in a folder that no row may be of.
    """

    model_config = ConfigDict(extra="forbid")

    min_side: float = Field(100.0, ge=0)
    max_projection_px: float = Field(3.0, gt=0)
    max_turn: float = Field(5.0, gt=0, le=180)
    max_median: float = Field(0.5, gt=0, le=1)
    max_lost: float = Field(0.2, ge=0, le=1)
    pictures_per_unit: int = Field(200, ge=1)
    max_unlabelled: float = Field(0.1, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some pictures of one split, and one that counts those without labels."""
    folder, labelled = root / "spec-syn", []
    for split in ("train", "test"):
        file, place = folder / f"annotations/{split}.npz", derived.work_folder(root) / split
        given = place, partial(read_pictures, file), "imgname", options.pictures_per_unit
        for piece, names in derived.derived_rows([file], *given, version=2).items():
            files = {"labels": file, "rows": piece, "pictures": [folder / n for n in names]}
            files["models"] = models.model_files("smpl", ["neutral"], root)
            yield make_unit(f"{split}/{piece.stem}", split, files)
            labelled += [(path, f"{split}.npz", split) for path in files["pictures"]]
    if 2 * sum(split == "test" for *_, split in labelled) > len(labelled):
        raise CorruptInput(folder, "test.npz has more pictures than train.npz: were they swapped?")
    labelled = by_key(labelled, folder / "annotations", "picture")
    for at, split in {path.parent: split for path, split in labelled.items()}.items():
        shown = [at / name for name in names_like(at, r".*\.png")]
        if lost := unlabelled(shown, labelled, options.max_unlabelled):
            id = f"unlabelled/{at.relative_to(folder).as_posix()}"
            yield make_unit(id, split, {}, unlabelled=len(lost))


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is not there."""
    return models.lacking_models("smpl", ["neutral"], root, "nothing can be packed")


def read_pictures(path: Path) -> Iterator[dict]:
    """Yields what is told of each picture and of all people in it; their rows are anywhere."""
    labels = check(load_npz(path, LABELS), LABELS, path)
    for name, rows in rows_by(labels["imgname"]).items():
        differ = [key for key in CAMERAS if np.ptp(labels[key][rows], axis=0).max() > 1e-3]
        people = {key: labels[key][rows] for key in PEOPLE}
        camera = {key: labels[key][rows[0]] for key in CAMERAS}
        yield {"imgname": name, "rows": rows.tolist(), "differ": differ, **people, **camera}


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a unit."""
    if lost := stills.unlabelled_sequence(unit):
        return [lost]
    files, pictures, rows, fits = unit_files(unit), [], {}, defaultdict(list)
    for path, row in zip(files["pictures"], read_json(files["rows"], [dict]), strict=True):
        told = check(row, PICTURE, files["rows"], path.name)  # each has its own number of people
        for key in told["differ"]:
            found = f"{key}: rows {told['rows']} of {path.name} differ; expected one camera"
            raise CorruptInput(files["labels"], found, hint=AGAIN)
        pictures.append(load_picture(root, path, told, fits, options))
        rows[path] = told["rows"]
    if not max(fits["shape_size"], default=1):
        found = f"{unit.id}: shape: found 0 of everybody; expected bodies that differ"
        raise CorruptInput(files["labels"], found, hint=AGAIN)
    lost = [person.left_out == LOST for picture in pictures for person in picture.people]
    if sum(lost) > max(1, options.max_lost * len(lost)):
        found = f"{unit.id}: of {sum(lost)} of {len(lost)} people no place is found; expected"
        hint = "poses are not in the axes of the world, or joints are in another order"
        raise CorruptInput(files["labels"], f"{found} {options.max_lost:.0%} at most", hint=hint)
    for key, limit in (("place_px", options.max_projection_px), ("turn_deg", options.max_turn)):
        if (median := np.median(fits[key] or [0])) > (most := options.max_median * limit):
            found = f"{unit.id}: {key} is {median:.2f} in the median; expected at most {most:g}"
            raise CorruptInput(files["labels"], found, hint="focal length or shapes are others")
    checks = {key: max(values, default=0.0) for key, values in fits.items()}
    name = partial(crop_name, root, rows)
    return [stills.picture_sequence(unit, pictures, image_name=name, checks=checks)]


def crop_name(root: Path, rows: dict[Path, list[int]], path: Path, p: int) -> str:
    """Returns the path of a crop; the camera in the picture's name is a folder."""
    folder = path.relative_to(root).parent.joinpath(*path.stem.split("_")[3:4])
    return f"{folder.as_posix()}/{path.stem}_{rows[path][p]:06d}.jpg"


def load_picture(root: Path, at: Path, told: dict, fits: dict, options: Options) -> stills.Picture:
    """Returns a picture, its people in the world of its camera; adds to lists how well all fit."""
    size = tuple(round(2 * c) for c in told["cam_int"][:2, 2].tolist())
    given = {"intrinsics": told["cam_int"], "size": size, "world_up": SPEC.world_up}
    camera = make_camera(at, rotation=told["cam_rotmat"], center=np.zeros(3), **given)
    stated = euler_matrix("XZ", [told["cam_pitch"], told["cam_roll"]])
    fits["pitch_and_roll_deg"].append(turn_degrees(stated.T @ told["cam_rotmat"]))
    fits["shape_size"].append(float(np.abs(told["shape"]).max()))
    note = TURNED if fits["pitch_and_roll_deg"][-1] > options.max_turn else ""
    people, place = [], {"models_root": models.models_below(root)}
    joints = 1000 * models.body_joints("smpl", "neutral", told, **place).astype(np.float64)
    for p, (pose, shape, seen) in enumerate(zip(*(told[key] for key in PEOPLE), strict=True)):
        to_world, off = find_place(at, joints[p], seen, told, options)
        if to_world is None:
            people.append(stills.Person(p, left_out=LOST))
            continue
        fits["place_px"].append(off)
        fits["turn_deg"].append(turn_degrees(to_world[:3, :3]))
        world = joints[p] @ to_world[:3, :3].T + 1000 * to_world[:3, 3]
        box = box_of_points(project(camera, world), size, EXPAND)
        body = {"pose": pose, "shape": shape, "trans": np.zeros(3)}
        small = stills.SMALL if box[2:].min() < options.min_side else None
        more = {"note": note, "parameters": partial(moved_body, at, body, to_world, place)}
        people.append(stills.Person(p, world.astype(np.float32), left_out=small, **more))
    return stills.Picture(at, size, people, camera)


def find_place(
    path: Path, joints: np.ndarray, seen: np.ndarray, told: dict, options: Options
) -> tuple[np.ndarray | None, float]:
    """Returns what takes a body to its place ``[4, 4]``, metres, and how many pixels off it is."""
    known = (seen[BOTH, 2] > 0) & np.isfinite(seen[BOTH]).all(axis=1)
    if known.sum() < LEAST or not np.isfinite(joints).all():
        return None, np.nan
    points, pixels = joints[OF_SMPL][known], seen[BOTH, :2][known]
    try:
        given = told["cam_int"], options.max_projection_px
        rotation, translation, off = fit_pose(path, points, pixels, *given)
    except CorruptInput:
        return None, np.nan
    to_world = np.eye(4)
    to_world[:3, :3] = told["cam_rotmat"].T @ rotation
    to_world[:3, 3] = told["cam_rotmat"].T @ translation / 1000
    return (None if turn_degrees(to_world[:3, :3]) > options.max_turn else to_world), off


def moved_body(path: Path, body: dict, to_world: np.ndarray, place: dict) -> dict:
    """Returns the parameters of a body at its place."""
    moved = models.move_body("smpl", "neutral", body, to_world, **place)
    return body_parameters(path, type="smpl", gender="neutral", hands="none", **moved)
