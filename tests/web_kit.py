"""A web server of one's own, and sources.yaml files that point to it."""

import hashlib
import http.server
import io
import os
import re
import threading
import urllib.parse
import zipfile

import yaml

from posepile.acquire.download import run_download
from posepile.acquire.plan import plan
from posepile.acquire.sources import load_sources

DATA = os.urandom(1_500_000)
MD5 = hashlib.md5(DATA).hexdigest()


class Server:
    """A web server whose answers the tests choose, on this machine only."""

    def __init__(self, host="127.0.0.1"):
        self.files = {}
        self.before_answer = lambda path: None
        self.before_end = None  # called when all but the last bytes of a body have been sent
        self.cut_after = []  # for each coming answer: how many bytes of its body are sent
        self.status = []  # for each coming answer: another status
        self.retry_after = None
        self.chunked = False
        self.ranges = True
        self.etag = '"v1"'
        self.password = None
        self.requests = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                server.answer(self, b"")

            def do_POST(self):
                server.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        self.httpd = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()

    def answer(self, h, body):
        self.requests.append((h.path, dict(h.headers), body))
        h.close_connection = True
        self.before_answer(h.path)
        if self.status and (status := self.status.pop(0)):
            asked = {"Retry-After": self.retry_after} if self.retry_after else {}
            return self.send(h, status, b"", asked)
        if h.path.startswith("/redirect/"):
            return self.send(h, 302, b"", {"Location": h.path.removeprefix("/redirect")})
        if self.password and not self.may(h, body):
            page = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"
            return self.send(h, 200, page, {"Content-Type": "text/html"})
        content = self.files.get(h.path)
        if content is None:
            return self.send(h, 404, b"no", {})
        extra = {"ETag": self.etag} if self.etag else {}
        asked = re.match(r"bytes=(\d+)-", h.headers.get("Range", ""))
        same = h.headers.get("If-Range", self.etag) == self.etag
        if asked and self.ranges and same:
            at = int(asked[1])
            if at >= len(content):
                return self.send(h, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
            extra["Content-Range"] = f"bytes {at}-{len(content) - 1}/{len(content)}"
            return self.send(h, 206, content[at:], extra)
        return self.send(h, 200, content, extra)

    def may(self, h, body):
        form = urllib.parse.parse_qs(body.decode())
        return (form.get("username"), form.get("password")) == (["me"], [self.password])

    def send(self, h, status, body, headers):
        h.send_response(status)
        if self.chunked:
            headers = {"Transfer-Encoding": "chunked", **headers}
            half = len(body) // 2
            pieces = [b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:half], body[half:], b"")]
            body = b"".join(pieces)
        else:
            headers = {"Content-Length": str(len(body)), **headers}
        for k, v in {"Connection": "close", **headers}.items():
            h.send_header(k, v)
        h.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else None
        try:
            if self.before_end:
                h.wfile.write(body[:-1000])
                self.before_end(h.path)
                body = body[-1000:]
            h.wfile.write(body if cut is None else body[:cut])
        except ConnectionError:
            pass


class Case:
    """A sources.yaml with what belongs to it."""

    def __init__(self, folder, *sources, **more):
        self.root = folder / "raw"
        self.path = folder / "sources.yaml"
        self.lines, self.waits = [], []
        self.path.write_text(yaml.safe_dump({"dataset": "x", "sources": list(sources), **more}))

    def run(self, **kwargs):
        return run_download(
            "x",
            self.path,
            self.root,
            sleep=self.waits.append,
            **{"strict": False, "log": self.lines.append, **kwargs},
        )

    def actions(self):
        return [d.action for d in plan(load_sources(self.path), self.root)]

    @property
    def text(self):
        return "\n".join(self.lines)


def simple(server, **more):
    server.files["/a.bin"] = DATA
    return {"name": "a", "url": f"{server.url}/a.bin", "to": "a.bin", **more}


def make_zip(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return out.getvalue()
