"""Joint coordinates: the precision they need, and without the joints that are missing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from posepile.errors import UsageError

# Float32 is given up for coordinates when it would move a point by more than this (millimetres).
FLOAT32_TOLERANCE_MM = 0.01


def as_compact_float(coords: np.ndarray) -> np.ndarray:
    """Returns coordinates as float32, or float64 where float32 would lose more than 0.01 mm."""
    coords = np.asarray(coords)
    if coords.dtype == np.float32:
        return coords
    if coords.dtype != np.float16:
        coords = coords.astype(np.float64, copy=False)
    single = coords.astype(np.float32)
    if coords.dtype == np.float16 or not coords.size:
        return single
    error = np.abs(single.astype(np.float64) - coords)
    return coords if np.any(error > FLOAT32_TOLERANCE_MM) else single


def present_joints(coords: np.ndarray) -> np.ndarray:
    """Returns the indices of joints that have at least one coordinate.

    Archives keep such rows: nothing that was given may get lost. Whoever asks whether a joint is
    there wants all its coordinates, as :class:`SparseCoords` of merged datasets do.
    """
    return np.flatnonzero(~np.isnan(coords).all(axis=-1))


class SparseCoords:
    """Joint coordinates without the missing rows, for merged skeletons of many joints.

    A joint is there only if all its coordinates are.

    Attributes:
        shape: Shape of the dense array.
        i_valid_joints: uint16 indices of the joints that are there.
        valid_coords: Their coordinates.
    """

    __module__ = "posepile.datasets3d"  # the name in pickles

    def __init__(self, coords: np.ndarray):
        if coords.dtype.kind != "f":  # has no NaN for what is missing
            coords = as_compact_float(coords)
        self.shape = coords.shape
        self.i_valid_joints = np.where(~np.any(np.isnan(coords), axis=-1))[0].astype(np.uint16)
        self.valid_coords = np.ascontiguousarray(coords[self.i_valid_joints])

    @classmethod
    def of_rows(
        cls, shape: tuple[int, int], joint_ids: np.ndarray, rows: np.ndarray
    ) -> SparseCoords:
        """Returns the coordinates whose valid rows are given; they are taken over."""
        coords = cls.__new__(cls)
        coords.shape, coords.i_valid_joints, coords.valid_coords = shape, joint_ids, rows
        return coords

    def to_array(self) -> np.ndarray:
        """Returns the dense array with NaN rows for missing joints."""
        result = np.full(self.shape, np.nan, self.valid_coords.dtype)
        result[self.i_valid_joints] = self.valid_coords
        return result

    def invalidate_coords(self, i_bad_coords: Iterable[int]) -> None:
        """Takes out the given joints.

        Raises:
            UsageError: The coordinates are those of a dataset, which are read-only.
        """
        if not self.valid_coords.flags.writeable:
            raise UsageError(
                "these coordinates belong to an example of a dataset and are read-only; change "
                "those of ex = ex.load(), which examples[i] = ex puts into the dataset"
            )
        keep = ~np.isin(self.i_valid_joints, list(i_bad_coords))
        self.i_valid_joints = self.i_valid_joints[keep]
        self.valid_coords = np.ascontiguousarray(self.valid_coords[keep])
