"""The JSON file with every figure: where it is written, and how."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from posepile.errors import WorkError
from posepile.files import write_atomically


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
