"""Averages by groups, the printed table, and the JSON file with every figure."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import WorkError
from posepile.files import write_atomically


def average(values: Mapping[str, Any], count: str) -> dict[str, Any]:
    """Returns the mean of each figure over entries, those that are NaN left out, and their number.

    >>> average({"MPJPE_mm": [10.0, 20.0, np.nan]}, "hands")
    {'MPJPE_mm': 15.0, 'hands': 3}

    Args:
        values: Figure -> one number per entry; NaN where the entry has none.
        count: Name of the number of entries.

    Returns:
        Figure -> mean; NaN where no entry has the figure.
    """
    columns = {name: np.asarray(column, np.float64) for name, column in values.items()}
    known = {name: column[~np.isnan(column)] for name, column in columns.items()}
    means = {n: float(np.mean(c)) if len(c) else float("nan") for n, c in known.items()}
    return {**means, count: max(map(len, columns.values()), default=0)}


def average_by(
    groups: Sequence[str], values: Mapping[str, Any], count: str
) -> dict[str, dict[str, Any]]:
    """Returns :func:`average` of the entries of each group, groups sorted by name.

    >>> average_by(["walk", "sit", "walk"], {"MPJPE_mm": [10.0, 50.0, 20.0]}, "poses")["walk"]
    {'MPJPE_mm': 15.0, 'poses': 2}

    Args:
        groups: Name of the group of every entry: activity, scene, sequence.
        values: As in :func:`average`.
        count: As there.
    """
    labels = np.array(list(groups), dtype=object)
    columns = {name: np.asarray(column, np.float64) for name, column in values.items()}
    for name, column in columns.items():
        if len(column) != len(labels):
            raise ValueError(f"{name} has {len(column)} entries, groups {len(labels)}")
    return {
        group: average({n: c[labels == group] for n, c in columns.items()}, count)
        for group in sorted(set(groups))
    }


def format_table(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Returns lines of a table whose every number carries its name and unit.

    >>> rows = {"Dance": {"n": 1, "MPJPE_cm": 9.5}, "All": {"n": 12, "MPJPE_cm": 11.25}}
    >>> for line in format_table(rows, ["{n} takes", "MPJPE {MPJPE_cm:.2f} cm"]):
    ...     print(line)
    Dance:  1 takes,  MPJPE 9.50 cm
      All: 12 takes, MPJPE 11.25 cm

    Args:
        rows: Name of the row -> figure -> number.
        columns: How the figures are written; all of a column must be in the row.
    """
    cells = [[column.format_map(row) for column in columns] for row in rows.values()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    width = max(map(len, rows), default=0)
    return [
        f"{name:>{width}}: " + ", ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True))
        for name, row in zip(rows, cells, strict=True)
    ]


def default_output(pred_path: Path, tag: str) -> Path:
    """Returns where a result is written if nobody says: beside the predictions, never inside.

    >>> default_output(Path("/tmp/run7.npz"), "eval_test").name
    'run7.eval_test.json'

    Args:
        pred_path: File or folder of predictions.
        tag: What is evaluated.
    """
    pred_path = Path(os.path.abspath(pred_path))
    if pred_path.is_dir():
        folder = Path(os.path.realpath(pred_path))
        return folder.with_name(f"{folder.name}_{tag}.json")
    return pred_path.with_suffix(f".{tag}.json")


def write_result(path: Path, content: Any, *, nan: bool = False) -> None:
    """Writes a result whole or not at all.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write_result(Path(folder.name, "result.json"), {"MPJPE_mm": float("nan")})
    >>> print(Path(folder.name, "result.json").read_text().strip())
    {
     "MPJPE_mm": null
    }

    Args:
        path: The file.
        content: Dictionaries, lists, numbers, text.
        nan: Write NaN and infinity as JSON does not have them but official tools read them;
            otherwise they become null.

    Raises:
        WorkError: The place cannot be written to.
    """
    text = json.dumps(content if nan else _without_nan(content), indent=1, allow_nan=nan)
    try:
        write_atomically(Path(path), (text + "\n").encode(), durable=False)
    except OSError as e:
        raise WorkError(f"{path}: cannot be written: {e.strerror}; see --out") from None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
