"""The download stage: what the plan says is fetched, verified and extracted.

Several sources are worked on at a time. Files arrive under a temporary name, go on where they were
cut off, are checked (published checksum, size, the container's own sums) and get their final name
last. What was fetched from where is written down (see :mod:`posepile.acquire.lockfile`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.acquire.addresses import access_values, without_access
from posepile.acquire.archives import is_encrypted
from posepile.acquire.beginnings import page_on_disk
from posepile.acquire.credentials import (
    Credentials,
    Secret,
    clean_environment,
    get_credentials,
    redact,
)
from posepile.acquire.extract import extract_archive
from posepile.acquire.leftovers import keeping_others
from posepile.acquire.lockfile import read_lock, remember
from posepile.acquire.partial import fetched_from
from posepile.acquire.patterns import STATE_DIR, find_matches
from posepile.acquire.places import measure, notes_path
from posepile.acquire.plan import (
    Decision,
    archives_of,
    decide,
    host_of,
    plan,
    plan_text,
    record_name,
    sources_of,
)
from posepile.acquire.progress import between_bars, progress_bar
from posepile.acquire.sources import Source, Sources
from posepile.acquire.space import require_space
from posepile.acquire.telling import Unpacked, left_lines, tell_people
from posepile.acquire.transfer import UNDECLARED_BYTES, Log, NotFetched, Transfer, fetch
from posepile.acquire.workers import AT_ONCE, PER_HOST, Stop, Task, run_tasks
from posepile.acquire.zips import zip_fault
from posepile.errors import CorruptInput, PosePileError, Shortage, UsageError, WorkError
from posepile.files import disk_error, is_disk_error, locked

Password = Secret | str | Callable[[], Secret | str]


@dataclass
class Report:
    """What a download run has done and what is left, in the order of ``sources.yaml``.

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


def run_download(
    name: str,
    sources: str | os.PathLike | Sources,
    root: str | os.PathLike,
    *,
    only: Iterable[str] | None = None,
    shared: bool = False,
    dry_run: bool = False,
    log: Log = print,
    strict: bool = True,
    passwords: Mapping[str, Password] | None = None,
    attempts: int = 5,
    sleep: Callable[[float], None] | None = None,
) -> Report:
    """Brings a dataset's raw files onto the disk, as far as that needs no person.

    One source that fails does not keep the others from being fetched; the report says what is
    left. An interruption leaves unfinished files from which the next run goes on.

    Args:
        name: Dataset.
        sources: Its ``sources.yaml``, or what that says.
        root: Its raw folder.
        only: Names or parts of sources; everything that is not optional if left out.
        shared: Others fetch into the folder, too: their download is waited for.
        dry_run: Decide and tell, do nothing.
        log: Called with lines of text, by one thread at a time.
        strict: Raise if anything is left at the end that was asked for.
        passwords: Passwords of encrypted archives by their credential name, or functions that work
            them out when they are needed.
        attempts: How often in a row an address may fail without a byte gained.
        sleep: Waits between attempts; if left out, in a way that an interruption ends.

    Raises:
        UsageError: Something is wrong with the request or with ``sources.yaml``.
        WorkError: The disk is too small, another download into the folder is running, or (with
            ``strict``) something is left.
    """
    if not isinstance(sources, Sources):
        sources = sources_of(name, sources)
    root = Path(root)
    report = _planned(sources, root, only)
    if dry_run:
        unfinished = (d for d in report.decisions if d.action != "have")
        report.left = [f"{d.source.name}: {d.action}" for d in unfinished]
        return report
    if all(d.action == "have" for d in report.decisions):
        log(f"{name}: all {len(report.decisions)} sources are on disk")
        return report
    root.mkdir(parents=True, exist_ok=True)
    busy = None if shared else f"another download into {root} is running; wait for it"
    waiting = f"{root}: another download is running; waiting for it"
    with locked(root / STATE_DIR / "download.lock", busy=busy, waiting=waiting):
        if shared:  # what was waited for may have brought it
            report = _planned(sources, root, only)
        decisions = report.decisions
        fetched = [d for d in decisions if d.action in ("fetch", "resume")]
        require_space(root, sum(d.remaining or 0 for d in fetched))
        told = between_bars(lambda line: log(without_access(line)))
        secret = {k: _as_secret(v) for k, v in (passwords or {}).items()}
        job = _Job(sources, root, told, secret, attempts, sleep, Unpacked(told))
        work = [_Work(d) for d in decisions if d.action != "have"]
        _ask_for_credentials(job, work)
        for_people = [w for w in work if w.decision.action in ("manual", "blocked")]
        for w in for_people:
            w.left = w.decision.reason
        tell_people(told, sources, [w.decision for w in for_people])
        tasks = [_task(job, w) for w in work if w not in for_people]
        run_tasks(tasks, job.stop, at_once=AT_ONCE)
        job.unpacked.say_rest()
    for w in work:
        report.fetched += [w.source.name] if w.fetched else []
        report.extracted += w.extracted
    left = [(w.source.name, w.left) for w in work if w.left]
    report.left += [f"{source}: {reason}" for source, reason in left]
    for line in left_lines(name, left):
        log(f"left to do: {line}")
    if strict:
        report.raise_for_rest()
    return report


