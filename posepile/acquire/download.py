"""The download stage: decide what is missing, then fetch, verify and extract it.

:func:`plan` looks only at the disk and says for every source what would be done;
:func:`run_download` does it. Files arrive under a temporary name, go on where they were cut off,
are checked (published checksum, size, the container's own sums) and get their final name last.
What was fetched from where, with size and SHA-256, is kept in ``.posepile/sources.lock.json``
below the raw folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.acquire import extract as _extract
from posepile.acquire.credentials import (
    Credentials,
    Secret,
    get_credentials,
    have_credentials,
    redact,
    variable_names,
)
from posepile.acquire.sources import (
    STATE_DIR,
    Place,
    Source,
    Sources,
    below,
    find_matches,
    load_sources,
)
from posepile.errors import CorruptInput, PosePileError, UsageError, WorkError

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 60
_LONGEST_WAIT_SECONDS = 300
_ARCHIVE_NAME = re.compile(r".*\.(zip|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar)$", re.IGNORECASE)

Log = Callable[[str], None]
Password = Secret | str | Callable[[], Secret | str]


@dataclass(frozen=True)
class Decision:
    """What is to be done about one source.

    Attributes:
        source: The source.
        action: ``have``: nothing; ``verify``: the file is there but was never checked;
            ``extract``: it only has to be extracted; ``resume`` and ``fetch``: over the network;
            ``tool``: by the dataset's own program; ``manual``: by a person; ``blocked``:
            credentials are lacking.
        reason: One phrase.
        total: Size of the file in bytes, None if unknown.
        offset: How much of it is there.
    """

    source: Source
    action: str
    reason: str = ""
    total: int | None = None
    offset: int = 0

    @property
    def remaining(self) -> int | None:
        """Bytes still to be fetched; None if unknown."""
        if self.action not in ("fetch", "resume", "blocked", "manual", "tool"):
            return 0
        return None if self.total is None else max(self.total - self.offset, 0)


@dataclass
class Report:
    """What a download run has done and what is left.

    Attributes:
        name: Dataset.
        decisions: What was decided at the beginning.
        fetched: Sources fetched over the network.
        extracted: Archives extracted.
        left: What still has to be done by a person, or failed: one line each.
        lines: The whole as text.
    """

    name: str
    decisions: list[Decision]
    fetched: list[str] = field(default_factory=list)
    extracted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is there."""
        return not self.left

    def raise_for_rest(self) -> None:
        """Makes an incomplete download an error.

        Raises:
            WorkError: Something is left; the first of it is named.
        """
        if self.left:
            more = f" (and {len(self.left) - 1} more)" if len(self.left) > 1 else ""
            raise WorkError(
                f"{self.name}: download incomplete: {self.left[0]}{more}; "
                f"`posepile plan {self.name}` lists everything"
            )


# ---------------------------------------------------------------------------------------------
# Deciding


def plan(sources: Sources, root: Path, only: Iterable[str] | None = None) -> list[Decision]:
    """Decides for every source what is to be done; asks no server and changes nothing.

    Args:
        sources: The dataset's sources.
        root: Its raw folder.
        only: Names or parts; everything that is not optional if left out.

    Raises:
        UsageError: ``only`` names something that does not exist.
    """
    root = Path(root)
    lock = read_lock(root)
    return [_decide(source, sources.roots, root, lock) for source in sources.select(only)]


