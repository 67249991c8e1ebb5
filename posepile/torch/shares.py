"""How much of an epoch each dataset gets, and in what order its examples come, pass after pass."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.torch.draw import given_number

# Small datasets are gone through many times in an epoch: passes are drawn in packs of this size.
_PACK = 4096


def order_seed(*numbers: int) -> np.random.SeedSequence:
    """Returns what seeds an order, with which no draw of an example shares random numbers.

    Args:
        numbers: What the order depends on.
    """
    return np.random.SeedSequence(numbers, spawn_key=(len(numbers),))


def shuffled_blocks(
    n: int, block: int, window: int, rng: np.random.Generator, dtype: Any = np.int64
) -> np.ndarray:
    """Returns the numbers below ``n`` in a random order that stays within a window of blocks.

    Args:
        n: How many.
        block: Numbers that lie together form blocks of this size, whose order is random.
        window: Blocks that are shuffled together.
        rng: Where randomness comes from.
        dtype: Of the result.
    """
    if block == 1:
        return rng.permutation(n).astype(dtype, copy=False)
    # Blocks start at a random phase, so that neighbours change from pass to pass.
    phase = int(rng.integers(block))
    starts = np.arange(-phase, n, block)
    rng.shuffle(starts)
    numbers = np.empty(n, dtype)
    filled = 0
    for i in range(0, len(starts), window):
        group = starts[i : i + window, None] + np.arange(block)
        group = group[(group >= 0) & (group < n)]
        rng.shuffle(group)
        numbers[filled : filled + len(group)] = group
        filled += len(group)
    return numbers


class Stream:
    """Examples of one dataset, pass after pass without end, each once in a pass.

    With a stride of ``k`` a pass holds every k-th example in the order of storage, and ``k``
    passes hold each once. Where an epoch begins in the stream does not matter to it.

    Args:
        name: The dataset's name, on which the order depends.
        positions: Its positions in the list, in the order of storage.
        stride: Every which example a pass holds.
        block: Examples per block.
        window: Blocks that are shuffled together.
    """

    def __init__(self, name: str, positions: np.ndarray, stride: int, block: int, window: int):
        self.name, self.positions, self.stride = name, positions, stride
        self.block, self.window = block, window
        self._key = zlib.crc32(name.encode())

    def take(self, seed: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns positions ``[count]`` from a place of the stream on, and how many passes in.

        Args:
            seed: Of the order.
            start: Place in the stream.
            count: How many.

        Returns:
            positions, and for each the number of passes begun since that of the first: int32.
        """
        taken = np.empty(count, self.positions.dtype)
        nth = np.empty(count, np.int32)
        filled = 0
        skip = start % len(self.positions)
        for k, order in enumerate(self._passes(seed, start // len(self.positions))):
            part = order[skip : skip + count - filled]
            skip = max(0, skip - len(order))
            if filled == 0:
                first = k
            taken[filled : filled + len(part)] = part
            nth[filled : filled + len(part)] = k - first
            filled += len(part)
            if filled == count:
                return taken, nth
        raise AssertionError("a stream has no end")

    def _passes(self, seed: int, cycle: int) -> Iterator[np.ndarray]:
        # Positions of pass after pass, from the first one of a cycle: of `stride` passes, which
        # hold every example once.
        n, stride = len(self.positions), self.stride
        pack = max(1, _PACK // n) if stride == 1 else 1
        while pack > 1:
            rng = self._rng(seed, cycle // pack)
            orders = rng.permuted(np.tile(self.positions, (pack, 1)), axis=1)
            yield from orders[cycle % pack :]
            cycle += pack - cycle % pack
        while True:
            rng = self._rng(seed, cycle)
            for phase in rng.permutation(min(stride, n)).tolist():
                members = self.positions[phase::stride]
                order = shuffled_blocks(len(members), self.block, self.window, rng, members.dtype)
                yield members[order]
            cycle += 1

    def _rng(self, seed, number):
        return np.random.default_rng(order_seed(seed, self._key, number))


def examples_per_epoch(
    sizes: Mapping[str, int],
    weights: Mapping[str, float | None] | None = None,
    length: int | None = None,
) -> dict[str, int]:
    """Returns how many examples of each dataset an epoch holds.

    Args:
        sizes: How many examples a pass of each dataset has.
        weights: Where all datasets have one, their shares are as the weights. Where only some do,
            these are shares of the whole, and the others divide the rest by their sizes.
        length: How many an epoch has; by default as many as one pass of all.

    Raises:
        UsageError: A weight that is negative or of no dataset, shares that are more than all, or
            so little that a dataset would never come.

    Example:
        >>> examples_per_epoch({"a": 900, "b": 100}, {"a": 1, "b": 1})
        {'a': 500, 'b': 500}
        >>> examples_per_epoch({"a": 300, "b": 100, "c": 600}, {"c": 0.2})
        {'a': 600, 'b': 200, 'c': 200}
    """
    sizes = dict(sizes)
    total = sum(sizes.values()) if length is None else given_number("length of an epoch", length)
    given = _given(sizes, weights or {})
    rest = [name for name in sizes if name not in given]
    left = 1 - sum(given.values())
    if not rest:
        whole = sum(given.values())
        shares = {name: w / whole for name, w in given.items()} if whole else {}
    elif left <= 0 and given:
        raise UsageError(
            f"weights: the shares of {', '.join(given)} sum up to {1 - left:g} and leave nothing "
            f"for {', '.join(rest)}; give all datasets a weight (then they are relative), or "
            "shares whose sum is below 1"
        )
    else:
        of_rest = sum(sizes[name] for name in rest)
        shares = {n: given[n] if n in given else left * sizes[n] / of_rest for n in sizes}
    if total and sizes and not shares:
        raise UsageError("weights: all are 0, expected one above")
    counts = _rounded({name: total * share for name, share in shares.items()}, total)
    for name, share in shares.items():
        if share > 0 and counts[name] == 0 and total:
            raise UsageError(
                f"weights: {name} would get {total * share:.2g} examples of an epoch of {total}, "
                "so none ever; give it a larger weight, the weight 0, or make `length` longer"
            )
    return {name: count for name, count in counts.items() if count}


def _given(sizes, weights):
    # The weights that are given, of datasets that have examples.
    given = {}
    for name, weight in weights.items():
        if weight is None:
            continue
        if not (np.isfinite(weight) and weight >= 0):
            raise UsageError(f"weights: found {weight} for {name}, expected a number from 0")
        if name in sizes:
            given[name] = float(weight)
        elif weight > 0:
            raise UsageError(
                f"weights: found {name!r}, of which the list has no example; expected names among "
                f"{', '.join(sizes) or 'none: the list is empty'}"
            )
    return given


def _rounded(exact, total):
    # Whole numbers of the same sum, by the largest remainders.
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def dataset_positions(examples: Any, stored: np.ndarray | None) -> dict[str, np.ndarray]:
    """Returns the positions of each dataset's examples, in the order of storage.

    Args:
        examples: The list.
        stored: Positions of the list in the order of storage; None where the list is so ordered.
    """
    codes, names = examples.codes("dataset")
    if stored is not None:
        codes = codes[stored]
    dtype = np.int32 if len(codes) < 2**31 else np.int64
    found = {}
    for code, name in enumerate(names):
        places = np.flatnonzero(codes == code)
        if len(places):
            found[name] = (places if stored is None else stored[places]).astype(dtype, copy=False)
    return found


def interleaved(parts: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Returns where the items of several parts go in one random row, their own order kept.

    Args:
        parts: Arrays; only their lengths matter.
        rng: Where randomness comes from.

    Returns:
        Which part each place of the row belongs to: int ``[sum of the lengths]``.
    """
    kinds = np.uint8 if len(parts) < 256 else np.int32
    labels = np.repeat(np.arange(len(parts), dtype=kinds), [len(part) for part in parts])
    rng.shuffle(labels)
    return labels
