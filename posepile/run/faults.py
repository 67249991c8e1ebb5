"""What could not be used, said once: faults of one kind together, all of them in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from posepile.errors import as_told
from posepile.files import presence, write_atomically
from posepile.run.job import Run
from posepile.run.keys import Keys
from posepile.terminal import printable

MISSING = "file is missing"

NAMED = 3  # so many files of a kind of fault are named
KINDS = 12  # so many kinds are said; thirteen hundred different ones would say nothing

# What differs between messages of one kind: paths, and names or figures with digits.
_PARTICULAR = re.compile(r"\S*/\S*|\S*\d\S*")


def error_line(error: dict[str, Any]) -> str:
    """Returns a quarantine entry as one line.

    >>> error_line({"file": "a.mp4", "frame": 3, "reason": "is of a cat", "hint": "look"})
    'a.mp4, frame 3: is of a cat; look'
    """
    return printable(as_told(f"{_place(error)}: {error['reason']}{_hint(error)}"))


def fault_lines(errors: list[dict[str, Any]], root: Path, where: Path, more: int = 0) -> list[str]:
    """Returns a line for every kind of fault: how often, what, and the first files.

    >>> errors = [{"file": f"/raw/{i}.mp4", "reason": "is of a cat"} for i in range(5)]
    >>> errors.append({"file": "/raw/x.csv", "reason": "not CSV", "hint": "fetch it again"})
    >>> for line in fault_lines(errors, Path("/raw"), Path("list.txt")):
    ...     print(line)
    5 x is of a cat: 0.mp4, 1.mp4, 2.mp4, …
    /raw/x.csv: not CSV; fetch it again
    all of them: list.txt

    Args:
        errors: ``file``, ``reason``, perhaps ``frame`` and ``hint`` each.
        root: Raw folder; of several files the names below it are given.
        where: Where all are listed.
        more: How many of those were said before.
    """
    kinds = _kinds(errors)
    lines = [_kind_line(kind, root) for kind in kinds[:KINDS]]
    if len(kinds) > KINDS:
        n = sum(map(len, kinds[KINDS:]))
        lines.append(f"{n} x {len(kinds) - KINDS} other reasons")
    if more > NAMED or len(kinds) > KINDS or any(len(kind) > NAMED for kind in kinds):
        lines.append(f"all of them: {where}")
    return lines


def list_path(run: Run) -> Path:
    """Returns the file that lists what a run, or its share of one, could not use."""
    index, count = run.shard
    share = "" if count == 1 else f"-{index}-of-{count}"
    return run.work / f"quarantined{share}.txt"


def write_list(errors: Iterable[dict[str, Any]], path: Path) -> None:
    """Writes every fault as a line; there is no file where there is none."""
    lines = [error_line(error) for error in errors]
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        write_atomically(path, text.encode(errors="backslashreplace"), durable=False)
    else:
        path.unlink(missing_ok=True)


class MissingFiles:
    """Which units lack an input file, looked up without opening any.

    Attributes:
        names: The first missing file of each such unit, below the raw folder.
    """

    def __init__(self, run: Run, keys: Keys):
        self.names: list[str] = []
        self._name, self._root, self._keys, self._there = run.name, run.root, keys, presence()

    def look(self, unit_id: str, names: list[str]) -> None:
        """Takes in the input files of a unit that is to be worked on."""
        lost = next((name for name in names if self._is_missing(self._root / name)), None)
        if lost is not None and not self._keys.excluded_as_whole(unit_id):
            self.names.append(lost)

    def _is_missing(self, path: Path) -> bool:
        try:
            # Asked again by name: not every file system tells capitals from small letters.
            return not self._there(path) and not os.path.lexists(path)
        except OSError:  # a folder that cannot be listed; reading the file will say it
            return False

    def lines(self) -> list[str]:
        """Returns what is to be said before the work begins; nothing if all are there."""
        if not self.names:
            return []
        n, files = len(self.names), list(dict.fromkeys(self.names))
        units = f"{n} unit{'' if n == 1 else 's'}"
        hint = f"posepile doctor {self._name} says what else is"
        return [printable(f"{units} cannot be made, a {MISSING}: {_some(files)}; {hint}")]


def without_missing(errors: list[dict], run: Run, said: list[str]) -> tuple[list[dict], int]:
    """Returns the faults that were not said before the work began, and how many were."""
    before = {str(run.root / name) for name in said}
    left = [e for e in errors if e["reason"] != MISSING or e["file"] not in before]
    return left, len(errors) - len(left)


def _kinds(errors: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Faults of one reason together, but for names and figures; in order of the first."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for error in errors:
        own = rf"(?<!\w){re.escape(Path(error['file']).name)}(?!\w)"
        text = re.sub(own, "#", f"{error['reason']}{_hint(error)}")
        kinds.setdefault(_PARTICULAR.sub("#", text), []).append(error)
    return list(kinds.values())


def _kind_line(kind: list[dict[str, Any]], root: Path) -> str:
    if len(kind) == 1:
        return error_line(kind[0])
    places = list(dict.fromkeys(_place(error, root) for error in kind))
    if len(places) == 1:
        return f"{len(kind)} x {error_line(kind[0])}"
    first = f"{kind[0]['reason']}{_hint(kind[0])}"
    same = all(f"{e['reason']}{_hint(e)}" == first for e in kind[:1000])
    like = "" if same else " (the first; others with other names and figures)"
    return printable(as_told(f"{len(kind)} x {first}{like}: {_some(places)}"))


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _place(error: dict[str, Any], root: Path | None = None) -> str:
    file = error["file"] if root is None else error["file"].removeprefix(f"{root}/")
    return file if error.get("frame") is None else f"{file}, frame {error['frame']}"


def _hint(error: dict[str, Any]) -> str:
    return f"; {error['hint']}" if error.get("hint") else ""
