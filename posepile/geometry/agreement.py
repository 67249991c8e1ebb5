"""Whether cameras, poses and silhouettes that were published apart belong together.

For data without 2D annotations: joints must lie in the silhouettes, and the rays through
silhouettes of several views must meet at the body.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.pictures import inside, project

if TYPE_CHECKING:
    import deltacamera

SHIFTS = (-2, -1, 1, 2)  # frames by which labels and joints may be apart
# Labels are of another frame if shifted joints leave at most MAX_REST of the squared difference
# between the moves of parts and joints, and less than unshifted ones in MIN_CLOSER of the moves.
# Labels of the right frame, when shifted, leave 1.3 times as much, and less in one move of three.
MAX_REST, MIN_CLOSER = 0.75, 0.6
MAX_MOVE_PX = 2.0  # differences of moves count as this at most, so that no outlier decides
MIN_MOVES = 100  # with fewer, nothing is concluded
CLEARLY_PX = 0.5  # by which numbers that are shifted must fit better than those that are not


def values_at(points: np.ndarray, size: tuple[int, int], picture: np.ndarray) -> np.ndarray:
    """Returns the values of a map over the image at points of the image.

    >>> values_at(np.array([[2.0, 1.0]]), (4, 2), np.array([[5, 7]]))
    array([7])

    Args:
        points: ``[n, 2]`` pixels of the image; those beyond its border count as on it.
        size: Width and height of the image.
        picture: ``[h, w, ...]``, perhaps of another size than the image.

    Returns:
        ``[n, ...]``.
    """
    scale = np.array(picture.shape[1::-1]) / size
    nearest = np.rint((np.asarray(points) + 0.5) * scale - 0.5).astype(int)
    x, y = np.clip(nearest, 0, np.array(picture.shape[1::-1]) - 1).T
    return picture[y, x]


def in_silhouette(
    points: np.ndarray, size: tuple[int, int], mask: np.ndarray, margin: int = 2
) -> np.ndarray:
    """Returns which points ``[n, 2]`` of an image lie in a person's silhouette, or nearly.

    >>> in_silhouette(np.array([[1.0, 1.0], [9.0, 9.0]]), (10, 10), np.eye(10) > 1)
    array([False, False])

    Args:
        points: Pixels of the image, inside it.
        size: Width and height of the image.
        mask: bool ``[h, w]``.
        margin: Pixels of the mask by which its outline may be off: lossy masks are not sharp.
    """
    side = 2 * margin + 1
    grown = cv2.dilate(np.asarray(mask, np.uint8), np.ones((side, side), np.uint8))
    return values_at(points, size, grown) > 0


def in_box(points: np.ndarray, box: np.ndarray, margin: float = 0.03) -> np.ndarray:
    """Returns which points ``[n, 2]`` lie in a box x, y, width, height, or nearly.

    >>> in_box(np.array([[5.0, 5.0], [11.0, 5.0]]), np.array([0, 0, 10, 10]))
    array([ True, False])

    Args:
        points: Pixels.
        box: x, y, width, height.
        margin: By how much they may lie outside, as a share of the box's longer side.
    """
    low, high = box[:2], box[:2] + box[2:]
    slack = margin * np.max(box[2:])
    return ((points >= low - slack) & (points <= high + slack)).all(axis=-1)


def ray_distance(camera: deltacamera.Camera, pixel: np.ndarray, point: np.ndarray) -> float:
    """Returns how far the ray through a pixel passes a point of the world, in millimetres.

    Taken of the centre of a silhouette and the middle of the body in several views, it tells
    swapped views and clocks that do not run together, which one view alone may not show.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera 1", focal=1000, size=(641, 481))
    >>> round(ray_distance(camera, np.array([320.0, 240.0]), np.array([0.0, 50.0, 3000.0])))
    50

    Args:
        camera: The camera.
        pixel: ``[2]``.
        point: ``[3]`` millimetres.
    """
    origin = np.asarray(camera.t, np.float64)
    far = camera.image_to_world(np.asarray(pixel, np.float32)[None], camera_depth=1000.0)
    ray = np.asarray(far, np.float64)[0] - origin
    ray /= np.linalg.norm(ray)
    return float(np.linalg.norm(point - origin - ray * (ray @ (point - origin))))


def check_parts(
    where: str | os.PathLike,
    points: np.ndarray,
    labels: np.ndarray,
    ends: Sequence[int],
    limit: float,
) -> float:
    """Returns how far joints are from the pixels of their body part, in the median.

    Where pictures are labelled with body parts, a large distance means labels of another person.
    Labels of another frame are recognised by how parts and joints move.

    >>> labels = np.zeros((1, 40, 60), np.uint8)
    >>> labels[0, 10:30, 20:30] = 1
    >>> check_parts("parts.mat", np.array([[[31.0, 20]]]), labels, [0], limit=0.2)
    0.1

    Args:
        where: File of the labels, for the message.
        points: ``[n, J, 2]`` pixels of the joints, NaN = missing.
        labels: uint8 ``[n, h, w]``: 0, or 1 + the joint at which the part begins.
        ends: Of each part the joint at which it ends; the same where there is no such one.
        limit: Largest median allowed; 1 = any, and labels of another frame are accepted, too.

    Returns:
        Distance to the nearest pixel of the part, as a share of the longer side of the person's
        box: the median over joints in the picture whose part is seen, in some ten frames. 0 if
        there are none.

    Raises:
        CorruptInput: It is larger, the labels fit another frame, or there are more parts than J.
    """
    n_joints = points.shape[1]
    if labels.max(initial=0) > n_joints:
        found = f"found body part {labels.max()}; expected 0 to {n_joints}"
        raise CorruptInput(where, found, hint="fetch or extract it again")
    off, middles = [], np.full((len(labels), n_joints, 2), np.nan)
    pictured = inside(points, labels.shape[:0:-1])
    measured = set(range(0, len(labels), 1 + len(labels) // 10))  # the distance is slow
    for k, picture in enumerate(labels):
        y, x = picture.nonzero()
        part = picture[y, x].astype(int) - 1
        n = np.bincount(part, minlength=n_joints)
        seen = np.flatnonzero((n > 0) & pictured[k])
        sums = [np.bincount(part, weights, n_joints) for weights in (x, y)]
        middles[k, seen] = (np.stack(sums, axis=-1)[seen].T / n[seen]).T
        if k in measured and len(seen):
            size = max(np.ptp(x), np.ptp(y)) + 1
            pixels = np.stack([x, y], axis=-1)
            off += [
                np.linalg.norm(pixels[part == j] - points[k, j], axis=-1).min() / size
                for j in seen
            ]
    median = float(np.median(off)) if off else 0.0
    if median > limit and limit < 1:
        raise CorruptInput(
            where,
            f"joints lie {median:.1%} of the person's size (median) from their parts; expected "
            f"at most {limit:.1%}",
            hint="not of one person: fetch or extract both again, or raise dataset.max_off_part",
        )
    limbs = [j for j in range(n_joints) if ends[j] != j]
    shift = better_shift(middles[:, limbs], (points + points[:, ends])[:, limbs] / 2)
    if shift and limit < 1:
        raise CorruptInput(
            where,
            f"the body parts move like the joints {abs(shift)} frame(s) "
            f"{'later' if shift > 0 else 'before'}; expected those of the same frame",
            hint="not of one release: fetch or extract both again; dataset.max_off_part=1 accepts",
        )
    return median


def better_shift(middles: np.ndarray, points: np.ndarray) -> int:
    """Returns by how many frames joints must be shifted to move like the parts; 0 = not at all.

    >>> walk = np.random.default_rng(0).normal(0, 9, (99, 2, 2)).cumsum(axis=0)
    >>> better_shift(walk[1:], walk[:-1] + 30), better_shift(walk, walk + 30)
    (1, 0)

    Args:
        middles: Of the parts ``[n, P, 2]`` pixels, NaN = not seen.
        points: Of the joints where the middles should be ``[n, P, 2]``.

    Returns:
        One of ``SHIFTS`` where it fits clearly better, in at least ``MIN_MOVES`` of parts.
    """
    parts, joints = np.diff(middles, axis=0), np.diff(points, axis=0)
    rows = np.arange(max(SHIFTS), len(parts) - max(SHIFTS))
    squares = {s: ((parts[rows] - joints[rows + s]) ** 2).sum(axis=-1) for s in (0, *SHIFTS)}
    known = np.isfinite(list(squares.values())).all(axis=0)
    if known.sum() < MIN_MOVES:
        return 0
    rest = {s: np.minimum(of[known], MAX_MOVE_PX**2).mean() for s, of in squares.items()}
    best = min(rest, key=rest.__getitem__)
    closer = (squares[best] < squares[0])[known].mean()
    return best if rest[best] < MAX_REST * rest[0] and closer > MIN_CLOSER else 0


def find_shift(
    where: str | os.PathLike,
    camera: deltacamera.Camera,
    poses: Mapping[int, np.ndarray],
    pixels: np.ndarray,
    limit: float,
    *,
    shift: int | None = None,
    hint: str | None = None,
) -> tuple[int, float]:
    """Returns by how much numbers of poses differ from those of their 2D labels: -1, 0 or 1.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("a.json", focal=100, size=(641, 481))
    >>> poses = {k: np.array([[100.0 * k, 0, 1000]]) for k in range(1, 5)}
    >>> pixels = np.array([[[330.0, 240]], [[340, 240]], [[350, 240]]])
    >>> shift, off = find_shift("a_2d.npy", camera, poses, pixels, limit=5)
    >>> shift, round(off)
    (1, 0)

    Args:
        where: File of the labels, for the message.
        camera: The camera.
        poses: Number -> joints ``[J, 3]``, world millimetres; some 50 are looked at.
        pixels: ``[n, J, 2]``, NaN = missing; of the pose of that number, but for the shift.
        limit: Largest distance (median) from the projected poses, pixels.
        shift: What it has to be; None = what fits best, 0 unless another is clearly better.
        hint: What the user can do if nothing fits.

    Returns:
        The shift, and the distance that remains.

    Raises:
        CorruptInput: The distance is larger, or another shift fits better.
    """
    off = {}
    for step in (0, -1, 1):
        rows = [row for row in range(len(pixels)) if row + step in poses]
        rows = rows[:: 1 + len(rows) // 50]
        if not rows:
            off[step] = np.inf
            continue
        points = np.array([poses[row + step] for row in rows])
        away = np.linalg.norm(project(camera, points) - pixels[rows], axis=-1)
        known = away[np.isfinite(away)]
        off[step] = float(np.median(known)) if known.size else np.inf
    best = min(off, key=lambda step: off[step] + (CLEARLY_PX if step else 0))
    chosen = best if shift is None else shift
    if chosen != best or not off[chosen] <= limit:
        found = ", ".join(f"{off[step]:.1f} px for shift {step}" for step in sorted(off))
        text = f"2D joints lie (median) {found} from the projected poses; expected the least, and "
        raise CorruptInput(where, f"{text}{limit:g} px or less, for shift {chosen}", hint=hint)
    return chosen, off[chosen]


def check_same_points(
    where: str | os.PathLike,
    found: np.ndarray,
    expected: np.ndarray,
    limit: float,
    *,
    frames: Iterable[int],
    hint: str | None = None,
) -> float:
    """Returns how far points are at most from the same ones in another file of the dataset.

    It settles axes, unit and what a missing point looks like, where that is not described.

    >>> points = np.array([[[1.0, 2, 3], [np.nan] * 3]])
    >>> check_same_points("markers.txt", points, points, 0.5, frames=[0])
    0.0

    Args:
        where: The file, for the message.
        found: ``[n, J, 3]`` in it, NaN = missing.
        expected: Likewise, in the other.
        limit: Largest distance allowed.
        frames: Number of each of the n.
        hint: What the user can do about it.

    Raises:
        CorruptInput: A point is further off, or missing in one of both.
    """
    off = np.linalg.norm(found - np.asarray(expected), axis=-1)
    lost, lost_there = (np.isnan(points).any(axis=-1) for points in (found, expected))
    off = np.where(lost & lost_there, 0, np.where(lost ^ lost_there, np.inf, off))
    if off.max(initial=0) > limit:
        k, j = np.unravel_index(np.argmax(off), off.shape)
        text = f"point {j} of frame {list(frames)[k]} is missing in one of the two files alone"
        if np.isfinite(off[k, j]):
            text = f"point {j} of frame {list(frames)[k]} is {off[k, j]:.3g} from where the other "
            text += f"file has it; expected at most {limit:g}"
        raise CorruptInput(where, text, hint=hint)
    return float(off.max(initial=0))
