"""The whole job of every dataset in its default configuration, without networks: processor time.

    python benchmarks/end_to_end.py [--datasets aspset coco genebody] [--quick] [--set KEY=VALUE]

Each job is run as a user runs it, in processes of its own, from the raw files to the packed
archive with its report. The figure is the *marginal* cost of a crop: processor seconds (of all
processes) of a larger job less those of a smaller one, over the difference in crops, so that
start-up cancels.

The baseline is the reference way (``reference_way.py``) within the same job: the same annotations
are loaded, the same people and frames selected from the same raw files; a video is decoded whole
by a child process that writes RGB to a pipe (as in ``video.py``), a still once per person. It
neither segments, nor carries masks over, nor packs: ours does.

Datasets whose miniature cannot be enlarged are run as they are, for start-up and stages. With
``cold`` nothing is in the compiler's cache.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import stage_timers
from common import report

SIZES = {"aspset": (1, 4), "coco": (100, 500), "genebody": (1, 5)}
QUICK = {"aspset": (1, 2), "coco": (50, 150), "genebody": (1, 3)}
OTHERS = ("egoexo4d", "amarv", "synthego")


def main() -> None:
    """Measures the datasets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="*", default=[*SIZES, *OTHERS])
    parser.add_argument("--quick", action="store_true", help="small sizes, no cold run")
    parser.add_argument("--set", action="append", default=[], help="passed through to the runs")
    parser.add_argument("--reference", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reference:
        print(reference_job(args.reference, args.set))
        return
    adopt_orphans()
    for name in args.datasets:
        measure(name, (QUICK if args.quick else SIZES).get(name), args)


def measure(name: str, sizes: tuple[int, int] | None, args) -> None:
    """One dataset."""
    options = [part for s in args.set for part in ("--set", s)]
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder, str(size)) for size in sizes or (0,)]
        for root, size in zip(roots, sizes or (0,), strict=True):
            build(name, root / name, size)
        if not args.quick:
            cold = job(name, roots[0], 2, options, NUMBA_CACHE_DIR=str(Path(folder, "numba")))[0]
            report("end_to_end", f"{name}: smallest job, cold, two workers", "CPU s", cold, None)
        job(name, roots[0], 1, options)  # whatever is missing in the cache
        theirs = reference(name, roots, options) if sizes else None
        for jobs in (1,) if args.quick else (1, 2):
            show(name, jobs, [job(name, root, jobs, options) for root in roots], theirs)


def show(name: str, jobs: int, runs: list, theirs: list | None) -> None:
    """Prints the figures of one number of workers."""
    case = f"{name}: default configuration without networks, {jobs} worker{'s' * (jobs > 1)}"
    (small, n_small, stages), *larger = runs
    if not larger:
        report("end_to_end", f"{case}, miniature, {n_small} crops", "CPU s", small, None)
        pieces, n, whole = stages, n_small, small
    else:
        large, n_large, large_stages = larger[0]
        n, whole = n_large - n_small, large - small
        ours = 1000 * whole / n
        baseline = 1000 * (theirs[1][0] - theirs[0][0]) / (theirs[1][1] - theirs[0][1])
        report(
            "end_to_end", f"{case}, per crop", "ms", ours, baseline,
            crops=n, start_up_s=small - n_small * whole / n,
        )  # fmt: skip
        pieces = {k: v - stages.get(k, 0.0) for k, v in large_stages.items()}
    rest = whole - sum(v for k, v in pieces.items() if k != "total")
    for stage, seconds in sorted(
        [*pieces.items(), ("everything else", rest)], key=lambda x: -x[1]
    ):
        if stage != "total":
            report("end_to_end", f"{case}: {stage}", "CPU ms/crop", 1000 * seconds / n, None)


def build(name: str, root: Path, size: int) -> None:
    """Raw data; in another process, so that nothing of it counts."""
    code = (
        "import sys, importlib\nfrom pathlib import Path\n"
        "from enlarge import ENLARGE\nname, root, size = sys.argv[1:]\n"
        "make = ENLARGE.get(name)\n"
        "m = importlib.import_module(f'posepile.ds.{name}.miniature')\n"
        "make(Path(root), int(size)) if make else m.build(Path(root))\n"
    )
    root.parent.mkdir(parents=True)
    run([sys.executable, "-c", code, name, str(root), str(size)])


