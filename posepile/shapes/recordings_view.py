"""One video of a static camera beside its key points: does the body lie on what moves there?"""

from __future__ import annotations

import cv2
import numpy as np

from posepile.formats.point_files import read_points
from posepile.geometry.pictures import project
from posepile.imaging.frames import open_frames
from posepile.recipe import DatasetSpec, Unit, Video
from posepile.shapes.recordings import Recordings, frames_and_rows, joints_in_mm, view_camera
from posepile.shapes.units import unit_files

SPREAD, WINDOW = 16, 64  # frames looked at: over the whole video, and one after the other
LARGEST_SHIFT = 30  # rows
SIDE = 320  # pixels of the longer side of the pictures looked at
CHANGED = 26  # grey levels by which a pixel differs from the background
ENOUGH = 0.6  # share of the body on what moves that another reading must have
SHIFT_GAIN = 0.75  # what remains of the distance where another frame is believed


class Moving:
    """What moves in some pictures.

    Attributes:
        masks: bool ``[n, h, w]``.
        totals: How many pixels of each move ``[n]``.
    """

    def __init__(self, masks: np.ndarray):
        self.masks = masks
        self._sums = np.array([cv2.integral(mask.view(np.uint8)) for mask in masks])
        self.totals = self._sums[:, -1, -1]

    def inside(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Which share of what moves is inside boxes, ``[n]``.

        Args:
            begin: int ``[n, 2]``, x and y of the first pixel.
            end: Likewise, behind the last one.
        """
        k = np.arange(len(self.masks))
        (x0, y0), (x1, y1) = begin.T, np.maximum(begin, end).T
        sums = self._sums
        count = sums[k, y1, x1] - sums[k, y0, x1] - sums[k, y1, x0] + sums[k, y0, x0]
        return count / np.maximum(self.totals, 1)


class RecordedView:
    """A unit of :func:`posepile.shapes.recordings.recording_units`, opened to be looked at.

    Attributes:
        camera: Its camera.
        points: Content of its file of key points.
        joints: ``[T, J, 3]`` millimetres in the world of the cameras.
        frames: Of the video, in which more than half of the joints are known.
        standing: Mean direction from feet to head ``[3]``; None where it varies, or is not known.
    """

    def __init__(self, unit: Unit, recordings: Recordings, spec: DatasetSpec):
        files = unit_files(unit)
        self.unit, self.recordings, self.spec = unit, recordings, spec
        self.camera, self.size = view_camera(unit, recordings, spec)
        self.points = read_points(files["keypoints"])
        self.joints = joints_in_mm(files["keypoints"], self.points, recordings, spec)
        self.frames, self.rows = frames_and_rows(unit, self.points, recordings)
        known = np.isfinite(self.joints[self.rows]).all(axis=-1).mean(axis=-1) > 0.5
        self.frames, self.rows = self.frames[known], self.rows[known]
        self.row_of = dict(zip(self.frames.tolist(), self.rows.tolist(), strict=True))
        self.scale = min(1.0, SIDE / max(self.size))
        self.standing = self._standing()

    def _standing(self) -> np.ndarray | None:
        """Mean direction from feet to head; None where it is not much the same at all times."""
        ids = self.spec.joint_info.ids
        above = next((ids[n] for n in ("htop", "head", "nose", "neck", "lsho") if n in ids), None)
        below = [ids[n] for n in ("lank", "rank") if n in ids]
        if above is None or len(below) < 2:
            return None
        body = self.joints[:, above] - self.joints[:, below].mean(axis=1)
        body = body[np.isfinite(body).all(axis=-1)]
        if len(body) == 0:
            return None
        mean = (body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-9)).mean(axis=0)
        return mean if np.linalg.norm(mean) >= 0.8 else None

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of some frames over the whole video, and the small pictures of these."""
        frames = self.frames[np.linspace(0, len(self.frames) - 1, SPREAD).round().astype(int)]
        frames = np.unique(frames)
        return self.rows_at(frames), self.pictures(frames)

    def pictures(self, frames: np.ndarray) -> np.ndarray:
        """Small pictures ``[n, h, w, 3]`` of frames, somewhat smoothed."""
        w, h = (max(1, round(side * self.scale)) for side in self.size)
        result = np.empty((len(frames), h, w, 3), np.uint8)
        with open_frames(Video(unit_files(self.unit)["video"], size=self.size)) as opened:
            for k, (_, frame) in enumerate(opened.read(frames.tolist())):
                small = cv2.resize(frame.rgb(min(w, h)), (w, h), interpolation=cv2.INTER_AREA)
                result[k] = cv2.GaussianBlur(small, (3, 3), 0)
        return result

    def body(self, rows: np.ndarray, joints: np.ndarray, camera=None) -> np.ndarray:
        """Points of the body in small pixels ``[n, P, 2]``: along bones, or the joints."""
        points = joints[rows]
        edges = self.spec.joint_info.stick_figure_edges
        if edges:
            a, b = (points[:, [edge[k] for edge in edges]] for k in (0, 1))
            points = np.concatenate([a + t * (b - a) for t in (0.0, 0.25, 0.5, 0.75, 1.0)], axis=1)
        return (project(camera or self.camera, points) + 0.5) * self.scale - 0.5

    def rows_at(self, frames: np.ndarray) -> np.ndarray:
        """Rows of the key points that frames show."""
        return np.array([self.row_of[frame] for frame in frames.tolist()], int)

    def fit(
        self, moving: Moving, rows: np.ndarray, joints: np.ndarray, camera=None
    ) -> tuple[float, float]:
        """Which share of the body lies on what moves, and which of what moves is near the body.

        Args:
            moving: What moves in n pictures.
            rows: ``[n]``, of the joints that are compared with each.
            joints: ``[T, J, 3]`` millimetres.
            camera: Another than that of the view.
        """
        points = self.body(rows, joints, camera)
        size = np.array(moving.masks.shape[:0:-1])
        known = np.isfinite(points).all(axis=-1)
        usable = (known.mean(axis=-1) >= 0.5) & (moving.totals > 0)
        inside = known & ((points >= 0) & (points <= size - 1)).all(axis=-1)
        x, y = np.rint(np.where(inside[..., None], points, 0)).astype(int).transpose(2, 0, 1)
        hits = moving.masks[np.arange(len(points))[:, None], y, x] & inside
        shares = hits.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
        low = np.where(known[..., None], points, np.inf).min(axis=1)
        high = np.where(known[..., None], points, -np.inf).max(axis=1)
        low, high = (np.where(usable[:, None], corner, 0) for corner in (low, high))
        slack = 0.2 * (high - low).max(axis=-1, keepdims=True)
        begin, end = (np.clip(np.rint(at), 0, size) for at in (low - slack, high + slack + 1))
        near = moving.inside(begin.astype(int), end.astype(int))
        # A body as large as the picture is near everything.
        near[np.prod(end - begin, axis=-1) >= 0.8 * size.prod()] = 0
        return float((shares * usable).mean()), float((near * usable).mean())

    def better_shift(self, background: np.ndarray) -> int:
        """By how many rows the body must be shifted to move like the person; 0 = not at all.

        The sides of the box of what moves are compared with those of the body, over frames one
        after the other; by how much silhouettes are wider does not count.
        """
        frames = self.frames[_window(self.joints[self.rows], self.frames)]
        rows = self.rows_at(frames)
        moving = Moving(moving_pixels(self.pictures(frames), background))
        seen = np.array([_box(mask) for mask in moving.masks])
        n, off = len(self.joints), {}
        for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1):
            points = self.body(np.clip(rows + shift, 0, n - 1), self.joints)
            sides = np.concatenate([_nanmin(points, axis=1), _nanmax(points, axis=1)], axis=-1)
            away = sides - seen
            away[(rows + shift < 0) | (rows + shift >= n)] = np.nan
            off[shift] = away
        gains = {}
        for shift, away in off.items():
            both = np.isfinite(away).all(axis=-1) & np.isfinite(off[0]).all(axis=-1)
            if abs(shift) < self.recordings.rows_per_frame or both.sum() < max(8, 0.5 * len(rows)):
                continue  # less than a frame is nothing to speak of
            rest, rest_0 = (_unevenness(some[both]) for some in (away, off[0]))
            there = (rows + shift >= 0) & (rows + shift < n)
            # Differences below a third of a small pixel are noise of the silhouettes.
            if rest < SHIFT_GAIN * rest_0 and rest_0 - rest > 0.33:
                some = Moving(moving.masks[there])
                share, _ = self.fit(some, rows[there] + shift, self.joints)
                share_0, _ = self.fit(some, rows[there], self.joints)
                if share >= max(ENOUGH, share_0 - 0.02):
                    gains[shift] = rest_0 - rest
        # People repeat what they do: of the best ones among their neighbours that fit about
        # equally, the shortest.
        best = max(gains.values(), default=0.0)
        near = [
            shift
            for shift, gain in gains.items()
            if gain > 0.8 * best and gain >= max(gains.get(shift + k, 0.0) for k in (-1, 1))
        ]
        return min(near, key=abs, default=0)


