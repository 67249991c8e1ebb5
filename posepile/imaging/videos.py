"""Decoding chosen frames of a video, as little of it as can be.

Frame ``i`` of a video is the ``i``-th frame in presentation order, also with B-frames, variable
frame rate, an edit list or a start other than zero. A first pass over the packets (no decoding)
gives the table of timestamps and key frames. Reading then feeds the decoder the packets it
needs: stretches up to the next useful key frame are skipped, and frames that nobody wants and
nobody refers to are dropped inside the decoder.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput

FETCH = "fetch the file again, or list it in exclusions.yaml"


class PacketIndex:
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
        raise CorruptInput(path, "the file does not exist", hint=FETCH) from e
    except (av.FFmpegError, OSError) as e:
        raise CorruptInput(path, f"not a readable video: {e.strerror}", hint=FETCH) from e
    if not container.streams.video:
        container.close()
        raise CorruptInput(path, "holds no video stream", hint=FETCH)
    return container


def frame_rate(path: Path) -> float | None:
    """Returns frames per second as the container says, None if it does not.

    Raises:
        CorruptInput: Not a readable video.
    """
    with _open_video(path) as container:
        rate = container.streams.video[0].average_rate
    return float(rate) if rate else None


def index_packets(path: Path) -> PacketIndex:
    """Reads a video's packets without decoding them.

    Raises:
        CorruptInput: Not a readable video, damaged or cut short.
    """
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
                        path, "the data are damaged here", frame=len(pts), hint=FETCH
                    )
                pts.append(packet.pts)
                keys.append(packet.is_keyframe)
                shown.append(not packet.is_discard)
        except av.FFmpegError as e:
            raise CorruptInput(
                path, f"cannot be read on: {e.strerror}", frame=len(pts), hint=FETCH
            ) from e
        _check_complete(path, container, stream, pts)
    if True not in keys:
        raise CorruptInput(path, "holds no key frame, so no decodable frame", hint=FETCH)
    return table(size, pts, keys, shown)


def table(size, pts: list, keys: list[bool], shown: list[bool]) -> PacketIndex:
    """Works the packet list out into frame numbers; pure, so that odd orders can be tested."""
    first = keys.index(True)
    decodable = [k for k in range(first, len(pts)) if shown[k]]
    known = [pts[k] for k in decodable]
    if None in known or len(set(known)) < len(known):
        of_packet = np.full(len(pts), -1)
        return PacketIndex(size, len(decodable), None, of_packet, np.zeros(len(decodable), int))
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
    return PacketIndex(size, len(order), frame_of, of_packet, key_before)


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
    if len(known) > 1:
        spacing = found / (len(known) - 1)
    else:  # of a single frame only the declared rate tells how long it is
        spacing = float(1 / stream.average_rate) if stream.average_rate else declared
    if declared - found > max(5 * spacing, 0.01 * declared) + abs(float(start * stream.time_base)):
        raise CorruptInput(
            path,
            f"declares {declared:.2f} s but its data end after {found:.2f} s "
            f"({len(known)} frames): the file is cut short",
            hint=FETCH,
        )


def decode(path: Path, index: PacketIndex, wanted: list[int], threads: int):
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
                path, f"cannot be decoded: {e.strerror}", frame=wanted[n_done], hint=FETCH
            ) from e
    raise CorruptInput(path, "cannot be decoded", frame=wanted[n_done], hint=FETCH)