def _decide(source: Source, roots: list[str], root: Path, lock: dict[str, dict]) -> Decision:
    if source.url is None:
        return _decide_places(source, roots, root, lock)
    size, target = source.size, root / source.path
    if source.extract and _extract.is_extracted(root, source.name, source.extract):
        return Decision(source, "have", "extracted", size)
    suspicious = ""
    if target.is_file():
        found = target.stat().st_size
        if source.bytes is None or found == source.bytes:
            if not _is_verified(source.path, found, source.md5, source.sha256, lock):
                return Decision(source, "verify", "on disk, not checked yet", found, found)
            action = "extract" if source.extract else "have"
            return Decision(source, action, "downloaded and checked", found, found)
        suspicious = (
            f"{source.path} has {found} bytes instead of {source.bytes}: it will be replaced"
        )
    elif source.provides and _all_provided(source, roots, root):
        return Decision(source, "have", "found extracted on disk; not verified", size)
    part = _part_path(target)
    offset = part.stat().st_size if part.is_file() else 0
    reason = suspicious or source.url
    if source.login and not _can_log_in(source):
        user, password = variable_names(source.login.account)
        return Decision(
            source,
            "blocked",
            f"no user name and password for {source.login.account}: set {user} and {password}",
            size,
            offset,
        )
    return Decision(source, "resume" if offset else "fetch", reason, size, offset)


def _decide_places(
    source: Source, roots: list[str], root: Path, lock: dict[str, dict]
) -> Decision:
    if source.provides and _all_provided(source, roots, root):
        return Decision(source, "have", "found on disk", source.size)
    if source.extract and _hand_archives_extracted(source, root):
        return Decision(source, "have", "extracted", source.size)
    unchecked = False
    for place in source.places:
        matches = list(find_matches(root, place.path))
        if len(matches) < place.min:
            action = "manual" if source.manual else "tool"
            found = f", {len(matches)} of {place.min} there" if place.min > 1 else ""
            return Decision(source, action, f"{place.path} is missing{found}", source.size)
        for match in matches:
            size = (root / match).stat().st_size
            if place.bytes is not None and size != place.bytes:
                reason = f"{match} has {size} bytes instead of {place.bytes}"
                return Decision(source, "manual" if source.manual else "tool", reason, source.size)
            unchecked |= not _is_verified(match, size, place.md5, place.sha256, lock)
    if source.tool:
        return Decision(source, "have", "on disk", source.size)
    if unchecked:
        return Decision(source, "verify", "on disk, not checked yet", source.size)
    if source.extract:
        return Decision(source, "extract", "on disk and checked", source.size)
    return Decision(source, "have", "on disk and checked", source.size)


def _is_verified(
    path: str, size: int, md5: str | None, sha256: str | None, lock: dict[str, dict]
) -> bool:
    entry = lock.get(path)
    return (
        entry is not None
        and entry["bytes"] == size
        and md5 in (None, entry.get("md5"))
        and sha256 in (None, entry["sha256"])
    )


def _all_provided(source: Source, roots: list[str], root: Path) -> bool:
    record = _extract.read_record(root, source.name)
    if record is not None:
        # We extracted it ourselves, in another way or not to the end, or files have been lost.
        return False
    return any(
        all(next(find_matches(root, below(r, p)), None) is not None for p in source.provides)
        for r in roots
    )


def _hand_archives(source: Source, root: Path) -> list[str]:
    found = {m for place in source.places for m in find_matches(root, place.path)}
    return sorted(m for m in found if _ARCHIVE_NAME.fullmatch(m))


def _hand_archives_extracted(source: Source, root: Path) -> bool:
    records = (root / STATE_DIR / "extract").glob(f"{source.name}--*.json")
    names = {p.name.removesuffix(".json") for p in records}
    names |= {_record_name(source, a) for a in _hand_archives(source, root)}
    archives = [p for p in source.places if _ARCHIVE_NAME.fullmatch(p.path)]
    others = [p for p in source.places if p not in archives]
    return (
        len(names) >= max(sum(p.min for p in archives), 1)
        and all(_extract.is_extracted(root, n, source.extract) for n in names)
        and all(len(list(find_matches(root, p.path))) >= p.min for p in others)
    )


def _record_name(source: Source, path: str) -> str:
    return source.name if source.url else f"{source.name}--{path.rsplit('/', 1)[-1]}"


def _can_log_in(source: Source) -> bool:
    asked = sys.stdin is not None and sys.stdin.isatty()
    return asked or have_credentials(source.login.account)


