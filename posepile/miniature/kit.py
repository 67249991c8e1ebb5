"""What drawing pictures and looking at them have in common: projection, texture, finding discs.

Projection is written out here in plain numpy from the textbook formulas instead of using the
camera library that the pipeline uses, since a miniature knows nothing of the reader under test.
"""

from __future__ import annotations

import cv2
import numpy as np


def project(
    points: np.ndarray,
    intrinsics: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    distortion: np.ndarray | None = None,
    fisheye: bool = False,
    half_tangential: bool = False,
) -> np.ndarray:
    """Projects world points by the textbook, OpenCV conventions.

    >>> intrinsics = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    >>> project(np.array([0.0, 100, 1000]), intrinsics, np.eye(3), np.zeros(3))
    array([320., 290.])

    Args:
        points: ``[..., 3]`` world coordinates.
        intrinsics: ``[3, 3]``.
        rotation: World to camera, ``[3, 3]``.
        translation: After rotation, ``[3]``: ``x_cam = R x + t``.
        distortion: k1, k2, p1, p2, k3 (Brown-Conrady; with k4, k5, k6 of the denominator it is
            OpenCV's rational model), or k1..k4 (Kannala-Brandt), or k0..k5, p0, p1, s0..s3
            (FISHEYE624, of Project Aria's glasses), or None.
        fisheye: It is one of the latter two.
        half_tangential: Of Brown-Conrady's terms, those of p1 and p2 that have a factor of two,
            have none, as in the code that was published with Human3.6M.

    Returns:
        ``[..., 2]`` pixels, pixel centres at integers; NaN behind the camera, and for FISHEYE624
        beyond 57 degrees from its axis.
    """
    cam = np.asarray(points, np.float64) @ np.asarray(rotation, np.float64).T + translation
    z = np.where(cam[..., 2] > 1e-9, cam[..., 2], np.nan)
    x, y = cam[..., 0] / z, cam[..., 1] / z
    if distortion is not None and fisheye:
        k = np.ravel(distortion)
        r = np.hypot(x, y)
        t = np.arctan(r)
        if len(k) == 12:
            t = np.where(t < np.radians(57), t, np.nan)
        n_radial = 6 if len(k) == 12 else 4
        t_d = t * (1 + sum(k[i] * t ** (2 * i + 2) for i in range(n_radial)))
        s = np.where(r > 1e-12, t_d / np.where(r > 1e-12, r, 1), 1.0)
        x, y = x * s, y * s
        if len(k) == 12:
            rr, (p0, p1, s0, s1, s2, s3) = x * x + y * y, k[6:]
            x, y = (
                x + 2 * x * (x * p0 + y * p1) + p0 * rr + s0 * rr + s1 * rr**2,
                y + 2 * y * (x * p0 + y * p1) + p1 * rr + s2 * rr + s3 * rr**2,
            )
    elif distortion is not None:
        k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(np.ravel(distortion)[:8], (0, 3))[:8]
        r2, two = x * x + y * y, 1 if half_tangential else 2
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        radial = radial / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + two * p1 * x * y + p2 * (r2 + two * x * x),
            y * radial + p1 * (r2 + two * y * y) + two * p2 * x * y,
        )
    k = np.asarray(intrinsics, np.float64)
    return np.stack([k[0, 0] * x + k[0, 1] * y + k[0, 2], k[1, 1] * y + k[1, 2]], axis=-1)


