"""Writes a tiny SynthEgo: the official folders, with fake AMASS and MANO files to splice from.

Made from the dataset's description, without the reader: the kinematic tree, the forward kinematics
and the reference strings are written out here once more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature.kit import background, draw_person, joint_colors, project, write_truth

IMAGE_SIZE = (1280, 720)
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
for _wrist, _first in ((20, 22), (21, 37)):
    for _finger in range(5):
        PARENTS += [_wrist, _first + 3 * _finger, _first + 3 * _finger + 1]
PARENTS += [15, 15]

MOSH = "MoSh_MPI_MoSh_subset/Data/moshpp_fits_SMPL/00008/misc.pkl_{}_0"
MOSH_MISNAMED = "MoSh_MPI_MoSh_subset/Data/moshpp_fits_SMPL/50002/odd.name.pkl_{}_0"
LIMITS = "MoSh_MPI_PoseLimits_all/Data/moshpp_fits_SMPL/03099/lar1.pkl_{}_0"
AMASS_FILES = {  # reference -> (path below the raw folder, frames per second)
    MOSH: ("MoSh/MPI_mosh/00008/misc_poses.npz", 120.0),
    MOSH_MISNAMED: ("MoSh/MPI_mosh/50002/odd.name_poses_poses.npz", 120.00004),
    LIMITS: ("PosePrior/MPI_Limits/03099/lar1_poses.npz", 100.0),
}
MANO_FILE = "manoposesv10/mano_poses_v1_0/handsOnly_REGISTRATIONS_r_lm___POSES___{}.npy"
N_MANO = 12

# (identity, frame, body reference and frame in it, left hand pose, right hand pose); None = the
# numbers are in the file. Frame 2 of identity 8 is absent on purpose.
SAMPLES = [
    (3, 0, None, None, None),
    (3, 1, (MOSH, 7), None, None),
    (3, 2, (LIMITS, 12), None, None),
    (8, 0, None, 3, None),
    (8, 1, None, None, 11),
    (8, 3, (MOSH_MISNAMED, 9), 0, 5),
    (19, 0, (LIMITS, 0), 7, 8),
    (19, 1, None, 1, 1),
    (19, 2, None, None, None),
]
TURNED_AWAY = (8, 3, "R")  # sees nobody: this view gives no example


def build(root: Path, seed: int = 0) -> None:
    """Writes the raw files and ``miniature_truth.json`` below ``root``."""
    root = Path(root)
    rng = np.random.default_rng(seed)
    motions = write_amass(root, rng)
    hands = write_mano(root, rng)
    folder = root / "SynthEgo"
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {identity: rng.normal(0, 1, 10) for identity in (3, 8, 19)}
    final_poses = {}
    for identity, frame, body, left, right in SAMPLES:
        pose = np.concatenate([rng.normal(0, 0.05, (1, 3)), small_pose(rng)[1:]])
        rows = pose.tolist()
        if body is not None:
            reference, index = body
            poses, step = motions[reference]
            pose[1:22] = poses[::step][index].reshape(52, 3)[1:22]
            rows[1:22] = [reference.format(index)] * 21
        for side, first, choice in (("L", 22, left), ("R", 37, right)):
            if choice is not None:
                pose[first : first + 15] = hands[side][choice].reshape(15, 3)
                rows[first : first + 15] = [f"mano_{choice}_{side}"] * 15
        name = f"{identity:07d}_{frame:04d}"
        final_poses[name] = pose.tolist()
        translation = rng.uniform(-0.2, 0.2, 3) + np.array([0, 1.0, 0])
        points = forward_kinematics(rest_joints(shapes[identity]), pose) + translation
        labels = {
            "pose": rows,
            "translation": translation.tolist(),
            "identity": shapes[identity].tolist(),
        }
        write_pair(folder, (identity, frame), labels, points, rng)
    write_truth(
        root,
        counts={"train": 6, "val": 5, "test": 6},
        colors=joint_colors(54).tolist(),
        poses=final_poses,
    )


def small_pose(rng: np.random.Generator) -> np.ndarray:
    """Rotation vectors ``[52, 3]`` that hardly change the rest pose, so that no disc is hidden."""
    return rng.normal(0, 0.04, (52, 3))


def write_amass(root: Path, rng: np.random.Generator) -> dict:
    """Writes the fake motions; returns reference -> (poses, step between frames)."""
    motions = {}
    for i, (reference, (name, rate)) in enumerate(AMASS_FILES.items()):
        poses = np.stack([small_pose(rng).ravel() for _ in range(40)])
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            poses=poses,
            trans=np.zeros((40, 3)),
            betas=np.zeros(16),
            gender=np.array(b"female") if i == 0 else np.array("male"),
            mocap_framerate=np.array(rate),
            dmpls=np.zeros((40, 8)),
        )
        motions[reference] = poses, {120: 4, 100: 3}[int(rate)]
    return motions


def write_mano(root: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Writes the fake hand poses, the left ones mirrored from the right ones."""
    right = rng.normal(0, 0.04, (N_MANO, 45))
    hands = {"R": right, "L": right * np.tile([1, -1, -1], 15)}
    for side, poses in hands.items():
        path = root / MANO_FILE.format(side)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, poses)
    return hands


