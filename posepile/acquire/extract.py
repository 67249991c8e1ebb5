"""Unpacking downloaded archives: checked, resumable, and never half done.

An archive is read into a folder beside its destination (``.posepile/extracting/<name>``). Only
when it has been read to its end and every checksum in it holds are the files moved into place, and
only then is the fact recorded in ``.posepile/extract/<name>.json`` together with the size of every
file. So such a record means that the archive is completely there; an interrupted extraction goes
on with what the folder beside already holds; a repeated one does nothing.

Archives from the internet are not trusted: absolute paths, ``..``, links that leave the archive
and device files make the whole archive refused before anything reaches the destination. No link
is ever created, so nothing can be written through one.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import json
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from posepile.acquire.credentials import Secret
from posepile.acquire.sources import STATE_DIR, Extract, glob_regex
from posepile.errors import CorruptInput, UsageError, WorkError

_CHUNK = 1 << 20
_SUFFIX = ".unfinished"
_REFETCH = "delete it and run the download again (or put a complete copy in its place)"

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


@dataclass(frozen=True)
class _Member:
    """One file, link or folder of an archive; ``open`` reads a file."""

    name: str
    kind: str  # file | folder | link | hardlink
    size: int = 0
    target: str = ""
    open: Callable[[], IO[bytes]] | None = None


def extract_archive(
    archive: Path,
    root: Path,
    params: Extract | None = None,
    *,
    name: str | None = None,
    sha256: str | None = None,
    password: Secret | str | None = None,
    log: Log | None = None,
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

    Raises:
        CorruptInput: Truncated or damaged, not an archive, unsafe, or not what it should be.
        UsageError: A password is missing or wrong.
        WorkError: The disk is full or something stands in the way.
    """
    archive, root = Path(archive), Path(root)
    params = params or Extract()
    log = log or (lambda line: None)
    name = name or archive.name
    if not params.keep and not archive.exists() and is_extracted(root, name, params):
        record = read_record(root, name)
        return Extraction(record["files"], record["skipped"], done_before=True)
    identity = _identity(archive, params, sha256)
    beside = root / STATE_DIR / "extracting" / name
    try:
        record = read_record(root, name)
        if record and record["of"] != identity:
            log(f"{name}: the archive or how it is to be extracted has changed; extracting again")
            _forget(root, name)
            record = None
        begun = _begun_path(beside)
        if record is None and _read_json(begun) != identity:
            shutil.rmtree(beside, ignore_errors=True)
            _write_json(begun, identity)
        wanted = None
        if record and record["state"] == "done":
            wanted = damaged_files(root, record, params.rewritten)
            if not wanted:
                return Extraction(record["files"], record["skipped"], done_before=True)
            log(
                f"{name}: {len(wanted)} of {len(record['files'])} extracted files are gone or "
                f"have another size, first {wanted[0]}; extracting these again"
            )
        if record is None or wanted:
            only = set(wanted) if wanted else None
            files, skipped = _read(archive, beside, params, password=password, only=only)
            if wanted:
                # Same archive: what it holds is known already.
                _move_into_place(beside, root, {w: record["files"][w] for w in wanted})
                shutil.rmtree(beside, ignore_errors=True)
                return Extraction(record["files"], record["skipped"])
            record = {
                "version": 1,
                "state": "moving",
                "of": identity,
                "files": files,
                "skipped": skipped,
            }
            _write_record(root, name, record)
        _move_into_place(beside, root, record["files"])
        record["state"] = "done"
        _write_record(root, name, record)
        shutil.rmtree(beside, ignore_errors=True)
        begun.unlink(missing_ok=True)
        _remove_if_empty(beside.parent)
        if not params.keep:
            archive.unlink(missing_ok=True)
    except OSError as e:
        raise _disk_error(e, root, archive) from None
    for reason, count in record["skipped"].items():
        log(f"{name}: {count} members left out: {reason}")
    return Extraction(record["files"], record["skipped"])


