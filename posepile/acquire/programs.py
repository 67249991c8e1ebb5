"""Outside programs that fetch data: run with their output passed on, judged by what they said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from posepile.errors import WorkError

# What programs print (boto3, aws) whose AWS keys are missing, wrong or expired.
AWS_KEY_TROUBLE = (
    *("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"),
    *("InvalidToken", "NoCredentials", "Unable to locate credentials", "Forbidden", "(403)"),
    "ProfileNotFound",
)
_TAIL = 20_000  # characters of output that are kept


def fetch_by_program(
    call: Sequence[str],
    *,
    install: str,
    renew: str,
    key_trouble: Sequence[str] = AWS_KEY_TROUBLE,
    left_out: Sequence[str] = (),
) -> None:
    """Runs a program that fetches data and goes on where it stopped, passing on what it prints.

    Args:
        call: Program and arguments; no shell.
        install: How to install it.
        renew: What to do when the keys do not work.
        key_trouble: Parts of lines that say so.
        left_out: Parts of lines that say that files were left out, whatever the exit code.

    Raises:
        WorkError: It is missing, its keys do not work, or it has not fetched everything.
    """
    code, tail = run_program(call, install=install)
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    skipped = next((line for line in lines if any(sign in line for sign in left_out)), None)
    if any(sign in tail for sign in key_trouble) and (code or skipped or "ERROR" in tail):
        raise WorkError(f"{call[0]}: {renew}")
    if code or skipped:
        last = skipped or (lines[-1] if lines else "no output")
        raise WorkError(
            f"{call[0]} ended with code {code}: {last[:200]}; run this step again, it goes on "
            "where it stopped"
        )


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
