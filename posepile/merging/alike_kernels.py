"""The compiled inner loops of :mod:`posepile.merging.alike`; loaded when there is work."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from posepile.imaging.kernels import compiled

_ROWS = 256  # of hashes that stay in the first cache while all queries pass over them
_N_FIRST = 3  # windows per axis
_WHOLE = 9  # where the signs of the whole picture are
_HOPELESS = 0.35  # a first window with a cosine below this does not lead to one


@intrinsic
def _ones(typing_context, number):
    """How many bits of a whole number are set."""
    if not isinstance(number, types.Integer):
        return None

    def code(context, builder, signature, args):
        return builder.ctpop(args[0])

    return number(number), code


@compiled()
def _any_near(rows, start, stop, window, whole, limit):
    """Negative if any row has a window near the whole, or a whole near a window."""
    found = np.int64(0)
    for k in range(_WHOLE):
        signs, own = rows[k, start:stop], window[k]
        ends = rows[_WHOLE, start:stop]
        for i in range(stop - start):
            found |= (_ones(whole ^ signs[i]) - limit) | (_ones(own ^ ends[i]) - limit)
    return found


@compiled()
def candidates(queries, rows, low, high, most, pairs):
    """Finds pairs by their signs.

    Args:
        queries: int64 ``[10, m]``.
        rows: int64 ``[10, n]``.
        low: First row that each query may be like.
        high: Where those end.
        most: How many signs may differ.
        pairs: int32 ``[room, 2]``, filled with query and row.

    Returns:
        How many pairs there are, perhaps more than there is room.
    """
    n_found, limit = 0, np.int64(most + 1)
    for first in range(0, rows.shape[1], _ROWS):
        for q in range(queries.shape[1]):
            start, stop = max(first, low[q]), min(first + _ROWS, high[q])
            if start >= stop:
                continue
            window, whole = queries[:_WHOLE, q].copy(), queries[_WHOLE, q]
            if _any_near(rows, start, stop, window, whole, limit) >= 0:
                continue
            for i in range(start, stop):
                near = np.int64(0)
                for k in range(_WHOLE):
                    near |= _ones(whole ^ rows[k, i]) - limit
                    near |= _ones(window[k] ^ rows[_WHOLE, i]) - limit
                if near < 0:
                    if n_found < len(pairs):
                        pairs[n_found, 0], pairs[n_found, 1] = q, i
                    n_found += 1
    return n_found


@compiled(fastmath={"contract", "reassoc"})
def _cosine(feature, whole, across, down, weights, rows, seen):
    """Cosine between a picture's feature and that of a window of another one."""
    n, m = across.shape
    for i in range(n):
        for p in range(m):
            total = np.float32(0)
            for k in range(m):
                total += down[i, k] * whole[k, p]
            rows[i, p] = total
    dot, norm = np.float32(0), np.float32(0)
    for i in range(n):
        for j in range(n):
            total = np.float32(0)
            for p in range(m):
                total += rows[i, p] * across[j, p]
            seen[i, j] = total
    for i in range(n):
        for j in range(n):
            value = seen[i, j] * weights[i, j]
            norm += abs(value)
            root = np.sqrt(abs(value))
            dot += feature[i, j] * (root if value > 0 else -root)
    return dot / np.sqrt(norm) if norm > 0 else np.float32(0)


@compiled()
def _best_cosine(feature, whole, matrices, weights, cut, rows, seen):
    """Best cosine over the windows, climbing from one."""
    last = len(matrices) - 1
    across, down = matrices[cut[0], cut[1]], matrices[cut[2], cut[3]]
    best = _cosine(feature, whole, across, down, weights, rows, seen)
    if best < _HOPELESS:
        return best
    tried = np.empty(4, np.int64)
    for step in (2, 1):
        better = True
        while better:
            better = False
            # Each end of each axis on its own, then both ends of an axis: moved, and closer
            for move in range(16):
                tried[:] = cut
                axis, sign = 2 * (move & 1), step if move & 2 else -step
                if move < 8:
                    tried[axis + (move >> 2)] += sign
                else:
                    tried[axis] += sign
                    tried[axis + 1] += sign if move & 4 else -sign
                if tried.min() < 0 or tried[0] + tried[1] > last or tried[2] + tried[3] > last:
                    continue
                across, down = matrices[tried[0], tried[1]], matrices[tried[2], tried[3]]
                found = _cosine(feature, whole, across, down, weights, rows, seen)
                if found > best:
                    best, better = found, True
                    cut[:] = tried
    return best


@compiled()
def _unpacked(roots, weights, whole, feature):
    """Coefficients of a picture, and the feature that is compared: of length 1."""
    for i in range(len(roots)):
        for j in range(len(roots)):
            root = np.float32(roots[i, j]) / np.float32(127)
            whole[i, j] = root * abs(root)
    norm = np.float32(0)
    n = len(weights)
    for i in range(n):
        for j in range(n):
            feature[i, j] = np.float32(roots[i, j]) / np.float32(127) * np.sqrt(weights[i, j])
            norm += feature[i, j] * feature[i, j]
    norm = np.sqrt(norm)
    for i in range(n):
        for j in range(n):
            feature[i, j] /= norm


@compiled()
def distances(pairs, roots, row_roots, signs, row_signs, matrices, weights, cuts, result):
    """Compares pairs by all windows, both ways.

    Args:
        pairs: int32 ``[n, 2]``.
        roots: int8 of the queries.
        row_roots: int8 of the rows.
        signs: int64 ``[10, m]`` of the queries.
        row_signs: int64 ``[10, n]`` of the rows.
        matrices: Of the windows along an axis.
        weights: Of the coefficients.
        cuts: Of the windows that the signs are of.
        result: float32 ``[n]``, filled with 1 - cosine.
    """
    n, m = len(weights), roots.shape[1]
    whole, row_whole = np.empty((m, m), np.float32), np.empty((m, m), np.float32)
    feature, row_feature = np.empty((n, n), np.float32), np.empty((n, n), np.float32)
    rows, seen = np.empty((n, m), np.float32), np.empty((n, n), np.float32)
    cut = np.empty(4, np.int64)
    for k in range(len(pairs)):
        q, r = pairs[k]
        _unpacked(roots[q], weights, whole, feature)
        _unpacked(row_roots[r], weights, row_whole, row_feature)
        best = np.float32(-1)
        for way in range(2):
            nearest, at = 65, 0
            for w in range(_WHOLE):
                if way == 0:
                    n_other = _ones(signs[_WHOLE, q] ^ row_signs[w, r])
                else:
                    n_other = _ones(signs[w, q] ^ row_signs[_WHOLE, r])
                if n_other < nearest:
                    nearest, at = n_other, w
            down, across = at // _N_FIRST, at % _N_FIRST
            cut[0], cut[1] = cuts[across, 0], cuts[across, 1]
            cut[2], cut[3] = cuts[down, 0], cuts[down, 1]
            if way == 0:
                found = _best_cosine(feature, row_whole, matrices, weights, cut, rows, seen)
            else:
                found = _best_cosine(row_feature, whole, matrices, weights, cut, rows, seen)
            best = max(best, found)
        result[k] = 1 - best
