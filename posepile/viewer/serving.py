"""The server of the viewer's page: for this machine alone, and only for the page it hands out.

Other web pages can make a browser ask this address, too. What they ask for carries another host's
name (then it is refused), and they can read no answer; what changes a file also needs the token
that only the page knows.
"""

from __future__ import annotations

import errno
import html
import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from posepile.errors import PosePileError, UsageError, one_line, whole_number
from posepile.store.reading import ArchiveReplaced
from posepile.terminal import note
from posepile.viewer.answers import Answers

ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8765
_PORTS_TRIED = 50
_HOSTS = (ADDRESS, "localhost")
_MOST_BYTES = 1 << 16  # of what a page sends
_WITH_CONTENT = ("Content-Length", "Transfer-Encoding")
_FILES = {
    "/": ("index.html", "text/html"),
    "/index.html": ("index.html", "text/html"),
    "/viewer.css": ("viewer.css", "text/css"),
    "/main.js": ("main.js", "text/javascript"),
    "/state.js": ("state.js", "text/javascript"),
    "/pages.js": ("pages.js", "text/javascript"),
    "/single.js": ("single.js", "text/javascript"),
    "/overlay.js": ("overlay.js", "text/javascript"),
    "/space.js": ("space.js", "text/javascript"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(ThreadingHTTPServer):
    """Answers the page.

    Attributes:
        answers: What is asked.
        token: What a page must send to change a file.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, answers: Answers):
        self.answers = answers
        self.token = secrets.token_urlsafe(24)
        super().__init__((ADDRESS, port), Handler)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def handle_error(self, request, client_address):
        """Says nothing of a browser that went away; of anything else, in the log."""
        note(f"viewer: {one_line(sys.exc_info()[1])}")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "posepile", ""
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self):
        """Files of the page, pictures and facts."""
        self._guarded(self._get)

    def do_HEAD(self):
        """The same without content."""
        self._guarded(self._get)

    def do_POST(self):
        """Marks."""
        self._guarded(self._post)

    def _guarded(self, answer: Callable[[SplitResult], None]):
        # Only marks come with content; what is not read would be taken for the next request.
        if self.command != "POST" and any(self.headers.get_all(name) for name in _WITH_CONTENT):
            self.close_connection = True
        try:
            address = self._own_address()
            answer(address)
        except _Refused as e:
            self._refuse(e.status, str(e))
        except ArchiveReplaced as e:
            self._refuse(HTTPStatus.CONFLICT, f"{e.found()}; start the viewer again")
        except UsageError as e:
            self._refuse(HTTPStatus.BAD_REQUEST, str(e))
        except PosePileError as e:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(e))
        except OSError as e:
            if isinstance(e, (ConnectionError, TimeoutError)):
                self.close_connection = True
                return
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, one_line(e))
        except Exception as e:  # of one damaged example; the others can still be looked at
            note(f"viewer: {self.path[:200]}: {type(e).__name__}: {one_line(e)}")
            told = f"{type(e).__name__}: {one_line(e)}"
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, told)

    def _own_address(self):
        """Returns what is asked for, if it is asked of this machine and by its own page."""
        try:
            address = urlsplit(self.path)
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected an address") from None
        hosts = self.headers.get_all("Host") or [""]
        if len(hosts) > 1:
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected one Host")
        host = hosts[0]
        name, _, port = host.rpartition(":") if ":" in host else (host, "", "")
        if name not in _HOSTS or (port and whole_number(port) is None):
            raise _Refused(HTTPStatus.FORBIDDEN, "this page is for 127.0.0.1 alone")
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        if address.path.startswith(("/api/", "/image/", "/thumb/")) and site == "cross-site":
            raise _Refused(HTTPStatus.FORBIDDEN, "asked for by another page")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise _Refused(HTTPStatus.FORBIDDEN, "asked for by another page")
        return address

    def _get(self, address):
        if address.path in _FILES:
            name, kind = _FILES[address.path]
            text = _file(name)
            if kind == "text/html":
                text = text.replace("{{TOKEN}}", self.server.token)
                text = text.replace("{{NAME}}", html.escape(self.server.answers.name))
                # No < in it, so that nothing in it can end the element that it is in.
                about = json.dumps(self.server.answers.about({})).replace("<", r"\u003c")
                text = text.replace("{{ABOUT}}", about)
            self._send(f"{kind}; charset=utf-8", text.encode())
            return
        kind, _, rest = address.path.removeprefix("/").partition("/")
        if kind in ("image", "thumb", "api"):
            self.server.answers.require_current()
        if kind in ("image", "thumb"):
            self._picture(rest, small=kind == "thumb")
            return
        answer = getattr(self.server.answers, _ASKED.get(address.path, ""), None)
        if answer is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
        try:
            pairs = parse_qsl(address.query, max_num_fields=64)
        except ValueError as e:
            raise _Refused(HTTPStatus.BAD_REQUEST, one_line(e)) from None
        self._send_json(answer(dict(pairs)))

    def _picture(self, rest, small):
        split, _, number = unquote(rest).partition("/")
        position = whole_number(number)
        if position is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such picture")
        kind, data = self.server.answers.picture(split, position, small)
        # The page asks under a name that is new with each start of the server.
        self._send(kind, data, cache="private, max-age=3600")

    def _post(self, address):
        lengths = self.headers.get_all("Content-Length") or [""]
        length = whole_number(lengths[0])
        is_known = len(lengths) == 1 and "Transfer-Encoding" not in self.headers
        if not is_known or length is None or length > _MOST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long, or of unknown length")
        data = self.rfile.read(length)
        token = self.headers.get("X-Token", "")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(HTTPStatus.FORBIDDEN, "the viewer was started again; reload the page")
        if address.path != "/api/mark":
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
        try:
            asked = json.loads(data)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected a JSON object")
        self.server.answers.require_current()
        self._send_json(self.server.answers.mark(asked))

    def _send_json(self, value: Any):
        self._send("application/json", json.dumps(value, allow_nan=False).encode())

    def send_error(self, code, message=None, explain=None):
        """Refuses what is no request, or of no known kind, in the words of the base class."""
        self._refuse(code, message or HTTPStatus(code).phrase)

    def _refuse(self, status, text):
        # Content that came with it was not read, and must not be taken for the next request:
        # that one would be another page's, under a name that is allowed.
        self.close_connection = True
        self._send("application/json", json.dumps({"error": text}).encode(), status)

    def _send(self, kind, data, status=HTTPStatus.OK, cache="no-store"):
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cache-Control", cache),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Content-Security-Policy", _POLICY),
        ):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format, *args):
        """Says nothing: a line for each picture would hide all else."""


_ASKED = {
    "/api/about": "about",
    "/api/facets": "facets",
    "/api/quality": "quality_state",
    "/api/page": "page",
    "/api/example": "example",
    "/api/together": "together",
}


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, text: str):
        super().__init__(text)
        self.status = status


def _file(name):
    return resources.files("posepile.viewer").joinpath("page", name).read_text(encoding="utf-8")


def make_server(answers: Answers, port: int = DEFAULT_PORT) -> Server:
    """Returns a server on a port of this machine, or on the next one that is free.

    Args:
        answers: What is looked at.
        port: The first to be tried; 0 = any.

    Raises:
        UsageError: None of the next ports is free, or the system lets nobody listen there.
    """
    for candidate in range(port, min(port + _PORTS_TRIED, 65536)):
        try:
            return Server(candidate, answers)
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                why = e.strerror or one_line(e)
                raise UsageError(f"--port {candidate}: {why}; name another port") from None
    raise UsageError(
        f"--port {port}: it and the next {_PORTS_TRIED - 1} are taken; name another port"
    )


def link_to(
    server_url: str, name: str, split: str = "", image_path: str = "", person: int = 0
) -> str:
    """Returns the permanent link to an example, or to the page of many.

    >>> link_to("http://127.0.0.1:8765/", "aspset", "train", "aspset/a b?.jpg")
    'http://127.0.0.1:8765/#/aspset/train/aspset/a%20b%3F.jpg'
    """
    parts = [name, split, *([image_path] if image_path else [])] if split else [name]
    link = f"{server_url}#/" + "/".join(quote(part, safe="/@", errors="replace") for part in parts)
    return f"{link}?person={person}" if person else link


def serve(server: Server) -> None:
    """Answers until Ctrl-C, or a signal that ends the process."""
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.answers.quality.stop()
        server.server_close()
