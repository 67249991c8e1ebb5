"""A tiny ASPset-510 in the official layout, readable by the official toolkit.

Three clips of one drawn person each: train and val seen by three cameras, test by one. 3840x2160
H.264 at 50 fps with B frames; a board in the foreground hides a joint now and then.
"""

from __future__ import annotations

import csv
import json
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature.kit import background, draw_person, joint_colors, project, write_truth

WIDTH, HEIGHT = 3840, 2160
JOINTS = (
    "right_ankle right_knee right_hip right_wrist right_elbow right_shoulder left_ankle left_knee "
    "left_hip left_wrist left_elbow left_shoulder head_top head neck spine pelvis"
).split()
PARENTS = [1, 2, 16, 4, 5, 14, 7, 8, 16, 10, 11, 14, 13, 14, 15, 16, 16]
EDGES = [(i, p) for i, p in enumerate(PARENTS) if i != p]
RADIUS = 10.0  # of the limbs in pixels; joint discs have 0.6 of it
SUBJECT_AT = np.array([300.0, 250.0, 18600.0])  # pelvis; the world is the left camera's frame

# subject, clip, split, camera column, number of frames
CLIPS = (
    ("aaaa", "0001", "train", "all", 16),
    ("bbbb", "0016", "val", "all", 12),
    ("cccc", "0003", "test", "mid", 18),
)


