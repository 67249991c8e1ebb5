import base64
import hashlib
import http.server
import io
import json
import os
import re
import stat
import sys
import threading
import urllib.parse
import zipfile

import pytest
import yaml

from posepile.acquire import download
from posepile.acquire.download import format_plan, plan, read_lock, run_download
from posepile.acquire.sources import find_matches, glob_regex, load_sources
from posepile.errors import UsageError, WorkError

DATA = os.urandom(1_500_000)
MD5 = hashlib.md5(DATA).hexdigest()


class Server:
    """A web server whose answers the tests choose, on this machine only."""

    def __init__(self):
        self.files = {}
        self.cut_after = []  # for each coming answer: how many bytes of its body are sent
        self.status = []  # for each coming answer: another status
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

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, h, body):
        self.requests.append((h.path, dict(h.headers), body))
        h.close_connection = True
        if self.status and (status := self.status.pop(0)):
            return self.send(h, status, b"", {})
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
        for k, v in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            h.send_header(k, v)
        h.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else None
        try:
            h.wfile.write(body if cut is None else body[:cut])
        except ConnectionError:
            pass


@pytest.fixture
def server():
    s = Server()
    yield s
    s.httpd.shutdown()
    s.httpd.server_close()


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setenv("POSEPILE_CREDENTIALS", str(tmp_path / "none.yaml"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


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
            log=self.lines.append,
            sleep=self.waits.append,
            **{"strict": False, **kwargs},
        )

    def actions(self):
        return [d.action for d in plan(load_sources(self.path), self.root)]

    @property
    def text(self):
        return "\n".join(self.lines)


def simple(server, **more):
    server.files["/a.bin"] = DATA
    return {"name": "a", "url": f"{server.url}/a.bin", "to": "a.bin", **more}


def test_fetches_once_and_remembers(tmp_path, server):
    case = Case(tmp_path, simple(server, md5=MD5, bytes=len(DATA)))
    assert case.actions() == ["fetch"]
    report = case.run()
    assert report.ok and report.fetched == ["a"]
    assert (case.root / "a.bin").read_bytes() == DATA
    assert read_lock(case.root)["a.bin"] == {
        "source": "a",
        "from": f"{server.url}/a.bin",
        "bytes": len(DATA),
        "md5": MD5,
        "sha256": hashlib.sha256(DATA).hexdigest(),
    }
    assert sorted(os.listdir(case.root)) == [".posepile", "a.bin"]
    assert case.actions() == ["have"]
    n = len(server.requests)
    assert case.run().ok and len(server.requests) == n


@pytest.mark.parametrize("with_md5", [True, False])
def test_resumes_where_the_connection_broke(tmp_path, server, with_md5):
    case = Case(tmp_path, simple(server, **({"md5": MD5} if with_md5 else {})))
    server.cut_after = [500_000, 300_000]
    assert case.run().ok
    assert (case.root / "a.bin").read_bytes() == DATA
    ranges = [h.get("Range") for _, h, _ in server.requests]
    assert ranges == [None, "bytes=500000-", "bytes=800000-"]
    assert "connection ended after 500000 of 1500000 bytes" in case.text
    assert len(case.waits) == 2


def test_resumes_after_being_killed(tmp_path, server, monkeypatch):
    case = Case(tmp_path, simple(server, sha256=hashlib.sha256(DATA).hexdigest()))

    class Killed(BaseException):
        pass

    real, chunks = download._receive, []

    def receive(response):
        if len(chunks) == 3:
            raise Killed
        chunks.append(1)
        return real(response)

    monkeypatch.setattr(download, "_receive", receive)
    with pytest.raises(Killed):
        case.run()
    assert not (case.root / "a.bin").exists()
    offset = (case.root / "a.bin.part").stat().st_size
    assert 0 < offset < len(DATA)
    decision = plan(load_sources(case.path), case.root)[0]
    assert (decision.action, decision.offset) == ("resume", offset)
    monkeypatch.setattr(download, "_receive", real)
    assert case.run().ok
    assert server.requests[-1][1]["Range"] == f"bytes={offset}-"
    assert (case.root / "a.bin").read_bytes() == DATA


def test_complete_part_is_only_checked(tmp_path, server):
    case = Case(tmp_path, simple(server, md5=MD5))
    case.root.mkdir()
    (case.root / "a.bin.part").write_bytes(DATA)
    assert case.run().ok
    assert (case.root / "a.bin").read_bytes() == DATA


def test_server_without_ranges_starts_over(tmp_path, server):
    server.ranges = False
    server.cut_after = [500_000]
    case = Case(tmp_path, simple(server, md5=MD5))
    assert case.run().ok
    assert (case.root / "a.bin").read_bytes() == DATA


def test_server_without_ranges_that_always_breaks_off_ends(tmp_path, server):
    server.ranges = False
    server.cut_after = [500_000] * 50
    case = Case(tmp_path, simple(server, md5=MD5))
    report = case.run(attempts=3)
    assert not report.ok and "connection ended" in report.left[0]
    assert not (case.root / "a.bin").exists()
    assert len(server.requests) < 8


def test_server_that_breaks_off_now_earlier_now_later_ends(tmp_path, server):
    server.ranges = False
    server.cut_after = [500_000, 900_000] * 50
    report = Case(tmp_path, simple(server, md5=MD5)).run(attempts=3)
    assert not report.ok and len(server.requests) < 8


@pytest.mark.parametrize("same_size", [True, False])
def test_file_changed_on_the_server_is_not_glued_together(tmp_path, server, same_size):
    case = Case(tmp_path, simple(server))
    server.cut_after = [500_000]
    other = os.urandom(len(DATA) if same_size else len(DATA) + 1)

    def change(seconds):
        server.files["/a.bin"], server.etag = other, '"v2"'

    report = run_download("x", case.path, case.root, log=case.lines.append, sleep=change)
    assert report.ok and (case.root / "a.bin").read_bytes() == other


def test_wrong_beginning_is_fetched_again_from_scratch(tmp_path, server):
    case = Case(tmp_path, simple(server, md5=MD5))
    case.root.mkdir()
    (case.root / "a.bin.part").write_bytes(bytes(1000))
    assert case.run().ok
    assert "once more from the beginning" in case.text
    assert (case.root / "a.bin").read_bytes() == DATA


def test_wrong_checksum_goes_to_the_mirror(tmp_path, server):
    server.files |= {"/bad/a.bin": b"x" + DATA[1:], "/good/a.bin": DATA}
    source = simple(server, md5=MD5) | {
        "url": f"{server.url}/bad/a.bin",
        "mirrors": [f"{server.url}/gone/a.bin", f"{server.url}/good/a.bin"],
    }
    case = Case(tmp_path, source)
    assert case.run().ok
    assert read_lock(case.root)["a.bin"]["from"] == f"{server.url}/good/a.bin"
    assert "MD5 is" in case.text and "answers 404" in case.text


def test_wrong_checksum_everywhere(tmp_path, server):
    case = Case(tmp_path, simple(server, md5="0" * 32), simple(server) | {"name": "b", "to": "b"})
    report = case.run()
    assert (
        report.left[0].startswith("a: ")
        and f"MD5 is {MD5} instead of {'0' * 32}" in (report.left[0])
    )
    assert report.fetched == ["b"]  # the other one is not kept from coming
    assert not (case.root / "a.bin").exists() and not (case.root / "a.bin.part").exists()
    with pytest.raises(WorkError, match="x: download incomplete: a: "):
        case.run(strict=True)


def test_other_size_than_published(tmp_path, server):
    case = Case(tmp_path, simple(server, bytes=17))
    assert "has 1500000 bytes instead of 17: another version?" in case.run().left[0]


def test_redirect_and_server_trouble(tmp_path, server):
    source = simple(server, md5=MD5) | {"url": f"{server.url}/redirect/a.bin"}
    server.status = [503, 429, None]
    case = Case(tmp_path, source)
    assert case.run().ok
    assert len(case.waits) == 2


def test_gives_up_on_a_dead_server(tmp_path, server):
    case = Case(tmp_path, simple(server))
    server.status = [503] * 10
    report = case.run(attempts=4)
    assert "answers 503" in report.left[0] and len(server.requests) == 4
    assert case.waits == [2.0, 4.0, 8.0]


def test_unreachable_server_is_one_line(tmp_path, server):
    source = simple(server) | {"url": "http://127.0.0.1:1/a.bin"}
    report = Case(tmp_path, source).run(attempts=1)
    assert "no connection" in report.left[0] and "\n" not in report.left[0]


def test_html_page_instead_of_the_file(tmp_path, server):
    server.files["/a.zip"] = b"\n<HTML><body>This link has expired</body></html>"
    case = Case(tmp_path, {"name": "a", "url": f"{server.url}/a.zip", "extract": {}})
    report = case.run()
    assert "HTML page instead" in report.left[0] and "link has expired" in report.left[0]
    assert not (case.root / "archives" / "a.zip").exists()
    assert not (case.root / "archives" / "a.zip.part").exists()


def make_zip(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return out.getvalue()


def mpi(server, name="a"):
    path = f"/download.php?domain=amass&resume=1&sfile=d/{name}.zip"
    server.files[path] = make_zip({f"{name}.txt": b"hello"})
    return {
        "name": name,
        "url": server.url + path,
        "login": {"kind": "mpi", "domain": "amass"},
        "extract": {},
    }


NASTY = "p&a=s s%w+ör/d"


def test_login_is_encoded_and_stays_out_of_sight(tmp_path, server, monkeypatch, capfd):
    server.password = NASTY
    case = Case(tmp_path, mpi(server))
    assert case.actions() == ["blocked"]
    report = case.run()
    assert not report.ok and "POSEPILE_AMASS_PASSWORD" in report.left[0] and not server.requests
    monkeypatch.setenv("POSEPILE_AMASS_USER", "me")
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", NASTY)
    assert case.actions() == ["fetch"]
    assert case.run().ok
    assert (case.root / "a.txt").read_bytes() == b"hello"
    assert (case.root / "archives" / "a.zip").exists()
    path, _, body = server.requests[-1]
    assert NASTY not in path and urllib.parse.quote_plus(NASTY).encode() in body
    seen = case.text + "".join(capfd.readouterr()) + report.left[0]
    for p in case.root.rglob("*"):
        seen += p.read_text(errors="replace") if p.is_file() else ""
    for form in (NASTY, urllib.parse.quote_plus(NASTY), urllib.parse.quote(NASTY)):
        assert form not in seen


def test_wrong_password_is_named_and_not_tried_again(tmp_path, server, monkeypatch):
    server.password = "right"
    monkeypatch.setenv("POSEPILE_AMASS_USER", "me")
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", "wrong-one")
    service = {"amass": {"url": "https://amass.is.tue.mpg.de", "steps": "Register."}}
    case = Case(tmp_path, mpi(server), mpi(server, "b"), services=service)
    report = case.run()
    assert "HTML page" in report.left[0]
    assert "user name or password for amass is wrong" in report.left[0]
    assert "licence has not been accepted at https://amass.is.tue.mpg.de" in report.left[0]
    assert "not tried" in report.left[1]
    assert len(server.requests) == 1
    assert "wrong-one" not in case.text + str(report.left)
    assert not list(case.root.rglob("*.zip*"))


def test_basic_login_is_not_given_to_where_one_is_redirected(tmp_path, server, monkeypatch):
    monkeypatch.setenv("POSEPILE_Y_USER", "me")
    monkeypatch.setenv("POSEPILE_Y_PASSWORD", "pw")
    source = simple(server, login={"kind": "basic", "service": "y"})
    source["url"] = f"{server.url}/redirect/a.bin"
    assert Case(tmp_path, source).run().ok
    first, second = (h.get("Authorization") for _, h, _ in server.requests)
    assert first == "Basic " + base64.b64encode(b"me:pw").decode() and second is None


def test_damaged_zip_without_checksum(tmp_path, server):
    data = bytearray(make_zip({"a.txt": os.urandom(1000)}))
    data[200] ^= 1
    server.files["/a.zip"] = bytes(data)
    kept = {"name": "a", "url": f"{server.url}/a.zip"}
    report = Case(tmp_path, kept).run()
    assert "a.txt" in report.left[0] and "damaged" in report.left[0]
    report = Case(tmp_path, kept | {"extract": {}}).run()
    assert "truncated or damaged" in report.left[0]
    assert not (tmp_path / "raw" / "a.txt").exists()


def test_fetch_extract_rerun_and_repair(tmp_path, server):
    server.files["/a.zip"] = make_zip({"Set/a.txt": b"A", "Set/b/c.txt": b"C"})
    source = {
        "name": "set",
        "url": f"{server.url}/a.zip",
        "extract": {"strip_prefix": "Set", "to": "data"},
    }
    case = Case(tmp_path, source)
    report = case.run()
    assert report.ok and report.extracted == ["archives/a.zip"]
    assert (case.root / "data/b/c.txt").read_bytes() == b"C"
    assert case.run().extracted == [] and len(server.requests) == 1
    (case.root / "data/a.txt").unlink()
    assert case.actions() == ["extract"]
    assert case.run().ok and (case.root / "data/a.txt").exists() and len(server.requests) == 1
    # Without the archive, damage means that it is fetched again.
    (case.root / "archives/a.zip").unlink()
    assert case.actions() == ["have"]
    (case.root / "data/a.txt").write_bytes(b"more than one byte")
    assert case.actions() == ["fetch"]
    assert case.run().ok and (case.root / "data/a.txt").read_bytes() == b"A"


def test_extracted_by_hand_counts(tmp_path, server):
    source = simple(server, extract={}, provides=["trainval/videos/*/*.mkv"])
    case = Case(tmp_path, source)
    assert case.actions() == ["fetch"]
    (case.root / "trainval/videos/a").mkdir(parents=True)
    (case.root / "trainval/videos/a/1.mkv").write_bytes(b"x")
    assert case.actions() == ["have"]
    assert case.run().ok and not server.requests


def test_extracted_by_hand_below_another_folder_counts(tmp_path, server):
    source = simple(server, extract={"to": "data"}, provides=["splits.csv", "videos/*.mkv"])
    case = Case(tmp_path, source, roots=["data", "Set-1.0", "."])
    (case.root / "Set-1.0/videos").mkdir(parents=True)
    (case.root / "splits.csv").write_bytes(b"x")
    (case.root / "Set-1.0/videos/1.mkv").write_bytes(b"x")
    assert case.actions() == ["fetch"]
    (case.root / "Set-1.0/splits.csv").write_bytes(b"x")
    assert case.actions() == ["have"]


def test_file_put_there_by_hand_is_checked(tmp_path, server):
    case = Case(tmp_path, simple(server, md5=MD5, bytes=len(DATA)))
    case.root.mkdir()
    (case.root / "a.bin").write_bytes(DATA)
    assert case.actions() == ["verify"]
    assert case.run().ok and not server.requests
    assert case.actions() == ["have"]
    (case.root / "a.bin").write_bytes(DATA[:-1])
    assert case.actions() == ["fetch"]
    assert "will be replaced" in plan(load_sources(case.path), case.root)[0].reason
    (case.root / "a.bin").write_bytes(DATA)
    (case.root / ".posepile/sources.lock.json").unlink()
    (case.root / "a.bin").write_bytes(b"y" + DATA[1:])
    assert "MD5 is" in case.run().left[0]


def manual(**more):
    steps = ["Sign the form.", "Mail it."]
    return {"name": "m", "manual": {"steps": steps, "places": ["in/*.zip"]}, **more}


def test_manual_steps_then_extraction(tmp_path):
    case = Case(tmp_path, manual(extract={"to": "out"}), licence="CC BY 4.0")
    report = case.run()
    assert report.left == ["m: in/*.zip is missing"]
    assert "1. Sign the form." in case.text and "put it at in/*.zip" in case.text
    (case.root / "in").mkdir(parents=True)
    (case.root / "in/one.zip").write_bytes(make_zip({"1.txt": b"1"}))
    assert case.actions() == ["verify"]
    assert case.run().ok and (case.root / "out/1.txt").exists()
    assert case.actions() == ["have"]
    (case.root / "in/two.zip").write_bytes(make_zip({"2.txt": b"2"}))
    assert case.run().ok and (case.root / "out/2.txt").exists()
    assert read_lock(case.root)["in/two.zip"]["from"] == "by hand"


def test_manual_archives_all_needed_and_deleted_after(tmp_path):
    source = manual(extract={"keep": False})
    source["manual"]["places"] = [{"path": "in/*.zip", "min": 2}]
    case = Case(tmp_path, source)
    (case.root / "in").mkdir(parents=True)
    (case.root / "in/one.zip").write_bytes(make_zip({"1.txt": b"1"}))
    assert case.actions() == ["manual"]
    (case.root / "in/two.zip").write_bytes(make_zip({"2.txt": b"2"}))
    assert case.run().ok and not list((case.root / "in").iterdir())
    assert case.actions() == ["have"]


def test_tool_is_run_without_a_shell(tmp_path):
    script = tmp_path / "tool.py"
    script.write_text(
        "import sys, pathlib\n"
        "p = pathlib.Path(sys.argv[1]) / 'takes.json'\n"
        "sys.exit(3) if sys.argv[2] == 'fail' else p.write_text(sys.argv[2])\n"
    )
    source = {
        "name": "t",
        "tool": {
            "command": [sys.executable, str(script), "{root}", "fail"],
            "install": "pip install it",
            "on_failure": "renew the keys",
            "places": ["takes.json"],
        },
    }
    assert "exit status 3; renew the keys" in Case(tmp_path, source).run().left[0]
    source["tool"]["command"][-1] = "$(id); `id`"
    case = Case(tmp_path, source)
    assert case.run().ok
    assert (case.root / "takes.json").read_text() == "$(id); `id`"
    assert case.actions() == ["have"]
    source["tool"]["command"][0] = "no-such-program-here"
    source["tool"]["places"] = ["other.json"]
    assert "not installed: pip install it" in Case(tmp_path, source).run().left[0]


def test_only_optional_and_unknown_words(tmp_path, server):
    a, b = simple(server, part="p"), simple(server, optional=True) | {"name": "b", "to": "b.bin"}
    case = Case(tmp_path, a, b)
    assert case.actions() == ["fetch"]
    assert case.run(only=["b"]).fetched == ["b"]
    assert case.run(only="p").fetched == ["a"]
    with pytest.raises(UsageError, match=r"'bb' \(did you mean b\?\); there are: a, b, p"):
        case.run(only=["bb"])


def test_dry_run_touches_nothing_and_tells_everything(tmp_path, server):
    case = Case(
        tmp_path,
        simple(server, bytes=len(DATA)),
        manual(approx_bytes="2.5GB"),
        absent=[{"what": "side view", "reason": "camera stopped"}],
        page="https://example.org/x",
        licence="CC0",
    )
    report = case.run(dry_run=True)
    text = "\n".join(report.lines)
    assert text == format_plan("x", case.path, case.root)
    assert not case.root.exists() and not server.requests and not report.ok
    assert "2 sources, 0 on disk, 2.5 GB to get" in text
    assert "by hand  m" in text and "1.5 MB" in text
    assert "known to be absent: side view (camera stopped)" in text and "CC0" in text


def test_too_small_disk_is_said_beforehand(tmp_path, server):
    case = Case(tmp_path, simple(server, bytes=10**18))
    with pytest.raises(WorkError, match=r"1000000\.0 TB are to be fetched"):
        case.run()
    assert not server.requests


def test_full_disk_while_writing(tmp_path, server, monkeypatch):
    case = Case(tmp_path, simple(server, md5=MD5))
    real = open

    def full(path, mode="r", **kwargs):
        f = real(path, mode, **kwargs)
        return real("/dev/full", "wb") if str(path).endswith(".part") and "w" in mode else f

    if not os.path.exists("/dev/full") or not stat.S_ISCHR(os.stat("/dev/full").st_mode):
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(download, "open", full, raising=False)
    report = case.run()
    assert "disk full" in report.left[0] and "goes on where it stopped" in report.left[0]
    monkeypatch.undo()
    assert case.run().ok


def test_two_downloads_into_one_folder(tmp_path, server):
    case = Case(tmp_path, simple(server))
    with download._exclusive(case.root), pytest.raises(WorkError, match="another download"):
        case.run()


def test_wrong_dataset(tmp_path, server):
    case = Case(tmp_path, simple(server))
    with pytest.raises(UsageError, match="is about x, not y"):
        run_download("y", case.path, case.root)


# --- sources.yaml ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "expected a mapping"),
        ("a: [", "not valid YAML"),
        ("sources: []", "dataset is missing"),
        ("{dataset: x, sorces: []}", r"unknown key sorces \(did you mean sources\?\)"),
        ("dataset: x\ndataset: y", "key 'dataset' stands twice"),
        ("{dataset: x, sources: [{name: a}]}", r"sources\[a\]: needs exactly one of url"),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', md: 1}]}",
            r"unknown key sources\[a\]\.md \(did you mean md5\?\); allowed here: .*sha256",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', extract: {format: rar}}]}",
            r"sources\[a\]\.extract\.format = 'rar' is not allowed",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', md5: 12ab}]}",
            "'12ab' is not allowed: must be 32 hexadecimal digits",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', to: ../b}]}",
            r"to = '\.\./b' is not allowed: must be a path relative",
        ),
        ("{dataset: x, sources: [{name: a, url: 'file:///etc/passwd'}]}", "must be an http"),
        ("{dataset: x, sources: [{name: a, url: 'https://u:p@h/a'}]}", "must not hold a user"),
        (
            "{dataset: x, sources: [{name: a, url: 'http://h/a.zip', login: {kind: mpi,"
            " domain: d}}]}",
            "must be https",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip'},"
            " {name: b, url: 'https://k/a.zip'}]}",
            "two sources have the destination 'archives/a.zip'",
        ),
        ("{dataset: x, layout: [{path: 'a/[b'}]}", "without its counterpart"),
        ("{dataset: x, layout: [{path: 'a/<c>', for_each: 'b/<d>'}]}", "for_each has too"),
    ],
)
def test_mistakes_in_sources_yaml_are_one_line(tmp_path, text, expected):
    path = tmp_path / "sources.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=expected) as e:
        load_sources(path)
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


def test_missing_sources_yaml(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_sources(tmp_path / "sources.yaml")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/*.json", ["a/x.json", "a/.json"], ["a/b/x.json", "b/x.json", "a/x.jsonx"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "x/y"]),
        ("a/**", ["a/b", "a/c/d"], ["a", "ab"]),
        ("{left,mid}/[ab]?", ["left/ax", "mid/b1"], ["right/ax", "left/cx"]),
        ("<s>/<s>-<c>.csv", ["q/q-1.csv"], ["q/r-1.csv"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
    ],
)
def test_patterns(tmp_path, pattern, yes, no):
    for path in yes + no:
        assert bool(glob_regex(pattern).fullmatch(path)) == (path in yes)
    for path in yes:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert set(find_matches(tmp_path, pattern)) == set(yes)


def test_all_sources_of_the_project_are_valid():
    from pathlib import Path

    import posepile.ds

    found = sorted(Path(posepile.ds.__file__).parent.glob("*/sources.yaml"))
    for path in found:
        assert load_sources(path).dataset == path.parent.name
        assert json.dumps(load_sources(path).model_dump())
