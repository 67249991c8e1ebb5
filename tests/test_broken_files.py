"""Files that the fuzzer found (``make fuzz``): each is one line, and nothing hangs."""

import ast
import io
import json
import os
import sqlite3
import struct
import subprocess
import sys
import zipfile

import archive_kinds_kit
import archive_kit
import av
import crc32c
import numpy as np
import pytest
import tiny_networks

from posepile.acquire import lockfile, records
from posepile.acquire.credentials import get_credentials
from posepile.acquire.extract import extract_archive
from posepile.acquire.media import content_fault
from posepile.acquire.sources import Extract, load_sources
from posepile.acquire.zips import zip_fault
from posepile.config import load_config
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats.yaml_files import load_yaml
from posepile.imaging import jpeg, slices
from posepile.imaging.frames import open_frames
from posepile.models import DetectorFile, DetectParams, load_detector, weights
from posepile.recipe import Stills, Unit, Video
from posepile.run import listing
from posepile.store import packing, parts, verifying
from posepile.store.images import decode_image

PICTURE = (np.indices((56, 72)).sum(0)[..., None] * [1, 2, 3] % 256).astype(np.uint8)
JPEG = jpeg.encode(PICTURE)


def one_line(error):
    text = str(error.value if hasattr(error, "value") else error)
    assert len(text.splitlines()) == 1
    return text


def read_still(path):
    with open_frames(Stills((path,))) as source:
        return [frame.rgb() for _, frame in source.read([0])]


# ---------------------------------------------------------------- pictures


def with_sof(data, offset, value):
    """A JPEG with another number in the segment that declares its size."""
    at = data.index(b"\xff\xc0")
    return data[: at + offset] + value + data[at + offset + len(value) :]


def test_a_jpeg_of_unknown_sampling_is_refused_by_every_reader(tmp_path):
    data = with_sof(JPEG, 11, b"\x14")  # 1 x 4 samples of luma
    (tmp_path / "a.jpg").write_bytes(data)
    readers = (
        lambda: read_still(tmp_path / "a.jpg"),
        lambda: jpeg.decode(data, name=tmp_path / "a.jpg"),
        lambda: decode_image(data, str(tmp_path / "a.jpg")),
    )
    for read in readers:
        with pytest.raises(CorruptInput, match=r"a\.jpg") as e:
            read()
        one_line(e)


# ---------------------------------------------------------------- videos


