"""Outside programs that fetch data: run with their output passed on, judged by what they said."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from posepile.acquire.addresses import without_access
from posepile.acquire.credentials import Secret, clean_environment, redact
from posepile.errors import WorkError

# What programs print (boto3, aws) whose AWS keys are missing, wrong or expired. Of a file's head
# only the status is told: 400 for a session that has expired.
AWS_KEY_TROUBLE = (
    *("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"),
    *("InvalidToken", "NoCredentials", "Unable to locate credentials", "Forbidden", "(403)"),
    *("ProfileNotFound", "(400) when calling the HeadObject operation"),
)
_KEPT = 500  # lines of the beginning, of the end, and of those that are looked for
_LONGEST = 2_000  # characters of a line that are kept
# Text that follows a progress bar stands on its line.
_BAR = re.compile(r"[^|]{0,80}\d%\|[^|]*\|[^\]]*\]?")
_PROGRESS = re.compile(r"\d%|\d\s?[kKMGT]?i?B/s")
_REASONS = (  # the first one that a line fits
    re.compile(r"^[\w.]*(Error|Exception)\b: |\bERROR\b|\bfatal error\b|\[Errno"),
    re.compile(r"fail|denied|refused|cannot|could not|unable|timed out", re.IGNORECASE),
    re.compile(r"error", re.IGNORECASE),
)
_UNSAID = re.compile(r"failed to (fetch|get)")  # that, but not why


def aws_environment() -> dict[str, str]:
    """Returns the environment for programs that use the keys of AWS, and nobody else's."""
    return clean_environment(["AWS_*"])


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
    code, lines = run_program(
        call,
        install=install,
        looked_for=(*key_trouble, *left_out),
        environment=aws_environment(),
    )
    skipped = _with_any(lines, left_out)
    failed = code or skipped or _with_any(lines, ["ERROR"])
    if failed and _with_any(lines, key_trouble):
        raise WorkError(f"{call[0]}: {renew}")
    if code or skipped:
        why = _reason(lines) or "no output"
        doubt = f"; if it ends so again: {renew}" if _UNSAID.search(why) else ""
        raise WorkError(
            f"{call[0]} ended with code {code}: {why[:200]}; run this step again, it goes on "
            f"where it stopped{doubt}"
        )


def run_program(
    call: Sequence[str],
    *,
    install: str,
    looked_for: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Runs a program, passing on what it prints; returns its exit code and lines of its output.

    These are the first and the last ones, and those that are looked for; without progress bars,
    which a program prints by the thousand; and without what gives access, whatever it prints.

    Args:
        call: Program and arguments; no shell.
        install: How to install it.
        looked_for: Parts of lines.
        environment: Its variables; those of this process without credentials, if left out.

    Raises:
        WorkError: It is missing.
    """
    if shutil.which(call[0]) is None:
        raise WorkError(f"the program {call[0]} is missing: {install}")
    first: list[str] = []
    marked: list[str] = []
    last: deque[str] = deque(maxlen=_KEPT)
    decode, pending = codecs.getincrementaldecoder("utf-8")("replace").decode, ""
    environment = clean_environment() if environment is None else environment
    hide = _hider(environment)
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as process:
        if process.stdout is None:
            raise WorkError(f"{call[0]} has no output to read")
        while True:
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            text = decode(chunk, final=not chunk) + ("" if chunk else "\n")
            # Whole lines only: half a key could not be told from other text.
            *whole, pending = re.split(r"(?<=[\r\n])", pending + text)
            whole = [hide(line) for line in whole]
            sys.stderr.write("".join(whole) if chunk else "".join(whole)[:-1])
            for line in filter(None, (_BAR.sub("", line).strip()[:_LONGEST] for line in whole)):
                if len(marked) < _KEPT and _with_any([line], looked_for):
                    marked.append(line)
                elif len(first) < _KEPT:
                    first.append(line)
                else:
                    last.append(line)
            if not chunk:
                break
    sys.stderr.flush()
    return process.returncode, [*marked, *first, *last]


def _hider(environment: Mapping[str, str]) -> Callable[[str], str]:
    """Returns what takes secrets out of what a program prints, above all those it was given."""
    public = clean_environment()
    given = [Secret(value) for name, value in environment.items() if name not in public]
    # Short ones, such as a region, are no secrets, and stand in other words.
    given = [secret for secret in given if len(secret.reveal()) >= 12]
    return lambda line: without_access(redact(line, *given))


def _with_any(lines: Sequence[str], signs: Sequence[str]) -> str | None:
    return next((line for line in lines if any(sign in line for sign in signs)), None)


def _reason(lines: Sequence[str]) -> str | None:
    """Why a program ended, as far as it has said so: the last error, else the last line."""
    for pattern in _REASONS:
        if found := [line for line in lines if pattern.search(line)]:
            return found[-1]
    return next((line for line in reversed(lines) if not _PROGRESS.search(line)), None)
