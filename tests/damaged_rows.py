"""More of the table: archives that contradict themselves, of other kinds, or in pieces."""

import bz2
import gzip
import lzma
import re
import subprocess
import tempfile
from pathlib import Path

from archive_kinds_kit import aes_zip_bytes, seven_zip_bytes, split_zip, tar_bytes, zip_bytes
from hostile_kit import END_OF_TAR, Zip, end_record, entry, overlapping_zip, tar, with_size
from hostile_rows import CASES, Row, extracted, refused, zipped

GOOD = {"a/1.txt": b"one", "a/2.txt": bytes(range(256)) * 40}
ZIP, SEVEN = zip_bytes(GOOD), seven_zip_bytes(GOOD)
TAR = tar_bytes(GOOD, "w")[: 3 * 512 + 40 * 256 + 2 * 512]  # without filling up
X = {"x": b"x" * 99}
# Of many small members, whose headers have checksums; what is in them has none in a tar.
MANY = {f"{i}": bytes([i]) * 300 for i in range(20)}
MANY_TAR = tar_bytes(MANY, "w")[: 20 * 1024 + 1024]

# ---------------------------------------------------------------- tars


def bad_checksum():
    first = entry("a", b"1")
    second = bytearray(entry("b", b"2"))
    second[148:154] = b"000000"
    return tar(first, bytes(second), entry("c", b"3"))


def sparse_by_gnu_tar(how):
    """Returns a tar with a file that has holes, written by GNU tar itself."""
    with tempfile.TemporaryDirectory() as folder:
        with open(Path(folder) / "s", "wb") as f:
            f.write(b"start")
            f.seek(300_000)
            f.write(b"end")
        form, *version = how.split()
        command = ["tar", "-C", folder, f"--format={form}", "-S", "-c", "s"]
        command += [f"--sparse-version={v}" for v in version]
        return subprocess.run(command, check=True, capture_output=True, timeout=20).stdout


def old_tar(member):
    """Returns a tar as before there were extensions."""
    head = member[:257] + bytes(255)
    return tar(with_size(head, int(head[124:135], 8)) + member[512:])


HOLES = {"s": b"start" + bytes(299_995) + b"end"}
TARS = [
    refused("joined tars", "cat.tar", (CASES / "cat.tar").read_bytes, "several tars joined"),
    refused("joined tar.gz", "a.tar.gz", lambda: gzip.compress(TAR) * 2, "several tars joined"),
    extracted(
        "one tar in several gzip members",
        "a.tar.gz",
        lambda: gzip.compress(TAR[:700]) + gzip.compress(TAR[700:]),
        GOOD,
    ),
    extracted(
        "one tar in several xz streams",
        "a.tar.xz",
        lambda: lzma.compress(TAR[:700]) + lzma.compress(TAR[700:]),
        GOOD,
    ),
    extracted("zeros after gzip", "a.tgz", lambda: gzip.compress(TAR) + bytes(99), GOOD),
    refused("rubbish after gzip", "a.tgz", lambda: gzip.compress(TAR) + b"rubbish", "damaged"),
    refused("rubbish after bz2", "a.tbz", lambda: bz2.compress(TAR) + b"rubbish", "damaged"),
    refused("rubbish after xz", "a.txz", lambda: lzma.compress(TAR) + b"rubbish", "damaged"),
    refused("rubbish after tar", "a.tar", lambda: TAR + b"rubbish", "end mark"),
    refused("a wrong checksum in the middle", "a.tar", bad_checksum, "damaged"),
    refused(
        "zeros in the middle", "a.tar", lambda: tar(entry("a"), END_OF_TAR, entry("b")), "end"
    ),
    refused(
        "a gzip of something else", "a.gz", lambda: gzip.compress(b"text" * 500), "damaged|no tar"
    ),
    refused("no member at all", "a.tar", lambda: END_OF_TAR * 10, "zeros alone"),
    *(
        extracted(f"holes, {how}", "a.tar", lambda how=how: sparse_by_gnu_tar(how), HOLES)
        for how in ("gnu", "pax 0.0", "pax 0.1", "pax 1.0")
    ),
    extracted("without a mark at all", "a.tar", lambda: old_tar(entry("a", b"1")), {"a": b"1"}),
]

# ---------------------------------------------------------------- zips that contradict themselves


