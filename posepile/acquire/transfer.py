"""One file over HTTP: resumed where it was cut off, checked, and named only when it is whole.

A file arrives as ``<name>.part``; ``<name>.part.json`` says which version of it the server was
sending, so that two versions are never put together. Connections are urllib3's; redirects are
followed here, because a password must not travel along.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, SSLError

from posepile.acquire.credentials import Credentials
from posepile.acquire.places import CHUNK, FileFacts, Measurement, part_path
from posepile.acquire.progress import progress_bar
from posepile.acquire.space import require_space
from posepile.acquire.workers import Stop
from posepile.errors import whole_number
from posepile.files import read_object, write_json
from posepile.version import __version__

_TIMEOUT = urllib3.Timeout(connect=30, read=60)
_LONGEST_WAIT_SECONDS = 300
_MOST_REDIRECTS = 10
_PRIVATE_HEADERS = ("Authorization", "Content-Type")  # the latter is about the password's form
_TOLD_TO_WAIT = (408, 425, 429)

Log = Callable[[str], None]


class NotFetched(Exception):
    """This address will not do; another may.

    Attributes:
        status: HTTP status, where that is the reason.
        content: A file came, but not the right one.
        refused: A refusal or a web page came instead of the file.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        content: bool = False,
        refused: bool = False,
    ):
        super().__init__(message)
        self.status = status
        self.content = content
        self.refused = refused


