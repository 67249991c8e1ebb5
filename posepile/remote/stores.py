"""Asking object stores: sizes, ranges and whole objects, with retries and errors of one line.

An address is what fsspec understands, such as ``s3://bucket/key``. Where the store is and who asks
comes from fsspec and the library behind it (``AWS_ENDPOINT_URL``, ``AWS_PROFILE``,
``~/.config/fsspec``), never from an option of ours, so that no secret is in a shell's history.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from posepile.durable import own_temporary, remove_left
from posepile.errors import PosePileError, UsageError, WorkError, one_line
from posepile.files import disk_error, is_disk_error

Answer = TypeVar("Answer")

# How long to wait before each further attempt.
WAITS = (0.5, 2.0, 8.0, 30.0)

# How often the library behind fsspec tries each time, 15 s long where a store is silent. By itself
# it does so five times over what is five times the library below it: half an hour in all.
TRIES = 2

# What no network does: a wrong option of a library, or a mistake here.
_OURS = (TypeError, NameError)

PIECE = 8 << 20  # bytes of a large object that are asked for at once

# Variables by which the libraries behind fsspec get at a store.
_S3, _GOOGLE, _AZURE = (
    ("AWS_*", "FSSPEC_S3_*"),
    ("GOOGLE_*", "FSSPEC_G*"),
    ("AZURE_*", "FSSPEC_A*"),
)
_KEYS = {"s3": _S3, "s3a": _S3, "gs": _GOOGLE, "gcs": _GOOGLE, "az": _AZURE, "abfs": _AZURE}

# Under what libraries say when an object was written.
_WRITTEN = ("LastModified", "last_modified", "mtime", "updated", "created")

_systems: dict[tuple[int, str], Any] = {}


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store says of an object.

    Attributes:
        size: In bytes.
        version: Text that is another one once the object has been replaced: its ETag, where the
            store has one.
        etag: The ETag, without quotes; empty where there is none.
        modified: When it was written, in seconds since 1970; 0 where the store does not say.
    """

    size: int
    version: str
    etag: str
    modified: int

    @property
    def mtime_ns(self) -> int:
        """A time for a file that stands for the object: its own second, the rest its version."""
        digest = hashlib.blake2b(self.version.encode(), digest_size=8).digest()
        return self.modified * 10**9 + int.from_bytes(digest, "little") % 10**9


def filesystem(address: str) -> Any:
    """Returns fsspec's file system of an address, one for each process.

    Raises:
        UsageError: fsspec or what it needs for this kind of address is not installed, or there
            is no such kind.
    """
    scheme, _, place = address.partition("://")
    if not place.strip("/"):
        raise UsageError(f"{address!r}: expected an address with a bucket, as s3://bucket/folder")
    key = os.getpid(), scheme  # connections cannot be shared with a forked child
    if key not in _systems:
        try:
            import fsspec
        except ImportError:
            raise UsageError(
                f"{address}: object stores need fsspec, which is not installed; "
                "pip install fsspec s3fs (for s3://)"
            ) from None
        try:
            # Listings are not kept: whether an object was replaced is asked anew each time.
            _systems[key] = _patient(fsspec.filesystem(scheme, use_listings_cache=False))
        except Exception as e:  # each library has errors of its own
            raise UsageError(
                f"{address}: fsspec cannot open {scheme}:// ({one_line(e)[:200]}); install what "
                "it names, give it in fsspec's configuration, or correct the address"
            ) from None
    return _systems[key]


def _patient(system: Any) -> Any:
    """The same, which fails in minutes if nobody answers; what a user has set is kept."""
    if hasattr(system, "config_kwargs") and hasattr(system, "retries"):  # s3fs
        system.retries = min(system.retries, TRIES)
        once = {"total_max_attempts": 1}
        system.config_kwargs = {"retries": once, **system.config_kwargs}
    return system


def keys_of(address: str) -> tuple[str, ...]:
    """Returns the names of environment variables that give access to a store, as patterns."""
    scheme = address.partition("://")[0]
    return _KEYS.get(scheme, ())


def look(address: str) -> Stat:
    """Returns size and version of an object.

    Raises:
        WorkError: There is none, it is refused, or the store does not answer.
    """
    info = _asked(address, lambda system: system.info(address))
    if info.get("type") == "directory":
        raise WorkError(f"{address}: is a folder, expected an object; correct the address")
    return _stat_of(info)


def look_below(address: str) -> Iterator[tuple[str, Stat]]:
    """Yields name below the folder and what is known of every object below it.

    What lies in one folder directly below comes together; fsspec has as much in memory at once,
    0.9 KB an object. A store answers with a thousand at a time.

    Raises:
        WorkError: It refuses or does not answer.
    """
    head = filesystem(address)._strip_protocol(address).rstrip("/")

    try:
        entries = _asked(address, lambda system: system.ls(address, detail=True))
    except Absent:
        return
    for entry in entries:
        name, folder = entry["name"], entry["name"].rstrip("/")
        if not name.startswith(f"{head}/") or folder == head:
            continue  # the folder itself, which some stores have as an object
        found = {name: entry}
        if entry.get("type") == "directory":
            below = f"{address}/{folder[len(head) + 1 :]}"
            found = _asked(below, lambda system, below=below: system.find(below, detail=True))
        while found:  # what is yielded need not be kept here
            name, info = found.popitem()
            if info.get("type") != "directory" and not name.endswith("/"):
                yield name[len(head) + 1 :], _stat_of(info)


