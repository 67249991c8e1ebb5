"""One piece of work as it goes: how much is done, how fast, how long it will still take.

At a terminal that is a bar, drawn over and over in one line and gone when the work is done: what
stays on the screen is what was made. Anywhere else (a file, a batch system) a bar would be a
thousand lines, so a whole line is written after ten seconds and then every half minute, later more
rarely. Work that ends before says nothing. A log, where one is kept, gets such
lines beside a bar, too.

No thread draws: where memory lacks, the start of one is waited for for ever. Whoever works calls
:meth:`Progress.update`, or :meth:`Progress.tick` while waiting.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, TypeVar

from posepile.progress.words import amount, duration, rate
from posepile.terminal import note as write_into_log
from posepile.terminal import printable

T = TypeVar("T")

FIRST_SECONDS = 10.0  # before a line is written where there is no terminal
EVERY_SECONDS = 30.0
EVERY_SHARE = 0.05  # of the time since the start: a week of work is no thousand lines
REDRAW_SECONDS = 0.5
SMOOTHING = 0.1  # units end in bursts, several workers at a time

_WITH_TOTAL = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}, {speed}, {remaining} left"
_WITHOUT = "{desc}: {n_fmt}{unit}, {elapsed}"
_BYTES = "{desc}: {n_fmt}{unit}, {speed}, {elapsed}"
_TIME_ALONE = "{desc}: {elapsed}"


class Progress:
    """What is being done and how far it is; a context manager.

    Attributes:
        n: How many are done.
        note: What is said behind the numbers.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        unit: str = "units",
        *,
        quiet: bool = False,
        record: Callable[[dict[str, Any]], None] | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Nothing is shown yet: most work is done before anybody would wonder.

        Args:
            what: What is done, e.g. ``aspset crop``.
            total: How many there are to do; None if that is not known.
            unit: Of what, in the plural; ``B`` for bytes; empty if nothing is counted.
            quiet: Show nothing.
            record: Is given what is known, for others to look at; see :mod:`.record`.
            stream: Where to show it; standard error if left out.
            clock: Returns seconds.
        """
        self.what, self.total, self.unit = printable(what), total, unit
        self.n, self.note = 0, ""
        self._stream = sys.stderr if stream is None else stream
        self._clock, self._record = clock, record
        self._begun = self._drawn = clock()
        self._next = self._begun + FIRST_SECONDS
        self._bar = None
        if not quiet and draws_bars(self._stream):
            self._bar = _bar(self.what, total, unit, self._stream)
        self._says_lines = not quiet

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()

    def update(self, n: int = 1, note: str | None = None) -> None:
        """Says that more is done.

        Args:
            n: How many more.
            note: What is to be said behind the numbers from now on.
        """
        self.n += n
        if self.total is not None and self.n > self.total:  # it was an estimate
            self.total = None
            if self._bar is not None:
                self._bar.total, self._bar.bar_format = None, _form(None, self.unit)
        if note is not None:
            self.note = printable(note)
            if self._bar is not None:
                self._bar.set_postfix_str(self.note, refresh=False)
        if self._bar is not None:
            self._bar.update(n)
        self._maybe_say()

    def tick(self, note: str | None = None) -> None:
        """Says that the work goes on though nothing more is done: the clock is drawn anew."""
        now = self._clock()
        if note is not None:
            self.note = printable(note)
        if now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            self.update(0, note)
            if self._bar is not None and now - self._begun >= REDRAW_SECONDS:
                self._bar.refresh()

    def line(self) -> str:
        """Returns all of it as a line of text."""
        passed = self._clock() - self._begun
        if self.total:
            done = f"{amount(self.n, self.unit).split()[0]} of {amount(self.total, self.unit)}"
            if self.unit == "B":
                done = f"{amount(self.n, 'B')} of {amount(self.total, 'B')}"
            done += f" ({100 * self.n // self.total} %)"
        else:
            done = amount(self.n, self.unit) if self.unit else ""
        words = [done] if done else []
        if self.n and passed > 0:
            words.append(rate(self.n / passed, self.unit))
            left = self.seconds_left()
            words.append(f"{duration(passed)} so far" if left is None else _left(left))
        else:
            words.append(f"{duration(passed)} so far")
        return f"{self.what}: {', '.join([*words, *filter(None, [self.note])])}"

    def seconds_left(self) -> float | None:
        """Returns how long the rest takes at the speed up to now; None if that is not known."""
        if not self.n or not self.total:
            return None
        passed = self._clock() - self._begun
        return max(0, self.total - self.n) * passed / self.n

    def _maybe_say(self) -> None:
        if self._record is None and not self._says_lines:
            return
        now = self._clock()
        if self._record is not None:
            self._record(self._facts(now))
        if self._says_lines and now >= self._next:
            self._next = now + max(EVERY_SECONDS, EVERY_SHARE * (now - self._begun))
            if self._bar is None:
                self._stream.write(f"{self.line()}\n")
                self._stream.flush()
            else:
                write_into_log(self.line())

    def _facts(self, now: float) -> dict[str, Any]:
        passed = now - self._begun
        return {
            "what": self.what,
            "done": self.n,
            "of": self.total,
            "unit": self.unit,
            "per_second": self.n / passed if passed > 0 else None,
            "seconds": passed,
            "seconds_left": self.seconds_left(),
            "note": self.note,
        }


def over(items: Iterable[T], what: str, total: int | None = None, **asked: Any) -> Iterator[T]:
    """Yields the items and shows how many there were.

    Args:
        items: What is gone through.
        what: What is done with them.
        total: How many there are; None if that is not known.
        **asked: As of :class:`Progress`.
    """
    with Progress(what, total, **asked) as progress:
        for item in items:
            yield item
            progress.update()


@contextlib.contextmanager
def doing(what: str, *, quiet: bool = False, stream: TextIO | None = None) -> Iterator[None]:
    """Shows at a terminal what is being done, of work that cannot tell how far it is.

    Args:
        what: What is done.
        quiet: Show nothing.
        stream: Where to show it; standard error if left out.
    """
    stream = sys.stderr if stream is None else stream
    if quiet or not draws_bars(stream):
        yield
        return
    from tqdm import tqdm

    tqdm.monitor_interval = 0
    form = "{desc} …"
    with tqdm(desc=printable(what), file=stream, leave=False, bar_format=form, delay=0):
        yield


def draws_bars(stream: TextIO) -> bool:
    """Returns whether what is written there can be drawn over: a terminal that knows how."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # a stream that is closed
        return False


def _left(seconds: float) -> str:
    return f"{duration(seconds)} left"


def _bar(what: str, total: int | None, unit: str, stream: TextIO):
    from tqdm import tqdm

    class Bar(tqdm):
        """Says the speed as our lines do."""

        monitor_interval = 0  # its thread; see above

        @property
        def format_dict(self):
            found = super().format_dict
            passed = found["elapsed"]
            speed = found["rate"] or (found["n"] / passed if passed > 0 else 0)
            return {**found, "speed": rate(speed, unit) if speed else "?/s"}

    return Bar(
        desc=what,
        total=total,
        unit=unit if unit in ("", "B") else f" {unit}",
        unit_scale=unit == "B",
        file=stream,
        leave=False,
        delay=REDRAW_SECONDS,
        dynamic_ncols=True,
        smoothing=SMOOTHING,
        bar_format=_form(total, unit),
    )


def _form(total: int | None, unit: str) -> str:
    form = {"": _TIME_ALONE, "B": _BYTES}.get(unit, _WITHOUT)
    return (form if total is None else _WITH_TOTAL) + "{postfix}"
