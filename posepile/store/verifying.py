"""Checks every byte and row of an archive and of the parts it was made from, and heals both."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from posepile import paths
from posepile.errors import (
    PosePileError,
    Shortage,
    UsageError,
    WorkError,
    one_line,
    raise_if_shortage,
)
from posepile.files import open_regular
from posepile.store.layout import (
    TABLE_PREFIX,
    digests_path,
    find_index,
    next_folder,
    shard_path,
)
from posepile.store.parts import damage_of_part, read_header, remove_part, shard_of
from posepile.store.reading import Archive, open_anew
from posepile.store.shard_files import file_digest

NAMED = 3  # so many problems of a kind are listed

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


@dataclass
class VerifyReport:
    """What is damaged.

    Attributes:
        problems: One line each; empty if all is well.
        damaged_parts: Parts of the work folder that are to be made again.
    """

    problems: list[str] = field(default_factory=list)
    damaged_parts: list[Path] = field(default_factory=list)


def verify(path: str | os.PathLike, max_problems: int = 100) -> list[str]:
    """Checks an archive; returns problems, one line each, empty if there are none.

    Args:
        path: The archive.
        max_problems: Stop after this many.
    """
    return check_archive(path, max_problems=max_problems).problems


def check_archive(
    path: str | os.PathLike, work: Path | None = None, max_problems: int = 100
) -> VerifyReport:
    """Checks an archive: digests of its files, checksums of its entries, its table, its parts.

    Args:
        path: The archive; relative paths are below ``DATA_ROOT``.
        work: Folder in which the parts are, at any depth; None = the archive alone.
        max_problems: Stop listing after this many (damaged parts are all found).
    """
    report = VerifyReport()
    files = _Files()
    for problem in _archive_problems(path, files):
        if not _list(report, problem, max_problems):
            break
    for part in sorted(work.rglob("*.part")) if work is not None else ():
        if part.name.startswith("."):
            continue  # being written, or left by a killed process
        reason = _damage(part, files.digests)
        if reason is not None:
            report.damaged_parts.append(part)
            if not _is_among(shard_of(part), files.damaged):  # which has been said
                _list(report, reason, max_problems)
    return report


@dataclass
class _Files:
    """What is known of the files of an archive.

    Attributes:
        digests: Device and inode -> SHA-256 of what has been read; parts share shards as links.
        wrong: File -> what is wrong with it and has not been said yet: that goes into one line
            with what follows from it.
        damaged: Device and inode of files whose content is not what it was.
    """

    digests: dict[tuple[int, int], str] = field(default_factory=dict)
    wrong: dict[Path, str] = field(default_factory=dict)
    damaged: set[tuple[int, int]] = field(default_factory=set)


def _is_among(file, files):
    with contextlib.suppress(OSError):
        stat = os.stat(file)
        return (stat.st_dev, stat.st_ino) in files
    return False


def _list(report, problem, max_problems):
    if len(report.problems) < max_problems:
        report.problems.append(problem)
        return True
    if len(report.problems) == max_problems:
        report.problems.append(f"stopped after {max_problems} problems")
    return False


def repair(
    path: str | os.PathLike,
    work: Path,
    report: VerifyReport,
    redo: Callable[[list[Path]], None],
    pack: Callable[[], None],
) -> VerifyReport:
    """Makes damaged parts and the archive again, and checks the result.

    Damaged parts are removed first, with their shards. An archive's shard is the same file as its
    part's under another name: packing puts a new file in its place, so that the damage is gone
    from both.

    Args:
        path: The archive.
        work: Folder in which the parts are.
        report: What :func:`check_archive` found.
        redo: Runs the units of these parts again, from the first stage that lost its result.
        pack: Packs the archive again.

    Returns:
        What is damaged now.
    """
    if not report.problems:
        return report
    for part in report.damaged_parts:
        remove_part(part)
    if report.damaged_parts:
        redo(report.damaged_parts)
    pack()
    return check_archive(path, work)


# ---------------------------------------------------------------- parts


def _damage(part, digests):
    """Returns what is wrong with a part; a shard whose digest is known is not read again."""
    header = read_header(part)
    if header is not None and "shard" in header["sha256"]:
        with contextlib.suppress(OSError):
            stat = os.stat(shard_of(part))
            if digests.get((stat.st_dev, stat.st_ino)) == header["sha256"]["shard"]:
                return damage_of_part(part, shard=False)
    return damage_of_part(part)


# ---------------------------------------------------------------- archive


def _archive_problems(path, files) -> Iterator[str]:
    archive_path = Path(os.path.abspath(paths.ensure_absolute(path)))
    folder = next_folder(archive_path)
    if folder.exists():
        # Readers cope with that, the library does not. It is not for us to finish: the process
        # may be alive.
        yield (
            f"{folder}: a new archive is being put in its place, or the process that did so was "
            "killed; if none is running, pack again, which finishes it"
        )
        return
    yield from _digest_problems(archive_path, files)
    found = list(_content_problems(path, archive_path, files.wrong))
    of_index = files.wrong.pop(archive_path, None)
    if of_index is not None and len(found) == 1:  # the one shows in the other
        found = [f"{of_index}: {found[0].removeprefix(f'{archive_path}: ')}"]
    elif of_index is not None:
        found = [of_index, *found]
    yield from found
    yield from files.wrong.values()


def _content_problems(path, archive_path, wrong) -> Iterator[str]:
    """Yields what is wrong inside; takes out of ``wrong`` what is said on the way."""
    try:
        archive = open_anew(path)
        odd = _odd_names(archive)
        if odd:
            # The library walks up from each name, and never arrives from some.
            yield from odd
            return
        lost = _lost_shards(archive_path, archive)
        if lost:
            # Without them the library takes the later shards for earlier ones, and calls all of
            # their entries damaged.
            for file, line in lost:
                wrong.pop(file, None)
                yield line
            return
        tables = {shard_path(archive_path, n) for _, n, *_ in archive.entries(TABLE_PREFIX)}
        yield from _entry_problems(archive, archive_path, wrong, tables)
        if tables and tables & set(wrong):
            for file in tables & set(wrong):
                yield f"{wrong.pop(file)}: the table of examples"
            return
        if tables:
            yield from _in_short(_table_problems(archive))
        archive.metadata  # noqa: B018 - raises if it is damaged
    except UsageError:
        wrong.pop(archive_path, None)
        yield f"{archive_path}: not found"
    except Shortage:
        raise
    except PosePileError as e:
        yield str(e)


def _in_short(problems: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Yields the first problems of each kind, and how many others there are."""
    counts: Counter = Counter()
    for kind, problem in problems:
        counts[kind] += 1
        if counts[kind] <= NAMED:
            yield problem
    yield from (f"{n - NAMED} other {kind}" for kind, n in counts.items() if n > NAMED)


