"""Waiting for locks made of names: how often one looks, and which holders are found dead."""

from __future__ import annotations

import errno
import os
import random
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from posepile.durable import is_alive
from posepile.errors import WorkError
from posepile.locks.holders import (
    holder_words,
    lease_seconds,
    owner_of,
    record_of,
)
from posepile.locks.renewal import RENEWALS, let_go

# Beside a lock: who holds it as a lock of the system, for those whose disk has none.
NOTES = ".system"
UNSEEN = "a lock of its system, unseen here: give POSEPILE_LOCKS=leases to all machines"

Told = Callable[[list[dict[str, Any]]], None]

# While others hold it; until it is known whether those of other machines are alive; not at all.
Wait = Literal["always", "until known", "never"]

# Processes of other machines that were found dead -> when they renewed a lease last, by the disk's
# clock. What else they hold and have not renewed since then need not be watched as long again.
_LEFT: dict[tuple, int] = {}


class Waiting:
    """What one process has seen of the leases of others while it waits, by its own clock."""

    def __init__(
        self,
        path: Path,
        *,
        wait: Wait = "always",
        told: Told = lambda holders: None,
        alive: Callable[[], None] = lambda: None,
    ):
        self.path, self.wait, self.told, self.alive = path, wait, told, alive
        self.pause, self.has_told, self.has_said = 0.01, False, False
        self.begun = time.monotonic()
        # File -> (what it was when last looked at, its record, since when it is unchanged).
        self._seen: dict[Path, tuple[tuple, dict[str, Any], float]] = {}
        self._renewed: set[Path] = set()

    def goes_on(self, others: list[Path]) -> bool:
        """Waits a moment; false at once if there is nothing to be waited for."""
        # One that comes to share holds the lease for some milliseconds, which keeps nobody off.
        lasting = [f for f in others if not (self.is_shared(f) and f.parent.suffix == ".lease")]
        decided = self.wait != "until known" or any(map(self._is_known, lasting))
        if lasting and decided and not self.has_told:
            self.told(self._to_be_told(lasting))
            self.has_told = True
        if lasting and decided and self.wait != "always":
            return False
        if lasting and not decided and not self.has_said and time.monotonic() > self.begun + 0.5:
            who = "; ".join(map(holder_words, self._to_be_told(lasting))) or "somebody"
            print(f"{self.path}: looking whether {who} is still there", file=sys.stderr)
            self.has_said = True
        self.alive()
        # A thousand may wait for one: not in step, and the seldomer the longer it takes.
        time.sleep(self.pause * random.uniform(0.5, 1))
        longest = max(1.0, (time.monotonic() - self.begun) / 20)
        self.pause = min(2 * self.pause, longest, lease_seconds() / RENEWALS)
        return True

    def living(self, folder: Path) -> list[Path]:
        """The leases or notes in a folder that may be held; those of the dead are removed.

        Raises:
            WorkError: Something else lies there.
        """
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise _something_else(folder, "a folder of leases") from None
        found = [file for name in sorted(names) if self._is_seen(file := folder / name)]
        return [file for file in found if not self._is_left(file)]

    def records(self, files: list[Path]) -> list[dict[str, Any]]:
        """Who holds them, as far as it can be read."""
        return [record for f in files if (record := self._seen[f][1])]

    def is_shared(self, file: Path) -> bool:
        """Whether the holder of a lease shares it, or is about to."""
        return self._seen[file][1].get("shared") is True

    def _to_be_told(self, files: list[Path]) -> list[dict[str, Any]]:
        return [
            record | ({"by": UNSEEN} if _is_note(f) else {})
            for f in files
            for record in self.records([f])
        ]

    def _is_known(self, file: Path) -> bool:
        """Whether a lease is known to be held by somebody alive, or will not be known better."""
        known = file in self._renewed or _is_for_good(file)
        return known or is_alive(self._seen[file][1]) is not None

    def _is_seen(self, file: Path) -> bool:
        """Looks at a lease; whether it is there."""
        try:
            # Opened, as NFS asks the server anew only then; not waiting, should it be a pipe.
            with open(file, "rb", opener=_without_waiting) as f:
                status = os.fstat(f.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise _something_else(file, "a lease")
                data = f.read(1 << 16)
        except FileNotFoundError:
            if file.is_symlink():
                raise _something_else(file, "a lease") from None
            return False
        except IsADirectoryError:
            raise _something_else(file, "a lease") from None
        except OSError as e:
            if e.errno == errno.ESTALE:  # it has ended on another machine
                return False
            raise
        stamp, before = (status.st_mtime_ns, status.st_ino, data), self._seen.get(file)
        if before is None or before[0] != stamp:
            self._seen[file] = stamp, record_of(data), time.monotonic()
            if before is not None:
                self._renewed.add(file)
        return True

    def _is_left(self, file: Path) -> bool:
        """Whether the holder of a lease is dead; then the lease goes."""
        (written, *_), record, since = self._seen[file]
        alive, passed = is_alive(record), time.monotonic() - since
        if alive is not None:
            left = not alive
        else:
            left = not _is_for_good(file) and _is_over(record, written, passed)
        if left and let_go(file) and record and alive is None:
            print(
                f"{file.parent}: was held by {holder_words(record)}, and not renewed for "
                f"{passed:.0f} s: taken over",
                file=sys.stderr,
            )
        return left


def _is_over(record: dict[str, Any], written: int, passed: float) -> bool:
    """Whether a lease of another machine counts as left behind.

    Args:
        record: What it says.
        written: When it was renewed last, in nanoseconds by the disk's clock.
        passed: For how many seconds it has been seen not to be renewed.
    """
    seconds, owner = record.get("seconds", lease_seconds()), owner_of(record)
    over = passed > seconds
    if owner in _LEFT:  # half the time is several renewals
        over |= written < _LEFT[owner] + seconds * 1e9 / 2
    if over and record:
        _LEFT[owner] = max(written, _LEFT.get(owner, 0))
    return over


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _something_else(path: Path, expected: str) -> WorkError:
    return WorkError(
        f"{path}: expected {expected}, found something else, not from PosePile: move it away "
        "and run again"
    )


def _is_note(file: Path) -> bool:
    return file.parent.suffix == NOTES


def _is_for_good(file: Path) -> bool:
    """Whether a note counts until its owner ends: it is not renewed, as the system holds the lock.

    Where all were told to use leases, it was left behind.
    """
    return _is_note(file) and os.environ.get("POSEPILE_LOCKS") != "leases"
