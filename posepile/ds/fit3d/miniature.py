"""A tiny Fit3D in the official layout: an exercise of the first release, one of the current one.

In the first release there are four rows of joints for each frame and each row of the fits.
"""

from pathlib import Path

from posepile.miniature import lab_json

SUBJECTS = {"train": "s03 s04 s05 s07 s08 s09 s10 s11", "test": "s02 s12 s13"}
ACTIONS = {  # frames with fits, rows of joints for each, frames of the videos
    "squat": (8, 4, 9),
    "warm up 9": (9, 1, 11),
}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    repetitions = {action: [0, 4, n - 1] for action, (n, _, _) in ACTIONS.items()}
    lab_json.write_lab(root, seed, "fit3d", SUBJECTS, ACTIONS, ("rep_ann.json", repetitions))
