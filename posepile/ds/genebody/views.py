"""Which images, masks and parameter files of a GeneBody subject belong together."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import rlemasklib

from posepile.errors import CorruptInput

PATTERNS = {
    "image": re.compile(r"(\d+)\.jpg"),
    "mask": re.compile(r"mask(\d+)\.png"),
    "param": re.compile(r"(\d+)\.npy"),
    "smpl": re.compile(r"(\d+)\.obj"),
}


def list_views(subject_dir: Path) -> list[str]:
    """Lists the camera folders below ``image``: only the disk says which views there are."""
    return [p.name for p in sorted(subject_dir.glob("image/[0-9][0-9]")) if p.is_dir()]


def list_frames(folder: Path, kind: str) -> tuple[dict[int, Path], list[str]]:
    """Files of a folder by frame number, and the names of files that are of no known kind.

    Numbers, not names, are compared between folders: masks of zhuna have a leading zero more than
    its images. Should one number appear with and without it, the shorter name counts.
    """
    frames, unknown = {}, []
    try:
        names = sorted(os.listdir(folder), key=lambda name: (-len(name), name))
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    for name in names:
        match = PATTERNS[kind].fullmatch(name)
        if match:
            frames[int(match[1])] = folder / name
        elif not name.startswith("."):
            unknown.append(name)
    return dict(sorted(frames.items())), unknown


def pose_frames(subject_dir: Path, views: list[str]) -> tuple[list[int], dict[int, Path], int]:
    """Returns the frames with parameters, and with image and mask in at least one view.

    The list is the same for all views, because selection goes by it.

    Returns:
        Frame numbers; parameter files by frame; how many parameter files have no picture at all.
    """
    params, _ = list_frames(subject_dir / "param", "param")
    seen: set[int] = set()
    for view in views:
        images, _ = list_frames(subject_dir / "image" / view, "image")
        masks, _ = list_frames(subject_dir / "mask" / view, "mask")
        seen |= images.keys() & masks.keys()
    frames = [f for f in params if f in seen]
    return frames, params, len(params) - len(frames)


@lru_cache(maxsize=64)
def read_mask(path: Path) -> dict:
    """Returns the matte thresholded above 127, as RLE.

    Raises:
        CorruptInput: Not a readable image.
    """
    matte = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if matte is None:
        raise CorruptInput(path, "not a readable PNG", hint="extract it again")
    return rlemasklib.encode(matte > 127)


@dataclass
class ViewFrames:
    """One view's images and masks along the subject's frames; indexed, it gives the boxes.

    Masks are read when asked for, i.e. of selected frames only.

    Attributes:
        frames: Frame numbers of the subject.
        images: Image file by frame number.
        masks: Mask file by frame number.
        dark: A picture whose person is on average at most this bright is a failed exposure.
    """

    frames: list[int]
    images: dict[int, Path]
    masks: dict[int, Path]
    dark: float = field(default=10)

    def __len__(self) -> int:
        return len(self.frames)

    def mask(self, k: int) -> dict:
        """Returns the RLE mask of the k-th frame."""
        return read_mask(self.masks[self.frames[k]])

    def __getitem__(self, k: int) -> np.ndarray:
        """Returns the bounding box ``[4]`` of the mask of the k-th frame."""
        return np.asarray(rlemasklib.to_bbox(self.mask(k)), np.float32)

    def unusable(self, k: int) -> str | None:
        """Returns why the k-th frame gives no example in this view, or None."""
        frame = self.frames[k]
        if frame not in self.images:
            return "no image in this view"
        if frame not in self.masks:
            return "no mask in this view"
        if rlemasklib.area(self.mask(k)) == 0:
            return "empty mask"
        if self.is_black(k):
            return "black image"
        return None

    def is_black(self, k: int) -> bool:
        """Returns whether nothing is seen of the person; decided at an eighth of the size."""
        small = cv2.imread(str(self.images[self.frames[k]]), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if small is None:
            return False  # unreadable: that is for the reader of frames to say
        mask = rlemasklib.decode(self.mask(k))
        inside = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
        return bool(small[inside].mean() <= self.dark) if inside.any() else False
