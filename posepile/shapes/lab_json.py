"""A laboratory's recordings as JSON: four cameras, 25 joints by markers, fits of SMPL-X.

Every action of a subject has files of its own, below ``train/<subject>``::

    videos/<camera>/<action>.mp4          900 x 900 pixels, 50 frames a second
    camera_parameters/<camera>/<action>.json
    joints3d_25/<action>.json             metres in the world, z up
    smplx/<action>.json                   rotation matrices, one row per frame of the video

Of the joints there are one or four rows per frame, which differs between releases: the numbers of
rows tell, in every file anew. Those who test have other folders and no joints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.joints import SMPLX_JOINT_NAMES
from posepile.bodies.parameters import join_pose, parameters_by_frame
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import names_like
from posepile.formats.keys import only_one
from posepile.formats.schema import Array, OneOf, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.rotations import check_rotation, matrix_rotvec
from posepile.imaging.videos import index_packets
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, Sequence, Track, Unit, Video, chosen_subjects
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import unit_files, view_units

JOINT_INFO = JointInfo(
    "pelv,lhip,lkne,lank,rhip,rkne,rank,spin,neck,head,htop,lsho,lelb,lwri,rsho,relb,rwri,lfoo,"
    "ltoe,rfoo,rtoe,lthu,lfin,rthu,rfin",
    "htop-head-neck-spin-pelv-lhip-lkne-lank-lfoo-ltoe,lthu-lwri-lelb-lsho-neck,lwri-lfin",
)
CAMERAS = ("50591643", "58860488", "60457274", "65906101")
SIZE, UP = (900, 900), (0.0, 0.0, 1.0)
INFO = {"train_subj_names": [str], "subj_to_act": {"*": [str]}}
INFO |= {"all_camera_names": [OneOf(*CAMERAS)]}
LENS = {"f": Array(1, 2, squeezed=True), "c": Array(1, 2, squeezed=True)}
LENS |= {"k": Array(1, 3, squeezed=True), "p": Array(1, 2, squeezed=True)}
CAMERA = {"extrinsics": {"R": Array(3, 3), "T": Array(1, 3, squeezed=True)}}  # T: centre, metres
PINHOLE = {key: LENS[key] for key in "fc"}  # fitted beside it, so it is never the same
CAMERA |= {"intrinsics_w_distortion": LENS, "intrinsics_wo_distortion?": PINHOLE}
JOINTS, FIT = "joints3d_25", {"transl": (3,), "betas": (10,), "expression": (10,)}
# Parts of the pose as ours are called: name in the files, number of joints.
PARTS = {"root": ("global_orient", 1), "body": ("body_pose", 21), "jaw": ("jaw_pose", 1)}
PARTS |= {"leye": ("leye_pose", 1), "reye": ("reye_pose", 1)}
PARTS |= {f"{side}_hand": (f"{side}_hand_pose", 15) for side in ("left", "right")}
FIT |= {name: (n, 3, 3) for name, n in PARTS.values()}
# Joints that markers and body model put about the same place.
LIMBS = "lkne lank rkne rank lsho lelb lwri rsho relb rwri".split()
OURS = [JOINT_INFO.names.index(name) for name in LIMBS]
OF_MODEL = [SMPLX_JOINT_NAMES.index(name) for name in LIMBS]
UNPAIRED = "frame that either joints or fits (without these: the video) do not reach"
FEW_FRAMES, LONG_VIDEO = 3, 1.5  # that may always lack; of a video, by the frames that are used
NO_FITS = "no body parameters, since there are no fits (smplx/)"
UNCOMPARED = "fits are not compared with the joints"
OLD_RELEASE = "an older release has one person and other rates: download it again"
OTHER_RELEASE = "joints, fits and video are not of one release, or a file is cut short"


@dataclass(frozen=True)
class Lab:
    """What one of the laboratory's datasets is.

    Attributes:
        name: With which the names of its tables begin.
        subjects: Those that joints are published of.
        n_people: How many are in every picture; with two, arrays have a leading axis.
    """

    name: str
    subjects: tuple[str, ...]
    n_people: int = 1


class LabOptions(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Those to pack, e.g. ``s03``; None = all of the training set.
        cameras: Those to pack; None = all four.
        max_pelvis_mm: How far the pelvis may get from where the fits put it, of how it lies there
            in the median, but in 5 % of the frames.
        max_body_mm: How far limbs may be from those of the body model, median of the limbs, but
            in 5 % of the frames.
        max_unpaired: Share of the frames that only joints or only fits may reach; three always.
        max_distance_m: How far people may be from a camera, in the median.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    cameras: list[Literal[CAMERAS]] | None = Field(
        None, min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    max_pelvis_mm: float = Field(100.0, gt=0)
    max_body_mm: float = Field(120.0, gt=0)
    max_unpaired: float = Field(0.1, ge=0, le=1)
    max_distance_m: float = Field(15.0, gt=0)


def lab_recipe(lab: Lab) -> tuple[Callable, Callable, Callable]:
    """Returns ``list_units``, ``load_unit`` and ``plan`` of one of the laboratory's datasets.

    >>> list_units, load_unit, plan = lab_recipe(Lab("fit3d", ("s03", "s04")))
    >>> load_unit.__name__
    'load_unit'
    """

    def list_units(root: Path, options: LabOptions) -> Iterator[Unit]:
        """Yields one unit per action and camera of the subjects that joints are published of."""
        yield from _action_units(root, lab, options)

    def load_unit(root: Path, unit: Unit, options: LabOptions) -> list[Sequence]:
        """Returns one action seen by one camera."""
        return [_action_sequence(root, unit, lab, options)]

    def plan(root: Path, options: LabOptions) -> list[str]:
        """Returns what the body model is needed for and where it belongs, if it is missing."""
        return models.lacking_models("smplx", ["neutral"], root, UNCOMPARED)

    return list_units, load_unit, plan


def _action_units(root: Path, lab: Lab, options: LabOptions) -> Iterator[Unit]:
    """Yields a unit for every action and camera of the training subjects that are on the disk.

    What archives hold lies in the raw folder, or below the dataset's name in it.

    Raises:
        CorruptInput: The table of the dataset is of other subjects, or lacks an action.
    """
    bases = root, root / lab.name
    places = [at / name for at in bases for name in (f"{lab.name}_info.json", "info.json")]
    table = only_one(places, "the table of subjects") or places[0]
    info, named = read_json(table, INFO), options.cameras or CAMERAS
    if sorted(info["train_subj_names"]) != sorted(lab.subjects):
        text = f"train_subj_names: found {info['train_subj_names']}; expected {[*lab.subjects]}"
        raise CorruptInput(table, text, hint="it is the table of another dataset or release")
    smplx = models.model_files("smplx", ["neutral"], root)
    train = only_one([at / "train" for at in bases], "the training set") or root / "train"
    for subject in sorted(chosen_subjects(options.subjects, lab.subjects) & names_in(train)):
        folder, actions = train / subject, info["subj_to_act"].get(subject, [])
        there = [stem for (stem,) in names_like(folder / JOINTS, r"(.+)\.json").values()]
        if odd := [a for a in actions if "/" in a]:
            raise CorruptInput(table, f"subj_to_act: found {odd[0]!r}; expected names of files")
        if odd := set(there) - set(actions):
            text = f"subj_to_act: lacks {min(odd)!r} of {subject}, of which there are joints"
            raise CorruptInput(table, text, hint="it is of another release")
        for action in sorted(actions):
            views = {
                camera: {
                    "video": folder / f"videos/{camera}/{action}.mp4",
                    "camera": folder / f"camera_parameters/{camera}/{action}.json",
                }
                for camera in info["all_camera_names"]
                if camera in named
            }
            shared = {"joints": folder / f"{JOINTS}/{action}.json", "models": smplx}
            shared["fits?"] = folder / f"smplx/{action}.json"
            yield from view_units(f"{subject}/{action}", "train", views, shared)


def _action_sequence(root: Path, unit: Unit, lab: Lab, options: LabOptions) -> Sequence:
    """Returns one action seen by one camera, frame by frame of the video.

    Raises:
        CorruptInput: Joints and fits are not of the same frames and people, or not near a camera.
    """
    files, (subject, action, view) = unit_files(unit), unit.id.split("/")
    below, n_decoded = models.models_below(root), index_packets(files["video"]).n_frames
    joints, fits = load_action(files["joints"], files.get("fits"), lab.n_people)
    n_frames = fits["trans"].shape[1] if fits else n_decoded
    every = _rows_per_frame(files["joints"], joints.shape[1], n_frames, options.max_unpaired)
    joints = joints[:, ::every]
    n, checks, people = min(joints.shape[1], n_frames), Counter(), []
    if n_decoded > max(LONG_VIDEO * n, n + FEW_FRAMES):
        text = f"found {n_decoded} frames in the video; expected about {n}, as of joints and fits"
        raise CorruptInput(files["video"], text, hint=OTHER_RELEASE)
    camera = _load_camera(files["camera"])
    checks["distance_m"] = _check_distance(files["camera"], camera, joints, options.max_distance_m)
    has_model = models.find_body_model("smplx", "neutral", models_root=below) is not None
    for p in range(lab.n_people):
        person = Track(np.arange(n), p, np.float32(joints[p, :n]), activity=action)
        if fits:
            where, body = f"{files['fits']}, person {p}", {k: v[p, :n] for k, v in fits.items()}
            found = {"pelvis_mm": _check_pelvis(where, joints[p, :n], body, options.max_pelvis_mm)}
            if has_model:
                far = _check_limbs(where, joints[p, :n], body, below, options.max_body_mm)
                found["body_mm"] = far
            checks |= found  # of two people the larger
            who = {"type": "smplx", "gender": "neutral", "hands": "whole"}
            person.parameters = parameters_by_frame(where, n, **who, **body)
        person.note = "" if fits else NO_FITS
        people.append(person)
    video = Video(files["video"], n_frames=n, mismatch_known=True, size=SIZE)
    folder = f"train/{subject}/videos/{view}/{action}.mp4"
    several = "_{1:02d}" if lab.n_people > 1 else ""
    return view_sequence(
        unit,
        video,
        camera,
        people,
        image_name=lambda k, p: f"{folder}/{k:06d}" + several.format(k, p) + ".jpg",
        scene="studio",
        dropped={UNPAIRED: lab.n_people * abs(joints.shape[1] - n_frames)},
        checks=checks,
    )


def _load_camera(path: Path):
    """Returns a camera of one action; tangential terms are those of Human3.6M's devkit."""
    found = read_json(path, CAMERA)
    pose, lens = found["extrinsics"], found["intrinsics_w_distortion"]
    pinhole = found.get("intrinsics_wo_distortion")
    same = pinhole and all(np.allclose(lens[k], pinhole[k], rtol=0, atol=1) for k in pinhole)
    if same or not (lens["k"].any() or lens["p"].any()):
        text = f"intrinsics_w_distortion: found f {lens['f'][0]}, c {lens['c'][0]}, k "
        text += f"{lens['k'][0]}, p {lens['p'][0]}; expected a lens with distortion"
        hint = "are these numbers of the pinhole, intrinsics_wo_distortion?"
        raise CorruptInput(path, text, hint=hint)
    return make_camera(
        path,
        rotation=pose["R"],
        center=pose["T"][0],
        unit="m",
        focal=lens["f"][0],
        principal=lens["c"][0],
        distortion=np.concatenate([lens["k"][0], lens["p"][0]]),
        distortion_order="k1 k2 k3 p1 p2",
        lens="half_tangential",
        size=SIZE,
        world_up=UP,
    )


