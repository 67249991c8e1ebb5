"""Reading what is in tar and zip archives, member by member, and refusing what is not safe.

Archives from the internet are not trusted: absolute paths, ``..``, links that leave the archive
and device files make the whole archive refused. Members of both kinds are described by a
:class:`tarfile.TarInfo`, so that the standard library's data filter judges links and special
files of both.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import posixpath
import re
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from posepile.acquire.credentials import Secret
from posepile.errors import CorruptInput, UsageError

# An archive that came by hand may be impossible to get again: deleting it is not advised first.
REFETCH = (
    "put a complete copy in its place (if the download fetched it: delete it and run the "
    "download again)"
)

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One file, link or folder of an archive.

    Attributes:
        info: Name, kind, size and target of a link.
        open: Opens a file.
    """

    info: tarfile.TarInfo
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def members(
    archive: Path, form: str, folder: Path, password: Secret | str | None
) -> Iterator[Iterator[tuple[str, Member]]]:
    """Reads an archive from front to back, to its very end.

    Args:
        archive: The archive.
        form: ``tar``, ``zip`` or ``auto``.
        folder: Where the members are to be extracted.
        password: Of an encrypted zip.

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
    reader = _zip_members if form == "zip" else _tar_members
    with _damage_reported(archive):
        yield ((_safe_path(archive, m.info, folder), m) for m in reader(archive, password))


def unpacked_bytes(archive: Path, form: str) -> int | None:
    """Returns how many bytes come out of an archive, None if that is not known beforehand.

    Raises:
        CorruptInput: It is damaged, or not an archive.
    """
    form = archive_format(archive) if form == "auto" else form
    if form != "zip":
        return None
    with _damage_reported(archive), zipfile.ZipFile(archive) as z:
        return sum(i.file_size for i in z.infolist())


def zip_fault(archive: Path, *, contents: bool) -> str | None:
    """Returns what is wrong with a zip file, None if nothing is.

    Args:
        archive: The file.
        contents: Also compare the checksums of what is in it, unless that is encrypted.
    """
    try:
        with zipfile.ZipFile(archive) as z:
            encrypted = any(i.flag_bits & 1 for i in z.infolist())
            bad = z.testzip() if contents and not encrypted else None
    except (zipfile.BadZipFile, zlib.error, EOFError) as e:
        return f"a truncated or damaged zip file ({e})"
    except NotImplementedError:
        return None  # packed by a method that is not known here, so it cannot be judged
    return f"a zip file whose member {bad} is damaged" if bad else None


def archive_format(archive: Path) -> str:
    """Returns ``zip`` or ``tar`` (whatever its compression) by the first bytes.

    Raises:
        CorruptInput: Neither; the message says what it looks like.
    """
    with open(archive, "rb") as f:
        head = f.read(512)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return "zip"
    if head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b":
        return "tar"
    if head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\x00":
        return "tar"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        raise CorruptInput(archive, "an HTML page instead of an archive", hint=REFETCH)
    for magic, what in (
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x28\xb5\x2f\xfd", "zst"),
    ):
        if head.startswith(magic):
            raise CorruptInput(
                archive,
                f"a {what} archive, which is not read here",
                hint="extract it by hand into the dataset's folder",
            )
    if not head:
        raise CorruptInput(archive, "an empty file instead of an archive", hint=REFETCH)
    raise CorruptInput(
        archive, f"not a tar or zip archive: begins with {head[:8]!r}", hint=REFETCH
    )


# ---------------------------------------------------------------- safety


def _safe_path(archive: Path, info: tarfile.TarInfo, folder: Path) -> str:
    """Returns a member's path in canonical form; refuses one that could write elsewhere."""
    name = info.name
    # The filter would make a relative path of an absolute one, and follow ``..`` inside.
    if "\0" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise CorruptInput(archive, f"unsafe: member with the absolute path {name!r}; refused")
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts:
        raise CorruptInput(archive, f"unsafe: member {name!r} leaves the archive; refused")
    if info.isreg() or info.isdir():
        # Without links in the folder such a name stays in it; the filter would follow each of its
        # components on the disk (190 us per member).
        return "/".join(parts) or "."
    try:
        tarfile.data_filter(info, os.fspath(folder))
    except tarfile.FilterError as e:
        raise CorruptInput(archive, f"unsafe: {e}; refused") from None
    return "/".join(parts)


