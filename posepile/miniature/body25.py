"""The 25 key points of OpenPose (BODY_25), and figures that have them beside SMPL's joints."""

from __future__ import annotations

from posepile.miniature.skeleton import TURNING, make_figure

# As files have them, by the names of the actor's skeleton; and their order as they are packed.
BODY_25 = (
    "nose neck rsho relb rwri lsho lelb lwri pelv rhip rkne rank lhip lkne lank reye leye rear "
    "lear lto2 lto3 lhee rto2 rto3 rhee"
).split()
PACKED_25 = [*range(8), *range(9, 25), 8]
PACKED_SMPL = [*range(1, 24), 0]
# Of two joints of the same name one is drawn: of the right side that of BODY_25.
_SMPL = [TURNING[j] for j in PACKED_SMPL]
_DRAWN = [n + "_" * (n[0] == "r" and n in BODY_25) for n in _SMPL]
_DRAWN += [n + "_" * (n[0] != "r" and n in _SMPL) for n in (BODY_25[j] for j in PACKED_25)]
# For joints of SMPL and BODY_25, 24 and 25 as packed.
FIGURE = make_figure(_DRAWN, radius_mm=52, disc=0.5)
