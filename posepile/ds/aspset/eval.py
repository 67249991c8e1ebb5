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
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from posepile.ds.aspset.files import data_dir, read_c3d, read_csv
from posepile.ds.aspset.main import LABELS, SKELETON, load_split
from posepile.errors import CorruptInput, PosePileError, UsageError, WorkError
from posepile.metrics import similarity_transform
from posepile.recipe import SPLITS

# What can be evaluated, and of which splits it consists
CHOICES = {split: (split,) for split in SPLITS} | {"trainval": ("train", "val"), "all": SPLITS}
THRESHOLD = 150.0
ROOT = LABELS.index("pelvis")
KNEE_NECK_MM = 910.0  # universal height; the left leg stands for both


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        root = Path(args.data_dir) if args.data_dir else _default_root()
        result = evaluate(root, Path(args.pred_path), args.split, args.univ, args.skip_missing)
        out = Path(args.out) if args.out else default_output(Path(args.pred_path), args.split)
        _write_json(out, result)
    except PosePileError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    print(f"Found {result['n_poses']} poses in {result['n_files']} prediction files.")
    for name, reason in result["skipped"].items():
        print(f"Skipped {name}: {reason}")
    print(" ".join(f"{name}: {value:.4f}" for name, value in result["scores"].items()))
    print(f"Written to {out}")
    return 0


def evaluate(
    root: Path,
    pred_path: Path,
    split: str = "test",
    univ: bool = False,
    skip_missing: bool = False,
) -> dict:
    """Evaluates a folder of predictions.

    Args:
        root: Raw folder of the dataset.
        pred_path: Folder that is searched for predictions.
        split: ``train``, ``val``, ``trainval``, ``test`` or ``all``.
        univ: Scale the truth (only) to the universal height, about the world origin.
        skip_missing: Leave out clips whose prediction cannot be found or read, as the official
            option does; what was left out and why is part of the result.

    Returns:
        ``scores`` (the six official numbers), ``n_poses``, ``n_files``, ``skipped`` (clip view ->
        reason) and the settings.

    Raises:
        WorkError: A prediction is missing, ambiguous or does not fit its truth, or nothing is left
            to evaluate.
    """
    if not pred_path.is_dir():
        raise UsageError(f"{pred_path}: no such folder of predictions")
    rate = 10.0 if split == "test" else 50.0
    pairs, skipped = [], {}
    for name, clip_name, truth_file in _clip_views(root, split):
        truth = _resample(*load_mocap(truth_file), rate, truth_file)
        if univ:
            truth = to_universal_scale(truth)
        try:
            file = find_prediction(pred_path, name, clip_name)
            points, file_rate = load_mocap(file)
        except WorkError as e:
            if not skip_missing:
                raise
            skipped[name] = str(e)
            continue
        pred = _resample(points, file_rate, rate, file)
        if pred.shape != truth.shape:
            raise CorruptInput(
                file,
                f"{len(pred)} poses of {pred.shape[1]} joints at {rate:g} Hz, but "
                f"{truth_file.name} has {len(truth)} of {truth.shape[1]}",
            )
        pairs.append((pred.astype(np.float32), truth.astype(np.float32)))
    if not sum(len(truth) for _, truth in pairs):
        raise WorkError(f"{pred_path}: nothing to evaluate: {len(skipped)} clip views skipped")
    pred, truth = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return {
        "dataset": "aspset",
        "split": split,
        "rate": rate,
        "univ": univ,
        "n_poses": len(truth),
        "n_files": len(pairs),
        "skipped": skipped,
        "scores": scores(pred, truth),
    }


