"""Fingerprints of source pictures, by which the same photograph is found in several datasets.

A fingerprint is the picture, tiny and grey: 16 x 16 coefficients of its cosine transform, a byte
each, and its size, 260 bytes. From them the transform of every window of the picture can be worked
out, so that one that was cut can be compared with the part of the other that it shows
(:mod:`posepile.merging.alike`); a hash of fixed windows would take more room and be coarser.

It hardly depends on how a picture was encoded or scaled. It is made of the pixels as they are
stored: turned and mirrored pictures have other ones.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from posepile.imaging.pictures import CELLS

if TYPE_CHECKING:
    from posepile.imaging.pictures import Frame

VERSION = 1
SIDE = 16  # coefficients per axis
SIZE = 4 + SIDE * SIDE  # bytes
HEAD = 5  # of them: width and height of the picture, version
_LARGEST = 127
_LEAST_CONTRAST = 2.0  # grey levels (standard deviation) below which there is nothing to compare


def of_frame(frame: Frame) -> bytes:
    """Returns the fingerprint of a picture; equal pixels give equal bytes."""
    return of_luma(frame.luma(), frame.size)


def of_luma(luma: np.ndarray, size: tuple[int, int]) -> bytes:
    """Returns the fingerprint of a picture that was reduced already.

    Args:
        luma: uint8 ``[64, 64]``, the means of as many cells.
        size: Width and height of the picture.
    """
    cosines, scale = _cosines()
    # All are whole numbers below 2**53, so that the sums are exact in any order.
    found = (cosines @ luma.astype(np.float64) @ cosines.T) * scale
    found[0, 0] = 0
    largest = np.abs(found).max()
    values = np.zeros((SIDE, SIDE))
    # The root keeps small coefficients exact in a byte each.
    if luma.std() >= _LEAST_CONTRAST and largest > 0:
        values = np.rint(_LARGEST * np.sign(found) * np.sqrt(np.abs(found) / largest))
    values[0, 0] = VERSION  # in the place of the mean, which is not compared
    sides = np.minimum(size, np.iinfo(np.uint16).max).astype("<u2")
    return sides.tobytes() + values.astype(np.int8).tobytes()


def unpack(fingerprints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Takes fingerprints apart.

    Args:
        fingerprints: uint8 ``[n, 260]``.

    Returns:
        Widths and heights int64 ``[n, 2]``, and coefficients float32 ``[n, 16, 16]`` up to a
        factor, all zero of pictures that are no evidence; rows are vertical frequencies.
    """
    packed = np.ascontiguousarray(fingerprints, np.uint8).reshape(-1, SIZE)
    sizes = packed[:, :4].copy().view("<u2").astype(np.int64)
    roots = packed[:, 4:].copy().view(np.int8).reshape(-1, SIDE, SIDE).astype(np.float32)
    roots[:, 0, 0] = 0
    return sizes, roots * np.abs(roots) / np.float32(_LARGEST**2)


@functools.cache
def _cosines() -> tuple[np.ndarray, np.ndarray]:
    """The transform in whole numbers, and what makes its rows and columns of equal weight."""
    places = (np.arange(CELLS) + 0.5) / CELLS
    cosines = np.rint(np.cos(np.pi * np.outer(np.arange(SIDE), places)) * 2**14)
    weight = np.where(np.arange(SIDE) == 0, 1.0, 2.0)
    return cosines, np.outer(weight, weight)
