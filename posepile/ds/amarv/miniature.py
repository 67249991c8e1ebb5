"""A tiny AMARV in the layout that configs/amarv_layout.yaml proposes, with its motions and labels.

Two sources with two clips each, four views, six frames. The cameras are stored twice, as OpenCV
world-to-camera matrices in metres (``*_cam.json``, which the manifest names) and as Blender
camera-to-world matrices in centimetres (``*_cam_blender.json``).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.bodies import JOINT_NAMES, make_model
from posepile.miniature.shoot import Backdrop, Shot, shoot_frames
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, frames_kept, make_truth, write_truth
from posepile.miniature.video import write_video

SIZE, DEPTH_SIZE = (640, 480), (160, 120)
FPS, AMASS_RATE = 30, 120.0
N_FRAMES, FIRST_AMASS_FRAME = 6, 8
VIEW_ANGLES = (-32, -11, 11, 32)  # degrees around the person
FIGURE = make_figure(JOINT_NAMES["smplh"])
HANDS = [(20, 27), (21, 42)]  # from the wrist to the end of the middle finger
FIGURE = dataclasses.replace(FIGURE, edges=[*FIGURE.edges, *HANDS])
CLIPS = (  # clip id, AMASS path, side in BABEL, split, gender
    ("CMU/walk", "CMU/01/01_01_poses.npz", "train", "train", b"female"),
    ("CMU/sit", "CMU/02/02_01_poses.npz", "val", "val", "male"),
    # BABEL has this subject on both sides; it goes where its first motion is
    ("KIT/left", "KIT/10/LeftTurn01_poses.npz", "train", "train", "male"),
    ("KIT/right", "KIT/10/RightTurn01_poses.npz", "val", "train", "male"),
)
# Of the frames of CMU/walk; motion time of frame t is 8/120 + t/30 seconds
ACTIVITIES = ["walk", "walk", "walk|turn", "walk|turn", "turn", "unknown"]


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, rng, sequences, name_map = Path(root), np.random.default_rng(seed), {}, {}
    for clip, amass_path, _, split, gender in CLIPS:
        joints = write_motion(root / "amass" / amass_path, gender, rng)
        start = np.array(FIRST_AMASS_FRAME)
        writers.write_npz(root / f"{clip}_pose.npz", joints=joints / 1000, start=start)
        name_map[clip] = {"amass_path": amass_path, "start_t": FIRST_AMASS_FRAME / AMASS_RATE}
        cameras, boxes = {}, {}
        for view, angle in enumerate(VIEW_ANGLES):
            target = (0, 0, 980 + rng.uniform(-30, 30))
            position = rig.around(target, 2900, angle, 190)
            camera = cameras[str(view)] = rig.make_camera(SIZE, position, target, focal=600)
            first, backdrop = 23 * len(sequences), Backdrop(SIZE, seed + len(sequences))
            pictures = shoot_frames(backdrop, camera, joints, FIGURE, first)
            seen = [picture.people[0] for picture in pictures]
            masks = [np.uint8(255) * cv2.merge([np.uint8(s.mask(SIZE))] * 3) for s in seen]
            write_video(root / f"{clip}_rgb_v{view}.mp4", pictures, FPS, qp=10)
            write_video(root / f"{clip}_mask_v{view}.mp4", masks, FPS, qp=8)
            edges = np.array([shot.box() for shot in seen])
            boxes[str(view)] = np.hstack([edges[:, :2], edges[:, 2:] - edges[:, :2]])
            for t, shot in enumerate(seen):
                depth = root / f"{clip}_depth_v{view}" / f"{t:06d}.png"
                writers.write_png(depth, draw_depth(shot))
            kept = [(t, 0) for t in frames_kept(joints)]
            sequences[f"{clip}/v{view}"] = SequenceTruth(split, kept, first)
        writers.write_json(root / f"{clip}_bbox.json", boxes)
        write_cameras(root / clip, cameras)
    writers.write_json(root / "name_map.json", name_map, indent=1)
    write_babel(root / "babel_v1.0_release")
    pattern = r"/(?P<sequence>\w+/\w+/v\d)/(?P<frame>\d+)\.jpg$"
    more = {"raw_masks": True, "facts": {"activities": ACTIVITIES}}
    write_truth(root, make_truth(FIGURE, pattern, sequences, **more))


def write_motion(path: Path, gender: str | bytes, rng: np.random.Generator) -> np.ndarray:
    """Writes an AMASS motion of 40 frames; returns joints ``[6, 52, 3]`` of what a clip shows, mm.

    Every fourth frame is shown; those between two of them are like the earlier one.
    """
    motion = actor.move(N_FRAMES, int(rng.integers(1000)), at=(0, 0, 950), step_mm=54, swing=0.06)
    poses = np.array([actor.body_rotvecs(motion, t, 52) for t in range(N_FRAMES)])
    poses[:, 22:] = rng.normal(0, 0.1, (N_FRAMES, 30, 3))
    betas, trans = rng.normal(0, 0.5, 16), motion.positions / 1000 + (0, 0, 0.22)
    step = round(AMASS_RATE / FPS)
    shown = np.clip((np.arange(40) - FIRST_AMASS_FRAME) // step, 0, N_FRAMES - 1)
    writers.write_npz(
        path, poses=poses[shown].reshape(40, 156), trans=trans[shown], betas=betas,
        gender=np.array(gender), mocap_framerate=np.array(AMASS_RATE), dmpls=np.zeros((40, 8)),
    )  # fmt: skip
    model = make_model("smplh16", seed=2 if gender == "male" else 3)
    bodies = [(pose, betas, at) for pose, at in zip(poses, trans, strict=True)]
    return 1000 * np.array([actor.pose_body(model, *b, vertices=False)[0] for b in bodies])


def write_cameras(stem: Path, cameras: dict[str, rig.RigCamera]) -> None:
    """Writes the cameras in both conventions."""
    opencv = {
        "K": {view: camera.intrinsics for view, camera in cameras.items()},
        "extrinsics": {view: camera.matrix(1000) for view, camera in cameras.items()},
    }
    writers.write_json(stem.with_name(f"{stem.name}_cam.json"), opencv)
    # A Blender camera looks along -z with y up.
    turn = np.diag([1, -1, -1, 1])
    blender = {
        "focal_mm": {v: 36.0 * c.intrinsics[0, 0] / SIZE[0] for v, c in cameras.items()},
        "matrix_world": {v: np.linalg.inv(c.matrix(10)) @ turn for v, c in cameras.items()},
    }
    writers.write_json(stem.with_name(f"{stem.name}_cam_blender.json"), blender)


def draw_depth(shot: Shot) -> np.ndarray:
    """Returns millimetres as uint16: a wall at 5 m, the limbs 90 mm in front of their joints."""
    scale = DEPTH_SIZE[0] / SIZE[0]
    depth = np.full(DEPTH_SIZE[::-1], 5000.0, np.float32)
    points, z = np.round((shot.points + 0.5) * scale - 0.5).astype(int), shot.depth
    for a, b in sorted(FIGURE.edges, key=lambda e: -z[list(e)].mean()):
        cv2.line(depth, points[a].tolist(), points[b].tolist(), z[[a, b]].mean() - 90, 5)
    return depth.astype(np.uint16)


def write_babel(folder: Path) -> None:
    """Writes train.json and val.json; only ``CMU/walk`` has labels in time, which overlap."""

    def label(category: str, **times: float) -> dict:
        return {"raw_label": category, "proc_label": category, "act_cat": [category], **times}

    files: dict[str, dict] = {"train": {}, "val": {}}
    for sid, (clip, path, side, *_) in enumerate(CLIPS):
        labels = [label("turn", start_t=0.12, end_t=0.215), label("walk", start_t=0, end_t=0.18)]
        segments = {"anntr_id": "a", "mul_act": True, "labels": labels}
        files[side][str(sid)] = {
            "babel_sid": sid,
            "url": "",
            "feat_p": f"{path.split('/')[0]}/{path}",
            "dur": 0.33,
            "seq_ann": {"anntr_id": "b", "mul_act": False, "labels": [label(clip[4:])]},
            "frame_ann": segments if clip == "CMU/walk" else None,
        }
    for name, content in files.items():
        writers.write_json(folder / f"{name}.json", content, indent=1)
