"""Exports: seconds and megabytes, against reading every example one by one with all its fields.

    python benchmarks/exports.py [--n 50000] [--dir FOLDER] [--only FORMAT ...]

Each is measured in a process of its own; memory is what the resident set grows by at most, pages
of the mapped archive included. ``--n`` twice shows that memory does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic import Measured, make_archives, report


def main() -> None:
    from posepile.cli.exporting import FORMATS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--only", nargs="+", default=list(FORMATS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child)))
        return
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        os.environ["DATA_ROOT"] = folder
        make_archives(Path(folder), args.n, args.n, 1)
        for name in args.only:
            command = [sys.executable, __file__, "--child", name]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            case = f"{args.n} examples: {name}"
            report("exports", case, "s", found["s"], found["by_example"], MB=found["mb"])


def measure(name: str) -> dict:
    """Seconds and megabytes of one export."""
    from posepile.cli.exporting import FORMATS, exporter
    from posepile.datasets3d import get_dataset
    from posepile.merging.merge import merge_datasets

    dataset = merge_datasets({"set0": get_dataset("set0")})
    export, out = exporter(name), Path(os.environ["DATA_ROOT"])
    few = merge_datasets({"set0": get_dataset("set0")})
    for split in few.examples:
        few.examples[split] = few.examples[split][:100]
    export(few, out / f"few{FORMATS[name].suffix}")
    with Measured() as measured:
        done = export(dataset, out / f"all{FORMATS[name].suffix}")
    start = time.process_time()
    for example in dataset.iter_examples():
        example.load(load_image=False)
    return {
        "s": measured.figures["processor_s"],
        "mb": measured.figures["resident_mb"],
        "by_example": time.process_time() - start,
        "n": done.examples,
    }


if __name__ == "__main__":
    main()
