"""Videos of a miniature: H.264 as cameras write it, cheap at any size."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from posepile.miniature.shoot import Picture
from posepile.miniature.yuv import planes, to_yuv420


def write_video(
    path: Path,
    pictures: Iterable[Picture | np.ndarray],
    rate: int | Fraction,
    *,
    crf: int = 20,
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
        crf: Quality of libx264, lower is better.
        b_frames: How many of them follow each other; 0 = none, so decoding order is display order.
        keyframes: Every so many frames at most.
    """
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(rate)
    # Besides, what costs time and would change nothing here.
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
        stream.options = {"preset": "ultrafast", "crf": str(crf), "x264-params": x264}
        for i, i420 in enumerate(_yuv_frames(pictures)):
            if i == 0:
                stream.height, stream.width = i420.shape[0] * 2 // 3, i420.shape[1]
            frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _yuv_frames(pictures: Iterable[Picture | np.ndarray]):
    """Yields I420 arrays; of pictures with the same backdrop only the windows are converted."""
    canvas, backdrop = None, None
    for picture in pictures:
        if isinstance(picture, np.ndarray):
            flat = np.concatenate([plane.ravel() for plane in to_yuv420(picture)])
            yield flat.reshape(-1, picture.shape[1])
            continue
        if picture.backdrop is not backdrop:
            backdrop = picture.backdrop
            canvas = backdrop.i420.copy()
        for (x, y), patch in picture.patches:
            _paste_planes(canvas, x, y, to_yuv420(patch))
        yield canvas
        for (x, y), patch in picture.patches:
            h, w = patch.shape[:2]
            clean = [
                plane[y // k : (y + h) // k, x // k : (x + w) // k]
                for plane, k in zip(planes(backdrop.i420), (1, 2, 2), strict=True)
            ]
            _paste_planes(canvas, x, y, clean)


def _paste_planes(canvas: np.ndarray, x: int, y: int, patches) -> None:
    for target, patch, k in zip(planes(canvas), patches, (1, 2, 2), strict=True):
        h, w = patch.shape
        target[y // k : y // k + h, x // k : x // k + w] = patch
