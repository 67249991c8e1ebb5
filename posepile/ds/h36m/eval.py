"""Human3.6M: errors of the poses of S9 and S11, sampled or of every frame.

Predictions are an ``.npz`` with ``image_path``
(``h36m/S9/Images/<take>.<camera>/frame_000064.jpg``) and ``coords3d_pred_world`` ``[n, J, 3]`` mm:
17 joints, pelvis first (``--root-last``: in our order), or the 25 of PosePile, pelvis last.
"""

import re
import sys
from functools import partial

import numpy as np

from posepile.ds.h36m import main as h36m
from posepile.evaluation.benchmark import Benchmark, Clip, PackedForm, Protocol, pictures_of
from posepile.evaluation.columns import add_joint_order, pose_figures, share_figures
from posepile.evaluation.command import run_benchmark
from posepile.evaluation.forms import npz_poses
from posepile.formats.folders import names_like
from posepile.formats.mocap_files import read_cdf
from posepile.formats.schema import Array
from posepile.metrics import mpjve, root_relative

entry = partial(re.sub, "^(h36m(_downscaled)?/)?", "h36m/")  # an image's path -> its key
ROOT_FIRST = [16, *range(16)]  # of our 17 joints
OF_25 = [24, 0, 1, 2, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21]  # of PosePile's
P1 = Protocol(
    "h36m.p1",
    ("MPJPE_mm",),
    joints="17: raw 0 1 2 3 6 7 8 12 13 14 15 17 18 19 25 26 27; the root counts",
    root="pelvis, of both",
    alignment="none",
    averaging="all poses and joints (not: of actions)",
    source="isarandi/PosePile ds/h36m/eval.py",
    frames="S9 and S11, every 64th from 0, of every take and all 4 cameras: 8,724",
    note="S9's Greeting, SittingDown 1 and Waiting 1 stay shifted in the truth",
    joint_names=tuple(h36m.SPEC.joint_info.names[j] for j in ROOT_FIRST),
    edges="htop-head-neck-rsho-relb-rwri,neck-tors-pelv-rhip-rkne-rank",
    expected={"entries": 8724},
    settings={"step": 64},
)
PA = {"figures": ("PA-MPJPE_mm",), "alignment": "similarity of each pose"}
P3 = {"figures": ("N-MPJPE_mm",), "alignment": "scale of each pose"}
VELOCITY = {"figures": ("MPJVE_mm_per_frame",), "alignment": "difference of frames in a row"}
VELOCITY["averaging"] = "takes of an action, by their numbers of frames, then its 15 means"
CORRECTED = {"official": False, "settings": {"correct_s9": True}}
CORRECTED["note"] = "S9's three shifted takes are put right; root-relative figures stay the same"
LIFTING = {"source": "VideoPose3D run.py, which takes predictions as relative; centred here"}
LIFTING |= {"averaging": "poses of each action, then its 15 means", "pool": "activity"}
LIFTING |= {"frames": "S9, S11, all frames and 4 cameras", "settings": {"step": 1}, "expected": {}}
PROTOCOLS = [P1, P1.variant("h36m.p2", **PA)]
PROTOCOLS += [p.variant(f"{p.name}-corrected", **CORRECTED) for p in PROTOCOLS]
for name, more in {"p1": {}, "p2": PA, "p3": P3, "velocity": VELOCITY}.items():
    PROTOCOLS.append(P1.variant(f"h36m.lifting-{name}", **(LIFTING | more)))


def truth(setup):
    """Yields the test takes as each camera sees them, pelvis first."""
    metadata, rules = h36m.read_metadata(setup.root / h36m.METADATA), setup.protocol.settings
    for subject in ("S9", "S11"):
        folder = setup.root / subject / "MyPoseFeatures/D3_Positions"
        for name, (take,) in names_like(folder, r"([^_.]+)\.cdf").items():
            n, action = metadata["rows"].get((subject, h36m.short(take)), "n"), h36m.short(take)
            joints = read_cdf(folder / name, {"Pose": Array(1, n, 96)})["Pose"].reshape(-1, 32, 3)
            joints = np.float64(joints[:: rules["step"], h36m.JOINTS][:, ROOT_FIRST])
            labels = {"activity": re.sub(r" \d$", "", action), "subject": subject}
            for camera in h36m.CAMERAS:
                clip = f"{subject}/Images/{take}.{camera}"
                files = [f"{clip}/frame_{rules['step'] * i:06d}.jpg" for i in range(len(joints))]
                right = (
                    h36m.correct_world_coords(joints, clip) if "correct_s9" in rules else joints
                )
                lens = metadata["cameras"][subject, camera]
                seen = pictures_of([setup.root / file for file in files], lens)
                yield Clip(clip, [*map(entry, files)], {"joints": right}, labels, seen)


def predictions(setup):
    """Returns the opened predictions, pelvis first."""
    order = {17: ROOT_FIRST if setup.args.root_last else None, 25: OF_25}
    return npz_poses(setup.pred_path, "coords3d_pred_world", order, key_of=entry)


def score(setup, clip, pred):
    """Returns figures per frame and joint; of velocity one per take, as often as it has frames."""
    pred, true = pred["joints"], clip.truth["joints"]
    if setup.protocol.figures[0] == "MPJVE_mm_per_frame":
        velocity = mpjve(root_relative(pred, 0), root_relative(true, 0))
        return {"MPJVE_mm_per_frame": np.full(len(true), velocity)}
    figures = pose_figures(pred, true, root=0)
    return figures | share_figures(figures)


PACKED = PackedForm(entry, ROOT_FIRST, views=True, entries=8724)
FUNCTIONS = (truth, predictions, score)
BENCHMARK = Benchmark("h36m", PROTOCOLS, *FUNCTIONS, add_options=add_joint_order, packed=PACKED)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
