"""A made-up Ego-Exo4D of five takes in the released layout, written from the card.

Takes: ``repair`` (train: landscape and portrait GoPro, glasses, all four kinds of labels but
manual hands), ``dance`` (val: manual body labels only, cameras named as at UPenn, one of them worn
on the head, one not localized), ``cook`` (test: cameras without labels), a dropped take and a take
without pose labels. Nothing here is shared with the reader.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

from posepile.ds.egoexo4d.miniature_takes import (
    COOK,
    DANCE,
    DROPPED,
    REPAIR,
    SPLIT_OF,
    UIDS,
    splits_json,
    takes_json,
)
from posepile.miniature import kit

LENS_F = 1764.3
LENS_D = np.array([0.0361, -0.0094, 0.0087, -0.0041])
# FISHEYE624 for the 2880 sensor: f, cx, cy, k0..k5, p0, p1, s0..s3.
ARIA = np.array(
    [
        *(1216.7, 1462.3, 1446.1, 0.4035, -0.4851, 0.1722, 1.1215, -1.6903, 0.6468),
        *(2.1e-4, -2.6e-4, -7e-4, -1e-4, 6e-4, 1e-4),
    ]
)
ARIA_FRAME_WITHOUT_POSE = 5

# A caricature with a big head, so that the discs of the face stay apart. x right, y forward, z up;
# metres, seen from the person.
BODY = {
    "nose": (0, 0.1, 1.58),
    "left-eye": (-0.11, 0.06, 1.72),
    "right-eye": (0.11, 0.06, 1.72),
    "left-ear": (-0.22, 0, 1.6),
    "right-ear": (0.22, 0, 1.6),
    "left-shoulder": (-0.24, 0, 1.38),
    "right-shoulder": (0.24, 0, 1.38),
    "left-elbow": (-0.47, 0.15, 1.22),
    "right-elbow": (0.47, 0.15, 1.22),
    "left-wrist": (-0.5, 0.42, 1.2),
    "right-wrist": (0.5, 0.42, 1.2),
    "left-hip": (-0.14, 0, 0.92),
    "right-hip": (0.14, 0, 0.92),
    "left-knee": (-0.2, 0.08, 0.5),
    "right-knee": (0.2, 0.08, 0.5),
    "left-ankle": (-0.24, 0.02, 0.08),
    "right-ankle": (0.24, 0.02, 0.08),
}
LIMBS = (
    "left-wrist left-elbow,left-elbow left-shoulder,left-shoulder right-shoulder,"
    "right-shoulder right-elbow,right-elbow right-wrist,left-shoulder left-hip,"
    "right-shoulder right-hip,left-hip right-hip,left-hip left-knee,left-knee left-ankle,"
    "right-hip right-knee,right-knee right-ankle"
)
# The dataset's joint names in its order; only the 17 body joints are drawn.
ORDER = {
    **{"nose": 1, "left-shoulder": 3, "left-elbow": 4, "left-wrist": 5, "left-hip": 6},
    **{"left-knee": 7, "left-ankle": 8, "right-shoulder": 9, "right-elbow": 10},
    **{"right-wrist": 11, "right-hip": 12, "right-knee": 13, "right-ankle": 14},
    **{"left-eye": 15, "left-ear": 16, "right-eye": 17, "right-ear": 18},
}
# How far the person has walked in each frame, metres. Between 2 and 3 hardly at all: frame 3 is no
# example. Between 4 and 5 hardly either, but joints that frame 4 lacks are back: it is one.
WALK = [0.0, 0.2, 0.4, 0.41, 0.62, 0.63, 0.85, 1.05]
LACKING = {4: ("left-ankle", "right-ankle")}  # missing from all labels of that frame

VIDEO = {"rate": 30, "options": {"crf": "18", "g": "4"}}
TEST_STRIDE = 30  # default of the recipe


def build(root: Path, seed: int = 0) -> None:
    """Writes the raw files and ``miniature_truth.json`` below ``root``."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    cams = {
        REPAIR: {"cam01": gopro(10, 5.0, 1.7), "cam02": gopro(-25, 4.6, 1.2, portrait=True)},
        DANCE: {"gp01": gopro(-12, 4.8, 1.5)},
        COOK: {"cam01": gopro(5, 5.5, 1.6)},
    }
    frames = {REPAIR: 8, DANCE: 6, COOK: 3}
    for take, n in frames.items():
        for i, (name, cam) in enumerate(cams[take].items()):
            images = exo_images(cam, n, seed + i)
            folder = root / "takes" / take / "frame_aligned_videos"
            kit.write_video(folder / f"{name}.mp4", images, **VIDEO)
            small = downscaled_size(cam["size"])
            images = (cv2.resize(im, small, interpolation=cv2.INTER_AREA) for im in images)
            kit.write_video(folder / "downscaled" / "448" / f"{name}.mp4", images, **VIDEO)
    aria_folder = root / "takes" / REPAIR / "frame_aligned_videos"
    kit.write_video(aria_folder / "aria01_214-1.mp4", ego_images(frames[REPAIR], seed), **VIDEO)
    # Videos whose pixels nobody looks at: of a camera that is not localized, of a GoPro worn on
    # the head, and of a take that is marked as dropped.
    video = root / "takes" / DANCE / "frame_aligned_videos" / "gp01.mp4"
    other = root / "takes" / DROPPED / "frame_aligned_videos"
    other.mkdir(parents=True)
    for copy in (video.with_name("gp02.mp4"), video.with_name("gp05.mp4"), other / "cam01.mp4"):
        shutil.copyfile(video, copy)

    labels = make_labels(cams)
    for (take, kind), content in labels.items():
        write_json(
            root / f"annotations/ego_pose/{SPLIT_OF[take]}/{kind}/{UIDS[take]}.json", content
        )
    for take, exo in cams.items():
        write_json(
            root / f"annotations/ego_pose/{SPLIT_OF[take]}/camera_pose/{UIDS[take]}.json",
            camera_pose(take, exo, frames[take]),
        )
    write_json(
        root / f"annotations/ego_pose/train/body/automatic/{UIDS[DROPPED]}.json",
        labels[REPAIR, "body/automatic"],
    )
    write_gopro_calibs(root / "takes" / REPAIR / "trajectory" / "gopro_calibs.csv", cams[REPAIR])
    write_json(
        root / "aria_calib_json" / "takes" / f"{REPAIR}.json",
        {
            "CameraCalibrations": [
                {"Label": "camera-slam-left", "Projection": {"Name": "FisheyeRadTanThinPrism"}},
                {
                    "Label": "camera-rgb",
                    "Projection": {"Name": "FisheyeRadTanThinPrism", "Params": ARIA.tolist()},
                },
            ]
        },
    )
    write_json(root / "takes.json", takes_json(frames))
    write_json(root / "annotations" / "splits.json", splits_json())
    colors = np.zeros((61, 3), int)
    for color, joint in zip(kit.joint_colors(len(BODY)), BODY, strict=True):
        colors[ORDER[joint]] = color
    drawn = set(ORDER.values())
    kit.write_truth(
        root,
        counts=count_examples(labels, cams),
        colors=[c.tolist() if j in drawn else None for j, c in enumerate(colors)],
        lens_f=LENS_F,
        lens_d=LENS_D.tolist(),
        aria_frame_without_pose=ARIA_FRAME_WITHOUT_POSE,
    )


