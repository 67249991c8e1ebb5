"""Shuffling that keeps reads near each other, the same for a seed and epoch on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from posepile.store.example_list import ExampleList, as_example_list


class ShardShuffleSampler:
    """Indices of a list of examples in a random order that storage can follow.

    Fully random reads are cheap from memory or flash and slow from spinning or network disks.
    Here examples that lie together in a shard form blocks; the order of blocks is random, and a
    window of blocks is shuffled through, so that at any time reads fall into ``window`` short
    stretches of the shards. ``block=1`` is a full shuffle.

    With several processes each gets a disjoint share of every pass: the first ``len`` are equal in
    number on all ranks; the few left over are dropped for the epoch, others in the next.

    Args:
        examples: What is sampled; an ``ExampleList`` or a plain list.
        seed: Order is a function of seed and epoch (and of the list) alone.
        rank: This process.
        world_size: Number of processes.
        block: Examples per block.
        window: Blocks that are shuffled together.
    """

    def __init__(
        self,
        examples: ExampleList | Sequence[Any],
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        block: int = 64,
        window: int = 256,
    ):
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}: expected 0 <= rank < world_size")
        if block < 1 or window < 1:
            raise ValueError(f"block {block} and window {window} must be at least 1")
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.block, self.window = block, window
        self.epoch = 0
        self._n = len(examples)
        # Positions of the list in the order of storage; None where the list is in that order.
        self._stored = None
        if block > 1:
            place = as_example_list(examples).storage_order()
            if place is not None:
                dtype = np.int32 if self._n < 2**31 else np.int64
                self._stored = place.astype(dtype, copy=False)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._n // self.world_size

    def order(self) -> np.ndarray:
        """This rank's indices of the current epoch, int ``[len(self)]``."""
        rng = np.random.default_rng([self.seed, self.epoch])
        dtype = np.int32 if self._n < 2**31 else np.int64
        if self.block == 1:
            positions = rng.permutation(self._n).astype(dtype, copy=False)
        else:
            positions = self._blocks(rng, dtype)
            if self._stored is not None:
                positions = self._stored[positions]
        return positions[: len(self) * self.world_size][self.rank :: self.world_size]

    def _blocks(self, rng: np.random.Generator, dtype) -> np.ndarray:
        # Blocks start at a random phase, so that neighbours change from epoch to epoch.
        phase = int(rng.integers(self.block))
        starts = np.arange(-phase, self._n, self.block)
        rng.shuffle(starts)
        positions = np.empty(self._n, dtype)
        filled = 0
        for i in range(0, len(starts), self.window):
            group = starts[i : i + self.window, None] + np.arange(self.block)
            group = group[(group >= 0) & (group < self._n)]
            rng.shuffle(group)
            positions[filled : filled + len(group)] = group
            filled += len(group)
        return positions

    def __iter__(self) -> Iterator[int]:
        order = self.order()
        for start in range(0, len(order), 4096):
            yield from order[start : start + 4096].tolist()
