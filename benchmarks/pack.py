"""Packing: examples per second, cost of very many small parts, entries per second of the index.

python benchmarks/pack.py [--n 100000 300000 1000000] [--tiny 20000] [--dir FOLDER]

Times are processor time. Baseline of packing is writing the same with the Barecat library, one
entry at a time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import barecat
import synthetic

from posepile.store import packing
from posepile.store.index import IndexWriter

TINY = 2  # examples of a small part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="*", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--tiny", type=int, default=20_000)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--pack-only", type=Path, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack_only:
        pack_alone(args.pack_only, args.tiny)
        return
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        large_parts(root, args.n)
        if args.tiny:
            tiny_parts(root, args.tiny)
        index_rate(root, 300_000)


def large_parts(root: Path, numbers: list[int]) -> None:
    """Packs parts of 20,000 examples."""
    if not numbers:
        return
    baseline = library_rate(root, 20_000)
    parts = synthetic.make_parts(root / "parts", max(numbers), 20_000)
    for n in numbers:
        start = time.process_time()
        summary = packing.pack(parts[: n // 20_000], root / "b.barecat", synthetic.SPEC, {})
        seconds = time.process_time() - start
        synthetic.report(
            "pack",
            f"{n} examples",
            "entries/s",
            n / seconds,
            baseline,
            image_bytes_copied=summary["copied_bytes"],
            image_bytes=summary["image_bytes"],
            checked_bytes=summary["checked_bytes"],
            check_seconds=round(summary["check_seconds"], 3),
        )


def tiny_parts(root: Path, n: int) -> None:
    """Packs many parts of two examples, half and all of them, each in a process of its own."""
    folder = root / "tiny"
    synthetic.make_parts(folder, n * TINY, TINY)
    runs = {}
    for count in (n // 2, n):
        command = [sys.executable, __file__, "--tiny", str(count), "--pack-only", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs[count] = [float(x) for x in done.stdout.split()]
    (half_us, half_peak), (us, peak) = runs.values()
    per_part = (us - half_us) / (n - n // 2)
    memory = (peak - half_peak) / (n - n // 2)
    synthetic.report("pack", f"{n} parts of {TINY}", "us per part", per_part, None)
    synthetic.report("pack", f"{n} parts of {TINY}", "bytes of memory per part", memory, None)


def pack_alone(folder: Path, n: int) -> None:
    """Packs parts of a folder; prints microseconds of processor time, bytes of peak memory."""
    paths = (str(folder / f"part{k:05d}.part") for k in range(n))
    start = time.process_time()
    packing.pack(paths, folder.parent / "tiny.barecat", synthetic.SPEC, {})
    us = (time.process_time() - start) * 1e6
    # The peak of this program alone, which getrusage would mix with that of its parent.
    print(us, round(synthetic.peak_mb() * 2**20))


def index_rate(root: Path, n: int) -> None:
    """Writes an index alone."""
    rows = [
        (f"bench_downscaled/seq{i // 2000:05d}/{i % 2000:06d}.jpg", i // 2000, i, 3000, i)
        for i in range(n)
    ]
    start = time.process_time()
    with IndexWriter(root / "index.barecat") as index:
        for k in range(0, n, 2000):
            index.add(rows[k : k + 2000])
        index.close()
    seconds = time.process_time() - start
    os.unlink(root / "index.barecat")
    synthetic.report("pack", f"index of {n}", "entries/s", n / seconds, None)


def library_rate(root: Path, n: int) -> float:
    """Entries per second when images and annotation entries are written one at a time."""
    from posepile.store.codec import encode_entry, entry_key

    image = synthetic.jpeg()
    items = [(r.image_path, entry_key(r), encode_entry(r)) for r in synthetic.records(n)]
    start = time.process_time()
    with barecat.Barecat(str(root / "library.barecat"), readonly=False) as writer:
        for image_path, key, entry in items:
            writer[image_path] = image
            writer[key] = entry
    return n / (time.process_time() - start)


if __name__ == "__main__":
    main()
