"""Some rows of an archive as an archive of their own, images byte for byte where unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import WorkError
from posepile.export.rows import changed_image, dense
from posepile.imaging import jpeg
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.store import packing, parts, reading
from posepile.store.fields import names_in_examples
from posepile.store.origin import UNKNOWN
from posepile.store.placed import PlacedSource
from posepile.store.row_sources import short_identity, table_source

# Examples per part: what packing holds in memory at a time. People of one image are in one part.
_PART = 20_000
_TOLD_EVERY = 1000


class RowCopies:
    """The rows that are taken of one archive, and their copies.

    Attributes:
        base: The source of the archive.
        name: Name of the dataset in the subset.
        rows: The rows, rising, each once.
        changed: Rows that an example in memory takes the place of.
        placed: Of a merged dataset: a source with its joints in the merged skeleton.
        stored: The rows in the order of the new archive, once it is written.
        source: The source of the new archive, then.
    """

    def __init__(self, base: Any, name: str):
        self.base, self.name = base, name
        self.placed: PlacedSource | None = None
        self.rows = np.zeros(0, np.int64)
        self.changed: dict[int, Any] = {}
        self.stored = np.zeros(0, np.int64)
        self.source: Any = None

    def add(self, rows: Sequence[int] | np.ndarray) -> None:
        """Takes rows, which may be taken already."""
        self.rows = np.union1d(self.rows, np.asarray(rows, np.int64))

    def __contains__(self, row):
        i = int(np.searchsorted(self.rows, row))
        return i < len(self.rows) and self.rows[i] == row

    def __len__(self):
        return len(self.rows) + len(self.changed)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the archive says of itself."""
        return reading.open_archive(self.base.annotation_path).metadata

    def write(
        self, target: Path, folder: Path, manifest: Mapping[str, Any], told: Callable[[int], None]
    ) -> dict[str, Any]:
        """Writes the new archive.

        Args:
            target: The archive.
            folder: For its parts; is there no more afterwards.
            manifest: That of the new archive.
            told: Is told now and then how many examples are written.

        Returns:
            The summary of packing.
        """
        self._put_in_order()
        shutil.rmtree(folder, ignore_errors=True)
        made = list(self._write_parts(folder, told))
        summary = packing.pack(made, target, _spec(self.facts), dict(manifest))
        shutil.rmtree(folder, ignore_errors=True)  # the archive has links to the images
        archive = reading.open_archive(target)
        reference = paths.relative_to_root(archive.path)
        n_rows = archive.table.n_rows
        self.source = table_source(reference, self.base.kind, n_rows, short_identity(archive))
        return summary

    def _put_in_order(self):
        rows = np.union1d(self.rows, np.array(list(self.changed), np.int64))
        columns = self.base.table().columns
        places = (columns[name][rows] for name in ("offset", "shard", "split"))
        self.stored = rows[np.lexsort((rows, *places))]

    def _write_parts(self, folder, told) -> Iterator[Path]:
        for number, (start, stop) in enumerate(self._pieces()):
            path = folder / f"{number:05d}.part"
            with parts.PartWriter(path) as writer:
                before = image = None
                for i in range(start, stop):
                    row = int(self.stored[i])
                    record, own = self._record(row)
                    data = None
                    if record.image_path != before:
                        image = own
                        data = self.base.image_bytes(row) if own is None else jpeg.encode(own)
                    elif not np.array_equal(own, image):
                        raise WorkError(
                            f"{record.image_path}: the image of one of its people was changed in "
                            "memory, that of another was not; pack those as a dataset of their own"
                        )
                    writer.add(record, data)
                    before = record.image_path
                    if (i + 1) % _TOLD_EVERY == 0 or i + 1 == len(self.stored):
                        told(i + 1)
            yield path

    def _pieces(self):
        """Yields which rows go into a part: of one split, all people of an image together."""
        start, table = 0, self.base.table()
        while start < len(self.stored):
            stop, split = start, table.split(int(self.stored[start]))
            image = None
            while stop < len(self.stored):
                row = int(self.stored[stop])
                here = table.image_address(row)
                if table.split(row) != split or (stop - start >= _PART and here != image):
                    break
                image, stop = here, stop + 1
            yield start, stop
            start = stop

    def _record(self, row):
        """Returns the record of a row, and its image if that was changed in memory."""
        record = self.base.table().record(row)
        example = self.changed.get(row)
        if example is None:
            return record, None
        if example.image_path != record.image_path:
            raise WorkError(
                f"{record.image_path}: its example was given the image {example.image_path} in "
                "memory; pack those as a dataset of their own"
            )
        for name, declared in names_in_examples(example.KIND).items():
            value = getattr(example, name)
            if (value is None and declared.required) or (
                isinstance(value, str) and value == UNKNOWN
            ):
                continue
            if declared.per_joint:
                value = self._own_joints(dense(value))
            setattr(record, declared.name, value)
        image = changed_image(example)
        if image is not None:
            record.imshape = image.shape[:2]
        return record, image

    def _own_joints(self, coords):
        """Returns coordinates of a merged skeleton as those of the dataset's own."""
        if coords is None or self.placed is None:
            return coords
        ids = self.placed.joint_ids
        own = np.full((len(ids), coords.shape[1]), np.nan, coords.dtype)
        own[ids >= 0] = coords[ids[ids >= 0]]
        return own

    def new_rows(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns where rows are in the new archive."""
        order = np.argsort(self.stored)
        return order[np.searchsorted(self.stored, rows, sorter=order)]


def _spec(metadata) -> DatasetSpec:
    """Returns the facts of an archive as recipes declare them."""
    info = JointInfo(metadata["joint_names"], metadata["joint_edges"], strict=False)
    names = {f for f in DatasetSpec.__dataclass_fields__ if f in metadata}
    given = {name: metadata[name] for name in names}
    if given.get("world_up") is not None:
        given["world_up"] = tuple(float(x) for x in given["world_up"])
    given = {"name": "unknown", "image_dir": "unknown", **given, "joint_info": info}
    return DatasetSpec(**given)
