"""A tiny MuPoTS-3D in the official layout: 20 sequences of up to three people, a camera each.

In some frames a person is not valid, in one of TS3 nobody is; there the labels are rubbish. People
hide each other. A passer-by of TS20 is not labelled.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, markerless, rig, shoot, skeleton, truth, writers

RAW = markerless.TESTED
ORDER = [*range(14), 15, 16, 14]  # the pelvis last
FIGURE = skeleton.make_figure([RAW[j] for j in ORDER])
SIZES = {"indoors": (2048, 2048), "outdoors": (1920, 1080)}
N_PEOPLE = (2, 3, 2, 1, 3, 2, 2, 3, 1, 2, 2, 3, 2, 2, 1, 2, 3, 2, 2, 2)  # of TS1 to TS20
PLACES = ((-1100, 150, 5600), (-550, 190, 4700), (900, 170, 5300), (2100, 150, 6500))  # mm
NOT_VALID = {(2, 0, 1), (3, 1, 0), (3, 1, 1), (12, 1, 0), (12, 1, 2), (17, 0, 0)}  # TS, frame, who
TILTED = {6: 0.3, 12: 0.25}  # radians; others 0.08


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrops = {size: shoot.Backdrop(size, seed) for size in SIZES.values()}
    for number, n_people in enumerate(N_PEOPLE, 1):
        n, start = 2 + number % 2, 6 * number
        camera = make_camera(number, rng)
        people = [make_joints(p, n, camera, rng) for p in range(n_people + (number == 20))]
        annotations, occlusions = np.empty((2, n, n_people), object)
        for k in range(n):
            actors = [shoot.Actor(who[k, ORDER], FIGURE, p) for p, who in enumerate(people)]
            picture = shoot.shoot(backdrops[camera.size], camera, actors, start + k)
            writers.write_jpeg(root / f"TS{number}/img_{k:06d}.jpg", picture.image)
            for p in range(n_people):
                valid = (number, k, p) not in NOT_VALID
                told = markerless.label_joints(camera, people[p][k], RAW, 0.9 + 0.06 * p)
                told = {key: value.T if valid else -9.0 * value.T for key, value in told.items()}
                annotations[k, p] = told | {"isValidFrame": float(valid)}
                seen = picture.people[p].visible[np.argsort(ORDER)]
                occlusions[k, p] = 1.0 - seen[None]
        writers.write_mat(root / f"TS{number}/annot.mat", {"annotations": annotations})
        writers.write_mat(root / f"TS{number}/occlusion.mat", {"occlusion_labels": occlusions})
        told = [(k, p) for k in range(n) for p in range(n_people)]
        told = [(k, p) for k, p in told if (number, k, p) not in NOT_VALID]
        sequences[f"TS{number}"] = truth.SequenceTruth("test", told, start)
    pattern = r"(?P<sequence>TS\d+)/img_(?P<frame>\d{6})(?:_(?P<person>\d+))?\.jpg$"
    more = {"n_people": 3, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_camera(number: int, rng) -> rig.RigCamera:
    """Returns the camera of a sequence, at the origin of a world whose y axis points down."""
    size, focal = (SIZES["indoors"], 1500) if number < 6 else (SIZES["outdoors"], 1110)
    focal, center = focal * rng.uniform(0.97, 1.03, 2), np.array(size) / 2 + rng.normal(0, 9, 2)
    lens = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]])
    tilt = TILTED.get(number, 0.08)
    return rig.RigCamera(size, lens, actor.matrix([tilt, 0, 0]), np.array([0, 1900 * tilt, 0]))


def make_joints(p: int, n: int, camera: rig.RigCamera, rng) -> np.ndarray:
    """Returns joints of person p ``[n, 17, 3]``, millimetres, the pelvis between the hips."""
    at = np.array(PLACES[p]) + rng.uniform(-60, 60, 3)
    motion = actor.move(n, int(rng.integers(99)), up="-y", at=at, turned=-25 * p)
    joints = actor.pose_skeleton(motion, RAW)
    joints[:, 14] = joints[:, [8, 11]].mean(axis=1)
    return joints
