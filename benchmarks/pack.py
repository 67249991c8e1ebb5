"""Packing: entries per second into one index, beside writing them with the Barecat library.

python benchmarks/pack.py [--n 100000 300000 1000000] [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import barecat
import synthetic

from posepile.store import packing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--dir", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        baseline = library_rate(root, 20_000)
        parts = synthetic.make_parts(root / "parts", max(args.n), 20_000)
        for n in args.n:
            start, cpu = time.perf_counter(), time.process_time()
            summary = packing.pack(parts[: n // 20_000], root / "b.barecat", synthetic.SPEC, {})
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            synthetic.report(
                "pack",
                f"{n} examples",
                "entries/s",
                n / seconds,
                baseline,
                image_bytes_copied=summary["copied_bytes"],
                image_bytes=summary["image_bytes"],
                per_cpu_second=round(n / cpu),
            )


def library_rate(root: Path, n: int) -> float:
    """Entries per second when images and annotation entries are written one at a time."""
    from posepile.store.codec import encode_entry, entry_key

    image = synthetic.jpeg()
    items = [(r.image_path, entry_key(r), encode_entry(r)) for r in synthetic.records(n)]
    start = time.perf_counter()
    with barecat.Barecat(str(root / "library.barecat"), readonly=False) as writer:
        for image_path, key, entry in items:
            writer[image_path] = image
            writer[key] = entry
    return n / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
