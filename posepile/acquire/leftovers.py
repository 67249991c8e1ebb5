"""Archives that are not needed any more: extracted, checked, and to be had again."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from posepile.acquire.joined import parts_of
from posepile.acquire.lockfile import read_lock
from posepile.acquire.records import is_extracted
from posepile.acquire.sources import Extract, Source, Sources


def for_once(sources: Sources) -> Sources:
    """Returns the sources with archives going once they are extracted and every file is in place.

    Those that only a person can get stay, since nobody else could bring them back.
    """
    found = [
        s.model_copy(update={"extract": s.extract.model_copy(update={"keep": False})})
        if _comes_again(s)
        else s
        for s in sources.sources
    ]
    return sources.model_copy(update={"sources": found})


def is_ours(archive: str, root: Path, by_hand: bool = False) -> bool:
    """Returns whether an archive was fetched here, by this program, into a folder of its own.

    One that somebody has put there, or that lies in a folder or is a file that a link leads to,
    may be needed by others.

    Args:
        archive: Its path below the raw folder.
        root: The raw folder.
        by_hand: Of a source that only a person can get, so that no fetching is on record.
    """
    if root.is_symlink():
        return False
    lock, real = read_lock(root), Path(os.path.realpath(root))
    for part in parts_of(root / archive):
        path = part.relative_to(root)
        entry = lock.get(str(path), {})
        fetched = urllib.parse.urlsplit(str(entry.get("from", ""))).netloc and "sha256" in entry
        if not (fetched or by_hand) or Path(os.path.realpath(part)) != real / path:
            return False
    return True


def keeping_others(source: Source, archive: str, root: Path) -> Extract | None:
    """Returns how an archive is extracted, so that it stays afterwards if it is not ours."""
    params = source.extract
    gone = params is None or params.keep or not (root / archive).exists()
    if gone or is_ours(archive, root, by_hand=source.url is None):
        return params
    return params.model_copy(update={"keep": True})


def let_go(sources: Sources, root: Path, only: Iterable[str] | None = None) -> dict[str, int]:
    """Takes away archives that an earlier run has fetched, extracted and kept.

    Args:
        sources: The dataset's sources.
        root: Its raw folder.
        only: Names or parts of those that are meant; all that are not optional if left out.

    Returns:
        Their paths and sizes in bytes.
    """
    gone, lock = {}, read_lock(root)
    for source in sources.select(only):
        archive = root / source.path if _comes_again(source) else None
        if archive is None or not archive.is_file() or not is_ours(source.path, root):
            continue
        whole = source.is_confirmed(archive, lock[source.path])
        if whole and is_extracted(root, source.name, source.extract):
            for part in parts_of(archive):
                gone[str(part.relative_to(root))] = part.stat().st_size
                part.unlink()
    return gone


def _comes_again(source: Source) -> bool:
    return source.url is not None and source.extract is not None
