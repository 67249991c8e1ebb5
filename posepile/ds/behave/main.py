"""BEHAVE: people with objects before four Azure Kinects, SMPL-H fits once a second.

See README.md. One unit is one recording seen by one Kinect: the pictures of its time folders. The
world is the colour camera of Kinect 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies import body25, models
from posepile.bodies.parameters import parameters_by_frame
from posepile.errors import CorruptInput
from posepile.files import presence
from posepile.formats.folders import names_like
from posepile.formats.keys import splits_by_name
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, OneOf
from posepile.formats.text_files import read_json
from posepile.geometry.azure_kinect import color_camera
from posepile.imaging.masks import read_rle
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes import silhouettes, units
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units

SIZE, DEFAULT_KINECTS, TEST_DATE = (2048, 1536), 3, "Date03_"
RECORDING, TIME = r"Date\d\d_(Sub\d\d)_\w+", r"t\d{4}\.\d{3}"
# Of a time folder; the fit makes it one of ours, all else may be missing.
PARTS = {
    "fits": ("person/fit02/person_fit.pkl",),
    "points": ("person/person_J3d.json",),
    "pictures": ("k{k}.color.jpg",),
    "masks": ("k{k}.person_mask.jpg", "k{k}.person_mask.png"),
}
KNOWN_LENS = (979.784, 979.840, 1018.952, 779.487)  # of Kinect 1
LISTS, GENDERS = {"train": [str], "test": [str]}, ("male", "female")
INFO = {"gender": OneOf(*GENDERS), "kinects?": Array("K", dtype=int)}
PLACES = {"config": str, "intrinsic": str}  # from the recording's folder
FIT = {"pose": Array(156), "betas": Array(10), "trans": Array(3)}
POINTS = {"body_joints3d": Array(25, 4, finite=False)}  # metres, score
GROUPS = slice(24), slice(24, 49)  # joints of SMPL, key points
NO_FIT, NO_PICTURE = "time folder without a fit", "no picture of this Kinect"
NO_TIME, UNREADABLE = "folder whose name is no time", "time folder whose fit or J3d is unreadable"
ABSENT, NEITHER = "recording of split.json that is not there", "not listed in split.json"
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
    sequence_names=r"Date\d\d_(?P<subject>Sub\d\d)_(?P<motion>\w+)/k\d",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Ids of subjects, e.g. ["Sub01", "Sub06"]; null: all.
        max_outside_mask: Share of SMPL's joints, and of the key points, that may project outside
            the person's pixels, some of which are behind the object.
        max_outside_half: The same in the views of half of the Kinects.
        max_unreadable: Share of time folders, if several, whose fit or J3d may be damaged.
        max_fit_mm: Fits are left out whose limbs are further from the key points, in the median.
        max_lens_px: How far the lens of Kinect 1 may be from the one that is known.
        max_origin: How far Kinect 1 may be from the origin: metres, and entries of its rotation.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    max_outside_mask: float = Field(0.6, gt=0, le=1)
    max_outside_half: float = Field(0.35, gt=0, le=1)
    max_unreadable: float = Field(0.1, ge=0, le=1)
    max_fit_mm: float = Field(100.0, gt=0)
    max_lens_px: float = Field(0.1, gt=0)
    max_origin: float = Field(1e-3, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per recording and Kinect; recordings that no list has are test."""
    place, is_there, path = root / "sequences", presence(), root / "split.json"
    known, split_of = names_like(place, RECORDING), read_json(path, LISTS)
    split_of = splits_by_name({split: split_of[split] for split in LISTS}, path, RECORDING)
    if odd := [n for n, split in split_of.items() if split == "test" and TEST_DATE not in n]:
        raise CorruptInput(path, f"test: found {odd[0]}; expected recordings of {TEST_DATE} alone")
    wanted = recipe.chosen_subjects(options.subjects, (subject for (subject,) in known.values()))
    yield from units.misplaced_units(place, RECORDING, "test", options.subjects)
    asked = options.subjects or {name.split("_")[1] for name in split_of}
    lost = [ABSENT for name in split_of if name not in known and name.split("_")[1] in asked]
    yield from left_out_units("left_out", "train", lost)
    for name in (name for name, (subject,) in known.items() if subject in wanted):
        split, folder = split_of.get(name, "test"), place / name
        files = {"info": folder / "info.json"}
        try:
            info = read_info(files["info"])
        except CorruptInput:  # its unit tells
            yield units.make_unit(name, split, files)
            continue
        kinects, there = info["kinects"], names_like(folder, r"[tT]\d.*")
        all_times = [time for time in there if re.fullmatch(TIME, time)]
        times = [time for time in all_times if is_there(folder / time / PARTS["fits"][0])]
        config, lenses = (Path(os.path.normpath(folder / info[key])) for key in PLACES)
        others = [f"k{k}.color.jpg" for k in range(len(kinects), 4)]
        unlisted = sum(is_there(folder / time / name) for time in times for name in others)
        files["models"] = models.model_files("smpl", [info["gender"]], root)
        lost = {NO_FIT: len(all_times) - len(times), NO_TIME: len(there) - len(all_times)}
        for k in kinects:
            seen = files | {f"pose {v}?": config / f"{v}/config.json" for v in kinects}
            seen |= {f"lens {v}?": lenses / f"{v}/calibration.json" for v in kinects}
            for key in sorted({f"pose {k}", "pose 1", f"lens {k}"}):  # all others may be missing
                seen[key] = seen.pop(f"{key}?")
            for part, names in PARTS.items():
                of = kinects if part == "masks" else [k]
                shown = (folder / t / s.format(k=v) for v in of for t in times for s in names)
                seen[part] = [path for path in shown if is_there(path)]
            told = {"times": times, "note": "" if name in split_of else NEITHER}
            told["lost"] = lost | {UNLISTED: unlisted * (k == kinects[-1])}
            yield units.make_unit(f"{name}/k{k}", split, seen, kinect=k, **told)


