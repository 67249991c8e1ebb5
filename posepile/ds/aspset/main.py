"""ASPset-510: outdoor sport clips of single people, three static 4K cameras, 17 joints at 50 fps.

See README.md. One unit is one clip seen by one camera: its video, its boxes, the camera of
that subject and view, and the joints of the clip, which all views share. Frame ``i`` of the video,
of the joints and of the boxes belong together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.ds.aspset.files import data_dir, is_box, read_c3d, read_camera, read_csv
from posepile.errors import CorruptInput
from posepile.joint_info import JointInfo
from posepile.recipe import (
    CHOOSES_UNITS,
    SPLITS,
    DatasetSpec,
    Sequence,
    Track,
    Unit,
    Video,
    chosen_subjects,
)
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import make_unit, same_count, unit_files

if TYPE_CHECKING:
    import deltacamera

VIEWS = ("left", "mid", "right")  # what camera id "all" stands for, in this order
RATE = 50.0
SIZE = (3840, 2160)  # the camera files have none; boxes and intrinsics are for this
SKELETON = "aspset_17j"
LABELS = (
    "right_ankle right_knee right_hip right_wrist right_elbow right_shoulder left_ankle left_knee "
    "left_hip left_wrist left_elbow left_shoulder head_top head neck spine pelvis"
).split()

SPEC = DatasetSpec(
    name="aspset",
    joint_info=JointInfo(
        "rank,rkne,rhip,rwri,relb,rsho,lank,lkne,lhip,lwri,lelb,lsho,htop,head,neck,spin,pelv",
        "htop-head-neck-rsho-relb-rwri,neck-spin-pelv-rhip-rkne-rank",
    ),
    image_dir="aspset_downscaled",
    # The world is the frame of the left camera, so this is up only as far as that camera is level.
    world_up=(0.0, -1.0, 0.0),
    single_person=True,
    citation="nibali2021aspset: Nibali et al., ASPset: An Outdoor Sports Pose Video Dataset With "
    "3D Keypoint Annotations, Image and Vision Computing 2021",
    licence="CC0 1.0",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Subjects to pack, e.g. ``04ac``; None = all.
        splits: Splits to pack.
        views: Cameras to pack (a test clip has one view only, whichever that is).
        missing_joints: No missing joint is known in this dataset, so one is an error; ``accept``
            takes NaN in a joint file as a missing joint.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, json_schema_extra=CHOOSES_UNITS)
    splits: list[Literal["train", "val", "test"]] = Field(
        list(SPLITS), min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    views: list[Literal["left", "mid", "right"]] = Field(
        list(VIEWS), min_length=1, json_schema_extra=CHOOSES_UNITS
    )
    missing_joints: Literal["error", "accept"] = "error"


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per (subject, clip, view) that splits.csv names."""
    data = data_dir(root)
    splits = dict(zip(SPLITS, load_split(data / "splits.csv"), strict=True))
    known = {subject for split in options.splits for subject, _, _ in splits[split]}
    subjects = chosen_subjects(options.subjects, known)
    for split in options.splits:
        part = "test" if split == "test" else "trainval"  # train and val share a folder
        for subject, clip, view in splits[split]:
            if view not in options.views or subject not in subjects:
                continue
            name = f"{subject}-{clip}-{view}"
            files = {
                "video": data / part / "videos" / subject / f"{name}.mkv",
                "joints": data / part / "joints_3d" / subject / f"{subject}-{clip}.c3d",
                "camera": data / part / "cameras" / subject / f"{subject}-{view}.json",
                "boxes": data / part / "boxes" / subject / f"{name}.csv",
            }
            yield make_unit(f"{part}/{subject}/{name}", split, files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns annotations of one clip in one view."""
    files = unit_files(unit)
    joints = load_joints(files["joints"], options.missing_joints)
    boxes = load_boxes(files["boxes"], expand=1.0)  # enlarged by 1.1 later, configs/aspset.yaml
    n = same_count({files["joints"]: len(joints), files["boxes"]: len(boxes)})
    video = Video(files["video"], n_frames=n, size=SIZE)
    person = Track(np.arange(n), world_coords=joints, bbox=boxes)
    part, subject, _ = unit.id.split("/")
    folder = f"{part}/videos/{subject}/{video.path.name}"
    return [
        view_sequence(
            unit,
            video,
            load_camera(files["camera"]),
            [person],
            image_name=lambda frame, person: f"{folder}/{frame:06d}.jpg",
        )
    ]


def load_split(path: Path | str) -> tuple[list, list, list]:
    """Returns lists of (subject, clip, view) for train, val and test, in file order.

    ``splits.csv`` has no header; its columns are subject, clip, split and camera, where camera
    ``all`` means left, mid and right.
    """
    splits = {split: [] for split in SPLITS}
    for number, row in enumerate(read_csv(Path(path)), 1):
        place = f"line {number} is {','.join(row)!r}"
        if len(row) != 4:
            raise CorruptInput(path, f"{place}; expected subject,clip,split,camera")
        subject, clip, split, view = row
        if split not in splits or view not in ("all", *VIEWS):
            raise CorruptInput(
                path, f"{place}; expected split train, val or test, camera all, left, mid or right"
            )
        splits[split] += [(subject, clip, v) for v in (VIEWS if view == "all" else (view,))]
    keys = [key for triples in splits.values() for key in triples]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CorruptInput(path, f"{'-'.join(twice)} is listed twice")
    return splits["train"], splits["val"], splits["test"]


def load_boxes(path: Path | str, expand: float = 1.1) -> np.ndarray:
    """Returns person boxes, one per frame: float32 ``[n, 4]`` x, y, width, height in pixels.

    Args:
        path: CSV of left, top, right, bottom below one header row.
        expand: Factor on width and height about the centre.
    """
    rows = read_csv(Path(path))
    if not rows or is_box(rows[0]):
        raise CorruptInput(path, "no header row; expected one above the boxes")
    for number, row in enumerate(rows[1:], 2):
        if not is_box(row):
            raise CorruptInput(
                path, f"line {number} is {','.join(row)!r}; expected left,top,right,bottom"
            )
    ltrb = np.array(rows[1:], np.float64).reshape(-1, 4)
    center, size = (ltrb[:, :2] + ltrb[:, 2:]) / 2, (ltrb[:, 2:] - ltrb[:, :2]) * expand
    return np.concatenate([center - size / 2, size], axis=1).astype(np.float32)


def load_camera(path: Path | str) -> deltacamera.Camera:
    """Returns a pinhole camera, millimetres; the world is the frame of the left camera."""
    import deltacamera

    intrinsic, extrinsic = read_camera(Path(path))
    return deltacamera.Camera(
        intrinsic_matrix=intrinsic, extrinsic_matrix=extrinsic, world_up=SPEC.world_up
    )


def load_joints(path: Path | str, missing: str = "error") -> np.ndarray:
    """Returns joints of a clip, float32 ``[n, 17, 3]`` in millimetres, world coordinates."""
    mocap = read_c3d(Path(path))
    expected = {"rate": RATE, "units": "mm", "labels": LABELS, "skeleton": SKELETON}
    for name, wanted in expected.items():
        found = getattr(mocap, name)
        if found != wanted:
            raise CorruptInput(path, f"{name} is {found!r}; expected {wanted!r}")
    bad = ~np.isfinite(mocap.points).all(axis=2)
    if np.isinf(mocap.points).any() or (bad.all() and bad.size):
        frame = int(np.argmax(bad.any(axis=1)))
        raise CorruptInput(path, "infinite or no joint positions at all", frame=frame)
    if missing == "error" and bad.any():
        frame, joint = (int(i[0]) for i in np.nonzero(bad))
        raise CorruptInput(
            path,
            f"{LABELS[joint]} is NaN ({bad.sum()} such positions in {len(bad)} frames); expected "
            "every joint in every frame",
            frame=frame,
            hint="set dataset.missing_joints=accept to take them as missing joints",
        )
    return mocap.points.astype(np.float32)
