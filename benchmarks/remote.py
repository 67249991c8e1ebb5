"""Shuffled reading of an archive from an object store, against the same archive on the disk.

    python benchmarks/remote.py [--n 1000] [--passes 2]
    python benchmarks/remote.py --caches

The store is moto's S3 server on this machine (see tests/s3_kit.py), real HTTP through a relay that
counts bytes. Measured are: bytes that came over the network per byte of images read, with a cache
of a quarter of the archive; and, with everything in the cache, examples with decoded images per
second, and images as bytes, in turn with the archive on the disk, so that other work on the
machine disturbs both. Needs the extra ``s3`` and moto's server.

``--caches`` measures our cache beside the library diskcache, without any store.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import best_times, report

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

IN_SHARD = 20  # moto reads an object whole for each range of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="images")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--caches", action="store_true", help="measure caches alone")
    args = parser.parse_args()
    if args.caches:
        measure_caches()
        return
    from s3_kit import Store, moto_program

    if moto_program() is None:
        parser.error("no moto_server on the path; MOTO_SERVER=/path/to/moto_server names it")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATA_ROOT"] = folder
        total = make_archive(Path(folder), args.n)
        store = Store()
        try:
            os.environ.update(store.environment)
            measure(Path(folder), store, total, args)
        finally:
            store.close()


def make_archive(root: Path, n: int) -> int:
    """Packs images as large as crops are; returns how many bytes they are."""
    import dataclasses

    from loader import make_crops
    from synthetic import SPEC, records

    from posepile.store import packing
    from posepile.store.parts import PartWriter

    crops = make_crops(min(n, 100))
    made, paths = list(records(n)), []
    for start in range(0, n, IN_SHARD):
        paths.append(root / "bench_work" / "parts" / f"{start:06d}.part")
        with PartWriter(paths[-1]) as writer:
            for i, record in enumerate(made[start : start + IN_SHARD], start):
                writer.add(dataclasses.replace(record, mask=None), crops[i % len(crops)])
    packing.pack(paths, root / "bench.barecat", SPEC, {"sources": []})
    return sum(len(crops[i % len(crops)]) for i in range(n))


def measure(root: Path, store, total: int, args) -> None:
    """Uploads, reads, reports."""
    import fsspec

    from posepile.datasets3d import TRAIN, get_dataset
    from posepile.remote.upload import upload_files
    from posepile.store.layout import archive_files

    fsspec.filesystem("s3").mkdir("bench")
    upload_files(archive_files(root / "bench.barecat"), "s3://bench/x")
    local = get_dataset("bench.barecat").examples[TRAIN]
    rng = np.random.default_rng(0)
    order = [i for _ in range(args.passes) for i in rng.permutation(args.n).tolist()]

    os.environ["POSEPILE_OBJECT_CACHE"] = str(root / "small")
    os.environ["POSEPILE_OBJECT_CACHE_SIZE"] = str(total // 4)
    far = opened("s3://bench/x/bench.barecat", get_dataset)
    before, read = store.relay.n_bytes, 0
    began = time.perf_counter()
    for i in order:
        data = image_bytes(far[i])
        read += len(data)
        assert data == image_bytes(local[i])
    seconds = time.perf_counter() - began
    case = f"{args.n} images of {total / args.n / 1000:.0f} KB, cache of a quarter"
    fetched = store.relay.n_bytes - before
    report("remote", f"{case}: bytes fetched per byte read", "x", fetched / read, None)
    report("remote", f"{case}: images", "1/s", len(order) / seconds, None)

    os.environ["POSEPILE_OBJECT_CACHE"] = str(root / "large")
    os.environ["POSEPILE_OBJECT_CACHE_SIZE"] = str(2 * total)
    far = opened("s3://bench/x/bench.barecat", get_dataset)
    for example in far:
        image_bytes(example)
    once = order[: args.n]
    for what, use in (("examples, decoded", lambda ex: ex.load()), ("images, bytes", image_bytes)):

        def all_of(examples, use=use):
            for i in once:
                use(examples[i])

        times = best_times(lambda: all_of(far), lambda: all_of(local), repeats=3)
        rates = [1000 * len(once) / t for t in times]
        report("remote", f"{case[:24]}, all cached: {what}", "1/s", *rates)


def measure_caches() -> None:
    """Reports how long keeping and finding an entry takes."""
    import diskcache

    from posepile.remote.kept import Kept

    rng = np.random.default_rng(0)
    for size, n in ((8_000, 5000), (30_000, 3000), (100_000, 1000)):
        data, order = rng.bytes(size), rng.permutation(n).tolist()
        with tempfile.TemporaryDirectory() as folder:
            ours = Kept(Path(folder) / "ours", 2 * n * size)
            other = diskcache.Cache(f"{folder}/other", size_limit=2 * n * size)

            def keep(ours=ours, size=size, n=n, data=data):
                for i in range(n):
                    ours.put(1, 0, i * size, data)

            def keep_other(other=other, size=size, n=n, data=data):
                for i in range(n):
                    other.set(f"1/0/{i * size}", data)

            def find(ours=ours, size=size, order=order):
                for i in order:
                    assert len(ours.get(1, 0, i * size, size)) == size

            def find_other(other=other, size=size, order=order):
                for i in order:
                    assert len(other.get(f"1/0/{i * size}")) == size

            case = f"cache, entries of {size // 1000} KB beside diskcache"
            for what, functions in (("keep", (keep, keep_other)), ("find", (find, find_other))):
                times = [1000 * t / n for t in best_times(*functions, repeats=1)]
                report("remote", f"{case}: {what}", "us", *times)
            other.close()


def opened(address: str, get_dataset):
    """The training examples, opened as a new process would."""
    from posepile.datasets3d import TRAIN
    from posepile.remote import copies
    from posepile.store import reading

    copies._known.clear()
    reading._readers.clear()
    return get_dataset(address).examples[TRAIN]


def image_bytes(example) -> bytes:
    """The stored image of an example."""
    return example._source.image_bytes(example._row)


if __name__ == "__main__":
    main()
