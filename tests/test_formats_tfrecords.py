"""Records with checksums, protocol buffers in every form they are written in, and damaged ones."""

import struct

import numpy as np
import pytest

from posepile.acquire.media import content_fault
from posepile.errors import CorruptInput
from posepile.formats.schema import Array
from posepile.formats.tfrecords import iter_examples, read_span
from posepile.miniature.tfrecords import write_tfrecord


def crc32c(data):
    """By the polynomial, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def framed(data):
    def masked(part):
        crc = crc32c(part)
        return struct.pack("<I", (crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def sized(number, data):
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def feature(name, kind, content):
    return sized(1, sized(1, name) + sized(2, sized(kind, content)))


def read(folder, *examples):
    path = folder / "a.tfrecord"
    path.write_bytes(b"".join(framed(example) for example in examples))
    return list(iter_examples(path))


def test_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283


def test_values_may_be_packed_or_single(tmp_path):
    floats = struct.pack("<2f", 1.5, -2)
    single = b"".join(b"\x0d" + floats[k : k + 4] for k in (0, 4))
    numbers = bytes([1, 0xAC, 2]) + bytes([255] * 9 + [1])  # 1, 300, -1
    mixed = b"\x08\x01" + sized(1, numbers[1:3]) + b"\x08" + numbers[3:]
    example = sized(
        1,
        feature(b"f", 2, sized(1, floats))
        + feature(b"g", 2, single)
        + feature(b"i", 3, sized(1, numbers))
        + feature(b"j", 3, mixed)
        + sized(1, sized(1, b"none") + sized(2, b"")),
    )
    example += b"\x18\x05"  # a field that nobody knows
    (found,) = read(tmp_path, example)
    assert found["f"].tolist() == found["g"].tolist() == [1.5, -2]
    assert found["f"].dtype == np.float32 and found["i"].dtype == np.int64
    assert found["i"].tolist() == found["j"].tolist() == [1, 300, -1]
    assert found["none"] == []


def test_texts_are_places_in_the_file(tmp_path):
    example = sized(1, feature(b"image", 1, sized(1, b"first") + sized(1, b"second one")))
    found = read(tmp_path, example, b"", example)
    assert len(found) == 3 and found[1] == {}
    texts = [[read_span(tmp_path / "a.tfrecord", s) for s in e["image"]] for e in found[::2]]
    assert texts == 2 * [[b"first", b"second one"]]
    with pytest.raises(CorruptInput, match="expected 999"):
        read_span(tmp_path / "a.tfrecord", (0, 999))


def test_a_schema_names_the_record(tmp_path):
    write_tfrecord(tmp_path / "a.tfrecord", [{"id": np.arange(2)}, {"id": np.arange(3)}])
    records = iter_examples(tmp_path / "a.tfrecord", {"id": Array(2, dtype=int)})
    assert next(records)["id"].tolist() == [0, 1]
    with pytest.raises(CorruptInput, match=r"record 1: id: found shape \(3,\)|record 1\.id"):
        next(records)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (2, "checksum of its length"),
        (9, "checksum of its length"),
        (14, "checksum of its data"),
        (-1, "checksum of its data"),
    ],
)
def test_a_flipped_bit_is_noticed(tmp_path, at, text):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [{"id": np.arange(2)}, {"id": np.arange(2)}])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 + at if at >= 0 else at] ^= 4
    path.write_bytes(data)
    records = iter_examples(path)
    next(records)
    with pytest.raises(CorruptInput, match=f"a.tfrecord: record 1: {text}.*fetch"):
        next(records)


@pytest.mark.parametrize(("kept", "text"), [(5, "ends in its length"), (20, "at most")])
def test_a_file_that_was_cut_short_is_noticed(tmp_path, kept, text):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [{"id": np.arange(2)}])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptInput, match=text):
        list(iter_examples(path))
    with pytest.raises(CorruptInput, match="missing"):
        list(iter_examples(tmp_path / "b.tfrecord"))


TWICE = feature(b"a", 3, b"\x08\x01")
BAD = {
    "ends behind": b"\x0a\x7fabc",
    "of kind 3": b"\x0b",
    "ends too early": b"\x0a",
    "more than 64 bits": b"\xff" * 11,
    "has no length": b"\x08\x01",
    "there twice": sized(1, TWICE + TWICE),
    "without name": sized(1, sized(1, sized(2, b""))),
    "is no text": sized(1, feature(b"\xff", 3, b"")),
    "several kinds": sized(1, sized(1, sized(1, b"a") + sized(2, sized(1, b"") + sized(2, b"")))),
    "that are no integers": sized(1, feature(b"a", 3, b"\x0d\0\0\0\0")),
    "floats that end": sized(1, feature(b"a", 2, sized(1, b"abc"))),
    "a number that ends": sized(1, feature(b"a", 3, sized(1, b"\xff"))),
    "of more than 64": sized(1, feature(b"a", 3, sized(1, b"\xff" * 10 + b"\x01"))),
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_example_is_refused(tmp_path, text):
    with pytest.raises(CorruptInput, match=rf"record 0: no tf\.train\.Example: .*{text}"):
        read(tmp_path, BAD[text])


def test_doctor_sees_cut_records_and_with_checksums_damaged_ones(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [{"image": b"jpg" * 50}, {"image": b"png" * 50}])
    data = path.read_bytes()
    assert content_fault(path) is None and content_fault(path, deep=True) is None
    for n in (1, 100, len(data) // 2 - 5):
        path.write_bytes(data[:-n])
        assert "a record ends at" in content_fault(path)
    path.write_bytes(data.replace(b"png", b"pnG"))
    assert content_fault(path) is None
    assert content_fault(path, deep=True) == "record 1: checksum of its data differs"