def read_record(root: Path, name: str) -> dict[str, Any] | None:
    """What is recorded about an extraction, None if there is no (readable) record."""
    record = _read_json(_record_path(root, name))
    return record if isinstance(record, dict) and record.get("version") == 1 else None


def is_extracted(root: Path, name: str, params: Extract) -> bool:
    """Whether an archive was extracted in just this way and all its files are still there."""
    record = read_record(root, name)
    if not record or record["state"] != "done" or record["of"]["how"] != _how(params):
        return False
    return not damaged_files(root, record, params.rewritten)


def damaged_files(root: Path, record: dict[str, Any], rewritten: list[str] = ()) -> list[str]:
    """Recorded files that are gone or have another size, sorted."""
    free = [glob_regex(p) for p in rewritten]
    result = []
    for path, size in record["files"].items():
        try:
            found = os.stat(os.path.join(root, path)).st_size
        except (FileNotFoundError, NotADirectoryError):
            found = -1
        if found != size and (found < 0 or not any(r.fullmatch(path) for r in free)):
            result.append(path)
    return sorted(result)


def archive_format(archive: Path) -> str:
    """``zip``, ``tar`` (whatever its compression) by the first bytes.

    Raises:
        CorruptInput: Neither; the message says what it looks like.
    """
    with open(archive, "rb") as f:
        head = f.read(512)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return "zip"
    if head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b":
        return "tar"
    if head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\x00":
        return "tar"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        raise CorruptInput(archive, "an HTML page instead of an archive", hint=_REFETCH)
    for magic, what in (
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x28\xb5\x2f\xfd", "zst"),
    ):
        if head.startswith(magic):
            raise CorruptInput(
                archive,
                f"a {what} archive, which is not read here",
                hint="extract it by hand into the dataset's folder",
            )
    if not head:
        raise CorruptInput(archive, "an empty file instead of an archive", hint=_REFETCH)
    raise CorruptInput(
        archive, f"not a tar or zip archive: begins with {head[:8]!r}", hint=_REFETCH
    )


# ---------------------------------------------------------------------------------------------
# Reading into the folder beside


@dataclass
class _Unpacking:
    """What is known while an archive is being read.

    Attributes:
        archive: The archive.
        beside: The folder it is read into.
        params: Where to, what, and how names change.
        only: The files that are really written, None for all.
        files: Size of every file so far, by its path below the raw folder.
        folders: Folders that these need.
        links: Links by their path, with the path they point to.
        skipped: Members left out, by reason.
        progress: Told how many bytes have been written.
    """

    archive: Path
    beside: Path
    params: Extract
    only: set[str] | None
    files: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    skipped: Counter = field(default_factory=Counter)
    progress: Callable[[int], Any] = lambda n: None


