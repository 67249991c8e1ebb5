"""Which camera took a picture, where a table does not say whether it counts from 0 or from 1."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Sequence

from posepile.errors import CorruptInput


def tell_cameras(
    where: str | os.PathLike,
    table: Sequence[str],
    lenses: Sequence[tuple[int, Hashable | None]],
    *,
    max_lenses: int,
    max_cameras: int,
    first_number: int | None = None,
) -> list[str]:
    """Returns the camera of each picture: where the table begins, lenses tell.

    Counted right, the pictures of a camera have one lens.

    >>> table, lenses = ["a", "b", "b", "a"], [(1, 1180), (2, 1205), (3, 1205), (4, 1180)]
    >>> tell_cameras("ids.npy", table, lenses, max_lenses=1, max_cameras=10)
    ['a', 'b', 'b', 'a']

    Args:
        where: File of the table, for messages.
        table: Camera of each picture, by its number; also of pictures that are not asked for.
        lenses: Number and lens (focal length, principal point) of each picture; None = not known,
            which tells nothing.
        max_lenses: How many lenses a camera may have (``dataset.max_lenses``).
        max_cameras: How many cameras there may be: any table tells lenses apart that has another
            camera for each picture (``dataset.max_cameras``).
        first_number: That of the table's first entry, 0 or 1 (``dataset.first_number``); None = as
            lenses tell.

    Raises:
        CorruptInput: Neither fits, both do, or there are too many cameras.
    """
    found = defaultdict(list)
    for first in (0, 1) if first_number is None else (first_number,):
        seen = defaultdict(set)
        if not all(0 <= number - first < len(table) for number, _ in lenses):
            continue
        for number, lens in lenses:
            seen[table[number - first]] |= {lens} - {None}
        most = max(map(len, seen.values()), default=0)
        found[most].append([table[number - first] for number, _ in lenses])
    if not found:
        last = max(number for number, _ in lenses)
        raise CorruptInput(where, f"found {len(table)} cameras; expected {last} or more")
    if (n := min(found)) > max_lenses:
        text = f"a camera has {n} lenses whether pictures count from 0 or from 1; expected at most"
        raise CorruptInput(where, f"{text} {max_lenses}, see dataset.max_lenses")
    cameras, other = found[n][0], found[n][-1]
    if (n := len(set(cameras))) > max_cameras:
        text = f"pictures are of {n} cameras; expected at most {max_cameras}"
        raise CorruptInput(where, text, hint="another table? Or raise dataset.max_cameras")
    if other != cameras:
        text = "lenses do not tell whether pictures count from 0 or from 1; expected that they do"
        raise CorruptInput(where, text, hint="say it: --set dataset.first_number=0, or 1")
    return cameras
