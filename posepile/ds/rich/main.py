"""RICH: people in six scanned scenes before up to eight cameras, gendered SMPL-X fits per frame.

See README.md. One unit is one recording seen by one static camera. The number in the names of
pictures is that of the folder with the fits of that frame; it rarely begins at 0. The published
world is the frame of camera 0; here it is turned so that z points up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.fits import read_fits, read_moved_fit
from posepile.bodies.joints import SMPLX_LANDMARK_NAMES, SMPLX_OUTPUT_NAMES
from posepile.bodies.meshes import mesh_error
from posepile.bodies.surface import smplx_output_joints
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import files_by_number, names_like
from posepile.formats.keys import only_one
from posepile.formats.opencv_files import read_opencv_xml
from posepile.formats.schema import Array, OneOf
from posepile.formats.text_files import read_csv, read_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_principal, inside, project
from posepile.geometry.rotations import nearest_rotation
from posepile.imaging.declared import picture_size
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import UNLABELLED, unit_files, view_units

PLACES = (".", "ps/project/multi-ioi/rich_release")  # members of some archives have the latter
RECORDING = r"([A-Za-z0-9]+)((?:_\d{3})+)_[^_]+"  # scene, subjects, action
PICTURE = r"(\d{5})_\d\d\.(?:bmp|png|jpe?g)"
GENDERS, META = ("female", "male"), {"sequence_name": str, "scan_name": str}
CAMERA = {"CameraMatrix": Array(12), "Intrinsics": Array(9), "Distortion": Array("k")}
# Up in the published frame of each scene, as others fitted it to the floor (GVHMR).
UP = {"BBQ": (0.029, -0.991, -0.132), "Gym": (-0.054, -0.972, -0.230)}
UP |= {"LectureHall": (0.022, -0.951, -0.308), "Pavallion": (0.048, -0.985, -0.166)}
UP |= {"ParkingLot1": (-0.033, -0.991, -0.133), "ParkingLot2": (-0.037, -0.990, -0.137)}
TWO_SCANS = r"scan_(chair|yoga)_scene_camcoord"  # of LectureHall, each with a world of its own
NO_PICTURE, UNCALIBRATED = "no picture in this view", "picture of a camera without calibration"

SPEC = DatasetSpec(
    name="rich",
    joint_info=JointInfo(
        [*SMPLX_OUTPUT_NAMES, *SMPLX_LANDMARK_NAMES],
        "rwri-relb-rsho-rcla-thor,rank-rhee,rto2-rtoe-rto3,"
        "rear-reye-nose-head-jaw-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    image_dir="rich_downscaled",
    world_up=(0.0, 0.0, 1.0),
    body_shape="fitted",
    n_valid_betas=10,
    citation="huang2022rich: Huang et al., Capturing and Inferring Dense Full-Body Human-Scene "
    "Contact, CVPR 2022",
    licence="RICH licence: non-commercial research, registration",
    sequence_names=r"\w+/(?P<motion>[^_]+_(?P<subject>\d+(?:_\d+)*)_[^_]+)/(?P<view>cam_\d\d)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        parts: Sets to pack.
        distortion: Apply the published lens distortion. The authors' own tools read it and do
            without; nobody has said with which the fits were made.
        min_side: Shorter side of the box of a person's joints, pixels.
        max_mesh_mm: How far published meshes may be from those of the parameters.
        max_tilt: Degrees by which up may be off from what others found in the scene.
    """

    model_config = ConfigDict(extra="forbid")

    parts: list[Literal["train", "val", "test"]] = Field(
        ["train", "val"], min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    distortion: bool = True
    min_side: float = Field(100.0, ge=0)
    max_mesh_mm: float = Field(1.0, gt=0)
    max_tilt: float = Field(3.0, gt=0, le=180)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per recording and calibrated camera."""
    shared = {"gender": root / "resource/gender.json"}
    shared["models"] = models.model_files("smplx", GENDERS, root)
    for part in options.parts:
        recordings = {name for at in PLACES for name in names_like(root / at / part, RECORDING)}
        for name in sorted(recordings):
            pictures, scene = find(root, f"{part}/{name}"), name.partition("_")[0]
            shared["meta"] = root / f"resource/meta/{part}.txt"
            shared["world"] = root / "multicam2world" / world_of(shared["meta"], name)
            shared["fits"] = find_fits(find(root, f"{part}_body/{name}"), name.split("_")[1:-1])
            first = {fit.stem: fit for fit in reversed(shared["fits"])}
            shared["meshes"] = [fit.with_suffix(".ply") for fit in first.values()]
            calibration, views, lost = find(root, f"scan_calibration/{scene}"), {}, 0
            for view in names_like(pictures, r"cam_\d\d"):
                camera = calibration / f"calibration/0{view[4:]}.xml"
                shown = files_by_number(pictures / view, PICTURE).values()
                if camera.name in names_in(camera.parent) and shown:
                    views[view] = {"camera": camera, "pictures": shown}
                else:
                    lost += len(shown)
            lost = {min(views): lost} if views else {}
            yield from view_units(f"{part}/{name}", part, views, shared, lost=lost)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one recording seen by one camera."""
    files, (_, name, view) = unit_files(unit), unit.id.split("/")
    scene, *subjects = name.split("_")[:-1]
    turn = load_turn(files["world"], scene, options.max_tilt)
    camera, size = load_camera(files["camera"], files["pictures"][0], turn, options)
    shown = {int(path.stem[:5]): path for path in files["pictures"]}  # frames are these numbers
    tracks, dropped = [], Counter({UNCALIBRATED: unit.args["lost"].get(view, 0)})
    people = load_people(files["gender"], files["fits"], models.models_below(root))
    for subject, (who, fits, joints) in people.items():
        row = {int(fit.parent.name): k for k, fit in enumerate(fits)}
        there = [number for number in shown if number in row]
        rows = [row[number] for number in there]
        dropped[NO_PICTURE] += len(fits) - len(rows)
        world = np.float32(joints[rows] @ turn.T)
        person = Track(np.array(there, int), subjects.index(subject), world)
        person.parameters = moved_fits([fits[k] for k in rows], turn, who)
        tracks.append(person)
    dropped[UNLABELLED] = len({*shown}.difference(*(t.frames for t in tracks)))
    check_seen(files["camera"], camera, size, [track.world_coords for track in tracks])
    off = [check_mesh(mesh, people[mesh.stem], options.max_mesh_mm) for mesh in files["meshes"]]
    told = {"scene": scene, "dropped": dropped, "min_side": options.min_side}
    told["image_name"] = lambda i, p: f"{unit.id}/{i:05d}_{view[4:]}_{subjects[p]}.jpg"
    # A place without a picture repeats the first one and is never read.
    paths = tuple(shown.get(number, files["pictures"][0]) for number in range(max(shown) + 1))
    stills, checks = Stills(paths, (size,) * len(paths)), {"mesh_mm": max(off, default=0.0)}
    return [view_sequence(unit, stills, camera, tracks, checks=checks, **told)]


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    return models.lacking_models("smplx", GENDERS, root, "there are no joints: work stops")


def find(root: Path, path: str) -> Path:
    """Returns a file or folder at whichever of its places it is."""
    return only_one([root / at / path for at in PLACES], path) or root / path


def find_fits(folder: Path, subjects: list[str]) -> list[Path]:
    """Returns the fits of a recording, frame by frame; some are missing."""
    frames = {frame: names_in(folder / frame) for frame in names_like(folder, r"\d{5}")}
    names = [f"{subject}.pkl" for subject in subjects]
    return [folder / frame / n for frame, there in frames.items() for n in names if n in there]


def world_of(meta: Path, name: str) -> str:
    """Returns the file of the world of a recording's scan."""
    rows = [row for row in read_csv(meta, META, separator="\t") if row["sequence_name"] == name]
    if not rows:
        raise CorruptInput(meta, f"found no row of {name}; expected one per subject")
    scan = re.fullmatch(TWO_SCANS, rows[0]["scan_name"])
    scans = scan.groups() if scan else ()
    return "_".join([name.partition("_")[0], *scans, "multicam2world.json"])


def load_turn(path: Path, scene: str, limit: float) -> np.ndarray:
    """Returns the rotation ``[3, 3]`` from the published frame into one whose z points up."""
    published = read_json(path, {"R": Array(3, 3)})["R"]
    turn = nearest_rotation(published, path).T  # it is for rows
    if (up := UP.get(scene)) is not None:
        tilt = np.degrees(np.arccos(np.clip(turn[2] @ up / np.linalg.norm(up), -1, 1)))
        if tilt > limit:
            text = f"R: up is {tilt:.1f} degrees from that of {scene}; expected {limit:g} or less"
            raise CorruptInput(path, text, hint="transposed, of another scan, or dataset.max_tilt")
    return turn


def load_camera(path: Path, picture: Path, turn: np.ndarray, options: Options):
    """Returns a camera in the turned world, and the size of its pictures."""
    found, size = read_opencv_xml(path, CAMERA), picture_size(picture)
    pose, intrinsics = found["CameraMatrix"].reshape(3, 4), found["Intrinsics"].reshape(3, 3)
    check_principal(path, intrinsics, size)
    lens = {"distortion": found["Distortion"]} if options.distortion else {}
    place = {"rotation": pose[:, :3] @ turn.T, "translation": pose[:, 3], "unit": "m"}
    lens |= {"intrinsics": intrinsics, "size": size, "world_up": SPEC.world_up}
    return make_camera(path, **place, **lens), size


def check_seen(path: Path, camera, size: tuple[int, int], joints: list[np.ndarray]) -> None:
    """Refuses a camera that sees nobody: axes or units of another convention do that."""
    poses = np.concatenate(joints) if joints else np.empty((0, 1, 3))
    if len(poses) and not (inside(project(camera, poses), size).mean(axis=1) >= 0.5).any():
        text = f"in none of {len(poses)} poses half of the joints project into the picture"
        hint = "axes or units are not those meant, or the camera is of another recording"
        raise CorruptInput(path, f"{text}; expected people in it", hint=hint)


def model_of(genders: Path, subject: str, models_root: Path | None) -> dict:
    """Returns which model someone was fitted with, and where it is looked for."""
    gender = read_json(genders, {"*": OneOf(*GENDERS)}).get(str(int(subject)))
    if gender is None:
        raise CorruptInput(genders, f"found no subject {int(subject)}; expected 0 to 21")
    return {"gender": gender, "models_root": models_root}


@lru_cache(maxsize=1)  # the views of a recording follow each other
def load_people(genders: Path, fits: tuple[Path, ...], models_root: Path | None) -> dict:
    """Returns subject -> model, files and joints ``[n, 127, 3]``, mm in the published frame."""
    people = {}
    for subject in sorted({fit.stem for fit in fits}):
        own, who = [f for f in fits if f.stem == subject], model_of(genders, subject, models_root)
        people[subject] = who, own, 1000 * smplx_output_joints(params=read_fits(own, **who), **who)
    return people


def check_mesh(mesh: Path, person: tuple, limit: float) -> float:
    """Returns how far the mesh of a person's first fit is from what its parameters give, mm."""
    who, fits, _ = person
    body = {key: value[0] for key, value in read_fits(fits[:1], **who).items()}
    below = who["models_root"]
    return mesh_error(mesh, body | who, limit, hands_added=True, models_root=below)


def moved_fits(fits: list[Path], turn: np.ndarray, who: dict):
    """Returns a function from position to the parameters in the turned world."""
    transform = np.eye(4)
    transform[:3, :3] = turn
    return lambda k: read_moved_fit(fits[k], transform, **who)
