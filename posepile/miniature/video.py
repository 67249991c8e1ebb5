"""Videos of a miniature: H.264 as cameras write it, cheap at any size."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from posepile.miniature.shoot import Picture


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
    x264 = f"bframes={b_frames}:b-adapt=0:keyint={keyframes}:scenecut=0:threads=1"
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
            yield np.concatenate([p.reshape(-1, picture.shape[1]) for p in to_yuv420(picture)])
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
                for plane, k in zip(_planes(backdrop.i420), (1, 2, 2), strict=True)
            ]
            _paste_planes(canvas, x, y, clean)


def _paste_planes(canvas: np.ndarray, x: int, y: int, planes) -> None:
    for target, patch, k in zip(_planes(canvas), planes, (1, 2, 2), strict=True):
        h, w = patch.shape
        target[y // k : y // k + h, x // k : x // k + w] = patch


def _planes(i420: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the Y, U and V planes of an I420 array ``[3 h / 2, w]``."""
    h, w = i420.shape[0] * 2 // 3, i420.shape[1]
    u, v = i420[h:].reshape(2, h // 2, w // 2)
    return i420[:h], u, v


_YUV = np.array(
    [[0.1826, 0.6142, 0.0620], [-0.1006, -0.3386, 0.4392], [0.4392, -0.3989, -0.0403]], np.float32
)


def to_yuv420(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts RGB to Y, U and V planes as cameras write them.

    BT.709, limited range. A chroma sample lies at an even column, between two rows: 1-2-1 filter
    across, mean down.

    Args:
        image: uint8 ``[h, w, 3]`` of even size.
    """
    yuv = image.astype(np.float32) @ _YUV.T + np.float32([16, 128, 128])
    chroma = (yuv[::2, :, 1:] + yuv[1::2, :, 1:]) / 2
    before = chroma[:, np.maximum(np.arange(0, image.shape[1], 2) - 1, 0)]
    chroma = (before + 2 * chroma[:, ::2] + chroma[:, 1::2]) / 4
    return tuple(p.round().astype(np.uint8) for p in (yuv[..., 0], chroma[..., 0], chroma[..., 1]))
