"""ASPset-510: outdoor sport clips of single people, three static 4K cameras, 17 joints at 50 fps.

See README.md. One unit is one clip seen by one camera: its video, its boxes, the camera of
that subject and view, and the joints of the clip, which all views share. Frame ``i`` of the video,
of the joints and of the boxes belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.formats.keys import by_key, only_one
from posepile.formats.mocap_files import read_c3d
from posepile.formats.schema import Array, OneOf, check
from posepile.formats.text_files import AS_IT_CAME, read_csv, read_json
from posepile.geometry.cameras import camera_pose, make_camera
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
from posepile.shapes.units import same_count

if TYPE_CHECKING:
    import deltacamera

VIEWS = ("left", "mid", "right")  # what camera id "all" stands for, in this order
RATE = 50.0
SIZE = (3840, 2160)  # the camera files have none; boxes and intrinsics are for this
SKELETON = "aspset_17j"
CAMERA = {"intrinsic_matrix": Array(12), "extrinsic_matrix": Array(16)}  # 3x4 and 4x4, row-major
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
    sequence_names=r"\w+/(?P<subject>\w+)/\w+-(?P<motion>\w+)-(?P<view>left|mid|right)",
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

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
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
            yield Unit(f"{part}/{subject}/{name}", split, tuple(files.values()))


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns annotations of one clip in one view."""
    video, joints_file, camera_file, boxes_file = unit.inputs
    joints = load_joints(joints_file, options.missing_joints)
    boxes = load_boxes(boxes_file, expand=1.0)  # enlarged by 1.1 later, see configs/aspset.yaml
    same_count({joints_file: len(joints), boxes_file: len(boxes)})
    part, subject, _ = unit.id.split("/")
    return [
        view_sequence(
            unit,
            Video(video, n_frames=len(joints), size=SIZE),
            load_camera(camera_file),
            [Track(np.arange(len(joints)), world_coords=joints, bbox=boxes)],
            image_name=lambda frame, _: f"{part}/videos/{subject}/{video.name}/{frame:06d}.jpg",
        )
    ]


def data_dir(root: Path) -> Path:
    """Returns the folder that holds splits.csv.

    The archives' members lie below ``ASPset-510/``, which the official toolkit strips; all three
    places are in use on people's disks.
    """
    places = (folder / "splits.csv" for folder in (root / "data", root / "ASPset-510", root))
    if found := only_one(places, "the dataset"):
        return found.parent
    raise CorruptInput(
        root / "data" / "splits.csv", "file is missing", hint="it is in the common-splits archive"
    )


def load_split(path: Path | str) -> tuple[list, list, list]:
    """Returns lists of (subject, clip, view) for train, val and test, in file order.

    ``splits.csv`` has no header; its columns are subject, clip, split and camera, where camera
    ``all`` means left, mid and right.
    """
    columns = dict.fromkeys(("subject", "clip", "split", "camera"), str)
    rows = read_csv(path, columns, header=False)
    schema = {"subject": str, "clip": str, "split": OneOf(*SPLITS), "camera": OneOf("all", *VIEWS)}
    splits, found = {split: [] for split in SPLITS}, []
    for line, row in enumerate(rows, 1):
        check(row, schema, path, f"line {line}")
        odd = next((k for k in ("subject", "clip") if not re.fullmatch("[0-9a-z]{4}", row[k])), 0)
        if odd:
            text = f"line {line}, {odd}: found {row[odd]!r}; expected 4 of 0-9 and a-z, e.g. 0001"
            raise CorruptInput(path, text, hint=AS_IT_CAME)
        views = VIEWS if row["camera"] == "all" else (row["camera"],)
        keys = [(row["subject"], row["clip"], view) for view in views]
        splits[row["split"]] += keys
        found += [(key, f"line {line}", None) for key in keys]
    by_key(found, path, "clip and view")
    return splits["train"], splits["val"], splits["test"]


def load_boxes(path: Path | str, expand: float = 1.1) -> np.ndarray:
    """Returns person boxes, one per frame: float32 ``[n, 4]`` x, y, width, height in pixels.

    Args:
        path: CSV of left, top, right, bottom below one header row.
        expand: Factor on width and height about the centre.
    """
    columns = dict.fromkeys(("left", "top", "right", "bottom"), float)
    rows = read_csv(path, columns, header="unnamed")
    ltrb = np.array([list(row.values()) for row in rows], np.float64).reshape(-1, 4)
    center, size = (ltrb[:, :2] + ltrb[:, 2:]) / 2, (ltrb[:, 2:] - ltrb[:, :2]) * expand
    return np.concatenate([center - size / 2, size], axis=1).astype(np.float32)


def load_camera(path: Path | str) -> deltacamera.Camera:
    """Returns a pinhole camera, millimetres; the world is the frame of the left camera."""
    # The lists are flat, or nested as the toolkit writes them.
    matrices = read_json(path, {key: None for key in CAMERA})
    matrices = {key: np.ravel(value).tolist() for key, value in matrices.items()}
    found = check(matrices, CAMERA, path)
    intrinsics, extrinsics = (found[key].reshape(-1, 4) for key in CAMERA)
    camera_pose(path, world_to_camera=extrinsics)  # for its checks
    # The official toolkit's optical centre is that of float32 matrices.
    rotation, translation = np.split(np.float32(extrinsics[:3]), [3], axis=1)
    return make_camera(
        path,
        rotation=extrinsics[:3, :3],
        center=-rotation.T @ translation,
        intrinsics=intrinsics,
        world_up=SPEC.world_up,
    )


def load_joints(path: Path | str, missing: str = "error") -> np.ndarray:
    """Returns joints of a clip, float32 ``[n, 17, 3]`` in millimetres, world coordinates."""
    mocap = read_c3d(path)
    skeleton = [text.strip() for text in mocap.parameters["POINT"].get("SKEL", [])]
    facts = {
        "rate": mocap.rate,
        "units": mocap.units,
        "labels": mocap.labels,
        "skeleton": skeleton,
    }
    expected = {"rate": RATE, "units": "mm", "labels": LABELS, "skeleton": [SKELETON]}
    for name, wanted in expected.items():
        found = facts[name]
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
