"""Tar shards that the webdataset library reads: an image and a JSON file per example."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from posepile import paths
from posepile.export.folders import new_folder, write_description
from posepile.export.plain import plain_example
from posepile.export.rows import ENCODED, Exported, Images, Progress, image_bytes, iter_rows

# At most in a shard.
EXAMPLES_PER_SHARD = 10_000
BYTES_PER_SHARD = 500 << 20


def export_webdataset(
    dataset: Any,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    examples_per_shard: int = EXAMPLES_PER_SHARD,
    bytes_per_shard: int = BYTES_PER_SHARD,
) -> Exported:
    """Writes tar shards in the order of the lists; see docs/EXPORT.md.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_webdataset(get_dataset("aspset"), folder / "shards")
    >>> made.examples, made.files[0].name
    (30, 'shards')

    Args:
        dataset: The dataset.
        out: The folder to make; relative paths are below ``DATA_ROOT``.
        progress: Called with the number of examples written now and then.
        examples_per_shard: At most so many examples are in a shard.
        bytes_per_shard: A shard that has reached so many bytes is ended.

    Returns:
        What was written.
    """
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    done, images = Exported(files=[out]), Images()
    stem = out.name.replace(".", "_")  # readers end the key at the first dot
    with new_folder(out, "webdataset") as folder:
        shards = _Shards(folder, out.name, examples_per_shard, bytes_per_shard)
        try:
            for row in iter_rows(dataset, progress):
                data, encoded = image_bytes(row)
                done.notes[ENCODED] += encoded
                suffix = PurePosixPath(row.record.image_path).suffix.lower() or ".jpg"
                text = json.dumps(plain_example(row), ensure_ascii=False, allow_nan=False)
                key = f"{stem}_{row.split}_{row.position:09d}"
                shards.add(row.split, {f"{key}{suffix}": data, f"{key}.json": text.encode()})
                done.examples += 1
                images.number(row)
        finally:
            shards.close()
        done.images = images.n
        done.notes["people who share a picture with another, which is there for each"] = (
            done.examples - images.n
        )
        done.notes = +done.notes
        write_description(folder, dataset, out.name, "webdataset", done)
    return done


class _Shards:
    """Writes tar files, a new one where the last has enough or a split begins."""

    def __init__(self, folder: Path, name: str, most_examples: int, most_bytes: int):
        self._folder, self._name = folder, name
        self._most_examples, self._most_bytes = most_examples, most_bytes
        self._tar: tarfile.TarFile | None = None
        self._split, self._n_shards, self._n, self._bytes = "", 0, 0, 0

    def add(self, split: str, files: dict[str, bytes]) -> None:
        """Writes the files of an example."""
        if split != self._split:
            self._split, self._n_shards = split, 0
            self.close()
        elif self._n >= self._most_examples or self._bytes >= self._most_bytes:
            self.close()
        if self._tar is None:
            path = self._folder / f"{self._name}-{split}-{self._n_shards:06d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)
            self._n_shards, self._n, self._bytes = self._n_shards + 1, 0, 0
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))
            self._bytes += len(data)
        self._n += 1

    def close(self) -> None:
        """Ends the tar file."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None
