"""Shards as files: their digests, links and copies."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from posepile.files import open_regular

CHUNK = 8 << 20


def file_digest(path: str | os.PathLike, also: Any = None) -> tuple[str, int]:
    """Returns the SHA-256 of a file as hex digits, and its size.

    Args:
        path: The file.
        also: A digest that is fed the same bytes.
    """
    digest, size = hashlib.sha256(), 0
    with open_regular(path, buffering=0) as f:
        # A small file is read at once; of a large one, no more than some megabytes are in memory.
        buffer = bytearray(min(CHUNK, os.fstat(f.fileno()).st_size + 1))
        view = memoryview(buffer)
        while n := f.readinto(buffer):
            digest.update(view[:n])
            if also is not None:
                also.update(view[:n])
            size += n
    return digest.hexdigest(), size


def link_or_copy(source: Path, target: Path) -> int:
    """Makes a file a hard link of another, or a copy where the file system cannot link.

    Returns:
        Number of bytes copied.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
        return 0
    except OSError as e:
        if e.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
    with open(source, "rb") as f, open(target, "wb") as out:
        shutil.copyfileobj(f, out, CHUNK)
        out.flush()
        os.fsync(out.fileno())
        return out.tell()


def append_file(source: BinaryIO, out: BinaryIO) -> int:
    """Appends a file to another; returns its size."""
    size = os.fstat(source.fileno()).st_size
    done = 0
    out.flush()
    with contextlib.suppress(OSError, AttributeError):  # then it is copied below
        while done < size:  # within the kernel; shares blocks on file systems that can
            n = os.copy_file_range(source.fileno(), out.fileno(), size - done, done)
            if not n:
                break
            done += n
    if done < size:
        source.seek(done)
        out.seek(0, os.SEEK_END)
        shutil.copyfileobj(source, out, CHUNK)
        out.flush()
    else:
        out.seek(0, os.SEEK_END)
    return size
