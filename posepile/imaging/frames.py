"""Frames by index, from videos and from image files; nothing is written to disk.

Rotation tags in a video's container are not applied, nor those of stills: ``rot90`` of ``Video``
and ``Stills`` says what to do.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from posepile.errors import CorruptInput, WorkError
from posepile.imaging import jpeg, videos
from posepile.imaging.declared import decode_picture
from posepile.imaging.mosaic import demosaiced
from posepile.imaging.pictures import (
    PLANAR_FORMATS,
    ArrayFrame,
    ConvertedFrame,
    Frame,
    JpegFrame,
    PlanarFrame,
)
from posepile.recipe import Stills, Video


@contextmanager
def open_frames(
    source: Video | Stills, *, threads: int = 1
) -> Iterator[VideoFrames | StillFrames]:
    """Opens a frame source.

    Args:
        source: What the recipe names.
        threads: Decoder threads for video. 1 where several workers run side by side, 0 lets the
            decoder use all cores. The pixels do not depend on it.

    Yields:
        An object with ``n_frames``, ``size(index) -> (width, height)`` and
        ``read(indices) -> iterator of (index, Frame)`` for strictly increasing indices.

    Raises:
        CorruptInput: Unreadable file, or a number of frames (without ``mismatch_known``) or a
            picture size that differs from what the annotations say.
    """
    if isinstance(source, Video):
        yield VideoFrames(source, threads)
    else:
        yield StillFrames(source)


class StillFrames:
    """Frames that are image files, or lie in files; see :func:`open_frames`."""

    def __init__(self, source: Stills):
        self._source = source
        self._paths = source.paths
        self._sizes = source.sizes
        self._rot90 = source.rot90 % 4
        self.n_frames = len(source.paths)

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of a frame, from the header where possible."""
        w, h = _open_still(self._source, index).size
        return (h, w) if self._rot90 % 2 else (w, h)

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        """Frames at strictly increasing indices; a broken one raises when it is reached."""
        for i in _ascending(indices, self.n_frames, "the list of image files"):
            frame = _open_still(self._source, i)
            if self._rot90:
                still = frame
                frame = ArrayFrame(np.rot90(still.rgb(), self._rot90))
                frame.flaws = still.flaws
            if self._sizes is not None:
                _check_size(self._paths[i], frame.size, self._sizes[i], i)
            yield i, frame


class VideoFrames:
    """Frames of a video file; see :func:`open_frames`."""

    def __init__(self, source: Video, threads: int = 1):
        self.path = Path(source.path)
        self._threads = threads
        self._rot90 = source.rot90 % 4
        self._mirrored = source.mirrored
        self._index = videos.index_packets(self.path)
        self.n_frames = self._index.n_frames
        if source.n_frames not in (None, self.n_frames) and not source.mismatch_known:
            raise CorruptInput(
                self.path,
                f"holds {self.n_frames} decodable frames where the annotations have "
                f"{source.n_frames}",
                hint="fetch the file again; if the source really is so, set mismatch_known in "
                "the recipe",
            )
        _check_size(self.path, self.size(), source.size)

    def size(self, index: int = 0) -> tuple[int, int]:
        """Width and height of the frames as handed out."""
        w, h = self._index.size
        return (h, w) if self._rot90 % 2 else (w, h)

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        """Frames at strictly increasing indices.

        Raises:
            CorruptInput: At the first wanted frame that cannot be decoded, or at once if the video
                ends before the last one.
        """
        last = max(map(int, indices), default=0)
        if last >= self.n_frames:
            raise CorruptInput(
                self.path,
                f"holds {self.n_frames} decodable frames; expected at least {last + 1}, as the "
                "annotations have them",
                hint="fetch the file again",
            )
        wanted = _ascending(indices, self.n_frames, self.path)
        for i, frame in videos.decode(self.path, self._index, wanted, self._threads):
            yield i, self._wrap(frame)

    def _wrap(self, frame) -> Frame:
        turned = self._rot90 or self._mirrored
        if frame.format.name in PLANAR_FORMATS and not turned:
            return PlanarFrame(frame)
        return ConvertedFrame(frame, self._rot90, self._mirrored)


def _check_size(
    path: Path, size: tuple[int, int], expected: tuple[int, int] | None, frame: int | None = None
) -> None:
    """Raises where pixels and annotations differ in scale, which nothing else would tell."""
    if expected is not None and tuple(size) != tuple(expected):
        raise CorruptInput(
            path,
            "is {}x{} pixels, but its annotations are for {}x{}".format(*size, *expected),
            frame=frame,
            hint="a resized copy? fetch the original file",
        )


def _ascending(indices: Sequence[int], n_frames: int, name: str | os.PathLike) -> list[int]:
    wanted = [int(i) for i in indices]
    if any(b <= a for a, b in itertools.pairwise(wanted)):
        raise ValueError("frame indices must be strictly increasing")
    if wanted and (wanted[0] < 0 or wanted[-1] >= n_frames):
        bad = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise WorkError(f"{os.fspath(name)}: frame {bad} asked for, it has 0 to {n_frames - 1}")
    return wanted


def _open_still(source: Stills, index: int) -> Frame:
    path = source.paths[index]
    try:
        data = _read_still(path, None if source.spans is None else source.spans[index])
    except OSError as e:
        raise CorruptInput(
            path, f"cannot be read: {e.strerror}", frame=index, hint=videos.FETCH
        ) from e
    if source.mosaic is not None:
        return ArrayFrame(demosaiced(data, source.mosaic, path, index))
    if jpeg.is_jpeg(data) and not source.bgr:
        return JpegFrame(data, path, index)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = decode_picture(data, path, index, flags)
    if image is None:
        raise CorruptInput(path, "not a readable image", frame=index, hint=videos.FETCH)
    # OpenCV's order of colours is that of a picture with red and blue exchanged.
    return ArrayFrame(image if source.bgr else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _read_still(path: Path, span: tuple[int, int] | None) -> bytes:
    """The bytes of a picture; fewer, if its file ends before."""
    if span is None:
        return Path(path).read_bytes()
    with open(path, "rb") as f:
        f.seek(span[0])
        return f.read(span[1])
