"""Reading zip files: plain, encrypted in either way, and split over several files."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from posepile.acquire.joined import open_joined, parts_of
from posepile.acquire.members import Member, Password, reveal
from posepile.errors import CorruptInput, refuse_shortage

if TYPE_CHECKING:
    import pyzipper

_AES = 99  # compression method of entries with AES encryption
_END, _END64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_LONGEST_END = 22 + 65535  # with its comment


def zip_members(archive: Path, password: Password) -> Iterator[Member]:
    """Yields the members of a zip file in the order in which they are stored."""
    key = None
    with open_zip(archive) as z:
        for entry in sorted(z.infolist(), key=lambda i: i.header_offset):
            if entry.flag_bits & 1 and key is None:
                key = reveal(archive, password).encode()

            def opener(entry=entry, key=key):
                return z.open(entry, pwd=key if entry.flag_bits & 1 else None)

            info = _describe(entry)
            if info.issym():
                with opener() as f:
                    info.linkname = f.read(4096).decode()
            yield Member(info, opener)


def _describe(entry: zipfile.ZipInfo | pyzipper.zipfile.ZipInfo) -> tarfile.TarInfo:
    """Returns an entry of a zip as one of a tar."""
    # Archives made on Windows may separate with backslashes, some or all, against the standard.
    info = tarfile.TarInfo(entry.filename.replace("\\", "/"))
    info.size = entry.file_size
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if info.name.endswith("/"):
        info.type = tarfile.DIRTYPE
    elif kind == stat.S_IFLNK:
        info.type, info.size = tarfile.SYMTYPE, 0
    elif kind not in (0, stat.S_IFREG):
        info.type = tarfile.CHRTYPE
    return info


def zip_unpacked_bytes(archive: Path) -> int:
    """Returns how many bytes come out of a zip file."""
    with open_zip(archive) as z:
        return sum(i.file_size for i in z.infolist())


def zip_fault(archive: Path, *, contents: bool) -> str | None:
    """Returns what is wrong with a zip file, None if nothing is.

    Args:
        archive: The file.
        contents: Also compare the checksums of what is in it, unless that is encrypted.
    """
    try:
        with open_zip(archive) as z:
            encrypted = any(i.flag_bits & 1 for i in z.infolist())
            bad = z.testzip() if contents and not encrypted else None
    except (zipfile.BadZipFile, zlib.error, EOFError) as e:
        refuse_shortage(archive, e)
        return f"a truncated or damaged zip file ({e})"
    except CorruptInput as e:
        return e.reason
    except NotImplementedError:
        return None  # packed by a method that is not known here, so it cannot be judged
    return f"a zip file whose member {bad} is damaged" if bad else None


def zip_is_encrypted(archive: Path) -> bool:
    """Returns whether anything in a zip file is encrypted."""
    with open_zip(archive) as z:
        return any(i.flag_bits & 1 for i in z.infolist())


@contextlib.contextmanager
def open_zip(archive: Path) -> Iterator[zipfile.ZipFile | pyzipper.AESZipFile]:
    """Opens a zip file with all its parts, by the reader that knows its encryption.

    Raises:
        CorruptInput: A part is missing.
        zipfile.BadZipFile: It is damaged.
    """
    import pyzipper

    parts = parts_of(archive)
    # Pieces numbered .001 are cut from an ordinary one; the others know of their being split.
    split = archive.suffix.lower() == ".zip" and _require_all(archive, parts)
    with open_joined(parts, _as_one_disk(parts) if split else None) as f:
        z = zipfile.ZipFile(f)
        try:
            if any(i.compress_type == _AES for i in z.infolist()):
                z = pyzipper.AESZipFile(f)
            if split:
                _count_from_the_first(z, parts)
            yield z
        except pyzipper.BadZipFile as e:
            raise zipfile.BadZipFile(str(e)) from None
        finally:
            z.close()


# ---------------------------------------------------------------- split over several files


def _find_end(part: Path) -> tuple[int, bytes]:
    """Returns where the end record stands in the last file, and what stands there."""
    size = part.stat().st_size
    with open(part, "rb") as f:
        f.seek(max(size - _LONGEST_END, 0))
        tail = f.read()
    at = tail.rfind(_END)
    return max(size - _LONGEST_END, 0) + at, tail[at:] if at >= 0 else b""


def _require_all(archive: Path, parts: list[Path]) -> bool:
    """Returns whether a zip is split; the last file says over how many.

    Raises:
        CorruptInput: Not all of them are there.
    """
    _, end = _find_end(archive)
    count = struct.unpack_from("<H", end, 4)[0] + 1 if len(end) >= 22 else len(parts)
    if count not in (len(parts), 0x10000):
        missing = archive.with_suffix(f".z{min(len(parts), count - 1):02d}")
        raise CorruptInput(
            archive,
            f"{len(parts)} files of a zip that is split over {count}; {missing.name} is missing"
            if count > len(parts)
            else f"says that it is split over {count} files; there are {len(parts)}",
            hint="put all files of it, and no others of its name, into the same folder",
        )
    return len(parts) > 1


def _as_one_disk(parts: list[Path]) -> dict[int, bytes]:
    """Returns what must be read elsewise so that the readers open a split zip of over 4 GB.

    They refuse a 64-bit end record that is not on the first of one disks.
    """
    at, _ = _find_end(parts[-1])
    with open(parts[-1], "rb") as f:
        f.seek(max(at - 20, 0))
        locator = f.read(20)
    if locator[:4] != _END64_LOCATOR:
        return {}
    start = sum(p.stat().st_size for p in parts[:-1]) + at - 20
    return {start + 4: struct.pack("<I", 0), start + 16: struct.pack("<I", 1)}


def _count_from_the_first(z: zipfile.ZipFile | pyzipper.AESZipFile, parts: list[Path]) -> None:
    """Makes offsets within their own file those in the whole."""
    sizes = [p.stat().st_size for p in parts]
    starts = [0, *itertools.accumulate(sizes)]
    # The readers took the directory's file for the only one and shifted by what stands before.
    at = bisect.bisect_right(starts, z.start_dir) - 1
    for entry in z.infolist():
        if entry.volume >= len(parts):
            raise zipfile.BadZipFile(f"{entry.filename} begins in file {entry.volume + 1}")
        entry.header_offset += starts[entry.volume] - starts[at]
        if hasattr(entry, "_end_offset"):  # found with the offsets as they were
            entry._end_offset = None
