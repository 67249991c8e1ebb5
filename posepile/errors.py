"""Errors as part of the interface: one line each, with the exit code the command line gives.

Every message names the file or key, the place in it, what was found, what was expected and what to
do. ``UsageError`` is what the caller asked wrongly (exit 2); ``WorkError`` is work that failed
(exit 1). Neither is shown with a traceback.
"""

from __future__ import annotations

import os


class PosePileError(Exception):
    """Base of all errors whose text is meant for the user."""

    exit_code = 1


class UsageError(PosePileError):
    """The request itself is wrong: unknown dataset, bad configuration key, missing DATA_ROOT."""

    exit_code = 2


class WorkError(PosePileError):
    """The request was right but the work failed."""


def one_line(error: BaseException) -> str:
    """Returns what a library says, without line breaks and not for ever."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


class CorruptInput(WorkError):
    """A raw file (or one frame of it) that cannot be used.

    Args:
        file: The offending file.
        reason: What was found and what was expected.
        frame: Source frame index, where the fault is in one frame only.
        hint: What the user can do about it.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        reason: str,
        *,
        frame: int | None = None,
        hint: str | None = None,
    ):
        self.file = os.fspath(file)
        self.reason = reason
        self.frame = frame
        self.hint = hint
        where = self.file if frame is None else f"{self.file}, frame {frame}"
        super().__init__(f"{where}: {reason}" + (f"; {hint}" if hint else ""))

    def __reduce__(self):  # keyword-only arguments survive the way back from a worker process
        return _rebuild_corrupt, (self.file, self.reason, self.frame, self.hint)


def _rebuild_corrupt(file: str, reason: str, frame: int | None, hint: str | None) -> CorruptInput:
    return CorruptInput(file, reason, frame=frame, hint=hint)