def test_a_title_that_is_no_utf8_is_no_fault_of_a_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "ABCD"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 72, 56
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(PICTURE, "rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert data.count(b"ABCD") == 1
    path.write_bytes(data.replace(b"ABCD", b"A\xff\xfeD"))
    assert content_fault(path) is None
    with open_frames(Video(path)) as source:
        assert len(list(source.read(range(3)))) == 3


@pytest.mark.parametrize("hevc", [False, True])
def test_odd_headers_of_slices_tell_nothing_and_raise_nothing(hevc):
    for extradata in (b"", b"abc", b"\1" * 22, b"\1" * 23, b"\1" + b"\xff" * 40, b"\0\0\1" * 9):
        picture = slices.SliceReader(hevc, extradata).read(memoryview(b"no start code"))
        assert picture.order is None


def test_a_count_of_more_bits_than_any_standard_has_is_refused():
    bits = slices._Bits(bytes(5) + b"\xff" * 8)  # 2**40 bits
    with pytest.raises(IndexError):
        slices._count_bits(bits)


# ---------------------------------------------------------------- archives


def zip_with(offset_of, value):
    data = bytearray(archive_kinds_kit.zip_bytes({"a.txt": b"abc" * 50, "b.txt": b"x" * 90}))
    at = data.rindex(b"PK\x01\x02")
    data[at + offset_of : at + offset_of + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize("contents", [False, True])
def test_damage_of_every_kind_in_a_zip_is_a_line(tmp_path, contents):
    path = tmp_path / "a.zip"
    damaged = {
        "offset": zip_with(42, struct.pack("<I", 0xFFFF0000)),
        "directory": zip_with(0, b"PK\x01\x03"),
        "cut": zip_with(0, b"PK")[:-30],
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as z:
        z.writestr("a", b"hello " * 300)
    packed = bytearray(out.getvalue())
    packed[60] ^= 255
    damaged["bzip2"] = bytes(packed)
    plain = archive_kinds_kit.zip_bytes({"a.txt": b"abc"})
    end = bytearray(plain)  # the directory lies before where the file would begin
    end[-6:-2] = struct.pack("<I", len(plain) + 99)
    damaged["before the beginning"] = bytes(end)
    for name, data in damaged.items():
        path.write_bytes(data)
        said = zip_fault(path, contents=contents)
        if contents or name in ("directory", "cut"):
            assert said is not None and len(said.splitlines()) == 1, name


def test_a_member_cannot_ask_for_more_memory_than_it_has_bytes(tmp_path):
    path = tmp_path / "a.zip"
    data = bytearray(archive_kinds_kit.zip_bytes({"a": b"abc" * 99}, zipfile.ZIP_LZMA))
    at = 30 + 1 + 5  # behind the header, the name, and LZMA's version and properties
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)
    assert "would need 4294967280 bytes of memory" in zip_fault(path, contents=True)
    with pytest.raises(CorruptInput, match="would need 4294967280 bytes of memory"):
        extract_archive(path, tmp_path / "out")


def test_a_zip_of_a_later_version_is_not_judged(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_with(6, struct.pack("<H", 99)))
    assert content_fault(path) is None


# ---------------------------------------------------------------- the store


def forged_part(path, change):
    """Writes a part anew with another header, all its checksums right."""
    import hashlib

    line, _, rest = path.read_bytes().partition(b"\n")
    n = int(line.split()[3])
    text = change(rest[:n].decode()).encode()
    text = text.rstrip() + b" " * (-(36 + len(text.rstrip()) + 1) % 64) + b"\n"
    head = b"posepile part 2 %010d %08x\n" % (len(text), crc32c.crc32c(text))
    body = head + text + rest[n:-32]
    path.write_bytes(body + hashlib.sha256(body).digest())


def edited(edit):
    def change(text):
        header = json.loads(text)
        edit(header)
        return json.dumps(header)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "[" * 3000,
        lambda text: "[1]",
        lambda text: text.replace('"', "'"),
        edited(lambda h: h.pop("data_bytes")),
        edited(lambda h: h.pop("n_examples")),
        edited(lambda h: h["columns"].pop("new_image")),
        edited(lambda h: h["columns"].update(flags=True)),
        edited(lambda h: h["columns"]["flags"].__setitem__(0, 10**9)),
        edited(lambda h: h["columns"]["flags"].__setitem__(1, "O")),
        edited(lambda h: h["columns"]["flags"].__setitem__(2, [2**70])),
        edited(lambda h: h["columns"]["imshape"].__setitem__(2, [12, 1])),
        edited(lambda h: h["sha256"].update(shard="x")),
        edited(lambda h: h["splits"].update(train=None)),
        edited(lambda h: h["splits"].update(train=0)),
        edited(lambda h: h["columns"].update(more=[0, "<u2", []])),
        edited(lambda h: h["columns"]["crc32c"].__setitem__(1, "<f4")),
        edited(lambda h: h["columns"]["world_coords"][2].__setitem__(1, 1)),
    ],
)
def test_a_part_whose_header_says_other_things_is_damaged(tmp_path, change):
    (path, *_), _ = archive_kit.make_parts(tmp_path, n=6)
    forged_part(path, lambda text: text)
    assert parts.damage_of_part(path) is None
    forged_part(path, change)
    assert parts.read_header(path) is None
    assert "damaged" in one_line(parts.damage_of_part(path))
    with pytest.raises(CorruptInput):
        list(parts.read_part(path))


