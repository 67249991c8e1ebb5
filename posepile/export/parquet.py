"""Parquet files in the layout of the Hugging Face hub, which ``datasets`` and pandas read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import UsageError
from posepile.export.columns import coords_dtype
from posepile.export.folders import new_folder, write_description
from posepile.export.plain import FACTS, licences, plain_further, plain_mask, sparse
from posepile.export.rows import (
    ENCODED,
    Exported,
    Images,
    Progress,
    Row,
    dense,
    image_bytes,
    iter_rows,
)
from posepile.store.cameras import camera_to_row, distortion_tag

# Names of the hub.
SPLIT_ON_HUB = {"train": "train", "val": "validation", "test": "test"}

# At most in a file.
EXAMPLES_PER_FILE = 100_000
BYTES_PER_FILE = 500 << 20

_ROWS = 1000  # of a row group: what is in memory at once
_ROW_BYTES = 64 << 20
_DENSE_UP_TO = 256

_TEXTS = (*FACTS, "sequence", "activity", "scene")


def export_parquet(
    dataset: Any,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    images: bool = True,
    bytes_per_file: int = BYTES_PER_FILE,
) -> Exported:
    """Writes Parquet files; see docs/EXPORT.md.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_parquet(get_dataset("aspset"), folder / "tables")
    >>> made.examples, made.files[0].name
    (30, 'tables')

    Args:
        dataset: The dataset.
        out: The folder to make; relative paths are below ``DATA_ROOT``.
        progress: Called with the number of examples written now and then.
        images: Whether the files hold the images, too.
        bytes_per_file: A file whose images reach so many bytes is ended.

    Returns:
        What was written.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UsageError(
            "Parquet is written by pyarrow, which is not installed; pip install 'pyarrow>=16'"
        ) from None
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    done, numbers = Exported(files=[out]), Images()
    with new_folder(out, "parquet") as folder:
        (folder / "data").mkdir()
        files = _Files(folder / "data", _Columns(dataset, images), bytes_per_file)
        try:
            for row in iter_rows(dataset, progress):
                data = None
                if images:
                    data, encoded = image_bytes(row)
                    done.notes[ENCODED] += encoded
                files.add(row, data)
                done.examples += 1
                numbers.number(row)
        finally:
            files.close()
        files.name_all()
        done.images = numbers.n
        write_description(folder, dataset, out.name, "parquet", done)
        (folder / "README.md").write_text(_card(dataset, out.name, files.splits), "utf-8")
    return done


