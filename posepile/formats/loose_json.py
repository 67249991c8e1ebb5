"""Files that are nearly JSON, as people write it by hand."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import read_text


def read_loose_json(path: str | os.PathLike, schema: Any, *, hint: str | None = AGAIN) -> Any:
    """Returns the checked first value of a file that is JSON but for what is often wrong in it.

    Written by hand, commas stand before closing brackets; other values after the first are left.

    >>> _ = (folder / "take.json").write_text('{"calib": "c1",} {"calib": "c2",}')
    >>> read_loose_json(folder / "take.json", {"calib": str})
    {'calib': 'c1'}

    Args:
        path: The file.
        schema: As in :func:`posepile.formats.text_files.read_json`, as is ``hint``.
        hint: See there.

    Raises:
        CorruptInput: Missing, no JSON even so, or not as expected.
    """
    text = re.sub(r",(\s*[}\]])", r"\1", read_text(path, hint=hint)).lstrip()
    try:
        content = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None
    return check(content, schema, path, hint=hint)
