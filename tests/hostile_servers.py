"""A web server that says and sends whatever a test wants, byte by byte."""

import contextlib
import hashlib
import random
import re
import socket
import ssl
import threading

from web_kit import Case

DATA = random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()
HALF = 120_000
OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
# Nobody's: for a connection whose certificate no machine knows.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEkMULmUrLgf1yZm1
xuECtDCp3YxHwp4tpabqb87LrB6hRANCAAQC4QpcXMNeViM3+qObRjew60tlT8EV
U87k4qtA1fiI2Nm+pNMtAqDqPNNqMrMe+T5AsIA7a3wzFZ5DzUn9fYhh
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmjCCAUCgAwIBAgIUJSpZhgFGiANgv4JVejOvUrQoJgcwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObm9ib2R5LmludmFsaWQwIBcNMjYxMTI2MTA1NjE0WhgPMjEy
NjExMDIxMDU2MTRaMBkxFzAVBgNVBAMMDm5vYm9keS5pbnZhbGlkMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEAuEKXFzDXlYjN/qjm0Y3sOtLZU/BFVPO5OKrQNX4
iNjZvqTTLQKg6jzTajKzHvk+QLCAO2t8MxWeQ81J/X2IYaNkMGIwHQYDVR0OBBYE
FIinC96VWsvpDmIooZEGQBL8OwnGMB8GA1UdIwQYMBaAFIinC96VWsvpDmIooZEG
QBL8OwnGMA8GA1UdEwEB/wQFMAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjO
PQQDAgNIADBFAiBO25SchyUVSNS0rWEF3IxGv20IvXP4nGl+ws2pXSJ6ZwIhAOqJ
tSeOUsz7ald600IgE0ynQ2760bQ7n9uIvSAuYa0+
-----END CERTIFICATE-----
"""


class Hostile:
    """Answers coming requests with the given functions in turn, the last of them for ever.

    Each gets a :class:`Request` and says with ``send`` what goes out.
    """

    def __init__(self, *answers, host="127.0.0.1", certificate=None):
        self.answers, self.requests = list(answers), []
        self.socket = socket.create_server((host, 0))
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            request = Request(connection)
            self.requests.append(request)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            answer(request)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):  # or what was not read resets the connection
                    pass


class Request:
    """What was asked, and the connection on which it is answered."""

    def __init__(self, connection):
        self.connection = connection
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(1 << 16)
            if not data or data.startswith(b"\x16"):  # a question in TLS
                raise ConnectionError
            head += data
        self.text = head.decode("latin-1")
        self.path = self.text.split(" ")[1]
        found = re.search(r"^Range: bytes=(\d+)-", self.text, re.M | re.I)
        self.start = int(found[1]) if found else None

    def header(self, name):
        found = re.search(rf"^{name}: (.*?)\r$", self.text, re.M | re.I)
        return found and found[1]

    def send(self, data):
        self.connection.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def reply(self, status, body, *headers, length=True):
        """Sends a whole answer; headers are lines of text."""
        lines = [f"HTTP/1.1 {status} Whatever", "Connection: close", *headers]
        lines += [f"Content-Length: {len(body)}"] if length else []
        self.send("\r\n".join([*lines, "", ""]))
        self.send(body)

    def reset(self):
        """Ends the connection as a machine does that has lost it."""
        linger = b"\x01\0\0\0\0\0\0\0"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


def honest(content, etag='"v1"'):
    """Serves a file as it should be, with ranges."""

    def answer(request):
        size, at = len(content), request.start
        tag = f"ETag: {etag}"
        if at is None or request.header("If-Range") not in (None, etag):
            return request.reply(200, content, tag)
        if at >= size:
            return request.reply(416, b"", f"Content-Range: bytes */{size}")
        return request.reply(
            206, content[at:], tag, f"Content-Range: bytes {at}-{size - 1}/{size}"
        )

    return answer


def says(*lines, status="200 OK"):
    """Answers with these header lines, then the file."""

    def answer(request):
        request.send("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]))
        request.send(DATA)

    return answer


def page(body, kind="application/octet-stream", *headers):
    return lambda request: request.reply(200, body, f"Content-Type: {kind}", *headers)


def piece(start, end, total, *headers, body=None):
    """Answers with a piece of the file that is said to be at another place."""

    def answer(request):
        said = f"Content-Range: bytes {start}-{end}/{total}"
        request.reply(206, DATA[HALF:] if body is None else body, said, *headers)

    return answer


def endless(head, unit):
    def answer(request):
        request.send(head)
        while True:
            request.send(unit)

    return answer


def reset_after(n):
    """Answers rightly and breaks off hard in the middle."""

    def answer(request):
        request.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n")
        request.send(DATA[:n])
        request.reset()

    return answer


def to(location, status=302):
    return lambda request: request.reply(status, b"", f"Location: {location}")


def begin(case, serve_from, path="a.bin"):
    """Leaves the first part of a file as a connection leaves it that ends there."""

    def cut(request):
        head = f'{OK}Content-Length: {len(DATA)}\r\nETag: "v1"\r\n\r\n'
        request.send(head)
        request.send(DATA[:HALF])

    serve_from.answers = [cut]
    assert not case.run(attempts=1).ok
    assert (case.root / f"{path}.part").read_bytes() == DATA[:HALF]


def everything(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def one(tmp_path, url, **more):
    """A source of one file."""
    return Case(tmp_path, {"name": "a", "url": f"{url}/a.bin", "to": "a.bin", **more})
