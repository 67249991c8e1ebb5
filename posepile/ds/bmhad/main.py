"""Berkeley MHAD: eleven actions by single people, 12 cameras and two Kinects, 43 LED markers.

See README.md. One unit is one sequence seen by one camera. Row ``i`` of the correspondences is of
picture ``i``; its third number is the row of the markers, which are 480 per second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies.checks import check_standing
from posepile.errors import CorruptInput
from posepile.files import files_below
from posepile.formats.folders import check_numbers, files_by_number, names_like
from posepile.formats.keys import only_one
from posepile.formats.mocap_files import points_in_mm, read_c3d
from posepile.formats.opencv_files import read_opencv_yaml
from posepile.formats.schema import Array, check
from posepile.formats.text_files import numbers_in, read_lines, read_text
from posepile.geometry.agreement import check_same_points
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_inside
from posepile.geometry.rigs import check_place
from posepile.geometry.rotations import rotvec_matrix
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import make_unit, read_row_numbers, same_count, unit_files

VIEWS = [f"l0{c}c0{k}" for c, n in enumerate((4, 4, 2, 2), 1) for k in range(1, n + 1)]
VIEWS += ["k01", "k02"]  # Kinects
View = Annotated[str, Field(pattern=f"^({'|'.join(VIEWS)})$")]
PLACES = {  # of the first camera of each cluster, mm
    **{"l01": (1925, 1435, 2414), "l02": (-1145, 1383, -2072), "l03": (1839, 1398, -1881)},
    **{"l04": (-1502, 1586, 2065), "k01": (2243, 1278, 2254), "k02": (-1448, 1231, -1880)},
}
ACTIONS = "jump jumping_jacks bend punch wave_both wave clap throw sit_stand sit stand".split()
SIZE, LENS = (640, 480), {"K": Array(3, 3), "Dist": Array(4), "PosRel": Array(6)}
SPEC = DatasetSpec(
    name="bmhad",
    joint_info=JointInfo(
        "head,lhead,rhead,rback,backl,backt,lback,lside,bell,chest,rside,lsho1,lsho2,larm,lelb,"
        "lwri,lhan1,lhan2,lhan3,rsho1,rsho2,rarm,relb,rwri,rhan1,rhan2,rhan3,lhipb,lhipf,lhipl,"
        "lleg,lkne,lank,lhee,lfoo,rhipb,rhipf,rhipl,rleg,rkne,rank,rhee,rfoo",
        "head-rhead,lsho1-rsho1-rsho2-rarm-relb-rwri-rhan3,rhan1-rwri-rhan2,bell-chest,backl-backt,"
        "lhipb-rhipb-rhipl-rhipf-rleg-rkne-rank-rhee-rfoo,bell-rside-rhipf,backl-rback-rhipb",
    ),
    image_dir="bmhad_downscaled",
    world_up=(0.0, 1.0, 0.0),
    single_person=True,
    citation="ofli2013berkeley: Ofli, Chaudhry, Kurillo, Vidal, Bajcsy, Berkeley MHAD: A "
    "Comprehensive Multimodal Human Action Database, WACV 2013",
    licence="Berkeley MHAD: free for research with citation",
    sequence_names=r"(?:Camera/(?P<view>\w+/\w+)|.+)/(?P<subject>S\d\d)/(?P<motion>A\d\d/R\d\d)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``S01`` to ``S12``; None = all.
        views: Cameras by cluster and number, and Kinects: ``l01c01``, ``k01``.
        max_text_mm: How far markers of the c3d file may be from those of the text, in some rows.
        max_camera_mm: How far the first camera of a cluster may be from where it is known to be.
        max_outside: Share of the markers that may project outside the picture, in some ten rows.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    views: list[View] = Field(VIEWS, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    max_text_mm: float = Field(0.5, gt=0)
    max_camera_mm: float = Field(1.0, gt=0)
    max_outside: float = Field(0.5, ge=0, le=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per sequence and view of which there are pictures."""
    mocap, at = root / "Mocap/OpticalData", root / "Calibration"
    named = names_like(mocap, r"(?i)moc_s(\d\d)_a(\d\d)_r(\d\d)\.c3d")
    c3d = {take: name for name, take in named.items()}
    folders = {view: view_folder(root, view) for view in options.views}
    places = (p for f, *_ in folders.values() for p in files_below(f, "S[0-9]?/A[0-9]?/R[0-9]?"))
    takes = sorted({*c3d, *(tuple(part[1:] for part in path.parts[-3:]) for path in places)})
    subjects = recipe.chosen_subjects(options.subjects, {f"S{take[0]}" for take in takes})
    for s, a, r in (take for take in takes if f"S{take[0]}" in subjects):
        name, place = f"s{s}_a{a}_r{r}", f"S{s}/A{a}/R{r}"
        for view, (folder, images, corr) in folders.items():
            if not (pictures := files_by_number(folder / place, images.format(name))):
                continue
            files = {"pictures": pictures.values(), "rows": Path(f"{corr}_{name}.txt")}
            files["markers"] = mocap / c3d.get((s, a, r), f"moc_{name}.c3d")
            files["text?"] = mocap / f"moc_{name}.txt"
            files |= {"lens": at / f"camcfg_{view[:3]}.yml", "place": at / f"RwTw_{view[:3]}.txt"}
            id = f"{folder.relative_to(root).as_posix()}/{place}"
            yield make_unit(id, "train", files, view=view, action=int(a))


