"""Frames by index, from videos and from image files, converted to pixels only where needed.

A :class:`Frame` is handed out as it was decoded: planes of luma and chroma for a video, compressed
bytes for a still. What a crop needs is drawn from them with :meth:`Frame.draw`. Nothing is written
to disk.

Frame ``i`` of a video is the ``i``-th frame in presentation order, also with B-frames, variable
frame rate, an edit list or a start other than zero. A first pass over the packets (no decoding)
gives the table of timestamps and key frames. Reading then feeds the decoder the packets it
needs: stretches up to the next useful key frame are skipped, and frames that nobody wants and
nobody refers to are dropped inside the decoder.

Colours of untagged video: BT.709 from 720 lines, BT.601 below, as players do. Rotation tags in
the container are not applied: ``Video.rot90`` says what to do.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from posepile.errors import CorruptInput, WorkError
from posepile.imaging import jpeg, warp
from posepile.recipe import Stills, Video

# Pixels of a picture whose chroma is not worth interpolating: people in it are mostly reduced, and
# crops are stored with half the chroma anyway
_LARGE = 3_000_000
_FETCH = "fetch the file again, or list it in exclusions.yaml"


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


class Frame(Protocol):
    """One picture; the classes below differ in how its pixels are come by.

    Attributes:
        size: Width and height in pixels.
    """

    size: tuple[int, int]

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """The whole picture.

        Args:
            short_side: Length of the shorter side of the result, the longer one in proportion
                (rounded); never enlarged. None: full size.

        Returns:
            uint8 RGB ``[h, w, 3]``, not to be written to.
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

    def __init__(self, image: np.ndarray):
        self._image = np.ascontiguousarray(image)
        self._padded = None
        self.size = (image.shape[1], image.shape[0])

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        return _shrink(self._image, _size_for(self.size, short_side))

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
            )
            self._level = level
        return self._image

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        # At full scale, because crops of the same frame mostly need that too
        image = _shrink(self._decoded(0), _size_for(self.size, short_side))
        return cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """See :meth:`Frame.draw`."""
        decoded = min(level, self._expected)
        warp.draw_packed(self._decoded(decoded), decoded, view, level, out)


