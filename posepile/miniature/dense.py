"""DensePose: a tiny template of charts, and points that are labelled on people's bodies.

The template has two parts of four faces each around a middle vertex, with all its numbers from 1;
the two vertices along the cut between them are there twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posepile.miniature.photos import encode_mask
from posepile.miniature.writers import write_mat

TORSO, ARM = 2, 15  # the parts
# U and V of each chart vertex; the fourth and fifth of a part are its lower right and middle.
_UV = {
    TORSO: [(0.1, 0.15), (0.8, 0.1), (0.85, 0.7), (0.2, 0.75), (0.5, 0.4)],
    ARM: [(0.05, 0.2), (0.9, 0.25), (0.7, 0.9), (0.1, 0.8), (0.4, 0.6)],
}
# Vertices of SMPL, from 1. The torso's second and third are the arm's first and fourth.
_VERTICES = {TORSO: [3071, 1812, 644, 1, 1306], ARM: [1812, 6890, 5343, 644, 4120]}
_FACES = np.array([(0, 1, 4), (2, 4, 1), (4, 2, 3), (3, 0, 4)])  # of both parts
# Part, face and weights of its corners; U and V in no face, and the chart vertex nearest to them.
_INSIDE = (
    (TORSO, 0, (0.2, 0.3, 0.5)),
    (TORSO, 2, (0.5, 0.125, 0.375)),
    (TORSO, 1, (0.6, 0.0, 0.4)),  # on the cut
    (ARM, 3, (0.25, 0.75, 0.0)),  # on the cut, seen from the other side
    (ARM, 1, (0.1, 0.7, 0.2)),
)
_OUTSIDE = ((ARM, (0.97, 0.1), 1), (TORSO, (0.9, 0.95), 2))
N_POINTS = len(_INSIDE) + len(_OUTSIDE)


def write_charts(path: Path) -> None:
    """Writes the template as ``UV_Processed.mat`` holds it.

    >>> from posepile.formats.matlab_files import read_mat
    >>> write_charts(folder / "UV_Processed.mat")
    >>> read_mat(folder / "UV_Processed.mat")["All_Faces"].shape
    (8, 3)
    """
    uv = np.array([*_UV[TORSO], *_UV[ARM]])
    faces = np.concatenate([_FACES, _FACES + len(_UV[TORSO])]) + 1
    content = {
        "All_FaceIndices": np.repeat(np.uint8([TORSO, ARM]), len(_FACES))[:, None],
        "All_Faces": faces.astype(np.uint32),
        "All_U_norm": uv[:, :1],
        "All_V_norm": uv[:, 1:],
        "All_U": 3 * uv[:, :1] - 1,
        "All_V": 2 * uv[:, 1:] - 1,
        "All_vertices": np.uint32([[*_VERTICES[TORSO], *_VERTICES[ARM]]]),
    }
    write_mat(path, content)


def label_points(
    points: np.ndarray, box: Sequence[float]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the ``dp_`` fields of an annotation, and what they are.

    >>> fields, truth = label_points(np.full((17, 2), 40.0), (10.5, 20, 51, 51))
    >>> fields["dp_x"][0], fields["dp_I"][0], sorted(truth[0]["weights"])
    (147.5, 2.0, [1305, 1811, 3070])

    Args:
        points: ``[n, 2]`` pixels on the body, of which the first :data:`N_POINTS` are labelled.
        box: x, y, width, height of the annotation, within which positions are told.

    Returns:
        The fields; and of each point its pixels ``at``, ``part``, ``uv``, whether it lies
        ``inside`` a face, and ``weights``: vertex of SMPL (from 0) -> weight.
    """
    spots = []
    for part, face, weights in _INSIDE:
        uv = np.array(weights) @ np.array(_UV[part])[_FACES[face]]
        spots.append((part, uv, True, dict(zip(_FACES[face].tolist(), weights, strict=True))))
    spots += [(part, np.array(uv), False, {node: 1.0}) for part, uv, node in _OUTSIDE]
    truth = [
        {
            "at": at.tolist(),
            "part": part,
            "uv": uv.tolist(),
            "inside": inside,
            "weights": {_VERTICES[part][node] - 1: w for node, w in weights.items() if w},
        }
        for at, (part, uv, inside, weights) in zip(points[:N_POINTS], spots, strict=True)
    ]
    xy = (np.array([spot["at"] for spot in truth]) - box[:2]) / box[2:] * 255
    rows = [[*at, float(s["part"]), *s["uv"]] for at, s in zip(xy.tolist(), truth, strict=True)]
    columns = map(list, zip(*rows, strict=True))
    fields = dict(zip(("dp_x", "dp_y", "dp_I", "dp_U", "dp_V"), columns, strict=True))
    return fields | {"dp_masks": _coarse_masks()}, truth


def _coarse_masks() -> list[dict | list]:
    """Masks of the 14 coarse parts within the box; most of them were not drawn."""
    torso = np.zeros((256, 256), bool)
    torso[80:150, 90:170] = True
    return [encode_mask(torso, "compressed"), *([] for _ in range(13))]
