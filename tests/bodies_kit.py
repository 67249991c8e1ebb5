"""Made-up body models of all kinds that have the same body, so that they can become each other.

Those of :mod:`posepile.miniature.bodies` have other vertices for each kind. Here a model of SMPL-X
is made, and SMPL and SMPL-H are the same body with fewer joints and its vertices in another order.
"""

import pickle

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from posepile.bodies.joints import JOINT_NAMES
from posepile.miniature import bodies as miniature_bodies

N_VERTICES = 330
ORDER = np.random.default_rng(8).permutation(N_VERTICES)
# Whose vertices move with a joint that a model lacks.
_HOLDERS = {"jaw": "head", "leye": "head", "reye": "head"}


def _holder(name, names):
    if name in names:
        return name
    return _HOLDERS.get(name) or (name[0] + "han" if name[0] + "han" in names else None)


def reduced(model, kind, step=1):
    """The arrays of a model of SMPL-X as those of a kind with fewer joints; step -1: shape too."""
    own, names = JOINT_NAMES["smplx"], JOINT_NAMES[kind]
    named = [f"{n[0]}middle1" if n in ("lhan", "rhan") else n for n in names]
    rows = [own.index(n) for n in named]
    weights = np.zeros((N_VERTICES, len(names)), np.float32)
    for j, name in enumerate(own):
        weights[:, names.index(_holder(name, names))] += model["weights"][:, j]
    bent = model["posedirs"].reshape(N_VERTICES, 3, 54, 9)
    posedirs = np.stack([bent[:, :, row - 1] for row in rows[1:]], axis=2)
    for j, name in enumerate(names):
        if name in ("lhan", "rhan"):
            posedirs[:, :, j - 1] = 0
    result = {
        "v_template": model["v_template"][ORDER],
        "shapedirs": model["shapedirs"][ORDER, :, :10][..., ::step],
        "weights": weights[ORDER],
        "J_regressor": model["J_regressor"][rows][:, ORDER],
        "posedirs": posedirs.reshape(N_VERTICES, 3, -1)[ORDER],
        "kintree_table": np.array(
            [miniature_bodies.make_model(kind)["kintree_table"][0], range(len(names))], np.uint32
        ),
        "f": model["f"],
    }
    if kind != "smpl":
        result |= {k: v for k, v in model.items() if k.startswith("hands_")}
    return result


def write_one_body(root, *, transfer=False, step=1):
    """Writes models of SMPL, SMPL-H and SMPL-X, all genders, and perhaps the transfer files.

    With step -1 the shape components of SMPL-X are in another order than those of the others.
    """
    miniature_bodies.write_body_models(root, ("smplx",))
    kid = miniature_bodies.make_model("smplx", N_VERTICES, 1)["v_template"] * np.float32(0.7)
    (root / "smpl").mkdir()
    np.save(root / "smpl" / "kid_template.npy", kid[ORDER])
    for gender, seed in miniature_bodies.SEEDS.items():
        model = miniature_bodies.make_model("smplx", N_VERTICES, seed)
        letter = gender if gender == "neutral" else gender[0]
        content = reduced(model, "smpl", step)
        content["J_regressor"] = csc_matrix(content["J_regressor"])
        path = root / "smpl" / f"basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl"
        path.write_bytes(pickle.dumps(content, protocol=2))
        folder = root / "smplh16" / gender
        folder.mkdir(parents=True)
        np.savez(folder / "model.npz", **reduced(model, "smplh", step))
        np.save(root / "smplh16" / "kid_template.npy", kid[ORDER])
    if transfer:
        write_transfer(root / "smplx2smpl_deftrafo_setup.pkl", np.eye(N_VERTICES)[ORDER])
        write_transfer(root / "smpl2smplx_deftrafo_setup.pkl", np.eye(N_VERTICES)[ORDER].T)
    return root


def write_transfer(path, matrix):
    """A transfer file as the SMPL-X project writes it: sparse, with columns for normals."""
    both = np.concatenate([matrix, np.full_like(matrix, 7.0)], axis=1)
    path.write_bytes(pickle.dumps({"mtx": csr_matrix(np.float32(both))}, protocol=2))


def make_body(kind, seed=0, *, gender="male", hands=True, **more):
    """Parameters of a posed and shaped body somewhere."""
    rng = np.random.default_rng(seed)
    names = JOINT_NAMES[kind]
    pose = rng.normal(0, 0.25, (len(names), 3))
    for j, name in enumerate(names):
        if name in ("jaw", "leye", "reye", "lhan", "rhan") or (not hands and j >= 22):
            pose[j] = 0
    pose[0] = rng.normal(0, 1, 3)
    body = {"type": kind, "gender": gender, "pose": pose.ravel().astype(np.float32)}
    body |= {"shape": rng.normal(0, 1, 10).astype(np.float32)}
    return body | {"trans": np.float32(rng.normal([0, 0, 3], 1))} | more
