"""Shuffling that keeps reads near each other, the same for a seed and epoch on any machine."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.store import bulk
from posepile.store.example_list import ExampleList, as_example_list
from posepile.torch.draw import Pick, given_number
from posepile.torch.shares import (
    Stream,
    dataset_positions,
    examples_per_epoch,
    interleaved,
    order_seed,
    shuffled_blocks,
)

_STATE_VERSION = 2


class ShardShuffleSampler:
    """Indices of a list of examples in a random order that storage can follow.

    Fully random reads are cheap from memory or flash and slow from spinning or network disks.
    Here examples that lie together in a shard form blocks; the order of blocks is random, and a
    window of blocks is shuffled through, so that at any time reads fall into ``window`` short
    stretches of the shards. ``block=1`` is a full shuffle.

    With several processes each gets a disjoint share of every pass: the first ``len`` are equal in
    number on all ranks; the few left over are dropped for the epoch, others in the next.

    With ``weights`` or ``strides`` each dataset of a merged list is gone through in passes of its
    own, and an epoch takes from each as much as its share says: no example comes twice before all
    of its dataset came once, also where a pass takes several epochs or an epoch several passes.
    With several processes, or a loader's ``drop_last``, those few of an epoch that are dropped do
    not come in that pass.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> sampler = ShardShuffleSampler(ds.examples[TRAIN], seed=0, block=1)
    >>> order = [int(index) for index in sampler]
    >>> len(order), sorted(order) == list(range(len(order)))
    (24, True)

    Args:
        examples: What is sampled; an ``ExampleList`` or a plain list.
        seed: Order is a function of seed and epoch (and of the list) alone.
        rank: This process.
        world_size: Number of processes.
        block: Examples per block.
        window: Blocks that are shuffled together.
        weights: Dataset -> its share of an epoch. Where all datasets have one, they are relative
            to each other; where only some do, these are shares of the whole (below 1 in sum), and
            those without, or with None, divide the rest by their sizes. 0 leaves a dataset out.
            One of a dataset that was merged, of which this list has no example, says nothing.
        strides: Dataset -> k: a pass has every k-th of its examples, the next pass others.
        length: Examples of an epoch on all ranks together; by default as many as one pass of all
            datasets.
        uneven: Drop nothing: ranks may then differ by one example.
    """

    def __init__(
        self,
        examples: ExampleList | Sequence[Any],
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        block: int = 64,
        window: int = 256,
        *,
        weights: Mapping[str, float | None] | None = None,
        strides: Mapping[str, int] | None = None,
        length: int | None = None,
        uneven: bool = False,
    ):
        self.seed = given_number("seed", seed)
        self.rank = given_number("rank", rank)
        self.world_size = given_number("world_size", world_size, 1)
        if self.rank >= self.world_size:
            raise UsageError(f"rank {rank} of {world_size}: expected 0 <= rank < world_size")
        self.block, self.window = (
            given_number("block", block, 1),
            given_number("window", window, 1),
        )
        self.uneven = uneven
        self.epoch = 0
        self._start = 0  # examples of the epoch, of all ranks, that were taken before
        self._n_listed = self._n = len(examples)
        # Positions of the list in the order of storage; None where the list is in that order.
        self._stored = None
        examples = as_example_list(examples)
        streams = weights is not None or bool(strides) or length is not None
        if block > 1 or streams:
            place = examples.storage_order()
            if place is not None:
                self._stored = place.astype(self._dtype(), copy=False)
        self._streams: list[tuple[Stream, int]] = []
        if streams:
            self._make_streams(examples, weights, strides or {}, length)
        self._list_mark = _mark_of(examples)

    def _dtype(self):
        return np.int32 if self._n_listed < 2**31 else np.int64

    def _make_streams(self, examples, weights, strides, length):
        positions = dataset_positions(examples, self._stored)
        self._stored = None  # the streams have it
        # Of datasets that this list of theirs has no example of (another split, a selection)
        empty = set(getattr(examples, "source_names", tuple)()) - set(positions)
        strides = {name: stride for name, stride in strides.items() if name not in empty}
        if weights is not None:
            weights = {name: weight for name, weight in weights.items() if name not in empty}
        for name, stride in strides.items():
            given_number(f"strides: {name}", stride, 1)
            if name not in positions and stride != 1:
                raise UsageError(
                    f"strides: found {name!r}, of which the list has no example; expected names "
                    f"among {', '.join(positions)}"
                )
        sizes = {name: -(-len(own) // strides.get(name, 1)) for name, own in positions.items()}
        counts = examples_per_epoch(sizes, weights, length)
        self._n = sum(counts.values())
        for name, count in counts.items():
            window = max(1, round(self.window * count / self._n))
            stride = int(strides.get(name, 1))
            stream = Stream(name, positions[name], stride, self.block, window)
            self._streams.append((stream, count))

    @property
    def counts(self) -> dict[str, int] | None:
        """How many examples of each dataset an epoch has; None without weights and strides."""
        if not self._streams:
            return None
        return {stream.name: count for stream, count in self._streams}

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration; to name the epoch it is in keeps the place."""
        epoch = given_number("set_epoch", epoch)
        if epoch != self.epoch:
            self.epoch, self._start = epoch, 0

    @property
    def place(self) -> tuple[int, int]:
        """The epoch, and how many of its examples all ranks had before this iteration."""
        return self.epoch, self._start

    def __len__(self) -> int:
        left = self._n - self._start
        more = self.uneven and self.rank < left % self.world_size
        return left // self.world_size + more

    def order(self) -> np.ndarray:
        """This rank's indices of the current epoch that are to come, int ``[len(self)]``."""
        return self._mine(self._order()[0])

    def _mine(self, values):
        left = self._n - self._start
        stop = self._n if self.uneven else self._n - left % self.world_size
        return values[self._start : stop][self.rank :: self.world_size]

    def _order(self):
        # All ranks' indices of the epoch, and how often each one's dataset had been gone through.
        rng = np.random.default_rng(order_seed(self.seed, self.epoch))
        if not self._streams:
            blocks = shuffled_blocks(self._n, self.block, self.window, rng, self._dtype())
            return (blocks if self._stored is None else self._stored[blocks]), None
        taken = [stream.take(self.seed, self.epoch * n, n) for stream, n in self._streams]
        labels = interleaved([positions for positions, _ in taken], rng)
        order, nth = np.empty(self._n, self._dtype()), np.empty(self._n, np.int32)
        for label, (positions, passes) in enumerate(taken):
            places = np.flatnonzero(labels == label)
            order[places], nth[places] = positions, passes
        return order, nth

    def __iter__(self) -> Iterator[Pick]:
        order, nth = self._order()
        order, epoch = self._mine(order), self.epoch
        nth = None if nth is None else self._mine(nth)
        for start in range(0, len(order), 4096):
            part = slice(start, start + 4096)
            passes = [0] * 4096 if nth is None else nth[part].tolist()
            for index, n in zip(order[part].tolist(), passes, strict=False):
                yield Pick(index, epoch, n)

    def state_dict(self, taken: int = 0) -> dict[str, Any]:
        """Returns where training stands, for any number of processes to go on from.

        Args:
            taken: How many indices of the current iteration this rank has used; as many as every
                other rank.
        """
        if not 0 <= taken <= len(self):
            raise UsageError(
                f"state_dict: found {taken} taken, expected at most the {len(self)} of the epoch"
            )
        epoch, start = self.epoch, self._start + taken * self.world_size
        if start and taken == len(self):  # an empty epoch is to come all the same
            epoch, start = epoch + 1, 0
        return {
            "version": _STATE_VERSION,
            "seed": self.seed,
            "epoch": epoch,
            "taken": min(start, self._n),
            "block": self.block,
            "window": self.window,
            "listed": self._n_listed,
            "list": self._list_mark,
            "shares": self._shares(),
        }

    def _shares(self):
        return [[s.name, s.stride, len(s.positions), count] for s, count in self._streams]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`state_dict` was asked, also with another number of processes.

        Args:
            state: What it returned. Its seed and epoch are taken over.

        Raises:
            UsageError: It is of another list or of other settings, whose order differs.
        """
        own = self.state_dict()
        if not isinstance(state, Mapping) or set(state) != set(own):
            raise UsageError("load_state_dict: found something else than what state_dict returns")
        for key, expected, what in (
            ("version", own["version"], "version of the state"),
            ("listed", own["listed"], "number of listed examples"),
            ("list", own["list"], "mark of the list (which examples of which archives)"),
            ("block", own["block"], "block"),
            ("window", own["window"], "window"),
            ("shares", own["shares"], "examples per epoch of each dataset"),
        ):
            if state[key] != expected:
                raise UsageError(
                    f"load_state_dict: {what}: found {state[key]} in the state, here it is "
                    f"{expected}; go on with the list and settings that the state was saved with, "
                    "or begin at an epoch with set_epoch"
                )
        numbers = [state[key] for key in ("seed", "epoch", "taken")]
        if not all(isinstance(n, int) and n >= 0 for n in numbers) or numbers[2] > self._n:
            raise UsageError(
                f"load_state_dict: found seed, epoch, taken = {numbers}, expected whole numbers "
                f"from 0, taken at most {self._n}"
            )
        self.seed, self.epoch, self._start = numbers


def _mark_of(examples):
    # Tells lists apart whose positions mean other examples: by the archives' identities and the
    # rows; without identity, and for examples in memory, by their names. Not by path: data may
    # move between the machines of one training.
    if not hasattr(examples, "by_source"):
        return 0
    crc = 0
    for positions, rows, source in bulk.by_source(examples):
        below = source
        while hasattr(below, "source"):
            below = below.source
        identity = getattr(below, "identity", None)
        crc = zlib.crc32(f"{identity} {0 if source is None else len(below)}".encode(), crc)
        for numbers in (positions, rows):
            for start in range(0, len(numbers), 1 << 20):
                part = np.asarray(numbers[start : start + (1 << 20)], np.int64)
                crc = zlib.crc32(part, crc)
        if identity is None:
            for name in _names(examples, rows, source):
                crc = zlib.crc32(name.encode(), crc)
    return crc


def _names(examples, rows, source):
    if source is None:
        for ex in bulk.one_by_one(examples, rows, source):
            yield f"{ex.image_path}\n{ex.sequence}\n{ex.frame}\n{ex.person}\n"
    else:
        for row in np.asarray(rows).tolist():
            yield f"{source.path(row)}\n"
