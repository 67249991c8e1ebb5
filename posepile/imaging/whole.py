"""Whether a video's file is whole, by what its container announces."""

from __future__ import annotations

from pathlib import Path

from posepile.errors import raise_if_shortage

# How long and how many bytes the head of a Matroska file is that tells its length
_HEAD = 4096


def segment_end(path: Path) -> int | None:
    """Returns where a Matroska file ends; None if it is another one or streamed, without length.

    >>> segment_end(folder / "none.mkv") is None
    True
    """
    try:
        with open(path, "rb") as f:
            head = f.read(_HEAD)
    except OSError as e:
        raise_if_shortage(path, e)
        return None
    at = 0
    for identifier in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        width = 9 - head[at + 4].bit_length() if at + 4 < len(head) else 9
        if head[at : at + 4] != identifier or width == 9:
            return None
        at += 4 + width
        length = int.from_bytes(head[at - width : at], "big") & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:
            return None
        at += length
    return at


def missing_end(path: Path, container, stream, times: list, n_packets: int) -> str | None:
    """Returns how far a video falls short of what it announces; None where nothing is missing.

    A last picture may be shown for as long as its file likes, so where the container counts its
    packets or bytes, these decide and not the duration.

    Args:
        path: The file.
        container: Its ``av.container.InputContainer``.
        stream: The video stream.
        times: (timestamp or None, duration or None) of each packet.
        n_packets: How many packets were read.
    """
    if 0 < stream.frames <= n_packets:
        return None
    end = segment_end(path)
    if end is not None and end <= path.stat().st_size:
        return None
    known = [t for t in times if t[0] is not None]
    declared = _declared_seconds(container, stream)
    if not known or stream.time_base is None or declared is None:
        return None
    start, last = min(t for t, _ in known), max(t for t, _ in known)
    found = float((last - start) * stream.time_base)
    if len(known) > 1:
        spacing = found / (len(known) - 1)
    else:  # of a single frame only the declared rate tells how long it is
        spacing = float(1 / stream.average_rate) if stream.average_rate else declared
    held = max((t + (d or 0) for t, d in known)) - last
    found = max(found, found + float(held * stream.time_base) - spacing)
    if declared - found > max(5 * spacing, 0.01 * declared) + abs(float(start * stream.time_base)):
        return (
            f"declares {declared:.2f} s but its data end after {found:.2f} s "
            f"({len(known)} frames): the file is cut short"
        )
    return None


def _declared_seconds(container, stream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if "DURATION" in stream.metadata:
        h, m, s = stream.metadata["DURATION"].split(":")
        return 3600 * int(h) + 60 * int(m) + float(s)
    if container.duration and len(container.streams) == 1:
        return container.duration / 1e6
    return None
