"""IKEA ASM: people assembling furniture before three cameras, poses triangulated from detections.

See README.md. One unit is one assembly seen by one camera. Some one in a hundred frames has a
pose, whose file is called by the number of the frame in the video. Every view has the same pose in
its own axes; the world is the frame of the second camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import in_order, names_like, read_in_order
from posepile.formats.keys import only_one
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, OneOf, check, lookup
from posepile.formats.text_files import read_json, read_lines
from posepile.geometry.cameras import make_camera
from posepile.geometry.markerless import check_other_views
from posepile.geometry.pictures import check_median_projection
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS as CHOOSES
from posepile.recipe import DatasetSpec, Sequence, Track, Unit, Video, chosen_subjects
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import unit_files, view_units

if TYPE_CHECKING:
    import deltacamera

SPLITS = ("train", "test")
VIEWS = ("dev1", "dev2", "dev3")  # people have marked joints in the last one
# Person, colour, surface, scene of the calibration, room, date, time.
ASSEMBLY = r"(\d+)_[^_]+_[^_]+_(\d\d)_[^_]+(?:_\d+){5}"
SIZE, LABELS = (1920, 1080), r"(\d+)\.json"  # called by their frame, from 0
POSE = {"format": OneOf("ikea"), "pose_keypoints_3d": Array(17 * 4)}  # x, y, z in cm, C
SURE, MARKS = 3, {"*": {"position": Array(2), "confidence": float}}  # sure: so marked by a person
NO_VIDEO, NO_POSES = "poses without a video (views)", "video without poses (views)"
CAMERA = {"K": Array(3, 3), "dist_coefs": None, "R": Array(3, 3)}
CAMERA |= {"T": Array(3, 1, squeezed=True), "P": Array(3, 4)}  # centimetres
PARTS = "eye ear shoulder elbow wrist hip knee ankle".split()
SPELLED = ["nose", *(f"{side} {part}" for part in PARTS for side in ("left", "right"))]
SHOULDERS, HIPS = slice(5, 7), slice(11, 13)

SPEC = DatasetSpec(
    name="ikea",
    joint_info=JointInfo(
        "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "rank-rkne-rhip-lhip,rhip-rsho-relb-rwri,rsho-lsho,rear-reye-nose",
    ),
    image_dir="ikea_downscaled",
    world_up=(0.0, -1.0, 0.0),
    citation="benshabat2021ikea: Ben-Shabat et al., The IKEA ASM Dataset: Understanding People "
    "Assembling Furniture through Actions, Objects and Pose, WACV 2021",
    licence="CC BY-NC 4.0 as others report; see the dataset's page",
    sequence_names=r"(?P<motion>\w+/(?P<subject>\d+)_\w+)/(?P<view>dev\d)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        splits: Of the official list across environments.
        subjects: People, as names of assemblies begin, e.g. ``0007``; None = all.
        views: dev1 and dev2 look at the person, dev3 looks down.
        max_views_mm: How far apart the poses of two views may be in the world.
        max_marks_px: How far joints may project from where people marked them, in the median.
    """

    model_config = ConfigDict(extra="forbid")

    splits: list[Literal[SPLITS]] = Field([*SPLITS], min_length=1, json_schema_extra=CHOOSES)
    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES)
    views: list[Literal[VIEWS]] = Field([*VIEWS], min_length=1, json_schema_extra=CHOOSES)
    max_views_mm: float = Field(20.0, gt=0)
    max_marks_px: float = Field(30.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per assembly and view that has poses and a video; others are counted."""
    splits, lost, assemblies = read_splits(root), [], {}
    for furniture in sorted(names_in(root)):
        for name, (person, scene) in names_like(root / furniture, ASSEMBLY).items():
            assemblies[f"{furniture}/{name}"] = person, scene
    chosen = chosen_subjects(options.subjects, {person for person, _ in assemblies.values()})
    for name, (person, scene) in assemblies.items():
        at, listed = root / name, splits.get(name, [])
        if person not in chosen or not {*(listed or SPLITS)} & {*options.splits}:
            continue
        poses = {f"poses_{view}": in_order(at / view / "pose3d", LABELS) for view in VIEWS}
        shared, views = poses | {"cameras": root / "Calibration/camera_parameters.pkl"}, {}
        for view in options.views:
            videos = names_like(at / view / "images", r"(?i)scan_video\.avi")
            if videos and poses[f"poses_{view}"]:
                views[view] = {"video": at / view / "images" / next(iter(videos))}
                views[view]["marks"] = in_order(at / view / "pose2d", LABELS)
            elif videos or poses[f"poses_{view}"]:
                lost.append(NO_POSES if videos else NO_VIDEO)
        split = listed[0] if listed else options.splits[0]
        yield from view_units(name, split, views, shared, scene=scene, listed=listed)
    yield from left_out_units("left_out", options.splits[0], lost)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one assembly seen by one camera."""
    if lost := left_out_sequence(unit):
        return [lost]
    files, view, scene = unit_files(unit), unit.args["view"], unit.args["scene"]
    if len(unit.args["listed"]) != 1:
        text = f"in the split's lists: found {unit.args['listed']}; expected one of {SPLITS}"
        raise CorruptInput((root / unit.id).parent, text, hint="lists of another release?")
    cameras = load_cameras(files["cameras"], scene)
    poses = {
        v: read_in_order(files[f"poses_{v}"], read_pose, "frame", own=v == view) for v in VIEWS
    }
    own, camera = poses[view], cameras[view]
    where = f"{files['cameras']}, scene {scene}, {unit.id}"
    checks = check_other_views(where, view, cameras, poses, options.max_views_mm)
    frames = np.array(list(own), int)
    world = camera.camera_to_world(np.float32(list(own.values())))
    up = world[:, SHOULDERS].mean(axis=1) - world[:, HIPS].mean(axis=1)
    check_up(root / unit.id, up, SPEC.world_up)
    if marks := read_in_order(files["marks"], read_marks, "frame"):
        there = [i for i, k in enumerate(own) if k in marks]
        pixels = np.reshape([marks[k] for k in frames[there]], (-1, 17, 2))
        given = camera, frames[there], world[there], pixels, options.max_marks_px
        told = {"parts": {"marks": slice(None)}, "hint": "frames or views are mixed up"}
        found = check_median_projection(root / unit.id / "pose2d", *given, **told)
        checks["marks_px"] = found.get("marks", 0.0)
    person = Track(frames, world_coords=world, activity=unit.id.split("/")[0])
    name = {"image_name": lambda k, _: f"{unit.id}/images/{k:06d}.jpg"}
    name |= {"scene": f"scene {scene}", "checks": checks, "min_joints_inside": 4}
    return [view_sequence(unit, Video(files["video"], size=SIZE), camera, [person], **name)]


def read_splits(root: Path) -> dict[str, list[str]]:
    """Returns assembly -> splits, by the lists in the raw folder or in ``indexing_files``."""
    found: dict[str, list[str]] = {}
    for split in SPLITS:
        places = [root / at / f"{split}_cross_env.txt" for at in (".", "indexing_files")]
        file = only_one(places, "a list of the split") or places[0]
        for line in set(map(normpath, read_lines(file))):
            found.setdefault(line, []).append(split)
    return found


def load_cameras(path: Path, scene: str) -> dict[str, deltacamera.Camera]:
    """Returns the cameras of a scene by view; the second one is the world."""
    cameras = {}
    for view in VIEWS:
        where = f"{path}, scene {scene}, {view}"
        found = lookup(read_pickle(path), f"{scene}.{view}", path)
        found = check(found, CAMERA, path, f"{scene}.{view}")
        whole = found["K"] @ np.hstack([found["R"], found["T"]])
        if (off := np.abs(whole - found["P"]).max() / np.abs(whole).max()) > 1e-3:
            raise CorruptInput(where, f"P is off K [R|T] by {off:.1g} of it; expected the same")
        if view == "dev2" and not np.allclose(whole, found["K"] @ np.eye(3, 4)):
            raise CorruptInput(where, "has a pose; expected the origin of the world")
        pose = {"rotation": found["R"], "translation": found["T"], "unit": "cm"}
        lens = {"intrinsics": found["K"], "distortion": np.ravel(found["dist_coefs"])}
        cameras[view] = make_camera(where, **pose, **lens, size=SIZE, world_up=SPEC.world_up)
    return cameras


def read_pose(path: Path) -> np.ndarray:
    """Returns joints ``[17, 3]``, mm in the axes of the view; NaN = not triangulated."""
    numbers = read_json(path, POSE)["pose_keypoints_3d"].reshape(17, 4)
    return np.where(numbers[:, 3:] != 0, 10 * numbers[:, :3], np.nan)


def read_marks(path: Path) -> np.ndarray:
    """Returns the pixels ``[17, 2]`` of joints that a person was sure of, NaN = others."""
    marks = {name.replace("_", " "): mark for name, mark in read_json(path, MARKS).items()}
    if odd := sorted(marks.keys() - set(SPELLED)):
        raise CorruptInput(path, f"found joint {odd[0]!r}; expected {', '.join(SPELLED)}")
    sure = {name: m["position"] for name, m in marks.items() if m["confidence"] == SURE}
    return np.array([sure.get(name, [np.nan, np.nan]) for name in SPELLED])
