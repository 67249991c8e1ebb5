"""A map-style dataset over a list of examples; crops are read and decoded in the workers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from posepile.store.example_list import ExampleList, as_example_list


class CropDataset:
    """Loaded examples by index, for ``torch.utils.data.DataLoader``.

    Annotations stay in the memory-mapped table, which all workers share through the page cache.
    The index array of a reordered list lies in shared memory, so that spawned workers do not copy
    it either. Open archives are per process and never travel.

    Crops differ in size: either ``transform`` brings them to one, or pass ``collate_fn=list``.

    Args:
        examples: E.g. ``dataset.examples[TRAIN]``, or a plain list; taken as it is now, later
            changes to the list are not seen.
        transform: Applied to the loaded example, which it may change: it is a new one each time,
            also where the list holds an example in memory. Its result is what the dataset
            returns.
        load_image: Decode the crop.
    """

    def __init__(
        self,
        examples: ExampleList | Sequence[Any],
        transform: Callable[[Any], Any] | None = None,
        load_image: bool = True,
    ):
        self._examples = as_example_list(examples)[:]
        self._transform = transform
        self._load_image = load_image
        self._shared: Any = None

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Any:
        listed = self._examples[int(index)]
        example = listed.load(load_image=self._load_image)
        if example is listed:  # in memory: what the transform does to it would add up
            example = copy.deepcopy(listed)
        return example if self._transform is None else self._transform(example)

    def __getstate__(self) -> dict[str, Any]:
        import torch

        state = dict(self.__dict__, _shared=None)
        rebuild, (sources, codes, objects) = self._examples.__reduce__()
        if isinstance(codes, np.ndarray):
            # When torch starts workers, a shared tensor travels as a handle; it has to live
            # until they have opened it.
            if self._shared is None:
                self._shared = torch.from_numpy(codes).share_memory_()
            codes = self._shared
        state["_examples"] = (rebuild, sources, codes, objects)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        rebuild, sources, codes, objects = state["_examples"]
        if hasattr(codes, "numpy"):
            codes = codes.numpy()
        self.__dict__.update(state)
        self._examples = rebuild(sources, codes, objects)
