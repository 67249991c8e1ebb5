import os
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from web_kit import make_zip

import posepile.ds
from posepile.acquire.doctor import run_doctor
from posepile.acquire.extract import extract_archive
from posepile.acquire.lockfile import remember
from posepile.acquire.places import measure

LAYOUT = [
    "splits.csv",
    {"path": "cameras/<subj>/<subj>-{left,mid}.json", "count": 2},
    {"path": "poses/<subj>/<clip>.c3d", "min_bytes": 4},
    {"path": "videos/<subj>/<clip>.txt", "for_each": "poses/<subj>/<clip>.c3d"},
    {"path": "extra/*.obj", "optional": True},
]
GOOD = {
    "splits.csv": b"a,1,train,all\n",
    "cameras/a/a-left.json": b"{}",
    "cameras/a/a-mid.json": b"{}",
    "poses/a/1.c3d": b"1234",
    "poses/a/2.c3d": b"1234",
    "videos/a/1.txt": b"v",
    "videos/a/2.txt": b"v",
}


def write(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@pytest.fixture
def case(tmp_path):
    path, root = tmp_path / "sources.yaml", tmp_path / "raw"

    def examine(files=GOOD, layout=LAYOUT, checksums=False, **more):
        path.write_text(yaml.safe_dump({"dataset": "x", "layout": layout, **more}))
        write(root, files)
        return run_doctor("x", path, root, checksums=checksums)

    examine.root = root
    return examine


def without(*paths):
    return {k: v for k, v in GOOD.items() if k not in paths}


def test_healthy(case):
    report = case()
    assert report.ok and report.n_files == len(GOOD)
    assert report.counts == {"missing": 0, "truncated": 0, "misplaced": 0, "unexpected": 0}
    assert report.lines[-1].strip() == "ok"


def test_no_folder_at_all(tmp_path):
    (tmp_path / "sources.yaml").write_text("{dataset: x, layout: [a]}")
    report = run_doctor("x", tmp_path / "sources.yaml", tmp_path / "raw")
    assert not report.ok and "nothing there yet: no raw data of x" in report.lines[2]
    assert report.lines[2].endswith("see the command below") and len(report.mends) == 1


def test_missing_is_named(case):
    report = case(without("splits.csv", "videos/a/2.txt", "cameras/a/a-mid.json"))
    assert report.missing == [
        "cameras/<subj>/<subj>-{left,mid}.json: 1 files, 2 expected",
        "splits.csv",
        "videos/a/2.txt",
    ]
    assert not (report.truncated or report.misplaced or report.unexpected)


def test_known_absence_is_not_demanded(case):
    absent = [{"what": "video 2", "reason": "lens cap", "paths": ["videos/a/2.txt"]}]
    report = case(without("videos/a/2.txt"), absent=absent)
    assert report.ok and report.notes == ["known to be absent: video 2 (lens cap)"]


def test_truncated_is_told_from_missing(case):
    report = case(GOOD | {"poses/a/1.c3d": b"1"})
    assert report.truncated == ["poses/a/1.c3d: 1 bytes, at least 4 expected"]
    assert not report.missing


def test_a_finding_names_its_file_whatever_that_is_called(case):
    report = case(GOOD | {"poses/a: b/1: belongs at.c3d": b"1"})
    (found,) = report.of("truncated")
    assert found.path == "poses/a: b/1: belongs at.c3d" and not found.place
    assert found.line == f"{found.path}: 1 bytes, at least 4 expected" == report.truncated[0]


def test_misplaced_is_told_from_unexpected(case):
    moved = {f"Set-1.0/{k}": v for k, v in GOOD.items() if k.startswith("cameras")}
    files = without(*(k for k in GOOD if k.startswith("cameras"))) | moved
    files |= {"notes.txt": b"mine", "poses/3.c3d": b"1234", "old/splits.csv": b""}
    report = case(files)
    assert report.misplaced == [
        "Set-1.0/cameras/a/a-left.json: belongs at cameras/a/a-left.json",
        "Set-1.0/cameras/a/a-mid.json: belongs at cameras/a/a-mid.json",
    ]
    assert report.unexpected == [
        "notes.txt",
        "old/splits.csv: a second splits.csv",
        "poses/3.c3d",
    ]
    assert len(report.missing) == 1 and not report.ok


def test_a_level_left_out_is_recognised(case):
    files = without("poses/a/1.c3d") | {"1.c3d": b"1234"}
    assert case(files).unexpected == ["1.c3d"]  # too little to go by
    report = case(layout=[*LAYOUT, "deep/cams/list.json"], files={"cams/list.json": b"{}"})
    assert report.misplaced == ["cams/list.json: belongs at deep/cams/list.json"]


def test_tree_may_stand_below_another_folder(case):
    files = {f"Set-1.0/{k}": v for k, v in GOOD.items() if k != "videos/a/2.txt"}
    report = case(files, roots=["data", "Set-1.0", "."])
    assert report.missing == ["Set-1.0/videos/a/2.txt"]
    assert not report.misplaced and not report.unexpected


def test_unexpected_alone_is_no_fault(case):
    report = case(GOOD | {"notes.txt": b"mine"})
    assert report.ok and report.counts["unexpected"] == 1
    assert case(GOOD, ignore=["*.txt"]).counts["unexpected"] == 0


def test_too_many(case):
    report = case(GOOD | {"cameras/b/b-left.json": b"{}"})
    assert report.unexpected == ["cameras/<subj>/<subj>-{left,mid}.json: 3 files, 2 expected"]


def test_long_lists_are_shortened(case):
    report = case(GOOD | {f"junk{i:02}": b"" for i in range(9)})
    assert sum("junk" in line for line in report.lines) == 5
    assert any("and 4 more" in line for line in report.lines)


def test_link_to_nothing(case):
    case()
    os.symlink("nowhere", case.root / "splits2.csv")
    assert "splits2.csv: a link to a file that does not exist" in case().missing


def test_miniature_is_held_to_kinds_not_numbers(case):
    source = {"name": "s", "url": "https://example.org/a.zip", "extract": {}}
    files = without("cameras/a/a-mid.json") | {"miniature_truth.json": b"{}"}
    assert case(files, sources=[source]).ok
    report = case(sources=[source], files={}, layout=[*LAYOUT, "more/*.csv"])
    assert report.missing == ["more/*.csv: 0 files, at least 1 expected"]


def test_extracted_files_are_known_one_by_one(case, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        for path, content in GOOD.items():
            z.writestr(path, content)
    source = {
        "name": "s",
        "url": "https://example.org/a.zip",
        "extract": {"rewritten": ["cameras/**"]},
    }
    extract_archive(tmp_path / "a.zip", case.root, name="s")
    (case.root / "poses/a/2.c3d").unlink()
    report = case({"poses/a/1.c3d": b"12345", "cameras/a/a-mid.json": b"{1}"}, sources=[source])
    assert report.missing == ["poses/a/2.c3d: was extracted from s, has disappeared"]
    assert report.truncated == ["poses/a/1.c3d: 5 bytes instead of 4"]


def test_downloads(case):
    sources = [
        {"name": "a", "url": "https://example.org/a.tgz", "extract": {}},
        {"name": "b", "url": "https://example.org/b.bin", "bytes": 10},
        {"name": "c", "url": "https://example.org/c.bin", "bytes": 10},
        {"name": "d", "manual": {"steps": "Ask.", "places": "d/*.zip"}},
        {"name": "e", "url": "https://example.org/e.zip", "extract": {}},
        {"name": "f", "url": "https://example.org/f.bin", "optional": True},
    ]
    files = GOOD | {
        "archives/b.bin.part": b"123",
        "archives/c.bin": b"12345",
        "archives/e.zip": make_zip({"x": b""}),
    }
    report = case(files, sources=sources)
    assert report.missing == [
        "archives/a.tgz: not downloaded (a)",
        "archives/b.bin: download unfinished, 3 of 10 bytes (b)",
        "d/*.zip is missing (d: to be put there by hand)",
        "e: downloaded but not extracted",
    ]
    assert report.truncated == ["archives/c.bin: 5 bytes instead of 10"]
    assert not report.unexpected


def test_checksums_are_compared_on_request(case):
    source = {"name": "b", "url": "https://example.org/b.bin"}
    case(GOOD | {"archives/b.bin": b"12345"}, sources=[source])
    path = case.root / "archives/b.bin"
    remember(case.root, "archives/b.bin", source="b", origin="x", measured=measure(path))
    assert case(sources=[source], checksums=True).ok
    path.write_bytes(b"12344")
    assert case(sources=[source]).ok  # quick look: same size
    report = case(sources=[source], checksums=True)
    assert report.truncated == ["archives/b.bin: its content has changed since it was fetched"]
    changed = [source | {"md5": "0" * 32}]
    assert case(sources=changed).notes == ["b: on disk but never checked"]


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("behave", "calibs/Date*/config/1/config.json"),
        ("bml_movi", "Calib/Extrinsics_PG2.npz"),
        ("bml_movi", "F_Subjects_46_90/F_v3d_Subject_*.mat"),
    ],
)
def test_what_one_of_several_would_have_met_is_missed(raw_miniature, tmp_path, name, lost):
    root, sources = tmp_path / name, Path(posepile.ds.__file__).parent / name / "sources.yaml"
    shutil.copytree(raw_miniature(name), root)
    assert run_doctor(name, sources, root).ok
    gone = sorted(root.glob(lost))[0]
    gone.unlink()
    missing = run_doctor(name, sources, root).missing
    assert any(gone.parent.name in line for line in missing), missing
