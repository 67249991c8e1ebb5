"""Videos of a miniature: H.264 as cameras write it, cheap at any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.miniature.shoot import Picture
from posepile.miniature.yuv import to_yuv420

if TYPE_CHECKING:
    import av

SUBSAMPLING = (1, 2, 2)  # pixels of the picture per sample of Y, U, V along each axis


def write_video(
    path: Path,
    pictures: Iterable[Picture | np.ndarray],
    rate: float | Fraction,
    *,
    qp: int = 16,
    b_frames: int = 2,
    keyframes: int = 10,
) -> None:
    """Writes pictures as an H.264 file: yuv420p, BT.709, limited range; lossy, like any video.

    >>> write_video(folder / "cam1.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3, rate=25)
    >>> (folder / "cam1.mp4").is_file()
    True

    Args:
        path: ``.mp4``, ``.mkv``, ``.avi`` …; its folder is made.
        pictures: All of one even size: from a shoot, or whole uint8 RGB images ``[h, w, 3]``.
        rate: Frames per second, e.g. 50 or ``Fraction(30000, 1001)``.
        qp: Quantizer of libx264, the same for all frames: lower is better.
        b_frames: How many of them follow each other; 0 = none, so decoding order is display order.
        keyframes: Largest distance between key frames, in frames.
    """
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(rate).limit_denominator(1001)  # 29.97 is more digits than a file can hold
    # The last three turn off what takes time and is of no use to drawn pictures.
    x264 = (
        f"bframes={b_frames}:b-adapt=0:keyint={keyframes}:scenecut=0:threads=1:"
        "rc-lookahead=0:aq-mode=0:no-deblock=1"
    )
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = 1  # BT.709
        stream.codec_context.color_range = 1  # limited
        stream.options = {"preset": "ultrafast", "qp": str(qp), "x264-params": x264}
        for i, frame in enumerate(_frames(pictures)):
            if i == 0:
                stream.height, stream.width = frame.height, frame.width
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _frames(pictures: Iterable[Picture | np.ndarray]) -> Iterator[av.VideoFrame]:
    """Yields the same frame object for every picture, with new content; the encoder copies it.

    Where the backdrop stays, only windows that differ from it are converted; where the picture is
    the same object as before, nothing is.
    """
    frame, target, backdrop, before = None, [], None, None
    windows: list[tuple[int, int, int, int]] = []  # x, y, w, h of what differs from the backdrop
    for picture in pictures:
        if frame is None:
            frame, target = _new_frame(*_size(picture))
        if isinstance(picture, np.ndarray):
            _paste(target, 0, 0, to_yuv420(picture))
            backdrop = None
        elif picture is not before:
            if picture.backdrop is not backdrop:
                backdrop, windows = picture.backdrop, [(0, 0, *picture.size)]
            for x, y, w, h in windows:
                clean = zip(backdrop.planes, SUBSAMPLING, strict=True)
                _paste(target, x, y, [p[y // k :, x // k :][: h // k, : w // k] for p, k in clean])
            windows = [(*corner, *patch.shape[1::-1]) for corner, patch in picture.patches]
            for (x, y), patch in picture.patches:
                _paste(target, x, y, to_yuv420(patch))
        before = picture
        yield frame


def _size(picture: Picture | np.ndarray) -> tuple[int, int]:
    return picture.shape[1::-1] if isinstance(picture, np.ndarray) else picture.size


def _new_frame(width: int, height: int) -> tuple[av.VideoFrame, list[np.ndarray]]:
    """Returns a frame, and its planes as arrays to write into."""
    import av

    frame = av.VideoFrame(width, height, "yuv420p")
    rows = [np.frombuffer(p, np.uint8).reshape(-1, p.line_size) for p in frame.planes]
    samples = zip(rows, SUBSAMPLING, strict=True)
    return frame, [r[: height // k, : width // k] for r, k in samples]


def _paste(target: list[np.ndarray], x: int, y: int, patches: Iterable[np.ndarray]) -> None:
    """Puts Y, U and V of a window, whose corner is x, y in the picture, into the planes."""
    for plane, patch, k in zip(target, patches, SUBSAMPLING, strict=True):
        h, w = patch.shape
        plane[y // k : y // k + h, x // k : x // k + w] = patch