class PlanarFrame:
    """A decoded video frame with a luma plane and two chroma planes of half width and height.

    Args:
        frame: ``av.VideoFrame`` in one of :data:`PLANAR_FORMATS`.
    """

    def __init__(self, frame):
        self.size = (frame.width, frame.height)
        self._frame = frame
        depth = PLANAR_FORMATS[frame.format.name]
        self._planes = tuple(_plane(p, depth) for p in frame.planes[:3])
        self._to_rgb = _conversion(frame, depth)

    def rgb(self, short_side: int | None = None) -> np.ndarray:
        """See :meth:`Frame.rgb`."""
        size = _size_for(self.size, short_side)
        interpolation = cv2.INTER_AREA if size != self.size else cv2.INTER_LINEAR
        w = self.size[0]
        y, u, v = (
            p[:, :n] for p, n in zip(self._planes, (w, -(-w // 2), -(-w // 2)), strict=True)
        )
        y = _shrink(y, size)
        grown = [cv2.resize(c, size, interpolation=interpolation) for c in (u, v)]
        rgb = cv2.transform(cv2.merge([y, *grown]).astype(np.float32), self._to_rgb)
        return np.clip(rgb * 255 + 0.5, 0, 255.5).astype(np.uint8)

    def draw(self, view: warp.View, level: int, out: np.ndarray) -> None:
        """See :meth:`Frame.draw`."""
        warp.draw_planar(self._planes, self.size, self._to_rgb, view, level, out)

    def expect(self, level: int) -> None:
        """Nothing to prepare."""


class StillFrames:
    """Frames that are image files; see :func:`open_frames`."""

    def __init__(self, source: Stills):
        self._paths = source.paths
        self._sizes = source.sizes
        self.n_frames = len(source.paths)

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of a frame, from the header where possible."""
        return _open_still(self._paths[index], index).size

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        """Frames at strictly increasing indices; a broken one raises when it is reached."""
        for i in _ascending(indices, self.n_frames, "the list of image files"):
            frame = _open_still(self._paths[i], i)
            if self._sizes is not None:
                _check_size(self._paths[i], frame.size, self._sizes[i], i)
            yield i, frame


class VideoFrames:
    """Frames of a video file; see :func:`open_frames`."""

    def __init__(self, source: Video, threads: int = 1):
        self.path = Path(source.path)
        self._threads = threads
        self._rot90 = source.rot90 % 4
        self._index = _index_packets(self.path)
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
            CorruptInput: At the first wanted frame that cannot be decoded.
        """
        wanted = _ascending(indices, self.n_frames, self.path)
        for i, frame in _decode(self.path, self._index, wanted, self._threads):
            yield i, self._wrap(frame)

    def _wrap(self, frame) -> Frame:
        if frame.format.name in PLANAR_FORMATS and not self._rot90:
            return PlanarFrame(frame)
        if frame.format.name in PLANAR_FORMATS:
            return ArrayFrame(np.rot90(PlanarFrame(frame).rgb(), self._rot90))
        tagged = _colorspace(frame)[0]
        image = frame.reformat(format="rgb24", src_colorspace=tagged).to_ndarray()
        return ArrayFrame(np.rot90(image, self._rot90))


# Pixel formats with half-size chroma planes, and their bits per sample. Everything else is
# converted by FFmpeg.
PLANAR_FORMATS = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10, "yuv420p12le": 12}


# Weights of red and blue in luma by FFmpeg's number of the colour space; BT.601 otherwise
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}


class _PacketIndex:
    """What a pass over the packets of a video tells, without decoding.

    Attributes:
        size: Coded width and height.
        n_frames: Frames that a decoder will put out.
        frame_of: Timestamp to frame index; None where timestamps are missing or repeated, then
            frames are counted.
        of_packet: Frame index of each packet in file order, -1 for those without a frame.
        key_before: For each frame, position in file order of the key packet from which decoding
            must start.
    """

    def __init__(self, size, n_frames, frame_of, of_packet, key_before):
        self.size, self.n_frames = size, n_frames
        self.frame_of, self.of_packet, self.key_before = frame_of, of_packet, key_before


def _open_video(path: Path):
    import av

    # Leave av.logging alone: with its Python callback installed, a decoder thread that logs waits
    # for the interpreter lock while the interpreter waits for that thread.
    try:
        container = av.open(os.fspath(path))
    except FileNotFoundError as e:
        raise CorruptInput(path, "the file does not exist", hint=_FETCH) from e
    except (av.FFmpegError, OSError) as e:
        raise CorruptInput(path, f"not a readable video: {e.strerror}", hint=_FETCH) from e
    if not container.streams.video:
        container.close()
        raise CorruptInput(path, "holds no video stream", hint=_FETCH)
    return container


def _index_packets(path: Path) -> _PacketIndex:
    import av

    with _open_video(path) as container:
        stream = container.streams.video[0]
        size = (stream.codec_context.width, stream.codec_context.height)
        pts, keys, shown = [], [], []
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.is_corrupt:
                    raise CorruptInput(
                        path, "the data are damaged here", frame=len(pts), hint=_FETCH
                    )
                pts.append(packet.pts)
                keys.append(packet.is_keyframe)
                shown.append(not packet.is_discard)
        except av.FFmpegError as e:
            raise CorruptInput(
                path, f"cannot be read on: {e.strerror}", frame=len(pts), hint=_FETCH
            ) from e
        _check_complete(path, container, stream, pts)
    if True not in keys:
        raise CorruptInput(path, "holds no key frame, so no decodable frame", hint=_FETCH)
    return _table(size, pts, keys, shown)


def _table(size, pts: list, keys: list[bool], shown: list[bool]) -> _PacketIndex:
    """Works the packet list out into frame numbers; pure, so that odd orders can be tested."""
    first = keys.index(True)
    decodable = [k for k in range(first, len(pts)) if shown[k]]
    known = [pts[k] for k in decodable]
    if None in known or len(set(known)) < len(known):
        of_packet = np.full(len(pts), -1)
        return _PacketIndex(size, len(decodable), None, of_packet, np.zeros(len(decodable), int))
    # Pictures that come after the first key frame in the file but before it in time refer to
    # something that is not there: decoders drop them.
    decodable = [k for k in decodable if pts[k] >= pts[first]]
    order = sorted(decodable, key=lambda k: pts[k])
    frame_of = {pts[k]: i for i, k in enumerate(order)}
    of_packet = np.full(len(pts), -1)
    of_packet[order] = np.arange(len(order))
    key_positions = [k for k in range(first, len(pts)) if keys[k] and pts[k] is not None]
    key_before = np.zeros(len(order), np.int64)
    current = 0
    for i, k in enumerate(order):
        while current + 1 < len(key_positions) and pts[key_positions[current + 1]] <= pts[k]:
            current += 1
        key_before[i] = key_positions[current]
    return _PacketIndex(size, len(order), frame_of, of_packet, key_before)


def _check_complete(path: Path, container, stream, pts: list) -> None:
    """Compares the declared duration with where the data end: a file cut short has no more."""
    known = [p for p in pts if p is not None]
    if not known or stream.time_base is None:
        return
    declared = None
    if stream.duration:
        declared = float(stream.duration * stream.time_base)
    elif "DURATION" in stream.metadata:
        h, m, s = stream.metadata["DURATION"].split(":")
        declared = 3600 * int(h) + 60 * int(m) + float(s)
    elif container.duration and len(container.streams) == 1:
        declared = container.duration / 1e6
    if declared is None:
        return
    start = min(known)
    found = float((max(known) - start) * stream.time_base)
    spacing = found / max(len(known) - 1, 1)
    if declared - found > max(5 * spacing, 0.01 * declared) + abs(float(start * stream.time_base)):
        raise CorruptInput(
            path,
            f"declares {declared:.2f} s but its data end after {found:.2f} s "
            f"({len(known)} frames): the file is cut short",
            hint=_FETCH,
        )


def _decode(path: Path, index: _PacketIndex, wanted: list[int], threads: int):
    """Yields (frame index, av.VideoFrame) for the wanted frames, decoding as little as can be."""
    import av

    if not wanted:
        return
    needed = np.zeros(index.n_frames + 1, bool)
    needed[wanted] = True
    n_done, counted, position, fed_until = 0, 0, -1, -1
    with _open_video(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = threads
        packets = (p for p in container.demux(stream) if p.size)
        ended, skipping = False, False
        try:
            while n_done < len(wanted) and not ended:
                packet = next(packets, None)
                position += 1
                ended = packet is None
                if index.frame_of is not None and not ended:
                    # Nothing before this key frame can matter any more
                    start = index.key_before[wanted[n_done]]
                    if position < start and (
                        fed_until < 0 or skipping or start - position > max(threads, 1)
                    ):
                        skipping = True
                        continue
                    if skipping and fed_until >= 0:
                        context.flush_buffers()
                    skipping = False
                    unwanted = not needed[index.of_packet[position]]
                    context.skip_frame = "NONREF" if unwanted else "DEFAULT"
                fed_until = position
                for frame in context.decode(packet):
                    i = counted
                    counted += 1
                    if index.frame_of is not None:
                        i = index.frame_of.get(frame.pts, -1)
                    if i > wanted[n_done]:
                        break  # the wanted one did not come out
                    if i == wanted[n_done]:
                        if frame.is_corrupt:
                            break
                        n_done += 1
                        yield i, frame
                        if n_done == len(wanted):
                            return
                else:
                    continue
                break
        except av.FFmpegError as e:
            raise CorruptInput(
                path, f"cannot be decoded: {e.strerror}", frame=wanted[n_done], hint=_FETCH
            ) from e
    raise CorruptInput(path, "cannot be decoded", frame=wanted[n_done], hint=_FETCH)


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


def _open_still(path: Path, index: int) -> Frame:
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise CorruptInput(path, f"cannot be read: {e.strerror}", frame=index, hint=_FETCH) from e
    if jpeg.is_jpeg(data):
        return JpegFrame(data, path, index)
    image = None
    if data:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise CorruptInput(path, "not a readable image", frame=index, hint=_FETCH)
    return ArrayFrame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _size_for(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    if short_side is None or short_side >= min(size):
        return size
    scale = short_side / min(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _plane(plane, depth: int) -> np.ndarray:
    """The samples; rows may be longer than the picture is wide."""
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)


def _colorspace(frame) -> tuple[int, bool]:
    """FFmpeg's number of the YUV matrix (guessed from the size if untagged), and full range."""
    space = int(frame.colorspace)
    if space in (2, 3):  # unspecified, reserved
        space = 1 if frame.height >= 720 else 5
    full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    return space, full


def _conversion(frame, depth: int) -> np.ndarray:
    """Matrix float32 ``[3, 4]`` from stored (Y, U, V, 1) to RGB in 0..1."""
    space, full = _colorspace(frame)
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
