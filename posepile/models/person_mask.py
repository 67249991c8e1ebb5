"""Cutting a foreground mask down to the wanted person, by box and skeleton."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from posepile.geometry.pictures import box_of_mask, box_of_points, inside
from posepile.models.boxes import iou_matrix
from posepile.models.params import SegmentParams

Edges = Sequence[tuple[int, int]]
BOX_MARGIN = 0.2  # share of the box side by which a mask may stick out of the box in total
MIN_AGREEMENT = 0.25  # of an instance with a person: 1 = all joints on it, and the same box
# By so much at most the distance to a person counts less than to somebody who appears smaller.
IN_FRONT = 1.5
WINDOW_MARGIN = 0.25  # share of the box's longer side by which a matting network sees more
HOLE_SHARE = 0.02  # holes smaller than this share of the mask are no background
LIMB_SHARE = 0.05  # share of the skeleton that must run through a part for the part to be kept


def limbs(joints: np.ndarray, edges: Edges | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """The line segments of a skeleton in an image.

    Args:
        joints: ``[J, 2]`` pixels, NaN = missing.
        edges: Pairs of joint indices. Parts they leave apart (no edge between shoulder and hip,
            a joint in between missing) are connected by the shortest lines, which stay within the
            body for any usual skeleton definition; None: all lines are found that way.

    Returns:
        Pairs of end points; a lone joint is a segment of length 0.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    found = np.flatnonzero(np.isfinite(joints).all(axis=-1))
    place = {int(j): i for i, j in enumerate(found)}
    points = joints[found]
    pairs = [(place[a], place[b]) for a, b in edges or () if a in place and b in place]
    # The sparse solver takes 0 for "no edge"; given edges must be shorter than all others.
    lengths = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e-3
    for a, b in pairs:
        lengths[a, b] = lengths[b, a] = 1e-6
    np.fill_diagonal(lengths, 0)
    tree = zip(*minimum_spanning_tree(lengths).nonzero(), strict=True)
    segments = [(points[a], points[b]) for a, b in dict.fromkeys([*pairs, *tree])]
    return segments + [(p, p) for p in points]


def draw_skeleton(
    shape: tuple[int, int], joints: np.ndarray, edges: Edges | None, thickness: float
) -> np.ndarray:
    """Pixels of a skeleton drawn with lines of ``thickness`` pixels, bool ``[h, w]``."""
    canvas = np.zeros(shape, np.uint8)
    limit = 8.0 * max(shape)  # far-away ends only matter by their direction
    for a, b in limbs(np.asarray(joints, np.float64), edges):
        ends = [tuple(np.clip(p, -limit, limit).round().astype(int).tolist()) for p in (a, b)]
        cv2.line(canvas, ends[0], ends[1], 1, max(1, round(thickness)))
    return canvas.astype(bool)


def box_region(
    shape: tuple[int, int], box: np.ndarray, margin: float = 0.0
) -> tuple[slice, slice]:
    """Rows and columns of an image that lie in a box enlarged by a share of its sides."""
    x, y, w, h = (float(v) for v in box[:4])
    x0, y0 = x - w * margin / 2, y - h * margin / 2
    x1, y1 = x + w * (1 + margin / 2), y + h * (1 + margin / 2)
    rows = slice(int(np.clip(np.floor(y0), 0, shape[0])), int(np.clip(np.ceil(y1), 0, shape[0])))
    columns = slice(
        int(np.clip(np.floor(x0), 0, shape[1])), int(np.clip(np.ceil(x1), 0, shape[1]))
    )
    return rows, columns


