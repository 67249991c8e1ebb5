"""What is shown to a person is text: names from files cannot steer a terminal or forge a line.

File names, members of archives and texts inside raw files come from others. Printed as they are,
an escape sequence in one clears the screen or changes the window's title, a line break pretends
another message, a right-to-left mark turns ``gpj.exe`` around, and a lone surrogate (a byte of a
file name that is no UTF-8) stops ``print`` itself.

:func:`printable` is what makes text safe, and our errors, output and report pass through it: who
puts a name into a message need not. Three functions do something else for one kind of text each:
``errors.one_line`` shortens what a library says, ``acquire.addresses.told_by_server`` what a
server says, without the keys in its addresses, and ``acquire.members.shown`` puts the name of a
member into quotation marks, since it may begin or end with blanks, and shortens it.

What is typed in a terminal, a command line, is read here, too, and what programs read of us is
written here: :func:`print_json`. A person's terminal shows colours (:func:`paint`), where they
help and are wanted; they never say what the words do not.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import json
import math
import os
import re
import secrets
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, TextIO

# What progress bars move the cursor with; and the end of a colour, which a library of numba's
# writes at a terminal when the program ends.
_MOVES = re.compile(r"\r?(\n|\x1b\[A)*|\x1b\[0m")

# What :func:`paint` may be asked for, by what it means, and how a terminal is told so.
STYLES = {"good": "32", "doubt": "33", "bad": "31", "name": "36", "strong": "1", "faint": "2"}

# Stands for the begin of a colour until a stream writes it. It is drawn anew by each process, so
# no text from a file can hold it, and of printable characters, so it outlives :func:`printable`.
_MARK = f"[{secrets.token_hex(8)}:"
_MARKS = re.compile(re.escape(_MARK) + r"(\d+)\]")

# What lines begin with that are to be copied into a shell.
_COMMANDS = "bash source export mv ln mkdir rmdir aws $EDITOR pip python posepile".split()

_document: TextIO | None = None  # where print_json writes while standard output is kept for it
_log: Log | None = None  # what is said is kept there as well


def printable(text: str, keep: str = "") -> str:
    r"""Returns the text with everything escaped that is not simply seen.

    >>> print(printable("take\x1b[2J 7\n"))
    take\x1b[2J 7\n

    Args:
        text: Any text.
        keep: Characters that stay as they are although they are not printable.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def colourful(stream: TextIO | None = None) -> bool:
    """Returns whether colours are wanted on a stream: standard output, unless another is given.

    They are on a terminal that knows them. ``NO_COLOR`` switches them off (no-color.org) and
    ``FORCE_COLOR`` on, wherever the output goes; a text of no characters is as good as none.
    """
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("TERM", "") in ("", "dumb"):
        return False
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # none at all, or a closed one
        return False


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Returns the text so that it is shown in a colour, where colours are wanted.

    To be called where the line is put together that is printed next: what it returns is longer
    than what is seen, so columns are padded first, and is of no use in a file.

    >>> paint("missing", "bad")  # a test is no terminal
    'missing'

    Args:
        text: What to show. It has to say all of it without the colour.
        style: A key of ``STYLES``.
        stream: Where it will be printed; standard output, if left out.
    """
    code = STYLES[style]
    stream = sys.stdout if stream is None else stream
    if not text or not isinstance(stream, PrintableStream) or not colourful(stream):
        return text
    return f"{_MARK}{code}]{text}{_MARK}0]"


def unpainted(text: str) -> str:
    """Returns the text without what :func:`paint` has put in.

    >>> unpainted("missing")
    'missing'
    """
    return _MARKS.sub("", text)


def print_json(document: Any) -> None:
    """Prints one JSON document on standard output, which holds nothing else then.

    Paths become texts, data classes and mappings objects, arrays and sets lists; what is no
    number (NaN, infinite) becomes null, as JSON has no word for it.

    >>> import pathlib
    >>> print_json({"name": pathlib.PurePosixPath("a.jpg"), "error": float("nan")})
    {
     "name": "a.jpg",
     "error": null
    }

    Args:
        document: What to print.
    """
    text = json.dumps(_plain(document), indent=1, allow_nan=False)
    stream = sys.stdout if _document is None else _document
    stream.write(f"{text}\n")
    stream.flush()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, str) else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(item) for item in sorted(value, key=str)]
    if hasattr(value, "tolist"):  # of numpy
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


@contextlib.contextmanager
def kept_for_json(wanted: bool = True) -> Iterator[None]:
    """Keeps standard output for :func:`print_json`; all else that is printed goes to the other."""
    global _document
    before, output = _document, sys.stdout
    if wanted and _document is None:
        _document, sys.stdout = output, sys.stderr
    try:
        yield
    finally:
        _document, sys.stdout = before, output


@contextlib.contextmanager
def logged(file: str | os.PathLike | None) -> Iterator[None]:
    """Writes what is said meanwhile into a file as well, a line at a time; None: does nothing.

    Raises:
        OSError: The file cannot be written.
    """
    global _log
    before = _log
    _log = Log(file) if file is not None else before
    try:
        yield
    finally:
        if _log is not before:
            _log.close()
        _log = before


def note(text: str) -> None:
    """Writes into the log, if one is kept, and nowhere else."""
    if _log is not None:
        _log.add(printable(text, keep="\n") + "\n", 0)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Lets standard output and standard error show plain text alone, lines and tabs aside."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        s if isinstance(s, PrintableStream) else PrintableStream(s) for s in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def print_lines(lines: Iterable[str]) -> None:
    """Prints one line for each text, whatever line breaks are in it.

    A terminal breaks long lines anywhere; there prose is broken between words.
    """
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in map(printable, lines):
        print(line if columns is None else wrapped(line, columns))


def wrapped(line: str, columns: int) -> str:
    """Returns a line broken between words; commands stay whole, as do paths and addresses.

    >>> print(wrapped("  see https://example.org/a/long/address for more", 24))
      see
          https://example.org/a/long/address
          for more

    Args:
        line: The line.
        columns: How many characters fit.
    """
    words = unpainted(line).split(maxsplit=1)
    fits = len(unpainted(line)) <= columns or not words
    if fits or words[0] in _COMMANDS or line != unpainted(line):
        return line
    indent = len(line) - len(line.lstrip())
    return textwrap.fill(
        line,
        columns,
        subsequent_indent=" " * (indent + 4),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def complain(error: BaseException | str) -> None:
    """Says on standard error what went wrong."""
    print(f"{paint('posepile:', 'bad', sys.stderr)} {printable(str(error))}", file=sys.stderr)


class Log:
    """A file that takes whole lines, each with its time, also from several processes at once.

    Progress bars are not in it: a bar is drawn over the last one, and a file keeps them all.

    Args:
        file: Where to append.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, file: str | os.PathLike):
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._begun: dict[int, str] = {}  # what has been said of a line, by stream
        self._lock = threading.Lock()

    def add(self, text: str, stream: int) -> None:
        """Takes what is written into a stream; complete lines are in the file when it returns."""
        if text.startswith("\r") or (text != "\n" and _MOVES.fullmatch(text)):
            return
        with self._lock:
            *lines, rest = (self._begun.get(stream, "") + text).split("\n")
            self._begun[stream] = rest
            self._write(line for line in lines if line.strip())

    def close(self) -> None:
        """Writes lines that have no end yet, and closes the file."""
        with self._lock:
            self._write(line for line in self._begun.values() if line.strip())
            self._begun = {}
            os.close(self._descriptor)

    def _write(self, lines: Iterable[str]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        text = "".join(f"{now} {line}\n" for line in lines)
        if text:
            os.write(self._descriptor, text.encode("utf-8", "backslashreplace"))


class OneLineParser(argparse.ArgumentParser):
    """Reads a command line; what is wrong with it is one line, as all our errors are."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.color = False  # Python 3.14 colours the help by sequences that our streams escape

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

    def _check_value(self, action, value):
        """Refuses what is none of the choices, and says which of them may be meant."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError:
            choices = [str(choice) for choice in action.choices]
            close = difflib.get_close_matches(str(value), choices, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            text = f"invalid choice: {value!r} ({hint}choose from {', '.join(choices)})"
            raise argparse.ArgumentError(action, text) from None

    def near(self, word: str) -> str:
        """Returns a question about the option that may be meant; nothing if none is like it."""
        known = [option for action in self._actions for option in action.option_strings]
        close = difflib.get_close_matches(word.partition("=")[0], known, 1)
        return f" (did you mean {close[0]}?)" if close and word.startswith("-") else ""


class PrintableStream:
    """A text stream that escapes what it is given; all else is that of the stream below."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes the text as :func:`printable` shows it, in its colours; returns its length."""
        if not _MOVES.fullmatch(text):
            returned = "\r" * text.startswith("\r")  # a progress bar, drawn over the last one
            text = returned + printable(text[len(returned) :], keep="\n\t")
        if _log is not None:
            _log.add(unpainted(text), id(self))
        text = _MARKS.sub("\x1b[\\1m", text)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        # A terminal of another character set shows what it lacks as escapes too.
        return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines) -> None:
        """Writes one text after the other."""
        for line in lines:
            self.write(line)
