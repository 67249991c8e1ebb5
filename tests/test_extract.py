import errno
import io
import json
import os
import stat
import tarfile
import zipfile

import pytest

from posepile.acquire import extract, staging
from posepile.acquire.extract import extract_archive
from posepile.acquire.sources import Extract
from posepile.errors import CorruptInput, Shortage, UsageError, WorkError

FILES = {
    "Set-1.0/splits.csv": b"a,1,train\n" * 100,
    "Set-1.0/videos/a/1.mkv": os.urandom(70_000),
    "Set-1.0/videos/b/2.mkv": os.urandom(512 * 8),
    "Set-1.0/empty.txt": b"",
}
PARAMS = Extract(strip_prefix="Set-1.0")


def make_tar(path, files=FILES, mode="w:gz", members=()):
    with tarfile.open(path, mode) as tar:
        folder = tarfile.TarInfo("Set-1.0")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in members:
            tar.addfile(info)
    return path


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return path


def make(path, files=FILES):
    if path.suffix == ".zip":
        return make_zip(path, files)
    kind = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz", ".tar": "w"}[path.suffix]
    return make_tar(path, files, kind)


def tree(root):
    found = {}
    for parent, _, files in os.walk(root):
        for f in files:
            path = os.path.join(parent, f)
            rel = os.path.relpath(path, root)
            if ".posepile" not in rel:
                assert not os.path.islink(path)
                found[rel] = open(path, "rb").read()
    return found


STRIPPED = {k.removeprefix("Set-1.0/"): v for k, v in FILES.items()}
ALL = ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"]


@pytest.mark.parametrize("name", ALL)
def test_extracts_once(tmp_path, name):
    archive, root = make(tmp_path / name), tmp_path / "raw"
    first = extract_archive(archive, root, PARAMS)
    assert tree(root) == STRIPPED
    assert first.files == {k: len(v) for k, v in STRIPPED.items()} and not first.done_before
    times = {p: os.stat(root / p).st_mtime_ns for p in STRIPPED}
    assert extract_archive(archive, root, PARAMS).done_before
    assert times == {p: os.stat(root / p).st_mtime_ns for p in STRIPPED}
    assert os.listdir(root / ".posepile") == ["extract"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_truncated_archive_leaves_nothing(tmp_path, name, keep):
    archive, root = make(tmp_path / name), tmp_path / "raw"
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CorruptInput, match="truncated") as e:
        extract_archive(archive, root, PARAMS)
    assert str(archive) in str(e.value) and "download again" in str(e.value)
    assert tree(root) == {}
    archive.write_bytes(data)  # fetched again: works without further ado
    extract_archive(archive, root, PARAMS)
    assert tree(root) == STRIPPED


def test_tar_cut_between_two_members_is_not_taken_for_whole(tmp_path):
    archive, root = make(tmp_path / "a.tar"), tmp_path / "raw"
    with tarfile.open(archive) as tar:
        cut = tar.getmembers()[2].offset
    archive.write_bytes(archive.read_bytes()[:cut])
    with tarfile.open(archive) as tar:
        assert len(tar.getmembers()) == 2  # tarfile itself sees nothing wrong
    with pytest.raises(CorruptInput, match="no end mark"):
        extract_archive(archive, root, PARAMS)
    assert tree(root) == {}


@pytest.mark.parametrize("name", ALL[:1] + ALL[2:])
def test_flipped_bit_is_noticed(tmp_path, name):
    archive, root = make(tmp_path / name), tmp_path / "raw"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 4
    archive.write_bytes(data)
    with pytest.raises(CorruptInput):
        extract_archive(archive, root, PARAMS)
    assert tree(root) == {}


@pytest.mark.parametrize(
    "evil", ["../out.txt", "Set-1.0/../../out.txt", "/tmp/posepile-out.txt", "C:/out.txt", "a/.."]
)
@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_names_that_leave_are_refused(tmp_path, name, evil):
    archive = make(tmp_path / name, {**FILES, evil: b"x"})
    root = tmp_path / "deep" / "raw"
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(archive, root, Extract())
    assert tree(tmp_path / "deep") == {}
    assert not os.path.exists("/tmp/posepile-out.txt")


