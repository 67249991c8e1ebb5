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

What is typed in a terminal, a command line, is read here, too.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NoReturn, TextIO

# What progress bars move the cursor with.
_MOVES = re.compile(r"\r?(\n|\x1b\[A)*")


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


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Lets standard output and standard error show plain text alone, lines and tabs aside."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = PrintableStream(sys.stdout), PrintableStream(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def print_lines(lines: Iterable[str]) -> None:
    """Prints one line for each text, whatever line breaks are in it."""
    for line in lines:
        print(printable(line))


def complain(error: BaseException | str) -> None:
    """Says on standard error what went wrong."""
    print(printable(f"posepile: {error}"), file=sys.stderr)


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


class PrintableStream:
    """A text stream that escapes what it is given; all else is that of the stream below."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes the text as :func:`printable` shows it; returns its length."""
        if not _MOVES.fullmatch(text):
            returned = "\r" * text.startswith("\r")  # a progress bar, drawn over the last one
            text = returned + printable(text[len(returned) :], keep="\n\t")
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        # A terminal of another character set shows what it lacks as escapes too.
        return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines) -> None:
        """Writes one text after the other."""
        for line in lines:
            self.write(line)
