"""A tiny Toyota Smarthome in the official layout, and a rendered clip as its layout file tells.

Skeletons are one frame shorter than trimmed videos. One frame shows nobody, one two people, one
has a pose of -1 only. One clip has a skeleton of the older version, too, whose axes differ. One
untrimmed video has nobody in some of its frames.
"""

import dataclasses
from pathlib import Path

import numpy as np

from posepile.miniature import actor, lcrnet, rendered, rig, shoot, skeleton, truth, video, writers
from posepile.miniature.lcrnet import find_person

NAMES = "rank lank rkne lkne rhip lhip rwri lwri relb lelb rsho lsho head".split()
HIPS, HEAD = [NAMES.index("lhip"), NAMES.index("rhip")], NAMES.index("head")
FIGURE = skeleton.make_figure(NAMES, radius_mm=60, disc=0.6)
NECK = [(HEAD, NAMES.index("lsho")), (HEAD, NAMES.index("rsho"))]
FIGURE = dataclasses.replace(FIGURE, edges=[*FIGURE.edges, *NECK])
SIZE, FOCAL, N = (640, 480), 550, 10
CLIPS = (  # name, split by subject
    ("Cook.Cleandishes_p03_r00_v01_c01", "train"),
    ("Walk_p03_r01_v02_c02", "train"),
    ("Drink.Fromcup_p04_r00_v03_c05", "train"),
    ("WatchTV_p04_r02_v04_c01", "train"),
    ("Readbook_p19_r00_v05_c02", "val"),
    ("Sitdown_p25_r53_v27_c05", "val"),
    ("Leave_p02_r00_v02_c01", "test"),
    ("Usetablet_p10_r03_v07_c02", "test"),
)
EMPTY, TWO, MINUS_ONE = (CLIPS[1][0], 4), (CLIPS[2][0], 0), (CLIPS[3][0], 0)
OLDER = CLIPS[4][0]  # has a skeleton of version 1.1, too
UNTRIMMED, SEEN, N_UNTRIMMED = "P03T02C01", range(12, 80), 100
ACTIONS = (("Walk", 0, 30, 1), ("Make_coffee.Get_water", 31, 60, 3), ("Sit_down", 61, 79, 25))
RENDERED = "Cook.Cleandishes_p03_r00_v01_c01"


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    # Below the ceiling, tilted; its centre is at the pixel (320, 240).
    place, backdrop = rig.around((0, 0, 950), 3300, 20, 1300), shoot.Backdrop(SIZE, seed)
    camera = rig.make_camera(SIZE, place, (0, 0, 900), FOCAL, shift=(0.5, 0.5))
    for c, (name, split) in enumerate(CLIPS):
        joints, other = make_joints(N, rng), make_joints(1, rng)[0] + (900, 500, 0)
        frames, pictures, usable = [], [], []
        for i, pose in enumerate(joints):
            who = [pose, other] if (name, i) == TWO else [pose]
            actors = [shoot.Actor(at, FIGURE, p) for p, at in enumerate(who)]
            pictures.append(shoot.shoot(backdrop, camera, actors, 12 * c + i))
            people = [find_person(camera, at, HIPS) for at in who] * ((name, i) != EMPTY)
            if (name, i) == MINUS_ONE:
                people[0]["pose2d"] = [-1] * 26
            elif people and i < N - 1:
                usable.append(i)
            frames.append(people)
        video.write_video(root / f"mp4/{name}.mp4", pictures, 20)
        lcrnet.write_found_people(root / f"skeletonv12/{name}_pose3d.json", frames[:-1])
        if name == OLDER:
            older = [[lcrnet.in_older_axes(*f)] for f in frames[:-1]]
            lcrnet.write_found_people(root / f"json/{name}.json", older)
        kept = truth.frames_kept(joints - joints[:, HIPS].mean(axis=1)[:, None], among=usable)
        kept = [(i, 0) for i in kept]
        sequences[name] = truth.SequenceTruth(split, kept, 12 * c, masks=False)
    write_untrimmed(root, camera, backdrop, make_joints(N_UNTRIMMED // 5, rng))
    joints = actor.pose_skeleton(actor.move(4, seed, at=(0, 0, 950), step_mm=54), NAMES)
    starts = rendered.render_clip(root / "synthetic", RENDERED, joints, FIGURE, seed, 108)
    kept = [(i, 0) for i in truth.frames_kept(joints)]
    sequences |= {key: truth.SequenceTruth("train", kept, n) for key, n in starts.items()}
    pattern = r"(?P<sequence>[A-Za-z.]+_p\d\d_r\d\d_v\d\d_c\d\d(/v\d)?)[/_](?P<frame>\d{6})"
    more = {"raw_masks": True, "n_people": 2, "box": "joints"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern + r"(_0)?\.jpg$", sequences, **more))


def make_joints(n: int, rng: np.random.Generator) -> np.ndarray:
    """Returns joints ``[n, 13, 3]``, mm, z up, of somebody who swings their limbs on the spot."""
    motion = actor.move(n, int(rng.integers(99)), at=(0, 0, 950), step_mm=0, swing=0.42)
    return actor.pose_skeleton(motion, NAMES)


def write_untrimmed(root: Path, camera, backdrop, joints: np.ndarray) -> None:
    """Writes a longer video, in which every picture is shown five times, and its actions."""
    numbers = [i // 5 for i in range(N_UNTRIMMED)]
    shots = [shoot.shoot(backdrop, camera, [shoot.Actor(at, FIGURE)]) for at in joints]
    nobody = shoot.shoot(backdrop, camera, [])
    pictures = [shots[k] if i in SEEN else nobody for i, k in enumerate(numbers)]
    video.write_video(root / f"Videos_mp4/{UNTRIMMED}.mp4", pictures, 25)
    people = [[find_person(camera, joints[k], HIPS)] * (i in SEEN) for i, k in enumerate(numbers)]
    lcrnet.write_found_people(root / f"Skeleton/results_{UNTRIMMED}_lcrnet+v3d.json", people)
    rows = [("event", "start_frame", "end_frame"), *(row[:3] for row in ACTIONS)]
    writers.write_csv(root / f"Annotation/P03/{UNTRIMMED}.csv", rows)
    told = {"subset": "training", "duration": N_UNTRIMMED}
    told["actions"] = [[number, start, end] for _, start, end, number in ACTIONS]
    writers.write_json(root / "smarthome_CS_51.json", {UNTRIMMED: told})
