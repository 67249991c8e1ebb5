"""Damaged raw files, a full disk, wrong requests: a line each, no harm, nothing left over."""

import os
import shutil
import subprocess
import sys

import ezc3d
import numpy as np
import pytest
from conftest import ROOT

from posepile.miniature import MARK

NAME = "aspset"
SCRIPT = ROOT / "posepile" / "ds" / NAME / "main.sh"


@pytest.fixture(scope="module")
def undisturbed(miniature):
    return miniature(NAME)


@pytest.fixture
def copy(undisturbed, tmp_path):
    """DATA_ROOT with raw files only."""
    shutil.copytree(undisturbed / NAME, tmp_path / NAME)
    return tmp_path


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def packed(root):
    files = sorted([*root.glob(f"{NAME}.barecat*"), *(root / "cache").glob("*")])
    return {f.name: f.read_bytes() for f in files}


def unfinished(root):
    """Folders and files that are only there while something is being written."""
    return [
        p
        for p in root.rglob(".*")
        if not (p.name.startswith(".lock-") or p.name in (MARK, ".posepile"))
    ]


def parts(root, stage):
    """The files of each unit's result."""
    found = {}
    for path in (root / f"{NAME}_work" / "parts" / stage).glob("*/*~*"):
        found.setdefault(path.name.partition("~")[0], {})[path.suffix] = path.read_bytes()
    return found


def shards(part):
    """Images and columns of a result; its header also has the times of the raw files."""
    return part[".shard"], part[".part"].split(b"\n", 2)[2]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    return "frame"


def put_nan(path):
    content = ezc3d.c3d(str(path))
    points = np.array(content["data"]["points"])
    points[:3, 4, 3] = np.nan
    content["data"]["points"] = points
    del content["data"]["meta_points"]
    content.write(str(path))
    return "NaN"


def add_row(path):
    path.write_text(path.read_text() + "1.5,2.5,101.5,202.5\n")
    return "; expected"


def put_garbage(path):
    path.write_bytes(b'{"intrinsic_matrix": [1, 0,\x00\xff')
    return "not "


DAMAGE = {
    "trainval/videos/aaaa/aaaa-0001-left.mkv": (truncate, ["trainval/aaaa/aaaa-0001-left"]),
    "trainval/boxes/aaaa/aaaa-0001-mid.csv": (add_row, ["trainval/aaaa/aaaa-0001-mid"]),
    "trainval/joints_3d/bbbb/bbbb-0016.c3d": (
        put_nan,
        [f"trainval/bbbb/bbbb-0016-{view}" for view in ("left", "mid", "right")],
    ),
    "test/cameras/cccc/cccc-mid.json": (put_garbage, ["test/cccc/cccc-0003-mid"]),
}


def test_each_damage_is_named_and_harms_its_units_only(undisturbed, copy, run_main):
    expected = {}
    for file, (damage, units) in DAMAGE.items():
        path = copy / NAME / "data" / file
        reason = damage(path)
        expected[path] = (reason, len(units))
    done = run_main(NAME, copy, "--miniature", "--jobs", "2", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "quarantined: " in line]
    for path, (reason, n) in expected.items():
        times = f"{n} x " if n > 1 else ""
        (line,) = [line for line in lines if f"quarantined: {times}{path}" in line]
        assert reason in line.removeprefix(f"  quarantined: {times}{path}")
    assert len(lines) == len(expected)  # each is said once
    (line,) = done.stderr.strip().splitlines()
    assert "6 of 7 units" in line and "nothing was packed" in line

    assert packed(copy) == {}
    assert unfinished(copy) == []
    for stage in ("crop",):
        good = parts(copy, stage)
        assert list(good) == ["trainval-aaaa-aaaa-0001-right"]
        for name, part in good.items():
            assert shards(part) == shards(parts(undisturbed, stage)[name])

    for file in DAMAGE:
        shutil.copy(undisturbed / NAME / "data" / file, copy / NAME / "data" / file)
    done = run_main(NAME, copy, "--miniature", "--jobs", "2")
    assert "7 units: 6 done now, 1 kept, 0 quarantined" in done.stdout
    assert packed(copy) == packed(undisturbed)
    assert list(copy.glob(f"{NAME}_work/quarantine/*/*")) == []


