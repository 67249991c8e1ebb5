"""Archives that misbehave, through the extraction that sources.yaml asks for.

Each is refused in one line, or extracted as its format defines. Either way the archive, what was
extracted before and everything outside the folder stays as it was, and nothing is half written.
"""

import os
import re
import stat
import types

import pytest
from archive_kinds_kit import seven_zip_bytes, tar_bytes, zip_bytes
from damaged_rows import ROWS as DAMAGED
from hostile_rows import ROWS
from web_kit import Case, make_zip

from posepile.acquire import extract, staging
from posepile.acquire.doctor import run_doctor

EARLIER = {"splits.csv": b"a,1,train\n", "videos/1.mkv": b"video"}


def by_hand(name, place, **extract):
    steps = {"steps": ["Get it."], "places": [place]}
    return {"name": name, "manual": steps, "extract": {"to": "data", **extract}}


def tree(folder):
    """Returns the content of every file, the target of every link, the kind of all else."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, status = os.fsencode(path.relative_to(folder)), path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[name] = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            found[name] = path.read_bytes()
        elif not stat.S_ISDIR(status.st_mode):
            found[name] = stat.S_IFMT(status.st_mode)
    return found


def seen(tmp_path):
    """Returns all files but what the download itself remembers."""
    return {k: v for k, v in tree(tmp_path).items() if not k.startswith(b"raw/.posepile/")}


@pytest.mark.parametrize("row", [*ROWS, *DAMAGED], ids=lambda row: row.name)
def test_archives_that_misbehave(tmp_path, row):
    (tmp_path / "canary.txt").write_bytes(b"not to be touched")
    case = Case(tmp_path, by_hand("first", "1/*"), by_hand("second", "2/*", **row.extract))
    for name, files in (("1/good.zip", {"good.zip": make_zip(EARLIER)}), ("2/", row.make())):
        folder = (case.root / name).parent if name[-1] != "/" else case.root / name
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        if name == "1/good.zip":
            assert case.run(only=["first"]).left == []
    before = seen(tmp_path)
    report = case.run()
    after = seen(tmp_path)
    if row.told:
        (left,) = report.left
        assert re.search(row.told, left), left
        assert left.isprintable() and len(left) < 500, left
        assert "second: " in left and "/2/" in left and "delete" not in left
        assert after == before
    else:
        assert report.left == []
        expected = {b"raw/data/" + os.fsencode(k): v for k, v in row.tree.items()}
        assert after == before | expected
        assert case.actions() == ["have", "have"]
    for line in case.lines:
        assert line.isprintable()
    state = {p.name for p in (case.root / ".posepile").iterdir()}
    assert state <= {"extract", "sources.lock.json", "download.lock"}
    for path in (case.root / "data").rglob("*"):
        assert path.stat().st_mode & 0o7700 == (0o700 if path.is_dir() else 0o600)


# ---------------------------------------------------------------- cut, killed, changed

FILES = {f"d{i}/{i}.bin": bytes([i]) * (100 * i + 512) for i in range(4)}
WHOLE = {
    "zip": lambda: zip_bytes(FILES),
    "tar": lambda: tar_bytes(FILES, "w")[: -7 * 512],
    "tar.gz": lambda: tar_bytes(FILES),
    "tar.bz2": lambda: tar_bytes(FILES, "w:bz2"),
    "tar.xz": lambda: tar_bytes(FILES, "w:xz"),
    "7z": lambda: seven_zip_bytes(FILES),
}


def one_archive(tmp_path, kind, content=None, **extract):
    case = Case(tmp_path, by_hand("only", f"1/a.{kind}", **extract))
    archive = case.root / f"1/a.{kind}"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(WHOLE[kind]() if content is None else content)
    return case, archive


def extracted(case):
    return {k.decode(): v for k, v in tree(case.root / "data").items()}


@pytest.mark.parametrize("kind", WHOLE)
def test_cut_at_every_place(tmp_path, kind):
    case, archive = one_archive(tmp_path, kind)
    whole = archive.read_bytes()
    for size in range(0, len(whole), len(whole) // 23):
        archive.write_bytes(whole[:size])
        (left,) = case.run().left
        assert left.isprintable() and str(archive) in left
        assert re.search("truncated|damaged|empty|not a tar", left)
        assert extracted(case) == {} and archive.read_bytes() == whole[:size]
    archive.write_bytes(whole)
    assert case.run().left == [] and extracted(case) == FILES


def killed(case, renames):
    """Runs the extraction in a process that dies at a rename; returns whether it got there."""
    child = os.fork()
    if not child:
        left, real = [renames], os.replace

        def replace(a, b):
            if not left[0]:
                os._exit(9)
            left[0] -= 1
            real(a, b)

        for module in (extract, staging):
            module.os = types.SimpleNamespace(**vars(os) | {"replace": replace})
        case.run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def spoil(folder):
    """Puts zeros into every file, of which the size stays."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "begun.json"]
    for path in files:
        path.write_bytes(bytes(path.stat().st_size))
    return len(files)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "7z"])
