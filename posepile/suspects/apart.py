"""Suspects found in a process of its own: ``python -m posepile.suspects.apart NAME``.

Finding takes all of a core for seconds to minutes, in which a program that serves pages could not
answer. What was found is written to standard output, for whoever started it.
"""

from __future__ import annotations

import os
import sys

from posepile.suspects.kept import packed_suspects


def main() -> None:
    """Finds the suspects of the build that is the argument."""
    os.nice(10)
    sys.stdout.buffer.write(packed_suspects(sys.argv[1]))


if __name__ == "__main__":
    main()
