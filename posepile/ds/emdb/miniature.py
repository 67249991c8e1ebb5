"""A tiny EMDB in the official layout: recordings of the first set, of the second, and of both.

Nobody is in the picture in one frame of each. The phone is tilted and moves; pictures differ in
size. Body models have as many vertices as the real ones, since evaluation looks at the feet.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, rig, shoot, skeleton, truth, writers

FIGURE = skeleton.make_figure(skeleton.TURNING, radius_mm=60, disc=0.5)
N = 8  # frames
SEQUENCES = (  # person, name, in the first set, in the second, gender, size, focal, not good
    ("P1", "14_outdoor_climb", True, False, "female", (1440, 1920), 1830, 3),
    ("P0", "09_outdoor_walk", False, True, "male", (720, 960), 915, 5),
    ("P7", "57_outdoor_rock_chair", True, True, "male", (1440, 1920), 1850, 0),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smpl",), n_vertices=6890)
    for s, (person, name, first, second, gender, size, focal, bad) in enumerate(SEQUENCES):
        smpl, joints = make_body(gender, rng)
        cameras, backdrop = move_camera(size, focal, rng), shoot.Backdrop(size, seed + s)
        good, start = np.arange(N) != bad, 31 * s
        boxes = np.zeros((N, 4))
        for i, camera in enumerate(cameras):
            actors = [shoot.Actor(1000 * joints[i], FIGURE)] if good[i] else []
            picture = shoot.shoot(backdrop, camera, actors, start + i)
            writers.write_jpeg(root / f"{person}/{name}/images/{i:05d}.jpg", picture.image)
            if good[i]:
                boxes[i] = picture.people[0].box()
        content = {
            "gender": gender,
            "name": f"{person}_{name}",
            "emdb1": first,
            "emdb2": second,
            "n_frames": N,
            "good_frames_mask": good,
            "camera": {
                "intrinsics": cameras[0].intrinsics,
                "extrinsics": np.stack([camera.matrix(unit_mm=1000) for camera in cameras]),
                "width": size[0],
                "height": size[1],
            },
            "smpl": smpl,
            "kp2d": np.stack([c.project(1000 * joints[i]) for i, c in enumerate(cameras)]),
            "bboxes": {"bboxes": boxes, "invalid_idxs": np.array([bad])},
        }
        file = root / f"{person}/{name}/{person}_{name}_data.pkl"
        pickled.write_pickle(file, content)
        seen = [(int(i), 0) for i in np.flatnonzero(good)]
        sequences[f"{person}/{name}"] = truth.SequenceTruth("test", seen, start)
    pattern = r"(?P<sequence>P\d/\w+)/(?P<frame>\d+)\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences))


def make_body(gender: str, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns parameters and joints ``[N, 24, 3]`` of a body in the world, y up, in metres."""
    model = bodies.make_model("smpl", 6890, bodies.SEEDS[gender])
    at, turned = (300, 800, -200), rng.uniform(0, 50)
    motion = actor.move(N, int(rng.integers(99)), up="y", at=at, turned=turned)
    betas, joints = rng.normal(0, 0.6, 10), np.empty((N, 24, 3))
    poses, trans = np.empty((N, 24, 3)), np.empty((N, 3))
    pelvis = actor.pose_body(model, np.zeros((24, 3)), betas, vertices=False)[0][0]
    for i in range(N):
        poses[i] = actor.body_rotvecs(motion, i, 24)
        trans[i] = motion.positions[i] / 1000 - pelvis
        joints[i], _ = actor.pose_body(model, poses[i], betas, trans[i], vertices=False)
    body = poses[:, 1:].reshape(N, 69)
    return {"poses_root": poses[:, 0], "poses_body": body, "trans": trans, "betas": betas}, joints


def move_camera(size: tuple[int, int], focal: float, rng) -> list[rig.RigCamera]:
    """Returns a hand-held camera that follows, tilted: one for each frame."""
    drift, target, cameras = rng.normal(0, 30, 3), np.array([300, 900, -200]), []
    for i in range(N):
        place = rig.around(target, 4100, 20, 450, up="y") + (i - 3) * drift
        camera = rig.make_camera(size, place, target, focal, up="y", shift=(5, -9))
        roll = actor.matrix([0, 0, 0.05 + 0.015 * i])
        pose = roll @ camera.rotation, roll @ camera.translation
        cameras.append(rig.RigCamera(size, camera.intrinsics, *pose))
    return cameras
