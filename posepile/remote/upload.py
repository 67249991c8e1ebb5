"""Bringing the files of an archive into an object store: compared, resumed, the index last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from posepile.errors import WorkError
from posepile.files import open_regular
from posepile.remote import stores

# Files of more than two such parts are sent in parts. A store takes 10,000 of them.
PART_SIZE = 64 << 20
_MOST_PARTS = 10_000

_PIECE = 1 << 20


@dataclass
class Uploaded:
    """What became of an upload.

    Attributes:
        sent: Names of the files that were sent.
        there: Names of those that were there already, the same.
        n_bytes: Sent.
    """

    sent: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    n_bytes: int = 0


@dataclass(frozen=True)
class _Digests:
    size: int
    sha256: str
    etag: str  # that S3 gives to it


def upload_files(
    files: Iterable[tuple[Path, str | None]],
    folder: str,
    step: Callable[[int], None] = lambda n: None,
) -> Uploaded:
    """Brings files into a folder of a store, in this order; what is there and the same, stays.

    A file that readers look at first comes last: until it is there, they see what was before.

    Args:
        files: Each with its SHA-256 where that is known; a file that does not fit it is not sent.
        folder: Address, such as ``s3://bucket/folder``.
        step: Is told how many bytes more are done.

    Raises:
        WorkError: A file is damaged, the store refuses or does not answer, or what is there in
            the end is not what was sent.
    """
    done, versions = Uploaded(), {}
    for path, expected in files:
        address = f"{folder.rstrip('/')}/{path.name}"
        if not path.is_file():
            raise WorkError(f"{path}: is not there; posepile verify --repair makes it again")
        digests = _digests(path, _part_size(path.stat().st_size))
        if expected is not None and digests.sha256 != expected:
            raise WorkError(
                f"{path}: its content does not fit its SHA-256; nothing of it was uploaded: "
                "posepile verify --repair makes it again"
            )
        found = _found(address, digests)
        if found is not None:
            done.there.append(path.name)
        else:
            stores.put(path, address, _part_size(digests.size))
            found = _found(address, digests, read_if_in_doubt=True)
            if found is None:
                raise _another(address)
            done.sent.append(path.name)
            done.n_bytes += digests.size
        versions[address] = found.version
        step(digests.size)
    for address, version in versions.items():
        if stores.look(address).version != version:
            raise _another(address)
    return done


def _another(address):
    return WorkError(
        f"{address}: is not what was sent; somebody else may be writing there: run again"
    )


def _found(address, digests, read_if_in_doubt=False):
    """Returns what the store says of an object that is the file; None if it is another or absent.

    An ETag may be that of the content, or anything (of encrypted buckets, of objects sent in
    parts of another size, of other stores). Where it does not fit, an object of the same size is
    read back if that is wanted.
    """
    stat = stores.look_if_there(address)
    if stat is None or stat.size != digests.size:
        return None
    if stat.etag == digests.etag:
        return stat
    if stat.etag and not read_if_in_doubt:
        return None
    return stat if stores.digest_of(address, stat.size) == digests.sha256 else None


def _part_size(size):
    return max(PART_SIZE, -(-size // _MOST_PARTS))


def _digests(path, part_size):
    """Returns what a file is to be compared by, read once.

    The ETag of S3 is the MD5 of the content, or of the MD5s of all parts and how many they are.
    """
    whole, parts, size = hashlib.sha256(), [], 0
    in_parts = path.stat().st_size >= 2 * part_size  # as s3fs does it
    md5 = _md5()
    with open_regular(path, buffering=0) as f:
        left = part_size
        while data := f.read(min(_PIECE, left) if in_parts else _PIECE):
            whole.update(data)
            md5.update(data)
            size += len(data)
            left -= len(data)
            if in_parts and left == 0:
                parts.append(md5.digest())
                md5, left = _md5(), part_size
    if not in_parts:
        return _Digests(size, whole.hexdigest(), md5.hexdigest())
    if left < part_size:
        parts.append(md5.digest())
    joined = _md5(b"".join(parts)).hexdigest()
    return _Digests(size, whole.hexdigest(), f"{joined}-{len(parts)}")


def _md5(data=b""):
    return hashlib.md5(data, usedforsecurity=False)  # a machine may allow it for nothing else
