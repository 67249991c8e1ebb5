"""Reading what is in archives, member by member: tar, zip and 7z, whole or in several files.

What is unsafe is refused, see :mod:`posepile.acquire.members`.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from posepile.acquire.joined import open_joined, parts_of
from posepile.acquire.members import (
    CHUNK,
    REFETCH,
    Member,
    Password,
    damage_reported,
    safe_path,
)
from posepile.acquire.sevenzips import (
    seven_zip_is_encrypted,
    seven_zip_members,
    seven_zip_unpacked_bytes,
)
from posepile.acquire.zips import zip_is_encrypted, zip_members, zip_unpacked_bytes
from posepile.errors import CorruptInput, UsageError


@contextlib.contextmanager
def members(
    archive: Path, form: str, folder: Path, password: Password, scratch: Path
) -> Iterator[Iterator[tuple[str, Member]]]:
    """Reads an archive from front to back, to its very end.

    Args:
        archive: The archive.
        form: ``tar``, ``zip``, ``7z`` or ``auto``.
        folder: Where the members are to be extracted.
        password: Of an encrypted archive; a function is asked when it turns out to be one.
        scratch: A folder that is made if what is unpacked has to lie somewhere for the moment.

    Yields:
        Pairs of a member's path in canonical form and the member. A file must be read before the
        next one is asked for.

    Raises:
        CorruptInput: Truncated or damaged, not an archive, or unsafe.
        UsageError: A password is missing or wrong, or Python is too old to judge archives.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UsageError(
            f"Python {sys.version.split()[0]} cannot unpack archives safely; use 3.10.12, 3.11.4 "
            "or later"
        )
    form = archive_format(archive) if form == "auto" else form
    with damage_reported(archive, encrypted=lambda: form == "zip" and is_encrypted(archive)):
        if form == "zip":
            found = zip_members(archive, password)
        elif form == "7z":
            found = seven_zip_members(archive, folder, password, scratch)
        else:
            found = tar_members(archive, open_joined(parts_of(archive)))
        with contextlib.closing(found):
            yield ((safe_path(archive, m.info, folder), m) for m in found)


@contextlib.contextmanager
def inner_members(
    archive: Path,
    name: str,
    f: IO[bytes],
    folder: Path,
    password: Password,
    scratch: Path,
    room: int,
) -> Iterator[Iterator[tuple[str, Member]]]:
    """Reads an archive that is a member of an archive; as :func:`members`.

    Args:
        archive: The outer archive.
        name: The member's name in it.
        f: The member's content.
        folder: Where the members are to be extracted.
        password: Of an encrypted archive.
        scratch: A folder that is made if what is unpacked has to lie somewhere for the moment.
        room: How many bytes may come out, where that is known beforehand.
    """
    label = f"{archive}, {name}"
    f = io.BufferedReader(f) if not hasattr(f, "peek") else f
    if format_of(f.peek(512)[:512], label) == "tar":  # needs no place of its own
        with damage_reported(label), contextlib.closing(tar_members(label, f)) as found:
            yield ((safe_path(label, m.info, folder), m) for m in found)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    copy = scratch / name.rsplit("/", 1)[-1]
    try:
        with damage_reported(label), open(copy, "wb") as out:
            shutil.copyfileobj(f, out, CHUNK)
        if (unpacked_bytes(copy, "auto", password) or 0) > room:
            raise CorruptInput(
                label,
                f"more than {room} bytes would come out of it",
                hint="if that is right, set extract.max_bytes in sources.yaml",
            )
        with members(copy, "auto", folder, password, scratch / "unpacked") as found:
            yield found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def unpacked_bytes(archive: Path, form: str, password: Password) -> int | None:
    """Returns how many bytes come out of an archive, None if that is not known beforehand.

    Raises:
        CorruptInput: It is damaged, or not an archive.
    """
    form = archive_format(archive) if form == "auto" else form
    if form == "tar":
        return None
    if form == "7z":
        return seven_zip_unpacked_bytes(archive, password)
    with damage_reported(archive):
        return zip_unpacked_bytes(archive)


