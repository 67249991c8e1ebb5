"""Files made once from raw files that are too large to be read for every unit."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from posepile.durable import own_temporary, remove_left, sync_tree
from posepile.errors import CorruptInput, raise_if_shortage
from posepile.files import (
    disk_error,
    encoded_json,
    fingerprint,
    is_disk_error,
    locked,
    open_regular,
    plain,
    read_json,
    stable_hash,
    write_atomically,
    write_json,
)
from posepile.formats.keys import by_key
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import opened

_elsewhere: dict[Path, Path] = {}  # raw folder -> where what is derived from it goes


def derived_folder(
    sources: Iterable[Path],
    place: Path,
    make: Callable[[Path], None],
    *,
    version: int | str = 1,
    hint: str | None = AGAIN,
) -> Path:
    """Returns the folder of what is derived from raw files; it is made where it does not exist.

    The name of the folder is a digest of the content of the sources, so that what is in it is
    never out of date, and copying or touching a source does not make it anew. Of several processes
    one makes it, the others wait.

    >>> _ = (folder / "huge.json").write_text("[3, 1, 2]")
    >>> def make(new):
    ...     _ = (new / "sorted.json").write_text("[1, 2, 3]")
    >>> made = derived_folder([folder / "huge.json"], folder / "mydata_work", make)
    >>> (made / "sorted.json").read_text()
    '[1, 2, 3]'

    Args:
        sources: The raw files.
        place: Where such folders lie, e.g. ``work_folder(root) / "annotations"``.
        make: Writes the files into an empty folder.
        version: Of what ``make`` does; another one makes another folder.
        hint: What the user can do if a source is missing.

    Raises:
        CorruptInput: A source is missing or cannot be read.
        WorkError: The disk is full.
    """
    # os.stat, so that a list of units is known to depend on the sources.
    stamps = []
    for source in sorted(map(Path, sources)):
        try:
            found = os.stat(source)
        except OSError as e:
            raise CorruptInput(source, f"cannot be read: {e.strerror}", hint=hint) from None
        stamps.append((source, found.st_size, found.st_mtime_ns))
    seen = stable_hash([[os.path.abspath(path), *rest] for path, *rest in stamps])
    memo = place / f"content-{seen}.json"
    content = read_json(memo)
    folder = place / _name(content, version) if isinstance(content, str) else None
    if folder is not None and folder.is_dir():
        return folder
    try:
        with locked(place / ".lock"):
            content = stable_hash([[p.name, _digest(p, hint)] for p, *_ in stamps])
            folder = place / _name(content, version)
            if not folder.is_dir():
                _make(folder, make)
            write_json(memo, content)
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, place) from e
        raise
    return folder


def derived_rows(
    sources: Iterable[Path],
    place: Path,
    rows: Callable[[], Iterable[dict]],
    name_key: str,
    per_piece: int,
    *,
    version: int | str = 1,
) -> dict[Path, list]:
    """Cuts the rows of raw files that are too large for every unit into files of some rows.

    >>> source = folder / "big.json"
    >>> _ = source.write_text("[]")
    >>> people = [{"image": "a.jpg", "age": 7}, {"image": "b.jpg", "age": 8}]
    >>> pieces = derived_rows([source], folder, lambda: people, "image", 1)
    >>> {file.name: images for file, images in pieces.items()}
    {'00000.json': ['a.jpg'], '00001.json': ['b.jpg']}
    >>> read_json(list(pieces)[1])
    [{'age': 8, 'image': 'b.jpg'}]

    Args:
        sources: The raw files.
        place: As for :func:`derived_folder`, as is ``version``.
        rows: Reads the files: dictionaries of plain data and arrays.
        name_key: Key of what a row is about, e.g. its picture, each once.
        per_piece: Rows in a file.
        version: Of what ``rows`` yields.

    Returns:
        JSON file -> what each of its rows is about.
    """

    def write(folder: Path) -> None:
        index, left = {}, iter(rows())
        while piece := list(itertools.islice(left, per_piece)):
            name = f"{len(index):05d}"
            write_json(folder / f"{name}.json", piece)
            index[name] = [row[name_key] for row in piece]
        names = enumerate(itertools.chain.from_iterable(index.values()))
        where = ", ".join(map(str, sources))
        by_key(((name, f"row {i}", None) for i, name in names), where, name_key)
        write_json(folder / "index.json", index)

    folder = derived_folder(sources, place, write, version=f"{version}-{per_piece}")
    return {folder / f"{name}.json": of for name, of in read_json(folder / "index.json").items()}


def write_if_changed(path: Path, content: Any) -> bool:
    """Writes what a helper leaves behind, unless it is there already; then its time stays, too.

    >>> write_if_changed(folder / "list.txt", b"a.jpg"), (folder / "list.txt").read_text()
    (True, 'a.jpg')
    >>> write_if_changed(folder / "list.txt", b"a.jpg")
    False

    Args:
        path: The file.
        content: Bytes as they are; anything else becomes JSON.

    Returns:
        Whether it was written.

    Raises:
        WorkError: The disk is full or cannot be written to.
    """
    if not isinstance(content, bytes):
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, default=plain)
        content = encoded_json(text + "\n")
    try:
        with open_regular(path) as f:
            if f.read() == content:
                return False
    except OSError as e:
        raise_if_shortage(path, e)
    write_atomically(path, content)
    return True


def make_once(
    outputs: Iterable[Path],
    inputs: Iterable[Path],
    memory: Path,
    make: Callable[[], None],
    version: Any = 1,
) -> bool:
    """Makes files that a helper leaves behind, unless they were made from these very inputs.

    Inputs and outputs are known by their names, sizes and times.

    >>> source, made = folder / "in.txt", folder / "out.txt"
    >>> _ = source.write_text("3 1 2")
    >>> def make():
    ...     _ = made.write_text(" ".join(sorted(source.read_text().split())))
    >>> [make_once([made], [source], folder / "memory.json", make) for _ in range(2)]
    [True, False]

    Args:
        outputs: What is made.
        inputs: What it is made from.
        memory: File in which that is written down.
        make: Makes the outputs.
        version: Plain data, of what ``make`` does; another one makes them again.

    Returns:
        Whether they were made now.
    """
    outputs = list(outputs)
    seen = stable_hash([sorted(map(_stamp, inputs)), version])
    if read_json(memory) == [seen, *map(_stamp, outputs)]:
        return False
    make()
    write_json(memory, [seen, *map(_stamp, outputs)])
    return True


def _stamp(path: Path) -> list:
    """Name, size and time of a file, zeros where it is not there."""
    try:
        found = os.stat(path)
    except OSError as e:
        raise_if_shortage(path, e)
        return [path.name, 0, 0]
    return [path.name, found.st_size, found.st_mtime_ns]


def work_folder(root: Path) -> Path:
    """Returns the folder for what is derived from a raw folder: ``<name>_work`` beside it.

    >>> work_folder(Path("/data/mydata")).name
    'mydata_work'

    Unless :func:`derive_in` has named another one.
    """
    return _elsewhere.get(root) or root.parent / f"{root.name}_work"


def derive_in(place: Path, root: Path) -> None:
    """Names the folder for what is derived from a raw folder that is a cache of this machine.

    >>> derive_in(Path("/data/mydata_work"), Path("/cache/raw/mydata-1/files"))
    >>> work_folder(Path("/cache/raw/mydata-1/files")).as_posix()
    '/data/mydata_work'

    Args:
        place: The folder for what is derived, in this process.
        root: The raw folder.
    """
    _elsewhere[root] = place


def _name(content: str, version: int | str) -> str:
    return f"{content}-v{version}"


def _digest(source: Path, hint: str | None) -> str:
    with opened(source, hint=hint):
        return fingerprint(source, whole=True)


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    remove_left(folder)
    temporary = own_temporary(folder)
    try:
        temporary.mkdir(parents=True)
        make(temporary)
        # It is taken for whole by its name alone.
        sync_tree(temporary)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.is_dir():  # where there are no locks, another process may be faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
