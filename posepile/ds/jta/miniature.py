"""A tiny JTA in the official layout: a clip for each split, two people in each, in camera axes.

The picture's lens is not that of the numbers, which are projected with f = 1158; the picture fits
f = 1167. Rows are in no order and ids are arbitrary. Somebody leaves the picture to the left, is
half or wholly hidden, or lacks a row; one video is longer than its annotations, one is shorter.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, video, writers

RAW = (
    "htop head neck rcla rsho relb rwri lcla lsho lelb lwri spine0 spine1 spine2 spine3 pelv rhip "
    "rkne rank lhip lkne lank"
).split()
SPINE = range(11, 15)  # between neck and pelvis, from the top down
HEAD, NECK, PELV = 1, 2, 15
FIGURE = skeleton.make_figure(RAW)
SIZE, TOLD, SEEN, N = (1920, 1080), 1158.0, 1167.0, 5
CLIPS = (  # split, number, frames of the video, ids of the people
    ("train", 0, N, (1023490, 7)),
    ("val", 257, N + 1, (3, 85762)),
    ("test", 256, N - 1, (40, 41)),
)
PLACES = ((-900, 0, 5200), (800, 100, 6400))  # of the two people's pelvis, mm
LEAVES = ("train", 1)  # stands at the border, so some numbers are negative
HALF_HIDDEN = {("val", 0): range(N), ("train", 0): [1]}  # who -> frames
HIDDEN = {("test", 0): [1], ("test", 1): [1]}  # nobody has a visible joint in the second frame
LACKS_ROW = ("val", 1), 1, 6  # who, frame (which is not selected), joint


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    camera = make_camera(SEEN)
    for c, (split, number, n_frames, ids) in enumerate(CLIPS):
        people = [make_person((split, p), rng) for p in range(2)]
        rows = [row for p, who in enumerate(ids) for row in tell((split, p), who, people[p])]
        rng.shuffle(rows)
        stem, start = f"{split}/seq_{number}", 17 * c
        writers.write_json(root / f"annotations/{stem}.json", rows)
        shots, backdrop = [], shoot.Backdrop(SIZE, seed + c)
        for i in range(n_frames):
            at = [joints[min(i, N - 1)] for joints in people]
            actors = [shoot.Actor(joints, FIGURE, p) for p, joints in enumerate(at)]
            hidden = [camera.project(x[is_hidden((split, p), i)]) for p, x in enumerate(at)]
            boards = [[*x.min(axis=0) - 30, *np.ptp(x, axis=0) + 60] for x in hidden if len(x)]
            shots.append(shoot.shoot(backdrop, camera, actors, start + i, boards))
        video.write_video(root / f"videos/{stem}.mp4", shots, 30)
        seen = []
        for p, joints in enumerate(people):
            known = joints.copy()
            if LACKS_ROW[0] == (split, p):
                known[LACKS_ROW[1:]] = np.nan
            among = [i for i in range(min(N, n_frames)) if n_visible((split, p), i, joints) >= 5]
            seen += [(i, p) for i in truth.frames_kept(known, among=among)]
        persons = {f"{who:03d}": p for p, who in enumerate(ids)}
        sequences[stem] = truth.SequenceTruth(split, sorted(seen), start, persons)
    pattern = r"(?P<sequence>\w+/seq_\d+)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    more = {"n_people": 2, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_camera(focal: float) -> rig.RigCamera:
    """Returns the camera; its principal point is the middle of the picture."""
    middle = (np.array(SIZE) - 1) / 2
    lens = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])
    return rig.RigCamera(SIZE, lens, np.eye(3), np.zeros(3))


def make_person(who: tuple[str, int], rng: np.random.Generator) -> np.ndarray:
    """Returns joints ``[n, 22, 3]`` in the axes of the camera, mm, rounded as in the files."""
    at = (-4000, 50, 5200) if who == LEAVES else PLACES[who[1]]
    turned, seed = rng.uniform(-30, 30), int(rng.integers(99))
    motion = actor.move(N, seed, up="-y", at=at, turned=turned, step_mm=55)
    joints = actor.pose_skeleton(motion, RAW)
    for k, j in enumerate(SPINE, 1):
        joints[:, j] = joints[:, NECK] + k / 5 * (joints[:, PELV] - joints[:, NECK])
    joints[:, 0] = 2 * joints[:, HEAD] - joints[:, NECK]
    return joints.round(2)


def is_hidden(who: tuple[str, int], i: int) -> np.ndarray:
    """Returns which joints something stands in front of, bool ``[22]``."""
    hidden = np.zeros(len(RAW), bool)
    hidden[[17, 18, 20, 21]] = i in HALF_HIDDEN.get(who, ())  # the shanks
    return hidden | (i in HIDDEN.get(who, ()))


def n_visible(who: tuple[str, int], i: int, joints: np.ndarray) -> int:
    """Returns how many joints are inside the picture with nothing in front of them."""
    off = abs(make_camera(SEEN).project(joints[i]) + 0.5 - np.array(SIZE) / 2)
    return int(((off <= np.array(SIZE) / 2).all(axis=1) & ~is_hidden(who, i)).sum())


def tell(who: tuple[str, int], number: int, joints: np.ndarray) -> list[list]:
    """Returns the rows of a person; frames count from 1, pixels from the picture's corner."""
    rows = []
    for i in range(N):
        pixels = make_camera(TOLD).project(joints[i]) + 0.5
        for j, (xy, hidden) in enumerate(zip(pixels.round(3), is_hidden(who, i), strict=True)):
            if (who, i, j) != LACKS_ROW:
                xyz = (joints[i, j] / 1000).round(5)
                flags = [int(hidden), int(j % 7 == i)]
                rows.append([i + 1, number, j, *xy.tolist(), *xyz.tolist(), *flags])
    return rows