# ---------------------------------------------------------------------------------------------
# Telling


def format_plan(
    name: str,
    sources_path: str | os.PathLike,
    root: str | os.PathLike,
    only: Iterable[str] | None = None,
) -> str:
    """The plan as text: one line per source, the steps for a person, and the sums.

    Raises:
        UsageError: Something is wrong with the request or with ``sources.yaml``.
    """
    sources = _load(name, sources_path)
    return _plan_text(sources, plan(sources, Path(root), only), Path(root))


def _load(name: str, sources_path: str | os.PathLike) -> Sources:
    sources = load_sources(sources_path)
    if sources.dataset != name:
        raise UsageError(f"{sources_path}: is about {sources.dataset}, not {name}")
    return sources


def _plan_text(sources: Sources, decisions: list[Decision], root: Path) -> str:
    head = [f"{sources.dataset}: {root}"]
    head += [f"  page     {sources.page}"] if sources.page else []
    head += [f"  licence  {sources.licence}"] if sources.licence else []
    width = max([len(d.source.name) for d in decisions], default=0)
    lines = []
    words = {"manual": "by hand"}
    for d in decisions:
        size = format_bytes(d.total) if d.total is not None else "unknown size"
        if d.action == "resume":
            size = f"{format_bytes(d.offset)} of {size}"
        size = "" if d.action == "have" else f"{size}  "
        lines.append(
            f"  {words.get(d.action, d.action):8} {d.source.name:{width}}  {size}{d.reason}"
        )
        lines += [f"{'':11}{note}" for note in _details(sources, d)]
    logins = {s.login.account for s in sources.sources if s.login}
    for account, service in sources.services.items():
        if account not in logins:  # needed by the recipe's own download
            lines.append(f"  by hand  {account}")
            lines += [f"{'':11}{i}. {step}" for i, step in enumerate(service.steps, 1)]
            lines += [f"{'':11}see {service.url}"] if service.url else []
    waiting = [d for d in decisions if d.remaining != 0]
    known = sum(d.remaining or 0 for d in waiting)
    unknown = sum(d.remaining is None for d in waiting)
    unsaid = f", and {unknown} of unknown size" if unknown else ""
    lines.append(
        f"  in all: {len(decisions)} sources, {len(decisions) - len(waiting)} on disk, "
        f"{format_bytes(known)} to get{unsaid}; {format_bytes(_free_bytes(root))} free on the disk"
    )
    lines += [f"  known to be absent: {a.what} ({a.reason})" for a in sources.absent]
    return "\n".join(head + lines)


def _details(sources: Sources, decision: Decision) -> Iterator[str]:
    source = decision.source
    if source.note:
        yield source.note
    if source.licence and decision.action != "have":
        yield f"licence: {source.licence}"
    if decision.action == "blocked" and source.login.account in sources.services:
        service = sources.services[source.login.account]
        yield from service.steps
        yield from ([f"account: {service.url}"] if service.url else [])
    if decision.action == "manual" and source.manual:
        for i, step in enumerate(source.manual.steps, 1):
            yield f"{i}. {step}"
        if source.manual.url:
            yield f"see {source.manual.url}"
        for place in source.places:
            yield f"put it at {place.path}"
    if decision.action == "tool" and source.tool:
        yield f"runs {' '.join(source.tool.command)}"
        if shutil.which(source.tool.command[0]) is None:
            yield f"which is not installed: {source.tool.install}"


