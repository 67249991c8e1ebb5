"""A tiny HUMBI in the official layout: body sessions of two subjects before three GoPros.

Frames are numbered sparsely; one has no pictures, one picture's camera is not calibrated, one JPEG
is broken. Key points are missing as zeros and as words; some line ends are those of Windows.
"""

import dataclasses
from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, truth, writers
from posepile.miniature.body25 import BODY_25, FIGURE, PACKED_25, PACKED_SMPL

SUBJECTS = ((1, 1.04, (1, 9, 33)), (88, 0.81, (17,)))  # number, scale of the body, frames
SIZE, CALIBRATED, UNCALIBRATED = (1920, 1080), (1, 33, 61), 70
NO_PICTURES, BROKEN = (1, 9), (1, 33, 61)  # subject, frame, camera
CAMERAS_AT = {1: 20, 33: -35, 61: 75, UNCALIBRATED: 0}  # degrees round the subject
TILT = actor.matrix([0.03, 0, -0.04])  # up is only roughly -y


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of shapes, poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smpl",))
    scene = shoot.Backdrop(SIZE, seed)
    for subject, scale, frames in SUBJECTS:
        session, betas = root / f"subject_{subject}" / "body", rng.normal(0, 0.4, 10)
        cameras = {c: make_camera(c, rng) for c in CAMERAS_AT}
        write_calibration(session, {c: cameras[c] for c in CALIBRATED}, subject)
        motion = actor.move(len(frames), int(rng.integers(99)), up="-y", step_mm=30)
        for k, frame in enumerate(frames):
            folder, start = session / f"{frame:08d}", 31 * len(sequences)
            joints = write_reconstruction(folder / "reconstruction", motion, k, betas, scale)
            (folder / "image").mkdir()
            if (subject, frame) == NO_PICTURES:
                continue
            actors, seen = [shoot.Actor(joints, FIGURE)], []
            for c in CALIBRATED if k else CAMERAS_AT:  # not every camera is there
                path = folder / f"image/image{c:07d}.jpg"
                writers.write_jpeg(path, shoot.shoot(scene, cameras[c], actors, c + start).image)
                if (subject, frame, c) == BROKEN:
                    path.write_bytes(path.read_bytes()[:20000])
                elif c != UNCALIBRATED:
                    seen.append((c, 0))
            sequences[str(folder.relative_to(root))] = truth.SequenceTruth("train", seen, start)
    names = r"(?P<sequence>subject_\d+/body/\d{8})/(image/)?image(?P<frame>\d{7})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, names, sequences, moving=False, box="loose"))


def make_camera(index: int, rng: np.random.Generator) -> rig.RigCamera:
    """Returns a camera of the lower ring, which is 0.85 m above the floor."""
    place = rig.around((0, 60, 0), 2500, CAMERAS_AT[index], 0, up="-y")
    lens = {"shift": rng.uniform(-15, 15, 2), "stretch": rng.uniform(0.998, 1.002), "up": "-y"}
    camera = rig.make_camera(SIZE, place, (0, 60, 0), rng.uniform(1150, 1250), **lens)
    return dataclasses.replace(camera, rotation=camera.rotation @ TILT.T)


def write_calibration(folder: Path, cameras: dict[int, rig.RigCamera], subject: int) -> None:
    """Writes the three files; ``numframes`` is the number of cameras."""
    head = f"Numcam: 107\nnumframes: {len(cameras)}\nnumP: {len(cameras)}\n"
    texts = dict.fromkeys(("intrinsic", "extrinsic", "project"), head)
    for c, camera in cameras.items():
        centre, k = camera.center[None] / 1000, camera.intrinsics
        pose = np.vstack([centre, camera.rotation])
        matrix = 0.5 * k @ camera.rotation @ np.hstack([np.eye(3), -centre.T])
        for name, rows in zip(texts, (k, pose, matrix), strict=True):
            texts[name] += f"0 {c}\n" + numbers(rows)
    for name, text in texts.items():
        end = "\r\n" if subject == 1 and name != "extrinsic" else "\n"
        writers.write_text(folder / f"{name}.txt", text.replace("\n", end))


def write_reconstruction(
    folder: Path, motion: actor.Motion, k: int, betas: np.ndarray, scale: float
) -> np.ndarray:
    """Writes fit, mesh and key points of a frame; returns joints as packed, mm."""
    model, pose = bodies.make_model("smpl", seed=bodies.SEEDS["neutral"]), motion.rotvecs[k].copy()
    pose[0] = actor.rotvec(TILT @ actor.matrix(pose[0]))
    joints, skin = actor.pose_body(model, pose, betas)
    at = TILT @ motion.positions[k] / 1000 - scale * joints[0]
    joints, skin = scale * joints + at, scale * skin + at
    points = actor.pose_skeleton(motion, BODY_25, scale)[k] @ TILT.T / 1000
    told = points.copy()
    told[BODY_25.index(("rear", "reye")[k % 2])] = (0, np.nan)[k % 2]  # missing
    fit = np.concatenate([[scale], at, pose.ravel(), betas])
    writers.write_text(folder / "smpl_parameter.txt", numbers(fit[:, None]))
    writers.write_text(folder / "keypoints.txt", numbers(told))
    writers.write_text(folder / "smpl_vertex.txt", numbers(np.resize(skin, (6890, 3))))
    return 1000 * np.concatenate([joints[PACKED_SMPL], points[PACKED_25]])


def numbers(rows: np.ndarray) -> str:
    """Returns rows of numbers as text; zero is written as such."""
    return "".join(" ".join(f"{v:.9g}" for v in row) + "\n" for row in rows)
