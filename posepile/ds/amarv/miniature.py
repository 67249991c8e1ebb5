"""Writes a tiny AMARV in the layout that configs/amarv_layout.yaml proposes.

Two sources with two clips each, four views, six frames. The extrinsics are stored twice, as OpenCV
world-to-camera matrices in metres (``*_cam.json``, which the manifest names) and as Blender
camera-to-world matrices in centimetres (``*_cam_blender.json``); both are the same cameras.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature.kit import (
    background,
    draw_person,
    joint_colors,
    look_at,
    project,
    write_truth,
    write_video,
)

SIZE = (960, 720)
DEPTH_SIZE = (240, 180)
FPS = 30
# Metres along x, the same for all joints: by the 100 mm rule frames 0, 2 and 4 are kept.
SHIFTS = (0.0, 0.06, 0.12, 0.18, 0.24, 0.30)
VIEW_ANGLES = (-32, -11, 11, 32)  # degrees around the person
FIRST_AMASS_FRAME = 8
AMASS_RATE = 120.0
# clip id -> (AMASS path, BABEL split or None)
CLIPS = {
    "CMU/walk": ("CMU/01/01_01_poses.npz", "train"),
    "CMU/sit": ("CMU/02/02_01_poses.npz", "val"),
    # BABEL has this subject on both sides; it goes where its first motion is
    "KIT/left": ("KIT/10/LeftTurn01_poses.npz", "train"),
    "KIT/right": ("KIT/10/RightTurn01_poses.npz", "val"),
}
BODY_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def build(root: Path, seed: int = 0) -> None:
    """Writes the raw files and ``miniature_truth.json`` below ``root``."""
    root = Path(root)
    rng = np.random.default_rng(seed)
    for i, (clip, (amass_path, _)) in enumerate(CLIPS.items()):
        write_clip(root, clip, i, rng)
        write_amass(root / "amass" / amass_path, rng, bytes_gender=i == 0)
    name_map = {
        clip: {"amass_path": path, "start_t": FIRST_AMASS_FRAME / AMASS_RATE}
        for clip, (path, _) in CLIPS.items()
    }
    (root / "name_map.json").write_text(json.dumps(name_map, indent=1))
    write_babel(root / "babel_v1.0_release")
    kept = 3
    write_truth(
        root,
        counts={"train": 3 * 4 * kept, "val": 4 * kept, "test": 0},
        colors=[*joint_colors(22).tolist(), *[None] * 30],
        raw_masks=True,
        # of the frames of CMU/walk; motion time of frame t is 8/120 + t/30 seconds
        activities=["walk", "walk", "walk|turn", "walk|turn", "turn", "unknown"],
    )


def write_clip(root: Path, clip: str, number: int, rng: np.random.Generator) -> None:
    """Writes all modalities of all views of one clip."""
    stem = root / clip
    stem.parent.mkdir(parents=True, exist_ok=True)
    body = standing_body() * (1 + 0.02 * number)
    joints = np.stack([body + np.array([shift - 0.15, 0, 0]) for shift in SHIFTS])
    np.savez(f"{stem}_pose.npz", joints=joints, start=np.array(FIRST_AMASS_FRAME))
    cameras = {str(v): make_camera(np.deg2rad(a)) for v, a in enumerate(VIEW_ANGLES)}
    write_cameras(stem, cameras)
    edges = [(p, j) for j, p in enumerate(BODY_PARENTS) if p >= 0]
    boxes = {}
    for view, (intrinsics, extrinsics) in cameras.items():
        images, silhouettes, boxes[view] = [], [], []
        depth_folder = Path(f"{stem}_depth_v{view}")
        depth_folder.mkdir(exist_ok=True)
        backdrop = background(*SIZE, seed=10 * number + int(view))
        for t, points in enumerate(joints):
            rotation, translation = extrinsics[:3, :3], extrinsics[:3, 3]
            pixels = project(points, intrinsics, rotation, translation)
            z = (points @ rotation.T + translation)[:, 2]
            image = backdrop.copy()
            silhouette = draw_person(image, pixels[:22], edges, radius=22.0)
            images.append(image)
            silhouettes.append(np.repeat(np.uint8(255 * silhouette)[..., None], 3, axis=-1))
            ys, xs = np.nonzero(silhouette)
            box = xs.min() - 0.5, ys.min() - 0.5, np.ptp(xs) + 1, np.ptp(ys) + 1
            boxes[view].append([float(x) for x in box])
            depth = draw_depth(pixels[:22], z[:22], edges)
            cv2.imwrite(str(depth_folder / f"{t:06d}.png"), depth)
        write_video(Path(f"{stem}_rgb_v{view}.mp4"), images, FPS, {"crf": "10"})
        write_video(Path(f"{stem}_mask_v{view}.mp4"), silhouettes, FPS, {"crf": "10"})
    Path(f"{stem}_bbox.json").write_text(json.dumps(boxes))


def standing_body() -> np.ndarray:
    """52 joints in metres, z up, facing -y, left at +x; finger joints close to the wrists."""
    half = {
        1: (0.09, -0.06),
        4: (0.15, -0.44),
        7: (0.19, -0.78),
        10: (0.30, -0.86),
        13: (0.10, 0.39),
        16: (0.20, 0.46),
        18: (0.36, 0.27),
        20: (0.50, 0.06),
    }
    joints = np.zeros((52, 3))
    for index, height in ((3, 0.10), (6, 0.20), (9, 0.30), (12, 0.50), (15, 0.64)):
        joints[index, 2] = height
    for index, (x, z) in half.items():
        joints[index], joints[index + 1] = (x, 0, z), (-x, 0, z)
    joints[22:37] = joints[20]
    joints[37:52] = joints[21]
    return joints + np.array([0, 0, 0.95])


def make_camera(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics and OpenCV world-to-camera matrix (metres) of a camera that looks at the body."""
    intrinsics = np.array([[900.0, 0, 479.5], [0, 900.0, 359.5], [0, 0, 1]])
    target = np.array([0, 0, 0.85])
    center = target + 2.4 * np.array([np.sin(angle), -np.cos(angle), 0.08])
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = look_at(center, target)
    return intrinsics, extrinsics


