"""What goes well although a server misbehaves, what leaves https, passwords, and slow servers."""

import itertools
import os
from random import Random

import pytest
from hostile_servers import (
    CERTIFICATE,
    DATA,
    HALF,
    OK,
    SHA,
    begin,
    endless,
    everything,
    honest,
    one,
    piece,
    to,
)

from posepile.acquire import transfer, watched
from posepile.acquire.answers import asked_to_wait
from posepile.acquire.lockfile import read_lock
from posepile.acquire.sources import load_sources
from posepile.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_accounts")


# ---------------------------------------------------------------- what goes well all the same


def test_what_follows_the_declared_length_is_cut_off(tmp_path, serve):
    server = serve(lambda r: (r.reply(200, DATA), r.send(b"more" * 1000)))
    case = one(tmp_path, server.url)
    assert case.run().ok and (case.root / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("location", ["../../evil.bin", "/etc/evil.bin", "..\\evil.bin"])
def test_the_server_does_not_name_the_file(tmp_path, serve, location):
    headers = (f'Content-Disposition: attachment; filename="{location}"', "Content-Location: ../x")
    server = serve(lambda r: r.reply(200, DATA, *headers))
    case = one(tmp_path, server.url)
    assert case.run().ok
    wanted = {"sources.yaml", "raw/a.bin", "raw/.posepile/sources.lock.json"}
    assert everything(tmp_path) == wanted | {"raw/.posepile/download.lock"}


def test_resuming_a_file_that_comes_whole_replaces_the_beginning(tmp_path, serve):
    server = serve(None)
    case = one(tmp_path, server.url)
    begin(case, server)
    server.answers = [lambda r: r.reply(200, DATA)]
    assert case.run().ok and (case.root / "a.bin").read_bytes() == DATA
    assert server.requests[-1].start == HALF


@pytest.mark.parametrize("header", ['ETag: "v2"', "Last-Modified: Thu, 26 Nov 2026 00:00:00 GMT"])
def test_pieces_of_two_versions_are_not_joined_whatever_the_server_does(tmp_path, serve, header):
    other = DATA[::-1]
    name = header.split(":")[0]
    old = {"ETag": 'ETag: "v1"', "Last-Modified": "Last-Modified: Wed, 25 Nov 2026 00:00:00 GMT"}
    first = f"{OK}Content-Length: {len(DATA)}\r\n{old[name]}\r\n\r\n".encode()
    server = serve(
        lambda r: r.send(first + DATA[:HALF]),
        piece(HALF, len(DATA) - 1, len(DATA), header, body=other[HALF:]),  # whatever If-Range says
        lambda r: r.reply(200, other, header),
    )
    case = one(tmp_path, server.url)
    assert case.run().ok and (case.root / "a.bin").read_bytes() == other
    assert "the file on the server has changed" in case.text
    assert [r.start for r in server.requests] == [None, HALF, None]


def test_a_beginning_of_which_nothing_is_known_is_not_gone_on_with(tmp_path, serve):
    server = serve(honest(DATA))
    case = one(tmp_path, server.url)
    case.root.mkdir()
    (case.root / "a.bin.part").write_bytes(b"of something else")
    assert case.run().ok and (case.root / "a.bin").read_bytes() == DATA
    assert server.requests[0].start is None


def test_a_good_beginning_survives_an_address_that_sends_another_file(tmp_path, serve):
    bad, good = serve(None), serve(lambda r: r.reply(404, b""))
    case = one(tmp_path, bad.url, mirrors=[f"{good.url}/a.bin"], sha256=SHA)
    begin(case, bad)
    bad.answers = [lambda r: r.reply(200, bytes(400_000))]
    good.answers = [honest(DATA)]
    good.requests.clear()
    assert case.run().ok and (case.root / "a.bin").read_bytes() == DATA
    assert [r.start for r in good.requests] == [HALF]


def test_a_good_beginning_survives_being_killed_while_another_comes(tmp_path, serve, monkeypatch):
    server = serve(None)
    case = one(tmp_path, server.url)
    begin(case, server)

    class Killed(BaseException):
        pass

    def killed(self, *args):
        raise Killed

    server.answers = [lambda r: r.reply(200, bytes(400_000), 'ETag: "v2"')]
    with monkeypatch.context() as m:
        m.setattr(transfer, "CHUNK", 1000)  # or so much has come already that it is the longer one
        m.setattr(transfer.Measurement, "update", killed)
        with pytest.raises(Killed):
            case.run()
    server.answers = [honest(DATA)]
    assert case.run().ok and (case.root / "a.bin").read_bytes() == DATA
    assert server.requests[-1].start == HALF
    assert {p.name for p in case.root.iterdir()} == {".posepile", "a.bin"}


def test_range_that_lies_is_asked_for_as_a_whole(tmp_path, serve):
    server = serve(None)
    case = one(tmp_path, server.url)
    begin(case, server)
    lie = piece(0, len(DATA) - HALF - 1, len(DATA) - HALF)
    server.answers = [lie, honest(DATA)]
    assert case.run().ok and (case.root / "a.bin").read_bytes() == DATA
    assert [r.start for r in server.requests[-2:]] == [HALF, None]


def test_redirect_to_an_address_of_one_s_own_network_is_followed(tmp_path, serve):
    other = serve(honest(DATA), host="127.0.0.2")
    case = one(tmp_path, serve(to(f"{other.url}/b")).url)
    assert case.run().ok


# ---------------------------------------------------------------- secure connections, passwords


@pytest.fixture
def certificate(tmp_path):
    path = tmp_path / "server.pem"
    path.write_text(CERTIFICATE)
    return path


def test_unknown_certificate(tmp_path, serve, certificate):
    server = serve(honest(DATA), certificate=certificate)
    report = one(tmp_path, server.url).run()
    assert "its certificate is not valid (" in report.left[0] and not server.requests


def test_https_is_never_left(tmp_path, serve, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    plain = serve(honest(DATA))
    server = serve(to(f"{plain.url}/a.bin"), certificate=certificate)
    report = one(tmp_path, server.url.replace("https", "HTTPS")).run()
    assert "redirects from https to an unprotected address" in report.left[0]
    assert server.requests and not plain.requests
    # Neither for a mirror; and one that is down is not asked in another way.
    with pytest.raises(UsageError, match=r"the mirror http://127.* must be https, as url is"):
        one(tmp_path, server.url, mirrors=[f"{plain.url}/a.bin"]).actions()
    report = one(tmp_path, plain.url.replace("http:", "https:")).run(attempts=1)
    assert "no secure connection" in report.left[0] and not plain.requests


@pytest.mark.parametrize("kind", ["basic", "mpi"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_password_does_not_go_to_another_host(tmp_path, serve, monkeypatch, kind, status):
    monkeypatch.setenv("POSEPILE_Y_USER", "me")
    monkeypatch.setenv("POSEPILE_Y_PASSWORD", "pa-ss")
    other = serve(honest(DATA), host="127.0.0.2")
    asked = serve(to(f"{other.url}/b", status))
    case = one(tmp_path, asked.url, login={"kind": kind, "service": "y"})
    assert case.run().ok
    assert asked.requests[0].header("Authorization" if kind == "basic" else "Content-Type")
    sent = other.requests[0].text
    assert sent.startswith("GET /b ") and "Authorization" not in sent and "pa-ss" not in sent


def test_password_of_one_host_is_not_for_mirrors(tmp_path):
    login = {"kind": "basic", "service": "y"}
    case = one(tmp_path, "https://a.org", mirrors=["https://b.org/a.bin"], login=login)
    with pytest.raises(UsageError, match="password for a.org is not sent to b.org"):
        load_sources(case.path)


# ---------------------------------------------------------------- any answer


WORDS = (
    *(b"Content-Length: ", b"Content-Range: bytes ", b"Transfer-Encoding: chunked", b"ETag: "),
    *(
        b"Location: ",
        b"http://[::1",
        b"//127.0.0.1:1/",
        b"Content-Encoding: gzip",
        b"Retry-After: ",
    ),
    *(b"HTTP/1.1 206 OK", b"HTTP/1.1 100 C", b"HTTP/9 302 F", b"\r\n", b"\r\n\r\n", b" ", b"-1"),
    *(b"9" * 30, b"\xb2", b"\x00", b"\x1b[2J", b"\r\n folded", b"300000", b"0\r\n\r\n", b"<html>"),
)


def test_random_answers_are_one_line_or_the_file(tmp_path, serve):
    """Answers with pieces put in, taken out and exchanged."""
    random = Random(7)
    server = serve(None)
    case = one(tmp_path, server.url, sha256=SHA)
    for _ in range(250):
        head = bytearray(
            random.choice(WORDS[9:12]) if random.random() < 0.4 else b"HTTP/1.1 200 OK"
        )
        head += b"\r\nContent-Length: 300000\r\nContent-Range: bytes 0-299999/300000\r\n\r\n"
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(head))
            head[at : at + random.randint(0, 8)] = random.choice(WORDS)
        server.answers = [lambda r, head=head: r.send(bytes(head) + DATA)]
        report = case.run(attempts=1)
        if report.ok:
            assert (case.root / "a.bin").read_bytes() == DATA
            (case.root / "a.bin").unlink()
        else:
            assert len(report.left) == 1 and report.left[0].isprintable(), (report.left, head)
        assert {p.name for p in case.root.iterdir()} <= {
            ".posepile",
            "a.bin.part",
            "a.bin.part.json",
        }


# ---------------------------------------------------------------- too slow


def test_drips_time_out(tmp_path, serve, monkeypatch):
    """A thousand seconds pass with every piece that arrives."""
    monkeypatch.setattr(watched, "clock", itertools.count(0, 1000).__next__)
    monkeypatch.setattr(watched, "HEAD_SECONDS", float("inf"))
    head = f"{OK}Content-Length: {10**9}\r\n\r\n"
    case = one(tmp_path, serve(endless(head, b"x")).url)
    report = case.run(attempts=2)
    assert "at least 1024 a second are expected (2 attempts)" in report.left[0]


def test_a_head_that_drips_times_out(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(watched, "clock", itertools.count(0, 1000).__next__)
    report = one(tmp_path, serve(endless(OK, b"X")).url).run(attempts=2)
    assert "no whole answer after 1000 s (2 attempts)" in report.left[0]


def test_a_server_that_gives_a_byte_at_a_time_is_not_asked_for_ever(tmp_path, serve):
    def stingy(request):
        at = request.start or 0
        said = f"Content-Range: bytes {at}-{len(DATA) - 1}/{len(DATA)}"
        status = "200 OK" if request.start is None else "206 Partial"
        length = f"Content-Length: {len(DATA) - at}"
        request.send("\r\n".join([f"HTTP/1.1 {status}", said, length, "", ""]))
        request.send(DATA[at : at + 1])

    server = serve(stingy)
    report = one(tmp_path, server.url).run(attempts=4)
    assert "ended after 4 of 300000 bytes (4 attempts)" in report.left[0]
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("²", None),
        ("1e99", None),
        ("-3", None),
        ("9" * 18, 300),
        ("9" * 5000, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 99 Xyz 2026", None),
        (None, None),
    ],
)
def test_odd_requests_to_wait(said, seconds):
    assert asked_to_wait(said) == seconds


def test_the_lock_says_what_was_fetched(tmp_path, serve):
    case = one(tmp_path, serve(honest(DATA)).url)
    assert case.run().ok
    assert read_lock(case.root)["a.bin"]["sha256"] == SHA
    assert os.stat(case.root / "a.bin").st_size == len(DATA)