def rest_joints(shape: np.ndarray) -> np.ndarray:
    """Returns a spread-out rest pose ``[54, 3]``, metres, y up, left at +x, facing +z."""
    half = {
        "hip": (0.09, -0.06, 0.0),
        "knee": (0.14, -0.42, 0.02),
        "ankle": (0.17, -0.72, 0.0),
        "toe": (0.28, -0.77, 0.05),
        "collar": (0.09, 0.40, 0.0),
        "shoulder": (0.19, 0.45, 0.0),
        "elbow": (0.33, 0.29, 0.0),
        "wrist": (0.45, 0.09, 0.02),
    }
    joints = np.zeros((54, 3))
    for index, height in ((3, 0.10), (6, 0.20), (9, 0.30), (12, 0.50), (15, 0.63)):
        joints[index] = 0, height, 0
    pairs = zip((1, 4, 7, 10, 13, 16, 18, 20), half.values(), strict=True)
    for index, (x, y, z) in pairs:
        joints[index], joints[index + 1] = (x, y, z), (-x, y, z)
    for finger in range(5):
        angle = np.deg2rad(-108 + 29 * finger)
        for k in range(3):
            x, y = (0.125 + 0.075 * k) * np.array([np.cos(angle), np.sin(angle)])
            joints[22 + 3 * finger + k] = joints[20] + (x, y, 0)
            joints[37 + 3 * finger + k] = joints[21] + (-x, y, 0)
    joints[52], joints[53] = joints[15] + (0.034, 0.075, 0.08), joints[15] + (-0.034, 0.075, 0.08)
    return joints * (1 + 0.02 * np.tanh(shape[0]))


def forward_kinematics(rest: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Turns every joint by its rotation vector: ``[54, 3]``, root at its rest position."""
    rotations, points = [None] * 54, np.zeros((54, 3))
    for j, parent in enumerate(PARENTS):
        local = cv2.Rodrigues(pose[j])[0] if j < 52 else np.eye(3)
        if parent < 0:
            rotations[j], points[j] = local, rest[j]
        else:
            rotations[j] = rotations[parent] @ local
            points[j] = points[parent] + rotations[parent] @ (rest[j] - rest[parent])
    return points


def write_pair(
    folder: Path,
    key: tuple[int, int],
    labels: dict,
    points: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Writes the metadata file and the two images of one sample."""
    name = f"{key[0]:07d}_{key[1]:04d}"
    intrinsics = np.array([[700.0, 0, 640.5], [0, 702.0, 358.0], [0, 0, 1]])
    tilt = cv2.Rodrigues(rng.uniform(-0.06, 0.06, 3))[0]
    landmarks = {"3D_world": points.tolist()}
    cameras = {}
    for eye, side in (("L", -0.0315), ("R", 0.0315)):
        rotation = tilt @ np.diag([1.0, -1.0, -1.0])
        if (*key, eye) == TURNED_AWAY:
            rotation = cv2.Rodrigues(np.array([0, np.pi / 2, 0]))[0] @ rotation
        center = points[0] + (side, -0.02, 1.72)
        extrinsics = np.eye(4)
        extrinsics[:3, :3], extrinsics[:3, 3] = rotation, -rotation @ center
        in_camera = points @ rotation.T + extrinsics[:3, 3]
        # Like the original, without regard to what is behind the camera.
        in_image = (in_camera @ intrinsics.T)[:, :2] / in_camera[:, 2:]
        landmarks[f"3D_camera_{eye}"] = in_camera.tolist()
        landmarks[f"2D_camera_{eye}"] = in_image.tolist()
        cameras[f"camera_{eye}"] = {
            "world_to_camera": extrinsics.tolist(),
            "camera_to_image": intrinsics.tolist(),
            "resolution": list(IMAGE_SIZE),
        }
        image = background(*IMAGE_SIZE, seed=key[0] + key[1])
        joints = project(points, intrinsics, rotation, extrinsics[:3, 3])
        edges = [(p, j) for j, p in enumerate(PARENTS) if p >= 0]
        draw_person(image, joints, edges, radius=14.0)
        path = folder / f"img_{eye}_{name}.jpg"
        cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    metadata = {**labels, "cameras": cameras, "landmarks": landmarks}
    (folder / f"metadata_{name}.json").write_text(json.dumps(metadata))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
