"""Unpacking downloaded archives: checked, resumable, and never half done.

An archive is read into a staging folder (``.posepile/extracting/<name>``). Only when it has been
read to its end and every checksum in it holds are the files moved into place, and only then is the
fact recorded (see :mod:`posepile.acquire.records`). So a record means that the archive is
completely there; an interrupted extraction goes on with what has been staged; a repeated one
does nothing. No link is ever created, so nothing can be written through one.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.acquire.archives import REFETCH, Member, link_target, members, unpacked_bytes
from posepile.acquire.credentials import Secret
from posepile.acquire.patterns import STATE_DIR, glob_regex
from posepile.acquire.progress import progress_bar
from posepile.acquire.records import (
    damaged_files,
    extract_params,
    is_extracted,
    read_record,
    record_path,
    write_record,
)
from posepile.acquire.sources import Extract
from posepile.acquire.space import is_full
from posepile.errors import CorruptInput, WorkError
from posepile.files import read_json, write_json

_CHUNK = 1 << 20
_SUFFIX = ".unfinished"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Extraction:
    """What an archive has become.

    Attributes:
        files: Size in bytes of every extracted file, by path relative to the raw folder.
        skipped: How many members were left out, by reason.
        done_before: Nothing had to be done.
    """

    files: dict[str, int]
    skipped: dict[str, int] = field(default_factory=dict)
    done_before: bool = False


def extract_archive(
    archive: Path,
    root: Path,
    params: Extract | None = None,
    *,
    name: str | None = None,
    sha256: str | None = None,
    password: Secret | str | None = None,
    log: Log = lambda line: None,
    check: Callable[[], None] = lambda: None,
) -> Extraction:
    """Extracts an archive below the raw folder; does nothing if that has been done.

    Args:
        archive: The archive.
        root: Raw folder of the dataset; ``params.to`` is relative to it.
        params: Where to, what, and how names change.
        name: Under which name this is recorded; the archive's file name if left out.
        sha256: The archive's checksum, if it is known: tells a new archive of the same name.
        password: Of an encrypted zip.
        log: Called with a line per notable event.
        check: Called now and then; what it raises interrupts the extraction.

    Raises:
        CorruptInput: Truncated or damaged, not an archive, unsafe, or not what it should be.
        UsageError: A password is missing or wrong.
        WorkError: The disk is full or something stands in the way.
    """
    archive, root = Path(archive), Path(root)
    params, name = params or Extract(), name or archive.name
    if not params.keep and not archive.exists() and is_extracted(root, name, params):
        record = read_record(root, name)
        return Extraction(record["files"], record["skipped"], done_before=True)
    work = _Unpacking(archive, root, name, params, check=check)
    try:
        done_before = _extract(work, _identity(archive, params, sha256), password, log)
        if not params.keep:
            archive.unlink(missing_ok=True)
    except OSError as e:
        raise _disk_error(e, root, archive) from None
    record = read_record(root, name)
    if not done_before:
        for reason, count in record["skipped"].items():
            log(f"{name}: {count} members left out: {reason}")
    return Extraction(record["files"], record["skipped"], done_before)


@dataclass
class _Unpacking:
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
    def begun(self) -> Path:
        """The file that says of which archive the staged files are."""
        return self.staging / "begun.json"

    def clear(self) -> None:
        """Removes what is staged."""
        shutil.rmtree(self.staging, ignore_errors=True)


def _extract(
    work: _Unpacking, identity: dict[str, Any], password: Secret | str | None, log: Log
) -> bool:
    """Does what remains to be done; returns whether that was nothing."""
    root, name = work.root, work.name
    record = read_record(root, name)
    if record and record["of"] != identity:
        log(f"{name}: the archive or how it is to be extracted has changed; extracting again")
        record_path(root, name).unlink(missing_ok=True)
        work.clear()
        record = None
    if record is None and read_json(work.begun) != identity:
        work.clear()
        write_json(work.begun, identity)
    if record and record["state"] == "done":
        lost = damaged_files(root, record, work.params.rewritten)
        if not lost:
            return True
        log(
            f"{name}: {len(lost)} of {len(record['files'])} extracted files are gone or "
            f"have another size, first {lost[0]}; extracting these again"
        )
        # Same archive: what it holds is known already.
        work.only = set(lost)
        _read(work, password)
        _move_into_place(work, {path: record["files"][path] for path in lost})
    else:
        if record is None:
            _read(work, password)
            skipped = dict(work.skipped)
            record = {"of": identity, "files": work.files, "skipped": skipped}
            write_record(root, name, record | {"state": "moving"})
        _move_into_place(work, record["files"])
        write_record(root, name, record | {"state": "done"})
    work.clear()
    _remove_if_empty(work.staging.parent)
    return False


# ---------------------------------------------------------------- reading into the staging folder


def _read(work: _Unpacking, password: Secret | str | None) -> None:
    """Reads a whole archive, staging its files."""
    archive, params = work.archive, work.params
    work.staged.mkdir(parents=True, exist_ok=True)
    size = archive.stat().st_size
    limit = params.max_bytes if params.max_bytes is not None else max(200 * size, 10**9)
    chosen = [glob_regex(p) for p in params.members]
    total, matched = 0, False
    try:
        _check_space(work, limit)
        with (
            members(archive, params.format, work.staged, password) as found,
            progress_bar(archive.name) as bar,
        ):
            work.progress = bar.update
            for inside, member in _useful(found, chosen, work.skipped):
                matched = True
                path = _destination(archive, inside, params)
                total += member.info.size
                if total > limit:
                    raise _too_much(archive, limit)
                if member.info.isreg():
                    _add_file(work, path, member)
                else:
                    work.links[path] = _link_destination(work, inside, member)
        if chosen and not matched:
            raise CorruptInput(archive, f"no member matches {', '.join(params.members)}")
        _add_links(work)
    except CorruptInput:
        work.clear()
        raise


def _useful(
    found: Iterator[tuple[str, Member]], chosen: list[re.Pattern], skipped: Counter
) -> Iterator[tuple[str, Member]]:
    """Leaves out the members that are not wanted."""
    for inside, member in found:
        if member.info.isdir() or inside == ".":
            continue
        if inside.startswith("__MACOSX/") or inside.rsplit("/", 1)[-1] == ".DS_Store":
            skipped["metadata of macOS"] += 1
        elif chosen and not any(r.fullmatch(inside) for r in chosen):
            skipped["not among the members asked for"] += 1
        else:
            yield inside, member


def _destination(archive: Path, inside: str, params: Extract) -> str:
    """Returns the path relative to the raw folder."""
    if params.strip_prefix not in ("", "."):
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


def _add_file(work: _Unpacking, path: str, member: Member) -> None:
    _require_distinct(work, path)
    work.files[path] = member.info.size
    if work.only is None or path in work.only:
        _write_member(work, path, member)


def _require_distinct(work: _Unpacking, path: str) -> None:
    """Refuses names of which one would have to be a file and a folder."""
    parents = path.split("/")[:-1]
    for i in range(1, len(parents) + 1):
        parent = "/".join(parents[:i])
        if parent in work.files:
            raise CorruptInput(work.archive, f"{parent!r} is both a file and a folder in it")
        work.folders.add(parent)
    if path in work.folders:
        raise CorruptInput(work.archive, f"{path!r} is both a file and a folder in it")


def _write_member(work: _Unpacking, path: str, member: Member) -> None:
    target, size = work.staged / path, member.info.size
    # Left by an interrupted run; complete, because it got its name only then.
    if target.is_file() and target.stat().st_size == size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + _SUFFIX)
    written = 0
    try:
        with member.open() as source, open(unfinished, "wb") as f:
            while chunk := source.read(_CHUNK):
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


def _link_destination(work: _Unpacking, inside: str, member: Member) -> str:
    """Returns the path below the raw folder that a link points to, "" if nothing lies there."""
    target = link_target(inside, member.info)
    try:
        return "" if target == "." else _destination(work.archive, target, work.params)
    except CorruptInput:
        return ""  # not below the prefix, so nothing that is extracted


def _add_links(work: _Unpacking) -> None:
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
            _copy(origin, target)


def _copy(origin: Path, target: Path) -> None:
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
        f"holds more than {limit} bytes, which is suspicious for {archive.stat().st_size} bytes",
        hint="if that is right, set extract.max_bytes in sources.yaml",
    )


def _check_space(work: _Unpacking, limit: int) -> None:
    """Says beforehand that a disk is too small, as far as that can be known beforehand."""
    need = unpacked_bytes(work.archive, work.params.format)
    if need is None:
        need = work.archive.stat().st_size
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


# ---------------------------------------------------------------- into place


def _move_into_place(work: _Unpacking, files: dict[str, int]) -> None:
    made: set[Path] = set()
    for path, size in files.items():
        source, target = work.staged / path, work.root / path
        if not source.exists():
            # Moved by a run that was interrupted in this loop.
            if target.is_file() and target.stat().st_size == size:
                continue
            record_path(work.root, work.name).unlink(missing_ok=True)
            raise WorkError(
                f"{target}: was extracted and has since disappeared; run the extraction again"
            )
        if target.parent not in made:
            _make_folder(target.parent)
            made.add(target.parent)
        if target.is_dir():
            raise WorkError(f"{target}: a folder stands where a file belongs; move it away")
        try:
            os.replace(source, target)
        except OSError as e:
            if e.errno != errno.EXDEV:
                raise
            # A part of the raw folder lives on another disk by way of a link.
            _copy(source, target)
            source.unlink()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise WorkError(
            f"{folder}: a file stands where a folder belongs; move it away and run again"
        ) from None


def _identity(archive: Path, params: Extract, sha256: str | None) -> dict[str, Any]:
    try:
        status = archive.stat()
    except FileNotFoundError:
        raise WorkError(f"{archive}: no such archive; run the download again") from None
    known = {"sha256": sha256} if sha256 else {"mtime_ns": status.st_mtime_ns}
    return {"archive": {"bytes": status.st_size, **known}, "how": extract_params(params)}


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass


def _disk_error(e: OSError, root: Path, archive: Path) -> WorkError:
    if isinstance(e, FileNotFoundError) and e.filename == os.fspath(archive):
        return WorkError(f"{archive}: no such archive; run the download again")
    if is_full(e):
        return WorkError(
            f"{root}: disk full while extracting {archive.name}; nothing of it is in place yet. "
            "Free some space and run again: it goes on where it stopped"
        )
    return WorkError(f"{e.filename or root}: {e.strerror or e} while extracting {archive.name}")
