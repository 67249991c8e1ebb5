"""A tiny BEHAVE in the official layout: two sequences before Azure Kinects, one body in each.

The first stamp is not t0003.000. In one time folder there is no fit, in another no joints and
nothing has moved; a wrist without support is zeros, and one view detected nobody. The test
sequence does not name its kinects, and its masks are PNG. There are no depth maps and objects.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, shoot, truth, writers
from posepile.miniature.azure_kinect import SIZE, write_kinects
from posepile.miniature.body25 import BODY_25, FIGURE, PACKED_25, PACKED_SMPL

# Sequence, gender, split, kinects, kind of mask; time folders and what is there of the person.
TRAIN = {"t0005.000": "fit J3d", "t0006.000": "J3d", "t0007.000": "fit J3d", "t0008.000": "fit"}
TEST = {"t0003.000": "fit J3d", "t0004.000": "fit J3d"}
SEQUENCES = (
    ("Date05_Sub06_backpack_back", "female", "train", 4, "jpg", TRAIN),
    ("Date03_Sub03_chairblack_sit", "male", "test", 3, "png", TEST),
)
MIDDLE, ANGLES = (0, 100, 2600), (75, 0, -80, 170)  # kinect 1 is where the world is


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smpl", "smplh"))
    split = {part: [row[0] for row in SEQUENCES if row[2] == part] for part in ("train", "test")}
    writers.write_json(root / "split.json", split)
    rooms = [shoot.Backdrop(SIZE, seed + view) for view in range(4)]
    for name, gender, part, n_views, kind, times in SEQUENCES:
        folder, (date, _, thing, *_) = root / "sequences" / name, name.split("_")
        cameras = write_kinects(root / "calibs", f"{date}/config", MIDDLE, ANGLES, 1)[:n_views]
        info = {"config": f"../../calibs/{date}/config", "intrinsic": "../../calibs/intrinsics"}
        info |= {"cat": thing.replace("black", ""), "gender": gender, "empty": None, "beta": None}
        info |= {"kinects": [0, 1, 2, 3]} if n_views == 4 else {}
        writers.write_json(folder / "info.json", info)
        fits, joints = make_person(gender, len(times), rng)
        told = joints.copy()
        for k, (time, there) in enumerate(times.items()):
            person = folder / time / "person"
            if "fit" in there:
                pickled.write_pickle(person / "fit02/person_fit.pkl", fits[k])
            else:
                told[k] = np.nan
            if "J3d" in there:
                told[k, [24 + BODY_25.index("lwri")] * (k == 0)] = np.nan  # without support
                points = np.hstack([joints[k, 24:] / 1000, np.full((25, 1), 0.7)])
                points[np.isnan(told[k, 24:]).any(axis=1) & (k == 0)] = 0
                points = points[np.argsort(PACKED_25)].tolist()
                writers.write_json(person / "person_J3d.json", {"body_joints3d": points})
            else:
                told[k, 24:] = np.nan
            start = 19 * len(sequences)
            for view, camera in enumerate(cameras):
                actors, stem = [shoot.Actor(joints[k], FIGURE)], folder / time / f"k{view}"
                picture = shoot.shoot(rooms[view], camera, actors, start + view)
                write_view(stem, picture, kind, detected=(k, view) != (0, 2))
            kept = k in truth.frames_kept(told, against="all")
            seen = [(view, 0) for view in range(n_views) if kept]
            sequences[f"{name}/{time}"] = truth.SequenceTruth(part, seen, start)
    pattern = r"sequences/(?P<sequence>[^/]+/t[\d.]+)/k(?P<frame>\d)\.color\.jpg$"
    more = {"moving": False, "box": "loose", "raw_masks": True}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_person(gender: str, n: int, rng: np.random.Generator) -> tuple[list[dict], np.ndarray]:
    """Returns fits of SMPL-H and 49 joints ``[n, 49, 3]``, mm; nobody moves after the third."""
    motion = actor.move(n, int(rng.integers(99)), up="-y", at=MIDDLE, step_mm=90)
    motion.rotvecs[3:], motion.positions[3:] = motion.rotvecs[2:-1], motion.positions[2:-1] + 20
    model, betas = bodies.make_model("smpl", seed=bodies.SEEDS[gender]), rng.normal(0, 0.5, 10)
    hands, fits, told = rng.normal(0, 0.2, (30, 3)), [], []
    for rotvecs, at in zip(motion.rotvecs, motion.positions, strict=True):
        joints, _ = actor.pose_body(model, rotvecs, betas, vertices=False)
        trans = at / 1000 - joints[0]
        pose = np.concatenate([rotvecs[:22], hands]).ravel()
        fits.append({"pose": pose, "betas": betas, "trans": trans})
        told.append(1000 * (joints + trans)[PACKED_SMPL])
    size = 1 + 0.04 * (bodies.SEEDS[gender] % 3 - 1)
    points = actor.pose_skeleton(motion, BODY_25, size)[:, PACKED_25]
    return fits, np.concatenate([told, points], axis=1)


def write_view(stem: Path, picture: shoot.Picture, kind: str, detected: bool) -> None:
    """Writes picture, mask and what was detected in it."""
    person = picture.people[0]
    writers.write_jpeg(stem.with_name(f"{stem.name}.color.jpg"), picture.image)
    write = {"jpg": writers.write_jpeg, "png": writers.write_png}[kind]
    mask = np.uint8(person.mask(SIZE)) * 255
    write(stem.with_name(f"{stem.name}.person_mask.{kind}"), mask)
    points = np.hstack([person.points[24:][np.argsort(PACKED_25)], np.full((25, 1), 0.8)])
    content = {"body_joints": points * detected, "face_joints": np.zeros((70, 3))}
    writers.write_json(stem.with_name(f"{stem.name}.color.json"), content)