def format_bytes(n: int) -> str:
    """``22.0 GB``; powers of ten, as sizes are given on dataset pages."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n} B"


# ---------------------------------------------------------------------------------------------
# Doing


def run_download(
    name: str,
    sources_path: str | os.PathLike,
    root: str | os.PathLike,
    *,
    only: Iterable[str] | None = None,
    dry_run: bool = False,
    log: Log = print,
    strict: bool = True,
    passwords: Mapping[str, Password] | None = None,
    attempts: int = 5,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Brings a dataset's raw files onto the disk, as far as that needs no person.

    One source that fails does not keep the others from being fetched; the report says what is
    left.

    Args:
        name: Dataset.
        sources_path: Its ``sources.yaml``.
        root: Its raw folder.
        only: Names or parts of sources; everything that is not optional if left out.
        dry_run: Decide and tell, do nothing.
        log: Called with lines of text.
        strict: Raise if anything is left at the end that was asked for.
        passwords: Passwords of encrypted archives by their credential name, or functions that work
            them out when they are needed.
        attempts: How often in a row an address may fail without a byte gained.
        sleep: Waits between attempts.

    Raises:
        UsageError: Something is wrong with the request or with ``sources.yaml``.
        WorkError: The disk is too small, another download into the folder is running, or (with
            ``strict``) something is left.
    """
    sources, root = _load(name, sources_path), Path(root)
    decisions = plan(sources, root, only)
    report = Report(name, decisions, lines=_plan_text(sources, decisions, root).split("\n"))
    if dry_run:
        report.left = [f"{d.source.name}: {d.action}" for d in decisions if d.action != "have"]
        return report
    if all(d.action == "have" for d in decisions):
        log(f"{name}: all {len(decisions)} sources are on disk")
        return report
    root.mkdir(parents=True, exist_ok=True)
    with _exclusive(root):
        _check_space(root, decisions)
        job = _Job(sources, root, log, dict(passwords or {}), attempts, sleep, report)
        for decision in decisions:
            if decision.action != "have":
                _do(job, decision)
    for line in report.left:
        log(f"left to do: {line}")
    if strict:
        report.raise_for_rest()
    return report


@dataclass
class _Job:
    sources: Sources
    root: Path
    log: Log
    passwords: dict[str, Password]
    attempts: int
    sleep: Callable[[float], None]
    report: Report
    refused_accounts: set[str] = field(default_factory=set)


def _do(job: _Job, decision: Decision) -> None:
    source, report = decision.source, job.report
    try:
        if decision.action in ("manual", "blocked"):
            report.left.append(f"{source.name}: {decision.reason}")
            for detail in _details(job.sources, decision):
                job.log(f"{source.name}: {detail}")
            return
        if decision.action == "tool":
            _run_tool(job, source)
            report.fetched.append(source.name)
        if decision.action in ("fetch", "resume"):
            if source.login and source.login.account in job.refused_accounts:
                raise WorkError(f"not tried, because {source.login.account} was refused before")
            _fetch_source(job, source)
            report.fetched.append(source.name)
        elif decision.action == "verify":
            _verify_places(job, source)
        if source.extract:
            _extract_source(job, source)
    except PosePileError as e:
        report.left.append(f"{source.name}: {e}")


def _extract_source(job: _Job, source: Source) -> None:
    lock = read_lock(job.root)
    paths = [source.path] if source.url else _hand_archives(source, job.root)
    for path in paths:
        result = _extract.extract_archive(
            job.root / path,
            job.root,
            source.extract,
            name=_record_name(source, path),
            sha256=lock[path]["sha256"] if path in lock else None,
            password=_archive_password(job, source),
            log=job.log,
        )
        if not result.done_before:
            job.report.extracted.append(path)
            job.log(f"{source.name}: extracted {len(result.files)} files from {path}")


def _archive_password(job: _Job, source: Source) -> Secret | None:
    service = source.extract.password
    if service is None:
        return None
    password = job.passwords.get(service)
    if callable(password):
        password = job.passwords[service] = password()
    if password is None:
        password = get_credentials(service, need_user=False).password
        job.passwords[service] = password
    return Secret(password) if isinstance(password, str) else password