@pytest.mark.parametrize("renames", range(9))
def test_killed_anywhere_and_what_is_there_damaged(tmp_path, kind, renames):
    case, _ = one_archive(tmp_path, kind)
    assert killed(case, renames) == (renames < 8)
    spoil(case.root / ".posepile/extracting")
    moved = extracted(case)
    assert all(FILES[path] == content for path, content in moved.items())
    if renames < 4:  # every file is staged before the first one is moved
        assert moved == {}
        assert case.run().left == [] and extracted(case) == FILES
    else:
        assert spoil(case.root / "data") == len(moved) == renames - 4
    assert case.run().left == [] and extracted(case) == FILES
    assert case.actions() == ["have"]


def test_what_was_changed_after_its_extraction_is_extracted_again(tmp_path):
    case, _ = one_archive(tmp_path, "zip")
    assert case.run().left == []
    record = case.root / ".posepile/extract/only--a.zip.json"
    for path in (case.root / "data").rglob("*.bin"):
        os.utime(path)  # as in a copy of the folder
    os.utime(record, ns=(1, 1))
    assert case.actions() == ["have"] and record.stat().st_mtime_ns > 1  # read, and right
    spoil(case.root / "data/d1")
    assert case.actions() == ["extract"]
    assert case.run().left == [] and extracted(case) == FILES
    assert "1 of 4 extracted files are gone or damaged" in case.text


def test_what_changes_without_a_trace_is_found_by_its_checksum(tmp_path):
    case, _ = one_archive(tmp_path, "7z")
    assert case.run().left == []
    changed = case.root / "data/d1/1.bin"
    time = changed.stat().st_mtime_ns
    spoil(changed.parent)
    os.utime(changed, ns=(time, time))
    assert run_doctor("x", case.path, case.root).truncated == []
    report = run_doctor("x", case.path, case.root, checksums=True)
    assert report.truncated == ["data/d1/1.bin: not the content that came from only--a.7z"]


def test_what_is_passed_over_is_limited_too(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "FREE", 10**6)
    files = {"wanted": b"1", "huge": bytes(2_000_000)}
    case, archive = one_archive(tmp_path, "tar.gz", tar_bytes(files), members=["wanted"])
    (left,) = case.run().left
    assert f"{archive}: more than 1000000 bytes are in it" in left and extracted(case) == {}
    case, _ = one_archive(tmp_path, "tar", tar_bytes(files, "w"), members=["wanted"])
    assert case.run().left == [] and extracted(case) == {"wanted": b"1"}


def test_names_that_are_one_on_this_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_knows_no_case", lambda folder: True)
    for i, names in enumerate((["A", "a"], ["\u00e9", "e\u0301"])):
        content = zip_bytes({name: name.encode() for name in names})
        (tmp_path / str(i)).mkdir()
        case, archive = one_archive(tmp_path / str(i), "zip", content)
        (left,) = case.run().left
        assert str(archive) in left and "one file on this disk" in left and extracted(case) == {}


def test_folders_that_are_left_out_do_not_make_one_file_of_two(tmp_path):
    content = zip_bytes({"a/x": b"1", "b/x": b"2"})
    case, archive = one_archive(tmp_path, "zip", content, strip_prefix="**")
    (left,) = case.run().left
    assert f"{archive}: 'a/x' and 'b/x' in it would both become 'data/x'" in left
    assert extracted(case) == {}


def test_files_that_several_archives_bring(tmp_path):
    sources = [by_hand(n, f"{n}/a.zip", rewritten=["data/list.*"]) for n in ("one", "two")]
    case = Case(tmp_path, *sources)
    for name in ("one", "two"):
        (case.root / name).mkdir(parents=True)
        files = {"list.json": name.encode(), "LICENSE.txt": name.encode(), "README": b"same"}
        (case.root / name / "a.zip").write_bytes(zip_bytes(files))
        assert case.run().left == (["two: two/a.zip is missing"] if name == "one" else [])
    assert extracted(case) == {"list.json": b"two", "LICENSE.txt": b"one", "README": b"same"}
    assert "1 members left out: documents that are there from another archive" in case.text
    assert case.actions() == ["have", "have"]
