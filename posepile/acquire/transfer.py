"""One file over HTTP: resumed where it was cut off, checked, and named only when it is whole.

A file arrives as ``<name>.part``, with notes on which version of it the server was sending, so
that two versions are never put together (see :mod:`posepile.acquire.partial`). How a server is
asked: :mod:`posepile.acquire.asking`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from posepile.acquire.addresses import shown_address
from posepile.acquire.answers import (
    LONGEST_WAIT_SECONDS,
    Answer,
    NotFetched,
    Transient,
    network_fault,
    read_answer,
    size_beyond_range,
    status_fault,
)
from posepile.acquire.asking import question, response_to
from posepile.acquire.beginnings import BEGINNING, SHOW_THEIR_END, format_fault, page_instead
from posepile.acquire.credentials import Credentials
from posepile.acquire.partial import Partial
from posepile.acquire.places import CHUNK, FileFacts, Measurement
from posepile.acquire.progress import progress_bar
from posepile.acquire.space import free_bytes, require_space
from posepile.acquire.workers import Stop
from posepile.durable import boot_id
from posepile.errors import WorkError

_SYNC_BYTES = 256 << 20  # so much at most is fetched again after a power cut
UNDECLARED_BYTES = 50 * 10**9  # most that is taken where nobody says how much there is
_SHARE_OF_DISK = 0.9  # and most of what is free

Log = Callable[[str], None]


@dataclass
class Transfer:
    """One file on its way.

    Attributes:
        name: What messages call it.
        target: Where it will lie.
        facts: What is known about it.
        inspect: Returns what is wrong with a file whose ``facts`` hold, None if nothing is; gets
            the unfinished file and its measured size and checksums.
        login: How the server is asked: ``mpi`` (in a form), ``basic``, None if without a password.
        credentials: What it is asked with.
        log: Called with lines of text.
        stop: Ends the transfer early.
        attempts: How often in a row an address may fail with hardly a byte gained.
        sleep: Waits between attempts; as long as ``stop`` permits if left out.
        limit: Most bytes that are taken where neither ``facts`` nor the server tell how many.
        confirmed: Whether ``inspect`` knows the file by a checksum.
        resumed: Whether the unfinished file is older than the connection.
        record: Called with address, size and checksums when the file is in place.
        whole: Whether the file is asked for from its beginning, whatever is there of it.
    """

    name: str
    target: Path
    facts: FileFacts = field(default_factory=FileFacts)
    inspect: Callable[[Path, dict[str, Any]], str | None] = lambda part, measured: None
    login: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    log: Log = lambda line: None
    stop: Stop = field(default_factory=Stop)
    attempts: int = 5
    sleep: Callable[[float], None] | None = None
    limit: int = UNDECLARED_BYTES
    confirmed: bool = False
    resumed: bool = False
    record: Callable[[str, dict[str, Any]], None] = lambda url, measured: None
    whole: bool = False

    @property
    def has_checksum(self) -> bool:
        """Whether a checksum decides at the end whether this is the file."""
        return self.confirmed or self.facts.has_checksum

    @property
    def part(self) -> Partial:
        """The unfinished file."""
        return Partial(self.target)


def fetch(transfer: Transfer, url: str) -> dict[str, Any]:
    """Fetches a file from one address; returns its size and checksums.

    Raises:
        NotFetched: The address does not have it, or not the right one.
        Stopped: The transfer was ended early; what has arrived is kept.
        OSError: It cannot be written.
    """
    transfer.part.settle()
    failures, from_scratch, farthest = 0, False, transfer.part.size
    transfer.whole = False
    while True:
        try:
            measured = _receive_all(transfer, url)
            fault = transfer.facts.fault(transfer.part.path, measured)
            fault = fault or transfer.inspect(transfer.part.path, measured)
            if fault is None:
                break
            transfer.part.discard()
            # A wrong beginning may have been left by an earlier version of the file on the server.
            if not transfer.resumed or from_scratch:
                raise NotFetched(fault, content=True)
            transfer.resumed, from_scratch, farthest = False, True, 0
            transfer.whole = True
            transfer.log(f"{transfer.name}: {fault}; once more from the beginning")
        except NotFetched:
            transfer.part.settle()
            raise
        except Transient as e:
            # Compared with the best so far, or a server that starts over each time and breaks off
            # now earlier, now later would be asked forever; so would one that drips.
            size = transfer.part.size
            failures = 0 if size >= farthest + e.worth else failures + 1
            farthest = max(farthest, size)
            if failures >= transfer.attempts:
                transfer.part.settle()
                raise NotFetched(f"{e} ({failures} attempts)", status=e.status) from None
            wait = min(2.0**failures, LONGEST_WAIT_SECONDS) if e.wait is None else e.wait
            transfer.log(f"{transfer.name}: {e}; trying again in {wait:.0f} s")
            (transfer.sleep or transfer.stop.wait)(wait)
            transfer.stop.check()
    transfer.part.finish(lambda: transfer.record(url, measured))
    return measured


def _receive_all(transfer: Transfer, url: str) -> dict[str, Any]:
    """Asks once and receives until the end; what has arrived stays when it breaks off."""
    transfer.stop.check()
    transfer.part.cut_to_synced()
    facts, part, notes = transfer.facts, transfer.part, transfer.part.notes
    offset = part.size if _can_go_on(transfer, url, notes) else 0
    measurement = Measurement(facts)
    validator = "" if transfer.has_checksum else notes.get("etag") or notes.get("last_modified")
    asked = question(offset, str(validator or ""), transfer.login, transfer.credentials)
    most = transfer.limit if facts.bytes is None else facts.bytes
    with response_to(asked, url, most, transfer.stop) as response:
        if response.status == 416 and offset:
            total = size_beyond_range(response.headers)
            if total == offset and notes.get("total") in (None, total):
                with progress_bar(f"{transfer.name} (checking)", total) as bar:
                    measurement.read(part.path, bar.update)
                return measurement.result
            raise _from_the_beginning(transfer, "what is here does not fit what the server has")
        if response.status not in (200, 206):
            raise status_fault(response, login=transfer.login is not None)
        answer = read_answer(response)
        if answer.start != offset and response.status == 206:
            what = f"sends the file from byte {answer.start} on instead of byte {offset}"
            raise _from_the_beginning(transfer, what)
        if offset and response.status == 206 and _is_another(transfer, answer, notes):
            raise _from_the_beginning(transfer, "the file on the server has changed")
        offset = answer.start  # 0 where the server sends it from the beginning, asked or not
        first, ended = _first_bytes(response)
        _check_beginning(transfer, response, first, ended, offset)
        total = answer.total
        if total is not None and facts.bytes not in (None, total):
            raise NotFetched(
                f"has {total} bytes instead of {facts.bytes}: another version?", content=True
            )
        _make_room(transfer, total, offset)
        synced = min(notes.get("synced", 0), offset)
        known = {"url": shown_address(url), **answer.notes, "boot": boot_id(), "synced": synced}
        part.note(known)
        transfer.resumed, transfer.whole = transfer.resumed or offset > 0, False
        with progress_bar(transfer.name, total) as bar:
            if offset:
                measurement.read(part.path, bar.update)
            _write(transfer, response, first, answer, measurement, bar, known)
    _check_end(transfer, answer)
    return measurement.result


def _write(
    transfer: Transfer,
    response,
    first: bytes,
    answer: Answer,
    measurement: Measurement,
    bar,
    known: dict[str, Any],
) -> None:
    most, offset = _most_bytes(transfer, answer), answer.start
    with open(transfer.part.path, "ab" if offset else "wb") as f:
        chunk, size = first, offset
        while chunk:
            size += len(chunk)
            if size > most:
                f.truncate(offset)  # what was there before may be good
                break
            f.write(chunk)
            if f.tell() - known["synced"] >= _SYNC_BYTES:
                f.flush()
                os.fsync(f.fileno())
                known["synced"] = f.tell()
                transfer.part.note(known)
            measurement.update(chunk)
            bar.update(len(chunk))
            transfer.stop.check()
            chunk = _receive(response)
        f.flush()
        os.fsync(f.fileno())
    if size > most:
        if not offset:
            transfer.part.discard()
        what = "it is larger" if most in (answer.total, transfer.facts.bytes) else "it has no end"
        raise NotFetched(f"sends more than {most} bytes: {what}; cut off there", content=True)
    transfer.stop.check()  # or the end of a connection that was shut down is taken for a fault


def _make_room(transfer: Transfer, total: int | None, offset: int) -> None:
    """Sets aside what is here of a file that comes from the beginning, if both fit on the disk."""
    here, free = transfer.part.size, free_bytes(transfer.target.parent)
    if here and not offset and (total is None or total <= free):
        transfer.part.set_aside()
    elif total is not None:
        try:
            require_space(transfer.target, total - offset - (0 if offset else here))
        except WorkError as e:  # another address may tell another size
            raise NotFetched(str(e)) from None


def _most_bytes(transfer: Transfer, answer: Answer) -> int:
    """Returns how many bytes the file may have: those declared, or a limit."""
    if answer.total is not None:
        return answer.total
    if transfer.facts.bytes is not None:
        return transfer.facts.bytes
    free = free_bytes(transfer.target.parent) + transfer.part.size
    return min(transfer.limit, int(_SHARE_OF_DISK * free))


def _check_end(transfer: Transfer, answer: Answer) -> None:
    """Notices files that are cut off, as far as the answer tells."""
    total = transfer.facts.bytes if answer.total is None else answer.total
    size = transfer.part.size
    if total is not None and size < total:
        raise Transient(f"the connection ended after {size} of {total} bytes")
    shows = transfer.target.suffix.lower() in SHOW_THEIR_END
    if total is None and not (answer.shows_end or shows or transfer.has_checksum):
        transfer.part.discard()
        raise NotFetched(
            "does not say where the file ends, so that it may be cut off; bytes: or a checksum in "
            "sources.yaml would tell",
            content=True,
        )


# ---------------------------------------------------------------- going on where it was cut off


def _can_go_on(transfer: Transfer, url: str, notes: dict[str, Any]) -> bool:
    """Returns whether what is there of a file may be its beginning at this address.

    A checksum decides at the end whether the pieces belong together, also when they come from
    different mirrors; otherwise only an unchanged file may be continued.
    """
    if transfer.whole or not transfer.part.size:
        return False
    return transfer.has_checksum or notes.get("url") == shown_address(url)


def _is_another(transfer: Transfer, answer: Answer, notes: dict[str, Any]) -> bool:
    """Returns whether the server has another file now than when the download began."""
    total = notes.get("total")
    if total is not None and answer.total not in (None, total):
        return True
    if transfer.has_checksum:
        return False
    now = answer.notes
    return any(notes.get(k) and now[k] and notes[k] != now[k] for k in ("etag", "last_modified"))


def _from_the_beginning(transfer: Transfer, why: str) -> Transient:
    """Asks for the whole file; what is here stays until that comes."""
    transfer.whole = True
    return Transient(f"{why}; starting over", 0)


# ---------------------------------------------------------------- receiving and judging


def _receive(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (HTTPError, OSError) as e:
        raise network_fault(e) from None


def _first_bytes(response: urllib3.BaseHTTPResponse) -> tuple[bytes, bool]:
    """Returns the beginning of a body, and whether that is all of it."""
    first = b""
    while len(first) < BEGINNING:
        chunk = _receive(response)
        if not chunk:
            return first, True
        first += chunk
    return first, False


def _check_beginning(transfer: Transfer, response, first: bytes, ended: bool, offset: int) -> None:
    """Notices web pages and error texts that come with a status of success."""
    name, kind = transfer.target.name, response.headers.get("Content-Type", "")
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity") and transfer.target.suffix.lower() not in (".gz", ".tgz"):
        raise NotFetched(
            f"sends {name} packed once more (Content-Encoding), which was not asked for",
            content=True,
        )
    if offset:  # what stands in the middle of a file may look like anything
        kind, ended = "", False
    page = page_instead(name, first, whole=ended, kind=kind, confirmed_later=transfer.has_checksum)
    if page:
        raise NotFetched(f"answers with {page} instead of {name}", refused=True)
    fault = None if offset else format_fault(name, first)
    if fault:
        is_text = "text/" in kind.lower() or first.lstrip().lower().startswith((b"<", b"error"))
        raise NotFetched(f"the answer is {fault}", refused=is_text)
