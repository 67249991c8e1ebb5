"""The table of archives that misbehave: name, what makes them, what must happen."""

import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from archive_kinds_kit import seven_zip_bytes, tar_bytes, zip_bytes
from hostile_kit import Zip, entry, lying_seven_zip, overlapping_zip, plain_seven_zip, tar

CASES = Path(__file__).parent / "cases"
BIG = bytes(20_000_000)
LNK, SYM, DIR = tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
FILE, LINK, SOCKET, PIPE, DEVICE = 0o100000, 0o120777, 0o140755, 0o010644, 0o020666
LIMIT = {"max_bytes": 30_000_000}


@dataclass(frozen=True)
class Row:
    """One archive, in one file or several.

    Attributes:
        name: Of the row.
        make: Gives the files by name.
        told: What the one line says; empty where it is to be extracted.
        tree: What comes out.
        extract: What sources.yaml says of it.
    """

    name: str
    make: Callable[[], dict[str, bytes]]
    told: str = ""
    tree: dict = field(default_factory=dict)
    extract: dict = field(default_factory=dict)


def refused(name, file, make, told, **extract):
    return Row(name, lambda: {file: make()}, told, {}, extract)


def extracted(name, file, make, tree, **extract):
    return Row(name, lambda: {file: make()}, "", tree, extract)


def zipped(name, content=b"x", **more):
    """Returns a zip of one member."""
    return Zip().add(name, content, **more).bytes()


# ---------------------------------------------------------------- too much


def links(kind, target=lambda i: "m"):
    return [entry(f"l{i}", kind=kind, link=target(i)) for i in range(100)]


def chain(i):
    return f"l{i + 1}" if i < 99 else "m"


def links_in_zip():
    z = Zip().add("m", BIG)
    for i in range(100):
        z.add(f"l{i}", b"m", method=0, mode=LINK)
    return z.bytes()


def within_another():
    inner = Zip().add("b", b"inner")
    z = Zip().add("a", inner.body, method=0)
    says = {"crc": zlib.crc32(b"inner"), "packed": len(inner.body) - 31, "size": 5}
    return z.add("b", method=8, at=31, listed=says).bytes()


def lying(**says):
    """Returns a zip whose two headers of one member say the same untruth."""
    return zipped("a", b"x" * 5000, local=says, listed=says)


