"""A tiny Panoptic in the layout of the official tools: two people in five views, one in two.

Body files begin after the first frame and end before the last one. Frame 5 has nobody, the file of
frame 6 is cut short; on the way a hip is lost, with an old pelvis left in its place, bodies change
their order and their ids, and a body of five joints appears. View 23 looks closely at the first
person; camera 20 is calibrated but has no video.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, video, writers

RAW = (
    "neck nose pelv lsho lelb lwri lhip lkne lank rsho relb rwri rhip rkne rank leye lear reye "
    "rear"
).split()
PELV, LHIP, RHIP = 2, 6, 12
KEPT = [0, 1, *range(3, 19), PELV]
FIGURE = skeleton.make_figure([RAW[j] for j in KEPT])
TAKES = (  # recording, folder of its body files, views with a video, who is there
    ("160422_ultimatum1", "", (3, 6, 12, 13, 23), (0, 1)),
    ("171204_pose3", "hd", (3, 13), (0,)),
)
SIZE, VIEWS = (1920, 1080), (3, 6, 12, 13, 20, 23)
N, FIRST, LAST = 16, 2, 14  # frames of a video; body files
NOBODY, CUT_SHORT, HIP_LOST, SWAPPED, SCRAP = 5, 6, 8, 9, 10  # frames


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrop = shoot.Backdrop(SIZE, seed)
    for recording, folder, views, people in TAKES:
        joints = np.stack([make_joints(p, int(rng.integers(99))) for p in people], axis=1)
        told = joints.copy()
        told[[*range(FIRST), NOBODY, CUT_SHORT, *range(LAST, N)]] = told[HIP_LOST, 0, LHIP] = (
            np.nan
        )
        kept = [(k, p) for p in people for k in truth.frames_kept(told[:, p], n_joints=3)]
        poses = root / recording / "hdPose3d_stage1_coco19" / folder
        for i in range(FIRST, LAST):
            writers.write_json(poses / f"body3DScene_{i:08d}.json", make_scene(told[i], i))
        cut_short = poses / f"body3DScene_{CUT_SHORT:08d}.json"
        cut_short.write_text(cut_short.read_text()[:50])
        cameras = {view: make_camera(view, rng) for view in VIEWS}
        calibration = {"calibDataSource": recording, "cameras": [*describe(cameras)]}
        writers.write_json(root / recording / f"calibration_{recording}.json", calibration)
        for view in views:
            shots, start = [], 31 * len(sequences)
            for i in range(N):
                actors = [shoot.Actor(joints[i, p, KEPT], FIGURE, p) for p in people]
                shots.append(shoot.shoot(backdrop, cameras[view], actors, start + i))
            video.write_video(root / recording / f"hdVideos/hd_00_{view:02d}.mp4", shots, 30)
            seen = [(k, p) for k, p in sorted(kept) if n_inside(cameras[view], told[k, p]) >= 6]
            expected = truth.SequenceTruth("train", seen, start)
            sequences[f"{recording}/hd_00_{view:02d}"] = expected
    pattern = r"(?P<sequence>\w+/hd_00_\d+)/(?P<frame>\d+)(?:_(?P<person>\d+))?\.jpg$"
    more = {"n_people": 2, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_joints(person: int, seed: int) -> np.ndarray:
    """Returns the joints of one person ``[n, 19, 3]``, millimetres; the floor is at y = 0."""
    motion = actor.move(N, seed, up="-y", at=(1500 * person - 700, -950, 300), turned=20 * person)
    joints = actor.pose_skeleton(motion, RAW)
    joints[:, PELV] = (joints[:, LHIP] + joints[:, RHIP]) / 2
    return joints


def make_scene(told: np.ndarray, i: int) -> dict:
    """Returns the content of a body file; lengths are centimetres."""
    bodies = np.concatenate([told / 10, np.full((len(told), 19, 1), 0.4)], axis=-1)
    bodies[np.isnan(told).any(axis=-1)] = [0, 0, 0, -1]
    if i == HIP_LOST:
        bodies[0, PELV, :3] += [4, 0, 0]
    if i == SCRAP:
        scrap = np.full((1, 19, 4), [20, -120, 40, 0.1])
        scrap[0, :5, 3] = 0.4
        bodies = np.concatenate([bodies, scrap])
    order = range(len(bodies))[:: -1 if i >= SWAPPED else 1]
    ids = [k + 3 * (i > HIP_LOST) for k in order]
    rows = [
        {"id": n, "joints19": bodies[k].ravel().tolist()} for n, k in zip(ids, order, strict=True)
    ]
    head = {"version": 0.7, "univTime": 53541.542 + 33.37 * i, "fpsType": "hd_29_97"}
    return head | {"bodies": [] if i == NOBODY else rows}


def make_camera(view: int, rng: np.random.Generator) -> rig.RigCamera:
    """Returns a camera of the dome."""
    focal, x = (1480, -700) if view == 23 else (1130, 0)
    around = rig.around((x, -950, 0), 2800, 40 * VIEWS.index(view) - 70, 12 * view, up="-y")
    distortion = np.array([-0.28, 0.2, -0.0006, 0.0004, -0.06]) * rng.uniform(0.9, 1.1, 5)
    lens = {"shift": rng.uniform(-20, 20, 2), "stretch": 1.002, "distortion": distortion}
    return rig.make_camera(SIZE, around, (x, -950, 0), focal, up="-y", **lens)


def n_inside(camera: rig.RigCamera, joints: np.ndarray) -> int:
    """Returns how many joints are inside the picture."""
    half = np.array(SIZE) / 2
    return int((abs(camera.project(joints) + 0.5 - half) <= half).all(axis=-1).sum())


def describe(cameras: dict[int, rig.RigCamera]) -> Iterator[dict]:
    """Yields the entries of a calibration: one of each other kind, and the HD cameras."""
    others = [("vga", 1, 1, cameras[3]), ("kinect-color", 50, 1, cameras[3])]
    for kind, panel, node, camera in [*others, *(("hd", 0, n, c) for n, c in cameras.items())]:
        names = {"name": f"{panel:02d}_{node:02d}", "type": kind, "panel": panel, "node": node}
        lens = {"K": camera.intrinsics.tolist(), "distCoef": list(camera.distortion)}
        pose = {"R": camera.rotation.tolist(), "t": (camera.translation[:, None] / 10).tolist()}
        yield {**names, "resolution": [640, 480] if kind == "vga" else list(SIZE), **lens, **pose}
