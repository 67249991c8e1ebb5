"""Room on the disk: what is free, what is needed, and what to say when it runs out."""

from __future__ import annotations

import shutil
from pathlib import Path

from posepile.errors import WorkError
from posepile.progress.words import byte_size


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
            f"{path}: {byte_size(need)} are to be fetched, {byte_size(free)} are free; "
            "free some space, or fetch parts with --parts"
        )
