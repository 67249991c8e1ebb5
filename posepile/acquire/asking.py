"""Asking a server for a file: with a login, through a proxy, and wherever it sends us on to.

Connections are urllib3's; redirects are followed here, because a password must not travel along.
"""

from __future__ import annotations

import base64
import contextlib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import urllib3
from urllib3.exceptions import HTTPError

from posepile.acquire.addresses import redirected
from posepile.acquire.answers import NotFetched, network_fault
from posepile.acquire.credentials import Credentials
from posepile.acquire.watched import watch
from posepile.acquire.workers import Stop
from posepile.errors import UsageError
from posepile.version import __version__

_TIMEOUT = urllib3.Timeout(connect=30, read=60)
_MOST_REDIRECTS = 10
_PRIVATE_HEADERS = ("Authorization", "Content-Type")  # the latter is about the password's form


@dataclass(frozen=True)
class Question:
    """What is sent to a server; a password may be in it.

    Attributes:
        headers: Headers of the request.
        body: A form that is posted; None where the file is simply asked for.
    """

    headers: dict[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def question(
    offset: int, validator: str, login: str | None, credentials: Credentials | None
) -> Question:
    """Returns the request for a file, or for the rest of one.

    Args:
        offset: How many bytes of it are there.
        validator: Names the version of which they are, where no other may be continued.
        login: ``mpi`` (in a form), ``basic``, None if without a password.
        credentials: User and password.
    """
    headers = {"User-Agent": f"posepile/{__version__}", "Accept-Encoding": "identity"}
    body = None
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    if login:
        user, password = credentials.user.reveal(), credentials.password.reveal()
        if login == "mpi":
            form = {"username": user, "password": password}
            body = urllib.parse.urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            headers["Authorization"] = _basic(user, password)
    return Question(headers, body)


@contextlib.contextmanager
def response_to(
    asked: Question, url: str, most: int, stop: Stop
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Asks a server, also where it sends us on to.

    Args:
        asked: The request.
        url: The address.
        most: Bytes of a body whose length the server does not declare.
        stop: Ends the connection early.

    Raises:
        NotFetched: There is no such place, or it sends us round in circles.
        Transient: It could not be reached, this time.
        UsageError: The proxy of the environment is no address.
    """
    headers, body = asked.headers, asked.body
    with contextlib.ExitStack() as stack:
        for _ in range(_MOST_REDIRECTS):
            try:
                response = stack.enter_context(watch(_pools(url), most)).request(
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
            except (HTTPError, OSError, UnicodeError) as e:
                raise network_fault(e) from None
            stack.callback(response.close)
            location = response.get_redirect_location()
            if not location:
                stack.enter_context(stop.unblocking(response.shutdown))
                yield response
                return
            try:
                following = redirected(url, location)
            except ValueError as e:
                raise NotFetched(str(e)) from None
            # A password is for the one who was asked.
            url, body = following, None
            headers = {k: v for k, v in headers.items() if k not in _PRIVATE_HEADERS}
        raise NotFetched(f"redirects more than {_MOST_REDIRECTS} times")


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _pools(url: str) -> urllib3.PoolManager:
    """Returns what makes connections, through the proxy that the environment names."""
    parts, proxies = urllib.parse.urlsplit(url), urllib.request.getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(kind)
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager()
    try:
        via = urllib.parse.urlsplit(proxy if "//" in proxy else f"http://{proxy}")
        place, login = via.netloc.rpartition("@")[2], None
        if via.username:
            user, password = (urllib.parse.unquote(x or "") for x in (via.username, via.password))
            login = {"proxy-authorization": _basic(user, password)}
        if via.port == 0 or not via.hostname:
            raise ValueError("no place")
        return urllib3.ProxyManager(f"{via.scheme}://{place}", proxy_headers=login)
    except (ValueError, HTTPError, AssertionError):  # whose texts show the password in it
        raise UsageError(
            f"{kind}_proxy: expected an address like http://HOST:PORT (a password in it "
            "with %-escapes)"
        ) from None
