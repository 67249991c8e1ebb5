"""A shoot: pictures of actors before a backdrop, with all that is known of what one sees.

Only windows around the people are drawn, so 4K pictures cost little;
:mod:`posepile.miniature.video` writes them into a video the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from posepile.miniature.kit import BACKGROUND_TINT, background_grey
from posepile.miniature.marks import CELLS, DARK, LIGHT, code_word, person_color
from posepile.miniature.rig import RigCamera
from posepile.miniature.skeleton import Figure
from posepile.miniature.yuv import to_yuv

_SHIFT, _ONE = 8, 256  # OpenCV draws at fractions of a pixel in fixed point


class Backdrop:
    """What is behind the people: one picture for all frames of a static camera.

    Args:
        size: Width and height.
        seed: Of the texture.
        color: RGB; it is of this colour instead, e.g. behind people's masks.

    Attributes:
        size: Width and height.
    """

    def __init__(self, size: tuple[int, int], seed: int = 0, color: Sequence[int] | None = None):
        self.size = size
        self._grey = background_grey(*size, seed)
        self._tint = BACKGROUND_TINT if color is None else np.uint8([color] * 256)

    @cached_property
    def image(self) -> np.ndarray:
        """The whole of it, uint8 RGB ``[h, w, 3]``; never draw into it."""
        image = self.window(0, 0, *self.size)
        image.setflags(write=False)
        return image

    def window(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Returns a part of it in an array of its own: uint8 RGB ``[y1 - y0, x1 - x0, 3]``."""
        grey = self._grey[y0:y1, x0:x1]
        return cv2.merge([cv2.LUT(grey, table) for table in self._tint.T])

    @cached_property
    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Its Y, U and V planes, 8-bit YUV 4:2:0, for videos."""
        # Every grey is converted once, not every pixel.
        y, u, v = to_yuv(self._tint).round().astype(np.uint8).T
        coarse = np.ascontiguousarray(self._grey[::2, ::2])
        return cv2.LUT(self._grey, y), cv2.LUT(coarse, u), cv2.LUT(coarse, v)


@dataclass(frozen=True)
class Actor:
    """Who is in a picture.

    Attributes:
        joints: ``[J, 3]`` millimetres in the world, NaN = not drawn.
        figure: How they are drawn.
        person: Index by which the raw data lists them; the body has its tint.
    """

    joints: np.ndarray
    figure: Figure
    person: int = 0


@dataclass
class Shot:
    """What one sees of one person.

    Attributes:
        actor: Who it is.
        points: ``[J, 2]`` pixels of the joints.
        depth: ``[J]`` millimetres.
        corner: x, y of the top left pixel of the window that the masks are of.
        amodal: bool, the person as if nothing was in front of them, ``[h, w]`` of the window.
        modal: bool, the visible part of that.
        visible: bool ``[J]``: joints inside the picture with nothing in front.
        discs: bool ``[J]``: joints whose disc can be seen whole.
    """

    actor: Actor
    points: np.ndarray
    depth: np.ndarray
    corner: tuple[int, int] = (0, 0)
    amodal: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    modal: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    visible: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    discs: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def box(self, amodal: bool = False) -> list[float] | None:
        """Returns left, top, right, bottom: the pixels' outer edges; None if nothing is seen."""
        mask = self.amodal if amodal else self.modal
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return None
        x, y = self.corner
        return [
            float(columns[0] + x - 0.5),
            float(rows[0] + y - 0.5),
            float(columns[-1] + x + 0.5),
            float(rows[-1] + y + 0.5),
        ]

    def mask(self, size: tuple[int, int], amodal: bool = False) -> np.ndarray:
        """Returns the mask in the whole picture: bool ``[h, w]``."""
        full = np.zeros(size[::-1], bool)
        part = self.amodal if amodal else self.modal
        x, y = self.corner
        full[y : y + part.shape[0], x : x + part.shape[1]] = part
        return full

    def paint(self, image: np.ndarray, color: Sequence[int]) -> None:
        """Gives the pixels of a whole picture in which the person is seen a colour."""
        (x, y), (h, w) = self.corner, self.modal.shape
        image[y : y + h, x : x + w][self.modal] = color


