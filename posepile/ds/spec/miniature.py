"""A tiny SPEC-SYN in the official layout: one row per person, whose place nobody tells.

The rows of a picture are not next to each other. Pictures differ in size, focal length, pitch and
roll. One person is smaller than 100 px; a wrist of another one is not flagged.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, writers
from posepile.miniature.body25 import BODY_25

FIGURE = skeleton.make_figure(skeleton.TURNING, radius_mm=50, disc=0.5)
SPIN = (
    "rank rkne rhip lhip lkne lank rwri relb rsho lsho lelb lwri neck htop pelv thor spin jaw "
    "head nose leye reye lear rear"
).split()
# Split, picture, size, focal, pitch, roll (radians), rows and places in the camera, unturned (mm).
PICTURES = (
    ("train", "scene1/hdri_0_12_cam00_5.png", (1920, 1080), 1500, 0.10, 0.05, {
        1: (-700, 250, 4200), 3: (600, 350, 5000), 4: (1900, 300, 6000)}),
    ("train", "scene1/hdri_0_12_cam01_5.png", (1280, 720), 900, -0.06, -0.10, {
        0: (-100, 0, 3300), 2: (1500, 200, 17000)}),
    ("test", "scene7/plaza_1_3_cam02_0.png", (1600, 1200), 2600, 0, 0, {0: (0, 100, 5200)}),
)  # fmt: skip
SMALL, NOT_FLAGGED = ("cam01", 2), ("cam00", 3)
N_ROWS = {"train": 5, "test": 1}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of shapes, poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smpl",))
    rows: dict[str, list[dict]] = {split: [{}] * n for split, n in N_ROWS.items()}
    for i, (split, name, size, focal, pitch, roll, places) in enumerate(PICTURES):
        lens = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        turn = actor.matrix([pitch, 0, 0]) @ actor.matrix([0, 0, roll])
        camera = rig.RigCamera(size, lens, turn, np.zeros(3))
        told = {"imgname": name, "cam_rotmat": turn, "cam_int": lens, "focal_length": focal}
        told |= {"cam_pitch": pitch, "cam_roll": roll, "cam_center": lens[:2, 2]}
        told |= {"cam_hfov": 2 * np.arctan(size[0] / 2 / focal), "cam_trans": rng.normal(0, 1, 3)}
        told |= {"camcalib_pitch": pitch + 0.02, "camcalib_roll": roll - 0.01}
        told |= {"camcalib_vfov": 0.8, "camcalib_f_pix": 1.1 * focal}
        actors = []
        for p, (row, place) in enumerate(places.items()):
            person, joints = make_person(turn.T @ place, camera, rng)
            which = next(part for part in name.split("_") if part.startswith("cam"))
            person["openpose_gt"][BODY_25.index("lwri"), 2] = (which, row) != NOT_FLAGGED
            rows[split][row] = told | person
            actors.append(shoot.Actor(joints, FIGURE, p))
        picture = shoot.shoot(shoot.Backdrop(size, seed + i), camera, actors, 40 * i)
        writers.write_png(root / "spec-syn" / name, picture.image)
        seen = [(0, p) for p, row in enumerate(places) if SMALL != (which, row)]
        people = {f"{row:06d}": p for p, row in enumerate(places)}
        sequences[Path(name).stem] = truth.SequenceTruth(split, seen, 40 * i, people)
    for split, content in rows.items():
        table = {key: np.array([row[key] for row in content]) for key in content[0]}
        table = {k: np.float32(v) if v.dtype == np.float64 else v for k, v in table.items()}
        writers.write_npz(root / f"spec-syn/annotations/{split}.npz", **table)
    pattern = r"(?P<sequence>\w+_\d+_\d+_cam\d+_\d+)_(?P<person>\d{6})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, n_people=3, moving=False))


def make_person(
    place: np.ndarray, camera: rig.RigCamera, rng: np.random.Generator
) -> tuple[dict, np.ndarray]:
    """Returns what the files tell of somebody, and SMPL's joints in the world, mm."""
    model, shape = bodies.make_model("smpl", seed=bodies.SEEDS["neutral"]), rng.normal(0, 0.5, 10)
    turned = float(rng.uniform(-40, 40))
    motion = actor.move(1, int(rng.integers(99)), up="-y", at=place, turned=turned)
    joints, _ = actor.pose_body(model, motion.rotvecs[0], shape, vertices=False)
    joints = 1000 * (joints - joints[0]) + place
    points = dict(zip(BODY_25, actor.pose_skeleton(motion, BODY_25)[0], strict=True))
    # What SMPL has of BODY_25 is SMPL's, all else lies on the surface.
    points |= {k: v for k, v in zip(skeleton.TURNING, joints, strict=True) if k in points}
    seen = camera.project(np.array([points[name] for name in BODY_25]))
    low, high = seen.min(axis=0), seen.max(axis=0)
    detected = np.hstack([seen + rng.normal(0, 2, (25, 2)), np.full((25, 1), 0.6)])
    spin = actor.pose_skeleton(motion, SPIN)[0] / 1000
    person = {"pose": motion.rotvecs[0].ravel(), "shape": shape, "center": (low + high) / 2}
    person |= {"scale": (high - low).max() * 1.2 / 200, "part": np.zeros((24, 3))}
    person |= {"openpose_gt": np.hstack([seen, np.ones((25, 1))]), "openpose": detected}
    person |= {"mmpose_keypoints": detected[:17], "S": np.hstack([spin, np.ones((24, 1))])}
    return person, joints
