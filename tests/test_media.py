"""Whether a file is whole, as its own format shows it."""

import io
import os

import av
import numpy as np
import pytest
from web_kit import make_zip

from posepile.acquire.media import content_fault


def _npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def make_video(path, codec="mpeg4", **options):
    """Four seconds of noise; returns the file's bytes."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=options) as f:
        stream = f.add_stream(codec, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(40):
            image = rng.integers(0, 255, (64, 64, 3), np.uint8)
            f.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        f.mux(stream.encode())
    return path.read_bytes()


def _image(suffix):
    import cv2

    return cv2.imencode(suffix, np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))[1].tobytes()


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["npy", "npz", "zip", "jpg", "png"])
def test_truncation_shows_in_the_file_itself(tmp_path, suffix, keep):
    if suffix in ("jpg", "png"):
        data = _image(f".{suffix}")
    else:
        data = _npy(np.arange(500.0)) if suffix == "npy" else make_zip({"a": bytes(999)})
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    assert content_fault(path, deep=True) is None
    kept = min(int(len(data) * keep), len(data) - 4)  # a JPEG without its end mark alone is whole
    path.write_bytes(data[:kept])
    assert content_fault(path, deep=True)


VIDEOS = {
    "plain.mp4": {},
    "index_first.mp4": {"movflags": "faststart"},
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "a.mov": {},
    "a.mkv": {},
    "a.webm": {"codec": "libvpx-vp9"},
}


@pytest.mark.parametrize("name", VIDEOS)
def test_truncation_shows_in_a_video(tmp_path, name):
    path = tmp_path / name
    data = make_video(path, **VIDEOS[name])
    assert content_fault(path) is None
    # The last few bytes of an MP4 may be remarks, without which nothing is missing.
    cuts = [int(len(data) * k) for k in (0, 0.0005, 0.2, 0.5, 0.9)]
    cuts += [len(data) - 20, len(data) - 1] if name.endswith(("mkv", "webm", "first.mp4")) else []
    for cut in cuts:
        path.write_bytes(data[:cut])
        assert content_fault(path), cut


def test_cut_off_is_said_with_both_figures(tmp_path):
    data = make_video(tmp_path / "a.mkv")
    (tmp_path / "a.mkv").write_bytes(data[:-7])
    size = len(data)
    assert content_fault(tmp_path / "a.mkv") == (
        f"cut off: {size - 7} bytes, its segment ends at {size}"
    )
    data = make_video(tmp_path / "a.mp4", movflags="faststart")
    (tmp_path / "a.mp4").write_bytes(data[:-7])
    assert content_fault(tmp_path / "a.mp4").endswith(f"its index reaches to {len(data)}")


def test_damage_inside_the_index_shows(tmp_path):
    path = tmp_path / "a.mp4"
    data = bytearray(make_video(path))
    at = data.index(b"moov")
    data[at + 4 : at + 400] = os.urandom(396)
    path.write_bytes(data)
    assert content_fault(path)


def test_streamed_mkv_of_unknown_length_is_not_accused(tmp_path):
    path = tmp_path / "a.mkv"
    data = make_video(path, live="1")
    assert b"\x18\x53\x80\x67\x01" + b"\xff" * 7 in data
    assert content_fault(path) is None


def test_big_boxes_of_mp4_are_not_accused(tmp_path):
    path = tmp_path / "a.mp4"
    data = bytearray(make_video(path))
    at = data.index(b"mdat") - 4
    assert data[at - 8 : at] == b"\0\0\0\x08free"  # room for a length of 64 bits
    length = int.from_bytes(data[at : at + 4], "big") + 8
    data[at - 8 : at + 8] = b"\0\0\0\x01mdat" + length.to_bytes(8, "big")
    path.write_bytes(data)
    assert content_fault(path) is None
    path.write_bytes(data[:-2000])
    assert content_fault(path)


def test_sound_that_is_longer_than_the_picture_is_not_accused(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as f:
        video, sound = f.add_stream("mpeg4", rate=10), f.add_stream("aac", rate=16000)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for _ in range(5):
            image = np.zeros((64, 64, 3), np.uint8)
            f.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        f.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 64000), np.float32), "fltp", "mono")
        samples.sample_rate = 16000
        f.mux(sound.encode(samples))
        f.mux(sound.encode())
    assert content_fault(path) is None
