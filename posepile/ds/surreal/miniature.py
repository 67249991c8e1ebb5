"""A tiny SURREAL in the official layout: clips of three motions, rendered as in a mirror.

Whoever is seen leaves the picture in the last frame. One clip has a single frame, one only zeros
for joints; the clip of the validation set is in the test set, too.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, video, writers

ORDER = [*range(1, 24), 0]
FIGURE = skeleton.make_figure([skeleton.TURNING[j] for j in ORDER], radius_mm=75, disc=0.5)
SIZE = (320, 240)
# World to camera as published. The determinant is -1: pictures are mirror images.
ROTATION = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])
STRIDES = (50, 30, 70)  # of the runs
# The joint to which the part of each reaches; itself where several begin or none.
ENDS = [0, 4, 5, 6, 7, 8, 9, 10, 11, 9, 10, 11, 15, 16, 17, 15, 18, 19, 20, 21, 22, 23, 22, 23]
MODEL_SEEDS = {0: 3, 1: 2}  # gender in the files -> seed of that model: female, male
CLIPS = (  # in which sets, run, motion, clip, gender, frames, what is wrong
    ("train", 0, "01_01", 1, 0, 14, ""),
    ("train", 0, "01_01", 2, 0, 1, "one frame"),
    ("train", 2, "01_01", 1, 0, 5, "zeros"),
    ("train", 1, "ung_104_46", 3, 1, 13, ""),
    ("val test", 2, "ung_94_11", 1, 0, 12, ""),
    ("test", 0, "ung_94_11", 2, 1, 9, ""),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smpl",))
    for c, (splits, run, motion, number, gender, n, wrong) in enumerate(CLIPS):
        name = f"{motion}_c{number:04d}"
        info, joints, camera = make_clip(n, gender, rng)
        backdrop, start = shoot.Backdrop(SIZE, seed + c), 20 * c
        shots = shoot.shoot_frames(backdrop, camera, 1000 * joints[:, ORDER], FIGURE, start)
        kept = [] if wrong == "zeros" else truth.frames_kept(1000 * joints)
        if wrong == "zeros":
            info |= {key: np.zeros_like(info[key]) for key in ("joints2D", "joints3D")}
        info |= {"sequence": name, "clipNo": np.array([[number]]), "source": "cmu"}
        info["stride"] = np.array([[STRIDES[run]]], np.uint8)
        info |= {key: np.full((1, n), f"{key}/{c:04d}.jpg", object) for key in ("bg", "cloth")}
        masks = {f"segm_{i + 1}": parts(shot.people[0]) for i, shot in enumerate(shots)}
        for split in splits.split():
            clip = f"{split}/run{run}/{motion}/{name}"
            writers.write_mat(root / f"{clip}_info.mat", info)
            writers.write_mat(root / f"{clip}_segm.mat", masks)
            video.write_video(root / f"{clip}.mp4", shots, 30)
            seen = [(i, 0) for i in kept if shots[i].people[0].box()]
            sequences[clip] = truth.SequenceTruth(split, seen, start)
    pattern = r"(?P<sequence>\w+/run\d/\w+/\w+)/frame_(?P<frame>\d+)\.jpg$"
    # Colours in small videos lie half a pixel off, and crops are magnified.
    more = {"raw_masks": True, "mirrored": True}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_clip(n: int, gender: int, rng) -> tuple[dict, np.ndarray, rig.RigCamera]:
    """Returns the numbers of an info file, joints ``[n, 24, 3]`` in metres, the camera.

    The camera counts from the middle of the first pixel, the files count from its corner.
    """
    turned = 180 * gender + rng.uniform(60, 110)
    motion = actor.move(n, int(rng.integers(99)), up="-y", turned=turned)
    model, betas = bodies.make_model("smpl", seed=MODEL_SEEDS[gender]), rng.normal(0, 0.5, 10)
    zrot, (joints, poses) = rng.uniform(1, 2), np.empty((2, n, 24, 3))
    turn = actor.matrix([np.pi / 2, 0, 0]) @ actor.matrix([0, 0, zrot])
    for i in range(n):
        poses[i] = actor.body_rotvecs(motion, i, 24)
        joints[i], _ = actor.pose_body(model, poses[i], betas, vertices=False)
        joints[i] += motion.positions[i] / 1000 - joints[i, 0]
        poses[i, 0] = actor.rotvec(turn.T @ actor.matrix(poses[i, 0]))
    if n > 1:
        joints[-1, :, 2] += 4  # out of the picture
    distance = rng.uniform(5.2, 5.6)
    place = np.array([distance, rng.uniform(-0.1, 0), rng.uniform(-0.1, 0.1)], np.float32)
    intrinsics = np.array([[600.0, 0, 159.5], [0, 600, 119.5], [0, 0, 1]])
    camera = rig.RigCamera(SIZE, intrinsics, ROTATION, -1000 * ROTATION @ place)
    info = {
        "gender": np.full((n, 1), gender, np.uint8),
        "light": rng.normal(0, 0.5, (9, 1)).astype(np.float32).repeat(n, axis=1),
        "camDist": np.float32([[distance]]),
        "camLoc": place[:, None],
        "joints2D": np.float32(np.round(camera.project(1000 * joints) + 0.5).transpose(2, 1, 0)),
        "joints3D": np.float32(joints.transpose(2, 1, 0)),
        "pose": np.float32(poses.reshape(n, 72).T),
        "shape": np.float32(betas[:, None].repeat(n, axis=1)),
        "zrot": np.full((n, 1), zrot, np.float32),
    }
    return info, joints, camera


def parts(person: shoot.Shot) -> np.ndarray:
    """Returns the body part of each pixel, uint8 ``[h, w]``: 1 + the joint of the nearest limb."""
    segmented = person.mask(SIZE).astype(np.uint8)
    y, x = segmented.nonzero()
    start = person.points[np.argsort(ORDER)]
    limb = start[ENDS] - start
    off = np.stack([x, y], axis=1)[:, None] - start
    along = (off * limb).sum(axis=-1) / np.maximum((limb**2).sum(axis=-1), 1e-9)
    off -= np.clip(along, 0, 1)[..., None] * limb
    segmented[y, x] += np.linalg.norm(off, axis=-1).argmin(axis=1).astype(np.uint8)
    return segmented