def link_target(path: str, info: tarfile.TarInfo) -> str:
    """Returns the path inside the archive that a (safe) link at ``path`` points to."""
    # A hard link names a member, a symbolic one is relative to where it stands.
    at = posixpath.dirname(path) if info.issym() else ""
    return posixpath.normpath(posixpath.join(at, info.linkname))


# ---------------------------------------------------------------- the two formats


def _tar_members(archive: Path, password: Secret | str | None) -> Iterator[Member]:
    with open(archive, "rb") as raw:
        head = raw.read(6)
        raw.seek(0)
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
        while plain.read(_CHUNK):  # the compressor's own checksum stands at the very end
            pass


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
            skipped = self._f.read(min(_CHUNK, offset - self._at))
            if not skipped:
                break
            self._at += len(skipped)
        return self._at


def _zip_members(archive: Path, password: Secret | str | None) -> Iterator[Member]:
    if isinstance(password, str):
        password = Secret(password)
    key = password.reveal().encode() if password is not None else None
    with _open_zip(archive) as z:
        for entry in sorted(z.infolist(), key=lambda i: i.header_offset):
            if entry.flag_bits & 1 and key is None:
                raise UsageError(
                    f"{archive}: encrypted, so it needs a password (extract.password in "
                    "sources.yaml names the credentials to use)"
                )

            def opener(entry=entry):
                return z.open(entry, pwd=key if entry.flag_bits & 1 else None)

            info = _describe(entry)
            if info.issym():
                with opener() as f:
                    info.linkname = f.read(4096).decode()
            yield Member(info, opener)


def _describe(entry: zipfile.ZipInfo) -> tarfile.TarInfo:
    """Returns an entry of a zip as one of a tar."""
    name = entry.filename
    # Archives made on Windows may separate with backslashes, against the standard.
    info = tarfile.TarInfo(name if "/" in name else name.replace("\\", "/"))
    info.size = entry.file_size
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if info.name.endswith("/"):
        info.type = tarfile.DIRTYPE
    elif kind == stat.S_IFLNK:
        info.type, info.size = tarfile.SYMTYPE, 0
    elif kind not in (0, stat.S_IFREG):
        info.type = tarfile.CHRTYPE
    return info


def _open_zip(archive: Path) -> zipfile.ZipFile:
    """By the standard reader, or by pyzipper (which knows AES) where needed and installed."""
    z = zipfile.ZipFile(archive)
    if any(i.compress_type == 99 for i in z.infolist()):
        try:
            import pyzipper
        except ImportError:
            return z
        z.close()
        return pyzipper.AESZipFile(archive)
    return z


# ---------------------------------------------------------------- damage


@contextlib.contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    """Turns what the standard library says of damaged archives into one sentence."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        UnicodeError,
        gzip.BadGzipFile,
        lzma.LZMAError,
        zlib.error,
    ) as e:
        told = " ".join(str(e).split())
        raise CorruptInput(
            archive, f"truncated or damaged ({told})", hint=_damage_hint(archive)
        ) from None
    except NotImplementedError as e:
        raise CorruptInput(
            archive,
            f"packed or encrypted by a method that is not read here ({e})",
            hint="extract it by hand, e.g. with 7z, or install pyzipper for AES encryption",
        ) from None
    except RuntimeError as e:
        if "password" in str(e).lower():
            raise UsageError(f"{archive}: the password is wrong for it") from None
        raise
    except OSError as e:
        if e.errno is not None:
            raise
        # This is how bz2 reports invalid data.
        raise CorruptInput(archive, f"damaged ({e})", hint=REFETCH) from None


def _damage_hint(archive: Path) -> str:
    try:
        with zipfile.ZipFile(archive) as z:
            if any(i.flag_bits & 1 for i in z.infolist()):
                # One wrong password in 256 passes the format's own check.
                return f"or the password is wrong; otherwise {REFETCH}"
    except (zipfile.BadZipFile, OSError):
        pass
    return REFETCH
