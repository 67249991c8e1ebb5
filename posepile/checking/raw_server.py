"""A small web server for files below a folder: slow enough that a kill falls into a transfer."""

from __future__ import annotations

import contextlib
import http.server
import multiprocessing
import re
import time
from collections.abc import Iterator
from pathlib import Path

PIECES = 8
PAUSE_SECONDS = 0.02


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine in a process of its own; yields the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder))
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    host, port = server.server_address[:2]
    server.server_close()
    try:
        yield f"http://{host}:{port}"
    finally:
        process.terminate()
        process.join()


def _handler(folder: Path) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            """Says nothing."""

        def do_GET(self):
            data = (folder / self.path.lstrip("/")).read_bytes()
            asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            # All of it is there: the answer to who asks for what lies behind the end.
            self.send_response(416 if start >= len(data) else 206 if asked else 200)
            place = f"{start}-{len(data) - 1}" if start < len(data) else "*"
            if asked:
                self.send_header("Content-Range", f"bytes {place}/{len(data)}")
            self.send_header("Content-Length", str(len(data[start:])))
            self.send_header("ETag", f'"{len(data)}"')
            self.send_header("Connection", "close")
            self.end_headers()
            step = max(1, -(-len(data[start:]) // PIECES))
            with contextlib.suppress(ConnectionError):
                for place in range(start, len(data), step):
                    self.wfile.write(data[place : place + step])
                    time.sleep(PAUSE_SECONDS)

    return Handler