def _read(
    archive: Path,
    beside: Path,
    params: Extract,
    *,
    password: Secret | str | None,
    only: set[str] | None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Reads a whole archive; returns the sizes of its files and what was left out."""
    form = params.format if params.format != "auto" else archive_format(archive)
    beside.mkdir(parents=True, exist_ok=True)
    work = _Unpacking(archive, beside, params, only)
    size = archive.stat().st_size
    limit = params.max_bytes if params.max_bytes is not None else max(200 * size, 10**9)
    chosen = [glob_regex(p) for p in params.members]
    reader = _zip_members if form == "zip" else _tar_members
    total, matched = 0, False
    try:
        with _damage_reported(archive), _progress_bar(archive) as bar:
            _check_space(archive, beside, form, limit)
            work.progress = bar.update
            for member in reader(archive, password):
                inside = _checked_name(archive, member.name)
                if member.kind == "folder" or inside == ".":
                    continue
                if inside.startswith("__MACOSX/") or inside.rsplit("/", 1)[-1] == ".DS_Store":
                    work.skipped["metadata of macOS"] += 1
                    continue
                if chosen and not any(r.fullmatch(inside) for r in chosen):
                    work.skipped["not among the members asked for"] += 1
                    continue
                matched = True
                path = _destination(archive, inside, params)
                total += member.size
                if total > limit:
                    raise _too_much(archive, limit)
                if member.kind == "file":
                    _claim(work, path)
                    work.files[path] = member.size
                    if only is None or path in only:
                        _write_member(work, path, member)
                else:
                    work.links[path] = _link_target(archive, member, inside, params)
        if chosen and not matched:
            raise CorruptInput(archive, f"no member matches {', '.join(params.members)}")
        _add_links(work)
    except CorruptInput:
        shutil.rmtree(beside, ignore_errors=True)
        _begun_path(beside).unlink(missing_ok=True)
        raise
    return work.files, dict(work.skipped)


def _checked_name(archive: Path, name: str) -> str:
    """Member name in canonical form, refused if it leaves the archive."""
    if "\0" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise CorruptInput(archive, f"unsafe: member with the absolute path {name!r}; refused")
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts:
        raise CorruptInput(archive, f"unsafe: member {name!r} leaves the archive; refused")
    return "/".join(parts) or "."


def _destination(archive: Path, inside: str, params: Extract) -> str:
    """Path relative to the raw folder."""
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


def _claim(work: _Unpacking, path: str) -> None:
    """Refuses names of which one would have to be a file and a folder."""
    parents = path.split("/")[:-1]
    for i in range(1, len(parents) + 1):
        parent = "/".join(parents[:i])
        if parent in work.files:
            raise CorruptInput(work.archive, f"{parent!r} is both a file and a folder in it")
        work.folders.add(parent)
    if path in work.folders:
        raise CorruptInput(work.archive, f"{path!r} is both a file and a folder in it")


def _write_member(work: _Unpacking, path: str, member: _Member) -> None:
    target = work.beside / path
    # Left by an interrupted run; complete, because it got its name only then.
    if target.is_file() and target.stat().st_size == member.size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + _SUFFIX)
    written = 0
    try:
        with member.open() as source, open(unfinished, "wb") as f:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > member.size:
                    break
                f.write(chunk)
                work.progress(len(chunk))
        if written != member.size:
            raise CorruptInput(
                work.archive,
                f"member {member.name!r} does not have the announced {member.size} bytes",
                hint=_REFETCH,
            )
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _add_links(work: _Unpacking) -> None:
    """Turns links within the archive into files of their own."""
    for path in work.links:
        at, steps = path, 0
        while at in work.links and steps <= len(work.links):
            at, steps = work.links[at], steps + 1
        if at not in work.files:
            what = "a folder" if at in work.folders else "nothing in the archive"
            work.skipped[f"links to {what}"] += 1
            continue
        if path in work.files and path != at:
            continue  # stands twice in the archive; the file wins
        _claim(work, path)
        work.files[path] = work.files[at]
        target = work.beside / path
        if (work.only is None or path in work.only) and not target.exists():
            origin = work.beside / at
            if not origin.exists():  # already in place, when only some files are extracted again
                origin = work.beside.parent.parent.parent / at
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(target.name + _SUFFIX)
            shutil.copyfile(origin, unfinished)
            os.replace(unfinished, target)


def _link_target(archive: Path, member: _Member, inside: str, params: Extract) -> str:
    """Path below the raw folder that a link points to, refused if that is outside the archive."""
    # A hard link names a member, a symbolic one is relative to where it stands.
    parts = [] if member.kind == "hardlink" else inside.split("/")[:-1]
    outside = member.target.startswith("/") or re.match(r"[A-Za-z]:", member.target)
    for part in member.target.replace("\\", "/").split("/"):
        if part == "..":
            outside = outside or not parts
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if outside:
        raise CorruptInput(
            archive, f"unsafe: {member.name!r} links to {member.target!r}, outside of it; refused"
        )
    try:
        return _destination(archive, "/".join(parts), params) if parts else ""
    except CorruptInput:
        return ""  # not below the prefix, so nothing that is extracted


def _too_much(archive: Path, limit: int) -> CorruptInput:
    return CorruptInput(
        archive,
        f"holds more than {limit} bytes, which is suspicious for {archive.stat().st_size} bytes",
        hint="if that is right, set extract.max_bytes in sources.yaml",
    )


def _check_space(archive: Path, beside: Path, form: str, limit: int) -> None:
    """Says beforehand that a disk is too small, as far as that can be known beforehand."""
    need = archive.stat().st_size
    if form == "zip":
        with zipfile.ZipFile(archive) as z:
            need = sum(i.file_size for i in z.infolist())
        if need > limit:
            raise _too_much(archive, limit)
    for parent, _, files in os.walk(beside):
        need -= sum(os.path.getsize(os.path.join(parent, f)) for f in files)
    free = shutil.disk_usage(beside).free
    if need > free:
        raise WorkError(
            f"{beside.parent.parent.parent}: extracting {archive.name} needs {need} bytes, "
            f"{free} are free; free some space and run again"
        )


def _progress_bar(archive: Path):
    from tqdm import tqdm

    return tqdm(desc=archive.name, unit="B", unit_scale=True, disable=None, leave=False)


@contextlib.contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    """Turns what the standard library says of damaged archives into one sentence."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        UnicodeError,
        gzip.BadGzipFile,
        lzma.LZMAError,
        zlib.error,
    ) as e:
        told = " ".join(str(e).split())
        raise CorruptInput(
            archive, f"truncated or damaged ({told})", hint=_damage_hint(archive)
        ) from None
    except NotImplementedError as e:
        raise CorruptInput(
            archive,
            f"packed or encrypted by a method that is not read here ({e})",
            hint="extract it by hand, e.g. with 7z, or install pyzipper for AES encryption",
        ) from None
    except RuntimeError as e:
        if "password" in str(e).lower():
            raise UsageError(f"{archive}: the password is wrong for it") from None
        raise
    except OSError as e:
        if e.errno is not None:
            raise
        # This is how bz2 reports invalid data.
        raise CorruptInput(archive, f"damaged ({e})", hint=_REFETCH) from None


