from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from posepile.acquire.media import content_fault
from posepile.errors import CorruptInput
from posepile.imaging import jpeg


def smooth_image(width, height, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 48 + 2, width // 48 + 2, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def psnr(a, b):
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def test_round_trip_keeps_the_picture_and_the_bytes_are_the_same_each_time():
    image = smooth_image(203, 101)
    data = jpeg.encode(image, 95)
    assert jpeg.read_size(data) == (203, 101)
    assert psnr(jpeg.decode(data), image) > 35
    assert jpeg.encode(image, 95) == data


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("size", [(64, 48), (203, 101), (130, 77)])
def test_scaled_decoding_has_the_promised_size_and_content(level, size):
    image = smooth_image(*size)
    small = jpeg.decode(jpeg.encode(image), level)
    expected_size = (-(-size[0] >> level), -(-size[1] >> level))
    assert (small.shape[1], small.shape[0]) == expected_size
    assert psnr(small, cv2.resize(image, expected_size, interpolation=cv2.INTER_AREA)) > 24


def test_grey_and_cmyk_come_back_as_colour():
    grey = smooth_image(64, 48)[..., 0]
    decoded = jpeg.decode(jpeg.encode(grey))
    assert decoded.shape == (48, 64, 3)
    assert psnr(decoded[..., 0], grey) > 35

    ink = np.zeros((48, 64, 4), np.uint8)
    ink[..., 3] = 255  # Adobe CMYK is stored inverted: 255 = no black
    ink[..., 0] = 255
    data = simplejpeg.encode_jpeg(ink, 95, "CMYK", "444")
    for level in range(2):
        assert jpeg.decode(data, level).shape == (48 >> level, 64 >> level, 3)
    assert jpeg.decode(data, 1, colors="RGBX").shape == (24, 32, 4)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.99])
def test_truncated_file_is_an_error_that_names_the_file(share):
    data = jpeg.encode(smooth_image(200, 100))
    with pytest.raises(CorruptInput, match="img_7"):
        jpeg.decode(data[: int(len(data) * share)], name="img_7.jpg")


def test_something_else_is_an_error():
    with pytest.raises(CorruptInput, match="some_name"):
        jpeg.read_size(b"GIF89a not a jpeg", name="some_name")


def with_orientation(data, value, order):
    endian = "little" if order == b"II" else "big"
    entry = b"".join(v.to_bytes(n, endian) for v, n in ((0x0112, 2), (3, 2), (1, 4), (value, 2)))
    tiff = order + (42).to_bytes(2, endian) + (8).to_bytes(4, endian)
    tiff += (1).to_bytes(2, endian) + entry + b"\0\0" + bytes(4)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


@pytest.mark.parametrize("order", [b"II", b"MM"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_read_and_applied_as_another_reader_does(value, order):
    image = smooth_image(48, 32)
    data = with_orientation(jpeg.encode(image), value, order)
    assert jpeg.read_orientation(data) == value
    assert jpeg.decode(data).shape == (32, 48, 3), "orientation must not be applied unasked"
    turned = jpeg.orient(jpeg.decode(data), value)
    other = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert turned.shape == other.shape
    assert psnr(turned, other) > 40


def test_no_or_broken_exif_means_as_stored():
    data = jpeg.encode(smooth_image(48, 32))
    assert jpeg.read_orientation(data) == 1
    broken = with_orientation(data, 6, b"II").replace(b"II*", b"XX*")
    assert jpeg.read_orientation(broken) == 1
    assert jpeg.read_orientation(data[:3]) == 1


KINDS = {
    "baseline": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restart marks": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
    "own tables": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
}


def outcome(data, truth):
    """The flaws noted; None if refused. Whatever is accepted must be the picture."""
    flaws = []
    try:
        image = jpeg.decode(data, flaws=flaws)
    except CorruptInput:
        return None
    assert np.array_equal(image, truth)
    return flaws


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_flaws_without_harm_are_noted_and_every_cut_is_refused(kind, grey):
    image = smooth_image(96, 64)
    data = cv2.imencode(".jpg", image[..., 0] if grey else image, KINDS[kind])[1].tobytes()
    truth = jpeg.decode(data)
    assert outcome(data, truth) == []
    assert outcome(data[:-2], truth) == [jpeg.NO_END_MARK]
    assert outcome(data[:-1], truth) == [jpeg.NO_END_MARK]
    for n in (20, 1000):
        assert outcome(data[:-2] + bytes(n) + data[-2:], truth) == [jpeg.FILL_BYTES]
        assert outcome(data[:-2] + b"\xaa" * n + data[-2:], truth) == [jpeg.FILL_BYTES]
    for cut in range(3, len(data) - 2):
        assert outcome(data[:cut], truth) is None, cut - len(data)
    for cut in range(3, len(data) - 2, 9):
        assert outcome(data[:cut] + bytes(300), truth) is None, "cut and filled up"


def test_damage_that_leaves_pieces_of_the_picture_over_is_refused():
    """libjpeg says of it what it says of fill bytes."""
    data = jpeg.encode(smooth_image(320, 240))
    start = data.rindex(b"\xff\xda") + 14
    rng = np.random.default_rng(0)
    warned = 0
    for _ in range(200):
        flipped = bytearray(data)
        flipped[rng.integers(start, len(data) - 2)] ^= 1 << rng.integers(8)
        try:
            simplejpeg.decode_jpeg(bytes(flipped))
        except ValueError as e:
            warned += "extraneous bytes before marker 0xd9" in str(e)
            with pytest.raises(CorruptInput):
                jpeg.decode(bytes(flipped))
    assert warned > 10


@pytest.mark.parametrize(
    ("name", "flaw"), [("junk_before_eoi", jpeg.FILL_BYTES), ("no_eoi", jpeg.NO_END_MARK)]
)
def test_flawed_files_from_reports_are_read(name, flaw):
    path = Path(__file__).parent / "cases" / f"{name}.jpg"
    for level in range(4):
        flaws = []
        image = jpeg.decode(path.read_bytes(), level, flaws=flaws)
        assert image.shape == (240 >> level, 320 >> level, 3) and flaws == [flaw]
    assert content_fault(path, deep=True) is None


def test_a_cut_file_is_still_a_fault_for_the_doctor(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg.encode(smooth_image(320, 240))[:-300])
    assert "no end mark" in content_fault(path, deep=True)