def read_info(path: Path) -> dict:
    """Returns what is said of a recording."""
    info = read_json(path, INFO | PLACES)
    kinects = info["kinects"] = info.get("kinects", np.arange(DEFAULT_KINECTS)).tolist()
    if kinects != [*range(max(2, len(kinects)))]:
        raise CorruptInput(path, f"kinects: found {kinects}; expected 0, 1, 2 and so on")
    return info


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body models are needed for and where they belong, if they are missing."""
    return models.lacking_models("smpl", GENDERS, root, "there are no joints of SMPL")


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of a Kinect in the time folders that have a fit."""
    units.check_placed(root / "sequences", unit)
    if absent := left_out_sequence(unit):
        return [absent]
    files, folder = units.unit_files(unit), unit.inputs[0].parent
    info, k, times = read_info(files["info"]), unit.args["kinect"], unit.args["times"]
    at = {part: {p.relative_to(folder).parts[0]: p for p in files[part]} for part in PARTS}
    known = units.readable(folder, times, partial(read_person, at), options.max_unreadable)
    lost = unit.args["lost"] | {UNREADABLE: len(times) - len(known)}
    if not (times := [*known]):
        return [view_sequence(unit, Stills(()), None, [], dropped=lost)]

    def see(k):
        """Returns the colour camera of a Kinect; the world is that of Kinect 1."""
        known = (KNOWN_LENS, options.max_lens_px) if k == 1 else None
        told = {"world_up": SPEC.world_up, "max_origin": options.max_origin, "known": known}
        places = files[f"pose {k}"], files["pose 1"]
        return color_camera(files[f"lens {k}"], places, SIZE, **told)

    camera, n, points = see(k), len(times), np.array([points for _, points in known.values()])
    pose, shape, trans = (np.array([fit[key] for fit, _ in known.values()]) for key in FIT)
    body = {"pose": pose, "shape": shape, "trans": trans}
    joints, note, apart = body25.fitted(root, info["gender"], body, points, options.max_fit_mm)
    body |= {"type": "smplh", "gender": info["gender"], "hands": "whole"}
    track = Track(np.arange(n), world_coords=joints, activity=folder.name.split("_", 2)[2])
    track.note = "; ".join(filter(None, (note, unit.args["note"])))
    track.parameters = None if note == body25.FAR_OFF else parameters_by_frame(folder, n, **body)
    masks = {(path.parent.name, path.name[:2]): path for path in files["masks"]}
    views, paths = {}, [folder / time / f"k{k}.color.jpg" for time in times]
    for v in info["kinects"]:
        shown = [masks.get((time, f"k{v}")) for time in times]
        with suppress(CorruptInput):  # of another Kinect, whose own unit tells
            if any(shown) and {f"pose {v}", f"lens {v}"} <= files.keys():
                seen = cache(lambda i, shown=shown: shown[i] and read_rle(shown[i], 127))
                views[v] = see(v), seen
    track.mask = views[k][1] if k in views else None
    track.unusable = lambda i: None if times[i] in at["pictures"] else NO_PICTURE
    limits = options.max_outside_mask, options.max_outside_half
    checks = silhouettes.joints_outside_masks(folder, track, views, k, limits, groups=GROUPS)
    more = {"checks": checks | {"fit_mm": float(np.nan_to_num(apart))}, "dropped": lost}
    more["image_name"] = lambda i, _: f"sequences/{folder.name}/{times[i]}/{paths[i].name}"
    return [view_sequence(unit, Stills(tuple(paths), (SIZE,) * n), camera, [track], **more)]


def read_person(at: dict, time: str) -> tuple[dict, np.ndarray]:
    """Returns the fit of a time folder, and key points, mm, NaN = missing."""
    fit, points = read_pickle(at["fits"][time], FIT), np.full((25, 3), np.nan)
    if path := at["points"].get(time):
        *xyz, score = read_json(path, POINTS)["body_joints3d"].T
        points = 1000 * body25.clean_points(np.where(score > 0, xyz, np.nan).T)
    return fit, points
