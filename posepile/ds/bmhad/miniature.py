"""A tiny Berkeley MHAD in the layout of the official demos: two sequences, up to four views.

Cameras of cluster 3 are missing in S05/A02/R05, as they are in the real one. Numbers of l01 and
places of the other reference cameras are the real ones. Rows of the Kinect's correspondences are
not numbered as its files are; on the way a marker is lost, in the text as zeros or NaN.
"""

import re
from pathlib import Path

import numpy as np

from posepile.miniature import actor, opencv_files, rig, shoot, skeleton, truth, writers

MARKERS = (
    "head lhead rhead rback backl backt lback lside bell chest rside lsho1 lsho2 larm lelb lwri "
    "lhan1 lhan2 lhan3 rsho1 rsho2 rarm relb rwri rhan1 rhan2 rhan3 lhipb lhipf lhipl lleg lkne "
    "lank lhee lfoo rhipb rhipf rhipl rleg rkne rank rhee rfoo"
).split()
DRAWN_AS = {"chest": "thor", "lsho1": "lsho", "rsho1": "rsho", "lhipl": "lhip", "rhipl": "rhip"}
DRAWN_AS |= {"lhan3": "lhan", "rhan3": "rhan"}
JOINTS = [DRAWN_AS.get(name, name) for name in MARKERS]
FIGURE = skeleton.make_figure(JOINTS)
MIXED = {  # where markers are that are not drawn: shares of joints; l stands for r as well
    "lhead": "head 1 lsho .2 rsho -.2", "lback": "lsho .6 pelv .4 head .6 nose -.6",
    "backl": "bell 1 head 1 nose -1", "backt": "neck 1 head .7 nose -.7",
    "lside": "lsho .4 lhip .6", "lsho2": "lsho .9 lelb .1", "larm": "lsho .5 lelb .5",
    "lhan1": "lwri .4 lhan .6 head -.2 nose .2", "lhan2": "lwri .4 lhan .6 head .2 nose -.2",
    "lhipb": "lhip .6 pelv .4 head .9 nose -.9", "lhipf": "lhip .7 pelv .3 head -.9 nose .9",
    "lleg": "lhip .5 lkne .5",
}  # fmt: skip
SIZE, N = (640, 480), 5
ROWS = {"": [0, 22, 44, 65, 87], "kin01": [0, 16, 32, 48, 64, 80]}  # of the poses, per picture
TAKES = {(1, 1, 1): ("l01c01", "l01c02", "l03c01", "k01"), (5, 2, 5): ("l01c01",)}
LOST, LOST_AS = MARKERS.index("lhee"), {1: 0, 5: np.nan}  # rows 40 to 69
PLACES = {"l01": (1925, 1435, 2414), "l03": (1839, 1398, -1881), "k01": (2243, 1278, 2254)}
MIDDLE = (620, 940, 120)  # where they look
LENSES = {  # fx, fy, cx, cy, distortion
    "l01c01": (523.625, 524.780, 351.502, 225.299, -0.30727, 0.11958, 7.8e-6, -0.00181),
    "l01c02": (530.1, 531.2, 322.4, 241.7, -0.29841, 0.10223, 0.00032, 0.00071),
    "l03c01": (526.4, 527.7, 330.8, 236.2, -0.31102, 0.12731, -0.0004, 0.00055),
    "k01": (531.492, 532.1, 314.638, 252.4, 0.19607, -0.36734, -0.00248, -0.00190),
}
RELATIVE = {"l01c02": (-130, 12, 25, 0.02, -0.05, 0.015)}  # to the cluster's first camera


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    backdrop, cameras = shoot.Backdrop(SIZE, seed), write_cameras(root / "Calibration")
    for (s, a, r), views in TAKES.items():
        name, folder = f"s{s:02d}_a{a:02d}_r{r:02d}", f"S{s:02d}/A{a:02d}/R{r:02d}"
        joints = make_joints(int(rng.integers(99)))
        told = joints.copy()
        told[40:70, LOST] = np.nan
        in_text = np.where(np.isnan(told), LOST_AS[s], told).reshape(len(told), -1)
        mocap = root / f"Mocap/OpticalData/moc_{name}"
        turned = told[..., [0, 2, 1]] * (-1, 1, 1)  # z up, x to the other side
        writers.write_c3d(mocap.with_suffix(".c3d"), turned, MARKERS, 480)
        lines = (" ".join(f"{v:.4f}" for v in [*row, k / 480, 0]) for k, row in enumerate(in_text))
        writers.write_text(mocap.with_suffix(".txt"), "\n".join(lines) + "\n")
        for kind, rows in ROWS.items():
            place = root / f"{'Kinect' if kind else 'Camera'}/Correspondences"
            numbered = [i + bool(kind) * (i > 1) for i in range(len(rows))]
            lines = [f"{i} {k / 480:.3f} {k}\n" for i, k in zip(numbered, rows, strict=True)]
            writers.write_text(place / f"corr_moc_{kind or 'img'}_{name}.txt", "".join(lines))
        for view in views:
            rows, start = ROWS["kin01" if view == "k01" else ""], 31 * len(sequences)
            kind, path = "img", f"Camera/Cluster{view[1:3]}/Cam{view[4:]}/{folder}"
            if view == "k01":
                kind, path = "kin", f"Kinect/Kin01/{folder}"
            prefix = f"{kind}_{view.replace('c', '_c')}_{name}"
            shots = shoot.shoot_frames(backdrop, cameras[view], joints[rows], FIGURE, start)
            for i, shot in enumerate(shots):
                write_picture(root / path, prefix, i, shot.image)
            kept = truth.frames_kept(told[rows], against="all")
            sequences[path] = truth.SequenceTruth("train", [(i, 0) for i in kept], start)
    pattern = r"(?P<sequence>(Camera/Cluster\d+/Cam\d+|Kinect/Kin\d+)/S\d+/A\d+/R\d+)/\w+_"
    made = truth.make_truth(FIGURE, pattern + r"(?P<frame>\d{5})\.jpg$", sequences, box="joints")
    truth.write_truth(root, made)


