"""Frame i is the i-th picture of a plain decode, whatever timestamps and key marks say.

In ``cases`` every picture carries its number in eight stripes across its upper half.
"""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from posepile.acquire.media import content_fault
from posepile.errors import CorruptInput
from posepile.imaging import videos
from posepile.imaging.frames import open_frames
from posepile.imaging.picture_order import PictureOrder
from posepile.recipe import Video

CASES = Path(__file__).parent / "cases"
WIDTH, HEIGHT, N = 128, 64, 48


def numbered(i, width=WIDTH, height=HEIGHT):
    image = np.full((height, width, 3), 60, np.uint8)
    image[height // 2 :] = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    x = 5 * i % (width - 16)
    image[height // 2 + 8 : -8, x : x + 16] = (200, 40, 60)
    for bit in range(8):
        if i >> bit & 1:
            image[: height // 2, width * bit // 8 : width * (bit + 1) // 8] = 220
    return image


def number_of(image):
    grey = image[: len(image) // 2].mean(axis=-1)
    stripes = [part[2:-2, 2:-2].mean() > 128 for part in np.array_split(grey, 8, axis=1)]
    return sum(1 << bit for bit, bright in enumerate(stripes) if bright)


def encode(path, codec, options, *, variable=False, interlaced=False):
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        if variable:
            stream.codec_context.time_base = Fraction(1, 1000)
        time = 0
        for i in range(N):
            frame = av.VideoFrame.from_ndarray(numbered(i), "rgb24")
            frame.pts = time
            time += int(rng.integers(20, 70)) if variable else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy(source, target, change=lambda k, packet: None, options=None):
    """Writes the packets of a video into another file, each changed as a function says."""
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", container_options=options or {}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for k, packet in enumerate(p for p in old.demux(old.streams.video[0]) if p.size):
            change(k, packet)
            packet.stream = stream
            new.mux(packet)
    return target


def in_decoding_order(k, packet):
    packet.pts = packet.dts


def plain(path, stream=0):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(container.streams[stream])]


def read(path, wanted, threads=1):
    index = videos.index_packets(path)
    return {
        i: f.to_ndarray(format="rgb24") for i, f in videos.decode(path, index, wanted, threads)
    }


def selections(n, seed=0):
    rng = random.Random(seed)
    yield list(range(n))
    for size in (1, 1, 1, 2, 4, n // 2):
        yield sorted(rng.sample(range(n), size))
    yield [n - 1]


def check_sparse_reads(path, stream=0, threads=(1, 3)):
    truth = plain(path, stream)
    assert videos.index_packets(path).n_frames == len(truth)
    for k, wanted in enumerate(selections(len(truth))):
        got = read(path, wanted, threads[k % len(threads)])
        assert list(got) == wanted
        for i in wanted:
            assert np.array_equal(got[i], truth[i]), f"frame {i} of {wanted}"
    return truth


def x264(text):
    return {"x264-params": f"{text}:log=-1"}


def x265(text):
    return {"x265-params": f"{text}:log-level=none:pools=none:frame-threads=1"}


SETTINGS = {
    "h264": ("mp4", "libx264", x264("keyint=12:bframes=3"), {}),
    "h264 pyramid": ("mkv", "libx264", x264("keyint=16:bframes=7:b-adapt=0:b-pyramid=2"), {}),
    "h264 open": ("mp4", "libx264", x264("open-gop=1:keyint=11:bframes=3:b-adapt=0"), {}),
    "h264 refresh": ("mp4", "libx264", x264("intra-refresh=1:keyint=12:bframes=0"), {}),
    "h264 refresh, B": ("mkv", "libx264", x264("intra-refresh=1:keyint=12:bframes=2"), {}),
    "h264 variable": ("mkv", "libx264", x264("keyint=15:bframes=2"), {"variable": True}),
    "h264 interlaced": ("mp4", "libx264", x264("tff=1:keyint=12:bframes=2"), {}),
    "h264 no reordering": ("mp4", "libx264", {"tune": "zerolatency", "g": "9"}, {}),
    "h264 in avi": ("avi", "libx264", x264("keyint=12:bframes=2"), {}),
    "h264 stream": ("ts", "libx264", x264("keyint=12:bframes=2"), {}),
    "h264 bare": ("h264", "libx264", x264("keyint=12:bframes=0"), {}),
    "hevc": ("mp4", "libx265", x265("keyint=12:bframes=4:open-gop=0"), {}),
    "hevc open": ("mkv", "libx265", x265("keyint=13:bframes=4:open-gop=1:b-adapt=0"), {}),
    "hevc layers": ("mp4", "libx265", x265("keyint=17:bframes=4:temporal-layers=3"), {}),
    "hevc refresh": ("mp4", "libx265", x265("intra-refresh=1:keyint=12:bframes=0"), {}),
    "av1": ("mp4", "libsvtav1", {"preset": "12", "g": "16"}, {}),
    "av1 forward keys": (
        "mkv",
        "libsvtav1",
        {"preset": "12", "g": "16", "svtav1-params": "irefresh-type=1"},
        {},
    ),
    "vp9 hidden": ("webm", "libvpx-vp9", {"g": "16", "lag-in-frames": "12", "cpu-used": "8"}, {}),
    "mpeg4 avi": ("avi", "mpeg4", {"g": "10", "bf": "2"}, {}),
    "mpeg4 mp4": ("mp4", "mpeg4", {"g": "10", "bf": "2"}, {}),
    "mpeg4 tiny": ("mkv", "mpeg4", {"g": "24", "bf": "1"}, {}),
    "mpeg2 mkv": ("mkv", "mpeg2video", {"g": "9", "bf": "2"}, {}),
    "mpeg2 stream": ("ts", "mpeg2video", {"g": "9", "bf": "2"}, {}),
    "mjpeg": ("avi", "mjpeg", {}, {}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_sparse_reads_equal_the_plain_decode(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "0")
    suffix, codec, options, more = SETTINGS[name]
    if codec not in av.codec.codecs_available:
        pytest.skip(f"no encoder {codec} here")
    truth = check_sparse_reads(encode(tmp_path / f"a.{suffix}", codec, options, **more))
    assert [number_of(image) for image in truth] == list(range(N))


@pytest.mark.parametrize("name", ["h264", "h264 pyramid", "h264 open", "hevc", "hevc open"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_timestamps_in_decoding_order(name, suffix, tmp_path):
    _, codec, options, more = SETTINGS[name]
    path = encode(tmp_path / "a.mp4", codec, options, **more)
    wrong = copy(path, tmp_path / f"wrong.{suffix}", in_decoding_order)
    check_sparse_reads(wrong)
    assert not videos.index_packets(wrong).sparse


def test_mpeg4_timestamps_in_decoding_order(tmp_path):
    path = encode(tmp_path / "a.mp4", "mpeg4", {"g": "10", "bf": "2"})
    check_sparse_reads(copy(path, tmp_path / "wrong.mkv", in_decoding_order))


@pytest.mark.parametrize("name", ["ptsdts", "ir", "lf"])
def test_cases_give_the_right_picture_at_every_index(name):
    path = CASES / f"{name}.mp4"
    with open_frames(Video(path, n_frames=60)) as reader:
        wanted = [[i] for i in range(60)] + [list(range(60)), [3, 17, 18, 40], [16, 59]]
        for indices in wanted:
            numbers = {i: number_of(frame.rgb()) for i, frame in reader.read(indices)}
            assert numbers == {i: i for i in indices}


def test_ordinary_files_are_read_sparsely(tmp_path):
    for name in ("h264", "h264 open", "hevc", "av1", "vp9 hidden", "mpeg4 avi", "mjpeg"):
        suffix, codec, options, _ = SETTINGS[name]
        index = videos.index_packets(encode(tmp_path / f"{codec}.{suffix}", codec, options))
        assert index.sparse, name
        assert len(set(index.key_before)) > 2, name


def test_marked_keys_that_are_no_clean_start_are_noticed_on_the_way(monkeypatch):
    monkeypatch.setattr(PictureOrder, "safe", lambda self: [True] * len(self._safe))
    videos._index.cache_clear()
    index = videos.index_packets(CASES / "ir.mp4")
    assert len(set(index.key_before)) == 4
    for indices in ([20], [33, 50]):
        index.sparse = True
        frames = videos.decode(CASES / "ir.mp4", index, indices, 1)
        assert [number_of(f.to_ndarray(format="rgb24")) for _, f in frames] == indices
        assert not index.sparse
    videos._index.cache_clear()


def test_a_picture_handed_out_wrongly_ends_with_its_timestamp(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", x264("keyint=60:bframes=0"))
    index = videos.index_packets(path)
    third, fourth = (next(t for t, i in index.frame_of.items() if i == k) for k in (3, 4))
    index.frame_of[third], index.frame_of[fourth] = 4, 3
    with pytest.raises(CorruptInput, match=r"frame 4: its timestamps .* of 0\.1600 s is number 4"):
        list(videos.decode(path, index, [4, 9], 1))


def test_a_size_that_changes_is_refused_with_frame_and_both_sizes():
    path = CASES / "rc.mp4"
    with open_frames(Video(path, n_frames=40, size=(320, 192))) as reader:
        assert [number_of(f.rgb()) for _, f in reader.read([0, 19])] == [0, 19]
        for wanted in ([20], [3, 39], range(40)):
            first = min(i for i in wanted if i >= 20)
            message = rf"rc\.mp4, frame {first}: this picture is 640x384 .* expected 320x192"
            with pytest.raises(CorruptInput, match=message):
                list(reader.read(wanted))
    with (
        pytest.raises(CorruptInput, match="is 320x192 pixels.* for 640x384"),
        open_frames(Video(path, size=(640, 384))),
    ):
        pass


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_last_picture_held_for_long_is_no_cut(suffix, tmp_path):
    def hold(k, packet):
        if k == N - 1:
            packet.duration = 8 * packet.time_base.denominator

    _, codec, options, _ = SETTINGS["h264"]
    path = encode(tmp_path / "a.mp4", codec, options | {"x264-params": "bframes=0:log=-1"})
    held = copy(path, tmp_path / f"held.{suffix}", hold)
    check_sparse_reads(held)
    assert content_fault(held) is None
    assert content_fault(CASES / "lf.mp4") is None


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
def test_a_file_whose_end_is_missing_is_still_cut_short(keep, tmp_path):
    data = (CASES / "lf.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    if data.index(b"moov") > data.index(b"mdat"):  # the table first, so that it survives the cut
        copy(CASES / "lf.mp4", path, options={"movflags": "faststart"})
        data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CorruptInput, match="cut"):
        list(read(path, [0]))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("attached", [False, True])
def test_a_thumbnail_before_the_video_is_passed_over(suffix, attached, tmp_path):
    source = encode(tmp_path / "a.mp4", "libx264", x264("keyint=12:bframes=2"))
    path = tmp_path / f"both.{suffix}"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        small = new.add_stream("mjpeg", rate=25)
        small.width, small.height, small.pix_fmt = 32, 16, "yuvj420p"
        if attached:
            small.disposition = av.stream.Disposition.attached_pic
        stream = new.add_stream_from_template(old.streams.video[0])
        image = av.VideoFrame.from_ndarray(numbered(200, 32, 16), "rgb24")
        image.pts = 0
        new.mux(small.encode(image) + small.encode(None))
        for packet in (p for p in old.demux(old.streams.video[0]) if p.size):
            packet.stream = stream
            new.mux(packet)
    with av.open(str(path)) as container:
        number = next(s.index for s in container.streams.video if s.codec.name == "h264")
    truth = check_sparse_reads(path, number)
    assert len(truth) == N and videos.frame_rate(path) == pytest.approx(25, rel=0.05)
    assert content_fault(path) is None


def test_an_edit_list_hides_frames(tmp_path):
    def earlier(k, packet):
        packet.pts, packet.dts = packet.pts - 5 * packet.duration, packet.dts - 5 * packet.duration

    for name in ("h264", "h264 open", "hevc"):
        _, codec, options, _ = SETTINGS[name]
        path = encode(tmp_path / "a.mp4", codec, options)
        options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
        cut = copy(path, tmp_path / f"{codec}.mp4", earlier, options)
        truth = check_sparse_reads(cut)
        assert number_of(truth[0]) == 5 and len(truth) == N - 5


def test_a_recording_that_starts_amid_an_open_group_follows_the_decoder(tmp_path):
    for name in ("h264 open", "hevc open"):
        suffix, codec, options, _ = SETTINGS[name]
        path = encode(tmp_path / f"a.{suffix}", codec, options)
        with av.open(str(path)) as container:
            keys = [k for k, p in enumerate(container.demux()) if p.is_keyframe]
        late = tmp_path / f"late.{suffix}"
        with av.open(str(path)) as old, av.open(str(late), "w") as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for k, packet in enumerate(p for p in old.demux(old.streams.video[0]) if p.size):
                if k >= keys[1]:
                    packet.stream = stream
                    new.mux(packet)
        check_sparse_reads(late)
