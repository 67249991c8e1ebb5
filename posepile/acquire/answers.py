"""What an answer says about itself: how much comes, of which version, and what stands in its way.

A header that cannot be understood is never guessed at: its answer is refused in one line.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.exceptions import InvalidHeader, LocationValueError, SSLError

from posepile.acquire.addresses import told_by_server
from posepile.acquire.watched import TooMuch, TooSlow
from posepile.errors import Shortage
from posepile.shortage import shortage_behind

LONGEST_WAIT_SECONDS = 300
_TOLD_TO_WAIT = (408, 425, 429)
_NUMBER = re.compile(r"[0-9]{1,18}")  # int() takes much more, such as superscripts
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


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


class Transient(Exception):
    """Worth another attempt, after ``wait`` seconds if the server says so.

    Attributes:
        status: HTTP status, where that is the reason.
        worth: So many bytes must have come for it not to count as a failure.
    """

    def __init__(
        self,
        message: str,
        wait: float | None = None,
        status: int | None = None,
        worth: int = 16 << 10,
    ):
        super().__init__(message)
        self.wait = wait
        self.status = status
        self.worth = worth


@dataclass(frozen=True)
class Answer:
    """What an answer with a file, or a piece of one, says of it.

    Attributes:
        start: Where in the file it begins.
        total: Bytes of the whole file, None if that is not said.
        shows_end: Whether a cut through it would be noticed.
        etag: Names the version of the file, where equal names promise equal bytes.
        modified: When it was changed.
    """

    start: int
    total: int | None
    shows_end: bool
    etag: str
    modified: str

    @property
    def notes(self) -> dict[str, Any]:
        """What is kept of it beside an unfinished file."""
        return {"etag": self.etag, "last_modified": self.modified, "total": self.total}


def read_answer(response: urllib3.BaseHTTPResponse) -> Answer:
    """Returns what a successful answer (200 or 206) says of the file.

    Raises:
        NotFetched: It contradicts itself, or is packed in a way that was not asked for.
    """
    headers = response.headers
    coding = headers.get("Transfer-Encoding", "").strip().lower()
    if coding not in ("", "chunked"):
        raise _no_sense("Transfer-Encoding", coding)
    length = None if coding else declared_length(headers)
    start, total = 0, length
    if response.status == 206:
        start, total = _range(headers, length)
    etag = headers.get("ETag", "")
    return Answer(
        start,
        total,
        total is not None or bool(coding),
        "" if etag.startswith("W/") else _validator(etag),  # weak ones promise no equal bytes
        _validator(headers.get("Last-Modified", "")),
    )


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Returns Content-Length, None if there is none.

    Raises:
        NotFetched: It is no number, or several that differ.
    """
    if "Content-Length" not in headers:
        return None
    said = {text.strip() for text in headers["Content-Length"].split(",")}
    if len(said) != 1 or not _NUMBER.fullmatch(min(said)):
        raise _no_sense("Content-Length", headers["Content-Length"])
    return int(min(said))


def size_beyond_range(headers: Mapping[str, str]) -> int | None:
    """Returns the size of the file by an answer 416, None if it does not say."""
    found = re.fullmatch(r"bytes \*/([0-9]{1,18})", headers.get("Content-Range", "").strip())
    return int(found[1]) if found else None


def _range(headers: Mapping[str, str], length: int | None) -> tuple[int, int | None]:
    """Returns where a piece of a file begins and how large the file is."""
    said = headers.get("Content-Range", "")
    found = _RANGE.fullmatch(said.strip())
    if not found:
        raise _no_sense("Content-Range", said)
    start, end = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if end < start or (total is not None and end >= total):
        raise _no_sense("Content-Range", said)
    if length is not None and length != end - start + 1:
        raise NotFetched(
            f"contradicts itself: {length} bytes for the range {told_by_server(said)}",
            content=True,
        )
    return start, total


def _no_sense(header: str, said: str) -> NotFetched:
    what = f"{header} is {told_by_server(said)!r}" if said else f"{header} is missing"
    return NotFetched(f"its answer makes no sense: {what}", content=True)


def _validator(text: str) -> str:
    """A header that is to be sent back; what could not be sent is nothing."""
    return text if text.isprintable() and text.isascii() and len(text) <= 1000 else ""


# ---------------------------------------------------------------- what stands in its way


def network_fault(e: Exception) -> Exception:
    """Returns what an error of the connection means for the download."""
    lack = shortage_behind(e)
    if lack is not None:
        return Shortage(lack)
    causes = [e, e.__cause__, e.__context__, *e.args]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotFetched(f"its certificate is not valid ({cause.verify_message})")
        if isinstance(cause, TooMuch):
            return NotFetched(f"its answer makes no sense: {cause}", content=True)
        if isinstance(cause, TooSlow):
            return Transient(str(cause), worth=1 << 20)
        too_long = type(cause) in (http.client.HTTPException, http.client.LineTooLong)
        if too_long or isinstance(cause, InvalidHeader):
            return NotFetched(
                f"its answer makes no sense: {told_by_server(str(cause))}", content=True
            )
    if isinstance(e, LocationValueError):
        return NotFetched(f"is no address that can be asked ({told_by_server(str(e))})")
    known = (c.strerror for c in causes if isinstance(c, OSError) and c.strerror)
    told = next(known, None) or str(e) or type(e).__name__
    what = "no secure connection" if isinstance(e, SSLError) else "no connection"
    return Transient(f"{what} ({told_by_server(told)})")


def status_fault(response: urllib3.BaseHTTPResponse, *, login: bool) -> Exception:
    """Returns what a status other than success means for the download."""
    status = response.status
    told = told_by_server(f"answers {status} {response.reason or ''}".strip())
    if status in _TOLD_TO_WAIT or status >= 500:
        return Transient(told, asked_to_wait(response.headers.get("Retry-After")), status)
    if status in (401, 403):
        what = "the user name or password may be wrong" if login else "access is denied"
        return NotFetched(f"answers {status}: {what}", status=status, refused=login)
    return NotFetched(told, status=status)


def asked_to_wait(said: str | None) -> float | None:
    """Returns for how many seconds a server asks, by a number or a date; None if it does not.

    >>> asked_to_wait("7"), asked_to_wait("1e99"), asked_to_wait("²")
    (7.0, None, None)
    """
    said = (said or "").strip()
    if _NUMBER.fullmatch(said):
        return float(min(int(said), LONGEST_WAIT_SECONDS))
    try:
        seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return float(min(max(seconds, 0), LONGEST_WAIT_SECONDS))
