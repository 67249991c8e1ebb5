"""People that LCR-Net has found in the frames of a video (JSON)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from posepile.formats.schema import AGAIN, Array, OneOf
from posepile.formats.text_files import read_json

N_JOINTS = 13
_FILE = {"njts": OneOf(N_JOINTS), "frames": [[{"pose2d": Array(26), "pose3d": Array(39)}]]}


@dataclass(frozen=True)
class FoundPeople:
    """People in the order of a file: by frame, and in each the surest first.

    Attributes:
        n_frames: How many frames there are, also those in which nobody was found.
        frames: Frame of each person, int ``[n]``, not decreasing.
        ranks: Place in that frame, int ``[n]``, from 0.
        pixels: ``[n, 13, 2]``; NaN where unknown.
        poses: ``[n, 13, 3]`` millimetres relative to something, in axes that differ by release.
    """

    n_frames: int
    frames: np.ndarray
    ranks: np.ndarray
    pixels: np.ndarray
    poses: np.ndarray


def read_found_people(path: str | os.PathLike, *, hint: str | None = AGAIN) -> FoundPeople:
    """Returns who was found. Files have x of all joints, then y, then z, and -1 for unknown.

    >>> person = f'{{"pose2d": {[*range(26)]}, "pose3d": {[*range(39)]}}}'
    >>> text = f'{{"K": 20, "njts": 13, "frames": [[], [{person}]]}}'
    >>> _ = (folder / "a.json").write_text(text)
    >>> found = read_found_people(folder / "a.json")
    >>> found.n_frames, found.frames.tolist(), found.pixels[0, 1].tolist()
    (2, [1], [1.0, 14.0])

    Args:
        path: The file.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, damaged, or people of other than 13 joints.
    """
    frames = read_json(path, _FILE, hint=hint)["frames"]
    where = [(i, k) for i, people in enumerate(frames) for k in range(len(people))]
    people = [person for found in frames for person in found]
    pixels, poses = (
        np.array([person[key] for person in people], float).reshape(-1, n, N_JOINTS).swapaxes(1, 2)
        for key, n in (("pose2d", 2), ("pose3d", 3))
    )
    unknown = (pixels == -1).any(axis=2)[..., None]
    rows = np.array(where, int).reshape(-1, 2).T
    pixels, poses = np.where(unknown, np.nan, pixels), np.where(unknown, np.nan, 1000 * poses)
    return FoundPeople(len(frames), *rows, pixels, poses)
