"""Compares two builds of a dataset: every image byte by byte, every column of the table exactly.

    python benchmarks/compare_builds.py OLD.barecat NEW.barecat

Reads with barecat and numpy alone, so that no fault of our own reader can hide a difference. The
manifest and the metadata hold versions and digests, and are left out. The order of the examples is
that of the table's rows. Exit status 1 if images or columns differ, or if an archive is empty.
"""

from __future__ import annotations

import argparse
import io
import sys

import barecat
import numpy as np

TABLE = "table/"
OTHER = ("manifest.json", "metadata.msgpack", "inputs.jsonl")
SHOWN = 20  # differences listed at most


def main() -> int:
    """Compares, prints what differs, returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    args = parser.parse_args()
    try:
        with barecat.Barecat(args.old) as old, barecat.Barecat(args.new) as new:
            differences, n_images, n_columns = compare(old, new)
    except FileNotFoundError as e:
        print(f"{e}: no such archive", file=sys.stderr)
        return 2
    for line in differences[:SHOWN]:
        print(line)
    if len(differences) > SHOWN:
        print(f"... and {len(differences) - SHOWN} more")
    print(f"{n_images} images, {n_columns} columns in both: {len(differences)} differences")
    if not n_images or not n_columns:
        print("nothing to compare: an archive without images or without a table")
        return 1
    return 1 if differences else 0


def compare(old, new) -> tuple[list[str], int, int]:
    """Differences as lines, and how many images and columns were found in both archives."""
    old_keys, new_keys = list(old.keys()), list(new.keys())
    differences = [f"only in the old build: {k}" for k in missing(old_keys, new_keys)]
    differences += [f"only in the new build: {k}" for k in missing(new_keys, old_keys)]
    shared = set(new_keys)
    n_images = n_columns = 0
    for key in (k for k in old_keys if k in shared and k not in OTHER):
        before, after = bytes(old[key]), bytes(new[key])
        if key.startswith(TABLE):
            n_columns += 1
            difference = compare_columns(np.load(io.BytesIO(before)), np.load(io.BytesIO(after)))
        else:
            n_images += 1
            difference = compare_bytes(before, after)
        if difference:
            differences.append(f"{key}: {difference}")
    return differences, n_images, n_columns


def missing(keys: list[str], others: list[str]) -> list[str]:
    """Images and columns of one archive that the other lacks."""
    there = set(others)
    return [k for k in keys if k not in there and k not in OTHER]


def compare_bytes(old: bytes, new: bytes) -> str:
    """Where two files differ; empty if they do not."""
    if old == new:
        return ""
    if len(old) != len(new):
        return f"{len(old)} bytes, now {len(new)}"
    where = np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8))
    return f"{len(where)} of {len(old)} bytes differ, the first at {where[0]}"


def compare_columns(old: np.ndarray, new: np.ndarray) -> str:
    """How two arrays differ in type, shape or bits (so that NaN equals itself); empty if not."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return f"{old.dtype} {list(old.shape)}, now {new.dtype} {list(new.shape)}"
    if old.tobytes() == new.tobytes():
        return ""
    rows = old.reshape(len(old), -1).view(np.uint8) != new.reshape(len(new), -1).view(np.uint8)
    where = np.flatnonzero(rows.any(axis=1))
    return f"{len(where)} of {len(old)} rows differ, the first is {where[0]}"


if __name__ == "__main__":
    sys.exit(main())
