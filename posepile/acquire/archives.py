"""Reading what is in archives, member by member: tar, zip and 7z, whole or in several files.

What is unsafe is refused, see :mod:`posepile.acquire.members`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from posepile.acquire.joined import open_joined, parts_of, require_even
from posepile.acquire.members import (
    CHUNK,
    FREE,
    REFETCH,
    Member,
    Password,
    by_hand,
    damage_reported,
    safe_path,
)
from posepile.acquire.sevenzips import (
    seven_zip_is_encrypted,
    seven_zip_members,
    seven_zip_unpacked_bytes,
)
from posepile.acquire.tars import begins_as_tar, tar_members
from posepile.acquire.zips import has_end_record, zip_is_encrypted, zip_members, zip_unpacked_bytes
from posepile.errors import CorruptInput, UsageError

# Kinds that are not read, by their first bytes, with a program that reads them.
_OF_OTHER_KINDS = {
    b"Rar!\x1a\x07": ("a rar archive", "unrar x"),
    b"\x28\xb5\x2f\xfd": ("a zst file", "tar --zstd -xf, or unzstd"),
    b"\x04\x22\x4d\x18": ("an lz4 file", "lz4 -d, then tar -xf"),
    b"\x5d\x00\x00": ("an lzma file", "tar --lzma -xf"),
    b"LZIP": ("an lzip file", "tar --lzip -xf"),
    b"\x1f\x9d": ("a compress file", "tar -Z -xf, or uncompress"),
    b"MSCF": ("a cab archive", "cabextract"),
    b"07070": ("a cpio archive", "cpio -id --no-absolute-filenames"),
    b"\xc7\x71": ("a cpio archive", "cpio -id --no-absolute-filenames"),
    b"!<arch>": ("an ar archive", "ar x"),
    b"xar!": ("a xar archive", "bsdtar -xf"),
    b"hsqs": ("a squashfs image", "unsquashfs"),
}


@contextlib.contextmanager
def members(
    archive: Path, form: str, folder: Path, password: Password, scratch: Path, most: int
) -> Iterator[Iterator[tuple[str, Member]]]:
    """Reads an archive from front to back, to its very end.

    Args:
        archive: The archive.
        form: ``tar``, ``zip``, ``7z`` or ``auto``.
        folder: Where the members are to be extracted.
        password: Of an encrypted archive; a function is asked when it turns out to be one.
        scratch: A folder that is made if what is unpacked has to lie somewhere for the moment.
        most: How many bytes may be unpacked on the way, where that is not known beforehand.

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
    form = _form_of(archive, form)
    with damage_reported(archive, encrypted=lambda: form == "zip" and is_encrypted(archive)):
        if form == "zip":
            found = zip_members(archive, password)
        elif form == "7z":
            found = seven_zip_members(archive, folder, password, scratch)
        else:
            parts = parts_of(archive)
            require_even(parts)
            found = tar_members(archive, open_joined(parts), most)
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
        with (
            damage_reported(label),
            contextlib.closing(tar_members(label, f, max(room, FREE))) as found,
        ):
            yield ((safe_path(label, m.info, folder), m) for m in found)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    copy, unpacked = scratch / name.rsplit("/", 1)[-1], scratch / "unpacked"
    try:
        with damage_reported(label), open(copy, "wb") as out:
            shutil.copyfileobj(f, out, CHUNK)
        with _called(label, copy):
            if (unpacked_bytes(copy, "auto", password) or 0) > room:
                raise CorruptInput(
                    label,
                    f"more than {room} bytes would come out of it",
                    hint="if that is right, set extract.max_bytes in sources.yaml",
                )
            with members(copy, "auto", folder, password, unpacked, max(room, FREE)) as found:
                yield found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _called(label: str, copy: Path) -> Iterator[None]:
    """Makes messages about a copy, which goes, name the member that it is of."""
    try:
        yield
    except CorruptInput as e:
        if e.file != os.fspath(copy):
            raise
        raise CorruptInput(label, e.reason, hint=e.hint) from None
    except UsageError as e:
        raise UsageError(str(e).replace(os.fspath(copy), label)) from None


def unpacked_bytes(archive: Path, form: str, password: Password) -> int | None:
    """Returns how many bytes come out of an archive, None if that is not known beforehand.

    Raises:
        CorruptInput: It is damaged, or not an archive.
    """
    form = _form_of(archive, form)
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


def _form_of(archive: Path, form: str) -> str:
    """Returns the format that is stated, or what the archive shows; both refuse other kinds."""
    if form == "auto":
        return archive_format(archive)
    with open_joined(parts_of(archive)) as f:
        head = f.read(512)
    if _known_format(head) is None:
        _refuse_other_kinds(head, archive)
    return form


def archive_format(archive: Path) -> str:
    """Returns ``zip``, ``7z`` or ``tar`` (whatever its compression) by the first bytes.

    Raises:
        CorruptInput: None of these; the message says what it looks like.
    """
    with open_joined(parts_of(archive)) as f:
        head = f.read(512)
        if head.startswith((b"MZ", b"\x7fELF", b"#!")) and has_end_record(f):
            return "zip"  # after a program that would unpack it: zips are found from their end
        return format_of(head, archive)


def format_of(head: bytes, archive: Path | str) -> str:
    """Returns the format of an archive that begins with these bytes, as :func:`archive_format`."""
    known = _known_format(head)
    if known is not None:
        return known
    _refuse_other_kinds(head, archive)
    what = f"begins with {head[:8]!r}" if head.strip(b"\0") else "begins with zeros alone"
    raise CorruptInput(archive, f"not a tar, zip or 7z archive: {what}", hint=REFETCH)


def _known_format(head: bytes) -> str | None:
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00"):
        return "zip"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    return "tar" if begins_as_tar(head) else None


def _refuse_other_kinds(head: bytes, archive: Path | str) -> None:
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        raise CorruptInput(archive, "an HTML page instead of an archive", hint=REFETCH)
    if re.match(rb"[{\[]\s*[\"{\[]", text):
        raise CorruptInput(archive, "JSON instead of an archive", hint=REFETCH)
    if head.startswith(b"\x89HDF"):
        told = "an hdf5 file and no archive, which need not be unpacked"
        raise CorruptInput(archive, told, hint="leave out extract: in sources.yaml")
    for magic, (what, program) in _OF_OTHER_KINDS.items():
        if head.startswith(magic):
            raise CorruptInput(
                archive,
                f"{what}, which is not read here",
                hint=by_hand(program),
            )
    if not head:
        raise CorruptInput(archive, "an empty file instead of an archive", hint=REFETCH)