def _lost_shards(archive_path, archive):
    """Returns file and line for each shard that the index refers to and that is not there."""
    numbers = {shard for _, shard, _, _ in archive.entries()}
    shards = [shard_path(archive_path, n) for n in sorted(numbers)]
    return [
        (
            file,
            f"{file}: {'is no file' if os.path.lexists(file) else 'not found'}; --repair puts it "
            "in place again",
        )
        for file in shards
        if not file.is_file()
    ]


def _odd_names(archive):
    """Returns one line for each name in the index that no archive of ours has."""
    return [
        f"{archive.index_path}: entry {key!r}: expected a name without empty, '.' or '..' parts"
        for key in archive.stored_names()
        if "\0" in key or any(p in ("", ".", "..") for p in key.split("/"))
    ]


def _digest_problems(archive_path, files):
    """Compares the files with their digests; archives of before have none."""
    listed = digests_path(archive_path)
    try:
        with open_regular(listed) as f:
            text = f.read().decode()
    except FileNotFoundError:
        with contextlib.suppress(WorkError):
            found = find_index(archive_path)
            if found is not None and Archive(os.fspath(archive_path), found[1]).identity:
                yield f"{listed}: not found; pack the archive again"
        return
    except (OSError, UnicodeDecodeError) as e:
        raise_if_shortage(listed, e)
        yield f"{listed}: cannot be read ({getattr(e, 'strerror', None) or e})"
        return
    names, odd = set(), []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or not match[2].startswith(archive_path.name) or "/" in match[2]:
            odd.append(line)
            continue
        names.add(match[2])
        file = archive_path.with_name(match[2])
        try:
            stat = os.stat(file)
            digest, _ = file_digest(file)
        except (OSError, ValueError) as e:  # such as a name with a zero byte
            raise_if_shortage(file, e)
            reason = getattr(e, "strerror", None) or e
            files.wrong[file] = f"{str(file)!r}: cannot be read: {reason}"
            continue
        files.digests[stat.st_dev, stat.st_ino] = digest
        if digest != match[1]:
            files.damaged.add((stat.st_dev, stat.st_ino))
            text = f"{file}: its content does not fit its SHA-256 in {listed.name}"
            files.wrong[file] = text
    if odd:
        more = f" and {len(odd) - 1} others" if len(odd) > 1 else ""
        yield f"{listed}: line {odd[0][:80]!r}{more}, expected a SHA-256 and a file of the archive"
    elif archive_path.name not in names:
        yield f"{listed}: the index {archive_path.name} is not listed"


