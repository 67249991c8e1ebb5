"""What is on a disk after a power cut: the calls of a process are watched, the rest is a model.

The model is that of POSIX, which promises less than most file systems keep:

* What was written to a file since its last ``fsync`` may be there, be zeros, or be missing from
  any place on.
* What was changed in a folder since its last ``fsync`` (names made, replaced, removed) may have
  happened or not, each by itself. Only a file that was renamed is never lost with both names.

Only this process is watched, with all of its threads.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from posepile import durable

# Audit events of operations that change what is on the disk; those of opening count for writing.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_listener: Callable[[], None] | None = None
_hooked = False

Names = dict[int, dict[str, int]]  # of a folder, by its inode: name -> inode


@contextlib.contextmanager
def before_changes(call: Callable[[], None]) -> Iterator[None]:
    """Calls a function right before each operation of this process that changes a disk."""
    global _listener, _hooked
    if not _hooked:
        sys.addaudithook(_hear)  # stays for the life of the process and does nothing by itself
        _hooked = True
    outer, _listener = _listener, call
    try:
        yield
    finally:
        _listener = outer


def _hear(event: str, args: tuple) -> None:
    if _listener is None:
        return
    if event == "open":
        if isinstance(args[2], int) and args[2] & _WRITES:
            _listener()
    elif event in CHANGES:
        _listener()


class Disk:
    """What of a folder would be there after a power cut.

    Args:
        root: The folder; what is in it now is on the disk.
    """

    def __init__(self, root: Path):
        self.root = root
        self.names: Names = {}  # as they are on the disk
        self.synced: dict[int, tuple[int, int]] = {}  # inode -> time and size then
        self._one_at_a_time = threading.RLock()
        self._held: dict[int, int] = {}  # file descriptors, so that no inode is used again
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.sync_all()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Notes what is synced meanwhile; nothing is really waited for."""
        with (
            mock.patch.object(os, "fsync", self._fsync),
            mock.patch.object(durable, "syncfs", lambda fd: self.sync_all()),
        ):
            yield

    def close(self) -> None:
        """Lets go of the files."""
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()

    def sync_all(self) -> None:
        """Takes everything as it is now for being on the disk."""
        with self._one_at_a_time:
            for folder, _, files in os.walk(self.root):
                self._sync_folder(folder)
                for file in files:
                    self._sync_file(os.stat(os.path.join(folder, file)))

    def _fsync(self, fd: int) -> None:
        with self._one_at_a_time:
            self._sync(fd)

    def _sync(self, fd: int) -> None:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            self._sync_folder(f"/proc/self/fd/{fd}/.")
        else:
            self._sync_file(found)

    def _sync_file(self, found: os.stat_result) -> None:
        self.synced[found.st_ino] = found.st_mtime_ns, found.st_size

    def _sync_folder(self, folder: str) -> None:
        inode, names = os.stat(folder).st_ino, {}
        self._hold(inode, folder)
        for entry in os.scandir(folder):
            names[entry.name] = entry.inode()
            self._hold(entry.inode(), entry.path)
            if entry.is_dir():  # what is in it is another matter
                self.names.setdefault(entry.inode(), {})
        self.names[inode] = names

    def _hold(self, inode: int, path: str) -> None:
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_RDONLY)

    # ------------------------------------------------------------ after the cut

    def cut(self, target: Path, rng: random.Random) -> None:
        """Makes a folder as it might be if the power went out now.

        Args:
            target: The folder to make.
            rng: Decides about what is not certain.
        """
        with self._one_at_a_time:
            self._cut(target, rng)

    def _cut(self, target: Path, rng: random.Random) -> None:
        now, places = self._now()
        # Sometimes a disk that has kept all names, or none that is not certain.
        likely = rng.choice((0.0, 0.5, 0.5, 1.0))
        chosen: Names = {}
        for folder in self.names.keys() | now.keys():
            old = self.names.get(folder, {})
            new = now.get(folder, old)
            names = {}
            for name in sorted(old.keys() | new.keys()):
                inode = (new if rng.random() < likely else old).get(name)
                if inode is not None:
                    names[name] = inode
            chosen[folder] = names
        self._keep_renamed(chosen, now, rng)
        self._write(os.stat(self.root).st_ino, target, chosen, places, rng)

    def _now(self) -> tuple[Names, dict[int, str]]:
        """The names as they are, and where each file can be read."""
        now: Names = {}
        places = {inode: f"/proc/self/fd/{fd}" for inode, fd in self._held.items()}
        for folder, folders, files in os.walk(self.root):
            names = now[os.stat(folder).st_ino] = {}
            for name in [*folders, *files]:
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):  # another thread goes on
                    names[name] = os.stat(path).st_ino
                    places[names[name]] = path
        return now, places

    def _keep_renamed(self, chosen: Names, now: Names, rng: random.Random) -> None:
        """Gives a file that was on the disk and still exists one of its names, if it has none."""
        places: dict[int, list[tuple[int, str]]] = {}
        for names in (self.names, now):
            for folder, children in names.items():
                for name, inode in children.items():
                    places.setdefault(inode, []).append((folder, name))
        before = {inode for children in self.names.values() for inode in children.values()}
        exist = {inode for children in now.values() for inode in children.values()}
        reached = self._reached(chosen)
        for inode in sorted((before & exist) - reached):
            free = [(f, n) for f, n in places[inode] if f in reached and n not in chosen[f]]
            if free:
                folder, name = rng.choice(free)
                chosen[folder][name] = inode
                reached = self._reached(chosen)

    def _reached(self, chosen: Names) -> set[int]:
        found = [os.stat(self.root).st_ino]
        for inode in found:  # grows on the way
            found += chosen.get(inode, {}).values()
        return set(found)

    def _write(
        self, inode: int, target: Path, chosen: Names, places: dict, rng: random.Random
    ) -> None:
        target.mkdir(parents=True)
        for name, child in chosen.get(inode, {}).items():
            if child in chosen:
                self._write(child, target / name, chosen, places, rng)
            elif child in places:
                self._write_file(child, places[child], target / name, rng)
        if inode in places:
            found = os.stat(places[inode])
            os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))

    def _write_file(self, inode: int, place: str, target: Path, rng: random.Random) -> None:
        try:
            with open(place, "rb") as f:
                data, found = f.read(), os.fstat(f.fileno())
        except FileNotFoundError:  # another thread goes on
            return
        time, size = self.synced.get(inode, (0, 0))
        if (time, size) != (found.st_mtime_ns, found.st_size):
            size = min(size, len(data))
            middle = rng.randint(size, len(data))
            data = rng.choice(
                (
                    data,
                    data[:size],
                    data[:middle],
                    data[:size] + bytes(len(data) - size),
                    data[:middle] + bytes(len(data) - middle),
                )
            )
        target.write_bytes(data)
        os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