def comment_with_end(more=b""):
    """Returns a zip whose comment holds the directory of another one and an end record."""
    other = Zip().add("evil", b"evil")
    z = Zip().add("good", b"good")
    at = len(z.bytes())
    fake = other.body + other.directory
    fake += end_record(1, len(other.directory), len(other.body) + at, more)
    return z.bytes(comment=fake + b"end" * (not more))


ZIPS = [
    *(
        refused(f"two names of one {what}", "a.zip", lambda s=s: zipped("a", local=s), told)
        for what, s, told in (
            ("name", {"name": b"b"}, "differ|damaged"),
            ("size", {"size": 2}, "size"),
            ("packed size", {"packed": 2}, "size"),
            ("checksum", {"crc": 2}, "checksum"),
            ("method", {"method": 0}, "method"),
            ("encryption", {"flags": 1}, "encrypt"),
        )
    ),
    refused(
        "a wrong checksum",
        "a.zip",
        lambda: zipped("a", listed={"crc": 1}, local={"crc": 1}),
        "damaged",
    ),
    extracted("data before", "a.zip", lambda: b"PK00" + b"MZ" * 50 + zip_bytes(X), X),
    extracted("a program before", "a.exe.zip", lambda: b"MZ" * 50 + zip_bytes(X), X),
    extracted("data after", "a.zip", lambda: zip_bytes(X) + b"\0" * 50, X),
    extracted("a comment", "a.zip", lambda: Zip().add("x", X["x"]).bytes(comment=b"by me"), X),
    refused("joined zips", "a.zip", lambda: ZIP + zip_bytes(X), "joined"),
    refused("a comment with an end record", "a.zip", comment_with_end, "end record"),
    refused("two ends at the end", "a.zip", lambda: comment_with_end(b"more"), "end record"),
    extracted("a zip in a zip", "a.zip", lambda: zipped("a.zip", ZIP, method=0), {"a.zip": ZIP}),
    *(
        refused(f"end record: {k}={v}", "a.zip", lambda k=k, v=v: zip_with_end(**{k: v}), told)
        for k, v, told in (
            ("count", 0, "damaged|members"),
            ("count", 99, "damaged|members"),
            ("size", 2**31, "damaged"),
            ("size", 0, "damaged|members"),
            ("offset", 2**31, "damaged"),
            ("offset", 0, "damaged|joined|members"),
        )
    ),
    refused("a directory without its end", "a.zip", lambda: ZIP[:-22], "truncated"),
    refused(
        "deflate64",
        "a.zip",
        lambda: zipped("a", method=9),
        "deflate64.*by hand in an empty folder",
    ),
    refused("an unknown method", "a.zip", lambda: zipped("a", method=200), "200.*by hand"),
    refused("encrypted", "a.zip", lambda: aes_zip_bytes(X, "pass"), "needs a password"),
    refused("encrypted, 7z", "a.7z", lambda: seven_zip_bytes(X, "pass"), "needs a password"),
]


def zip_with_end(**says):
    return Zip().add("x").add("y").bytes(**says)


# ---------------------------------------------------------------- other kinds, pieces

# Other programs may follow ".." and links: what they make is looked at before it is moved.
IN_A_FOLDER = r"unpack it by hand in an empty folder \(.*\), then move"
TOLD = {
    "hdf5": "need not be unpacked; leave out extract",
    "cpio": r"by hand in an empty folder \(cpio -id --no-absolute-filenames\), then move",
}
OTHERS = [
    refused(
        f"{kind}",
        f"a.{kind}",
        lambda m=m: m + bytes(600),
        rf"{kind} .*{TOLD.get(kind, IN_A_FOLDER)}",
    )
    for kind, m in {
        "rar": b"Rar!\x1a\x07\x01\x00",
        "zst": b"\x28\xb5\x2f\xfd",
        "lz4": b"\x04\x22\x4d\x18",
        "lzip": b"LZIP\x01",
        "compress": b"\x1f\x9d\x90",
        "cab": b"MSCF",
        "cpio": b"070701",
        "ar": b"!<arch>\n",
        "xar": b"xar!",
        "lha": b"\x22\x4c-lh5-",
        "arj": b"\x60\xea",
        "hdf5": b"\x89HDF\r\n\x1a\n",
        "squashfs": b"hsqs",
    }.items()
    if kind not in ("lha", "arj")
] + [
    refused(
        "rar, called a zip in sources.yaml",
        "a.zip",
        lambda: b"Rar!\x1a\x07" + bytes(600),
        "rar .*by hand",
        format="zip",
    ),
    refused("a web page", "a.zip", lambda: b"<!DOCTYPE html><html>", "HTML page"),
    refused("an error as JSON", "a.zip", lambda: b'{"error": "quota exceeded"}', "JSON"),
    refused("an empty file", "a.zip", lambda: b"", "empty file"),
    refused("zeros", "a.zip", lambda: bytes(5000), "zeros"),
]


