"""What archives of all formats have in common: their members, what is unsafe, what is damaged.

Archives from the internet are not trusted: absolute paths, ``..``, links that leave the archive
and device files make the whole archive refused. Members of all formats are described by a
:class:`tarfile.TarInfo`, so that the standard library's data filter judges links and special
files of all.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from posepile.acquire.credentials import Secret
from posepile.acquire.joined import parts_of
from posepile.errors import CorruptInput, UsageError, one_line
from posepile.files import is_left_by_macos

# What came by hand may be impossible to get again: nobody is advised to delete it.
REFETCH = (
    "put a complete copy in its place (if the download fetched it: move it away and run the "
    "download again)"
)

CHUNK = 1 << 20

# Bytes that are nothing suspicious, however small the archive.
FREE = 10**9

# The password itself, or a function that finds it out once it is needed.
Password = Secret | str | Callable[[], Secret | str | None] | None


def by_hand(program: str) -> str:
    """Returns the advice to unpack with another program, which may follow ``..`` and links.

    >>> by_hand("unrar x").partition(",")[0]
    'unpack it by hand in an empty folder (unrar x)'
    """
    return (
        f"unpack it by hand in an empty folder ({program}), then move what came out to the "
        "dataset's folder"
    )


@dataclass(frozen=True)
class Member:
    """One file, link or folder of an archive.

    Attributes:
        info: Name, kind, size and target of a link.
        open: Opens a file.
        file: Where the content already lies as a file of its own, None if it has to be read.
        inner: The archive within the archive that it comes from, if it does.
        crc: CRC-32 of its content, where the archive says it.
    """

    info: tarfile.TarInfo
    open: Callable[[], IO[bytes]]
    file: Path | None = None
    inner: str = ""
    crc: int | None = None


def reveal(archive: Path | str, password: Password) -> str:
    """Returns the password of an archive that turned out to need one.

    Raises:
        UsageError: There is none.
    """
    found = password() if callable(password) else password
    if found is None:
        raise UsageError(
            f"{archive}: encrypted, so it needs a password (extract.password in sources.yaml "
            "names the credentials to use)"
        )
    return found.reveal() if isinstance(found, Secret) else found


# ---------------------------------------------------------------- safety


# Control characters, what turns the direction of writing, and halves of characters, as which
# undecodable bytes arrive: no terminal, log or record shows such a name as it is.
_UNSHOWABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_LONGEST_NAME = 255  # bytes, as file systems take it
_LONGEST_PATH = 3000  # of 4095, to leave room for the folder


def safe_path(archive: Path | str, info: tarfile.TarInfo, folder: Path) -> str:
    """Returns a member's path in canonical form.

    Raises:
        CorruptInput: It could write elsewhere than below ``folder``, or nowhere.
    """
    name = info.name
    parts = [p for p in name.split("/") if p not in ("", ".")]
    fault = None if any(map(is_left_by_macos, parts)) else _name_fault(parts)
    # The filter would make a relative path of an absolute one, and follow ``..`` inside.
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        fault = f"member with the absolute path {shown(name)}"
    elif ".." in parts:
        fault = f"member {shown(name)} leaves the archive"
    elif "\0" in name or "\0" in info.linkname:
        fault = f"member {shown(name)} has a zero byte in its name or target"
    if fault:
        raise CorruptInput(archive, f"unsafe: {fault}; refused")
    if info.isreg() or info.isdir():
        # Without links in the folder such a name stays in it; the filter would follow each of its
        # components on the disk (190 us per member).
        return "/".join(parts) or "."
    try:
        tarfile.data_filter(info, os.fspath(folder))
    except tarfile.FilterError as e:
        raise CorruptInput(archive, f"unsafe: {one_line(e)}; refused") from None
    return "/".join(parts)


def _name_fault(parts: list[str]) -> str | None:
    name = "/".join(parts)
    if _UNSHOWABLE.search(name):
        return f"member {shown(name)} has a control character or an undecodable one in its name"
    lengths = [len(p.encode()) for p in parts]
    if max(lengths, default=0) > _LONGEST_NAME:
        return f"member {shown(name)} has a name of {max(lengths)} bytes; {_LONGEST_NAME} can be"
    if sum(lengths) + len(lengths) > _LONGEST_PATH:
        return f"member {shown(name)} has a path of over {_LONGEST_PATH} bytes"
    return None


def shown(name: str) -> str:
    r"""Returns a name as messages have it: in one line, printable, not for ever.

    >>> print(shown("a\nb"), len(shown("x" * 5000)))
    'a\nb' 105
    """
    return repr(name) if len(name) <= 100 else f"{name[:100]!r}..."


def link_target(path: str, info: tarfile.TarInfo) -> str:
    """Returns the path inside the archive that a (safe) link at ``path`` points to."""
    # A hard link names a member, a symbolic one is relative to where it stands.
    at = posixpath.dirname(path) if info.issym() else ""
    return posixpath.normpath(posixpath.join(at, info.linkname))


# ---------------------------------------------------------------- damage


@contextlib.contextmanager
def damage_reported(
    archive: Path | str, *, encrypted: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Turns what libraries say of damaged archives into one sentence.

    Args:
        archive: What the sentence is about.
        encrypted: Asked at damage whether it is; a wrong password looks like damage too, where it
            passes the check of the classic zip encryption, as one in 256 does.
    """
    import pyzipper

    def hint() -> str:
        pieces = len(parts_of(archive)) if isinstance(archive, Path) else 1
        again = f"of its pieces {pieces} are there, a last one may be missing; " * (pieces > 1)
        again += REFETCH
        return f"or the password is wrong; otherwise {again}" if encrypted() else again

    try:
        yield
    except (
        zipfile.BadZipFile,
        pyzipper.BadZipFile,
        tarfile.TarError,
        EOFError,
        UnicodeError,
        gzip.BadGzipFile,
        lzma.LZMAError,
        zlib.error,
    ) as e:
        raise CorruptInput(archive, f"truncated or damaged ({one_line(e)})", hint=hint()) from None
    except NotImplementedError as e:
        raise CorruptInput(
            archive,
            f"packed or encrypted by a method that is not read here ({one_line(e)})",
            hint=by_hand("e.g. 7z x"),
        ) from None
    except RuntimeError as e:
        if "password" in str(e).lower():
            raise UsageError(f"{archive}: the password is wrong for it") from None
        raise
    except OSError as e:
        if e.errno is not None:
            raise
        # This is how bz2 reports invalid data.
        raise CorruptInput(archive, f"damaged ({e})", hint=hint()) from None
