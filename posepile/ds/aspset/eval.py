"""The official ASPset-510 evaluation: six numbers, the same figures as the official toolkit's.

Predictions are one file per clip and view, or per clip where the clip has a single view:
``<subject>-<clip>[-<view>].c3d|json|csv`` anywhere below the folder, skeleton aspset_17j,
WORLD coordinates (the frame of the left camera: predictions made in the frame of mid or right must
be transformed first, for the root-relative numbers as well), at 10 Hz (test) or 50 Hz.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from posepile.ds.aspset import main as aspset
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol
from posepile.evaluation.command import run_benchmark, split_option
from posepile.evaluation.forms import files_of_clips
from posepile.evaluation.trajectories import read_trajectory
from posepile.metrics import align
from posepile.recipe import SPLITS

CHOICES = {split: (split,) for split in SPLITS} | {"trainval": ("train", "val"), "all": SPLITS}
PELVIS = aspset.LABELS.index("pelvis")
THRESHOLD, KNEE_NECK_MM = (
    150.0,
    910.0,
)  # of PCK; universal height, of which one leg stands for both
KNEE_NECK = (("left_knee", "left_hip"), ("spine", "pelvis"), ("neck", "spine"))
KINDS = ("", "Root-relative ", "Procrustes-aligned ")

OFFICIAL = Protocol(
    "aspset.official",
    tuple(f"{kind}{name}" for name in ("MPJPE_mm", "PCK") for kind in KINDS),
    joints="all 17",
    root="none, in world coordinates (root-relative: pelvis)",
    alignment="none (Procrustes-aligned: similarity, its scale from the plain singular values)",
    averaging="all poses and joints",
    source="aspset510.bin.evaluate",
    frames="test: every 5th (10 Hz); else all (50 Hz); every view of splits.csv",
    note="float32; PCK is a fraction at 150 mm, the threshold included, and counts the pelvis in "
    "the root-relative variant too; a joint missing in the truth makes MPJPE NaN and is a miss",
    nan_counts=True,
    joint_names=tuple(aspset.LABELS),
)
SCALED = "truth (only) scaled about the world origin to 910 mm from knee to neck (option --univ); "
UNIVERSAL = OFFICIAL.variant("aspset.universal", note=SCALED + OFFICIAL.note)


def truth(setup):
    """Yields every clip and view of the split."""
    step = 5 if setup.args.split == "test" else 1
    for name, file in clip_views(setup).items():
        joints = aspset.load_joints(file, "accept")[::step].astype(np.float64)
        joints = to_universal_scale(joints) if setup.protocol == UNIVERSAL else joints
        keys = [str(step * i) for i in range(len(joints))]
        yield Clip(name, keys, {"joints": joints}, {"subject": [file.parent.name] * len(keys)})


def predictions(setup):
    """Returns the opened folder with a file per clip and view."""
    rate = 10.0 if setup.args.split == "test" else aspset.RATE
    names = {name: [name, file.stem] for name, file in clip_views(setup).items()}
    read = partial(read_trajectory, joints=aspset.LABELS, skeleton=aspset.SKELETON, rate=rate)
    return files_of_clips(setup.pred_path, names, read)


def score(setup, clip, pred):
    """Returns distances and hits of each joint."""
    pred, true = (side["joints"].astype(np.float32) for side in (pred, clip.truth))
    aligned = align(pred, true, plain_scale=True, single=True)
    aligned[~np.isfinite(true).all(axis=(1, 2))] = np.nan  # the official solver raises there
    relative = (joints - joints[:, [PELVIS]] for joints in (pred, true))
    away = [np.linalg.norm(t - p, axis=-1) for p, t in ((pred, true), relative, (aligned, true))]
    return dict(zip(OFFICIAL.figures, [*away, *(a <= THRESHOLD for a in away)], strict=True))


def to_universal_scale(poses):
    """Returns poses ``[n, 17, 3]``, each scaled about the world origin to the universal height."""
    ends = ([poses[:, aspset.LABELS.index(joint)] for joint in bone] for bone in KNEE_NECK)
    height = sum(np.linalg.norm(a - b, axis=-1) for a, b in ends)
    return poses * (KNEE_NECK_MM / height)[:, None, None]


def clip_views(setup):
    """Returns clip and view -> the file of its truth."""
    chosen = aspset.Options(splits=list(CHOICES[setup.args.split]))
    return {Path(u.id).name: u.inputs[1] for u in aspset.list_units(setup.root, chosen)}


SPLIT = split_option(CHOICES, "test")
BENCHMARK = Benchmark(
    "aspset", (OFFICIAL, UNIVERSAL), truth, predictions, score, add_options=SPLIT
)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
