"""The whole main job on ASPset's layout, enlarged: crops per second and core, and where time goes.

    python benchmarks/end_to_end.py [--clips 4] [--frames 120]

The baseline is the floor: decoding every frame of the same videos without conversion, in one
thread, plus encoding the same crops, measured in the same run. Each size is run with one worker
and with two, and at half the size, to show how it grows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import av
from common import report

NAME = "aspset"


def main():
    """Builds the raw data once per size, then measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--segment", default="none", help="segment.model of the run")
    args = parser.parse_args()
    for n_clips in sorted({max(1, args.clips // 2), args.clips}):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DATA_ROOT"] = folder
            measure(Path(folder), n_clips, args.frames, args.segment)


def measure(root: Path, n_clips: int, n_frames: int, segment: str):
    """One size."""
    from posepile.ds.aspset import miniature
    from posepile.run import commands as steps
    from posepile.run import pack, pipeline

    clips = tuple(("aaaa", f"{i:04d}", "train", "all", n_frames) for i in range(n_clips))
    miniature.build(root / NAME, list_of_clips=clips)
    videos = sorted((root / NAME).rglob("*.mkv"))
    total_frames = len(videos) * n_frames

    def run(jobs, quality):
        options = (f"segment.model={segment}", f"crop.jpeg_quality={quality}")
        job = pipeline.make_run(NAME, options, jobs=jobs, quiet=True)
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            steps.process(job, pipeline.default_stages(job.config))
        return time.perf_counter() - start, job

    run(1, 50)  # compile and warm the page cache
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(cores)])  # one worker on one core: one decoder thread
    with timers() as spent:
        one, _ = run(1, 95)
    os.sched_setaffinity(0, cores)
    run(2, 94)  # starts the workers
    two, job = run(2, 93)
    start = time.perf_counter()
    pack.pack(job)
    packing = time.perf_counter() - start
    n = pipeline.total(pipeline.run_units(job, ("crop",))).examples

    start = time.perf_counter()
    for video in videos:
        with av.open(str(video)) as container:
            container.streams.video[0].thread_count = 1
            for _ in container.decode(video=0):
                pass
    floor = time.perf_counter() - start + spent["encode the JPEG"]
    case = f"{len(videos)} 4K videos, {total_frames} frames, {n} crops"
    report("end_to_end", f"{case}, one worker", "crops/s", n / one, n / floor)
    report("end_to_end", f"{case}, two workers vs one", "crops/s", n / two, n / one)
    report("end_to_end", f"{case}, packing", "s", packing, None)
    rest = one - sum(spent.values())
    for stage, seconds in [*spent.items(), ("everything else", rest)]:
        report("end_to_end", f"{case}: {stage}", "% of time", 100 * seconds / one, None)


@contextlib.contextmanager
def timers():
    """Seconds spent in the parts of the job, for a run in this process."""
    from posepile.imaging import cropping, jpeg
    from posepile.imaging.frames import VideoFrames
    from posepile.stages import crop
    from posepile.store import parts

    spent = defaultdict(float)

    def timed(name, function):
        def wrapper(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - start

        return wrapper

    def timed_iterator(name, function):
        def wrapper(*args, **kwargs):
            items = iter(function(*args, **kwargs))
            while True:
                start = time.perf_counter()
                item = next(items, None)
                spent[name] += time.perf_counter() - start
                if item is None:
                    return
                yield item

        return wrapper

    places = [
        (VideoFrames, "read", timed_iterator, "decode the video"),
        (VideoFrames, "__init__", timed, "index the video"),
        (cropping, "plan_crop", timed, "plan the crop"),
        (cropping, "render_many", timed_iterator, "warp"),
        (jpeg, "encode", timed, "encode the JPEG"),
        (parts.PartWriter, "add", timed, "write the part"),
        (crop, "selected_examples", timed, "select"),
    ]
    saved = [(owner, name, getattr(owner, name)) for owner, name, *_ in places]
    for owner, name, wrap, label in places:
        setattr(owner, name, wrap(label, getattr(owner, name)))
    try:
        yield spent
    finally:
        for owner, name, function in saved:
            setattr(owner, name, function)


if __name__ == "__main__":
    main()
