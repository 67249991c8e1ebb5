"""Pictures, videos and masks: decoded whole, as a unit does it, and judged by doctor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from fuzzing import heads
from fuzzing import mutators_pictures as pictures_kit
from fuzzing.mutators_text import JSON
from fuzzing.target import Target
from posepile.acquire.media import content_fault
from posepile.errors import PosePileError
from posepile.imaging import frames, jpeg, masks
from posepile.recipe import Stills, Video
from posepile.shapes.coco_masks import decode_mask
from posepile.store.images import decode_image

SIZE = (72, 56)


def drawing(i: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Returns a picture with some structure: uint8 ``[h, w, 3]``."""
    y, x = np.mgrid[: size[1], : size[0]]
    planes = (x * 3 + i * 5, y * 4, (x // 8 + y // 8) % 2 * 200)
    return np.stack(planes, axis=-1).astype(np.uint8)


def judge(file: Path) -> None:
    """Looks at a file as doctor does.

    Raises:
        RuntimeError: What it says has several lines.
    """
    said = content_fault(file, deep=True)
    if said is not None and "\n" in said:
        raise RuntimeError(f"many lines: {said!r}")


def read_still(file: Path, out: Path) -> float:
    """Reads a picture in each way that recipes have."""
    judge(file)
    total, refusal = 0.0, None

    def attempt(read):
        nonlocal refusal
        try:
            return float(np.asarray(read()).sum())
        except PosePileError as e:
            refusal = e
            return 0.0

    data = file.read_bytes()
    with frames.open_frames(Stills((file,))) as source:
        for read in (
            lambda: [f.rgb() for _, f in source.read([0])],
            lambda: [f.rgb(16) for _, f in source.read([0])],
            lambda: source.size(0),
            lambda: masks.read_label_image(file),
            lambda: masks.read_mask(file),
            lambda: decode_image(data),
        ):
            total += attempt(read)
    if jpeg.is_jpeg(data):
        for level in range(4):
            total += attempt(lambda level=level: jpeg.decode(data, level, colors="RGBX"))
        jpeg.orient(np.zeros((2, 3, 3)), jpeg.read_orientation(data))
    if refusal is not None:
        raise refusal
    return total


def _jpegs(folder: Path) -> Sequence[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    picture = drawing()
    for name, content in {
        "plain": jpeg.encode(picture),
        "grey": jpeg.encode(picture[..., 0]),
        "progressive": _cv2(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "restart": _cv2(".jpg", picture, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "exif": b"\xff\xd8\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06"
        + b"\0" * 7
        + jpeg.encode(picture)[2:],
        "cmyk": simplejpeg.encode_jpeg(np.dstack([picture, picture[..., 0]]), 90, "CMYK"),
    }.items():
        (folder / f"{name}.jpg").write_bytes(content)
    return sorted(folder.iterdir())


def _stills(folder: Path) -> Sequence[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    picture = drawing()
    for name, content in {
        "colour.png": _cv2(".png", picture),
        "grey.png": _cv2(".png", picture[..., 0]),
        "alpha.png": _cv2(".png", np.dstack([picture, picture[..., 0]])),
        "deep.png": _cv2(".png", picture.astype(np.uint16) * 257),
        "palette.png": pictures_kit.palette_png(picture[..., 0]),
        "bits.png": _cv2(".png", picture[..., 0], cv2.IMWRITE_PNG_BILEVEL, 1),
    }.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def _others(folder: Path) -> Sequence[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".bmp", ".webp", ".tiff"):
        (folder / f"x{suffix}").write_bytes(_cv2(suffix, drawing()))
    return sorted(folder.iterdir())


def _cv2(suffix: str, picture: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, picture, list(options))[1].tobytes()


# ---------------------------------------------------------------- videos


def read_video(file: Path, out: Path) -> float:
    """Decodes all frames of a video, then some of them."""
    judge(file)
    total = 0.0
    with frames.open_frames(Video(file)) as source:
        for wanted in (range(source.n_frames), range(1, source.n_frames, 3)):
            for _, frame in source.read(wanted):
                total += float(frame.rgb().sum())
    return total


def _videos(folder: Path) -> Sequence[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, codec, options in (
        ("h264.mp4", "libx264", {"g": "4", "bf": "2"}),
        ("h264.mkv", "libx264", {"g": "5", "bf": "0"}),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none:keyint=4"}),
        ("mpeg4.avi", "mpeg4", {}),
        ("mjpeg.avi", "mjpeg", {}),
    ):
        _write_video(folder / name, codec, options)
    # most changes to the format that nearly all datasets have
    shutil.copy(folder / "h264.mp4", folder / "again.mp4")
    return sorted(folder.iterdir())


def _write_video(file: Path, codec: str, options: dict[str, str]) -> None:
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(drawing(i), "rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


# ---------------------------------------------------------------- sequences and masks


def read_folder(folder: Path, out: Path) -> float:
    """Reads a folder of pictures as one sequence and their masks."""
    pictures = tuple(sorted(folder.glob("*.jpg")))
    total = 0.0
    with frames.open_frames(Stills(pictures, sizes=((72, 56),) * len(pictures))) as source:
        for _, frame in source.read(range(source.n_frames)):
            total += float(frame.rgb().sum())
    person = masks.person_rule("value > 127")
    found = masks.MaskedStills(
        dict(enumerate(pictures)), dict(enumerate(sorted(folder.glob("*.png")))), person
    )
    for k in range(len(pictures)):
        found.why_not(k)
        total += len(masks.rlemasklib.decode(found.mask(k)))
    seen = masks.MaskFrames(Stills(tuple(sorted(folder.glob("*.png")))), person)
    return total + len(seen(0))


def _folders(folder: Path) -> Sequence[Path]:
    inside = folder / "sequence"
    inside.mkdir(parents=True)
    for k in range(3):
        (inside / f"{k}.jpg").write_bytes(jpeg.encode(drawing(k)))
        (inside / f"{k}.png").write_bytes(_cv2(".png", drawing(k)[..., 2]))
    return [inside]


def read_masks(file: Path, out: Path) -> int:
    """Decodes the masks of a JSON file as shapes do it."""
    from posepile.formats.text_files import read_json

    area = 0
    for segmentation in read_json(file, [None]):
        try:
            mask = decode_mask(segmentation, 64, 48)
        except ValueError as e:
            if "\n" in str(e):
                raise RuntimeError(f"many lines: {e!r}") from None
            continue
        if mask is not None:
            area += int(masks.rlemasklib.decode(mask).sum())
    return area


def _masks(folder: Path) -> Sequence[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    segmentations = [
        [[0, 0, 10, 0, 10.5, 10, 0, 10]],
        [[1, 1, 30, 2, 5, 40], [3.25, 3, 9, 9, 1, 9]],
        {"size": [48, 64], "counts": [100, 20, 28, 20, 2904]},
        {"size": [48, 64], "counts": "T35h1"},
        {"size": [48, 64], "counts": "0`0`2"},
    ]
    (folder / "masks.json").write_text(json.dumps(segmentations))
    return [folder / "masks.json"]


TARGETS = [
    Target("jpeg", _jpegs, read_still, pictures_kit.JPEG, isolated=True),
    Target("png", _stills, read_still, pictures_kit.PNG, True, heads.is_png),
    Target("pictures", _others, read_still, pictures_kit.BYTES, True, heads.is_picture),
    Target("video", _videos, read_video, pictures_kit.VIDEO, isolated=True),
    Target(
        "sequence",
        _folders,
        read_folder,
        (*pictures_kit.JPEG[:-5], *pictures_kit.PNG),
        isolated=True,
    ),
    Target("masks", _masks, read_masks, JSON, isolated=True),
]