def moving_pixels(pictures: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Returns which pixels of pictures differ from the background, bool ``[n, h, w]``.

    >>> pictures = np.zeros((3, 40, 40, 3), np.uint8)
    >>> pictures[1, 10:20, 10:20] = 200
    >>> moving_pixels(pictures, np.median(pictures, axis=0).astype(np.uint8)).any(axis=(1, 2))
    array([False,  True, False])

    Args:
        pictures: uint8 ``[n, h, w, 3]``.
        background: uint8 ``[h, w, 3]``.
    """
    result = np.empty(pictures.shape[:3], bool)
    for k, picture in enumerate(pictures):
        changed = (cv2.absdiff(picture, background).max(axis=-1) > CHANGED).astype(np.uint8)
        changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        result[k] = cv2.dilate(changed, np.ones((5, 5), np.uint8)) > 0
    return result


def _box(mask: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom of what moves, the outermost hundredth aside; or NaN."""
    y, x = mask.nonzero()
    if len(x) < 20:
        return np.full(4, np.nan)
    sides = np.percentile(x, (1, 99)), np.percentile(y, (1, 99))
    return np.array([sides[0][0], sides[1][0], sides[0][1], sides[1][1]])


def _window(joints: np.ndarray, frames: np.ndarray) -> slice:
    """The frames one after the other in which the body moves most."""
    if len(frames) <= WINDOW:
        return slice(0, len(frames))
    middle = np.nan_to_num(np.nanmean(joints, axis=1))
    steps = np.linalg.norm(np.diff(middle, axis=0), axis=-1)
    total = np.concatenate([[0], np.cumsum(steps)])
    begins = np.arange(0, len(frames) - WINDOW + 1)
    best = int(np.argmax(total[begins + WINDOW - 1] - total[begins]))
    return slice(best, best + WINDOW)


def _nanmin(points: np.ndarray, axis: int) -> np.ndarray:
    return np.where(np.isfinite(points), points, np.inf).min(axis=axis)


def _nanmax(points: np.ndarray, axis: int) -> np.ndarray:
    return np.where(np.isfinite(points), points, -np.inf).max(axis=axis)


def _unevenness(off: np.ndarray) -> float:
    """How much distances ``[n, 4]`` change, small pixels; large ones count as ten."""
    off = off - np.median(off, axis=0)
    return float(np.minimum(np.abs(off), 10).mean())
