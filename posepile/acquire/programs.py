"""Outside programs that fetch data: run with their output passed on, judged by what they said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from posepile.errors import WorkError

_TAIL = 20_000  # characters of output that are kept


@dataclass(frozen=True)
class Keys:
    """Keys that a program works with and that may be wrong or expire.

    Attributes:
        signs: Of which the program says one when they do not work.
        renew: What to do then.
    """

    signs: tuple[str, ...]
    renew: str

    def fail_in(self, output: str) -> bool:
        """Returns whether this is what a program says when the keys do not work."""
        return any(sign in output for sign in self.signs)


def run_downloader(call: Sequence[str], *, install: str, keys: Keys, skips: str) -> None:
    """Runs a program that fetches files, passing on what it prints, until it has them all.

    Args:
        call: Program and arguments; no shell.
        install: How to install it.
        keys: That it works with.
        skips: What it says of files that it leaves out, although its exit code is 0 then.

    Raises:
        WorkError: It is missing, or not all was fetched; the message says what to do.
    """
    code, tail = _run(call, install)
    skipped = next((line for line in tail.splitlines() if skips in line), None)
    if keys.fail_in(tail) and (code or skipped or "ERROR" in tail):
        raise WorkError(f"{call[0]}: {keys.renew}")
    if code or skipped:
        last = skipped or next((x for x in reversed(tail.splitlines()) if x.strip()), "no output")
        raise WorkError(
            f"{call[0]} ended with code {code}: {last.strip()[:200]}; run this step "
            "again, it goes on where it stopped"
        )


def _run(call: Sequence[str], install: str) -> tuple[int, str]:
    """Runs a program; returns its exit code and the end of its output."""
    if shutil.which(call[0]) is None:
        raise WorkError(f"the program {call[0]} is missing: {install}")
    tail = ""
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if process.stdout is None:
            raise WorkError(f"{call[0]} has no output to read")
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            text = chunk.decode(errors="replace")
            sys.stderr.write(text)
            tail = (tail + text)[-_TAIL:]
    sys.stderr.flush()
    return process.returncode, tail
