"""What several reference evaluators share: Procrustes, thresholds, angles, body models.

Nothing of the package is imported. Loops are plain and slow.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np


def distance(a, b) -> float:
    """Returns the Euclidean distance of two points."""
    return math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))


def distances(a, b) -> np.ndarray:
    """Returns the distances of corresponding points of two arrays ``[J, 3]``."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.sqrt(((a - b) ** 2).sum(axis=-1))


def similarity(moving, fixed, scale: bool = True) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns s, R, t that bring ``s R x + t`` closest to ``fixed``; no reflection."""
    moving, fixed = np.asarray(moving, np.float64), np.asarray(fixed, np.float64)
    center_m, center_f = moving.mean(axis=0), fixed.mean(axis=0)
    m, f = moving - center_m, fixed - center_f
    u, singular, vh = np.linalg.svd(m.T @ f)
    sign = np.array([1.0, 1.0, -1.0 if np.linalg.det(u @ vh) < 0 else 1.0])
    rotation = vh.T @ np.diag(sign) @ u.T
    spread = (m**2).sum()
    s = 1.0
    if scale:  # a prediction without extent becomes the centre of the truth
        s = float((singular * sign).sum() / spread) if spread > 0 else 0.0
    return s, rotation, center_f - s * rotation @ center_m


def procrustes(moving, fixed, scale: bool = True) -> np.ndarray:
    """Returns ``moving`` brought closest to ``fixed``."""
    return transform(moving, similarity(moving, fixed, scale))


def transform(points, fit) -> np.ndarray:
    """Returns ``s R x + t`` of every point."""
    s, rotation, t = fit
    return np.array([s * (rotation @ point) + t for point in np.asarray(points, np.float64)])


def share_below(errors, threshold: float) -> float:
    """Returns the share of errors that are less than a threshold; NaN is not less."""
    errors = list(np.ravel(errors))
    return sum(1 for e in errors if e < threshold) / len(errors) if errors else math.nan


def share_up_to(errors, threshold: float) -> float:
    """Returns the share of errors that are at most a threshold; NaN is not."""
    errors = list(np.ravel(errors))
    return sum(1 for e in errors if e <= threshold) / len(errors) if errors else math.nan


def auc_150(errors) -> float:
    """Returns the mean share below 0, 5, ..., 150 mm: 31 thresholds, of which 0 counts nothing."""
    return sum(share_below(errors, 5 * k) for k in range(31)) / 31


def auc_50_bins(errors) -> float:
    """Returns PosePile's mean of max(0, 1 - (floor(d / 199 * 50) + 0.5) / 50)."""
    terms = [max(0.0, 1 - (math.floor(d / 199 * 50) + 0.5) / 50) for d in np.ravel(errors)]
    return sum(terms) / len(terms)


def angle(a, b) -> float:
    """Returns the angle in degrees of the rotation between two rotation matrices."""
    from scipy.spatial.transform import Rotation

    return math.degrees(Rotation.from_matrix(np.asarray(a) @ np.asarray(b).T).magnitude())


def third_differences(points) -> list[np.ndarray]:
    """Returns x[i+3] - 3 x[i+2] + 3 x[i+1] - x[i] for every i."""
    return [
        points[i + 3] - 3 * points[i + 2] + 3 * points[i + 1] - points[i]
        for i in range(len(points) - 3)
    ]


def load_pickle(path: Path):
    """Returns the content of a pickle that Python 2 may have written."""
    with open(path, "rb") as f:
        return pickle.load(f, encoding="latin1")


def dump_pickle(path: Path, content) -> None:
    """Writes a pickle, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def find_body_models(root: Path) -> Path:
    """Returns the folder ``body_models`` in the dataset's folder or beside it."""
    for folder in (Path(root) / "body_models", Path(root).parent / "body_models"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"no body_models in or beside {root}")


def regressor_h36m(root: Path) -> np.ndarray:
    """Returns the regressor ``[17, V]`` of the H36M joints."""
    folder = find_body_models(root)
    for path in (folder / "J_regressor_h36m.npy", folder / "smpl" / "J_regressor_h36m.npy"):
        if path.exists():
            return np.load(path).astype(np.float64)
    raise FileNotFoundError(f"no J_regressor_h36m.npy in {folder}")


class Smpl:
    """SMPL models of all genders, posed frame by frame (smplfitter: float32)."""

    def __init__(self, root: Path, vertices: list[int] | None = None):
        self.folder, self.models = find_body_models(root) / "smpl", {}
        self.vertices = vertices  # None: all

    def pose(self, gender: str, pose=None, betas=None, trans=None, rotations=None):
        """Returns vertices, joints and global rotations of one body, metres.

        Args:
            gender: First letter m, f or n.
            pose: ``[72]`` axis-angle, or None where ``rotations`` is given.
            betas: ``[10]``.
            trans: ``[3]``.
            rotations: ``[24, 3, 3]`` relative to the parent.
        """
        from smplfitter.np import BodyModel

        name = {"m": "male", "f": "female", "n": "neutral"}[gender[0].lower()]
        if name not in self.models:
            chosen = {} if self.vertices is None else {"vertex_subset": np.array(self.vertices)}
            self.models[name] = BodyModel("smpl", name, model_root=str(self.folder), **chosen)
        given = {"shape_betas": np.asarray(betas, np.float32)[None]}
        given["trans"] = np.asarray(trans, np.float32)[None]
        if rotations is None:
            given["pose_rotvecs"] = np.asarray(pose, np.float32)[None]
        else:
            given["rel_rotmats"] = np.asarray(rotations, np.float32)[None]
        out = self.models[name](**given)
        return tuple(out[k][0].astype(np.float64) for k in ("vertices", "joints", "orientations"))
