"""Reading 7z files.

Their members are packed together, so that they come out in one go: into numbered files of a
scratch folder, whatever they are called in the archive.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from posepile.acquire.joined import open_joined, parts_of
from posepile.acquire.members import (
    REFETCH,
    Member,
    Password,
    by_hand,
    reveal,
    safe_path,
    shown,
)
from posepile.errors import CorruptInput, PosePileError, UsageError, one_line

if TYPE_CHECKING:
    import py7zr


def seven_zip_members(
    archive: Path, folder: Path, password: Password, scratch: Path
) -> Iterator[Member]:
    """Yields the members of a 7z file once all are unpacked.

    Args:
        archive: The archive, or the first of its parts.
        folder: Where the members are to be extracted.
        password: Used if it is encrypted.
        scratch: Folder that is made for the unpacked files and removed at the end.

    Raises:
        CorruptInput: Damaged, unsafe, or of an unknown method.
        UsageError: A password is missing or wrong.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with _opened(archive, password) as z:
            infos = [_describe(file) for file in z.files]
            z.extractall(path=scratch, factory=_factory(scratch, _numbers(archive, infos, folder)))
        for number, info in enumerate(infos):
            file = scratch / str(number)
            if info.issym():
                info.size, info.linkname = 0, file.read_text("utf-8", "replace")[:4096]
            yield Member(info, lambda file=file: open(file, "rb"), file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def seven_zip_unpacked_bytes(archive: Path, password: Password) -> int:
    """Returns how many bytes come out of a 7z file; more it cannot give."""
    with _opened(archive, password) as z:
        return sum(file.uncompressed for file in z.files)


def seven_zip_is_encrypted(archive: Path) -> bool:
    """Returns whether a 7z file needs a password.

    Raises:
        CorruptInput: It is damaged.
    """
    import py7zr

    with open_joined(parts_of(archive)) as f, _faults_told(archive, encrypted=False):
        try:
            with py7zr.SevenZipFile(f) as z:
                return z.needs_password()
        except py7zr.exceptions.PasswordRequired:  # even its list of members is encrypted
            return True


@contextlib.contextmanager
def _opened(archive: Path, password: Password) -> Iterator[py7zr.SevenZipFile]:
    import py7zr

    encrypted = seven_zip_is_encrypted(archive)
    key = reveal(archive, password) if encrypted else None
    with open_joined(parts_of(archive)) as f, _faults_told(archive, encrypted=encrypted):
        with py7zr.SevenZipFile(f, password=key) as z:
            yield z


def _describe(file: py7zr.py7zr.ArchiveFile) -> tarfile.TarInfo:
    """Returns a member of a 7z file as one of a tar."""
    info = tarfile.TarInfo(file.filename.replace("\\", "/"))
    info.size = file.uncompressed
    if file.is_directory:
        info.type = tarfile.DIRTYPE
    elif file.is_symlink or file.is_junction:
        info.type = tarfile.SYMTYPE
    elif file.st_fmt not in (None, 0, stat.S_IFREG):
        info.type = tarfile.CHRTYPE
    return info


def _numbers(archive: Path, infos: list[tarfile.TarInfo], folder: Path) -> dict[str, int]:
    """Returns the number of every file by its name; refuses names before anything is written."""
    numbers: dict[str, int] = {}
    for number, info in enumerate(infos):
        if not info.issym():  # where a link points to is known, and judged, later
            safe_path(archive, info, folder)
        if info.isdir():
            continue
        name = PurePosixPath(info.name).as_posix()
        if name in numbers:
            raise CorruptInput(archive, f"member {shown(name)} stands in it twice; refused")
        numbers[name] = number
    return numbers


def _factory(scratch: Path, numbers: dict[str, int]) -> py7zr.io.WriterFactory:
    """Returns what gives the reader a file to write to for each member."""
    import py7zr

    class ScratchFile(py7zr.io.Py7zIO):
        def __init__(self, path: Path):
            self._f = open(path, "wb")

        def write(self, s: bytes | bytearray) -> int:
            return self._f.write(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def flush(self) -> None:
            self._f.flush()

        def size(self) -> int:
            return self._f.tell()

        def close(self) -> None:
            self._f.close()

    class ScratchFiles(py7zr.io.WriterFactory):
        def create(self, filename: str) -> ScratchFile:
            name = PurePosixPath(filename).relative_to(scratch.as_posix()).as_posix()
            return ScratchFile(scratch / str(numbers[name]))

    return ScratchFiles()


@contextlib.contextmanager
def _faults_told(archive: Path, *, encrypted: bool) -> Iterator[None]:
    """Makes one sentence of what the reader says of a file that it cannot read.

    With a wrong password it goes on with what comes out, and fails in any way.
    """
    import py7zr

    try:
        yield
    except (PosePileError, py7zr.exceptions.PasswordRequired, MemoryError):
        raise
    except py7zr.exceptions.UnsupportedCompressionMethodError as e:
        raise CorruptInput(
            archive,
            f"packed by a method that is not read here ({one_line(e)})",
            hint=by_hand("e.g. 7z x"),
        ) from None
    except Exception as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise
        if encrypted:
            raise UsageError(
                f"{archive}: the password is wrong for it, or it is damaged ({one_line(e)})"
            ) from None
        told = f"truncated or damaged ({type(e).__name__}: {one_line(e)})"
        raise CorruptInput(archive, told, hint=REFETCH) from None