def test_backslashes_separate_in_zips_of_windows(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        for written in ("aXb.txt", "XXXout.txt"):
            z.writestr(written, b"x")
    data = (tmp_path / "a.zip").read_bytes()
    good, evil = tmp_path / "good.zip", tmp_path / "evil.zip"
    good.write_bytes(data.replace(b"aXb.txt", b"a\\b.txt").replace(b"XXXout", b"c\\dout"))
    evil.write_bytes(data.replace(b"XXXout", b"..\\out"))
    extract_archive(good, tmp_path / "raw")
    assert set(tree(tmp_path / "raw")) == {"a/b.txt", "c/dout.txt"}
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(evil, tmp_path / "raw2" / "raw")
    assert tree(tmp_path / "raw2") == {}


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "members",
    [
        [link("Set-1.0/x", "/etc/passwd")],
        [link("Set-1.0/x", "../../etc/passwd")],
        [link("Set-1.0/x", "../etc/passwd", tarfile.LNKTYPE)],
        [link("x", ".."), link("x/y", "z")],
        [link("Set-1.0/null", "", tarfile.CHRTYPE)],
        [link("Set-1.0/pipe", "", tarfile.FIFOTYPE)],
    ],
)
def test_links_outside_and_devices_are_refused(tmp_path, members):
    archive = make_tar(tmp_path / "a.tar.gz", members=members)
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(archive, tmp_path / "raw")
    assert tree(tmp_path / "raw") == {}


def test_no_write_through_a_link_of_the_archive(tmp_path):
    # The classical two-step: a folder that is a link, then a file "in" it.
    content = io.BytesIO(b"x")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(link("a/b", "."))
        tar.addfile(link("c", "a/b/.."))
        info = tarfile.TarInfo("c/out.txt")
        info.size = 1
        tar.addfile(info, content)
    extract_archive(tmp_path / "a.tar", tmp_path / "deep" / "raw")
    assert tree(tmp_path / "deep") == {"raw/c/out.txt": b"x"}


def test_links_inside_become_files(tmp_path):
    members = [
        link("Set-1.0/copy.csv", "splits.csv"),
        link("Set-1.0/videos/a/copy.csv", "../../copy.csv"),
        link("Set-1.0/hard.csv", "Set-1.0/splits.csv", tarfile.LNKTYPE),
        link("Set-1.0/folder", "videos"),
        link("Set-1.0/loop", "loop"),
    ]
    lines = []
    archive = make_tar(tmp_path / "a.tar.gz", members=members)
    extract_archive(archive, tmp_path / "raw", PARAMS, log=lines.append)
    split = FILES["Set-1.0/splits.csv"]
    extra = {"copy.csv": split, "videos/a/copy.csv": split, "hard.csv": split}
    assert tree(tmp_path / "raw") == STRIPPED | extra
    assert any("1 members left out: links to a folder" in line for line in lines)
    assert any("1 members left out: links to nothing" in line for line in lines)


def test_link_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("a.txt", b"hello")
        for name, target in (("b.txt", "a.txt"),):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            z.writestr(info, target)
    extract_archive(tmp_path / "a.zip", tmp_path / "raw")
    assert tree(tmp_path / "raw") == {"a.txt": b"hello", "b.txt": b"hello"}


def test_prefix_members_and_destination(tmp_path):
    archive = make(tmp_path / "a.tar.gz")
    lines = []
    extract_archive(
        archive,
        tmp_path / "raw",
        Extract(strip_prefix="*", members="**/*.mkv", to="data"),
        log=lines.append,
    )
    videos = {f"data/{k}": v for k, v in STRIPPED.items() if k.endswith("mkv")}
    assert tree(tmp_path / "raw") == videos
    assert lines == ["a.tar.gz: 2 members left out: not among the members asked for"]
    with pytest.raises(CorruptInput, match=r"not below Set-2/"):
        extract_archive(archive, tmp_path / "raw2", Extract(strip_prefix="Set-2/"))
    with pytest.raises(CorruptInput, match="no member matches"):
        extract_archive(archive, tmp_path / "raw2", Extract(members="*.avi"))
    assert tree(tmp_path / "raw2") == {}


