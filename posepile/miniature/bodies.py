"""Tiny made-up body-model files in the official layouts, for tests and miniatures.

The real files are licensed. These have the same keys, array layouts and kinematic trees with a few
hundred vertices, the proportions of the studio's actor (other ones for each gender, so that a
mix-up shows), non-zero hand means and small pose blend shapes. In a model of the official number
of vertices, those that the smplx library picks for points of the surface lie where these are.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posepile.miniature.skeleton import FIXED_TO, REST, TURNING

_BODY = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def _hand(wrist: int, first: int) -> list[int]:
    return [p for f in range(5) for p in (wrist, first + 3 * f, first + 3 * f + 1)]


_PARENTS = {
    "smpl": [*_BODY, 20, 21],
    "smplh": _BODY + _hand(20, 22) + _hand(21, 37),
    "smplx": [*_BODY, 15, 15, 15, *_hand(20, 25), *_hand(21, 40)],
}
_FINGERS = [
    f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)
]
_HANDS = [side + joint for side in "lr" for joint in _FINGERS]
# Joint names in the order of each model, after those of the studio's skeleton.
JOINT_NAMES = {
    "smpl": TURNING,
    "smplh": TURNING[:22] + _HANDS,
    "smplx": [*TURNING[:22], "jaw", "leyehf", "reyehf", *_HANDS],
}
# Rows of the regressor for the joints of Human3.6M, as published: left before right.
_H36M = (
    "pelv lhip lkne lank rhip rkne rank spin neck nose htop lsho lelb lwri rsho relb rwri".split()
)
# Landmarks of the face, which follow these.
LANDMARK_NAMES = (
    "reyebrow1 reyebrow2 reyebrow3 reyebrow4 reyebrow5 leyebrow5 leyebrow4 leyebrow3 leyebrow2 "
    "leyebrow1 nose1 nose2 nose3 nose4 rnose2 rnose1 nosemiddle lnose1 lnose2 reye1 reye2 reye3 "
    "reye4 reye5 reye6 leye4 leye3 leye2 leye1 leye6 leye5 rmouth1 rmouth2 rmouth3 mouthtop "
    "lmouth3 lmouth2 lmouth1 lmouth5 lmouth4 mouthbottom rmouth4 rmouth5 rlip1 rlip2 toplip llip2 "
    "llip1 llip3 bottomlip rlip3"
).split()
_FACE_HEIGHTS = {"eyebrow": 0.73, "nose": 0.66, "eye": 0.70, "mouth": 0.62, "lip": 0.615}
# What the smplx library gives: points of the surface follow, and with SMPL-X some of the face.
_SURFACE = (
    "nose reye leye rear lear lto2 lto3 lhee rto2 rto3 rhee lthu lindex lmiddle lring lpinky rthu "
    "rindex rmiddle rring rpinky"
).split()
# Vertices that it picks for these points; of how many vertices; the first face of landmarks.
_PICKS = {
    "smpl": (
        *(332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787),
        *(2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133),
    ),
    "smplx": (
        *(9120, 9929, 9448, 616, 6, 5770, 5780, 8846, 8463, 8474, 8635),
        *(5361, 4933, 5058, 5169, 5286, 8079, 7669, 7794, 7905, 8022),
    ),
}
FULL_SIZE = {"smpl": 6890, "smplh": 6890, "smplh16": 6890, "smplx": 10475}
_FIRST_LANDMARK = 9200
_MIDDLE = np.array([0, -0.22, 0.02])  # where the pelvis is at rest, metres
OUTPUT_NAMES = {
    "smpl": [*JOINT_NAMES["smpl"], *_SURFACE],
    "smplx": [*JOINT_NAMES["smplx"], *_SURFACE, *["nose"] * 51],
}
# Of the model files that write_body_models writes.
SEEDS = {"neutral": 1, "male": 2, "female": 3}
_KID = np.float32(0.7)  # size of the kid template
_SHAPE_COLUMNS = {"smpl": 10, "smplh": 10, "smplh16": 16, "smplx": 20}


def make_model(
    kind: str, n_vertices: int = 330, seed: int = 0, kid: float = 0.0
) -> dict[str, np.ndarray]:
    """Makes the arrays of a model file.

    >>> model = make_model("smplx")
    >>> model["J_regressor"].shape, model["v_template"].shape
    ((55, 330), (330, 3))

    Args:
        kind: ``smpl``, ``smplh``, ``smplh16`` or ``smplx``.
        n_vertices: Number of vertices, at least the number of joints.
        seed: Skeleton, shape space and skin are drawn from it, see :data:`SEEDS`.
        kid: Share of the kid template that :func:`write_body_models` writes.

    Returns:
        Arrays by the names and shapes of the official files, not to be changed; metres.
    """
    model = dict(_make_model(kind, n_vertices, seed))
    if kid:
        small = _KID * make_model(kind, n_vertices, SEEDS["neutral"])["v_template"]
        change = small - small.mean(axis=0) - model["v_template"]
        model["v_template"] = model["v_template"] + kid * change
    return model


@functools.cache
def _make_model(kind: str, n_vertices: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    parents = _PARENTS["smplh" if kind == "smplh16" else kind]
    n_joints = len(parents)
    names = JOINT_NAMES["smplh" if kind == "smplh16" else kind]
    joints = np.array([REST[name] for name in names]) * (1 + 0.04 * (seed % 3 - 1))
    joints += rng.normal(_MIDDLE, 0.008, (n_joints, 3))
    owner = np.arange(n_vertices) % n_joints
    weights = np.zeros((n_vertices, n_joints))
    weights[np.arange(n_vertices), owner] = 0.9
    np.add.at(weights, (np.arange(n_vertices), np.maximum(np.array(parents)[owner], 0)), 0.1)
    regressor = np.zeros((n_joints, n_vertices))
    regressor[owner, np.arange(n_vertices)] = 1
    regressor /= regressor.sum(axis=1, keepdims=True)
    model = {
        "v_template": joints[owner] + rng.normal(0, 0.03, (n_vertices, 3)),
        "weights": weights,
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(n_joints)], np.uint32),
        "f": _faces(kind, n_vertices, n_joints),
        "shapedirs": rng.normal(0, 0.01, (n_vertices, 3, _SHAPE_COLUMNS[kind])),
    }
    # A large file would be mostly these: a few vertices in a hundred bend.
    bending = np.arange(n_vertices) % (1 if n_vertices < 1000 else 29) == 0
    shape = (n_vertices, 3, 9 * (n_joints - 1))
    model["posedirs"] = np.zeros(shape, np.float32)
    model["posedirs"][bending] = rng.normal(0, 1e-4, (bending.sum(), *shape[1:]))
    if kind != "smpl":
        for side in "lr":
            model[f"hands_components{side}"] = np.linalg.qr(rng.normal(size=(45, 45)))[0]
            model[f"hands_mean{side}"] = rng.normal(0, 0.1, 45)
    if kind == "smplx":
        model["lmk_faces_idx"] = np.arange(51)
        model["lmk_bary_coords"] = np.full((51, 3), 1 / 3)
        model["dynamic_lmk_faces_idx"] = np.zeros((79, 17), int)
        model["dynamic_lmk_bary_coords"] = np.full((79, 17, 3), 1 / 3)
    if n_vertices == FULL_SIZE[kind]:
        _place_surface(model, kind, 1 + 0.04 * (seed % 3 - 1))
    model = {
        k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in sorted(model.items())
    }
    for array in model.values():
        array.setflags(write=False)
    return model


def _faces(kind: str, n_vertices: int, n_joints: int) -> np.ndarray:
    """Returns triangles ``[F, 3]``: a few small ones of one joint each in a whole SMPL."""
    step, every = (n_joints, 7) if (kind, n_vertices) == ("smpl", FULL_SIZE["smpl"]) else (1, 1)
    first = np.arange(0, n_vertices - 2 * step, every)
    return np.stack([first, first + step, first + 2 * step], axis=1).astype(np.uint32)


def _place_surface(model: dict[str, np.ndarray], kind: str, scale: float) -> None:
    """Puts the vertices that are picked where they belong, fixed to the joint next to them."""
    places = _places(kind)
    if kind == "smplx":
        model["lmk_faces_idx"] = _FIRST_LANDMARK + 3 * np.arange(51)
    names = JOINT_NAMES["smplh" if kind == "smplh16" else kind]
    picked = list(places)
    model["J_regressor"][:, picked] = model["weights"][picked] = 0
    model["J_regressor"] /= model["J_regressor"].sum(axis=1, keepdims=True)
    for vertex, name in places.items():
        tip = name[1:].replace("thu", "thumb") if name[-3:] != "hee" else ""
        if f"{name[0]}{tip}3" in names:
            holder, at = f"{name[0]}{tip}3", REST[f"{name[0]}{tip}4"]
        elif name in REST:
            holder, at = FIXED_TO[name], REST[name]
        else:
            holder, at = "head", _on_face(name)
        holder = holder if holder in names else name[0] + "wri"
        model["weights"][vertex, names.index(holder)] = 1
        model["v_template"][vertex] = at * scale + _MIDDLE


def _places(kind: str) -> dict[int, str]:
    """Returns which point of the surface each vertex is that has a place."""
    if kind != "smplx":
        return dict(zip(_PICKS["smpl"], _SURFACE, strict=True))
    corners = range(_FIRST_LANDMARK, _FIRST_LANDMARK + 3 * 51)
    places = dict(zip(_PICKS["smplx"], _SURFACE, strict=True))
    return places | dict(zip(corners, np.repeat(LANDMARK_NAMES, 3).tolist(), strict=True))


def _on_face(name: str) -> np.ndarray:
    """Returns about where a landmark is: the larger its number, the farther from the middle."""
    height = next(y for part, y in _FACE_HEIGHTS.items() if part in name)
    side = {"l": 1, "r": -1}.get(name[0], 0) * name[-1].isdigit()
    number = int(name[-1]) if name[-1].isdigit() else 0
    return np.array([side * (0.008 + 0.007 * number), height, 0.10])


def output_points(
    model: dict[str, np.ndarray], joints: np.ndarray, vertices: np.ndarray
) -> np.ndarray:
    """Returns what the smplx library gives for a posed body of full size: ``[127, 3]`` (SMPL-X).

    Joints are followed by points of the surface and, with SMPL-X, landmarks of the face.

    >>> model = make_model("smpl", FULL_SIZE["smpl"])
    >>> output_points(model, np.zeros((24, 3)), model["v_template"]).shape
    (45, 3)

    Args:
        model: As :func:`make_model` gives it.
        joints: ``[J, 3]``.
        vertices: ``[V, 3]``.
    """
    kind = "smplx" if len(joints) == 55 else "smpl"
    points = [joints, vertices[list(_PICKS[kind])]]
    if kind == "smplx":
        corners = vertices[model["f"][model["lmk_faces_idx"]]]
        points.append(np.einsum("lc,lca->la", model["lmk_bary_coords"], corners))
    return np.concatenate(points)


def make_regressor(
    kind: str, names: Sequence[str], n_vertices: int = 330, seed: int = 0
) -> np.ndarray:
    """Returns a regressor ``[len(names), V]``: random weights on the vertices of each joint.

    Rows sum to 1, float32.

    >>> make_regressor("smpl", ["pelv", "lhip"]).shape
    (2, 330)

    Args:
        kind: As of :func:`make_model`.
        names: Of joints of the model; others are taken for what they hang on.
        n_vertices: As there.
        seed: Of the weights.
    """
    own = JOINT_NAMES["smplh" if kind == "smplh16" else kind]
    joints = [own.index(name if name in own else FIXED_TO[name]) for name in names]
    weights = np.random.default_rng(seed).uniform(0.5, 1, (len(names), n_vertices))
    weights *= np.arange(n_vertices) % len(own) == np.array(joints)[:, None]
    if n_vertices == FULL_SIZE[kind]:
        weights[:, list(_places(kind))] = 0
    return np.float32(weights / weights.sum(axis=1, keepdims=True))


def make_transfer(n_smpl: int = 330, n_smplx: int = 10475) -> np.ndarray:
    """Returns the matrix ``[n_smpl, n_smplx]`` that turns an SMPL-X mesh into one of SMPL.

    Each vertex becomes the mean of a few that belong to the same joint; float32.

    >>> make_transfer(24, 330).sum(axis=1).round(3).tolist() == [1.0] * 24
    True
    """
    names = [*TURNING[:22], "lmiddle1", "rmiddle1"]
    rows = make_regressor("smplx", names, n_smplx)
    rng, matrix = np.random.default_rng(4), np.zeros((n_smpl, n_smplx), np.float32)
    for i in range(n_smpl):
        there = np.flatnonzero(rows[i % 24])
        matrix[i, rng.choice(there, min(3, len(there)), replace=False)] = 1
    return matrix / matrix.sum(axis=1, keepdims=True)


def whole_pose(
    model: dict[str, np.ndarray], pose: np.ndarray, hands: np.ndarray | None = None
) -> np.ndarray:
    """Returns a pose ``[J, 3]`` with the model's mean hands added, which are its last 30 joints.

    >>> model = make_model("smplx")
    >>> bool((whole_pose(model, np.zeros((55, 3)))[25:40].ravel() == model["hands_meanl"]).all())
    True

    Args:
        model: As :func:`make_model` gives it.
        pose: Relative to the mean hands.
        hands: How much of the model's first hand components is added, ``[2, n]``, left and right.
    """
    whole = np.array(pose, float)
    whole[-30:] += np.reshape([model["hands_meanl"], model["hands_meanr"]], (30, 3))
    for k, numbers in enumerate([] if hands is None else hands):
        components = model[f"hands_components{'lr'[k]}"][: len(numbers)]
        whole[15 * k - 30 :][:15] += (numbers @ components).reshape(15, 3)
    return whole


def smplx_fit(
    pose: np.ndarray, betas: np.ndarray, transl: np.ndarray, expression: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Returns a fit of SMPL-X as the smplx library names its parts: float32 ``[1, n]`` each.

    >>> smplx_fit(np.zeros((55, 3)), np.zeros(10), np.zeros(3))["left_hand_pose"].shape
    (1, 45)

    Args:
        pose: ``[55, 3]`` axis-angle.
        betas: Shape.
        transl: Added after posing, metres.
        expression: None: zeros.
    """
    parts = "global_orient body_pose jaw_pose leye_pose reye_pose left_hand_pose right_hand_pose"
    fit = dict(zip(parts.split(), np.split(pose, [1, 22, 23, 24, 25, 40]), strict=True))
    fit |= {"betas": betas, "transl": transl}
    fit["expression"] = np.zeros(10) if expression is None else expression
    return {
        key: np.ascontiguousarray(value, np.float32).reshape(1, -1) for key, value in fit.items()
    }


