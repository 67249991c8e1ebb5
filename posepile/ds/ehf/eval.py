"""Errors of meshes on EHF: body, hands and face, before and after Procrustes alignment.

Predictions are a pickle {'01_img.png': {'vertices': [10475, 3] mm}, ..., '100_img.png': ...}, or
an npz with pose [n, 165], betas [n, k], trans [n, 3] in metres of the neutral SMPL-X, in the order
of pictures; in the frame of the camera, for ehf.posepile without --camspace that of the studio.
"""

import sys
from functools import partial

import numpy as np

from posepile.bodies import joints, models, surface
from posepile.ds.ehf import main as ehf
from posepile.evaluation import forms, meshes
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol
from posepile.evaluation.command import run_benchmark
from posepile.formats.schema import Array

N, NECK, LSP, FIRST = ehf.N_VERTICES, 12, range(55, 69), 69  # joints of LSP, first vertex
HANDS = [[k if k < 55 else k + FIRST for k in hand] for hand in joints.SMPLX_HANDS]
FIGURES = [f"{a}MPVPE-{b}_mm" for a in ("", "PA-") for b in ("all", "hands", "face")]
FIGURES += ["PA-MPJPE-body_mm", "PA-MPJPE-hands_mm"]
OFFICIAL = Protocol(
    "ehf.hand4whole",
    tuple(FIGURES),
    joints="10475 vertices of SMPL-X (hands: MANO's, face: FLAME's); of them 14 of LSP, 21 a hand",
    root="all: pelvis; hands: the wrist of each; face: neck, by the neutral J_regressor",
    alignment="PA: rotation, scale and translation, fitted on those very vertices or joints",
    averaging="vertices or joints, then both hands, then pictures",
    source="Hand4Whole (CVPRW 2022) and OSX, data/EHF/EHF.py; MPVPE is also called PVE or V2V",
    expected={"entries": 100},
    settings={"alignment": "similarity"},
)
POSEPILE = OFFICIAL.variant(
    "ehf.posepile",
    figures=(*FIGURES, "PA-MPVPE-body_mm"),
    alignment="PA: rotation and translation without scale",
    source="the original PosePile, ds/ehf/eval2.py",
    note="for want of scale larger than in papers; body: neither hands nor face; see --camspace",
    official=False,
    settings={"alignment": "rigid"},
)


def truth(setup):
    """Yields all pictures as one clip."""
    if files := ehf.mesh_files(setup.root):
        vertices = np.stack([ehf.read_vertices(file) for file in files.values()])
        if setup.protocol.official or setup.args.camspace:
            vertices = ehf.to_camera(vertices)
        yield Clip("EHF", list(files), {"vertices": vertices})


def predictions(setup):
    """Opens meshes, or bodies to be posed."""
    path = setup.pred_path
    if path.suffix == ".npz":
        return meshes.body_arrays(path, 55, in_order=list(ehf.mesh_files(setup.root)))
    found = forms.read_pred_pickle(path, {"*": {"vertices": Array(N, 3, finite=False)}})
    vertices = np.reshape([row["vertices"] for row in found.values()], (-1, N, 3))
    return forms.keyed(path, list(found), {"vertices": vertices})


def score(setup, clip, pred):
    """Returns figures per picture."""
    root, below, model = setup.root, models.models_below(setup.root), ("smplx", "neutral")
    posed = meshes.posed_vertices(setup.pred_path, *model, pred, [N], models_root=below)
    rows = [surface.joint_regressor(*model, models_root=below)]
    rows = np.vstack([*rows, meshes.read_regressor("smplx/SMPLX_to_J14.pkl", 14, N, root)])
    pair = (posed, clip.truth["vertices"])  # to each vertices, joints and those of LSP are added
    points = [np.concatenate([meshes.regressed(rows, mesh), mesh], axis=1) for mesh in pair]
    error = partial(meshes.part_errors, *points)
    aligned = partial(error, alignment=setup.protocol.settings["alignment"])
    ids = {name: chosen + FIRST for name, chosen in meshes.smplx_parts(root).items()}
    places = {"all": ([FIRST + np.arange(N)], [0]), "body": ([ids["body"]], [0])}
    places["hands"] = [ids["left_hand"], ids["right_hand"]], [hand[0] for hand in HANDS]
    places["face"] = [ids["face"]], [NECK]
    figures = {"PA-MPJPE-body_mm": aligned([LSP]), "PA-MPJPE-hands_mm": aligned(HANDS)}
    for name, (chosen, roots) in places.items():
        figures[f"MPVPE-{name}_mm"] = error(chosen, roots)
        figures[f"PA-MPVPE-{name}_mm"] = aligned(chosen)
    return figures


def camspace(parser):
    """Adds the option of ehf.posepile."""
    text = "ehf.posepile: predictions are in the frame of the camera, not in that of the studio"
    parser.add_argument("--camspace", action="store_true", help=text)


BENCHMARK = Benchmark("ehf", [OFFICIAL, POSEPILE], truth, predictions, score, add_options=camspace)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