def _check_distance(path: Path, camera, joints: np.ndarray, limit: float) -> float:
    """Returns how far joints ``[..., 3]`` are from the camera, metres in the median.

    Raises:
        CorruptInput: They are further away.
    """
    away = np.linalg.norm(joints - np.float64(camera.t), axis=-1) / 1000
    away = float(np.median(away[np.isfinite(away)])) if np.isfinite(away).any() else 0.0
    if away > limit:
        text = f"people are {away:.0f} m away in the median; expected at most {limit:g} m"
        raise CorruptInput(path, text, hint="is T in metres? or raise dataset.max_distance_m")
    return away


def _rows_per_frame(path: Path, n_rows: int, n_frames: int, unpaired: float) -> int:
    """Returns how many rows of joints there are for each frame of the video: 1 or 4.

    >>> _rows_per_frame("squat.json", 4 * 250 - 3, 250, 0.1)
    4

    Args:
        path: File of the joints, for the message.
        n_rows: In it.
        n_frames: Of the fits, which have a row per frame, or of the video where there are none.
        unpaired: Share of the frames that may be of one of them alone; some always may.

    Raises:
        CorruptInput: It is another number.
    """
    every = round(n_rows / n_frames) if n_frames else 0
    off = abs(-(-n_rows // max(every, 1)) - n_frames)
    if every not in (1, 4) or off > max(FEW_FRAMES, unpaired * n_frames):
        text = f"found {n_rows} rows of joints for {n_frames} frames; expected 1 or 4 for each"
        raise CorruptInput(path, text, hint=f"{OTHER_RELEASE}, or raise dataset.max_unpaired")
    return every


@lru_cache(maxsize=1)  # the views of an action follow each other
def load_action(
    path: Path, fits: Path | None, n_people: int
) -> tuple[np.ndarray, dict[str, np.ndarray] | None]:
    """Returns joints of an action ``[P, rows, 25, 3]`` mm, NaN = missing, and its bodies.

    Args:
        path: File of the joints.
        fits: File of the fits, if there is one.
        n_people: How many people are in it.

    Returns:
        The bodies are ``pose`` ``[P, frames, 165]``, ``shape``, ``trans``, ``expression``; hands
        are whole: rotations of the files hold the mean already.
    """
    people, hint = ((n_people,), OLD_RELEASE) if n_people > 1 else ((), None)
    schema = {JOINTS: Array(*people, "rows", 25, 3, finite=False)}
    joints = check(read_json(path), schema, path, hint=hint)[JOINTS]
    joints = joints.reshape(n_people, -1, 25, 3)
    if fits is None:
        return 1000 * joints, None
    schema = {name: Array(*people, "frames", *shape) for name, shape in FIT.items()}
    found = check(read_json(fits), schema, fits, hint=hint)
    found = {name: value.reshape(n_people, -1, *FIT[name]) for name, value in found.items()}
    turns = {
        ours: matrix_rotvec(check_rotation(found[name], f"{fits}, {name}"))
        for ours, (name, _) in PARTS.items()
    }
    turns = {ours: turn.reshape(*turn.shape[:2], -1) for ours, turn in turns.items()}
    bodies = {"pose": join_pose(fits, "smplx", **turns), "shape": found["betas"]}
    return 1000 * joints, bodies | {"trans": found["transl"], "expression": found["expression"]}


def _check_pelvis(where: str, joints: np.ndarray, body: dict[str, Any], limit: float) -> float:
    """Returns how far the pelvis gets from where the fits put it, mm, but in 5 % of the frames.

    A body model turns about its pelvis, so that the translation follows it at one distance. Where
    joints are read at another rate, they soon leave.

    Args:
        where: File and person, for the message.
        joints: ``[n, 25, 3]`` mm.
        body: ``trans`` ``[n, 3]`` metres.
        limit: Largest distance allowed.

    Raises:
        CorruptInput: It is farther.
    """
    way = joints[:, 0] - 1000 * body["trans"]
    way = way[np.isfinite(way).all(axis=1)]
    off = np.linalg.norm(way - np.median(way, axis=0), axis=1) if len(way) else np.zeros(1)
    return _refuse_far(where, off, limit, "pelvis", "max_pelvis_mm")


def _check_limbs(
    where: str, joints: np.ndarray, body: dict[str, Any], models_root: Path | None, limit: float
) -> float:
    """Returns how far limbs are from those of the body model, mm, but in 5 % of some frames.

    Arguments and errors are those of :func:`_check_pelvis`; ``body`` has the whole parameters.
    """
    some = slice(None, None, 1 + len(joints) // 40)
    given = {name: value[some] for name, value in body.items()}
    posed = 1000 * models.body_joints("smplx", "neutral", given, models_root=models_root)
    off = np.linalg.norm(posed[:, OF_MODEL] - joints[some][:, OURS], axis=-1)
    off = np.median(off[np.isfinite(off).all(axis=1)], axis=1)
    return _refuse_far(where, off, limit, "half of the limbs", "max_body_mm")


def _refuse_far(where: str, off: np.ndarray, limit: float, what: str, key: str) -> float:
    far = float(np.percentile(off, 95)) if len(off) else 0.0
    if far > limit:
        raise CorruptInput(
            where,
            f"{what}: {far:.0f} mm or more in 5 % of {len(off)} frames from where the fits are; "
            f"expected at most {limit:g} mm",
            hint="joints and fits are of different rates, releases or people, or raise "
            f"dataset.{key}",
        )
    return far
