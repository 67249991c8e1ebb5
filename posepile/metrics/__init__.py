"""Pose metrics in plain numpy: what official evaluators and training code measure, vectorised."""

from __future__ import annotations

from posepile.metrics.align import align, root_relative, similarity_transform
from posepile.metrics.errors import auc, joint_errors, mpjpe, mpjve, pa_mpjpe, pck

__all__ = [
    "align",
    "auc",
    "joint_errors",
    "mpjpe",
    "mpjve",
    "pa_mpjpe",
    "pck",
    "root_relative",
    "similarity_transform",
]
