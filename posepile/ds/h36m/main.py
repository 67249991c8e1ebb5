"""Human3.6M: studio recordings of 7 public actors, 4 cameras at 50 fps, poses by markers.

See README.md. One unit is one take seen by one camera. Row ``k`` of the poses and mask ``k``
belong to frame ``k`` of the video; the shortest of the three counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.errors import CorruptInput
from posepile.formats.folders import names_like
from posepile.formats.keys import by_key, by_name
from posepile.formats.matlab_files import MatCells
from posepile.formats.mocap_files import read_cdf
from posepile.formats.schema import Array
from posepile.formats.text_files import read_xml
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_mask, check_projection, move_boxes
from posepile.geometry.rotations import euler_matrix
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import joints_outside_boxes, view_sequence
from posepile.shapes.units import Rows, make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

METADATA, TABLES = "Release-v1.2/metadata.xml", ("mapping", "frames")
SPLITS = dict.fromkeys(("S1", "S5", "S6", "S7", "S8"), "train") | {"S9": "test", "S11": "test"}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
VIDEO = rf"([^_.]+)\.({'|'.join(CAMERAS)})\.mp4"  # ranges of motion have a _ in their names
JOINTS = [1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27, 0]  # of the raw 32
# Names of takes differ between the archives of S1, and from those that tables of results have.
OTHER_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
SHIFTED = re.compile(r"\bS9/([^/]+/)+(Greeting|SittingDown 1|Waiting 1)\.")
SHIFT = np.array([-200.0, 0, 0])  # mm, of poses and boxes alike
SPEC = DatasetSpec(
    name="h36m",
    joint_info=JointInfo(
        "rhip,rkne,rank,lhip,lkne,lank,tors,neck,head,htop,lsho,lelb,lwri,rsho,relb,rwri,pelv",
        "htop-head-neck-rsho-relb-rwri,neck-tors-pelv-rhip-rkne-rank",
    ),
    image_dir="h36m_downscaled",
    world_up=(0.0, 0.0, 1.0),
    single_person=True,
    citation="ionescu2014human36m: Ionescu et al., Human3.6M: Large Scale Datasets and Predictive "
    "Methods for 3D Human Sensing in Natural Environments, TPAMI 2014",
    licence="Human3.6M academic licence, one per approved account, no redistribution",
    sequence_names=r"(?P<subject>S\d+)/(?P<motion>[^/]+)/(?P<view>\d+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Actors to pack, e.g. ``S9``; None = all seven.
        train_step: Of the training takes, every so many frames are looked at.
        test_step: Of the test takes, every so many frames are packed.
        correct_s9: Undo the shift of three takes of S9.
        max_projection_px: How far 2D may be from 3D positions, whose projection they are.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    train_step: int = Field(5, ge=1)
    test_step: int = Field(64, ge=1)
    correct_s9: bool = True
    max_projection_px: float = Field(0.5, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video of a take."""
    for subject in sorted(recipe.chosen_subjects(options.subjects, SPLITS)):
        folder = root / subject
        by_name(folder / "Videos", short)  # refuses a take that is there under two names
        for name, (take, camera) in names_like(folder / "Videos", VIDEO).items():
            files = {
                "video": folder / "Videos" / name,
                "poses": find(folder / "MyPoseFeatures/D3_Positions", f"{take}.cdf"),
                "pixels?": find(folder / "MyPoseFeatures/D2_Positions", f"{take}.{camera}.cdf"),
                "masks": folder / "MySegmentsMat/ground_truth_bb" / f"{take}.{camera}.mat",
                "metadata": root / METADATA,
            }
            yield make_unit(f"{subject}/{take}/{camera}", SPLITS[subject], files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera."""
    files, (subject, take, view) = unit_files(unit), unit.id.split("/")
    metadata = read_metadata(files["metadata"])
    n, camera = metadata["rows"].get((subject, short(take))), metadata["cameras"][subject, view]
    if n is None:
        raise CorruptInput(files["metadata"], f"{subject} {take}: found no such take in `mapping`")
    poses = read_cdf(files["poses"], {"Pose": Array(1, n, 96)})["Pose"].reshape(-1, 32, 3)
    masks = MatCells(files["masks"], "Masks", hint="extract Segments_mat_gt_bb again")
    step = options.train_step if unit.split == "train" else options.test_step
    frames = np.arange(0, min(n, len(masks)), step)
    joints, shifted = poses[:, JOINTS], SHIFTED.search(f"{subject}/Videos/{take}.{view}.mp4")
    undo = shifted and options.correct_s9

    def box(frame: int) -> np.ndarray:
        found = box_of_mask(masks[frame])[None]
        return (correct_boxes(found, None, joints[frame, None], camera) if undo else found)[0]

    coords = correct_world_coords(joints, None) if undo else joints
    person = Track(frames, world_coords=np.float32(coords[frames]), bbox=Rows(frames, box))
    person.activity = re.sub(r" \d$", "", short(take))
    pelvis = joints_outside_boxes(files["masks"], person, camera, joints=slice(-1, None))
    checks = {"pelvis_outside_box_px": pelvis}
    if (file := files.get("pixels")) and not shifted:
        pixels = read_cdf(file, {"Pose": Array(1, n, 64)})["Pose"].reshape(-1, 32, 2)
        limit = options.max_projection_px
        checks["projection_px"] = check_projection(file, camera, poses, pixels, limit)
    video = Video(files["video"], n_frames=n, mismatch_known=True)
    name = {"image_name": lambda k, _: f"{subject}/Images/{take}.{view}/frame_{k:06d}.jpg"}
    return [view_sequence(unit, video, camera, [person], scene="studio", checks=checks, **name)]


def correct_world_coords(coords: np.ndarray, path: str | None) -> np.ndarray:
    """Undoes the shift of S9 in world coordinates ``[..., 3]`` mm.

    ``path`` is that of an image, video or pose file, which tells the take; None = a shifted one.
    """
    return coords + SHIFT if path is None or SHIFTED.search(path) else coords


def correct_boxes(
    bboxes: np.ndarray, path: str | None, world_coords: np.ndarray, camera: deltacamera.Camera
) -> np.ndarray:
    """Undoes the shift of S9 in boxes ``[n, 4]``, at the depth of the pelvis.

    ``world_coords`` are ``[n, J, 3]`` mm as published, pelvis last; ``path`` as in
    :func:`correct_world_coords`.
    """
    step = correct_world_coords(np.zeros(3), path)
    return move_boxes(camera, bboxes, world_coords[:, -1], step)


def short(take: str) -> str:
    """Returns a take's name with the short name of the action."""
    for long, name in OTHER_NAMES.items():
        take = re.sub(rf"^{long}\b", name, take)
    return take


def find(folder: Path, name: str) -> Path:
    """Returns a take's file by whichever of its names is there."""
    return folder / by_name(folder, short).get(short(name), name)


def get_cameras(path: Path | str) -> list[list[deltacamera.Camera]]:
    """Returns cameras by index 0..3 and subject number minus one, as training code takes them."""
    cameras = read_metadata(Path(path))["cameras"]
    return [[cameras[f"S{number}", name] for number in range(1, 12)] for name in CAMERAS]


@cache
def read_metadata(path: Path) -> dict:
    """Returns ``rows``: (subject, take) -> poses, and ``cameras``: (subject, id) -> camera."""
    hint = "it comes with code-v1.2.zip of the devkit"
    tree = read_xml(path, hint=hint)
    try:
        takes, counts = ([[td.text for td in tr] for tr in tree.find(k)] for k in TABLES)
        w0 = np.array(tree.find("w0").text.strip(" []\n").split(), np.float64)
        poses, lenses = w0[:264].reshape(4, 11, 6), w0[264:].reshape(4, 9)
        rows = [  # the fifth number of a take is its mocap at 200 Hz
            ((f"S{s}", short(line[1 + s])), k, int(counts[s - 1][k].strip("[]").split()[4]) // 4)
            for k, line in enumerate(takes[1:33], 1)
            for s in range(1, 12)
        ]
    except (AttributeError, IndexError, ValueError, TypeError) as e:
        raise CorruptInput(path, f"not the devkit's metadata ({e!r})", hint=hint) from None
    cameras = {}
    for i, name in enumerate(CAMERAS):
        lens = {"focal": lenses[i, :2], "principal": lenses[i, 2:4], "distortion": lenses[i, 4:]}
        lens |= {"distortion_order": "k1 k2 k3 p1 p2", "lens": "half_tangential"}  # of the devkit
        for number, six in enumerate(poses[i], 1):
            pose = {"rotation": euler_matrix("XYZ", six[:3]), "center": six[3:]}
            where = f"{path}, camera {name}, S{number}"
            cameras[f"S{number}", name] = make_camera(where, **pose, **lens)
    return {"rows": by_key(rows, path, "row of"), "cameras": cameras}
