"""Lines of a list of exclusions: an image path or a glob, and behind ``#`` why."""

from __future__ import annotations

import re

# Image paths may have # in them.
_COMMENT = re.compile(r"(?:^|\s)#")
_GLOB = re.compile(r"[*?\[]")


def pattern_and_reason(line: str) -> tuple[str, str]:
    """Returns the image path or glob of a line and its comment, each empty where there is none.

    >>> pattern_and_reason("a/b#1.jpg  # no person")
    ('a/b#1.jpg', 'no person')

    Args:
        line: A line of the list.
    """
    pattern, *reason = _COMMENT.split(line, maxsplit=1)
    return pattern.strip(), reason[0].strip() if reason else ""


def is_glob(text: str) -> bool:
    """Returns whether a text may stand for others: it has one of the characters ``*?[``."""
    return bool(_GLOB.search(text))
