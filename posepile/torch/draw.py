"""What is random about one reading of an example, the same in any worker and on any rank."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.errors import UsageError

# Epoch of a reading whose sampler does not say it.
UNKNOWN_EPOCH = -1


@dataclass(frozen=True)
class Draw:
    """One reading of an example in training.

    >>> draw = make_draw(5, epoch=2, seed=0)
    >>> draw.index, draw.epoch, draw.rng.random() == make_draw(5, epoch=2, seed=0).rng.random()
    (5, 2, True)

    Attributes:
        index: Position of the example in the list.
        epoch: Which pass over the data; -1 where the sampler does not say.
        rng: Random numbers of this reading alone.
    """

    index: int
    epoch: int
    rng: np.random.Generator


class Pick(int):
    """A position in a list of examples, and when it was picked.

    It is the plain number for whatever takes one. ``CropDataset`` finds in it what the random
    numbers of the reading depend on.

    Attributes:
        epoch: The epoch.
        nth: How often its dataset had been gone through in this epoch before; it tells two
            readings of one example in one epoch apart.
    """

    epoch: int
    nth: int

    def __new__(cls, index: int, epoch: int, nth: int = 0) -> Pick:
        """Makes the number and what goes with it."""
        self = int.__new__(cls, index)
        self.epoch, self.nth = epoch, nth
        return self

    def __reduce__(self):
        return Pick, (int(self), self.epoch, self.nth)


def given_number(what: str, value: Any, least: int = 0) -> int:
    """Returns a number that a caller gave as an int, whatever whole type it has.

    Args:
        what: What messages call it.
        value: The number.
        least: The smallest that is taken.

    Raises:
        UsageError: It is smaller, or no whole number.

    Example:
        >>> given_number("seed", np.int64(3))
        3
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise UsageError(f"{what}: found {value!r}, expected a whole number from {least}")
    return number


def make_draw(index: int, epoch: int = 0, nth: int = 0, seed: int = 0) -> Draw:
    """Returns the draw of a reading, which depends on these four numbers and nothing else.

    Args:
        index: Position of the example in the list.
        epoch: Which pass over the data.
        nth: Which reading of the example in that pass.
        seed: Of the whole training.

    Raises:
        UsageError: A number is negative or no whole one.

    Example:
        >>> one, same, other = make_draw(7, epoch=2), make_draw(7, epoch=2), make_draw(7, epoch=3)
        >>> a, b, c = (draw.rng.integers(1000) for draw in (one, same, other))
        >>> bool(a == b), bool(a == c)
        (True, False)
    """
    names = ("seed", "epoch", "index", "nth")
    numbers = zip(names, (seed, epoch, index, nth), strict=True)
    key = [given_number(f"draw: {name}", number) for name, number in numbers]
    return Draw(key[2], key[1], np.random.default_rng(key))


def takes_draw(transform: Callable[..., Any]) -> bool:
    """Whether a transform takes a draw beside the example.

    It does if it has a second parameter without default, or one called ``draw``, which must then
    be the second, or takes any number of them (``*args``, as wrappers do). Of a module of
    PyTorch's its ``forward`` decides.

    Args:
        transform: ``transform(example)`` or ``transform(example, draw)``.

    Example:
        >>> takes_draw(lambda example, draw: example), takes_draw(lambda example, size=8: example)
        (True, False)
    """
    try:
        called = getattr(transform, "forward", transform)
        parameters = inspect.signature(called).parameters
    except (TypeError, ValueError):  # some functions of C do not say what they take
        return False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return True
    required = [
        p
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    named = parameters.get("draw")
    return len(required) >= 2 or (
        named is not None and named.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    )