def _run_tool(job: _Job, source: Source) -> None:
    tool = source.tool
    command = [word.replace("{root}", os.fspath(job.root)) for word in tool.command]
    if shutil.which(command[0]) is None:
        raise UsageError(f"{command[0]} is not installed: {tool.install}")
    job.log(f"{source.name}: running {' '.join(command)}")
    code = subprocess.run(command, cwd=job.root, check=False).returncode
    after = _decide(source, job.sources.roots, job.root, read_lock(job.root))
    if code != 0 or after.action == "tool":
        what = f"ended with exit status {code}" if code else f"ran, but {after.reason}"
        advice = f"; {tool.on_failure}" if tool.on_failure else ""
        raise WorkError(f"{command[0]} {what}{advice}")


def _verify_places(job: _Job, source: Source) -> None:
    """Checks files that somebody has put into place."""
    if source.url:
        places = [Place(path="x", bytes=source.bytes, md5=source.md5, sha256=source.sha256)]
        found = [(places[0], source.path)]
    else:
        found = [(p, m) for p in source.places for m in find_matches(job.root, p.path)]
    for place, match in found:
        path = job.root / match
        job.log(f"{source.name}: checking {match}")
        digests = _Digests(place.md5 is not None)
        digests.read(path)
        fault = digests.fault(place.md5, place.sha256)
        if fault:
            raise CorruptInput(
                path,
                fault,
                hint="delete it and run the download again, or put the right one there",
            )
        origin = "found on disk" if source.url else "by hand"
        _remember(job.root, match, digests.entry(source, path.stat().st_size, origin))


# ---------------------------------------------------------------------------------------------
# One file over the network


class _TryNext(Exception):
    """This address will not do; another may."""


class _Transient(Exception):
    """Worth another attempt, after ``wait`` seconds if the server says so."""

    def __init__(self, message: str, wait: float | None = None):
        super().__init__(message)
        self.wait = wait


class _Refused(_TryNext):
    """A refusal or a web page came instead of the file."""