def square_window(shape: tuple[int, int], box: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of an image that a matting network is shown to find the person in a box.

    A square around the box with a margin, cut to the image: the network spends its few pixels on
    the person, and proportions stay as they are. Where nothing is left, the whole image.
    """
    x, y, w, h = (float(v) for v in box[:4])
    side = max(w, h)
    square = np.array([x + (w - side) / 2, y + (h - side) / 2, side, side])
    rows, columns = box_region(shape, square, WINDOW_MARGIN)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return slice(0, shape[0]), slice(0, shape[1])
    return rows, columns


def without_holes(mask: np.ndarray) -> np.ndarray:
    """A mask, bool ``[h, w]``, without holes that are too small to be seen through."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= HOLE_SHARE * mask.sum()
    small[[0, labels[0, 0]]] = False
    return mask | small[labels][1:-1, 1:-1]


def nearest_to(
    shape: tuple[int, int], own: np.ndarray, others: list[np.ndarray], edges: Edges | None
) -> np.ndarray:
    """Pixels nearer to one skeleton than to all others, bool ``[h, w]``.

    Distances are counted relative to the size of each person, since a large person's outline lies
    further from the bones than a small one's. Who appears larger is nearer as a rule, and so in
    front where two overlap: they get more.

    Args:
        shape: ``(h, w)``.
        own: ``[J, 2]`` joints of the wanted person.
        others: Joints of the others; those without a limb in the image have no say.
        edges: As for :func:`limbs`.
    """

    def distance(joints: np.ndarray) -> tuple[np.ndarray, float] | None:
        drawn = draw_skeleton(shape, joints, edges, 1)
        if not drawn.any():
            return None
        extent = np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0)
        size = max(1.0, float(np.linalg.norm(extent)))
        pixels = cv2.distanceTransform((~drawn).astype(np.uint8), cv2.DIST_L2, 5)
        return pixels / np.float32(size), size

    mine = distance(own) if others else None
    nearest = np.ones(shape, bool)
    if mine is None:
        return nearest
    for joints in others:
        joints = np.asarray(joints, np.float64)  # noqa: PLW2901
        theirs = distance(joints) if np.isfinite(joints).all(axis=-1).any() else None
        if theirs is not None:
            advantage = np.clip(mine[1] / theirs[1], 1 / IN_FRONT, IN_FRONT)
            nearest &= mine[0] <= np.float32(advantage) * theirs[0]
    return nearest


def stand_in_joints(box: np.ndarray) -> np.ndarray:
    """Two points on the middle line of a box, for a person without joints."""
    x, y, w, h = (float(v) for v in box[:4])
    return np.array([[x + w / 2, y + 0.25 * h], [x + w / 2, y + 0.75 * h]])


def stand_in_skeleton(box: np.ndarray) -> np.ndarray:
    """Two points near the ends of the longer middle line of a box: somebody else without joints.

    As long as a skeleton would be, since distances are counted relative to its length.
    """
    x, y, w, h = (float(v) for v in box[:4])
    along = np.array([w, 0.0] if w > h else [0.0, h])
    middle = np.array([x + w / 2, y + h / 2])
    return np.stack([middle - 0.4 * along, middle + 0.4 * along])


