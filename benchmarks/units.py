"""What a unit costs besides its pixels: processor time, files and memory, at scale.

    python benchmarks/units.py [--units 20000] [--listed 1000000] [--jobs 2]

Both datasets are made up in a temporary folder and run through the command line in processes of
their own, whose processor time and memory the system reports. A tiny unit is one photograph of
64x48 pixels with one person; others have several.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PHOTO = """
import sys, cv2, numpy as np
image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
cv2.imwrite(sys.argv[1], image)
"""

MAIN = '''
"""A made-up dataset of many small units."""

import numpy as np
from pathlib import Path

from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit

SPEC = DatasetSpec("tiny", JointInfo("head,pelv", "head-pelv"), "tiny_downscaled", kind="2d")


def list_units(root, options):
    count, photos = map(int, (root / "count").read_text().split())
    for i in range(count):
        split = ("train", "val", "test")[i % 10 % 3]
        name = f"take{i // 100:05d}/{i % 100:02d}"
        yield Unit(name, split, (root / "photo.jpg",), {"photos": photos})


def load_unit(root, unit, options):
    n = unit.args["photos"]
    track = Track(
        np.arange(n),
        image_coords=np.float32([[[30, 10], [30, 40]]] * n),
        bbox=np.float32([[20, 5, 20, 40]] * n),
    )
    stills = Stills((root / "photo.jpg",) * n)
    name = lambda frame, person: f"{unit.id}-{frame:04}.jpg"
    return [Sequence(unit.id, unit.split, stills, None, [track], name)]
'''


def main():
    """Makes the datasets and measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--listed", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_recipe(Path(folder))
        if args.listed:
            measure_listing(Path(folder), args.listed)
        if args.units:
            measure_units(Path(folder), args.units, args.jobs)


def make_recipe(folder: Path) -> None:
    """The dataset's folder, its raw files, and the environment that finds them."""
    recipe = folder / "datasets" / "tiny"
    recipe.mkdir(parents=True)
    (recipe / "main.py").write_text(MAIN)
    (recipe / "config.yaml").write_text("select: {method: none}\nsegment: {model: none}\n")
    raw = folder / "data" / "tiny"
    raw.mkdir(parents=True)
    # In a process of its own: the size of this one is where that of others begins.
    subprocess.run([sys.executable, "-c", PHOTO, str(raw / "photo.jpg")], check=True)
    os.environ["POSEPILE_DATASETS"] = str(recipe.parent)
    os.environ["DATA_ROOT"] = str(raw.parent)


def set_size(data: Path, units: int, photos: int = 1) -> None:
    """Says of how many units the dataset consists, and of how many photographs a unit."""
    (data / "tiny" / "count").write_text(f"{units} {photos}")


def measure_listing(folder: Path, count: int) -> None:
    """Lists many units, then reads the share of one of 256 array tasks."""
    set_size(folder / "data", count)
    share = ("step", "tiny", "process", "--dry-run", "--shard", "7/256")
    seconds, _ = posepile(*share)
    case = f"{count} units"
    report("units", f"{case}: list them, once", "CPU s", seconds)
    seconds, megabytes = posepile(*share)
    report("units", f"{case}: the share of one of 256 tasks", "CPU s", seconds)
    report("units", f"{case}: the share of one of 256 tasks", "MB", megabytes)
    seconds, _ = posepile(*share, "--only", "take00[01]*")
    report("units", f"{case}: a share of those that match a glob", "CPU s", seconds)


def measure_units(folder: Path, count: int, jobs: int) -> None:
    """Runs many tiny units, then everything again with nothing to do."""
    memory = {}
    for n in (count // 10, count):
        set_size(folder / "data", n)
        case, total = f"{n} tiny units", 0.0
        shutil.rmtree(folder / "data" / "tiny_work", ignore_errors=True)
        for step in ("process", "pack"):
            seconds, megabytes = posepile("step", "tiny", step, "--jobs", str(jobs), "--quiet")
            total += seconds
            report("units", f"{case}: {step}", "CPU ms per unit", 1e3 * seconds / n)
            report("units", f"{case}: {step}", "MB of the main process", megabytes)
        memory[n] = megabytes
    grown = 1e3 * (memory[count] - memory[count // 10]) / (count - count // 10)
    report("units", f"{case}: pack", "KB of memory per unit", grown)
    report("units", f"{case}: all steps", "CPU ms per unit", 1e3 * total / count)
    inodes = sum(len(d) + len(f) for _, d, f in os.walk(folder / "data" / "tiny_work"))
    report("units", f"{case}: files and folders", "per unit", inodes / count)
    total = 0.0
    for step in ("download", "calibrate", "process", "pack"):
        seconds, megabytes = posepile("step", "tiny", step, "--jobs", str(jobs), "--quiet")
        total += seconds
        report("units", f"{case}: idle {step}", "CPU ms per unit", 1e3 * seconds / count)
        report("units", f"{case}: idle {step}", "MB of the main process", megabytes)
    report("units", f"{case}: idle rerun", "CPU ms per unit", 1e3 * total / count)


def report(benchmark: str, case: str, unit: str, ours: float) -> None:
    """Prints one JSON line, as ``common.report`` does, which would import more than this needs."""
    line = {"benchmark": benchmark, "case": case, "unit": unit, "ours": round(ours, 3)}
    print(json.dumps(line), flush=True)


def posepile(*args: str) -> tuple[float, float]:
    """Runs a command; returns processor seconds (with its workers) and its peak memory in MB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "posepile", *args], stdout=subprocess.PIPE, text=True
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"posepile {' '.join(args)} failed:\n{output}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
