"""What a terminal shows of what is written into it: bars are drawn over, lines stay."""

import io


class Terminal(io.StringIO):
    """A stream that says it is a terminal, of 80 columns."""

    def isatty(self):
        return True

    def screen(self):
        """The lines as they look at the end, without blanks at their ends."""
        shown = []
        for line in self.getvalue().split("\n"):
            cells = []
            for piece in line.split("\r"):
                cells[: len(piece)] = piece
            shown.append("".join(cells).rstrip())
        return shown


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now
