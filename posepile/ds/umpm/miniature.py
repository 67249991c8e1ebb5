"""A tiny UMPM in the official layout: one, two and three people seen by four cameras.

Of three people, two have joints. p1_grab_3 is unpacked into a folder of its own; that of
p2_free_1 is described twice, the second time wrongly. Poses are twice as many as pictures, one
fewer in p1_grab_3 and one more in p3_ball_12. On the way a shin is too long, a wrist is missing as
NaN, an elbow as zeros, and the second person is missing altogether.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, video, writers

FIGURE = skeleton.make_figure(
    "pelv neck head rsho relb rwri lsho lelb lwri rhip lhip rkne lkne rank lank".split()
)
SIZE, RATE, N = (644, 486), 50, 7
TAKES = (  # recording, calibration, has its own folder, more poses than 2 N, people, in files
    ("p1_grab_3", "calib_l06", True, -1, 1, 1),
    ("p2_free_1", "calib_n27", False, 0, 2, 2),
    ("p3_ball_12", "calib_l06", False, 1, 3, 2),
)
TWO_OBJECTS = {"p2_free_1": "calib_l06"}  # the wrong one's calibration
VIEWS = {"f": 8, "s": -48, "r": 52, "l": 140}  # degrees
PLACES = ((-700, 0, 930), (750, 200, 930), (150, 1500, 930))  # of the people's pelves
LWRI, LELB, RKNE, RANK = (FIGURE.names.index(name) for name in ("lwri", "lelb", "rkne", "rank"))
LONG_SHIN, NO_WRIST, NO_ELBOW, NOBODY = 3, 2, 4, 5  # pictures


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrop, rigs = shoot.Backdrop(SIZE, seed), {}
    for calib in ("calib_n27", "calib_l06"):
        rigs[calib] = make_cameras(rng)
        for view, camera in rigs[calib].items():
            writers.write_text(root / f"Calib/{calib}_{view}.ini", describe(camera))
    for name, calib, own_folder, more, n_people, n_told in TAKES:
        folder, joints = root / name if own_folder else root, make_joints(n_people, rng)
        writers.write_text(folder / f"{name}.json", describe_take(name, calib))
        told = spoil(joints[:, :n_told])
        write_poses(folder / f"Groundtruth/{name}", told[: 2 * N + more])
        kept = [(k, p) for p in range(n_told) for k in frames_kept(told[: 2 * N : 2, p])]
        for view, camera in rigs[calib].items():
            start, shots = 31 * len(sequences), []
            for k, poses in enumerate(joints[: 2 * N : 2]):
                actors = [shoot.Actor(pose, FIGURE, p) for p, pose in enumerate(poses)]
                shots.append(shoot.shoot(backdrop, camera, actors, start + k))
            video.write_video(folder / f"Video/{name}_{view}.avi", shots, RATE, b_frames=0)
            sequences[f"{name}_{view}"] = truth.SequenceTruth("train", sorted(kept), start)
    pattern = r"Video/(?P<sequence>\w+_[fsrl])/frame_(?P<frame>\d{6})_(?P<person>\d)\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, n_people=3, box="loose"))


def make_joints(n_people: int, rng: np.random.Generator) -> np.ndarray:
    """Returns joints ``[2 N + 1, people, 15, 3]``, 100 per second, mm, z up, floor at z = 0."""
    people = []
    for p in range(n_people):
        more = {"at": PLACES[p], "turned": 25 * p - 20, "step_mm": 14, "swing": 0.33}
        motion = actor.move(2 * N + 1, int(rng.integers(99)), up="z", **more)
        people.append(actor.pose_skeleton(motion, FIGURE.names))
    return np.stack(people, axis=1)


def spoil(joints: np.ndarray) -> np.ndarray:
    """Returns joints as the files have them: of picture k they are row 2 k."""
    told = joints.copy()
    knee, ankle = joints[2 * LONG_SHIN, 0, [RKNE, RANK]]
    told[2 * LONG_SHIN, 0, RANK] += 0.35 * (ankle - knee)
    told[2 * NO_WRIST, 0, LWRI] = told[2 * NO_ELBOW, -1, LELB] = np.nan
    if told.shape[1] == 2:
        told[2 * NOBODY - 1 : 2 * NOBODY + 2, 1] = np.nan
    return told


def frames_kept(told: np.ndarray) -> list[int]:
    """Returns the frames in which the pose, about the mean of its joints, is a new one."""
    middle = [np.nanmean(p, axis=0) if np.isfinite(p).any() else p[0] for p in told]
    return truth.frames_kept(told - np.array(middle)[:, None], against="all")


def write_poses(path: Path, told: np.ndarray) -> None:
    """Writes joint centres, and a few of the physical markers."""
    flat, names = told.reshape(len(told), -1, 3).copy(), ["Two:LSHLD", "Two:LKNSSBK", "lwrext"]
    writers.write_c3d(path.with_name(f"{path.name}.c3d"), 40 + flat[:, [6, 12, 8]], names, 100)
    flat[:, LELB::15] = np.nan_to_num(flat[:, LELB::15])  # some files say missing by zeros
    names = [f"*{i}" for i in range(flat.shape[1])]
    writers.write_c3d(path.with_name(f"{path.name}_vm.c3d"), flat, names, 100)


def describe_take(name: str, calib: str) -> str:
    """Returns the description of a recording as it is shipped, which is no strict JSON."""
    folders, text = {"video_dir": "Video", "gt_dir": "Groundtruth", "bg_dir": "Background"}, ""
    for used in filter(None, [calib, TWO_OBJECTS.get(name)]):
        said = {"id": name, "bg": "backgr_x01_1", "calib": used, **folders, "calib_dir": "Calib"}
        text += "{\n" + "".join(f'  "{k}":"{v}",\n' for k, v in said.items()) + "}"
    return text + "\n"


def make_cameras(rng: np.random.Generator) -> dict[str, rig.RigCamera]:
    """Returns the four cameras of a session."""
    cameras, target = {}, np.array([0, 300, 900]) + rng.uniform(-60, 60, 3)
    for view, angle in VIEWS.items():
        place = rig.around(target, 4600, angle + rng.uniform(-6, 6), 500)
        k1, k2, p1, p2 = np.array([-0.2, 0.12, 0.0011, -0.0008]) * rng.uniform(0.9, 1.1, 4)
        lens = {"distortion": (k1, k2, p1, p2, 0), "shift": rng.uniform(-8, 8, 2)}
        cameras[view] = rig.make_camera(SIZE, place, target, 640, stretch=1.004, **lens)
    return cameras


def describe(camera: rig.RigCamera) -> str:
    """Returns a calibration file: K, four numbers of distortion, Rodrigues vector, mm."""
    pose = [actor.rotvec(camera.rotation), camera.translation]
    rows = [*camera.intrinsics, camera.distortion[:4], *pose]
    return "\n".join("  ".join(f"{value:.9g}" for value in row) for row in rows) + "\n"
