"""A tiny Ego-Exo4D of five takes in the released layout.

``REPAIR`` has all kinds of labels but manual hands, a landscape and an upright GoPro, the glasses
and a bystander; ``DANCE`` has manual bodies only, cameras named as at UPenn, one of them worn on
the head, one not localized; ``COOK`` (test) has cameras alone; one take is dropped, one has no
pose labels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, kit, rig, shoot, skeleton, truth, video, writers

REPAIR, DANCE, COOK = "cmu_bike01_2", "upenn_0710_Dance_1_3", "sfu_cooking_003_1"
DROPPED, UNPOSED = "cmu_bike01_4", "iiith_soccer_01_2"
TAKES = {  # split, task, cameras, where along the motion the wearer is in each frame
    REPAIR: ("train", 4001, ["cam01", "cam02"], [0, 1, 2, 2, 3, 3, 4, 5]),
    DANCE: ("val", 9003, ["gp01", "gp02"], range(6)),
    COOK: ("test", 1005, ["cam01"], range(3)),
    DROPPED: ("train", 4001, ["cam01"], range(6)),
    UNPOSED: ("train", 8001, ["cam01"], range(6)),
}
UIDS = {name: f"0a1f0c5e-3b52-4f0e-8d0a-{i:012d}" for i, name in enumerate(TAKES)}
# In REPAIR frame 3 is as frame 2, and so no example; frame 5 is as frame 4, but has the ankles
# again that all labels of frame 4 lack; of frame 6 only hands are known. In DANCE frame 5 has too
# few joints. Of test every thirtieth frame is packed.
KEPT = {REPAIR: [0, 1, 2, 4, 5, 7], DANCE: [1, 4], COOK: [0]}
ARIA_FRAME_WITHOUT_POSE = 5

# What files call the 61 joints, and what the actor calls them; neck and pelvis are never known.
PARTS = ["wrist", *(f"{f}_{i}" for f in "thumb index middle ring pinky".split() for i in "1234")]
KEYS = [
    *"- nose - left-shoulder left-elbow left-wrist left-hip left-knee left-ankle".split(),
    *"right-shoulder right-elbow right-wrist right-hip right-knee right-ankle".split(),
    *"left-eye left-ear right-eye right-ear".split(),
    *(f"{side}_{part}" for side in ("left", "right") for part in PARTS),
]
BODY = "- nose - lsho lelb lwri lhip lkne lank rsho relb rwri rhip rkne rank leye lear reye rear"
HAND = [part.replace("wrist", "wri").replace("_", "") for part in PARTS]
NAMES = [*BODY.split(), *(side + name for side in "lr" for name in HAND)]
FIGURE = skeleton.make_figure([*BODY.split(), *["-"] * 42], radius_mm=60)  # no hands
KNOWN, HANDS = [1, *range(3, 19)], [*range(19, 61)]
EARS, ANKLES, FEW = [16, 18], [8, 14], [3, 4, 5, 7]
REACHING = {"lsho": (0, -1.0, -0.5), "rsho": (0, 1.15, 0.3), "lelb": (0, -0.3, 0.2)}

LENS_F, LENS_D = 1764.3, (0.0361, -0.0094, 0.0087, -0.0041)
LINEAR = np.array([[150.0, 0, 255.5], [0, 150.0, 255.5], [0, 0, 1]])  # of rectified ego pictures
# FISHEYE624 for the 2880 sensor: f, cx, cy, k0..k5, p0, p1, s0..s3.
ARIA = [1216.7, 1462.3, 1446.1, 0.4035, -0.4851, 0.1722, 1.1215, -1.6903, 0.6468]
ARIA = np.array([*ARIA, 2.1e-4, -2.6e-4, -7e-4, -1e-4, 6e-4, 1e-4])


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, sequences, sizes = Path(root), {}, ((3840, 2160), (2160, 3840))
    backdrops = {size: shoot.Backdrop(size, seed) for size in sizes}
    cameras = {
        REPAIR: {"cam01": gopro(35, 5000, 1700), "cam02": gopro(-40, 4600, 1200, upright=True)},
        DANCE: {"gp01": gopro(-35, 4800, 1500)},
        COOK: {"cam01": gopro(5, 5500, 1600)},
    }
    for take, exo in cameras.items():
        joints, folder = wearer(take, seed), root / "takes" / take / "frame_aligned_videos"
        bystander = pose_actor(take, seed + 9, at=(-1100, 900, 1050), turned=50)
        for name, camera in exo.items():
            start, pictures = 17 * len(sequences), []
            for i, pose in enumerate(joints):
                people = [shoot.Actor(pose, FIGURE), shoot.Actor(bystander[i], FIGURE, person=1)]
                pictures.append(shoot.shoot(backdrops[camera.size], camera, people, start + i))
            video.write_video(folder / f"{name}.mp4", pictures, 30)
            small = (796, 448) if camera.size[0] > camera.size[1] else (448, 796)
            copies = (cv2.resize(p.image, small, interpolation=cv2.INTER_AREA) for p in pictures)
            video.write_video(folder / "downscaled" / "448" / f"{name}.mp4", copies, 30)
            kept = [(frame, 0) for frame in KEPT[take]]
            sequences[f"{take}/{name}"] = truth.SequenceTruth(TAKES[take][0], kept, start)
        write_camera_pose(root, take, exo, joints)
        if take == REPAIR:  # the ego video is turned clockwise in the release
            people = [(glasses(pose), [shoot.Actor(pose, FIGURE)]) for pose in joints]
            ground = shoot.Backdrop((1408, 1408), seed + 7)
            turned = (np.rot90(shoot.shoot(ground, *seen).image, -1) for seen in people)
            video.write_video(folder / "aria01_214-1.mp4", turned, 30)
            calibs, bad = root / "takes" / take / "trajectory" / "gopro_calibs.csv", exo["cam01"]
            writers.write_static_calibs(calibs, exo | {"cam03": bad}, bad=["cam03"])
            writers.write_aria_lens(root / "aria_calib_json" / "takes" / f"{take}.json", ARIA)
    # Nobody looks at the pixels of a camera that is not localized, of one worn on the head and of
    # a dropped take.
    pixels = root / "takes" / DANCE / "frame_aligned_videos" / "gp01.mp4"
    for take, name in ((DANCE, "gp02"), (DANCE, "gp05"), (DROPPED, "cam01")):
        copy = root / "takes" / take / "frame_aligned_videos" / f"{name}.mp4"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pixels, copy)
    write_labels(root, cameras, seed)
    write_metadata(root)
    pattern = r"egoexo4d_downscaled/(?P<sequence>[^/]+/[^/]+)/(?P<frame>\d+)\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, n_people=2, box="joints"))


def pose_actor(take: str, seed: int, **motion) -> np.ndarray:
    """Returns joints ``[n, 61, 3]``, world millimetres, of somebody in a take."""
    where = list(TAKES[take][3])
    moving = actor.move(max(where) + 1, seed, step_mm=180, **motion)
    for name, turn in REACHING.items() if take == REPAIR else ():
        moving.rotvecs[:, skeleton.TURNING.index(name)] = turn
    return actor.pose_skeleton(moving, NAMES, height=1.1)[where]


def wearer(take: str, seed: int = 0) -> np.ndarray:
    """Returns the joints of who wears the glasses."""
    return pose_actor(take, seed + 1, at=(0, 0, 1050), turned=10)


def gopro(angle: float, distance: float, height: float, upright: bool = False) -> rig.RigCamera:
    """Returns a static camera around the wearer: its true lens, in millimetres."""
    size, middle = (2160, 3840) if upright else (3840, 2160), (0, 0, 900)
    place = rig.around(middle, distance, angle, height - 900), middle
    lens = {"shift": (0.5, 0.5), "distortion": LENS_D, "fisheye": True}
    return rig.make_camera(size, *place, LENS_F, **lens)


def released_matrix(camera: rig.RigCamera) -> np.ndarray:
    """Returns what is released instead of the lens: the matrix of the undistorted picture."""
    return cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        camera.intrinsics, np.array(camera.distortion), camera.size, np.eye(3), balance=0.8
    )


def glasses(joints: np.ndarray) -> rig.RigCamera:
    """Returns the RGB camera of the glasses as its sensor lies: a quarter turn from upright."""
    head, hands = joints[1] + np.array([0, 0, 60]), joints[[19, 40]].mean(axis=0)
    upright, _ = kit.look_at(head, hands)
    sensor = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) @ upright
    f, (cx, cy) = ARIA[0] / 2, (ARIA[1:3] - 0.5 - 32) / 2  # of the recorded picture
    intrinsics = np.array([[f, 0, cx], [0, f, cy], [0, 0, 1]])
    pose = {"rotation": sensor, "translation": -sensor @ head}
    lens = {"intrinsics": intrinsics, "distortion": tuple(ARIA[3:]), "fisheye": True}
    return rig.RigCamera((1408, 1408), **pose, **lens)


def write_camera_pose(root: Path, take: str, exo: dict, joints: np.ndarray) -> None:
    """Writes a ``camera_pose`` file."""
    poses = {str(i): glasses(pose).matrix(1000)[:3] for i, pose in enumerate(joints)}
    poses.pop(str(ARIA_FRAME_WITHOUT_POSE), None)
    content = {"metadata": {"take_name": take, "take_uid": UIDS[take]}}
    content["aria01"] = {"camera_intrinsics": LINEAR, "camera_extrinsics": poses}
    for name, camera in exo.items():
        content[name] = {"camera_intrinsics": released_matrix(camera), "distortion_coeffs": LENS_D}
        content[name]["camera_extrinsics"] = camera.matrix(1000)[:3]
    writers.write_json(label_path(root, take, "camera_pose"), content)


def label_path(root: Path, take: str, kind: str) -> Path:
    """Returns where labels of a kind (``body/annotation``) or ``camera_pose`` of a take lie."""
    folder = root / "annotations" / "ego_pose" / TAKES[take][0]
    return folder / kind / f"{UIDS[take]}.json"


def write_labels(root: Path, cameras: dict[str, dict[str, rig.RigCamera]], seed: int) -> None:
    """Writes all label files."""
    without_ankles = [j for j in KNOWN if j not in ANKLES]
    without_ears = [j for j in KNOWN if j not in EARS]  # annotators have not seen them in frame 1
    automatic = dict.fromkeys(range(8), KNOWN) | {4: without_ankles, 6: []}
    for take, of, kind, known in (
        (REPAIR, REPAIR, "body/automatic", automatic),
        (DROPPED, REPAIR, "body/automatic", automatic),
        (REPAIR, REPAIR, "body/annotation", {1: without_ears, 4: without_ankles}),
        (REPAIR, REPAIR, "hand/automatic", dict.fromkeys(range(8), HANDS)),
        (DANCE, DANCE, "body/annotation", {1: KNOWN, 4: KNOWN, 5: FEW}),
    ):
        joints, exo = wearer(of, seed), cameras[of]
        poses = {i: [make_pose(joints[i], exo, js)] if js else [] for i, js in known.items()}
        writers.write_json(label_path(root, take, kind), poses)


def make_pose(joints: np.ndarray, exo: dict[str, rig.RigCamera], known: list[int]) -> dict:
    """Returns the one element of a frame's list: 3D, and 2D of undistorted pictures."""
    views = {name: (released_matrix(camera), camera) for name, camera in exo.items()}
    if known == HANDS:
        views["aria01"] = LINEAR, glasses(joints)
    pose: dict = {"annotation3D": {}, "annotation2D": {name: {} for name in views}}
    for j in known:
        xyz = dict(zip("xyz", joints[j] / 1000, strict=True))
        pose["annotation3D"][KEYS[j]] = xyz | {"num_views_for_3d": 3}
        for name, (matrix, camera) in views.items():
            x, y = kit.project(joints[j], matrix, camera.rotation, camera.translation)
            if np.isfinite(x):
                pose["annotation2D"][name][KEYS[j]] = {"x": x, "y": y, "placement": "auto"}
    return pose


