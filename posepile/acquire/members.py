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
from posepile.errors import CorruptInput, UsageError, one_line

# What came by hand may be impossible to get again: nobody is advised to delete it.
REFETCH = (
    "put a complete copy in its place (if the download fetched it: move it away and run the "
    "download again)"
)

CHUNK = 1 << 20

# The password itself, or a function that finds it out once it is needed.
Password = Secret | str | Callable[[], Secret | str | None] | None


@dataclass(frozen=True)
class Member:
    """One file, link or folder of an archive.

    Attributes:
        info: Name, kind, size and target of a link.
        open: Opens a file.
        file: Where the content already lies as a file of its own, None if it has to be read.
        inner: The archive within the archive that it comes from, if it does.
    """

    info: tarfile.TarInfo
    open: Callable[[], IO[bytes]]
    file: Path | None = None
    inner: str = ""


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


def safe_path(archive: Path | str, info: tarfile.TarInfo, folder: Path) -> str:
    """Returns a member's path in canonical form.

    Raises:
        CorruptInput: It could write elsewhere than below ``folder``.
    """
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
        return f"or the password is wrong; otherwise {REFETCH}" if encrypted() else REFETCH

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
            hint="it may well be whole: extract it by hand, e.g. with 7z",
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
