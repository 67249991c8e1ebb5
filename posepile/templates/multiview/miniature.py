"""A tiny newdata in its own layout: three takes of one drawn person, two cameras.

Written from the description of the data and not from main.py, so that one can be compared with the
other.
"""

from __future__ import annotations

from pathlib import Path

from posepile.miniature import actor, rig, writers
from posepile.miniature.shoot import Backdrop, shoot_frames
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, frames_kept, make_truth, write_truth
from posepile.miniature.video import write_video

SIZE = (960, 720)
# The joints in the order in which main.py declares them
FIGURE = make_figure(
    "pelv neck htop lsho lelb lwri rsho relb rwri lhip lkne lank rhip rkne rank".split()
)
UP = "z"
TAKES = {"walk": "train", "turn": "val", "run": "test"}
CAMERAS, JOINTS, VIDEO = "cameras.json", "joints.npy", ".mp4"
MM_PER_UNIT = 1  # of cameras and joints
N_FRAMES = 8


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``, an empty folder."""
    cameras = {
        name: rig.make_camera(
            SIZE, rig.around((0, 0, 900), 4200, angle, 300, UP), (0, 0, 900), 1000, up=UP,
            shift=(9, -5), distortion=(-0.1, 0.04, 0.001, -0.002, 0),
        )
        for name, angle in (("front", 10), ("side", 60))
    }  # fmt: skip
    content = {
        name: {
            "size": camera.size,
            "K": camera.intrinsics,
            "R": camera.rotation,
            "t": camera.translation / MM_PER_UNIT,
            "dist": camera.distortion,
        }
        for name, camera in cameras.items()
    }
    writers.write_json(root / CAMERAS, content)
    backdrop, sequences = Backdrop(SIZE, seed), {}
    for i, (take, split) in enumerate(TAKES.items()):
        motion = actor.move(N_FRAMES, seed + i, up=UP, at=(0, 0, 900))
        joints = actor.pose_skeleton(motion, FIGURE.names)
        writers.write_npy(root / take / JOINTS, joints / MM_PER_UNIT)
        for name, camera in cameras.items():
            start = 17 * len(sequences)  # every video has other numbers drawn in it
            pictures = shoot_frames(backdrop, camera, joints, FIGURE, start)
            write_video(root / take / f"{name}{VIDEO}", pictures, 25)
            kept = [(frame, 0) for frame in frames_kept(joints)]
            sequences[f"{take}/{name}"] = SequenceTruth(split, kept, start)
    pattern = r"_downscaled/(?P<sequence>\w+/\w+)/(?P<frame>\d+)\.jpg$"
    write_truth(root, make_truth(FIGURE, pattern, sequences, box="joints"))