def write_metadata(root: Path) -> None:
    """Writes ``takes.json`` and ``annotations/splits.json``."""
    writers.write_json(root / "takes.json", [take_entry(take) for take in TAKES])
    split_of = {UIDS[take]: split for take, (split, *_) in TAKES.items()}
    uids = {s: [u for u in split_of if split_of[u] == s] for s in ("train", "val", "test")}
    posed = ["ego_pose", "body_pose", "hand_pose"]
    benchmarks = {UIDS[take]: ["keystep"] if take == UNPOSED else posed for take in TAKES}
    content = {"take_uid_to_split": split_of, "split_to_take_uids": uids}
    content |= {"take_uid_to_benchmark": benchmarks, "ds": "20240101"}
    writers.write_json(root / "annotations" / "splits.json", content)


def take_entry(take: str) -> dict:
    """Returns an entry of ``takes.json``, with null where the release has null."""
    i, (_, task, exo, where) = list(TAKES).index(take), TAKES[take]
    worn, best = ["gp05"] if take == DANCE else [], None if take == DANCE else exo[0]
    aria = {"rgb": "214-1", "slam-left": "1201-1", "slam-right": "1201-2", "et": "211-1"}
    files = [(camera, "0", "0", camera) for camera in [*exo, *worn]]
    files += [("aria01", key, stream, f"aria01_{stream}") for key, stream in aria.items()]
    files += [("collage", "0", "0", "ego_preview"), ("best_exo", "0", "0", best)]
    videos: dict = {}
    for camera, key, stream, file in files:
        aligned = {"cam_id": camera, "stream_id": stream, "is_collage": camera == "collage"}
        aligned["relative_path"] = file and f"frame_aligned_videos/{file}.mp4"
        videos.setdefault(camera, {})[key] = aligned
    devices = dict.fromkeys([*exo, *worn], "hero10") | {"aria01": "aria", "moblie": "phone"}
    cameras = [
        {"cam_id": name, "is_ego": name in ("aria01", *worn), "device_type": device}
        for name, device in devices.items()
    ]
    capture, university = take.rsplit("_", 1)[0], take.split("_", 1)[0]
    entry = {"root_dir": f"takes/{take}", "take_name": take, "take_uid": UIDS[take]}
    entry |= {"participant_uid": i, "is_dropped": take == DROPPED, "best_exo": best}
    entry |= {"task_id": task, "task_name": f"Task {task}", "duration_sec": len(where) / 30}
    entry |= {"timesync_start_idx": 100, "timesync_end_idx": 100 + len(where)}
    entry |= {"university_name": university, "physical_setting_uid": f"setting-{i}"}
    entry["frame_aligned_videos"] = videos
    names = {"root_dir": f"captures/{capture}", "capture_name": capture}
    return entry | {"capture": names | {"cameras": cameras}}
