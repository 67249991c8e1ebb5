"""SynthEgo: what a head-mounted stereo camera sees of its wearer, rendered.

6,000 identities with 10 unrelated poses each. Two examples per pose, one for each pinhole camera,
with the same world coordinates and SMPL-H parameters. ``calibrate`` puts the AMASS and MANO poses
into the metadata (splice.py); what is not documented of landmarks is checked while loading.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies.checks import check_bones, check_up
from posepile.bodies.joints import SMPLH_JOINT_NAMES, SMPLH_PARENTS, global_rotations
from posepile.bodies.parameters import parameters_by_frame
from posepile.ds.synthego import splice
from posepile.errors import CorruptInput
from posepile.files import files_below
from posepile.formats.arrays import stacked
from posepile.formats.keys import by_key
from posepile.formats.schema import Array, OneOf, check
from posepile.formats.text_files import read_json
from posepile.geometry.cameras import moving_cameras
from posepile.geometry.pictures import box_of_points, check_projection, inside
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import UNLABELLED, unlabelled

SIZE = (1280, 720)
EYES = ("L", "R")  # of the stereo camera
NEAR_PLANE = 0.05  # metres; closer landmarks (neck, collars) have meaningless image coordinates
MIN_LANDMARKS, NECK, HEAD, ANKLES = 4, 12, 15, [7, 8]
# Nowhere stated; SMPL's own direction is assumed, and compared with the data.
WORLD_UP = (0.0, 1.0, 0.0)
FINGERS = [f"rwri-r{f}1-r{f}2-r{f}3" for f in ("thumb", "index", "middle", "ring", "pinky")]
BODY = "reye-head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri"
SPEC = DatasetSpec(
    name="synthego",
    joint_info=JointInfo([*SMPLH_JOINT_NAMES, "leye", "reye"], ",".join([BODY, *FINGERS])),
    image_dir="synthego_downscaled",
    world_up=WORLD_UP,
    single_person=True,
    synthetic=True,
    body_shape="exact",
    n_valid_betas=10,
    citation="cuevas2024simpleego",
    licence="Microsoft Research Use of Data Agreement v1.0; AMASS and MANO (MPI) for poses",
    sequence_names=r"(?P<stills>(?P<subject>\d+))/(?P<view>[LR])",
)
CAMERA = {"world_to_camera": Array(4, 4), "camera_to_image": Array(3, 3)}
METADATA = {  # metres and pixels
    "pose": Array(52, 3),
    "translation": Array(3),
    "identity": Array(10),
    "cameras": {f"camera_{eye}": CAMERA | {"resolution": OneOf([*SIZE])} for eye in EYES},
    "landmarks": {
        "3D_world": Array(54, 3),
        **{f"{n}D_camera_{e}": Array(54, n, finite=n == 3) for n in (2, 3) for e in EYES},
    },
}
Digit = Annotated[int, Field(ge=0, le=9)]


class Options(BaseModel):
    """Keys below ``dataset:`` in configs/synthego.yaml.

    Attributes:
        subjects: Numbers of the identities to pack; None = all.
        split_of_digit: Split of the identities by their number modulo 10; no split is published.
        identities_per_unit: Width of the range of identity numbers that makes one unit of work.
        max_reprojection_px: Largest difference allowed between our projection and the file's.
        max_pose_mm: Largest distance allowed between a landmark and where its pose puts it.
        max_bone_mm: How far the length of a bone may change between poses of an identity.
        max_unlabelled: Share of the images that may be without metadata.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    split_of_digit: dict[Digit, Literal["train", "val", "test"]] = {8: "val", 9: "test"}
    identities_per_unit: int = Field(30, ge=1)
    max_reprojection_px: float = Field(0.5, gt=0)
    max_pose_mm: float = Field(20.0, gt=0)
    max_bone_mm: float = Field(1.0, gt=0)
    max_unlabelled: float = Field(0.1, ge=0, le=1, json_schema_extra=CHOOSES_UNITS)


