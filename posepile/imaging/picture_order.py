"""In which order a decoder puts out the packets of a video, from what the pictures say themselves.

Timestamps of the container may be wrong (written in decoding order although there are B-frames)
and its marks of key frames may promise too much (a refresh that takes several pictures). What
codecs write into each picture cannot be, or nothing could play the file. Nothing is decoded here.
"""

from __future__ import annotations

from posepile.imaging.slices import SliceReader

# Containers in which a packet is one whole picture. Elsewhere (transport streams, raw streams) a
# packet may be one of two fields, which nothing shows before decoding.
WHOLE_PICTURES = ("mov", "matroska", "avi", "flv", "ivf")
# Codecs whose pictures have a type: start code, and byte, shift and mask of the type
_TYPED = {
    "mpeg1video": (b"\0\0\1\0", 5, 3, 7),
    "mpeg2video": (b"\0\0\1\0", 5, 3, 7),
    "mpeg4": (b"\0\0\1\xb6", 4, 6, 3),
}
# Codecs that put out every packet as it comes, unless it holds a hidden picture only
_IN_ORDER = ("vp8", "vp9", "av1")
# A shorter MPEG-4 picture is "not coded": there to mark time, and not always put out
_NOT_CODED = 16


class PictureOrder:
    """Watches the packets of a stream pass by.

    Attributes:
        droppable: Whether pictures that say they are not referred to can be left out.
    """

    def __init__(self, container, stream):
        context = stream.codec_context
        self._codec = context.codec.canonical_name
        self._known = container.format.name.split(",")[0] in WHOLE_PICTURES
        self._ranks, self._safe, self._new_sets, self._held = [], [], [], None
        self._slices = None
        self.droppable = self._codec in _TYPED
        if self._codec in ("h264", "hevc"):
            self._slices = SliceReader(self._codec == "hevc", bytes(context.extradata or b""))
            self.droppable = True
        elif self._codec not in (*_TYPED, *_IN_ORDER):
            self._known &= context.codec.intra_only

    def add(self, packet) -> None:
        """Takes in the next packet in file order."""
        n, key = len(self._safe), packet.is_keyframe
        # Another header from here on: whoever starts later has not seen it
        self._known &= n == 0 or not packet.has_sidedata("new_extradata")
        if self._slices is not None:
            picture = self._slices.read(memoryview(packet))
            self._known &= picture.order is not None and not (picture.splice and n > 0)
            # Pictures of a higher layer may refer to those that their own layer does not
            self.droppable &= not picture.layered
            self._ranks.append(picture.order)
            self._safe.append(key and picture.clean)
            self._new_sets.append(picture.new_sets)
            return
        self._safe.append(key)
        if self._codec in _TYPED:
            self._rank_by_type(bytes(packet), n)
        else:
            self._known &= self._codec not in _IN_ORDER or _is_shown(self._codec, packet)
            self._ranks.append(n)

    def ranks(self) -> list | None:
        """Returns what grows in output order for each packet; None if it cannot be told."""
        if self._held is not None:
            self._ranks[self._held] = 2 * len(self._ranks)
        return self._ranks if self._known and len(set(self._ranks)) == len(self._safe) else None

    def safe(self) -> list[bool]:
        """Returns at which packets decoding may start so that all later pictures are exact."""
        if not any(self._new_sets):
            return self._safe
        # A start that lacks the parameters others carry along gets whichever came before
        return [s and new for s, new in zip(self._safe, self._new_sets, strict=True)]

    def _rank_by_type(self, data: bytes, n: int) -> None:
        code, place, shift, mask = _TYPED[self._codec]
        at = data.find(code)
        self._ranks.append(2 * n)
        if data.count(code) != 1 or at + place >= len(data) or len(data) < _NOT_CODED:
            self._known = False
            return
        kind = data[at + place] >> shift & mask
        # A reference is put out when the next one comes, after the B pictures between them
        if kind != (2 if self._codec == "mpeg4" else 3):
            if self._held is not None:
                self._ranks[self._held] = 2 * n - 1
            self._held = n


def _is_shown(codec: str, packet) -> bool:
    """Whether a VP8 or VP9 packet shows a picture; AV1 packets do by definition."""
    data = memoryview(packet)
    if codec == "vp8":
        return bool(data[0] >> 4 & 1)
    if codec == "vp9" and data[-1] >> 5 != 0b110:  # otherwise several pictures, the last shown
        bits = data[0] << 1 if data[0] >> 4 & 3 == 3 else data[0]
        return bool(bits >> 3 & 1 or bits >> 1 & 1)
    return True


def same_order(ranks: list, pts: list[int], positions: list[int]) -> bool:
    """Whether timestamps have the packets at some positions in the order of their ranks."""
    by_rank = sorted(positions, key=ranks.__getitem__)
    return by_rank == sorted(positions, key=pts.__getitem__)
