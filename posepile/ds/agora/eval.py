"""AGORA: people found, and errors of the bodies, hands and faces of those who were.

Predictions are the official zip (or its folder) with a pickle per person,
``predictions/<image>_personId_<k>.pkl``: ``joints`` ``[24, 2]`` in pixels of 3840 x 2160, and
``verts`` and ``allSmplJoints3d`` (24 or 45; SMPL-X: 127) in metres, camera frame; or ``params``
of the smplx library instead of the last two.
"""

import sys
from functools import partial

from posepile.bodies.models import models_below
from posepile.ds.agora import main as agora
from posepile.evaluation import people
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol
from posepile.evaluation.command import run_benchmark, split_option
from posepile.evaluation.zip_forms import read_body, zipped_people
from posepile.formats.keys import only_one
from posepile.formats.schema import Array
from posepile.formats.tables import read_rows

SEEN = {key: agora.SMPLX[key] for key in ("isValid", "occlusion")}
OUTPUTS = [*range(55), *range(76, 127)]  # of SMPL-X, joints and points of the face
SMPL = Protocol(
    "agora.smpl",
    people.BODY_FIGURES,
    joints="24 (MVE: the 4,010 vertices of the body)",
    root="mean of the hips, of both",
    alignment="none",
    averaging="people who were found; NMJE, NMVE: divided by F1",
    source="agora_evaluation (Patel et al. 2021)",
    frames="all images of the frames (option --split)",
    note="greedy matching in the order of 2D distance (spectral norm of 24 joints), boxes' IoU at "
    "least 0.1, ended once matches and rejected pairs are as many as predictions; F1 rounded to "
    "2, errors to 1 decimal, and so divided; invalid people and who meets them do not count",
    summed=("TP", "FP", "FN"),
    misses_count=True,
    settings={"official": True, "model": "SMPL", "joints": [*range(24)], "n": (6890, 24, 45)},
)
SMPLX = SMPL.variant(
    "agora.smplx",
    figures=(*people.BODY_FIGURES, *people.PART_FIGURES),
    joints="22 of the body; 15 of each hand and its wrist; 51 of the face and the neck",
    root="body: mean of the hips; hands: wrist; face: neck",
    frames="images whose name has bfh or smplx",
    note=f"{SMPL.note}; hands and faces of who was missed count as 0 where an image has any "
    "prediction; full = body + a third of hands and face",
    settings={"model": "SMPLX", "joints": OUTPUTS, "n": (10475, 127)},
)
CORRECTED = {"official": False, "settings": {"official": False}}
CORRECTED["note"] = "all pairs are gone through, nothing is rounded, who was missed has no error"
PROTOCOLS = [SMPL, SMPLX, *(p.variant(f"{p.name}-corrected", **CORRECTED) for p in (SMPL, SMPLX))]


def truth(setup):
    """Yields each picture; lengths in mm."""
    rules, model = setup.protocol.settings, setup.protocol.settings["model"]
    schema = {k: getattr(agora, model)[k] for k in ("imgPath", "gt_joints_2d", "gt_joints_3d")}
    schema |= {**SEEN, "gt_verts": Array("P", rules["n"][0], 3)}
    for part in (name for name in agora.PARTS if name.startswith(setup.args.split)):
        places = [setup.root / model / f"{part}{s}_withjv.pkl" for s in ("", f"_{model}")]
        file = only_one(places, "a frame of a part")
        for row in read_rows(file, schema) if file else ():
            name = row["imgPath"].removesuffix(".png")
            if model == "SMPL" or "bfh" in name or "smplx" in name:
                valid = row["isValid"] & (row["occlusion"] >= 0) & (row["occlusion"] <= 90)
                true = {"points": [row["gt_joints_2d"]], "valid": [valid]}
                true["joints"] = [1000 * row["gt_joints_3d"][:, rules["joints"]]]
                true["vertices"] = [1000 * row["gt_verts"]]
                yield Clip(name, [name], true, {"scene": "_".join(name.split("_")[2:5])})


def predictions(setup):
    """Returns the opened zip, of each person what is evaluated."""
    read = partial(read_body, rules=setup.protocol.settings, models_root=models_below(setup.root))
    return zipped_people(setup.pred_path, read, unit="m", lengths=("joints", "vertices"))


def score(setup, clip, pred):
    """Returns numbers of people, and errors of those who were found."""
    rules = setup.protocol.settings
    parts = people.official_parts(rules["model"].lower(), setup.root, rules["n"][0])
    sides = ({key: value[0] for key, value in side.items()} for side in (pred, clip.truth))
    return people.picture_figures(*sides, parts, official=rules["official"])


def finish(setup, figures):
    """Returns the official figures."""
    rounded, whole = setup.protocol.settings["official"], "MPJPE-full_mm" in setup.protocol.figures
    return figures | people.people_figures(figures, rounded=rounded, whole=whole)


SPLIT = split_option(("validation", "train"), "validation")
BENCHMARK = Benchmark("agora", PROTOCOLS, truth, predictions, score, finish, add_options=SPLIT)
main = partial(run_benchmark, BENCHMARK, description=__doc__)

if __name__ == "__main__":
    sys.exit(main())
