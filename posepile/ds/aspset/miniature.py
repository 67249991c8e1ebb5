"""A tiny ASPset-510 in the official layout, readable by the official toolkit.

Three clips of one person each: train and val seen by three cameras, test by one. 3840x2160 H.264
at 50 fps with B frames; a board in the foreground hides a joint now and then.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.shoot import Backdrop, shoot_frames
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, frames_kept, make_truth, write_truth
from posepile.miniature.video import write_video

SIZE = (3840, 2160)
JOINTS = (
    "right_ankle right_knee right_hip right_wrist right_elbow right_shoulder left_ankle left_knee "
    "left_hip left_wrist left_elbow left_shoulder head_top head neck spine pelvis"
).split()
FIGURE = make_figure(
    "rank rkne rhip rwri relb rsho lank lkne lhip lwri lelb lsho htop head neck spin pelv".split()
)
SUBJECT_AT = np.array([300.0, 250.0, 18600.0])  # the world is the left camera's frame, y down

# subject, clip, split, camera column, number of frames
CLIPS = (
    ("aaaa", "0001", "train", "all", 10),
    ("bbbb", "0016", "val", "all", 8),
    ("cccc", "0003", "test", "mid", 18),
)


def build(root: Path, seed: int = 0, list_of_clips: tuple = CLIPS) -> None:
    """Writes the miniature below ``root``.

    Args:
        root: An empty folder.
        seed: Of poses and scene.
        list_of_clips: Subject, clip, split, camera id and number of frames of each.
    """
    root = Path(root)
    data = root / "data"
    rng = np.random.default_rng(seed)
    backdrops = {view: Backdrop(SIZE, seed + i) for i, view in enumerate(("left", "mid", "right"))}
    sequences, clips = {}, {}
    writers.write_csv(data / "splits.csv", [clip[:4] for clip in list_of_clips])
    for subject, clip, split, which, n in list_of_clips:
        part = data / ("test" if split == "test" else "trainval")
        motion = actor.move(n, int(rng.integers(1000)), up="-y", at=SUBJECT_AT, turned=30)
        # The file holds float32: what is drawn is what is stored.
        joints = (
            actor.pose_skeleton(motion, FIGURE.names, 1.04).astype(np.float32).astype(np.float64)
        )
        write_c3d(part / "joints_3d" / subject / f"{subject}-{clip}.c3d", joints)
        cameras = make_cameras(rng)
        kept = frames_kept(joints)
        for view in backdrops if which == "all" else (which,):
            name, camera = f"{subject}-{clip}-{view}", cameras[view]
            flat = np.column_stack([camera.intrinsics, np.zeros(3)]).ravel().tolist()
            writers.write_json(
                part / "cameras" / subject / f"{subject}-{view}.json",
                {"intrinsic_matrix": flat, "extrinsic_matrix": camera.matrix().ravel().tolist()},
            )
            wrist = camera.project(joints[n // 2, JOINTS.index("left_wrist")])
            board = (wrist[0] - 14, wrist[1] - 30, 28, 60)
            start = 17 * len(sequences)
            pictures = shoot_frames(backdrops[view], camera, joints, FIGURE, start, [board])
            write_video(part / "videos" / subject / f"{name}.mkv", pictures, 50)
            boxes = [picture.people[0].box(amodal=True) for picture in pictures]
            header = ["left", "top", "right", "bottom"]
            writers.write_csv(part / "boxes" / subject / f"{name}.csv", [header, *boxes])
            sequences[name] = SequenceTruth(split, [(i, 0) for i in kept], start)
            clips[name] = {"frames": n, "first_pose": joints[0].tolist()}
    pattern = r"videos/\w+/(?P<sequence>[\w-]+)\.mkv/(?P<frame>\d+)\.jpg$"
    write_truth(root, make_truth(FIGURE, pattern, sequences, facts={"clips": clips}))


def make_cameras(rng: np.random.Generator) -> dict[str, rig.RigCamera]:
    """Returns the cameras of a subject, some 18 m away; left is the world frame."""
    cameras = {}
    for view, angle in (("left", 0), ("mid", 30), ("right", 60)):
        at, target = np.zeros(3), np.array([0, 0, 1000.0])
        if view != "left":
            at = rig.around(SUBJECT_AT, 18000, angle, rng.uniform(-300, 300), up="-y")
            target = SUBJECT_AT + rng.uniform(-300, 300, 3)
        cameras[view] = rig.make_camera(
            SIZE, at, target, rng.uniform(3850, 3950), up="-y", shift=rng.uniform(-25, 25, 2),
            stretch=rng.uniform(1.001, 1.004),
        )  # fmt: skip
    return cameras


def write_c3d(path: Path, joints: np.ndarray, rate: float = 50.0) -> None:
    """Writes joints ``[n, 17, 3]`` in millimetres with what the official loader needs."""
    writers.write_c3d(path, joints, JOINTS, rate, more={"SKEL": ["aspset_17j"]})


if __name__ == "__main__":
    build(Path(sys.argv[1]))
