"""Reading zip files: plain, encrypted in either way, and split over several files."""

from __future__ import annotations

import bisect
import contextlib
import copy
import errno
import itertools
import os
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, Union

from posepile.acquire.joined import open_joined, parts_of
from posepile.acquire.members import (
    REFETCH,
    Member,
    Password,
    by_hand,
    damage_reported,
    reveal,
    shown,
)
from posepile.errors import CorruptInput, one_line

if TYPE_CHECKING:
    import pyzipper

_Reader: TypeAlias = Union[zipfile.ZipFile, "pyzipper.AESZipFile"]

_AES = 99  # compression method of entries with AES encryption
_END, _END64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_LONGEST_END = 22 + 65535  # with its comment
_LOCAL = struct.Struct("<4s5H3I2H")  # what stands before a member
_DICTIONARY = 1 << 26  # bytes of LZMA's dictionary that any member may have
_SUMS = ("checksum", "packed size", "size")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, _AES)


def zip_members(archive: Path, password: Password) -> Iterator[Member]:
    """Yields the members of a zip file in the order in which they are stored."""
    key = None
    with open_zip(archive) as z:
        entries = sorted(z.infolist(), key=lambda i: i.header_offset)
        ends = [*(i.header_offset for i in entries[1:]), z.start_dir]
        for entry, end in zip(entries, ends, strict=True):
            _require_known_method(archive, entry)
            _require_same_header(archive, z.fp, entry, end)
            _require_small_dictionary(archive, z.fp, entry)
            if entry.flag_bits & 1 and key is None:
                key = reveal(archive, password).encode()
            # Read to the end of what is packed, which may be more than the announced size.
            whole = copy.copy(entry)
            whole.file_size += 1

            def opener(entry=whole, key=key):
                try:
                    return z.open(entry, pwd=key if entry.flag_bits & 1 else None)
                except (LookupError, ValueError, struct.error) as e:
                    # Of numbers that say how it is encrypted; sooner than anything is read.
                    raise zipfile.BadZipFile(f"{type(e).__name__}: {e}") from None

            info = _describe(entry)
            if info.issym():
                with opener() as f:
                    info.linkname = f.read(4096).decode()
            yield Member(info, opener, crc=None if entry.flag_bits & 1 else entry.CRC)


def _require_known_method(archive: Path, entry: zipfile.ZipInfo) -> None:
    if entry.compress_type not in _METHODS:
        name = zipfile.compressor_names.get(entry.compress_type, "unknown")
        raise CorruptInput(
            archive,
            f"member {shown(entry.filename)} is packed by method {entry.compress_type} ({name}), "
            "which is not read here",
            hint=by_hand("e.g. 7z x"),
        )


def _require_same_header(archive: Path, f: IO[bytes], entry: zipfile.ZipInfo, end: int) -> None:
    """Holds the header that stands before a member against its entry in the directory.

    Args:
        archive: The archive.
        f: Its bytes.
        entry: As the directory has it.
        end: Where the next member begins.
    """
    f.seek(entry.header_offset)
    head = f.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile(f"no header at byte {entry.header_offset}")
    _, _, flags, method, _, _, *sums, name, extra = _LOCAL.unpack(head)
    label = f"member {shown(entry.filename)}"
    if entry.header_offset + _LOCAL.size + name + extra + entry.compress_size > end:
        raise CorruptInput(
            archive,
            f"damaged or unsafe: {label} overlaps with what follows, as in a zip bomb; refused",
            hint=REFETCH,
        )
    told = []
    if method not in (entry.compress_type, _AES):
        told.append(("method", method, entry.compress_type))
    if flags & 1 != entry.flag_bits & 1:
        told.append(("encryption", flags & 1, entry.flag_bits & 1))
    if not flags & 8 and any(sums):  # else they stand after it
        listed = (entry.CRC, entry.compress_size, entry.file_size)
        told += [
            (what, here, there)
            for what, here, there in zip(_SUMS, sums, listed, strict=True)
            if here not in (there, 0xFFFFFFFF)
        ]
    if told:
        what, here, there = told[0]
        raise CorruptInput(
            archive,
            f"damaged or unsafe: {label} has the {what} {here} in its own header and {there} in "
            "the directory; refused",
            hint=REFETCH,
        )


