"""A made-up Ego-Exo4D of five takes in the released layout, written from the card.

* ``REPAIR`` (train): a GoPro that lies and an upright one, glasses, all labels but manual hands;
* ``DANCE`` (val): manual body labels only; of its GoPros one is not localized, one worn;
* ``COOK`` (test): cameras without labels;
* ``DROPPED``, which has no camera_pose either, and ``UNPOSED``, which has no labels.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.shoot import Actor, Backdrop, Picture, shoot
from posepile.miniature.skeleton import TURNING, make_figure
from posepile.miniature.truth import SequenceTruth, make_truth, write_truth
from posepile.miniature.video import write_video

REPAIR, DANCE, COOK = "cmu_bike01_2", "upenn_0710_Dance_1_3", "sfu_cooking_003_1"
DROPPED, UNPOSED = "cmu_bike01_4", "iiith_soccer_01_2"
# First digit of the uid, split, task (its first digit is the scenario), number of frames, and the
# GoPros: azimuth, distance, height (m) and whether upright; None = not localized.
TAKES = {
    REPAIR: (0, "train", 4001, 8, {"cam01": (10, 3.6, 1.7), "cam02": (-25, 3.2, 1.2, True)}),
    DANCE: (4, "val", 9003, 6, {"gp01": (-12, 4.8, 1.5), "gp02": None, "gp05": None}),
    COOK: (8, "test", 1005, 3, {"cam01": (5, 5.5, 1.6)}),
    DROPPED: (12, "train", 4001, 6, {"cam01": None}),
    UNPOSED: (14, "train", 8001, 6, {"cam01": None}),
}
UIDS = {take: f"{facts[0]:x}a1f0c5e-3b52-4f0e-8d0a-111111111111" for take, facts in TAKES.items()}
WORN = "gp05"
VIDEOS = "frame_aligned_videos"

# Joints in the dataset's order by their names in the files (neck and pelvis are in none) and in
# the studio.
SIDES, PARTS = ("left", "right"), ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
FINGERS = [f"{f}_{k}" for f in ("thumb", "index", "middle", "ring", "pinky") for k in range(1, 5)]
KEYS = ["neck", "nose", "pelvis", *(f"{side}-{part}" for side in SIDES for part in PARTS)]
KEYS += [f"{side}-{part}" for side in SIDES for part in ("eye", "ear")]
NAMES = ["", "nose", "", *(key[0] + key.partition("-")[2][:3] for key in KEYS[3:])]
KEYS += [f"{side}_{part}" for side in SIDES for part in ("wrist", *FINGERS)]
FIGURE = make_figure(NAMES + [""] * 42, discs=[name for name in NAMES if name])
NAMES += [side[0] + part.replace("_", "") for side in SIDES for part in ("wri", *FINGERS)]
BODY, HANDS, FACE = [1, *range(3, 19)], list(range(19, 61)), [1, 15, 16, 17, 18]

# Pictures of a slow motion that are shown. Frames 3 and 6 become no examples, since too little has
# moved; in 5 nothing has either, but the ankles are back that 4 lacks.
SHOWN = [0, 20, 40, 41, 60, 61, 62, 80]
KEPT = {REPAIR: [0, 1, 2, 4, 5, 7], DANCE: [1, 4], COOK: [0]}
GAP = 5  # frame without a pose of the glasses
WITHOUT_ANKLES = [j for j in BODY if "ankle" not in KEYS[j]]
AUTOMATIC = dict.fromkeys(range(8), BODY) | {4: WITHOUT_ANKLES, 6: []}
# The annotators did not see the ears in frame 1. Four joints are too few for an example.
MANUAL = {1: [j for j in BODY if "ear" not in KEYS[j]], 4: WITHOUT_ANKLES}
LABELS = {
    (REPAIR, "body/automatic"): AUTOMATIC,
    (REPAIR, "body/annotation"): MANUAL,
    (REPAIR, "hand/automatic"): dict.fromkeys(range(8), HANDS),
    (DANCE, "body/annotation"): {1: BODY, 4: BODY, 5: BODY[:4]},
}

LENS_F, LENS_D = 1764.3, (0.0361, -0.0094, 0.0087, -0.0041)
# FISHEYE624 of the glasses for the 2880 sensor: f, cx, cy, k0..k5, p0, p1, s0..s3.
GLASSES = np.array([1216.7, 1462.3, 1446.1, 0.4035, -0.4851, 0.1722, 1.1215, -1.6903, 0.6468])
GLASSES = np.append(GLASSES, [2.1e-4, -2.6e-4, -7e-4, -1e-4, 6e-4, 1e-4])
RECTIFIED = np.array([[150.0, 0, 255.5], [0, 150.0, 255.5], [0, 0, 1]])


def build(root: Path, seed: int = 0) -> None:
    """Writes the raw files and the truth below ``root``; the seed is that of backgrounds."""
    root, sequences = Path(root), {}
    poses, takes = root / "annotations" / "ego_pose", root / "takes"
    for (take, kind), frames in LABELS.items():
        content = {i: [pose(take, i, joints)] if joints else [] for i, joints in frames.items()}
        writers.write_json(poses / TAKES[take][1] / kind / f"{UIDS[take]}.json", content)
    # The last file of labels but for the uid
    kind = "train/body/automatic"
    shutil.copyfile(poses / kind / f"{UIDS[REPAIR]}.json", poses / kind / f"{UIDS[DROPPED]}.json")
    for take, kept in KEPT.items():
        split = TAKES[take][1]
        writers.write_json(poses / split / f"camera_pose/{UIDS[take]}.json", camera_pose(take))
        for name, camera in gopros(take).items():
            start = 17 * len(sequences)
            sequences[f"{take}/{name}"] = SequenceTruth(split, [(i, 0) for i in kept], start)
            for folder, seen_by in ((VIDEOS, camera), (f"{VIDEOS}/downscaled/448", small(camera))):
                pictures = film(take, [seen_by] * TAKES[take][3], start, seed)
                write_video(takes / take / folder / f"{name}.mp4", pictures, 30)
    pictures = film(REPAIR, [glasses(REPAIR, i) for i in range(8)], 0, seed)
    turned = [np.ascontiguousarray(np.rot90(picture.image, -1)) for picture in pictures]
    write_video(takes / REPAIR / VIDEOS / "aria01_214-1.mp4", turned, 30)
    (takes / DROPPED / VIDEOS).mkdir(parents=True)
    for take, name in ((DANCE, "gp02"), (DANCE, "gp05"), (DROPPED, "cam01")):  # not looked at
        video = takes / DANCE / VIDEOS / "gp01.mp4"
        shutil.copyfile(video, takes / take / VIDEOS / f"{name}.mp4")
    write_gopro_calibs(takes / REPAIR / "trajectory" / "gopro_calibs.csv", gopros(REPAIR))
    lens = {"Name": "FisheyeRadTanThinPrism", "Params": GLASSES}
    cameras = [{"Label": "camera-slam-left"}, {"Label": "camera-rgb", "Projection": lens}]
    file = root / "aria_calib_json" / "takes" / f"{REPAIR}.json"
    writers.write_json(file, {"CameraCalibrations": cameras})
    writers.write_json(root / "takes.json", [take_json(i, take) for i, take in enumerate(TAKES)])
    split_of = {UIDS[take]: facts[1] for take, facts in TAKES.items()}
    splits = {s: [u for u in split_of if split_of[u] == s] for s in ("train", "val", "test")}
    uses = {uid: ["ego_pose", "body_pose"] for uid in split_of} | {UIDS[UNPOSED]: ["keystep"]}
    content = {"take_uid_to_split": split_of, "split_to_take_uids": splits, "ds": "20240101"}
    content["take_uid_to_benchmark"] = uses
    writers.write_json(root / "annotations" / "splits.json", content)
    pattern = r"/(?P<sequence>[^/]+/[^/]+)/(?P<frame>\d+)\.jpg$"
    write_truth(root, make_truth(FIGURE, pattern, sequences, moving=False, box="loose"))


@cache
def joints_of(take: str) -> np.ndarray:
    """Returns the wearer's joints, ``[n, 61, 3]`` millimetres; neck and pelvis are missing."""
    seed = list(TAKES).index(take)
    motion = actor.move(100, seed, at=(0, 0, 950), step_mm=6, swing=0.1)
    if take != COOK:  # hands in front, where the glasses see them
        for joint, turn in (("lsho", (0, -0.5, -0.45)), ("lelb", (0, -0.5, -0.5))):
            motion.rotvecs[:, TURNING.index(joint)] += turn
        motion.rotvecs[:, TURNING.index("rsho")] += (0, 0.35, -0.5)
    joints = actor.pose_skeleton(motion, NAMES)[SHOWN[: TAKES[take][3]]]
    # A big head, so that the discs of the face stay apart.
    middle = joints[:, FACE].mean(axis=1, keepdims=True)
    joints[:, FACE] = middle + 2.5 * (joints[:, FACE] - middle)
    return joints