def cut(name, content, count=4, ending="{:03d}", first=1):
    """Returns a file in pieces."""
    size = -(-len(content) // count)
    names = [name + "." + ending.format(first + i) for i in range(count)]
    return {n: content[i * size : (i + 1) * size] for i, n in enumerate(names)}


def lettered(name, content, ending=".a"):
    return {
        n.replace(".00", ending).translate(str.maketrans("1234", "abcd")): c
        for n, c in cut(name, content).items()
    }


def spoiled(files, fault):
    """Returns pieces without the second or last one, in the wrong order, or with one cut."""
    names = sorted(files)
    if fault == "no second":
        del files[names[1]]
    elif fault == "no last":
        del files[names[-1]]
    elif fault == "swapped":
        files[names[1]], files[names[2]] = files[names[2]], files[names[1]]
    elif fault == "cut":
        files[names[1]] = files[names[1]][:-9]
    return files


def split():
    with tempfile.TemporaryDirectory() as folder:
        paths = split_zip(Path(folder) / "a.zip", zip_bytes(GOOD | {"b": bytes(range(250))}), 150)
        return {p.name: p.read_bytes() for p in paths}


PIECES = {
    "zip": lambda: cut("a.zip", ZIP),
    "7z": lambda: cut("a.7z", SEVEN),
    "tar": lambda: cut("a.tar", MANY_TAR),
    "tar.gz": lambda: cut("a.tar.gz", gzip.compress(TAR)),
    "lettered tar.gz": lambda: lettered("a.tar.gz", gzip.compress(TAR)),
    "lettered zip": lambda: lettered("a.zip", ZIP, ".parta"),
    "z01": split,
}
TREES = {"tar": MANY, "z01": GOOD | {"b": bytes(range(250))}}
SPLIT = [
    Row(f"pieces of {kind}", make, "", TREES.get(kind, GOOD)) for kind, make in PIECES.items()
] + [
    Row(
        f"pieces of {kind}, {fault}",
        lambda make=make, fault=fault: spoiled(make(), fault),
        "is missing" if fault == "no second" else "truncated|damaged|missing|end mark|unsafe",
    )
    for kind, make in PIECES.items()
    for fault in ("no second", "no last", "swapped", "cut")
]

# ---------------------------------------------------------------- within another archive


def within(name, file, make, told):
    def outer():
        return tar(entry("in/good.zip", ZIP), entry(f"in/{file}", make()))

    label = rf"/2/a\.tar, in/{re.escape(file)}: .*"
    return refused(f"within: {name}", "a.tar", outer, f"{label}({told})", inner="in/*")


INNER = [
    extracted("within: good", "a.tar", lambda: tar(entry("in/a.zip", ZIP)), GOOD, inner="in/*"),
    within("joined tars", "b.tar", (CASES / "cat.tar").read_bytes, "several tars joined"),
    within("overlapping", "b.zip", lambda: overlapping_zip(300, 10**6), "overlap"),
    within("up", "b.zip", lambda: zipped("../out"), "unsafe"),
    within("a cut zip", "b.zip", lambda: ZIP[:-30], "truncated"),
    within("a cut 7z", "b.7z", lambda: SEVEN[:-9], "truncated"),
    within("rar", "b.rar", lambda: b"Rar!\x1a\x07" + bytes(600), "rar .*by hand"),
    refused(
        "within: encrypted",
        "a.tar",
        lambda: tar(entry("in/b.zip", aes_zip_bytes(X, "pass"))),
        "/2/a.tar, in/b.zip: encrypted, so it needs a password",
        inner="in/*",
    ),
    refused(
        "within: one file in two of them",
        "a.tar",
        lambda: tar(entry("in/a.zip", ZIP), entry("in/b.zip", zipped("a/1.txt", b"other"))),
        "in/a.zip/a/1.txt' and 'in/b.zip/a/1.txt' in it would both become 'data/a/1.txt'",
        inner="in/*",
    ),
]

ROWS = [*TARS, *ZIPS, *OTHERS, *SPLIT, *INNER]