def zip64(size, packed, offset=0):
    extra = struct.pack("<HHQQQ", 1, 24, size, packed, offset)
    more = {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": extra}
    z = Zip().add("a", b"x")
    return Zip().add("b").add("a", at=len(z.body), listed=more).bytes()


def sparse(size):
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a"}
    pax |= {"GNU.sparse.realsize": str(size)}
    return tar(entry("GNUSparseFile.0/a", b"1\n0\n1\n".ljust(512, b"\0") + b"x", pax=pax))


def long_header(kind):
    return tar(entry("././@LongLink", b"x" * 10**8, kind), entry("a"), kind="tar.gz")


def many_headers():
    return tar(*[entry("p", b"9 a=bcde\n", b"x")] * 5000, entry("a"), kind="tar.gz")


TOO_MUCH = [
    refused(
        f"100 {what} to one member",
        "a.tar.gz",
        lambda e=e: tar(*e(), kind="tar.gz"),
        "max_bytes",
        **LIMIT,
    )
    for what, e in {
        "hard links": lambda: [entry("m", BIG), *links(LNK)],
        "symbolic links": lambda: [*links(SYM), entry("m", BIG)],
        "links in a row": lambda: [*links(SYM, chain), entry("m", BIG)],
    }.items()
] + [
    refused("100 links in a zip", "a.zip", links_in_zip, "max_bytes", **LIMIT),
    refused("listed 300 times", "a.zip", lambda: overlapping_zip(300, 10**6), "overlap"),
    refused("within another", "a.zip", within_another, "overlap"),
    refused(
        "more than announced",
        "a.zip",
        lambda: lying(size=1000, crc=zlib.crc32(b"x" * 1000)),
        "announced 1000 bytes|CRC",
    ),
    refused("less than announced", "a.zip", lambda: lying(size=6000), "announced|damaged"),
    refused(
        "5,000 empty members",
        "a.tar.gz",
        lambda: tar(*[entry(f"d/{i}") for i in range(5000)], kind="tar.gz"),
        "max_bytes",
        max_bytes=10**6,
    ),
    refused("8 EiB", "a.tar", lambda: tar(entry("a", size=2**63)), "max_bytes"),
    refused("-512 bytes", "a.tar", lambda: tar(entry("a", size=-512)), "damaged"),
    refused("sparse 8 EiB", "a.tar", lambda: sparse(2**63 - 1), "max_bytes"),
    refused("name of 100 MB", "a.tar.gz", lambda: long_header(b"L"), r"header of 100000\d+ "),
    refused("header of 100 MB", "a.tar.gz", lambda: long_header(b"x"), r"header of 100000\d+ "),
    refused("5,000 headers in a row", "a.tar.gz", many_headers, "headers in a row"),
    refused("zip64 size 2^62", "a.zip", lambda: zip64(2**62, 3), "max_bytes"),
    refused("zip64 packed 2^62", "a.zip", lambda: zip64(3, 2**62), "overlap|damaged"),
    refused("zip64 offset 2^62", "a.zip", lambda: zip64(3, 3, 2**62), "overlap|damaged"),
]

# ---------------------------------------------------------------- names

AWAY = {
    "absolute": "/tmp/out.txt",
    "up": "../out.txt",
    "up later": "a/../../out.txt",
    "drive letter": "C:/out.txt",
    "drive without root": "c:out.txt",
    "nul": "a\0b",
}
AWAY_BACK = {
    "network": "\\\\server\\share\\out",
    "up back": "..\\..\\out",
    "mixed": "a\\../..\\out",
}
STRANGE = {
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "bell in C1": "a\x9bb",
    "right to left": "a\u202egpj.exe",
    "256 bytes": "x" * 256,
    "128 times two bytes": "é" * 128,
    "5,000 bytes in all": "/".join(["x" * 99] * 50),
}
FINE = {
    "CON": b"1",
    "aux.txt": b"2",
    "dots.../trailing.": b"3",
    " blanks ": b"4",
    "ab:c": b"5",
    "x" * 255: b"6",
    "ünïcode/名前": b"7",
    "-rf": b"8",
    "~root": b"9",
    "$(touch x)": b"10",
}
NFC, NFD = (unicodedata.normalize(n, "é.txt") for n in ("NFC", "NFD"))
ALIKE = {NFC: b"1", NFD: b"2", "A.txt": b"3", "a.txt": b"4"}


def seven_zip_named(name):
    place = "p" * len(name)
    whole = plain_seven_zip({place: b"evil"})
    return lying_seven_zip(whole, place.encode("utf-16-le"), name.encode("utf-16-le"))


NAMES = [
    *(
        refused(f"{k}, tar", "a.tar", lambda v=v: tar(entry("a", pax={"path": v})), "unsafe")
        for k, v in (AWAY | STRANGE).items()
    ),
    *(
        refused(f"{k}, zip", "a.zip", lambda v=v: zipped(v), "unsafe|damaged")
        for k, v in (AWAY | AWAY_BACK | STRANGE).items()
        if k != "nul"
    ),
    *(
        refused(f"{k}, 7z", "a.7z", lambda v=v: seven_zip_named(v), "unsafe|damaged")
        for k, v in (AWAY | AWAY_BACK | STRANGE).items()
        if k != "nul"
    ),
    *(
        extracted(f"names that are fine, {form}", f"a.{form}", make, FINE)
        for form, make in (
            ("tar", lambda: tar_bytes(FINE, "w")),
            ("zip", lambda: zip_bytes(FINE)),
            ("7z", lambda: seven_zip_bytes(FINE)),
        )
    ),
    extracted("alike but for case and accents, tar", "a.tar", lambda: tar_bytes(ALIKE), ALIKE),
    extracted("alike but for case and accents, zip", "a.zip", lambda: zip_bytes(ALIKE), ALIKE),
    refused("undecodable, tar", "a.tar", lambda: tar(entry("a\udcff")), "unsafe"),
    refused(
        "undecodable, zip",
        "a.zip",
        lambda: zipped(b"a\xff", local={"flags": 0x800}, listed={"flags": 0x800}),
        "damaged",
    ),
    refused(
        "half a character, 7z",
        "a.7z",
        lambda: lying_seven_zip(plain_seven_zip({"pp": b"x"}), b"p\0p\0", b"p\0\x00\xd8"),
        "unsafe|damaged",
    ),
    refused("our records", "a.tar", lambda: tar(entry(".posepile/x")), "records", to="."),
    refused("our records in capitals", "a.tar", lambda: tar(entry(".PosePile/x")), "re", to="."),
    refused(
        "the archive itself", "a.tar", lambda: tar(entry("2/a.tar", b"evil")), "itself", to="."
    ),
    refused("another archive", "a.tar", lambda: tar(entry("1/good.zip")), "1/good.zip", to="."),
    refused("another's file", "a.zip", lambda: zipped("splits.csv", b"evil"), "splits.csv"),
    refused(
        "a folder in place of another's file", "a.zip", lambda: zipped("splits.csv/x"), "place of"
    ),
    refused("a file in place of another's folder", "a.zip", lambda: zipped("videos"), "place of"),
    extracted(
        "another's file once more", "a.zip", lambda: zipped("splits.csv", b"a,1,train\n"), {}
    ),
    extracted(
        "slashes and backslashes",
        "mixed.zip",
        (CASES / "mixed.zip").read_bytes,
        {f"GeneBody/amanda/{n}": b"data" for n in ("image/00/0001.jpg", "annots.npy")},
    ),
    extracted(
        "what macOS adds",
        "mac2.tar.gz",
        (CASES / "mac2.tar.gz").read_bytes,
        {"test/a.csv": b"data"},
        strip_prefix="ASPset-510",
    ),
    extracted(
        "the icon of a folder of macOS",
        "a.tar",
        lambda: tar(entry("Icon\r"), entry("__MACOSX/._a"), entry("a")),
        {"a": b""},
    ),
]

# ---------------------------------------------------------------- kinds of members


KINDS = [
    *(
        refused(name, "a.tar", lambda e=e: tar(*e), "unsafe")
        for name, e in {
            "through a link": [entry("x", kind=SYM, link="../.."), entry("x/evil")],
            "through an absolute link": [entry("x", kind=SYM, link="/tmp"), entry("x/evil")],
            "a hard link outside": [entry("x", kind=LNK, link="../../1/good.zip")],
            "an absolute hard link": [entry("x", kind=LNK, link="/etc/passwd")],
            "a device": [entry("x", kind=tarfile.CHRTYPE)],
            "a disk": [entry("x", kind=tarfile.BLKTYPE)],
            "a pipe": [entry("x", kind=tarfile.FIFOTYPE)],
            "an unknown kind": [entry("x", kind=b"Z")],
        }.items()
    ),
    refused("a nul in a link", "a.zip", lambda: zipped("a", b"b\0c", mode=LINK), "unsafe"),
    refused("a link outside, zip", "a.zip", lambda: zipped("a", b"../../x", mode=LINK), "unsafe"),
    refused(
        "not UTF-8 in a link", "a.zip", lambda: zipped("a", b"\xff", mode=LINK), "damaged|unsafe"
    ),
    refused("a socket", "a.zip", lambda: zipped("a", mode=SOCKET), "unsafe"),
    refused("a pipe, zip", "a.zip", lambda: zipped("a", mode=PIPE), "unsafe"),
    refused("a device, zip", "a.zip", lambda: zipped("a", mode=DEVICE), "unsafe"),
    extracted(
        "links in a circle and in a row",
        "a.tar",
        lambda: tar(
            entry("a", kind=SYM, link="b"),
            entry("b", kind=SYM, link="d/../c"),
            entry("c", b"content"),
            entry("o", kind=SYM, link="p"),
            entry("p", kind=SYM, link="o"),
        ),
        {"a": b"content", "b": b"content", "c": b"content"},
    ),
    refused(
        "a link that becomes a folder",
        "a.tar",
        lambda: tar(entry("f", b"1"), entry("x", kind=SYM, link="f"), entry("x/y", b"2")),
        "both",
    ),
    extracted(
        "modes",
        "a.tar",
        lambda: tar(
            entry("d", kind=DIR, mode=0), entry("d/suid", mode=0o6755), entry("none", mode=0)
        ),
        {"d/suid": b"", "none": b""},
    ),
    extracted(
        "modes, zip",
        "a.zip",
        lambda: Zip().add("suid", mode=FILE | 0o6755).add("none", mode=FILE).bytes(),
        {"suid": b"", "none": b""},
    ),
]

# ---------------------------------------------------------------- twice

OLD, NEW = b"first", b"later"  # of one size


def zip_in_order(names):
    z = Zip()
    for name in names:
        z.add(name)
    return z.bytes()


def twice_backwards():
    second = Zip().add("a", NEW)
    z = Zip().add("a", OLD)
    first, z.directory, at = z.directory, b"", len(z.body)
    z.body += second.body
    says = {"crc": zlib.crc32(NEW), "packed": len(second.body) - 31, "size": 5}
    z.add("a", at=at, listed=says)
    z.directory += first
    z.count = 2
    return z.bytes()


TWICE = [
    extracted("twice, tar", "a.tar", lambda: tar(entry("a", OLD), entry("./a", NEW)), {"a": NEW}),
    extracted(
        "twice, zip", "a.zip", lambda: Zip().add("a", OLD).add("./a", NEW).bytes(), {"a": NEW}
    ),
    refused("twice, 7z", "a.7z", lambda: plain_seven_zip({"a": OLD, "./a": NEW}), "twice"),
    refused("twice in another order", "a.zip", twice_backwards, "twice"),
    extracted(
        "shorter the second time",
        "a.tar",
        lambda: tar(entry("a", OLD), entry("a", b"")),
        {"a": b""},
    ),
    extracted(
        "a file, then a link",
        "a.tar",
        lambda: tar(entry("a", OLD), entry("b", NEW), entry("a", kind=LNK, link="b")),
        {"a": NEW, "b": NEW},
    ),
    extracted(
        "a link, then a file",
        "a.tar",
        lambda: tar(entry("b", OLD), entry("a", kind=SYM, link="b"), entry("a", NEW)),
        {"a": NEW, "b": OLD},
    ),
    extracted(
        "a hard link to itself",
        "a.tar",
        lambda: tar(entry("a", OLD), entry("a", kind=LNK, link="a")),
        {"a": OLD},
    ),
    refused(
        "a hard link to what changes later",
        "a.tar",
        lambda: tar(entry("a", OLD), entry("b", kind=LNK, link="a"), entry("a", NEW)),
        "twice",
    ),
    *(
        refused(f"{name}, {form}", f"a.{form}", lambda e=e, m=m: m(e), "both a file and a folder")
        for name, e in {
            "a file, then a folder": ["a", "a/"],
            "a folder, then a file": ["a/", "a"],
            "a file, then one in it": ["a", "a/b"],
            "one in it, then a file": ["a/b", "a"],
        }.items()
        for form, m in {
            "tar": lambda names: tar(
                *(entry(n.rstrip("/"), kind=DIR if n[-1] == "/" else b"0") for n in names)
            ),
            "zip": zip_in_order,
        }.items()
    ),
]

ROWS = [*TOO_MUCH, *NAMES, *KINDS, *TWICE]
