import cv2
import numpy as np
import pytest
import simplejpeg

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
