"""Progress of what comes from the web, and lines of text that do not break into it."""

from __future__ import annotations

from collections.abc import Callable

from posepile.progress import Progress


def progress_bar(name: str, total: int | None = None) -> Progress:
    """Returns what counts the bytes of a file: a bar, or a line now and then."""
    return Progress(name, total, "B")


def between_bars(log: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a ``log`` for several threads: one line at a time, and no bar in it."""
    from tqdm import tqdm

    def write(line: str) -> None:
        with tqdm.external_write_mode():  # holds the lock under which bars are drawn
            log(line)

    return write
