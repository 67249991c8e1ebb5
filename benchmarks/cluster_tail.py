"""The last hours of a run: units of different sizes, and a cluster as slow as its last worker.

Used by ``benchmarks/cluster_model.py``. Where a share of a node is dealt to its workers, every
unit is followed, in the order in which the real code begins them.
"""

from __future__ import annotations

import heapq
from array import array
from typing import TYPE_CHECKING

import numpy as np

from posepile.run.longest import longest_first

if TYPE_CHECKING:
    from cluster_model import Cluster


def in_order(sizes: np.ndarray, workers: int) -> np.ndarray:
    """Returns sizes of units in the order in which the real code begins them."""
    places = array("q", range(len(sizes)))
    return sizes[longest_first(places, (sizes * 1e9).astype(np.int64), workers)]


def last_end(sizes: np.ndarray, workers: int) -> float:
    """Returns when the last of some workers has ended that take units in the order given."""
    free = [0.0] * workers
    for size in sizes.tolist():
        heapq.heapreplace(free, free[0] + size)
    return max(free)


def tail(cluster: Cluster, unit_bytes: float, raw: float) -> dict[str, float]:
    """Returns hours until the last worker has ended, by how units are handed out.

    Units are of different sizes, and a cluster is as slow as its unluckiest worker.
    """
    n = cluster.nodes * cluster.workers
    count = int(raw / unit_bytes) // n * n
    draw, spread = np.random.default_rng(0), cluster.spread
    sizes = draw.lognormal(-(spread**2) / 2, spread, count).astype(np.float32)
    hours = sizes * (unit_bytes / cluster.core / 3600)
    mean, longest = float(hours.sum(dtype=float)) / n, float(hours.max())
    of_nodes = hours.reshape(-1, cluster.nodes).T
    return {
        "if all were equal": mean,
        "shares of single cores": float(hours.reshape(-1, n).sum(0, dtype=float).max()),
        "shares of nodes, in any order": max(
            last_end(share, cluster.workers) for share in of_nodes
        ),
        "shares of nodes, longest first": max(
            last_end(in_order(share, cluster.workers), cluster.workers) for share in of_nodes
        ),
        # At worst the longest unit begins when all others have ended.
        "one by one by a scheduler, in any order, at worst": mean + longest,
        "one by one, longest first": max(mean, longest),
    }
