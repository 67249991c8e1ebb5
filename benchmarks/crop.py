"""Crops from JPEG pictures: ours against the reference implementation's way, with quality.

    python benchmarks/crop.py [--quick]

Sources are synthetic photographs (1/f^2 spectrum, contrast up to a quarter of the sampling rate,
JPEG quality 90, 4:2:0; the size is in each row) in which the true picture of every crop is
known. ``psnr`` compares the crop, before encoding, with that truth. Times are per picture, from
JPEG bytes to JPEG bytes, on one core, best of several alternating runs.

The baseline is ``reference_way.py``; ``lean_baseline`` is the same with a map for distorted
pictures that is computed by columns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time

import cv2
import deltacamera
import numpy as np
import simplejpeg
from common import best_times, photograph, psnr, report, waves
from reference_way import lean_map, reference_crops, reference_way
from scipy.spatial.transform import Rotation

from posepile.imaging import cropping, jpeg
from posepile.imaging.pictures import JpegFrame

SIZES = {
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "4K": (3840, 2160),
    "2048x2448": (2048, 2448),
}
DISTORTION = np.array([-0.28, 0.11, 0.002, -0.0015, -0.02], np.float32)
SOURCE_QUALITY = 90
FINEST = 0.25  # cycles per pixel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1080p only, few repeats")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    repeats = 3 if args.quick else args.repeats
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # no library gets a second one
    for name in ["1080p"] if args.quick else SIZES:
        for distorted in (False, True):
            run_case(name, distorted, repeats)
    os.sched_setaffinity(0, cores)
    run_workers("1080p", seconds=2.0 if args.quick else 6.0)


def run_case(name: str, distorted: bool, repeats: int) -> None:
    size = SIZES[name]
    camera, scene, data = picture(size, distorted)
    boxes = people(size)
    case = f"{name} {'Brown-Conrady' if distorted else 'no distortion'}"
    more = {"source_kB": len(data) // 1000}

    plans = [cropping.plan_crop(camera, box, size) for box in boxes]
    crops = list(cropping.render_many(JpegFrame(data, "benchmark"), camera, plans))
    ours = [crop[..., :3] for crop in crops]
    theirs = reference_crops(jpeg.decode(data), camera, plans)
    quality = []
    for plan, a, b in zip(plans, ours, theirs, strict=True):
        truth = photograph(scene, plan.camera, plan.size, samples=4)
        where = cv2.erode(valid_mask(camera, size, plan), np.ones((9, 9))) > 0
        quality.append((psnr(a, truth, where), psnr(b, truth, where)))

    times = best_times(
        lambda: our_way(data, camera, boxes[:1], size),
        lambda: reference_way(data, camera, boxes[:1], size),
        lambda: our_way(data, camera, boxes, size),
        lambda: reference_way(data, camera, boxes, size),
        lambda: [jpeg.decode(data), jpeg.encode(crops[0])],
        lambda: reference_way(data, camera, boxes[:1], size, lean_map),
        repeats=repeats,
    )
    one, one_reference, five, five_reference, codec, lean = times
    mean = np.mean(quality, axis=0)
    lens = {"lean_baseline": lean, "lean_ratio": lean / one} if distorted else {}
    report(
        "crop", f"{case}, 1 person", "ms", one, one_reference,
        psnr=quality[0][0], baseline_psnr=quality[0][1], **lens, **more,
    )  # fmt: skip
    report(
        "crop", f"{case}, 5 people", "ms", five, five_reference,
        psnr=float(mean[0]), baseline_psnr=float(mean[1]), **more,
    )  # fmt: skip
    report(
        "crop", f"{case}, 1 person, against decode + encode alone", "ms", one, codec,
        times_the_codec=one / codec, **more,
    )  # fmt: skip
    report(
        "crop", f"{case}, 5 people against 1", "ms", five, one, times_the_cost=five / one, **more
    )


def picture(size: tuple[int, int], distorted: bool):
    w, h = size
    focal = 1.1 * max(w, h)
    camera = deltacamera.Camera(
        intrinsic_matrix=[[focal, 0, w / 2 - 3.3], [0, focal, h / 2 + 5.1], [0, 0, 1]],
        rot_world_to_cam=Rotation.from_euler("yxz", [20, -8, 2], degrees=True).as_matrix(),
        distortion_model=deltacamera.BrownConradyEx(DISTORTION) if distorted else None,
        world_up=(0, -1, 0),
    )
    scene = waves(FINEST * focal)
    image = photograph(scene, camera, size, samples=2)
    return camera, scene, simplejpeg.encode_jpeg(image, SOURCE_QUALITY, "RGB", "420")


def people(size: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """Five standing people of about half the picture's height, the first one right of centre."""
    w, h = size
    boxes = []
    for x, y, tall in ((0.6, 0.15, 0.55), (0.1, 0.3, 0.5), (0.3, 0.2, 0.6), (0.45, 0.35, 0.45),
                       (0.8, 0.25, 0.5)):  # fmt: skip
        boxes.append((x * w, y * h, 0.4 * tall * h, tall * h))
    return boxes


def our_way(data: bytes, camera, boxes, size) -> list[bytes]:
    plans = [cropping.plan_crop(camera, box, size) for box in boxes]
    crops = cropping.render_many(JpegFrame(data, "benchmark"), camera, plans)
    return [jpeg.encode(crop) for crop in crops]


def valid_mask(camera, size, plan) -> np.ndarray:
    w, h = plan.size
    polygon = cropping.valid_polygon(camera, size, plan)
    mask = np.zeros((h, w), np.uint8)
    if len(polygon) == 0:
        polygon = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    return mask


def run_workers(name: str, seconds: float) -> None:
    """Crops per second of two processes against one."""
    rates = {}
    for n in (1, 2, 1, 2):
        barrier = multiprocessing.get_context("spawn").Barrier(n)
        context = multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        workers = [
            context.Process(target=_work, args=(name, seconds, barrier, queue)) for _ in range(n)
        ]
        for worker in workers:
            worker.start()
        total = sum(queue.get() for _ in workers)
        for worker in workers:
            worker.join()
        rates[n] = max(rates.get(n, 0), total)
    report("crop", f"{name} no distortion, 2 workers against 1", "crops/s", rates[2], rates[1])


def _work(name: str, seconds: float, barrier, queue) -> None:
    cv2.setNumThreads(1)
    size = SIZES[name]
    camera, _, data = picture(size, False)
    box = people(size)[:1]
    our_way(data, camera, box, size)
    barrier.wait()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        our_way(data, camera, box, size)
        n += 1
    queue.put(n / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
