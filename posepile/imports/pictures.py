"""Where the pictures of an imported dataset are: in folders, archives, or the files themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.errors import UsageError, WorkError
from posepile.files import open_regular
from posepile.store.layout import find_index
from posepile.store.reading import open_archive


class Pictures:
    """Image files by the path that annotations name them with.

    Args:
        place: A folder, or an archive (``.barecat``); None = ``DATA_ROOT``.
    """

    def __init__(self, place: str | os.PathLike | None):
        self.place = paths.data_root() if place is None else Path(os.path.abspath(place))
        self._archive = None
        if not self.place.is_dir():
            if not any(find_index(f"{self.place}{end}") for end in ("", "-sqlite-index")):
                raise UsageError(f"--images {self.place}: no such folder or archive")
            self._archive = open_archive(self.place)

    def read(self, name: str) -> bytes | None:
        """Returns the bytes of an image file; None if there is none.

        Args:
            name: Its path below the folder, or its key in the archive.

        Raises:
            WorkError: The name leads out of the folder, or the file cannot be read.
        """
        if self._archive is not None:
            return self._archive.get(name)
        try:
            with open_regular(self._path(name)) as f:
                return f.read()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise WorkError(f"{self.place / name}: cannot be read: {e.strerror}") from e

    def stamp(self, name: str) -> Any:
        """Returns what tells one state of an image file from another, None if there is none."""
        if self._archive is not None:
            try:
                return list(self._archive.address(name))
            except KeyError:
                return None
        try:
            found = os.stat(self._path(name))
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns]

    def _path(self, name):
        if os.path.isabs(name) or ".." in name.split("/") or "\0" in name:
            raise WorkError(
                f"picture {name!r}: expected a path below {self.place}; give the folder with "
                "--images"
            )
        return self.place / name