def run_with_little_room(root, kilobytes, *options):
    """No file can grow beyond a size, which looks to a program like a full disk."""
    return subprocess.run(
        ["bash", "-c", f'ulimit -f {kilobytes}; exec bash "$@"', "-", str(SCRIPT), *options],
        env=os.environ | {"DATA_ROOT": str(root), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )


def check_one_line(done, *words):
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert all(word in line for word in words), line


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_cropping_on_a_full_disk_leaves_nothing(undisturbed, copy, run_main, jobs):
    options = ("--miniature", "--stage", "crop", "--only", "*-0001-*", "--quiet", "--jobs", jobs)
    done = run_with_little_room(copy, 64, *options)
    check_one_line(done, "File too large", "MiB free", "run again")
    assert parts(copy, "crop") == {}
    assert unfinished(copy) == []
    if jobs == "1":
        return  # once is enough for what follows
    run_main(NAME, copy, "--miniature", "--stage", "crop", "--only", "*-0001-mid")
    ((name, part),) = parts(copy, "crop").items()
    assert shards(part) == shards(parts(undisturbed, "crop")[name])


def test_packing_on_a_full_disk_leaves_nothing(undisturbed, tmp_path, run_main):
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    whole, report = packed(tmp_path), tmp_path / f"{NAME}_work" / "report.html"
    for file in [*tmp_path.glob(f"{NAME}.barecat*"), *(tmp_path / "cache").iterdir()]:
        file.unlink()
    table = len(whole[max(name for name in whole if "-shard-" in name)])
    assert posepile(tmp_path, "status", NAME).returncode == 0  # lists the units of this copy
    for room in (2 << 10, table - 4096):  # nothing fits; the index fits, the table does not
        done = run_with_little_room(tmp_path, room >> 10, "--stage", "pack", "--quiet")
        check_one_line(done, f"{NAME}.barecat")
        assert packed(tmp_path) == {}
        assert unfinished(tmp_path) == []
    # The archive is complete, only the page about it is not there.
    room = report.stat().st_size - 4096
    assert room > table
    done = run_with_little_room(tmp_path, room >> 10, "--stage", "pack", "--quiet")
    check_one_line(done, "report.html", "File too large")
    assert packed(tmp_path) == whole
    assert unfinished(tmp_path) == []
    assert not report.exists()
    run_main(NAME, tmp_path, "--stage", "pack")
    assert packed(tmp_path) == whole
    assert contents(report.parent)[report.relative_to(report.parent)]


# ---------------------------------------------------------------- wrong requests


def posepile(data_root, *args):
    env = os.environ | ({} if data_root is None else {"DATA_ROOT": str(data_root)})
    return subprocess.run(
        [sys.executable, "-m", "posepile", *args],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def check_refused(done, expected):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert expected in last, done.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"crop: [", "not valid YAML"),
        (b"crop: \xff\xfe", "not UTF-8 text"),
        (b"- crop\n", "expected a mapping"),
        (b"crop: 5\n", "crop = 5"),
        (b"7: {}\n", "unknown key 7"),
    ],
)
def test_unreadable_configurations_are_refused(tmp_path, content, expected):
    (tmp_path / "x.yaml").write_bytes(content)
    done = posepile(tmp_path, "run", NAME, "--config", str(tmp_path / "x.yaml"))
    check_refused(done, expected)
    assert str(tmp_path / "x.yaml") in done.stderr or "x.yaml" in done.stderr


def test_a_folder_as_configuration_is_refused(tmp_path):
    check_refused(posepile(tmp_path, "run", NAME, "--config", str(tmp_path)), "cannot be read")


def test_an_empty_section_is_no_section(tmp_path):
    from posepile.config import Config, load_config

    (tmp_path / "x.yaml").write_text("crop:\n  # jpeg_quality: 90\n")
    assert load_config(NAME, path=tmp_path / "x.yaml").crop == Config().crop


def test_data_root_must_be_there(tmp_path):
    check_refused(posepile(tmp_path / "a" / "b", "run", NAME, "--miniature"), "no such folder")
    assert list(tmp_path.iterdir()) == []
    check_refused(posepile(tmp_path / "a", "run", NAME, "--stage", "crop"), "no such folder")
    (tmp_path / "file").touch()
    check_refused(posepile(tmp_path / "file", "run", NAME), "is not a folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_data_root_must_be_writable(tmp_path):
    (tmp_path / "data").mkdir(mode=0o555)
    check_refused(posepile(tmp_path / "data", "run", NAME, "--miniature"), "not writable")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--jobs", "0"), "at least 1"),
        (("--jobs", "many"), "--jobs"),
        (("--shard", "3/2"), "expected I/N"),
        (("--shard", "0"), "expected I/N"),
        (("--stage", "crop", "--only", "nothing*"), "--only nothing*: no unit"),
        (("--stage", "crop", "--set", "box.source=detect"), "detect.model = none: name a"),
        (("--variant", "a/b"), "--variant a/b: expected letters"),
        (("--checksums", "some"), "--checksums"),
    ],
)
def test_wrong_options_are_refused(undisturbed, options, expected):
    check_refused(posepile(undisturbed, "run", NAME, *options), expected)
