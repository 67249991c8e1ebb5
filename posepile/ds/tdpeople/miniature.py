"""A tiny 3DPeople in the official layout: a woman seen by four cameras, a man of the test set.

There is a skeleton before the first picture. One camera's skeletons have a header, another's PNGs
a palette. The joints are in the order of the official list; another one can be asked for.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, writers

SIDES = {
    side: [side + name for name in "cla sho elb wri".split()]
    + [f"{side}{f}{k}" for f in "middle thumb index ring pinky".split() for k in range(1, 5)]
    for side in "lr"
}
LEGS = {side: [side + name for name in "hip kne ank foo to2".split()] for side in "lr"}
OFFICIAL = "pelv bell spin thor neck head htop reye leye".split()
OFFICIAL = [*OFFICIAL, *SIDES["l"], *SIDES["r"], *LEGS["r"], *LEGS["l"]]
FINGERS = {"middle": 1.0, "thumb": 0.85, "index": 0.94, "ring": 0.9, "pinky": 0.75}  # lengths
KEPT = "pelv bell spin thor neck head reye leye htop".split()
KEPT += [*SIDES["l"][:5], *SIDES["r"][:5], *LEGS["l"], *LEGS["r"]]
NAMES = (  # of those, in the dataset
    "pelv spin spi1 spi2 neck head reye leye htop lcla lsho lelb lwri lhan rcla rsho relb rwri "
    "rhan lhip lkne lank lfoo ltoe rhip rkne rank rfoo rtoe"
).split()
FIGURE = skeleton.make_figure(NAMES, radius_mm=62)
SIZE, GREY, UNIT_MM = (640, 480), (153, 153, 153), 100
LENS = np.array([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]])
LOOKS = "wpskin08_bottom70_glasses01_hair13_shoes19_top23_none_none_background1928"
SKIN, TOP, TROUSERS, SHOES = (200, 150, 120), (153, 153, 178), (60, 90, 10), (20, 20, 20)
PARTS = {  # ends of a limb -> colours of its body part and of what is worn on it
    "neck htop": ((128, 64, 0), SKIN),
    "rsho relb": ((128, 0, 128), TOP),
    "relb rwri": ((128, 128, 255), TOP),
    "rwri rmiddle4": ((255, 128, 128), SKIN),
    "lsho lelb": ((0, 0, 255), TOP),
    "lelb lwri": ((128, 128, 0), TOP),
    "lwri lmiddle4": ((0, 128, 0), SKIN),
    "neck pelv": ((128, 0, 0), TOP),
    "lsho lhip": ((128, 0, 0), TOP),
    "rsho rhip": ((128, 0, 0), TOP),
    "rhip rkne": ((128, 255, 128), TROUSERS),
    "rkne rank": ((255, 255, 128), TROUSERS),
    "rank rto2": ((255, 0, 255), SHOES),
    "lhip lkne": ((0, 0, 128), TROUSERS),
    "lkne lank": ((0, 128, 128), TROUSERS),
    "lank lto2": ((255, 128, 0), SHOES),
}
TAKES = (  # subject, action, split, cameras, pictures
    ("woman17", "02_04_jump", "train", 4, 4),
    ("man36", "05_11_dance", "test", 2, 3),
)
WITH_HEADER, WITH_PALETTE = 2, 3  # cameras


def build(root: Path, seed: int = 0, names: list[str] = OFFICIAL) -> None:
    """Writes the miniature below ``root``; ``names`` are those of the rows of skeleton files."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    kept = [names.index(name) for name in KEPT]
    for subject, action, split, n_cameras, n in TAKES:
        joints = make_joints(n + 1, names, rng)  # frame 0 has no picture
        for c in range(1, n_cameras + 1):
            name, start = f"{subject}/{action}/camera{c:02d}", 11 * len(sequences)
            place = rig.around((0, 0, 950), 5470, 90 * c + rng.uniform(-30, 30), 500)
            camera = rig.make_camera(SIZE, place, (0, 0, 950), 700)
            camera = rig.RigCamera(SIZE, LENS, camera.rotation, camera.translation)
            backdrop = shoot.Backdrop(SIZE, seed + c)
            shots = shoot.shoot_frames(backdrop, camera, joints[:, kept], FIGURE, start)
            for k, (shot, points) in enumerate(zip(shots, joints, strict=True)):
                text = "# u v depth x y z\n" if c == WITH_HEADER else ""
                columns = [camera.project(points), camera.depth(points)[:, None] / UNIT_MM]
                for row in np.concatenate([*columns, points / UNIT_MM], axis=1):
                    text += " ".join(f"{value:.8e}" for value in row) + "\n"
                writers.write_text(root / f"skeleton/{name}/{k:04d}.txt", text)
                if k:
                    writers.write_jpeg(root / f"rgb/{name}/{LOOKS}/{k:04d}.jpg", shot.image)
                    write_parts(root, f"{name}/{k:04d}.png", shot, points, names, camera, c)
            told = [(k, 0) for k in truth.frames_kept(joints, among=range(1, n + 1))]
            sequences[name] = truth.SequenceTruth(split, told, start)
    pattern = r"(?P<sequence>\w+/\w+/camera\d\d)/(?:[^/]+/)?(?P<frame>\d{4})(?:_0)?\.jpg$"
    more = {"raw_masks": True, "facts": {"order": list(names)}}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_joints(n: int, names: list[str], rng) -> np.ndarray:
    """Returns joints ``[n, 67, 3]``, millimetres, z up; no two fingers are equally long."""
    motion = actor.move(n, int(rng.integers(99)), at=(0, 0, 950), turned=rng.uniform(0, 360))
    joints = actor.pose_skeleton(motion, names)
    for j, name in enumerate(names):
        if name[1:-1] in FINGERS:
            wrist = joints[:, names.index(f"{name[0]}wri")]
            joints[:, j] = wrist + FINGERS[name[1:-1]] * (joints[:, j] - wrist)
    return joints


def write_parts(root: Path, path: str, shot, points, names, camera, c: int) -> None:
    """Writes both segmentations of a picture; a pixel belongs to the nearest limb there."""
    mask = shot.people[0].mask(SIZE)
    rows, columns = mask.nonzero()
    ends = points[[[names.index(name) for name in limb.split()] for limb in PARTS]]
    start, limb = camera.project(ends[:, 0]), np.diff(camera.project(ends), axis=1)[:, 0]
    off = np.stack([columns, rows], axis=1)[:, None] - start
    along = np.clip((off * limb).sum(axis=2) / (limb**2).sum(axis=1), 0, 1)[..., None]
    off, depth = np.linalg.norm(off - along * limb, axis=2), camera.depth(ends.mean(axis=1))
    covers = off < FIGURE.radius_mm * LENS[0, 0] / depth
    index = np.zeros(SIZE[::-1], np.uint8)
    index[rows, columns] = np.where(covers, depth, 1e5 + off).argmin(axis=1) + 1
    for k, kind in enumerate(("segmentation_body", "segmentation_clothes")):
        colors = np.uint8([GREY, *(pair[k] for pair in PARTS.values())])
        picture = (index, colors) if c == WITH_PALETTE else (colors[index],)
        writers.write_png(root / kind / path, *picture)
