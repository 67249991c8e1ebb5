"""Predictions in JSON, and keys of which none may be there twice.

Every refusal is one line that names the file, what was found and how often. What is wrong with
predictions is for their author to repair: no message advises to fetch anything again.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import check
from posepile.formats.text_files import read_text

WRITE_AGAIN = "write the predictions again"


@contextlib.contextmanager
def advising_to_write_again() -> Iterator[None]:
    """Replaces the advice of readers of raw files, to fetch these again, in what they raise.

    >>> with advising_to_write_again():
    ...     raise CorruptInput("pred.pkl", "truncated", hint="fetch or extract it again")
    Traceback (most recent call last):
    posepile.errors.CorruptInput: pred.pkl: truncated; write the predictions again
    """
    try:
        yield
    except CorruptInput as e:
        raise CorruptInput(e.file, e.reason, hint=WRITE_AGAIN) from None


def read_pred_json(path: str | os.PathLike, schema: Any = None, *, hint: str = WRITE_AGAIN) -> Any:
    """Returns the checked content of predictions in JSON; no key may be there twice.

    >>> path = folder / "pred.json"
    >>> _ = path.write_text('{"0": [[1, 2, 3]], "1": [[4, 5, 6]]}')
    >>> read_pred_json(path, {"*": Array("J", 3)})["1"]
    array([[4., 5., 6.]])

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, not JSON, a key twice, or not as expected.
    """
    twice: list[tuple[dict, str, int]] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            counts = collections.Counter(key for key, _ in pairs)
            twice.extend((result, key, n) for key, n in counts.items() if n > 1)
        return result

    try:
        content = json.loads(read_text(path, hint=hint), object_pairs_hook=unique)
    except (ValueError, RecursionError) as e:
        raise CorruptInput(path, f"not valid JSON: {one_line(e)}", hint=hint) from None
    if twice:
        mapping, key, n = twice[0]
        place = "/".join([*_place_of(mapping, content), key])
        raise CorruptInput(
            path, f"key {place!r} is there {n} times ({len(twice)} such keys)", hint=hint
        )
    return check(content, schema, path, hint=hint)


def _place_of(part: dict, content: Any) -> tuple[str, ...]:
    """Returns the keys that lead to a part of the content; none for the whole, or if not there."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs if content is not part else ():
        if value is part:
            return (str(key),)
        if isinstance(value, (dict, list)) and (rest := _place_of(part, value)):
            return str(key), *rest
    return ()


def flatten(content: Mapping, depth: int) -> dict[str, Any]:
    """Returns nested mappings as one, the keys joined to paths.

    >>> flatten({"take7": {"0": "a", "30": "b"}}, 2)
    {'take7/0': 'a', 'take7/30': 'b'}

    Args:
        content: Mappings of text, ``depth`` of them inside each other.
        depth: How many keys make a path.
    """
    if depth == 1:
        return dict(content)
    return {
        f"{key}/{rest}": value
        for key, inner in content.items()
        for rest, value in flatten(inner, depth - 1).items()
    }


def refuse_twice(names: Sequence[Hashable], where: str | os.PathLike, what: str) -> None:
    """Refuses names of which one is there twice.

    Raises:
        CorruptInput: Names the first of them, and how many there are.
    """
    if len(set(names)) < len(names):
        count = collections.Counter(names)
        twice = [name for name, n in count.items() if n > 1]
        raise CorruptInput(
            where,
            f"{what} {twice[0]} is there {count[twice[0]]} times ({len(twice)} such, "
            f"{len(names)} predictions); expected each once",
            hint=WRITE_AGAIN,
        )
