"""Checks an archive in an object store: each object is read once, compared by its SHA-256."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from posepile.errors import one_line
from posepile.remote import stores
from posepile.store.index import number_of_shards
from posepile.store.layout import listed_digests, manifest_path, shard_path


def verify_address(address: str) -> list[str]:
    """Returns what is wrong with an archive in a store, one line each; empty if nothing is.

    Nothing stays on the disk. What is in the archive is not looked at: a copy whose files are
    those of a right archive is right.

    Args:
        address: Of the index.

    Raises:
        WorkError: There is no archive, it has no list of checksums, or the store does not answer.
    """
    with tempfile.TemporaryDirectory() as temporary:
        index = Path(temporary, "index")
        stores.copy_here(address, stores.look(address), index)
        try:
            n_shards = number_of_shards(index)
        except sqlite3.Error as e:
            return [f"{address}: not the index of an archive ({one_line(e)}); upload it again"]
    listed = f"{address}.sha256"
    text = stores.read_range(listed, 0, stores.look(listed).size)
    digests = listed_digests(text.decode("utf-8", "replace"))
    folder, _, name = address.rpartition("/")
    problems = []
    shards = [shard_path(name, number) for number in range(n_shards)]
    for file in map(str, (*shards, manifest_path(name), name)):
        if file not in digests:
            problems.append(f"{listed}: {file} is not listed; upload the archive again")
    for file, expected in digests.items():
        try:
            stat = stores.look(f"{folder}/{file}")
            found = stores.digest_of(f"{folder}/{file}", stat.size)
        except stores.Absent as e:
            problems.append(str(e))
            continue
        if found != expected:
            problems.append(
                f"{folder}/{file}: SHA-256 {found}, expected {expected}; upload it again"
            )
    return problems
