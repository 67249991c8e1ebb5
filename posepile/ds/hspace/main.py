"""HSPACE: dressed GHUM bodies that move in rendered scenes, several people, moving cameras.

See README.md. One unit is one TFRecord file: a sequence, with a record for each frame. Joints are
in the axes of the camera; there is no world. Pictures are read from where they lie in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.formats.folders import sort_out
from posepile.formats.schema import Array, check
from posepile.formats.tfrecords import iter_examples, read_span
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_mask
from posepile.imaging.declared import declared_size, decode_picture
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes import silhouettes, stills
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import Rows, make_unit, unit_files

# The joints that are kept, among the 63 of GHUM, and what they are called.
KEPT = [*range(8), 9, *range(13, 17), 20, 22, *range(31, 36), 39, 41, *range(50, 63)]
NAMES = (
    "pelv spin1 spin2 spin3 neck head head2 lbrow1 rbrow1 lcla lsho lelb lwri lmiddle1 lmiddle3 "
    "lthu rcla rsho relb rwri rmiddle1 rmiddle3 rthu lhip lkne lank lhee lfoo ltoe rhip rkne rank "
    "rhee rfoo rtoe"
).split()
FOOT = NAMES.index("lkne") + np.arange(5)  # knee to toe; the right one is 6 later
BYTES, NUMBER = Array(1, 2, dtype=int), Array(1, dtype=int)  # of the former, where they lie
FRAME = {"image/rgb": BYTES, "character_masks": BYTES, "camera_intrinsics": Array(4)}
FRAME |= {"number_of_rigged_characters": NUMBER}
PERSON = {"joints_3d": Array(63 * 3), "mask_id": NUMBER}  # metres
FOLDER, RECORDS, BRUSH = "2021_01/train", r".+\.tfrecord", np.ones((4, 4), np.uint8)

SPEC = DatasetSpec(
    name="hspace",
    joint_info=JointInfo(
        NAMES,
        "rthu-rwri-relb-rsho-rcla-spin3,"
        "head-neck-spin3-spin2-spin1-pelv-rhip-rkne-rank-rhee-rfoo-rtoe",
    ),
    image_dir="hspace_downscaled",
    world_up=(0.0, -1.0, 0.0),
    synthetic=True,
    citation="bazavan2021hspace: Bazavan et al., HSPACE: Synthetic Parametric Humans Animated in "
    "Complex Environments, arXiv 2112.12867, 2021",
    licence="access form; Google AI Principles",
    sequence_names=r"train/.+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        stored: Order of colours in the encoded pictures.
        min_side: Shorter side of the box around someone's visible pixels.
        max_behind: Largest share of a record's joints that may lie behind the camera.
        max_outside: Largest share of joints that may project outside of the person's mask.
        max_heel: How far in front of the shank the joint called heel may be, as a share of the way
            to ball and toes, in the median.
    """

    model_config = ConfigDict(extra="forbid")

    stored: Literal["bgr", "rgb"] = "bgr"
    min_side: float = Field(100.0, ge=0)
    max_behind: float = Field(0.5, ge=0, le=1)
    max_outside: float = Field(0.35, ge=0, le=1)
    max_heel: float = Field(0.0, le=1)


def calibrate(root: Path, options: Options) -> list[str]:
    """Returns which features the first record holds, since few have seen the data."""
    for file in sort_out(root / FOLDER, RECORDS, "record file")[0][:1]:
        with suppress(CorruptInput):  # its own unit tells
            first = next(iter_examples(file), {})
            what = {k: "bytes" if isinstance(v, list) else v.dtype.name for k, v in first.items()}
            found = ", ".join(f"{key}: {len(first[key])} {kind}" for key, kind in what.items())
            return [f"first record of {file}: {found}"]
    return []


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per file; copies and files of other names are counted in one more."""
    files, lost = sort_out(root / FOLDER, RECORDS, "record file")
    for file in files:
        yield make_unit(f"train/{file.stem}", "train", {"records": file})
    yield from stills.left_out_units("left_out", "train", lost if files else [])


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a record file, or how many files were left out."""
    if lost := stills.left_out_sequence(unit):
        return [lost]
    where = unit_files(unit)["records"]
    records = [read_record(where, i, example) for i, example in enumerate(iter_examples(where))]
    size = declared_size(read_span(where, records[0]["image"])) if records else None
    if size is None:
        raise CorruptInput(where, "found no readable picture; expected one in every record")

    def look(i: int) -> list[tuple[dict, np.ndarray]]:
        return find_people(where, i, records[i]["masks"], records[i]["labels"], size)

    def camera(i: int):
        fx, fy, cx, cy = records[i]["lens"]
        lens = {"intrinsics": [[fx, 0, cx], [0, fy, cy]], "size": size}
        return make_camera(f"{where}, record {i}", **lens, world_up=SPEC.world_up)

    def unusable(rows: list[int], p: int, k: int) -> str | None:
        small = not look(rows[k])[p][1][2:].min() >= options.min_side
        return "shorter side of the visible box below dataset.min_side" if small else None

    people = []
    for p in range(max(len(record["labels"]) for record in records)):
        rows = [i for i, record in enumerate(records) if p < len(record["labels"])]
        track = Track(np.array(rows), p, np.stack([records[i]["joints"][p] for i in rows]))
        track.bbox = Rows(rows, lambda i, p=p: look(i)[p][1])
        track.mask = lambda k, rows=rows, p=p: look(rows[k])[p][0]
        track.unusable = partial(unusable, rows, p)
        people.append(track)
    checks = check_joints(where, [t.world_coords for t in people], options) if people else {}
    hint = "axes, order or labels are not those meant, or raise dataset.max_outside (1: any)"
    share = silhouettes.joints_outside_mask(where, people, camera, options.max_outside, hint=hint)
    for track in people if options.max_outside < 1 else ():
        silhouettes.check_same_frames(where, track, camera, hint=hint)
    checks["joints_outside_mask"] = share
    n, spans = len(records), tuple(record["image"] for record in records)
    frames = Stills((where,) * n, (size,) * n, spans=spans, bgr=options.stored == "bgr")
    named = {"image_name": lambda i, p: f"{unit.id}/{i:08d}_{p:03d}.jpg", "scene": unit.id}
    return [view_sequence(unit, frames, camera, people, **named, checks=checks)]


