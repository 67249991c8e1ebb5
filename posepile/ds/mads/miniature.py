"""A tiny MADS, the multi-view part: hip-hop with 19 joints in three views, kata with 15 in two.

A hand is missing at first, nothing is known of a later frame, and a video goes on after its poses.
The three cameras share one lens. Of the kata, whose cameras stand elsewhere, a view is not there.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, video, writers

RAW = (
    "neck pelv lhip lkne lank ltoe rhip rkne rank rtoe lsho lelb lwri lhan rsho relb rwri rhan "
    "head"
).split()
FIFTEEN = [j for j, name in enumerate(RAW) if name[1:] not in ("toe", "han")]
FIGURE = skeleton.make_figure(RAW)
SIZE, RATE, LAST_HAND = (1024, 768), 15, 17
TAKES = (  # movement, take, joints, poses, frames of videos by view
    ("HipHop", "HipHop_HipHop1", range(19), 12, {0: 12, 1: 12, 2: 14}),
    ("Kata", "Kata_P3", FIFTEEN, 9, {0: 9, 2: 9}),
)
NOT_MEASURED = {"HipHop_HipHop1": 5}  # frame of which nothing is known
HAND_LOST = {"HipHop_HipHop1": 0}
PELVIS = (0, 950, 0)  # mm, y is up


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrop = shoot.Backdrop(SIZE, seed)
    lens = {"up": "y", "shift": rng.uniform(-15, 15, 2), "stretch": 1.002}
    lens["distortion"] = np.array([-0.23, 0.14, 0.0008, -0.0006, 0.02])
    for movement, name, kept_joints, n, views in TAKES:
        folder = root / "multi_view_data" / movement
        motion = actor.move(max(views.values()), int(rng.integers(99)), up="y", at=PELVIS)
        joints = actor.pose_skeleton(motion, RAW)
        told = np.full((n, 19, 3), np.nan)
        told[:, kept_joints] = joints[:n, kept_joints]
        if name in NOT_MEASURED:
            told[NOT_MEASURED[name]], told[HAND_LOST[name], LAST_HAND] = np.nan, np.nan
        cells = np.empty((1, n), object)
        for k, pose in enumerate(told[:, kept_joints]):
            cells[0, k] = pose
        writers.write_mat(folder / f"{name}_GT.mat", {"GTpose2": cells})
        expected = [(k, 0) for k in frames_kept(told)]
        for view in range(3):
            turned = (-60, 10, 70)[view] + 12 * (movement == "Kata")
            place = rig.around(PELVIS, 3600, turned, 500, up="y")
            camera = rig.make_camera(SIZE, place, PELVIS, 860, **lens)
            writers.write_mat(folder / f"Calib_Cam{view}.mat", describe(camera))
            if view not in views:
                continue
            start, file = 31 * len(sequences), f"{name}_C{view}.avi"
            shots = shoot.shoot_frames(backdrop, camera, joints[: views[view]], FIGURE, start)
            video.write_video(folder / file, shots, RATE, b_frames=0)
            sequences[f"{movement}/{file}"] = truth.SequenceTruth("train", expected, start)
    pattern = r"multi_view_data/(?P<sequence>\w+/\w+\.avi)/(?P<frame>\d{6})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, box="loose"))


def frames_kept(poses: np.ndarray) -> list[int]:
    """Returns the frames in which a joint moved by 100 mm, or that has one the last kept lacks."""
    kept: list[int] = []
    for k, pose in enumerate(poses):
        known = ~np.isnan(pose).any(axis=1)
        last = poses[kept[-1]] if kept else np.full_like(pose, np.nan)
        is_new = (known & np.isnan(last).any(axis=1)).any()
        if known.any() and (is_new or np.nanmax(np.linalg.norm(pose - last, axis=1)) >= 100):
            kept.append(k)
    return kept


def describe(camera: rig.RigCamera) -> dict[str, np.ndarray]:
    """Returns the variables of a calibration, columns as Bouguet's toolbox writes them."""
    matrix = camera.intrinsics
    inner = {"KK": matrix, "fc": np.diag(matrix)[:2, None], "cc": matrix[:2, 2:]}
    inner |= {"kc": np.array(camera.distortion)[:, None], "alpha_c": np.zeros((1, 1))}
    outer = {"om_ext": actor.rotvec(camera.rotation)[:, None]}
    return inner | outer | {"T_ext": camera.translation[:, None]}
