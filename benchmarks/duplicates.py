"""The same photograph found again: recall, false finds at COCO's size, hard negatives, and cost.

    python benchmarks/duplicates.py [--quick] [--photos FILE_OR_FOLDER ...]

Pictures are synthetic: 1/f noise of random slope, a gradient or a horizon on some, occluded by
ellipses and rectangles whose sizes follow a power law. Photographs of the user's own are changed
and sought as well, and compared with the synthetic ones. Each is changed as copies of datasets
are: cut to 90-100 % of width and height anywhere, scaled by 0.5-2 with one of four filters,
encoded with quality 50-95.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import cv2
import numpy as np
from common import best_times, report

from posepile.imaging import cropping, fingerprints, jpeg
from posepile.imaging.pictures import CELLS, ArrayFrame, JpegFrame
from posepile.merging import alike

FILTERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
CHANGES = {
    "encoded anew": (),
    "scaled by 0.5-2": ("scale",),
    "cut by up to 10 %": ("cut",),
    "all of these": ("scale", "cut"),
    "all, cut by 10 % both ways": ("scale", "both"),
}
# Width to height of pictures on the web, and how many of a dozen have it
ASPECTS = [(4, 3)] * 5 + [(3, 2)] * 3 + [(3, 4)] * 2 + [(2, 3), (1, 1)]


def noise(rng, h, w, slope):
    """Noise with a spectrum of amplitudes 1/f^slope; mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(h)[:, None] * h, np.fft.rfftfreq(w)[None] * w)
    frequency[0, 0] = 1
    waves = rng.normal(size=(2, *frequency.shape))
    spectrum = (waves[0] + 1j * waves[1]) / frequency**slope
    spectrum[0, 0] = 0
    made = np.fft.irfft2(spectrum, (h, w))
    return made / made.std()


def shapes(rng, image, n, largest):
    """Draws ellipses and rectangles, the large ones first."""
    h, w = image.shape[:2]
    radii = np.sort(np.minimum(0.03 / np.sqrt(rng.uniform(0.005, 1, n)), largest))[::-1]
    for radius in radii * max(h, w):
        centre = int(rng.uniform(0, w)), int(rng.uniform(0, h))
        axes = int(max(1, radius)), int(max(1, radius * rng.uniform(0.3, 1)))
        angle, grey = rng.uniform(0, 180), int(rng.uniform(0, 255))
        if rng.random() < 0.5:
            cv2.ellipse(image, centre, axes, angle, 0, 360, grey, -1)
        else:
            corners = cv2.boxPoints((centre, (2 * axes[0], 2 * axes[1]), angle))
            cv2.fillConvexPoly(image, corners.astype(np.int32), grey)
    return image


def picture(rng, longer):
    """A synthetic picture, uint8 ``[h, w]``."""
    across, down = ASPECTS[rng.integers(len(ASPECTS))]
    w, h = (longer * side // max(across, down) for side in (across, down))
    image = 128 + noise(rng, h, w, rng.uniform(0.8, 1.4)) * rng.uniform(8, 35)
    if rng.random() < 0.6:
        image += np.linspace(1, -1, h)[:, None] * rng.uniform(-10, 50)
    if rng.random() < 0.4:
        ground = int(rng.uniform(0.3, 0.7) * h)
        image[ground:] = image[ground:] * 0.7 + rng.uniform(20, 90)
    image = np.clip(image, 0, 255).astype(np.uint8)
    return shapes(rng, image, int(np.exp(rng.uniform(np.log(2), np.log(60)))), 0.3)


def sky(rng, longer, n_things):
    """A picture of a smooth sky with a few things before it."""
    h, w = longer * 3 // 4, longer
    image = 128 + np.linspace(-1, 1, h)[:, None] * rng.uniform(20, 100) + rng.normal(size=(h, w))
    image += noise(rng, h, w, 1.5) * rng.uniform(0.3, 4)
    return shapes(rng, np.clip(image, 0, 255).astype(np.uint8), n_things, 0.08)


def changed(rng, image, changes):
    """A picture as another dataset has it."""
    h, w = image.shape[:2]
    if "cut" in changes or "both" in changes:
        share = 1 - 0.1 * rng.random(2) if "cut" in changes else (0.9, 0.9)
        new_w, new_h = round(w * share[0]), round(h * share[1])
        x, y = rng.integers(w - new_w + 1), rng.integers(h - new_h + 1)
        image, w, h = image[y : y + new_h, x : x + new_w], new_w, new_h
    if "scale" in changes:
        scale = np.exp(rng.uniform(np.log(0.5), np.log(2)))
        size = max(1, round(w * scale)), max(1, round(h * scale))
        image = cv2.resize(image, size, interpolation=FILTERS[rng.integers(len(FILTERS))])
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
    return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)


