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


SIDE = 96


def squares_and_ramps(
    size: tuple[int, int] = (SIDE, SIDE), second: tuple[int, int] = (2 * SIDE, 3 * SIDE)
) -> list[np.ndarray]:
    """Two pictures: squares, as large as the input (h, w); and smooth ramps of another size.

    What a picture looks like made smaller depends on the library, least so for ramps.
    """
    h, w = size
    squares = np.random.default_rng(3).integers(0, 256, (h // 8, w // 8, 3), dtype=np.uint8)
    return [squares.repeat(8, axis=0).repeat(8, axis=1), ramps(*second)]


def ramps(h: int, w: int) -> np.ndarray:
    """Colours that change slowly, uint8 ``[h, w, 3]``."""
    y, x = np.mgrid[:h, :w] / np.float64([[[h - 1]], [[w - 1]]])
    return np.round(40 + 180 * np.stack([x, y, 0.7 - 0.3 * x - 0.3 * y], axis=2)).astype(np.uint8)
