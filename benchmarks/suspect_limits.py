"""How near to the limits of suspects what is right comes: what a score of 1 is worth.

    python benchmarks/suspect_limits.py

Nothing is wrong in the made-up sets of 10,080 examples, whose joints scatter by 4 mm or 12 mm. One
limit at a time is lowered to a quarter, and the largest figure that is then found is given in
multiples of the real limit: 0.5 is half of it; nothing was found from a quarter on where it says
"below 0.25". The largest of single examples and of whole sequences are compared at the end.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import walkers
from synthetic import jpeg

from posepile.store.opening import open_dataset
from posepile.suspects import outlines, places, poses, shifts, together, whole
from posepile.suspects.collecting import WHOLE
from posepile.suspects.found import CODES
from posepile.suspects.search import find_suspects

LOWER = 4.0


class Limit(NamedTuple):
    """A limit of a detector.

    Attributes:
        kind: What it finds.
        module: Of the detector.
        constant: The limit there.
        of_whole: Whether it is about whole sequences.
        floors: Further limits that must be exceeded, too.
    """

    kind: str
    module: Any
    constant: str
    of_whole: bool = False
    floors: tuple[str, ...] = ()


LIMITS = (
    Limit("swapped_sides", poses, "_BACKWARDS_MM"),
    Limit("swapped_sides", poses, "_TWIST_DEGREES"),
    Limit("swapped_sides", poses, "_CROSSED_BONE_MM"),
    Limit("swapped_sides", poses, "_BACKWARDS", True),
    Limit("swapped_sides", poses, "_CROSSED", True),
    Limit("mirrored_image", outlines, "_MIRRORED_ONE"),
    Limit("mirrored_image", outlines, "_MIRRORED", True),
    Limit("shifted_camera", shifts, "_SHIFT", True),
    Limit("shifted_camera", shifts, "_SHIFT_ALONE_MASKS", True),
    Limit("off_by_frames", outlines, "_OFF", True),
    Limit("wrong_scale", whole, "_OF_SUBJECT", True),
    Limit("wrong_scale", whole, "_OF_ALL", True),
    Limit("odd_bone", poses, "_ODD_BONE", False, ("_ODD_BONE_MM",)),
    Limit("odd_bone", whole, "_ODD_BONE", True),
    Limit("uneven_sides", poses, "_UNEVEN", True, ("_UNEVEN_MM",)),
    Limit("jump", poses, "_JUMP_MM", False, ("_JUMP_MM_PER_FRAME",)),
    Limit("upside_down", poses, "_UPSIDE_DOWN_MM"),
    Limit("outside_mask", outlines, "_OUTSIDE_MASK"),
    Limit("outside_box", outlines, "_OUTSIDE_BOX"),
    Limit("cut_mask", outlines, "_BORDER"),
    Limit("views_differ", together, "_DIFFER_MM"),
    Limit("reprojection", places, "_OFF"),
)


def main() -> None:
    recordings = walkers.made_up(420, views=2, recordings=12)
    noisy, rng = walkers.copied(recordings), np.random.default_rng(0)
    for recording in noisy:
        more = rng.normal(0, np.sqrt(12**2 - 4**2), recording.world.shape)
        recording.world[:] = recording.world + more
    largest: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        sets = []
        for name, made in (("4 mm", recordings), ("12 mm", noisy)):
            walkers.pack(made, Path(folder, f"{name[:2].strip()}.barecat"), jpeg())
            sets.append((name, open_dataset(Path(folder, f"{name[:2].strip()}.barecat"))))
        for limit in LIMITS:
            found = {name: _largest(dataset, limit) for name, dataset in sets}
            largest[limit.of_whole] += found.values()
            of = "whole sequence" if limit.of_whole else "example"
            said = ", ".join(f"{name}: {_words(share)}" for name, share in found.items())
            print(f"{limit.kind:15} {limit.constant:19} {of:15} {said}", flush=True)
    for of_whole, shares in largest.items():
        of = "whole sequences" if of_whole else "examples"
        print(f"largest of {of}: {_words(max(shares))} of the limit")


def _words(share: float) -> str:
    return f"{share:.2f}" if share else f"below {1 / LOWER}"


def _largest(dataset: Any, limit: Limit) -> float:
    """Returns the largest figure of what is right, in multiples of a limit; 0 = none found."""
    before = {name: getattr(limit.module, name) for name in (limit.constant, *limit.floors)}
    try:
        for name, value in before.items():
            setattr(limit.module, name, value / LOWER)
        suspects = find_suspects(dataset, "train")
    finally:
        for name, value in before.items():
            setattr(limit.module, name, value)
    scores = suspects.scores[suspects.kinds == CODES[limit.kind]]
    return float(scores.max(initial=0.0)) / LOWER / (WHOLE if limit.of_whole else 1.0)


if __name__ == "__main__":
    main()
