"""The official ASPset-510 evaluation: six numbers, the same figures as the official toolkit's.

    python -m posepile.ds.aspset.eval --pred-path predictions/ [--split test] [--univ]

Predictions are one file per clip and view, or per clip where the clip has a single view:
``<subject>-<clip>[-<view>].c3d|json|csv`` anywhere below the folder, skeleton aspset_17j,
millimetres, WORLD coordinates (the frame of the left camera: predictions made in the frame of mid
or right must be transformed first, for the root-relative numbers as well). The test split is
compared at 10 Hz, the others at 50 Hz; a file may have any integer multiple of that rate.

What the official figures imply: arrays are float32; each number is the mean over poses of the mean
over all 17 joints; PCK is a fraction at 150 mm, the threshold included, and counts the root joint
in the root-relative variant too; Procrustes takes the scale from the plain sum of singular values.
A joint missing in the truth or in a prediction makes the error NaN and is a miss for PCK.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from posepile.ds.aspset.main import LABELS, RATE, SKELETON, data_dir, load_joints, load_split
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.evaluation.command import Report, add_options, make_parser, run
from posepile.evaluation.predictions import find_file
from posepile.evaluation.results import format_table
from posepile.evaluation.trajectories import read_trajectory, resample
from posepile.metrics import align
from posepile.recipe import SPLITS

# What can be evaluated, and of which splits it consists
CHOICES = {split: (split,) for split in SPLITS} | {"trainval": ("train", "val"), "all": SPLITS}
THRESHOLD = 150.0
ROOT = LABELS.index("pelvis")
KNEE_NECK_MM = 910.0  # universal height; the left leg stands for both


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("aspset", __doc__)
    add_options(parser, "aspset", "folder of predictions", CHOICES, "test")
    flag = {"action": argparse.BooleanOptionalAction, "default": False}
    parser.add_argument("--univ", help="scale the truth to a knee-neck height of 910 mm", **flag)
    parser.add_argument("--skip-missing", help="leave out clips without predictions", **flag)
    return run(parser, report, argv)


def report(root: Path, args: argparse.Namespace) -> Report:
    """Returns what the command line asks for."""
    result = evaluate(root, args.pred_path, args.split, args.univ, args.skip_missing)
    lines = [f"Found {result['n_poses']} poses in {result['n_files']} prediction files."]
    rows = {name: {"value": value} for name, value in result["scores"].items()}
    return Report(result, lines + format_table(rows, ["{value:.4f}"]), f"eval_{args.split}")


def evaluate(
    root: Path, pred_path: Path, split: str = "test", univ: bool = False, skip_missing=False
) -> dict:
    """Returns the six numbers (``scores``), their settings, and which clip views were ``skipped``.

    Args:
        root: Raw folder of the dataset.
        pred_path: Folder that is searched for predictions.
        split: One of ``CHOICES``.
        univ: Scale the truth (only) to the universal height, about the world origin.
        skip_missing: Skip clips whose prediction cannot be found or read, as the official option.
    """
    if not pred_path.is_dir():
        raise UsageError(f"{pred_path}: no such folder of predictions")
    rate = 10.0 if split == "test" else RATE
    pairs, skipped = [], {}
    for names, truth_file in clip_views(root, split):
        truth = load_joints(truth_file, "accept")[:: int(RATE / rate)]
        truth = to_universal_scale(truth.astype(np.float64)) if univ else truth
        try:
            file = find_file(pred_path, *names)
            pred, file_rate = read_trajectory(file, LABELS, SKELETON)
        except WorkError as e:
            if not skip_missing:
                raise
            skipped[names[0]] = str(e)
            continue
        pred = resample(pred, file_rate, rate, file)
        if len(pred) != len(truth):
            found = f"{len(pred)} poses at {rate:g} Hz, but {truth_file.name} has {len(truth)}"
            raise CorruptInput(file, found, hint="predict every frame")
        pairs.append((pred.astype(np.float32), truth.astype(np.float32)))
    if not sum(len(truth) for _, truth in pairs):
        raise WorkError(f"{pred_path}: nothing to evaluate: {len(skipped)} clip views skipped")
    pred, truth = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    facts = {"dataset": "aspset", "split": split, "rate": rate, "univ": univ}
    facts |= {"n_poses": len(truth), "n_files": len(pairs), "skipped": skipped}
    return facts | {"scores": scores(pred, truth)}


def scores(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Returns the six numbers of poses float32 ``[n, 17, 3]``, under their official names."""
    aligned = align(pred, truth, plain_scale=True, single=True)
    # A pose with any missing joint has no official alignment (the toolkit's solver raises).
    aligned[~np.isfinite(pred + truth).all(axis=(1, 2))] = np.nan
    variants = {
        "": (pred, truth),
        "Root-relative ": (pred - pred[:, [ROOT]], truth - truth[:, [ROOT]]),
        "Procrustes-aligned ": (aligned, truth),
    }
    distances = {k: np.linalg.norm(t - p, axis=-1) for k, (p, t) in variants.items()}
    mpjpe = {f"{k}MPJPE": d.mean(axis=1).mean(dtype=np.float64) for k, d in distances.items()}
    pck = {f"{k}PCK": (d <= THRESHOLD).mean(axis=1).mean() for k, d in distances.items()}
    return {k: float(v) for k, v in (mpjpe | pck).items()}


def to_universal_scale(poses: np.ndarray) -> np.ndarray:
    """Scales each pose about the world origin so that its knee-neck height is 910 mm."""
    height = sum(
        np.linalg.norm(poses[:, LABELS.index(a)] - poses[:, LABELS.index(b)], axis=-1)
        for a, b in (("left_knee", "left_hip"), ("spine", "pelvis"), ("neck", "spine"))
    )
    return poses * (KNEE_NECK_MM / height)[:, None, None]


def clip_views(root: Path, split: str) -> Iterator[tuple[list[str], Path]]:
    """Yields how the prediction of a clip view may be named, and its truth, as in splits.csv."""
    data = data_dir(root)
    splits = dict(zip(SPLITS, load_split(data / "splits.csv"), strict=True))
    for part in CHOICES[split]:
        folder = data / ("test" if part == "test" else "trainval") / "joints_3d"
        clips = [f"{subject}-{clip}" for subject, clip, _ in splits[part]]
        for (subject, _, view), clip in zip(splits[part], clips, strict=True):
            names = [f"{clip}-{view}"] + ([clip] if clips.count(clip) == 1 else [])
            yield names, folder / subject / f"{clip}.c3d"


if __name__ == "__main__":
    sys.exit(main())
