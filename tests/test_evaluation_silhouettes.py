"""Silhouettes of meshes and their crops, pixel by pixel."""

import numpy as np

from posepile.evaluation.silhouettes import crop_masks, draw_meshes


def drawn(points, faces, size):
    """The silhouette of points of the picture, as those of a mesh one unit away."""
    mesh = np.column_stack([points, np.ones(len(points))])
    return draw_meshes(mesh[None], faces, np.eye(3), size)[0]


def test_crops_are_of_the_enlarged_box():
    mask = np.zeros((1, 512, 512), bool)
    mask[0, 100:300, 200:250] = True  # y, x
    crop = crop_masks(mask, np.array([[225, 200]]), np.array([256.0]))[0]
    assert crop.sum() == 200 * 50 and crop[128 - 100 : 128 + 100, 128 - 25 : 128 + 25].all()
    assert crop_masks(mask, np.array([[225, 200]]), np.array([512.0]))[0].sum() == 100 * 25


def test_a_triangle_covers_the_centres_in_it():
    corners, rng = np.array([[1.2, 0.4], [9.7, 3.1], [4.0, 8.9]]), np.random.default_rng(0)
    points = np.concatenate([corners, rng.uniform(-3, 15, (30, 2))])
    faces = np.arange(33).reshape(11, 3)
    y, x = np.mgrid[:10, :12]
    expected = np.zeros((10, 12), bool)
    for a, b, c in points[faces]:
        sides = [
            (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])
            for p, q in ((a, b), (b, c), (c, a))
        ]
        expected |= (np.min(sides, axis=0) >= 0) | (np.max(sides, axis=0) <= 0)
    np.testing.assert_array_equal(drawn(points, faces, (12, 10)), expected)
    points[0] = np.nan
    assert not drawn(points, faces[:1], (12, 10)).any()
    square = np.array([[1.0, 1], [3, 1], [3, 3], [1, 3]])  # edges through centres count
    assert drawn(square, np.array([[0, 1, 2], [0, 2, 3]]), (6, 6)).sum() == 9
