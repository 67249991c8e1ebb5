"""Values below dotted keys of JSON, npz and npy files, with errors that name file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput


def lookup(data: Any, key: str, file: Path) -> Any:
    """Returns the value below a dotted key of nested mappings and lists.

    Raises:
        CorruptInput: Names the part of the key that is missing and what there is instead.
    """
    node = data
    for part in key.split("."):
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, ValueError, TypeError):
            there = sorted(map(str, node)) if hasattr(node, "keys") else type(node).__name__
            raise CorruptInput(
                file,
                f"has no {part!r} of key {key!r} (there: {there})",
                hint="correct the key in the layout manifest",
            ) from None
    return node


def read_bytes(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        CorruptInput: Missing or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorruptInput(
            path, "file is missing", hint="complete the clip, or correct the layout manifest"
        ) from None
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}") from None


def read_data(path: Path) -> Any:
    """Returns the content of a JSON, npz or npy file; npz becomes a dict of arrays.

    Pickled objects are refused.

    Raises:
        CorruptInput: Missing or damaged file.
    """
    try:
        if path.suffix == ".json":
            return json.loads(read_bytes(path))
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise CorruptInput(
            path, "file is missing", hint="complete the clip, or correct the layout manifest"
        ) from None
    except CorruptInput:
        raise
    except Exception as e:
        # numpy and zipfile raise half a dozen unrelated types on damaged files
        raise CorruptInput(path, f"cannot be read: {e}", hint="extract it again") from e


def numbers(data: Any, key: str, file: Path) -> np.ndarray:
    """Returns the float64 array below a dotted key.

    Raises:
        CorruptInput: Missing, ragged or not numeric.
    """
    value = lookup(data, key, file)
    try:
        return np.asarray(value, np.float64)
    except (ValueError, TypeError) as e:
        raise CorruptInput(file, f"{key} is not an array of numbers: {e}") from e


def number(data: Any, key: str, file: Path) -> float:
    """Returns the single finite number below a dotted key; errors as :func:`numbers`."""
    value = numbers(data, key, file)
    if value.size != 1 or not np.isfinite(value).all():
        raise CorruptInput(
            file,
            f"{key} has shape {value.shape}, expected one number",
            hint="correct the key in the layout manifest",
        )
    return float(value.ravel()[0])
