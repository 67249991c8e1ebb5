"""Masks of a person that are stored as pictures: a video, or a folder of image files."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import boxlib
import cv2
import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.files import presence
from posepile.geometry.pictures import box_of_points, project
from posepile.imaging.declared import read_picture
from posepile.imaging.frames import open_frames
from posepile.recipe import Stills, Track, Video

if TYPE_CHECKING:
    import deltacamera

# A video is decoded in runs of so many frames: asked in order, that is about one pass.
RUN = 32


def person_rule(text: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function that finds the person's pixels in a mask picture.

    >>> picture = np.uint8([[[0, 0, 0], [200, 0, 0]]])
    >>> person_rule("value > 127")(picture)
    array([[False,  True]])

    Args:
        text: ``value > 127`` (the brightest channel), ``label in [1, 2]`` (the first channel) or
            ``color in [[255, 0, 0]]`` (exact RGB).

    Returns:
        A function from uint8 RGB ``[h, w, 3]`` to bool ``[h, w]``.

    Raises:
        ValueError: Any other text.
    """
    if m := re.fullmatch(r"value\s*>\s*(\d+)", text.strip()):
        limit = int(m[1])
        return lambda picture: functools.reduce(cv2.max, cv2.split(picture)) > limit
    if m := re.fullmatch(r"(label|color)\s+in\s+(\[[\d\s,\[\]]*\])", text.strip()):
        listed = np.array(json.loads(m[2]))
        if m[1] == "label" and listed.ndim == 1:
            return lambda picture: np.isin(picture[..., 0], listed)
        if m[1] == "color" and listed.shape[1:] == (3,):
            return lambda picture: np.any([pixels_of_color(picture, c) for c in listed], axis=0)
    raise ValueError(
        "must be like 'value > 127', 'label in [1, 2]' or 'color in [[255, 0, 0], [0, 255, 0]]'"
    )


