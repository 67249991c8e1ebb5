"""Archives of entries, of the original PosePile or of an export for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posepile.errors import UsageError, WorkError
from posepile.imports.facts import TOLD, complete
from posepile.imports.source import (
    Options,
    Pictures,
    Source,
    Tally,
    Unit,
    chunks,
    file_stamp,
)
from posepile.joint_info import JointInfo
from posepile.recipe import SPLITS
from posepile.store import codec
from posepile.store.fields import Record
from posepile.store.layout import find_index
from posepile.store.reading import Archive, open_archive


def open_source(options: Options) -> Source:
    """Opens an archive of entries; pictures are in a second archive or in files.

    Raises:
        UsageError: It is a packed archive, facts are missing, or there are several files.
        WorkError: It is no archive of entries.
    """
    if len(options.files) != 1:
        raise UsageError("import --from upstream: expected one archive of annotations")
    path = options.files[0]
    archive = open_archive(path)
    if archive.has_table:
        raise UsageError(
            f"{path}: is a packed archive; posepile.datasets3d.get_dataset opens it as it is"
        )
    metadata = archive.metadata
    info, kind, notes = _skeleton(archive, path)
    facts = complete(
        options.facts,
        {name: metadata.get(name) for name in TOLD},
        ("licence",) if kind == "2d" else ("licence", "world_up"),
        path,
    )
    pictures = Pictures(options.images or _images_beside(path))
    return Source(
        str(path),
        info,
        facts.kind or kind,
        facts,
        lambda: _units(archive, path, pictures, info, facts.kind or kind, options),
        notes,
        {k: metadata[k] for k in ("name", "producer", "identity") if metadata.get(k)},
    )


def _images_beside(path: Path) -> Path | None:
    """The archive of images that an export puts beside that of annotations."""
    for end in ("_parametric", "_2d", ""):
        stem = path.name.removesuffix(".barecat").removesuffix(end)
        beside = path.with_name(f"{stem}_images.barecat")
        if any(find_index(f"{beside}{suffix}") for suffix in ("", "-sqlite-index")):
            return beside
    return None


def _skeleton(archive: Archive, path: Path) -> tuple[JointInfo, str, list[str]]:
    info = archive.joint_info
    for _, entry in _some_entries(archive):
        record = codec.decode_entry(entry, None, info.n_joints)
        kind = archive.metadata.get("kind")
        if kind in ("3d", "2d", "parametric"):
            return info, kind, []
        if record.coords2d is not None and record.world_coords is None:
            return info, "2d", []
        return info, ("3d" if info.n_joints else "parametric"), []
    raise WorkError(
        f"{path}: no entry train/…, val/… or test/…; expected an archive of annotations (the "
        "pictures are named with --images)"
    )


def _some_entries(archive: Archive) -> Iterator[tuple[str, bytes]]:
    for split in SPLITS:
        for key, *place in archive.entries(split):
            yield key, archive.read(*place)
            break


def _units(archive, path, pictures, info, kind, options) -> Iterator[Unit]:
    stamp = file_stamp(Path(archive.index_path))
    for split in SPLITS:
        keys = ((codec.split_key(key)[1], key) for key, *_ in archive.entries(split))
        for number, chunk in enumerate(chunks(keys)):

            def read(tally: Tally, chunk: list[str] = chunk) -> Iterator[tuple[Record, Any]]:
                for key in chunk:
                    yield _example(archive, key, pictures, info, kind, tally)

            names = dict.fromkeys(codec.split_key(key)[1] for key in chunk)
            key = [stamp, chunk[0], len(chunk), [pictures.stamp(name) for name in names]]
            yield Unit(f"{split}-{number:06d}", split, key, read)


def _example(archive, key, pictures, info, kind, tally):
    record = codec.decode_entry(archive[key], key, info.n_joints or None)
    _, image_path, person = codec.split_key(key)
    if record.image_path != image_path:
        tally.notes["image path of the entry, not of its key"] += 1
    record.sequence = record.sequence or "unknown"
    record.person = person if record.person is None else record.person
    if kind == "parametric":
        record.world_coords = None
    return record, pictures.read(record.image_path)