def test_bomb_is_refused(tmp_path):
    archive = make(tmp_path / "a.zip", {"zeros": bytes(3_000_000)})
    with pytest.raises(CorruptInput, match="max_bytes"):
        extract_archive(archive, tmp_path / "raw", Extract(max_bytes=2_999_999))
    archive = make(tmp_path / "a.tar.gz", {"zeros": bytes(3_000_000)})
    with pytest.raises(CorruptInput, match="max_bytes"):
        extract_archive(archive, tmp_path / "raw", Extract(max_bytes=2_999_999))
    assert tree(tmp_path / "raw") == {}
    extract_archive(archive, tmp_path / "raw", Extract(max_bytes=3_000_000))


def test_archive_cannot_alter_our_records(tmp_path):
    archive = make(tmp_path / "a.zip", {".posepile/sources.lock.json": b"{}"})
    with pytest.raises(CorruptInput, match="records"):
        extract_archive(archive, tmp_path / "raw")


def test_file_and_folder_of_one_name(tmp_path):
    archive = make(tmp_path / "a.tar", {"a": b"1", "a/b": b"2"})
    with pytest.raises(CorruptInput, match="both a file and a folder"):
        extract_archive(archive, tmp_path / "raw")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("when", range(8))
def test_interrupted_anywhere_it_goes_on(tmp_path, monkeypatch, name, when):
    archive, root = make(tmp_path / name), tmp_path / "raw"
    renames = [0]
    real = os.replace

    class Killed(BaseException):
        pass

    def replace(a, b):
        if renames[0] == when:
            raise Killed
        renames[0] += 1
        real(a, b)

    monkeypatch.setattr(extract.os, "replace", replace)
    with pytest.raises(Killed):
        extract_archive(archive, root, PARAMS)
    seen = tree(root)
    assert all(STRIPPED[k] == v for k, v in seen.items())  # nothing half-written
    record = extract.read_record(root, name)
    assert record is None or record["state"] != "done"
    monkeypatch.setattr(extract.os, "replace", real)
    opened = []
    monkeypatch.setattr(extract, "stage", _spy(extract.stage, opened))
    extract_archive(archive, root, PARAMS)
    assert tree(root) == STRIPPED
    assert len(opened) == (0 if when >= 6 else 1)  # read to the end before: not read again
    assert os.listdir(root / ".posepile") == ["extract"]


def _spy(function, calls):
    def wrapped(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    return wrapped


def test_full_disk(tmp_path, monkeypatch):
    archive, root = make(tmp_path / "a.tar.gz"), tmp_path / "raw"
    real_open = open

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)

    def full_open(file, mode="r", **kwargs):
        if str(file).endswith("/unfinished"):
            return Full(file, mode)
        return real_open(file, mode, **kwargs)

    monkeypatch.setattr(staging, "open", full_open, raising=False)
    with pytest.raises(Shortage, match="extracting a.tar.gz failed: No space left") as e:
        extract_archive(archive, root, PARAMS)
    assert str(root) in str(e.value) and "\n" not in str(e.value)
    assert tree(root) == {}
    assert not list(root.rglob("*unfinished"))
    monkeypatch.undo()
    extract_archive(archive, root, PARAMS)
    assert tree(root) == STRIPPED


def test_too_small_disk_is_said_beforehand(tmp_path, monkeypatch):
    archive = make(tmp_path / "a.zip")
    monkeypatch.setattr(
        staging.shutil, "disk_usage", lambda p: type("Usage", (), {"free": 1000})()
    )
    with pytest.raises(WorkError, match=r"needs \d+ bytes, 1000 are free"):
        extract_archive(archive, tmp_path / "raw", PARAMS)


def test_lost_and_damaged_files_are_extracted_again(tmp_path):
    archive, root = make(tmp_path / "a.tar.gz"), tmp_path / "raw"
    params = PARAMS.model_copy(update={"rewritten": ["splits.csv"]})
    extract_archive(archive, root, params)
    (root / "videos/a/1.mkv").unlink()
    (root / "empty.txt").write_text("no more")
    (root / "splits.csv").write_text("rewritten by a later stage")
    untouched = os.stat(root / "videos/b/2.mkv").st_mtime_ns
    lines = []
    extract_archive(archive, root, params, log=lines.append)
    assert lines[0].startswith("a.tar.gz: 2 of 4 extracted files are gone")
    assert os.stat(root / "videos/b/2.mkv").st_mtime_ns == untouched
    kept = {"splits.csv": b"rewritten by a later stage"}
    assert tree(root) == STRIPPED | kept
    assert extract_archive(archive, root, params).done_before