def packed(images):
    """Fingerprints of pictures, uint8 ``[n, 260]``."""
    made = []
    for image in images:
        color = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        frame = ArrayFrame(color[..., ::-1])
        made.append(np.frombuffer(fingerprints.of_frame(frame), np.uint8))
    return np.array(made).reshape(-1, fingerprints.SIZE)


def mass(task):
    """Fingerprints of many small synthetic pictures, (how many, seed)."""
    n, seed = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    made = np.empty((n, fingerprints.SIZE), np.uint8)
    for i in range(n):
        image = picture(rng, 96)
        cells = cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        size = image.shape[1] * 6, image.shape[0] * 6
        made[i] = np.frombuffer(fingerprints.of_luma(cells, size), np.uint8)
    return made


def recall(case, images, n_changed):
    """How many changed pictures are found among the originals."""
    originals = alike.prepare(packed(images))
    for what, changes in CHANGES.items():
        rng = np.random.default_rng(1)
        copies = packed(changed(rng, image, changes) for image in images for _ in range(n_changed))
        best, others = np.full(len(copies), np.nan), set()
        for ours, theirs, distances in alike.search(alike.prepare(copies), originals):
            same = ours // n_changed == theirs
            best[ours[same]] = distances[same]
            others |= set(zip(ours[~same] // n_changed, theirs[~same], strict=True))
        report(
            "duplicates", f"{case}, {what}", "share found", float(np.isfinite(best).mean()), None,
            pictures=len(images), sought=len(copies), vague=len(images) - len(originals),
            median=float(np.nanmedian(best)), worst=float(np.nanmax(best)), others=len(others),
        )  # fmt: skip


def false_finds(n, photos):
    """How many pictures of an index are found in another one of it, which none of them is in."""
    tasks = [(500, 1000 + i) for i in range(n // 500)]
    with multiprocessing.Pool() as pool:
        index = alike.prepare(np.concatenate(pool.map(mass, tasks)))
    start = time.process_time()
    found = set()
    for ours, theirs, _ in alike.search(index, index):
        found |= set(ours[ours != theirs].tolist())
    seconds = time.process_time() - start
    report(
        "duplicates", f"index of {n}, each sought among the others", "share found falsely",
        len(found) / len(index), None, found=len(found), cpu_seconds=seconds,
        billion_pairs_per_s=len(index) ** 2 / seconds / 1e9, compared=len(index),
    )  # fmt: skip
    if photos:
        hits = sum(len(a) for a, *_ in alike.search(alike.prepare(packed(photos)), index))
        report("duplicates", f"photographs in an index of {n}", "found falsely", hits, None)


def hard_negatives(n):
    """Different photographs that have much in common."""
    rng = np.random.default_rng(3)
    for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
        images = []
        for _ in range(n):
            room = picture(rng, 384)
            h, w = room.shape
            for _ in range(2):  # a person somewhere before the same wall, another time another one
                view, tall = room.copy(), np.sqrt(share * w * h * 2.5)
                x, y = int(rng.uniform(0.2, 0.8) * w), int(h - tall * rng.uniform(0.45, 0.6))
                grey = rng.integers(0, 255, 3).tolist()
                cv2.ellipse(view, (x, y), (int(tall / 5), int(tall / 2.6)), 0, 0, 360, grey[0], -1)
                legs = (x, int(y + tall / 4)), (int(tall / 6), int(tall / 4))
                cv2.ellipse(view, *legs, 0, 0, 360, grey[1], -1)
                cv2.circle(view, (x, int(y - tall / 2.3)), int(tall / 12), grey[2], -1)
                images.append(view)
        every = packed(images)
        one, other = alike.prepare(every[::2]), alike.prepare(every[1::2])
        found = [d[a == b] for a, b, d in alike.search(one, other)]
        n_found = sum(map(len, found))
        report(
            "duplicates", f"same backdrop, another person on {100 * share:g} % of the picture",
            "share found", n_found / n, None,
            median=float(np.median(np.concatenate(found))) if n_found else None,
        )  # fmt: skip
    for things in (1, 2, 3, 5, 10):
        skies = alike.prepare(packed(sky(rng, 384, things) for _ in range(4 * n)))
        pairs = sum(int((a < b).sum()) for a, b, _ in alike.search(skies, skies))
        report(
            "duplicates", f"{things} things before a smooth sky", "pairs found falsely", pairs,
            None, of_pairs=len(skies) * (len(skies) - 1) // 2, n=4 * n, compared=len(skies),
        )  # fmt: skip


def cost():
    """What a fingerprint costs beside the crops of its picture."""
    for case, (w, h), n_people in (("640x480", (640, 480), 2), ("4K", (3840, 2160), 2)):
        rng = np.random.default_rng(4)
        image = cv2.resize(picture(rng, 480), (w, h), interpolation=cv2.INTER_CUBIC)
        data = jpeg.encode(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), 90)
        boxes = [[0.1 * w * (3 + i), 0.2 * h, 0.2 * w, 0.6 * h] for i in range(n_people)]
        plans = [cropping.plan_crop(None, np.array(box), (w, h)) for box in boxes]

        def crops(data=data, plans=plans):
            frame = JpegFrame(data, "bench.jpg")
            for crop in cropping.render_many(frame, None, plans):
                jpeg.encode(crop, 95)
            return frame

        def with_fingerprint(crops=crops):
            fingerprints.of_frame(crops())

        frame = crops()
        alone, both, own = best_times(
            crops, with_fingerprint, lambda frame=frame: fingerprints.of_frame(frame)
        )
        report(
            "duplicates", f"fingerprint of a {case} JPEG beside {n_people} crops", "ms", own, None,
            crops=alone, crops_with_it=both, share=own / alone,
        )  # fmt: skip


def photographs(places):
    """Reads the pictures of files and folders."""
    files = [
        f for place in places for f in (sorted(place.iterdir()) if place.is_dir() else [place])
    ]
    read = [cv2.imread(str(f)) for f in files]
    return [image for image in read if image is not None and min(image.shape[:2]) >= 150]


def quarters(images):
    """Pictures of their own: the quarters of those that are large enough."""
    made = []
    for image in images:
        h, w = image.shape[0] // 2, image.shape[1] // 2
        if min(h, w) >= 200:
            made += [image[y : y + h, x : x + w] for y in (0, h) for x in (0, w)]
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="an index of 20,000")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="PLACE")
    args = parser.parse_args()
    cost()
    photos = photographs(args.photos)
    rng = np.random.default_rng(0)
    n = 100 if args.quick else 500
    recall("synthetic", [picture(rng, 512) for _ in range(n)], 4)
    if photos:
        recall("photographs", photos, 40)
        recall("quarters of photographs", quarters(photos), 10)
    hard_negatives(100 if args.quick else 300)
    false_finds(20_000 if args.quick else 200_000, photos)


if __name__ == "__main__":
    main()
