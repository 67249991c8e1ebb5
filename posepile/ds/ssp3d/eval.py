"""Evaluation of body shape on SSP-3D: T-posed bodies, silhouettes, surfaces.

Predictions of ssp3d.official and ssp3d.hierprob are an npz with image_path (names of the files),
pose (n, 24, 3) or (n, 72), betas (n, 10), trans (n, 3), in metres in the frame of the camera, and
perhaps silhouettes (n, 512, 512) in place of drawn bodies. Those of ssp3d.posepile are an npz with
vertices (n, 6890, 3), joints (n, 24, 3) likewise, vertex_uncertainties, joint_uncertainties, in
the order of the labels, or with image_path in any. The file may state its units.
"""

import sys
from functools import partial

import numpy as np

from posepile.bodies.models import models_below
from posepile.ds.ssp3d import main as data
from posepile.evaluation import body_shape, forms
from posepile.evaluation.benchmark import Benchmark, Clip, Picture, Protocol
from posepile.evaluation.command import run_benchmark
from posepile.metrics import overlap_pixels, silhouette_ious

OFFICIAL = Protocol(
    "ssp3d.official",
    ("PVE-T-SC_mm", "mIOU"),
    joints="6,890 vertices of SMPL; pixels of 512 x 512",
    root="mean of the vertices",
    alignment="T-pose, scale by the RMS distance from the mean, no rotation",
    averaging="vertices, then pictures; mIOU: the pictures' ratios",
    source="akashsengupta1997/SSP-3D: README, metrics.py",
    expected={"entries": 311},
    note="prediction and truth by the model of the person's gender; annotated silhouettes",
)
HIERPROB = OFFICIAL.variant(
    "ssp3d.hierprob",
    figures=("PVE-T-SC_mm", "IOU", "PVE-PA_mm", "joints2D_px"),
    joints="6,890 vertices; COCO's 17, and pixels, in 256 x 256 crops of the box x 1.2",
    alignment="T-pose and scale; PVE-PA: similarity on all vertices",
    averaging="vertices or joints, then pictures; IOU: pixels of all pictures together",
    source="HierarchicalProbabilistic3DHuman: run_evaluate.py",
    note="prediction by the neutral model; annotated silhouettes",
    summed=("common_px", "either_px"),
)
POSEPILE = OFFICIAL.variant(
    "ssp3d.posepile",
    figures=("mIOU", "PVE-T-SC_mm", "PVE-T_mm", "MVE_mm"),
    alignment="T-pose and scale (PVE-T: no scale); MVE: joint 0 of the model",
    source="PosePile: ds/ssp3d/eval.py",
    note="shape of the neutral model fitted to the points; silhouettes of drawn true bodies",
)
LENS = np.array([[data.FOCAL, 0, 256], [0, data.FOCAL, 256], [0, 0, 1]])
BODY = {"pose": (72,), "betas": (10,), "trans": (3,), "silhouettes?": (512, 512)}
POINTS = {"vertices": ("V", 3), "joints": ("J", 3)}
POINTS |= {"vertex_uncertainties": ("V",), "joint_uncertainties": ("J",)}


def truth(setup):
    """Yields the pictures of one person after the other."""
    root = models_below(setup.root)
    for person, paths, told in data.persons(setup.root):
        bodies = body_shape.bodies_by_gender("smpl", told["gender"], told, models_root=root)
        pictures = [Picture(path, data.the_camera()) for path in paths]
        yield Clip(person, [p.name for p in paths], told | bodies, picture=pictures.__getitem__)


def predictions(setup):
    """Opens the predictions."""
    if setup.protocol.name != POSEPILE.name:
        return forms.npz_arrays(setup.pred_path, BODY, flat=["pose"], unit="m")
    names = data.read_labels(data.data_folder(setup.root) / "labels.npz")["fnames"].tolist()
    return forms.npz_arrays(setup.pred_path, POINTS, in_order=names, unit="m")


def score(setup, clip, pred):
    """Returns figures of each picture."""
    root, true, name = models_below(setup.root), clip.truth, setup.protocol.name
    draw = body_shape.drawing("smpl", LENS, data.SIZE, root)
    if name == POSEPILE.name:
        return body_shape.fit_figures(pred, true, draw, root)
    body_shape.refuse_far(setup, clip, pred["trans"], 1000 * true["trans"])
    genders = true["gender"] if name == OFFICIAL.name else ["neutral"] * len(clip.keys)
    body = {"pose": pred["pose"], "shape": pred["betas"], "trans": pred["trans"] / 1000}
    body = body_shape.bodies_by_gender("smpl", genders, body, models_root=root)
    seen = pred["silhouettes"] > 0.5 if "silhouettes" in pred else draw(body["vertices"])
    figures = body_shape.rest_figures(body["rest"], true["rest"])
    if name == HIERPROB.name:
        return figures | body_shape.crop_figures(body, seen, true, LENS)
    return figures | {"mIOU": silhouette_ious(*overlap_pixels(seen, true["silhouettes"]))}


FUNCTIONS = truth, predictions, score, body_shape.with_pooled_iou
BENCHMARK = Benchmark("ssp3d", [OFFICIAL, HIERPROB, POSEPILE], *FUNCTIONS)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