def film(take: str, cameras: list[rig.RigCamera], start: int, seed: int) -> list[Picture]:
    """Returns pictures of a take by the cameras of its frames."""
    backdrop = Backdrop(cameras[0].size, seed + start)
    frames = enumerate(zip(cameras, joints_of(take), strict=True))
    return [shoot(backdrop, camera, [Actor(j, FIGURE)], start + i) for i, (camera, j) in frames]


def gopro(azimuth: float, distance: float, height: float, upright: bool = False) -> rig.RigCamera:
    """Returns a GoPro around the person with its true lens, whose centre is half the size."""
    target, size = (0, 0, 900), (2160, 3840) if upright else (3840, 2160)
    at = rig.around(target, 1000 * distance, azimuth, 1000 * height - 900)
    lens = {"shift": (0.5, 0.5), "distortion": LENS_D, "fisheye": True}
    return rig.make_camera(size, at, target, LENS_F, **lens)


@cache
def gopros(take: str) -> dict[str, rig.RigCamera]:
    """Returns the localized GoPros of a take by name."""
    return {name: gopro(*place) for name, place in TAKES[take][4].items() if place}


def undistorted(camera: rig.RigCamera) -> rig.RigCamera:
    """Returns the camera of the undistorted picture, whose matrix is released."""
    matrix = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        camera.intrinsics, np.array(camera.distortion), camera.size, np.eye(3), balance=0.8
    )
    return replace(camera, intrinsics=matrix, distortion=())