@dataclass
class _Transfer:
    """One file on its way."""

    source: Source
    target: Path
    credentials: Credentials | None
    log: Log
    resumed: bool = False

    @property
    def part(self) -> Path:
        return _part_path(self.target)

    @property
    def notes(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def _fetch_source(job: _Job, source: Source) -> None:
    """Fetches one source from the first address that has it whole."""
    credentials = get_credentials(source.login.account) if source.login else None
    transfer = _Transfer(source, job.root / source.path, credentials, job.log)
    transfer.target.parent.mkdir(parents=True, exist_ok=True)
    secrets = (credentials.user, credentials.password) if credentials else ()
    failures = []
    refused = False
    for url in (source.url, *source.mirrors):
        host = urllib.parse.urlsplit(url).netloc
        try:
            entry = _fetch_from(transfer, url, job)
        except _TryNext as e:
            failures.append(f"{host}: {redact(str(e), *secrets)}")
            refused |= isinstance(e, _Refused)
            job.log(f"{source.name}: {failures[-1]}")
        except OSError as e:
            raise _disk_error(e, transfer.target) from None
        else:
            _remember(job.root, source.path, entry)
            return
    hint = ""
    if source.login and refused:
        job.refused_accounts.add(source.login.account)
        service = job.sources.services.get(source.login.account)
        where = f" at {service.url}" if service and service.url else ""
        hint = (
            f"; most likely the user name or password for {source.login.account} is wrong, or its "
            f"licence has not been accepted{where}"
        )
    elif refused:
        hint = "; most likely the link has expired or asks for a login: open it in a browser"
    raise WorkError(f"{transfer.target}: not fetched: {'; '.join(failures)}{hint}")


def _fetch_from(transfer: _Transfer, url: str, job: _Job) -> dict[str, Any]:
    failures, from_scratch = 0, False
    farthest = _size_of(transfer.part)
    while True:
        try:
            digests = _transfer_once(transfer, url)
            fault = _fault(transfer, digests)
            if fault is None:
                break
            transfer.discard()
            # A wrong beginning may have been left by an earlier version of the file on the server.
            if not transfer.resumed or from_scratch:
                raise _TryNext(fault)
            transfer.resumed, from_scratch, farthest = False, True, 0
            transfer.log(f"{transfer.source.name}: {fault}; once more from the beginning")
        except _Transient as e:
            # Compared with the best so far, or a server that starts over each time and breaks off
            # now earlier, now later would be asked forever.
            failures = 0 if _size_of(transfer.part) > farthest else failures + 1
            farthest = max(farthest, _size_of(transfer.part))
            if failures >= job.attempts:
                raise _TryNext(f"{e} ({failures} attempts)") from None
            wait = min(2.0**failures, _LONGEST_WAIT_SECONDS) if e.wait is None else e.wait
            transfer.log(f"{transfer.source.name}: {e}; trying again in {wait:.0f} s")
            job.sleep(wait)
    size = _size_of(transfer.part)
    os.replace(transfer.part, transfer.target)
    transfer.notes.unlink(missing_ok=True)
    return digests.entry(transfer.source, size, url)


def _transfer_once(transfer: _Transfer, url: str) -> _Digests:
    """Asks once and receives until the end; what has arrived stays when it breaks off."""
    source = transfer.source
    offset, notes = _size_of(transfer.part), _read_json(transfer.notes) or {}
    with contextlib.ExitStack() as stack:
        request = _request(source, url, offset, notes, transfer.credentials)
        try:
            response = stack.enter_context(_opener().open(request, timeout=_TIMEOUT_SECONDS))
        except urllib.error.HTTPError as e:
            stack.enter_context(e)
            response = e
            if not (e.code == 416 and offset):
                raise _http_fault(e, source) from None
        except (OSError, http.client.HTTPException) as e:
            raise _network_fault(e) from None
        status, headers = response.status, response.headers
        total = _content_total(status, headers)
        if status == 416:
            if total == offset and notes.get("total") in (None, total):
                digests = _Digests(source.md5 is not None)
                digests.read(transfer.part)
                return digests
            transfer.discard()
            raise _Transient("what is here does not fit what the server has; starting over", 0)
        if status == 206:
            start = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
            changed = notes.get("total") is not None and total not in (None, notes["total"])
            if not start or int(start[1]) != offset or changed:
                transfer.discard()
                raise _Transient("the file on the server has changed; starting over", 0)
        else:
            offset = 0  # the server sends it from the beginning, asked or not
        first = _receive(response)
        if offset == 0:
            _check_beginning(source, first, headers.get("Content-Type", ""))
        if total is not None and source.bytes is not None and total != source.bytes:
            raise _TryNext(f"has {total} bytes instead of {source.bytes}: another version?")
        if total is not None:
            _need_space(transfer.target, total - offset)
        _write_json(transfer.notes, _notes(url, headers, total))
        transfer.resumed = transfer.resumed or offset > 0
        digests = _Digests(source.md5 is not None)
        if offset:
            digests.read(transfer.part)
        received = offset
        with (
            open(transfer.part, "ab" if offset else "wb") as f,
            _progress_bar(source.name, total, offset) as bar,
        ):
            chunk = first
            while chunk:
                f.write(chunk)
                digests.update(chunk)
                received += len(chunk)
                bar.update(len(chunk))
                chunk = _receive(response)
            f.flush()
            os.fsync(f.fileno())
    if total is not None and received < total:
        raise _Transient(f"the connection ended after {received} of {total} bytes")
    return digests


def _request(
    source: Source, url: str, offset: int, notes: dict, credentials: Credentials | None
) -> urllib.request.Request:
    from posepile.version import __version__

    request = urllib.request.Request(url)
    request.add_header("User-Agent", f"posepile/{__version__}")
    request.add_header("Accept-Encoding", "identity")
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        # A published checksum decides at the end whether the pieces belong together, also when
        # they come from different mirrors; otherwise only an unchanged file may be continued.
        validator = notes.get("etag") or notes.get("last_modified")
        if validator and not (source.md5 or source.sha256):
            same = notes.get("url") == url
            request.add_header("If-Range", validator if same else '"from another address"')
    if source.login and credentials:
        user, password = credentials.user.reveal(), credentials.password.reveal()
        if source.login.kind == "mpi":
            form = {"username": user, "password": password}
            request.data = urllib.parse.urlencode(form).encode()
        else:
            import base64

            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            # Not passed on when the server redirects to another one.
            request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise _TryNext("redirects from https to an unprotected address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Redirects)


def _receive(response) -> bytes:
    try:
        return response.read(_CHUNK)
    except http.client.IncompleteRead as e:
        if e.partial:
            return e.partial
        raise _Transient("the connection broke off") from None
    except (OSError, http.client.HTTPException) as e:
        raise _network_fault(e) from None


def _network_fault(e: Exception) -> Exception:
    reason = getattr(e, "reason", None) or e
    if isinstance(reason, _TryNext):
        return reason
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _TryNext(f"its certificate is not valid ({reason.verify_message})")
    told = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return _Transient(f"no connection ({told})")


def _http_fault(e: urllib.error.HTTPError, source: Source) -> Exception:
    if e.code in (408, 425, 429) or e.code >= 500:
        asked = e.headers.get("Retry-After", "")
        wait = float(min(int(asked), _LONGEST_WAIT_SECONDS)) if asked.isdigit() else None
        return _Transient(f"answers {e.code} {e.reason}", wait)
    if e.code in (401, 403):
        what = "the user name or password may be wrong" if source.login else "access is denied"
        return (_Refused if source.login else _TryNext)(f"answers {e.code}: {what}")
    return _TryNext(f"answers {e.code} {e.reason}")


def _content_total(status: int, headers) -> int | None:
    if status in (206, 416):
        m = re.match(r"bytes .*/(\d+)$", headers.get("Content-Range", ""))
        return int(m[1]) if m else None
    length = headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _notes(url: str, headers, total: int | None) -> dict[str, Any]:
    etag = headers.get("ETag", "")
    return {
        "url": url,
        "etag": "" if etag.startswith("W/") else etag,  # weak ones do not promise equal bytes
        "last_modified": headers.get("Last-Modified", ""),
        "total": total,
    }


_MAGIC = {
    ".zip": (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".7z": (b"7z\xbc\xaf\x27\x1c",),
    ".rar": (b"Rar!",),
    ".npy": (b"\x93NUMPY",),
    ".npz": (b"PK",),
}


def _check_beginning(source: Source, first: bytes, content_type: str) -> None:
    """Notices web pages and error texts that come with a status of success."""
    suffix = os.path.splitext(source.path)[1].lower()
    head = first[:1024].lstrip().lower()
    if suffix not in (".html", ".htm") and (
        head.startswith((b"<!doctype html", b"<html"))
        or (
            "text/html" in content_type.lower()
            and suffix not in _MAGIC
            and not (source.md5 or source.sha256)
        )
    ):
        raise _Refused(f"answers with an HTML page instead of {source.path}")
    magic = _MAGIC.get(suffix)
    if magic and not first.startswith(magic):
        what = f"begins with {first[:16]!r}" if first else "is empty"
        page = "text/" in content_type.lower() or head.startswith((b"<", b"error"))
        raise (_Refused if page else _TryNext)(f"the answer is no {suffix} file: it {what}")


def _fault(transfer: _Transfer, digests: _Digests) -> str | None:
    """What is wrong with a file that has arrived completely, None if nothing is."""
    source, size = transfer.source, _size_of(transfer.part)
    if source.bytes is not None and size != source.bytes:
        return f"sent {size} bytes instead of {source.bytes}"
    if source.md5 or source.sha256:
        return digests.fault(source.md5, source.sha256)
    if source.path.lower().endswith((".zip", ".npz")):
        try:
            with zipfile.ZipFile(transfer.part) as z:
                # Extraction checks every sum as well; without it this is the only chance.
                encrypted = any(i.flag_bits & 1 for i in z.infolist())
                bad = z.testzip() if not source.extract and not encrypted else None
        except (zipfile.BadZipFile, EOFError) as e:
            return f"sent a truncated or damaged zip file ({e})"
        if bad:
            return f"sent a zip file whose member {bad} is damaged"
    return None


@dataclass
class _Digests:
    with_md5: bool = False

    def __post_init__(self):
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if self.with_md5 else None

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        if self._md5:
            self._md5.update(data)

    def read(self, path: Path) -> None:
        with open(path, "rb") as f, _progress_bar(f"{path.name} (checking)", None, 0) as bar:
            while chunk := f.read(_CHUNK):
                self.update(chunk)
                bar.update(len(chunk))

    def fault(self, md5: str | None, sha256: str | None) -> str | None:
        found = self._md5.hexdigest() if self._md5 else None
        if md5 and found != md5:
            return f"MD5 is {found} instead of {md5}"
        if sha256 and self._sha256.hexdigest() != sha256:
            return f"SHA-256 is {self._sha256.hexdigest()} instead of {sha256}"
        return None

    def entry(self, source: Source, size: int, origin: str) -> dict[str, Any]:
        md5 = {"md5": self._md5.hexdigest()} if self._md5 else {}
        return {
            "source": source.name,
            "from": origin,
            "bytes": size,
            "sha256": self._sha256.hexdigest(),
            **md5,
        }


# ---------------------------------------------------------------------------------------------
# What is remembered, and the disk


def read_lock(root: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """What is known of the files fetched so far.

    Returns:
        For every path below the raw folder: ``source``, ``from`` (address, or how else it came),
        ``bytes``, ``sha256`` and, where one is published, ``md5``.
    """
    lock = _read_json(Path(root) / STATE_DIR / "sources.lock.json")
    return lock.get("files", {}) if isinstance(lock, dict) and lock.get("version") == 1 else {}


def file_digests(path: Path, md5: bool = False) -> dict[str, Any]:
    """``bytes``, ``sha256`` and perhaps ``md5`` of a file."""
    digests = _Digests(md5)
    digests.read(path)
    entry = digests.entry(Source.model_construct(name=""), os.path.getsize(path), "")
    return {k: v for k, v in entry.items() if k not in ("source", "from")}


def _remember(root: Path, path: str, entry: dict[str, Any]) -> None:
    files = {**read_lock(root), path: entry}
    _write_json(root / STATE_DIR / "sources.lock.json", {"version": 1, "files": files}, indent=1)


def _part_path(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write_json(path: Path, value: Any, indent: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(value, indent=indent, sort_keys=True), encoding="utf-8")
    os.replace(unfinished, path)


def _free_bytes(root: Path) -> int:
    root = Path(root)
    while not root.exists():
        root = root.parent
    return shutil.disk_usage(root).free


def _check_space(root: Path, decisions: list[Decision]) -> None:
    fetched = [d for d in decisions if d.action in ("fetch", "resume")]
    _need_space(root, sum(d.remaining or 0 for d in fetched))


def _need_space(path: Path, need: int) -> None:
    free = _free_bytes(path if path.is_dir() else path.parent)
    if need > free:
        raise WorkError(
            f"{path}: {format_bytes(need)} are to be fetched, {format_bytes(free)} are free; "
            "free some space, or fetch parts with --only"
        )


def _disk_error(e: OSError, target: Path) -> WorkError:
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkError(
            f"{target}: disk full; free some space and run again: it goes on where it stopped"
        )
    return WorkError(f"{e.filename or target}: {e.strerror or e}")


@contextlib.contextmanager
def _exclusive(root: Path) -> Iterator[None]:
    """Two downloads into one folder would write into each other's files."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    path = root / STATE_DIR / "download.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkError(
                f"{root}: another download into this folder is running; wait for it"
            ) from None
        yield


def _progress_bar(name: str, total: int | None, offset: int):
    from tqdm import tqdm

    return tqdm(
        desc=name,
        total=total,
        initial=offset,
        unit="B",
        unit_scale=True,
        disable=None,
        leave=False,
    )
