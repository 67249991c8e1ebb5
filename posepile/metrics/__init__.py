"""Figures of pose estimation in plain numpy: values per joint, pose or image, and their means.

The functions ``*_errors``, ``*_values``, ``*_hits`` and the like give one value per entry, of
which any average can be made (:mod:`posepile.metrics.means`); ``mpjpe``, ``pck`` and other
conveniences give the usual mean. What is missing is told in :mod:`posepile.metrics.errors`.
"""

from __future__ import annotations

from posepile.metrics.align import (
    align,
    root_relative,
    scale_factor,
    similarity_transform,
    transform_points,
)
from posepile.metrics.bootstrap import bootstrap_interval, interval_of_sums
from posepile.metrics.detection import (
    Scores,
    binary_counts,
    contact_distances,
    contact_scores,
    detection_scores,
    normalized_error,
)
from posepile.metrics.errors import joint_errors, mpjpe, n_mpjpe, pa_mpjpe, pose_errors
from posepile.metrics.global_motion import (
    chunk_errors,
    foot_sliding,
    rte_percent,
    w_errors,
    wa_errors,
)
from posepile.metrics.keypoints import (
    COCO_FIGURES,
    COCO_SIGMAS,
    WHOLEBODY_SIGMAS,
    keypoint_ap,
    oks,
    oks_beside_box,
)
from posepile.metrics.matching import match_greedily
from posepile.metrics.means import (
    group_means,
    joint_means,
    label_means,
    mean_value,
    pose_means,
)
from posepile.metrics.motion import (
    acceleration_errors,
    jitter_values,
    mean_acceleration_error,
    mean_jitter,
    mpjve,
    velocity_errors,
)
from posepile.metrics.orientation import mpjae_deg, orientation_errors_deg
from posepile.metrics.part_ap import PartScores, PosedPeople, head_size, part_ap
from posepile.metrics.part_mota import TrackScores, part_mota
from posepile.metrics.silhouettes import overlap_pixels, pooled_iou, silhouette_ious
from posepile.metrics.thresholds import (
    area_3dhp,
    area_in_bins,
    area_under_line,
    auc,
    cps,
    cps_auc,
    hits,
    mean_hits,
    pck,
    trapezoid_hits,
    worst_errors,
)

__all__ = [
    "COCO_FIGURES",
    "COCO_SIGMAS",
    "WHOLEBODY_SIGMAS",
    "PartScores",
    "PosedPeople",
    "Scores",
    "TrackScores",
    "acceleration_errors",
    "align",
    "area_3dhp",
    "area_in_bins",
    "area_under_line",
    "auc",
    "binary_counts",
    "bootstrap_interval",
    "chunk_errors",
    "contact_distances",
    "contact_scores",
    "cps",
    "cps_auc",
    "detection_scores",
    "foot_sliding",
    "group_means",
    "head_size",
    "hits",
    "interval_of_sums",
    "jitter_values",
    "joint_errors",
    "joint_means",
    "keypoint_ap",
    "label_means",
    "match_greedily",
    "mean_acceleration_error",
    "mean_hits",
    "mean_jitter",
    "mean_value",
    "mpjae_deg",
    "mpjpe",
    "mpjve",
    "n_mpjpe",
    "normalized_error",
    "oks",
    "oks_beside_box",
    "orientation_errors_deg",
    "overlap_pixels",
    "pa_mpjpe",
    "part_ap",
    "part_mota",
    "pck",
    "pooled_iou",
    "pose_errors",
    "pose_means",
    "root_relative",
    "rte_percent",
    "scale_factor",
    "silhouette_ious",
    "similarity_transform",
    "transform_points",
    "trapezoid_hits",
    "velocity_errors",
    "w_errors",
    "wa_errors",
    "worst_errors",
]
