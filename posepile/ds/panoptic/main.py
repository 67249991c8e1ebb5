"""CMU Panoptic Studio: people and groups in a dome, 31 static HD cameras, 19 joints, no markers.

See README.md. One unit is one recording seen by one HD camera. The number in the name of a body
file is that of the frame when the video is decoded from its start. A recording has a body file per
frame, some ten thousand, so they are first put into one file for all of its views.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput, UsageError
from posepile.files import names_in
from posepile.formats.arrays import read_npz
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.folders import files_by_number
from posepile.formats.keys import by_key
from posepile.formats.schema import Array, OneOf, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.matching import match_over_time, tracks_of_people
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import unit_files, view_units

if TYPE_CHECKING:
    import deltacamera

BODY = {"id": int, "joints19": Array(76)}  # x, y, z in cm, confidence
BODY_FILE = {"fpsType": OneOf("hd_29_97"), "bodies": [BODY]}
# Folders of the body files below the recording: archives differ, and so do ways to unpack them.
BODY_FOLDERS = (".", "hd", "hdPose3d_stage1_coco19", "hdPose3d_stage1_coco19/hd")
BODIES = {"frames": Array("n", dtype=int), "bodies": Array("n", 19, 4)}
BODIES |= {"lost": Array("k", dtype=str), "n_files": int, "n_absent": int}
PACKING = 3  # raised when pack_bodies writes something else
View = Annotated[int, Field(ge=0, le=30)]
SIZE = (1920, 1080)
CAMERA = {"resolution": [OneOf(*SIZE)], "K": Array(3, 3), "distCoef": Array(5)}
CAMERA |= {"R": Array(3, 3), "t": Array(3, 1, squeezed=True)}
PELVIS, HIPS, ORDER = 2, [6, 12], [0, 1, *range(3, 19), 2]  # among the raw joints
MIN_CONFIDENCE, MIN_JOINTS = 0.1, 6  # a joint must have more; known, and again in the picture
UNREADABLE, ABSENT = "body file unreadable, one frame lost", "no body file for this frame"
FEW_JOINTS = f"fewer than {MIN_JOINTS} joints known"

SPEC = DatasetSpec(
    name="panoptic",
    joint_info=JointInfo(
        "neck,nose,lsho,lelb,lwri,lhip,lkne,lank,rsho,relb,rwri,rhip,rkne,rank,leye,lear,reye,rear,"
        "pelv",
        "nose-neck-pelv,rwri-relb-rsho-neck,rank-rkne-rhip-pelv,nose-reye-rear",
    ),
    image_dir="panoptic_downscaled",
    world_up=(0.0, -1.0, 0.0),
    citation="joo2017panoptic: Joo et al., Panoptic Studio: A Massively Multiview System for "
    "Social Interaction Capture, TPAMI 2017",
    licence="free for non-commercial research",
    sequence_names=r"(?P<motion>[^/]+)/(?P<view>hd_\d\d_\d\d)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        sequences: Globs over recordings, e.g. ``*_haggling*``; None = all that are in place.
        views: HD cameras, 0 to 30; None = all.
        max_unreadable: Share of body files that may be unreadable; one always may.
        max_pelvis_mm: How far the pelvis may be from the middle of the hips, but in 1 % of poses.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    sequences: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    views: list[View] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    max_unreadable: float = Field(0.01, ge=0, le=1)
    max_pelvis_mm: float = Field(1.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per HD video of the recordings that have body files and a calibration.

    The body files of a recording are put into one file here, once.
    """
    chosen = {glob: fnmatch.filter(names_in(root), glob) for glob in options.sequences or ["*"]}
    for pattern in (glob for glob, names in chosen.items() if not names and options.sequences):
        raise UsageError(f"dataset.sequences: nothing in {root} matches {pattern!r}")
    for name in sorted(set().union(*chosen.values())):
        folder, calibration = root / name, f"calibration_{name}.json"
        files = body_files(folder) if calibration in names_in(folder) else []
        if not files:  # many recordings have none
            continue
        place = work_folder(root) / "bodies"
        packed = derived_folder(files, place, partial(pack_bodies, files), version=PACKING)
        videos = [folder / "hdVideos" / f"hd_00_{k:02d}.mp4" for k in options.views or range(31)]
        there = names_in(folder / "hdVideos")
        views = {video.stem: {"video": video} for video in videos if video.name in there}
        shared = {"calibration": folder / calibration, "bodies": packed / "bodies.npz"}
        yield from view_units(name, "train", views, shared)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one recording seen by one camera."""
    files, name = unit_files(unit), unit.id.split("/")[0]
    stored = read_npz(files["bodies"], BODIES)
    lost, n_files = stored["lost"], stored["n_files"]
    if len(lost) > max(1, options.max_unreadable * n_files):
        text = f"{len(lost)} of {n_files} body files are unreadable, the first one is {lost[0]}; "
        text += f"expected at most {options.max_unreadable:.1%}"
        hint = "extract the archive again, or raise dataset.max_unreadable"
        raise CorruptInput(root / name / "hdPose3d_stage1_coco19", text, hint=hint)
    tracks, few, pelvis_mm = load_people(files["bodies"], name, options.max_pelvis_mm)
    camera = load_camera(files["calibration"], int(unit.args["view"].removeprefix("hd_00_")))
    told = {"checks": {"pelvis_from_hips_mm": pelvis_mm}, "min_joints_inside": MIN_JOINTS}
    told["dropped"] = {UNREADABLE: len(lost), ABSENT: stored["n_absent"], FEW_JOINTS: len(few)}
    told["scene"], video = "studio", Video(files["video"], size=SIZE)
    return [view_sequence(unit, video, camera, tracks, bystanders=few, **told)]


def body_files(folder: Path) -> list[Path]:
    """Returns the body files of a recording in order of their frames."""
    places = (folder / "hdPose3d_stage1_coco19" / inner for inner in BODY_FOLDERS)
    found = (files_by_number(place, r"body3DScene_(\d{8})\.json") for place in places)
    named = sorted((k, file, file) for files in found for k, file in files.items())
    return list(by_key(named, folder, "frame").values())


def pack_bodies(files: list[Path], folder: Path) -> None:
    """Writes all bodies of a recording into one file, as they are, and which frames are lost."""
    frames, bodies, lost = [], [], []
    for file in files:
        try:
            found = read_json(file, BODY_FILE)["bodies"]
        except CorruptInput as e:
            lost.append(f"{file.name}: {e.reason}")
            continue
        frames += [int(file.stem[-8:])] * len(found)
        bodies += [body["joints19"] for body in found]
    arrays = {"frames": np.array(frames, int), "bodies": np.reshape(bodies, (-1, 19, 4))}
    span = int(files[-1].stem[-8:]) - int(files[0].stem[-8:]) + 1
    arrays |= {"lost": np.array(lost, str), "n_files": len(files), "n_absent": span - len(files)}
    np.savez(folder / "bodies.npz", **arrays)


@lru_cache(maxsize=1)  # the views of a recording follow each other
def load_people(path: Path, name: str, limit: float) -> tuple[list[Track], list, float]:
    """Returns tracks, (frame, body) with too few joints, and how far a pelvis is off at most.

    The ids in the files are no identities: people are told apart by where they are.
    """
    stored = read_npz(path, BODIES)
    coords, missing = 10 * stored["bodies"][..., :3], stored["bodies"][..., 3] <= MIN_CONFIDENCE
    enough = (~missing).sum(axis=1) >= MIN_JOINTS
    # Where a hip is missing, the pelvis may be that of an earlier frame.
    missing[:, PELVIS] |= missing[:, HIPS].any(axis=1)
    coords[missing] = np.nan
    off = np.linalg.norm(coords[:, PELVIS] - coords[:, HIPS].mean(axis=1), axis=-1)
    if (off > limit).sum() > 0.01 * np.isfinite(off).sum():
        text = f"the pelvis is not in the middle of the hips (up to {np.nanmax(off):.0f} mm off)"
        raise CorruptInput(path, text, hint="another order of joints? dataset.max_pelvis_mm")
    frames, coords = stored["frames"], np.float32(coords[:, ORDER])
    few = list(zip(frames[~enough].tolist(), coords[~enough], strict=True))
    known = frames[enough], coords[enough]
    tracks = tracks_of_people(*known, match_over_time(*known))
    for track in tracks:
        track.activity = re.sub(r"^\d+_|\d+$", "", name)
    return tracks, few, float(np.nanmax(off, initial=0))


def load_camera(path: Path, node: int) -> deltacamera.Camera:
    """Returns the HD camera of that number."""
    cameras = read_json(path, {"cameras": [{"type": str, "node": int, "*": None}]})["cameras"]
    place = f"camera of type hd, node {node}"
    found = [c for c in cameras if (c["type"], c["node"]) == ("hd", node)]
    if len(found) != 1:
        raise CorruptInput(path, f"{len(found)} entries for the {place}; expected one")
    camera = check(found[0], CAMERA, path, place)
    pose = {"rotation": camera["R"], "translation": camera["t"], "unit": "cm"}
    lens = {"intrinsics": camera["K"], "distortion": camera["distCoef"], "size": SIZE}
    return make_camera(f"{path}, {place}", **pose, **lens, world_up=SPEC.world_up)
