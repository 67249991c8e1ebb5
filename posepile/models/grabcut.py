"""Foreground without a network: GrabCut, whose colour models are seeded by the skeleton."""

from __future__ import annotations

import cv2
import numpy as np

from posepile.models.person_mask import (
    BOX_MARGIN,
    Edges,
    box_region,
    draw_skeleton,
    stand_in_joints,
)

SURROUND = 0.6  # share of the box side by which GrabCut sees more than the box
SIDE = 320  # pixels of the longer side that GrabCut works on


def foreground(
    crop: np.ndarray,
    box: np.ndarray,
    joints: np.ndarray | None,
    others: list[np.ndarray],
    edges: Edges | None,
) -> np.ndarray:
    """Foreground by colour models, without a network: bones are surely the person.

    What is outside the box is surely background, and so are the bones of the others; a band around
    the bones is probably the person.
    """
    rows, columns = box_region(crop.shape[:2], box, SURROUND)
    part = crop[rows, columns]
    # Its cost grows faster than the number of pixels; at this size edges are still exact to a
    # pixel or two of the crop.
    scale = min(1.0, SIDE / max(part.shape[:2]))
    shape = tuple(max(1, round(n * scale)) for n in part.shape[:2])
    part = cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA)
    start = np.array([columns.start, rows.start])

    def scaled(points):
        return (np.asarray(points, np.float64) - start + 0.5) * scale - 0.5

    box = np.concatenate([scaled(box[:2]), np.asarray(box[2:4]) * scale])
    if joints is not None:
        joints = scaled(joints)
    small = cut(part, box, joints, [scaled(o) for o in others], edges)
    foreground = np.zeros(crop.shape[:2], bool)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    soft = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    foreground[rows, columns] = soft > 0.5
    return foreground


def cut(
    crop: np.ndarray,
    box: np.ndarray,
    joints: np.ndarray | None,
    others: list[np.ndarray],
    edges: Edges | None,
) -> np.ndarray:
    """GrabCut proper on a picture of bounded size; arguments as in :func:`foreground`."""
    shape = crop.shape[:2]
    size = float(np.hypot(box[2], box[3]))
    seeds = np.full(shape, cv2.GC_BGD, np.uint8)
    seeds[box_region(shape, box, BOX_MARGIN)] = cv2.GC_PR_BGD
    bones = stand_in_joints(box)
    used_edges: Edges | None = [(0, 1)]
    if joints is not None and np.isfinite(joints).all(axis=-1).any():
        bones, used_edges = np.asarray(joints, np.float64), edges
    inside = seeds == cv2.GC_PR_BGD
    seeds[inside & draw_skeleton(shape, bones, used_edges, 0.12 * size)] = cv2.GC_PR_FGD
    for other in others:
        seeds[draw_skeleton(shape, other, edges, 0.03 * size)] = cv2.GC_BGD
    seeds[inside & draw_skeleton(shape, bones, used_edges, 0.025 * size)] = cv2.GC_FGD
    foreground = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    if not foreground.any() or foreground.all():
        return foreground
    if not (seeds == cv2.GC_BGD).any():
        # The box fills the crop: its rim has to stand for the background.
        rim = np.ones(shape, bool)
        rim[1:-1, 1:-1] = False
        seeds[rim & ~foreground] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # its clustering starts from random centres
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        np.ascontiguousarray(crop[..., ::-1]), seeds, None, *models, 4, cv2.GC_INIT_WITH_MASK
    )
    return (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
