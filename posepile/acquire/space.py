"""Room on the disk: what is free, what is needed, and what to say when it runs out."""

from __future__ import annotations

import shutil
from pathlib import Path

from posepile.errors import WorkError


def format_bytes(n: int) -> str:
    """Returns a size like ``22.0 GB``; powers of ten, as dataset pages give sizes."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n} B"


def free_bytes(path: Path) -> int:
    """Returns the free space on the disk that holds a path, which need not exist yet."""
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require_space(path: Path, need: int) -> None:
    """Checks that so many bytes fit onto the disk.

    Raises:
        WorkError: They do not.
    """
    free = free_bytes(path)
    if need > free:
        raise WorkError(
            f"{path}: {format_bytes(need)} are to be fetched, {format_bytes(free)} are free; "
            "free some space, or fetch parts with --parts"
        )
