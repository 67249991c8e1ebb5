"""The staging folder of an extraction: what comes out of an archive, before it is in place."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posepile.acquire.archives import inner_members, members, unpacked_bytes
from posepile.acquire.joined import stored_bytes
from posepile.acquire.members import (
    CHUNK,
    FREE,
    REFETCH,
    Member,
    Password,
    damage_reported,
    link_target,
    shown,
)
from posepile.acquire.patterns import STATE_DIR, glob_regex
from posepile.acquire.progress import progress_bar
from posepile.acquire.records import crc_of
from posepile.acquire.sources import Extract
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import is_left_by_macos

# What a file takes at least, on a disk and in our records: against millions of empty ones.
_LEAST = 512

# So many times its own size an archive may hold unless extract.max_bytes says how much. Deflate
# makes 1/1027 of zeros, which are a bomb's content, 1/2 to 1/8 of coordinates as text; of masks as
# plain arrays 1/300, so that these need extract.max_bytes. Other compressions know no bound.
_MOST_TIMES = 200

_REPLACED = "replaced by a later one of the same name"


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
        crcs: CRC-32 of these, as far as they have been read.
        folders: Folders that these need, or that stand in the archive.
        links: Links by their path, with the path they point to.
        pinned: What hard links point to.
        origins: What a path was in the archive, where it may have been called otherwise.
        alike: Paths by how a disk calls them that knows no case; None where it does.
        total: How many bytes have come out; a member is never counted as none.
        limit: How many may come out.
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
    crcs: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)
    alike: dict[str, str] | None = None
    total: int = 0
    limit: int = 0
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
        with contextlib.suppress(OSError):  # others are being extracted
            self.staging.parent.rmdir()

    def count(self, size: int) -> None:
        """Counts a file towards the limit.

        Raises:
            CorruptInput: It is reached.
        """
        self.total += max(size, _LEAST)
        if self.total > self.limit:
            raise _too_much(self.archive, self.limit)


def stage(work: Unpacking, password: Password) -> None:
    """Reads a whole archive, staging its files."""
    archive, params = work.archive, work.params
    work.staged.mkdir(parents=True, exist_ok=True)
    usual = max(_MOST_TIMES * stored_bytes(archive), FREE)
    work.limit = usual if params.max_bytes is None else params.max_bytes
    work.alike = {} if _knows_no_case(work.staging) else None
    try:
        _check_space(work, password)
        most = max(work.limit, usual)  # also for what is passed over
        with (
            members(archive, params.format, work.staged, password, work.scratch, most) as found,
            progress_bar(archive.name) as bar,
        ):
            work.progress = bar.update
            useful = _with_inner(work, _useful(work, found), password)
            for inside, member in useful:
                path = _destination(archive, inside, params, inner=bool(member.inner))
                _require_same_origin(work, path, inside, member)
                if member.info.isreg():
                    work.count(member.info.size)
                    _add_file(work, path, member)
                else:
                    _add_link(work, path, inside, member)
        wanted = [*params.members, *params.inner]
        if wanted and not (work.files or work.links):
            raise CorruptInput(archive, f"no member matches {', '.join(wanted)}")
        _make_files_of_links(work)
    except (CorruptInput, UsageError) as e:
        if isinstance(e, CorruptInput) or not work.files:
            work.clear()
        raise


def _knows_no_case(folder: Path) -> bool:
    """Returns whether the disk takes names that differ in case for the same, as those of Macs."""
    probe = folder / "Case"
    probe.touch()
    try:
        return (folder / "cASE").exists()
    finally:
        probe.unlink()


def _useful(
    work: Unpacking, found: Iterator[tuple[str, Member]], *, inner: bool = False
) -> Iterator[tuple[str, Member]]:
    """Leaves out the members that are not wanted; of an inner archive all are."""
    chosen = [glob_regex(p) for p in (*work.params.members, *work.params.inner)]
    for inside, member in found:
        if member.info.isdir():
            _note_folder(work, inside, inner=inner)
            continue
        if inside == ".":
            work.skipped["files without a name"] += 1
        elif any(map(is_left_by_macos, inside.split("/"))):
            work.skipped["metadata of macOS"] += 1
        elif chosen and not inner and not any(r.fullmatch(inside) for r in chosen):
            work.skipped["not among the members asked for"] += 1
        else:
            yield inside, member


def _with_inner(
    work: Unpacking,
    found: Iterator[tuple[str, Member]],
    password: Password,
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
                work.archive, inside, f, work.staged, password, scratch, work.limit - work.total
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
                f"member {shown(inside)} is not below {params.strip_prefix}/, where everything "
                "should be: not the archive it is taken for, or another version",
                hint="compare it with the official one, or change strip_prefix",
            )
        inside = m["rest__"]
    path = inside if params.to in (".", "") else f"{params.to}/{inside}"
    if path.split("/")[0].casefold() == STATE_DIR:
        raise CorruptInput(
            archive, f"unsafe: member {shown(inside)} would alter our records; refused"
        )
    return path


def _note_folder(work: Unpacking, inside: str, *, inner: bool) -> None:
    """Remembers a folder of the archive, which is made when something lies in it."""
    if work.params.strip_prefix == "**" or inside == ".":
        return
    try:
        path = _destination(work.archive, inside, work.params, inner=inner)
    except CorruptInput:
        return  # above what is extracted
    if path in work.files or path in work.links:
        raise _file_and_folder(work, path)
    work.folders.add(path)


def _require_same_origin(work: Unpacking, path: str, inside: str, member: Member) -> None:
    """Refuses files from two places in the archive that would become one."""
    if work.params.strip_prefix == "**" or member.inner:
        origin = (member.inner, inside)
        if work.origins.setdefault(path, origin) != origin:
            first, second = (
                shown("/".join(filter(None, o))) for o in (work.origins[path], origin)
            )
            raise CorruptInput(
                work.archive,
                f"{first} and {second} in it would both become {shown(path)}",
                hint="say in sources.yaml which of them is meant (extract.members, strip_prefix)",
            )


def _add_file(work: Unpacking, path: str, member: Member) -> None:
    _require_distinct(work, path)
    again = path in work.files
    if again or path in work.links:
        _let_go(work, path)
    work.files[path] = member.info.size
    if work.only is None or path in work.only:
        if not member.inner:
            _write_member(work, path, member, again=again)
            return
        with damage_reported(f"{work.archive}, {member.inner}"):
            _write_member(work, path, member, again=again)


def _add_link(work: Unpacking, path: str, inside: str, member: Member) -> None:
    target = _link_destination(work, inside, member)
    if target == path and path in work.files:
        return  # so GNU tar packs a file that it is told to pack twice
    _require_distinct(work, path)
    if path in work.files or path in work.links:
        _let_go(work, path)
    work.links[path] = target
    if member.info.islnk():
        work.pinned.add(target)


def _let_go(work: Unpacking, path: str) -> None:
    """Forgets a member of which a later one takes the place."""
    if path in work.pinned:
        raise CorruptInput(
            work.archive,
            f"{shown(path)} stands in it twice, and a hard link between the two; refused",
        )
    work.skipped[_REPLACED] += 1
    work.links.pop(path, None)
    if work.files.pop(path, None) is not None:
        work.crcs.pop(path, None)
        (work.staged / path).unlink(missing_ok=True)


def _require_distinct(work: Unpacking, path: str) -> None:
    """Refuses names of which one would have to be a file and a folder, or which are one here."""
    parents = path.split("/")[:-1]
    for i in range(1, len(parents) + 1):
        parent = "/".join(parents[:i])
        if parent in work.files:
            raise _file_and_folder(work, parent)
        work.folders.add(parent)
    if path in work.folders:
        raise _file_and_folder(work, path)
    if work.alike is not None:
        key = unicodedata.normalize("NFC", path).casefold()
        other = work.alike.setdefault(key, path)
        if other != path:
            raise CorruptInput(
                work.archive,
                f"{shown(other)} and {shown(path)} in it are one file on this disk; refused",
                hint="put the raw data on a disk that tells large letters from small ones",
            )


def _file_and_folder(work: Unpacking, path: str) -> CorruptInput:
    return CorruptInput(work.archive, f"{shown(path)} is both a file and a folder in it; refused")


def _write_member(work: Unpacking, path: str, member: Member, *, again: bool) -> None:
    target, size = work.staged / path, member.info.size
    # Left by an interrupted run. Its size alone says little, after a power cut nothing.
    if not again and member.crc is not None and member.file is None and target.is_file():
        if target.stat().st_size == size and crc_of(target, work.check) == member.crc:
            work.crcs[path] = member.crc
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.file is not None:
        work.check()
        work.crcs[path] = crc_of(member.file) if member.crc is None else member.crc
        os.replace(member.file, target)
        return
    unfinished = work.staging / "unfinished"  # not beside it: its name may be as long as can be
    written, crc = 0, 0
    try:
        with member.open() as source, open(unfinished, "wb") as f:
            while chunk := source.read(CHUNK):
                work.check()
                written += len(chunk)
                if written > size:
                    break
                f.write(chunk)
                crc = zlib.crc32(chunk, crc)
                work.progress(len(chunk))
        if written != size:
            raise CorruptInput(
                work.archive,
                f"member {shown(member.info.name)} does not have the announced {size} bytes",
                hint=REFETCH,
            )
        os.replace(unfinished, target)
        work.crcs[path] = crc
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


def _make_files_of_links(work: Unpacking) -> None:
    """Turns links within the archive into files of their own."""
    for path, at in _ends_of(work.links).items():
        if at not in work.files:
            what = "a folder" if at in work.folders else "nothing in the archive"
            work.skipped[f"links to {what}"] += 1
            continue
        _require_distinct(work, path)
        work.count(work.files[at])
        work.files[path] = work.files[at]
        if at in work.crcs:
            work.crcs[path] = work.crcs[at]
        if work.only is None or path in work.only:
            target, origin = work.staged / path, work.staged / at
            if not origin.exists():  # already in place, when only some files are extracted again
                origin = work.root / at
            target.parent.mkdir(parents=True, exist_ok=True)
            work.check()
            copy_whole(origin, target, work.staging / "unfinished")


def _ends_of(links: dict[str, str]) -> dict[str, str]:
    """Returns for every link what is found when links are followed, "" for one in a circle."""
    ends: dict[str, str] = {}
    for path in links:
        trail, at = {}, path
        while at in links and at not in ends and at not in trail:
            trail[at], at = True, links[at]
        ends |= dict.fromkeys(trail, "" if at in trail else ends.get(at, at))
    return ends


def copy_whole(origin: Path, target: Path, unfinished: Path) -> None:
    """Copies a file; under its final name it is never incomplete.

    Args:
        origin: The file.
        target: Its copy.
        unfinished: What the copy is called until it is complete, on the same disk.
    """
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


def _check_space(work: Unpacking, password: Password) -> None:
    """Says beforehand that a disk is too small, as far as that can be known beforehand."""
    need = unpacked_bytes(work.archive, work.params.format, password)
    if need is None:
        need = stored_bytes(work.archive)
    elif need > work.limit:
        raise _too_much(work.archive, work.limit)
    for parent, _, files in os.walk(work.staged):
        need -= sum(os.path.getsize(os.path.join(parent, f)) for f in files)
    free = shutil.disk_usage(work.staged).free
    if need > free:
        raise WorkError(
            f"{work.root}: extracting {work.archive.name} needs {need} bytes, "
            f"{free} are free; free some space and run again"
        )
