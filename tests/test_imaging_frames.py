"""Frame i is frame i, whatever the file, and its colours are what was filmed."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from analytic_scene import light_to_srgb, srgb_to_light

from posepile.errors import CorruptInput
from posepile.imaging import jpeg, kernels, pictures, videos, warp
from posepile.imaging.frames import ArrayFrame, open_frames
from posepile.recipe import Stills, Video

WIDTH, HEIGHT, N = 192, 112, 60
KINDS = {
    "h264 with B-frames": {"ext": "mp4", "options": {"g": "12", "bf": "3"}},
    "open groups of pictures": {
        "ext": "mp4",
        "options": {"x264-params": "open-gop=1:keyint=14:bframes=3:log=-1"},
    },
    "variable rate": {"ext": "mkv", "options": {"g": "17", "bf": "2"}, "variable": True},
    "late start": {"ext": "mkv", "options": {"g": "20"}, "start": 77},
    "mpeg4": {"ext": "avi", "codec": "mpeg4", "options": {"g": "12"}},
    "ten bits": {"ext": "mkv", "options": {"g": "15"}, "pixels": "yuv420p10le"},
    "full chroma": {"ext": "mkv", "options": {"g": "15"}, "pixels": "yuv444p"},
}


def numbered(i):
    """A picture that carries its number as six bright or dark squares."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(6):
        if i >> bit & 1:
            image[16:40, 8 + 30 * bit : 32 + 30 * bit] = 250
    cv2.circle(image, (int(96 + 60 * np.cos(i / 5)), 80), 14, (230, 60, 40), -1)
    return image


def number_of(image):
    return sum(1 << bit for bit in range(6) if image[28, 20 + 30 * bit].mean() > 170)


def write_video(path, images, *, codec="libx264", pixels="yuv420p", options=None, start=0,
                variable=False, rate=25):  # fmt: skip
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000) if variable else Fraction(1, rate)
        time = start
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = time
            time += int(rng.integers(20, 70)) if variable else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module", params=KINDS)
def video(request, tmp_path_factory):
    kind = dict(KINDS[request.param])
    path = tmp_path_factory.mktemp("video") / f"clip.{kind.pop('ext')}"
    return write_video(path, [numbered(i) for i in range(N)], **kind)


@pytest.mark.parametrize(
    "wanted",
    [range(N), [0], [N - 1], [0, 31, N - 1], range(0, N, 20), [3, 4, 5, 40, 41, 59], []],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 3])
def test_frame_numbers_are_exact(video, wanted, threads):
    got = []
    with open_frames(Video(video, n_frames=N), threads=threads) as reader:
        assert reader.n_frames == N
        assert reader.size(0) == (WIDTH, HEIGHT)
        for i, frame in reader.read(wanted):
            assert frame.size == (WIDTH, HEIGHT)
            got.append((i, number_of(frame.rgb())))
    assert got == [(i, i) for i in wanted]


def test_pixels_do_not_depend_on_what_else_is_read(video):
    with open_frames(Video(video)) as reader:
        every = {i: light_of(frame, (-3, -2, 90, 61)) for i, frame in reader.read(range(N))}
        for wanted in ([7, 8, 55], [30], range(1, N, 13)):
            for i, frame in reader.read(wanted):
                assert np.array_equal(light_of(frame, (-3, -2, 90, 61)), every[i])


def test_packets_up_to_the_key_frame_are_not_decoded(tmp_path, monkeypatch):
    path = write_video(
        tmp_path / "a.mp4", [numbered(i) for i in range(N)], options={"g": "10", "bf": "0"}
    )
    decoded = []
    original = videos._open_video

    class Counting:
        """Stands for a codec context and counts the packets it is fed."""

        def __init__(self, context):
            object.__setattr__(self, "context", context)

        def __getattr__(self, name):
            return getattr(self.context, name)

        def __setattr__(self, name, value):
            setattr(self.context, name, value)

        def decode(self, packet):
            decoded.append(packet)
            return self.context.decode(packet)

    class Stream:
        def __init__(self, stream):
            self.codec_context = Counting(stream.codec_context)

    class Container:
        def __init__(self, container):
            self.container = container
            self.streams = [Stream(container.streams[0])]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.container.close()

        def demux(self, _):
            return self.container.demux(self.container.streams.video[0])

    with open_frames(Video(path)) as reader:
        monkeypatch.setattr(videos, "_open_video", lambda p: Container(original(p)))
        assert [number_of(f.rgb()) for _, f in reader.read([5, 52])] == [5, 52]
    assert len(decoded) < 20


