"""One command for each thing that is wrong with raw files. None of them loses a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posepile.acquire.aside import free_name
from posepile.acquire.moves import Move

# How a line of a recipe's own doctor says what mends something: the command follows.
MEND = "mend: "
# What such a command is about.
FOUND = "what was found"

MANY = 6  # folders that one printed mv names


@dataclass(frozen=True)
class Mend:
    """What to do about one thing.

    Attributes:
        what: What it is about, in words.
        command: What to type; empty where only a person can find out what.
    """

    what: str
    command: str = ""

    @property
    def lines(self) -> list[str]:
        """Both, the command on a line of its own."""
        return [f"  {self.what}:", f"    {self.command}"] if self.command else [f"  {self.what}"]

    @property
    def facts(self) -> dict[str, str]:
        """Both, as plain data."""
        command = {"command": self.command} if self.command else {}
        return {"what": self.what, **command}


@dataclass(frozen=True)
class Asked:
    """The dataset that commands are about, with the settings that it was asked for with.

    Attributes:
        build: ``name`` or ``name@variant``.
        settings: Words such as ``--set``, ``dataset.root=/data/x``.
    """

    build: str
    settings: tuple[str, ...] = ()

    def command(self, *words: str, instead: Iterable[str] = (), last: Iterable[str] = ()) -> str:
        """Returns a command of ours.

        Args:
            *words: Up to where the dataset's name goes, then what follows it.
            instead: Settings in place of those that were given, with the same key.
            last: Words for its end.
        """
        first, *rest = words
        more = list(instead)
        kept = [] if more else list(self.settings)
        if more:
            key = more[-1].partition("=")[0]
            pairs = zip(self.settings[::2], self.settings[1::2], strict=True)
            kept = [w for p in pairs if p[1].partition("=")[0] != key for w in p]
        return shlex.join(["posepile", first, self.build, *rest, *kept, *more, *last])


def quoted(*paths: str | os.PathLike) -> str:
    """Returns paths as a shell takes them; none of them is taken for an option."""
    texts = (os.fspath(p) for p in paths)
    return shlex.join([t if not t.startswith("-") else f"./{t}" for t in texts])


def move_command(root: Path, moves: Sequence[Move], files: Iterable[str], asked: Asked) -> Mend:
    """Returns the command that brings misplaced files to their places.

    A folder that has moved as a whole is moved back with ``mv``, which overwrites nothing; all
    else is done by ``posepile doctor --mend``.
    """
    n = sum(len(m.files) for m in moves)
    what = f"{n} misplaced file{'s' if n > 1 else ''}"
    if len(moves) == 1:
        plain = _plain_move(root, moves[0], list(files))
        if plain:
            return Mend(what, plain)
    return Mend(what, asked.command("doctor", last=["--mend"]))


def link_command(root: Path, moves: Sequence[Move], files: Iterable[str], asked: Asked) -> Mend:
    """Returns the command that puts links to misplaced files into another raw folder.

    For files in a folder of others, where they are in the places that others need them in.
    """
    n, real = sum(len(m.files) for m in moves), os.path.realpath(root)
    what = f"{n} misplaced file{'s' if n > 1 else ''} of {real} by links in another folder"
    beside = free_name(root, "_links")
    if not os.access(root.parent, os.W_OK):
        return Mend(f"{what}: doctor with --link-from {quoted(real)}, --set dataset.root=FOLDER")
    setting = ["--set", f"dataset.root={beside}"]
    return Mend(what, asked.command("doctor", instead=setting, last=["--link-from", real]))


def _plain_move(root: Path, move: Move, files: list[str]) -> str | None:
    source, target = root / move.source, root / move.target
    if len(move.files) == 1 and move.source in move.files:
        return _mv([source], target)
    start = f"{move.source}/" if move.source else ""
    inside = [f for f in files if f.startswith(start)]
    if move.source and len(inside) == len(move.files) and not os.path.lexists(target):
        return _mv([source], target)
    parts = sorted({f[len(start) :].split("/")[0] for f in move.files})
    whole = all(f in move.files for f in inside if f[len(start) :].split("/")[0] in parts)
    free = not any(os.path.lexists(target / p) for p in parts)
    if whole and free and len(parts) <= MANY:
        make = "" if target.is_dir() else f"mkdir -p {quoted(target)} && "
        return f"{make}mv -n {quoted(*(source / p for p in parts))} {quoted(f'{target}/')}"
    return None


def _mv(sources: list[Path], target: Path) -> str:
    make = "" if target.parent.is_dir() else f"mkdir -p {quoted(target.parent)} && "
    return f"{make}mv -n {quoted(*sources, target)}"


def elsewhere_command(root: Path, found: Path, asked: Asked) -> str:
    """Returns the command that lets data be used that are in another folder.

    Beside the raw folder's place they get its name; from elsewhere they are linked, as the disk
    may be another's. Where something is at that place already, they are used where they are.
    """
    empty = root.is_dir() and not root.is_symlink() and not any(root.iterdir())
    if not os.path.lexists(root) or empty:
        free = f"rmdir {quoted(root)} && " if empty else ""
        if found.parent == root.parent and os.access(found.parent, os.W_OK):
            return f"{free}mv -n {quoted(found, root)}"
        make = "" if root.parent.is_dir() else f"mkdir -p {quoted(root.parent)} && "
        return f"{free}{make}ln -s {quoted(found, root)}"
    setting = ["--set", f"dataset.root={found}"]
    return asked.command("run", instead=setting)


def aside_command(path: Path, then: str) -> str:
    """Returns the command that puts a damaged file aside, and what follows it."""
    return f"mv -n {quoted(path, free_name(path))} && {then}"


def resume_command(path: Path, then: str) -> str:
    """Returns the command by which a download goes on where a file was cut off.

    Under the name of an unfinished file it is compared with the server's; what does not fit to it
    is fetched anew. Where there is an unfinished file, that one goes on.
    """
    part = Path(f"{path}.part")
    if os.path.lexists(part):
        return aside_command(path, then)
    return f"mv -n {quoted(path, part)} && {then}"


# How a reader's hint tells that it is not damage that it has met.
_VERSION = "of the current release"
# Ends the name of the folder beside the raw folder in which such data are kept.
OTHER_VERSION = "_other_version"


def other_versions(lines: Iterable[str], root: Path, asked: Asked) -> tuple[list[str], list[Mend]]:
    """Returns what is said beside problems that come of another version of the data.

    Args:
        lines: Problems, as a recipe's doctor tells them, with the file or folder first.
        root: Raw folder.
        asked: The dataset.

    Returns:
        Nothing if they come of something else; else what it is, in lines as those, and one command
        that puts the recordings aside, each as a whole, out of the raw folder, and says where the
        current ones are.
    """
    found = [_file_of(line, root) for line in lines if _VERSION in line]
    if not found:
        return [], []
    whole = {Path(*path.relative_to(root).parts[:2]) for path in found if path is not None}
    said = [f"problem: {root / f} is of a wrong version of {asked.build}" for f in sorted(whole)]
    if not whole:
        return [f"problem: {root} is of a wrong version of {asked.build}"], []
    aside, n = root.with_name(f"{root.name}{OTHER_VERSION}"), 1
    while any(os.path.lexists(aside / f) for f in whole):
        n += 1
        aside = root.with_name(f"{root.name}{OTHER_VERSION}-{n}")
    steps = []
    for part in sorted({f.parent for f in whole}):
        of_it = [root / f for f in sorted(whole) if f.parent == part]
        target = aside / part
        steps.append(f"mkdir -p {quoted(target)} && mv -n {quoted(*of_it)} {quoted(f'{target}/')}")
    command = f"{' && '.join(steps)} && {asked.command('plan')}"
    return said, [Mend(FOUND, command)]


def _file_of(line: str, root: Path) -> Path | None:
    """The file or folder in the raw folder that a problem begins with; names may hold colons."""
    words = line.strip().removeprefix("problem: ").split(": ")
    known = (Path(": ".join(words[:n])) for n in range(len(words), 0, -1))
    return next((path for path in known if root in path.parents and path.exists()), None)
