"""EMDB's sequences as they are evaluated, and bodies beside each other."""

import numpy as np

from posepile.bodies.models import models_below
from posepile.errors import CorruptInput
from posepile.evaluation import bodies
from posepile.evaluation.benchmark import Clip
from posepile.evaluation.meshes import posed_bodies

FEET = [3216, 3387, 6617, 6787]


def sequence_clip(data, gender, in_world):
    """Returns the good frames of a sequence: parameters of the body, and its camera."""
    rows = np.flatnonzero(data["good_frames_mask"])
    arrays = {key: values[rows] for key, values in data["body"].items()} | {"frame": rows}
    alike = {"gender": gender, "n_frames": data["n_frames"]}
    arrays |= {key: np.repeat(value, len(rows)) for key, value in alike.items()}
    camera = np.eye(4)[None].repeat(data["n_frames"], axis=0)
    arrays["camera"] = (camera if in_world else data["camera"]["extrinsics"])[rows]
    return Clip(data["name"], [f"frame {i}" for i in rows], arrays)


def compare(root, pred, true):
    """Returns errors of some entries, and predicted and true points: joints, then feet."""
    more = {"parts": bodies.SMPL_PARTS, "models_root": models_below(root)}
    sides = [posed_bodies("smpl", "neutral", pred, **more)]
    more["world_to_camera"] = true["camera"]
    sides.append(posed_bodies("smpl", true["gender"][0], true, **more))
    points = (np.concatenate([b["joints"], b["vertices"][:, FEET]], axis=1) for b in sides)
    figures = bodies.body_figures(*(bodies.centred(body, 1, 2) for body in sides))
    return figures | dict(zip(("told", "true"), points, strict=True))


def refuse_millimetres(setup, clip, trans):
    """Refuses a path through the world that is a hundred times as long as the true one."""
    spread, true = (np.ptp(path, axis=0).max() for path in (trans, 1000 * clip.truth["trans"]))
    if spread > 100 * true > 0 and not setup.args.units:
        found = f"{clip.name}: trans spreads over {spread:.0f} mm, the true path {true:.0f} mm"
        raise CorruptInput(setup.pred_path, found, hint="metres are expected; see --units")