def _require_small_dictionary(archive: Path, f: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Refuses a member whose reader would take much more memory than it has bytes (LZMA)."""
    if entry.compress_type != zipfile.ZIP_LZMA:
        return
    f.seek(entry.header_offset)
    head = f.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        return  # told by what reads it
    f.seek(sum(_LOCAL.unpack(head)[-2:]), 1)
    needed = int.from_bytes(f.read(9)[5:], "little")
    if needed > max(_DICTIONARY, 2 * entry.file_size):
        label = f"member {shown(entry.filename)} of {entry.file_size} bytes"
        told = f"damaged or unsafe: {label} would need {needed} bytes of memory; refused"
        raise CorruptInput(archive, told, hint=REFETCH)


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
        with damage_reported(archive), open_zip(archive) as z:
            encrypted = any(i.flag_bits & 1 for i in z.infolist())
            for entry in z.infolist():
                _require_small_dictionary(archive, z.fp, entry)
            try:
                bad = z.testzip() if contents and not encrypted else None
            except NotImplementedError:
                return None  # packed by a method that is not known here, so it cannot be judged
    except CorruptInput as e:
        return f"a zip file that is {e.reason}" if e.hint == REFETCH else e.reason
    return f"a zip file whose member {bad} is damaged" if bad else None


def zip_is_encrypted(archive: Path) -> bool:
    """Returns whether anything in a zip file is encrypted."""
    with open_zip(archive) as z:
        return any(i.flag_bits & 1 for i in z.infolist())


@contextlib.contextmanager
def open_zip(archive: Path) -> Iterator[_Reader]:
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
        z = _read_directory(zipfile.ZipFile, f)
        try:
            if any(i.compress_type == _AES for i in z.infolist()):
                z = _read_directory(pyzipper.AESZipFile, f)
            _require_one_directory(archive, z, f)
            if split:
                _count_from_the_first(z, parts)
            _require_listed_order(archive, z, f)
            yield z
        except pyzipper.BadZipFile as e:
            raise zipfile.BadZipFile(str(e)) from None
        finally:
            z.close()


def _read_directory(reader: Callable[[IO[bytes]], _Reader], f: IO[bytes]) -> _Reader:
    try:
        return reader(f)
    except (ValueError, LookupError, ArithmeticError, struct.error) as e:
        raise zipfile.BadZipFile(f"numbers without sense in it: {one_line(e)}") from None
    except OSError as e:  # of a place before the file's beginning
        if e.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile("its directory would begin before the file") from None


def _require_one_directory(archive: Path, z: _Reader, f: IO[bytes]) -> None:
    """Refuses a zip of which two readers could take two lists of members for the right one."""
    tail = _tail(f)
    found = [m.start() for m in re.finditer(re.escape(_END), tail)]
    whole = [i for i in found if tail[i + 20 : i + 22] == struct.pack("<H", len(tail) - i - 22)]
    if whole and whole != found[-1:]:
        raise CorruptInput(
            archive,
            "unsafe: another end record in its comment, so that it is not certain what is in it; "
            "refused",
        )
    counted = struct.unpack_from("<H", tail, found[-1] + 10)[0]
    if counted not in (0xFFFF, len(z.infolist()) & 0xFFFF):
        raise zipfile.BadZipFile(f"{len(z.infolist())} members listed, {counted} announced")


def _require_listed_order(archive: Path, z: _Reader, f: IO[bytes]) -> None:
    """Refuses members outside the directory, and two of a name in contrary orders."""
    f.seek(0)
    begins, first = f.read(4), min((i.header_offset for i in z.infolist()), default=z.start_dir)
    if first < 0:
        raise zipfile.BadZipFile(f"its first member would begin {-first} bytes before the file")
    if begins == b"PK\x03\x04" and first:
        raise CorruptInput(
            archive,
            f"members before byte {first} that its directory does not list: several zips joined, "
            "of which only the last would be read",
            hint="take them apart, and put each in place",
        )
    last: dict[str, int] = {}
    for entry in z.infolist():
        if last.setdefault(entry.filename, entry.header_offset) > entry.header_offset:
            raise CorruptInput(
                archive,
                f"unsafe: member {shown(entry.filename)} stands in it twice, and the directory "
                "lists the one that comes later first; refused",
            )
        last[entry.filename] = entry.header_offset


def has_end_record(f: IO[bytes]) -> bool:
    """Returns whether a file has the record with which a zip ends."""
    tail = _tail(f)
    return 0 <= tail.rfind(_END) <= len(tail) - 22


def _tail(f: IO[bytes]) -> bytes:
    f.seek(max(f.seek(0, os.SEEK_END) - _LONGEST_END, 0))
    return f.read()


# ---------------------------------------------------------------- split over several files


def _find_end(part: Path) -> tuple[int, bytes]:
    """Returns where the end record stands in the last file, and what stands there."""
    with open(part, "rb") as f:
        tail = _tail(f)
        begins = f.tell() - len(tail)
    at = tail.rfind(_END)
    return begins + at, tail[at:] if at >= 0 else b""


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


def _count_from_the_first(z: _Reader, parts: list[Path]) -> None:
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
