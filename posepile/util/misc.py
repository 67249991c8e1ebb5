"""Small helpers under the names that training code imports."""

from __future__ import annotations

import os

import numpy as np

from posepile import paths


def random_uniform_disc(rng: np.random.Generator) -> np.ndarray:
    """Returns a random point ``[2]`` of the unit disc, all parts of it equally likely."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.sqrt(rng.uniform()) * np.array([np.cos(angle), np.sin(angle)])


def ensure_absolute_path(path: str | os.PathLike, root: str | os.PathLike | None = None) -> str:
    """Returns a path as it is if absolute, else below a folder.

    Args:
        path: The path.
        root: The folder; None = ``DATA_ROOT`` as it is set when this is called.
    """
    if root is not None and not os.fspath(root):
        return os.fspath(path)
    return str(paths.ensure_absolute(path)) if root is None else os.path.join(root, path)


def cast_if_precise_enough(
    value: np.ndarray, dtype: np.dtype | type, threshold: float = 1
) -> np.ndarray:
    """Returns an array in another type where no value changes by ``threshold`` or more.

    Args:
        value: The array; NaN where nothing is known. Without any value it is cast.
        dtype: The type.
        threshold: In the unit of the array.
    """
    value = np.asarray(value)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = value.astype(dtype)
        change = np.abs(value.astype(np.float64) - cast.astype(np.float64))
    changed = change[~np.isnan(value)] if value.dtype.kind == "f" else change.ravel()
    return cast if np.all(changed < threshold) else value
