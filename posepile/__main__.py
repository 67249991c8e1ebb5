"""The ``posepile`` command, also as ``python -m posepile``."""

from __future__ import annotations

import sys

from posepile.shortage import shortage_at_start, shortage_behind


def main() -> None:
    """Entry point; what is lacking already for the imports is said in one line, exit 1."""
    lack = shortage_at_start()
    if lack is not None:
        sys.exit(f"posepile: {lack}")
    try:
        from posepile.cli import main as command
    except (MemoryError, ImportError, OSError, RuntimeError) as e:
        lack = shortage_behind(e)
        if lack is None:
            raise
        sys.exit(f"posepile: {lack}")
    command()


if __name__ == "__main__":
    main()
