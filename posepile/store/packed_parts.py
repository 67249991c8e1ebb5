"""What packing keeps of the parts that become an archive, and where each of them goes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import WorkError
from posepile.recipe import SPLITS
from posepile.store.ahead import answers
from posepile.store.columns import write_columns
from posepile.store.parts import DamagedParts, damage_of_part, read_arrays, read_header
from posepile.store.table_file import TablePlan

if TYPE_CHECKING:
    from posepile.recipe import DatasetSpec


def facts_of(spec: DatasetSpec) -> dict[str, Any]:
    """Returns what an archive says of its dataset besides the examples."""
    return {
        "joint_names": list(spec.joint_info.names),
        "joint_edges": [[int(i), int(j)] for i, j in spec.joint_info.stick_figure_edges],
        "name": spec.name,
        "kind": spec.kind,
        "image_dir": spec.image_dir,
        "units": "mm",
        "world_up": None if spec.world_up is None else [float(x) for x in spec.world_up],
        "single_person": spec.single_person,
        "synthetic": spec.synthetic,
        "realistic_background": spec.realistic_background,
        "body_shape": spec.body_shape,
        "n_valid_betas": spec.n_valid_betas,
        "far_from_origin": spec.far_from_origin,
    }


# Bytes of columns up to which parts are read ahead: a hundred of them are in memory then.
SMALL = 1 << 19


class PartsToPack:
    """What packing keeps of the parts: paths and a few numbers each, for a million of them.

    Attributes:
        paths: Of the parts that have examples.
        plan: The columns of all of them.
        ranges: First row and end of each split.
        image_bytes: Size of each shard.
        n_shards: Number of image shards of the archive.
        compared: How many bytes of each shard have been compared with their checksums.
        added: Of how many parts the columns have been added to the table.
    """

    def __init__(self, spec):
        self._spec = spec
        self.paths: list[str] = []
        self.plan = TablePlan()
        self.ranges = {name: [0, 0] for name in SPLITS}
        self._content = hashlib.sha256()
        self._splits, self._digests, self._sizes = bytearray(), bytearray(), array("q")
        self._small = bytearray()

    def take(self, part_paths, pool):
        """Reads the heads of parts, which are yielded, and keeps what is needed of them.

        Raises:
            DamagedParts: Names all that are damaged, after the last.
        """
        damaged, all_paths = {}, []
        for path, header in answers(read_header, map(os.fspath, part_paths)):
            all_paths.append(path)
            if header is None or "shard" not in header["sha256"]:
                damaged[Path(path)] = damage_of_part(path) or f"{path}: has no examples"
                continue
            if header["n_examples"]:
                self._add(path, header)
            yield header
        if damaged:
            found = pool.map(damage_of_part, all_paths)
            reasons = zip(map(Path, all_paths), found, strict=True)
            raise DamagedParts({p: r or damaged[p] for p, r in reasons if r or p in damaged})
        if not self.paths:  # an empty archive is still one that opens
            columns = write_columns([])
            self.plan.add(0, {n: [0, c.dtype.str, c.shape] for n, c in columns.items()})

    def _add(self, path, header):
        n_joints = self._spec.joint_info.n_joints
        if header["n_joints"] not in (None, n_joints):
            raise WorkError(f"{path}: {header['n_joints']} joints, the dataset has {n_joints}")
        splits = [name for name in SPLITS if header["splits"][name]]
        if len(splits) > 1:
            raise WorkError(f"{path}: examples of {' and '.join(splits)}, expected one split")
        (split,), position = splits, self.plan.n_rows
        old = self.ranges[split]
        if old[1] > old[0] and old[1] != position:
            raise WorkError(f"{path}: parts of split {split!r} do not lie together")
        start = old[0] if old[1] > old[0] else position
        self.ranges[split] = [start, position + header["n_examples"]]
        self._splits.append(SPLITS.index(split))
        self.plan.add(header["n_examples"], header["columns"])
        for kind in ("columns", "shard"):
            self._content.update(bytes.fromhex(header["sha256"][kind]))
        self._digests += bytes.fromhex(header["sha256"]["shard"])
        self._sizes.append(header["image_bytes"])
        self._small.append(header["data_bytes"] <= SMALL)
        self.paths.append(path)

    def place(self, max_shards):
        """Decides which parts share a shard of the archive."""
        n = len(self.paths)
        self.image_bytes = np.array(self._sizes, np.int64)
        self.n_shards = min(n, max_shards)
        shards = np.arange(n) * self.n_shards // max(1, n)
        self._firsts = np.searchsorted(shards, np.arange(self.n_shards + 1))
        self._ends = np.append(np.int64(0), np.cumsum(self.image_bytes))
        starts = self._ends[:-1]
        self._bases = starts - starts[self._firsts[shards]]
        self._shards = shards.astype(np.int32)
        self.compared, self.added, self._told = np.zeros(self.n_shards, np.int64), 0, 0

    def newly_done(self):
        """Returns how much more is done than at the last call, and of how many parts in words.

        Returns:
            Bytes of pictures: those compared, or those of the parts whose columns have been
            added, whichever are fewer. The words are of the parts that have been added.
        """
        before = self._told
        self._told = min(int(self.compared.sum()), int(self._ends[self.added]))
        return self._told - before, f"{self.added:,} of {len(self.paths):,} parts"

    def columns_of_all(self):
        """Yields the number of each part and its columns, or what is wrong; see :meth:`columns`.

        Small ones are read ahead where the disk is slow.
        """
        ahead = answers(
            lambda k: self.columns(k) if self._small[k] else None, range(len(self.paths))
        )
        for self.added, found in ahead:
            yield self.added, found or self.columns(self.added)
        self.added = len(self.paths)

    def columns(self, k):
        """Returns header, arrays, size and seconds of reading of a part, or an error."""
        path, start = self.paths[k], time.thread_time()
        try:
            header, arrays = read_arrays(path)
        except WorkError as e:
            return e
        if header["sha256"].get("shard") != self.digest_of(k):
            return WorkError(f"{path}: was replaced while it was packed")
        return header, arrays, os.path.getsize(path), time.thread_time() - start

    def place_of(self, k):
        """Returns shard and place of the images of a part."""
        return int(self._shards[k]), int(self._bases[k])

    def split_of(self, k):
        """Returns the split of a part."""
        return SPLITS[self._splits[k]]

    def digest_of(self, k):
        """Returns the SHA-256 of the images of a part."""
        return self._digests[32 * k : 32 * k + 32].hex()

    def header_of(self, k):
        """Returns what the header of a part says of its images."""
        return {"image_bytes": int(self.image_bytes[k]), "sha256": {"shard": self.digest_of(k)}}

    def of_shard(self, number):
        """Returns the numbers of the parts that share a shard."""
        return range(self._firsts[number], self._firsts[number + 1])

    def origin(self, shard, offset):
        """Returns which part an entry comes from."""
        if shard >= self.n_shards:
            return "the table"
        first, end = self._firsts[shard], self._firsts[shard + 1]
        k = first + int(np.searchsorted(self._bases[first:end], offset, "right")) - 1
        return self.paths[k]

    def identity(self, spec):
        """Returns the digest of the content: of the parts in their order, and of the facts."""
        digest = self._content.copy()
        digest.update(json.dumps(facts_of(spec), sort_keys=True).encode())
        return digest.hexdigest()
