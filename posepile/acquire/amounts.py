"""Lines of a plan that are about bytes, so that all of them come to one sum."""

from __future__ import annotations


class Amount(str):
    """A line of a recipe's plan that is about so many bytes which are not here yet.

    Attributes:
        bytes: How many.
        less: Setting ``key=value`` that asks for less of it; empty if there is none.
    """

    bytes: int
    less: str

    def __new__(cls, text: str, n: float = 0, less: str = ""):
        """Returns the line."""
        line = super().__new__(cls, text)
        line.bytes, line.less = round(n), less
        return line