@dataclass
class Picture:
    """A picture.

    Attributes:
        backdrop: What is behind.
        patches: Corner x, y (even numbers) and uint8 RGB ``[h, w, 3]`` of what differs from it, in
            the order in which to paste.
        people: What one sees of each actor, in the order in which they were given.
    """

    backdrop: Backdrop
    patches: list[tuple[tuple[int, int], np.ndarray]]
    people: list[Shot]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.backdrop.size

    @property
    def image(self) -> np.ndarray:
        """The whole picture, uint8 RGB ``[h, w, 3]``, a new array."""
        image = self.backdrop.image.copy()
        for (x, y), patch in self.patches:
            image[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
        return image

    def mask(self, backdrop: Backdrop, color: Sequence[int]) -> Picture:
        """Returns a picture of the same people in one colour before another backdrop."""
        patches = []
        for person in self.people:
            (x, y), (h, w) = person.corner, person.modal.shape
            patches.append(((x, y), backdrop.window(x, y, x + w, y + h)))
            patches[-1][1][person.modal] = color
        return Picture(backdrop, patches, self.people)


def shoot(
    backdrop: Backdrop,
    camera: RigCamera,
    actors: Sequence[Actor],
    number: int = 0,
    boards: Sequence[tuple[float, float, float, float]] = (),
) -> Picture:
    """Takes a picture.

    >>> from posepile.miniature.actor import move, pose_skeleton
    >>> from posepile.miniature.rig import around, make_camera
    >>> from posepile.miniature.skeleton import make_figure
    >>> names = ["pelv", "neck", "head", "lsho", "lelb", "lwri"]
    >>> joints = pose_skeleton(move(5, at=(0, 0, 1000)), names)
    >>> camera = make_camera((320, 240), around((0, 0, 1000), 4000, 20), (0, 0, 1000), focal=250)
    >>> actor = Actor(joints[3], make_figure(names))
    >>> picture = shoot(Backdrop((320, 240)), camera, [actor], number=3)
    >>> picture.image.shape, picture.people[0].points.shape
    ((240, 320, 3), (6, 2))

    Args:
        backdrop: Of the camera's size.
        camera: At this instant.
        actors: In any order; who is nearer hides who is farther.
        number: Drawn on everyone: frame number plus the sequence's start, see
            :class:`posepile.miniature.truth.SequenceTruth`.
        boards: x, y, width, height in pixels of things that stand in front of everybody.
    """
    shots = [Shot(a, camera.project(a.joints), camera.depth(a.joints)) for a in actors]
    w, h = camera.size
    windows = [_window(shot, camera, w, h) for shot in shots]
    near_first = sorted(
        range(len(shots)), key=lambda i: np.nan_to_num(np.nanmean(shots[i].depth), nan=np.inf)
    )
    # What is in front of each, as a list of masks with corners.
    in_front: list[tuple[tuple[int, int], np.ndarray]] = [
        ((round(x), round(y)), np.ones((round(bh), round(bw)), bool)) for x, y, bw, bh in boards
    ]
    hidden_by: dict[int, list] = {}
    for i in near_first:
        x0, y0, x1, y1 = windows[i]
        shot = shots[i]
        shot.corner = x0, y0
        shot.amodal = _silhouette(shot, camera, (x1 - x0, y1 - y0))
        hidden = np.zeros_like(shot.amodal)
        for corner, mask in in_front:
            _paste(hidden, (corner[0] - x0, corner[1] - y0), mask)
        shot.modal = shot.amodal & ~hidden
        hidden_by[i] = [hidden]
        in_front.append(((x0, y0), shot.amodal))
    canvas = _Canvas(backdrop)
    for i in reversed(near_first):
        _draw(canvas, shots[i], camera, number, windows[i], hidden_by[i][0])
    for x, y, bw, bh in boards:
        canvas.fill((round(x), round(y), round(x) + round(bw), round(y) + round(bh)), (60, 45, 30))
    return Picture(backdrop, canvas.patches, shots)


def shoot_frames(
    backdrop: Backdrop,
    camera: RigCamera,
    poses: np.ndarray,
    figure: Figure,
    start: int = 0,
    boards: Sequence[tuple[float, float, float, float]] = (),
) -> list[Picture]:
    """Takes the pictures of one person who moves; while they do not, the last one is repeated.

    >>> from posepile.miniature.rig import make_camera
    >>> from posepile.miniature.skeleton import make_figure
    >>> camera = make_camera((64, 48), (0, -4000, 0), (0, 0, 0), focal=50)
    >>> figure = make_figure(["pelv", "neck"])
    >>> poses = np.array([[[0, 0, 0], [0, 0, 500]], [[9, 0, 0], [9, 0, 500]]])
    >>> len(shoot_frames(Backdrop((64, 48)), camera, poses, figure))
    2

    Args:
        backdrop: As of :func:`shoot`, as is ``camera``.
        camera: Static.
        poses: ``[n, J, 3]`` millimetres.
        figure: How the person is drawn.
        start: Number drawn in the first picture.
        boards: As of :func:`shoot`.
    """
    pictures: list[Picture] = []
    for i, pose in enumerate(poses):
        still = i > 0 and np.array_equal(pose, poses[i - 1], equal_nan=True)
        actors = [Actor(pose, figure)]
        shot = pictures[-1] if still else shoot(backdrop, camera, actors, start + i, boards)
        pictures.append(shot)
    return pictures


class _Canvas:
    """Windows on a backdrop, drawn one after the other; a later one shows the earlier ones."""

    def __init__(self, backdrop: Backdrop):
        self.backdrop = backdrop
        self.patches: list[tuple[tuple[int, int], np.ndarray]] = []

    def window(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Opens a window for drawing into."""
        patch = self.backdrop.window(x0, y0, x1, y1)
        for (x, y), earlier in self.patches:
            _paste(patch, (x - x0, y - y0), earlier)
        self.patches.append(((x0, y0), patch))
        return patch

    def fill(self, box: tuple[int, int, int, int], color: tuple[int, int, int]) -> None:
        """Fills left, top, right, bottom with a colour, only where windows are open."""
        for (x, y), patch in self.patches:
            x0, y0 = max(0, box[0] - x), max(0, box[1] - y)
            patch[y0 : max(0, box[3] - y), x0 : max(0, box[2] - x)] = color


def _paste(target: np.ndarray, corner: tuple[int, int], source: np.ndarray) -> None:
    """Copies what overlaps; ``corner`` is where the source's first pixel comes in the target."""
    x, y = corner
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(target.shape[1], x + source.shape[1]), min(target.shape[0], y + source.shape[0])
    if x0 < x1 and y0 < y1:
        part = source[y0 - y : y1 - y, x0 - x : x1 - x]
        if target.dtype == bool:
            target[y0:y1, x0:x1] |= part
        else:
            target[y0:y1, x0:x1] = part


def _radius(shot: Shot, camera: RigCamera) -> float:
    """Half width of this person's limbs in pixels."""
    depth = np.nanmean(np.where(shot.depth > 0, shot.depth, np.nan))
    return max(1.5, shot.actor.figure.radius_mm * camera.intrinsics[0, 0] / depth)


def _window(shot: Shot, camera: RigCamera, w: int, h: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the window that holds the person; even, inside the picture."""
    ok = np.isfinite(shot.points).all(axis=-1) & _drawable(shot)
    if not ok.any():
        return 0, 0, 0, 0
    margin = 2 * _radius(shot, camera) + 4
    low, high = shot.points[ok].min(axis=0) - margin, shot.points[ok].max(axis=0) + margin
    x0, y0 = (int(np.clip(v, 0, n)) // 2 * 2 for v, n in zip(low, (w, h), strict=True))
    x1, y1 = (
        min(n, int(np.clip(v, 0, n)) // 2 * 2 + 2) for v, n in zip(high, (w, h), strict=True)
    )
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else (0, 0, 0, 0)


def _drawable(shot: Shot) -> np.ndarray:
    """Joints that are part of the figure: bool ``[J]``."""
    figure = shot.actor.figure
    used = {i for edge in figure.edges for i in edge}
    used |= {i for i, color in enumerate(figure.colors) if color is not None}
    return np.array([i in used for i in range(len(figure.names))])


def _fixed(p: np.ndarray) -> tuple[int, ...]:
    return tuple(round(float(v) * _ONE) for v in p)


def _silhouette(shot: Shot, camera: RigCamera, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size[::-1], np.uint8)
    if mask.size:
        _paint(mask, shot, camera, None)
    return mask.astype(bool)


def _paint(target: np.ndarray, shot: Shot, camera: RigCamera, number: int | None) -> None:
    """Paints trunk, joints and limbs; as a mask of ones where there is no number."""
    figure, radius = shot.actor.figure, _radius(shot, camera)
    points = shot.points - shot.corner
    ok = np.isfinite(points).all(axis=-1)
    light = 1 if number is None else person_color(shot.actor.person, LIGHT)
    dark = 1 if number is None else person_color(shot.actor.person, DARK)
    if figure.trunk and ok[figure.trunk].all():
        corners = np.array([_fixed(points[i]) for i in figure.trunk])
        cv2.fillConvexPoly(target, cv2.convexHull(corners), light, cv2.LINE_8, _SHIFT)
    for j in {i for edge in figure.edges for i in edge}:
        if ok[j]:
            center = _fixed(points[j])
            cv2.circle(target, center, round(radius * _ONE), light, -1, cv2.LINE_8, _SHIFT)
    coded = set(figure.limbs) | {(b, a) for a, b in figure.limbs}
    plain = [edge for edge in figure.edges if edge not in coded]
    thick = max(1, round(2 * radius))
    words = code_word(number or 0, len(figure.limbs))
    order = np.argsort([-np.nan_to_num(shot.depth[[a, b]].mean()) for a, b in figure.limbs])
    # Limbs with cells from far to near; what has none is behind them, lest it cover cells.
    for (a, b), word in [(e, None) for e in plain] + [(figure.limbs[i], words[i]) for i in order]:
        if ok[a] and ok[b]:
            ends = _fixed(points[a]), _fixed(points[b])
            cv2.line(target, *ends, light, thick, cv2.LINE_8, _SHIFT)
            if number is not None and word is not None:
                _paint_cells(target, points[a], points[b], radius, word, dark)


def _paint_cells(target, start, end, radius, word, dark) -> None:
    """Paints the dark cells between two joints, as wide as the limb."""
    along = end - start
    across = np.array([-along[1], along[0]]) / max(np.linalg.norm(along), 1e-6) * radius
    # The cells divide what the joints' caps leave free.
    limits = np.linspace(0.155, 0.845, CELLS + 1)
    for k in np.flatnonzero(word):
        a, b = start + limits[k] * along, start + limits[k + 1] * along
        corners = [_fixed(p) for p in (a + across, b + across, b - across, a - across)]
        cv2.fillConvexPoly(target, np.array(corners), dark, cv2.LINE_8, _SHIFT)


def _draw(canvas, shot: Shot, camera: RigCamera, number: int, window, hidden: np.ndarray) -> None:
    """Draws a person and says which of the joints and discs are seen."""
    figure = shot.actor.figure
    n = len(figure.names)
    shot.visible, shot.discs = np.zeros(n, bool), np.zeros(n, bool)
    x0, y0, x1, y1 = window
    if x0 == x1:
        return
    image = canvas.window(x0, y0, x1, y1)
    _paint(image, shot, camera, number)
    disc = figure.disc * _radius(shot, camera)
    w, h = camera.size
    shown: list[int] = []
    for j in np.argsort(shot.depth):
        x, y = shot.points[j]
        if not (np.isfinite([x, y]).all() and -0.5 <= x <= w - 0.5 and -0.5 <= y <= h - 0.5):
            continue
        # A joint without a limb may lie outside the window.
        column = int(np.clip(round(x), x0, x1 - 1))
        row = int(np.clip(round(y), y0, y1 - 1))
        shot.visible[j] = not hidden[row - y0, column - x0]
        if figure.colors[j] is None:
            continue
        reach = int(disc + 2)
        around = np.s_[
            max(0, row - y0 - reach) : row - y0 + reach + 1,
            max(0, column - x0 - reach) : column - x0 + reach + 1,
        ]
        # A disc that is cut, or that touches another one, could not be found whole.
        apart = all(np.hypot(*(shot.points[j] - shot.points[i])) > 2.4 * disc for i in shown)
        inside = disc < x < w - 1 - disc and disc < y < h - 1 - disc
        if apart and inside and not hidden[around].any():
            shown.append(j)
    for j in shown:
        center = _fixed(shot.points[j] - shot.corner)
        cv2.circle(
            image, center, round(disc * _ONE), tuple(figure.colors[j]), -1, cv2.LINE_AA, _SHIFT
        )
    shot.discs[shown] = True
