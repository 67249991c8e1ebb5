"""Marks on a drawn person that survive video, warping and JPEG: joints, picture number, person.

*Joints* are discs, one hue each (:func:`spread_colors`).

*The picture's number* is drawn on limbs: each limb of a list has three cells between its two
joints, dark or light. Which ones are dark is a code word of the number; it is read along the line
between the joints where they are expected, so it does not matter how the picture was turned,
scaled or mirrored, and limbs that are hidden or seen end-on are left out.

*The person's index* is the tint of the body, the same in dark and light cells.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np

from posepile.miniature import N_NUMBERS

CELLS = 3  # per limb
CENTERS = (0.27, 0.5, 0.73)  # of the cells along the limb
DARK, LIGHT = 30, 62  # luma; a background has 86 or more
TINT = 14  # chroma of a body
N_PERSONS = 6

# Columns of the code: any two numbers differ in at least 8 of the first 24 cells, 12 of 33.
_COLUMNS = np.random.default_rng(2566).permutation(np.arange(1, N_NUMBERS))


def spread_colors(n: int) -> np.ndarray:
    """Returns disc colours of evenly spaced hues, neighbours far apart: uint8 RGB ``[n, 3]``.

    >>> spread_colors(3).tolist()
    [[255, 0, 0], [0, 0, 255], [0, 255, 0]]
    """
    stride = next((s for s in (5, 7, 4, 3, 2) if n % s and np.gcd(s, n) == 1), 1)
    hues = [(stride * i % n) / n for i in range(n)]
    colors = [[round(255 * c) for c in colorsys.hsv_to_rgb(h, 1, 1)] for h in hues]
    return np.array(colors, np.uint8).reshape(-1, 3)


def person_color(person: int, luma: int = LIGHT) -> tuple[int, int, int]:
    """Returns the RGB of a person's body: the same luma for everyone, a tint of their own.

    >>> len({person_color(person) for person in range(3)})
    3
    """
    angle = 2 * np.pi * (person % N_PERSONS) / N_PERSONS
    cb, cr = TINT * np.cos(angle), TINT * np.sin(angle)
    rgb = luma + 1.402 * cr, luma - 0.344 * cb - 0.714 * cr, luma + 1.772 * cb
    return tuple(int(np.clip(round(v), 0, 255)) for v in rgb)


def code_word(number: int, n_limbs: int) -> np.ndarray:
    """Returns which cells are dark: bool ``[n_limbs, CELLS]``."""
    return _code_words(n_limbs * CELLS)[number % N_NUMBERS].reshape(n_limbs, CELLS)


def _code_words(n_cells: int) -> np.ndarray:
    columns = np.resize(_COLUMNS, n_cells)
    ones = np.bitwise_count(np.arange(N_NUMBERS)[:, None] & columns)
    # Every other cell is swapped: a body without any dark cell must not be a number.
    return (ones & 1).astype(bool) ^ (np.arange(n_cells) % 2 == 0)


@dataclass(frozen=True)
class Reading:
    """A number read from a picture.

    Attributes:
        number: The number that agrees best.
        agreement: Share of the cells read that agree with it.
        margin: By how many cells it agrees better than any other number.
        n_cells: How many cells could be read.
    """

    number: int
    agreement: float
    margin: int
    n_cells: int

    @property
    def sure(self) -> bool:
        """Whether no other number is possible unless several cells were misread."""
        return self.agreement >= 0.8 and self.margin >= 3


def read_frame_number(
    image: np.ndarray, points: np.ndarray, limbs: list[tuple[int, int]], person: int | None = None
) -> Reading | None:
    """Reads the number drawn on one person.

    >>> from posepile.miniature.actor import move, pose_skeleton
    >>> from posepile.miniature.rig import make_camera
    >>> from posepile.miniature.shoot import Actor, Backdrop, shoot
    >>> from posepile.miniature.skeleton import make_figure
    >>> names = "pelv neck head lsho lelb lwri rsho relb rwri lhip lkne lank rhip rkne rank"
    >>> names = names.split()
    >>> figure = make_figure(names)
    >>> joints = pose_skeleton(move(9, at=(0, 0, 1000)), names)
    >>> camera = make_camera((640, 480), (0, -3500, 1000), (0, 0, 1000), focal=700)
    >>> picture = shoot(Backdrop((640, 480)), camera, [Actor(joints[4], figure, 1)], number=4)
    >>> points = picture.people[0].points
    >>> read_frame_number(picture.image, points, figure.limbs).number
    4

    Args:
        image: uint8 RGB crop.
        points: ``[J, 2]`` pixels where that person's joints are expected; NaN = unknown.
        limbs: Pairs of joint indices that carry the number, as in the truth.
        person: Cells that lie on somebody else are left out; None = all are read.

    Returns:
        The reading, or None where fewer than 8 cells can be read.
    """
    ends = np.array([(points[a], points[b]) for a, b in limbs], np.float64).reshape(-1, 2, 2)
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    if not np.isfinite(lengths).any():
        return None
    # A limb seen nearly end-on has no room for cells between its joints; a cell close to another
    # limb may be hidden by it.
    longest = np.nanmax(lengths)
    luma, persons = _person_map(image)
    h, w = luma.shape
    values = np.full((len(limbs), CELLS), np.nan)
    for i, (start, end) in enumerate(ends):
        if not (lengths[i] >= max(6.0, 0.4 * longest)):
            continue
        reach = max(0, int(0.05 * lengths[i]))
        others = np.delete(ends, i, axis=0)
        for c, part in enumerate(CENTERS):
            center = start + part * (end - start)
            x, y = np.round(center).astype(int)
            if not (reach <= x < w - reach and reach <= y < h - reach):
                continue
            if np.nanmin(_distance(center, others), initial=np.inf) < 0.10 * longest:
                continue
            window = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
            owner = int(np.median(persons[window]))
            if owner >= 0 and (person is None or owner == person % N_PERSONS):
                values[i, c] = luma[window].mean()
    middle = (DARK + LIGHT) / 2
    read = np.abs(values - middle).ravel() > 4
    if read.sum() < 8:
        return None
    agreed = (_code_words(read.size)[:, read] == (values.ravel()[read] < middle)).sum(axis=1)
    order = np.argsort(-agreed, kind="stable")
    best, second = agreed[order[0]], agreed[order[1]]
    return Reading(int(order[0]), best / read.sum(), int(best - second), int(read.sum()))


def _distance(point: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Distance of a point ``[2]`` from segments ``[n, 2, 2]``; NaN where an end is unknown."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    squared = np.maximum((along**2).sum(axis=1), 1e-9)
    part = np.clip(((point - start) * along).sum(axis=1) / squared, 0, 1)
    return np.linalg.norm(start + part[:, None] * along - point, axis=1)


def _person_map(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds bodies by their tint.

    >>> luma, person = _person_map(np.full((4, 6, 3), person_color(1), np.uint8))
    >>> luma.shape, int(person[0, 0])
    ((4, 6), 1)

    Args:
        image: uint8 RGB.

    Returns:
        Luma, float32 ``[h, w]``, and the person index of each pixel, int ``[h, w]``; -1 where
        there is no body (background, disc).
    """
    luma, cr, cb = cv2.split(cv2.cvtColor(cv2.medianBlur(image, 3), cv2.COLOR_RGB2YCrCb))
    cr, cb = cr.astype(np.int32) - 128, cb.astype(np.int32) - 128
    strength = cb * cb + cr * cr
    body = (luma > DARK - 14) & (luma < LIGHT + 18)
    body &= (strength > (TINT / 2) ** 2) & (strength < (2.2 * TINT) ** 2)
    person = np.full(luma.shape, -1)
    turn = np.arctan2(cr[body], cb[body]) / (2 * np.pi) * N_PERSONS
    person[body] = np.round(turn).astype(int) % N_PERSONS
    return luma.astype(np.float32), person


