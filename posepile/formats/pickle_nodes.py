"""What a pickle is taken apart into."""

from __future__ import annotations

import contextlib
import gc
import pickle
from collections.abc import Iterator
from typing import Any


class NameRefused(pickle.UnpicklingError):
    """The pickle names something that is not on the list of permitted names."""

    def __init__(self, module: str, name: str):
        super().__init__(f"{module}.{name}")


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keeps Python from looking for garbage: of the many new nodes and values none is."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Name:
    """A function or class that a pickle names.

    Attributes:
        key: How it is called in our tables, whatever library version wrote the pickle.
    """

    __slots__ = ("key",)

    def __init__(self, key: str):
        self.key = key


class Call:
    """A call that a pickle asks for, and what it wants done to the result.

    Attributes:
        key: Name of the function or class, see :class:`Name`.
        args: Tuple of nodes.
        state: Node that BUILD brought, None if there was none.
        items: Nodes appended to the result.
        pairs: Key and value nodes set in the result.
    """

    __slots__ = ("args", "items", "key", "pairs", "state")

    def __init__(self, key: str, args: tuple):
        self.key = key
        self.args = args
        self.state: Any = None
        self.items: list = []
        self.pairs: list[tuple] = []


class Pairs:
    """A dictionary whose keys are not hashed yet."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple]):
        self.pairs = pairs


class Members:
    """A set or frozenset whose members are not hashed yet."""

    __slots__ = ("frozen", "values")

    def __init__(self, values: list, frozen: bool):
        self.values = values
        self.frozen = frozen


# The key of calls that stand for a reference to data outside of the pickle.
PERSISTENT = "persistent reference"