def read_record(where: Path, i: int, example: dict) -> dict:
    """Returns where picture and masks of a frame lie, its lens, and labels and joints of people.

    Joints are ``[n, 35, 3]``, mm.
    """
    place = f"record {i}"
    frame = check(example, FRAME, where, place)
    n = int(frame["number_of_rigged_characters"][0])
    stored = {key.partition("/")[0] for key in example if key.startswith("RIGGED_")}
    if n != len(stored):
        text = f"{place}: number_of_rigged_characters: found {n}; expected {len(stored)}"
        raise CorruptInput(where, text, hint="so many have features; they are not those meant")
    people = [
        check(example, {f"RIGGED_{p}/{key}": kind for key, kind in PERSON.items()}, where, place)
        for p in range(n)
    ]
    joints = [person[f"RIGGED_{p}/joints_3d"] for p, person in enumerate(people)]
    labels = tuple(int(person[f"RIGGED_{p}/mask_id"][0]) for p, person in enumerate(people))
    if len(set(labels)) < n:
        raise CorruptInput(
            where, f"{place}: mask_id: found {labels}; expected one for each person"
        )
    image, masks = (tuple(frame[key][0].tolist()) for key in ("image/rgb", "character_masks"))
    found = {"image": image, "masks": masks, "labels": labels}
    joints = np.float32(1000 * np.reshape(joints, (n, 63, 3))[:, KEPT])
    return found | {"joints": joints, "lens": frame["camera_intrinsics"]}


@lru_cache(maxsize=256)
def find_people(
    where: Path, i: int, span: tuple[int, int], labels: tuple[int, ...], size: tuple[int, int]
) -> list[tuple[dict, np.ndarray]]:
    """Returns visible pixels, as RLE, and box of each person of a frame.

    A person has their label and the one below, unless that is the background's or somebody else's.
    Specks are removed; the box grows by that to the right and downwards.
    """
    image = decode_picture(read_span(where, span), where, i)
    if image is None or image.shape != size[::-1]:
        found = "no picture" if image is None else f"shape {image.shape}"
        text = f"record {i}: character_masks: found {found}; expected shape {size[::-1]}"
        raise CorruptInput(where, text)
    people = []
    for label in labels:
        below = {label - 1} - {0, *labels}
        pixels = np.isin(image, [label, *below]).astype(np.uint8)
        clean = cv2.dilate(cv2.erode(pixels, BRUSH), BRUSH, iterations=2)
        people.append((rlemasklib.encode(pixels & clean), box_of_mask(clean)))
    return people


def check_joints(where: Path, people: list[np.ndarray], options: Options) -> dict[str, float]:
    """Returns which share of joints is behind the camera, and where the joint called heel is."""
    poses = np.concatenate(people)
    behind = float((poses[..., 2] <= 0).mean())
    if behind > options.max_behind:
        text = f"{behind:.0%} of the joints are behind the camera"
        raise CorruptInput(where, f"{text}; expected z > 0", hint="axes are not those meant")
    knee, ankle, *foot = np.concatenate([poses[:, FOOT], poses[:, FOOT + 6]]).swapaxes(0, 1)
    shank = (ankle - knee) / np.linalg.norm(ankle - knee, axis=-1, keepdims=True)
    heel, ball, toes = ((x - ankle) - ((x - ankle) * shank).sum(-1)[:, None] * shank for x in foot)
    front = (ball + toes) / 2
    ahead = float(np.median((heel * front).sum(axis=-1) / (front * front).sum(axis=-1)))
    if ahead > options.max_heel:
        text = f"the joint called heel is {ahead:.2f} of the way to the toes in front of the shank"
        hint = "joints are in another order, or GHUM's foot is no heel: raise dataset.max_heel"
        raise CorruptInput(where, f"{text} (median); expected behind it", hint=hint)
    return {"joints_behind": behind, "heel_ahead": ahead}
