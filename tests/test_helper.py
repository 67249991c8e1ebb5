"""A dataset of kind ``helper`` leaves files behind instead of examples."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from posepile.checking import mutants
from posepile.checking.check import check

MAIN = """
from posepile.formats.derived import write_if_changed
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec

SPEC = DatasetSpec(
    name="backdrops", joint_info=JointInfo([]), image_dir="", kind="helper", citation="who",
    licence="CC0",
)
MADE = "{made}"


def artefacts(root, options):
    return [root / "list.txt"]


def calibrate(root, options):
    names = sorted(p.name for p in root.glob("*.jpg"))
    write_if_changed(root / MADE, "\\n".join(names).encode())
    return [f"{len(names)} pictures without people"]
"""
MINIATURE = """
from posepile.miniature.truth import Truth, write_truth


def build(root, seed=0):
    (root / "a.jpg").write_bytes(b"picture")
    write_truth(root, Truth({}, artefacts={"backdrops/list.txt": "a.jpg"}))
"""
SOURCES = """
dataset: backdrops
licence: CC0
sources:
  - name: pictures
    manual: {url: "https://example.org", steps: [Get them.], places: ["*.jpg"]}
layout: ["*.jpg"]
ignore: [list.txt]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "sets" / "backdrops"
    folder.mkdir(parents=True)
    (tmp_path / "data").mkdir()
    script = (ROOT / "posepile" / "templates" / "coco" / "main.sh").read_text()
    files = {
        "main.py": MAIN.replace("{made}", "list.txt"),
        "miniature.py": MINIATURE,
        "sources.yaml": SOURCES,
        "config.yaml": "dataset: {}\n",
        "exclusions.yaml": "exclusions: []\n",
        "main.sh": script.replace("newdata", "backdrops"),
        "README.md": "# backdrops\n",
        "__init__.py": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.setenv("POSEPILE_DATASETS", str(folder.parent))
    yield folder
    for name in [name for name in sys.modules if name.startswith("posepile.ds.backdrops")]:
        del sys.modules[name]


def posepile(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "posepile", *arguments],
        env={**os.environ, "DATA_ROOT": str(folder.parents[1] / "data")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_files_are_made_and_nothing_is_packed(folder):
    done = posepile(folder, "step", "backdrops", "download", "--miniature")
    assert done.returncode == 0 and "artefacts" not in done.stdout, done.stderr
    done = posepile(folder, "status", "backdrops")
    assert "a helper, nothing to pack: 0 of 1 artefacts are there" in done.stdout, done.stderr
    assert "missing" in done.stdout
    for _ in range(2):
        done = posepile(folder, "run", "backdrops", "--miniature")
        assert done.returncode == 0, done.stderr
        assert "backdrops: 1 pictures without people" in done.stdout
        assert "a helper, nothing to pack: 1 of 1 artefacts are there" in done.stdout
    assert (folder.parents[1] / "data/backdrops/list.txt").read_text() == "a.jpg"
    assert not list((folder.parents[1] / "data").glob("*.barecat*"))
    done = posepile(folder, "list")
    (listed,) = (line.split() for line in done.stdout.splitlines() if "backdrops" in line)
    assert listed[:2] == ["backdrops", "helper"] and listed[-1] == "CC0", listed
    done = posepile(folder, "verify", "backdrops")
    assert done.returncode == 2 and "is a helper: it has files" in done.stderr


def test_a_promised_file_that_is_not_made_is_a_failure(folder):
    (folder / "main.py").write_text(MAIN.replace("{made}", "other.txt"))
    done = posepile(folder, "run", "backdrops", "--miniature")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "list.txt: 1 of 1 artefacts of backdrops are missing" in done.stderr


def test_the_contract_of_a_helper(folder, capsys):
    assert check(["backdrops"])
    said = capsys.readouterr().out
    assert "artefacts: 1 files, the content of 1 compared" in said and "second run" in said
    assert "backdrops: ok, 5 of 5" in said


def test_faults_of_its_files_are_seen(folder, capsys):
    assert mutants.main(["backdrops"]) == 0
    said = capsys.readouterr().out
    assert "list.txt without content" in said and "5 killed in 1 datasets; 0 problems" in said


def test_what_is_not_as_expected_or_made_anew_is_found(folder, capsys):
    text = MAIN.replace("{made}", "list.txt")
    (folder / "main.py").write_text(text.replace('"*.jpg"', '"*"'))
    assert not check(["backdrops"])
    assert "backdrops/list.txt: found '.miniature" in capsys.readouterr().out
    del sys.modules["posepile.ds.backdrops.main"]
    anew = text.replace("    write_if", "    (root / MADE).unlink(missing_ok=True)\n    write_if")
    (folder / "main.py").write_text(anew)
    assert not check(["backdrops"])
    assert "list.txt was written again" in capsys.readouterr().out


def test_stages_have_no_settings(folder):
    done = posepile(folder, "run", "backdrops", "--miniature", "--set", "crop.jpeg_quality=9")
    assert done.returncode == 2 and "backdrops is a helper, with nothing to crop" in done.stderr


def test_an_empty_folder_is_no_artefact(folder):
    text = MAIN.replace("{made}", "list.txt").replace('root / "list.txt"]', 'root / "folder"]')
    make = '    (root / "folder").mkdir(exist_ok=True)\n    names ='
    (folder / "main.py").write_text(text.replace("    names =", make))
    done = posepile(folder, "run", "backdrops", "--miniature")
    assert done.returncode == 1 and "folder: 1 of 1 artefacts" in done.stderr


def test_numbers_that_authors_state_are_compared(folder):
    sources = SOURCES + 'counts:\n  - {what: pictures, of: files, files: "*.jpg", all: 9}\n'
    (folder / "sources.yaml").write_text(sources)
    raw = folder.parents[1] / "data" / "backdrops"
    raw.mkdir()
    (raw / "b.jpg").write_bytes(b"picture")
    done = posepile(folder, "run", "backdrops")
    assert done.returncode == 0, done.stderr
    assert "warning: 1 pictures; its authors state 9 (posepile doctor backdrops" in done.stdout