def background_grey(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A soft texture before it gets its tint: uint8 ``[height, width]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 150, (max(2, height // 120), max(2, width // 120), 1), np.uint8)
    return cv2.resize(coarse[..., 0], (width, height), interpolation=cv2.INTER_CUBIC)


# RGB of each grey of the texture; never of a joint's colour.
BACKGROUND_TINT = (np.arange(256)[:, None] * np.array([1.0, 0.97, 0.92])).astype(np.uint8)


def find_joints(
    image: np.ndarray, expected: np.ndarray, colors: np.ndarray, search: float
) -> np.ndarray:
    """Finds the coloured joint discs again.

    A disc counts as found only when it is whole: its blob must be round and must not touch the
    border of the search window or another disc.

    >>> image = np.full((112, 128, 3), 120, np.uint8)
    >>> image = cv2.circle(image, (40, 30), 6, (255, 0, 0), -1)
    >>> red = np.array([[255, 0, 0]])
    >>> find_joints(image, np.array([[42.0, 32.0]]), red, search=12).round(1)
    array([[40., 30.]])

    Args:
        image: uint8 RGB crop.
        expected: ``[J, 2]`` where to look, pixels.
        colors: ``[J, 3]`` as drawn.
        search: Half side of the search window in pixels.

    Returns:
        ``[J, 2]`` float64 centroids, NaN where the disc was not found whole.
    """
    found = np.full((len(expected), 2), np.nan)
    h, w = image.shape[:2]
    hsv_all = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv_colors = cv2.cvtColor(colors[None].astype(np.uint8), cv2.COLOR_RGB2HSV)[0]
    for j, (x, y) in enumerate(np.asarray(expected, np.float64)):
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        x0, x1 = max(0, int(x - search)), min(w, int(x + search) + 2)
        y0, y1 = max(0, int(y - search)), min(h, int(y + search) + 2)
        if x1 - x0 < 3 or y1 - y0 < 3:
            continue
        hsv = hsv_all[y0:y1, x0:x1].astype(int)
        hue_off = np.abs(hsv[..., 0] - int(hsv_colors[j, 0]))
        hue_off = np.minimum(hue_off, 180 - hue_off)
        hit = ((hue_off <= 6) & (hsv[..., 1] > 110) & (hsv[..., 2] > 80)).astype(np.uint8)
        n, labels, stats, _ = cv2.connectedComponentsWithStats(hit, connectivity=8)
        if n < 2:
            continue
        best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        bx, by, bw, bh, area = stats[best]
        whole = bx > 0 and by > 0 and bx + bw < x1 - x0 and by + bh < y1 - y0
        round_enough = 0.75 < bw / bh < 1.33 and area > 0.65 * bw * bh and area >= 9
        if whole and round_enough:
            weight = np.where(labels == best, hsv[..., 1], 0).astype(np.float64)
            ys, xs = np.mgrid[y0:y1, x0:x1]
            found[j] = (weight * xs).sum() / weight.sum(), (weight * ys).sum() / weight.sum()
    return found


def find_silhouette(image: np.ndarray) -> np.ndarray:
    """Finds drawn figures again by their colours.

    >>> image = np.full((112, 128, 3), 120, np.uint8)
    >>> image[20:60, 30:50] = 62
    >>> silhouette = find_silhouette(image)
    >>> bool(silhouette[40, 40]), bool(silhouette[40, 70])
    (True, False)

    Args:
        image: uint8 RGB crop.

    Returns:
        bool ``[h, w]``: pixels of figures and of joint discs.
    """
    smooth = cv2.medianBlur(image, 3).astype(int)
    spread = smooth.max(axis=-1) - smooth.min(axis=-1)
    luma = smooth @ np.array([0.299, 0.587, 0.114])
    figure = (luma > 16) & (luma < 78) & (spread < 45)
    found = (figure | (spread > 70)).astype(np.uint8)
    # the rim of a disc is a blend of its colour and grey, which is neither
    return cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)).astype(bool)


def look_at(
    position: np.ndarray, target: np.ndarray, up: tuple[float, float, float] = (0, 0, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Returns world-to-camera rotation and translation of an upright camera.

    >>> rotation, translation = look_at(np.array([0.0, -4000, 0]), np.zeros(3))
    >>> (rotation @ np.zeros(3) + translation).round(6).tolist()
    [0.0, 0.0, 4000.0]
    """
    z = np.array(target, float) - position
    z /= np.linalg.norm(z)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return rotation, -rotation @ position
