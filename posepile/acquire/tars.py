"""Reading tar files in any compression, from front to back, to their very end."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from posepile.acquire.members import CHUNK, REFETCH, Member
from posepile.errors import CorruptInput, one_line

# Of one member: names and extended headers, which the reader takes into memory.
_LONGEST_HEADER = 1 << 24

# What tarfile raises of its own accord is a TarError; these come from numbers without sense.
_SAID_OF_NONSENSE = (ValueError, ArithmeticError, LookupError, RecursionError, struct.error)

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"  # first bytes of each compression

# By them, what unpacks one stream of it.
_PACKED: dict[bytes, tuple[str, Callable[[], Any]]] = {
    GZIP: ("gzip", lambda: zlib.decompressobj(31)),
    BZIP2: ("bzip2", bz2.BZ2Decompressor),
    XZ: ("xz", lzma.LZMADecompressor),
}


def tar_members(archive: Path | str, raw: IO[bytes], most: int) -> Iterator[Member]:
    """Yields the members of a tar in any compression, which is read once from front to back.

    Args:
        archive: What messages call it.
        raw: Its bytes; closed at the end.
        most: How many bytes the tar itself may have, once its compression is undone.
    """
    with raw:
        stream = _Forward(_plain(raw), most, archive)
        with _opened(archive, stream) as tar:
            while (info := _next(archive, tar, stream)) is not None:
                yield Member(info, lambda info=info: tar.extractfile(info))
                tar.members = []  # or it keeps the headers of millions of files
        # tarfile stops silently at the first later header that it cannot read; a whole archive
        # ends with a block of zeros.
        if stream.last.strip(b"\0") or len(stream.last) < 512:
            raise CorruptInput(
                archive, "truncated or damaged: the tar has no end mark", hint=REFETCH
            )
        end = stream.tell()
        while rest := stream.read(CHUNK):  # the compressor's own checksum stands at the very end
            if rest.strip(b"\0"):
                begins = end + len(rest) - len(rest.lstrip(b"\0"))
                raise CorruptInput(
                    archive,
                    f"the tar has its end mark before byte {end}, and more from byte {begins} on: "
                    "several tars joined, of which only the first would be read",
                    hint="take them apart (tar --ignore-zeros reads all) and put each in place",
                )
            end += len(rest)
        if end % tarfile.BLOCKSIZE:
            told = f"truncated or damaged: a tar of {end} bytes, not whole blocks of 512"
            raise CorruptInput(archive, told, hint=REFETCH)


def begins_as_tar(head: bytes) -> bool:
    """Returns whether a file that begins with these 512 bytes may be a tar, in any compression."""
    if head.startswith(tuple(_PACKED)) or head[257:262] == b"ustar":
        return True
    try:  # the oldest tars have no mark but the checksum of their header
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, *_SAID_OF_NONSENSE):
        return False
    return True


def _opened(archive: Path | str, stream: _Forward) -> tarfile.TarFile:
    """Returns the reader. Not in tarfile's own stream modes: they take a cut file for whole."""
    stream.room = _LONGEST_HEADER  # opening reads the first header
    try:
        return tarfile.open(fileobj=stream, mode="r:")
    except tarfile.ReadError as e:
        if len(stream.last) < 512:
            raise
        raise CorruptInput(
            archive, f"damaged, or no tar is in it ({one_line(e)})", hint=REFETCH
        ) from None
    except _SAID_OF_NONSENSE as e:
        raise _nonsense(archive, e) from None


def _next(archive: Path | str, tar: tarfile.TarFile, stream: _Forward) -> tarfile.TarInfo | None:
    """Returns the next member's header, None at the end.

    Raises:
        CorruptInput: It makes no sense.
    """
    stream.room = _LONGEST_HEADER
    try:
        info = tar.next()
    except _SAID_OF_NONSENSE as e:
        raise _nonsense(archive, e) from None
    stream.room = None
    if info is not None and info.size < 0:
        raise CorruptInput(archive, f"damaged: a member of {info.size} bytes", hint=REFETCH)
    return info


