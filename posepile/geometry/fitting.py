"""Cameras that are not given as they are needed: lenses of another model, poses by points."""

from __future__ import annotations

import os

import cv2
import numpy as np

from posepile.errors import CorruptInput

FOCAL_RANGE = (100.0, 5000.0)  # pixels
MAX_MATRIX_ERROR = 1e-4  # pixels: how well a recovered lens must reproduce the given matrix


def project_fisheye624(params: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Returns pixels ``[n, 2]`` of rays ``[n, 3]`` in camera axes, by the FISHEYE624 formulas.

    >>> project_fisheye624(np.r_[600, 700, 700, np.zeros(12)], np.array([[0.0, 0, 1]]))
    array([[700., 700.]])

    Args:
        params: f, cx, cy, k0..k5 (on the angle), p0, p1, s0..s3: the model of Project Aria's
            glasses.
        rays: Points or directions.
    """
    f, center, k, p, s = params[0], params[1:3], params[3:9], params[9:11], params[11:15]
    xy = rays[:, :2] / rays[:, 2:]
    r = np.hypot(xy[:, 0], xy[:, 1])
    t = np.arctan(r)
    t2 = t * t
    t_d = t * (1 + t2 * np.polyval(k[::-1], t2))
    u = xy * np.where(r > 1e-12, t_d / np.where(r > 1e-12, r, 1), 1)[:, None]
    r2 = (u**2).sum(axis=1, keepdims=True)
    tangential = 2 * u * (u @ p)[:, None] + p * r2
    prism = s[[0, 2]] * r2 + s[[1, 3]] * r2**2
    return f * (u + tangential + prism) + center


def fit_pinhole(
    where: str | os.PathLike, points: np.ndarray, pixels: np.ndarray, *, hint: str | None = None
) -> np.ndarray:
    """Fits a pinhole without skew to points in camera axes and their pixels: ``[3, 3]``.

    >>> points = np.array([[0.0, 0, 2], [1, 0, 2], [0, 1, 4]])
    >>> fit_pinhole("a.mat", points, [[50, 40], [150, 40], [50, 90]]).round(3).tolist()
    [[200.0, 0.0, 50.0], [0.0, 200.0, 40.0], [0.0, 0.0, 1.0]]

    Args:
        where: File of the labels, for the message.
        points: ``[..., 3]`` in any unit, in front of the camera.
        pixels: ``[..., 2]``.
        hint: What the user can do if there is no such pinhole.

    Raises:
        CorruptInput: Too few points, or focal lengths outside of :data:`FOCAL_RANGE`.
    """
    points, pixels = np.reshape(points, (-1, 3)), np.reshape(pixels, (-1, 2))
    matrix = np.eye(3)
    for axis in range(2):
        seen = points[:, axis] / points[:, 2]
        rows = np.stack([seen, np.ones_like(seen)], axis=1)
        solution, _, rank, _ = np.linalg.lstsq(rows, pixels[:, axis])
        if rank < 2:
            text = f"found {len(points)} points; expected several, not in one plane with the axis"
            raise CorruptInput(where, text, hint=hint)
        matrix[axis, axis], matrix[axis, 2] = solution
    _check_focal(where, matrix)
    return matrix


def fit_beside(
    where: str | os.PathLike,
    points: np.ndarray,
    pixels: np.ndarray,
    *,
    focal: tuple[float, float] = FOCAL_RANGE,
    max_shift: float = np.inf,
    hint: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a pinhole beside the sensor in whose axes points are: ``[3, 3]`` and translation.

    Colour and depth cameras of one device look the same way from some centimetres apart. In x and
    in y, a pixel is ``f (x + t) / z + c``, which is linear in f, f t and c.

    >>> points = np.array([[0.0, 0, 2], [1, 0, 2], [0, 1, 4], [2, 3, 5]])
    >>> pixels = 200 * (points[:, :2] + (0.5, 0)) / points[:, 2:] + (50, 40)
    >>> matrix, translation = fit_beside("a.skeleton", points, pixels)
    >>> matrix[:2].round(3).tolist(), abs(translation).round(3).tolist()
    ([[200.0, 0.0, 50.0], [0.0, 200.0, 40.0]], [0.5, 0.0, 0.0])

    Args:
        where: File of the labels, for the message.
        points: ``[..., 3]`` in any unit, in front of the camera; in one plane, anything fits.
        pixels: ``[..., 2]``; pairs with a NaN in either do not count.
        focal: Least and largest focal length that the device may have.
        max_shift: How far the two may be apart, in the unit of the points.
        hint: What the user can do if there is no such pinhole.

    Returns:
        The matrix, and the translation ``[3]`` from the points to the camera, in their unit.

    Raises:
        CorruptInput: Too few points, focal lengths outside of the range, or a larger shift.
    """
    labels = np.concatenate([points, pixels], axis=-1).reshape(-1, 5)
    labels = labels[np.isfinite(labels).all(axis=1)]
    if len(labels) < 3:
        raise CorruptInput(where, f"found {len(labels)} points; expected 3 or more", hint=hint)
    matrix, translation, z = np.eye(3), np.zeros(3), labels[:, 2]
    near = 1 / np.median(z)
    for axis in range(2):
        rows = np.stack([labels[:, axis] / z, 1 / (near * z), np.ones_like(z)], axis=1)
        solution = np.linalg.lstsq(rows, labels[:, 3 + axis])[0]
        matrix[axis, axis], shift, matrix[axis, 2] = solution
        translation[axis] = shift / near / matrix[axis, axis]
    _check_focal(where, matrix, focal)
    if (shift := np.linalg.norm(translation)) > max_shift:
        text = f"labels fit a lens {shift:.4g} beside the sensor; expected at most {max_shift:g}"
        raise CorruptInput(where, text, hint=hint)
    return matrix, translation


def _check_focal(
    where: str | os.PathLike, matrix: np.ndarray, focal: tuple[float, float] = FOCAL_RANGE
) -> None:
    if not all(focal[0] <= f <= focal[1] for f in np.diag(matrix)[:2]):
        found = " and ".join(f"{f:.4g}" for f in np.diag(matrix)[:2])
        text = f"labels fit focal lengths of {found} px; expected {focal[0]:g} to "
        raise CorruptInput(where, f"{text}{focal[1]:g}: 2D and 3D are not of one camera")


def fit_pose(
    where: str | os.PathLike,
    points: np.ndarray,
    pixels: np.ndarray,
    intrinsics: np.ndarray,
    limit: float,
    *,
    hint: str | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the pose of a pinhole that sees points at their pixels, for sets without extrinsics.

    >>> points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 2], [0, 2, 1]])
    >>> seen = points + [0, 0, 5]
    >>> pixels, lens = 100 * seen[:, :2] / seen[:, 2:], np.diag([100.0, 100, 1])
    >>> fit_pose("0001.txt", points, pixels, lens, limit=0.1)[1].round(3).tolist()
    [0.0, 0.0, 5.0]

    Args:
        where: File of the labels, for the message.
        points: ``[n, 3]`` in the world, not all in one line; at least six.
        pixels: ``[n, 2]``.
        intrinsics: ``[3, 3]``.
        limit: Largest root mean square of the distances that is allowed, pixels.
        hint: What the user can do if it is larger.

    Returns:
        Rotation ``[3, 3]`` and translation ``[3]`` of ``x_cam = R x + t``, and that distance.

    Raises:
        CorruptInput: It is larger, or a point is behind the camera: points of another picture,
            another focal length, or axes of which one is mirrored.
    """
    points, pixels = np.asarray(points, np.float64), np.asarray(pixels, np.float64)
    middle, lens = points.mean(axis=0), np.asarray(intrinsics, np.float64)
    given = np.ascontiguousarray(points - middle), np.ascontiguousarray(pixels), lens, None
    off, depth = np.inf, -np.inf
    try:
        ok, turn, shift = cv2.solvePnP(*given, flags=cv2.SOLVEPNP_SQPNP)
    except cv2.error:  # all in one point
        ok = False
    if ok:
        turn, shift = cv2.solvePnPRefineLM(*given, turn, shift)
        rotation = cv2.Rodrigues(turn)[0]
        translation = shift[:, 0] - rotation @ middle
        rays = (points @ rotation.T + translation) @ lens.T
        depth = float(rays[:, 2].min())
        off = float(np.sqrt(((rays[:, :2] / rays[:, 2:] - pixels) ** 2).sum(axis=-1).mean()))
    if not (off <= limit and depth > 0):
        found = "points behind the camera" if off <= limit else f"{off:.3g} px off (RMS)"
        raise CorruptInput(
            where,
            f"the best pose of the camera leaves its points {found}; expected all in front of it "
            f"and at most {limit:g} px off",
            hint=hint or "pixels and points of two pictures, another lens, or a mirrored axis",
        )
    return rotation, translation, off


def fit_focal(
    where: str | os.PathLike,
    points: np.ndarray,
    pixels: np.ndarray,
    principal: tuple[float, float],
    focals: tuple[float, float],
) -> tuple[float, float, dict[str, np.ndarray]] | None:
    """Returns a pinhole of one unknown focal length that sees points at their pixels.

    Of the focal lengths within limits the one is sought of which :func:`fit_pose` leaves the
    least. Points that are far away and few tell it badly, however well they fit: how badly is told
    by how much worse others fit, which are 10 % shorter or longer.

    >>> points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 2], [0, 2, 1]])
    >>> seen = points + [0, 0, 5]
    >>> pixels = 100 * seen[:, :2] / seen[:, 2:]
    >>> off, uncertain, camera = fit_focal("0001.txt", points, pixels, (0, 0), (50, 200))
    >>> round(float(camera["focal"])), (camera["center"] + 1e-3).round(2).tolist()
    (100, [0.0, 0.0, -5.0])
    >>> uncertain < 1e-3
    True

    Args:
        where: File of the labels, for messages.
        points: ``[n, 3]`` in the world.
        pixels: ``[n, 2]``.
        principal: Principal point, pixels.
        focals: Least and largest focal length, pixels.

    Returns:
        Root mean square of the distances; standard error of the focal length as a share of it,
        infinite at a limit; ``focal``, ``rotation`` (world to camera) and ``center`` (in the
        world). None of fewer than six points, or where all lie behind it.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    def fit(scale: float) -> tuple[float, dict[str, np.ndarray]] | None:
        focal = np.exp(scale)
        lens = np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1]])
        try:
            turn, shift, off = fit_pose(where, points, pixels, lens, np.inf)
        except CorruptInput:  # points behind the camera
            return None
        return off, {"focal": focal, "rotation": turn, "center": -turn.T @ shift}

    if len(points) < 6:
        return None
    bounds = np.log(focals)
    options = {"xatol": 1e-6}

    def left(scale: float) -> float:
        return (fit(scale) or (1e9,))[0]

    best = minimize_scalar(left, bounds=bounds, method="bounded", options=options).x
    found = fit(best)
    if found is None:
        return None
    off, uncertain = found[0], np.inf
    worse = min(left(best - 0.1), left(best + 0.1)) ** 2 - off**2
    if worse > 0 and np.abs(bounds - best).min() > 1e-3:
        # Of the 2 n numbers, seven were used up by the fit.
        spread = off**2 * len(points) / (2 * len(points) - 7)
        uncertain = float(0.1 * np.sqrt(spread / (len(points) * worse)))
    return off, uncertain, found[1]


