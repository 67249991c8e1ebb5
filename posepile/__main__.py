"""``python -m posepile`` is the same as the ``posepile`` command."""

from posepile.cli import main

main()
