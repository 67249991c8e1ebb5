"""The check of person-frames: its processor time as a share of what cropping them takes.

    python benchmarks/plausible.py [--quick]

A million person-frames (``--quick``: 50,000) of 17 joints in tracks of 200 selected frames, one
person in a frame. Cropping is that of a JPEG picture of 1920x1080 without distortion, from bytes
to bytes, which is the fastest kind there is.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
from common import report
from crop import our_way, people, picture

from posepile.joint_info import JointInfo
from posepile.stages.plausible import Bones, CheckParams, check_poses, check_views

SIZE, PER_TRACK = (1920, 1080), 200
NAMES = "rhip,rkne,rank,lhip,lkne,lank,tors,neck,head,htop,lsho,lelb,lwri,rsho,relb,rwri,pelv"
SKELETON = JointInfo(NAMES, "htop-head-neck-rsho-relb-rwri,neck-tors-pelv-rhip-rkne-rank")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50,000 person-frames")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    n = 50_000 if args.quick else 1_000_000
    rng, params = np.random.default_rng(0), CheckParams()
    rest = rng.uniform(-400, 400, (17, 3)) + np.array([0, 0, 4000])
    poses = (rest + rng.normal(0, 30, (PER_TRACK, 17, 3))).astype(np.float32)
    pixels = 1100 * poses[..., :2] / poses[..., 2:] + np.float32(SIZE) / 2
    box = np.array([*pixels[0].min(axis=0), *np.ptp(pixels[0], axis=0)], np.float32)
    limbs = Bones.of(SKELETON).limbs

    start = time.process_time()
    for _ in range(n // PER_TRACK):
        check_poses(poses, SKELETON, params)
    of_poses = time.process_time() - start
    start = time.process_time()
    for i in range(n):
        check_views([(pixels[i % PER_TRACK], box)], SIZE, limbs, params)
    of_views = time.process_time() - start
    crop_ms = time_of_a_crop(50 if args.quick else 300)
    ms = 1000 * (of_poses + of_views) / n
    more = {"poses_us": 1e6 * of_poses / n, "views_us": 1e6 * of_views / n}
    share = {"percent_of_cropping": 100 * ms / crop_ms}
    report("plausible", f"{n} person-frames", "ms", ms, crop_ms, **more, **share)


def time_of_a_crop(repeats: int) -> float:
    """Returns milliseconds of processor time."""
    camera, _, data = picture(SIZE, distorted=False)
    boxes = people(SIZE)[:1]
    our_way(data, camera, boxes, SIZE)
    start = time.process_time()
    for _ in range(repeats):
        our_way(data, camera, boxes, SIZE)
    return 1000 * (time.process_time() - start) / repeats


if __name__ == "__main__":
    main()