def test_another_archive_of_the_same_name(tmp_path):
    archive, root = make(tmp_path / "a.zip"), tmp_path / "raw"
    extract_archive(archive, root, PARAMS, sha256="1" * 64)
    make(archive, {"Set-1.0/splits.csv": b"second"})
    extract_archive(archive, root, PARAMS, sha256="2" * 64)
    assert tree(root)["splits.csv"] == b"second"


def test_archive_is_deleted_on_request(tmp_path):
    archive, root = make(tmp_path / "a.zip"), tmp_path / "raw"
    params = PARAMS.model_copy(update={"keep": False})
    extract_archive(archive, root, params)
    assert not archive.exists() and tree(root) == STRIPPED
    assert extract_archive(archive, root, params).done_before
    (root / "empty.txt").unlink()
    with pytest.raises(WorkError, match="no such archive"):
        extract_archive(archive, root, params)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"<!DOCTYPE html><html>Login", "HTML page"),
        (b"\n <html><body>", "HTML page"),
        (b"", "empty file"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "truncated or damaged"),
        (b"Rar!\x1a\x07" + bytes(100), "by hand"),
        (b"hello world", "not a tar, zip or 7z archive"),
    ],
)
def test_what_is_no_archive(tmp_path, content, expected):
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with pytest.raises(CorruptInput, match=expected):
        extract_archive(archive, tmp_path / "raw")


# A zip with hello.txt ("hello"), encrypted (ZipCrypto) with the password "secret".
def encrypted_zip(path):
    keys = [305419896, 591751049, 878082192]
    table = [_crc_entry(i) for i in range(256)]

    def update(c):
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ c) & 255]
        keys[1] = (keys[1] + (keys[0] & 255)) * 134775813 + 1 & 0xFFFFFFFF
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ keys[1] >> 24) & 255]

    for c in b"secret":
        update(c)
    crc = zipfile.crc32(b"hello")
    out = bytearray()
    for c in bytes(11) + bytes([crc >> 24]) + b"hello":
        k = keys[2] | 2
        out.append(c ^ ((k * (k ^ 1)) >> 8 & 255))
        update(c)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("hello.txt", bytes(out))
    data = bytearray(path.read_bytes())
    for magic, flags, sums in ((b"PK\x03\x04", 6, 14), (b"PK\x01\x02", 8, 16)):
        at = data.index(magic)
        data[at + flags] |= 1
        data[at + sums : at + sums + 4] = crc.to_bytes(4, "little")
        data[at + sums + 8 : at + sums + 12] = (5).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def _crc_entry(c):
    for _ in range(8):
        c = (c >> 1) ^ 0xEDB88320 if c & 1 else c >> 1
    return c


def test_encrypted_zip(tmp_path):
    archive, root = encrypted_zip(tmp_path / "a.zip"), tmp_path / "raw"
    with pytest.raises(UsageError, match="needs a password"):
        extract_archive(archive, root)
    with pytest.raises((UsageError, CorruptInput), match="password is wrong") as e:
        extract_archive(archive, root, password="hunter2")
    assert "hunter2" not in str(e.value) and tree(root) == {}
    extract_archive(archive, root, password="secret")
    assert tree(root) == {"hello.txt": b"hello"}
    record = json.dumps(extract.read_record(root, "a.zip"))
    assert "secret" not in record


def test_something_stands_in_the_way(tmp_path):
    archive, root = make(tmp_path / "a.zip"), tmp_path / "raw"
    root.mkdir()
    (root / "videos").write_text("a file")
    with pytest.raises(WorkError, match="a file stands where a folder belongs"):
        extract_archive(archive, root, PARAMS)
    (root / "videos").unlink()
    extract_archive(archive, root, PARAMS)
    assert tree(root) == STRIPPED
