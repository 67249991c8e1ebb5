"""The staging folder of an extraction: what comes out of an archive, before it is in place."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posepile.acquire.archives import inner_members, members, unpacked_bytes
from posepile.acquire.joined import stored_bytes
from posepile.acquire.members import CHUNK, REFETCH, Member, Password, damage_reported, link_target
from posepile.acquire.patterns import STATE_DIR, glob_regex
from posepile.acquire.progress import progress_bar
from posepile.acquire.sources import Extract
from posepile.errors import CorruptInput, WorkError
from posepile.files import is_left_by_macos

_SUFFIX = ".unfinished"


@dataclass
class Unpacking:
    """One archive on its way, and what is known of it while it is read.

    Attributes:
        archive: The archive.
        root: Raw folder.
        name: Under which name this is recorded.
        params: Where to, what, and how names change.
        check: Raises when the work is to end.
        only: The files that are really written, None for all.
        files: Size of every file so far, by its path below the raw folder.
        folders: Folders that these need.
        links: Links by their path, with the path they point to.
        skipped: Members left out, by reason.
        progress: Told how many bytes have been written.
    """

    archive: Path
    root: Path
    name: str
    params: Extract
    check: Callable[[], None]
    only: set[str] | None = None
    files: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    skipped: Counter = field(default_factory=Counter)
    progress: Callable[[int], Any] = lambda n: None

    @property
    def staging(self) -> Path:
        """Folder of everything that is not in place yet."""
        return self.root / STATE_DIR / "extracting" / self.name

    @property
    def staged(self) -> Path:
        """The tree in it."""
        return self.staging / "files"

    @property
    def scratch(self) -> Path:
        """For what must lie somewhere before it is known what becomes of it."""
        return self.staging / "unpacked"

    @property
    def begun(self) -> Path:
        """The file that says of which archive the staged files are."""
        return self.staging / "begun.json"

    def clear(self) -> None:
        """Removes what is staged."""
        shutil.rmtree(self.staging, ignore_errors=True)


def stage(work: Unpacking, password: Password) -> None:
    """Reads a whole archive, staging its files."""
    archive, params = work.archive, work.params
    work.staged.mkdir(parents=True, exist_ok=True)
    size = stored_bytes(archive)
    limit = params.max_bytes if params.max_bytes is not None else max(200 * size, 10**9)
    total = 0
    try:
        _check_space(work, limit, password)
        with (
            members(archive, params.format, work.staged, password, work.scratch) as found,
            progress_bar(archive.name) as bar,
        ):
            work.progress = bar.update
            useful = _with_inner(work, _useful(work, found), password, lambda: limit - total)
            for inside, member in useful:
                path = _destination(archive, inside, params, inner=bool(member.inner))
                total += member.info.size
                if total > limit:
                    raise _too_much(archive, limit)
                if member.info.isreg():
                    _add_file(work, path, member)
                else:
                    work.links[path] = _link_destination(work, inside, member)
        wanted = [*params.members, *params.inner]
        if wanted and not (work.files or work.links):
            raise CorruptInput(archive, f"no member matches {', '.join(wanted)}")
        _add_links(work)
    except CorruptInput:
        work.clear()
        raise


def _useful(
    work: Unpacking, found: Iterator[tuple[str, Member]], *, inner: bool = False
) -> Iterator[tuple[str, Member]]:
    """Leaves out the members that are not wanted; of an inner archive all are."""
    chosen = [glob_regex(p) for p in (*work.params.members, *work.params.inner)]
    for inside, member in found:
        if member.info.isdir() or inside == ".":
            continue
        if any(map(is_left_by_macos, inside.split("/"))):
            work.skipped["metadata of macOS"] += 1
        elif chosen and not inner and not any(r.fullmatch(inside) for r in chosen):
            work.skipped["not among the members asked for"] += 1
        else:
            yield inside, member


def _with_inner(
    work: Unpacking,
    found: Iterator[tuple[str, Member]],
    password: Password,
    room: Callable[[], int],
) -> Iterator[tuple[str, Member]]:
    """Yields, in place of members that are archives themselves and wanted so, what is in them."""
    archives = [glob_regex(p) for p in work.params.inner]
    for inside, member in found:
        if not member.info.isreg() or not any(r.fullmatch(inside) for r in archives):
            yield inside, member
            continue
        scratch = work.scratch.with_name("inner")
        with (
            member.open() as f,
            inner_members(
                work.archive, inside, f, work.staged, password, scratch, room()
            ) as members_of_it,
        ):
            for path, m in _useful(work, members_of_it, inner=True):
                yield path, replace(m, inner=inside)


def _destination(archive: Path, inside: str, params: Extract, *, inner: bool = False) -> str:
    """Returns the path relative to the raw folder."""
    if params.strip_prefix == "**" and not inner:
        inside = inside.rsplit("/", 1)[-1]
    elif params.strip_prefix not in ("", ".") and not inner:
        prefix = glob_regex(params.strip_prefix).pattern
        m = re.match(f"(?:{prefix})/(?P<rest__>.+)$", inside, re.DOTALL)
        if not m:
            raise CorruptInput(
                archive,
                f"member {inside!r} is not below {params.strip_prefix}/, where everything "
                "should be: not the archive it is taken for, or another version",
                hint="compare it with the official one, or change strip_prefix",
            )
        inside = m["rest__"]
    path = inside if params.to in (".", "") else f"{params.to}/{inside}"
    if path.split("/")[0] == STATE_DIR:
        raise CorruptInput(archive, f"unsafe: member {inside!r} would alter our records; refused")
    return path


def _add_file(work: Unpacking, path: str, member: Member) -> None:
    _require_distinct(work, path)
    work.files[path] = member.info.size
    if work.only is None or path in work.only:
        if not member.inner:
            _write_member(work, path, member)
            return
        with damage_reported(f"{work.archive}, {member.inner}"):
            _write_member(work, path, member)


def _require_distinct(work: Unpacking, path: str) -> None:
    """Refuses names of which one would have to be a file and a folder."""
    parents = path.split("/")[:-1]
    for i in range(1, len(parents) + 1):
        parent = "/".join(parents[:i])
        if parent in work.files:
            raise CorruptInput(work.archive, f"{parent!r} is both a file and a folder in it")
        work.folders.add(parent)
    if path in work.folders:
        raise CorruptInput(work.archive, f"{path!r} is both a file and a folder in it")


def _write_member(work: Unpacking, path: str, member: Member) -> None:
    target, size = work.staged / path, member.info.size
    # Left by an interrupted run; complete, because it got its name only then.
    if target.is_file() and target.stat().st_size == size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.file is not None:
        work.check()
        os.replace(member.file, target)
        return
    unfinished = target.with_name(target.name + _SUFFIX)
    written = 0
    try:
        with member.open() as source, open(unfinished, "wb") as f:
            while chunk := source.read(CHUNK):
                work.check()
                written += len(chunk)
                if written > size:
                    break
                f.write(chunk)
                work.progress(len(chunk))
        if written != size:
            raise CorruptInput(
                work.archive,
                f"member {member.info.name!r} does not have the announced {size} bytes",
                hint=REFETCH,
            )
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _link_destination(work: Unpacking, inside: str, member: Member) -> str:
    """Returns the path below the raw folder that a link points to, "" if nothing lies there."""
    target = link_target(inside, member.info)
    try:
        if target == ".":
            return ""
        return _destination(work.archive, target, work.params, inner=bool(member.inner))
    except CorruptInput:
        return ""  # not below the prefix, so nothing that is extracted


def _add_links(work: Unpacking) -> None:
    """Turns links within the archive into files of their own."""
    for path in work.links:
        at, followed = path, 0
        while at in work.links and followed <= len(work.links):
            at, followed = work.links[at], followed + 1
        if at not in work.files:
            what = "a folder" if at in work.folders else "nothing in the archive"
            work.skipped[f"links to {what}"] += 1
            continue
        if path in work.files and path != at:
            continue  # stands twice in the archive; the file wins
        _require_distinct(work, path)
        work.files[path] = work.files[at]
        target = work.staged / path
        if (work.only is None or path in work.only) and not target.exists():
            origin = work.staged / at
            if not origin.exists():  # already in place, when only some files are extracted again
                origin = work.root / at
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_whole(origin, target)


def copy_whole(origin: Path, target: Path) -> None:
    """Copies a file; under its final name it is never incomplete."""
    unfinished = target.with_name(target.name + _SUFFIX)
    try:
        shutil.copyfile(origin, unfinished)
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _too_much(archive: Path, limit: int) -> CorruptInput:
    return CorruptInput(
        archive,
        f"holds more than {limit} bytes, which is suspicious for {stored_bytes(archive)} bytes",
        hint="if that is right, set extract.max_bytes in sources.yaml",
    )


def _check_space(work: Unpacking, limit: int, password: Password) -> None:
    """Says beforehand that a disk is too small, as far as that can be known beforehand."""
    need = unpacked_bytes(work.archive, work.params.format, password)
    if need is None:
        need = stored_bytes(work.archive)
    elif need > limit:
        raise _too_much(work.archive, limit)
    for parent, _, files in os.walk(work.staged):
        need -= sum(os.path.getsize(os.path.join(parent, f)) for f in files)
    free = shutil.disk_usage(work.staged).free
    if need > free:
        raise WorkError(
            f"{work.root}: extracting {work.archive.name} needs {need} bytes, "
            f"{free} are free; free some space and run again"
        )
