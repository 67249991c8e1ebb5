"""In which order units are begun: the longest first, so that none of them is begun last.

A video of ten hours that is begun when all else is finished keeps one processor busy and the
others waiting. The order changes no byte of an archive, which has its own.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence

import numpy as np

# Units that take less than this part of what a worker gets in all stay in their order: neighbours
# often read the same file, and the time left is reckoned from units as they come.
SHORT = 1 / 50

# Where nobody has said how many workers there are, a unit of so many times the mean size is long.
LONG = 4

# Of so many files of a unit the size is asked for; the others are taken to be like them.
ASKED = 8


def bytes_of(names: Sequence[str], root: str) -> int:
    """Returns about how many bytes a unit reads; 0 where that is not to be found out.

    >>> bytes_of(["no such file"], "/")
    0

    Args:
        names: Its input files, below ``root`` or absolute.
        root: Raw folder.
    """
    asked = names[:: -(-len(names) // ASKED) or 1]
    total = 0
    for name in asked:
        try:
            total += os.stat(name if name.startswith("/") else f"{root}/{name}").st_size
        except (OSError, ValueError):  # the unit itself says what is wrong
            continue
    return total * len(names) // max(1, len(asked))


def longest_first(places: array, sizes: Sequence[int], workers: int | None) -> array:
    """Returns places of units in the order in which they are to be begun.

    Where time goes with bytes, the last worker ends by a :data:`SHORT` part of its share later
    than if all ended together, unless the last to end is a long unit; that is at most a third
    later than in the best order (Graham, Bounds on multiprocessing timing anomalies, 1969).
    Without a number of workers it may end by :data:`LONG` mean units later. Equal units stay in
    their order, as do all units for one worker.

    >>> longest_first(array("q", [3, 4, 5, 6]), [10, 500, 10, 900], workers=2).tolist()
    [6, 4, 3, 5]
    >>> longest_first(array("q", range(6)), [7, 8, 7, 9, 7, 200], workers=None).tolist()
    [5, 0, 1, 2, 3, 4]

    Args:
        places: Places of the units in the list of units.
        sizes: Bytes that each of them reads.
        workers: How many work at the same time; None where that is not known.
    """
    if workers == 1:
        return places
    where, bytes_ = np.array(places, np.int64), np.array(sizes, np.int64)
    is_long = bytes_ > (bytes_.sum() / workers * SHORT if workers else bytes_.mean() * LONG)
    long = np.flatnonzero(is_long)
    long = long[np.argsort(-bytes_[long], kind="stable")]
    return array("q", np.concatenate([where[long], where[~is_long]]).tobytes())