def _damage_hint(archive: Path) -> str:
    try:
        with zipfile.ZipFile(archive) as z:
            if any(i.flag_bits & 1 for i in z.infolist()):
                # One wrong password in 256 passes the format's own check.
                return f"or the password is wrong; otherwise {_REFETCH}"
    except (zipfile.BadZipFile, OSError):
        pass
    return _REFETCH


# ---------------------------------------------------------------------------------------------
# The two formats


def _tar_members(archive: Path, password: Secret | str | None) -> Iterator[_Member]:
    with open(archive, "rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        if head[:2] == b"\x1f\x8b":
            plain: IO[bytes] = gzip.GzipFile(fileobj=raw)
        elif head[:3] == b"BZh":
            plain = bz2.BZ2File(raw)
        elif head == b"\xfd7zXZ\x00":
            plain = lzma.LZMAFile(raw)
        else:
            plain = raw
        stream = _Forward(plain)
        # Not tarfile's own stream modes: they take a cut-off file for a complete one.
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (info := tar.next()) is not None:
                yield _tar_member(archive, tar, info)
                tar.members = []  # or it keeps the headers of millions of files
        # tarfile stops silently at the first later header that it cannot read; a whole archive
        # ends with a block of zeros.
        if stream.last.strip(b"\0") or len(stream.last) < 512:
            raise CorruptInput(
                archive, "truncated or damaged: the tar has no end mark", hint=_REFETCH
            )
        while plain.read(_CHUNK):  # the compressor's own checksum stands at the very end
            pass


def _tar_member(archive: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    if info.isdir():
        return _Member(info.name, "folder")
    if info.issym() or info.islnk():
        return _Member(info.name, "link" if info.issym() else "hardlink", target=info.linkname)
    if not info.isreg():
        raise CorruptInput(archive, f"unsafe: {info.name!r} is a device or pipe; refused")
    return _Member(info.name, "file", info.size, open=lambda: tar.extractfile(info))


class _Forward:
    """A file that is read from front to back and remembers its last read.

    Seeking forward by reading, so that a cut-off compressed stream is noticed.
    """

    def __init__(self, f: IO[bytes]):
        self._f = f
        self._at = 0
        self.last = b""

    def read(self, n: int = -1) -> bytes:
        """As of any file."""
        self.last = self._f.read(n)
        self._at += len(self.last)
        return self.last

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file, from the start only."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("seeking is supported from the start only")
        if offset < self._at:
            self._at = self._f.seek(offset)
        while self._at < offset:
            skipped = self._f.read(min(_CHUNK, offset - self._at))
            if not skipped:
                break
            self._at += len(skipped)
        return self._at


def _zip_members(archive: Path, password: Secret | str | None) -> Iterator[_Member]:
    if isinstance(password, str):
        password = Secret(password)
    key = password.reveal().encode() if password is not None else None
    with _open_zip(archive) as z:
        for info in sorted(z.infolist(), key=lambda i: i.header_offset):
            # Archives made on Windows may separate with backslashes, against the standard.
            name = info.filename if "/" in info.filename else info.filename.replace("\\", "/")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if name.endswith("/"):
                yield _Member(name, "folder")
                continue
            if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise CorruptInput(archive, f"unsafe: {name!r} is a device or pipe; refused")
            if info.flag_bits & 1 and key is None:
                raise UsageError(
                    f"{archive}: encrypted, so it needs a password (extract.password in "
                    "sources.yaml names the credentials to use)"
                )

            def opener(info=info):
                return z.open(info, pwd=key if info.flag_bits & 1 else None)

            if kind == stat.S_IFLNK:
                with opener() as f:
                    yield _Member(name, "link", target=f.read(4096).decode())
            else:
                yield _Member(name, "file", info.file_size, open=opener)


def _open_zip(archive: Path) -> zipfile.ZipFile:
    """By the standard reader, or by pyzipper (which knows AES) where needed and installed."""
    z = zipfile.ZipFile(archive)
    if any(i.compress_type == 99 for i in z.infolist()):
        try:
            import pyzipper
        except ImportError:
            return z
        z.close()
        return pyzipper.AESZipFile(archive)
    return z


# ---------------------------------------------------------------------------------------------
# Into place, and the records


def _move_into_place(beside: Path, root: Path, files: dict[str, int]) -> None:
    made: set[Path] = set()
    for path, size in files.items():
        source, target = beside / path, root / path
        if not source.exists():
            # Moved by a run that was interrupted in this loop.
            if target.is_file() and target.stat().st_size == size:
                continue
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
            unfinished = target.with_name(target.name + _SUFFIX)
            try:
                shutil.copyfile(source, unfinished)
                os.replace(unfinished, target)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
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
    return {"archive": {"bytes": status.st_size, **known}, "how": _how(params)}


def _how(params: Extract) -> dict[str, Any]:
    return {
        "to": params.to,
        "strip_prefix": params.strip_prefix,
        "members": list(params.members),
    }


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _record_path(root: Path, name: str) -> Path:
    return Path(root) / STATE_DIR / "extract" / f"{name}.json"


def _write_record(root: Path, name: str, record: dict) -> None:
    _write_json(_record_path(root, name), record)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + _SUFFIX)
    try:
        with open(unfinished, "w", encoding="utf-8") as f:
            json.dump(value, f, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            f.flush()
            os.fsync(f.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _begun_path(beside: Path) -> Path:
    return beside.with_name(f"{beside.name}.begun.json")


def _forget(root: Path, name: str) -> None:
    _record_path(root, name).unlink(missing_ok=True)
    beside = Path(root) / STATE_DIR / "extracting" / name
    shutil.rmtree(beside, ignore_errors=True)
    _begun_path(beside).unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass


def _disk_error(e: OSError, root: Path, archive: Path) -> Exception:
    if isinstance(e, FileNotFoundError) and e.filename == os.fspath(archive):
        return WorkError(f"{archive}: no such archive; run the download again")
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkError(
            f"{root}: disk full while extracting {archive.name}; nothing of it is in place yet. "
            "Free some space and run again: it goes on where it stopped"
        )
    return WorkError(f"{e.filename or root}: {e.strerror or e} while extracting {archive.name}")
