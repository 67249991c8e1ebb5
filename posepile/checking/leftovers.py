"""What runs leave below DATA_ROOT, and in which way two such states differ."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from pathlib import Path

_TIMES = re.compile(
    rb"<section id='timings'>.*?</section>|<a href='#timings'>.*?</li>", re.DOTALL
)  # and the line about it in the overview


def contents(root: Path, name: str) -> dict[str, str]:
    """Returns path -> digest of the files below DATA_ROOT.

    Files of the work folder and of the download's bookkeeping hold times: of those only counts
    that they are there. The page about the dataset lies in the work folder and is compared, but
    for the section that says how long the work took and its line of the overview.
    """
    found = {}
    for path in sorted(p for p in root.rglob("*") if not p.is_dir()):
        inside = path.relative_to(root).as_posix()
        timed = inside.startswith((f"{name}_work/", f"{name}/.posepile/"))
        if timed and path.name.startswith("content-"):
            continue  # named after the times of raw files; those of earlier times stay
        if path.parent.suffix == ".system":
            continue  # who held a lock when it was killed; whoever takes it next removes that
        if timed and path.name != "report.html":
            found[inside] = "is there"
        else:
            data = path.read_bytes()
            data = _TIMES.sub(b"", data) if timed else data
            found[inside] = hashlib.sha256(data).hexdigest()
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Returns in which files two states differ, one line each."""
    lines = [f"{f} is missing" for f in expected.keys() - found.keys()]
    lines += [f"{f} is too many" for f in found.keys() - expected.keys()]
    lines += [f"{f} has other bytes" for f, d in expected.items() if found.get(f, d) != d]
    return sorted(lines)


def held_locks(root: Path) -> list[Path]:
    """Returns the lock files below a folder that somebody still holds."""
    held = []
    held += sorted(p for folder in ("lease", "shared") for p in root.rglob(f"*.{folder}/*"))
    found = {*root.rglob(".lock*"), *root.rglob("*.lock")}
    for path in sorted(p for p in found if p.is_file()):
        with open(path, "r+b") as f:
            for function in (fcntl.flock, fcntl.lockf):
                try:
                    function(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(path)
                    break
    return held


def users_of(folder: Path) -> dict[int, str]:
    """Returns processes other than this one that work in a folder or have a file of it open."""
    found, own = {}, os.getpid()
    inside = os.path.join(os.path.realpath(folder), "")
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) == own:
            continue
        with contextlib.suppress(OSError):
            links = [f"/proc/{name}/cwd"]
            links += [f"/proc/{name}/fd/{fd}" for fd in os.listdir(f"/proc/{name}/fd")]
            for link in links:
                with contextlib.suppress(OSError):
                    target = os.readlink(link)
                    if os.path.join(target, "").startswith(inside):
                        found[int(name)] = target
    return found
