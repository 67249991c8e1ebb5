"""UMPM: one to four people in a studio before four cameras, joint centres of one or two of them.

See README.md. One unit is one recording seen by one camera. Row ``2 k`` of the joint centres (100
per second) belongs to picture ``k`` of the video (50 per second).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies.checks import check_standing
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.derived import work_folder
from posepile.formats.folders import check_numbers, names_like
from posepile.formats.keys import alike, only_one
from posepile.formats.loose_json import read_loose_json
from posepile.formats.mocap_files import points_in_mm, read_c3d
from posepile.formats.schema import Array, OneOf, check
from posepile.formats.text_files import numbers_in, read_text
from posepile.geometry.bones import joints_of_odd_bones, middle_of_joints
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_inside
from posepile.geometry.rotations import rotvec_matrix
from posepile.imaging.packed import packed_pictures
from posepile.imaging.videos import index_packets
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Stills, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import unit_files, view_units

SIZE, VIEWS = (644, 486), ("f", "s", "r", "l")
NAME, OTHERS = r"(p\d_[a-z]+_\d+)\.json", r"(p\d_[a-z]+_\d+)_(?:vm\.c3d|[fsrl]\b.*)"
TAKE = dict.fromkeys(("id", "calib", "video_dir", "gt_dir", "calib_dir"), str)
SPEC = DatasetSpec(
    name="umpm",
    joint_info=JointInfo(
        "pelv,neck,head,rsho,relb,rwri,lsho,lelb,lwri,rhip,lhip,rkne,lkne,rank,lank",
        "rank-rkne-rhip-pelv-neck-head,rwri-relb-rsho-neck",
    ),
    image_dir="umpm_downscaled",
    world_up=(0.0, 0.0, 1.0),
    citation="HICV11:UMPM: van der Aa, Luo, Giezeman, Tan, Veltkamp, Utrecht Multi-Person Motion "
    "(UMPM) benchmark, HICV workshop at ICCV 2011",
    licence="UMPM: research, after registration",
    sequence_names=r"(?P<motion>[^/]+)/(?P<view>[fslr])",
)
EDGES = SPEC.joint_info.stick_figure_edges
WRONG = ("p2_free_1", "p2_free_2", "p3_circle_2")  # their descriptions are said to be
DOUBTED = "the description that names the cameras may be wrong, see dataset.calibrations"
FILTERED = "joints of bones of implausible lengths are taken for missing"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        sequences: Names of recordings; None = all that are there.
        views: Of the four cameras.
        calibrations: Recording -> set of cameras, where its description names a wrong one.
        max_frames_off: By how many pictures a video and its joint centres may differ.
        max_outside: Share of the joints that may project outside the picture, in some ten frames.
        bone_range: A bone's length is plausible between these shares of its median, or if it ...
        bone_mm: ... differs from it by no more; joints of other bones are taken for missing.
    """

    model_config = ConfigDict(extra="forbid")

    sequences: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    views: list[Literal["f", "s", "r", "l"]] = Field(
        list(VIEWS), min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    calibrations: dict[str, str] = {}
    max_frames_off: int = Field(1, ge=0)
    max_outside: float = Field(0.5, ge=0, le=1)
    bone_range: tuple[float, float] = (0.5, 1.25)
    bone_mm: float = Field(80.0, ge=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields a unit for each recording that is described, and each of its cameras."""
    if not (takes := find_takes(root)):
        return
    told = "sequences", "recording"
    recipe.chosen_subjects(options.calibrations or None, takes, "calibrations", "recording")
    for name in sorted(recipe.chosen_subjects(options.sequences, takes, *told)):
        files, folder = takes[name], takes[name][0].parent
        try:
            take = read_loose_json(files[0], TAKE)
        except CorruptInput:  # loading the unit says so
            yield from view_units(name, "train", {v: {} for v in options.views}, {"take": files})
            continue
        calib = options.calibrations.get(name, take["calib"])
        places, views = sorted({at / take["calib_dir"] for at in (folder, root)}), {}
        for view in options.views:
            pictures = find_pictures(folder / take["video_dir"], f"{name}_{view}")
            cameras = [place / f"{calib}_{view}.ini" for place in places]
            there = [file for file in cameras if file.name in names_in(file.parent)]
            views[view] = {"pictures": pictures, "camera": there or cameras[:1]}
        shared = {"take": files, "joints": folder / take["gt_dir"] / f"{name}_vm.c3d"}
        yield from view_units(name, "train", views, shared)


def find_takes(root: Path) -> dict[str, list[Path]]:
    """Returns the descriptions of recordings by name, also those that are missing."""
    folders = [root, *(root / name for name in names_like(root, r"p\d_\w+_\d+"))]
    takes = alike((folder / name for folder in folders for name in names_in(folder)), NAME)
    for place in (folder / name for folder in folders for name in ("Groundtruth", "Video")):
        for key in names_like(place, OTHERS).values():
            takes.setdefault(key, [place.parent / f"{key[0]}.json"])
    return {name: sorted(files, key=lambda at: len(at.parts)) for (name,), files in takes.items()}


def find_pictures(place: Path, name: str) -> Path | list[Path]:
    """Returns the pictures of a view, whether they are all or not, or its video."""
    if pictures := names_like(place / name, r"frame_\d+\.jpg"):
        return [place / name / picture for picture in pictures]
    return place / min({f"{name}.avi", f"{name}.avi.xz"} & names_in(place), default=f"{name}.avi")


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one recording seen by one camera."""
    files, (name, view) = unit_files(unit), unit.id.split("/")
    take = read_loose_json(only_one(files["take"], "the recording") or files["take"][0], TAKE)
    where = only_one(files["camera"], "the camera") or files["camera"][0]
    joints, camera = read_joints(files["joints"]), read_camera(where)
    pictures, place = files["pictures"], work_folder(root) / "pictures" / f"{name}_{view}"
    if isinstance(pictures, Path) and pictures.suffix == ".xz":
        pictures = packed_pictures(pictures, place, SIZE)
    if not (is_video := isinstance(pictures, Path)):
        check_numbers(pictures)
    n = index_packets(pictures).n_frames if is_video else len(pictures)
    if abs(n - len(joints)) > options.max_frames_off:
        found = f"found {len(joints)} poses, 50 per second; expected {n} as in {files['pictures']}"
        raise CorruptInput(files["joints"], f"{found}, or {options.max_frames_off} more or less")
    joints, hint = joints[:n], "are these the cameras of its session? See dataset.calibrations"
    outside = check_inside(where, camera, joints, SIZE, options.max_outside, hint=hint)
    check_standing(files["joints"], joints, SPEC.joint_info.names, SPEC.world_up)
    is_doubted = name not in options.calibrations and (name in WRONG or take["id"] != name)
    told = options, DOUBTED if is_doubted else ""
    people = [make_track(p, joints[:, p], *told) for p in range(joints.shape[1])]
    given = {"n_frames": len(joints), "mismatch_known": True, "size": SIZE}
    source = Video(pictures, **given) if is_video else Stills(pictures, (SIZE,) * n)
    told = {"image_name": lambda k, p: f"Video/{name}_{view}/frame_{k:06d}_{p}.jpg"}
    told["checks"] = {"joints_outside": outside}
    return [view_sequence(unit, source, camera, people, **told)]


def make_track(person: int, joints: np.ndarray, options: Options, note: str) -> Track:
    """Returns a person without joints that are wrong; poses are compared about their middles."""
    wrong = joints_of_odd_bones(joints, EDGES, options.bone_range, options.bone_mm)
    odd = wrong.any(axis=1).tolist()
    return Track(
        np.arange(len(joints)),
        person,
        world_coords=np.float32(np.where(wrong[..., None], np.nan, joints)),
        motion_coords=joints - middle_of_joints(joints)[:, None],
        note=["; ".join(filter(None, (note, FILTERED * is_odd))) for is_odd in odd],
    )


def read_joints(path: Path) -> np.ndarray:
    """Returns joint centres ``[n, people, 15, 3]``, millimetres, 50 per second, NaN = missing."""
    mocap = read_c3d(path)
    found = {"rate": mocap.rate, "points": mocap.points.shape[1]}
    check(found, {"rate": OneOf(100.0), "points": OneOf(15, 30)}, path)
    points = points_in_mm(mocap, path)[::2]
    return points.reshape(len(points), -1, 15, 3)


def read_camera(path: Path) -> Any:
    """Returns a camera from six lines: 3 of the matrix, lens, Rodrigues vector, translation."""
    numbers = check(numbers_in(read_text(path), path, 1), Array(19), path, "numbers")
    matrix, lens, turn, place = np.split(numbers, [9, 13, 16])
    pose = {"rotation": rotvec_matrix(turn), "translation": place, "world_up": SPEC.world_up}
    optics = {"intrinsics": matrix.reshape(3, 3), "distortion": [*lens, 0], "size": SIZE}
    return make_camera(path, **pose, **optics)
