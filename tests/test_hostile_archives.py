"""Archives that misbehave, through the extraction that sources.yaml asks for.

Each is refused in one line, or extracted as its format defines. Either way the archive, what was
extracted before and everything outside the folder stays as it was, and nothing is half written.
"""

import os
import re
import stat

import pytest
from damaged_rows import ROWS as DAMAGED
from hostile_rows import ROWS
from web_kit import Case, make_zip

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
