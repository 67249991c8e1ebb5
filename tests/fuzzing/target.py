"""What the fuzzer takes: a way to read something, and valid files of it to be damaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzzing.mutators import GENERIC

Mutator = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """One reader as the pipeline calls it.

    Attributes:
        name: Of the target, one word: ``c3d``, ``zip``, ``index`` …
        samples: Writes valid files (or folders) below a folder; returns what is to be damaged.
        use: Reads the damaged copy (first); writes, if it writes, below the second folder only.
        mutators: What damages the bytes of a file; those that know the format first.
        isolated: The pipeline itself runs this reader in a child process of its own; a crash there
            stops one unit.
        is_format: Whether a damaged file is still of the format by its head; for readers of which
            the message does not tell how far they came.
    """

    name: str
    samples: Callable[[Path], Sequence[Path]]
    use: Callable[[Path, Path], object]
    mutators: Sequence[Mutator] = GENERIC
    isolated: bool = False
    is_format: Callable[[Path], bool] | None = None
