"""Folders that exports write: complete or not there, and known again by their description."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posepile.errors import UsageError, WorkError
from posepile.export.plain import DESCRIPTION, description
from posepile.export.rows import Exported
from posepile.files import locked, names_in, read_object, replacing, write_json
from posepile.store.index import checked_image_path


@contextlib.contextmanager
def new_folder(out: Path, to: str) -> Iterator[Path]:
    """A folder to write to, which takes the place of an earlier export when all went well.

    Args:
        out: The folder to make.
        to: The format.

    Yields:
        Where to write meanwhile.

    Raises:
        UsageError: Something lies there that is no export.
        WorkError: Another export is written to the same place.
    """
    with alone(out):
        require_own(out, to)
        with replacing(out) as new:
            yield new


def alone(out: Path) -> contextlib.AbstractContextManager[None]:
    """Holds the place of an export, so that two at once do not write over each other.

    Raises:
        WorkError: Another export holds it.
    """
    return locked(
        out.with_name(f".{out.name}.export.lock"),
        busy=f"another export writes {out}; wait for it, or name another place",
    )


def require_own(out: Path, to: str) -> None:
    """Refuses to write to a folder that holds something else than an export of the format.

    Args:
        out: The folder.
        to: The format.

    Raises:
        UsageError: It does, or is a file, or the data of all datasets are in it.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{out}: is a file, expected a folder or nothing; name another place")
    if not names_in(out):
        return
    described = read_object(out / DESCRIPTION)
    if described is None:
        raise UsageError(
            f"{out}: is a folder without {DESCRIPTION}, so no export; name another place"
        )
    if described.get("format") != to:
        raise UsageError(
            f"{out}: is an export of the format {described.get('format')!r}, expected {to!r}; "
            "name another place"
        )
    root = os.environ.get("DATA_ROOT")
    if root and Path(os.path.abspath(root)).is_relative_to(out):
        raise UsageError(f"{out}: DATA_ROOT is in it; name another place")


def write_description(
    folder: Path, dataset: Any, name: str, to: str, exported: Exported
) -> dict[str, Any]:
    """Writes and returns the description of an exported dataset."""
    content = description(dataset, name, to, exported)
    write_json(folder / DESCRIPTION, content)
    return content


def place_of_image(folder: Path, image_path: str) -> Path:
    """Returns where an image lies in a folder.

    Raises:
        WorkError: Its name leads out of it.
    """
    return folder / checked_image_path(image_path)


def put_image(folder: Path, image_path: str, data: bytes) -> None:
    """Writes an image at exactly its path; one with the same bytes is left alone.

    Args:
        folder: The folder that image paths are below.
        image_path: Its path.
        data: The image file.

    Raises:
        WorkError: Another file lies there.
    """
    place = place_of_image(folder, image_path)
    try:
        with open(place, "rb") as f:
            same = os.fstat(f.fileno()).st_size == len(data) and f.read() == data
        if same:
            return
        raise WorkError(
            f"{place}: another file of {place.stat().st_size} bytes lies there, expected the "
            f"{len(data)} bytes of the image {image_path}; name another place"
        )
    except FileNotFoundError:
        pass
    except (IsADirectoryError, NotADirectoryError) as e:
        raise WorkError(f"{place}: {e.strerror}; expected an image; name another place") from None
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}.export.tmp")
    with open(unfinished, "wb") as f:
        f.write(data)
    os.replace(unfinished, place)
