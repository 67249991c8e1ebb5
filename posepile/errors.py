"""Errors as part of the interface: one line each, with the exit code the command line gives.

Every message names the file or key, the place in it, what was found, what was expected and what to
do. ``UsageError`` is what the caller asked wrongly (exit 2); ``WorkError`` is work that failed
(exit 1). Neither is shown with a traceback.

Making one of these errors may give a :class:`Shortage` instead: see :class:`PosePileError`.
"""

from __future__ import annotations

import os
import re
import sys

from posepile.shortage import shortage_behind
from posepile.terminal import printable

_LONGEST = 2000  # characters of a message; names from files may be of any length

_stand_for: dict[str, str] = {}  # folder here -> address of the objects for which its files stand


def stands_for(folder: str | os.PathLike, address: str) -> None:
    """Lets messages name the objects of a store instead of the files here that stand for them."""
    _stand_for[os.path.join(folder, "")] = f"{address}/"


def as_told(text: str) -> str:
    """Returns a text in which objects of a store have their addresses.

    >>> stands_for("/cache/raw/x-1/files", "s3://bucket/x")
    >>> as_told("/cache/raw/x-1/files/a.mkv: is truncated")
    's3://bucket/x/a.mkv: is truncated'
    """
    for folder, address in _stand_for.items():
        text = text.replace(folder, address)
    return text


class PosePileError(Exception):
    """Base of our errors. **Making one may give an object of another class**: a ``Shortage``.

    When the machine lacks memory, file handles or room on a disk, libraries answer as they do to
    a damaged file. So whoever makes an error of ours inside an ``except`` is asked what is behind
    it, and gets a :class:`Shortage` where that is the machine:

    >>> import errno
    >>> def read(number):
    ...     try:
    ...         raise OSError(number, "cannot open it")
    ...     except OSError as e:
    ...         return WorkError(f"a.npz: {e.strerror}")
    >>> type(read(errno.ENOENT)).__name__, type(read(errno.EMFILE)).__name__
    ('WorkError', 'Shortage')

    Some sixty places put what a library raises into words of ours. Did each have to ask, one
    would be forgotten, and there good files would be quarantined; as it is, none can forget. A
    ``Shortage`` is no ``WorkError``, so nobody who does without a damaged file takes it for one.

    The text is meant for the user: one line, whatever a name in it holds.
    """

    exit_code = 1

    def __new__(cls, *args, **kwargs):
        """Returns an object of this class, or a :class:`Shortage` if that has led to the error."""
        error = super().__new__(cls, *args)
        if issubclass(cls, Shortage):
            return error
        error.__init__(*args, **kwargs)
        lack = shortage_behind(sys.exc_info()[1], in_doubt=error.in_doubt())
        return error if lack is None else Shortage(f"{error.found()}: {lack}")

    def in_doubt(self) -> bool:
        """Returns whether a lack of memory or of file handles may look like this error."""
        return False

    def found(self) -> str:
        """Returns the place and what was found there, without what to do about it."""
        return str(self).partition("; ")[0]

    def __reduce__(self):
        # It comes back from a worker as it was judged there: this process may lack other things.
        return _as_judged, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        text = printable(as_told(super().__str__()))
        half = _LONGEST // 2
        return text if len(text) <= _LONGEST else f"{text[: half - 3]} ... {text[2 - half :]}"


def _as_judged(kind: type[PosePileError], args: tuple, state: dict) -> PosePileError:
    error = Exception.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(PosePileError):
    """The request itself is wrong: unknown dataset, bad configuration key, missing DATA_ROOT."""

    exit_code = 2


class WorkError(PosePileError):
    """The request was right but the work failed."""


class PartlyDone(WorkError):
    """A recipe has prepared its raw files, but for some; the units of these are refused later.

    Raised by ``calibrate``, it stops nothing: one bad file costs its own units alone.
    """


class Shortage(PosePileError):
    """The machine lacks memory, file handles, threads, or room on a disk, or cannot write there.

    The run stops and nothing is quarantined: the same work succeeds once there is enough.
    """


def raise_if_shortage(place: str | os.PathLike, error: BaseException) -> None:
    """Raises :class:`Shortage` if the machine is behind an error; else does nothing.

    For who goes on without the file, and so makes no error of ours.

    Raises:
        Shortage: The machine lacked something when the file was read or written.
    """
    absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
    if absent and error.__cause__ is error.__context__ is None:
        return  # nothing is behind it, which is asked for each of many files
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


def leads_nowhere(path: str | os.PathLike) -> bool:
    """Returns whether a path is a link to nothing, or in a circle."""
    return os.path.islink(path) and not os.path.exists(path)


def no_raw_data(root: str | os.PathLike, name: str) -> WorkError:
    """Returns the error for a raw folder that is absent or empty, or a link to nowhere."""
    if leads_nowhere(root):
        where = f"is a link to {os.readlink(root)}, where nothing is"
        return WorkError(f"{os.fspath(root)}: {where}; is its disk mounted?")
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

    def in_doubt(self) -> bool:
        """Returns whether the file is there: what is absent is so whatever the machine lacks."""
        return os.path.lexists(self.file)
