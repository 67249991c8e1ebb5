"""TotalCapture: single actors in a studio, eight cameras at 60 fps, mattes, joints by Vicon.

See README.md. One unit is one video with its mattes, and one more for each take that is in neither
split of the protocol. Row ``k`` of the positions, frame ``k`` of the video and of the mattes
belong together; one of them may end some frames before the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import boxlib
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.files import files_below
from posepile.formats.keys import alike, only_one
from posepile.formats.schema import Array, check
from posepile.formats.text_files import numbers_in, read_text
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_mask, box_of_points, inside, project
from posepile.imaging.masks import MaskFrames
from posepile.imaging.videos import index_packets
from posepile.joint_info import JointInfo
from posepile.recipe import Sequence, Stills, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.silhouettes import joints_outside_mask
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import Rows, make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

SIZE, INCH, VIDEO = (1920, 1080), 25.4, r"TC_S(\d)_([a-z]+)(\d)_cam(\d)\.mp4"
TESTED = ("walking2", "freestyle3", "acting3")  # of all; everything else of S1 to S3 is train
SEEN, SUBJECTS = ("S1", "S2", "S3"), ("S1", "S2", "S3", "S4", "S5")
RAW = (
    "Hips Spine Spine1 Spine2 Spine3 Neck Head RightShoulder RightArm RightForeArm RightHand "
    "LeftShoulder LeftArm LeftForeArm LeftHand RightUpLeg RightLeg RightFoot LeftUpLeg LeftLeg "
    "LeftFoot"
).split()
PARENTS = [0, 1, 2, 3, 4, 5, 4, 7, 8, 9, 4, 11, 12, 13, 0, 15, 16, 0, 18, 19]  # of all but Hips
NECK, ANKLES, MIN_JOINTS = 5, [17, 20], 6
LINES = (4, 4, 1, 3, 3, 3, 3)  # numbers in the lines of a camera
NO_SPLIT = "take of an unseen subject that is in neither split of the protocol"
NO_VIDEO, NO_MATTE = "mattes without a video (views)", "no matte for this frame"

SPEC = recipe.DatasetSpec(
    name="totalcapture",
    joint_info=JointInfo(
        "pelv,spin,spin1,spin2,spin3,neck,head,rcla,rsho,relb,rwri,lcla,lsho,lelb,lwri,rhip,rkne,"
        "rank,lhip,lkne,lank",
        "pelv-spin-spin1-spin2-spin3-neck-head,neck-rcla-rsho-relb-rwri,pelv-rhip-rkne-rank",
    ),
    image_dir="totalcapture_downscaled",
    world_up=(0.0, 1.0, 0.0),
    single_person=True,
    citation="trumble2017totalcapture: Trumble et al., Total Capture: 3D Human Pose Estimation "
    "Fusing Video and Inertial Sensors, BMVC 2017",
    licence="TotalCapture research agreement, no redistribution",
    sequence_names=r"(?:.+/)?(?i:TC_(?P<subject>S\d)_(?P<motion>[a-z]+\d)_cam(?P<view>\d))",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``S1`` to ``S5``; None = all.
        views: Cameras, 1 to 8.
        max_stretch_mm: How far the length of a bone may change during a take.
        max_outside_matte: Share of the joints that may be outside the matte, in three frames.
        max_lost: So many frames the video or the mattes may end before the positions.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    views: list[Annotated[int, Field(ge=1, le=8)]] = Field(
        list(range(1, 9)), min_length=1, json_schema_extra=recipe.CHOOSES_UNITS
    )
    max_stretch_mm: float = Field(1.0, gt=0)
    max_outside_matte: float = Field(0.25, ge=0, le=1)
    max_lost: int = Field(30, ge=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video, without its pictures where the take is in no split."""
    videos, mattes = find_videos(root / "video"), find_videos(root / "mattes")
    there = {f"S{key[0]}" for key in videos} or SUBJECTS
    subjects, lost = recipe.chosen_subjects(options.subjects, there), []
    for key in sorted(videos.keys() | mattes.keys()):
        number, action, repetition, view = key
        subject, take = f"S{number}", action + repetition
        if subject not in subjects or int(view) not in options.views:
            continue
        if key not in videos:
            lost.append(NO_VIDEO)
            continue
        inner = videos[key][0].relative_to(root / "video")
        files = {"poses": root / f"vicon/{subject}/{take}/gt_skel_gbl_pos.txt"}
        split = "test" if take in TESTED or subject not in SEEN else "train"
        if take in TESTED or subject in SEEN:
            files["video"] = videos[key]
            files["mattes"] = mattes.get(key, [root / "mattes" / inner])
            files["cameras"] = root / "calibration.cal"
        id = inner.with_suffix("").as_posix()
        yield make_unit(id, split, files, action=action)
    yield from left_out_units("left_out", "train", lost)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera; of one in no split only how much is left out."""
    if lost := left_out_sequence(unit):
        return [lost]
    files, view = unit_files(unit), int(unit.id[-1])
    joints = read_poses(files["poses"], options.max_stretch_mm)
    if "video" not in files:
        return [view_sequence(unit, Stills(()), None, [], dropped={NO_SPLIT: len(joints)})]
    camera, n = read_cameras(files["cameras"])[view - 1], len(joints)
    for kind in ("video", "mattes"):
        files[kind] = only_one(files[kind], f"the {kind}") or files[kind][0]
        n_there = index_packets(files[kind]).n_frames
        if n_there < len(joints) - options.max_lost:
            text = f"holds {n_there} frames; expected {len(joints)}, as there are positions, or "
            raise CorruptInput(files[kind], f"{text}at most {options.max_lost} less")
        n = min(n, n_there) if kind == "mattes" else n
    frames = np.arange(n)
    white = MaskFrames(Video(files["mattes"], size=SIZE), lambda picture: picture[..., 0] > 127)
    boxes = box_of_points(project(camera, joints), SIZE, expand=1.25)
    person = Track(frames, world_coords=joints[:n], mask=white, activity=unit.args["action"])
    person.bbox = Rows(frames, lambda k: boxlib.intersection(boxes[k], box_of_mask(white(k))))
    # Of frames in which the whole actor is in the picture.
    whole = np.flatnonzero(inside(project(camera, person.world_coords), SIZE).all(axis=1))
    seen = Track(whole, world_coords=joints[whole], mask=lambda k: white(int(whole[k])))
    limit, hint = options.max_outside_matte, "a misaligned take? or rotations are transposed"
    outside = joints_outside_mask(files["mattes"], seen, camera, limit, hint=hint)
    video = Video(files["video"], n_frames=len(joints), mismatch_known=True, size=SIZE)
    told = {
        "checks": {"joints_outside_matte": outside},
        "scene": "studio",
        "dropped": {NO_MATTE: len(joints) - n},
    }
    told["image_name"] = lambda k, _: f"video/{unit.id}/{k:06d}.jpg"
    return [view_sequence(unit, video, camera, [person], min_joints_inside=MIN_JOINTS, **told)]


def find_videos(folder: Path) -> dict[tuple[str, ...], list[Path]]:
    """Returns the videos anywhere below a folder by subject, action, repetition and camera."""
    return alike(files_below(folder, "**/*"), VIDEO)


@lru_cache(maxsize=1)  # the views of a take follow each other
def read_poses(path: Path, max_stretch_mm: float) -> np.ndarray:
    """Returns joints ``[n, 21, 3]``, mm; a line has tabs between joints and one at its end."""
    names, *lines = read_text(path).splitlines() or [""]
    if names.split() != RAW:
        raise CorruptInput(path, f"line 1: found {names[:60]!r}; expected the names of 21 joints")
    rows = [numbers_in(text, path, line) for line, text in enumerate(lines, 2) if text.strip()]
    if not rows:
        raise CorruptInput(path, "found no positions below the names of the joints")
    wrong = next((k for k, row in enumerate(rows) if len(row) != 63), None)
    if wrong is not None:
        raise CorruptInput(path, f"found {len(rows[wrong])} numbers; expected 63", frame=wrong)
    joints = INCH * check(rows, Array("n", 63), path).reshape(-1, 21, 3)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, PARENTS], axis=-1)
    stretch = np.ptp(bones, axis=0)
    if stretch.max() > max_stretch_mm:
        child = int(stretch.argmax()) + 1
        text = f"the distance from {RAW[PARENTS[child - 1]]} to {RAW[child]} changes by "
        text += f"{stretch.max():.1f} mm; expected at most {max_stretch_mm:g} mm"
        raise CorruptInput(path, text, hint="joints in another order?")
    check_up(path, joints[:, NECK] - joints[:, ANKLES].mean(axis=1), SPEC.world_up)
    return joints.astype(np.float32)


@lru_cache(maxsize=1)
def read_cameras(path: Path) -> list[deltacamera.Camera]:
    """Returns the cameras in order; seven lines each, metres, one radial coefficient."""
    rows = [numbers_in(text, path, k) for k, text in enumerate(read_text(path).splitlines(), 1)]
    head, *rows = [row for row in rows if row] or [[]]
    if head != [8, 1] or [len(row) for row in rows] != [*LINES] * 8:
        text = f"line 1 is {head}, and {len(rows)} lines follow; expected 8 cameras, distortion "
        raise CorruptInput(path, f"{text}order 1, and lines of 4 4 1 3 3 3 3 numbers for each")
    cameras = []
    for k in range(0, len(rows), 7):
        edges, (fx, fy, cx, cy), (k1,), *turn, shift = rows[k : k + 7]
        where = f"{path}, camera {k // 7 + 1}"
        if edges != [0, SIZE[1] - 1, 0, SIZE[0] - 1]:
            raise CorruptInput(where, f"rows and columns are {edges}; expected 0 1079 0 1919")
        lens = {"focal": (fx, fy), "principal": (cx, cy), "distortion": [k1, 0, 0, 0, 0]}
        pose = {"rotation": turn, "translation": shift, "unit": "m"}
        cameras.append(make_camera(where, **pose, **lens, world_up=SPEC.world_up))
    return cameras
