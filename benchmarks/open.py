"""Opening and random access: seconds, resident memory, examples and image bytes per second.

    python benchmarks/open.py [--n 1000000 13000000] [--dir FOLDER] [--workers 8]

Every figure is measured in a process of its own, times without importing the libraries, rates in
seconds of processor time of one core; opening in seconds of the clock, because waiting for the
disk counts, and of the processor. The baseline is a pickle of plain objects, and entries read one
by one with the Barecat library, as earlier versions of the format did; both at --baseline-n
examples, times and memory scaled to the number of examples of the case.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PART = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[1_000_000, 13_000_000])
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--baseline-n", type=int, default=50_000)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(globals()[args.child[0]](*args.child[1:])))
        return
    from synthetic import report

    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        os.environ["DATA_ROOT"] = str(root)
        baseline = make_baseline(root, args.baseline_n)
        for n in args.n:
            make_archive(root, n)
            evict(root)
            cold = child("child_open", "bench.barecat")
            warm = min((child("child_open", "bench.barecat") for _ in range(3)), key=seconds)
            scale = n / args.baseline_n
            slow = child("child_baseline_open", str(baseline))
            for case, figures in (("cold", cold), ("warm", warm)):
                name = f"{n} examples, {case}: open, len, first example"
                report(
                    "open",
                    name,
                    "s",
                    figures["open"],
                    slow["open"] * scale,
                    processor_s=round(figures["processor"], 4),
                )
            report(
                "open",
                f"{n} examples: the same and shuffle",
                "s",
                warm["all"],
                slow["all"] * scale,
            )
            report(
                "open",
                f"{n} examples: resident",
                "MB",
                warm["rss"],
                slow["rss"] * scale,
                of_which_libraries=round(warm["imported"], 1),
            )
            report("open", f"{n} examples: unique", "MB", warm["unique"], None)
            together = child("child_workers", "bench.barecat", str(args.workers))
            report(
                "open",
                f"{n} examples: {args.workers} workers together, unique memory",
                "MB",
                together["workers"],
                None,
                one=together["one"],
                ratio_to_one=round(together["workers"] / together["one"], 3),
            )
            access = child("child_access", "bench.barecat")
            slow = child("child_baseline_access", str(root / "entries.barecat"))
            for case in ("examples with camera", "image bytes", "lazy list access"):
                report("open", f"{n}: {case}", "1/s", access[case], slow.get(case))


def seconds(figures):
    return figures["open"]


def child(*args):
    """Runs a function of this file in a fresh interpreter."""
    command = [sys.executable, __file__, "--child", *args]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def make_archive(root: Path, n: int) -> None:
    import shutil

    import synthetic

    from posepile.store import packing

    parts = synthetic.make_parts(root / "parts", n, PART)
    start = time.process_time()
    packing.pack(parts, root / "bench.barecat", synthetic.SPEC, {})
    elapsed = time.process_time() - start
    size = sum(p.stat().st_size for p in root.glob("bench.barecat*")) - sum(
        p.stat().st_size for p in root.glob("bench.barecat-shard-*") if p.stat().st_nlink > 1
    )
    synthetic.report(
        "open", f"pack {n}", "entries/s", n / elapsed, None, bytes_per_example=round(size / n)
    )
    shutil.rmtree(root / "parts")


def make_baseline(root: Path, n: int) -> Path:
    """A pickle of plain objects, and an archive of entries, with the same content."""
    import synthetic

    from posepile.datasets3d import Pose3DDataset, Pose3DExample
    from posepile.export.upstream import export_upstream
    from posepile.store.packing import pack
    from posepile.store.parts import PartWriter

    examples = [
        Pose3DExample(
            r.image_path, r.world_coords, r.bbox, r.camera.copy(), mask=r.mask, activity_name="w"
        )
        for r in synthetic.records(n)
    ]
    path = root / "baseline.pkl"
    with open(path, "wb") as f:
        pickle.dump(Pose3DDataset(synthetic.JOINTS, examples, compute_bone_lengths=False), f, 4)
    with PartWriter(root / "small.part") as writer:
        image = synthetic.jpeg()
        for r in synthetic.records(20_000):
            writer.add(r, image)
    pack([root / "small.part"], root / "small.barecat", synthetic.SPEC, {})
    export_upstream(root / "small.barecat", root / "entries.barecat")
    return path


def evict(root: Path) -> None:
    """Drops the archive's pages from the page cache, as far as an ordinary user can."""
    for path in root.glob("bench.barecat*"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def memory() -> dict[str, float]:
    """Resident and unique memory of this process, in megabytes."""
    values = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split(":")
        values[key] = int(value.split()[0]) / 1024
    # Pss counts a page that k processes share as 1/k: summed over them, every page counts once.
    # Anonymous pages only; those of the archive belong to the page cache, whoever reads them.
    return {"rss": values["Rss"], "unique": values["Pss_Anon"]}


def child_open(name):
    import deltacamera  # noqa: F401  (imported by any program that uses the data)

    from posepile import datasets3d

    imported = memory()["rss"]

    start, processor = time.perf_counter(), time.process_time()
    examples = datasets3d.get_dataset(name).examples[0]
    assert len(examples)
    examples[0].load(load_image=False)
    opened, processor = time.perf_counter() - start, time.process_time() - processor
    examples.shuffle(0)
    return {
        "open": opened,
        "processor": processor,
        "all": time.perf_counter() - start,
        "imported": imported,
        **memory(),
    }


def child_baseline_open(path):
    import random

    import deltacamera  # noqa: F401

    from posepile import datasets3d  # noqa: F401

    before = memory()
    start = time.perf_counter()
    with open(path, "rb") as f:
        examples = pickle.load(f).examples[0]
    examples[0].load()
    opened = time.perf_counter() - start
    random.shuffle(examples)
    after = memory()
    return {
        "open": opened,
        "all": time.perf_counter() - start,
        "rss": after["rss"] - before["rss"],
    }


def child_workers(name, n_workers):
    """Loader workers: forked with the shuffled list, each reads examples all over the table."""
    import multiprocessing

    import numpy as np

    from posepile import datasets3d

    examples = datasets3d.get_dataset(name).examples[0]
    examples.shuffle(0)
    examples[0].load(load_image=False)
    one = memory()["unique"]
    context = multiprocessing.get_context("fork")
    n = int(n_workers)
    barrier = context.Barrier(n + 1)
    queue = context.Queue()

    def work(k):
        for i in np.random.default_rng(k).integers(0, len(examples), 2000):
            examples[int(i)].load(load_image=False)
        barrier.wait()  # all hold what they need
        queue.put(memory()["unique"])
        barrier.wait()

    processes = [context.Process(target=work, args=(k,)) for k in range(n)]
    for p in processes:
        p.start()
    barrier.wait()
    workers = sum(queue.get() for _ in range(n))
    parent = memory()["unique"]
    barrier.wait()
    for p in processes:
        p.join()
    return {"workers": workers + parent, "one": one}


def child_access(name):
    import numpy as np

    from posepile import datasets3d

    examples = datasets3d.get_dataset(name).examples[0]
    # Warm: the rows are read once before.
    rows = np.random.default_rng(0).integers(0, len(examples), 40_000).tolist()
    fields = ("image_path", *datasets3d.LazyPose3DExample.FETCHED)

    def complete(i):
        ex = examples[i]
        for field in fields:
            getattr(ex, field)

    def image_bytes(i):
        ex = examples[i]
        ex._source.image_bytes(ex._row)

    result = {}
    for case, function in (
        ("examples with camera", complete),
        ("image bytes", image_bytes),
        ("lazy list access", lambda i: examples[i]),
    ):
        best = 0.0
        for _ in range(4):
            start = time.process_time()
            for i in rows:
                function(i)
            best = max(best, len(rows) / (time.process_time() - start))
        result[case] = best
    return result


def child_baseline_access(path):
    import barecat
    import cv2
    import deltacamera
    import msgpack_numpy
    import numpy as np

    with (
        barecat.Barecat(path) as reader,
        barecat.Barecat(str(Path(path).with_name("small.barecat"))) as images,
    ):
        keys = [k for k in reader if k.startswith("train/")]
        keys = [keys[i] for i in np.random.default_rng(0).integers(0, len(keys), 10_000)]

        def complete(key):
            entry = msgpack_numpy.unpackb(reader[key])
            cam = entry["cam"]
            coords = np.full([17, 3], np.nan, np.float32)
            coords[entry["joints3d"]["i_rows"]] = entry["joints3d"]["rows"]
            deltacamera.Camera(
                rot_world_to_cam=cv2.Rodrigues(cam["rotvec_w2c"])[0],
                optical_center=cam["loc"],
                intrinsic_matrix=np.concatenate([cam["intr"], [[0, 0, 1]]]),
                world_up=cam["up"],
            )

        def image(key):
            return images[key.partition("/")[2].rpartition("_")[0]]

        result = {}
        for case, function in (("examples with camera", complete), ("image bytes", image)):
            best = 0.0
            for _ in range(3):
                start = time.process_time()
                for key in keys:
                    function(key)
                best = max(best, len(keys) / (time.process_time() - start))
            result[case] = best
    return result


if __name__ == "__main__":
    main()
