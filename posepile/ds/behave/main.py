"""BEHAVE: people with objects before four Azure Kinects, SMPL-H fits once a second.

See README.md. One unit is one recording seen by one Kinect: the pictures of its time folders. The
world is the colour camera of Kinect 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies import body25, models
from posepile.bodies.parameters import parameters_by_frame
from posepile.errors import CorruptInput
from posepile.files import presence
from posepile.formats.folders import names_like
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, OneOf
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import make_camera
from posepile.imaging.masks import read_label_image
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import joints_outside_mask, view_sequence
from posepile.shapes.units import make_unit, unit_files

SIZE, DEFAULT_KINECTS, TEST_DATE = (2048, 1536), 3, "Date03_"
# Of a time folder; the fit makes it one of ours, all else may be missing.
PARTS = {
    "fits": ("person/fit02/person_fit.pkl",),
    "points": ("person/person_J3d.json",),
    "pictures": ("k{k}.color.jpg",),
    "masks": ("k{k}.person_mask.jpg", "k{k}.person_mask.png"),
}
LENS = "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6".split()  # in the order of the list ``opencv``
KNOWN_LENS = (979.784, 979.840, 1018.952, 779.487)  # of Kinect 1
CALIBRATION = {key: Array() for key in (*LENS, "width", "height")} | {"opencv": Array(12)}
POSE = {"rotation": Array(9), "translation": Array(3)}  # from the camera to the world, metres
LISTS, GENDERS = {"train": [str], "test": [str]}, ("male", "female")
INFO = {"gender": OneOf(*GENDERS), "kinects?": Array("K", dtype=int)}
PLACES = {"config": str, "intrinsic": str}  # from the recording's folder
FIT = {"pose": Array(156), "betas": Array(10), "trans": Array(3)}
POINTS = {"body_joints3d": Array(25, 4, finite=False)}  # metres, score
GROUPS = slice(24), slice(24, 49)  # joints of SMPL, key points
NO_FIT, NO_PICTURE = "time folder without a fit", "no picture of this Kinect"
UNLISTED = "picture of a Kinect that info.json does not list"

SPEC = DatasetSpec(
    name="behave",
    joint_info=JointInfo(body25.JOINT_NAMES, body25.EDGES),
    image_dir="behave_downscaled",
    world_up=(0.0, -1.0, 0.0),
    single_person=True,
    body_shape="fitted",
    n_valid_betas=10,
    citation="bhatnagar22behave: Bhatnagar et al., BEHAVE, CVPR 2022",
    licence="BEHAVE licence: non-commercial research; faces are blurred in publications",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Ids of subjects, e.g. ["Sub01", "Sub06"]; null: all.
        max_outside_mask: Share of SMPL's joints, and of the key points, that may project outside
            the person's pixels, some of which are behind the object.
        max_fit_mm: Fits are left out whose limbs are further from the key points, in the median.
        max_lens_px: How far the lens of Kinect 1 may be from the one that is known.
        max_origin: How far Kinect 1 may be from the origin: metres, and entries of its rotation.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    max_outside_mask: float = Field(0.6, gt=0, le=1)
    max_fit_mm: float = Field(100.0, gt=0)
    max_lens_px: float = Field(0.1, gt=0)
    max_origin: float = Field(1e-3, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per recording and Kinect; recordings that train does not list are test."""
    known, is_there = names_like(root / "sequences", r"Date\d\d_(Sub\d\d)_\w+"), presence()
    lists = read_json(path := root / "split.json", LISTS)
    if odd := [name for name in lists["test"] if not name.startswith(TEST_DATE)]:
        raise CorruptInput(path, f"test: found {odd[0]}; expected recordings of {TEST_DATE} alone")
    wanted = recipe.chosen_subjects(options.subjects, (subject for (subject,) in known.values()))
    for name in (name for name, (subject,) in known.items() if subject in wanted):
        split, folder = "train" if name in lists["train"] else "test", root / "sequences" / name
        info = read_json(folder / "info.json", INFO | PLACES)
        kinects = info.get("kinects", np.arange(DEFAULT_KINECTS)).tolist()
        if kinects != [*range(len(kinects))]:
            found = f"kinects: found {kinects}; expected 0, 1, 2 and so on"
            raise CorruptInput(folder / "info.json", found)
        all_times = names_like(folder, r"t\d{4}\.\d{3}")
        times = [time for time in all_times if is_there(folder / time / PARTS["fits"][0])]
        config, lenses = (Path(os.path.normpath(folder / info[key])) for key in PLACES)
        others = {*range(4)} - {*kinects}
        unlisted = sum(is_there(folder / t / f"k{k}.color.jpg") for t in times for k in others)
        for k in kinects:
            files = {"pose": config / f"{k}/config.json", "world": config / "1/config.json"}
            files["lens"] = lenses / f"{k}/calibration.json"
            for part, names in PARTS.items():
                paths = (folder / time / name.format(k=k) for time in times for name in names)
                files[part] = [path for path in paths if is_there(path)]
            files["models"] = models.model_files("smpl", [info["gender"]], root)
            lost = {NO_FIT: len(all_times) - len(times), UNLISTED: unlisted * (k == kinects[-1])}
            args = {"gender": info["gender"], "times": times, "lost": lost}
            yield make_unit(f"{name}/k{k}", split, files, kinect=k, **args)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    return models.lacking_models("smpl", GENDERS, root, "there are no joints of SMPL")


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a Kinect in the time folders that have a fit."""
    files, (gender, k, times) = unit_files(unit), map(unit.args.get, ("gender", "kinect", "times"))
    folder, n = root / "sequences" / unit.id.split("/")[0], len(times)
    at = {part: {p.relative_to(folder).parts[0]: p for p in files[part]} for part in PARTS}
    if not times:
        return [view_sequence(unit, Stills(()), None, [], dropped=unit.args["lost"])]
    camera = make_camera(files["pose"], **camera_facts(files, k, options))
    points = np.full((n, 25, 3), np.nan)
    fits = [read_pickle(path, FIT) for path in at["fits"].values()]
    for i, time in enumerate(times):
        if path := at["points"].get(time):
            *xyz, score = read_json(path, POINTS)["body_joints3d"].T
            points[i] = 1000 * body25.clean_points(np.where(score > 0, xyz, np.nan).T)
    pose, shape, trans = (np.array([fit[key] for fit in fits]) for key in FIT)
    body = {"pose": np.pad(pose[:, :66], ((0, 0), (0, 6))), "shape": shape, "trans": trans}
    smpl = body25.model_joints(root, gender, body)
    joints, note = body25.joined(smpl, points, options.max_fit_mm)
    body |= {"type": "smplh", "gender": gender, "hands": "whole", "pose": pose}
    track = Track(np.arange(n), world_coords=joints, note=note)
    track.activity = folder.name.split("_", 2)[2]
    track.parameters = None if note == body25.FAR_OFF else parameters_by_frame(folder, n, **body)
    track.mask = lambda i: read_person(at["masks"].get(times[i]))
    track.unusable = lambda i: None if times[i] in at["pictures"] else NO_PICTURE
    paths, hint = [folder / time / f"k{k}.color.jpg" for time in times], "another calibration?"
    compared = folder, track, camera, options.max_outside_mask
    shares = [joints_outside_mask(*compared, joints=part, hint=hint) for part in GROUPS]
    apart = float(np.nan_to_num(body25.limbs_apart(smpl, points)))
    more = {"checks": {"outside_mask": max(shares), "fit_mm": apart}, "dropped": unit.args["lost"]}
    more["image_name"] = lambda i, _: f"sequences/{folder.name}/{times[i]}/{paths[i].name}"
    return [view_sequence(unit, Stills(tuple(paths), (SIZE,) * n), camera, [track], **more)]


def read_person(path: Path | None) -> dict | None:
    """Returns a person's pixels as RLE; masks are JPEG or PNG."""
    return path and rlemasklib.encode((read_label_image(path)[..., 0] > 127).astype(np.uint8))


