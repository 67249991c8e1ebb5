"""Examples that belong together, and what training has in common with testing.

    python benchmarks/groups.py [--n 1000000 13000000] [--sets 4] [--dir FOLDER]

The datasets are one archive under many names; their examples are shuffled before. Every figure is
measured in a process of its own, in seconds of the clock and of processor time, and in megabytes
that the process holds at most beyond what it held before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from synthetic import Measured, make_archives, report

FRAMES = 1000  # of a sequence
NAMES = r"(?P<subject>seq\d{3})(?P<view>\d\d)"
CASES = ("views_of_instants", "people_of_pictures", "clips", "batches", "hygiene")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(*args.child)))
        return
    for n in args.n:
        with tempfile.TemporaryDirectory(dir=args.dir) as folder:
            facts = {"sequence_names": NAMES, "single_person": True}
            make_archives(Path(folder), n // args.sets, FRAMES, args.sets, **facts)
            for case in CASES:
                command = [sys.executable, __file__, "--child", case, folder, str(args.sets)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                figures = json.loads(done.stdout)
                report("groups", f"{n} examples of {args.sets}: {case}", "s", **figures)


def measure(case: str, folder: str, n_sets: str) -> dict:
    """Returns the figures of one case."""
    from merge import libraries

    libraries()
    from posepile.datasets3d import get_dataset
    from posepile.merging import groups, hygiene
    from posepile.merging.merge import merge_datasets

    names = [f"set{k}" for k in range(int(n_sets))]
    merged = merge_datasets({k: get_dataset(f"{folder}/{k}.barecat") for k in names})
    examples = merged.examples[0]
    examples.shuffle(0)
    if case == "hygiene":
        merged.examples[2] = examples[: len(examples) // 10]
        with Measured() as measured:
            found = hygiene.find_leaks({"all": merged}, pictures=False).leaks
        assert len(found) > 0
        return measured.figures
    if case == "batches":
        found = groups.views_of_instants(examples)
        with Measured() as measured:
            n = sum(len(batch) for batch in groups.GroupBatches(found, 16))
        assert n == len(examples)
        return measured.figures
    arguments = (16, 2) if case == "clips" else ()
    with Measured() as measured:
        found = getattr(groups, case)(examples, *arguments)
    assert len(found) > 0
    return measured.figures


if __name__ == "__main__":
    main()
