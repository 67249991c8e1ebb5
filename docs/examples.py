"""Docstrings as pages show them: examples and names of code as code; an extension of griffe."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

# From a line with a prompt to the next empty line: what doctest takes for one example.
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)

ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")


class Examples(Extension):
    """Fences every example, makes roles plain."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Changes the docstring of an object; griffe calls it."""
        if obj.docstring is not None:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", text)