def calibrate(root: Path, options: Options) -> list[str]:
    """Splices the poses into the metadata files."""
    return [f"{n} metadata files {what}" for what, n in sorted(splice.splice_tree(root).items())]


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields ranges of identity numbers, one unit for each split in a range."""
    groups = group_by_identity(metadata := splice.find_metadata(root))
    images = files_below(root / "SynthEgo", f"**/img_[LR]_{'[0-9]' * 7}_{'[0-9]' * 4}.jpg")
    shown = Counter(p.with_name(f"metadata_{p.stem[6:]}.json") for p in images)
    lost = group_by_identity(unlabelled(shown, metadata, options.max_unlabelled))
    wanted = options.subjects and [name.lstrip("0") or "0" for name in options.subjects]
    chosen = recipe.chosen_subjects(wanted, map(str, groups | lost))
    chunks, n_lost = defaultdict(list), Counter()
    for identity in (i for i in groups | lost if str(i) in chosen):
        low = identity - identity % options.identities_per_unit
        chunk = options.split_of_digit.get(identity % 10, "train"), low
        chunks[chunk] += groups.get(identity, {}).values()
        n_lost[chunk] += sum(shown[p] for p in lost.get(identity, {}).values())
    for (split, low), paths in sorted(chunks.items()):
        images = [image_path(p, eye) for p in paths for eye in EYES]
        name = f"{split}/{low:07d}-{low + options.identities_per_unit - 1:07d}"
        args = {"metadata": [str(p.relative_to(root)) for p in paths]}
        yield Unit(name, split, (*paths, *images), args | {"unlabelled": n_lost[split, low]})


def group_by_identity(paths: list[Path]) -> dict[int, dict[int, Path]]:
    """Returns identity number -> pose number -> metadata file, in order of the numbers."""
    found = []
    for path in paths:
        m = re.fullmatch(r"metadata_(\d+)_(\d+)\.json", path.name)
        if not m:
            raise CorruptInput(path, "expected a name metadata_<identity>_<pose>.json")
        found.append(((int(m[1]), int(m[2])), path, path))
    groups: dict[int, dict[int, Path]] = defaultdict(dict)
    for key, path in sorted(by_key(found, "SynthEgo", "identity and pose").items()):
        groups[key[0]][key[1]] = path
    return groups


def image_path(metadata: Path, eye: str) -> Path:
    """Returns the image of a metadata file: ``metadata_*.json`` -> ``img_L_*.jpg``."""
    return metadata.with_name(f"img_{eye}_{metadata.stem.removeprefix('metadata_')}.jpg")


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence per identity and eye; frame = pose number in the file name."""
    sequences, towards_head = [], []
    if n := unit.args["unlabelled"]:
        sequences.append(view_sequence(unit, Stills(()), None, [], dropped={UNLABELLED: n}))
    for identity, files in group_by_identity([root / p for p in unit.args["metadata"]]).items():
        read = {k: read_json(path, METADATA | {"pose": [None]}) for k, path in files.items()}
        paths = {k: path for k, path in files.items() if not splice.is_mirrored(read[k]["pose"])}
        lost = Counter({splice.MIRRORED: len(files) - len(paths)})
        if not paths:
            empty, name = (unit, Stills(()), None, []), f"{identity:07d}/"
            sequences += [view_sequence(*empty, id=name + eye, dropped=lost) for eye in EYES]
            continue
        for k, path in paths.items():
            read[k]["pose"] = check(read[k]["pose"], METADATA["pose"], path, "pose")
        data = stacked([read[k] for k in paths])
        points = 1000 * data["landmarks"]["3D_world"]
        rotations = global_rotations(data["pose"], SMPLH_PARENTS)
        limits = {"max_stretch": options.max_bone_mm, "max_off": options.max_pose_mm}
        body = f"{root}, identity {identity}, mm", points[:, :52], rotations, "smplh"
        stretch, off = check_bones(*body, **limits)
        eyes = find_eyes(points, rotations)
        joints = points[:, [*range(52), *(eyes or (52, 53))]].astype(np.float32)
        joints[:, 52:] *= 1 if eyes else np.nan
        checks = {"bone_length_mm": stretch, "pose_mm": off, "eyes_missing": float(not eyes)}
        for eye in EYES:
            sequence = make_sequence(f"{identity:07d}/{eye}", paths, data, joints, options)
            sequence.split, sequence.dropped = unit.split, sequence.dropped + lost
            sequence.checks |= checks
            sequences.append(sequence)
        towards_head.append(points[:, NECK] - points[:, ANKLES].mean(axis=1))
    if towards_head:
        check_up(unit.id, np.concatenate(towards_head), WORLD_UP)
    return sequences


