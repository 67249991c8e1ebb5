"""Tiny made-up body-model files in the official layouts, for tests and miniatures.

The real files are licensed. These have the same keys, array layouts and kinematic trees with a few
hundred vertices, the proportions of the studio's actor (other ones for each gender, so that a
mix-up shows), non-zero hand means and small pose blend shapes.
"""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np

from posepile.miniature.skeleton import REST, TURNING

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
# What the smplx library gives: points of the surface follow, and with SMPL-X some of the face.
_SURFACE = (
    "nose reye leye rear lear lto2 lto3 lhee rto2 rto3 rhee lthu lindex lmiddle lring lpinky rthu "
    "rindex rmiddle rring rpinky"
).split()
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
    joints += rng.normal((0, -0.22, 0.02), 0.008, (n_joints, 3))
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
        "f": np.stack([np.arange(n_vertices - 2) + k for k in range(3)], 1).astype(np.uint32),
        "shapedirs": rng.normal(0, 0.01, (n_vertices, 3, _SHAPE_COLUMNS[kind])),
        "posedirs": rng.normal(0, 1e-4, (n_vertices, 3, 9 * (n_joints - 1))),
    }
    if kind != "smpl":
        for side in "lr":
            model[f"hands_components{side}"] = np.linalg.qr(rng.normal(size=(45, 45)))[0]
            model[f"hands_mean{side}"] = rng.normal(0, 0.1, 45)
    if kind == "smplx":
        model["lmk_faces_idx"] = np.arange(51)
        model["lmk_bary_coords"] = np.full((51, 3), 1 / 3)
        model["dynamic_lmk_faces_idx"] = np.zeros((79, 17), int)
        model["dynamic_lmk_bary_coords"] = np.full((79, 17, 3), 1 / 3)
    model = {
        k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in sorted(model.items())
    }
    for array in model.values():
        array.setflags(write=False)
    return model


def whole_pose(model: dict[str, np.ndarray], pose: np.ndarray) -> np.ndarray:
    """Returns a pose ``[J, 3]`` with the model's mean hands added, which are its last 30 joints.

    >>> model = make_model("smplx")
    >>> bool((whole_pose(model, np.zeros((55, 3)))[25:40].ravel() == model["hands_meanl"]).all())
    True
    """
    whole = np.array(pose, float)
    whole[-30:] += np.reshape([model["hands_meanl"], model["hands_meanr"]], (30, 3))
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
                np.savez(folder / f"SMPLX_{gender.upper()}.npz", **model)
            elif kind == "smplh":
                if gender != "neutral":  # the 10-beta release has none
                    _dump(folder / f"SMPLH_{gender}.pkl", model)
            else:
                letter = gender if gender == "neutral" else gender[0]
                _dump(folder / f"basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl", model)
            if gender == "neutral":
                np.save(folder / "kid_template.npy", model["v_template"] * _KID)


def _dump(path: Path, model: dict) -> None:
    from scipy.sparse import csc_matrix

    path.write_bytes(
        pickle.dumps({**model, "J_regressor": csc_matrix(model["J_regressor"])}, protocol=2)
    )
