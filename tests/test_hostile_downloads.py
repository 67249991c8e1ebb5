"""Servers that misbehave: refused in one line, nothing lost, nothing outside the folder."""

import dataclasses
import gzip
import re
from collections.abc import Callable

import pytest
from hostile_servers import (
    CHUNKED,
    DATA,
    HALF,
    OK,
    begin,
    endless,
    everything,
    honest,
    page,
    piece,
    reset_after,
    says,
    to,
)
from web_kit import Case, make_zip

from posepile.acquire.beginnings import format_fault, page_instead

pytestmark = pytest.mark.usefixtures("no_accounts")

LOGIN = b"\xef\xbb\xbf\n<!-- x --><!DOCTYPE html><html><body>Log in, please</body></html>"
QUOTA = b"<html><head><title>Google Drive - Can't scan this file for viruses</title></head></html>"
S3 = b"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>AccessDenied</Code></Error>"
JSON = b'{"error": {"code": 404, "message": "Not Found"}}'
NO_SENSE = r"its answer makes no sense: "


@dataclasses.dataclass
class Row:
    """A way to misbehave.

    Attributes:
        answer: What the server does, whatever it is asked.
        said: What is said of it.
        name: Of the file.
        with_part: Where nothing is here of the file (False), much of it (True), or either.
        facts: What is known of it.
    """

    answer: Callable
    said: str
    name: str = "a.bin"
    with_part: bool | None = None
    facts: dict = dataclasses.field(default_factory=dict)


