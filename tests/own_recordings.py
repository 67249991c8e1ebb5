"""Folders of recordings as programs lay them out, made up, for the tests of docs/OWN_DATA.md."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posepile.miniature.recordings import record
from posepile.miniature.skeleton import make_figure

JOINTS = "pelv neck htop lsho lelb lwri rsho relb rwri lhip lkne lank rhip rkne rank".split()
OPENPOSE = (
    "Hip Neck HeadTop LShoulder LElbow LWrist RShoulder RElbow RWrist LHip LKnee LAnkle RHip "
    "RKnee RAnkle"
).split()
WORDS = (
    "mid_hip neck head_top left_shoulder left_elbow left_wrist right_shoulder right_elbow "
    "right_wrist left_hip left_knee left_ankle right_hip right_knee right_ankle"
).split()
# z up in the cameras' world, y up in the trc files, as Pose2Sim writes them
TO_Y_UP = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])


@dataclass(frozen=True)
class Layout:
    """How a program lays its files out, and in which units and axes."""

    video: str
    keypoints: str
    calibration: str
    form: str
    takes: tuple[str, ...] = ("jump_1", "jump_2")
    cameras: tuple[str, ...] = ("cam01", "cam02")
    labels: tuple[str, ...] = tuple(OPENPOSE)
    camera_mm: float = 1000
    point_unit: str = "m"
    axes: np.ndarray = None
    rows_per_frame: int = 1


LAYOUTS = {
    "pose2sim": Layout(
        "<take>/videos/<camera>.mp4",
        "<take>/pose-3d/<take>_0-40.trc",
        "calibration/Calib.toml",
        "anipose",
        axes=TO_Y_UP,
    ),
    "anipose": Layout(
        "videos-raw/<take>-cam<camera>.mp4",
        "pose-3d/<take>.csv",
        "calibration/calibration.toml",
        "anipose",
        cameras=("A", "B"),
        labels=tuple(WORDS),
        camera_mm=1,
        point_unit="mm",
    ),
    "freemocap": Layout(
        "<take>/synchronized_videos/<camera>.mp4",
        "<take>/output_data/mediapipe_body_3d_xyz.csv",
        "<take>/<take>_camera_calibration.toml",
        "anipose",
        cameras=("Camera_000_synchronized", "Camera_001_synchronized"),
        labels=tuple(f"body_{word}" for word in WORDS),
        camera_mm=1,
        point_unit="mm",
    ),
    "opencv": Layout(
        "<take>/<camera>.mp4",
        "<take>/markers.c3d",
        "calibration",
        "opencv",
        cameras=("left", "middle", "right"),
        camera_mm=1,
        point_unit="mm",
        rows_per_frame=2,
    ),
    "easymocap": Layout(
        "videos/<take>/<camera>.mp4", "keypoints/<take>.csv", ".", "easymocap", camera_mm=1000
    ),
    "colmap": Layout(
        "<take>/<camera>.mp4", "<take>/points.trc", "sparse/0", "colmap_binary", camera_mm=1000
    ),
}


def make_recordings(root: Path, layout: Layout, n_frames: int = 40, step_mm: float = 38, **more):
    """Writes recordings; returns what is in each video."""
    turn = np.eye(3) if layout.axes is None else layout.axes
    return record(
        root,
        make_figure(JOINTS),
        dict.fromkeys(layout.takes, "train"),
        video=layout.video,
        keypoints=layout.keypoints,
        calibration=layout.calibration,
        labels=layout.labels,
        to_file=turn / {"m": 1000, "mm": 1}[layout.point_unit],
        camera_unit_mm=layout.camera_mm,
        point_unit=layout.point_unit,
        rows_per_frame=layout.rows_per_frame,
        n_frames=n_frames,
        form=layout.form,
        cameras=layout.cameras,
        step_mm=step_mm / layout.rows_per_frame,
        size=(480, 360),
        **more,
    )
