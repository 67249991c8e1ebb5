"""Charts of the surface: part, U and V to vertices of SMPL and their weights, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from posepile.bodies.charts import Charts, read_charts
from posepile.errors import CorruptInput


def make_charts(seed: int, side: int = 5) -> Charts:
    """Two parts, each a grid of warped squares; their last columns are one seam."""
    rng = np.random.default_rng(seed)
    at = np.arange(side * side).reshape(side, side)
    squares = [at[:-1, :-1], at[1:, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:], at[:-1, 1:]]
    faces = np.stack([corner.ravel() for corner in squares], axis=1).reshape(-1, 3)
    # Corners in every order, as in the real file: the first is not the same one throughout.
    faces = np.stack([np.roll(face, rng.integers(3)) for face in faces])
    grid = np.stack(np.meshgrid(*[np.linspace(0.1, 0.9, side)] * 2), axis=-1).reshape(-1, 2)
    uv = np.concatenate([grid + rng.uniform(-0.05, 0.05, grid.shape) for _ in range(2)])
    vertices = rng.permutation(6890)[: len(uv)]
    vertices[side * side + at[:, -1]] = vertices[at[:, -1]]
    return Charts(np.repeat([1, 24], len(faces)), np.r_[faces, faces + side * side], uv, vertices)


def write(path, charts, **changed):
    """Writes charts as the official file has them: columns, one row, numbers from 1."""
    content = {
        "All_FaceIndices": charts.parts[:, None].astype(np.uint8),
        "All_Faces": (charts.faces + 1).astype(np.uint32),
        "All_U_norm": charts.uv[:, :1],
        "All_V_norm": charts.uv[:, 1:],
        "All_vertices": (charts.vertices + 1).astype(np.uint32)[None],
    }
    savemat(path, content | changed)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), part=st.sampled_from([1, 24]))
def test_points_in_faces_come_back(seed, part):
    charts, rng = make_charts(seed), np.random.default_rng(seed)
    faces = charts.faces[rng.choice(np.flatnonzero(charts.parts == part), 50)]
    weights = rng.dirichlet([0.5] * 3, 50)  # many near edges and corners
    uv = np.einsum("nc,nca->na", weights, charts.uv[faces])
    corners, found, inside = charts.on_surface(np.full(50, part), uv)
    assert inside.all()
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(charts.on_chart(part, corners, found), uv, atol=1e-9)
    deep = weights.min(axis=1) > 1e-6  # others may be in the face beside it as well
    assert (np.sort(corners[deep]) == np.sort(charts.vertices[faces[deep]])).all()


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_points_outside_go_to_the_nearest_vertex_of_their_part(seed):
    charts, rng = make_charts(seed), np.random.default_rng(seed)
    uv, parts = rng.uniform(0, 1, (200, 2)), rng.choice([1, 24], 200)
    corners, weights, inside = charts.on_surface(parts, uv)
    assert 0 < inside.sum() < 200
    for point, part, corner, weight in zip(
        uv[~inside], parts[~inside], corners[~inside], weights[~inside], strict=True
    ):
        own = np.unique(charts.faces[charts.parts == part])
        nearest = own[np.linalg.norm(charts.uv[own] - point, axis=1).argmin()]
        assert sorted(weight) == [0, 0, 1]
        assert corner[weight.argmax()] == charts.vertices[nearest]


def test_a_seam_is_one_line_on_the_body():
    charts = make_charts(1)
    ends = np.array([4, 9])  # chart vertices of the first two on the seam, seen from part 1
    at = [[charts.uv[e + off].mean(axis=0)] for off in (0, 25) for e in [ends]]
    (a,), (wa,), _ = charts.on_surface([1], at[0])
    (b,), (wb,), _ = charts.on_surface([24], at[1])
    assert {*a[wa > 1e-6]} == {*b[wb > 1e-6]} == {*charts.vertices[ends]}


def test_a_face_without_area_holds_nothing(recwarn):
    uv = np.array([[0, 0], [0.5, 0], [1, 0], [0, 1.0]])
    charts = Charts(np.ones(2, int), np.array([[0, 1, 2], [0, 2, 3]]), uv, np.arange(4))
    corners, weights, inside = charts.on_surface([1], [[0.5, 0.0]])
    assert inside.all()
    assert sorted(corners[0]) == [0, 2, 3]
    np.testing.assert_allclose(np.sort(weights[0]), [0, 0.5, 0.5])
    assert not recwarn.list


def test_no_points_and_unknown_parts():
    charts = make_charts(0)
    corners, weights, inside = charts.on_surface(np.zeros(0), np.zeros((0, 2)))
    assert corners.shape == weights.shape == (0, 3)
    assert inside.shape == (0,)
    with pytest.raises(ValueError, match="no part 2"):
        charts.on_surface([2], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="no face of the vertices"):
        charts.on_chart(1, [[6889, 6888, 6887]], [[1, 0, 0]])


def test_the_file_counts_from_one_and_is_squeezed(tmp_path):
    charts = make_charts(3)
    write(tmp_path / "UV_Processed.mat", charts)
    found = read_charts(tmp_path / "UV_Processed.mat")
    for name in ("parts", "faces", "uv", "vertices"):
        np.testing.assert_array_equal(getattr(found, name), getattr(charts, name))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("All_Faces", make_charts(3).faces, "found 0 to 49; expected numbers from 1 to 50"),
        ("All_vertices", np.zeros((1, 50)), "found 0 to 0; expected numbers from 1 to 6890"),
        ("All_FaceIndices", np.full((64, 1), 25), "found 25 to 25; expected numbers from 1 to 24"),
        ("All_U_norm", np.full((50, 1), 230.0), "U and V beyond 0 to 1"),
        ("All_V_norm", np.zeros((49, 1)), "All_V_norm"),
    ],
)
def test_other_files_are_refused(tmp_path, name, value, text):
    write(tmp_path / "UV_Processed.mat", make_charts(3), **{name: value})
    with pytest.raises(CorruptInput, match=text):
        read_charts(tmp_path / "UV_Processed.mat")
