"""Single pictures as they were decoded, converted to pixels only where needed.

A picture is handed out as planes of luma and chroma (a video) or as compressed bytes (a still).
What a crop needs is drawn from them with :meth:`Frame.draw`.

Colours of untagged video: BT.709 from 720 lines, BT.601 below, as players do.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from posepile.imaging import jpeg, warp

# Pixels of a picture whose chroma is not worth interpolating: people in it are mostly reduced, and
# crops are stored with half the chroma anyway
_LARGE = 3_000_000

CELLS = 64  # per side of what a fingerprint is made of
_ROWS = 512  # more rows of a picture than this are not needed for it, nor looked at


class Frame(Protocol):
    """One picture; the classes below differ in how its pixels are come by.

    Attributes:
        size: Width and height in pixels.
        flaws: What was wrong with the file without harm to the pixels, as far as it was decoded.
    """

    size: tuple[int, int]
    flaws: Sequence[str]

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """The whole picture.

        Args:
            short_side: Length of the shorter side of the result, the longer one in proportion
                (rounded); never enlarged. None: full size.

        Returns:
            uint8 RGB ``[h, w, 3]``, not to be written to.
        """
        ...

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """The whole picture at a smaller size, for a network that looks for people in it.

        Converted while it is scaled, which costs a fraction of :meth:`rgb`. Every pixel is the
        mean over its area, within a few grey levels of that of the exact colours; more only where
        colours change from one pixel to the next.

        Args:
            size: Width and height of the result, at most half of those of the picture.

        Returns:
            uint8 RGB ``[h, w, 3]``, not to be written to; in memory perhaps plane by plane.
        """
        ...

    def luma(self) -> np.ndarray:
        """The luma of the whole picture in 64 x 64 cells, uint8, for its fingerprint.

        To be asked for after what is drawn: it is made from what was decoded for that.
        """
        ...

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """Draws what a view needs at one of its pyramid levels; see :func:`warp.draw_packed`."""
        ...

    def expect(self, level: int) -> None:
        """Says which level is the finest that will be asked for, before the first request.

        It saves decoding a still at a finer scale than needed, or twice. What is drawn hardly
        differs, but it does: without it, coarser levels are means of the full scale.
        """


class ArrayFrame:
    """A picture that is already an array, uint8 RGB ``[h, w, 3]``."""

    flaws = ()

    def __init__(self, image: np.ndarray):
        self._image = np.ascontiguousarray(image)
        self._padded = None
        self.size = (image.shape[1], image.shape[0])

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        return _shrink(self._image, size_for(self.size, short_side))

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """See :meth:`Frame.reduced`."""
        return _shrink(self._image, size)

    def luma(self) -> np.ndarray:
        """See :meth:`Frame.luma`."""
        return _cells(cv2.cvtColor(_thinned(self._image), cv2.COLOR_RGB2GRAY))

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """See :meth:`Frame.draw`."""
        if self._padded is None:
            self._padded = cv2.cvtColor(self._image, cv2.COLOR_RGB2RGBA)
        warp.draw_packed(self._padded, 0, view, level, out)

    def expect(self, level: int) -> None:
        """Nothing to prepare."""


class JpegFrame:
    """A JPEG file in memory, decoded at the largest scale that is asked for.

    What is drawn depends on what is asked for alone, not on what was decoded before, so that
    detecting in passing and detecting in a run of its own lead to the same crops.

    Args:
        data: The file's bytes.
        name: File named in errors.
        index: Frame index named in errors.
    """

    def __init__(self, data: bytes, name: str | os.PathLike, index: int | None = None):
        self.size = jpeg.read_size(data, name=name, frame=index)
        self._data, self._name, self._index = data, name, index
        self._expected = 0
        self._level, self._image = None, None
        self.flaws: list[str] = []

    def expect(self, level: int) -> None:
        """See :meth:`Frame.expect`."""
        self._expected = min(level, jpeg.MAX_LEVEL)

    def _decoded(self, level: int) -> np.ndarray:
        if self._level != level:
            self._image = jpeg.decode(
                self._data,
                level,
                colors="RGBX",
                plain_chroma=self.size[0] * self.size[1] >= _LARGE,
                name=self._name,
                frame=self._index,
                flaws=self.flaws,
            )
            self._level = level
        return self._image

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        return self.reduced(size_for(self.size, short_side))

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """See :meth:`Frame.reduced`."""
        # At full scale, because crops of the same frame mostly need that too
        return cv2.cvtColor(_shrink(self._decoded(0), size), cv2.COLOR_RGBA2RGB)

    def luma(self) -> np.ndarray:
        """See :meth:`Frame.luma`."""
        image = self._decoded(self._expected)
        return _cells(cv2.cvtColor(_thinned(image), cv2.COLOR_RGBA2GRAY))

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """See :meth:`Frame.draw`."""
        decoded = min(level, self._expected)
        warp.draw_packed(self._decoded(decoded), decoded, view, level, out)


class PlanarFrame:
    """A decoded video frame with a luma plane and two chroma planes of half width and height.

    Args:
        frame: ``av.VideoFrame`` in one of :data:`PLANAR_FORMATS`.
    """

    flaws = ()

    def __init__(self, frame):
        self.size = (frame.width, frame.height)
        self._frame = frame
        depth = PLANAR_FORMATS[frame.format.name]
        self._planes = tuple(_plane(p, depth) for p in frame.planes[:3])
        self._to_rgb = _conversion(frame, depth)

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        size = size_for(self.size, short_side)
        if size == self.size:
            from posepile.imaging import conversion

            out = np.empty((size[1], 3 * size[0]), np.uint8)
            conversion.to_rgb(self._planes, size, self._to_rgb, out)
            return out.reshape(size[1], size[0], 3)
        w = self.size[0]
        planes = zip(self._planes, (w, -(-w // 2), -(-w // 2)), strict=True)
        small = [cv2.resize(p[:, :n], size, interpolation=cv2.INTER_AREA) for p, n in planes]
        rgb = cv2.transform(cv2.merge(small).astype(np.float32), self._to_rgb)
        rgb *= 255  # in place, as new memory costs more than the sum
        rgb += 0.5
        return np.clip(rgb, 0, 255.5, out=rgb).astype(np.uint8)

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """See :meth:`Frame.reduced`."""
        return _reduce(self._frame, size)

    def luma(self) -> np.ndarray:
        """See :meth:`Frame.luma`."""
        rows = _thinned(self._planes[0])[:, : self.size[0]]
        spare = PLANAR_FORMATS[self._frame.format.name] - 8
        return _cells(rows if spare == 0 else (rows >> spare).astype(np.uint8))

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """See :meth:`Frame.draw`."""
        warp.draw_planar(self._planes, self.size, self._to_rgb, view, level, out)

    def expect(self, level: int) -> None:
        """Nothing to prepare."""


# By quarter turns counter-clockwise; several times faster than numpy
_TURNS = (None, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)


class ConvertedFrame:
    """A decoded video frame of any pixel format, perhaps turned; converted when it is needed.

    Args:
        frame: ``av.VideoFrame``.
        rot90: As of :class:`posepile.recipe.Video`.
        mirrored: As there.
    """

    flaws = ()

    def __init__(self, frame, rot90: int = 0, mirrored: bool = False):
        size = (frame.width, frame.height)
        self.size = size[::-1] if rot90 % 2 else size
        self._frame, self._rot90, self._mirrored = frame, rot90, mirrored
        self._array: ArrayFrame | None = None

    def _whole(self) -> ArrayFrame:
        if self._array is None:
            if self._frame.format.name in PLANAR_FORMATS:
                image = PlanarFrame(self._frame).rgb()
            else:
                image = _by_ffmpeg(self._frame, "rgb24").to_ndarray()
            if self._rot90:
                image = cv2.rotate(image, _TURNS[self._rot90])
            self._array = ArrayFrame(cv2.flip(image, 1) if self._mirrored else image)
        return self._array

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        return self._whole().rgb(short_side)

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """See :meth:`Frame.reduced`."""
        image = _reduce(self._frame, size[::-1] if self._rot90 % 2 else size)
        image = np.rot90(image, self._rot90)
        return image[:, ::-1] if self._mirrored else image

    def luma(self) -> np.ndarray:
        """See :meth:`Frame.luma`."""
        return self._whole().luma()

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """See :meth:`Frame.draw`."""
        self._whole().draw(view, level, out)

    def expect(self, level: int) -> None:
        """Nothing to prepare."""


# Pixel formats with half-size chroma planes, and their bits per sample. Everything else is
# converted by FFmpeg.
PLANAR_FORMATS = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10, "yuv420p12le": 12}
# Weights of red and blue in luma by FFmpeg's number of the colour space; BT.601 otherwise
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}


def size_for(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Returns the size (w, h) of a picture reduced to a short side; never enlarged."""
    if short_side is None or short_side >= min(size):
        return size
    scale = short_side / min(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _thinned(image: np.ndarray) -> np.ndarray:
    return image[:: max(1, image.shape[0] // _ROWS)]


def _cells(luma: np.ndarray) -> np.ndarray:
    # Exact halves are many times faster than other scales; an odd row or column is left out.
    while min(luma.shape) >= 4 * CELLS:
        h, w = luma.shape[0] // 2, luma.shape[1] // 2
        luma = cv2.resize(luma[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
    return cv2.resize(luma, (CELLS, CELLS), interpolation=cv2.INTER_AREA)


def _by_ffmpeg(frame, form: str, **more):
    """Returns a video frame as FFmpeg converts it to a pixel format."""
    space, full = colorspace(frame)
    return frame.reformat(
        format=form, src_colorspace=space, src_color_range=2 if full else 1, threads=1, **more
    )


def _reduce(frame, size: tuple[int, int]) -> np.ndarray:
    """Returns a video frame reduced by FFmpeg, which scales before it converts."""
    from av.video.reformatter import Interpolation as Flag

    flags = Flag.AREA | Flag.FULL_CHR_H_INT | Flag.ACCURATE_RND
    # As planes, because packed colours take twice the time
    small = _by_ffmpeg(frame, "gbrp", width=size[0], height=size[1], interpolation=flags)
    green, blue, red = (_plane(p, 8)[:, : size[0]] for p in small.planes)
    return np.stack([red, green, blue]).transpose(1, 2, 0)


def _plane(plane, depth: int) -> np.ndarray:
    """The samples; rows may be longer than the picture is wide."""
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)


def colorspace(frame) -> tuple[int, bool]:
    """FFmpeg's number of the YUV matrix (guessed from the size if untagged), and full range."""
    space = int(frame.colorspace)
    if space in (2, 3):  # unspecified, reserved
        space = 1 if frame.height >= 720 else 5
    full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    return space, full


def _conversion(frame, depth: int) -> np.ndarray:
    """Matrix float32 ``[3, 4]`` from stored (Y, U, V, 1) to RGB in 0..1."""
    space, full = colorspace(frame)
    return _conversion_matrix(space, full, depth)


@functools.lru_cache(maxsize=32)
def _conversion_matrix(space: int, full: bool, depth: int) -> np.ndarray:
    kr, kb = _LUMA_WEIGHTS.get(space, (0.299, 0.114))
    kg = 1 - kr - kb
    unit = 1 << (depth - 8)
    top = (1 << depth) - 1
    y_zero, y_span, c_span = (0, top, top) if full else (16 * unit, 219 * unit, 224 * unit)
    matrix = np.array(
        [
            [1, 0, 2 * (1 - kr)],
            [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
            [1, 2 * (1 - kb), 0],
        ]
    ) / [y_span, c_span, c_span]
    zero = matrix @ [y_zero, 128 * unit, 128 * unit]
    return np.ascontiguousarray(np.column_stack([matrix, -zero]), np.float32)
