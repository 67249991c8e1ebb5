"""Outside programs that fetch data: run with their output passed on, judged by what they said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from posepile.errors import WorkError

_TAIL = 20_000  # characters of output that are kept


def run_program(call: Sequence[str], *, install: str) -> tuple[int, str]:
    """Runs a program, passing on what it prints; returns its exit code and the end of its output.

    Args:
        call: Program and arguments; no shell.
        install: How to install it.

    Raises:
        WorkError: It is missing.
    """
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
