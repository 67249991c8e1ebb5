"""Looks at all of what a reader returned, as the pipeline would."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

MOST = 10**5


def look_at(value, depth: int = 0) -> None:
    """Goes through a value: shapes, finiteness, every member."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fc":
            np.isfinite(value).all()
        if value.size < MOST:
            value.tolist()
            repr(value)
        if value.dtype.kind == "O":
            for item in value.ravel()[:1000]:
                look_at(item, depth + 1)
    elif isinstance(value, Mapping):
        for key, item in list(value.items())[:1000]:
            look_at(key, depth + 1)
            look_at(item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in list(value)[:1000]:
            look_at(item, depth + 1)
    elif dataclasses.is_dataclass(value):
        look_at(vars(value) if hasattr(value, "__dict__") else {}, depth + 1)
    elif hasattr(value, "toarray") and np.prod(value.shape, dtype=float) < MOST:
        look_at(value.toarray(), depth + 1)
