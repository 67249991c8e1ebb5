"""What RICH's test set tells of bodies and of contacts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from posepile.bodies import models
from posepile.ds.rich import main as rich
from posepile.errors import WorkError
from posepile.evaluation import meshes
from posepile.evaluation.benchmark import Clip
from posepile.formats.arrays import read_npy
from posepile.formats.opencv_files import read_opencv_xml
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array
from posepile.formats.text_files import read_csv
from posepile.metrics import contact_distances, contact_scores

GEODESIC = "smpl/smpl_neutral_geodesic_dist.npy"  # metres, if it is there
META = {"sequence_name": str, "view_id": str}


def contact_clip(name: str, files: list[Path], n_vertices: int) -> Clip:
    """Returns the contacts of a recording, bool ``[n, n_vertices]``: a file per frame, person."""
    keys = [f"test/{name}/{file.parent.name}/{file.stem}" for file in files]
    rows = [read_pickle(file, {"contact": Array(n_vertices)})["contact"] for file in files]
    contact = np.reshape(rows, (-1, n_vertices)) > 0.5
    return Clip(name, keys, {"contact": contact}, {"scene": [scene_of(name)] * len(keys)})


def body_clips(root: Path, name: str, files: list[Path]) -> Iterator[Clip]:
    """Yields SMPL meshes of a recording by person and view, ``[n, V, 3]`` mm, camera's frame."""
    poses = camera_poses(root, name)
    for subject in sorted({file.stem for file in files}):
        own = [file for file in files if file.stem == subject]
        who = rich.model_of(root / "resource/gender.json", subject, models.models_below(root))
        vertices, frames = meshes.smpl_of_fits(own, who, root), [file.parent.name for file in own]
        for view, (turn, move) in poses.items():
            keys = [
                f"{rich.SPEC.image_dir}/test/{name}/cam_{view}/{frame}_{view}_{subject}.jpg"
                for frame in frames
            ]
            true = {"vertices": vertices @ turn.T + move, "frames": np.array(frames, np.int64)}
            groups = {"scene": [scene_of(name)] * len(keys)}
            yield Clip(f"{name}/cam_{view}/{subject}", keys, true, groups)


def camera_poses(root: Path, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns view -> rotation and translation (mm), world to camera, of the meta file's views."""
    rows = read_csv(root / "resource/meta/test.txt", META, separator="\t")
    views = [row["view_id"] for row in rows if row["sequence_name"] == name]
    poses = {}
    for view in views[0].split(",") if views else []:
        folder = rich.find(root, f"scan_calibration/{scene_of(name)}")
        file = folder / f"calibration/{int(view):03d}.xml"
        pose = read_opencv_xml(file, rich.CAMERA)["CameraMatrix"].reshape(3, 4)
        poses[f"{int(view):02d}"] = pose[:, :3], 1000 * pose[:, 3]
    return poses


def scene_of(name: str) -> str:
    """Returns the scene of a recording."""
    return name.partition("_")[0]


def contact_figures(root: Path, pred: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Returns precision, recall, F1 and, where the distances are at hand, the geodesic error.

    Each ``[n]``, of probabilities of contact ``[n, V]`` and whether there is one, bool ``[n, V]``.
    """
    scores, n = contact_scores(pred, true, epsilon=1e-10), true.shape[1]
    figures = {"precision": scores.precision, "recall": scores.recall, "F1": scores.f1}
    try:
        place = meshes.model_file(GEODESIC, root)
    except WorkError:
        return figures | {"geodesic_cm": np.full(len(pred), np.nan)}
    return figures | {"geodesic_cm": 100 * contact_distances(pred, true, _distances(place, n))}


@cache
def _distances(place: Path, n: int) -> np.ndarray:
    """Distances of vertices ``[n, n]`` in metres: 190 MB, so that they are read once."""
    return read_npy(place, Array(n, n, dtype=np.float32))