def small(camera: rig.RigCamera) -> rig.RigCamera:
    """Returns the camera of the copy of 448 pixels, of which each axis has its own factor."""
    size = (796, 448) if camera.size[0] > camera.size[1] else (448, 796)
    scale, matrix = np.divide(size, camera.size), camera.intrinsics.copy()
    matrix[:2] *= scale[:, None]
    matrix[:2, 2] += (scale - 1) / 2
    return replace(camera, size=size, intrinsics=matrix)


class Glasses(rig.RigCamera):
    """The camera of the glasses, for the recorded 1408 picture before the video was turned."""

    def project(self, points: np.ndarray) -> np.ndarray:
        """Returns pixels ``[n, 2]`` of world points, NaN outside the field of view."""
        x, y, z = (np.asarray(points) @ self.rotation.T + self.translation).T
        t = np.arctan2(np.hypot(x, y), z)
        t = np.where(t < np.radians(57), t, np.nan)
        bent = t + sum(k * t ** (2 * n + 3) for n, k in enumerate(GLASSES[3:9]))
        u, v = bent * x / np.hypot(x, y), bent * y / np.hypot(x, y)
        p0, p1, s0, s1, s2, s3 = GLASSES[9:]
        rr, tangential = u * u + v * v, 2 * (u * p0 + v * p1)
        u, v = (
            u + u * tangential + p0 * rr + s0 * rr + s1 * rr**2,
            v + v * tangential + p1 * rr + s2 * rr + s3 * rr**2,
        )
        return np.stack([u, v], axis=1) * GLASSES[0] / 2 + (GLASSES[1:3] - 0.5 - 32) / 2


def glasses(take: str, frame: int) -> Glasses:
    """Returns the camera between the eyes, looking at the hands; its sensor lies on its side."""
    head = joints_of(take)[frame, FACE].mean(axis=0)
    towards = head + np.array([5 * frame, -640, -640])
    camera = rig.make_camera((1408, 1408), head, towards, GLASSES[0] / 2)
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    return Glasses(
        camera.size, camera.intrinsics, turn @ camera.rotation, turn @ camera.translation
    )


def pose(take: str, frame: int, joints: list[int]) -> dict:
    """Returns one element of a frame's list of labels."""

    def named(axes: str, points: np.ndarray, more: dict) -> dict:
        rows = zip(joints, points.tolist(), strict=True)
        known = ((KEYS[j], row) for j, row in rows if np.isfinite(row).all())
        return {key: dict(zip(axes, row, strict=True)) | more for key, row in known}

    world = joints_of(take)[frame, joints]
    views = {name: undistorted(camera) for name, camera in gopros(take).items()}
    if joints == HANDS and frame != GAP:
        worn = glasses(take, frame)
        views["aria01"] = rig.RigCamera((512, 512), RECTIFIED, worn.rotation, worn.translation)
    return {
        "annotation3D": named("xyz", world / 1000, {"num_views_for_3d": 3}),
        "annotation2D": {
            view: named("xy", camera.project(world), {"placement": "auto"})
            for view, camera in views.items()
        },
    }


