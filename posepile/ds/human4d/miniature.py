"""A tiny HUMAN4D in the official layout: a recording of each of two subjects, by two sensors.

Sensors lie on their side, so pictures must be turned clockwise to be upright, and their poses are
those of the depth cameras. The first groups are from before the motion capture starts, a pose is
missing, and a group lacks a sensor's picture. Numbers of groups grow by a digit on the way.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, writers

RAW = (
    "pelv spin0 spin1 spin2 spin3 neck neck2 head htop neck3 rsho relb rwri rpinkie rthu "
    "neck4_del lsho lelb lwri lpinkie lthu rhip rkne rank rfoo rtoe rtoe2 lhip lkne lank "
    "lfoo ltoe ltoe2"
).split()
# Where the studio's skeleton has these joints; spin1 and neck2 are in the middle of two.
STUDIO = (
    "pelv bell bell spin thor neck neck head htop thor rsho relb rwri rpinky rthu thor lsho lelb "
    "lwri lpinky lthu rhip rkne rank rfoo rtoe rto2 lhip lkne lank lfoo ltoe lto2"
).split()
KEPT = [j for j in range(33) if j != 15]
FIGURE = skeleton.make_figure([RAW[j] for j in KEPT])
SIZE = (1280, 720)
SENSORS = {"M72h": 25, "M72e": 250}  # where they stand, degrees
NO_POSE = "M72i"  # is among the devices, but has no pose
N, BEFORE = 9, 2  # groups; those before the motion capture starts
RECORDINGS = (  # subject, recording, groups before the capture, index without a pose, lost picture
    ("S1", "19-07-12-07-32-22", 9, 2, None),
    ("S2", "19-07-12-12-01-38", 271, 4, ("M72e", 3)),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrop = shoot.Backdrop(SIZE, seed)
    for r, (subject, name, offset, gap, lost) in enumerate(RECORDINGS):
        cameras, repository = make_sensors(root / subject / "pose", rng)
        # The one file lies in the folder of its subject, the other one beside the subjects.
        writers.write_json(root / ("" if r else subject) / "device_repository.json", repository)
        lines = [f"19-01-01-00-00-00\t12\t3\n{name}\t{offset}\t{offset + 5}\n"]
        writers.write_text(root / subject / "offsets.txt", "".join(lines))
        motion = actor.move(N, int(rng.integers(99)), up="y", at=(400 * r, 950, 0), turned=20)
        joints = actor.pose_skeleton(motion, STUDIO)
        joints[:, 2] = (joints[:, 1] + joints[:, 3]) / 2
        joints[:, 6] = (joints[:, 5] + joints[:, 7]) / 2
        folder, told = root / subject / name, joints[BEFORE:].copy()
        for k, pose in enumerate(told):
            if k == gap:
                told[k] = np.nan
            else:
                writers.write_npy(folder / f"Dump/gposes3d/{k}.npy", pose[None])
        kept, frames, seen = truth.frames_kept(told[:, KEPT], "all"), {}, []
        for s, (sensor, camera) in enumerate(cameras.items()):
            for i in range(N):
                group, number = offset - BEFORE + i, 16 * s + i
                color = f"{group}_{sensor}_color_{46613 + 7 * s + i}"
                if (sensor, i - BEFORE) == lost:
                    continue
                actors = [shoot.Actor(joints[i, KEPT], FIGURE)]
                picture = shoot.shoot(backdrop, camera, actors, 40 * r + number)
                writers.write_png(folder / f"Dump/color/{color}.png", picture.image)
                frames[color] = number
                seen += [(number, 0)] * (i - BEFORE in kept)
            points = camera.project(joints[BEFORE:])[:, None]
            boxes = np.concatenate([points.min(axis=2), points.max(axis=2)], axis=-1)
            writers.write_npy(folder / f"{name}_{sensor}_2d.npy", points)
            writers.write_npy(folder / f"{name}_{sensor}_bbox.npy", boxes)
        expected = truth.SequenceTruth("train", sorted(seen), 40 * r, frames=frames)
        sequences[f"{subject}/{name}"] = expected
    pattern = r"(?P<sequence>S\d/[\d-]+)/Dump/color/(?P<frame>\w+)\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, box="loose"))


def make_sensors(folder: Path, rng) -> tuple[dict[str, rig.RigCamera], list[dict]]:
    """Writes poses of depth cameras; returns the colour cameras and all devices as published."""
    cameras, devices = {}, []
    for sensor, angle in {**SENSORS, NO_POSE: 0}.items():
        place = rig.around((100, 950, 0), 2700, angle, 150, up="y")
        upright = rig.make_camera(SIZE[::-1], place, (100, 930, 0), 915, up="y")
        right, down, ahead = upright.rotation
        to_depth = np.stack([down, -right, ahead])
        turn = actor.matrix(rng.normal(0, 0.006, 3))  # colour camera to depth camera
        shift = np.array([0.035, 0.012, -0.009]) + rng.normal(0, 0.001, 3)  # metres
        lens = np.diag([*rng.normal(920, 4, 2), 1])
        lens[:2, 2] = rng.normal((641, 357), 4)
        pose = turn.T @ to_depth, turn.T @ (-to_depth @ place - 1000 * shift)
        if sensor != NO_POSE:
            rows = [*to_depth.T, place]
            text = "\n".join(" ".join(f"{v:.9f}" for v in row) for row in rows) + "\n"
            writers.write_text(folder / f"{sensor}.extrinsics", text)
            cameras[sensor] = rig.RigCamera(SIZE, lens, *pose)
        device = {"Device": sensor, "Color Intrinsics": [{"1280x720": lens.ravel()}]}
        depth_lens = np.array([910.2, 0, 638.1, 0, 910.2, 360.4, 0, 0, 1])
        device |= {"Depth Intrinsics": [{"1280x720": depth_lens}]}
        device |= {"Color Depth Rotation": turn.ravel(), "Color Depth Translation": shift}
        devices.append(device)
    return cameras, devices