def read_person(image: np.ndarray, points: np.ndarray, limbs: list[tuple[int, int]]) -> int | None:
    """Returns the index of the person whose limbs lie between the expected joints.

    >>> from posepile.miniature.actor import move, pose_skeleton
    >>> from posepile.miniature.rig import make_camera
    >>> from posepile.miniature.shoot import Actor, Backdrop, shoot
    >>> from posepile.miniature.skeleton import make_figure
    >>> names = "pelv neck head lsho lelb lwri rsho relb rwri lhip lkne lank rhip rkne rank"
    >>> names = names.split()
    >>> figure = make_figure(names)
    >>> joints = pose_skeleton(move(9, at=(0, 0, 1000)), names)
    >>> camera = make_camera((640, 480), (0, -3500, 1000), (0, 0, 1000), focal=700)
    >>> picture = shoot(Backdrop((640, 480)), camera, [Actor(joints[4], figure, 1)], number=4)
    >>> points = picture.people[0].points
    >>> read_person(picture.image, points, figure.limbs)
    1

    Args:
        image: uint8 RGB crop.
        points: ``[J, 2]`` pixels where the joints are expected.
        limbs: Pairs of joint indices.

    Returns:
        The most frequent index along the limbs; None where hardly any body is there.
    """
    _, persons = _person_map(image)
    h, w = persons.shape
    votes = np.zeros(N_PERSONS, int)
    n = 0
    for a, b in limbs:
        if not np.isfinite(points[[a, b]]).all():
            continue
        for part in np.linspace(0.25, 0.75, 5):
            x, y = np.round(points[a] + part * (points[b] - points[a])).astype(int)
            if 0 <= x < w and 0 <= y < h:
                n += 1
                if persons[y, x] >= 0:
                    votes[persons[y, x]] += 1
    return int(votes.argmax()) if n and votes.max() >= 0.35 * n else None


