"""Errors as part of the interface: one line each, with the exit code the command line gives.

Every message names the file or key, the place in it, what was found, what was expected and what to
do. ``UsageError`` is what the caller asked wrongly (exit 2); ``WorkError`` is work that failed
(exit 1). Neither is shown with a traceback.

An error that is made because the machine lacks memory, file handles or room on a disk says nothing
about a file: in place of any other error it is a :class:`Shortage`, wherever it is raised.
That is no ``WorkError``, so nobody who does without a damaged file takes it for one.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from typing import NoReturn

from posepile.shortage import shortage_behind
from posepile.terminal import printable

_LONGEST = 2000  # characters of a message; names from files may be of any length


class PosePileError(Exception):
    """Base of all errors whose text is meant for the user: one line, whatever a name holds."""

    exit_code = 1

    def __new__(cls, *args, **kwargs):
        """Returns a :class:`Shortage` where a shortage has led to this error."""
        error = super().__new__(cls, *args)
        if issubclass(cls, Shortage):
            return error
        # What is simply not there is not there whatever the machine lacks.
        of_content = issubclass(cls, CorruptInput) and os.path.lexists(args[0])
        lack = shortage_behind(sys.exc_info()[1], in_doubt=of_content)
        if lack is None:
            return error
        error.__init__(*args, **kwargs)
        return Shortage(f"{error.found()}: {lack}")

    def found(self) -> str:
        """Returns the place and what was found there, without what to do about it."""
        return str(self).partition("; ")[0]

    def __str__(self) -> str:
        text = printable(super().__str__())
        half = _LONGEST // 2
        return text if len(text) <= _LONGEST else f"{text[: half - 3]} ... {text[2 - half :]}"


class UsageError(PosePileError):
    """The request itself is wrong: unknown dataset, bad configuration key, missing DATA_ROOT."""

    exit_code = 2


class WorkError(PosePileError):
    """The request was right but the work failed."""


class Shortage(PosePileError):
    """The machine lacks memory, file handles, threads, or room or rights on a disk.

    The run stops and nothing is quarantined: the same work succeeds once there is enough.
    """


def refuse_shortage(place: str | os.PathLike, error: BaseException) -> None:
    """Does nothing if an error says something of a file, for those who put it into words.

    Raises:
        Shortage: The machine lacked something when the file was read or written.
    """
    absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
    lack = shortage_behind(error, in_doubt=not absent)
    if lack is not None:
        place = "" if lack.startswith(os.fspath(place)) else f"{os.fspath(place)}: "
        raise Shortage(f"{place}{lack}") from error


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


def whole_number(text: str) -> int | None:
    """Returns the number that the digits 0 to 9 spell; None for any other text.

    For what people, files, servers and the environment say: ``int`` also takes digits of other
    scripts, underscores, blanks and signs, and ``str.isdigit`` even what ``int`` refuses.

    >>> [whole_number(text) for text in ("17", "007", "1_7", "\u0663", "\u00b2", "-1", " 1", "")]
    [17, 7, None, None, None, None, None, None]
    """
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


class OneLineParser(argparse.ArgumentParser):
    """Reads a command line; what is wrong with it is one line, as all our errors are."""

    def error(self, message: str) -> NoReturn:
        """Prints the error and where the options are listed; exit 2."""
        text = f"{self.prog}: {message}; {self.prog} --help lists the options"
        self.exit(2, f"{printable(text)}\n")

    def parse_args(self, args=None, namespace=None):
        """Parses; options that nobody knows are said by the command that was given them."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = getattr(found, "parser", self)
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{parser.near(unknown[0])}")
        return found

    def near(self, word: str) -> str:
        """Returns a question about the option that may be meant; nothing if none is like it."""
        known = [option for action in self._actions for option in action.option_strings]
        close = difflib.get_close_matches(word.partition("=")[0], known, 1)
        return f" (did you mean {close[0]}?)" if close and word.startswith("-") else ""


def complain(error: BaseException | str) -> None:
    """Says on standard error what went wrong."""
    print(printable(f"posepile: {error}"), file=sys.stderr)


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
        super().__init__(self.found() + (f"; {hint}" if hint else ""))

    def found(self) -> str:
        """Returns the place and what was found there, without what to do about it."""
        where = self.file if self.frame is None else f"{self.file}, frame {self.frame}"
        return f"{where}: {self.reason}"

    def __reduce__(self):  # keyword-only arguments survive the way back from a worker process
        return _rebuild_corrupt, (self.file, self.reason, self.frame, self.hint)


def _rebuild_corrupt(file: str, reason: str, frame: int | None, hint: str | None) -> CorruptInput:
    return CorruptInput(file, reason, frame=frame, hint=hint)
