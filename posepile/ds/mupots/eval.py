"""MuPoTS-3D: PCK and AUC of several people in 20 sequences.

Predictions are the official pair ``preds_2d_kpt_mupots.mat``, ``preds_3d_kpt_mupots.mat`` in a
folder, with ``TS1_img_000000`` ``[n, 17, 2]`` pixels and ``[n, 17, 3]`` mm per picture; or
PosePile's ``.npz`` with ``image_path`` (``mupots/TS1/img_000000.jpg``) and ``coords3d_pred_world``
``[n, 17, 3]``, a row per person, which the fitted cameras project. Either is in the axes of the
camera, joints in the raw order (``--root-last``: in ours).
"""

import re
import sys
from functools import partial

import numpy as np

from posepile.ds.mupots.main import SEQUENCES, fit_camera, read_labels
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol
from posepile.evaluation.columns import add_joint_order, hits_150, joint_order
from posepile.evaluation.command import run_benchmark
from posepile.evaluation.crowds import crowd_errors, mat_crowds, match_crowd, npz_crowds
from posepile.formats.folders import names_like
from posepile.formats.schema import Array
from posepile.geometry.markerless import LABELLED, PARENTS, PELVIS

FILES = {"points": "preds_2d_kpt_mupots.mat", "joints": "preds_3d_kpt_mupots.mat"}
FORM = {"squeezed": True, "finite": False}
FORMS = {"points": Array("n", 17, 2, **FORM), "joints": Array("n", 17, 3, **FORM)}
ALL = Protocol(
    "mupots.all",
    ("PCK150_percent", "AUC150_percent"),
    frames="valid people of all frames",
    joints="14 (without pelvis, spine, head)",
    root="pelvis, of both",
    alignment="predicted bones get the lengths of the true ones, from the pelvis outwards",
    averaging="pooled within a sequence, then unweighted mean of the sequences",
    source="Mehta et al. 2018, mpii_mupots_multiperson_eval.m",
    note="truth univ_annot3; greedy matching in the order of labels: most joints within 40 px; "
    "who is not matched counts as wrong; 150 mm is wrong; thresholds 0, 5, .., 150",
    pool="clips",
    expected={"clips": 20},
    nan_counts=True,
    joint_names=tuple(LABELLED.split(",")),
    settings={"root": PELVIS, "parents": PARENTS},
)
MATCHED = ALL.variant(
    "mupots.matched",
    frames="valid people who are matched",
    note="as mupots.all; NaN if nobody is matched in a sequence, which is 0 / 0 there",
    settings={"matched_only": True},
)
ABSOLUTE = {"root": "none: in the axes of the camera; the pelvis stays where it was predicted"}
ABSOLUTE["settings"] = {"root": None}
PROTOCOLS = [ALL, MATCHED, *(p.variant(f"{p.name}-absolute", **ABSOLUTE) for p in (ALL, MATCHED))]
CORRECTED = {"official": False, "alignment": "none", "note": "predicted bones keep their lengths"}
PROTOCOLS += [ALL.variant("mupots.all-corrected", **CORRECTED, settings={"parents": None})]


def labels_of(setup, name):
    """Returns file and labels of a sequence; pictures need not be there."""
    file = setup.root / name / "annot.mat"
    pictures = names_like(file.parent, r"img_\d+\.jpg")
    return file, read_labels(file, len(pictures) or None)


def truth(setup):
    """Yields the frames of each sequence in which somebody is valid."""
    for name in SEQUENCES:
        _, labels = labels_of(setup, name)
        frames, valid = np.flatnonzero(labels["valid"].any(axis=1)), labels["valid"]
        kinds = {"joints": labels["univ_annot3"], "points": labels["annot2"]}
        people = {key: [kind[k, valid[k]] for k in frames] for key, kind in kinds.items()}
        yield Clip(name, [f"mupots/{name}/img_{k:06d}.jpg" for k in frames], people)


def predictions(setup):
    """Returns the people who are predicted in each picture, of either form."""
    order, path = joint_order(setup), setup.pred_path
    key_of = partial(re.sub, r"(?:.*/)?(TS\d+)[_/](img_\d+)(?:\.jpg)?", r"mupots/\1/\2.jpg")
    if path.is_dir():
        return mat_crowds(path, FILES, FORMS, order, key_of)
    matrix_of = lambda clip: fit_camera(*labels_of(setup, clip.name))  # noqa: E731
    return npz_crowds(path, "coords3d_pred_world", order, key_of, matrix_of)


def score(setup, clip, pred):
    """Returns hits of all joints of all people of the sequence."""
    true, given, errors = clip.truth["joints"], pred["joints"], []
    for k, points in enumerate(clip.truth["points"]):
        who = match_crowd(points[:, 1:14], pred["points"][k][:, 1:14], near=40)
        errors.append(crowd_errors(who, true[k], given[k], **setup.protocol.settings)[:, :14])
    everybody = np.concatenate(errors).ravel()
    return hits_150(everybody if len(everybody) else np.array([np.nan]))


BENCHMARK = Benchmark("mupots", PROTOCOLS, truth, predictions, score, add_options=add_joint_order)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
