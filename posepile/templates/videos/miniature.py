"""A tiny newdata in its own layout: three takes of one drawn person, two cameras."""

from __future__ import annotations

from pathlib import Path

from posepile.miniature.recordings import record
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import make_truth, write_truth
from posepile.shapes.recordings import axes_matrix, unit_in_mm
from posepile.templates.videos.facts import JOINTS, RECORDINGS, SPEC

TAKES = ("walk", "turn", "run")
FORM = "anipose"  # of the calibration, see posepile.miniature.recordings.write_calibration
UP = {(0, 0, 1): "z", (0, 1, 0): "y", (0, -1, 0): "-y"}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``, an empty folder."""
    figure = make_figure(list(JOINTS))
    unit = RECORDINGS.keypoint_unit or "mm"
    sequences = record(
        root,
        figure,
        {take: RECORDINGS.splits.get(take, "train") for take in TAKES},
        video=RECORDINGS.video,
        keypoints=RECORDINGS.keypoints,
        calibration=RECORDINGS.calibration,
        labels=list(JOINTS.values()),
        to_file=axes_matrix(RECORDINGS.axes).T / unit_in_mm(unit),
        camera_unit_mm=unit_in_mm(RECORDINGS.camera_unit),
        point_unit=unit if isinstance(unit, str) else "mm",
        up=UP.get(SPEC.world_up, "z"),
        rows_per_frame=RECORDINGS.rows_per_frame,
        form=FORM,
        seed=seed,
    )
    pattern = r"_downscaled/(?P<sequence>[^/]+/[^/]+)/(?P<frame>\d+)\.jpg$"
    write_truth(root, make_truth(figure, pattern, sequences, box="joints"))
