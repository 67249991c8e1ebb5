"""Predictions in MAT files, which several official programs of MATLAB read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.evaluation.benchmark import Clip, Predictions
from posepile.evaluation.forms import check_pred, per_clip, unit_text
from posepile.evaluation.predictions import advising_to_write_again
from posepile.formats.matlab_files import read_mat


def mat_variables(path: Path) -> tuple[dict[str, Any], str | None]:
    """Returns the variables of predictions in a MAT file, and their unit where it has ``units``.

    >>> from scipy.io import savemat
    >>> savemat(folder / "pred.mat", {"S1": np.zeros((3, 17, 1, 5)), "units": "m"})
    >>> mat_variables(folder / "pred.mat")[1]
    'm'

    Args:
        path: The file.

    Raises:
        CorruptInput: It cannot be read.
    """
    with advising_to_write_again():
        content = read_mat(path, {"*": None})
    units = content.pop("units", None)
    return content, None if units is None else unit_text(units, path)


def mat_poses(path: Path, schema: Any, order: Sequence[int]) -> Predictions:
    """Returns the poses of a MAT file that has a variable ``[3, J, 1, n]`` for each clip.

    >>> from scipy.io import savemat
    >>> savemat(folder / "pred.mat", {"S1": np.zeros((3, 17, 1, 5)), "S2": np.zeros((3, 17))})
    >>> opened = mat_poses(folder / "pred.mat", Array(3, 17, 1, "n", squeezed=True), range(17))
    >>> opened.take(Clip("S2", ["img_1"], {})).arrays["joints"].shape
    (1, 17, 3)

    Args:
        path: The file.
        schema: Of every variable.
        order: Which joints are evaluated, in which order.

    Raises:
        CorruptInput: Unreadable or not as expected.
    """
    content, units = mat_variables(path)
    poses = {name: check_pred(value, schema, path, name) for name, value in content.items()}

    def read(_: Path, clip: Clip) -> dict[str, Any]:
        joints = np.transpose(poses[clip.name][:, :, 0])[:, list(order)]
        return {"joints": joints, "units": units}

    def find(clip: Clip) -> Path | None:
        return path if clip.name in poses else None

    return per_clip(path, find, read, names=list(poses), what="sequence")
