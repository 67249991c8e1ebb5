"""Locks made of names alone, for disks whose own locks are missing or end at the machine.

A lease is a small file that tells who holds it. It lies in a folder, ``<lock file>.lease``, which
was renamed into its place with the file in it: that fails while the folder there is not empty, so
only one succeeds, on NFS too. The holder renews the file's time from a thread. Nobody else's file
has its name, so whoever ends a lease, its holder or one who found that dead, ends no other.

A holder is dead if its process is gone, which shows on its own machine at once; of another machine
if its lease was not renewed for a while, which the one who waits measures by its own clock: those
of two machines may be hours apart. A holder that was only held up (a laptop asleep, a server that
did not answer) finds its lease gone and ends its work.

Those who share a lock lie in ``<lock file>.shared``. A file comes in there only while its owner
holds the lease, so that one who wants the lock alone takes the lease and then looks who shares.
Machines whose system has locks on the disk leave notes in ``<lock file>.system``, see
:func:`announced`.

What it rests on: a rename is atomic, replaces an empty folder and fails on any other (RFC 1813,
NFS version 3, procedure RENAME; RFC 8881, version 4.1, section 18.26; POSIX, ``rename``). If the
answer is lost, the client may hear of a failure although it was done, so the name is looked for,
as open(2) of Linux advises for ``link``. Files and folders are opened anew each time, since Linux
asks the server again then (close-to-open consistency, nfs(5)); mounted with ``nocto`` it does not.

Why none of the libraries: flufl.lock does not share, and breaks a lock when its time is over by
the clocks of two machines. The SoftFileLock of filelock does not share, and knows the dead of its
own machine alone; its SoftReadWriteLock begins with one. Neither tells who holds a lock.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posepile.durable import own_temporary, remove_left_once
from posepile.errors import WorkError
from posepile.locks.holders import own_record
from posepile.locks.renewal import Lease, let_go, lost_words
from posepile.locks.waiting import NOTES, Told, Wait, Waiting

# Folders that are not empty: Linux says the first, other systems the second.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


# ---------------------------------------------------------------- holding


@contextlib.contextmanager
def leased(
    path: Path,
    *,
    shared: bool = False,
    wait: Wait = "always",
    vital: bool = True,
    told: Told = lambda holders: None,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[bool]:
    """Holds a lease.

    Args:
        path: The lock file that the lease stands for; its folder is there.
        shared: Others may hold it too, unless they want it for themselves.
        wait: Wait while others hold it, only until it is known whether those of other machines
            are alive, or not even for that.
        vital: The work must not go on when the lease was lost.
        told: Is given those who hold it, once: before waiting, or when it is given up.
        alive: Called while waiting.

    Yields:
        Whether it is held: without waiting it may not be.

    Raises:
        WorkError: Another has taken the lease over, as this process did not renew it in time.
    """
    waiting = Waiting(path, wait=wait, told=told, alive=alive)
    lease = _take(path, own_record(shared), waiting, vital)
    if lease is None:
        yield False
        return
    try:
        yield True
    finally:
        lease.end()
    if lease.lost and vital:
        raise WorkError(lost_words(path))


@contextlib.contextmanager
def announced(path: Path, *, shared: bool, wait: Wait, told: Told) -> Iterator[bool]:
    """Tells who holds a lock of the system, and keeps off while others hold leases in its place.

    Machines that mount a disk in another way may see no locks of it. They look for the notes when
    they have their lease, and the others for leases when they have left their note: two that come
    at once see each other, and the note gives way.

    Args:
        path: The lock file, which this process has locked.
        shared: Others may have locked it too.
        wait: As of :func:`leased`.
        told: Is given those who hold leases, once: before waiting, or when it is given up.

    Yields:
        Whether nobody does: without waiting somebody may.
    """
    place, sharing, notes = _beside(path)
    note, pid = notes / uuid.uuid4().hex, os.getpid()
    text = json.dumps(own_record(shared)) + "\n"
    waiting = Waiting(path, wait=wait, told=told)
    if not shared:  # whoever has left another note has ended without removing it
        with contextlib.suppress(OSError):
            for name in os.listdir(notes):
                let_go(notes / name)
    try:
        while True:
            with contextlib.suppress(OSError):  # a full disk stops nothing here
                _put(note, text)
            others = waiting.living(place) + ([] if shared else waiting.living(sharing))
            if not others:
                break
            let_go(note)
            if not waiting.goes_on(others):
                break
        yield not others
    finally:
        if os.getpid() == pid:
            with contextlib.suppress(OSError):
                let_go(note)


def announced_by(path: Path) -> list[dict[str, Any]]:
    """Returns who has announced to hold a lock of the system, as :func:`holder_words` takes it."""
    for pause in (0.02, 0.2, 0):  # a note is left when the lock is held, so a little later
        waiting = Waiting(path)
        if living := waiting.living(_beside(path)[2]):
            return waiting.records(living)
        time.sleep(pause)
    return []


# ---------------------------------------------------------------- taking


def _beside(path: Path) -> list[Path]:
    """Where the lease of a lock is, those of who shares it, and notes of locks of the system."""
    return [path.with_name(path.name + suffix) for suffix in (".lease", ".shared", NOTES)]


def _take(path: Path, record: dict[str, Any], waiting: Waiting, vital: bool) -> Lease | None:
    """The lease; None if others hold it and are not to be waited for."""
    place, sharing, notes = _beside(path)
    token = uuid.uuid4().hex
    lease, taken = None, False

    def in_the_way() -> list[Path]:
        if record["shared"]:
            return [f for f in waiting.living(notes) if not waiting.is_shared(f)]
        return waiting.living(sharing) + waiting.living(notes)

    try:
        while lease is None:
            # Who is found dead goes, so that the next round finds the place empty.
            others = waiting.living(place)
            if others or not _rename_into(place, token, record):
                if not waiting.goes_on(others):
                    return None
            elif not record["shared"]:
                lease = Lease(place / token, path, vital)
            elif _join(place / token, sharing, record):
                lease = Lease(sharing / token, path, vital)
        while others := in_the_way():
            if not waiting.goes_on(others):
                return None
        taken = True
        return lease
    finally:
        if not taken:
            if lease is not None:
                lease.end()
            for folder in (place, sharing):  # it was interrupted
                let_go(folder / token)


def _put(file: Path, text: str) -> None:
    """Writes a file into a folder that is made for it, and removed with the last in it."""
    while not file.exists():
        # Not ``exist_ok``: that looks again, and the last one may leave in between.
        with contextlib.suppress(FileExistsError):
            os.mkdir(file.parent)
        with contextlib.suppress(FileNotFoundError):  # the last one has left just now
            file.write_text(text)


def _rename_into(place: Path, token: str, record: dict[str, Any]) -> bool:
    """Puts a folder with a lease where none is, or an empty one; whether that was done."""
    remove_left_once(place.parent)
    new = own_temporary(place)
    new.mkdir()
    try:
        (new / token).write_text(json.dumps(record) + "\n")
        for _ in range(2):
            try:
                os.rename(new, place)
                break
            except OSError as e:
                if e.errno not in _TAKEN:
                    raise
            with contextlib.suppress(OSError):
                os.rmdir(place)  # not every disk replaces an empty folder
        # NFS may say that a rename failed which was done, when the answer was lost.
        return (place / token).exists()
    except FileNotFoundError:  # another machine of the same name took it for left behind
        return False
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _join(passing: Path, sharing: Path, record: dict[str, Any]) -> bool:
    """Puts a file beside those who share, while the lease is held; whether it was until then."""
    mine = sharing / passing.name
    try:
        _put(mine, json.dumps(record) + "\n")
    finally:
        # Held until here: whoever takes the lease from now on sees the file.
        in_time = let_go(passing)
    if not in_time:
        let_go(mine)
    return in_time
