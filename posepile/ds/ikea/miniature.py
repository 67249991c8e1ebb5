"""A tiny IKEA ASM in the official layout: an assembly for training and one for tests, three views.

Views differ in length. Some frames have a pose in space only, some joints were not triangulated,
and a few pictures have been extracted already, which are not the labelled ones.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, pickled, rig, shoot, skeleton, truth, video, writers

NAMES = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank".split()
)
SPELLED = (  # in the same order
    "nose,left eye,right eye,left ear,right ear,left shoulder,right shoulder,left elbow,"
    "right elbow,left wrist,right wrist,left hip,right hip,left knee,right knee,left ankle,"
    "right ankle"
).split(",")
FIGURE = skeleton.make_figure(NAMES)
SIZE, MIDDLE = (1920, 1080), (0, 250, 3400)
SCENES = ("01", "02", "04", "05", "06", "07", "08", "09", "10", "11")  # there is no 03
TV = "Lack_TV_Bench/0007_white_floor_01_04_2019_08_28_10_47"
SHELF = "Kallax_Shelf_Drawer/0045_oak_table_08_02_2019_08_21_17_06"
ASSEMBLIES = (  # split, name, labelled frames, frames of dev1 to dev3, joints that are zero
    ("train", TV, (0, 20, 21, 25), (26, 28, 27), {0: (9,), 25: (0, 4, 16)}),
    ("test", SHELF, (0, 10), (11, 11, 12), {10: (10,)}),
)
ONLY_IN_SPACE, NOT_SURE = 25, (3, 4)  # frame without labels in the picture; joints


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    scenes = {scene: make_cameras(rng) for scene in SCENES}
    table = {s: {v: describe(c) for v, c in views.items()} for s, views in scenes.items()}
    pickled.write_pickle(root / "Calibration/camera_parameters.pkl", table)
    for split, name, labelled, lengths, zero in ASSEMBLIES:
        scene, folder = name.split("_")[-7], root / name
        for d, (view, camera) in enumerate(scenes[scene].items()):
            own = camera.intrinsics * (1 + 0.01 * d)  # of the device itself, which no one uses
            numbers = [own[0, 0], own[1, 1], own[0, 2], own[1, 2], *rng.normal(size=22)]
            text = "".join(f"{number:.6f}\n" for number in numbers)
            writers.write_text(root / f"Calibration/{scene}/{view}/ColorIns.txt", text)
        motion = actor.move(max(lengths), int(rng.integers(99)), up="-y", at=MIDDLE, turned=20)
        joints = actor.pose_skeleton(motion, NAMES)
        joints[..., 0] -= joints[0, 0, 0]  # the nose is in front of dev2, at 0, and known
        kept = truth.frames_kept(joints, among=labelled) if split == "train" else labelled
        for v, (view, camera) in enumerate(scenes[scene].items()):
            start, place = 31 * len(sequences), folder / view
            backdrop = shoot.Backdrop(SIZE, seed + len(sequences))
            shots = shoot.shoot_frames(backdrop, camera, joints[: lengths[v]], FIGURE, start)
            video.write_video(place / "images/scan_video.avi", shots, 30)
            for k in labelled:
                told = camera.from_world(joints[k]) / 10
                told = np.column_stack([told, rng.uniform(0.3, 1, 17)])
                told[list(zero.get(k, ()))] = 0
                content = {"format": "ikea", "pose_keypoints_3d": told.ravel().round(5).tolist()}
                writers.write_json(place / f"pose3d/{k:06d}.json", content)
                if view == "dev3" and k != ONLY_IN_SPACE:
                    clicked = click(camera.project(joints[k]), rng)
                    writers.write_json(place / f"pose2d/{k:06d}.json", clicked)
            seen = [(k, 0) for k in kept]
            sequences[f"{name}/{view}/images"] = truth.SequenceTruth(split, seen, start)
        for k in range(3):  # by the toolbox, which extracts every frame
            writers.write_jpeg(folder / f"dev3/images/{k:06d}.jpg", shots[k].image)
        writers.write_text(root / f"{split}_cross_env.txt", name + "\n")
    other = root / "Lack_TV_Bench/special_test/dev1"
    writers.write_json(other / "pose3d/000000.json", content)
    video.write_video(other / "images/scan_video.avi", [backdrop.image], 30)
    pattern = r"(?P<sequence>\w+/\w+/dev\d/images)/(?P<frame>\d{6})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, box="loose"))


def make_cameras(rng: np.random.Generator) -> dict[str, rig.RigCamera]:
    """Returns the cameras of a scene: dev2 is the world, dev3 looks down; all share a middle."""
    fx, fy, cx, cy = 1081.37, 1081.4, 959.5 + rng.normal(0, 4), 539.5 + rng.normal(0, 4)
    places = {"dev1": rig.around(MIDDLE, 3300, 65, 150, up="-y"), "dev2": (0, 0, 0)}
    places["dev3"] = rig.around(MIDDLE, 2300, -35, 2100, up="-y")
    cameras = {}
    for k, (view, place) in enumerate(places.items()):
        scale = (1.01, 1.0, 0.985)[k]
        matrix = np.array([[scale * fx, 0, cx], [0, scale * fy, cy], [0, 0, 1]])
        made = rig.make_camera(SIZE, place, MIDDLE, fx, up="-y")
        pose = made.rotation, made.translation
        cameras[view] = rig.RigCamera(SIZE, matrix, *pose, (0.0,) * 5)
    cameras["dev2"] = rig.RigCamera(SIZE, cameras["dev2"].intrinsics, np.eye(3), np.zeros(3))
    return cameras


def describe(camera: rig.RigCamera) -> dict[str, np.ndarray]:
    """Returns a camera as the table has it, centimetres."""
    pose = camera.matrix(10)[:3]
    content = {"K": camera.intrinsics, "dist_coefs": np.zeros((1, 5))}
    return content | {"R": pose[:, :3], "T": pose[:, 3:], "P": camera.intrinsics @ pose}


def click(points: np.ndarray, rng: np.random.Generator) -> dict:
    """Returns what a person marked in the picture; of some joints they were not sure."""
    near = points + rng.normal(0, 3, points.shape)
    near[list(NOT_SURE)] += 60
    sure = [1 if j in NOT_SURE else 3 for j in range(len(points))]
    marks = zip(SPELLED, near.round(1).tolist(), sure, strict=True)
    return {name: {"position": at, "confidence": c} for name, at, c in marks}
