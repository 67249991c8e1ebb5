"""Archives of every kind that data sets come in are opened, or refused by what they are."""

import gzip
import os
import tarfile
import zipfile

import py7zr
import pytest
from archive_kinds_kit import (
    aes_zip_bytes,
    pieces,
    seven_zip_bytes,
    split_zip,
    tar_bytes,
    zip_bytes,
)

from posepile.acquire.archives import is_encrypted
from posepile.acquire.extract import extract_archive
from posepile.acquire.joined import is_later_part
from posepile.acquire.media import content_fault
from posepile.acquire.sources import Extract
from posepile.errors import CorruptInput, UsageError

FILES = {"CMU/walk.txt": b"walking\n" * 500, "CMU/v/0.mp4": os.urandom(30_000), "e": b""}
PASSWORD = "d41d8cd98f00"


def tree(root):
    files = (p for p in root.rglob("*") if p.is_file() and ".posepile" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def write(path, content):
    path.write_bytes(content)
    return path


ENCRYPTED = {
    "aes.zip": lambda: aes_zip_bytes(FILES, PASSWORD),
    "aes.7z": lambda: seven_zip_bytes(FILES, PASSWORD),
    "hidden.7z": lambda: seven_zip_bytes(FILES, PASSWORD, hide_names=True),
}
PLAIN = {
    "a.7z": lambda: seven_zip_bytes(FILES),
    "a.tar.gz": lambda: tar_bytes(FILES),
    "bytes of another name.zip": lambda: tar_bytes(FILES),
}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_archives_open_with_their_password_alone(tmp_path, name):
    archive, root = write(tmp_path / name, ENCRYPTED[name]()), tmp_path / "raw"
    assert is_encrypted(archive) and content_fault(archive) is None
    with pytest.raises(UsageError, match="needs a password"):
        extract_archive(archive, root)
    with pytest.raises(UsageError, match="password is wrong") as e:
        extract_archive(archive, root, password="not it")
    assert "not it" not in str(e.value) and "delete" not in str(e.value)
    assert tree(root) == {}
    extract_archive(archive, root, password=PASSWORD)
    assert tree(root) == FILES
    assert os.listdir(root / ".posepile") == ["extract"]


@pytest.mark.parametrize("name", PLAIN)
def test_no_password_is_asked_for_where_none_is_needed(tmp_path, name):
    def ask():
        raise AssertionError("asked for a password")

    archive = write(tmp_path / name, PLAIN[name]())
    assert not is_encrypted(archive)
    extract_archive(archive, tmp_path / "raw", password=ask)
    assert tree(tmp_path / "raw") == FILES


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("piece", [1000, 7001, 20_000])
def test_split_zips(tmp_path, large, encrypted, piece):
    plain = aes_zip_bytes(FILES, PASSWORD) if encrypted else zip_bytes(FILES)
    archive = tmp_path / "a.zip"
    parts = split_zip(archive, plain, piece, large=large)
    assert len(parts) > 1 and content_fault(archive) is None
    assert [p for p in parts if not is_later_part(p)] == [archive]
    extract_archive(archive, tmp_path / "raw", password=PASSWORD)
    assert tree(tmp_path / "raw") == FILES


@pytest.mark.parametrize("missing", ["a.z01", "a.z02", "a.z04"])
def test_a_split_zip_without_one_of_its_parts_is_not_called_damaged(tmp_path, missing):
    archive = tmp_path / "a.zip"
    assert len(split_zip(archive, zip_bytes(FILES), 7001)) == 5
    (tmp_path / missing).unlink()
    with pytest.raises(CorruptInput, match=f"{missing} is missing") as e:
        extract_archive(archive, tmp_path / "raw")
    assert "delete" not in str(e.value) and "truncated" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.zip", zip_bytes),
        ("a.tar.gz", tar_bytes),
        ("a.7z", seven_zip_bytes),
        ("e.7z", lambda files: seven_zip_bytes(files, PASSWORD)),
    ],
)
def test_archives_cut_into_pieces(tmp_path, name, make):
    archive = pieces(tmp_path / name, make(FILES), 9999)
    keep = Extract(keep=False)
    assert extract_archive(archive, tmp_path / "raw", keep, password=PASSWORD).files
    assert tree(tmp_path / "raw") == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]  # all pieces went, as was asked for
    archive = pieces(tmp_path / name, make(FILES), 9999)
    (tmp_path / f"{name}.002").unlink()
    with pytest.raises(CorruptInput, match=rf"{name}\.002 is missing"):
        extract_archive(archive, tmp_path / "other", password=PASSWORD)