def read_label_image(path: Path) -> np.ndarray:
    """Returns a picture of labels as stored: uint8 RGB ``[h, w, 3]``; a palette becomes colours.

    Raises:
        CorruptInput: Not a readable picture.
    """
    picture = _read(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def read_mask(path: Path) -> np.ndarray:
    """Returns the pixels of a mask picture that are not black: bool ``[h, w]``.

    Grey pictures are read as such, in a third of the time that colours take.

    Raises:
        CorruptInput: Not a readable picture.
    """
    picture = _read(path, cv2.IMREAD_UNCHANGED)
    return picture > 0 if picture.ndim == 2 else picture[..., :3].any(axis=-1)


def read_rle(path: Path, above: int = 0) -> dict:
    """Returns the pixels of a mask picture whose first channel is brighter than a value, as RLE.

    Args:
        path: The picture; JPEG is not exact, so that black is a small number there.
        above: The value.

    Raises:
        CorruptInput: Not a readable picture.
    """
    return rlemasklib.encode((read_label_image(path)[..., 0] > above).astype(np.uint8))


def pixels_of_color(picture: np.ndarray, color: np.ndarray, tolerance: int = 0) -> np.ndarray:
    """Returns which pixels have a colour, or nearly: bool ``[h, w]``.

    >>> picture = np.uint8([[[0, 0, 0], [198, 1, 0], [0, 90, 0]]])
    >>> pixels_of_color(picture, [200, 0, 0], tolerance=2).tolist()
    [[False, True, False]]

    Args:
        picture: uint8 RGB ``[h, w, 3]``.
        color: RGB.
        tolerance: By how much each channel may differ.
    """
    low, high = (np.asarray(color, float) + off for off in (-tolerance, tolerance))
    return cv2.inRange(picture, low, high) > 0


def _read(path: Path, flags: int) -> np.ndarray:
    picture = read_picture(path, flags)
    if picture is None:
        fault = "not a readable picture" if path.is_file() else "file is missing"
        raise CorruptInput(path, fault, hint="extract it again")
    return picture


def visible_masks(
    label_image: Path, colors: np.ndarray, masks: Sequence[Path], tolerance: int = 0
) -> Iterator[np.ndarray]:
    """Yields the visible pixels of people: bool ``[h, w]``.

    These have nearly the person's colour in the label image, and lie in the person's own mask.

    Args:
        label_image: Of all people.
        colors: RGB of each; there may be more.
        masks: Mask of each, perhaps also of pixels that are hidden. Where there is no such file,
            the colour alone decides.
        tolerance: As of :func:`pixels_of_color`.

    Raises:
        CorruptInput: Not a readable picture, or more people than colours.
    """
    if len(masks) > len(colors):
        text = f"found {len(masks)} people; expected at most {len(colors)}, which have a colour"
        raise CorruptInput(label_image, text)
    labels, is_there = read_label_image(label_image), presence()
    for color, file in zip(colors, masks, strict=False):
        seen = pixels_of_color(labels, color, tolerance)
        yield seen & read_mask(file) if is_there(file) else seen


def component_in_box(mask: dict, box: np.ndarray) -> dict | None:
    """Returns the connected part of a mask (RLE) whose frame fits a box best; None without any.

    >>> mask = rlemasklib.encode(np.uint8([[1, 0, 1, 1], [0, 0, 1, 1]]))
    >>> rlemasklib.decode(component_in_box(mask, np.array([1.5, -0.5, 2, 2]))).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]

    Args:
        mask: Of people and whatever else was found with them.
        box: x, y, width, height.
    """
    parts = rlemasklib.connected_components(mask) if rlemasklib.area(mask) else []

    def fit(part: dict) -> float:
        return boxlib.iou(np.float64(rlemasklib.to_bbox(part)) - (0.5, 0.5, 0, 0), box)

    return max(parts, key=fit, default=None)


class MaskFrames:
    """Masks by frame, as RLE; called with a frame index, it returns the mask of that frame.

    Args:
        source: The pictures.
        person: Finds the person's pixels, as :func:`person_rule` makes it.
    """

    def __init__(self, source: Video | Stills, person: Callable[[np.ndarray], np.ndarray]):
        self._source = source
        self._person = person
        self._known: dict[int, dict] = {}

    def __call__(self, frame: int) -> dict:
        """Returns the mask of a frame.

        Raises:
            CorruptInput: There is no such frame, or it cannot be decoded.
        """
        if frame not in self._known:
            self._read(frame, RUN if isinstance(self._source, Video) else 1)
        return self._known[frame]

    def _read(self, first: int, n: int) -> None:
        with open_frames(self._source) as frames:
            wanted = range(first, min(first + n, frames.n_frames))
            if not wanted:
                video = isinstance(self._source, Video)
                place = self._source.path if video else self._source.paths[0].parent
                raise CorruptInput(
                    place,
                    f"has {frames.n_frames} masks; expected one for every frame",
                    frame=first,
                    hint="extract it again",
                )
            for i, picture in frames.read(wanted):
                self._known[i] = rlemasklib.encode(self._person(picture.rgb()).astype(np.uint8))


def boxed_masks(
    masks: Callable[[int], dict], track: Track, camera: deltacamera.Camera, size: tuple[int, int]
) -> Callable[[int], dict | None]:
    """Returns the function that gives the mask of a row of a track, of whoever it is.

    Of each picture it is the connected part that fits the box of the joints best; None without.

    Args:
        masks: Frame -> RLE mask of all that was found in it.
        track: Has ``world_coords``.
        camera: A static one.
        size: Width and height of the pictures.
    """

    def mask(k: int) -> dict | None:
        box = box_of_points(project(camera, track.world_coords[k]), size)
        return component_in_box(masks(int(track.frames[k])), box)

    return mask


class MaskedStills:
    """Pictures of one camera and mask pictures of its one person, by frame number.

    Either may lack frames. Masks are read when they are asked for.

    Args:
        images: Picture files.
        masks: Mask files.
        person: Finds the person's pixels, as :func:`person_rule` makes it.
        dark: A picture whose person is on average at most this bright is a failed exposure.
    """

    def __init__(
        self,
        images: dict[int, Path],
        masks: dict[int, Path],
        person: Callable[[np.ndarray], np.ndarray],
        dark: float = 10,
    ):
        self.images, self.masks = images, masks
        self._person, self._dark = person, dark
        self._known: dict[int, dict] = {}

    def mask(self, frame: int) -> dict | None:
        """Returns the RLE mask of a frame, None if there is none.

        Raises:
            CorruptInput: Not a readable picture.
        """
        if frame in self.masks and frame not in self._known:
            found = self._person(read_label_image(self.masks[frame]))
            self._known[frame] = rlemasklib.encode(found)
        return self._known.get(frame)

    def why_not(self, frame: int) -> str | None:
        """Returns why a frame gives no example in this view, or None."""
        if frame not in self.images:
            return "no image in this view"
        mask = self.mask(frame)
        if mask is None:
            return "no mask in this view"
        if not rlemasklib.area(mask):
            return "empty mask"
        return "black image" if self._is_black(self.images[frame], mask) else None

    def _is_black(self, image: Path, mask: dict) -> bool:
        """Whether nothing is seen of the person; decided at an eighth of the size."""
        small = read_picture(image, cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if small is None:
            return False  # unreadable: that is for the reader of frames to say
        size = small.shape[1::-1]
        inside = cv2.resize(rlemasklib.decode(mask), size, interpolation=cv2.INTER_AREA) > 0
        return bool(small[inside].mean() <= self._dark) if inside.any() else False
