"""What a process writes to its standard error: kept in a file, shown, or the trace of its end."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections import Counter

TRACE_BYTES = 8000
LOG_BYTES = 1 << 20
ALIKE = 3  # so many lines that differ in names and figures alone are shown
KINDS = 100  # of lines; any others count as one
SAID = 1_000_000

# What differs between lines of one kind: paths, and names or figures with digits.
_PARTICULAR = re.compile(r"\S*/\S*|\S*\d\S*")

# How a trace begins: that of a lost task goes into its record, not over the screen.
_TRACES = (b"Fatal Python error", b"Traceback", b"Current thread", b"Thread 0x", b"Timeout (")


class Log:
    """A nameless file for a process' stderr; always appended to, so it can be cut.

    Attributes:
        file: The file.
    """

    def __init__(self):
        self.file = tempfile.TemporaryFile(buffering=0)
        flags = fcntl.fcntl(self.file, fcntl.F_GETFL)
        fcntl.fcntl(self.file, fcntl.F_SETFL, flags | os.O_APPEND)
        self._told = self._seen = 0

    def fileno(self) -> int:
        """Returns its descriptor."""
        return self.file.fileno()

    def size(self) -> int:
        """Returns how many bytes are in it."""
        return os.fstat(self.file.fileno()).st_size

    def cut(self) -> None:
        """Empties it."""
        os.ftruncate(self.file.fileno(), 0)
        self._told = self._seen = 0

    def close(self) -> None:
        """Closes it, and it is gone."""
        self.file.close()

    def end(self) -> str:
        """Returns its last lines."""
        data = os.pread(self.file.fileno(), TRACE_BYTES, max(0, self.size() - TRACE_BYTES))
        lines = data.decode(errors="replace").splitlines()
        return "\n".join(li for li in lines if not li.startswith("Extension modules:")).strip()

    def notes(self) -> list[str]:
        """Returns whole lines that were there at the last call already, each of them once.

        They stay in the file, as the last words of a task that is lost. What is younger may be
        the beginning of a trace, of which nothing is returned.
        """
        until, self._seen = self._seen, self.size()
        if until <= self._told:
            return []
        data = os.pread(self.file.fileno(), min(until - self._told, LOG_BYTES), self._told)
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if any(line.startswith(_TRACES) for line in lines):
            return []
        self._told += len(whole)
        return [line.decode(errors="replace") for line in lines]


class Voice:
    """Lets through what workers say: equal lines once, and of lines that are alike the first ones.

    >>> voice = Voice()
    >>> voice.new([f"/raw/{i}.mp4: {i} frames are missing" for i in range(5)])[1:]
    ['/raw/1.mp4: 1 frames are missing', '/raw/2.mp4: 2 frames are missing']
    >>> voice.last()
    ['and 2 more lines like: /raw/0.mp4: 0 frames are missing']
    """

    def __init__(self):
        self._said: set[int] = set()  # digests: there may be a line for every unit
        self._kinds: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def new(self, lines: list[str]) -> list[str]:
        """Returns those of the lines that are to be shown."""
        shown = []
        for line in lines:
            if not line.strip() or hash(line) in self._said or len(self._said) > SAID:
                continue
            self._said.add(hash(line))
            kind = _PARTICULAR.sub("#", line) if len(self._kinds) < KINDS else ""
            self._kinds[kind] += 1
            self._first.setdefault(kind, line)
            if self._kinds[kind] <= ALIKE:
                shown.append(line)
        return shown

    def last(self) -> list[str]:
        """Returns how many lines were not shown, by kind; for the end, and only once."""
        rest = [(n - ALIKE, self._first[kind]) for kind, n in self._kinds.items() if n > ALIKE]
        self._kinds.clear()
        return [f"and {n} more line{'s' * (n > 1)} like: {line[:200]}" for n, line in rest]


def last_lines(said: str) -> str:
    """Returns the last lines of a text in one, as the end of a message."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return ": " + " / ".join(lines[-3:]) if lines else ""
