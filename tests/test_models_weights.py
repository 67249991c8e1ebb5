import hashlib
import http.server
import json
import socket
import threading

import pytest

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.models import weights

CONTENT = bytes(range(256)) * 300
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; ``behaviour`` makes it misbehave; ``log`` keeps the requests."""

    behaviour = "good"
    log: list = []  # noqa: RUF012

    def do_GET(self):
        cls = type(self)
        wanted = self.headers.get("Range")
        cls.log.append(wanted)
        if cls.behaviour == "html":
            return self._send(200, b"<!DOCTYPE html><p>Sign in first", "text/html; charset=utf-8")
        if cls.behaviour == "hidden html":
            return self._send(200, b"  <html>quota exceeded", "application/octet-stream")
        if cls.behaviour == "missing":
            return self._send(404, b"", "text/plain")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and cls.behaviour == "no ranges":
            start = 0
        elif wanted and start >= len(CONTENT):
            return self._send(416, b"", "text/plain")
        body = CONTENT[start:]
        if cls.behaviour == "other content":
            body = body[::-1]
        headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        status = 206 if start else 200
        cut = 20_000 if cls.behaviour == "drops" else None
        return self._send(status, body, "application/octet-stream", headers if start else {}, cut)

    def _send(self, status, body, kind, headers=None, cut=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Server.behaviour, Server.log = "good", []
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Server.url = f"http://127.0.0.1:{httpd.server_port}/net.onnx"
    yield Server
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def spec(url, **more):
    values = {
        "name": "net",
        "url": url,
        "sha256": DIGEST,
        "bytes": len(CONTENT),
        "licence": "MIT",
        "source": "https://example.org/net",
        "decoder": "yolox",
        "input_size": (8, 8),
        "layout": "nchw",
        "channels": "bgr",
        "scale": 1.0,
        "mean": (0, 0, 0),
        "std": (1, 1, 1),
        "good_for": "tests",
        "cost": "nothing",
    }
    return weights.WeightSpec(**(values | more))


def files(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".fetching"))


def test_fetched_once_then_taken_from_the_cache(server, tmp_path):
    folder = tmp_path / "new" / "cache"
    path, digest = weights.ensure_weights(spec(server.url), folder)
    assert (path, digest) == (folder / "net.onnx", DIGEST)
    assert path.read_bytes() == CONTENT
    assert files(folder) == ["net.onnx"]
    weights.ensure_weights(spec(server.url), folder)
    assert server.log == [None]


def test_resumes_where_an_earlier_run_stopped(server, tmp_path):
    (tmp_path / "net.onnx.part").write_bytes(CONTENT[:12_345])
    path, _ = weights.ensure_weights(spec(server.url), tmp_path)
    assert server.log == ["bytes=12345-"]
    assert path.read_bytes() == CONTENT


def test_resumes_after_dropped_connections(server, tmp_path):
    server.behaviour = "drops"
    path, _ = weights.ensure_weights(spec(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.log == [None, "bytes=20000-", "bytes=40000-", "bytes=60000-"]


def test_starts_over_where_the_server_cannot_resume(server, tmp_path):
    server.behaviour = "no ranges"
    (tmp_path / "net.onnx.part").write_bytes(b"something old")
    path, _ = weights.ensure_weights(spec(server.url), tmp_path)
    assert path.read_bytes() == CONTENT


def test_partial_file_longer_than_the_file_is_given_up(server, tmp_path):
    (tmp_path / "net.onnx.part").write_bytes(CONTENT + b"more")
    path, _ = weights.ensure_weights(spec(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.log == [f"bytes={len(CONTENT) + 4}-", None]


def test_wrong_content_is_not_kept(server, tmp_path):
    server.behaviour = "other content"
    found = hashlib.sha256(CONTENT[::-1]).hexdigest()
    with pytest.raises(WorkError, match=f"has sha256 {found}, expected {DIGEST}"):
        weights.ensure_weights(spec(server.url), tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("behaviour", ["html", "hidden html"])
def test_a_web_page_is_recognised(server, tmp_path, behaviour):
    server.behaviour = behaviour
    with pytest.raises(WorkError, match=r"a web page \(text/html\) came instead"):
        weights.ensure_weights(spec(server.url, sha256=None, bytes=None), tmp_path)
    assert files(tmp_path) == []


def test_without_network_the_message_says_what_to_put_where(server, tmp_path):
    with socket.socket() as unused:  # a port where nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/net.onnx"
    with pytest.raises(WorkError) as e:
        weights.ensure_weights(spec(url), tmp_path)
    for part in (str(tmp_path / "net.onnx"), url, DIGEST, str(len(CONTENT))):
        assert part in str(e.value)
    assert "\n" not in str(e.value)
    server.behaviour = "missing"
    with pytest.raises(WorkError, match="HTTP status 404"):
        weights.ensure_weights(spec(server.url), tmp_path)


def test_corrupt_cached_file_is_reported_not_used(server, tmp_path):
    (tmp_path / "net.onnx").write_bytes(CONTENT[:-1])
    with pytest.raises(CorruptInput, match=r"net\.onnx: sha256 is .* expected .*move it away"):
        weights.ensure_weights(spec(server.url), tmp_path)
    assert server.log == []


def test_known_copy_is_accepted(server, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"resaved")
    digest = hashlib.sha256(b"resaved").hexdigest()
    copy = weights.KnownCopy(sha256=digest, bytes=7, note="the same weights")
    assert weights.ensure_weights(spec(server.url, copies=(copy,)), tmp_path)[1] == digest


def test_unknown_checksum_is_trusted_once_and_then_compared(server, tmp_path, capsys):
    unknown = spec(server.url, sha256=None, sha256_note="not published")
    path, digest = weights.ensure_weights(unknown, tmp_path)
    assert digest == DIGEST
    assert f"sha256 {DIGEST}, trusted on first use" in capsys.readouterr().err
    assert json.loads((tmp_path / "net.onnx.lock.json").read_text())["sha256"] == DIGEST
    weights.ensure_weights(unknown, tmp_path)
    path.write_bytes(b"changed")
    with pytest.raises(CorruptInput, match=r"from net\.onnx\.lock\.json"):
        weights.ensure_weights(unknown, tmp_path)


def test_cache_dir_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("POSEPILE_MODELS", raising=False)
    assert weights.default_cache_dir() == tmp_path / "user" / "posepile" / "models"
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    assert weights.default_cache_dir() == tmp_path / "data" / "models"
    monkeypatch.setenv("POSEPILE_MODELS", str(tmp_path / "here"))
    assert weights.default_cache_dir() == tmp_path / "here"


def test_register_is_complete():
    registry = weights.load_registry()
    names = {f"yolox_{size}" for size in ("nano", "tiny", "s", "m", "l", "x")}
    assert names <= set(registry["detectors"])
    assert any(s.decoder == "detr" for s in registry["detectors"].values())
    assert {s.decoder for s in registry["segmenters"].values()} == {"matting", "sam"}
    for entry in [s for kind in registry.values() for s in kind.values()]:
        assert entry.url.startswith("https://")
        assert entry.licence in ("Apache-2.0", "MIT", "BSD-3-Clause")
        assert entry.sha256 is not None or entry.sha256_note
    everything = [s.file_name for kind in registry.values() for s in kind.values()]
    assert len(set(everything)) == len(everything)


def test_mistakes_in_the_register_name_the_entry(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(
        "detectors: {mine: {url: 'https://example.org/a.onnx', sha: 1}}\nsegmenters: {}\n"
    )
    with pytest.raises(UsageError, match=r"models\.yaml: detectors\.mine"):
        weights.load_registry(path)
