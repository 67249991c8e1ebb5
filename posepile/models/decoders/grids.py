"""Cells of the grids that one-stage detectors lay over a picture, and what their boxes tell."""

from __future__ import annotations

import functools

import numpy as np

# Strides in use, by the number of cells that they give; the usual ones first.
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))


@functools.lru_cache(maxsize=16)
def grid(
    input_size: tuple[int, int], strides: tuple[int, ...] = STRIDES[0]
) -> tuple[np.ndarray, np.ndarray]:
    """Cell corners ``[n, 2]`` (x, y in cells) and strides ``[n, 1]``, in output order.

    >>> grid((64, 64))[0].shape
    (84, 2)
    """
    cells, widths = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in input_size)
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        widths.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(widths).astype(np.float32)


def grid_of(
    n: int, input_size: tuple[int, int], anchors: int = 1
) -> tuple[np.ndarray, np.ndarray] | None:
    """Cells and strides as :func:`grid` of an output of ``n`` boxes; None if no strides fit.

    With several anchors per cell every level is repeated, as YOLOv5 lays them out.
    """
    for strides in STRIDES:
        levels = [grid(input_size, (stride,)) for stride in strides]
        if anchors * sum(len(cells) for cells, _ in levels) == n:
            return (
                np.concatenate([cells for cells, _ in levels for _ in range(anchors)]),
                np.concatenate([widths for _, widths in levels for _ in range(anchors)]),
            )
    return None


def doubt_of_count(n: int, input_size: tuple[int, int], anchors: int = 1) -> str | None:
    """Returns what speaks against ``n`` boxes for a picture of that size."""
    if grid_of(n, input_size, anchors) is not None:
        return None
    usual = anchors * len(grid(input_size)[0])
    return f"{n} boxes, expected {usual} for an input of {input_size[1]}x{input_size[0]}"


def doubt_of_places(boxes: np.ndarray, cells: np.ndarray, strides: np.ndarray) -> str | None:
    """Returns what speaks against boxes ``[batch, n, 4]`` centre, width, height in pixels.

    A cell's box lies about the cell, so a reading under which it does not is wrong.
    """
    negative = (boxes[..., 2:] < 0).any(axis=-1).mean()
    if negative > 0.1:
        return f"{negative:.0%} of the boxes have a negative size"
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    away = cells_away(boxes[..., :2], cells, strides)
    ordered = (boxes[..., 2:] >= boxes[..., :2]).all()
    if ordered and cells_away(middle, cells, strides) < 0.7 * away:
        return "boxes are two corners, expected centre and size"
    if away > 10:
        return f"box centres are {away:.3g} cells away from their cells"
    return None


def cells_away(centres: np.ndarray, cells: np.ndarray, strides: np.ndarray) -> float:
    """Median distance of centres (pixels, ``[batch, n, 2]``) from their cells, in cells."""
    return float(np.median(np.abs(centres / strides - cells - 0.5)))
