"""Pictures that exported networks and their libraries are shown; the same on every machine."""

import numpy as np


def drawn_pictures() -> list[np.ndarray]:
    """Returns four uint8 RGB pictures ``[h, w, 3]``: square, wide, tall and large."""
    found = []
    for seed, (h, w) in enumerate(((160, 160), (97, 211), (251, 133), (480, 641))):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:h, :w]
        picture = np.stack([40 + 80 * (x / w), 90 + 60 * (y / h), 160 - 90 * (x / w)], axis=2)
        for _ in range(24):
            cx, cy = rng.uniform(0, w), rng.uniform(0, h)
            rx, ry = rng.uniform(0.05, 0.25, 2) * (w, h)
            inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
            picture[inside] = rng.uniform(0, 255, 3)
        found.append(picture.astype(np.uint8))
    return found
