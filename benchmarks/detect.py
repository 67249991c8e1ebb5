"""Throughput of batch detection against bare ONNX Runtime on the same tensors.

    python benchmarks/detect.py --weights yolox_nano.onnx --images coco/val2017 [--device cuda]

Ours is everything from decoded RGB images to boxes; the baseline only runs the network on tensors
made beforehand. One JSON line per case; ``ratio`` is ours / baseline, the target is 0.9. On one
CPU thread processor time is taken, which other work on the machine disturbs less than wall time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from posepile.models import DetectorFile, DetectParams, load_detector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="ONNX file")
    parser.add_argument("--decoder", default="yolox", choices=["yolox", "detr"])
    parser.add_argument("--images", required=True, type=Path, help="folder with JPEGs")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)

    detector = load_detector(
        DetectParams(
            model=DetectorFile(path=args.weights, decoder=args.decoder),
            batch=args.batch,
            threads=args.threads,
            device=args.device,
        )
    )
    files = sorted(args.images.glob("*.jpg"))
    stored = [np.ascontiguousarray(cv2.imread(str(f))[..., ::-1]) for f in files[: args.batch]]
    images = [stored[i % len(stored)] for i in range(args.batch)]
    large = [cv2.resize(image, None, fx=3, fy=3) for image in images]
    for case, batch in (("photographs", images), ("three times larger", large)):
        print(json.dumps(compare(detector, case, batch, args)), flush=True)


def compare(detector, case: str, images: list[np.ndarray], args: argparse.Namespace) -> dict:
    """Times both alternately and takes the best round of each, as the machine may be busy."""
    network = detector.network
    tensors = network.preprocess(images)
    step = network.fixed_batch or len(tensors)
    pieces = [tensors[i : i + step] for i in range(0, len(tensors), step)]
    name = network.session.get_inputs()[0].name

    def bare() -> None:
        for piece in pieces:
            network.session.run(None, {name: piece})

    on_cpu = args.device == "cpu" and args.threads == 1
    clock = time.process_time if on_cpu else time.perf_counter
    times: dict[str, list[float]] = {"ours": [], "baseline": []}
    for _ in range(args.rounds + 1):  # the first round warms up
        for which, call in (("ours", lambda: detector(images)), ("baseline", bare)):
            start = clock()
            call()
            times[which].append(clock() - start)
    ours, baseline = (len(images) / min(times[k][1:]) for k in ("ours", "baseline"))
    return {
        "benchmark": "detect",
        "case": f"{case} {images[0].shape[1]}x{images[0].shape[0]}, batch {len(images)}",
        "unit": "images/s",
        "ours": round(ours, 2),
        "baseline": round(baseline, 2),
        "ratio": round(ours / baseline, 3),
        "device": network.session.get_providers()[0],
        "threads": args.threads,
        "clock": "processor time" if on_cpu else "wall time",
    }


if __name__ == "__main__":
    main()
