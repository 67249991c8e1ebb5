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
    except Exception as e:  # modules that are half there have neither names nor attributes
        lack = shortage_behind(e, in_doubt=True)
        if lack is None:
            raise
        sys.exit(f"posepile: {lack}")
    command()


if __name__ == "__main__":
    main()