def test_a_changed_part_is_another_archive(tmp_path):
    archive = pieces(tmp_path / "a.zip", zip_bytes(FILES), 9999)
    extract_archive(archive, tmp_path / "raw")
    assert extract_archive(archive, tmp_path / "raw").done_before
    others = FILES | {"CMU/walk.txt": b"running\n" * 501}
    pieces(tmp_path / "a.zip", zip_bytes(others), 9999)
    assert not extract_archive(archive, tmp_path / "raw").done_before
    assert tree(tmp_path / "raw") == others


# ---------------------------------------------------------------- safety of 7z


def seven_zip_with(path, name, content=b"evil", mode=None):
    """py7zr writes no unsafe name: put into the list of members, which is not compressed here."""
    placeholder = "p" * len(name)
    with py7zr.SevenZipFile(path, "w") as z:
        z.set_encoded_header_mode(False)
        z.writestr(content, placeholder)
        if mode is not None:
            z.files[0]._file_info["attributes"] = 0x8000 | mode << 16
    raw = bytearray(path.read_bytes())
    at = raw.index(placeholder.encode("utf-16-le"))
    raw[at : at + 2 * len(name)] = name.encode("utf-16-le")
    size, offset = int.from_bytes(raw[20:28], "little"), int.from_bytes(raw[12:20], "little")
    head = raw[32 + offset : 32 + offset + size]
    raw[28:32] = zipfile.crc32(bytes(head)).to_bytes(4, "little")
    raw[8:12] = zipfile.crc32(bytes(raw[12:32])).to_bytes(4, "little")
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("evil", ["../up.txt", "/tmp/abs.txt", "a/../../b", "C:/x", "..\\up.txt"])
def test_names_in_7z_that_leave_are_refused(tmp_path, evil):
    archive = seven_zip_with(tmp_path / "a.7z", evil)
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(archive, tmp_path / "raw")
    assert tree(tmp_path) == {"a.7z": archive.read_bytes()}


def test_links_and_devices_in_7z(tmp_path):
    safe = seven_zip_with(tmp_path / "safe.7z", "plain.txt")
    extract_archive(safe, tmp_path / "raw")
    assert tree(tmp_path / "raw") == {"plain.txt": b"evil"}
    link = seven_zip_with(tmp_path / "link.7z", "link", b"../../etc/passwd", 0o120777)
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(link, tmp_path / "raw")
    device = seven_zip_with(tmp_path / "device.7z", "device", b"", 0o020666)
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(device, tmp_path / "raw")


def test_a_bomb_in_7z_is_refused_before_it_is_unpacked(tmp_path):
    archive = write(tmp_path / "a.7z", seven_zip_bytes({"zeros": bytes(10_000_000)}))
    with pytest.raises(CorruptInput, match="suspicious"):
        extract_archive(archive, tmp_path / "raw", Extract(max_bytes=1_000_000))
    outer = write(tmp_path / "o.tar", tar_bytes({"in/a.7z": archive.read_bytes()}, "w"))
    with pytest.raises(CorruptInput, match="would come out"):
        extract_archive(outer, tmp_path / "raw", Extract(max_bytes=1_000_000, inner="in/*.7z"))
    assert tree(tmp_path / "raw") == {}


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_cut_7z_is_called_so(tmp_path, keep):
    whole = seven_zip_bytes(FILES)
    archive = write(tmp_path / "a.7z", whole[: int(len(whole) * keep)])
    with pytest.raises(CorruptInput, match="truncated or damaged"):
        extract_archive(archive, tmp_path / "raw")
    assert tree(tmp_path / "raw") == {}


def test_a_flipped_bit_in_7z_is_noticed(tmp_path):
    raw = bytearray(seven_zip_bytes(FILES))
    raw[1000] ^= 1
    with pytest.raises(CorruptInput, match="truncated or damaged"):
        extract_archive(write(tmp_path / "a.7z", raw), tmp_path / "raw")
    assert tree(tmp_path / "raw") == {}


# ---------------------------------------------------------------- archives in archives


