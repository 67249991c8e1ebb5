"""Frames and crops from 4K video: ours against decoding alone and against piped RGB frames.

    python benchmarks/video.py [--quick]

A 3840x2160 H.264 film (libx264, 4:2:0, key frame every 250, three B-frames) is made in a temporary
folder. ``ours`` decodes what is needed and renders one crop per kept frame. The baselines run
on the same file: decoding every frame without touching its pixels, and the piped-RGB way (a child
process decodes, converts every frame to RGB at full size and writes it to a pipe; crops are
taken by the same renderer). Everything, the child too, is held on one core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import deltacamera
import numpy as np
from common import photograph, report, waves

from posepile.imaging import cropping
from posepile.imaging.frames import open_frames
from posepile.imaging.pictures import ArrayFrame
from posepile.recipe import Video

SIZE = (3840, 2160)
FOCAL = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer frames")
    parser.add_argument("--pipe", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pipe:
        write_to_pipe(args.pipe)
        return
    cv2.setNumThreads(1)
    n = 120 if args.quick else 500
    camera = deltacamera.Camera(
        intrinsic_matrix=[[FOCAL, 0, 1919.5], [0, FOCAL, 1079.5], [0, 0, 1]],
        world_up=(0, -1, 0),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        make_film(path, n)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        run(path, camera, n)


def run(path: Path, camera, n: int) -> None:
    plan = cropping.plan_crop(camera, (2100, 400, 480, 1200), SIZE)
    bursts = [i for start in range(n // 6, n, n // 3) for i in range(start, start + 5)]
    cases = {"all frames kept": range(n), "1 frame in 20 kept": range(0, n, 20),
             "three bursts of 5 kept": bursts}  # fmt: skip
    ours(path, camera, plan, [0, 1])  # compile
    decode_only = max(n / seconds(decode_all, path) for _ in range(2))
    for name, kept in cases.items():
        mine = max(n / seconds(ours, path, camera, plan, kept) for _ in range(2))
        piped = max(n / seconds(piped_rgb, path, camera, plan, set(kept)) for _ in range(2))
        report("video", f"4K, {name}, against decoding alone", "frames/s", mine, decode_only)
        report("video", f"4K, {name}, against piped RGB", "frames/s", mine, piped)


def make_film(path: Path, n: int) -> None:
    """A slow pan over a textured scene with moving discs."""
    wide = deltacamera.Camera(intrinsic_matrix=[[FOCAL, 0, 2047.5], [0, FOCAL, 1079.5], [0, 0, 1]])
    scene = photograph(waves(0.15 * FOCAL, n=12), wide, (SIZE[0] + 256, SIZE[1]), samples=1)
    rng = np.random.default_rng(0)
    start, speed = rng.uniform(0, SIZE, (12, 2)), rng.uniform(-9, 9, (12, 2))
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "23", "g": "250", "bf": "3"}
        stream = container.add_stream("libx264", rate=50, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for i in range(n):
            shift = int(128 + 120 * np.sin(i / 60))
            image = np.ascontiguousarray(scene[:, shift : shift + SIZE[0]])
            for k in range(12):
                x, y = (start[k] + i * speed[k]) % SIZE
                cv2.circle(image, (int(x), int(y)), 90, (40 + 17 * k, 200 - 12 * k, 90), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))


def seconds(function, *args) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def ours(path, camera, plan, kept) -> None:
    with open_frames(Video(path)) as reader:
        for _, frame in reader.read(kept):
            cropping.render(frame, camera, plan)


def decode_all(path) -> None:
    for _ in decoded(path):
        pass


def piped_rgb(path, camera, plan, kept) -> None:
    command = [sys.executable, __file__, "--pipe", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as child:
        buffer = bytearray(SIZE[0] * SIZE[1] * 3)
        i = 0
        while read_into(child.stdout, memoryview(buffer)):
            if i in kept:
                image = np.frombuffer(buffer, np.uint8).reshape(SIZE[1], SIZE[0], 3)
                cropping.render(ArrayFrame(image), camera, plan)
            i += 1


def read_into(pipe, view: memoryview) -> bool:
    while len(view):
        n = pipe.readinto(view)
        if not n:
            return False
        view = view[n:]
    return True


def write_to_pipe(path) -> None:
    for frame in decoded(path):
        sys.stdout.buffer.write(memoryview(frame.reformat(format="rgb24").planes[0]))


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", 1
        yield from container.decode(stream)


if __name__ == "__main__":
    main()
