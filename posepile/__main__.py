"""The ``posepile`` command, also as ``python -m posepile``."""

from __future__ import annotations

import sys

from posepile.shortage import shortage_at_start, shortage_behind


def main() -> None:
    """Entry point; modules take a second to load, and may be interrupted or lack memory then."""
    lack = shortage_at_start()
    if lack is not None:
        sys.exit(f"posepile: {lack}")
    try:
        from posepile.cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as e:  # modules that are half there have neither names nor attributes
        lack = shortage_behind(e, in_doubt=True)
        if lack is None:
            raise
        sys.exit(f"posepile: {lack}")
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