def write_body_models(root: Path, kinds: tuple[str, ...], n_vertices: int = 330) -> None:
    """Writes model files of the given kinds, all genders, below ``root`` in smplfitter's layout.

    SMPL comes with ``J_regressor_h36m.npy``, the regressor of evaluations.

    >>> write_body_models(folder, ("smpl", "smplx"))
    >>> sorted(path.name for path in folder.iterdir())
    ['smpl', 'smplx']

    Args:
        root: The folder that will hold ``smpl/``, ``smplh/``, ``smplh16/``, ``smplx/``.
        kinds: Which of those.
        n_vertices: As in :func:`make_model`.
    """
    for kind in kinds:
        folder = Path(root) / kind
        folder.mkdir(parents=True, exist_ok=True)
        for gender, seed in SEEDS.items():
            model = make_model(kind, n_vertices, seed)
            if kind == "smplh16":
                (folder / gender).mkdir(exist_ok=True)
                np.savez(folder / gender / "model.npz", **model)
            elif kind == "smplx":
                save = np.savez if n_vertices < 1000 else np.savez_compressed
                save(folder / f"SMPLX_{gender.upper()}.npz", **model)
            elif kind == "smplh":
                if gender != "neutral":  # the 10-beta release has none
                    _dump(folder / f"SMPLH_{gender}.pkl", model)
            else:
                letter = gender if gender == "neutral" else gender[0]
                _dump(folder / f"basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl", model)
            if gender == "neutral":
                np.save(folder / "kid_template.npy", model["v_template"] * _KID)
        if kind == "smpl":
            regressor = make_regressor(kind, _H36M, n_vertices, seed=36)
            np.save(folder / "J_regressor_h36m.npy", regressor)


def _dump(path: Path, model: dict) -> None:
    from scipy.sparse import csc_matrix

    path.write_bytes(
        pickle.dumps({**model, "J_regressor": csc_matrix(model["J_regressor"])}, protocol=2)
    )
