"""Batches of what transforms return: arrays of one shape are stacked, all else is listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def collate(batch: Sequence[Any]) -> Any:
    """Returns a batch: maps by key, tuples by place, arrays stacked, other things as lists.

    Arrays and numbers of one shape and type become one tensor, in a worker in memory that it
    shares with the training process. Arrays of different shapes, texts, None, cameras and whole
    examples become lists, so that any transform works.

    Args:
        batch: What the dataset returned for each example.

    Raises:
        ValueError: Maps of different keys.

    Example:
        >>> batch = [{"joints": np.zeros((17, 3)), "name": n} for n in ("a", "b")]
        >>> joined = collate(batch)  # doctest: +SKIP
        >>> joined["joints"].shape, joined["name"]  # doctest: +SKIP
        (torch.Size([2, 17, 3]), ['a', 'b'])
    """
    first = batch[0]
    if isinstance(first, Mapping):
        for item in batch:
            if not isinstance(item, Mapping) or item.keys() != first.keys():
                found = sorted(item) if isinstance(item, Mapping) else type(item).__name__
                raise ValueError(
                    f"collate: found {found} and {sorted(first)} in one batch, expected the same "
                    "keys of every example; a transform returns them with None where it has none"
                )
        return {key: collate([item[key] for item in batch]) for key in first}
    if isinstance(first, tuple) and all(
        type(item) is type(first) and len(item) == len(first) for item in batch
    ):
        columns = [collate(list(column)) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
    if _is_stackable(batch):
        return _stacked(batch)
    return list(batch)


def _is_stackable(batch):
    import torch

    first = batch[0]
    if isinstance(first, (bool, int, float)):
        return all(type(item) is type(first) for item in batch)
    if isinstance(first, torch.Tensor):
        return all(
            isinstance(item, torch.Tensor)
            and item.shape == first.shape
            and item.dtype == first.dtype
            for item in batch
        )
    return (
        isinstance(first, (np.ndarray, np.generic))
        and first.dtype.kind in "biuf"
        and first.dtype.itemsize <= 8  # no long doubles
        and all(
            isinstance(item, (np.ndarray, np.generic))
            and item.shape == first.shape
            and item.dtype == first.dtype
            for item in batch
        )
    )


def _stacked(batch):
    import torch
    from torch.utils.data import default_collate

    if isinstance(batch[0], (np.ndarray, np.generic)):
        batch = [torch.from_numpy(_writable(np.asarray(item))) for item in batch]
    return default_collate(batch)


def _writable(array):
    # Torch takes neither read-only arrays without complaint, nor those of the other byte order or
    # of negative strides.
    native = array.dtype.newbyteorder("=")
    if array.flags.writeable and array.flags.c_contiguous and array.dtype == native:
        return array
    return np.array(array, native, order="C")
