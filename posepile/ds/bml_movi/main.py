"""BMLmovi (MoVi): 90 actors with 67 or 12 markers, two machine-vision cameras, two phones.

See README.md. One unit is one video. Frame ``i`` of the machine-vision cameras is row ``4 i`` of
the motion capture. Phones are used only where somebody has added their calibration.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.ds.bml_movi.phones import PHONE_SIZE, check_marks, read_phone
from posepile.ds.bml_movi.takes import check_sides, check_take, read_take
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.arrays import at_rows, read_npz
from posepile.formats.keys import alike, only_one
from posepile.formats.schema import Array
from posepile.geometry.bones import without_strays
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_principal
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

VIDEO = r"(F|[SI][12])_((?:PG|CP)[12])_Subject_0*([1-9]\d?)(?:_L)?\.(?:avi|mp4)"
SUBJECTS, STEP = [str(n) for n in range(1, 91)], 4  # rows of motion capture for each PG frame
SIZE, LEVEL = (800, 600), -0.9  # z of the image's downward axis
# One calibration for all subjects: fx, fy, cx, cy as MATLAB counts, k1, k2; centre, mm.
KNOWN = {
    "PG1": ((979.179, 978.102, 408.027, 291.170, -0.18236, 0.18389), (4927, 7, 1345)),
    "PG2": ((980.043, 980.699, 392.275, 309.911, -0.22932, 0.35465), (438, -3850, 1379)),
}
LENS = {"IntrinsicMatrix": Array(3, 3), "RadialDistortion": Array(2, squeezed=True)}
POSE = {"rotationMatrix": Array(3, 3), "translationVector": Array(3, squeezed=True)}
MIXED = "calibrations of PG1 and PG2 exchanged, or of another recording"
PHONES = "phone_cameras"
UNCALIBRATED = "phone video without a calibration in phone_cameras (videos)"
NO_MARKERS = "video of a round without markers, I1 or I2 (videos)"
NO_CAMERA = "no camera for this frame of a phone"
TILTED = "phone tilted sideways by more than dataset.max_roll"

SPEC = DatasetSpec(
    name="bml_movi",
    joint_info=JointInfo(
        "backneck,upperback,clavicle,sternum,umbilicus,lfronthead,lbackhead,lback,lshom,lupperarm,"
        "lelbm,lforearm,lwrithumbside,lwripinkieside,lfin,lasis,lpsis,lfrontthigh,lthigh,lknem,"
        "lankm,lhee,lfifthmetatarsal,ltoe,lcheek,lbreast,lelbinner,lwaist,lthumb,lfrontinnerthigh,"
        "linnerknee,lshin,lfirstmetatarsal,lfourthtoe,lscapula,lbum,rfronthead,rbackhead,rback,"
        "rshom,rupperarm,relbm,rforearm,rwrithumbside,rwripinkieside,rfin,rasis,rpsis,rfrontthigh,"
        "rthigh,rknem,rankm,rhee,rfifthmetatarsal,rtoe,rcheek,rbreast,relbinner,rwaist,rthumb,"
        "rfrontinnerthigh,rinnerknee,rshin,rfirstmetatarsal,rfourthtoe,rscapula,rbum,head,mhip,"
        "pelv,thor,lank,lelb,lhip,lhan,lkne,lsho,lwri,lfoo,rank,relb,rhip,rhan,rkne,rsho,rwri,rfoo",
        "head-thor-pelv-mhip,thor-rsho-relb-rwri-rhan,mhip-rhip-rkne-rank-rfoo",
    ),
    image_dir="bml_movi_downscaled",
    world_up=(0.0, 0.0, 1.0),
    single_person=True,
    citation="ghorbani2021movi: Ghorbani et al., MoVi: A large multi-purpose human motion and "
    "video dataset, PLOS ONE 16(6), 2021",
    licence="MoVi: non-commercial research, own terms",
    sequence_names=r"(?P<subject>\d+)/(?P<motion>\w\d?)_(?:(?P<view>(?i:PG)\d)|\w\w\d)_.+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``1`` to ``90``; None = all.
        rounds: Of the capture; F has all markers, S1 and S2 have 10 and five virtual joints.
        max_reach_mm: A marker further than this from the middle of the others is a wrong one.
        max_virtual_mm: How far virtual joints may be from their own, second list.
        max_clock_rows: How far marks of motions in video and motion capture may be apart, rows.
        max_ankle_mm: How far ankles may be from AMASS's (median).
        max_roll: Degrees by which a phone may be tilted sideways.
        max_phone_px: How far marked joints may be from those that a phone's calibration projects.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    rounds: list[Literal["F", "S1", "S2"]] = Field(
        ["F", "S1", "S2"], min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    max_reach_mm: float = Field(1500.0, gt=0)
    max_virtual_mm: float = Field(1.0, gt=0)
    max_clock_rows: float = Field(8.0, gt=0)
    max_ankle_mm: float = Field(150.0, gt=0)
    max_roll: float = Field(7.0, gt=0)
    max_phone_px: float = Field(15.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video whose camera is known; all others are counted in one more."""
    chosen, lost = recipe.chosen_subjects(options.subjects, SUBJECTS), []
    for (n, take, view), videos in find_videos(root).items():
        stem, pose, lens = videos[0].stem, f"Extrinsics_{view}.npz", f"cameraParams_{view}.npz"
        if str(n) not in chosen or take not in [*options.rounds, "I1", "I2"]:
            continue
        if take.startswith("I"):
            lost.append(NO_MARKERS)
            continue
        folder = "S" if take != "F" else "F_Subjects_1_45" if n <= 45 else "F_Subjects_46_90"
        files = {"video": videos, "points": root / f"{folder}/{take[0]}_v3d_Subject_{n}.mat"}
        if take == "F":
            files["amass?"] = root / f"AMASS/F_amass_Subject_{n}.mat"
        if view.startswith("PG"):
            files |= {"pose": root / "Calib" / pose, "lens": root / "Calib" / lens}
        elif f"{stem}.json" in names_in(root / PHONES):
            files["phone"] = root / PHONES / f"{stem}.json"
        else:
            lost.append(UNCALIBRATED)
            continue
        yield make_unit(f"{n}/{stem}", "train", files)
    yield from left_out_units("left_out", "train", lost)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one video, or how many were left out."""
    if lost := left_out_sequence(unit):
        return [lost]
    files, (n, stem) = unit_files(unit), unit.id.split("/")
    name, view, *_ = stem.upper().split("_")
    take = read_take(files["points"], n, name, options.max_virtual_mm)
    points, share = without_strays(take.points, options.max_reach_mm)
    checks = {"stray_points": share} | check_take(files["points"], take, options.max_clock_rows)
    if "amass" in files:
        checks |= check_sides(files["amass"], n, take, options.max_ankle_mm)
    if "phone" in files:
        phone = read_phone(files["phone"], len(points))
        names = SPEC.joint_info.names
        checks |= check_marks(files["phone"], phone, points, names, options.max_phone_px)
        keep = abs(phone.rolls) <= options.max_roll
        frames, rows, camera, size = phone.frames[keep], phone.rows[keep], phone.camera, PHONE_SIZE
        dropped = {TILTED: int((~keep).sum()), NO_CAMERA: phone.n_lost}
    else:
        rows, size = np.arange(0, len(points), STEP), SIZE
        frames, camera = rows // STEP, load_camera(files["lens"], files["pose"], view)
        dropped = {}
    person = Track(frames, world_coords=np.float32(at_rows(points, rows)))
    person.activity = take.activities(rows)
    n_frames = int(frames[-1]) + 1 if len(frames) else None
    path = only_one(files["video"], "the video") or files["video"][0]
    video = Video(path, n_frames, mismatch_known=True, size=size)
    told = {"checks": checks, "dropped": dropped, "scene": "studio"}
    told["image_name"] = lambda frame, _: f"{stem}/{frame:06d}.jpg"
    return [view_sequence(unit, video, camera, [person], **told)]


def plan(root: Path, options: Options) -> list[str]:
    """Returns how many videos of phones cannot be used, and what would make them usable."""
    there, found = names_in(root / PHONES), find_videos(root)
    phones = [at[0].stem for key, at in found.items() if key[2][:2] == "CP" and key[1][0] != "I"]
    n = sum(f"{name}.json" not in there for name in phones)
    text = "videos of phones (CP1, CP2) without calibration, which are left out"
    return [f"{text}: {n}; README.md says how to add one"] if n else []


def find_videos(root: Path) -> dict[tuple[int, str, str], list[Path]]:
    """Returns the videos by subject, round and camera, in order; of several all."""
    found = alike((root / name for name in names_in(root)), VIDEO).items()
    return dict(sorted(((int(n), *map(str.upper, key)), at) for (*key, n), at in found))


def load_camera(lens: Path, pose: Path, view: str) -> deltacamera.Camera:
    """Returns a machine-vision camera; MATLAB has both matrices transposed and counts from 1."""
    found, where = read_npz(lens, LENS), read_npz(pose, POSE)
    rotation, matrix = where["rotationMatrix"].T, found["IntrinsicMatrix"].T
    known, center = KNOWN[view]
    here = [*matrix[[0, 1], [0, 1]], *matrix[:2, 2], *found["RadialDistortion"]]
    if (np.abs(np.subtract(here, known)) > [1, 1, 1, 1, 0.01, 0.01]).any():
        text = f"fx, fy, cx, cy, k1, k2 are {np.round(here, 3).tolist()}; expected {list(known)}"
        raise CorruptInput(lens, text, hint=MIXED)
    matrix[:2, 2] -= 1
    check_principal(lens, matrix, SIZE)
    place = {"rotation": rotation, "translation": where["translationVector"], "unit": "mm"}
    more = {"intrinsics": matrix, "distortion": found["RadialDistortion"], "size": SIZE}
    camera = make_camera(pose, **place, **more, distortion_order="k1 k2", world_up=SPEC.world_up)
    if not (np.allclose(camera.t, center, 0, 10) and rotation[1, 2] < LEVEL):
        text = f"the camera is at {np.round(camera.t).tolist()} mm, z of its downward axis is "
        text += f"{rotation[1, 2]:.2f}; expected {list(center)} and less than {LEVEL}"
        raise CorruptInput(pose, text, hint=f"{MIXED}, or not MATLAB's transposed rotation")
    return camera