def is_encrypted(archive: Path) -> bool:
    """Returns whether a password is needed, as far as an archive that can be read shows it."""
    try:
        form = archive_format(archive)
        if form == "7z":
            return seven_zip_is_encrypted(archive)
        with damage_reported(archive):
            return form == "zip" and zip_is_encrypted(archive)
    except CorruptInput:
        return False  # told where it is read


def archive_format(archive: Path) -> str:
    """Returns ``zip``, ``7z`` or ``tar`` (whatever its compression) by the first bytes.

    Raises:
        CorruptInput: None of these; the message says what it looks like.
    """
    with open_joined(parts_of(archive)) as f:
        return format_of(f.read(512), archive)


def format_of(head: bytes, archive: Path | str) -> str:
    """Returns the format of an archive that begins with these bytes, as :func:`archive_format`."""
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00"):
        return "zip"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    if head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b":
        return "tar"
    if head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\x00":
        return "tar"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        raise CorruptInput(archive, "an HTML page instead of an archive", hint=REFETCH)
    for magic, what in ((b"Rar!\x1a\x07", "rar"), (b"\x28\xb5\x2f\xfd", "zst")):
        if head.startswith(magic):
            raise CorruptInput(
                archive,
                f"a {what} archive, which is not read here",
                hint="extract it by hand into the dataset's folder",
            )
    if not head:
        raise CorruptInput(archive, "an empty file instead of an archive", hint=REFETCH)
    raise CorruptInput(
        archive, f"not a tar, zip or 7z archive: begins with {head[:8]!r}", hint=REFETCH
    )


# ---------------------------------------------------------------- tar


def tar_members(archive: Path | str, raw: IO[bytes]) -> Iterator[Member]:
    """Yields the members of a tar in any compression, which is read once from front to back.

    Args:
        archive: What messages call it.
        raw: Its bytes; closed at the end.
    """
    with raw:
        head = raw.peek(6)[:6]
        if head[:2] == b"\x1f\x8b":
            plain: IO[bytes] = gzip.GzipFile(fileobj=raw)
        elif head[:3] == b"BZh":
            plain = bz2.BZ2File(raw)
        elif head == b"\xfd7zXZ\x00":
            plain = lzma.LZMAFile(raw)
        else:
            plain = raw
        stream = _Forward(plain)
        # Not tarfile's own stream modes: they take a cut-off file for a complete one.
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (info := tar.next()) is not None:
                yield Member(info, lambda info=info: tar.extractfile(info))
                tar.members = []  # or it keeps the headers of millions of files
        # tarfile stops silently at the first later header that it cannot read; a whole archive
        # ends with a block of zeros.
        if stream.last.strip(b"\0") or len(stream.last) < 512:
            raise CorruptInput(
                archive, "truncated or damaged: the tar has no end mark", hint=REFETCH
            )
        end = stream.tell()
        while rest := plain.read(CHUNK):  # the compressor's own checksum stands at the very end
            if rest.strip(b"\0"):
                begins = end + len(rest) - len(rest.lstrip(b"\0"))
                raise CorruptInput(
                    archive,
                    f"the tar has its end mark before byte {end}, and more from byte {begins} on: "
                    "several tars joined, of which only the first would be read",
                    hint="take them apart (tar --ignore-zeros reads all) and put each in place",
                )
            end += len(rest)


class _Forward:
    """A file that is read from front to back and remembers its last read.

    Seeking forward by reading, so that a cut-off compressed stream is noticed.
    """

    def __init__(self, f: IO[bytes]):
        self._f = f
        self._at = 0
        self.last = b""

    def read(self, n: int = -1) -> bytes:
        """As of any file."""
        self.last = self._f.read(n)
        self._at += len(self.last)
        return self.last

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file, from the start only."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("seeking is supported from the start only")
        if offset < self._at:
            self._at = self._f.seek(offset)
        while self._at < offset:
            skipped = self._f.read(min(CHUNK, offset - self._at))
            if not skipped:
                break
            self._at += len(skipped)
        return self._at
