"""What the viewer's server makes of bytes that no browser of its own page sends."""

import re
import socket

import pytest
import viewer_kit as kit
from viewer_kit import request


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("viewer_guards")


@pytest.fixture(autouse=True)
def _below(root, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(root))


@pytest.fixture(scope="module")
def server(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        with kit.serving(kit.make_dataset(root, 4), root / "toy_exclusions.txt") as made:
            yield made


def answers(server, data):
    """Everything that is answered to some bytes, after which nothing is sent any more."""
    with socket.create_connection(server.server_address[:2], timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while True:
            try:
                more = connection.recv(65536)
            except ConnectionResetError:
                return found
            if not more:
                return found
            found += more


INNER = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(INNER)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /x HTTP/1.1\r\nHost: evil.test:80\r\n" + LENGTH,
        b"GET / HTTP/1.1\r\nHost: evil.test:80\r\n" + LENGTH,
        b"GET /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\n" + LENGTH,
        b"HEAD /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\n" + LENGTH,
        b"PUT /api/mark HTTP/1.1\r\nHost: 127.0.0.1\r\n" + LENGTH,
        b"POST /api/mark HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.test\r\n" + LENGTH,
        b"POST /api/mark HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 70000\r\n",
        b"POST /api/mark HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n" + LENGTH,
        b"POST /api/mark HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n" + LENGTH,
        b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + LENGTH,
    ],
)
def test_content_is_never_taken_for_the_next_request(server, head):
    """Else a page of another host, whose name leads here, would ask under ours."""
    found = answers(server, head + b"\r\n" + INNER)
    assert found.count(b"HTTP/1.1 ") == 1 and server.token.encode() not in found
    assert b"\r\nConnection: close\r\n" in found


def test_what_is_asked_rightly_keeps_its_connection(server):
    found = answers(server, INNER + b"GET /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert found.count(b"HTTP/1.1 200 ") == 2 and b"Connection: close" not in found


def test_one_host_is_asked(server):
    for hosts in ([b"127.0.0.1", b"evil.test"], [b"evil.test", b"127.0.0.1"], []):
        lines = b"".join(b"Host: %s\r\n" % host for host in hosts)
        found = answers(server, b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
        assert re.match(rb"HTTP/1.1 40[03] ", found) and server.token.encode() not in found


@pytest.mark.parametrize(
    "line, status",
    [
        (b"GET http://[ HTTP/1.1", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", 414),
        (b"BREW / HTTP/1.1", 501),
    ],
)
def test_what_cannot_be_answered_is_refused_under_the_same_policy(server, line, status):
    found = answers(server, line + b"\r\nHost: 127.0.0.1\r\n\r\n")
    head, _, said = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"default-src 'none'" in head and b"nosniff" in head
    assert b"application/json" in head and said.startswith(b'{"error": ')


def test_pages_can_be_asked_for_again_after_a_refusal(server):
    assert request(server, "GET", "/", Host="evil.test")[0] == 403
    assert request(server, "GET", "/")[0] == 200


def test_an_archive_that_was_packed_again_is_said_by_every_answer(tmp_path, monkeypatch):
    """Rows of another archive must not be shown as those that were counted."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    asked = ("page", "facets", "quality", "example?rank=0", "together?position=0")
    paths = [*(f"/api/{what}" for what in asked), "/image/train/1", "/thumb/train/1"]
    dataset, known = kit.make_dataset(tmp_path, 4), kit.Known({})
    with kit.serving(dataset, tmp_path / "x.txt", quality=known) as server:
        for again in (4, 4, 5):  # the same content first: nothing has changed for anybody
            for path in paths:
                assert request(server, "GET", path)[0] == 200, path
            (tmp_path / "toy.barecat-sqlite-index").unlink(missing_ok=True)
            kit.make_dataset(tmp_path, again)
        body = b'{"path": "toy_downscaled/s0/0001.jpg", "on": true}'
        found = [request(server, "GET", path) for path in paths]
        found.append(request(server, "POST", "/api/mark", body, X_Token=server.token))
        assert [status for status, _, _ in found] == [409] * len(found)
        assert all(b"start the viewer again" in data for _, _, data in found)
    assert not (tmp_path / "x.txt").exists()
