"""Figures of poses, one value per entry: what most protocols are made of."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from posepile.evaluation.benchmark import Setup
from posepile.geometry.markerless import AS_LABELLED
from posepile.metrics import (
    area_under_line,
    hits,
    joint_errors,
    mean_hits,
    pose_errors,
    worst_errors,
)


def pose_figures(
    pred: np.ndarray,
    true: np.ndarray,
    *,
    root: int | Sequence[int] | None,
    valid: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Returns the usual figures of poses, ``[n, J]`` each: MPJPE, PA-MPJPE, N-MPJPE.

    >>> true = np.random.default_rng(0).normal(size=(5, 17, 3))
    >>> figures = pose_figures(2 * true + 3, true, root=0)
    >>> [float(np.mean(figures[name]).round(6)) for name in ("PA-MPJPE_mm", "N-MPJPE_mm")]
    [0.0, 0.0]

    Args:
        pred: ``[n, J, 3]`` mm.
        true: ``[n, J, 3]`` mm, NaN = not counted.
        root: Joint that is subtracted on both sides, or several, whose middle is; None = they
            are compared as they are.
        valid: bool ``[n, J]``, None = all.
    """
    facts = {"valid": valid, "root": root}
    return {
        "MPJPE_mm": pose_errors(pred, true, **facts),
        "PA-MPJPE_mm": pose_errors(pred, true, **facts, alignment="similarity"),
        "N-MPJPE_mm": pose_errors(pred, true, **facts, alignment="scale"),
        "absolute-MPJPE_mm": joint_errors(pred, true, valid),
    }


def share_figures(figures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns shares within thresholds and areas, as the original PosePile lists them.

    PCK and its area at 50, 100 and 150 mm of each joint, root-relative, and CPS with its area at
    100, 150 and 200 mm of the worst joint of each pose after Procrustes. A threshold itself is a
    miss; areas are those of all thresholds there are.

    >>> errors = {"MPJPE_mm": np.array([[0.0, 50]]), "PA-MPJPE_mm": np.array([[0.0, 150]])}
    >>> shares = share_figures(errors)
    >>> shares["PCK50_percent"].tolist(), shares["CPS200_percent"].tolist()
    ([[100.0, 0.0]], [100.0])

    Args:
        figures: As of :func:`pose_figures`.
    """
    errors, worst = figures["MPJPE_mm"], worst_errors(figures["PA-MPJPE_mm"])
    found = {}
    for name, values, thresholds in (
        ("PCK", errors, (50, 100, 150)),
        ("CPS", worst, (100, 150, 200)),
    ):
        area = "AUC" if name == "PCK" else "CPS-AUC"
        for t in thresholds:
            found[f"{name}{t}_percent"] = 100 * hits(values, t, strict=True)
            found[f"{area}{t}_percent"] = 100 * area_under_line(values, t)
    return found


def hits_150(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Returns PCK at 150 mm and AUC of each error: 150 is a miss, and the threshold 0 counts.

    >>> found = hits_150(np.array([0.0, 149.9, 150.0]))
    >>> found["PCK150_percent"].tolist(), found["AUC150_percent"].round(2).tolist()
    ([100.0, 100.0, 0.0], [96.77, 3.23, 0.0])

    Args:
        errors: Millimetres, of any shape; NaN = not counted.
    """
    steps = range(0, 151, 5)
    return {
        "PCK150_percent": 100 * hits(errors, 150, strict=True),
        "AUC150_percent": 100 * mean_hits(errors, steps, strict=True),
    }


def add_joint_order(parser: argparse.ArgumentParser) -> None:
    """Adds ``--root-last``: predicted joints are in the order of our archives, not of the labels.

    :func:`joint_order` is for benchmarks of :mod:`posepile.geometry.markerless`.

    >>> parser = argparse.ArgumentParser()
    >>> add_joint_order(parser)
    >>> parser.parse_args(["--root-last"]).root_last
    True
    """
    text = "joints are in the order of the packed dataset, the pelvis last"
    parser.add_argument("--root-last", action="store_true", help=text)


def joint_order(setup: Setup) -> list[int]:
    """Returns which of 17 predicted joints is which of the labels, see :func:`add_joint_order`.

    >>> args = argparse.Namespace(root_last=True)
    >>> joint_order(Setup(None, None, None, args))[14:]
    [16, 14, 15]
    """
    return list(AS_LABELLED) if setup.args.root_last else [*range(17)]
