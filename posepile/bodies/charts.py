"""The charts of DensePose: part, U and V of a point of the surface, as vertices of SMPL.

The template cuts the surface into 24 parts and lays each flat in its own unit square. Along a cut
the same vertex of SMPL appears once per part that it borders. The template's faces are not those
of SMPL in number or order, so that a point is three vertices and their weights, never the number
of a face.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.formats.matlab_files import read_mat
from posepile.formats.schema import Array

N_PARTS = 24
N_SMPL = 6890
_SCHEMA = {
    "All_FaceIndices": Array("F", dtype=np.int64),
    "All_Faces": Array("F", 3, dtype=np.int64),
    "All_U_norm": Array("C", dtype=np.float64),
    "All_V_norm": Array("C", dtype=np.float64),
    "All_vertices": Array("C", dtype=np.int64),
}
_HINT = "it comes with densepose_uv_data.tar.gz"
_OUTSIDE = -1e-9  # a weight down to this is one of rounding
_NO_AREA = 1e-12  # of a face, in U and V
_AT_ONCE = 1 << 21  # points times faces


@dataclass(frozen=True, eq=False)
class Charts:
    """The template.

    Attributes:
        parts: Part of each face, 1 to 24, ``[F]``.
        faces: Chart vertices of each face, from 0, ``[F, 3]``.
        uv: U and V of each chart vertex, float64 ``[C, 2]``.
        vertices: Vertex of SMPL of each chart vertex, from 0, ``[C]``.
    """

    parts: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    vertices: np.ndarray

    def on_surface(
        self, parts: np.ndarray, uv: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns where points of the charts lie on SMPL.

        A point in no face of its part is taken to the part's nearest chart vertex.

        >>> uv = np.array([[0, 0], [1, 0], [0, 1.0]])
        >>> charts = Charts(np.array([2]), np.array([[0, 1, 2]]), uv, np.array([70, 80, 90]))
        >>> corners, weights, inside = charts.on_surface([2, 2], [[0.5, 0.25], [1, 0.75]])
        >>> corners[0], weights, inside
        (array([70, 80, 90], dtype=uint16), array([[0.25, 0.5 , 0.25],
               [0.  , 1.  , 0.  ]]), array([ True, False]))

        Args:
            parts: Part of each point, ``[n]``.
            uv: Its U and V, ``[n, 2]``.

        Returns:
            Three vertices of SMPL each, uint16 ``[n, 3]``; their weights, float64 ``[n, 3]``, none
            negative, with sum 1; whether the point lies in a face, bool ``[n]``.

        Raises:
            ValueError: The template has no such part.
        """
        parts, uv = np.asarray(parts), np.asarray(uv, np.float64).reshape(-1, 2)
        faces = np.zeros(len(parts), np.int64)
        weights, inside = np.zeros((len(parts), 3)), np.zeros(len(parts), bool)
        for part in np.unique(parts):
            if part not in self._by_part:
                raise ValueError(f"no part {part} in the template")
            (where,), n_faces = np.nonzero(parts == part), len(self._by_part[part])
            for some in np.array_split(where, 1 + len(where) * n_faces // _AT_ONCE):
                faces[some], weights[some], inside[some] = self._locate(int(part), uv[some])
        return self.vertices[self.faces[faces]].astype(np.uint16), weights, inside

    def on_chart(self, part: int, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Returns U and V of points of SMPL's surface that lie in a part, float64 ``[n, 2]``.

        >>> uv = np.array([[0, 0], [1, 0], [0, 1.0]])
        >>> charts = Charts(np.array([2]), np.array([[0, 1, 2]]), uv, np.array([70, 80, 90]))
        >>> charts.on_chart(2, [[90, 70, 80]], [[0.25, 0.25, 0.5]])
        array([[0.5 , 0.25]])

        Args:
            part: The part.
            corners: Vertices of SMPL, ``[n, 3]``.
            weights: Their weights, ``[n, 3]``.

        Raises:
            ValueError: No face of the part has these vertices.
        """
        faces = self.faces[self._by_part.get(part, [])]
        known = {tuple(sorted(v)): f for v, f in zip(self.vertices[faces], faces, strict=True)}
        found = np.zeros((len(corners), 2))
        for i, (own, weight) in enumerate(zip(np.asarray(corners), weights, strict=True)):
            face = known.get(tuple(sorted(own)))
            if face is None:
                raise ValueError(f"part {part} has no face of the vertices {own.tolist()}")
            order = [self.vertices[face].tolist().index(v) for v in own]
            found[i] = np.asarray(weight) @ self.uv[face[order]]
        return found

    @cached_property
    def _by_part(self) -> dict[int, np.ndarray]:
        """Part -> its faces."""
        return {int(part): np.flatnonzero(self.parts == part) for part in np.unique(self.parts)}

    @cached_property
    def _inverses(self) -> np.ndarray:
        """What makes the weights of a face's second and third corner of U and V from its first.

        ``[F, 2, 2]``; NaN where the face has no area, so that nothing lies in it.
        """
        first, second, third = np.moveaxis(self.uv[self.faces], 1, 0)
        (a, c), (b, d) = (second - first).T, (third - first).T
        area = a * d - b * c
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inverse = np.array([[d, -b], [-c, a]]) / area
        return np.moveaxis(np.where(np.abs(area) < _NO_AREA, np.nan, inverse), -1, 0)

    @cached_property
    def _weighing(self) -> dict[int, np.ndarray]:
        """Part -> what makes weights in each of its faces of U, V and 1, ``[3, 3 * faces]``."""
        first = self.uv[self.faces[:, 0]]
        rest = np.concatenate(
            [self._inverses, -np.einsum("fij,fj->fi", self._inverses, first)[..., None]], axis=2
        )
        whole = np.concatenate([[0, 0, 1] - rest.sum(axis=1, keepdims=True), rest], axis=1)
        return {
            part: np.moveaxis(whole[own], 2, 0).reshape(3, -1)
            for part, own in self._by_part.items()
        }

    def _locate(self, part: int, uv: np.ndarray) -> tuple:
        """Face, weights and whether it lies inside, of points of a part."""
        own = self._by_part[part]
        corners = self.faces[own]
        weights = np.c_[uv, np.ones(len(uv))] @ self._weighing[part]
        least = weights.reshape(len(uv), -1, 3).min(axis=-1)
        best = np.where(np.isnan(least), -np.inf, least).argmax(axis=1)
        # Once more from the corner of the one face: differences do not lose digits.
        rest = np.einsum("nij,nj->ni", self._inverses[own[best]], uv - self.uv[corners[best, 0]])
        chosen = np.c_[1 - rest.sum(axis=1), rest]
        inside = chosen.min(axis=1) >= _OUTSIDE
        chosen = np.maximum(chosen, 0)
        # Each chart vertex of the part once, with the first face and corner that has it.
        nodes, at = np.unique(corners, return_index=True)
        away = uv[~inside, None] - self.uv[nodes]
        nearest = at[np.einsum("nci,nci->nc", away, away).argmin(axis=1)]
        best[~inside], chosen[~inside] = nearest // 3, np.eye(3)[nearest % 3]
        return own[best], chosen / chosen.sum(axis=1, keepdims=True), inside


def read_charts(path: str | os.PathLike) -> Charts:
    """Returns the template of ``UV_Processed.mat``; the file is read once.

    >>> from scipy.io import savemat
    >>> content = {"All_FaceIndices": [[1], [1]], "All_Faces": [[1, 2, 3], [2, 3, 4]]}
    >>> content |= {"All_U_norm": [[0], [1], [0], [1]], "All_V_norm": [[0], [0], [1], [1]]}
    >>> savemat(folder / "UV_Processed.mat", content | {"All_vertices": [[10, 20, 30, 40]]})
    >>> read_charts(folder / "UV_Processed.mat").vertices
    array([ 9, 19, 29, 39])

    Args:
        path: The file, in which faces, vertices and parts count from 1.

    Raises:
        CorruptInput: Missing, damaged, or no such template.
    """
    seen = os.stat(path) if os.path.isfile(path) else None
    return _read_charts(Path(path), seen and (seen.st_size, seen.st_mtime_ns))


@lru_cache(maxsize=2)
def _read_charts(path: Path, _seen: tuple | None) -> Charts:
    found = read_mat(path, _SCHEMA, hint=_HINT)
    faces, vertices = found["All_Faces"], found["All_vertices"]
    uv = np.stack([found["All_U_norm"], found["All_V_norm"]], axis=1)
    if not (len(faces) and len(uv) and (uv >= 0).all() and (uv <= 1).all()):
        text = "found no faces, or U and V beyond 0 to 1; expected charts in unit squares"
        raise CorruptInput(path, text, hint=_HINT)
    counted = {"All_FaceIndices": N_PARTS, "All_Faces": len(uv), "All_vertices": N_SMPL}
    for name, most in counted.items():
        low, high = found[name].min(), found[name].max()
        if low < 1 or high > most:
            text = f"{name}: found {low} to {high}; expected numbers from 1 to {most}"
            raise CorruptInput(path, text, hint=_HINT)
    return Charts(found["All_FaceIndices"], faces - 1, uv, vertices - 1)