def is_colourful(image: np.ndarray, spread: int) -> np.ndarray:
    """Returns where the largest and the least of R, G, B are more than ``spread`` apart, uint8.

    >>> is_colourful(np.array([[[9, 9, 9], [90, 9, 9]]], np.uint8), 70).tolist()
    [[0, 1]]

    Args:
        image: uint8 RGB ``[h, w, 3]``.
        spread: The limit.
    """
    r, g, b = cv2.split(image)
    apart = cv2.subtract(cv2.max(cv2.max(r, g), b), cv2.min(cv2.min(r, g), b))
    return (apart > spread).astype(np.uint8)


def find_person(image: np.ndarray, person: int) -> np.ndarray:
    """Finds the visible part of a drawn person by the tint of the body.

    >>> from posepile.miniature.actor import move, pose_skeleton
    >>> from posepile.miniature.rig import make_camera
    >>> from posepile.miniature.shoot import Actor, Backdrop, shoot
    >>> from posepile.miniature.skeleton import make_figure
    >>> names = "pelv neck head lsho lelb lwri rsho relb rwri lhip lkne lank rhip rkne rank"
    >>> names = names.split()
    >>> figure = make_figure(names)
    >>> joints = pose_skeleton(move(9, at=(0, 0, 1000)), names)
    >>> camera = make_camera((640, 480), (0, -3500, 1000), (0, 0, 1000), focal=700)
    >>> picture = shoot(Backdrop((640, 480)), camera, [Actor(joints[4], figure, 1)], number=4)
    >>> points = picture.people[0].points
    >>> bool(find_person(picture.image, 1).any()), bool(find_person(picture.image, 2).any())
    (True, False)

    Args:
        image: uint8 RGB.
        person: Index.

    Returns:
        bool ``[h, w]``: pixels of the body and of the discs on it.
    """
    _, persons = _person_map(image)
    found = (persons == person % N_PERSONS).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    n, _, stats, centers = cv2.connectedComponentsWithStats(is_colourful(image, 70))
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    h, w = persons.shape
    for (x, y), area in zip(centers[1:n], stats[1:n, cv2.CC_STAT_AREA], strict=True):
        if area < 6:
            continue
        # A disc belongs to whose body is around it; its rim is a blend of both.
        radius = np.sqrt(area / np.pi)
        columns = np.clip(np.round(x + 1.4 * radius * np.cos(angles)), 0, w - 1).astype(int)
        rows = np.clip(np.round(y + 1.4 * radius * np.sin(angles)), 0, h - 1).astype(int)
        around = persons[rows, columns]
        around = around[around >= 0]
        if len(around) and np.bincount(around).argmax() == person % N_PERSONS:
            middle = round(x * 16), round(y * 16)
            cv2.circle(found, middle, round(1.35 * radius * 16), 1, -1, cv2.LINE_8, 4)
    return found.astype(bool)