ROWS = {
    "endless, no length": Row(
        endless(OK + "\r\n", DATA), "sends more than 600000 bytes: it has no"
    ),
    "endless in chunks": Row(
        endless(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"), "sends more than 600000 bytes"
    ),
    "longer than published": Row(
        endless(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"),
        "sends more than 300000 bytes: it is larger",
        facts={"bytes": len(DATA)},
    ),
    "declares another size": Row(
        lambda r: r.reply(200, DATA + b"x"),
        "has 300001 bytes instead of 300000",
        facts={"bytes": len(DATA)},
    ),
    "declares more than the disk holds": Row(
        lambda r: r.send(OK + f"Content-Length: {10**17}\r\n\r\n"), "100000.0 TB are to be fetched"
    ),
    "cut off, no length": Row(
        lambda r: r.reply(200, DATA[:1000], length=False), "does not say where the file ends"
    ),
    "always shorter": Row(
        says(f"Content-Length: {len(DATA) + 7}"), "ended after 300000 of 300007"
    ),
    "login page": Row(page(LOGIN), "answers with an HTML page instead of a.bin"),
    "login page for a table": Row(page(LOGIN), "an HTML page instead of a.csv", "a.csv"),
    "login page for JSON": Row(page(LOGIN), "an HTML page instead of a.json", "a.json"),
    "login page for text": Row(page(LOGIN), "an HTML page instead of a.txt", "a.txt"),
    "page in UTF-16": Row(page(LOGIN[3:].decode().encode("utf-16")), "an HTML page", "a.txt"),
    "page in place of checksums": Row(page(QUOTA), "HTML page instead of a.sha256", "a.sha256"),
    "quota page for weights": Row(page(QUOTA), "an HTML page instead of a.pth", "a.pth"),
    "quota page for an archive": Row(page(QUOTA), "an HTML page instead of a.zip", "a.zip"),
    "quota page for a video": Row(page(QUOTA, "video/mp4"), "an HTML page instead", "a.mp4"),
    "page packed in gzip": Row(
        page(gzip.compress(LOGIN), "text/html", "Content-Encoding: gzip"),
        "an HTML page in gzip instead of a.tar.gz",
        "a.tar.gz",
    ),
    "packed once more": Row(
        page(gzip.compress(bytes(10**7)), "text/csv", "Content-Encoding: gzip"),
        "packed once more",
        "a.csv",
    ),
    "error of S3": Row(page(S3), "an XML error instead of a.csv", "a.csv"),
    "error of S3 for XML": Row(page(S3, "application/xml"), "an XML error", "a.xml"),
    "error in JSON": Row(page(JSON), "a JSON error instead of a.bin"),
    "error in JSON for JSON": Row(page(JSON), "a JSON error instead of a.json", "a.json"),
    "error in JSON for a table": Row(page(JSON), "a JSON error", "a.csv"),
    "error in words": Row(page(b"Access denied\n"), "an error message .Access denied", "a.txt"),
    "pointer of Git LFS": Row(
        page(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "Git LFS", "a.npy"
    ),
    "text for a video": Row(page(b"Sorry.\n"), "no .mp4 file: it begins with b'Sorry", "a.mp4"),
    "length in superscript": Row(says("Content-Length: \xb2"), NO_SENSE + "Content-Length is '²'"),
    "length below zero": Row(says("Content-Length: -5"), NO_SENSE + "Content-Length is '-5'"),
    "length as a float": Row(says("Content-Length: 1e9"), NO_SENSE + "Content-Length is '1e9'"),
    "length of 5000 digits": Row(says("Content-Length: " + "9" * 5000), NO_SENSE + "Content-Len"),
    "two lengths": Row(says("Content-Length: 300000", "Content-Length: 9"), NO_SENSE),
    "unknown framing": Row(
        says("Transfer-Encoding: gzip, chunked"), NO_SENSE + "Transfer-Encoding is 'gzip, chunked'"
    ),
    "range in superscript": Row(piece("²", 9, 10), NO_SENSE + "Content-Range", with_part=True),
    "range missing": Row(lambda r: r.reply(206, DATA), NO_SENSE + "Content-Range is missing"),
    "range upside down": Row(piece(HALF, 5, 10), NO_SENSE + "Content-Range", with_part=True),
    "range of another length": Row(
        piece(HALF, HALF + 9, len(DATA)), "contradicts itself: 180000 bytes", with_part=True
    ),
    "range that begins elsewhere": Row(
        piece(HALF + 1, len(DATA) - 1, len(DATA), body=DATA[HALF + 1 :]),
        "sends the file from byte 120001 on instead of byte",
    ),
    "range of a larger file": Row(
        piece(HALF, len(DATA) - 1, 10**9), "byte 120000 on instead of byte 0", with_part=True
    ),
    "range where none was asked": Row(
        piece(HALF, len(DATA) - 1, len(DATA)), "instead of byte 0", with_part=False
    ),
    "nothing beyond, which is a lie": Row(
        lambda r: r.reply(416, b"", "Content-Range: bytes */7"), "answers 416"
    ),
    "redirect to a file": Row(to("file:///etc/passwd"), "redirects out of the web, to file:"),
    "redirect to ftp": Row(to("ftp://example.org/a.bin"), "redirects out of the web, to ftp:"),
    "redirect to nowhere": Row(to("http://[/a"), "redirects to what is no address"),
    "redirect in a loop": Row(to("/a.bin"), "redirects more than 10 times"),
    "reset in the middle": Row(reset_after(100), "reset|connection"),
    "chunks below zero": Row(
        lambda r: r.send(CHUNKED.encode() + b"-5\r\n" + DATA), "no connection|makes no sense"
    ),
    "chunks that are none": Row(lambda r: r.send(CHUNKED.encode() + DATA), "no connection"),
    "trailers without end": Row(
        endless(CHUNKED + "5\r\nabcde\r\n0\r\n", b"X: y\r\n" * 999), NO_SENSE + "has no end"
    ),
    "head of 10 MB": Row(
        lambda r: r.send(OK + "X: " + "y" * 10**7 + "\r\n\r\n"), NO_SENSE + "got more than 65536"
    ),
    "head without end": Row(
        endless(OK, b"X: " + b"y" * 5000 + b"\r\n"), NO_SENSE + "its head has more than 131072"
    ),
    "announcements without end": Row(
        endless("HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 99),
        NO_SENSE + "its head has more than",
    ),
    "no HTTP": Row(lambda r: r.send(b"\x15\x03\x01\x00\x02\x02\x28"), "no connection"),
    "silent": Row(lambda r: None, "no connection"),
    "waits without sense": Row(
        lambda r: r.reply(503, b"", "Retry-After: 1e99"), r"answers 503 Whatever \(2 attempts\)"
    ),
    "escapes in its words": Row(
        lambda r: r.send("HTTP/1.1 404 \x1b[31mNo\x07\r\n\r\n"), r"answers 404 \\x1b\[31mNo\\x07"
    ),
}
CASES = [
    pytest.param(row, part, id=f"{name}{', going on' * part}")
    for name, row in ROWS.items()
    for part in (False, True)
    # The beginning that is here is of a.bin.
    if row.with_part in (None, part) and not (part and row.name != "a.bin")
]


@pytest.mark.parametrize(("row", "part"), CASES)
def test_misbehaving_server(tmp_path, serve, row, part, capfd):
    server = serve(row.answer)
    facts = row.facts or {"approx_bytes": len(DATA)}
    source = {"name": "a", "url": f"{server.url}/a", "to": row.name, **facts}
    (tmp_path / "in").mkdir()
    case = Case(tmp_path / "in", source)
    (case.root / "whole.bin").parent.mkdir()
    (case.root / "whole.bin").write_bytes(b"whole")
    if part:
        begin(case, server)
    outside = everything(tmp_path)
    server.answers = [row.answer]
    case.lines.clear()
    report = case.run(attempts=2)
    assert not report.ok and len(report.left) == 1
    assert re.search(row.said, report.left[0]), report.left[0]
    assert all("\n" not in line and line.isprintable() for line in case.lines)
    assert "Traceback" not in "".join(capfd.readouterr())
    # Nothing is lost or left elsewhere, and what is here of the file is its beginning.
    assert (
        not (case.root / row.name).exists() and (case.root / "whole.bin").read_bytes() == b"whole"
    )
    own = {f"in/raw/{row.name}.part", f"in/raw/{row.name}.part.json"}
    state = {"in/raw/.posepile/download.lock"}
    assert everything(tmp_path) - outside <= own | state
    here = case.root / f"{row.name}.part"
    begun = here.read_bytes() if here.exists() else b""
    assert DATA.startswith(begun)
    assert len(begun) >= HALF * part
    # And the next run goes on, or begins again, to the right end.
    if row.name == "a.bin":
        server.answers = [honest(DATA)]
        assert case.run().ok and (case.root / row.name).read_bytes() == DATA
        assert not everything(case.root) & {"a.bin.part", "a.bin.part.kept", "a.bin.part.json"}
        if part:
            assert any(r.start is not None for r in server.requests[-2:])


def test_the_table_is_long_enough():
    assert len(ROWS) >= 12


# ---------------------------------------------------------------- data is not taken for a page


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.bin", b"<" + bytes(100)),
        ("a.bin", b""),
        ("a.json", b'{"images": [], "error": 1}'),
        ("a.json", b'\xef\xbb\xbf[{"message": "a"}]'),
        ("a.json", b'{"code": 3, "type": "lens"}'),
        ("a.csv", b"error,x\n1,2\n" + b"3,4\n" * 9),
        ("a.csv", "Zürich,1\n".encode("utf-16")),
        ("a.txt", b"404 frames are in this recording\n" * 20),
        ("a.xml", b"<?xml version='1.0'?><calibration/>"),
        ("a.html", LOGIN),
        ("a.mvnx", b"<?xml version='1.0'?><mvnx/>"),
        ("a.zip", make_zip({"index.html": LOGIN})),
        ("a.tar.gz", gzip.compress(b"x" * 512, mtime=0)),
        ("a.mp4", b"\0\0\0\x18ftypisom"),
        ("a.mp4", b"\x1a\x45\xdf\xa3"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n"),
        ("a.mat", b"MATLAB 5.0 MAT-file"),
        ("a.tar", bytes(10240)),
    ],
)
def test_data_is_taken(name, content):
    assert page_instead(name, content, whole=True) is None
    assert format_fault(name, content) is None
