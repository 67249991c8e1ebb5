"""A tiny HSPACE: two records with five pictures of two people each, in the axes of the camera.

Labels of a person are the id and the one below. Of one person that is the background's; one is
too small, one is wholly hidden in a picture; a speck has somebody's label. Pictures are stored
with red and blue exchanged, and have a patch of pure red.
"""

from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, tfrecords, truth

FINGERS = [f"{finger}{k}" for finger in ("index", "middle", "ring", "pinky") for k in (1, 2, 3)]
ARM = ["cla", "sho", "elb", "wri", *FINGERS, "thumb1", "thumb2", "thumb3"]
LEG = "hip kne ank hee foo toe".split()
GHUM = "pelv bell spin thor neck head jaw leye leyehf reye reyehf leyehf reyehf".split()
GHUM += [side + joint for limb in (ARM, LEG) for side in "lr" for joint in limb]
KEPT = [*range(8), 9, *range(13, 17), 20, 22, 31, *range(32, 36), 39, 41, 50, *range(51, 63)]
FIGURE = skeleton.make_figure([GHUM[j] for j in KEPT], radius_mm=70, disc=0.43)
SIZE, N, RED = (1920, 1080), 5, (0, 0, 24, 16)  # of RED: x, y, width, height
RECORDS = (  # name, intrinsics, labels are of 16 bits, for each person: id and place (mm)
    ("seq_000017", (1800, 1810, 950, 552), False, ((4, (-1350, 0, 4900)), (1, (1400, 60, 4700)))),
    ("seq_000150", (1640, 1640, 960, 540), True, ((300, (-700, 0, 4300)), (7, (4400, 0, 22000)))),
)
SMALL, HIDDEN = ("seq_000150", 1), ("seq_000150", 0, 2)  # who; who and when
SPECK = (slice(200, 203), slice(20, 23))  # of the first person's label


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    for r, (name, lens, deep, people) in enumerate(RECORDS):
        fx, fy, cx, cy = lens
        lens_matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        camera = rig.RigCamera(SIZE, lens_matrix, np.eye(3), np.zeros(3))
        joints = [make_joints(place, rng) for _, place in people]
        backdrop, start, records = shoot.Backdrop(SIZE, color=(128, 124, 118)), 29 * r, []
        for i in range(N):
            there = [p for p in range(len(people)) if (name, p, i) != HIDDEN]
            actors = [shoot.Actor(joints[p][i, KEPT], FIGURE, p) for p in there]
            picture = shoot.shoot(backdrop, camera, actors, start + i)
            labels = np.zeros(SIZE[::-1], np.uint16 if deep else np.uint8)
            for p, shot in zip(there, picture.people, strict=True):
                paint(labels, shot, people[p][0])
            labels[SPECK] = people[0][0]
            image = picture.image
            x, y, w, h = RED
            image[y : y + h, x : x + w] = 255, 0, 0
            told = {"image/rgb": png(image), "character_masks": png(labels)}
            told["camera_intrinsics"] = np.float32(lens)
            told["number_of_rigged_characters"] = np.array([len(people)])
            for p, (label, _) in enumerate(people):
                told[f"RIGGED_{p}/joints_3d"] = np.float32(joints[p][i].ravel() / 1000)
                told[f"RIGGED_{p}/mask_id"] = np.array([label])
            records.append(told)
        tfrecords.write_tfrecord(root / f"2021_01/train/{name}.tfrecord", records)
        among = [p for p in range(len(people)) if (name, p) != SMALL]
        seen = [(i, p) for p in among for i in truth.frames_kept(joints[p][:, KEPT], "all")]
        seen = sorted((i, p) for i, p in seen if (name, p, i) != HIDDEN)
        sequences[name] = truth.SequenceTruth("train", seen, start)
    pattern = r"train/(?P<sequence>\w+)/(?P<frame>\d{8})_(?P<person>\d{3})\.jpg$"
    more = {"raw_masks": True, "n_people": 2, "facts": {"red": RED}}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_joints(place: tuple, rng: np.random.Generator) -> np.ndarray:
    """Returns all joints of one person ``[n, 63, 3]``, mm, in the axes of the camera."""
    turned, seed = rng.uniform(-25, 25), int(rng.integers(99))
    motion = actor.move(N, seed, up="-y", at=place, turned=turned, step_mm=55)
    return np.float32(actor.pose_skeleton(motion, GHUM))


def paint(labels: np.ndarray, shot: shoot.Shot, label: int) -> None:
    """Gives the pixels of a person the two labels; the upper half has the lower one."""
    mask = shot.mask(SIZE)
    rows = np.flatnonzero(mask.any(axis=1))
    labels[mask] = label
    mask[rows.mean().astype(int) :] = False
    labels[mask] = max(label - 1, 1)  # 0 would be the background


def png(image: np.ndarray) -> bytes:
    """Returns an encoded picture; OpenCV takes RGB for BGR and stores red and blue exchanged."""
    return cv2.imencode(".png", image)[1].tobytes()
