"""Pixels of a clip: colour frames, masks and depth, as videos or folders of images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import rlemasklib

from posepile.ds.amarv.layout import Clip, Depth, Layout, Mask, fill, parse_person_rule
from posepile.ds.amarv.values import lookup, read_data
from posepile.errors import CorruptInput
from posepile.imaging.frames import open_frames
from posepile.recipe import Stills, Video


def frame_source(layout: Layout, kind: str, path: Path, n_frames: int | None = None):
    """Video or Stills for a path of the manifest."""
    if kind == "video":
        if not path.is_file():
            raise CorruptInput(path, "file is missing", hint="complete the clip")
        return Video(path, n_frames=n_frames)
    return Stills(tuple(numbered_files(path, layout.frame_index_base)))


def numbered_files(folder: Path, base: int) -> list[Path]:
    """Image files of a folder by the last number in their names, which must run from ``base``.

    Raises:
        CorruptInput: No files, or numbers that leave gaps.
    """
    numbered = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            found = re.findall(r"\d+", path.stem)
            if path.is_file() and found and not path.name.startswith("."):
                numbered[int(found[-1])] = path
    if not numbered:
        raise CorruptInput(folder, "no numbered image files there", hint="complete the clip")
    order = sorted(numbered)
    if order != list(range(base, base + len(order))):
        gap = next(i for i, k in enumerate(order) if k != base + i)
        raise CorruptInput(
            folder,
            f"image numbers run from {order[0]} to {order[-1]}, {len(order)} files; expected "
            f"{base + gap} where {order[gap]} is",
            hint="complete the clip, or correct frame_index_base",
        )
    return [numbered[k] for k in order]


def video_fps(path: Path) -> float:
    """Returns frames per second as the container says.

    Raises:
        CorruptInput: Not a video with a known rate.
    """
    import av

    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
    except (av.FFmpegError, IndexError, OSError) as e:
        raise CorruptInput(path, f"no video stream: {e}", hint="set fps in the manifest") from e
    if not rate:
        raise CorruptInput(path, "does not say its frame rate", hint="set fps in the manifest")
    return float(rate)


def image_size(layout: Layout, path: Path) -> tuple[int, int]:
    """Returns width and height of the RGB frames of a view."""
    if layout.image_size is not None:
        return layout.image_size
    with open_frames(frame_source(layout, layout.rgb.kind, path)) as frames:
        return tuple(frames.size(0))


def count_frames(layout: Layout, path: Path) -> int:
    """Returns how many RGB frames a view really has."""
    with open_frames(frame_source(layout, layout.rgb.kind, path)) as frames:
        return frames.n_frames


def person_pixels(image: np.ndarray, mask: Mask) -> np.ndarray:
    """Applies the manifest's rule to a mask image ``[h, w, 3]``; bool ``[h, w]``."""
    kind, argument = parse_person_rule(mask.person_rule)
    if kind == "value":
        return image.max(axis=-1) > argument
    if kind == "label":
        return np.isin(image[..., 0], argument)
    return np.any([np.all(image == color, axis=-1) for color in np.uint8(argument)], axis=0)


class MaskReader:
    """Person masks of one view as RLE by frame.

    A video is decoded in runs of 32 frames and what was decoded is kept as RLE, so that asking in
    order, as the pipeline does, costs about one pass.
    """

    def __init__(self, layout: Layout, path: Path):
        self.layout = layout
        self.path = path
        self._known: dict[int, dict] = {}

    def __call__(self, frame: int) -> dict | None:
        """Returns the mask of a frame."""
        if frame not in self._known:
            self._read(range(frame, frame + 32))
        return self._known[frame]

    def _read(self, wanted: range) -> None:
        source = frame_source(self.layout, self.layout.mask.kind, self.path)
        with open_frames(source) as frames:
            inside = [i for i in wanted if i < frames.n_frames]
            if not inside:
                raise CorruptInput(
                    self.path,
                    f"has {frames.n_frames} masks",
                    frame=wanted[0],
                    hint="extract again",
                )
            for i, image in frames.read(inside):
                pixels = person_pixels(image.rgb(), self.layout.mask)
                self._known[i] = rlemasklib.encode(pixels.astype(np.uint8))


def count_depth(layout: Layout, path: Path, clip: Clip, view: int) -> int:
    """Returns the number of depth frames."""
    depth = layout.depth
    if depth.kind == "video":
        with open_frames(frame_source(layout, "video", path)) as frames:
            return frames.n_frames
    if depth.kind in ("png16", "exr"):
        return len(numbered_files(path, layout.frame_index_base))
    return len(depth_array(depth, path, clip, view))


def depth_array(depth: Depth, path: Path, clip: Clip, view: int) -> np.ndarray:
    """Returns the array of an npy or npz file."""
    data = read_data(path)
    return (
        data
        if depth.kind == "npy"
        else np.asarray(lookup(data, fill(depth.key, clip, view), path))
    )


def read_depth(
    layout: Layout, path: Path, clip: Clip, view: int, frames: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields depth maps ``[h, w]`` in millimetres by the manifest, NaN where invalid.

    Raises:
        CorruptInput: Unreadable maps, or 8-bit ones where the manifest says 16.
    """
    depth = layout.depth
    if depth.kind == "video":
        with open_frames(frame_source(layout, "video", path)) as reader:
            maps = [(i, image.rgb()[..., 0]) for i, image in reader.read(frames)]
    elif depth.kind in ("png16", "exr"):
        if depth.kind == "exr":
            os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
        files = numbered_files(path, layout.frame_index_base)
        maps = [(i, cv2.imread(str(files[i]), cv2.IMREAD_UNCHANGED)) for i in frames]
    else:
        stored = depth_array(depth, path, clip, view)
        maps = [(i, stored[i]) for i in frames]
    for i, stored_values in maps:
        if stored_values is None:
            hint = "extract again"
            if depth.kind == "exr" and not cv2.haveImageWriter("depth.exr"):
                hint = "this OpenCV has no OpenEXR: set depth: null, it is used for a test only"
            raise CorruptInput(path, "depth image cannot be read", frame=i, hint=hint)
        values = stored_values[..., 0] if stored_values.ndim == 3 else stored_values
        if depth.kind == "png16" and values.dtype != np.uint16:
            raise CorruptInput(path, f"depth image is {values.dtype}, not 16 bit", frame=i)
        millimetres = values.astype(np.float64) * depth.scale_to_mm
        if depth.invalid is not None:
            millimetres[values == depth.invalid] = np.nan
        yield i, millimetres
