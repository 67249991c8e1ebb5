"""Whole runs on a disk where every lock of the system fails: a library before libc says so."""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from posepile.checking.leftovers import contents, differences, held_locks
from posepile.errors import WorkError
from posepile.files import locked


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    file = tmp_path_factory.mktemp("library") / "no_locks.so"
    source = ROOT / "tests" / "no_locks.c"
    command = [compiler, "-shared", "-fPIC", "-o", file, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return file


@pytest.fixture
def start(library, tmp_path):
    """Starts processes for which a folder lies on a disk without locks."""
    below = {"LD_PRELOAD": str(library), "NOLOCKS": str(tmp_path), "DATA_ROOT": str(tmp_path)}
    environment = os.environ | below | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    begun = []

    def process(*arguments, program=sys.executable):
        command = [program, *map(str, arguments)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        begun.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        return begun[-1]

    yield process
    for one in begun:
        one.kill()
        one.communicate()


def test_the_library_makes_locks_fail(start, tmp_path):
    code = (
        "import fcntl, sqlite3, sys\n"
        "f = open(sys.argv[1], 'w')\n"
        "for function in (fcntl.flock, fcntl.lockf):\n"
        "    try: function(f, fcntl.LOCK_EX)\n"
        "    except OSError as e: print(e.errno)\n"
        "try: sqlite3.connect(sys.argv[1] + '.db', timeout=0).execute('CREATE TABLE a (b)')\n"
        "except sqlite3.OperationalError as e: print(e)\n"
    )
    said = start("-c", code, tmp_path / "a").communicate()[0].split("\n")
    assert said == ["37", "37", "database is locked", ""]


def test_machines_with_and_without_locks_see_each_other(start, tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom posepile.files import locked\n"
        "with locked(Path(sys.argv[1]), busy='busy'): print('held'); input()\n"
    )
    lock = tmp_path / ".lock"
    with locked(lock, busy="no"):  # not below the library
        said = start("-c", code, lock).communicate()[1].splitlines()[-1]
        assert f"busy (process {os.getpid()} on " in said and "by a lock of its system" in said
    other = start("-c", code, lock)
    assert other.stdout.read(4) == "held"
    with pytest.raises(WorkError, match=rf"busy \(process {other.pid} on"):
        with locked(lock, busy="busy"):
            pass
    assert other.communicate("go\n")[1] == ""
    with locked(lock, busy="no"):
        pass


RUN = ("-m", "posepile", "run", "coco", "--miniature")


def made(root):
    """Archive, pickle, report and raw files: what is to be the same. No lock is left."""
    assert held_locks(root) == [] and not [p for p in root.rglob(".*.tmp")]
    found, report = contents(root, "coco"), "coco_work/report.html"
    return {n: d for n, d in found.items() if n == report or not n.startswith("coco_work/")}


@pytest.fixture(scope="module")
def one_job(tmp_path_factory):
    """What a run with one worker leaves on a disk with locks."""
    root = tmp_path_factory.mktemp("one_job")
    environment = os.environ | {"DATA_ROOT": str(root), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *RUN, "--quiet", "--jobs", "1"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert "coco.barecat" in made(root)
    return made(root)


def pids_in(folder):
    """The processes that hold leases in a folder."""
    pids = []
    for file in folder.glob("*"):
        with contextlib.suppress(OSError):  # it has ended
            pids.append(json.loads(file.read_text())["pid"])
    return pids


def test_a_second_run_is_told_who_is_at_work(start, tmp_path, one_job):
    lock = tmp_path / "coco_work" / ".lock-units-0-of-1"
    killed = (
        "import os, sys\nfrom pathlib import Path\nfrom posepile.files import locked\n"
        "with locked(Path(sys.argv[1])), locked(Path(sys.argv[2]), shared=True):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert start("-c", killed, lock, lock.with_name(".lock-pack")).wait() == -9
    assert len(held_locks(tmp_path)) == 2
    first = start(*RUN)
    while first.pid not in pids_in(lock.with_name(f"{lock.name}.lease")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"ended before it held the lock: {first.wait(0.01)}")
    first.send_signal(signal.SIGSTOP)
    said = start(*RUN).communicate()[1].splitlines()[-1]
    who = f"process {first.pid} on {platform.node()} since 20"
    assert f"another run of coco is active on these units ({who}" in said
    assert said.endswith(" UTC: posepile run coco --miniature)")
    first.send_signal(signal.SIGCONT)
    said = first.communicate()[1]
    assert first.returncode == 0, said
    assert "taken over" not in said  # who was killed was of this machine: no waiting
    third = start(*RUN)
    assert "is packed and current" in third.communicate()[0] and third.returncode == 0
    assert differences(one_job, made(tmp_path)) == []


def test_two_scripts_at_once(start, tmp_path, one_job):
    """Whoever comes second waits for the raw files, or is refused, or finds all done."""
    script = ROOT / "posepile" / "ds" / "coco" / "main.sh"
    both = [start(script, "--miniature", "--quiet", program="bash") for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 1]), said
    for process, words in zip(both, said, strict=True):
        named = r"\(process \d+ on .* since 20.* UTC: posepile step coco (process|pack) .*\)$"
        assert process.returncode == 0 or re.search(named, words.splitlines()[-1]), words
    assert differences(one_job, made(tmp_path)) == []


def test_shares_of_an_array_at_once(start, tmp_path, one_job):
    both = [start(*RUN, "--quiet", "--shard", f"{i}/2") for i in range(2)]
    for process in both:
        said = process.communicate()[1]
        assert process.returncode == 0, said
    pack = start(*RUN, "--quiet", "--stage", "pack")
    said = pack.communicate()[1]
    assert pack.returncode == 0, said
    assert differences(one_job, made(tmp_path)) == []