class _Transient(Exception):
    """Worth another attempt, after ``wait`` seconds if the server says so."""

    def __init__(self, message: str, wait: float | None = None, status: int | None = None):
        super().__init__(message)
        self.wait = wait
        self.status = status


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
        attempts: How often in a row an address may fail without a byte gained.
        sleep: Waits between attempts; as long as ``stop`` permits if left out.
        resumed: Whether the unfinished file is older than the connection.
    """

    name: str
    target: Path
    facts: FileFacts = field(default_factory=FileFacts)
    inspect: Callable[[Path, dict[str, Any]], str | None] = lambda part, measured: None
    login: str | None = None
    credentials: Credentials | None = None
    log: Log = lambda line: None
    stop: Stop = field(default_factory=Stop)
    attempts: int = 5
    sleep: Callable[[float], None] | None = None
    resumed: bool = False

    @property
    def part(self) -> Path:
        """The unfinished file."""
        return part_path(self.target)

    @property
    def notes(self) -> Path:
        """What is known about it."""
        return self.part.with_name(self.part.name + ".json")

    @property
    def size(self) -> int:
        """How many bytes of it are there."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def discard(self) -> None:
        """Removes the unfinished file."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def fetch(transfer: Transfer, url: str) -> dict[str, Any]:
    """Fetches a file from one address; returns its size and checksums.

    Raises:
        NotFetched: The address does not have it, or not the right one.
        Stopped: The transfer was ended early; what has arrived is kept.
        OSError: It cannot be written.
    """
    failures, from_scratch, farthest = 0, False, transfer.size
    while True:
        try:
            measured = _receive_all(transfer, url)
            fault = transfer.facts.fault(transfer.part, measured)
            fault = fault or transfer.inspect(transfer.part, measured)
            if fault is None:
                break
            transfer.discard()
            # A wrong beginning may have been left by an earlier version of the file on the server.
            if not transfer.resumed or from_scratch:
                raise NotFetched(fault, content=True)
            transfer.resumed, from_scratch, farthest = False, True, 0
            transfer.log(f"{transfer.name}: {fault}; once more from the beginning")
        except _Transient as e:
            # Compared with the best so far, or a server that starts over each time and breaks off
            # now earlier, now later would be asked forever.
            failures = 0 if transfer.size > farthest else failures + 1
            farthest = max(farthest, transfer.size)
            if failures >= transfer.attempts:
                raise NotFetched(f"{e} ({failures} attempts)", status=e.status) from None
            wait = min(2.0**failures, _LONGEST_WAIT_SECONDS) if e.wait is None else e.wait
            transfer.log(f"{transfer.name}: {e}; trying again in {wait:.0f} s")
            (transfer.sleep or transfer.stop.wait)(wait)
            transfer.stop.check()
    os.replace(transfer.part, transfer.target)
    transfer.notes.unlink(missing_ok=True)
    return measured


def _receive_all(transfer: Transfer, url: str) -> dict[str, Any]:
    """Asks once and receives until the end; what has arrived stays when it breaks off."""
    transfer.stop.check()
    facts, offset = transfer.facts, transfer.size
    notes = read_object(transfer.notes) or {}
    measurement = Measurement(facts)
    with _response(transfer, url, offset, notes) as response:
        headers, total = response.headers, _total_bytes(response)
        if response.status == 416 and offset:
            if total == offset and notes.get("total") in (None, total):
                with progress_bar(f"{transfer.name} (checking)", total) as bar:
                    measurement.read(transfer.part, bar.update)
                return measurement.result
            transfer.discard()
            raise _Transient("what is here does not fit what the server has; starting over", 0)
        if response.status == 206:
            start = re.match(r"bytes ([0-9]{1,18})-", headers.get("Content-Range", ""))
            changed = notes.get("total") is not None and total not in (None, notes["total"])
            if not start or int(start[1]) != offset or changed:
                transfer.discard()
                raise _Transient("the file on the server has changed; starting over", 0)
        elif response.status == 200:
            offset = 0  # the server sends it from the beginning, asked or not
        else:
            raise _status_fault(transfer, response)
        first = _receive(response)
        if offset == 0:
            _check_beginning(transfer, first, headers.get("Content-Type", ""))
        if total is not None and facts.bytes not in (None, total):
            raise NotFetched(
                f"has {total} bytes instead of {facts.bytes}: another version?", content=True
            )
        if total is not None:
            require_space(transfer.target, total - offset)
        write_json(transfer.notes, _notes(url, headers, total))
        transfer.resumed = transfer.resumed or offset > 0
        with progress_bar(transfer.name, total) as bar:
            if offset:
                measurement.read(transfer.part, bar.update)
            _write(transfer, response, first, offset, measurement, bar)
    if total is not None and transfer.size < total:
        raise _Transient(f"the connection ended after {transfer.size} of {total} bytes")
    return measurement.result


def _write(transfer: Transfer, response, first: bytes, offset: int, measurement, bar) -> None:
    with open(transfer.part, "ab" if offset else "wb") as f:
        chunk = first
        while chunk:
            f.write(chunk)
            measurement.update(chunk)
            bar.update(len(chunk))
            transfer.stop.check()
            chunk = _receive(response)
        f.flush()
        os.fsync(f.fileno())
    transfer.stop.check()  # or the end of a connection that was shut down is taken for a fault


# ---------------------------------------------------------------- asking


@contextlib.contextmanager
def _response(
    transfer: Transfer, url: str, offset: int, notes: dict
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Asks a server, also where it sends us on to."""
    headers, body = _question(transfer, url, offset, notes)
    with contextlib.ExitStack() as stack:
        for _ in range(_MOST_REDIRECTS):
            try:
                response = stack.enter_context(_pools(url)).request(
                    "POST" if body else "GET",
                    url,
                    body=body,
                    headers=headers,
                    timeout=_TIMEOUT,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    enforce_content_length=False,
                )
            except (HTTPError, OSError) as e:
                raise _network_fault(e) from None
            stack.callback(response.close)
            location = response.get_redirect_location()
            if not location:
                stack.enter_context(transfer.stop.unblocking(response.shutdown))
                yield response
                return
            following = urllib.parse.urljoin(url, location)
            if url.startswith("https:") and not following.startswith("https:"):
                raise NotFetched("redirects from https to an unprotected address")
            # A password is for the one who was asked.
            url, body = following, None
            headers = {k: v for k, v in headers.items() if k not in _PRIVATE_HEADERS}
        raise NotFetched(f"redirects more than {_MOST_REDIRECTS} times")