def _planned(sources: Sources, root: Path, only: Iterable[str] | None) -> Report:
    decisions = plan(sources, root, only)
    text = plan_text(sources, decisions, root)
    return Report(sources.dataset, decisions, lines=text.split("\n"))


@dataclass
class _Job:
    """What the work on all sources shares.

    Attributes:
        accounts: Credentials by account, or why there are none.
        accepted: Accounts that a server has let in.
        refused: Accounts that a server has turned away.
        unpacked: Says which archives were extracted.
    """

    sources: Sources
    root: Path
    log: Log
    passwords: dict[str, Secret | Callable[[], Secret | str]]
    attempts: int
    sleep: Callable[[float], None] | None
    unpacked: Unpacked
    stop: Stop = field(default_factory=Stop)
    accounts: dict[str, Credentials | PosePileError] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)


@dataclass
class _Work:
    """One source, and what has become of it."""

    decision: Decision
    fetched: bool = False
    extracted: list[str] = field(default_factory=list)
    left: str = ""

    @property
    def source(self) -> Source:
        return self.decision.source


def _ask_for_credentials(job: _Job, work: list[_Work]) -> None:
    """Asks for all of them first: nobody can answer while bars move and lines come."""
    for source in (w.source for w in work if w.decision.action not in ("manual", "blocked")):
        if source.login and source.login.account not in job.accounts:
            account = source.login.account
            try:
                found = get_credentials(account, host=host_of(source.url))
            except PosePileError as e:
                found = e
            job.accounts[account] = found
        wanted = source.extract and source.extract.password
        if wanted and wanted not in job.passwords and _will_ask(job, source):
            try:
                job.passwords[wanted] = get_credentials(wanted, need_user=False).password
            except PosePileError:
                pass  # told when it turns out to be needed


def _will_ask(job: _Job, source: Source) -> bool:
    """Returns whether an archive of a source needs its password, as far as that is known."""
    archives = [job.root / path for path in archives_of(source, job.root)]
    return any(not a.is_file() or is_encrypted(a) for a in archives)


def _task(job: _Job, work: _Work) -> Task:
    """Returns the first piece of work on a source."""
    source, action = work.source, work.decision.action
    if action == "tool":
        return Task("tool", lambda: _do(job, work, _run_tool))
    if action in ("fetch", "resume"):
        account = source.login and source.login.account

        def limit() -> int:
            # Whether the password is right is found out with one request.
            return PER_HOST if not account or account in job.accepted else 1

        return Task(host_of(source.url), lambda: _do(job, work, _fetch_source), limit)
    first = _verify if action == "verify" else _nothing
    return Task("disk", lambda: _do(job, work, first), counted=False)


def _do(job: _Job, work: _Work, function: Callable[[_Job, _Work], None]) -> Task | None:
    """Does one thing; returns the extraction that follows it, if any does."""
    try:
        function(job, work)
    except Shortage:  # the others would not fare better
        raise
    except PosePileError as e:
        work.left = without_access(str(e))
        return None
    if work.source.extract and function is not _extract_source:
        return Task("disk", lambda: _do(job, work, _extract_source), counted=False)
    return None


def _nothing(job: _Job, work: _Work) -> None:
    """What comes before an extraction where the archive is there and checked."""


def _extract_source(job: _Job, work: _Work) -> None:
    source, lock = work.source, read_lock(job.root)
    archives = archives_of(source, job.root)
    if not archives:
        places = ", ".join(str(job.root / place.path) for place in source.places)
        raise WorkError(
            f"{places}: only parts of an archive are there, and its main file is missing; put it "
            "beside them"
        )
    for path in archives:
        result = extract_archive(
            job.root / path,
            job.root,
            keeping_others(source, path, job.root),
            name=record_name(source, path),
            sha256=lock[path]["sha256"] if path in lock else None,
            password=lambda: _archive_password(job, source),
            log=job.log,
            check=job.stop.check,
        )
        if not result.done_before:
            work.extracted.append(path)
            job.unpacked.add(source.name, len(result.files), path)


def _archive_password(job: _Job, source: Source) -> Secret | None:
    service = source.extract.password
    if service is None:
        return None
    password = job.passwords.get(service)
    if callable(password):
        password = job.passwords[service] = _as_secret(password())
    if password is None:
        password = get_credentials(service, need_user=False, prompt=False).password
    return password


def _as_secret(password: Password) -> Any:
    return Secret(password) if isinstance(password, str) else password