def camera_pose(take: str) -> dict:
    """Returns a ``camera_pose`` file."""
    content = {"metadata": {"take_name": take, "take_uid": UIDS[take]}}
    content |= {name: camera_entry(camera) for name, camera in gopros(take).items()}
    frames = [i for i in range(TAKES[take][3]) if i != GAP]
    extrinsics = {str(i): glasses(take, i).matrix(1000)[:3] for i in frames}
    return content | {"aria01": {"camera_intrinsics": RECTIFIED, "camera_extrinsics": extrinsics}}


def camera_entry(camera: rig.RigCamera) -> dict:
    """Returns what ``camera_pose`` says of a GoPro."""
    entry = {"camera_intrinsics": undistorted(camera).intrinsics, "distortion_coeffs": LENS_D}
    return entry | {"camera_extrinsics": camera.matrix(1000)[:3]}


def write_gopro_calibs(path: Path, cameras: dict[str, rig.RigCamera]) -> None:
    """Writes ``gopro_calibs.csv`` with the blanks that the released file has."""
    columns = ["cam_uid", "graph_uid", *(f"t{a}_world_cam" for a in "xyz")]
    columns += [*(f"q{a}_world_cam" for a in "xyzw"), "image_width", "image_height"]
    columns += ["intrinsics_type", *(f"intrinsics_{i}" for i in range(8))]
    rows = [[*columns, "start_frame_idx", "end_frame_idx", "quality"]]
    for name, camera in (cameras | {"cam03": next(iter(cameras.values()))}).items():
        rotvec, k = actor.rotvec(camera.rotation.T), camera.intrinsics
        angle = np.linalg.norm(rotvec)
        quaternion = [*(np.sin(angle / 2) * rotvec / angle), np.cos(angle / 2)]
        row = ["graph", *(camera.center / 1000), *quaternion, *camera.size, "KANNALABRANDTK3"]
        row += [k[0, 0], k[1, 1], k[0, 2], k[1, 2], *LENS_D, 0, 7, 0 if name == "cam03" else 1]
        rows.append([name, *(f" {value}" for value in row)])
    writers.write_csv(path, rows)


def take_json(i: int, take: str) -> dict:
    """Returns an entry of ``takes.json``: cameras by lab, a phone, previews, and a null."""

    def aligned(camera: str, stream: str, stem: str | None) -> dict:
        path = None if stem is None else f"{VIDEOS}/{stem}.mp4"
        return {"cam_id": camera, "stream_id": stream, "is_collage": False, "relative_path": path}

    _, _, task, n, places = TAKES[take]
    best = None if take == DANCE else next(iter(places))
    videos = {name: {"0": aligned(name, "0", name)} for name in places}
    streams = {"rgb": "214-1", "slam-left": "1201-1", "slam-right": "1201-2", "et": "211-1"}
    videos["aria01"] = {k: aligned("aria01", s, f"aria01_{s}") for k, s in streams.items()}
    videos["collage"] = {"0": aligned("collage", "0", "ego_preview") | {"is_collage": True}}
    videos["best_exo"] = {"0": aligned("best_exo", "0", best)}
    cameras = [
        {"cam_id": c, "is_ego": c in (WORN, "aria01")} for c in (*places, "aria01", "moblie")
    ]
    entry = {"root_dir": f"takes/{take}", "take_name": take, "take_uid": UIDS[take], "take_idx": i}
    entry |= {"participant_uid": i, "is_dropped": take == DROPPED, "task_start_sec": None}
    entry |= {"task_id": task, "task_name": f"Task {task}", "best_exo": best, "validated": True}
    entry |= {"duration_sec": n / 30, "timesync_start_idx": 100, "timesync_end_idx": 100 + n}
    place = {"university_name": take.partition("_")[0], "physical_setting_uid": f"setting-{i}"}
    name = take.rpartition("_")[0]
    capture = {"root_dir": f"captures/{name}", "capture_name": name, "cameras": cameras}
    return entry | place | {"frame_aligned_videos": videos, "capture": capture | place}


if __name__ == "__main__":
    build(Path(sys.argv[1]))
