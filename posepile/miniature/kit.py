"""Kit for writing miniatures: drawn people with known joints, in any raw format.

A miniature is made from a dataset's card and knows nothing of the reader under test. For the same
reason projection is written out here in plain numpy from the textbook formulas instead of using
the camera library that the pipeline uses.

A drawn person is a grey articulated figure on a textured background. Each joint is a disc of its
own colour with a dark ring, so that a test can find it again in the final crop, whatever
happened in between, and compare it with where the dataset says the joint is.

``build(root, seed=0)`` in a dataset's ``miniature.py`` writes the raw files below ``root`` and
``root/miniature_truth.json`` (see :func:`write_truth`).
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import TRUTH


def joint_colors(n_joints: int) -> np.ndarray:
    """Colours that stay apart through a JPEG: uint8 RGB ``[n_joints, 3]``, deterministic.

    >>> joint_colors(17).shape
    (17, 3)
    """
    colors = []
    for i in range(n_joints):
        hue = (i * 0.61803398875) % 1.0
        value = (1.0, 0.8)[i % 2]
        colors.append([round(255 * c) for c in colorsys.hsv_to_rgb(hue, 1.0, value)])
    return np.array(colors, np.uint8)


def project(
    points: np.ndarray,
    intrinsics: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    distortion: np.ndarray | None = None,
    fisheye: bool = False,
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
        distortion: k1, k2, p1, p2, k3 (Brown-Conrady), or k1..k4 (Kannala-Brandt), or k0..k5, p0,
            p1, s0..s3 (FISHEYE624, of Project Aria's glasses), or None.
        fisheye: It is one of the latter two.

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
        k1, k2, p1, p2, k3 = np.ravel(distortion)[:5]
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    k = np.asarray(intrinsics, np.float64)
    return np.stack([k[0, 0] * x + k[0, 1] * y + k[0, 2], k[1, 1] * y + k[1, 2]], axis=-1)


def background(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A soft greyish texture, uint8 RGB ``[height, width, 3]``; never of a joint's colour.

    >>> background(64, 48).shape
    (48, 64, 3)
    """
    grey = cv2.merge([background_grey(width, height, seed)] * 3)
    return cv2.LUT(grey, BACKGROUND_TINT[:, None])


def background_grey(width: int, height: int, seed: int = 0) -> np.ndarray:
    """The texture of :func:`background` before it gets its tint: uint8 ``[height, width]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 150, (max(2, height // 120), max(2, width // 120), 1), np.uint8)
    return cv2.resize(coarse[..., 0], (width, height), interpolation=cv2.INTER_CUBIC)


# RGB of each grey of the background.
BACKGROUND_TINT = (np.arange(256)[:, None] * np.array([1.0, 0.97, 0.92])).astype(np.uint8)


def draw_person(
    image: np.ndarray,
    joints: np.ndarray,
    edges: list[tuple[int, int]],
    radius: float,
    colors: np.ndarray | None = None,
    discs: bool = True,
) -> np.ndarray:
    """Draws a figure into ``image`` in place and returns its silhouette.

    >>> joints, colors = np.array([[40.0, 30], [90, 80]]), joint_colors(2)
    >>> image = background(128, 112).copy()
    >>> silhouette = draw_person(image, joints, [(0, 1)], 10, colors)
    >>> bool(silhouette[55, 65]), bool(silhouette[0, 0])
    (True, False)

    Args:
        image: uint8 RGB ``[h, w, 3]``, contiguous.
        joints: ``[J, 2]`` pixels, NaN = do not draw.
        edges: Pairs of joint indices that limbs connect.
        radius: Limb half-width in pixels; joint discs have 0.6 of it.
        colors: uint8 RGB ``[J, 3]``, default :func:`joint_colors`.
        discs: Draw the coloured joint discs.

    Returns:
        bool ``[h, w]``: the drawn pixels.
    """
    shift, one = 8, 256
    colors = joint_colors(len(joints)) if colors is None else colors
    mask = np.zeros(image.shape[:2], np.uint8)

    def point(p):
        return tuple(round(float(v) * one) for v in p)

    ok = np.isfinite(joints).all(axis=-1)
    thickness = max(1, round(2 * radius))
    for a, b in edges:
        if ok[a] and ok[b]:
            for target, color in ((image, (70, 70, 80)), (mask, 1)):
                cv2.line(
                    target, point(joints[a]), point(joints[b]), color, thickness, cv2.LINE_8, shift
                )
    for j in np.flatnonzero(ok):
        for target, color in ((image, (70, 70, 80)), (mask, 1)):
            cv2.circle(target, point(joints[j]), round(radius * one), color, -1, cv2.LINE_8, shift)
    if discs:
        for j in np.flatnonzero(ok):
            color = tuple(int(c) for c in colors[j])
            center = point(joints[j])
            cv2.circle(image, center, round(0.6 * radius * one), color, -1, cv2.LINE_AA, shift)
    return mask.astype(bool)


def find_joints(
    image: np.ndarray, expected: np.ndarray, colors: np.ndarray, search: float
) -> np.ndarray:
    """Finds the coloured joint discs again.

    A disc counts as found only when it is whole: its blob must be round and must not touch the
    border of the search window or another disc.

    >>> joints, colors = np.array([[40.0, 30], [90, 80]]), joint_colors(2)
    >>> image = background(128, 112).copy()
    >>> silhouette = draw_person(image, joints, [(0, 1)], 10, colors)
    >>> bool(np.abs(find_joints(image, joints + 2, colors, search=12) - joints).max() < 0.5)
    True

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
    """Finds figures drawn by :func:`draw_person` or the studio again by their colours.

    >>> joints, colors = np.array([[40.0, 30], [90, 80]]), joint_colors(2)
    >>> image = background(128, 112).copy()
    >>> silhouette = draw_person(image, joints, [(0, 1)], 10, colors)
    >>> bool((find_silhouette(image) == silhouette).mean() > 0.99)
    True

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


def write_video(
    path: Path, images: Iterable[np.ndarray], rate: int, options: dict[str, str]
) -> None:
    """Writes RGB images as an H.264 file, yuv420p; lossy, like any video.

    >>> write_video(folder / "a.mp4", [background(64, 48)] * 3, 25, {"crf": "20"})
    >>> (folder / "a.mp4").is_file()
    True

    Args:
        path: The file; its folder is made if needed.
        images: uint8 RGB ``[h, w, 3]``, all of one size.
        rate: Frames per second.
        options: Of libx264, e.g. ``crf``.
    """
    import av

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"preset": "ultrafast", "threads": "1", **options}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


def write_truth(root: Path, *, counts: dict[str, int], **more) -> None:
    """Writes ``root/miniature_truth.json``, what the generic contract test compares with.

    >>> write_truth(folder, counts={"train": 2})
    >>> (folder / "miniature_truth.json").is_file()
    True

    Args:
        root: The miniature's raw folder.
        counts: Number of packed examples expected per split under the dataset's default
            configuration, worked out from the card.
        **more: Optional facts: ``colors`` (``[J][3]`` of the drawn joints in the order of the
            dataset's JointInfo; a null row is a joint that is not drawn as a disc),
            ``raw_masks`` (true: the raw data has masks of the drawn silhouettes) and whatever the
            dataset's own test needs.
    """
    text = json.dumps({"counts": counts, **more}, indent=1, sort_keys=True)
    (Path(root) / TRUTH).write_text(text + "\n")
