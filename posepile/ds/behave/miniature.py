"""A tiny BEHAVE in the official layout: two sequences before Azure Kinects, one body in each.

The first stamp is not t0003.000. In one time folder there is no fit, in another no joints and
nothing has moved; a wrist without support is zeros, and one view detected nobody. The test
sequence does not name its kinects, and its masks are PNG. There are no depth maps and objects.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, rig, shoot, truth, writers
from posepile.miniature.body25 import BODY_25, FIGURE, PACKED_25, PACKED_SMPL

SIZE, RATIONAL = (2048, 1536), "k1 k2 p1 p2 k3 k4 k5 k6".split()
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
        cameras = write_calibration(root / "calibs", date)[:n_views]
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


def write_calibration(root: Path, date: str) -> list[rig.RigCamera]:
    """Writes lenses and places of the kinects; returns their colour cameras."""
    cameras = []
    for k, angle in enumerate(ANGLES):
        lens = np.array([0.45, -2.4, 5e-4, -3e-4, 1.4, 0.33, -2.2, 1.3]) * (1 + 0.03 * k)
        place = rig.around(MIDDLE, 2700, angle, 300 * (k != 1), up="-y")
        camera = rig.make_camera(SIZE, place, MIDDLE, 975 + k, up="-y", distortion=lens)
        n = k - 1  # of kinect 1 these numbers are known
        matrix = np.array([[979.784 - n, 0, 1018.952 + n], [0, 979.840 - n, 779.487], [0, 0, 1]])
        pose = (np.eye(3), np.zeros(3)) if k == 1 else (camera.rotation, camera.translation)
        cameras.append(rig.RigCamera(SIZE, matrix, *pose, tuple(lens)))
        pose = {"rotation": pose[0].T.ravel(), "translation": cameras[k].center / 1000}
        writers.write_json(root / f"{date}/config/{k}/config.json", pose)
        told = dict(zip(RATIONAL, lens, strict=True)) | {"codx": 0, "cody": 0}
        told |= {"fx": matrix[0, 0], "fy": matrix[1, 1], "cx": matrix[0, 2], "cy": matrix[1, 2]}
        told |= {"width": SIZE[0], "height": SIZE[1], "metric_radius": 1.7}
        told["opencv"] = [told[key] for key in ("fx", "fy", "cx", "cy")] + lens.tolist()
        content = {"color": told, "depth": told | {"width": 640, "height": 576}}
        for way in ("color_to_depth", "depth_to_color"):
            content[way] = {"rotation": np.eye(3).ravel(), "translation": [0.032, 0, 0]}
        writers.write_json(root / f"intrinsics/{k}/calibration.json", content)
    return cameras


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
