"""Progress bars at a terminal, and lines of text that do not break into them."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm


def progress_bar(name: str, total: int | None = None) -> tqdm:
    """Returns a bar that counts bytes; nothing is shown where there is no terminal."""
    tqdm.monitor_interval = 0  # no thread: where memory lacks, its start is waited for for ever
    return tqdm(
        desc=name, total=total, unit="B", unit_scale=True, disable=None, leave=False, delay=0.5
    )


def between_bars(log: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a ``log`` for several threads: one line at a time, and no bar in it."""

    def write(line: str) -> None:
        with tqdm.external_write_mode():  # holds the lock under which bars are drawn
            log(line)

    return write