def scores(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Returns the six numbers of poses float32 ``[n, 17, 3]``, under their official names."""
    root = slice(ROOT, ROOT + 1)
    variants = {
        "": (pred, truth),
        "Root-relative ": (pred - pred[:, root], truth - truth[:, root]),
        "Procrustes-aligned ": (procrustes_float32(pred, truth), truth),
    }
    distances = {k: np.linalg.norm(t - p, axis=-1) for k, (p, t) in variants.items()}
    mpjpe = {f"{k}MPJPE": d.mean(axis=1).mean(dtype=np.float64) for k, d in distances.items()}
    pck = {f"{k}PCK": (d <= THRESHOLD).mean(axis=1).mean() for k, d in distances.items()}
    return {k: float(v) for k, v in (mpjpe | pck).items()}


def procrustes_float32(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns aligned predictions, rounded where the official code rounds.

    The similarity is found in float64 but applied as a float32 4x4 matrix to float32 points; at
    some 18 m from the origin that alone moves points by micrometres.
    """
    s, rotation, t = similarity_transform(pred, truth, plain_scale=True)
    matrix = np.zeros((len(pred), 4, 4))
    matrix[:, :3, :3] = s[:, None, None] * rotation
    matrix[:, :3, 3] = t
    matrix[:, 3, 3] = 1
    points = np.concatenate([pred, np.ones_like(pred[..., :1])], axis=-1)
    moved = points @ np.swapaxes(matrix.astype(np.float32), -1, -2)
    # A pose with any missing joint has no official alignment (the toolkit's solver raises).
    incomplete = ~np.isfinite(points).all(axis=(1, 2)) | ~np.isfinite(truth).all(axis=(1, 2))
    moved[incomplete] = np.nan
    return moved[..., :3] / moved[..., 3:]


def to_universal_scale(poses: np.ndarray) -> np.ndarray:
    """Scales each pose about the world origin so that its knee-neck height is 910 mm."""

    def length(a, b):
        return np.linalg.norm(poses[:, LABELS.index(a)] - poses[:, LABELS.index(b)], axis=-1)

    height = length("left_knee", "left_hip") + length("spine", "pelvis") + length("neck", "spine")
    return poses * (KNEE_NECK_MM / height)[:, None, None]


def find_prediction(pred_path: Path, name: str, clip_name: str | None) -> Path:
    """Returns the one file for a clip view, anywhere below the folder.

    Args:
        pred_path: Folder of predictions.
        name: ``<subject>-<clip>-<view>``.
        clip_name: ``<subject>-<clip>`` where the clip has a single view and may be named without.
    """
    patterns = [f"{name}.*"] + ([f"{clip_name}.*"] if clip_name else [])
    found = sorted(f for p in patterns for f in pred_path.rglob(p) if f.is_file())
    wanted = " or ".join(patterns)
    if not found:
        raise WorkError(f"{pred_path}: no prediction {wanted}")
    if len(found) > 1:
        names = ", ".join(str(f.relative_to(pred_path)) for f in found)
        raise WorkError(f"{pred_path}: {len(found)} predictions {wanted}; expected one: {names}")
    return found[0]


def load_mocap(path: Path) -> tuple[np.ndarray, float]:
    """Returns positions ``[n, 17, 3]`` float64 in mm and rate in Hz of a c3d, json or csv file."""
    readers = {".c3d": _load_c3d, ".json": _load_json, ".csv": _load_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise CorruptInput(path, f"unknown format; expected one of {', '.join(readers)}")
    points, rate, skeleton = reader(path)
    if skeleton != SKELETON:
        raise CorruptInput(
            path,
            f"skeleton is {skeleton!r}; expected {SKELETON!r}",
            hint="convert the poses before saving",
        )
    if points.ndim != 3 or points.shape[1:] != (len(LABELS), 3):
        raise CorruptInput(path, f"positions have shape {points.shape}; expected (n, 17, 3)")
    if not (np.isfinite(rate) and rate > 0):
        raise CorruptInput(path, f"rate is {rate}; expected frames per second")
    return points, rate


def _load_c3d(path: Path) -> tuple[np.ndarray, float, str]:
    content = read_c3d(path)
    return content.points, content.rate, content.skeleton


def _load_json(path: Path) -> tuple[np.ndarray, float, str]:
    try:
        content = json.loads(path.read_text())
        points = np.array(content["points"], np.float64)
        return points, float(content["rate"]), content["skel"]
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise CorruptInput(
            path, f"{type(e).__name__}: {e}; expected JSON with rate, units, skel and points"
        ) from None


def _load_csv(path: Path) -> tuple[np.ndarray, float, str]:
    rows = read_csv(path)
    header = ["t", *(f"{label}_{axis}" for label in LABELS for axis in "xyz")]
    if not rows or rows[0] != header:
        raise CorruptInput(
            path, "the header is not t,right_ankle_x,... in the order of aspset_17j"
        )
    try:
        values = np.array(rows[1:], np.float64).reshape(-1, len(header))
    except ValueError as e:
        raise CorruptInput(path, f"not a table of numbers: {e}") from None
    if len(values) < 2 or values[-1, 0] <= values[0, 0]:
        raise CorruptInput(path, "column t does not increase, so there is no rate to be had")
    rate = (len(values) - 1) / (values[-1, 0] - values[0, 0])
    # Times are rounded in text, so the rate is an integer only nearly.
    rate = round(rate) if abs(rate - round(rate)) < 1e-3 else rate
    return values[:, 1:].reshape(-1, len(LABELS), 3), float(rate), SKELETON


def _resample(points: np.ndarray, rate: float, target: float, path: Path) -> np.ndarray:
    factor = rate / target
    if factor != int(factor) or factor < 1:
        raise CorruptInput(
            path, f"rate is {rate:g} Hz; expected an integer multiple of {target:g} Hz"
        )
    return points[:: int(factor)]


def _clip_views(root: Path, split: str) -> Iterator[tuple[str, str | None, Path]]:
    """(clip view name, clip name if it has a single view, c3d file) in the order of splits.csv."""
    data = data_dir(root)
    splits = dict(zip(SPLITS, load_split(data / "splits.csv"), strict=True))
    for part in CHOICES[split]:
        folder = data / ("test" if part == "test" else "trainval") / "joints_3d"
        clips = [f"{subject}-{clip}" for subject, clip, _ in splits[part]]
        for (subject, _, view), clip_name in zip(splits[part], clips, strict=True):
            single = clips.count(clip_name) == 1
            file = folder / subject / f"{clip_name}.c3d"
            if not file.is_file():
                raise CorruptInput(
                    file, "truth is missing", hint="it is in the joints_3d archive of the split"
                )
            yield f"{clip_name}-{view}", clip_name if single else None, file


def default_output(pred_path: Path, split: str) -> Path:
    """Returns ``<folder of predictions>_eval_<split>.json``, outside of that folder."""
    folder = Path(os.path.realpath(pred_path))
    return folder.with_name(f"{folder.name}_eval_{split}.json")


def _write_json(path: Path, content: dict) -> None:
    # NaN is no JSON; null says the same.
    safe = {k: v if np.isfinite(v) else None for k, v in content["scores"].items()}
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        tmp.write_text(json.dumps({**content, "scores": safe}, indent=1) + "\n")
        tmp.replace(path)
    except OSError as e:
        tmp.unlink(missing_ok=True)
        raise WorkError(f"{path}: cannot be written: {e.strerror}; see --out") from None


def _default_root() -> Path:
    from posepile import paths

    return paths.raw_dir("aspset")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m posepile.ds.aspset.eval")
    parser.add_argument(
        "--pred-path", "--predictions", required=True, help="folder of predictions"
    )
    parser.add_argument("--data-dir", help="raw data; default $DATA_ROOT/aspset")
    parser.add_argument("--split", choices=list(CHOICES), default="test")
    parser.add_argument(
        "--univ",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="scale the truth to a knee-neck height of 910 mm",
    )
    parser.add_argument(
        "--skip-missing",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="leave out clips without a usable prediction and say which",
    )
    parser.add_argument("--out", help="result as JSON; default next to the folder of predictions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