def camera_facts(files: dict[str, Path], k: int, options: Options) -> dict:
    """Returns what is known of a Kinect's colour camera; the world is that of Kinect 1."""
    poses = (read_json(files[key], POSE) for key in ("world", "pose"))
    world, pose = (np.c_[p["rotation"].reshape(3, 3), p["translation"]] for p in poses)
    if (off := abs(world - np.eye(3, 4)).max()) > options.max_origin:
        found = f"Kinect 1 is {off:.3g} from the origin of the world; expected at most"
        raise CorruptInput(files["world"], f"{found} {options.max_origin:g}")
    lens = read_json(files["lens"], {"color": CALIBRATION})["color"]
    named, size = np.array([lens[key] for key in LENS]), (lens["width"], lens["height"])
    if not np.allclose(named, lens["opencv"], rtol=1e-6, atol=0) or size != SIZE:
        found = f"{' '.join(LENS)}: found {named.tolist()}, opencv {lens['opencv'].tolist()}"
        raise CorruptInput(
            files["lens"], f"{found}; expected the same numbers, of pictures {SIZE}"
        )
    if k == 1 and abs(named[:4] - KNOWN_LENS).max() > options.max_lens_px:
        found = f"fx fy cx cy of Kinect 1: found {named[:4].tolist()}; expected {KNOWN_LENS}"
        raise CorruptInput(files["lens"], found)
    lens = {"focal": tuple(named[:2]), "principal": tuple(named[2:4]), "distortion": named[4:]}
    return lens | {"camera_to_world": pose, "unit": "m", "size": SIZE, "world_up": SPEC.world_up}
