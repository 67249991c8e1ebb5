"""What every ``eval.py`` needs: command line, prediction files, matching, averages, results.

Metrics are in :mod:`posepile.metrics`; the reader of a benchmark's truth, its rules and the names
of its figures are in the dataset's ``eval.py``.
"""

from posepile.evaluation.command import Report, add_options, make_parser, run
from posepile.evaluation.predictions import (
    WRITE_AGAIN,
    Poses,
    check_finite,
    find_file,
    match,
    read_poses,
    read_pred_json,
)
from posepile.evaluation.results import (
    average,
    average_by,
    default_output,
    format_table,
    write_result,
)
from posepile.evaluation.trajectories import read_trajectory, resample

__all__ = [
    "WRITE_AGAIN",
    "Poses",
    "Report",
    "add_options",
    "average",
    "average_by",
    "check_finite",
    "default_output",
    "find_file",
    "format_table",
    "make_parser",
    "match",
    "read_poses",
    "read_pred_json",
    "read_trajectory",
    "resample",
    "run",
    "write_result",
]