def build(root: Path, seed: int = 0, list_of_clips: tuple = CLIPS) -> None:
    """Writes the miniature below ``root``.

    Args:
        root: An empty folder.
        seed: Of poses and scene.
        list_of_clips: Subject, clip, split, camera id and number of frames of each.
    """
    root = Path(root)
    data = root / "data"
    rng = np.random.default_rng(seed)
    scene = background(WIDTH, HEIGHT, seed)
    scenes = {"left": scene, "mid": scene[:, ::-1].copy(), "right": scene[::-1].copy()}
    clean = {
        view: np.concatenate([p.reshape(-1, WIDTH) for p in to_yuv420(image)])
        for view, image in scenes.items()
    }
    counts, clips = {"train": 0, "val": 0, "test": 0}, {}
    write_rows(data / "splits.csv", [clip[:4] for clip in list_of_clips])
    for subject, clip, split, which, n in list_of_clips:
        part = data / ("test" if split == "test" else "trainval")
        joints = move(n, rng)
        write_c3d(part / "joints_3d" / subject / f"{subject}-{clip}.c3d", joints)
        cameras = rig(rng)
        kept = frames_kept(joints.astype(np.float32))
        for view in ("left", "mid", "right") if which == "all" else (which,):
            name = f"{subject}-{clip}-{view}"
            intrinsics, rotation, translation = cameras[view]
            write_camera(part / "cameras" / subject / f"{subject}-{view}.json", *cameras[view])
            points = project(joints, intrinsics, rotation, translation)
            board = points[n // 2, JOINTS.index("left_wrist")]
            frames = Drawn(scenes[view], clean[view], points, board)
            write_video(part / "videos" / subject / f"{name}.mkv", frames)
            header = ["left", "top", "right", "bottom"]
            write_rows(part / "boxes" / subject / f"{name}.csv", [header, *frames.boxes])
            counts[split] += len(kept)
            clips[name] = {
                "split": split,
                "frames": n,
                "kept": kept,
                "board": [round(float(v), 3) for v in board],
                "first_pose": joints[0].round(3).tolist(),
            }
    write_truth(root, counts=counts, colors=joint_colors(len(JOINTS)).tolist(), clips=clips)


def move(n: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a person stepping sideways with swinging limbs, slowly first, then faster.

    Returns:
        ``[n, 17, 3]`` millimetres, world coordinates (y down, z away from the left camera). The
        person faces the middle camera.
    """
    # In the person's own axes: x to their left, y down, z behind them; metres.
    rest = {
        "pelvis": (0, 0, 0), "spine": (0, -0.24, 0.02), "neck": (0, -0.52, 0),
        "head": (0, -0.64, -0.03), "head_top": (0, -0.80, 0),
        "hip": (0.13, 0.02, 0), "shoulder": (0.19, -0.47, 0),
    }  # fmt: skip
    step, phase = rng.uniform(0.9, 1.1), rng.uniform(0, 1)
    turn = cv2.Rodrigues(np.array([0, -np.pi / 6, 0]))[0]  # towards the middle camera
    poses = np.empty((n, len(JOINTS), 3))
    for i in range(n):
        t = (i + 2.0 * (i / n) ** 2 * i) / 50  # seconds, with time running faster at the end
        at = {k: np.array(v, float) for k, v in rest.items()}
        pose = {k: at[k] for k in ("pelvis", "spine", "neck", "head", "head_top")}
        for side, sign in (("left", 1), ("right", -1)):
            out = np.array([sign, 1, 1])
            swing = np.sin(2 * np.pi * (0.9 * t + phase) + (0 if sign > 0 else np.pi))
            hip, shoulder = at["hip"] * out, at["shoulder"] * out
            knee = hip + 0.44 * direction(sign * 0.30 + 0.10 * swing, 0.35 * swing)
            ankle = knee + 0.43 * direction(sign * 0.22 + 0.05 * swing, 0.25 * swing - 0.25)
            elbow = shoulder + 0.29 * direction(sign * (0.9 + 0.4 * swing), 0.2)
            wrist = elbow + 0.27 * direction(sign * (1.6 + 0.8 * swing), -0.3)
            for joint, value in (
                ("hip", hip), ("knee", knee), ("ankle", ankle),
                ("shoulder", shoulder), ("elbow", elbow), ("wrist", wrist),
            ):  # fmt: skip
                pose[f"{side}_{joint}"] = value
        pose = np.array([pose[name] for name in JOINTS]) * 1000
        drift = 1000 * np.array([step * 0.8 * t, 0.03 * np.sin(9 * t), 0.1 * t])
        poses[i] = (pose + drift) @ turn.T + SUBJECT_AT
    # The file holds float32: what is drawn is what is stored.
    return poses.astype(np.float32).astype(np.float64)


def direction(sideways: float, forwards: float) -> np.ndarray:
    """Returns a unit vector that hangs down, turned to the person's left and forwards, radians."""
    down = np.array([np.sin(sideways), np.cos(sideways) * np.cos(forwards), 0])
    down[2] = -np.cos(sideways) * np.sin(forwards)
    return down


def rig(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Intrinsics ``[3, 3]``, rotation and translation of each view; left is the world frame."""
    cameras = {}
    for view, angle in (("left", 0.0), ("mid", 30.0), ("right", 60.0)):
        fx = rng.uniform(3850, 3950)
        intrinsics = np.array(
            [
                [fx, 0, 1920 + rng.uniform(-25, 25)],
                [0, fx * rng.uniform(1.001, 1.004), 1080 + rng.uniform(-25, 25)],
                [0, 0, 1],
            ]
        )
        if view == "left":
            rotation, center = np.eye(3), np.zeros(3)
        else:
            # Round the person at 18 m, a little higher or lower, with a tilt and a roll.
            a = np.radians(angle)
            center = SUBJECT_AT + 18000 * np.array([np.sin(a), 0, -np.cos(a)])
            center[1] = rng.uniform(-300, 300)
            yaw = cv2.Rodrigues(np.array([0, a, 0]))[0]
            tilt = cv2.Rodrigues(np.append(rng.uniform(-0.02, 0.02, 2), rng.uniform(-0.03, 0.03)))
            rotation = tilt[0] @ yaw
        cameras[view] = intrinsics, rotation, -rotation @ center
    return cameras


def frames_kept(joints: np.ndarray) -> list[int]:
    """The card's selection rule as a plain loop: 100 mm of any joint since the last kept frame."""
    kept, last = [], None
    for i, pose in enumerate(joints):
        if last is None:
            moved = any(np.isfinite(joint).all() for joint in pose)
        else:
            moved = any(
                not sum((a - b) ** 2 for a, b in zip(joint, old, strict=True)) < 100.0**2
                for joint, old in zip(pose.astype(float), last.astype(float), strict=True)
            )
        if moved:
            kept.append(i)
            last = pose
    return kept


class Drawn:
    """The frames of one video, drawn as they are asked for, as I420 (8-bit YUV 4:2:0) arrays."""

    def __init__(
        self, scene: np.ndarray, clean: np.ndarray, points: np.ndarray, board: np.ndarray
    ):
        self.scene, self.clean, self.points, self.board = scene, clean, points, board
        self.boxes: list[list[str]] = []

    def __iter__(self):
        canvas = self.clean.copy()
        for points in self.points:
            # Only the window round the person is drawn and converted; even for the chroma planes.
            x0, y0 = (np.floor(points.min(axis=0)).astype(int) - 40) // 2 * 2
            x1, y1 = (np.ceil(points.max(axis=0)).astype(int) + 40) // 2 * 2
            window = np.ascontiguousarray(self.scene[y0:y1, x0:x1])
            ys, xs = np.nonzero(draw_person(window, points - (x0, y0), EDGES, RADIUS))
            # Edges of the outermost pixels, whose centres are at integers.
            first, last = (xs.min() + x0, ys.min() + y0), (xs.max() + x0, ys.max() + y0)
            self.boxes.append([f"{v - 0.5:.1f}" for v in first] + [f"{v + 0.5:.1f}" for v in last])
            # What is in front of the person hides it, wherever it stands.
            left, right = np.clip(np.round(self.board[0] + [-14, 14]).astype(int) - x0, 0, None)
            top, bottom = np.clip(np.round(self.board[1] + [-30, 30]).astype(int) - y0, 0, None)
            window[top:bottom, left:right] = (60, 45, 30)
            drawn = to_yuv420(window)
            for target, patch, k in zip(planes(canvas), drawn, (1, 2, 2), strict=True):
                target[y0 // k : y1 // k, x0 // k : x1 // k] = patch
            yield canvas
            for target, source, k in zip(
                planes(canvas), planes(self.clean), (1, 2, 2), strict=True
            ):
                part = np.s_[y0 // k : y1 // k, x0 // k : x1 // k]
                target[part] = source[part]


def to_yuv420(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB to Y, U and V planes as cameras write it: BT.709, limited range, MPEG-2 chroma siting.

    A chroma sample lies at an even column, between two rows: 1-2-1 filter across, mean down.
    """
    matrix = np.array(
        [[0.1826, 0.6142, 0.0620], [-0.1006, -0.3386, 0.4392], [0.4392, -0.3989, -0.0403]]
    )
    yuv = image.astype(np.float32) @ matrix.T.astype(np.float32) + np.float32([16, 128, 128])
    chroma = (yuv[::2, :, 1:] + yuv[1::2, :, 1:]) / 2
    before = chroma[:, np.maximum(np.arange(0, image.shape[1], 2) - 1, 0)]
    chroma = (before + 2 * chroma[:, ::2] + chroma[:, 1::2]) / 4
    return tuple(p.round().astype(np.uint8) for p in (yuv[..., 0], chroma[..., 0], chroma[..., 1]))


def planes(i420: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the Y, U and V planes of an I420 array ``[3 h / 2, w]``."""
    h, w = i420.shape[0] * 2 // 3, i420.shape[1]
    u, v = i420[h:].reshape(2, h // 2, w // 2)
    return i420[:h], u, v


def write_video(path: Path, images) -> None:
    """H.264 in Matroska, 50 fps, short groups with two B frames in a row."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 50)
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = 1  # BT.709
        stream.codec_context.color_range = 1  # limited
        stream.options = {
            "preset": "ultrafast",
            "crf": "20",
            "x264-params": "bframes=2:b-adapt=0:keyint=10:scenecut=0:threads=1",
        }
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_c3d(path: Path, joints: np.ndarray, rate: float = 50.0) -> None:
    """Joints ``[n, 17, 3]`` in millimetres with the parameters that the official loader needs."""
    import ezc3d

    path.parent.mkdir(parents=True, exist_ok=True)
    c3d = ezc3d.c3d()
    c3d["parameters"]["POINT"]["RATE"]["value"] = [rate]
    c3d["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    c3d["parameters"]["POINT"]["LABELS"]["value"] = JOINTS
    c3d.add_parameter("POINT", "SKEL", ["aspset_17j"])
    c3d["data"]["points"] = joints.transpose(2, 1, 0).astype(np.float64)
    c3d.write(str(path))


def write_camera(
    path: Path, intrinsics: np.ndarray, rotation: np.ndarray, translation: np.ndarray
) -> None:
    """Flat row-major lists: intrinsics 3x4, extrinsics 4x4."""
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = rotation, translation
    content = {
        "intrinsic_matrix": np.column_stack([intrinsics, np.zeros(3)]).ravel().tolist(),
        "extrinsic_matrix": extrinsics.ravel().tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) + "\n")


def write_rows(path: Path, rows: list) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
