"""A tiny SynthEgo: the official folders, with made-up AMASS and MANO files to splice from.

Of some poses the metadata have references only. One view looks away from the person and gives no
example; its pixels are senseless.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.bodies import JOINT_NAMES, make_model
from posepile.miniature.shoot import Actor, Backdrop, shoot
from posepile.miniature.skeleton import REST, make_figure
from posepile.miniature.truth import SequenceTruth, make_truth, write_truth

SIZE = (1280, 720)
NAMES = [*JOINT_NAMES["smplh"], "leye", "reye"]
PARENTS = [*make_model("smplh")["kintree_table"][0].astype(np.int32), 15, 15]  # head
FIGURE = make_figure(NAMES)
EYES = {"L": -31.5, "R": 31.5}  # millimetres to the right, along x

MOSH = "MoSh_MPI_MoSh_subset/Data/moshpp_fits_SMPL/00008/misc.pkl_{}_0"
MOSH_MISNAMED = "MoSh_MPI_MoSh_subset/Data/moshpp_fits_SMPL/50002/odd.name.pkl_{}_0"
LIMITS = "MoSh_MPI_PoseLimits_all/Data/moshpp_fits_SMPL/03099/lar1.pkl_{}_0"
AMASS_FILES = (  # reference, path, gender, frames per second, of which a reference counts every
    (MOSH, "MoSh/MPI_mosh/00008/misc_poses.npz", b"female", 120.0, 4),
    (MOSH_MISNAMED, "MoSh/MPI_mosh/50002/odd.name_poses_poses.npz", "male", 120.00004, 4),
    (LIMITS, "PosePrior/MPI_Limits/03099/lar1_poses.npz", "male", 100.0, 3),
)
MANO_FILE = "manoposesv10/mano_poses_v1_0/handsOnly_REGISTRATIONS_r_lm___POSES___{}.npy"

# Identity, split, frame, body reference and frame in it, left hand pose, right hand pose; None =
# the numbers are in the file. Frame 2 of identity 8 is absent on purpose.
SAMPLES = (
    (3, "train", 0, None, None, None),
    (3, "train", 1, (MOSH, 7), None, None),
    (3, "train", 2, (LIMITS, 12), None, None),
    (8, "val", 0, None, 3, None),
    (8, "val", 1, None, None, 11),
    (8, "val", 3, (MOSH_MISNAMED, 9), 0, 5),
    (19, "test", 0, (LIMITS, 0), 7, 8),
    (19, "test", 1, None, 1, 1),
    (19, "test", 2, None, None, None),
)
TURNED_AWAY = (8, 3, "R")


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and cameras."""
    root, rng = Path(root), np.random.default_rng(seed)
    motions, hands = write_amass(root, rng), write_mano(root, rng)
    shapes = {identity: rng.normal(0, 1, 10) for identity, *_ in SAMPLES}
    sequences, poses = {}, {}
    for identity, split, frame, body, left, right in SAMPLES:
        pose = make_poses(rng, 1)[0]
        rows = pose.tolist()
        if body:
            pose[1:22] = motions[body[0]][body[1], 1:22]
            rows[1:22] = [body[0].format(body[1])] * 21
        for side, at, k in (("L", 22, left), ("R", 37, right)):
            if k is not None:
                pose[at : at + 15] = hands[side][k].reshape(15, 3)
                rows[at : at + 15] = [f"mano_{k}_{side}"] * 15
        name = f"{identity:07d}_{frame:04d}"
        poses[name] = pose.tolist()
        translation = rng.uniform((-0.2, 0.8, -0.2), (0.2, 1.2, 0.2))
        rest = np.array([REST[n] for n in NAMES]) * (1 + 0.02 * np.tanh(shapes[identity][0]))
        joints = actor.pose_tree(rest, PARENTS, np.pad(pose, ((0, 2), (0, 0))))[0] + translation
        cameras, landmarks, backdrop = {}, {"3D_world": joints}, Backdrop(SIZE, identity + frame)
        off = rng.uniform(-90, 90, 3)
        for eye, side in EYES.items():
            sees = (identity, frame, eye) != TURNED_AWAY
            camera = make_camera(1000 * translation, side, off, sees)
            new = SequenceTruth(split, [], 19 * len(sequences))
            sequence = sequences.setdefault(f"{identity:07d}/img_{eye}", new)
            sequence.examples.extend([(frame, 0)] * sees)
            people = [Actor(1000 * joints, FIGURE)] * sees
            picture = shoot(backdrop, camera, people, sequence.start + frame)
            writers.write_jpeg(root / "SynthEgo" / f"img_{eye}_{name}.jpg", picture.image)
            extrinsics = camera.matrix(1000)
            seen = joints @ extrinsics[:3, :3].T + extrinsics[:3, 3]
            landmarks[f"3D_camera_{eye}"] = seen
            # Like the original, without regard to what is behind the camera.
            landmarks[f"2D_camera_{eye}"] = (seen @ camera.intrinsics.T)[:, :2] / seen[:, 2:]
            lens = {"camera_to_image": camera.intrinsics, "resolution": SIZE}
            cameras[f"camera_{eye}"] = {"world_to_camera": extrinsics, **lens}
        metadata = {"pose": rows, "translation": translation, "identity": shapes[identity]}
        metadata |= {"cameras": cameras, "landmarks": landmarks}
        writers.write_json(root / "SynthEgo" / f"metadata_{name}.json", metadata)
    pattern = r"/(?P<sequence>\d+/img_[LR])_\d+_(?P<frame>\d+)\.jpg$"
    more = {"box": "joints", "facts": {"poses": poses}}
    write_truth(root, make_truth(FIGURE, pattern, sequences, **more))


def make_poses(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns poses of somebody in motion, ``[n, 52, 3]``."""
    motion = actor.move(n, int(rng.integers(1000)), up="y", turned=rng.uniform(-20, 20))
    poses = np.array([actor.body_rotvecs(motion, i, 52) for i in range(n)])
    poses[:, 22:] = rng.normal(0, 0.1, (n, 30, 3))
    return poses


def write_amass(root: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Writes the motions; returns by reference the poses that can be referred to."""
    motions = {}
    for reference, name, gender, rate, step in AMASS_FILES:
        poses = make_poses(rng, 40)
        content = {"poses": poses.reshape(40, 156), "trans": np.zeros((40, 3))}
        content |= {"betas": np.zeros(16), "gender": gender, "mocap_framerate": rate}
        writers.write_npz(root / name, **content, dmpls=np.zeros((40, 8)))
        motions[reference] = poses[::step]
    return motions


def write_mano(root: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Writes and returns the hand poses, the left ones mirrored from the right ones."""
    right = rng.normal(0, 0.1, (12, 45))
    hands = {"R": right, "L": right * np.tile([1, -1, -1], 15)}
    for side, poses in hands.items():
        writers.write_npy(root / MANO_FILE.format(side), poses)
    return hands


def make_camera(at: np.ndarray, side: float, off: np.ndarray, sees: bool) -> rig.RigCamera:
    """Returns a camera 1.9 m in front of somebody; what it looks at is ``off`` millimetres off."""
    position = at + np.array([side, 0, 1900])
    target = at + off + np.array([side, 0, 0 if sees else 3800])
    return rig.make_camera(SIZE, position, target, 700, up="y", shift=(1, -1.5), stretch=1.003)