# -------------------------------------------------------------------------------------------------
# The person


def body_at(frame: int) -> dict[str, np.ndarray]:
    """World positions of the body joints, metres. The person walks along x and faces -y."""
    phase = 0.9 * WALK[frame]
    joints = {}
    for name, (x, y, z) in BODY.items():
        swing = 0.12 * np.sin(phase) if name.endswith(("wrist", "elbow")) else 0
        joints[name] = np.array([-x + WALK[frame] - 0.5, -y, z + swing])
    return joints


def hands_at(frame: int) -> dict[str, np.ndarray]:
    """Returns world positions of the 42 hand joints, metres: straight fingers fanned out."""
    joints = {}
    for side, out in (("left", 1), ("right", -1)):
        wrist = body_at(frame)[f"{side}-wrist"] + [0.0, -0.02, 0.0]
        joints[f"{side}_wrist"] = wrist
        for i, finger in enumerate(("thumb", "index", "middle", "ring", "pinky")):
            direction = np.array([out * (-0.8, -0.3, -0.1, 0.1, 0.3)[i], -1.0, 0.1 * i])
            direction /= np.linalg.norm(direction)
            lengths = (0.045, 0.035, 0.03, 0.025) if i == 0 else (0.09, 0.035, 0.025, 0.02)
            for k, along in enumerate(np.cumsum(lengths), start=1):
                joints[f"{side}_{finger}_{k}"] = wrist + along * direction
    return joints


# -------------------------------------------------------------------------------------------------
# Cameras


def gopro(azimuth: float, distance: float, height: float, portrait: bool = False) -> dict:
    """Returns a static camera around the person: true lens, pose, and the released matrix."""
    a = np.radians(azimuth)
    position = np.array([distance * np.sin(a), -distance * np.cos(a), height])
    rotation, translation = kit.look_at(position, np.array([0.1, 0, 0.9]))
    size = (2160, 3840) if portrait else (3840, 2160)
    lens = np.array([[LENS_F, 0, size[0] / 2], [0, LENS_F, size[1] / 2], [0, 0, 1]])
    released = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        lens, LENS_D, size, np.eye(3), balance=0.8
    )
    return {"K": lens, "R": rotation, "t": translation, "size": size, "released": released}


