"""What the walks through files of others raise, and the limit of the memory that a file may take.

Libraries that read such files crash, hang or fill the memory on damaged ones. So what a library
would follow is walked through first: counted before it is read, refused where it is damaged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from posepile.errors import CorruptInput

# Memory that an opcode of a pickle and a value in a list take, about.
_BYTES_PER_OPCODE = 64
_BYTES_PER_VALUE = 32
_SMALL, LARGEST, _MOST_INFLATED = 2**28, 2**34, 128


@contextlib.contextmanager
def walking(path: str | os.PathLike, *, hint: str | None) -> Iterator[None]:
    """Makes CorruptInput of what a walk through a file raises.

    >>> with walking("a.cdf", hint="fetch it again"):
    ...     raise Damaged("record at 8: found 3 bytes; expected 12")
    Traceback (most recent call last):
    posepile.errors.CorruptInput: a.cdf: record at 8: found 3 bytes; expected 12; fetch it again

    Args:
        path: For messages.
        hint: What the user can do about it.

    Raises:
        CorruptInput: The file is damaged, or would take more memory than permitted.
    """
    try:
        yield
    except Damaged as e:
        raise CorruptInput(path, str(e), hint=hint) from None
    except TooLarge as e:
        raise CorruptInput(path, too_large(e), hint=hint) from None


class Damaged(Exception):
    """A part of a file contradicts the rest of it: the place, what was found and expected."""


class TooLarge(Exception):
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
