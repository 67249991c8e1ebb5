import hashlib
import http.server
import io
import threading
import zipfile

import pytest

from posepile.acquire.lockfile import read_lock
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import locked
from posepile.models import weights
from posepile.models.weight_sources import fetch_weights

CONTENT = bytes(range(256)) * 300
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; ``behaviour`` makes it misbehave; ``log`` keeps the requests."""

    behaviour, content = "good", CONTENT
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
        elif wanted and start >= len(cls.content):
            return self._send(416, b"", "text/plain")
        body = cls.content[start:]
        if cls.behaviour == "other content":
            body = body[::-1]
        headers = {"Content-Range": f"bytes {start}-{len(cls.content) - 1}/{len(cls.content)}"}
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
    Server.behaviour, Server.log, Server.content = "good", [], CONTENT
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
    return sorted(p.name for p in folder.iterdir() if p.name != ".posepile")


def fetch(folder, *specs):
    """Fetches into a folder; returns the names of what came and what is left to do."""
    report = fetch_weights(
        specs, folder, log=lambda line: None, attempts=2, sleep=lambda seconds: None
    )
    return report.fetched, report.left


def test_fetched_once_then_taken_from_the_folder(server, tmp_path):
    folder = tmp_path / "new" / "models"
    assert fetch(folder, spec(server.url)) == (["net"], [])
    path, digest = weights.ensure_weights(spec(server.url), folder)
    assert (path, digest) == (folder / "net.onnx", DIGEST)
    assert path.read_bytes() == CONTENT
    assert files(folder) == ["net.onnx"]
    assert fetch(folder, spec(server.url)) == ([], [])
    assert server.log == [None]


def test_loading_fetches_nothing_and_says_what_to_put_where(server, tmp_path):
    with pytest.raises(WorkError) as e:
        weights.ensure_weights(spec(server.url), tmp_path)
    for part in (str(tmp_path / "net.onnx"), server.url, DIGEST, str(len(CONTENT))):
        assert part in str(e.value)
    assert "\n" not in str(e.value) and server.log == []


@pytest.mark.parametrize("behaviour", ["good", "no ranges"])
def test_resumes_where_an_earlier_run_stopped(server, tmp_path, behaviour):
    server.behaviour = behaviour
    (tmp_path / "net.onnx.part").write_bytes(CONTENT[:12_345])
    assert fetch(tmp_path, spec(server.url)) == (["net"], [])
    assert server.log == ["bytes=12345-"]
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT


def test_resumes_after_dropped_connections(server, tmp_path):
    server.behaviour = "drops"
    assert fetch(tmp_path, spec(server.url)) == (["net"], [])
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT
    assert server.log == [None, "bytes=20000-", "bytes=40000-", "bytes=60000-"]


def test_wrong_content_is_not_kept(server, tmp_path):
    server.behaviour = "other content"
    found = hashlib.sha256(CONTENT[::-1]).hexdigest()
    _, left = fetch(tmp_path, spec(server.url))
    assert f"SHA-256 is {found} instead of {DIGEST}" in left[0]
    assert files(tmp_path) == []


@pytest.mark.parametrize("behaviour", ["html", "hidden html"])
def test_a_web_page_is_recognised(server, tmp_path, behaviour):
    server.behaviour = behaviour
    _, left = fetch(tmp_path, spec(server.url, sha256=None, bytes=None))
    assert "answers with an HTML page instead of net.onnx" in left[0]
    assert files(tmp_path) == []


def test_an_address_without_the_file_is_left_to_do(server, tmp_path):
    server.behaviour = "missing"
    _, left = fetch(tmp_path, spec(server.url))
    assert left[0].startswith(f"net: {tmp_path / 'net.onnx'}: not fetched: 127.0.0.1:")


def test_corrupt_file_is_reported_not_used(server, tmp_path):
    (tmp_path / "net.onnx").write_bytes(CONTENT[::-1])
    with pytest.raises(CorruptInput, match=r"net\.onnx: sha256 is .* expected .*move it away"):
        weights.ensure_weights(spec(server.url), tmp_path)
    _, left = fetch(tmp_path, spec(server.url))
    assert "move it away and run the download again" in left[0]
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT[::-1]
    assert server.log == []


def test_known_copy_put_there_by_hand_is_accepted(server, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"resaved")
    digest = hashlib.sha256(b"resaved").hexdigest()
    copy = weights.KnownCopy(sha256=digest, bytes=7, note="the same weights")
    known = spec(server.url, copies=(copy,))
    assert fetch(tmp_path, known) == ([], []) and server.log == []
    assert weights.ensure_weights(known, tmp_path)[1] == digest


def test_unknown_checksum_is_trusted_once_and_then_compared(server, tmp_path):
    unknown = spec(server.url, sha256=None, sha256_note="not published")
    assert fetch(tmp_path, unknown) == (["net"], [])
    assert read_lock(tmp_path)["net.onnx"]["sha256"] == DIGEST
    path, digest = weights.ensure_weights(unknown, tmp_path)
    assert digest == DIGEST
    path.write_bytes(b"changed")
    with pytest.raises(CorruptInput, match=r"from .*sources\.lock\.json"):
        weights.ensure_weights(unknown, tmp_path)


def test_file_put_there_by_hand_is_trusted_on_first_use_too(tmp_path, capsys):
    unknown = spec("https://example.org/net.onnx", sha256=None, bytes=None)
    (tmp_path / "net.onnx").write_bytes(CONTENT)
    assert weights.ensure_weights(unknown, tmp_path)[1] == DIGEST
    assert f"sha256 {DIGEST}, trusted on first use" in capsys.readouterr().err
    (tmp_path / "net.onnx").write_bytes(CONTENT[::-1])
    with pytest.raises(CorruptInput, match=f"expected {DIGEST}"):
        weights.ensure_weights(unknown, tmp_path)


def two_files(url):
    values = spec(url).model_dump(exclude={"files"})
    one = {"url": url, "sha256": DIGEST, "bytes": len(CONTENT)}
    files = [{**one, "part": part, "file": f"{part}.onnx"} for part in ("encoder", "decoder")]
    return weights.WeightSpec(**values, files=files)


def test_network_in_two_files(server, tmp_path):
    pair = two_files(server.url)
    assert fetch(tmp_path, pair) == (["net.encoder", "net.decoder"], [])
    found = weights.installed(pair, tmp_path)
    assert found.paths == {
        "encoder": tmp_path / "encoder.onnx",
        "decoder": tmp_path / "decoder.onnx",
    }
    assert found.digest == hashlib.sha256((DIGEST + DIGEST).encode()).hexdigest()
    found.paths["decoder"].unlink()
    with pytest.raises(WorkError, match=r"decoder\.onnx is missing"):
        weights.installed(pair, tmp_path)


def zipped(server, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("20230320/net/detail.json", "{}")
        z.writestr("20230320/net/end2end.onnx", content)
    server.content = file.getvalue()
    return server.url.replace("net.onnx", "net-1.zip")


def in_archive(url, **more):
    names = {"file": "net/end2end.onnx", "member": "**/end2end.onnx"}
    return spec(url, **names, **more)


def test_network_in_an_archive(server, tmp_path):
    inner = in_archive(zipped(server, CONTENT))
    assert fetch(tmp_path, inner) == (["net"], [])
    assert weights.ensure_weights(inner, tmp_path) == (tmp_path / "net" / "end2end.onnx", DIGEST)
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.glob("[!.]*/*")] == ["net/end2end.onnx"]
    assert fetch(tmp_path, inner) == ([], []) and server.log == [None]


def test_network_in_an_archive_is_compared(server, tmp_path):
    inner = in_archive(zipped(server, CONTENT[::-1]))
    _, left = fetch(tmp_path, inner)
    assert f"expected {DIGEST}" in left[0]
    with pytest.raises(CorruptInput):
        weights.ensure_weights(inner, tmp_path)


def test_network_of_an_archive_put_there_by_hand(server, tmp_path):
    inner = in_archive(server.url)
    with pytest.raises(WorkError, match=r"put \*\*/end2end.onnx of it at .*net/end2end.onnx"):
        weights.ensure_weights(inner, tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "end2end.onnx").write_bytes(CONTENT)
    assert fetch(tmp_path, inner) == ([], []) and server.log == []
    assert weights.ensure_weights(inner, tmp_path)[1] == DIGEST


def test_a_member_needs_a_folder_of_its_own():
    with pytest.raises(ValueError, match="<folder>/<last part of member>"):
        spec("https://example.org/a.zip", file="end2end.onnx", member="**/end2end.onnx")


def test_a_network_has_one_file_of_each_part():
    pair = two_files("https://example.org/a.onnx")
    with pytest.raises(ValueError, match="two files have the part 'encoder'"):
        weights.WeightSpec(**pair.model_dump(exclude={"files"}), files=[pair.files[0]] * 2)


def test_networks_of_two_runs_are_fetched_once(server, tmp_path):
    """Who comes while another fetches waits for it, and finds the file there."""
    first = threading.Thread(target=fetch, args=(tmp_path, spec(server.url)))
    with locked(tmp_path / ".posepile" / "download.lock"):
        first.start()
        (tmp_path / "net.onnx").write_bytes(CONTENT)
    first.join()
    assert server.log == []


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
    entries = [s for kind in registry.values() for s in kind.values()]
    assert {s.licence for s in entries} <= {"Apache-2.0", "MIT", "BSD-3-Clause", "GPL-3.0"}
    everything = [file for s in entries for file in s.files]
    for file in everything:
        assert file.url.startswith("https://")
        assert file.sha256 is not None or file.sha256_note
    assert len({file.file_name for file in everything}) == len(everything)


def test_mistakes_in_the_register_name_the_entry(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text(
        "detectors: {mine: {url: 'https://example.org/a.onnx', sha: 1}}\nsegmenters: {}\n"
    )
    with pytest.raises(UsageError, match=r"models\.yaml: detectors\.mine"):
        weights.load_registry(path)


def test_a_file_given_as_a_name_says_how_files_are_given():
    with pytest.raises(UsageError, match=r"a file is \{path: nets/mine.onnx\}"):
        weights.find_spec("detectors", "nets/mine.onnx")
