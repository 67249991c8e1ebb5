"""Whether a file is whole, as its own format shows it."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from posepile.acquire.zips import open_zip
from posepile.errors import CorruptInput, raise_if_shortage
from posepile.formats.numpy_files import npy_size
from posepile.formats.tfrecords import iter_examples
from posepile.imaging import jpeg
from posepile.imaging.containers import open_container
from posepile.imaging.whole import segment_end

# How far from its end a video is read, and how much its announced duration may exceed its packets
# (besides one and a half frames): players round it, and recorders are not exact.
_LAST_SECONDS = 2
_TOLERATED_SECONDS = 0.2


def content_fault(path: Path, *, deep: bool = False) -> str | None:
    """Returns why a file must be cut off or damaged, None if nothing shows.

    The head and the end of videos, archives and arrays are read, of record files the lengths; the
    end of images and the checksums of records only if ``deep``.
    """
    check = (_CHECKS | _DEEP_CHECKS if deep else _CHECKS).get(path.suffix.lower())
    if check is None:
        return None
    try:
        size = path.stat().st_size
        if size == 0:
            return "empty"
        return check(path, size)
    except (OSError, struct.error) as e:
        raise_if_shortage(path, e)
        return f"not readable ({e})"


def _zip_fault(path: Path, size: int) -> str | None:
    try:
        with open_zip(path):
            return None
    except zipfile.BadZipFile:
        return "cut off: no directory at its end"
    except CorruptInput as e:
        return e.reason
    except NotImplementedError:
        return None  # of a later version of the format, so it cannot be judged


def _npy_fault(path: Path, size: int) -> str | None:
    try:
        needed = npy_size(path)
    except CorruptInput as e:
        return e.reason
    return None if size >= needed else f"cut off: {size} bytes, its header announces {needed}"


def _video_fault(path: Path, size: int) -> str | None:
    """Reads the last packets without decoding and holds them to the announced duration."""
    import av

    try:
        with open_container(path) as container:
            streams = [s for s in container.streams if s.type in ("video", "audio")]
            if not any(s.type == "video" for s in streams):
                return "damaged: no video stream in it"
            # Some containers list every packet, also those that a cut has taken away.
            for entries in (s.index_entries for s in streams):
                if len(entries) and (end := entries[-1].pos + entries[-1].size) > size:
                    return f"cut off: {size} bytes, its index reaches to {end}"
            return _end_fault(container, streams, av.time_base)
    except CorruptInput as e:
        return e.reason
    except av.error.FFmpegError as e:
        raise_if_shortage(path, e)
        return f"cut off or damaged: {' '.join(str(e.strerror).split()).lower()}"


def _end_fault(container, streams: list, time_base: int) -> str | None:
    duration = container.duration
    if duration is None:  # streamed: nothing is announced, so nothing can be missing
        return None
    if duration > _LAST_SECONDS * time_base:
        container.seek((container.start_time or 0) + duration - _LAST_SECONDS * time_base)
    end, last = None, None
    for packet in container.demux(streams):
        if packet.size and packet.pts is not None:
            last = packet
            stop = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end = stop if end is None else max(end, stop)
    if last is None:
        return "cut off: no packet in it"
    if last.is_corrupt:
        return "cut off: its last packet is incomplete"
    rates = [float(s.average_rate) for s in streams if s.type == "video" and s.average_rate]
    tolerated = _TOLERATED_SECONDS + max((1.5 / r for r in rates if r), default=0)
    seconds = duration / time_base
    found = end - (container.start_time or 0) / time_base
    if found < seconds - tolerated:
        return f"cut off: its packets end at {found:.2f} s of {seconds:.2f} s"
    return None


def _matroska_fault(path: Path, size: int) -> str | None:
    """Compares the length of the segment as well.

    Matroska lists key frames only, so FFmpeg does not notice a cut through the last frames.
    """
    end = segment_end(path)
    if end is not None and end > size:
        return f"cut off: {size} bytes, its segment ends at {end}"
    return _video_fault(path, size)


def _tfrecord_fault(path: Path, size: int) -> str | None:
    """Goes from record to record by their lengths."""
    end = 0
    with open(path, "rb") as f:
        while end < size:
            f.seek(end)
            (length,) = struct.unpack("<Q", f.read(8).ljust(8, b"\0"))
            end += length + 16
    return None if end == size else f"cut off: {size} bytes, a record ends at {end}"


def _tfrecord_content_fault(path: Path, size: int) -> str | None:
    try:
        for _ in iter_examples(path):
            pass
    except CorruptInput as e:
        return e.reason
    return None


def _jpeg_fault(path: Path, size: int) -> str | None:
    begin, end = _both_ends(path, size)
    if begin[:2] != b"\xff\xd8":
        return "not a JPEG file"
    if b"\xff\xd9" in end:
        return None
    try:
        jpeg.decode(path.read_bytes(), jpeg.MAX_LEVEL, name=path)
    except CorruptInput as e:
        return f"cut off: no end mark ({e.reason})"
    return None  # every pixel is there


def _png_fault(path: Path, size: int) -> str | None:
    begin, end = _both_ends(path, size)
    if begin != b"\x89PNG\r\n\x1a\n":
        return "not a PNG file"
    return None if b"IEND\xae\x42\x60\x82" in end else "cut off: no end mark"


def _both_ends(path: Path, size: int) -> tuple[bytes, bytes]:
    with open(path, "rb") as f:
        begin = f.read(8)
        f.seek(max(size - 1024, 0))
        return begin, f.read()


_CHECKS = {
    ".zip": _zip_fault,
    ".npz": _zip_fault,
    ".npy": _npy_fault,
    ".mp4": _video_fault,
    ".m4v": _video_fault,
    ".mov": _video_fault,
    ".mkv": _matroska_fault,
    ".webm": _matroska_fault,
    ".tfrecord": _tfrecord_fault,
}
_DEEP_CHECKS = {
    ".jpg": _jpeg_fault,
    ".jpeg": _jpeg_fault,
    ".png": _png_fault,
    ".tfrecord": _tfrecord_content_fault,
}
