"""Damaged files that were put aside: what they are called, and that they are to come again.

Where they come from is not known of files that a person has extracted, so which ones are lacking
is kept in the raw folder, ``.posepile/put-aside.json``, as ``{"version": 1, "files": [...]}``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from posepile.acquire.patterns import STATE_DIR, glob_regex
from posepile.files import read_object, write_json


def free_name(path: Path, ending: str = ".damaged") -> Path:
    """Returns a name beside a file that nothing has yet.

    Args:
        path: The file.
        ending: What is added to its name; then ``-2``, ``-3`` and so on.
    """
    name, n = Path(f"{path}{ending}"), 1
    while os.path.lexists(name):
        n += 1
        name = Path(f"{path}{ending}-{n}")
    return name


def keep_lacking(root: Path, files: Iterable[str]) -> None:
    """Writes down that files are to come again.

    Args:
        root: Raw folder.
        files: Their paths below it.
    """
    known = {*_all(root), *files}
    write_json(_path(root), {"version": 1, "files": sorted(known)}, durable=True)


def lacking(root: Path, patterns: Iterable[str] | None = None) -> list[str]:
    """Returns which files were put aside and have not come again.

    Args:
        root: Raw folder.
        patterns: Of the files that are meant; all if left out.
    """
    gone = [path for path in _all(root) if not os.path.lexists(os.path.join(root, path))]
    if patterns is None or not gone:
        return gone
    meant = [glob_regex(p) for p in patterns]
    return [path for path in gone if any(r.fullmatch(path) for r in meant)]


def _path(root: Path) -> Path:
    return Path(root) / STATE_DIR / "put-aside.json"


def _all(root: Path) -> list[str]:
    found = (read_object(_path(root)) or {}).get("files")
    return [p for p in found if isinstance(p, str)] if isinstance(found, list) else []