def _nonsense(archive: Path | str, e: Exception) -> CorruptInput:
    what = "hundreds of headers in a row" if isinstance(e, RecursionError) else one_line(e)
    return CorruptInput(archive, f"damaged: a header that makes no sense ({what})", hint=REFETCH)


class _Forward:
    """A file that is read from front to back and remembers its last read.

    Attributes:
        last: What was read last.
        room: How many bytes may be read at the most, None for any number: content is read piece by
            piece, headers whole.
    """

    def __init__(self, f: IO[bytes], most: int, archive: Path | str):
        self._f, self._most, self._archive = f, most, archive
        self._at = 0
        self._again = b""  # the last byte, when it is to be read again
        self.last = b""
        self.room: int | None = None

    def read(self, n: int = -1) -> bytes:
        """As of any file."""
        if self.room is not None:
            if n > self.room:
                told = f"damaged or unsafe: a header of {n} bytes or more"
                raise CorruptInput(self._archive, told, hint=REFETCH)
            self.room -= n
        if self._again and n:
            self.last, self._again = self._again, b""
            self._at += 1
            return self.last
        self.last = self._f.read(n)
        self._count(len(self.last))
        return self.last

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file, but forward only, or to the last byte that was read."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("seeking is supported from the start only")
        if offset == self._at - 1 and self.last and not self._again:
            self._again, self._at = self.last[-1:], offset
        elif offset < self._at:
            raise tarfile.ReadError("a member that begins before the end of another")
        while self._at < offset:  # by reading, so that a cut-off compressed stream is noticed
            skipped = self._again or self._f.read(min(CHUNK, offset - self._at))
            if not skipped:
                break
            self._again, self.last = b"", skipped
            self._count(len(skipped))
        return self._at

    def _count(self, n: int) -> None:
        self._at += n
        if self._at > self._most:
            raise CorruptInput(
                self._archive,
                f"more than {self._most} bytes are in it, which is suspicious for its size",
                hint="if that is right, set extract.max_bytes in sources.yaml",
            )


# ---------------------------------------------------------------- compression


def _plain(raw: IO[bytes]) -> IO[bytes]:
    """Returns a file without its compression."""
    head = raw.peek(6)[:6]
    for magic, (name, make) in _PACKED.items():
        if head.startswith(magic):
            return io.BufferedReader(_Unpacked(raw, magic, name, make), 1 << 16)
    return raw


class _Unpacked(io.RawIOBase):
    """What is packed in a file, in one stream or several of one kind; zeros may follow.

    The standard library's readers pass over what else follows bzip2 and xz.
    """

    def __init__(self, raw: IO[bytes], magic: bytes, name: str, make: Callable[[], Any]):
        self._raw, self._magic, self._name, self._make = raw, magic, name, make
        self._stream, self._rest = make(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while True:
            if self._stream.eof and not self._begin_another():
                return 0
            if not self._rest and getattr(self._stream, "needs_input", True):
                self._rest = self._raw.read(1 << 16)
                if not self._rest:
                    raise EOFError(f"the {self._name} data have no end")
            data = self._stream.decompress(self._rest, len(buffer))
            self._rest = getattr(self._stream, "unconsumed_tail", b"")
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _begin_another(self) -> bool:
        """Returns whether another stream follows."""
        rest = self._stream.unused_data.lstrip(b"\0")
        while len(rest) < len(self._magic) and (more := self._raw.read(1 << 16)):
            rest = (rest + more).lstrip(b"\0")
        if not rest:
            return False
        if not rest.startswith(self._magic):
            raise tarfile.ReadError(f"something else follows the {self._name} data: {rest[:8]!r}")
        self._stream, self._rest = self._make(), rest
        return True
