"""Files on which the libraries that read them crash, hang or fill the memory are one line."""

import os
import resource
import signal
import struct
import zlib

import cv2
import h5py
import numpy as np
import pytest
import scipy.io
from conftest import ROOT
from scipy.sparse import csc_matrix

from posepile.acquire.media import content_fault
from posepile.errors import CorruptInput, PosePileError, UsageError
from posepile.formats.matlab_files import read_mat
from posepile.formats.mocap_files import read_c3d, read_cdf
from posepile.imaging import jpeg
from posepile.imaging.frames import open_frames
from posepile.imaging.masks import read_label_image, read_mask
from posepile.imaging.videos import _index as index_of_video
from posepile.miniature.writers import write_c3d, write_cdf, write_mat73
from posepile.recipe import Stills, Video
from posepile.shortage import vm_bytes
from posepile.store.images import read_image

CASES = ROOT / "tests" / "cases"
MEMORY, CPU = 1 << 30, 30  # bytes and seconds that a damaged file may take


def outcome(read, path):
    """What becomes of a file: ``read``, the error's text, or how the process ended."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        said = "no answer"
        try:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (vm_bytes("VmData") + MEMORY, hard))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            read(path)
            said = "read"
        except PosePileError as e:
            said = str(e)
        except BaseException as e:
            said = f"{type(e).__name__}, not one of ours: {e}"
        finally:
            os.write(theirs, said.encode())
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as f:
        said = f.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return signal.Signals(-code).name if code < 0 else said


def is_refused(read, path):
    """Asserts that a file is refused in one line that names it; returns the line."""
    said = outcome(read, path)
    assert said.startswith((f"{path}: ", f"{path}, frame ")) and "\n" not in said, said
    assert "MemoryError" not in said and "bad_alloc" not in said, said
    return said


def put(data, at, code, *values):
    """Bytes with others in the place of some."""
    new = struct.pack(code, *values)
    return data[:at] + new + data[at + len(new) :]


# ---------------------------------------------------------------- c3d


@pytest.fixture
def c3d(tmp_path):
    path = tmp_path / "clip.c3d"
    write_c3d(path, np.ones((9, 17, 3)), [f"j{k}" for k in range(17)], 50.0)
    return path


def behind(data, name, at, code, *values):
    """A c3d file with other bytes behind the name of a record: 0-1 way, 2 type, 3 axes, values."""
    return put(data, data.index(name) + len(name) + at, code, *values)


@pytest.mark.parametrize("n", [0, 1, 511, 512, 515, 600, 950, 967, 1100, 1535, 1536, 3900])
def test_c3d_cut_short(c3d, n):
    c3d.write_bytes(c3d.read_bytes()[:n])
    is_refused(read_c3d, c3d)


C3D_FAULTS = {
    "parameters before the file": lambda d: put(d, 0, "B", 0),
    "parameters behind the file": lambda d: put(d, 0, "B", 255),
    "another processor": lambda d: put(d, 515, "B", 3),
    "60000 frames": lambda d: put(d, 8, "<H", 60000),
    "60000 points": lambda d: put(d, 2, "<H", 60000),
    "60000 frames in the parameters": lambda d: behind(d, b"FRAMES", 4, "<H", 60000),
    "negative points in the parameters": lambda d: behind(d, b"USED", 4, "<h", -2),
    "channels without scale": lambda d: (
        d[:700] + behind(d[700:], b"\x02USED", 4, "<H", 3).replace(b"\x02RATE", b"\x02RATE")
    ),
    "seven long axes": lambda d: behind(d, b"LABELS", 2, "b8B", -1, 7, *[255] * 7),
    "128 axes": lambda d: behind(d, b"LABELS", 3, "B", 128),
    "type 3": lambda d: behind(d, b"LABELS", 2, "b", 3),
    "group 0": lambda d: behind(d, b"RATIO", -6, "b", 0),
    "a way into the name": lambda d: behind(d, b"UNITS", 0, "<H", 1),
    "no number of points": lambda d: behind(d, b"USED", 2, "3B", 2, 1, 0),
    "a negative ratio": lambda d: behind(d, b"RATIO", 4, "<h", -32768),
    "an infinite analog rate": lambda d: behind(d, b"BITS", -24, "<f", np.inf),
}


@pytest.mark.parametrize("fault", C3D_FAULTS)
def test_c3d_that_contradicts_itself(c3d, fault):
    whole = c3d.read_bytes()
    assert outcome(read_c3d, c3d) == "read"
    c3d.write_bytes(C3D_FAULTS[fault](whole))
    assert c3d.read_bytes() != whole
    is_refused(read_c3d, c3d)


def test_c3d_of_frames_that_take_no_bytes(c3d):
    data = behind(put(c3d.read_bytes(), 2, "<H", 0), b"USED", 4, "<h", 0)
    c3d.write_bytes(grown(data, data.index(b"FRAMES") + 6, 2, "bBfB", 4, 0, 1e9, 0))
    said = is_refused(read_c3d, c3d)
    assert "header: found 1e+09 frames in 4096 bytes; expected at most 1000000" in said, said


def test_c3d_of_two_rates(c3d):
    data = c3d.read_bytes()
    # The way, the type, no axes, the rate, no description; now an axis of length 2.
    c3d.write_bytes(grown(data, data.index(b"RATE") + 4, 5, "bBB2fB", 4, 1, 2, 50.0, 100.0, 0))
    assert "not a readable c3d file" in is_refused(read_c3d, c3d)


def grown(data, at, n, code, *values):
    """A c3d file with another parameter behind a name: n bytes more, so much less padding."""
    (way,) = struct.unpack_from("<H", data, at)
    padding = 512 * (struct.unpack_from("<H", data, 16)[0] - 1) - n
    new = struct.pack(f"<H{code}", way + n, *values)
    return data[:at] + new + data[at + way : padding] + data[padding + n :]


# ---------------------------------------------------------------- mat, version 5

CONTENT = {
    "x": np.eye(3),
    "s": {"a": np.arange(5), "b": "text"},
    "c": np.array([np.zeros((4, 5), np.uint8), "q"], object),
    "p": csc_matrix(np.eye(4)),
}


def wrap(matrix, compressed):
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    if compressed:
        packed = zlib.compress(matrix)
        return head + struct.pack("<2I", 15, len(packed)) + packed
    return head + matrix


def matrix_of(value, tmp_path):
    """The element of a variable x, not compressed."""
    scipy.io.savemat(tmp_path / "one.mat", {"x": value})
    return (tmp_path / "one.mat").read_bytes()[128:]


MAT_FAULTS = {
    # The tag, 16 bytes of flags, 16 of lengths, 8 of the name, then the tag of the values at 48.
    "an unknown type of values": (np.eye(3), lambda m: put(m, 48, "<I", 99)),
    "fewer values than announced": (np.eye(3), lambda m: put(m, 52, "<I", 40)),
    "longer than what holds it": (np.eye(3), lambda m: put(m, 52, "<I", 4000)),
    "lengths of 2e9": (np.eye(3), lambda m: put(m, 32, "<2i", 2**31 - 1, 2**31 - 1)),
    "a negative length": (np.eye(3), lambda m: put(m, 32, "<i", -3)),
    "class 40": (np.eye(3), lambda m: put(m, 16, "B", 40)),
    "text of 1e9 blanks": ("abc", lambda m: put(m, 32, "<2i", 1, 10**9)),
    "cells of 2e9": (np.array(["a", "b"], object), lambda m: put(m, 32, "<2i", 1, 2**31 - 1)),
    "names of fields without length": ({"a": 1}, lambda m: put(m, 52, "<I", 0)),
    "structures of 2e9": ({"a": 1}, lambda m: put(m, 32, "<2i", 1, 2**31 - 1)),
    "sparse values outside": (csc_matrix(np.eye(3)), lambda m: put(m, 56, "<3i", 0, 9**9, 1)),
    "no type": (np.eye(3), lambda m: put(m, 0, "<I", 0)),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fault", MAT_FAULTS)
def test_mat_that_contradicts_itself(tmp_path, fault, compressed):
    value, damage = MAT_FAULTS[fault]
    matrix, path = matrix_of(value, tmp_path), tmp_path / "a.mat"
    path.write_bytes(wrap(matrix, compressed))
    assert outcome(read_mat, path) == "read"
    assert damage(matrix) != matrix
    path.write_bytes(wrap(damage(matrix), compressed))
    said = is_refused(read_mat, path)
    # Nobody follows what nobody wants.
    if fault not in ("no type", "names of fields without length"):
        assert outcome(lambda p: read_mat(p, {"y?": None}), path) in ("read", said)


def test_mat_cells_in_cells_to_any_depth(tmp_path):
    value = np.array(["a", "b"], object)
    for _ in range(60):
        outer = np.empty(2, object)
        outer[0], outer[1], value = value, "b", outer
    path = tmp_path / "a.mat"
    path.write_bytes(wrap(matrix_of(value, tmp_path), True))
    assert "levels" in is_refused(read_mat, path)


def test_mat_that_unpacks_without_end(tmp_path):
    n = 300 << 20
    packer, packed = zlib.compressobj(1), []
    head = struct.pack("<4I", 14, n + 48, 6, 8) + struct.pack("<2I", 9, 0)
    head += struct.pack("<2I2i", 5, 8, 1, n) + struct.pack("<2H4s", 1, 1, b"x")
    packed.append(packer.compress(head + struct.pack("<2I", 2, n)))
    packed += [packer.compress(bytes(1 << 20)) for _ in range(n >> 20)]
    packed = b"".join(packed) + packer.flush()
    path = tmp_path / "a.mat"
    path.write_bytes(wrap(b"", False) + struct.pack("<2I", 15, len(packed)) + packed)
    assert "more memory than the limit of 256 MiB" in is_refused(read_mat, path)
    assert outcome(lambda p: read_mat(p, {"y?": None}), path) == "read"


def test_mat_that_ends_where_its_flags_begin(tmp_path):
    path = tmp_path / "a.mat"
    for compressed in (False, True):
        path.write_bytes(wrap(struct.pack("<4I", 14, 8, 6, 0), compressed))
        for schema in (None, {"x": None}, {"x?": None}):
            said = is_refused(lambda p, schema=schema: read_mat(p, schema), path)
            assert "element at byte 128: tag at 8: found" in said, said


def test_mat_whose_second_variable_is_damaged(tmp_path):
    path, first = tmp_path / "a.mat", matrix_of(np.eye(3), tmp_path)
    path.write_bytes(wrap(first, False) + struct.pack("<2I", 7, 0))
    said = is_refused(read_mat, path)
    assert f"byte {128 + len(first)}: found type 7; expected a matrix" in said, said


def test_mat_of_all_kinds_is_read_as_before(tmp_path):
    for compressed in (False, True):
        scipy.io.savemat(tmp_path / "a.mat", CONTENT, do_compression=compressed)
        found = read_mat(tmp_path / "a.mat")
        assert found["x"].tolist() == np.eye(3).tolist() and found["s"]["b"] == "text"
        assert found["c"][1] == "q" and (found["p"] != CONTENT["p"]).nnz == 0
        assert read_mat(tmp_path / "a.mat", {"x": None}).keys() == {"x"}


# ---------------------------------------------------------------- HDF5 and CDF


def test_hdf5_that_announces_what_it_does_not_hold(tmp_path):
    path = tmp_path / "a.mat"
    write_mat73(path, {"x": np.eye(3)})
    with h5py.File(path, "r+") as f:
        f.create_dataset("huge", (1 << 20, 1 << 20), np.uint8, chunks=(64, 64))
    assert "more memory than the limit" in is_refused(read_mat, path)
    assert outcome(lambda p: read_mat(p, {"x": None}), path) == "read"


def test_hdf5_cells_that_multiply(tmp_path):
    path = tmp_path / "a.mat"
    write_mat73(path, {"x": np.eye(3)})
    with h5py.File(path, "r+") as f:
        inner = f["x"].ref
        for k in range(9):
            made = f.create_dataset(f"cells{k}", (10, 10), h5py.ref_dtype)
            made[...] = inner
            inner = made.ref
    assert "more cells than the file has room for" in is_refused(read_mat, path)


def longer_record(data, at):
    return data[:at] + (2**32).to_bytes(8, "big") + data[at + 8 :]


def other_kind(data, at):
    return data[: at + 8] + (13).to_bytes(4, "big") + data[at + 12 :]


CDF_FAULTS = {
    "the first record is as long as one likes": lambda d, v: put(d, 8, ">q", 2**62),
    "an index is as long as one likes": lambda d, v: put(d, index_of(d, v), ">q", 2**62),
    "1e9 axes": lambda d, v: put(d, v + 340, ">i", 10**9),
    "axes of 1e9": lambda d, v: put(d, v + 344, ">2i", 10**9, 10**9),
    "2e9 records": lambda d, v: put(d, v + 24, ">i", 2**31 - 1),
    "an index that goes on with itself": lambda d, v: put(
        d, index_of(d, v) + 12, ">q", index_of(d, v)
    ),
    "2e9 entries": lambda d, v: put(d, index_of(d, v) + 20, ">2i", 2**31 - 1, 2**31 - 1),
    "the record of its compression is longer than the file": lambda data, at: longer_record(
        data, int.from_bytes(data[at + 72 : at + 80], "big")
    ),
    "its index is no index": lambda data, at: other_kind(
        data, int.from_bytes(data[at + 28 : at + 36], "big")
    ),
}


def index_of(data, variable):
    return struct.unpack_from(">q", data, variable + 28)[0]


@pytest.mark.parametrize("fault", CDF_FAULTS)
def test_cdf_that_contradicts_itself(tmp_path, fault):
    path = tmp_path / "a.cdf"
    write_cdf(path, {"Pose": np.ones((1, 5, 96))})
    data = path.read_bytes()
    assert outcome(read_cdf, path) == "read"
    variable = data.index(b"Pose") - 84
    path.write_bytes(CDF_FAULTS[fault](data, variable))
    is_refused(read_cdf, path)


def test_an_error_of_a_parser_is_no_other(tmp_path):
    (tmp_path / "a.c3d").write_bytes(bytes(600))
    with pytest.raises(CorruptInput, match="byte 1: found 0x00; expected 0x50"):
        read_c3d(tmp_path / "a.c3d")


# ---------------------------------------------------------------- pictures and videos


def png_bomb(path):
    """A PNG of 60000 x 60000 grey pixels in 4 MB."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(1)
    row = bytes(60001)
    rows = b"".join(packer.compress(row * 100) for _ in range(20)) + packer.flush()
    head = struct.pack(">2I5B", 60000, 60000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def jpeg_bomb(path):
    data = jpeg.encode(np.zeros((16, 16, 3), np.uint8))
    at = data.index(b"\xff\xc0") + 5
    path.write_bytes(put(data, at, ">2H", 65500, 65500))


def bomb(code, at):
    def write(path):
        picture = np.zeros((16, 16, 3), np.uint8)
        data = cv2.imencode(path.suffix, picture)[1].tobytes()
        path.write_bytes(put(data, at(data), code, 60000, 60000))

    return write


def tiff_bomb(path):
    data = cv2.imencode(".tiff", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    (at,) = struct.unpack_from("<I", data, 4)
    for k in range(struct.unpack_from("<H", data, at)[0]):
        entry = at + 2 + 12 * k
        if struct.unpack_from("<H", data, entry)[0] in (256, 257):
            data = put(data, entry + 2, "<HII", 4, 1, 60000)
    path.write_bytes(data)


BOMBS = {
    "a.png": png_bomb,
    "a.jpg": jpeg_bomb,
    "a.bmp": bomb("<2i", lambda d: 18),
    "a.tiff": tiff_bomb,
    "a.ppm": lambda p: p.write_bytes(b"P6\n# big\n60000 60000\n255\n" + bytes(900)),
}


def decode_still(path):
    with open_frames(Stills((path,))) as frames:
        for _, frame in frames.read([0]):
            frame.rgb(32)


READERS = {
    "frame": decode_still,
    "mask": read_mask,
    "labels": read_label_image,
    "example": read_image,
    "doctor": lambda p: content_fault(p, deep=True),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", BOMBS)
def test_pictures_that_declare_gigapixels(tmp_path, monkeypatch, name, reader):
    path = tmp_path / name
    BOMBS[name](path)
    if reader == "doctor":
        assert outcome(READERS[reader], path) == "read"
        return
    said = is_refused(READERS[reader], path)
    assert "declares 6" in said and "at most 134217728" in said and "POSEPILE_MAX_PIXELS" in said


def test_the_limit_of_pixels_can_be_raised_and_lowered(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
    monkeypatch.setenv("POSEPILE_MAX_PIXELS", "1200")
    assert read_mask(path).shape == (30, 40)
    monkeypatch.setenv("POSEPILE_MAX_PIXELS", "1199")
    with pytest.raises(CorruptInput, match=r"declares 40x30 pixels; expected at most 1199 of"):
        read_mask(path)
    monkeypatch.setenv("POSEPILE_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match=r"POSEPILE_MAX_PIXELS: 'many'; expected a whole number"):
        read_mask(path)


def test_videos_of_too_many_pixels(monkeypatch):
    video = CASES / "lf.mp4"
    with open_frames(Video(video)) as frames:
        width, height = frames.size()
    monkeypatch.setenv("POSEPILE_MAX_PIXELS", str(width * height - 1))
    index_of_video.cache_clear()
    with (
        pytest.raises(CorruptInput, match=f"lf.mp4: declares {width}x{height} pixels"),
        open_frames(Video(video)),
    ):
        pass
    index_of_video.cache_clear()


def test_jpeg_cut_anywhere_in_its_head(tmp_path):
    path, data = tmp_path / "a.jpg", jpeg.encode(np.zeros((16, 16, 3), np.uint8))
    for n in range(data.index(b"\xff\xda")):
        path.write_bytes(data[:n])
        for read in (decode_still, read_image):
            with pytest.raises(CorruptInput, match=r"a\.jpg"):
                read(path)


def test_videos_whose_names_of_things_are_no_text(tmp_path):
    data, path = (CASES / "lf.mp4").read_bytes(), tmp_path / "a.mp4"
    at = data.index(b"VideoHandler") + 3
    path.write_bytes(put(data, at, "B", 0xF6))
    with open_frames(Video(path)) as frames:
        assert frames.n_frames
