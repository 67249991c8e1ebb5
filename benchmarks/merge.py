"""Many datasets as one: merging, opening, filters, bone lengths, some of the subjects.

    python benchmarks/merge.py [--n 13000000] [--sets 28] [--dir FOLDER]
    python benchmarks/merge.py --sets 1000 --n 200000 --part 200 --some 10000 --one-skeleton

The datasets are one archive under many names, so the disk needs about 500 bytes for each example
of one of them. Every figure is measured in a process of its own, in seconds of the clock and in
seconds of processor time, without importing the libraries; memory is what the process holds at
most beyond them, pages of the archives in the page cache included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from synthetic import Measured, make_archives, report

READ = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=13_000_000)
    parser.add_argument("--sets", type=int, default=28)
    parser.add_argument("--part", type=int, default=100_000, help="examples of a part")
    parser.add_argument("--one-skeleton", action="store_true", help="as of parts of one dataset")
    parser.add_argument("--some", type=int, default=1_000_000, help="examples of what follows")
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(globals()[args.child[0]](*args.child[1:])))
        return
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        os.environ |= {"DATA_ROOT": str(root), "CACHE_DIR": str(root / "cache")}
        each = args.part * max(1, round(args.n / args.sets / args.part))
        make_archives(root, each, args.part, args.sets, sequence_names=r"(?P<subject>seq[0-9]+)")
        n = each * args.sets
        for case in ("merge", "open", "shuffle", "read"):
            figures = child(f"child_{case}", str(args.sets), *["one"] * args.one_skeleton)
            report("merge", f"{n} examples of {args.sets}: {case}", "s", **figures)
        some = max(2, round(args.some / (n / args.sets)))
        child("child_merge", str(some))
        for case in ("update_bones", "filter_bones", "filter_boxes", "subjects", "columns"):
            figures = child(f"child_{case}", str(some))
            name = f"{figures.pop('n')} merged examples of {some}: {case}"
            report("merge", name, "s", **figures)


def child(*args):
    """Runs a function of this file in a fresh interpreter."""
    command = [sys.executable, __file__, "--child", *args]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def libraries():
    import deltacamera  # noqa: F401  (imported by any program that uses the data)
    import pydantic  # noqa: F401

    from posepile import datasets3d  # noqa: F401
    from posepile.merging import filters, merge  # noqa: F401


def child_merge(n_sets, *skeleton):
    libraries()
    import pickle

    from posepile.datasets3d import get_dataset
    from posepile.merging.merge import merge_datasets

    with Measured() as measured:
        names = [f"set{k}" for k in range(int(n_sets))]
        datasets = {name: get_dataset(f"{name}.barecat") for name in names}
        merged = merge_datasets(datasets, dict.fromkeys(names, *skeleton) if skeleton else None)
        path = Path(os.environ["CACHE_DIR"]) / "all.pkl"
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as f:
            pickle.dump(merged, f, 4)
    return {**measured.figures, "pickle_mb": round(path.stat().st_size / 2**20)}


def merged():
    import posepile

    return posepile.load(Path(os.environ["CACHE_DIR"]) / "all.pkl")


def child_open(*_):
    libraries()
    with Measured() as measured:
        examples = merged().examples[0]
        examples[0].load()
        examples[-1].load()
    return measured.figures


def child_shuffle(*_):
    libraries()
    examples = merged().examples[0]
    with Measured() as measured:
        examples.shuffle(0)
    return measured.figures


def child_read(*_):
    libraries()
    examples = merged().examples[0]
    examples.shuffle(0)
    with Measured() as measured:
        for example in examples[:READ]:
            example.load()
    return {**measured.figures, "examples": READ, "open_files": len(os.listdir("/proc/self/fd"))}


def child_update_bones(_):
    libraries()
    dataset = merged()
    with Measured() as measured:
        dataset.update_bones()
    assert dataset.train_bones is not None
    return {"n": len(dataset.examples[0]), **measured.figures}


def filtered(**wanted):
    libraries()
    from posepile.merging.filters import Filters, keep

    dataset = merged()
    examples = dataset.examples[0]
    with Measured() as measured:
        mask, _ = keep(examples, dataset.joint_info, Filters(**wanted), dataset.train_bones)
        kept = examples[mask]
    return {"n": len(examples), **measured.figures, "kept": len(kept)}


def child_filter_bones(_):
    return filtered(bone_range=(0.1, 3.0), odd_bones_allowed=2)


def child_filter_boxes(_):
    return filtered(min_joints_in_box=1, min_box_side=10)


def child_subjects(_):
    return filtered(only={"subject": ("seq*[02468]",)})


def child_columns(_):
    libraries()
    examples = merged().examples[0]
    with Measured() as measured:
        boxes = examples.column("bbox")
        codes, subjects = examples.codes("subject")
    assert len(boxes) == len(codes) and len(subjects)
    return {"n": len(examples), **measured.figures}


if __name__ == "__main__":
    main()