def _run_tool(job: _Job, work: _Work) -> None:
    source, tool = work.source, work.source.tool
    command = [word.replace("{root}", os.fspath(job.root)) for word in tool.command]
    if shutil.which(command[0]) is None:
        raise UsageError(f"{command[0]} is not installed: {tool.install}")
    environment = clean_environment(tool.environment)
    job.log(f"{source.name}: running {' '.join(command)}")
    with (
        subprocess.Popen(command, cwd=job.root, env=environment) as process,
        job.stop.unblocking(process.terminate),
    ):
        code = process.wait()
    after = decide(source, job.sources, job.root, read_lock(job.root))
    if code != 0 or after.action == "tool":
        what = f"ended with exit status {code}" if code else f"ran, but {after.reason}"
        advice = f"; {tool.on_failure}" if tool.on_failure else ""
        raise WorkError(f"{command[0]} {what}{advice}")
    work.fetched = True


def _verify(job: _Job, work: _Work) -> None:
    """Checks files that somebody has put into place."""
    source = work.source
    origin = "found on disk" if source.url else "by hand"
    for place in source.places:
        for match in find_matches(job.root, place.path):
            path = job.root / match
            job.log(f"{source.name}: checking {match}")

            def progress(n: int, bar) -> None:
                bar.update(n)
                job.stop.check()

            with progress_bar(f"{path.name} (checking)", path.stat().st_size) as bar:
                measured = measure(path, place, lambda n, bar=bar: progress(n, bar))
            fault = place.fault(path, measured)
            if not (fault or place.has_checksum) and (found := page_on_disk(path)):
                fault = f"is {found}"
            if fault:
                # What only a person can fetch is never to be deleted on our advice.
                again = "move it away and run the download again, or " if source.url else ""
                raise CorruptInput(path, fault, hint=f"{again}put the right one there")
            came_from = fetched_from(path) or origin
            remember(job.root, match, source=source.name, origin=came_from, measured=measured)
            notes_path(path).unlink(missing_ok=True)


def _fetch_source(job: _Job, work: _Work) -> None:
    """Fetches one source from the first address that has it whole."""
    source, transfer = work.source, _transfer(job, work.source)
    secrets = _secrets(source, transfer.credentials)
    failures, refused = [], False
    for url in (source.url, *source.mirrors):
        try:
            transfer.target.parent.mkdir(parents=True, exist_ok=True)
            fetch(transfer, url)
        except NotFetched as e:
            where = urllib.parse.urlsplit(url).netloc
            failures.append(f"{where}: {redact(str(e), *secrets)}")
            refused |= e.refused
            job.log(f"{source.name}: {failures[-1]}")
        except OSError as e:
            if is_disk_error(e):
                raise disk_error(e, transfer.target) from None
            raise WorkError(f"{e.filename or transfer.target}: {e.strerror or e}") from None
        else:
            if source.login:
                job.accepted.add(source.login.account)
            work.fetched = True
            return
    hint = ""
    if source.login and refused:
        job.refused.add(source.login.account)
        service = job.sources.services.get(source.login.account)
        where = f" at {service.url}" if service and service.url else ""
        hint = (
            f"; most likely the user name or password for {source.login.account} is wrong, or its "
            f"licence has not been accepted{where}"
        )
    elif refused:
        hint = "; most likely the link has expired or asks for a login: open it in a browser"
    raise WorkError(f"{transfer.target}: not fetched: {'; '.join(failures)}{hint}")


def _secrets(source: Source, credentials: Credentials | None) -> list[Secret]:
    """What a server knows of us and might say in its answers."""
    addresses = (source.url, *source.mirrors)
    secrets = [Secret(value) for url in addresses for value in access_values(url)]
    if credentials is not None:
        secrets += filter(None, (credentials.user, credentials.password))
    return secrets


def _transfer(job: _Job, source: Source) -> Transfer:
    credentials = None
    if source.login:
        credentials = job.accounts[source.login.account]
        if source.login.account in job.refused:
            raise WorkError(f"not tried, because {source.login.account} was refused before")
        if isinstance(credentials, PosePileError):
            raise credentials

    def inspect(part: Path, measured: dict) -> str | None:
        if source.has_checksum or not source.path.lower().endswith((".zip", ".npz")):
            return None
        # Extraction compares every sum as well; without it this is the only chance.
        fault = zip_fault(part, contents=not source.extract)
        return fault and f"sent {fault}"

    return Transfer(
        source.name,
        job.root / source.path,
        source,
        inspect,
        login=source.login.kind if source.login else None,
        credentials=credentials,
        log=lambda line: job.log(redact(line, *_secrets(source, credentials))),
        stop=job.stop,
        attempts=job.attempts,
        sleep=job.sleep,
        record=lambda url, measured: remember(
            job.root, source.path, source=source.name, origin=url, measured=measured
        ),
        limit=UNDECLARED_BYTES if source.approx_bytes is None else 2 * source.approx_bytes,
    )
