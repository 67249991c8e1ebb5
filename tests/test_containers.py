"""A video file is read by known demuxers and decoders, and makes nobody read another file."""

import os

import av
import numpy as np
import pytest

from posepile.acquire.media import content_fault
from posepile.errors import CorruptInput
from posepile.imaging import containers
from posepile.imaging.containers import CODECS, FORMATS
from posepile.imaging.videos import index_packets
from posepile.miniature.video import write_video

FRAMES = [np.full((64, 96, 3), 40 * i, np.uint8) for i in range(4)]


@pytest.fixture
def victim(tmp_path):
    """A video that a playlist beside it names."""
    write_video(tmp_path / "victim.mp4", FRAMES, 25)
    return tmp_path


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile victim.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nvictim.mp4\n#EXT-X-ENDLIST\n",
    "address": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_a_playlist_in_the_place_of_a_video_is_refused(victim, kind, suffix):
    path = victim / f"walk{suffix}"
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(CorruptInput) as refused:
        index_packets(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert suffix == ".m3u8" or content_fault(path)


def test_a_name_that_looks_like_an_address_is_a_name(victim, monkeypatch):
    (victim / "concat:walk.mp4").write_bytes((victim / "victim.mp4").read_bytes())
    monkeypatch.chdir(victim)
    assert index_packets("concat:walk.mp4").n_frames == len(FRAMES)


def encode(path, codec, pix_fmt):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *FRAMES[0].shape[:2], pix_fmt
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_codec_that_no_camera_writes_is_refused_by_name(tmp_path):
    path = encode(tmp_path / "walk.avi", "magicyuv", "gbrp").rename(tmp_path / "walk.mp4")
    with pytest.raises(CorruptInput, match="stream 0 is coded as magicyuv; expected one of h264"):
        index_packets(path)
    assert "magicyuv" in content_fault(path)
    with av.open(str(path), options=containers._options()) as container:
        # FFmpeg tries decoders already to tell what is in a file: this one it has not.
        assert container.streams.video[0].codec_context.pix_fmt is None


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mkv", "ffv1", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.avi", "huffyuv", "yuv422p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mov", "png", "rgb24"),
        ("a.asf", "wmv2", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
    ],
)
def test_what_cameras_and_laboratories_write_is_read(tmp_path, name, codec, pix_fmt):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    path = encode(tmp_path / name, codec, pix_fmt)
    assert index_packets(path).n_frames == len(FRAMES)
    assert content_fault(path) is None


def test_every_listed_name_is_one_that_ffmpeg_knows():
    known = {part for name in av.formats_available for part in name.split(",")}
    assert set(FORMATS) <= known
    assert {av.codec.Codec(c).canonical_name for c in CODECS if c in av.codecs_available} >= {
        *("h264", "hevc", "vp9", "mpeg4", "mjpeg", "prores", "ffv1", "rawvideo")
    }
    assert os.path.sep not in "".join(FORMATS)
