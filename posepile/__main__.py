"""``python -m posepile`` is the same as the ``posepile`` command."""

import sys


def start() -> None:
    """Runs the command; it can also be interrupted while its modules are being loaded."""
    try:
        from posepile.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    start()
