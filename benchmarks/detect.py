"""Throughput of detection, decoding included, against bare ONNX Runtime on the same tensors.

    python benchmarks/detect.py --weights yolox_nano.onnx --video ta_chi.mp4
    python benchmarks/detect.py --weights yolox_nano.onnx --images coco/val2017
    python benchmarks/detect.py --weights dfine_m.onnx --video 4k.mp4 --workers 1 --device cuda

Ours is what the detection stage does with a video or with stills: read, decode, reduce, infer,
decode the answer. The baseline runs the network on the tensors of the same frames, made
beforehand. Both are done by the same worker processes, by turns, as often as ``--rounds`` says;
the best round of each counts, as other work may disturb one. One JSON line per number of workers;
``ratio`` is ours / baseline by the clock, ``cpu_ratio`` by processor time; 0.95 is wanted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="ONNX file")
    parser.add_argument("--decoder", default=None, help="as in detect.model.decoder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video", type=Path)
    source.add_argument("--images", type=Path, help="folder with JPEGs")
    parser.add_argument("--frames", type=int, default=150, help="how many are read in a round")
    parser.add_argument("--stride", type=int, default=1, help="every n-th frame of the video")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=8, help="on a GPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "tensorrt"])
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    for workers in args.workers:
        print(json.dumps(compare(workers, args)), flush=True)


def compare(n_workers: int, args: argparse.Namespace) -> dict:
    """Returns the best rounds of so many workers."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(n_workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, args), daemon=True)
        process.start()
        theirs.close()  # so that a worker's end is noticed here
        pipes.append(ours)
        processes.append(process)
    try:
        facts, *_ = [pipe.recv() for pipe in pipes]
    except EOFError:
        raise SystemExit("a worker could not begin; what it says stands above") from None
    wall: dict[str, list[float]] = {"ours": [], "bare": []}
    cpu: dict[str, list[float]] = {"ours": [], "bare": []}
    memory = []
    for _ in range(args.rounds + 1):  # the first round warms up
        for which in ("ours", "bare"):
            start = time.perf_counter()
            for pipe in pipes:
                pipe.send(which)
            answers = [pipe.recv() for pipe in pipes]
            wall[which].append(time.perf_counter() - start)
            cpu[which].append(sum(seconds for seconds, _ in answers))
            memory.append(max(peak for _, peak in answers))
    for pipe in pipes:
        pipe.send(None)
    n = n_workers * facts["frames"]
    best = {k: n / min(v[1:]) for k, v in wall.items()}
    per_cpu = {k: n / min(v[1:]) for k, v in cpu.items()}
    return {
        "benchmark": "detect",
        **facts,
        "workers": n_workers,
        "threads": args.threads,
        "unit": "frames/s",
        "ours": round(best["ours"], 2),
        "baseline": round(best["bare"], 2),
        "ratio": round(best["ours"] / best["bare"], 3),
        "cpu_ratio": round(per_cpu["ours"] / per_cpu["bare"], 3),
        "MB_after_warming_up": round(memory[1] / 1e6),
        "MB_at_the_end": round(memory[-1] / 1e6),
    }


def work(pipe, args: argparse.Namespace) -> None:
    """Answers each order, ``ours`` or ``bare``, with processor seconds and peak memory."""
    import cv2

    from posepile.imaging.frames import open_frames
    from posepile.models import DetectorFile, DetectParams, load_detector
    from posepile.recipe import Sequence, Stills, Video
    from posepile.stages.detect import picture_of, with_detections
    from posepile.stages.task import StageParams, Task

    cv2.setNumThreads(args.threads)
    params = DetectParams(
        model=DetectorFile(path=args.weights, decoder=args.decoder),
        batch=args.batch,
        threads=args.threads,
        device=args.device,
        half=args.half,
    )
    detector = load_detector(params)
    if args.video:
        source = Video(args.video)
        with open_frames(source) as reader:
            frames = range(0, reader.n_frames, args.stride)[: args.frames]
    else:
        files = sorted(args.images.glob("*.jpg"))
        source = Stills(tuple(files[i % len(files)] for i in range(args.frames)))
        frames = range(args.frames)
    sequence = Sequence("s", "train", source, None, [], lambda frame, person: "")
    task = Task(None, lambda: [sequence], StageParams(detect=params), [], None)
    task.detector = lambda: detector

    def ours() -> None:
        with open_frames(source) as reader:
            groups = {i: [] for i in frames}
            for _ in with_detections(task, sequence, reader, groups, {}):
                pass

    prepared = []
    with open_frames(source) as reader:
        for _, frame in reader.read(frames[: 2 * detector.batch]):
            picture = picture_of(frame, detector.picture_size(frame.size))
            prepared.append(detector.prepare(picture).batch)
    size = frame.size
    network, n = detector.network, detector.batch
    import numpy as np

    tensors = [np.concatenate(prepared[i : i + n]) for i in range(0, len(prepared), n)]

    def bare() -> None:
        for k in range(0, len(frames), n):
            network.run(tensors[k // n % len(tensors)])

    kind = args.video.name if args.video else "stills"
    case = f"{kind} {size[0]}x{size[1]}, batch {n}"
    device = network.session.get_providers()[0]
    pipe.send({"case": case, "frames": len(frames), "device": device})
    while (order := pipe.recv()) is not None:
        start = time.process_time()
        {"ours": ours, "bare": bare}[order]()
        seconds = time.process_time() - start
        pipe.send((seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


if __name__ == "__main__":
    main()
