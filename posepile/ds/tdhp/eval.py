"""MPI-INF-3DHP: PCK, AUC and MPJPE of the valid frames of TS1 to TS6.

Predictions are the official ``.mat`` with ``TS1`` to ``TS6`` ``[3, 17, 1, n]``, valid frames in
order, or PosePile's ``.npz`` with ``image_path`` (``3dhp/TS1/imageSequence/img_000001.jpg``) and
``coords3d_pred_world`` ``[n, 17, 3]``: mm, camera axes, raw order (``--root-last``: ours).
"""

import re
import sys
from functools import partial

import numpy as np

from posepile.ds.tdhp.main import ACTIVITIES, TESTS, Options, test_camera, test_folder
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol, pictures_of
from posepile.evaluation.columns import add_joint_order, hits_150, joint_order
from posepile.evaluation.command import run_benchmark
from posepile.evaluation.forms import npz_poses
from posepile.evaluation.mat_forms import mat_poses
from posepile.formats.schema import Array
from posepile.geometry.markerless import LABELLED, PELVIS, read_valid
from posepile.metrics import joint_errors, pose_errors, root_relative

OFFICIAL_FORM = Array(3, 17, 1, "n", squeezed=True, finite=False)
FIGURES = ("PCK150_percent", "AUC150_percent", "MPJPE_mm")
SEQUENCE_MEANS = {name.replace("_", "-sequence-mean_"): name for name in FIGURES}
OFFICIAL = Protocol(
    "tdhp.official",
    FIGURES,
    frames="2,929 valid frames of TS1 to TS6",
    joints="14 for PCK and AUC (without pelvis, spine, head), 17 for MPJPE",
    root="pelvis, of the truth only: predictions are taken to be relative to it",
    alignment="none",
    averaging="pooled over frames and joints (that is, over groups weighted by their size)",
    source="Mehta et al. 2017, mpii_compute_3d_pck.m",
    note="truth univ_annot3; 150 mm is wrong; thresholds 0, 5, .., 150, of which 0 counts",
    joint_names=tuple(LABELLED.split(",")),
    expected={"entries": 2929},
    settings={"truth": "univ_annot3"},
)
CORRECTED = OFFICIAL.variant(
    "tdhp.official-corrected",
    figures=(*FIGURES, *SEQUENCE_MEANS),
    root="pelvis, of both",
    official=False,
    note="predictions are centred; means over the six sequences, too, as some papers have them",
    settings={"centred": True},
)
POSEPILE = CORRECTED.variant(
    "tdhp.posepile",
    figures=(*FIGURES, "PA-MPJPE_mm"),
    alignment="PA: rotation, translation and scale per pose",
    source="isarandi/PosePile ds/tdhp/eval.py",
    note="truth annot3, of true size",
    settings={"truth": "annot3"},
)
LIKE = {"note": "truth univ_annot3", "settings": {"truth": "univ_annot3"}}
UNIVERSAL = POSEPILE.variant("tdhp.posepile-universal", **LIKE)


def truth(setup):
    """Yields the valid frames of each test sequence, in the axes of its camera."""
    kind = setup.protocol.settings["truth"]
    for name, (scene, *_) in TESTS.items():
        folder = test_folder(setup.root, name) or setup.root / name
        labels = read_valid(folder / "annot_data.mat", Options().max_universal_mm)
        rows = np.flatnonzero(labels["valid"])
        files = [folder / f"imageSequence/img_{row + 1:06d}.jpg" for row in rows]
        groups = {"activity": np.take(ACTIVITIES, labels["activity"][rows] - 1), "scene": scene}
        seen = pictures_of(files, test_camera(name, axes=True)) if kind == "annot3" else None
        keys = [f"3dhp/{name}/imageSequence/{file.name}" for file in files]
        yield Clip(name, keys, {"joints": labels[kind][rows]}, groups, seen)


def predictions(setup):
    """Returns the predictions of either form."""
    path, order = setup.pred_path, joint_order(setup)
    if path.suffix == ".mat":
        return mat_poses(path, OFFICIAL_FORM, order)
    key_of = partial(re.sub, "^3dhp_downscaled/", "3dhp/")
    return npz_poses(path, "coords3d_pred_world", {17: order}, key_of=key_of)


def score(setup, clip, pred):
    """Returns the figures of each frame and joint."""
    given, true = pred["joints"], root_relative(clip.truth["joints"], PELVIS)
    given = root_relative(given, PELVIS) if setup.protocol.settings.get("centred") else given
    errors = joint_errors(given, true)
    fitted = pose_errors(given, true, alignment="similarity")
    found = hits_150(errors[:, :PELVIS]) | {"MPJPE_mm": errors, "PA-MPJPE_mm": fitted}
    found |= {mean: [found[name].mean()] for mean, name in SEQUENCE_MEANS.items()}  # one a clip
    return {name: found[name] for name in setup.protocol.figures}


PROTOCOLS = OFFICIAL, CORRECTED, POSEPILE, UNIVERSAL
BENCHMARK = Benchmark("tdhp", PROTOCOLS, truth, predictions, score, add_options=add_joint_order)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