def _entry_problems(archive, archive_path, wrong, tables):
    """Reads every entry through the Barecat library, as its users do."""
    import barecat
    from barecat.core.types import Order

    # Its readers report to the log in many lines what is one line here.
    logging.getLogger("barecat.core.index").addHandler(logging.NullHandler())
    end: dict[int, int] = {}
    unreadable: dict[Path, list[str]] = {}
    others = []
    try:
        with warnings.catch_warnings(), barecat.Barecat(archive.path, readonly=True) as library:
            warnings.simplefilter("ignore")  # that archives of 2024 should be converted
            if not library.index.verify_integrity():
                yield f"{archive.index_path}: the index contradicts itself"
            for info in library.index.iter_all_fileinfos(order=Order.ADDRESS):
                if info.offset < end.get(info.shard, 0):
                    text = f"{info.path}: overlaps the entry before it in shard {info.shard}"
                    others.append(("overlapping entries", text))
                end[info.shard] = info.offset + info.size
                try:
                    data = library.read(info)
                except Exception as e:  # whatever the library makes of a damaged address
                    raise_if_shortage(archive.path, e)
                    text = f"{info.path}: cannot be read: {one_line(e)}"
                    unreadable.setdefault(shard_path(archive_path, info.shard), []).append(text)
                    continue
                if len(data) != info.size:
                    text = f"{info.path}: {len(data)} bytes, expected {info.size}"
                    others.append(("entries of another size", text))
                elif info.path.endswith((".jpg", ".jpeg")) and not _has_jpeg_header(data):
                    text = f"{info.path}: {info.size} bytes that do not start as a JPEG"
                    others.append(("entries that do not start as a JPEG", text))
    except sqlite3.Error as e:
        raise_if_shortage(archive.index_path, e)
        yield f"{archive.index_path}: the index cannot be read: {one_line(e)}"
    except (WorkError, Shortage):
        raise
    except Exception as e:
        raise_if_shortage(archive.index_path, e)
        reason = f"{type(e).__name__}: {one_line(e)}"
        yield f"{archive.index_path}: the Barecat library cannot read it: {reason}"
    for file, texts in unreadable.items():
        if file in wrong and file not in tables:
            n = f"{len(texts)} entries" if len(texts) > 1 else "1 entry"
            yield f"{wrong.pop(file)}: {n} cannot be read, e.g. {texts[0]}"
        elif file not in wrong:
            others += [(f"entries of {file.name} that cannot be read", text) for text in texts]
    yield from _in_short(iter(others))


def _table_problems(archive) -> Iterator[tuple[str, str]]:
    """Yields a kind and a line for every row that is not right."""
    examples = archive.table
    counts = archive.metadata.get("counts", {})
    for name, has in archive.split_rows().items():
        if len(has) != counts.get(name, len(has)):
            yield "splits", f"split {name}: {len(has)} examples, expected {counts[name]}"
    for row in range(examples.n_rows):
        try:
            record = examples.record(row)
            address = archive.address(record.image_path)
        except KeyError:
            text = f"example {row}: its image {record.image_path!r} is not in the index"
            yield "examples whose image is not in the index", text
            continue
        except WorkError as e:
            yield "examples that cannot be read", f"example {row}: {e}"
            continue
        except Shortage:
            raise
        except Exception as e:  # whatever damaged numbers lead to
            raise_if_shortage(archive.index_path, e)
            text = f"example {row}: cannot be read: {type(e).__name__}: {one_line(e)}"
            yield "examples that cannot be read", text
            continue
        if tuple(address) != examples.image_address(row):
            yield (
                "examples with the image elsewhere",
                f"example {row}: image {record.image_path!r} at {examples.image_address(row)} in "
                f"the table, at {tuple(address)} in the index",
            )


def _has_jpeg_header(data):
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # KeyError: of a colour space it does not know
        return False
    return height > 0 and width > 0