@pytest.mark.parametrize(
    ("name", "value"),
    [("dir", 7), ("name_ptr", 2**63), ("name", 255), ("sequence_strings_ptr", 2**40)],
)
def test_a_part_whose_values_do_not_fit_is_damaged(tmp_path, name, value):
    """Its checksums are right."""
    made, _ = archive_kit.make_parts(tmp_path, n=6)
    header, arrays = parts.read_arrays(made[0])
    changed = arrays[name].copy()
    changed[1] = value
    parts.write_part(made[0], header, arrays | {name: changed})
    with pytest.raises(WorkError):
        list(parts.read_part(made[0]))
    if "sequence" not in name:  # which are copied as they are
        with pytest.raises(parts.DamagedParts, match="columns do not fit each other") as caught:
            packing.pack(made, tmp_path / "toy.barecat", archive_kit.spec(), {"sources": []})
        assert caught.value.paths == [made[0]]
        assert not (tmp_path / "toy.barecat").exists()


@pytest.mark.parametrize("name", ["a/\0b.jpg", "a//b.jpg", "../b.jpg"])
def test_verify_does_not_hang_at_a_name_from_which_nothing_leads_up(tmp_path, name, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    archive_kit.make_archive(tmp_path, n=2)
    db = sqlite3.connect(tmp_path / "toy.barecat")
    named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    for (trigger,) in db.execute(named).fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute("UPDATE files SET path = ? WHERE path LIKE '%s0/0001.jpg'", [name])
    db.commit()
    db.close()
    problems = verifying.verify(tmp_path / "toy.barecat")
    assert any("expected a name without" in p and repr(name) in p for p in problems)


def test_a_digest_list_with_a_zero_byte_is_a_problem_of_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    archive_kit.make_archive(tmp_path, n=2)
    listed = tmp_path / "toy.barecat.sha256"
    listed.write_text(listed.read_text().replace("barecat\n", "barecat\0\n", 1))
    problems = verifying.verify(tmp_path / "toy.barecat")
    assert any("null byte" in p for p in problems)
    assert all(len(p.splitlines()) == 1 and "\0" not in p for p in problems)


# ---------------------------------------------------------------- records of our own work


@pytest.mark.parametrize(
    "change",
    ["files = 3", "files = {'../out.txt': 3}", "files = {'a.txt': 'x'}", "of = {}", "state = 7"],
)
def test_a_damaged_record_of_an_extraction_is_none(tmp_path, change):
    (tmp_path / "a.zip").write_bytes(archive_kinds_kit.zip_bytes({"a.txt": b"abc"}))
    extract_archive(tmp_path / "a.zip", tmp_path)
    record = records.read_record(tmp_path, "a.zip")
    assert record is not None
    key, _, value = change.partition(" = ")
    records.write_record(tmp_path, "a.zip", record | {key: ast.literal_eval(value)})
    assert records.read_record(tmp_path, "a.zip") is None
    assert not records.is_extracted(tmp_path, "a.zip", Extract())
    assert not extract_archive(tmp_path / "a.zip", tmp_path).done_before


def test_damaged_entries_of_the_lock_file_are_none(tmp_path):
    (tmp_path / ".posepile").mkdir()
    for content in (
        "[" * 3000,
        '{"version": 1, "files": [1]}',
        '{"version": 1, "files": {"a": 3}}',
    ):
        lockfile.lock_path(tmp_path).write_text(content)
        assert lockfile.read_lock(tmp_path) == {}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE units",
        "UPDATE units SET inputs = '['",
        "UPDATE units SET split = 9",
        "UPDATE units SET inputs = '3'",
        "UPDATE units SET args = 'x'",
    ],
)
def test_a_damaged_list_of_units_is_one_line(tmp_path, statement):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x").touch()
    path = tmp_path / "units.sqlite"

    def list_units(root, options):
        return [Unit("a", "train", (root / "x",)), Unit("b", "val", (root / "x",))]

    def opened():
        return listing.open_units(path, "key", tmp_path / "raw", list_units, None, name="toy")

    opened().close()
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
    units = opened()
    with pytest.raises(WorkError, match="a damaged list of units .*; move it away") as e:
        [row.unit(tmp_path) for row in units.rows(range(2))]
    one_line(e)