def aria_pose(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Pose of the glasses' camera as its sensor lies: a quarter turn from upright."""
    head = np.array([WALK[frame] - 0.5, -0.1, 1.66])
    upright, _ = kit.look_at(head, head + np.array([0.005 * frame, -0.64, -0.77]))
    sensor = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) @ upright
    return sensor, -sensor @ head


def project_fisheye624(points: np.ndarray, rotation, translation) -> np.ndarray:
    """Projects world metres to pixels of the recorded 1408 image, before the video was turned."""
    cam = points @ rotation.T + translation
    f, (cx, cy) = ARIA[0] / 2, (ARIA[1:3] - 0.5 - 32) / 2
    result = np.full((len(points), 2), np.nan)
    for i, (x, y, z) in enumerate(cam):
        r = np.hypot(x / z, y / z)
        t = np.arctan(r)
        if z <= 0 or t > np.radians(57):
            continue
        t_d = t + sum(k * t ** (2 * n + 3) for n, k in enumerate(ARIA[3:9]))
        u, v = x / z / r * t_d, y / z / r * t_d
        rr = u * u + v * v
        p0, p1, s0, s1, s2, s3 = ARIA[9:]
        du = 2 * u * (u * p0 + v * p1) + p0 * rr + s0 * rr + s1 * rr**2
        dv = 2 * v * (u * p0 + v * p1) + p1 * rr + s2 * rr + s3 * rr**2
        result[i] = f * (u + du) + cx, f * (v + dv) + cy
    return result


def camera_pose(take: str, exo: dict, n_frames: int) -> dict:
    """Returns a ``camera_pose`` file."""
    content = {"metadata": {"take_name": take, "take_uid": UIDS[take]}}
    for name, cam in exo.items():
        content[name] = {
            "camera_intrinsics": cam["released"].tolist(),
            "camera_extrinsics": np.c_[cam["R"], cam["t"]].tolist(),
            "distortion_coeffs": LENS_D.tolist(),
        }
    content["aria01"] = {
        "camera_intrinsics": [[150.0, 0, 255.5], [0, 150.0, 255.5], [0, 0, 1]],
        "camera_extrinsics": {
            str(i): np.c_[aria_pose(i)].tolist()
            for i in range(n_frames)
            if i != ARIA_FRAME_WITHOUT_POSE
        },
    }
    return content


def write_gopro_calibs(path: Path, exo: dict) -> None:
    """``gopro_calibs.csv`` with the blanks that the released file has."""
    columns = (
        "cam_uid,graph_uid,tx_world_cam,ty_world_cam,tz_world_cam,qx_world_cam,qy_world_cam,"
        "qz_world_cam,qw_world_cam,image_width,image_height,intrinsics_type,"
        + ",".join(f"intrinsics_{i}" for i in range(8))
        + ",start_frame_idx,end_frame_idx,quality"
    ).split(",")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(columns)
        for name, cam in [*exo.items(), ("cam03", exo["cam01"])]:
            rotvec = cv2.Rodrigues(cam["R"].T)[0].ravel()
            angle = np.linalg.norm(rotvec)
            quaternion = [*(np.sin(angle / 2) * rotvec / angle), np.cos(angle / 2)]
            lens = [cam["K"][0, 0], cam["K"][1, 1], cam["K"][0, 2], cam["K"][1, 2], *LENS_D]
            row = [name, "graph", *(-cam["R"].T @ cam["t"]), *quaternion, *cam["size"]]
            row += ["KANNALABRANDTK3", *lens, 0, 7, 0 if name == "cam03" else 1]
            writer.writerow([row[0], *(f" {value}" for value in row[1:])])


# -------------------------------------------------------------------------------------------------
# Labels


def make_labels(cams: dict) -> dict[tuple[str, str], dict]:
    """Returns all label files: (take, kind/source) -> content."""
    labels: dict = {}
    ears = ("left-ear", "right-ear")
    few = [j for j in BODY if j not in ("nose", "left-eye", "right-eye", "left-hip")]
    repair, dance = cams[REPAIR], cams[DANCE]
    automatic = {
        str(i): [pose(body_at(i), repair, LACKING.get(i, ()))] for i in range(8) if i != 6
    }
    automatic["6"] = []
    labels[REPAIR, "body/automatic"] = automatic
    # The annotators did not see the ears in frame 1.
    labels[REPAIR, "body/annotation"] = {
        "1": [pose(body_at(1), repair, ears)],
        "4": [pose(body_at(4), repair, LACKING[4])],
    }
    labels[REPAIR, "hand/automatic"] = {
        str(i): [pose(hands_at(i), repair, (), aria_frame=i)] for i in range(8)
    }
    # Frame 5 has four joints: too few to be an example.
    labels[DANCE, "body/annotation"] = {
        "1": [pose(body_at(1), dance, ())],
        "4": [pose(body_at(4), dance, ())],
        "5": [pose(body_at(5), dance, few)],
    }
    return labels


