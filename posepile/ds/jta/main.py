"""JTA: crowds in videos of the game GTA V, 22 joints of everyone within 100 m, with occlusion.

See README.md. One unit is one video; its annotations are read once, row by row. Joints are in the
axes of the camera; there is no common world. The published focal length is 1158, but the game
distorts its pictures, which the annotations do not know: 1167 fits the pictures better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.folders import names_like
from posepile.formats.schema import Array
from posepile.formats.text_files import iter_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_points, check_projection, inside, project
from posepile.geometry.rotations import median_direction
from posepile.imaging.frames import open_frames
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import make_unit, unit_files

SIZE, LENS = (1920, 1080), {"principal": (960, 540), "pixel_origin": "edge", "size": (1920, 1080)}
PUBLISHED_FOCAL = 1158.0
# Frame from 1, person, joint, x and y in the picture, x, y, z in metres, occluded, by themselves.
ROW, OCCLUDED = Array(10), 5  # the latter among what follows the joint
JOINTS = (
    "htop head neck rcla rsho relb rwri lcla lsho lelb lwri spin0 spin1 spin2 spin3 pelv rhip "
    "rkne rank lhip lkne lank"
).split()
NECK, ANKLES = JOINTS.index("neck"), [JOINTS.index("rank"), JOINTS.index("lank")]
FRAME_ZERO = "annotated in frame 0, before the first of the video"
OTHER = "file that is not called seq_<number>.json or .mp4, as "
NUMBERS = {"train": range(256), "val": range(257, 512, 2), "test": range(256, 512, 2)}

SPEC = DatasetSpec(
    name="jta",
    joint_info=JointInfo(
        JOINTS,
        "rank-rkne-rhip-pelv-spin3-spin2-spin1-spin0-neck-head-htop,neck-rcla-rsho-relb-rwri",
    ),
    image_dir="jta_downscaled",
    synthetic=True,
    citation="fabbri2018learning: Fabbri et al., Learning to Detect and Track Visible and "
    "Occluded Body Joints in a Virtual World, ECCV 2018",
    licence="CC BY-NC 4.0, and a statement to own the game",
    sequence_names=r"\w+/seq_\d+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        splits: Splits to pack.
        focal: Of the pictures, pixels.
        min_visible: A person needs so many joints inside the picture that nothing hides.
        max_projection_px: How far joints may project from where the rows have them in the picture,
            with the published focal length; some tools cut those numbers to integers.
        max_missing: Largest share of joints that lack their row.
        frame_zero: Leave out rows of frame 0; else they are refused, since all may count from 0.
        max_beyond: So many annotated frames may be beyond the end of the video.
    """

    model_config = ConfigDict(extra="forbid")

    splits: list[Literal["train", "val", "test"]] = Field(
        ["train", "val", "test"], min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    focal: float = Field(1167.0, gt=0)
    min_visible: int = Field(5, ge=1)
    max_projection_px: float = Field(1.5, gt=0)
    max_missing: float = Field(0.05, ge=0, le=1)
    frame_zero: bool = False
    max_beyond: int = Field(2, ge=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video, also without annotations, and counts files of other names."""
    for split in options.splits:
        rows, videos = root / "annotations" / split, root / "videos" / split
        found = names_like(rows, r"seq_(0|[1-9]\d*)\.json")
        shown = names_like(videos, r"seq_(0|[1-9]\d*)\.mp4")
        if not {*found, *shown}:
            raise CorruptInput(root, f"found nothing of {split}", hint="or set dataset.splits")
        for (number,) in sorted({*found.values(), *shown.values()}):
            files = {"rows": rows / f"seq_{number}.json", "video": videos / f"seq_{number}.mp4"}
            yield make_unit(f"{split}/seq_{number}", split, files, number=int(number))
        other = (names_in(rows) | names_in(videos)) - {*found, *shown}
        reasons = [OTHER + min(other, default="")] * len(other)
        yield from left_out_units(f"{split}/left_out", split, reasons)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a video."""
    if lost := left_out_sequence(unit):
        return [lost]
    files = unit_files(unit)
    where = files["rows"]
    if unit.args["number"] not in NUMBERS[unit.split]:
        raise CorruptInput(where, f"this number is not one of {unit.split}", hint="move it")
    ids, frames, values = load_rows(where)
    if (frames < 0).any() and not options.frame_zero:
        raise CorruptInput(where, "found rows of frame 0; expected from 1, or dataset.frame_zero")
    # Some hold a frame more or less, and nobody need be in the last ones.
    n = int(frames.max(initial=-1)) + 1
    video = Video(files["video"], n, mismatch_known=True, size=SIZE)
    with open_frames(video) as shown:
        if n - shown.n_frames > options.max_beyond:
            found = f"holds {shown.n_frames} frames; expected {n}, as annotated"
            raise CorruptInput(files["video"], found, hint="labels of another video?")
    world = np.float32(1000 * values[..., 2:5])
    missing = float(np.isnan(world[..., 0]).mean()) if len(world) else 0.0
    if missing > options.max_missing:
        text = f"{missing:.0%} of the joints of people in it have no row"
        raise CorruptInput(where, f"{text}; expected at most {options.max_missing:.0%}")
    told = np.where(inside(values[..., :2] - 0.5, SIZE)[..., None], values[..., :2] - 0.5, np.nan)
    camera = make_camera(where, focal=PUBLISHED_FOCAL, **LENS)
    off = check_projection(where, camera, world, told, options.max_projection_px)
    pixels = project(make_camera(where, focal=options.focal, **LENS), world)
    visible = inside(pixels, SIZE) & (values[..., OCCLUDED] == 0)
    enough = visible.sum(axis=1) >= options.min_visible
    boxes = box_of_points(np.where(visible[..., None], pixels, np.nan))
    there = frames >= 0
    people, numbers = [], np.unique(ids).tolist()
    for p, number in enumerate(numbers):
        rows = np.flatnonzero((ids == number) & enough & there)
        if len(rows):
            people.append(Track(frames[rows], p, world[rows], bbox=boxes[rows]))
    few = f"fewer than {options.min_visible} joints inside the picture that nothing hides"
    return [
        view_sequence(
            unit,
            video,
            upright_cameras(where, frames, world, options.focal),
            people,
            image_name=lambda i, p: f"{unit.id}/{i:06d}_{numbers[p]:03d}.jpg",
            bystanders=((int(frames[k]), world[k]) for k in np.flatnonzero(~enough & there)),
            dropped={few: int((~enough & there).sum()), FRAME_ZERO: int((~there).sum())},
            checks={"projection_px": off, "joints_missing": missing},
        )
    ]


def load_rows(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns person and frame (from 0) ``[n]`` of all poses, and their joints ``[n, 22, 7]``."""
    rows = np.fromiter(iter_json(path, "item", ROW), np.dtype((np.float64, 10)))
    keys, flags = rows[:, [1, 0, 2]].astype(np.int64), rows[:, 8:]
    wrong = (keys != rows[:, [1, 0, 2]]).any(axis=1) | (flags != (flags != 0)).any(axis=1)
    wrong |= (keys[:, 1] < 0) | (keys[:, 2] < 0) | (keys[:, 2] >= len(JOINTS))
    if wrong.any():
        i, expected = int(np.argmax(wrong)), "expected frame from 1, person, joint 0 to 21, x, y"
        text = f"[{i}]: found {rows[i].tolist()}; {expected}, x, y, z and two flags"
        raise CorruptInput(path, text)
    poses, index = np.unique(keys[:, :2], axis=0, return_inverse=True)
    index, joint = index.reshape(-1), keys[:, 2]
    count = np.zeros((len(poses), len(JOINTS)), np.int64)
    np.add.at(count, (index, joint), 1)
    if (count > 1).any():
        k, j = np.argwhere(count > 1)[0].tolist()
        person, frame = poses[k].tolist()
        text = f"frame {frame}, person {person}, joint {j}: found {count[k, j]} rows; expected one"
        raise CorruptInput(path, text)
    values = np.full((*count.shape, 7), np.nan)
    values[index, joint] = rows[:, 3:]
    return poses[:, 0], poses[:, 1] - 1, values


def upright_cameras(path: Path, frames: np.ndarray, joints: np.ndarray, focal: float) -> Callable:
    """Returns a function from frame to camera; people tell what is up in its picture."""
    up = joints[:, NECK] - joints[:, ANKLES].mean(axis=1)
    up /= np.linalg.norm(up, axis=-1, keepdims=True)

    @cache
    def camera(frame: int):
        them = up[frames == frame]
        them = them[np.isfinite(them).all(axis=1)].astype(np.float64)
        towards = median_direction(them) if len(them) else np.array([0.0, -1, 0])
        return make_camera(path, focal=focal, world_up=tuple(towards.tolist()), **LENS)

    return camera
