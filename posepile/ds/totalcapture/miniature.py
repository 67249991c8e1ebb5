"""A tiny TotalCapture in the official layout: a take for training, two for testing.

A video is a frame shorter than the poses, one view sees the actor come into the picture. Somebody
else is in the background of that take and not in its mattes. The lens of camera 2 is distorted.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, video, writers

FILES = (
    "Hips Spine Spine1 Spine2 Spine3 Neck Head RightShoulder RightArm RightForeArm RightHand "
    "LeftShoulder LeftArm LeftForeArm LeftHand RightUpLeg RightLeg RightFoot LeftUpLeg LeftLeg "
    "LeftFoot"
).split()
# The studio's joints in that order; Spine2 is between its neighbours, and turns with spin.
STUDIO = (
    "pelv bell spin spin thor neck head rcla rsho relb rwri lcla lsho lelb lwri rhip rkne rank "
    "lhip lkne lank"
).split()
NAMES = [*"pelv spin spin1 spin2 spin3".split(), *STUDIO[5:]]
FIGURE = skeleton.make_figure(NAMES)
SIZE, RATE, PELVIS = (1920, 1080), 60, (100, 940, -200)  # mm, y is up
TAKES = (  # subject, take, split, poses, frames of videos by camera
    ("1", "acting1", "train", 12, {1: 12, 2: 11, 6: 12}),
    ("1", "walking2", "test", 8, {2: 8}),
    ("4", "freestyle3", "test", 6, {8: 6}),
)
ENTERS = 6  # camera
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    cameras = {c: make_camera(c, rng) for c in range(1, 9)}
    writers.write_text(
        root / "calibration.cal", "8 1\n" + "".join(map(describe, cameras.values()))
    )
    backdrop, black = shoot.Backdrop(SIZE, seed), shoot.Backdrop(SIZE, color=BLACK)
    for subject, take, split, n, views in TAKES:
        motion = actor.move(n, int(rng.integers(99)), up="y", at=PELVIS, turned=25)
        joints = actor.pose_skeleton(motion, STUDIO)
        joints[:, 3] = (joints[:, 2] + joints[:, 4]) / 2
        write_poses(root / f"vicon/S{subject}/{take}/gt_skel_gbl_pos.txt", joints)
        other = joints[n // 2] + (700, 0, -1500)
        for c, n_frames in views.items():
            camera, start, shots, mattes = cameras[c], 31 * len(sequences), [], []
            name = f"TC_S{subject}_{take}_cam{c}"
            for k in range(n_frames):
                actors = [shoot.Actor(joints[k], FIGURE)]
                if take == "acting1":
                    actors.append(shoot.Actor(other, FIGURE, 3))
                shots.append(shoot.shoot(backdrop, camera, actors, start + k))
                alone = shoot.Picture(black, [], shots[-1].people[:1])
                mattes.append(alone.mask(black, WHITE))
            for kind, pictures in (("video", shots), ("mattes", mattes)):
                path = root / kind / f"s{subject}/{take}/{name}.mp4"
                video.write_video(path, pictures, RATE)
            seen = [(k, 0) for k in truth.frames_kept(joints) if k < n_frames]
            seen = [(k, p) for k, p in seen if n_inside(camera, joints[k]) >= 6]
            sequences[name] = truth.SequenceTruth(split, seen, start)
    pattern = r"/(?P<sequence>TC_S\d_[a-z]+\d_cam\d)(?:\.mp4)?/(?P<frame>\d{6})\.jpg$"
    more = {"raw_masks": True, "n_people": 2}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def write_poses(path: Path, joints: np.ndarray) -> None:
    """Writes positions in inches; every line ends with a tab, the last one is empty."""
    rows = [[" ".join(f"{x:.6f}" for x in joint) for joint in row] for row in joints / 25.4]
    writers.write_text(path, "".join("\t".join([*row, "\n"]) for row in [FILES, *rows]) + "\n")


def make_camera(c: int, rng: np.random.Generator) -> rig.RigCamera:
    """Returns one of the eight cameras, high up around the actor; one looks beside them."""
    distance, focal = rng.uniform(4600, 5000), rng.uniform(1450, 1550)
    shift, target = rng.uniform(-15, 15, 2) * (c != 1), (0, 900, -1400 * (c == 2))
    if c == ENTERS:
        distance, focal, target = 4800, 1500, (-750, 900, -2760)
    place = rig.around((0, 950, 0), distance, 45 * c - 20, 1500, up="y")
    lens = {"up": "y", "shift": shift, "stretch": 1.003}
    lens["distortion"] = (0.12 if c == 2 else rng.normal(1.4e-5, 1e-6), 0, 0, 0, 0)
    return rig.make_camera(SIZE, place, target, focal, **lens)


def n_inside(camera: rig.RigCamera, joints: np.ndarray) -> int:
    """Returns how many joints are inside the picture."""
    half = np.array(SIZE) / 2
    return int((abs(camera.project(joints) + 0.5 - half) <= half).all(axis=-1).sum())


def describe(camera: rig.RigCamera) -> str:
    """Returns the seven lines of a camera; its place is in metres."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    rows = [(0, SIZE[1] - 1, 0, SIZE[0] - 1), (fx, fy, cx, cy), camera.distortion[:1]]
    rows += [*camera.rotation, camera.translation / 1000]
    return "".join(" ".join(f"{float(x):.9g}" for x in row) + "\n" for row in rows)