def pose(joints: dict, exo: dict, lacking: tuple | list, aria_frame: int | None = None) -> dict:
    """Returns one element of a frame's list."""
    names = [n for n in joints if n not in lacking]
    points = np.array([joints[n] for n in names])
    image = {}
    for name, cam in exo.items():
        uv = kit.project(points, cam["released"], cam["R"], cam["t"])
        image[name] = {
            n: {"x": float(x), "y": float(y), "placement": "auto"}
            for n, (x, y) in zip(names, uv, strict=True)
            if np.isfinite(x)
        }
    if aria_frame is not None and aria_frame != ARIA_FRAME_WITHOUT_POSE:
        linear = np.array([[150.0, 0, 255.5], [0, 150.0, 255.5], [0, 0, 1]])
        uv = kit.project(points, linear, *aria_pose(aria_frame))
        image["aria01"] = {
            n: {"x": float(x), "y": float(y), "placement": "auto"}
            for n, (x, y) in zip(names, uv, strict=True)
            if np.isfinite(x)
        }
    return {
        "annotation3D": {
            n: {**dict(zip("xyz", map(float, joints[n]), strict=True)), "num_views_for_3d": 3}
            for n in names
        },
        "annotation2D": image,
    }


def count_examples(labels: dict, cams: dict) -> dict[str, int]:
    """Returns examples per split under the default configuration, by a plain loop over the labels.

    The rule of the card: kept if a joint became valid since the last kept pose, or if against
    every kept pose some joint is 100 mm or more away; missing joints count as not moved.
    """
    counts = {"train": 0, "val": 0, "test": 0}
    for take in (REPAIR, DANCE):
        per_frame: dict[int, dict] = {}
        for source in ("automatic", "annotation"):  # the manual body comes last and wins
            for part in ("body", "hand"):
                for frame, poses in labels.get((take, f"{part}/{source}"), {}).items():
                    if poses:
                        parts = per_frame.setdefault(int(frame), {})
                        parts[part] = poses[0]["annotation3D"]
        kept: list[dict] = []
        for frame in sorted(per_frame):
            now = {
                name: np.array([1000 * p[a] for a in "xyz"])
                for part in per_frame[frame].values()
                for name, p in part.items()
            }
            if len(now) < 6:
                continue
            new = not kept or any(name not in kept[-1] for name in now)
            far = all(
                any(np.linalg.norm(now[n] - old[n]) >= 100 for n in now if n in old)
                for old in kept
            )
            if new or far:
                kept.append({**(kept[-1] if kept else {}), **now})
        counts[SPLIT_OF[take]] += len(kept) * len(cams[take])
    counts["test"] = len(cams[COOK]) * len(range(0, 3, TEST_STRIDE))
    return counts


def write_json(path: Path, content: object) -> None:
    """Writes JSON, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


# -------------------------------------------------------------------------------------------------
# Pixels


def exo_images(cam: dict, n: int, seed: int) -> list[np.ndarray]:
    """Returns frames as the lens sees them: fisheye, with a disc at every body joint."""
    ground = kit.background(*cam["size"], seed=seed)
    limbs = [tuple(list(BODY).index(j) for j in pair.split()) for pair in LIMBS.split(",")]
    images = []
    for i in range(n):
        points = np.array(list(body_at(i).values()))
        uv = kit.project(points, cam["K"], cam["R"], cam["t"], LENS_D, fisheye=True)
        image = ground.copy()
        kit.draw_person(image, uv, limbs, radius=22)
        images.append(image)
    return images


def ego_images(n: int, seed: int) -> list[np.ndarray]:
    """Returns frames of the glasses as in the video: turned clockwise."""
    ground = kit.background(1408, 1408, seed=seed + 7)
    images = []
    for i in range(n):
        points = np.array(list(body_at(i).values()))
        image = ground.copy()
        kit.draw_person(image, project_fisheye624(points, *aria_pose(i)), [], radius=16)
        images.append(np.ascontiguousarray(np.rot90(image, -1)))
    return images


def downscaled_size(size: tuple[int, int]) -> tuple[int, int]:
    """796x448, or 448x796 for a portrait video."""
    return (796, 448) if size[0] > size[1] else (448, 796)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
