"""Pictures for the tests of finding the same photograph again."""

import cv2
import numpy as np

from posepile.imaging import fingerprints, jpeg
from posepile.imaging.pictures import ArrayFrame
from posepile.merging import alike


def picture(seed, w=320, h=240):
    """Something with the spectrum of a photograph, and things in front of it; uint8 RGB."""
    rng = np.random.default_rng(seed)
    image = np.zeros((h, w, 3), np.float32)
    for side in (3, 6, 12, 24, 48):
        waves = rng.normal(size=(side * h // w + 1, side, 3)).astype(np.float32)
        image += cv2.resize(waves, (w, h), interpolation=cv2.INTER_CUBIC) * 60 / side**0.7
    image = np.clip(image + 120, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(5, 20)):
        centre = int(rng.integers(w)), int(rng.integers(h))
        axes = tuple(int(a) for a in rng.integers(5, w // 6, 2))
        grey = rng.integers(0, 255, 3).tolist()
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, grey, -1)
    return image


def packed(*images):
    made = [fingerprints.of_frame(ArrayFrame(image)) for image in images]
    return np.frombuffer(b"".join(made), np.uint8).reshape(-1, fingerprints.SIZE)


def changed(image, cut=(0, 0, 0, 0), scale=1.0, quality=90):
    """A picture without shares of its width and height, scaled and encoded anew."""
    h, w = image.shape[:2]
    left, right, top, bottom = (round(c * n) for c, n in zip(cut, (w, w, h, h), strict=True))
    image = image[top : h - bottom, left : w - right]
    size = max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0]))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return jpeg.decode(jpeg.encode(image, quality))


def matches(one, other, **more):
    """Pairs that a search finds: (number, other number) -> distance."""
    found = {}
    for ours, theirs, distances in alike.search(alike.prepare(one), alike.prepare(other), **more):
        found.update(zip(zip(ours.tolist(), theirs.tolist(), strict=True), distances, strict=True))
    return found


PICTURES = [picture(i, *((320, 240), (240, 320), (360, 240))[i % 3]) for i in range(24)]
PACKED = packed(*PICTURES)
