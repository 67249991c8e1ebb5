"""A tiny Human3.6M in the official layout: takes of S1 (training) and S9 (test), four cameras.

S9's ``Greeting`` is published 200 mm off in world x, poses and boxes alike, and its videos go on
after its last pose; S1's ``WalkingDog 1`` has another name among the poses; ``_ALL`` is not used.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, video, writers

RAW = (  # the 32 joints of the files, some of them twice
    "pelv rhip rkne rank rfoo rtoe lhip lkne lank lfoo ltoe pelv tors neck head htop neck lsho "
    "lelb lwri lwri lthu lfin lfin neck rsho relb rwri rwri rthu rfin rfin"
).split()
KEPT = [1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27, 0]
FIGURE = skeleton.make_figure([RAW[j] for j in KEPT])
ACTIONS = (
    "Miscellaneous:_ALL Directions Discussion Eating Greeting Phoning Posing Purchases Sitting "
    "SittingDown Smoking TakingPhoto:Photo Waiting Walking WalkingDog:WalkDog "
    "WalkingTogether:WalkTogether"
).split()  # and how names of takes begin, where not with the action
CAMERAS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}  # heights
LENS = np.array([1147, 1146, 514, 507, -0.2, 0.24, -0.004, -0.0018, -0.0009])  # f, c, k123, p12
# Where along the motion the actor is in each frame. Every fifth is 1, 5, 1, 5 … steps on.
TO_AND_FRO = [0, 1, 2, 3, 2, 1, *range(2, 10), 8, 7, *range(8, 15)]
HALTING = [0, 1, *[2] * 61, *range(3, 10)]  # nobody looks at frames 3 to 62: all one picture
TAKES = (  # subject, split, name, name among the poses, where, number of poses, published offset
    ("S1", "train", "WalkingDog 1", "WalkDog 1", TO_AND_FRO, 21, 0),
    ("S1", "", "_ALL", "_ALL", range(4), 2, 0),
    ("S9", "test", "Greeting", "Greeting", HALTING, 66, 200),
    ("S9", "test", "Greeting 1", "Greeting 1", range(6), 3, 0),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences, lengths = Path(root), np.random.default_rng(seed), {}, {}
    lenses = LENS * (1 + rng.normal(0, 0.01, (4, 9)))
    turns = np.arange(4)[:, None] * np.pi / 2 + np.pi / 4 + rng.normal(0, 0.02, (4, 11))
    roll, x, y = rng.normal(0, 0.02, (4, 11)), -5200 * np.sin(turns), -5200 * np.cos(turns)
    outer = np.stack([roll + 1.69, roll, turns, x, y, 0 * x + 1550], axis=-1)
    backdrops = [shoot.Backdrop((1000, h), seed) for h in CAMERAS.values()]
    for subject, split, name, in_poses, where, n, offset in TAKES:
        motion = actor.move(max(where) + 1, int(rng.integers(99)), at=(100, 0, 950), turned=20)
        joints = actor.pose_skeleton(motion, RAW)[list(where)]
        told, folder = joints[:n] + np.array([offset, 0, 0]), root / subject
        pose = {"Pose": np.float32(told).reshape(1, n, 96)}
        writers.write_cdf(folder / f"MyPoseFeatures/D3_Positions/{in_poses}.cdf", pose)
        kept = truth.frames_kept(joints[:, KEPT], among=range(0, n, 5))
        kept = kept if split == "train" else range(0, n, 64)
        lengths[subject, name] = [len(where) - k for k in (2, 0, 0, 2)] + [4 * n + 3]
        for c, (view, height) in enumerate(CAMERAS.items()):
            camera = make_camera(height, lenses[c], outer[c, int(subject[1:]) - 1])
            file, start = f"{name}.{view}", 31 * len(sequences)
            seen = joints[: lengths[subject, name][c], KEPT]
            shots = shoot.shoot_frames(backdrops[c], camera, seen, FIGURE, start)
            video.write_video(folder / f"Videos/{file}.mp4", shots, 50)
            pose = {"Pose": np.float32(camera.project(told)).reshape(1, n, 64)}
            writers.write_cdf(folder / f"MyPoseFeatures/D2_Positions/{in_poses}.{view}.cdf", pose)
            boxes = np.empty((1, n), object)
            for i in range(n):  # a box goes where the pelvis goes; it is stored as a mask
                here, there = joints[i, 0], told[i, 0]
                box = np.reshape(shots[i].people[0].box(), (2, 2)) + 0.5 - camera.project(here)
                box = box * camera.depth(here) / camera.depth(there) + camera.project(there)
                (left, top), (right, bottom) = np.round(box).astype(int)
                boxes[0, i] = np.zeros((height, 1000), np.uint8)
                boxes[0, i][top:bottom, left:right] = 1
            place = folder / "MySegmentsMat" / "ground_truth_bb"
            writers.write_mat73(place / f"{file}.mat", {"Masks": boxes})
            if split:
                expected = truth.SequenceTruth(split, [(k, 0) for k in kept], start)
                sequences[f"{subject}/Images/{file}"] = expected
    write_metadata(root / "Release-v1.2" / "metadata.xml", [*outer.flat, *lenses.flat], lengths)
    pattern = r"(?P<sequence>S\d+/Images/[^/]+)/frame_(?P<frame>\d+)\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences))


def make_camera(height: int, lens: np.ndarray, outer: np.ndarray) -> rig.RigCamera:
    """Returns a camera from its numbers in the metadata; its lens is nearly OpenCV's."""
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = lens
    x, y, z = (actor.matrix(turn) for turn in np.diag(outer[:3]))
    matrix, t = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), -x @ y @ z @ outer[3:]
    pose, distortion = (x @ y @ z, t), (k1, k2, p1, p2, k3)
    return rig.RigCamera((1000, height), matrix, *pose, distortion, half_tangential=True)


def write_metadata(path: Path, w0: list, lengths: dict) -> None:
    """Writes names and lengths of all takes, most of which are not here, and the cameras."""
    subjects = [f"S{s}" for s in range(1, 12)]
    mapping, frames = [["Action", "subaction", *subjects]], [[""] for _ in subjects]
    for a, action in enumerate(ACTIONS, 1):
        for sub in (1, 2):
            names = [action.split(":")[-1] + " 1" * (2 - sub)] * 11
            names[0] = names[0].replace("WalkDog", "WalkingDog")
            mapping.append([str(a), str(sub), *names])
            for row, take in zip(frames, zip(subjects, names, strict=True), strict=True):
                row.append(str(lengths.get(take, [60, 63, 63, 60, 240])).replace(",", ""))
    tall = {"S4", "S7", "S10"}
    sizes = [[f"{1002 if s in tall else h} 1000" for h in CAMERAS.values()] for s in subjects]
    mapping += [["", "", *subjects], ["", "", *(f"[{';'.join(size)}]" for size in sizes)]]
    tables = writers.xml_table("mapping", mapping), writers.xml_table("frames", frames)
    cameras = ("dbcameras", [("index2id", [("td", view) for view in CAMERAS])])
    actions = ("actionnames", [("td", action.split(":")[0]) for action in ACTIONS])
    numbers = ("w0", f"[{' '.join(repr(float(v)) for v in w0)}]")
    writers.write_xml(path, ("a", [*tables, numbers, cameras, actions]))