def _question(
    transfer: Transfer, url: str, offset: int, notes: dict
) -> tuple[dict[str, str], bytes | None]:
    """Returns the headers and the body of a request."""
    headers = {"User-Agent": f"posepile/{__version__}", "Accept-Encoding": "identity"}
    body = None
    if offset:
        headers["Range"] = f"bytes={offset}-"
        # A published checksum decides at the end whether the pieces belong together, also when
        # they come from different mirrors; otherwise only an unchanged file may be continued.
        validator = notes.get("etag") or notes.get("last_modified")
        if validator and not transfer.facts.has_checksum:
            same = notes.get("url") == url
            headers["If-Range"] = validator if same else '"from another address"'
    if transfer.login:
        user = transfer.credentials.user.reveal()
        password = transfer.credentials.password.reveal()
        if transfer.login == "mpi":
            form = {"username": user, "password": password}
            body = urllib.parse.urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
    return headers, body


def _pools(url: str) -> urllib3.PoolManager:
    """Returns what makes connections, through the proxy that the environment names."""
    parts, proxies = urllib.parse.urlsplit(url), urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager()
    via = urllib.parse.urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    login = None
    if via.username:
        user, password = (urllib.parse.unquote(x or "") for x in (via.username, via.password))
        login = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")
    return urllib3.ProxyManager(
        f"{via.scheme}://{via.netloc.rpartition('@')[2]}", proxy_headers=login
    )


def _receive(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (HTTPError, OSError) as e:
        raise _network_fault(e) from None


# ---------------------------------------------------------------- judging the answer


def _network_fault(e: Exception) -> Exception:
    causes = [e, e.__cause__, e.__context__, *e.args]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotFetched(f"its certificate is not valid ({cause.verify_message})")
    if isinstance(e, urllib3.exceptions.LocationValueError):
        return NotFetched(f"is no address that can be asked ({e})")
    known = (c.strerror for c in causes if isinstance(c, OSError) and c.strerror)
    told = next(known, None) or str(e) or type(e).__name__
    what = "no secure connection" if isinstance(e, SSLError) else "no connection"
    return _Transient(f"{what} ({' '.join(told.split())})")


def _status_fault(transfer: Transfer, response: urllib3.BaseHTTPResponse) -> Exception:
    status, told = response.status, f"answers {response.status} {response.reason or ''}".strip()
    if status in _TOLD_TO_WAIT or status >= 500:
        return _Transient(told, _asked_to_wait(response), status)
    if status in (401, 403):
        login = transfer.login is not None
        what = "the user name or password may be wrong" if login else "access is denied"
        return NotFetched(f"answers {status}: {what}", status=status, refused=login)
    return NotFetched(told, status=status)


def _asked_to_wait(response: urllib3.BaseHTTPResponse) -> float | None:
    """Returns how many seconds the server asks for (a number or a date), None if it does not."""
    try:
        seconds = urllib3.Retry().get_retry_after(response)
    except InvalidHeader:
        return None
    return None if seconds is None else min(seconds, _LONGEST_WAIT_SECONDS)


def _total_bytes(response: urllib3.BaseHTTPResponse) -> int | None:
    if response.status in (206, 416):
        return whole_number(response.headers.get("Content-Range", "").rpartition("/")[2])
    return whole_number(response.headers.get("Content-Length", ""))


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


def _check_beginning(transfer: Transfer, first: bytes, content_type: str) -> None:
    """Notices web pages and error texts that come with a status of success."""
    suffix = transfer.target.suffix.lower()
    head = first[:1024].lstrip().lower()
    is_page = "text/html" in content_type.lower()
    if suffix not in (".html", ".htm") and (
        head.startswith((b"<!doctype html", b"<html"))
        or (is_page and suffix not in _MAGIC and not transfer.facts.has_checksum)
    ):
        raise NotFetched(
            f"answers with an HTML page instead of {transfer.target.name}", refused=True
        )
    magic = _MAGIC.get(suffix)
    if magic and not first.startswith(magic):
        what = f"begins with {first[:16]!r}" if first else "is empty"
        page = "text/" in content_type.lower() or head.startswith((b"<", b"error"))
        raise NotFetched(f"the answer is no {suffix} file: it {what}", refused=page)
