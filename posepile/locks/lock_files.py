"""Lock files: locks of the system where they hold between machines, leases elsewhere."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posepile.errors import UsageError, WorkError
from posepile.locks.holders import holder_words
from posepile.locks.leases import announced, announced_by, leased
from posepile.locks.waiting import Wait

# Disks of several machines on which a lock is granted that another machine knows nothing of:
# always or by default, or where they are mounted so. What Linux shows in /proc/self/mountinfo.
_OWN_LOCKS = re.compile(r"beegfs(_nodev)?|fuse(\..*)?")  # not fuseblk, a disk of this machine
_OWN_LOCKS_IF = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock", "local_lock=posix"),
    "nfs4": ("nolock", "local_lock=all", "local_lock=flock", "local_lock=posix"),
    "lustre": ("localflock", "noflock"),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
}
MOUNTS = Path("/proc/self/mountinfo")


@contextlib.contextmanager
def locked(
    path: Path,
    *,
    shared: bool = False,
    busy: str | None = None,
    waiting: str = "",
) -> Iterator[None]:
    """Holds a lock file. The lock is dropped when the process ends, however it ends.

    Where the disk knows no locks, or they end at the machine, it is a lease; see
    :mod:`posepile.locks.leases`.

    Args:
        path: The lock file; made if needed and never removed.
        shared: Others may hold it too, unless they want it for themselves.
        busy: Message of the error if others hold the lock; None = wait for them.
        waiting: What to tell the user when waiting.

    Raises:
        WorkError: Others hold the lock, or it was lost meanwhile.
    """

    def told(found: list[dict[str, Any]]) -> None:
        names = list(dict.fromkeys(map(holder_words, found)))
        more = [f"{len(names) - 3} more"] if len(names) > 3 else []
        who = "; ".join(names[:3] + more)
        if busy is not None:
            raise WorkError(f"{path}: {busy}" + (f" ({who})" if who else ""))
        print(waiting + (f" ({who})" if who and waiting else ""), file=sys.stderr)

    path.parent.mkdir(parents=True, exist_ok=True)
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    # Not for appending: that would wait for ever, should a pipe lie there.
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "rb") as f:
        missing = locks_end_at_machine(path.parent)
        try:
            if not missing:
                fcntl.flock(f, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            told(announced_by(path))
            fcntl.flock(f, mode)
        except OSError as e:
            missing = locks_are_missing(e)
            if not missing:
                raise
        hold = leased if missing else announced
        wait: Wait = "always" if busy is None else "until known"
        with hold(path, shared=shared, wait=wait, told=told) as held:
            if not held:  # told has raised this already
                raise WorkError(f"{path}: {busy}")
            yield


def locks_are_missing(error: OSError) -> bool:
    """Returns whether an error of locking says that the file system knows no locks."""
    return error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


def locks_end_at_machine(folder: Path) -> bool:
    """Returns whether a lock in a folder may hold on this machine alone.

    ``POSEPILE_LOCKS`` decides, ``system`` or ``leases``; else how the disk is mounted.

    Args:
        folder: It is there.

    Raises:
        UsageError: ``POSEPILE_LOCKS`` says something else.
    """
    asked = os.environ.get("POSEPILE_LOCKS", "")
    if asked not in ("", "system", "leases"):
        raise UsageError(f"POSEPILE_LOCKS={asked}: expected system or leases")
    return asked == "leases" or (not asked and _is_mounted_so(os.stat(folder).st_dev))


@functools.cache
def _is_mounted_so(device: int) -> bool:
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in MOUNTS.read_text(errors="replace").splitlines():
            own, _, rest = line.partition(" - ")
            if own.split()[2] == number:
                kind, _, options = rest.split()[:3]
                said = {*own.split()[5].split(","), *options.split(",")}
                return bool(_OWN_LOCKS.fullmatch(kind) or said & set(_OWN_LOCKS_IF.get(kind, ())))
    return False
