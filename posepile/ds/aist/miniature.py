"""A tiny AIST++ in the official layout: dances of two splits and of a dancer kept for testing.

Videos are 60000/1001 or 60 Hz, one of them shorter than its labels, one longer. One view
is not synchronised (the real one of that name), one sequence is on the list of bad ones with a
small video, another one there with a blank after its name. The floor is not at y = 0.
"""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, pickled, rig, shoot, skeleton, truth, video, writers

COCO = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
).split()
FIGURE = skeleton.make_figure([*COCO, "neck", "pelv"])
SIZE, SMALL = (1920, 1080), (640, 480)
NTSC = Fraction(60000, 1001)
UNSYNCHRONISED = "gBR_sBM_c05_d04_mBR0_ch01"
IGNORED = ("gHO_sFM_cAll_d20_mHO5_ch13", "gJB_sBM_cAll_d07_mJB3_ch05")
DANCES = (  # sequence, list that names it, setting, labels, rate, frames of videos by view
    ("gBR_sBM_cAll_d04_mBR0_ch01", "train", "setting1", 12, NTSC, {1: 12, 5: 12, 9: 12}),
    ("gJB_sBM_cAll_d07_mJB3_ch05", "train", "setting1", 3, 60, {7: 3}),
    ("gHO_sFM_cAll_d20_mHO5_ch13", "val", "setting1", 3, 60, {1: 3}),
    ("gWA_sFM_cAll_d25_mWA2_ch11", "val", "setting10", 10, NTSC, {2: 8}),
    ("gLH_sBM_cAll_d18_mLH4_ch04", "test", "setting10", 8, 60, {7: 11}),
)
PELVIS = (0, 1640, 0)  # mm; ankles never come below 720


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    settings = {name: make_cameras(rng) for name in ("setting1", "setting10")}
    labels, backdrop = root / "annotations", shoot.Backdrop(SIZE, seed)
    for setting, cameras in settings.items():
        writers.write_json(labels / f"cameras/{setting}.json", describe(cameras))
    mapping = "".join(f"{dance[0]} {dance[2]}\n" for dance in DANCES)
    writers.write_text(labels / "cameras/mapping.txt", mapping)
    writers.write_text(labels / "ignore_list.txt", f"{IGNORED[0]} \n{IGNORED[1]}")
    for split in ("train", "val", "test"):
        named = "\n".join(dance[0] for dance in DANCES if dance[1] == split)
        for task in ("pose", "crossmodal"):  # no line feed after the last line
            writers.write_text(labels / f"splits/{task}_{split}.txt", named)
    for name, split, setting, n, rate, views in DANCES:
        motion = actor.move(n, int(rng.integers(99)), up="y", at=PELVIS, turned=15)
        joints = actor.pose_skeleton(motion, COCO)
        write_labels(labels, name, joints, settings[setting], rng)
        for view, n_frames in views.items():
            video_name, start = name.replace("cAll", f"c{view:02d}"), 31 * len(sequences)
            camera = settings[setting][view - 1]
            # Where the video goes on, so does the dancer.
            poses = np.concatenate([joints, joints[-1:] + 30 * np.arange(1, 5)[:, None, None]])
            poses = with_middles(poses[:n_frames])
            shots = shoot.shoot_frames(backdrop, camera, poses, FIGURE, start)
            if name == IGNORED[1]:
                shots = [cv2.resize(shot.image, SMALL) for shot in shots]
            video.write_video(root / f"videos/{video_name}.mp4", shots, rate)
            if name not in IGNORED and video_name != UNSYNCHRONISED:
                kept = truth.frames_kept(with_middles(joints)[: min(n, n_frames)])
                expected = truth.SequenceTruth(split, [(k, 0) for k in kept], start)
                sequences[video_name] = expected
    pattern = r"videos/(?P<sequence>g\w+)/(?P<frame>\d{6})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, box="joints"))


def with_middles(joints: np.ndarray) -> np.ndarray:
    """Returns joints ``[n, 19, 3]``: neck and pelvis are in the middle of shoulders and hips."""
    neck, pelvis = joints[:, [5, 6]].mean(axis=1), joints[:, [11, 12]].mean(axis=1)
    return np.concatenate([joints, neck[:, None], pelvis[:, None]], axis=1)


def write_labels(labels: Path, name: str, joints, cameras, rng) -> None:
    """Writes key points of a dance; lengths are centimetres."""
    n = len(joints)
    loose = joints / 10 + rng.normal(0, 0.4, joints.shape)
    loose[1, 9] = np.nan
    points = {"keypoints3d": loose, "keypoints3d_optim": joints / 10}
    pickled.write_pickle(labels / f"keypoints3d/{name}.pkl", points)
    seen = np.stack([camera.project(joints) for camera in cameras])
    found = np.full((9, n, 17, 3), 0.8, np.float32)
    found[..., :2] = seen + rng.normal(0, 2, seen.shape)
    found[4, 0], found[4, 0, :, 2] = np.nan, 0  # not detected
    told = {"keypoints2d": found, "det_scores": np.full((9, n), 0.9, np.float32)}
    told["timestamps"] = np.arange(n) * 16683
    pickled.write_pickle(labels / f"keypoints2d/{name}.pkl", told)


def make_cameras(rng: np.random.Generator) -> list[rig.RigCamera]:
    """Returns views c01 to c09: round the dancer, 1 and 9 in front, 3 on the dancer's right."""
    cameras = []
    for c in range(9):
        height = 1010 if c == 8 else rng.uniform(1730, 1870)
        place = rig.around((0, height, 0), rng.uniform(4400, 5300), -45 * (c % 8), up="y")
        lens = {"up": "y", "shift": (0.5, 0.5), "distortion": [rng.uniform(-0.22, 0.09), *[0] * 4]}
        cameras.append(rig.make_camera(SIZE, place, (0, 1500, 0), rng.uniform(1310, 1632), **lens))
    return cameras


def describe(cameras: list[rig.RigCamera]) -> list[dict]:
    """Returns the content of a file of cameras; lengths are centimetres."""
    content = []
    for c, camera in enumerate(cameras):
        lens = {"matrix": camera.intrinsics, "distortions": camera.distortion}
        pose = {"rotation": actor.rotvec(camera.rotation), "translation": camera.translation / 10}
        content.append({"name": f"c{c + 1:02d}", "size": camera.size, **lens, **pose})
    return content