def select_person(
    foreground: np.ndarray,
    box: np.ndarray,
    joints: np.ndarray | None,
    others: list[np.ndarray],
    *,
    params: SegmentParams,
    edges: Edges | None = None,
    taken: np.ndarray | None = None,
) -> np.ndarray | None:
    """Cuts a foreground mask down to the wanted person.

    Args:
        foreground: bool ``[h, w]``, may show several people.
        box: x, y, w, h of the wanted person in the same pixels.
        joints: ``[J, 2]``, NaN = missing, or None.
        others: Joints of the other people in the image.
        params: Acceptance thresholds.
        edges: Pairs of joint indices, None: see :func:`limbs`.
        taken: Pixels that are known to be of others, bool ``[h, w]``; None: not known.

    Returns:
        bool ``[h, w]``, or None if what remains does not agree with box and joints.
    """
    shape = foreground.shape
    known = joints is not None and np.isfinite(joints).all(axis=-1).any()
    bones = np.asarray(joints, np.float64) if known else stand_in_joints(box)
    region = box_region(shape, box, BOX_MARGIN)
    own = np.zeros(shape, bool)
    own[region] = foreground[region]
    own &= nearest_to(shape, bones, others, edges if known else [(0, 1)])
    if taken is not None:
        own &= ~taken
    size = float(np.hypot(box[2], box[3]))
    skeleton = draw_skeleton(shape, bones, edges if known else [(0, 1)], 0.02 * size)
    _, labels = cv2.connectedComponents(own.astype(np.uint8), connectivity=8)
    counts = np.bincount(labels[skeleton], minlength=labels.max() + 1)
    keep = counts >= max(1.0, LIMB_SHARE * skeleton.sum())
    keep[0] = False
    mask = without_holes(keep[labels])
    if taken is not None:
        mask &= ~taken

    rows, columns = box_region(shape, box)
    box_area = max(1, (rows.stop - rows.start) * (columns.stop - columns.start))
    if not mask.any() or mask.sum() < params.min_area * box_area:
        return None
    if known:
        x, y = bones[np.isfinite(bones).all(axis=-1)].T
        inside = (x >= -0.5) & (x < shape[1] - 0.5) & (y >= -0.5) & (y < shape[0] - 0.5)
        if not inside.any():
            return None
        radius = max(2, round(0.02 * size))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)) > 0
        places = np.stack([x[inside], y[inside]], axis=1).round().astype(int).tolist()
        covered = np.array([_touches(mask, disc, x, y) for x, y in places])
        if covered.mean() < params.min_joints_covered:
            return None
    return mask


def _touches(mask: np.ndarray, disc: np.ndarray, x: int, y: int) -> bool:
    """Whether a mask has a pixel within a disc around a place."""
    radius = len(disc) // 2
    top, left = max(radius - y, 0), max(radius - x, 0)
    part = mask[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
    return bool((part & disc[top : top + part.shape[0], left : left + part.shape[1]]).any())


def choose_instance(
    masks: Sequence[np.ndarray],
    boxes: np.ndarray | None,
    joints: np.ndarray | None,
    box: np.ndarray,
    others: Sequence[np.ndarray] = (),
) -> int | None:
    """Returns which of the instances that a network found is the wanted person; None: none is.

    Everybody known takes part, so that nobody gets the instance that fits another person better:
    instances are assigned to people one-to-one, by the joints on the mask and the overlap of the
    boxes.

    >>> masks = np.zeros((2, 8, 8), bool)
    >>> masks[0, :, :4] = masks[1, :, 4:] = True
    >>> joints = np.array([[5.0, 2], [6, 6]])
    >>> choose_instance(masks, None, joints, [4, 0, 4, 8])
    1

    Args:
        masks: Of each instance bool ``[h, w]``, in the pixels of the image.
        boxes: ``[n, 4]`` x, y, w, h of each, more columns are ignored; None: those of the masks.
        joints: ``[J, 2]`` of the wanted person, NaN = missing; None: not known.
        box: x, y, w, h of the wanted person.
        others: Joints of the other people in the image.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(masks):
        return None
    if boxes is None:
        boxes = np.stack([box_of_mask(np.ascontiguousarray(mask)) for mask in masks])
    people = [stand_in_joints(box) if joints is None else joints, *others]
    around = [np.asarray(box, np.float64)[:4], *(box_of_points(o, expand=1.2) for o in others)]
    on = np.stack([[_share_on(mask, person) for mask in masks] for person in people])
    gain = 0.5 * on + 0.5 * iou_matrix(np.stack(around), np.asarray(boxes))
    gain[gain < MIN_AGREEMENT] = 0
    for person, instance in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if person == 0 and gain[person, instance] > 0:
            return int(instance)
    return None


def _share_on(mask: np.ndarray, joints: np.ndarray) -> float:
    """The share of the joints in the image that lie on a mask, 0 if there are none."""
    joints = np.asarray(joints, np.float64)
    pixels = joints[inside(joints, mask.shape[::-1])].round().astype(int)
    x, y = np.minimum(pixels, np.array(mask.shape[::-1]) - 1).T
    return float(mask[y, x].mean()) if len(x) else 0.0