def _stat_of(info: dict[str, Any]) -> Stat:
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    times = [info[name] for name in _WRITTEN if info.get(name) is not None]
    written = times[0] if times else 0
    if hasattr(written, "timestamp"):
        written = written.timestamp()
    if info.get("size") is None:
        raise UsageError(
            f"{info.get('name')}: this store says no sizes of objects; expected one that does, as "
            "s3://"
        )
    modified = int(written) if isinstance(written, (int, float)) else 0
    return Stat(
        int(info["size"]), etag or repr((info["size"], *times, info.get("ino"))), etag, modified
    )


def look_if_there(address: str) -> Stat | None:
    """Returns size and version of an object; None if there is none."""
    try:
        return look(address)
    except Absent:
        return None


class Absent(WorkError):
    """A store has no such object."""


class Silent(WorkError):
    """A store does not answer."""


def read_range(address: str, start: int, size: int) -> bytes:
    """Returns bytes ``start`` to ``start + size`` of an object.

    Raises:
        WorkError: They cannot be had, or are fewer.
    """
    data = _asked(address, lambda system: system.cat_file(address, start=start, end=start + size))
    if len(data) != size:
        raise WorkError(
            f"{address}: found {len(data)} bytes at {start}, expected {size}; the object is "
            "truncated or another one: upload it again"
        )
    return data


def read_pieces(address: str, size: int, sink: Callable[[bytes], Any]) -> None:
    """Hands an object of known size to a function, some megabytes at a time."""
    for start in range(0, size, PIECE):
        sink(read_range(address, start, min(PIECE, size - start)))


def copy_here(
    address: str,
    stat: Stat,
    path: Path,
    check: Callable[[str, Path], None] | None = None,
) -> None:
    """Copies an object into a file, which has its name once it is whole.

    Args:
        address: Of the object.
        stat: What was said of it.
        path: The file; its folder is made if needed.
        check: Is given address and copy before that has its name, and raises if it is not right.

    Raises:
        WorkError: The object was replaced meanwhile or cannot be read.
        Shortage: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path)
    temporary = own_temporary(path)
    try:
        with open(temporary, "wb") as f:
            read_pieces(address, stat.size, f.write)
            f.flush()
            os.fsync(f.fileno())
        if look(address).version != stat.version:
            raise WorkError(f"{address}: was replaced while it was copied; open it again")
        if check is not None:
            check(address, temporary)
        os.replace(temporary, path)
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, path) from e
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def put(path: Path, address: str, part_size: int) -> None:
    """Writes a file to a store; the object appears when it is whole.

    Args:
        path: The file.
        address: Where to.
        part_size: Of uploads in parts, in bytes, where the store knows such.
    """
    options = {"chunksize": part_size} if address.startswith(("s3://", "s3a://")) else {}

    def send(system):
        if not options:  # s3fs would look for the bucket, and make it
            system.makedirs(address.rpartition("/")[0], exist_ok=True)
        system.put_file(os.fspath(path), address, **options)

    _asked(address, send, "written")


def digest_of(address: str, size: int) -> str:
    """Returns the SHA-256 of an object, which is read whole for it."""
    digest = hashlib.sha256()
    read_pieces(address, size, digest.update)
    return digest.hexdigest()


def _asked(address: str, ask: Callable[[Any], Answer], doing: str = "read") -> Answer:
    """Returns what a store answers; asks again where that may help.

    Raises:
        WorkError: It refuses or does not answer.
    """
    system, waits = filesystem(address), iter(WAITS)
    while True:
        try:
            return ask(system)
        except PosePileError:
            raise
        except FileNotFoundError as e:
            raise Absent(
                f"{address}: not there ({one_line(e)}); expected an object, correct the bucket or "
                "the key"
            ) from None
        except PermissionError as e:
            raise WorkError(
                f"{address}: refused ({one_line(e)}); look whether these credentials may "
                f"{'write' if doing == 'written' else 'read'} there"
            ) from None
        except Exception as e:  # each store has a library, and each library errors of its own
            if type(e).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                raise WorkError(
                    f"{address}: no credentials found; set AWS_PROFILE or the like, for public "
                    "buckets FSSPEC_S3_ANON=true"
                ) from None
            if "InvalidRange" in repr(e.__cause__) or getattr(e, "status", None) == 416:
                raise WorkError(
                    f"{address}: cannot be {doing} ({one_line(e)}); the object is truncated or "
                    "another one: upload it again"
                ) from None
            if isinstance(e, _OURS):
                raise WorkError(
                    f"{address}: cannot be {doing} ({type(e).__name__}: {one_line(e)}); look at "
                    "fsspec's configuration of this kind of store, and at its version"
                ) from e
            wait = next(waits, None)
            if wait is None:
                raise Silent(
                    f"{address}: cannot be {doing} after {len(WAITS) + 1} attempts "
                    f"({type(e).__name__}: {one_line(e)}); look at the network and the address of "
                    "the store, then run again"
                ) from None
        time.sleep(wait)
