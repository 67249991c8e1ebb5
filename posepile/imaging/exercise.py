"""Calls every compiled function of drawing crops once, on pictures of a few pixels."""

from __future__ import annotations

import numpy as np

from posepile.imaging import conversion, cropping, jpeg, lenses
from posepile.imaging.pictures import JpegFrame, PlanarFrame


def draw_crops() -> None:
    """Draws from every kind of picture that the kernels know, and uses a camera."""
    import av

    w, h = 64, 48
    image = np.zeros((h, w, 3), np.uint8)
    frames = [
        JpegFrame(jpeg.encode(image), "<exercise>"),
        PlanarFrame(av.VideoFrame(w, h, "yuv420p")),
        PlanarFrame(av.VideoFrame(w, h, "yuv420p10le")),
    ]
    plan = cropping.plan_crop(None, np.array([10, 10, 20, 20]), (w, h))
    for frame in frames:
        cropping.render(frame, None, plan)
    for frame in frames[1:]:
        frame.rgb()
    no, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    conversion.to_planes(image, True, (0, 0), one[0], no, one, np.empty((3, h, w), np.float32))
    lenses.exercise_pinhole()
