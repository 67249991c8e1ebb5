"""Decoding chosen frames of a video, as little of it as can be.

Frame ``i`` of a video is the ``i``-th picture that a plain decode of the whole file puts out, also
with B-frames, variable frame rate, an edit list or a start other than zero. A first pass over the
packets (no decoding) gives the table of timestamps and key frames, and compares it with the order
that the pictures themselves tell. Where both agree, reading feeds the decoder the packets it
needs: stretches up to the next useful key frame are skipped, and frames that nobody wants and
nobody refers to are dropped inside the decoder. Everywhere else, and where something unexpected
comes out on the way, the file is decoded from its beginning and its pictures are counted.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.imaging.containers import open_container
from posepile.imaging.declared import check_size, max_pixels
from posepile.imaging.picture_order import PictureOrder, same_order
from posepile.imaging.whole import missing_end

FETCH = "fetch the file again, or list it in exclusions.yaml"


class PacketIndex:
    """What a pass over the packets of a video tells.

    Attributes:
        size: Width and height that the file declares.
        n_frames: Frames that a decoder will put out.
        frame_of: Timestamp to frame index; None where timestamps do not tell it, then frames are
            counted from the beginning.
        of_packet: Frame index of each packet in file order, -1 for those without a frame.
        key_before: For each frame, position in file order of the key packet from which decoding
            must start.
        droppable: Whether the decoder may drop frames that nothing refers to.
        stream: Which of the file's streams it is.
        rate: Frames per second as the file says, None if it does not.
    """

    def __init__(self, size, n_frames, frame_of=None, of_packet=None, key_before=None):
        self.size, self.n_frames = size, n_frames
        self.frame_of, self.of_packet, self.key_before = frame_of, of_packet, key_before
        self.droppable, self.stream, self.rate = False, 0, None
        self.sparse = frame_of is not None


class _Unexpected(Exception):
    """A sparse read did not give what the index promised."""


def _open_video(path: Path):
    import av

    # Leave av.logging alone: with its Python callback installed, a decoder thread that logs waits
    # for the interpreter lock while the interpreter waits for that thread.
    try:
        container = open_container(path)
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
    return index_packets(path).rate


def index_packets(path: Path) -> PacketIndex:
    """Returns where the frames of a video are; decodes only if its packets do not tell.

    Raises:
        CorruptInput: Not a readable video, damaged or cut short.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError:
        stat = None
    return _index(path, stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@functools.lru_cache(maxsize=8)  # one video is opened by several stages, and masks in pieces
def _index(path: Path, _identity: tuple | None) -> PacketIndex:
    with _open_video(path) as container:
        streams = _real_streams(container)
        passed = _read_packets(path, container, streams)
        # Of several, a thumbnail or a preview is the shorter or smaller one
        stream = max(
            streams,
            key=lambda s: (len(passed[s.index].pts) > 1, _area(s), -s.index),
        )
        seen = passed[stream.index]
        times = list(zip(seen.pts, seen.durations, strict=True))
        fault = missing_end(path, container, stream, times, len(times))
        if fault:
            raise CorruptInput(path, fault, hint=FETCH)
        size = (stream.codec_context.width, stream.codec_context.height)
        check_size(size, path)
        rate = float(stream.average_rate) if stream.average_rate else None
        number = stream.index
    if True not in seen.keys:
        raise CorruptInput(path, "holds no key frame, so no decodable frame", hint=FETCH)
    index = table(size, seen.pts, seen.keys, seen.shown, seen.order.ranks(), seen.order.safe())
    index.stream, index.rate, index.droppable = number, rate, seen.order.droppable
    if index.frame_of is None:
        index.n_frames = sum(1 for _ in _decode_all(path, index, threads=1))
    return index


class _Packets:
    """What is kept of the packets of one stream, in file order."""

    def __init__(self, container, stream):
        self.pts, self.durations, self.keys, self.shown = [], [], [], []
        self.order = PictureOrder(container, stream)


def _real_streams(container) -> list:
    """Returns the video streams that are no attached pictures, or all if there are no others."""
    from av.stream import Disposition

    attached = Disposition.attached_pic
    real = [s for s in container.streams.video if not Disposition(s.disposition) & attached]
    return real or list(container.streams.video)


def _area(stream) -> int:
    return stream.codec_context.width * stream.codec_context.height


def _read_packets(path: Path, container, streams: list) -> dict[int, _Packets]:
    """Passes over the packets of some streams; returns what was seen, by stream."""
    import av

    passed = {s.index: _Packets(container, s) for s in streams}
    n = 0
    try:
        for packet in container.demux(streams):
            if packet.size == 0:
                continue
            seen = passed[packet.stream_index]
            n = len(seen.pts)
            if packet.is_corrupt:
                raise CorruptInput(path, "the data are damaged here", frame=n, hint=FETCH)
            seen.pts.append(packet.pts)
            seen.durations.append(packet.duration)
            seen.keys.append(packet.is_keyframe)
            seen.shown.append(not packet.is_discard)
            seen.order.add(packet)
    except av.FFmpegError as e:
        raise CorruptInput(path, f"cannot be read on: {e.strerror}", frame=n, hint=FETCH) from e
    return passed


def table(
    size,
    pts: list,
    keys: list[bool],
    shown: list[bool],
    ranks: list[int] | None,
    safe: list[bool],
) -> PacketIndex:
    """Works the packet list out into frame numbers; pure, so that odd orders can be tested.

    Args:
        size: Width and height.
        pts: Timestamps in file order, None = missing.
        keys: Which packets the container calls key frames.
        shown: Which packets no edit list hides.
        ranks: Numbers that grow in the order in which a decoder puts the packets out, None if
            nothing tells it.
        safe: At which packets decoding may start.
    """
    first = keys.index(True)
    decodable = [k for k in range(first, len(pts)) if shown[k]]
    known = [pts[k] for k in decodable]
    if (
        ranks is None
        or first > 0
        or not decodable
        or None in known
        or len(set(known)) < len(known)
        # Pictures that come after the first key frame in the file but before it in time refer to
        # something that is not there: whether they are put out depends on the decoder
        or pts[first] is None
        or min(known) < pts[first]
        or not same_order(ranks, pts, decodable)
    ):
        return PacketIndex(size, len(decodable))
    order = sorted(decodable, key=lambda k: pts[k])
    frame_of = {pts[k]: i for i, k in enumerate(order)}
    of_packet = np.full(len(pts), -1)
    of_packet[order] = np.arange(len(order))
    key_positions = [
        k for k in range(len(pts)) if k == first or (keys[k] and safe[k] and pts[k] is not None)
    ]
    key_before = np.zeros(len(order), np.int64)
    current = 0
    for i, k in enumerate(order):
        while current + 1 < len(key_positions) and pts[key_positions[current + 1]] <= pts[k]:
            current += 1
        key_before[i] = key_positions[current]
    return PacketIndex(size, len(order), frame_of, of_packet, key_before)


def decode(path: Path, index: PacketIndex, wanted: list[int], threads: int):
    """Yields (frame index, av.VideoFrame) for the wanted frames, decoding as little as can be.

    Raises:
        CorruptInput: At the first wanted frame that does not come out whole, or of another size
            than the file declares.
    """
    n_done = 0
    if index.sparse:
        try:
            for i, frame in _decode_sparsely(path, index, wanted, threads):
                _check_picture(path, index, i, frame)
                n_done += 1
                yield i, frame
        except _Unexpected:
            index.sparse = False
    if n_done < len(wanted):
        for i, frame in _decode_counting(path, index, wanted[n_done:], wanted[:n_done], threads):
            _check_picture(path, index, i, frame)
            yield i, frame


def _check_picture(path: Path, index: PacketIndex, i: int, frame) -> None:
    if (frame.width, frame.height) != tuple(index.size):
        raise CorruptInput(
            path,
            "this picture is {}x{} pixels; expected {}x{} as the file declares".format(
                frame.width, frame.height, *index.size
            ),
            frame=i,
            hint="the size changes within the video: list it in exclusions.yaml from this frame "
            "on, or give its parts as separate files",
        )


def _decode_sparsely(path: Path, index: PacketIndex, wanted: list[int], threads: int):
    """Yields wanted frames, skipping what the index says is not needed for them.

    Raises:
        _Unexpected: Something else came out than the index promises.
    """
    import av

    if not wanted:
        return
    needed = np.zeros(index.n_frames + 1, bool)
    needed[wanted] = True
    n_done, position, fed_until, last, due = 0, -1, -1, -1, None
    with _open_video(path) as container:
        stream, context = _prepare(container, index, threads)
        packets = (p for p in container.demux(stream) if p.size)
        ended, skipping = False, False
        try:
            while not ended:
                packet = next(packets, None)
                position += 1
                ended = packet is None
                if not ended:
                    # Nothing before this key frame can matter any more
                    start = index.key_before[wanted[n_done]]
                    if position < start and (
                        fed_until < 0 or skipping or start - position > max(threads, 1)
                    ):
                        skipping = True
                        continue
                    if skipping and fed_until >= 0:
                        context.flush_buffers()
                    if skipping or fed_until < 0:
                        # The picture at which decoding starts comes out, or it is no start
                        last, due = -1, index.of_packet[position]
                        due = None if due < 0 else due
                    skipping = False
                    if index.droppable:
                        unwanted = not needed[index.of_packet[position]]
                        context.skip_frame = "NONREF" if unwanted else "DEFAULT"
                fed_until = position
                for frame in context.decode(packet):
                    i = index.frame_of.get(frame.pts, -1)
                    if i <= last:
                        raise _Unexpected
                    last = i
                    if due is not None and i >= due:
                        if i > due:
                            raise _Unexpected
                        due = None
                    if i > wanted[n_done] or (i == wanted[n_done] and frame.is_corrupt):
                        raise _Unexpected
                    if i == wanted[n_done]:
                        n_done += 1
                        yield i, frame
                        if n_done == len(wanted):
                            return
        except av.FFmpegError as e:
            raise _Unexpected from e
    raise _Unexpected


def _prepare(container, index: PacketIndex, threads: int):
    stream = container.streams[index.stream]
    context = stream.codec_context
    context.thread_type = "AUTO"
    context.thread_count = threads
    context.options = {**context.options, "max_pixels": str(max_pixels())}  # it may grow
    return stream, context


def _decode_all(path: Path, index: PacketIndex, threads: int):
    """Yields every picture that a plain decode puts out."""
    import av

    n = 0
    with _open_video(path) as container:
        stream, context = _prepare(container, index, threads)
        packets = (p for p in container.demux(stream) if p.size)
        try:
            for packet in itertools.chain(packets, [None]):
                for frame in context.decode(packet):
                    yield frame
                    n += 1
        except av.FFmpegError as e:
            raise CorruptInput(
                path, f"cannot be decoded: {e.strerror}", frame=n, hint=FETCH
            ) from e


def _decode_counting(
    path: Path, index: PacketIndex, wanted: list[int], given: list[int], threads: int
):
    """Yields wanted frames out of a plain decode of the file.

    Args:
        path: The video.
        index: Its index.
        wanted: Frame indices, increasing.
        given: Those handed out before, by timestamp; that they were the right ones is checked.
        threads: Decoder threads.
    """
    n_done, given = 0, set(given)
    for i, frame in enumerate(_decode_all(path, index, threads)):
        if i in given and index.frame_of.get(frame.pts) != i:
            raise CorruptInput(
                path,
                f"its timestamps are not in the order of its pictures: the picture of "
                f"{_seconds(frame)} is number {i} to be put out, and number "
                f"{index.frame_of.get(frame.pts)} by time",
                frame=i,
                hint="write the file anew with right timestamps, or list it in exclusions.yaml",
            )
        if i == wanted[n_done]:
            if frame.is_corrupt:
                break
            n_done += 1
            yield i, frame
            if n_done == len(wanted):
                return
    raise CorruptInput(path, "cannot be decoded", frame=wanted[n_done], hint=FETCH)


def _seconds(frame) -> str:
    return "no timestamp" if frame.pts is None else f"{float(frame.pts * frame.time_base):.4f} s"
