"""Errors as part of the interface: one line each, with the exit code the command line gives.

Every message names the file or key, the place in it, what was found, what was expected and what to
do. ``UsageError`` is what the caller asked wrongly (exit 2); ``WorkError`` is work that failed
(exit 1). Neither is shown with a traceback.
"""

from __future__ import annotations

import os

from posepile.terminal import printable

_LONGEST = 2000  # characters of a message; names from files may be of any length


class PosePileError(Exception):
    """Base of all errors whose text is meant for the user: one line, whatever a name holds."""

    exit_code = 1

    def __str__(self) -> str:
        text = printable(super().__str__())
        half = _LONGEST // 2
        return text if len(text) <= _LONGEST else f"{text[: half - 3]} ... {text[2 - half :]}"


class UsageError(PosePileError):
    """The request itself is wrong: unknown dataset, bad configuration key, missing DATA_ROOT."""

    exit_code = 2


class WorkError(PosePileError):
    """The request was right but the work failed."""


def not_there_yet(place: str | os.PathLike, what: str, name: str, todo: str = "") -> WorkError:
    """Returns the error for what has not been fetched or made yet: the same one everywhere.

    >>> print(not_there_yet("/data/x.barecat", "archive", "x"))
    /data/x.barecat: nothing there yet: no archive of x; posepile run x

    Args:
        place: The file or folder that is absent or empty.
        what: ``raw data`` or ``archive``.
        name: The dataset, or its build.
        todo: What brings it; running the dataset, if left out.
    """
    todo = todo or f"posepile run {name}"
    return WorkError(f"{os.fspath(place)}: nothing there yet: no {what} of {name}; {todo}")


def no_raw_data(root: str | os.PathLike, name: str) -> WorkError:
    """Returns the error for a raw folder that is absent or empty."""
    todo = f"run its download stage first (posepile plan {name} shows what is needed)"
    return not_there_yet(root, "raw data", name, todo)


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
