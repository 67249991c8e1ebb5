"""One file over HTTP: resumed, checked, from mirrors, with a password."""

import base64
import contextlib
import hashlib
import os
import stat
import urllib.parse

import pytest
from web_kit import DATA, MD5, Case, make_zip, simple

from posepile.acquire import asking, transfer
from posepile.acquire.download import run_download
from posepile.acquire.lockfile import read_lock
from posepile.acquire.plan import plan
from posepile.acquire.sources import load_sources
from posepile.errors import Shortage, WorkError

pytestmark = pytest.mark.usefixtures("no_accounts")


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
        "mtime_ns": (case.root / "a.bin").stat().st_mtime_ns,
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

    real, chunks = transfer._receive, []

    def receive(response):
        if len(chunks) == 3:
            raise Killed
        chunks.append(1)
        return real(response)

    monkeypatch.setattr(transfer, "_receive", receive)
    with pytest.raises(Killed):
        case.run()
    assert not (case.root / "a.bin").exists()
    offset = (case.root / "a.bin.part").stat().st_size
    assert 0 < offset < len(DATA)
    decision = plan(load_sources(case.path), case.root)[0]
    assert (decision.action, decision.offset) == ("resume", offset)
    monkeypatch.setattr(transfer, "_receive", real)
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


def test_full_disk_while_writing(tmp_path, server, monkeypatch):
    case = Case(tmp_path, simple(server, md5=MD5))
    real = open

    def full(path, mode="r", **kwargs):
        f = real(path, mode, **kwargs)
        return real("/dev/full", "wb") if str(path).endswith(".part") and "w" in mode else f

    if not os.path.exists("/dev/full") or not stat.S_ISCHR(os.stat("/dev/full").st_mode):
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(transfer, "open", full, raising=False)
    with pytest.raises(Shortage, match=r"a\.bin: writing failed: No space left .*run again"):
        case.run()
    monkeypatch.undo()
    assert case.run().ok


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


def test_password_in_a_form_is_not_given_to_where_one_is_redirected(tmp_path, server, monkeypatch):
    monkeypatch.setenv("POSEPILE_AMASS_USER", "me")
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", "pw")
    source = simple(server, login={"kind": "mpi", "domain": "amass"})
    source["url"] = f"{server.url}/redirect/a.bin"
    assert Case(tmp_path, source).run().ok
    (_, first, body), (_, second, nothing) = server.requests
    assert b"pw" in body and not nothing and "Content-Type" not in second
    assert first["Content-Type"] == "application/x-www-form-urlencoded"


def test_redirect_in_a_circle_ends(tmp_path, server):
    source = simple(server) | {"url": f"{server.url}{'/redirect' * 20}/a.bin"}
    report = Case(tmp_path, source).run()
    assert "redirects more than 10 times" in report.left[0] and len(server.requests) == 10


def test_no_redirect_to_an_unprotected_address(tmp_path, monkeypatch):
    asked = []

    class Pools(contextlib.nullcontext):
        def request(self, method, url, **kwargs):
            asked.append(url)
            return self

        def get_redirect_location(self):
            return "http://example.org/a.bin"

        def __enter__(self):
            return self

        def close(self):
            pass

    monkeypatch.setattr(asking, "_pools", lambda url: Pools())
    wanted = transfer.Transfer("a", tmp_path / "a.bin")
    with pytest.raises(transfer.NotFetched, match="from https to an unprotected address"):
        transfer.fetch(wanted, "https://example.org/a.bin")
    assert asked == ["https://example.org/a.bin"]


@pytest.mark.parametrize(
    ("asked", "waits"),
    [("7", [7]), ("Wed, 21 Oct 2015 07:28:00 GMT", [0]), ("soon", [2.0]), ("99999", [300])],
)
def test_waits_as_long_as_the_server_asks(tmp_path, server, asked, waits):
    case = Case(tmp_path, simple(server, md5=MD5))
    server.status, server.retry_after = [429], asked
    assert case.run().ok and case.waits == waits


def test_through_the_proxy_of_the_environment(tmp_path, server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:p%20w@"))
    server.files["http://example.org/a.bin"] = DATA
    case = Case(tmp_path, {"name": "a", "url": "http://example.org/a.bin", "to": "a.bin"})
    assert case.run().ok
    token = base64.b64encode(b"me:p w").decode()
    assert server.requests[0][1]["proxy-authorization"] == f"Basic {token}"


def test_a_stated_size_counts_for_an_answer_in_chunks(tmp_path, server):
    """The limit is for files of which nobody says how large they are."""
    server.files["/a.bin"], server.chunked = DATA, True
    stated = transfer.FileFacts(bytes=len(DATA))
    wanted = transfer.Transfer("a", tmp_path / "a.bin", stated, limit=1000)
    assert transfer.fetch(wanted, f"{server.url}/a.bin")["bytes"] == len(DATA)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    unknown = transfer.Transfer("b", tmp_path / "b.bin", limit=1000)
    with pytest.raises(transfer.NotFetched, match="has no end"):
        transfer.fetch(unknown, f"{server.url}/a.bin")


def test_answer_in_chunks_of_unknown_length(tmp_path, server):
    case = Case(tmp_path, simple(server, md5=MD5))
    server.chunked = True
    assert case.run().ok
    assert (case.root / "a.bin").read_bytes() == DATA
