"""What a pickle is taken apart into, and the limit of the memory that it may take."""

from __future__ import annotations

import contextlib
import gc
import pickle
from collections.abc import Iterator
from typing import Any

# Memory that an opcode and a value in a list take, about.
_BYTES_PER_OPCODE = 64
_BYTES_PER_VALUE = 32
_SMALL, LARGEST, _MOST_INFLATED = 2**28, 2**34, 128


class NameRefused(pickle.UnpicklingError):
    """The pickle names something that is not on the list of permitted names."""

    def __init__(self, module: str, name: str):
        super().__init__(f"{module}.{name}")


class TooLarge(pickle.UnpicklingError):
    """The content would take more memory than permitted.

    Args:
        limit: In bytes.
    """

    def __init__(self, limit: int):
        super().__init__(limit)
        self.limit = limit


def too_large(error: TooLarge) -> str:
    """Returns what to say of content that is larger than permitted.

    >>> too_large(TooLarge(2**30))
    'refused: its content takes more memory than the limit of 1024 MiB'
    """
    return f"refused: its content takes more memory than the limit of {error.limit >> 20} MiB"


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


class Budget:
    """How much memory what a file holds may take; every part of it is counted, approximately.

    Args:
        size: Of the file in bytes. Up to 128 times as much may come out of it: 256 MiB of any
            file, and never more than 16 GiB.
        max_bytes: Replaces this limit.
    """

    def __init__(self, size: int, max_bytes: int | None = None):
        default = min(max(_SMALL, _MOST_INFLATED * size), LARGEST)
        self.limit = default if max_bytes is None else max_bytes
        self.opcodes_left = self.limit // _BYTES_PER_OPCODE
        self._values_left = self.limit // _BYTES_PER_VALUE
        self._bytes_left = self.limit

    def take_bytes(self, n: int) -> None:
        """Counts memory that is about to be taken.

        Raises:
            TooLarge: It would be more than permitted.
        """
        self._bytes_left -= n
        if self._bytes_left < 0:
            raise TooLarge(self.limit)

    def take_values(self, n: int) -> None:
        """Counts values; one that is referred to twice is two to whoever walks through it.

        Raises:
            TooLarge: They are more than permitted.
        """
        self._values_left -= n
        if self._values_left < 0:
            raise TooLarge(self.limit)


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