def write_cameras(stem: Path, cameras: dict) -> None:
    """Writes the cameras in both conventions."""
    opencv = {
        "K": {v: k.tolist() for v, (k, _) in cameras.items()},
        "extrinsics": {v: e.tolist() for v, (_, e) in cameras.items()},
    }
    Path(f"{stem}_cam.json").write_text(json.dumps(opencv))
    blender = {"focal_mm": {}, "matrix_world": {}}
    for v, (intrinsics, extrinsics) in cameras.items():
        matrix = np.linalg.inv(extrinsics)
        matrix[:3, 1:3] *= -1  # a Blender camera looks along -z with y up
        matrix[:3, 3] *= 100
        blender["matrix_world"][v] = matrix.tolist()
        blender["focal_mm"][v] = 36.0 * intrinsics[0, 0] / SIZE[0]
    Path(f"{stem}_cam_blender.json").write_text(json.dumps(blender))


def draw_depth(pixels: np.ndarray, z: np.ndarray, edges: list) -> np.ndarray:
    """16-bit millimetres: a wall at 4 m with the limbs 90 mm in front of their joints."""
    scale = DEPTH_SIZE[0] / SIZE[0]
    depth = np.full(DEPTH_SIZE[::-1], 4000.0, np.float32)
    small = (pixels + 0.5) * scale - 0.5
    for a, b in sorted(edges, key=lambda e: -z[list(e)].mean()):
        ends = [tuple(round(float(c)) for c in small[i]) for i in (a, b)]
        value = 1000 * float(z[[a, b]].mean()) - 90
        cv2.line(depth, *ends, value, max(1, round(44 * scale)))
    return depth.astype(np.uint16)


def write_amass(path: Path, rng: np.random.Generator, bytes_gender: bool) -> None:
    """Writes a motion file; the root stands the body up in a world with z up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = rng.normal(0, 0.05, (40, 156))
    poses[:, :3] = np.pi / 2, 0, 0
    np.savez(
        path,
        poses=poses,
        trans=rng.normal(0, 0.1, (40, 3)),
        betas=rng.normal(0, 1, 16),
        gender=np.array(b"female") if bytes_gender else np.array("male"),
        mocap_framerate=np.array(AMASS_RATE),
        dmpls=np.zeros((40, 8)),
    )


def write_babel(folder: Path) -> None:
    """Writes train.json and val.json; only ``CMU/walk`` has labels in time, which overlap."""
    folder.mkdir(parents=True, exist_ok=True)

    def label(category, start=None, end=None):
        times = {} if start is None else {"start_t": start, "end_t": end}
        return {"raw_label": category, "proc_label": category, "act_cat": [category], **times}

    files: dict[str, dict] = {"train": {}, "val": {}}
    for sid, (clip, (path, split)) in enumerate(CLIPS.items()):
        segments = None
        if clip == "CMU/walk":
            labels = [label("turn", 0.12, 0.215), label("walk", 0.0, 0.18)]
            segments = {"anntr_id": "a", "mul_act": True, "labels": labels}
        files[split][str(sid)] = {
            "babel_sid": sid,
            "url": "",
            "feat_p": f"{path.split('/')[0]}/{path}",
            "dur": 0.33,
            "seq_ann": {"anntr_id": "b", "mul_act": False, "labels": [label(clip[4:])]},
            "frame_ann": segments,
        }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