# ---------------------------------------------------------------- settings

ODD_YAML = ["2001-13-45", "!!int x", "!!float x", "!!binary x", "!!bool x", "[" * 3000, "9" * 5000]


def test_yaml_whose_aliases_stand_for_very_much_is_refused_at_once(tmp_path):
    """Looking for logins in a list of sources walked through all of it."""
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 25)]
    file = tmp_path / "sources.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(UsageError, match="aliases stand for more than 1,000,000 values"):
        load_sources(file)
    file.write_text("sources: &a [*a]")
    with pytest.raises(UsageError, match="aliases stand for more"):
        load_sources(file)
    file.write_text("x: &x {a: [1, 2]}\ny: [*x, *x]")
    assert load_yaml(file) == {"x": {"a": [1, 2]}, "y": [{"a": [1, 2]}] * 2}


@pytest.mark.parametrize("value", ODD_YAML)
def test_whatever_yaml_says_of_a_value_is_one_line(tmp_path, monkeypatch, value):
    file = tmp_path / "a.yaml"
    file.write_text(f"amass: {value}\n")
    file.chmod(0o600)
    with pytest.raises(UsageError, match="not valid YAML") as e:
        load_yaml(file)
    assert one_line(e).startswith(str(file))
    monkeypatch.setenv("POSEPILE_CREDENTIALS", str(file))
    with pytest.raises(UsageError, match="not valid YAML") as e:
        get_credentials("amass", prompt=False)
    assert value not in one_line(e)  # it may be a password
    file.write_text("")
    with pytest.raises(UsageError, match="--set run.max_memory") as e:
        load_config("x", path=file, overrides=[f"run.max_memory={value}"])
    one_line(e)


@pytest.mark.parametrize("text", ["", "x", "detectors: 3", "detectors: {a: 3}", "other: {}"])
def test_a_register_of_networks_of_another_form_is_one_line(tmp_path, text):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"models\.yaml") as e:
        weights.load_registry(tmp_path / "models.yaml")
    one_line(e)


# ---------------------------------------------------------------- networks


def network(path, side, shape):
    """Writes a network that gives each picture another shape, and loads it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 64, side])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "c", "k"])
    constant = numpy_helper.from_array(np.array(shape), "shape")
    node = helper.make_node("Reshape", ["images", "shape"], ["out"])
    graph = helper.make_graph([node], "tiny", [images], [out], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))
    model = DetectorFile(path=str(path), decoder="yolox", person_class=0)
    return load_detector(DetectParams(model=model))


@pytest.mark.parametrize("side", [0, 100_000])
def test_a_network_for_pictures_of_absurd_size_is_refused(tmp_path, side):
    with pytest.raises(CorruptInput, match="sides of 1 to 16384") as e:
        network(tmp_path / "a.onnx", side, [-1])
    one_line(e)


def test_a_network_that_fails_at_a_picture_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"a\.onnx: .*fails at a picture") as e:
        network(tmp_path / "a.onnx", 64, [7, 13])
    one_line(e)


def test_onnx_runtime_tells_its_maker_nothing_and_leaves_no_files(tmp_path):
    path = tiny_networks.yolox(tmp_path / "a.onnx")
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    code = f"from posepile.models import sessions; sessions.open_session({str(path)!r}, 1, 'cpu')"
    env = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    env.pop("XDG_CACHE_HOME", None)
    env.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    left = [p.name for name in ("home", "tmp") for p in (tmp_path / name).rglob("*")]
    assert left == []