class _Columns:
    """Turns examples into columns of a table."""

    def __init__(self, dataset: Any, images: bool):
        import pyarrow as pa

        self.n_joints = dataset.joint_info.n_joints
        self.is_dense = self.n_joints <= _DENSE_UP_TO
        self.dtype = coords_dtype(dataset)
        f4 = pa.float32()
        self._types: dict[str, Any] = {}
        if images:
            self._types["image"] = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        self._types["image_path"] = pa.string()
        self._types.update(dict.fromkeys(_TEXTS, pa.string()))
        self._types.update(dict.fromkeys(("frame", "person", "track"), pa.int64()))
        self._types["imshape"] = pa.list_(pa.int32(), 2)
        self._types["bbox"] = pa.list_(f4, 4)
        for name, n_dims in (("joints3d", 3), ("joints2d", 2)):
            if not self.is_dense:
                self._types[f"{name}_ids"] = pa.list_(pa.int64())
            size = self.n_joints if self.is_dense else -1
            kind = pa.float64() if n_dims == 3 and self.dtype == np.float64 else f4
            self._types[name] = pa.list_(pa.list_(kind, n_dims), size)
        self._types["camera"] = pa.struct(
            {
                "R": pa.list_(f4, 9),
                "K": pa.list_(f4, 9),
                "centre_mm": pa.list_(f4, 3),
                "up": pa.list_(f4, 3),
                "distortion": pa.list_(f4),
                "distortion_model": pa.string(),
                "imshape": pa.list_(pa.int32()),
            }
        )
        self._types["mask"] = pa.struct({"size": pa.list_(pa.int32(), 2), "counts": pa.string()})
        self._types["valid_poly"] = pa.list_(pa.list_(f4, 2))
        self._types.update(dict.fromkeys(("parameters", "densepose", "fingerprint"), pa.string()))
        self.schema = pa.schema(self._types).with_metadata(
            {"huggingface": json.dumps({"info": {"features": self._features()}})}
        )

    def _features(self):
        """Returns the columns in the words of the ``datasets`` library."""
        return {name: _feature(kind, name) for name, kind in self._types.items()}

    def values(self, row: Row, data: bytes | None) -> dict[str, Any]:
        """Returns a row of the table."""
        record = row.record
        values: dict[str, Any] = {name: row.fact(name) for name in FACTS}
        for name in ("image_path", "sequence", "activity", "scene", "frame", "person"):
            values[name] = getattr(record, name)
        values["track"] = int(getattr(record, "track", -1))
        if data is not None:
            values["image"] = {"bytes": data, "path": record.image_path}
        values["imshape"] = [int(x) for x in record.imshape]
        values["bbox"] = np.asarray(record.bbox, np.float32)
        self._put_joints(values, "joints3d", record.world_coords)
        self._put_joints(values, "joints2d", record.coords2d)
        if record.camera is not None:
            values["camera"] = _camera(record.camera)
        if record.mask is not None:
            values["mask"] = plain_mask(record.mask)
        if record.valid_poly is not None and len(record.valid_poly):
            values["valid_poly"] = np.asarray(record.valid_poly, np.float32).tolist()
        for name, value in plain_further(record).items():
            values[name] = value if isinstance(value, str) else json.dumps(value)
        return values

    def _put_joints(self, values, name, coords):
        if coords is None:
            return
        if self.is_dense:
            values[name] = list(np.asarray(dense(coords), self._dtype_of(name)))
        else:
            ids, found = sparse(coords)
            values[f"{name}_ids"], values[name] = (
                ids,
                list(np.asarray(found, self._dtype_of(name))),
            )

    def _dtype_of(self, name):
        return self.dtype if name == "joints3d" else np.dtype(np.float32)

    def table(self, rows: list[dict[str, Any]]) -> Any:
        """Returns rows as a table."""
        import pyarrow as pa

        arrays = [
            pa.array([row.get(name) for row in rows], kind) for name, kind in self._types.items()
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


def _camera(camera):
    numbers, model = camera_to_row(camera), camera.distortion_model
    has_lens = model is not None and model.has_nonzero_coeffs()
    shape = camera.image_shape
    return {
        "R": numbers[:9],
        "K": numbers[9:18],
        "centre_mm": numbers[18:21],
        "up": numbers[21:],
        "distortion": np.asarray(model.coeffs, np.float32) if has_lens else None,
        "distortion_model": distortion_tag(model) if has_lens else None,
        "imshape": None if shape is None else [int(x) for x in shape],
    }


def _feature(kind: Any, name: str = "") -> Any:
    import pyarrow as pa

    if name == "image":
        return {"_type": "Image"}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    dtype = {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
    return {"dtype": dtype, "_type": "Value"}


class _Files:
    """Writes the files of the splits; how many there are is known, and in their names, at last."""

    def __init__(self, folder: Path, columns: _Columns, most_bytes: int):
        self._folder, self._columns, self._most_bytes = folder, columns, most_bytes
        self._rows: list[dict[str, Any]] = []
        self._row_bytes, self._file_bytes, self._file_rows = 0, 0, 0
        self._writer: Any = None
        self._split = ""
        self._paths: dict[str, list[Path]] = {}

    @property
    def splits(self) -> list[str]:
        """The splits there are files of."""
        return list(self._paths)

    def add(self, row: Row, data: bytes | None) -> None:
        """Adds an example; those of a split come together."""
        if row.split != self._split:
            self.close()
            self._split = row.split
        elif self._file_bytes >= self._most_bytes or self._file_rows >= EXAMPLES_PER_FILE:
            self.close()
        self._rows.append(self._columns.values(row, data))
        self._row_bytes += len(data or b"")
        self._file_bytes += len(data or b"")
        self._file_rows += 1
        if len(self._rows) >= _ROWS or self._row_bytes >= _ROW_BYTES:
            self._flush()

    def _flush(self):
        import pyarrow.parquet as pq

        if not self._rows:
            return
        if self._writer is None:
            paths_of_split = self._paths.setdefault(self._split, [])
            path = self._folder / f"{self._split}-{len(paths_of_split)}"
            paths_of_split.append(path)
            self._writer = pq.ParquetWriter(path, self._columns.schema, compression="zstd")
        self._writer.write_table(self._columns.table(self._rows))
        self._rows, self._row_bytes = [], 0

    def close(self) -> None:
        """Ends the file that is open."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._file_bytes, self._file_rows = None, 0, 0

    def name_all(self) -> None:
        """Gives the files their names."""
        for split, found in self._paths.items():
            for i, path in enumerate(found):
                name = f"{SPLIT_ON_HUB[split]}-{i:05d}-of-{len(found):05d}.parquet"
                path.rename(self._folder / name)


def _card(dataset, name, splits):
    rights = licences(dataset)
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        hub = SPLIT_ON_HUB[split]
        lines += [f"  - split: {hub}", f"    path: data/{hub}-*"]
    if not splits:
        lines[1:] = []
    lines += ["---", "", f"# {name}", "", f"{dataset.joint_info.n_joints} joints. Licences:", ""]
    lines += [f"- {part}: {licence}" for part, licence in rights.items()] or ["- unknown"]
    return "\n".join(lines) + "\n"
