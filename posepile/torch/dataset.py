"""A map-style dataset over a list of examples; crops are read and decoded in the workers."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from posepile.errors import PosePileError, Shortage, UsageError, WorkError, one_line
from posepile.store.example_list import ExampleList, as_example_list
from posepile.store.examples import Example
from posepile.torch.draw import UNKNOWN_EPOCH, Draw, Pick, given_number, make_draw, takes_draw

try:
    from torch.utils.data import Dataset as _Dataset
except ImportError:  # examples by index can be had without it

    class _Dataset:
        """Stands in for torch's."""


class CropDataset(_Dataset):
    """Loaded examples by index, for ``torch.utils.data.DataLoader``.

    Annotations stay in the memory-mapped table, which all workers share through the page cache.
    The index array of a reordered list lies in shared memory, so that spawned workers do not copy
    it either. Open archives are per process and never travel.

    A transform of two arguments gets a :class:`Draw` beside the example. With a sampler of this
    package its random numbers depend on ``seed``, epoch and example alone, whatever process reads
    it. Any other sampler gives bare numbers: the epoch is unknown then (-1) and the random numbers
    come from torch's generator, so that they differ from epoch to epoch. ``dataset[i, epoch]`` and
    ``dataset[i, epoch, nth]`` name the draw themselves.

    Crops differ in size: where ``transform`` does not bring them to one, a batch is a list.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> crops = CropDataset(ds.examples[TRAIN], lambda ex, draw: (ex.image.shape, draw.epoch))
    >>> len(crops), crops[5, 2]  # of the third epoch
    (24, ((96, 128, 3), 2))

    Args:
        examples: E.g. ``dataset.examples[TRAIN]``, or a plain list; taken as it is now, later
            changes to the list are not seen.
        transform: ``transform(example)`` or ``transform(example, draw)``; applied to the loaded
            example, which it may change: it is a new one each time, also where the list holds an
            example in memory. Its result is what the dataset returns.
        load_image: Decode the crop.
        seed: Of the random numbers of draws.

    What goes wrong with an example, in the transform too, is raised as an error of this package
    that names it, with the original one as its cause.
    """

    def __init__(
        self,
        examples: ExampleList | Sequence[Any],
        transform: Callable[..., Any] | None = None,
        load_image: bool = True,
        seed: int = 0,
    ):
        self._examples = as_example_list(examples)[:]
        self._transform = transform
        self._takes_draw = transform is not None and takes_draw(transform)
        self._load_image = load_image
        self._shared: Any = None
        self.seed = given_number("CropDataset: seed", seed)

    @property
    def examples(self) -> ExampleList:
        """The examples, in the order of their indices."""
        return self._examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: int | tuple[int, ...]) -> Any:
        pick = Pick(*key) if isinstance(key, tuple) else key
        index = int(pick)
        listed = self._examples[index]
        try:
            return self._made(listed, index % len(self._examples), pick)
        except Exception as e:
            kinds = (UsageError, Shortage)
            kind = next((kind for kind in kinds if isinstance(e, kind)), WorkError)
            why = e if isinstance(e, PosePileError) else f"{type(e).__name__}: {one_line(e)}"
            raise kind(f"example {index}, {listed.image_path}: {why}") from e

    def _made(self, listed, index, pick):
        example = listed.load(load_image=self._load_image)
        if example is listed:  # in memory: what the transform does to it would add up
            example = copy.deepcopy(listed)
        if self._transform is None:
            return example
        if self._takes_draw:
            return self._transform(example, self._draw(index, pick))
        return self._transform(example)

    def _draw(self, index, pick):
        if isinstance(pick, Pick):
            return make_draw(index, pick.epoch, pick.nth, self.seed)
        # Of torch's generator: seeded by the user, and in workers for each epoch by the loader.
        import torch

        seed = int(torch.randint(2**62, ()))
        return Draw(index, UNKNOWN_EPOCH, np.random.default_rng([seed, index]))

    def __getstate__(self) -> dict[str, Any]:
        torch = sys.modules.get("torch")  # imported above where there is one
        state = dict(self.__dict__, _shared=None)
        rebuild, (sources, codes, objects) = self._examples.__reduce__()
        if torch is not None and isinstance(codes, np.ndarray):
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


def _as_list(batch, *, collate_fn_map=None):
    del collate_fn_map
    return list(batch)


def _register():
    # What torch's own collate does with examples that no transform has turned into arrays: a
    # batch of them is a list.
    try:
        from torch.utils.data._utils.collate import default_collate_fn_map
    except ImportError:  # no torch, or one that has it elsewhere: `collate` of this package works
        return
    default_collate_fn_map.setdefault(Example, _as_list)


_register()