def test_wrong_count_names_both_numbers_unless_known(video):
    with pytest.raises(CorruptInput, match=r"60 decodable frames.*have 61") as caught:
        with open_frames(Video(video, n_frames=N + 1)):
            pass
    assert str(video) in str(caught.value)
    with open_frames(Video(video, n_frames=N + 1, mismatch_known=True)) as reader:
        assert reader.n_frames == N


def test_bad_indices_are_refused(video):
    with open_frames(Video(video)) as reader:
        with pytest.raises(ValueError, match="increasing"):
            list(reader.read([3, 3]))
        with pytest.raises(CorruptInput, match="holds 60 decodable frames; expected at least 61"):
            list(reader.read([60]))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_video_cut_short_is_caught_even_without_a_known_count(tmp_path, share):
    images = [numbered(i) for i in range(N)]
    path = write_video(tmp_path / "a.mkv", images, options={"g": "12"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CorruptInput, match=r"a\.mkv"):
        with open_frames(Video(path)) as reader:
            list(reader.read(range(reader.n_frames)))


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(CorruptInput, match="does not exist"), open_frames(Video(tmp_path / "no")):
        pass
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    with pytest.raises(CorruptInput, match="not a readable video"), open_frames(Video(text)):
        pass


def test_packet_table_of_odd_orders():
    # Decode order I0 P3 B1 B2, then an open group: I6 B4 B5 P7
    pts = [0, 3, 1, 2, 6, 4, 5, 7]
    keys = [True, False, False, False, True, False, False, False]

    def table(pts=pts, keys=keys, shown=(True,) * 8, ranks=pts, safe=keys):
        return videos.table((8, 8), pts, keys, shown, ranks, safe)

    assert table().n_frames == 8
    assert table().of_packet.tolist() == pts
    assert table().key_before.tolist() == [0, 0, 0, 0, 0, 0, 4, 4]
    # A key frame from which pictures do not come out exact is no place to start
    assert table(safe=[True] + [False] * 7).key_before.tolist() == [0] * 8
    # An edit list hides packets
    hidden = table(shown=[False] + [True] * 7)
    assert hidden.n_frames == 7 and hidden.frame_of[1] == 0
    # What the packets do not tell is left to counting
    assert table().sparse
    unclear = (
        {"pts": [None] * 8},
        {"pts": [0, 1, 1, 2, 3, 4, 5, 6]},
        {"pts": list(range(8))},
        {"ranks": None},
        {"keys": [False] + [True] * 7},
        {"pts": [0, -3, 1, 2, 6, 4, 5, 7], "ranks": [1, 0, 2, 3, 6, 4, 5, 7]},
    )
    for case in unclear:
        assert table(**case).frame_of is None and not table(**case).sparse


def first_frame(source):
    with open_frames(source) as reader:
        return next(reader.read([0]))[1].rgb()


def test_colour_lies_where_light_does_in_pictures_that_are_turned(tmp_path):
    """Chroma samples lie at even columns; a plain enlargement moves them by half a pixel."""
    from posepile.miniature.video import write_video as write_as_cameras_do

    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    cv2.circle(image, (96, 56), 20, (230, 60, 40), -1)
    path = tmp_path / "disc.mp4"
    write_as_cameras_do(path, [image] * 2, 25, qp=5)
    for source, center in ((Video(path), 96), (Video(path, mirrored=True), WIDTH - 1 - 96)):
        frame = first_frame(source).astype(int)
        red = np.clip(frame[..., 0] - frame[..., 1] - 5, 0, None)
        x, y = (red.sum(axis=k) @ np.arange(red.shape[1 - k]) / red.sum() for k in (0, 1))
        assert abs(x - center) < 0.1
        assert abs(y - 56) < 0.1


def test_a_video_of_one_frame_is_whole(tmp_path):
    path = write_video(tmp_path / "one.mp4", [numbered(5)])
    assert number_of(first_frame(Video(path))) == 5


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_counter_clockwise(video, turns):
    with open_frames(Video(video)) as reader:
        upright = next(reader.read([9]))[1].rgb()
    with open_frames(Video(video, rot90=turns)) as reader:
        _, frame = next(reader.read([9]))
        assert reader.size(9) == frame.size
        assert np.abs(frame.rgb().astype(int) - np.rot90(upright, turns)).max() <= 2


def test_mirrored_frames_are_turned_left_for_right(video):
    with open_frames(Video(video, rot90=1)) as reader:
        turned = next(reader.read([9]))[1].rgb()
    with open_frames(Video(video, rot90=1, mirrored=True)) as reader:
        _, frame = next(reader.read([9]))
        np.testing.assert_array_equal(frame.rgb(), turned[:, ::-1])


COLOURS = [
    (230, 40, 40),
    (40, 200, 60),
    (50, 60, 220),
    (240, 230, 50),
    (128, 128, 128),
    (255,) * 3,
]
BT601, BT709 = 5, 1


@pytest.mark.parametrize(
    ("height", "tag", "matrix"),
    [(480, None, BT601), (720, None, BT709), (480, BT709, BT709), (720, BT601, BT601)],
)
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_colours_follow_the_tags_and_the_size(height, tag, matrix, full_range, pixels):
    image = np.zeros((height, 256, 3), np.uint8)
    for k, colour in enumerate(COLOURS):
        image[:, k * 42 : k * 42 + 46] = colour
    source = av.VideoFrame.from_ndarray(image, "rgb24")
    frame = source.reformat(
        format=pixels, dst_colorspace=matrix, dst_color_range=2 if full_range else 1
    )
    frame.colorspace = 2 if tag is None else tag
    frame.color_range = 2 if full_range else 1
    planar = pictures.PlanarFrame(frame)
    light = light_of(planar, (0, 0, 256, height))
    half = light_of(planar, (0, 0, 128, height // 2), 1)
    rgb, small = planar.rgb(), planar.rgb(60)
    for k, colour in enumerate(COLOURS):
        x, y = k * 42 + 20, height // 2
        for picture in (
            rgb[y, x],
            small[30, round(x * small.shape[1] / 256)],
            np.rint(255 * light_to_srgb(light[y, x])),
            np.rint(255 * light_to_srgb(half[y // 2, x // 2])),
        ):
            assert np.abs(picture.astype(int) - colour).max() <= 4


def light_of(frame, region, level=0):
    """What the kernels take as the light of a region, in 0..1."""
    x0, y0, x1, y1 = region
    out = np.full((y1 - y0, 4 * (x1 - x0)), -1, np.int16)
    if isinstance(frame, pictures.PlanarFrame):
        source = (frame._planes, frame.size, frame._to_rgb)
    else:
        image = frame.rgb()
        rows = np.concatenate([image, image[..., :1]], axis=-1).reshape(len(image), -1)
        source = (rows, frame.size)
    kernels.light(source, region, 1 << level, out)
    return out.reshape(y1 - y0, x1 - x0, 4)[..., :3] / kernels.WHITE


def shrinking(size, factor):
    """A view of 8x8 pixels from the upper left corner, each spanning ``factor`` source pixels."""
    positions = (np.arange(3) * 8 + 0.5) * factor - 0.5
    return warp.survey(np.stack(np.meshgrid(positions, positions), axis=-1), 8, size)


def test_region_and_level_mean_the_same_for_every_kind_of_frame():
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(60, 200, (6, 9, 3), np.uint8), (173, 97))
    yuv = av.VideoFrame.from_ndarray(image[:96, :172], "rgb24").reformat(
        format="yuv420p", dst_colorspace=BT601
    )
    jpeg_frame = pictures.JpegFrame(jpeg.encode(image, 98), "x.jpg")
    for frame, size, tolerance in (
        (ArrayFrame(image), (173, 97), 8e-4),
        (jpeg_frame, (173, 97), 0.01),
        (pictures.PlanarFrame(yuv), (172, 96), 0.01),
    ):
        assert frame.size == size
        truth = srgb_to_light(image[: size[1], : size[0]] / 255)
        for level in (3, 2, 1, 0):
            k = 1 << level
            w, h = -(-size[0] // k), -(-size[1] // k)
            padded = np.pad(truth, ((4 * k, 5 * k), (4 * k, 5 * k), (0, 0)), "edge")
            rows = padded[: (h + 8) * k, : (w + 8) * k]
            mean = rows.reshape(h + 8, k, w + 8, k, 3).mean(axis=(1, 3))
            light = light_of(frame, (-4, -4, w + 4, h + 4), level)
            assert light.shape == mean.shape
            assert np.abs(light - mean).mean() < tolerance


def test_stills_of_all_kinds(tmp_path):
    image = numbered(37)
    paths = [tmp_path / name for name in ("a.jpg", "b.png", "c.bmp", "d.png")]
    paths[0].write_bytes(jpeg.encode(image))
    for path in paths[1:3]:
        cv2.imwrite(str(path), image[:, :, ::-1])
    cv2.imwrite(str(paths[3]), image[:, :, ::-1].astype(np.uint16) * 257)
    with open_frames(Stills(tuple(paths))) as reader:
        assert reader.n_frames == 4
        assert reader.size(0) == (WIDTH, HEIGHT)
        got = dict(reader.read([0, 1, 2, 3]))
    assert [number_of(got[i].rgb()) for i in range(4)] == [37] * 4
    assert np.array_equal(got[1].rgb(), image) and np.array_equal(got[3].rgb(), image)
    for frame in got.values():
        assert frame.rgb(56).shape == (56, 96, 3)
        assert frame.rgb(1000).shape == (HEIGHT, WIDTH, 3)


def test_stills_are_turned_counter_clockwise(tmp_path):
    image, paths = numbered(5), (tmp_path / "a.jpg", tmp_path / "b.png")
    paths[0].write_bytes(jpeg.encode(image))
    cv2.imwrite(str(paths[1]), image[:, :, ::-1])
    with open_frames(Stills(paths, ((HEIGHT, WIDTH),) * 2, rot90=3)) as reader:
        assert reader.size(0) == (HEIGHT, WIDTH)
        turned = [frame.rgb() for _, frame in reader.read([0, 1])]
    assert np.array_equal(turned[1], np.rot90(image, -1))
    assert number_of(np.rot90(turned[0])) == 5


def test_a_broken_still_is_named_with_its_index_and_the_rest_can_be_read(tmp_path):
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(jpeg.encode(numbered(i)))
    paths[1].write_bytes(paths[1].read_bytes()[:900])
    paths[2].write_bytes(b"")
    paths[3].unlink()
    with open_frames(Stills(tuple(paths))) as reader:
        assert number_of(next(reader.read([0]))[1].rgb()) == 0
        for i in (1, 2, 3):
            with pytest.raises(CorruptInput, match=rf"{i}\.jpg, frame {i}:"):
                next(reader.read([i]))[1].rgb()


def test_a_look_before_cropping_does_not_change_the_crop():
    rng = np.random.default_rng(1)
    image = cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), (160, 120))
    data = jpeg.encode(image)
    crops = []
    for look in (False, True):
        frame = pictures.JpegFrame(data, "x.jpg")
        if look:
            frame.rgb(40)
        frame.expect(1)
        view = shrinking(frame.size, 5.0)
        out = np.zeros((8, 8, 4), np.uint8)
        frame.draw(view, 1, out)
        crops.append(out)
    assert np.array_equal(*crops)


def test_a_jpeg_is_decoded_once_at_the_scale_expected(monkeypatch):
    calls = []
    original = jpeg.decode

    def counting(data, level=0, **more):
        calls.append(level)
        return original(data, level, **more)

    monkeypatch.setattr(jpeg, "decode", counting)
    data = jpeg.encode(numbered(5))
    frame = pictures.JpegFrame(data, "x.jpg")
    views = {level: shrinking(frame.size, 5.0 * 2 ** (level - 1)) for level in (0, 1, 2)}
    assert [view.levels() for view in views.values()] == [[0], [1], [2]]
    out = np.zeros((8, 8, 4), np.uint8)
    frame.expect(1)
    for level in (2, 1, 2):
        frame.draw(views[level], level, out)
    assert calls == [1]
    frame.draw(views[0], 0, out)
    assert calls == [1, 0]
    calls.clear()
    frame = pictures.JpegFrame(data, "x.jpg")
    frame.rgb(40)
    frame.draw(views[0], 0, out)
    assert calls == [0], "a detector's small picture must not cost a second decode"


def test_pictures_of_another_size_than_annotated_are_refused(tmp_path):
    path = write_video(tmp_path / "a.mkv", [numbered(i) for i in range(3)])
    with open_frames(Video(path, size=(WIDTH, HEIGHT))) as reader:
        assert [i for i, _ in reader.read([0, 2])] == [0, 2]
    for size, turn in (((2 * WIDTH, 2 * HEIGHT), 0), ((WIDTH, HEIGHT), 1)):
        with (
            pytest.raises(CorruptInput, match=r"a\.mkv: is .* annotations are for \d+x\d+"),
            open_frames(Video(path, size=size, rot90=turn)),
        ):
            pass
    paths = [tmp_path / f"{i}.jpg" for i in range(2)]
    for file in paths:
        file.write_bytes(jpeg.encode(numbered(0), 90))
    sizes = ((WIDTH, HEIGHT), (HEIGHT, WIDTH))
    with open_frames(Stills(tuple(paths), sizes)) as reader:
        assert [i for i, _ in reader.read([0])] == [0]
        message = f"1\\.jpg, frame 1: is {WIDTH}x{HEIGHT} pixels.* for {HEIGHT}x{WIDTH}"
        with pytest.raises(CorruptInput, match=message):
            list(reader.read([0, 1]))
