"""A tiny SURREAL in the layout of the archive: rendered SMPL bodies in mirrored pictures.

The woman's clip begins with frames whose joints are all zero and ends with frames that she has
left; the man's is in ``test`` and in ``val``. One clip has one frame and one is of subject 18.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, video, writers

NAMES = [*bodies.JOINT_NAMES["smpl"][1:], "pelv"]  # as packed: the pelvis is last
FIGURE = skeleton.make_figure(NAMES, radius_mm=80)
MODELS = [bodies.make_model("smpl", seed=seed) for seed in (3, 2)]  # female, male
CLIPS = (  # splits and run, motion, number of the clip, gender, frames, all zero, gone
    (["train/run0"], "01_01", 1, 0, 16, 2, 2),
    (["test/run1", "val/run1"], "ung_104_46", 2, 1, 12, 0, 0),
    (["train/run2"], "01_02", 1, 0, 1, 0, 0),
    (["train/run0"], "18_01", 1, 1, 2, 0, 0),
)
SIZE = (320, 240)
INTRINSICS = np.array([[600, 0, 159.5], [0, 600, 119.5], [0, 0, 1]])  # Blender's 160, 120
WORLD_TO_CAMERA = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])  # a reflection
QUARTER = actor.matrix([np.pi / 2, 0, 0])  # z up in poses, -y up in the world


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrop = shoot.Backdrop(SIZE, seed)
    bodies.write_body_models(root / "body_models", ("smpl",))
    for splits, motion, number, gender, n, n_zero, n_gone in CLIPS:
        name, start = f"{motion}_c{number:04d}", 31 * len(sequences)
        info, joints = make_clip(n, gender, rng)
        joints[n - n_gone :, :, 1] -= 4000
        location = np.array([5.4, -1.1, 0.2]) + rng.normal(0, 0.05, 3)
        shift = -WORLD_TO_CAMERA @ location * 1000
        camera = rig.RigCamera(SIZE, INTRINSICS, WORLD_TO_CAMERA, shift)
        shots = [
            shoot.shoot(backdrop, camera, [shoot.Actor(pose, FIGURE)], start + i)
            for i, pose in enumerate(joints[:, [*range(1, 24), 0]])
        ]
        told, pixels = joints / 1000, np.round(camera.project(joints) + 0.5)
        told[:n_zero] = pixels[:n_zero] = 0
        info |= {"sequence": name, "clipNo": number, "source": "cmu", "stride": np.uint8(50)}
        info |= {"camLoc": np.float32(location[:, None]), "camDist": np.float32(location[0])}
        info |= {"joints2D": time_last(pixels), "joints3D": time_last(told)}
        segments = {f"segm_{i + 1}": parts(shot) for i, shot in enumerate(shots)}
        for split in splits:
            clip = root / "cmu" / split / motion / name
            writers.write_mat(clip.with_name(f"{name}_info.mat"), info)
            writers.write_mat(clip.with_name(f"{name}_segm.mat"), segments)
            video.write_video(clip.with_suffix(".mp4"), shots, 30, crf=8)
            if not motion.startswith("18_"):
                told[:n_zero] = told[n - n_gone :] = np.nan
                kept = [(k, 0) for k in truth.frames_kept(1000 * told)]
                expected = truth.SequenceTruth(split.split("/")[0], kept, start)
                sequences[f"{split}/{motion}/{name}"] = expected
    pattern = r"_downscaled/(?P<sequence>.+)/frame_(?P<frame>\d+)\.jpg$"
    more = {"mirrored": True, "raw_masks": True}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_clip(n: int, gender: int, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """Returns what a clip's file says of its body, and the joints ``[n, 24, 3]`` in mm."""
    turn, betas = rng.uniform(1, 1.6), rng.normal(0, 1, 10)
    motion = actor.move(n, int(rng.integers(99)), at=(0, 0, 1000))
    pose = np.stack([actor.body_rotvecs(motion, k, 24) for k in range(n)])
    to_world = QUARTER @ actor.matrix([0, 0, turn])
    joints = []
    for rotvecs, position in zip(pose, motion.positions, strict=True):
        turned = rotvecs.copy()
        turned[0] = actor.rotvec(to_world @ actor.matrix(rotvecs[0]))
        placed, _ = actor.pose_body(MODELS[gender], turned, betas, vertices=False)
        joints.append((placed - placed[0]) * 1000 + to_world @ position)
    cells = np.array([["a/file.jpg"] * n], object)
    info = {"bg": cells, "cloth": cells, "light": np.zeros((9, n), np.float32)}
    info |= {
        "gender": np.full((n, 1), gender, np.uint8),
        "zrot": np.full((n, 1), turn, np.float32),
    }
    info |= {"pose": time_last(pose.reshape(n, 72)), "shape": time_last(np.tile(betas, (n, 1)))}
    return info, np.array(joints)


def time_last(array: np.ndarray) -> np.ndarray:
    """Returns an array with its first axis last; MATLAB has no last axis of one element."""
    turned = np.float32(array).transpose(*range(array.ndim)[:0:-1], 0)
    return turned[..., 0] if turned.ndim == 3 and turned.shape[-1] == 1 else turned


def parts(shot: shoot.Picture) -> np.ndarray:
    """Returns which part of SMPL each pixel shows, 0 = background: that of the nearest joint."""
    person = shot.people[0]
    rows, columns = np.nonzero(person.mask(SIZE))
    apart = np.stack([columns, rows], axis=-1)[:, None] - np.nan_to_num(person.points, nan=-1e6)
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[rows, columns] = 1 + (np.linalg.norm(apart, axis=-1).argmin(axis=1) + 1) % 24
    return labels
