"""A tiny SAIL-VOS with the pose files: two cut scenes, a moving camera, people and a car.

Bones have one to four rows of the pose files, some of which are invalid: zeros in space, outside
the picture -1280, -800 in it. Somebody has few valid rows, is hidden by the car, or has left.
"""

from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, writers

ROWS = (
    "htop 341 8,neck 61,rsho 216 234,relb 171,rwri 164 309,lsho 255 39,lelb 330,lwri 108,"
    "rhip 45 294,rkne 215 131 253,rank 295,lhip 144 315,lkne 147 342 27,lank 85,spin 152,"
    "head 206 128 102,pelv 307 312,rtoe 130,ltoe 11,nose 167 188 191 310,reye 194 193 236 78,"
    "leye 227 304 58 229,rear 37 260 195,lear 47 148 232,rhan 323,lhan 160"
)
ROWS = {name: list(map(int, rows)) for name, *rows in map(str.split, ROWS.split(","))}
NAMES, N_ROWS, SIZE = [*ROWS], 343, (1280, 800)
FIGURE = skeleton.make_figure(NAMES, disc=0.4)  # so that those of head and nose are apart
# Number of the first picture, how many there are, where it is, how far to the right the camera
# looks, objects and places of people (mm), the car in each picture (x, y, width, height).
SCENES = {
    "tonya_mcs_1": (
        *(0, 4, (-1250300.0, 830200, 35000), 2050),
        {3: (0, 0, 950), 12: (2000, 100, 950), 20: (4000, 0, 950)},
        [(), (), (240, 290, 270, 360), ()],
    ),
    "abigail_mcs_2": (
        *(7, 3, (0.0, -41250, 2000), 500),
        {5: (-3400, 0, 950), 1: (0, 0, 950)},
        [(500, 480, 260, 190), (), ()],
    ),
}
CAR, MAX_HIDDEN = 7, 0.75
FEW = ("tonya_mcs_1", 20)  # has four valid rows
LEFT = ("tonya_mcs_1", 3, 3)  # is not there any more


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    for s, (name, (first, n, place, aim, people, cars)) in enumerate(SCENES.items()):
        ids, backdrop, start = sorted(people), shoot.Backdrop(SIZE, seed + s), 31 * s
        turned = {"turned": rng.uniform(-25, 25), "step_mm": 60}
        motions = [actor.move(n, int(rng.integers(99)), at=people[k], **turned) for k in ids]
        joints = np.array([actor.pose_skeleton(motion, NAMES) for motion in motions])
        joints += np.array(place) - joints[0, 0, 1] * (1, 0, 0)  # a coordinate is 0 in one scene
        focal, told = SIZE[0] / 2 / np.tan(np.radians(30)), np.array(joints)
        target, hidden = np.add(place, (aim, 0, 950)), np.zeros((len(ids), n))
        for i in range(n):
            position = rig.around(target, 7000 + 150 * i, 4 * i - 5, 300)
            camera = rig.make_camera(SIZE, position, target, focal)
            there = [p for p, number in enumerate(ids) if (name, number, first + i) != LEFT]
            actors = [shoot.Actor(joints[p, i], FIGURE, p) for p in there]
            boards, file = [cars[i]] if cars[i] else [], f"{first + i:06d}"
            picture = shoot.shoot(backdrop, camera, actors, start + first + i, boards)
            visible = np.zeros(SIZE[::-1], np.uint16)
            for p, shot in zip(there, picture.people, strict=True):
                folder = root / name / f"{ids[p]:04d}_Ped_{'IG_Tonya' if p else 'Player_Zero'}"
                write_pose(folder / file, camera, joints[p, i], (name, ids[p]) == FEW, rng)
                whole = shot.mask(SIZE, amodal=True)
                writers.write_png(folder / f"{file}.png", np.uint8(255) * whole)
                shot.paint(visible, [ids[p]])
                hidden[p, i] = 1 - shot.modal.sum() / whole.sum()
            for x, y, w, h in boards:
                car = np.zeros(SIZE[::-1], bool)
                car[y : y + h, x : x + w] = True
                path = root / name / f"{CAR:04d}_Vehicle_buffalo/{file}.png"
                writers.write_png(path, 255 * np.uint8(car))
                visible[car] = CAR
            writers.write_npy(root / name / f"visible/{file}.npy", visible)
            (root / name / "images").mkdir(exist_ok=True)
            cv2.imwrite(str(root / name / f"images/{file}.bmp"), picture.image[..., ::-1])
            told[[p for p in range(len(ids)) if p not in there], i] = np.nan
        kept = [(i, p) for p in range(len(ids)) for i in truth.frames_kept(told[p])]
        kept = [(i, p) for i, p in kept if hidden[p, i] <= MAX_HIDDEN and (name, ids[p]) != FEW]
        texts = {f"{number:04d}": p for p, number in enumerate(ids)}
        seen = sorted((first + i, p) for i, p in kept)
        sequences[name] = truth.SequenceTruth("train", seen, start, texts)
    pattern = r"(?P<sequence>\w+_mcs_\d)/(?:images/)?(?P<frame>\d{6})_(?P<person>\d+)\.jpg$"
    told = truth.make_truth(FIGURE, pattern, sequences, raw_masks=True, n_people=3)
    truth.write_truth(root, told)


def write_pose(stem: Path, camera, joints: np.ndarray, few: bool, rng) -> None:
    """Writes the two pose files of one person in one picture; rows of a bone average to it."""
    space, seen = np.zeros((N_ROWS, 3)), np.full((N_ROWS, 2), [-1280.0, -800.0])
    for j, rows in enumerate(ROWS.values()):
        valid = rows[: len(rows) - (len(rows) > 2)]  # the last one of many is not
        if few and j % 9:
            continue
        off = rng.uniform(-12, 12, (len(valid), 3))
        space[valid] = ((joints[j] + off - off.mean(axis=0)) / 1000).round(6)
    there = space.any(axis=1)
    pixels = camera.project(1000 * space[there]) + 0.5
    inside = ((pixels >= 0) & (pixels <= SIZE)).all(axis=1)
    seen[np.flatnonzero(there)[inside]] = pixels[inside].round(3)
    seen[ROWS["spin"][0], 1] = -800  # x alone looks as if it were valid
    stem.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(f"{stem}_2d.txt", seen, fmt="%.3f")
    np.savetxt(f"{stem}_3d.txt", space, fmt="%.6f")