def fit_fisheye624(
    where: str | os.PathLike,
    params: np.ndarray,
    size: tuple[int, int],
    max_angle: float,
    limit: float,
    *,
    hint: str | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fits pinhole plus rational Brown-Conrady to a FISHEYE624 lens, for crops to be taken.

    Its six radial, two tangential and four thin-prism coefficients on the angle are of the same
    kinds as the twelve of the rational model; over a field of view of 110 degrees the two agree to
    about 0.1 px. Four Kannala-Brandt coefficients would not do (0.6 px): they have no tangential
    terms.

    >>> params = np.r_[610, 704, 704, 0.40, -0.49, 0.17, 1.12, -1.69, 0.65, np.zeros(6)]
    >>> matrix, coefficients, worst = fit_fisheye624("calib.json", params, (1408, 1408), 55, 0.3)
    >>> coefficients.shape, bool(worst < 0.3)
    ((12,), True)

    Args:
        where: File, for the message.
        params: As of :func:`project_fisheye624`.
        size: Width and height of the pictures.
        max_angle: Degrees from the axis up to which the lens is to be matched.
        limit: Largest difference allowed, pixels.
        hint: What the user can do if it is larger.

    Returns:
        Intrinsics ``[3, 3]``, coefficients in OpenCV order ``[12]`` and the largest difference in
        pixels between the lens and the camera made of them.

    Raises:
        CorruptInput: The difference is above the limit.
    """
    import deltacamera
    from scipy.optimize import least_squares

    angles = np.radians(np.linspace(1, max_angle, 24))
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    a, b = (g.ravel() for g in np.meshgrid(angles, around))
    rays = np.stack([np.tan(a) * np.cos(b), np.tan(a) * np.sin(b), np.ones_like(a)], axis=1)
    target = project_fisheye624(params, rays)
    in_image = ((target > -0.5) & (target < np.array(size) - 0.5)).all(axis=1)
    rays, target = rays[in_image], target[in_image]

    # Reweighting by the error turns least squares towards the smallest worst error.
    q, weights = np.concatenate([params[:3], np.zeros(12)]), np.ones((len(rays), 1))
    for _ in range(4):
        q = least_squares(
            lambda q, w=weights: (w * (_brown_conrady(q, rays) - target)).ravel(),
            q,
            x_scale="jac",
            method="lm",
            max_nfev=3000,
        ).x
        off = np.linalg.norm(_brown_conrady(q, rays) - target, axis=1, keepdims=True)
        weights = weights * (1 + off / max(off.max(), 1e-12))
    matrix = np.array([[q[0], 0, q[1]], [0, q[0], q[2]], [0, 0, 1]])
    camera = deltacamera.Camera(
        intrinsic_matrix=matrix, distortion_model=deltacamera.BrownConradyEx(q[3:])
    )
    off = np.linalg.norm(camera.camera_to_image(rays.astype(np.float32)) - target, axis=1)
    worst = float(off.max()) if np.isfinite(off).all() else np.inf
    if worst > limit:
        raise CorruptInput(
            where, f"the lens is matched only to {worst:.2f} px, allowed {limit}", hint=hint
        )
    return matrix, q[3:], worst


def undistorted_matrix(
    matrix: np.ndarray, distortion: np.ndarray, size: tuple[int, int], balance: float
) -> np.ndarray:
    """Returns the matrix ``[3, 3]`` that OpenCV gives the undistorted picture of a fisheye lens.

    >>> matrix = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    >>> undistorted_matrix(matrix, np.zeros(4), (640, 480), 0.8).shape
    (3, 3)

    Args:
        matrix: Of the lens ``[3, 3]``.
        distortion: k1..k4 of the Kannala-Brandt model.
        size: Width and height of the picture.
        balance: As of ``cv2.fisheye.estimateNewCameraMatrixForUndistortRectify``.
    """
    return cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
        np.asarray(matrix, np.float64),
        np.asarray(distortion, np.float64),
        tuple(size),
        np.eye(3),
        balance=balance,
    )


def matrix_before_undistortion(
    where: str | os.PathLike,
    undistorted: np.ndarray,
    distortion: np.ndarray,
    size: tuple[int, int],
    balance: float,
    *,
    hint: str | None = None,
) -> np.ndarray:
    """Returns the matrix ``[3, 3]`` of the fisheye lens whose undistorted picture has a matrix.

    The inverse of :func:`undistorted_matrix`. The principal point is the middle of the picture,
    which that function leaves where it is; what remains is one number, the focal length, of which
    the given one is a strictly increasing function as long as the whole picture is in front of
    the lens.

    >>> matrix = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    >>> lens = (np.array([0.05, 0, 0, 0]), (640, 480), 0.8)
    >>> matrix_before_undistortion("camera 1", undistorted_matrix(matrix, *lens), *lens).round(3)
    array([[500.,   0., 320.],
           [  0., 500., 240.],
           [  0.,   0.,   1.]])

    Args:
        where: File and camera, for messages.
        undistorted: ``[3, 3]``, principal point in the middle.
        distortion: As there.
        size: As there.
        balance: As there.
        hint: What the user can do if it cannot be found.

    Raises:
        CorruptInput: No focal length reproduces the given one.
    """
    from scipy.optimize import brentq

    aspect = undistorted[0, 0] / undistorted[1, 1]

    def lens(f: float) -> np.ndarray:
        return np.array([[f, 0, undistorted[0, 2]], [0, f / aspect, undistorted[1, 2]], [0, 0, 1]])

    def error(f: float) -> float:
        return undistorted_matrix(lens(f), distortion, size, balance)[0, 0] - undistorted[0, 0]

    low = max(FOCAL_RANGE[0], max(size) / 2 / _largest_distorted_angle(distortion))
    found = f"fx {undistorted[0, 0]:.3f} of the undistorted picture"
    if not error(low) <= 0 <= error(FOCAL_RANGE[1]):
        raise CorruptInput(
            where,
            f"no focal length of {low:.0f}..{FOCAL_RANGE[1]:.0f} px gives {found} with distortion "
            f"{np.asarray(distortion).tolist()}",
            hint=hint,
        )
    f = brentq(error, low, FOCAL_RANGE[1], xtol=1e-9, rtol=1e-12)
    if abs(error(f)) > MAX_MATRIX_ERROR:
        raise CorruptInput(
            where,
            f"the recovered focal length {f:.4f} px misses {found} by {error(f):.2g}",
            hint=hint,
        )
    return lens(f)


def _largest_distorted_angle(distortion: np.ndarray) -> float:
    """The largest theta_d of angles below 89 degrees, before the polynomial turns back."""
    t = np.radians(np.linspace(0, 89, 891))
    t2 = t * t
    d = t * (1 + t2 * np.polyval(distortion[::-1], t2))
    turn = np.flatnonzero(np.diff(d) <= 0)
    # OpenCV clips distorted angles to 90 degrees.
    return float(min(d[turn[0] if len(turn) else -1], np.pi / 2))


def _brown_conrady(q: np.ndarray, rays: np.ndarray) -> np.ndarray:
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = q[3:]
    x, y = rays[:, 0] / rays[:, 2], rays[:, 1] / rays[:, 2]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + s1 * r2 + s2 * r2**2
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2
    return q[0] * np.stack([u, v], axis=1) + q[1:3]