def test_archives_in_an_archive_are_extracted_in_turn(tmp_path):
    inner = {
        "a": tar_bytes({"a/1.txt": b"1", "a/._1.txt": b"mac"}),
        "b": zip_bytes({"b/2.txt": b"2"}),
        "c": aes_zip_bytes({"c/3.txt": b"3"}, PASSWORD),
        "d": seven_zip_bytes({"d/4.txt": b"4"}, PASSWORD),
    }
    kinds = {"a": "tar.gz", "b": "zip", "c": "zip", "d": "7z"}
    outer = {f"Set/Set/Train/{name}.{kinds[name]}": data for name, data in inner.items()}
    outer |= {"Set/split.npy": b"split", "Set/depth.tar.gz": b"of no use", "Set/._split.npy": b""}
    params = Extract(
        to="Train", strip_prefix="**", members="**/split.npy", inner="**/Train/*.{tar.gz,zip,7z}"
    )
    expected = {"split.npy": b"split", "a/1.txt": b"1", "b/2.txt": b"2"}
    expected |= {"c/3.txt": b"3", "d/4.txt": b"4"}
    for name, data in {"o.tar.gz": tar_bytes(outer), "o.zip": zip_bytes(outer)}.items():
        root = tmp_path / name.replace(".", "_")
        result = extract_archive(
            write(tmp_path / name, data), root, params, password=lambda: PASSWORD
        )
        assert tree(root) == {f"Train/{path}": content for path, content in expected.items()}
        assert result.skipped["metadata of macOS"] == 2
        assert os.listdir(root / ".posepile") == ["extract"]


def test_damage_and_danger_within_an_inner_archive_name_both(tmp_path):
    evil = {"Train/a.tar.gz": tar_bytes({"../up.txt": b"evil"})}
    cut = {"Train/a.tar.gz": tar_bytes({"a.txt": os.urandom(9000)})[:-2000]}
    for outer, message in ((evil, "unsafe"), (cut, "truncated or damaged")):
        archive = write(tmp_path / "o.tar", tar_bytes(outer, "w"))
        with pytest.raises(CorruptInput, match=message) as e:
            extract_archive(archive, tmp_path / "raw", Extract(inner="Train/*"))
        assert "o.tar, Train/a.tar.gz: " in str(e.value)
        assert tree(tmp_path) == {"o.tar": archive.read_bytes()}


# ---------------------------------------------------------------- what systems leave in archives

MAC = {
    "._Set": b"mac",
    "Set/._test": b"mac",
    "Set/test/a.csv": b"1,2\n",
    "Set/test/._a.csv": b"mac",
    "Set/test/.DS_Store": b"mac",
    "__MACOSX/Set/test/._a.csv": b"mac",
}


@pytest.mark.parametrize("make", [tar_bytes, zip_bytes, seven_zip_bytes])
@pytest.mark.parametrize("prefix", ["", "Set"])
def test_what_macos_leaves_is_no_data(tmp_path, make, prefix):
    archive = write(tmp_path / "archive", make(MAC))
    found = extract_archive(archive, tmp_path / "raw", Extract(strip_prefix=prefix))
    assert tree(tmp_path / "raw") == {"test/a.csv" if prefix else "Set/test/a.csv": b"1,2\n"}
    assert found.skipped == {"metadata of macOS": 5}


def test_slashes_and_backslashes_in_one_zip(tmp_path):
    mixed = {"Set/amanda\\image\\00\\0001.jpg": b"1", "Set/amanda\\annots.npy": b"2"}
    archive = write(tmp_path / "a.zip", zip_bytes(mixed))
    extract_archive(archive, tmp_path / "raw")
    expected = {"Set/amanda/image/00/0001.jpg": b"1", "Set/amanda/annots.npy": b"2"}
    assert tree(tmp_path / "raw") == expected
    evil = write(tmp_path / "e.zip", zip_bytes({"Set/a\\..\\..\\..\\up": b"evil"}))
    with pytest.raises(CorruptInput, match="unsafe"):
        extract_archive(evil, tmp_path / "raw")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_joined_tars_are_refused_naming_what_follows_the_end(tmp_path, mode):
    both = tar_bytes({"a": b"1"}, "w") + tar_bytes({"b": b"2"}, "w")
    assert len(both) == 2 * tarfile.RECORDSIZE
    archive = tmp_path / "a.tar"
    if mode == "w":
        archive.write_bytes(both)
    else:
        archive.write_bytes(gzip.compress(both))
    with pytest.raises(CorruptInput, match=f"from byte {tarfile.RECORDSIZE} on") as e:
        extract_archive(archive, tmp_path / "raw")
    assert "damaged" not in str(e.value) and tree(tmp_path / "raw") == {}
