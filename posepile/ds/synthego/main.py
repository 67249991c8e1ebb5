"""SynthEgo: what a head-mounted stereo camera sees of its wearer, rendered.

60,000 stereo pairs of single, unrelated poses (6,000 identities with 10 poses each). Two examples
per pair, one for each pinhole camera, with the same world coordinates and SMPL-H parameters.
``calibrate`` puts the AMASS and MANO poses into the metadata (splice.py); what is not documented
about the landmarks is checked on the data while loading (landmarks.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.bodies.joints import SMPLH_JOINT_NAMES
from posepile.ds.synthego import landmarks as marks
from posepile.ds.synthego import splice
from posepile.ds.synthego.metadata import (
    EYES,
    MIN_LANDMARKS,
    group_by_identity,
    image_path,
    landmark_box,
    make_camera,
    read_metadata,
    self_check,
)
from posepile.ds.synthego.options import Options
from posepile.errors import CorruptInput
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit, chosen_subjects

# Nowhere stated; SMPL's own direction is assumed, and compared with the data at calibration.
WORLD_UP = (0.0, 1.0, 0.0)

FINGERS = ",".join(
    f"rwri-r{finger}1-r{finger}2-r{finger}3"
    for finger in ("thumb", "index", "middle", "ring", "pinky")
)
SPEC = DatasetSpec(
    name="synthego",
    joint_info=JointInfo(
        [*SMPLH_JOINT_NAMES, "leye", "reye"],
        "reye-head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri,"
        + FINGERS,
    ),
    image_dir="synthego_downscaled",
    world_up=WORLD_UP,
    single_person=True,
    synthetic=True,
    body_shape="exact",
    n_valid_betas=10,
    citation="cuevas2024simpleego",
    licence="Microsoft Research Use of Data Agreement v1.0; AMASS and MANO (MPI) for poses",
)


def calibrate(root: Path, options: Options) -> list[str]:
    """Splices the poses, then checks joint order, eyes and the up direction on a sample."""
    counts = splice.splice_tree(root)
    lines = [", ".join(f"{n} metadata files {what}" for what, n in sorted(counts.items()))]
    groups = group_by_identity(splice.find_metadata(root))
    every = max(1, len(groups) // options.calibrate_identities)
    sample = [load_identity(groups[i], options) for i in sorted(groups)[::every]]
    share = marks.check_up([s["landmarks"] for s in sample], WORLD_UP, str(root / "SynthEgo"))
    lines.append(
        f"{len(sample)} identities: bone lengths vary by at most "
        f"{1000 * max(s['bone_spread'] for s in sample):.2g} mm, landmarks follow the pose to "
        f"{1000 * max(s['pose_residual'] for s in sample):.2g} mm, mean of (neck - ankles) along "
        f"{WORLD_UP}: {share:.2f}"
    )
    eyes = Counter(s["eyes_text"] for s in sample)
    return lines + [f"{n} of {len(sample)} identities: {text}" for text, n in sorted(eyes.items())]


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields ranges of identity numbers, one unit for each split in a range."""
    groups = group_by_identity(splice.find_metadata(root))
    wanted = [name.lstrip("0") or "0" for name in options.subjects or ()]
    chosen = chosen_subjects(wanted, map(str, groups))
    chunks = defaultdict(list)
    for identity, paths in groups.items():
        if str(identity) not in chosen:
            continue
        low = identity - identity % options.identities_per_unit
        split = options.split_of_digit.get(identity % 10, "train")
        chunks[split, low] += paths
    for (split, low), paths in sorted(chunks.items()):
        images = [image_path(p, eye) for p in paths for eye in EYES]
        name = f"{split}/{low:07d}-{low + options.identities_per_unit - 1:07d}"
        files = [str(p.relative_to(root)) for p in paths]
        yield Unit(name, split, (*paths, *images), {"metadata": files})


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence per identity and eye; frame = pose number in the file name."""
    groups = group_by_identity([root / p for p in unit.args["metadata"]])
    identities = {i: load_identity(paths, options) for i, paths in sorted(groups.items())}
    marks.check_up([s["landmarks"] for s in identities.values()], WORLD_UP, unit.id)
    return [
        make_sequence(identity, eye, data, unit.split, options)
        for identity, data in identities.items()
        for eye in EYES
    ]


def load_identity(paths: list[Path], options: Options) -> dict:
    """Reads all poses of one identity and checks what can be checked between them."""
    files = [read_metadata(p) for p in paths]
    points = np.stack([f["3D_world"] for f in files])
    rotations = marks.global_rotations(np.stack([f["pose"] for f in files]))
    spread = marks.check_bones(points, str(paths[0]))
    residual, child = marks.pose_residual(points, rotations)
    if 1000 * residual > options.max_pose_mm:
        raise CorruptInput(
            paths[0],
            f"the pose puts joint {SMPLH_JOINT_NAMES[child]} {1000 * residual:.1f} mm from its "
            f"landmark in some frame of this identity (allowed: {options.max_pose_mm:g} mm)",
            hint="the AMASS or MANO files spliced in are probably not of the right release",
        )
    order, eyes_text = marks.find_eyes(points, rotations)
    world = np.full((len(files), SPEC.joint_info.n_joints, 3), np.nan, np.float32)
    world[:, : marks.N_JOINTS] = 1000 * points[:, : marks.N_JOINTS]
    if order is not None:
        world[:, marks.N_JOINTS :] = 1000 * points[:, order]
    return {
        "paths": paths,
        "frames": np.array([int(p.stem.rsplit("_", 1)[1]) for p in paths]),
        "files": files,
        "landmarks": points,
        "world_coords": world,
        "bone_spread": spread,
        "pose_residual": residual,
        "eyes_text": eyes_text,
        "eyes_missing": float(order is None),
    }


def make_sequence(identity: int, eye: str, data: dict, split: str, options: Options) -> Sequence:
    """Returns the poses of one identity as seen by one eye; each pose has a camera of its own."""
    cameras, boxes, kept = {}, [], []
    checks = {
        "bone_length_mm": 1000 * data["bone_spread"],
        "pose_mm": 1000 * data["pose_residual"],
        "eyes_missing": data["eyes_missing"],
        "camera_mm": 0.0,
        "reprojection_px": 0.0,
    }
    dropped: Counter = Counter()
    for k, (path, frame, file) in enumerate(
        zip(data["paths"], data["frames"].tolist(), data["files"], strict=True)
    ):
        camera = make_camera(file, eye, path, WORLD_UP)
        off_mm, off_px = self_check(file, eye, camera, path, options.max_reprojection_px)
        checks["camera_mm"] = max(checks["camera_mm"], off_mm)
        checks["reprojection_px"] = max(checks["reprojection_px"], off_px)
        box = landmark_box(file, eye)
        if box is None:
            dropped[f"fewer than {MIN_LANDMARKS} landmarks in view"] += 1
            continue
        cameras[frame] = camera
        boxes.append(box)
        kept.append(k)

    def parameters(i: int) -> dict:
        file = data["files"][kept[i]]
        return {
            "type": "smplh",
            "gender": "neutral",
            "pose": file["pose"].reshape(156).astype(np.float32),
            "shape": file["identity"].astype(np.float32),
            "trans": file["translation"].astype(np.float32),
        }

    # The frame index is the pose number, so that it stays the same where some files are absent;
    # a place without a file repeats the first one and is never read.
    paths = [image_path(data["paths"][0], eye)] * (int(data["frames"].max()) + 1)
    for frame, path in zip(data["frames"].tolist(), data["paths"], strict=True):
        paths[frame] = image_path(path, eye)
    track = Track(
        frames=data["frames"][kept],
        world_coords=data["world_coords"][kept],
        bbox=np.array(boxes, np.float32).reshape(-1, 4),
        parameters=parameters,
    )
    return Sequence(
        id=f"{identity:07d}/{eye}",
        split=split,
        frames=Stills(tuple(paths)),
        camera=cameras.get,
        tracks=[track],
        image_name=lambda frame, person: f"{identity:07d}/{paths[frame].name}",
        dropped=dropped,
        checks=checks,
    )
