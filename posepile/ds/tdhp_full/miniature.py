"""A tiny MPI-INF-3DHP with cameras at walls and ceiling, in the official layout.

Labels go on after the videos, that of camera 2 in S6/Seq2 stopped early. In the view of S8/Seq1
the person comes into the picture; at first fewer than nine joints are there. S4/Seq2 has videos of
masks, but their red tells nothing of the person. Masks of chairs are nobody's business.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import markerless, rig, shoot, skeleton, truth, video

NAMES = (
    "thor spi4 spi2 lcla lhan rcla rhan lfoo ltoe rfoo rtoe htop neck rsho relb rwri lsho lelb "
    "lwri rhip rkne rank lhip lkne lank spin head pelv"
).split()
KEPT, FIGURE = [markerless.STUDIO.index(name) for name in NAMES], skeleton.make_figure(NAMES)
TAKES = {  # rate, universal size, frames of videos by camera
    "S1/Seq1": (25, 0.94, {0: 7, 12: 5}),
    "S4/Seq2": (25, 1.04, {3: 5}),
    "S6/Seq2": (25, 1.07, {2: 5}),
    "S8/Seq1": (25, 1.02, {1: 14}),
}
N_FRAMES, NO_RED, LEAST = 16, ("S4/Seq2",), 9  # frames labelled; joints in the picture
WHITE, CYAN = (255, 255, 255), (0, 255, 255)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences, size = Path(root), np.random.default_rng(seed), {}, markerless.SIZE
    cameras = markerless.studio_cameras(rng, 3900, {1: (2350, 950, 0)})
    lens = {"up": "y", "shift": rng.uniform(-20, 20, 2)}
    cameras[12] = rig.make_camera(size, (1500, 4400, 1400), (0, 950, 0), 1350, **lens)
    cyan, white = shoot.Backdrop(size, color=CYAN), shoot.Backdrop(size, color=WHITE)
    for name, (rate, scale, views) in TAKES.items():
        joints, folder = (
            markerless.studio_joints(range(N_FRAMES), rng, (0, 950, 0), 20),
            root / name,
        )
        labels = [markerless.label_joints(c, joints, markerless.STUDIO, scale) for c in cameras]
        markerless.write_take(folder, cameras, labels)
        for c, n in views.items():
            start, poses, backdrop = 31 * len(sequences), joints[:n, KEPT], shoot.Backdrop(size, c)
            shots = shoot.shoot_frames(backdrop, cameras[c], poses, FIGURE, start)
            # Red is the person; in green and blue, clothing would be dark. Chairs are dark in red.
            colors = (white, CYAN) if name in NO_RED else (cyan, WHITE)
            kinds = {"imageSequence": shots, "FGmasks": [shot.mask(*colors) for shot in shots]}
            if c == 0:
                kinds["ChairMasks"] = [shots[0].mask(white, WHITE)] * n
            for kind, pictures in kinds.items():
                video.write_video(folder / f"{kind}/video_{c}.avi", pictures, rate, b_frames=0)
            within = (abs(cameras[c].project(poses) - 1023.5) <= 1024).all(axis=2).sum(axis=1)
            # Who has moved is a matter of all frames, whether enough of them is seen or not.
            kept = [(k, 0) for k in truth.frames_kept(poses) if within[k] >= LEAST]
            expected = truth.SequenceTruth("train", kept, start, masks=name not in NO_RED)
            sequences[f"{name}/imageSequence/video_{c}"] = expected
    pattern = r"(?P<sequence>S\d/Seq\d/\w+/video_\d+)/(?P<frame>\d{6})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, raw_masks=True))