def view_folder(root: Path, view: str) -> tuple[Path, str, str]:
    """Returns a view's folder, how its pictures are named, how its correspondences begin."""
    if view.startswith("l"):
        folder = root / f"Camera/Cluster{view[1:3]}/Cam{view[4:]}"
        pattern = rf"img_{view[:3]}_{view[3:]}_{{}}_(\d+)\.pgm"
        return folder, pattern, f"{root}/Camera/Correspondences/corr_moc_img"
    places = (root / "Kinect" / name for name in (f"Kin{view[1:]}", view))
    folder = only_one(places, f"pictures of {view}") or root / "Kinect" / view
    rows = f"{root}/Kinect/Correspondences/corr_moc_kin{view[1:]}"
    return folder, rf"kin_{view}_{{}}_color_(\d+)\.ppm", rows


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence seen by one camera."""
    files, view, action = unit_files(unit), unit.args["view"], unit.args["action"]
    if not 1 <= action <= len(ACTIONS):
        raise CorruptInput(files["markers"], f"is of action {action}; expected 1 to 11")
    pictures, checks, markers = files["pictures"], {}, read_markers(files["markers"])
    if "text" in files:
        checks["text_mm"] = check_text(files["text"], markers, options.max_text_mm)
    camera, checks["camera_mm"] = read_camera(files["lens"], files["place"], view, options)
    check_standing(files["markers"], markers[::10], SPEC.joint_info.names, SPEC.world_up)
    check_numbers(pictures)
    n, at = len(pictures), read_row_numbers(files["rows"], 2, pictures, len(markers))
    checks["outside"] = check_inside(files["lens"], camera, markers[at], SIZE, options.max_outside)
    coords = np.float32(markers[at])
    person = Track(np.arange(n), world_coords=coords, activity=ACTIONS[action - 1])
    source = Stills(pictures, (SIZE,) * n, mosaic=None if view.startswith("k") else "grbg")
    told = {"checks": checks, "image_name": lambda k, _: f"{unit.id}/{pictures[k].stem}.jpg"}
    return [view_sequence(unit, source, camera, [person], **told)]


def read_markers(path: Path) -> np.ndarray:
    """Returns markers ``[T, 43, 3]`` in the cameras' world, millimetres, NaN = missing."""
    points = check(points_in_mm(read_c3d(path), path), Array("T", 43, 3, finite=False), path)
    return points[..., [0, 2, 1]] * (-1, 1, 1)


def check_text(path: Path, markers: np.ndarray, limit: float) -> float:
    """Returns how far markers are at most from those of the text, in the same axes."""
    same_count({path: len(lines := read_lines(path)), "the c3d file": len(markers)}, "rows")
    some = range(0, len(lines), 1 + len(lines) // 10)
    rows = [numbers_in(lines[k], path, k + 1) for k in some]
    told = check(rows, Array("rows", 131, finite=False), path)[:, :-2].reshape(-1, 43, 3)
    told[(told == 0).all(axis=-1)] = np.nan  # how the text marks missing ones is not known
    return check_same_points(path, told, markers[some], limit, frames=some)


def read_camera(lens_file: Path, place_file: Path, view: str, options: Options) -> tuple:
    """Returns a camera, its pose within the cluster times that of the cluster, and how far off."""
    text = re.sub("[RT]w=", " ", read_text(place_file))
    numbers = check(numbers_in(text, place_file, 1), Array(12), place_file, "Rw, Tw")
    rotation, translation = numbers[:9].reshape(3, 3), numbers[9:]
    place, known = -rotation.T @ translation, PLACES[view[:3]]
    off = check_place(place_file, place, known, options.max_camera_mm)
    key = f"Camera_{int(view[4:] or 1)}"
    lens = read_opencv_yaml(lens_file, {key: LENS})[key]
    if key == "Camera_1" and lens["PosRel"].any():
        raise CorruptInput(lens_file, f"{key}: PosRel is not zero; expected that of its cluster")
    turn, shift = rotvec_matrix(lens["PosRel"][3:]), lens["PosRel"][:3]
    pose = {"rotation": turn @ rotation, "translation": turn @ translation + shift}
    optics = {"intrinsics": lens["K"], "distortion": [*lens["Dist"], 0], "size": SIZE}
    return make_camera(f"{lens_file}, {key}", **pose, **optics, world_up=SPEC.world_up), off
