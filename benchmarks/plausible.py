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
import rlemasklib
from common import report
from crop import our_way, people, picture

from posepile.joint_info import JointInfo
from posepile.stages.calibration import check_lens
from posepile.stages.limbs import Bones
from posepile.stages.motion import check_motion
from posepile.stages.plausible import CheckParams
from posepile.stages.poses import check_poses
from posepile.stages.sides import refuse_wrong_sides
from posepile.stages.silhouettes import check_masks
from posepile.stages.views import box_fits, check_views

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
    loose = CheckParams(max_backwards=1, max_asymmetry=1e9)  # it is nobody's shape
    rest = rng.uniform(-400, 400, (17, 3)) + np.array([0, 0, 4000])
    poses = (rest + rng.normal(0, 30, (PER_TRACK, 17, 3))).astype(np.float32)
    pixels = 1100 * poses[..., :2] / poses[..., 2:] + np.float32(SIZE) / 2
    box = np.array([*pixels[0].min(axis=0), *np.ptp(pixels[0], axis=0)], np.float32)
    limbs, mask = Bones.of(SKELETON).limbs, ellipse(box)
    every, frames = np.arange(PER_TRACK), 5 * np.arange(PER_TRACK)
    camera, _, _ = picture(SIZE, distorted=True)

    start = time.process_time()
    for _ in range(n // PER_TRACK):
        check_poses(poses, SKELETON, params)
        check_motion(frames, poses, every, lambda: 50.0, params)
        refuse_wrong_sides("", poses, SKELETON, loose)
    of_poses = time.process_time() - start
    start = time.process_time()
    for i in range(n):
        check_lens(camera, SIZE, "", params)
        check_views([(pixels[i % PER_TRACK], box)], SIZE, limbs, params)
    for _ in range(n // PER_TRACK):
        box_fits(pixels, np.tile(box, (PER_TRACK, 1)))
    of_views = time.process_time() - start
    start = time.process_time()
    for i in range(n):
        check_masks([(pixels[i % PER_TRACK], box, mask)], params)
    of_masks = time.process_time() - start
    crop_ms = time_of_a_crop(50 if args.quick else 300)
    ms = 1000 * (of_poses + of_views) / n
    more = {"poses_us": 1e6 * of_poses / n, "views_us": 1e6 * of_views / n}
    more["masks_us"] = 1e6 * of_masks / n
    share = {"percent_of_cropping": 100 * ms / crop_ms}
    share["percent_with_masks"] = 100 * (ms + 1000 * of_masks / n) / crop_ms
    report("plausible", f"{n} person-frames", "ms", ms, crop_ms, **more, **share)


def ellipse(box: np.ndarray) -> dict:
    """Returns a mask as large as a box."""
    pixels = np.zeros(SIZE[::-1], np.uint8)
    (x, y), half = box[:2] + box[2:] / 2, box[2:] / 2
    cv2.ellipse(pixels, (int(x), int(y)), tuple(map(int, half)), 0, 0, 360, 1, -1)
    return rlemasklib.encode(np.asfortranarray(pixels))


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
