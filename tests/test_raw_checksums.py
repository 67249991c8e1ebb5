"""Checksums of single raw files, and archives that go once they are extracted."""

import json
import shutil

import pytest
import yaml
from web_kit import Server, make_zip

from posepile.acquire import checksums
from posepile.acquire.doctor import run_doctor
from posepile.acquire.download import run_download
from posepile.acquire.leftovers import for_once, let_go
from posepile.acquire.places import measure
from posepile.acquire.sources import load_sources

FILES = {"Set-1.0/a/1.csv": b"one", "Set-1.0/a/2.csv": b"two"}


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def case(tmp_path, server):
    """Two archives, one of them by hand, and the sources that name them."""
    server.files["/x.zip"] = make_zip(FILES)
    (tmp_path / "raw/archives").mkdir(parents=True)
    (tmp_path / "raw/archives/m.zip").write_bytes(make_zip({"m/3.csv": b"three"}))
    sources = [
        {
            "name": "x",
            "url": f"{server.url}/x.zip",
            "sha256": _sha256(tmp_path, server.files["/x.zip"]),
            "extract": {"to": "data", "strip_prefix": "Set-1.0/"},
            "provides": ["a/*.csv"],
        },
        {
            "name": "m",
            "manual": {"steps": "Ask.", "places": "archives/m.zip"},
            "extract": {"to": "data"},
            "provides": ["m/*.csv"],
        },
    ]
    layout = [{"path": "a/*.csv", "count": 2}, "m/3.csv"]
    path = tmp_path / "sources.yaml"
    path.write_text(
        yaml.safe_dump(
            {"dataset": "x", "roots": ["data", "."], "sources": sources, "layout": layout}
        )
    )
    return path, tmp_path / "raw", tmp_path / "x_work"


def _sha256(folder, data):
    (folder / "x").write_bytes(data)
    return measure(folder / "x")["sha256"]


def download(case, keep=True):
    path, root, work = case
    sources = load_sources(path)
    run_download("x", sources if keep else for_once(sources), root, log=lambda line: None)
    checksums.keep_extracted(root, work, sources.roots)


def examine(case, deep=True):
    path, root, work = case
    return run_doctor("x", path, root, checksums=deep, work=work)


def test_files_that_somebody_else_extracts_are_compared_with_ours(case):
    _, root, work = case
    download(case)
    kept = json.loads((work / "checksums/x.json").read_text())
    assert kept["of"] == "x" and sorted(kept["files"]) == ["a/1.csv", "a/2.csv"]
    shutil.rmtree(root)  # and now by hand, without the folder that we put it in
    for name in ("1", "2"):
        (root / "a").mkdir(parents=True, exist_ok=True)
        (root / f"a/{name}.csv").write_bytes(FILES[f"Set-1.0/a/{name}.csv"])
    (root / "m").mkdir()
    (root / "m/3.csv").write_bytes(b"three")
    report = examine(case)
    assert report.ok, report.lines
    assert "3 files that others have extracted have the known checksums" in report.notes
    assert not any("not verified" in note for note in report.notes)
    (root / "a/1.csv").write_bytes(b"One")
    assert examine(case, deep=False).ok  # the size is the same
    assert examine(case).truncated == ["a/1.csv: not the content that it should have, as in x"]
    (root / "a/1.csv").write_bytes(b"on")
    (line,) = examine(case, deep=False).truncated
    assert line == "a/1.csv: 2 bytes instead of 3, as in x"


def test_the_first_look_is_kept_where_nothing_is_known(case):
    _, root, work = case
    for path in ("a/1.csv", "a/2.csv", "m/3.csv"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"abc")
    assert any("not verified" in note for note in examine(case, deep=False).notes)
    assert not work.exists()  # a look without --checksums writes nothing
    report = examine(case)
    assert report.ok and any("3 files of which no checksum is known" in n for n in report.notes)
    assert examine(case).notes == ["3 files that others have extracted have the known checksums"]
    (root / "m/3.csv").write_bytes(b"abd")
    (line,) = examine(case).truncated
    assert line.endswith("as it was at the first look")
    (work / "checksums/first-look.json").write_text("[")
    assert examine(case).ok  # damaged, so nothing is known


def test_published_checksums_go_first(case, tmp_path):
    _, root, _ = case
    for path in ("a/1.csv", "a/2.csv", "m/3.csv"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"abc")
    known = {"version": 1, "of": "the authors' list", "files": {"a/2.csv": [3, 1]}}
    (tmp_path / "checksums.json").write_text(json.dumps(known))
    (line,) = examine(case).truncated
    assert line == "a/2.csv: not the content that it should have, as in the authors' list"


def test_archives_go_if_they_come_again(case, server):
    _, root, _ = case
    download(case, keep=False)
    assert not (root / "archives/x.zip").exists() and (root / "archives/m.zip").exists()
    assert (root / "data/a/1.csv").read_bytes() == b"one"
    n = len(server.requests)
    download(case, keep=False)
    assert len(server.requests) == n and examine(case).ok  # nothing is fetched for it again


@pytest.mark.parametrize("linked", ["root", "folder", "file", "by hand"])
def test_archives_of_others_stay(case, server, tmp_path, linked):
    path, root, _ = case
    theirs = tmp_path / "share"
    if linked == "root":
        shutil.move(root, theirs)
        root.symlink_to(theirs)
        download(case)  # as its owner once did
        kept = theirs / "archives/x.zip"
    else:
        kept = theirs / "x.zip" if linked != "by hand" else root / "archives/x.zip"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(server.files["/x.zip"])
    if linked == "folder":
        shutil.move(root / "archives/m.zip", theirs)
        (root / "archives").rmdir()
        (root / "archives").symlink_to(theirs)
    if linked == "file":
        (root / "archives/x.zip").symlink_to(kept)
    download(case, keep=False)
    assert (root / "data/a/1.csv").read_bytes() == b"one"
    assert let_go(load_sources(path), root) == {}
    assert kept.is_file() and (root / "archives/x.zip").is_file()


def test_only_archives_that_were_asked_for_go(case):
    path, root, _ = case
    download(case)
    sources = load_sources(path)
    assert let_go(sources, root, ["m"]) == {} and (root / "archives/x.zip").is_file()
    assert list(let_go(sources, root, ["x"])) == ["archives/x.zip"]


def test_kept_archives_go_later_only_if_all_of_them_is_in_place(case):
    path, root, _ = case
    download(case)
    sources = load_sources(path)
    (root / "data/a/1.csv").rename(root / "aside")
    assert let_go(sources, root) == {}
    (root / "aside").rename(root / "data/a/1.csv")
    assert list(let_go(sources, root)) == ["archives/x.zip"]
    assert (root / "archives/m.zip").exists() and examine(case).ok
