"""VRS recordings (Project Aria): the JSON texts among their tags."""

from __future__ import annotations

import json
import mmap
import os
import struct
from typing import Any

from posepile.errors import CorruptInput
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import read_bytes


def read_vrs_tag(path: str | os.PathLike, tag: str, *, hint: str | None = AGAIN) -> Any:
    """Returns the JSON text of a tag of a VRS file: the tag, the length of the text, the text.

    Raises:
        CorruptInput: Missing or empty file, or no such tag with a JSON text in it.
    """
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = -1
            while (at := data.find(tag.encode(), at + 1)) >= 0:
                start = at + len(tag)
                head = data[start : start + 4]
                length = struct.unpack("<I", head)[0] if len(head) == 4 else 0
                if length and data[start + 4 : start + 5] == b"{":
                    try:
                        return json.loads(data[start + 4 : start + 4 + length])
                    except ValueError:
                        continue
    except (OSError, ValueError):
        read_bytes(path, hint=hint)  # says what is wrong, if it is missing
    raise CorruptInput(path, f"no {tag} tag found", hint=hint)
