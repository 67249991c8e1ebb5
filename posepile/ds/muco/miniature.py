"""A tiny MuCo-3DHP in the official layout, with the takes of MPI-INF-3DHP that it is made of.

Of the composites one has a chair in front of people, one the same person twice, one is missing
since a mask is, one has a take whose masks' red is not of the person, one a source twice. Where
the universal skeletons are in another order of depth than the true ones, they decide.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import markerless, shoot, skeleton, truth, writers

NAMES = (
    "thor spi4 spi2 lcla lhan rcla rhan lfoo ltoe rfoo rtoe htop neck rsho relb rwri lsho lelb "
    "lwri rhip rkne rank lhip lkne lank spin head pelv"
).split()
EXTENDED = [*markerless.TESTED, "rhan", "lhan", "rtoe", "ltoe"]
KEPT, EXTENDED_ROWS = (
    [markerless.STUDIO.index(name) for name in names] for names in (NAMES, EXTENDED)
)
FIGURE, SIZE = skeleton.make_figure(NAMES), markerless.SIZE
CHAIR = (40, 40, 40)
TAKES = {  # subject, sequence -> universal size, how much farther it is, where the person is (mm)
    (1, 2): (0.94, 0, (-700, 950, -500)),
    (2, 1): (0.97, 0, (-1150, 950, 300)),
    (3, 1): (1.04, 900, (-350, 950, 500)),
    (6, 2): (1.07, 0, (450, 950, 0)),
    (8, 1): (1.02, 0, (1250, 950, -400)),
}
# Camera; subject, sequence and frame of each person. In the third a mask lacks.
COMPOSITES = (
    (0, (2, 1, 9), (6, 2, 12), (3, 1, 4), (8, 1, 15)),
    (7, (8, 1, 2), (3, 1, 0), (2, 1, 3), (2, 1, 13)),
    (0, (2, 1, 0), (6, 2, 3), (3, 1, 11), (8, 1, 7)),
    (0, (2, 1, 4), (6, 2, 12), (1, 2, 4), (8, 1, 15)),
    (2, (6, 2, 7), (8, 1, 6), (6, 2, 7), (3, 1, 8)),
)
MISSING, NO_SILHOUETTE = (3, 1, 11), (1, 2)
N_FRAMES = 17  # labelled
CHAIRS = {(0, 6, 2): np.s_[1180:1500, 560:760]}  # pixels of camera, subject and sequence


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng = Path(root), np.random.default_rng(seed)
    cameras, chunk, examples = markerless.studio_cameras(rng, 4100), [], []
    takes = {take: write_take(root, take, cameras, rng) for take in TAKES}
    info = np.empty((len(COMPOSITES), 4), object)
    for i, (c, *sources) in enumerate(COMPOSITES):
        backdrop, told, shots = shoot.Backdrop(SIZE, seed + c), [], []
        for p, (s, q, f) in enumerate(sources):
            joints, labels = takes[s, q]
            told.append({key: value[f, EXTENDED_ROWS].T for key, value in labels[c].items()})
            two, three, univ = (told[p][key] for key in ("annot2", "annot3", "univ_annot3"))
            box = [
                np.clip(two.min(axis=1) - 320, 1, 2048),
                np.clip(two.max(axis=1) + 320, 1, 2048),
            ]
            box = np.concatenate([box[0], box[1] - box[0]])[None]
            info[i, p] = np.empty((1, 7), object)
            row = np.array([[s, q, c, f]], float), box, two, univ, 0 * univ, 0 * univ, three
            for k, value in enumerate(row):
                info[i, p][0, k] = value
            who = shoot.Actor(joints[f, KEPT], FIGURE, p)
            shots.append(shoot.shoot(backdrop, cameras[c], [who], i + 1))
            if (s, q, f) != MISSING:
                write_masks(root / f"3dhp/S{s}/Seq{q}", (c, f), shots[p], (s, q))
        if MISSING in sources:
            continue
        near_first = sorted(range(4), key=lambda p: told[p]["univ_annot3"][2, 14])
        image = shots[near_first[-1]].image
        for p in reversed(near_first):
            image[CHAIRS.get((c, *sources[p][:2]), np.s_[:0])] = CHAIR
            seen = shots[p].people[0].mask(SIZE)
            if sources.index(sources[p]) == p:
                image[seen] = shots[p].image[seen]
                if NO_SILHOUETTE not in [source[:2] for source in sources]:
                    examples.append((i + 1, p))
        chunk.append((f"{i + 1:06d}.jpg", [told[p] for p in near_first]))
        writers.write_jpeg(root / f"unaugmented_set_001/{i + 1:06d}.jpg", image)
    writers.write_mat73(root / "sampled_dataset_info.mat", {"composite_info": info})
    mat = {"img_names": np.array([[name for name, _ in chunk]], object)}
    for key, of in (("joint_loc2", "annot2"), ("joint_loc3", "univ_annot3")):  # [:, 21, 4, n]
        mat[key] = np.stack([np.stack([t[of] for t in told], axis=2) for _, told in chunk], axis=3)
    mat["joint_loc3"] -= mat["joint_loc3"][:, 14:15]
    writers.write_mat(root / "unaugmented_set_001/chunk_00001_annot.mat", mat)
    pattern = r"(?P<frame>\d{6})_(?P<person>\d)\.jpg$"
    sequences = {"": truth.SequenceTruth("train", sorted(examples))}
    more = {"n_people": 4, "raw_masks": True, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def write_take(root: Path, take: tuple, cameras: list, rng) -> tuple[np.ndarray, list[dict]]:
    """Writes labels and calibration of a take; returns joints ``[n, 28, 3]`` and each camera's."""
    (scale, farther, at), folder = TAKES[take], root / "3dhp/S{}/Seq{}".format(*take)
    joints = markerless.studio_joints(range(N_FRAMES), rng, at, 25 * take[0])
    labels = [markerless.label_joints(c, joints, markerless.STUDIO, scale) for c in cameras]
    for told in labels:
        told["univ_annot3"][..., 2] += farther
    markerless.write_take(folder, cameras, labels)
    return joints, labels


def write_masks(folder: Path, name: tuple[int, int], shot: shoot.Picture, take: tuple) -> None:
    """Writes the masks of a source: red is the person, green and blue are no clothing."""
    path, (ground, color) = "img_{}_{:06d}.jpg".format(*name), ((0, 255, 255), (255, 255, 255))
    if take == NO_SILHOUETTE:
        ground, color = color, ground
    mask = np.full((*SIZE[::-1], 3), ground, np.uint8)
    shot.people[0].paint(mask, color)
    writers.write_jpeg(folder / "FGmasks" / path, mask)
    mask = np.full(SIZE[::-1], 255, np.uint8)
    mask[CHAIRS.get((name[0], *take), np.s_[:0])] = 0
    writers.write_jpeg(folder / "ChairMasks" / path, mask)
