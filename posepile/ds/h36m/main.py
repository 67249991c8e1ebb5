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
from posepile.files import names_in
from posepile.formats.keys import by_key, by_name
from posepile.formats.matlab_files import MatCells
from posepile.formats.mocap_files import read_cdf
from posepile.formats.schema import Array
from posepile.formats.text_files import read_xml
from posepile.geometry import pictures
from posepile.geometry.cameras import make_camera
from posepile.geometry.rotations import euler_matrix
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import Rows, make_unit, unit_files

if TYPE_CHECKING:
    import deltacamera

METADATA, TABLES = "Release-v1.2/metadata.xml", ("mapping", "frames")
SPLITS = {1: "train", 5: "train", 6: "train", 7: "train", 8: "train", 9: "test", 11: "test"}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
JOINTS = [1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27, 0]  # of the raw 32
# Names of takes differ between the archives of S1, and from those that tables of results have.
OTHER_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
# By 200 mm, poses and boxes alike
SHIFTED = {(9, "Greeting"), (9, "SittingDown 1"), (9, "Waiting 1")}
SHIFT = np.array([-200.0, 0, 0])
MAX_D2_PX = 0.5  # the published 2D positions are the devkit's projection of the 3D ones

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
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Actors to pack, e.g. ``S9``; None = all seven.
        train_step: Of the training takes, every so many frames are looked at.
        test_step: Of the test takes, every so many frames are packed.
        correct_s9: Undo the shift of three takes of S9.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, json_schema_extra=recipe.CHOOSES_UNITS)
    train_step: int = Field(5, ge=1)
    test_step: int = Field(64, ge=1)
    correct_s9: bool = True


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video of a take."""
    chosen = recipe.chosen_subjects(options.subjects, (f"S{number}" for number in SPLITS))
    for number, split in SPLITS.items():
        folder = root / f"S{number}"
        for name in by_name(folder / "Videos", short).values() if folder.name in chosen else ():
            take, camera, _ = name.split(".")
            if "_" in take:
                continue  # ranges of motion
            poses_2d = find(folder / "MyPoseFeatures/D2_Positions", take, f".{camera}.cdf")
            files = {
                "video": folder / "Videos" / name,
                "poses": find(folder / "MyPoseFeatures/D3_Positions", take, ".cdf"),
                "masks": folder / "MySegmentsMat/ground_truth_bb" / f"{take}.{camera}.mat",
                "metadata": root / METADATA,
                "pixels": [poses_2d] if poses_2d.name in names_in(poses_2d.parent) else [],
            }
            args = {"subject": number, "take": take, "camera": camera}
            yield make_unit(f"S{number}/{take}/{camera}", split, files, **args)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera."""
    files = unit_files(unit)
    number, take, view = (unit.args[key] for key in ("subject", "take", "camera"))
    metadata = read_metadata(files["metadata"])
    n, camera = metadata["rows"].get((number, short(take))), metadata["cameras"][number, view]
    if n is None:
        raise CorruptInput(files["metadata"], f"S{number} {take}: found no such take in `mapping`")
    poses = read_cdf(files["poses"], {"Pose": Array(1, n, 96)})["Pose"].reshape(-1, 32, 3)
    masks = MatCells(files["masks"], "Masks", hint="extract Segments_mat_gt_bb again")
    step = options.train_step if unit.split == "train" else options.test_step
    frames = np.arange(0, min(n, len(masks)), step)
    joints = poses[:, JOINTS]
    shifted = options.correct_s9 and (number, take) in SHIFTED

    def box(frame: int) -> np.ndarray:
        mask = masks[frame]
        found = np.full(4, np.nan) if mask is None else pictures.box_of_mask(mask)
        moved = correct_boxes(found[None], None, joints[frame, None], camera) if shifted else None
        return found if moved is None else moved[0]

    moved = correct_world_coords(joints, None) if shifted else joints
    some = frames[:: 1 + len(frames) // 10]
    pelvis, boxes = pictures.project(camera, moved[some, -1:]), [box(frame) for frame in some]
    checks = {"pelvis_outside_box_px": pictures.check_in_boxes(files["masks"], pelvis, boxes)}
    if (number, take) not in SHIFTED:  # the devkit's own projection of the same poses
        for file in files["pixels"]:
            pixels = read_cdf(file, {"Pose": Array(1, n, 64)})["Pose"].reshape(-1, 32, 2)
            checks["projection_px"] = pictures.check_projection(
                file, camera, poses, pixels, MAX_D2_PX
            )
    activity, shown = re.sub(r" \d$", "", short(take)), np.float32(moved[frames])
    person = Track(frames, world_coords=shown, bbox=Rows(frames, box), activity=activity)
    video = Video(files["video"], n_frames=n, mismatch_known=True)
    told = {"scene": "studio", "checks": checks}
    told["image_name"] = lambda k, _: f"S{number}/Images/{take}.{view}/frame_{k:06d}.jpg"
    return [view_sequence(unit, video, camera, [person], **told)]


def correct_world_coords(coords: np.ndarray, path: str | None) -> np.ndarray:
    """Undoes the shift of S9 in world coordinates ``[..., 3]`` mm.

    ``path`` is that of an image, video or pose file, which tells the take; None = a shifted one.
    """
    shifted = path is None or any(
        re.search(rf"\bS{number}/([^/]+/)+{take}\.", path) for number, take in SHIFTED
    )
    return coords + SHIFT if shifted else coords


def correct_boxes(
    bboxes: np.ndarray, path: str | None, world_coords: np.ndarray, camera: deltacamera.Camera
) -> np.ndarray:
    """Undoes the shift of S9 in boxes ``[n, 4]``, at the depth of the pelvis.

    ``world_coords`` are ``[n, J, 3]`` mm as published, pelvis last; ``path`` as in
    :func:`correct_world_coords`.
    """
    depth = camera.world_to_camera(np.float32(world_coords[:, -1]))[:, 2:]
    corners = [bboxes[:, :2], bboxes[:, :2] + bboxes[:, 2:]]
    world = [camera.image_to_world(np.float32(c), camera_depth=depth) for c in corners]
    moved = [pictures.project(camera, correct_world_coords(w, path)) for w in world]
    return pictures.box_of_points(np.stack(moved, axis=1))


def short(take: str) -> str:
    """Returns a take's name with the short name of the action."""
    for long, name in OTHER_NAMES.items():
        take = re.sub(rf"^{long}\b", name, take)
    return take


def find(folder: Path, take: str, ending: str) -> Path:
    """Returns a take's file by whichever of its names is there."""
    names = by_name(folder, lambda name: short(name.removesuffix(ending)))
    return folder / names.get(short(take), take + ending)


def get_cameras(path: Path | str) -> list[list[deltacamera.Camera]]:
    """Returns cameras by index 0..3 and subject number minus one, as training code takes them."""
    cameras = read_metadata(Path(path))["cameras"]
    return [[cameras[subject, name] for subject in range(1, 12)] for name in CAMERAS]


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
            ((s, short(line[1 + s])), k, int(counts[s - 1][k].strip("[]").split()[4]) // 4)
            for k, line in enumerate(takes[1:33], 1)
            for s in SPLITS
        ]
    except (AttributeError, IndexError, ValueError, TypeError) as e:
        raise CorruptInput(path, f"not the devkit's metadata ({e!r})", hint=hint) from None
    cameras = {}
    for i, name in enumerate(CAMERAS):
        lens = {"focal": lenses[i, :2], "principal": lenses[i, 2:4], "distortion": lenses[i, 4:]}
        lens |= {"distortion_order": "k1 k2 k3 p1 p2", "lens": "half_tangential"}
        for subject, six in enumerate(poses[i], 1):
            pose = {"rotation": euler_matrix("XYZ", six[:3]), "center": six[3:]}
            where = f"{path}, camera {name}, S{subject}"
            cameras[subject, name] = make_camera(where, **pose, **lens, world_up=SPEC.world_up)
    return {"rows": by_key(rows, path, "row of"), "cameras": cameras}