def find_eyes(points: np.ndarray, rotations: np.ndarray) -> tuple[int, int] | None:
    """Returns which landmarks are the left and the right eye; None if 52, 53 are no eyes.

    In the frame of the head (x to its left, z to the front) eyes are two constant points in front,
    mirror images of each other. Landmarks ``[n, 54, 3]`` in mm, rotations ``[n, 52, 3, 3]``.
    """
    offsets = points[:, 52:] - points[:, HEAD, None]
    in_head = np.einsum("nba,nkb->nka", rotations[:, HEAD], offsets)
    constant = np.ptp(np.linalg.norm(offsets, axis=-1), axis=0).max() < 1
    a, b = in_head.mean(axis=0)
    mirrored = np.abs(a - b * (-1, 1, 1)).max() < 5 and 15 < abs(a[0]) < 60 and a[2] > 0
    if not (constant and mirrored and np.ptp(in_head, axis=0).max() < 10):
        return None
    return (52, 53) if a[0] > 0 else (53, 52)


def make_sequence(
    name: str, paths: dict[int, Path], data: dict, joints: np.ndarray, options: Options
) -> Sequence:
    """Returns the poses of one identity as seen by one eye; each pose has a camera of its own."""
    identity, eye = name.split("/")
    frames, where = np.array(list(paths)), f"{min(paths.values()).parent}, {name}"
    lens = data["cameras"][f"camera_{eye}"]
    pose = {"world_to_camera": lens["world_to_camera"], "unit": "m", "world_up": WORLD_UP}
    cameras = moving_cameras(where, frames, intrinsics=lens["camera_to_image"], **pose)
    points, pixels = data["landmarks"]["3D_world"], data["landmarks"][f"2D_camera_{eye}"]
    in_front = data["landmarks"][f"3D_camera_{eye}"][..., 2] > NEAR_PLANE
    # Pixels are compared where they mean something: within an image size around the image
    near = in_front & (np.abs(pixels / SIZE - 0.5) < 1.5).all(axis=-1)
    published, limit = np.where(near[..., None], pixels, np.nan), options.max_reprojection_px
    off = check_projection(where, cameras, 1000 * points, published, limit, frames=frames)
    seen = in_front & inside(pixels, SIZE)
    kept = seen.sum(axis=1) >= MIN_LANDMARKS
    boxes = box_of_points(np.where(seen[..., None], pixels, np.nan), SIZE, 1.1)
    body = {"type": "smplh", "gender": "neutral", "hands": "whole", "pose": data["pose"][kept]}
    body |= {"shape": data["identity"][kept], "trans": data["translation"][kept]}
    parameters = parameters_by_frame(where, int(kept.sum()), **body)
    # The frame index is the pose number, so that it stays the same where some files are absent;
    # a place without a file repeats the first one and is never read.
    shown = [image_path(paths.get(k, paths[frames[0]]), eye) for k in range(frames[-1] + 1)]
    track = Track(frames[kept], 0, joints[kept], bbox=boxes[kept], parameters=parameters)
    return Sequence(
        *(name, "train", Stills(tuple(shown)), cameras, [track]),
        image_name=lambda frame, person: f"{identity}/{shown[frame].name}",
        dropped=+Counter({f"fewer than {MIN_LANDMARKS} landmarks in view": int((~kept).sum())}),
        checks={"reprojection_px": off},
    )
