"""Opening video files with those demuxers and decoders that recordings of people come in.

FFmpeg tells a format by what a file holds, not by its name, and knows some three hundred. Some
of them (HLS, DASH, concat) are lists of other files and addresses, which it would read or fetch in
turn; rarely used decoders are where its vulnerabilities are found. A raw video file is opened as
one of the containers below, reads no other file, and is decoded by one of the codecs below.
"""

from __future__ import annotations

import functools
import os

from posepile.errors import CorruptInput

FORMATS = tuple(
    "mov mp4 m4a 3gp 3g2 mj2 matroska webm avi asf mpegts mpeg mpegvideo mxf flv ogg ivf dv h264 "
    "hevc m4v mjpeg obu nut yuv4mpegpipe gif".split()
)
# By the name of the codec, not of the decoder: AV1 has several.
CODECS = tuple(
    "h264 hevc av1 vp8 vp9 vvc mpeg1video mpeg2video mpeg4 h263 msmpeg4v2 msmpeg4v3 wmv1 wmv2 "
    "wmv3 vc1 flv1 theora mjpeg png prores dnxhd dvvideo cfhd jpeg2000 ffv1 huffyuv ffvhuff "
    "utvideo rawvideo v210 gif".split()
)
AGAIN = "fetch it again; do not open it with a player: it may be a list of addresses"
CONVERT = "if you trust who made it, convert it to H.264 in an .mp4 file"


@functools.cache
def _options() -> dict[str, str]:
    """What FFmpeg is told when it opens a file, and looks into its streams on that occasion."""
    import av

    decoders = [n for n in sorted(av.codecs_available) if _codec_decoded_by(n) in CODECS]
    return {
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(decoders),
        "protocol_whitelist": "file",
    }


def _codec_decoded_by(name: str) -> str | None:
    import av

    try:
        return av.Codec(name, "r").canonical_name
    except av.codec.codec.UnknownCodecError:  # it only encodes
        return None


def open_container(path: str | os.PathLike):
    """Opens a video file; the caller closes it.

    Raises:
        CorruptInput: Its container or the codec of a video stream is none of the above.
        av.FFmpegError: It is not a readable video.
    """
    import av

    try:
        # FFmpeg would take a relative name with a colon in it for an address.
        container = av.open(os.path.abspath(path), options=_options(), metadata_errors="replace")
    except av.error.ArgumentError:
        found = "is no video, or its container is none of those that are opened"
        raise CorruptInput(path, f"{found} ({', '.join(FORMATS)})", hint=AGAIN) from None
    for stream in container.streams.video:
        name = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        if name not in CODECS:
            found = f"stream {stream.index} is coded as {name}"
            container.close()
            expected = f"expected one of {', '.join(CODECS)}"
            raise CorruptInput(path, f"{found}; {expected}", hint=CONVERT)
    return container
