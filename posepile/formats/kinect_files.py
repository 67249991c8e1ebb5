"""Skeletons of Kinect v2 as text: the bodies of each frame with 25 joints (``.skeleton``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import numbers_in, read_text

N_JOINTS, TRACKED = 25, 2  # state of a joint that was seen; 1 = inferred, 0 = not tracked
_BODY, _JOINT = 10, 12  # numbers in their lines


@dataclass(frozen=True)
class KinectBodies:
    """Bodies in the order of a file; numbers are as it has them, NaN where it has none.

    Attributes:
        n_frames: How many frames there are, also those without a body.
        frames: Frame of each body, int ``[n]``, not decreasing.
        ids: What the sensor called each body, ``[n]``; it does not last.
        joints: ``[n, 25, 3]`` metres from the depth sensor: x to the right of the picture, y up,
            z forward.
        depth_pixels: ``[n, 25, 2]`` in the depth picture.
        color_pixels: ``[n, 25, 2]`` in the colour picture.
        states: int ``[n, 25]``; :data:`TRACKED` if the sensor saw the joint.
    """

    n_frames: int
    frames: np.ndarray
    ids: list[int]
    joints: np.ndarray
    depth_pixels: np.ndarray
    color_pixels: np.ndarray
    states: np.ndarray

    @property
    def seen_mm(self) -> np.ndarray:
        """Joints that the sensor saw ``[n, 25, 3]``, mm, y down; NaN for others."""
        seen = (self.states == TRACKED) & (self.joints[..., 2] > 0)
        return np.where(seen[..., None], self.joints * (1000, -1000, 1000), np.nan)

    @property
    def left_on_the_left(self) -> np.ndarray:
        """Of bodies seen from the front, whose feet are nearer than ankles: is ShoulderLeft left?

        bool ``[k]``; so it is where pictures are mirrored, as the sensor delivers them.
        """
        z, x = self.joints[..., 2], self.color_pixels[..., 0]
        front = (z[:, 15] < z[:, 14]) & (z[:, 19] < z[:, 18])
        return x[front, 4] < x[front, 8]


def read_kinect_bodies(path: str | os.PathLike, *, hint: str | None = AGAIN) -> KinectBodies:
    r"""Returns the bodies of a skeleton file.

    >>> joint = "0.1 0.2 3 273 182 995 470 0 0 0 1 2\n"
    >>> body = "72057594037900001 0 0 0 0 0 0 0.1 -0.2 2\n25\n" + 25 * joint
    >>> _ = (folder / "a.skeleton").write_text("2\n0\n1\n" + body)
    >>> bodies = read_kinect_bodies(folder / "a.skeleton")
    >>> bodies.n_frames, bodies.frames.tolist(), bodies.ids, bodies.joints[0, 0].tolist()
    (2, [1], [72057594037900001], [0.1, 0.2, 3.0])

    Args:
        path: The file.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, cut short or longer than it says, bodies of other than 25 joints,
            lines of other than 10 or 12 numbers.
    """
    lines = read_text(path, hint=hint).rstrip().splitlines()
    place, frames, ids, rows = 0, [], [], []

    def wrong(found: str, expected: str) -> CorruptInput:
        return CorruptInput(path, f"line {place}: found {found}; expected {expected}", hint=hint)

    def line(n: int, what: str) -> str:
        nonlocal place
        place += 1
        if place > len(lines):
            raise wrong("the end of the file", what)
        text = lines[place - 1]
        if len(text.split()) != n:
            raise wrong(f"{len(text.split())} words", f"{n}, {what}")
        return text

    def count(what: str) -> int:
        text = line(1, what).strip()
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise wrong(repr(text[:30]), what)
        return int(text)

    def joint() -> list[float]:
        numbers = numbers_in(line(_JOINT, "of a joint"), path, place, hint)
        if len(numbers) != _JOINT:  # a comma made two of a word
            raise wrong(f"{len(numbers)} numbers", f"{_JOINT}, of a joint")
        return numbers

    n_frames = count("the number of frames")
    for frame in range(n_frames):
        for _ in range(count(f"the number of bodies of frame {frame}")):
            id = line(_BODY, "of a body").split()[0]
            if not (id.isascii() and id.isdecimal() and len(id) < 30):
                raise wrong(repr(id[:30]), "the id of a body")
            if (n := count("the number of joints")) != N_JOINTS:
                raise wrong(f"{n} joints", f"{N_JOINTS}: is it of another sensor?")
            frames.append(frame)
            ids.append(int(id))
            rows.append([joint() for _ in range(N_JOINTS)])
    if place < len(lines):
        place += 1
        raise wrong("more lines", f"the end after {n_frames} frames")
    values = np.array(rows, np.float64).reshape(-1, N_JOINTS, _JOINT)
    values[~np.isfinite(values)] = np.nan
    states = np.nan_to_num(values[..., -1]).astype(np.int64)
    pixels = values[..., 3:5], values[..., 5:7]
    return KinectBodies(n_frames, np.array(frames, int), ids, values[..., :3], *pixels, states)


def lens_points(
    paths: Iterable[str | os.PathLike], n_bodies: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""Returns joints ``[n, 3]``, mm, y down, and colour pixels ``[n, 2]`` that a lens is told by.

    >>> body = "7 0 0 0 0 0 0 0 0 2\n25\n" + 25 * "0.1 0.2 3 273 182 995 470 0 0 0 1 2\n"
    >>> _ = (folder / "a.skeleton").write_text("1\n1\n" + body)
    >>> points, pixels = lens_points([folder / "a.skeleton", folder / "none.skeleton"], 8)
    >>> points[0].tolist(), pixels[0].tolist()
    ([100.0, -200.0, 3000.0], [995.0, 470.0])

    Args:
        paths: Files of one sensor. One that is damaged is passed over, as that is said where its
            bodies are read.
        n_bodies: Of each file about so many are taken, spread over its frames.
    """
    points, pixels = [np.empty((0, 3))], [np.empty((0, 2))]
    for path in paths:
        with suppress(CorruptInput):
            bodies = read_kinect_bodies(path)
            every = 1 + len(bodies.ids) // n_bodies
            points += [*bodies.seen_mm[::every]]
            pixels += [*bodies.color_pixels[::every]]
    return np.concatenate(points), np.concatenate(pixels)
