"""The rotation that fits best, of many matrices at once: the inner part of Procrustes."""

from __future__ import annotations

import numpy as np

# Least product of the sums of two singular values (of a matrix of norm 1) at which the closed
# form is used. Its error is below 1e-16 over the square of it.
LEAST_DETERMINED = 0.02
NEWTON_STEPS = 16


def fit_rotation(product: np.ndarray, *, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rotations R for which ``trace(R' product)`` is largest, never a reflection.

    3x3 matrices of well determined rotation go through a closed form, ten times faster than a
    singular value decomposition and as accurate; all others are decomposed.

    Args:
        product: ``[D, D, n]``: sums of outer products of target and source points.
        plain: Return the plain sum of singular values instead of the trace, which is smaller
            where a reflection would fit better.

    Returns:
        ``(R [D, D, n], trace [n])``.
    """
    if len(product) != 3:
        return _by_svd(product, plain)
    rotation, trace, determinant, sure = _in_closed_form(product)
    if plain:
        sure &= determinant > 0  # where trace and sum are the same
    rest = np.flatnonzero(~sure)
    if len(rest):
        rotation[..., rest], trace[rest] = _by_svd(product[..., rest], plain)
    return rotation, trace


def _by_svd(product: np.ndarray, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    u, singular, vt = np.linalg.svd(np.moveaxis(product, -1, 0))
    # The sign of each factor apart: the determinant of the product may round to 0.999..
    sign = np.sign(np.linalg.det(u)) * np.sign(np.linalg.det(vt))
    vt[..., -1, :] *= sign[..., None]
    trace = singular.sum(axis=-1)
    if not plain:
        trace -= (1 - sign) * singular[..., -1]
    return np.moveaxis(u @ vt, 0, -1), trace


def _in_closed_form(product: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rotations, traces, determinants (over the norm cubed) and which are sure: bool ``[n]``.

    Markley's Fast Optimal Attitude Matrix (1993). With B of norm 1, the trace x is the largest
    root of ``(x**2 - 1)**2 - 8 x det B - 4 |cof B|**2``. With ``k = (x**2 - 1) / 2`` and
    ``z = k x - det B``, which is the product of the sums of two singular values, the rotation is
    ``((k + 1) B + x cof B - B B' B) / z``. Not sure are those of which z is small.
    """
    with np.errstate(all="ignore"):  # what becomes NaN or infinite is not sure
        size = np.sqrt(np.einsum("ijn,ijn->n", product, product))
        b = product / size
        cofactor = np.empty_like(b)
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for p in range(3):
                q, r = (p + 1) % 3, (p + 2) % 3
                cofactor[i, p] = b[j, q] * b[k, r] - b[j, r] * b[k, q]
        determinant = np.einsum("in,in->n", b[0], cofactor[0])
        cofactors = np.einsum("ijn,ijn->n", cofactor, cofactor)
        constant, eightfold = 1 - 4 * cofactors, 8 * determinant
        # x**2 = 1 + 2 sqrt(|cof B|**2 + 2 x det B), and x is at most sqrt(3): not below the root,
        # from where Newton's steps go down to it.
        largest = cofactors + 2 * np.sqrt(3.0) * np.maximum(determinant, 0.0)
        trace = np.sqrt(1 + 2 * np.sqrt(largest))
        moves = np.ones(len(size), bool)
        for _ in range(NEWTON_STEPS):
            square = trace * trace
            value = (square - 2) * square - eightfold * trace + constant
            step = value / (4 * (square - 1) * trace - eightfold)
            # Each stops by itself, so that a pose's figures are the same in any company.
            trace -= np.where(moves, step, 0.0)
            moves &= ~(np.abs(step) < 1e-10)
            if not moves.any():
                break
        half = 0.5 * (trace * trace - 1)
        z = half * trace - determinant
        outer = np.einsum("ijn,kjn->ikn", b, b)
        rotation = (half + 1) * b + trace * cofactor - np.einsum("ijn,jkn->ikn", outer, b)
        rotation /= z
        sure = (z > LEAST_DETERMINED) & ~moves
    return rotation, trace * size, determinant, sure