def make_joints(seed: int) -> np.ndarray:
    """Returns markers ``[T, 43, 3]``, 480 per second, mm, y up; pictures are 22 of them apart."""
    motion = actor.move(N + 1, seed, up="y", at=MIDDLE, turned=20)
    names = [*JOINTS, "neck", "pelv", "nose"]
    at = dict(zip(names, actor.pose_skeleton(motion, names).swapaxes(0, 1), strict=True))
    texts = [f"{name} {text}" for name, text in MIXED.items()]
    texts += [re.sub(r"\b[lr]", lambda m: "lr"[m[0] == "l"], t) for t in texts if t[0] == "l"]
    for name, *words in map(str.split, texts):
        parts = zip(words[::2], map(float, words[1::2]), strict=True)
        at[name] = sum(share * at[joint] for joint, share in parts)
    joints = np.stack([at[name] for name in JOINTS], axis=1)
    times = np.arange(ROWS[""][-1] + 8) / 22
    first, rest = times.astype(int), (times % 1)[:, None, None]
    return (1 - rest) * joints[first] + rest * joints[first + 1]


def write_cameras(folder: Path) -> dict[str, rig.RigCamera]:
    """Writes a file of lenses and one of the place for each cluster; returns the cameras."""
    cameras = {}
    for cluster, place in PLACES.items():
        at = rig.make_camera(SIZE, place, MIDDLE, 500, up="y")
        turn = " ".join(f"{v:.10g}" for v in at.rotation.flat)
        shift = " ".join(f"{v:.8g}" for v in at.translation)
        writers.write_text(folder / f"RwTw_{cluster}.txt", f"Rw={turn} \nTw={shift} \n")
        names = [name for name in LENSES if name.startswith(cluster)]
        nodes = {"Number of cameras": len(names)}
        for k, name in enumerate(names, 1):
            fx, fy, cx, cy, *lens = LENSES[name]
            matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
            relative = np.array(RELATIVE.get(name, (0,) * 6), float)
            nodes[f"Camera_{k}"] = {"K": matrix, "Dist": lens, "PosRel": relative}
            turn = actor.matrix(relative[3:])
            pose = turn @ at.rotation, turn @ at.translation + relative[:3]
            cameras[name] = rig.RigCamera(SIZE, matrix, *pose, (*lens, 0.0))
        opencv_files.write_opencv_yaml(folder / f"camcfg_{cluster}.yml", nodes)
    return cameras


def write_picture(folder: Path, prefix: str, i: int, image: np.ndarray) -> None:
    """Writes the mosaic of a camera, green and red above blue and green; a Kinect's picture."""
    if prefix.startswith("kin"):
        opencv_files.write_netpbm(folder / f"{prefix}_color_{i:05d}.ppm", image)
        depth = np.zeros(image.shape[:2], np.uint16)
        opencv_files.write_netpbm(folder / f"{prefix}_depth_{i:05d}.pgm", depth)
        return
    mosaic = image[..., 1].copy()
    mosaic[::2, 1::2], mosaic[1::2, ::2] = image[::2, 1::2, 0], image[1::2, ::2, 2]
    opencv_files.write_netpbm(folder / f"{prefix}_{i:05d}.pgm", mosaic)
