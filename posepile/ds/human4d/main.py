"""HUMAN4D: people with markers before four RGB-D sensors that lie on their side.

See README.md. One unit is one recording seen by one sensor. Pictures are turned upright, a quarter
clockwise, and everything here is of the turned ones. Group ``g`` of the pictures belongs to row
``g - offset`` of the 2D arrays, and to ``gposes3d/<g - offset + shift>.npy``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.arrays import read_npy
from posepile.formats.folders import in_order, names_like, read_in_order
from posepile.formats.keys import by_key, only_one
from posepile.formats.schema import Array, check, lookup
from posepile.formats.text_files import read_json, read_lines, read_numbers
from posepile.geometry.agreement import find_shift
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_points, check_principal, project
from posepile.geometry.rotations import nearest_axis
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import same_count, unit_files, view_units

SUBJECT, RECORDING = r"S\d+", r"\d\d(?:-\d\d){5}"
STORED, SIZE, UPRIGHT = (1280, 720), (720, 1280), 3  # quarter turns counter-clockwise
TURN = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])  # axes of the camera, turned with its picture
DEVICE = {"Color Depth Rotation": Array(9), "Color Depth Translation": Array(3)}
KEPT = [j for j in range(33) if j != 15]  # which is a second end of the neck
FILE, HINT = [{"Device": str, "*": None}], "dataset.pose_shift, or another recording's cameras?"
NO_POSE, BEFORE = "no gposes3d of this group", "group before the motion capture"
UNKNOWN_SENSOR = "picture of a sensor without extrinsics"
UNCHECKED = "index of the poses as in the official demo, without 2D arrays that would tell"
LEAST, SMALL = 30, "longer side of the joints' box below 30 px"
SPEC = DatasetSpec(
    name="human4d",
    joint_info=JointInfo(
        "pelv,spin0,spin1,spin2,spin3,neck,neck2,head,htop,neck3,rsho,relb,rwri,rpinkie,rthu,lsho,"
        "lelb,lwri,lpinkie,lthu,rhip,rkne,rank,rfoo,rtoe,rtoe2,lhip,lkne,lank,lfoo,ltoe,ltoe2",
        "rthu-rpinkie-rwri-relb-rsho-neck3-spin3-neck-neck2-head-htop,"
        "spin3-spin2-spin1-spin0-pelv-rhip-rkne-rank-rfoo-rtoe-rtoe2",
    ),
    image_dir="human4d_downscaled",
    world_up=None,  # the sensors tell
    citation="chatzitofis2020human4d: Chatzitofis et al., HUMAN4D: A Human-Centric Multimodal "
    "Dataset for Motions and Immersive Media, IEEE Access 8, 2020",
    licence="see the Zenodo records; code MIT",
    sequence_names=r"(?P<subject>S\d+)/(?P<motion>[\d-]+)/(?P<view>\w+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``S1`` to ``S4``; None = all that are there.
        pose_shift: Number of a pose minus that of its row in the 2D arrays, which is group minus
            offset; None: as the 2D arrays tell, and 0 (as in the official demo) without any.
        max_projection_px: How far 2D arrays may be from the projected poses (median).
        max_tilt: Degrees by which the sensors' common vertical may be off an axis of the world.
        max_sensors_mm: How far the colour sensor may be from the depth sensor.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    pose_shift: Literal[-1, 0, 1] | None = None
    max_projection_px: float = Field(5.0, gt=0)
    max_tilt: float = Field(15.0, gt=0, le=45)
    max_sensors_mm: float = Field(100.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per recording and sensor with extrinsics; per sensor if none has any."""
    found = names_like(root, SUBJECT)
    for subject in sorted(recipe.chosen_subjects(options.subjects, found) if found else ()):
        folder, devices = root / subject, "device_repository.json"
        known = {s for (s,) in names_like(folder / "pose", r"(\w+)\.extrinsics").values()}
        shared = {"devices": (folder if devices in names_in(folder) else root) / devices}
        shared["offsets"] = folder / "offsets.txt"
        for name in names_like(folder, RECORDING):
            groups, views = pictures_by_sensor(folder / name / "Dump/color"), {}
            used = known & groups.keys() or groups.keys()  # loading says that they are missing
            shared["sensors"] = [folder / "pose" / f"{s}.extrinsics" for s in sorted(known | used)]
            shared["poses"] = in_order(folder / name / "Dump/gposes3d", r"(\d+)\.npy")
            for sensor in sorted(used):
                arrays = names_like(folder / name, rf"(?!.*bbox).*{sensor}.*2d.*\.npy")
                pixels = [folder / name / file for file in arrays]
                views[sensor] = {"pictures": groups[sensor], "pixels": pixels}
            lost = dict.fromkeys(sorted(used)[:1], sum(len(groups[s]) for s in {*groups} - used))
            last = max((int(paths[-1].name.split("_")[0]) for paths in groups.values()), default=0)
            told = {"lost": lost, "last": last}
            yield from view_units(f"{subject}/{name}", "train", views, shared, **told)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one recording seen by one sensor."""
    files, (subject, name, view) = unit_files(unit), unit.id.split("/")
    camera = load_camera(files["devices"], files["sensors"], view, options)
    offset, poses = read_offset(files["offsets"], name), read_poses(files["poses"])
    if not poses:
        raise CorruptInput(root / subject / name / "Dump/gposes3d", "holds no <number>.npy")
    groups = read_in_order(files["pictures"], Path, f"{view}, group")  # frames are these numbers
    shift, checks = options.pose_shift or 0, {}
    first, path = (min(poses), min(groups)), only_one(files["pixels"], "2D joints")
    if path is None and options.pose_shift is None and 1 in first:
        text = f"poses are numbered from {first[0]}, groups from {first[1]}; expected 2D arrays"
        raise CorruptInput(root / subject / name, f"{text} that tell the shift", hint=HINT)
    if path is not None:
        captured = {files["offsets"]: unit.args["last"] - offset + 1}
        same_count({**captured, path: len(pixels := read_pixels(path))}, "groups after the offset")
        pose = {number: people[0] for number, people in poses.items() if len(people)}
        told = {"limit": options.max_projection_px, "shift": options.pose_shift, "hint": HINT}
        shift, checks["projection_px"] = find_shift(path, camera, pose, pixels, **told)
    row = {g: g - offset + shift for g in groups if g >= offset}
    dropped = {BEFORE: len(groups) - len(row), UNKNOWN_SENSOR: unit.args["lost"].get(view, 0)}
    dropped[NO_POSE] = sum(number not in poses for number in row.values())
    seen, tracks = {i: poses[number] for i, number in row.items() if number in poses}, []
    for p in range(max(map(len, seen.values()), default=0)):
        frames = np.array([i for i, people in seen.items() if len(people) > p], int)
        person = Track(frames, p, np.float32([seen[i][p][KEPT] for i in frames.tolist()]))
        person.note = UNCHECKED if path is None and options.pose_shift is None else ""
        sides = box_of_points(project(camera, person.world_coords), SIZE)[:, 2:].max(axis=1)
        person.unusable = lambda k, sides=sides: SMALL if sides[k] < LEAST else None
        tracks.append(person)
    place = f"{subject}/{name}/Dump/color/{{}}{'_{:02d}' if len(tracks) > 1 else ''}.jpg"
    told = {"image_name": lambda i, p: place.format(groups[i].stem, p), "dropped": dropped}
    # A place without a picture repeats the first one and is never read.
    paths = tuple(groups.get(g, files["pictures"][0]) for g in range(max(groups) + 1))
    stills = Stills(paths, (SIZE,) * len(paths), rot90=UPRIGHT)
    return [view_sequence(unit, stills, camera, tracks, checks=checks, scene="studio", **told)]


def pictures_by_sensor(folder: Path) -> dict[str, list[Path]]:
    """Returns the pictures of each sensor by group; of one group perhaps several."""
    sensors = {sensor for (sensor,) in names_like(folder, r"\d+_(\w+?)_color_\d+\.png").values()}
    return {s: in_order(folder, rf"(\d+)_{s}_color_\d+\.png") for s in sorted(sensors)}


def read_offset(path: Path, name: str) -> int:
    """Returns how many groups of pictures there are before the motion capture."""
    found = [row[1] for row in map(str.split, read_lines(path)) if row[0] == name and len(row) > 1]
    if len(found) != 1 or not found[0].isdigit():
        raise CorruptInput(path, f"{name}: found {found or 'no line'}; expected one offset")
    return int(found[0])


@lru_cache(maxsize=1)  # the views of a recording follow each other
def read_poses(paths: tuple[Path, ...]) -> dict[int, np.ndarray]:
    """Returns number -> joints of everybody ``[P, 33, 3]``, millimetres."""
    shape = Array("people", 33, 3, finite=False)
    return read_in_order(paths, lambda path: read_npy(path, shape), "pose")


def load_camera(devices: Path, sensors: list[Path], name: str, options: Options):
    """Returns the colour camera, turned with its picture; extrinsics are the depth camera's."""
    entries = enumerate(read_json(devices, FILE))
    named = ((entry["Device"], f"entry {k}", entry) for k, entry in entries)
    entry = lookup(by_key(named, devices, "device"), name, devices)
    device, where = check(entry, DEVICE, devices, name), f"{devices}, {name}"
    own = lookup(entry, "Color Intrinsics.0.1280x720", where)
    (fx, a, cx), (b, fy, cy), last = check(own, Array(9), where).reshape(3, 3)
    lens = {"intrinsics": [[fy, -b, STORED[1] - 1 - cy], [-a, fx, cx], last], "size": SIZE}
    check_principal(where, lens["intrinsics"], SIZE)
    offset = 1000 * device["Color Depth Translation"]
    if (away := float(np.linalg.norm(offset))) > options.max_sensors_mm:
        text = f"{name}: the colour sensor is {away:.0f} mm from the depth sensor; expected "
        raise CorruptInput(devices, f"{text}{options.max_sensors_mm:g} or less: not in metres?")
    extrinsics = {}
    for path in sensors:
        with nullcontext() if path.stem == name else suppress(CorruptInput):  # costs its own view
            extrinsics[path.stem] = read_numbers(path, Array(4, 3))
    to_world, place = extrinsics[name][:3], extrinsics[name][3]
    turned = TURN @ device["Color Depth Rotation"].reshape(3, 3).T @ to_world.T
    up = -np.mean([given[:3, 0] for given in extrinsics.values()], axis=0)  # +x is to the floor
    up = nearest_axis(up, sensors[0].parent, options.max_tilt, hint="sensors that stand upright?")
    pose = {"rotation": turned, "center": to_world @ offset + place, "unit": "mm"}
    return make_camera(where, **pose, **lens, world_up=up)


def read_pixels(path: Path) -> np.ndarray:
    """Returns where the joints of the first person are in the turned pictures ``[n, 33, 2]``."""
    stored = read_npy(path, Array(..., 33, 2, finite=False))
    if stored.ndim < 3 or not stored.size:
        raise CorruptInput(path, f"found shape {stored.shape}; expected somebody in some row")
    stored = stored.reshape(len(stored), -1, 33, 2)[:, 0]
    return np.stack([STORED[1] - 1 - stored[..., 1], stored[..., 0]], axis=-1)