def job(name: str, root: Path, jobs: int, options: list[str], **variables: str):
    """Runs a dataset afresh.

    Returns:
        CPU seconds of all processes, number of examples, CPU seconds by stage.
    """
    for old in (root / f"{name}_work", *root.glob(f"{name}.barecat*")):
        subprocess.run(["rm", "-rf", str(old)], check=True)
    with tempfile.TemporaryDirectory() as times:
        extra = stage_timers.environment(Path(times, "t"))
        start = command(name, jobs, options)
        seconds, output = run(start, DATA_ROOT=str(root), **extra, **variables)
        stages = stage_timers.read(Path(times, "t"))
    return seconds, int(re.search(r"(\d+) examples from", output)[1]), stages


def command(name: str, jobs: int, options: list[str]) -> list[str]:
    """A run without the download, as one command."""
    # One fault is planted in some miniatures
    limit = ["--set", "run.max_quarantined=0.9"]
    run = ["run", name, "--from", "calibrate", "--jobs", str(jobs), "--quiet"]
    return [sys.executable, "-m", "posepile", *run, *limit, *options]


def reference(name: str, roots: list[Path], options: list[str]) -> list[tuple[float, int]]:
    """CPU seconds and number of crops of the reference way, for each size."""
    done = []
    for root in roots:
        start = [sys.executable, __file__, "--reference", name, *options]
        seconds, output = run(start, DATA_ROOT=str(root))
        done.append((seconds, int(output.split()[-1])))
    return done


def run(command: list[str], **variables: str) -> tuple[float, str]:
    """CPU seconds of a command with everything that it started, and what it printed."""
    before = cpu_of_children()
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent)])
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    while True:  # those whose parent did not wait for them
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return cpu_of_children() - before, done.stdout


def cpu_of_children() -> float:
    """CPU seconds of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def adopt_orphans() -> None:
    """Lets this process inherit the workers of a run that ends without waiting for them."""
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def reference_job(name: str, overrides: list[str]) -> int:
    """Makes all crops of a dataset the reference way, in this process; returns how many."""
    import boxlib
    import cv2
    from reference_way import reference_crops

    from posepile import paths
    from posepile.config import NoOptions, load_config
    from posepile.ds import load_recipe
    from posepile.errors import CorruptInput
    from posepile.imaging import cropping, jpeg
    from posepile.recipe import Video
    from posepile.stages.counts import Counts
    from posepile.stages.examples import by_frame, selected_examples

    cv2.setNumThreads(1)
    recipe = load_recipe(name)
    config = load_config(name, getattr(recipe, "Options", NoOptions), tuple(overrides))
    root = paths.raw_dir(name)
    n = 0
    for unit in recipe.list_units(root, config.dataset):
        try:
            sequences = recipe.load_unit(root, unit, config.dataset)
        except CorruptInput:
            continue
        for sequence in sequences:
            selected = selected_examples(sequence, config.select, [], Counts())
            groups = dict(by_frame(selected))
            is_video = isinstance(sequence.frames, Video)
            images = decode_all(sequence.frames.path) if is_video else ()
            for index, image in enumerate(images) if is_video else ((i, None) for i in groups):
                for person in groups.get(index, ()):
                    camera = (
                        sequence.camera(index) if callable(sequence.camera) else sequence.camera
                    )
                    if not is_video:
                        data = sequence.frames.paths[index].read_bytes()
                        image = jpeg.decode(data)  # noqa: PLW2901 - anew for every person
                    box = boxlib.expand(person.track.bbox[person.k], config.box.expand)
                    try:
                        plan = cropping.plan_crop(camera, box, image.shape[1::-1], config.crop)
                    except cropping.CannotCrop:
                        continue
                    for crop in reference_crops(image, camera, [plan]):
                        jpeg.encode(crop)
                        n += 1
    return n


def decode_all(path: Path):
    """Every frame of a video as uint8 RGB, from a child process through a pipe, as is usual."""
    import av

    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        shape = context.height, context.width, 3
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:  # forked, so that no start-up counts
        with av.open(str(path)) as container, open(writable, "wb", buffering=0) as pipe:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                view = memoryview(frame.reformat(format="rgb24").planes[0])
                while view:
                    view = view[pipe.write(view) :]
        os._exit(0)
    os.close(writable)
    with open(readable, "rb", buffering=0) as pipe:
        while True:
            image = np.empty(shape, np.uint8)
            view = memoryview(image).cast("B")
            while view and (n := pipe.readinto(view)):
                view = view[n:]
            if view:
                break
            yield image
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
