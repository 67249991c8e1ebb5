"""Lack of memory, file handles, room and rights on a disk: a clear end, and nothing is lost by it.

Four shortages during each of four steps. Every time: exit 1, one line that says what is short and
what to do, nothing half-written or quarantined; and with enough, the same bytes as ever.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
import scarcity
import yaml
from conftest import ROOT

ONLY = "trainval/*-left"
STEPS = ("download", "extract", "process", "pack")
SAID = {
    "memory": ("not enough memory", "no thread or process could be started"),
    "handles": ("too many open files",),
    "full": ("No space left on device", "File too large", "disk I/O error", "Disk quota exceeded"),
    "read-only": ("Read-only file system", "Permission denied"),
    "dying disk": ("Input/output error",),
}


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kitchen")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = scarcity.start(folder, environment)
    yield found
    found.process.stdin.close()
    found.process.wait(20)
    found.process.stdout.close()


def wants(shortage, root):
    """What to be in want of, from nearly all to little."""
    below = str(root)
    return {
        "memory": [("memory", megabytes) for megabytes in (1, 12, 40)],
        "handles": [("handles", count) for count in (1, 2, 4)],
        "full": [
            ("file_size", 3000),
            ("file_size", 40_000),
            ("disk", "ENOSPC", below, "writing", 0),
            ("disk", "EDQUOT", below, "writing", 6),
        ],
        "read-only": [
            ("disk", "EROFS", below, "writing", 0),
            ("disk", "EROFS", below, "writing", 5),
            ("disk", "EACCES", below, "writing", 3),
        ],
        "dying disk": [
            ("disk", "EIO", below, "writing", 2),
            ("disk", "EIO", below, "reading", 0),
            ("disk", "EIO", below, "reading", 4),
        ],
    }[shortage]


class Step:
    """A step on data of its own, and what it leads to."""

    def __init__(self, kitchen, tmp_path):
        self.kitchen, self.data = kitchen, tmp_path / "data"
        self.data.mkdir()

    def run(self, want=None):
        places = {"DATA_ROOT": str(self.data), "CACHE_DIR": str(self.data / "cache")}
        return self.kitchen.cook(self.words, want, **places)

    def must_succeed(self):
        code, _, said = self.run()
        assert code == 0, said

    def outcome(self):
        """Digests of what the step has made, by path."""
        files = sorted(p for pattern in self.makes for p in self.data.glob(pattern))
        assert files
        return {
            str(p.relative_to(self.data)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
            if p.is_file()
        }


class Fetching(Step):
    """Downloads two files and extracts one of them."""

    def __init__(self, kitchen, tmp_path, server, extract):
        super().__init__(kitchen, tmp_path)
        content, archive = {"a.bin": os.urandom(300_000)}, io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:xz", preset=9) as tar:
            for i in range(4):
                data = os.urandom(30_000) + bytes(60_000)
                info = tarfile.TarInfo(f"videos/{i}.mkv")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        content["b.tar.xz"] = archive.getvalue()
        server.files |= {f"/{name}": data for name, data in content.items()}
        listed = [
            {
                "name": name[0],
                "to": name,
                "url": f"{server.url}/{name}",
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "licence": "x",
            }
            for name, data in content.items()
        ]
        listed[1]["extract"] = {"to": "out"}
        if extract:  # the archive is there already
            (self.data / "b.tar.xz").write_bytes(content["b.tar.xz"])
            listed = listed[1:]
        path = tmp_path / "sources.yaml"
        path.write_text(yaml.safe_dump({"dataset": "x", "sources": listed}))
        self.words = ["fetch", str(path), str(self.data)]
        self.makes = ["out/**/*"] if extract else ["*.bin", "*.xz", "out/**/*"]
        self.expected = content | {}


class Running(Step):
    """Processes or packs two videos."""

    makes = ("*.barecat*", "cache/*.pkl")

    def __init__(self, kitchen, tmp_path, raw, step):
        super().__init__(kitchen, tmp_path)
        processed = kitchen.folder / "processed"
        shutil.copytree(raw, self.data / "aspset")
        settings = ["--set", "run.isolate=false", "--set", "run.max_quarantined=0.9"]
        self.words = ["step", "aspset", step, "--quiet", "--only", ONLY, *settings]
        if step == "process":
            self.makes = ("aspset_work/parts/**/*.part", "aspset_work/parts/**/*.shard")
        elif processed.exists():
            shutil.copytree(processed, self.data / "aspset_work")
        else:
            words, self.words = self.words, [*self.words[:2], "process", *self.words[3:]]
            self.must_succeed()
            self.words = words
            shutil.copytree(self.data / "aspset_work", processed)


@pytest.fixture
def step(request, kitchen, tmp_path, server, no_accounts, raw_miniature):
    def make(name, place):
        place.mkdir()
        if name in ("download", "extract"):
            return Fetching(kitchen, place, server, name == "extract")
        return Running(kitchen, place, raw_miniature("aspset"), name)

    return make


@pytest.mark.parametrize("shortage", sorted(SAID))
@pytest.mark.parametrize("name", STEPS)
def test_a_shortage_ends_clearly_and_costs_nothing(step, name, shortage, tmp_path):
    at_hand = step(name, tmp_path / "here")
    n_failed = 0
    for want in wants(shortage, at_hand.data):
        code, out, said = at_hand.run(want)
        print(want, code, said)
        if code:
            n_failed += 1
            check_end(code, out, said, shortage)
        check_left(at_hand.data)
    assert n_failed
    at_hand.must_succeed()
    found = at_hand.outcome()
    check_left(at_hand.data)
    assert found == expected(at_hand, step, name, tmp_path)


_references = {}  # outcome of a run that never lacked anything, by step


def expected(at_hand, step, name, tmp_path):
    """What a run leads to that never lacked anything."""
    if isinstance(at_hand, Fetching):
        shutil.rmtree(at_hand.data)
        at_hand.data.mkdir()
        if name == "extract":
            archive = at_hand.expected["b.tar.xz"]
            (at_hand.data / "b.tar.xz").write_bytes(archive)
        at_hand.must_succeed()
        return at_hand.outcome()
    if name not in _references:
        other = step(name, tmp_path / "there")
        other.must_succeed()
        _references[name] = other.outcome()
    return _references[name]


def check_end(code, out, said, shortage):
    assert code == 1, said
    assert "Traceback" not in out + said
    lines = [line for line in said.splitlines() if line.startswith("posepile: ")]
    assert len(lines) == 1 and said.splitlines()[-1] == lines[0], said
    assert any(words in lines[0] for words in SAID[shortage]), said
    assert "run again" in lines[0], said


def check_left(data):
    """Nothing half-written has a final name, and nothing is quarantined or thrown away."""
    assert [p for p in data.rglob("*quarantine*") if p.is_file() or any(p.iterdir())] == []
    assert [p for p in data.rglob("*.tmp")] == []


@pytest.mark.parametrize("megabytes", [300, 500])
def test_too_little_memory_to_begin_is_one_line(tmp_path, megabytes):
    """Libraries crash with signals when they are loaded and get nothing."""
    command = [sys.executable, "-m", "posepile", "step", "aspset", "pack"]
    done = subprocess.run(
        ["bash", "-c", f'ulimit -v {megabytes}000; exec "$@"', "-", *command],
        env=os.environ | {"DATA_ROOT": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()
    if megabytes < 550 or (done.returncode == 1 and "memory" in said[0]):
        assert done.returncode == 1 and len(said) == 1, done.stderr
        assert said[0].startswith("posepile: not enough memory: ulimit -v lets a process have 0.")


LIMIT_WORKERS = """
import os, resource
def limit():
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[0]) * resource.getpagesize()
    most = now + int(os.environ["MEGABYTES"]) * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
os.register_at_fork(after_in_child=limit)
"""


def test_workers_that_lack_memory_quarantine_nothing(kitchen, tmp_path, raw_miniature):
    """Of seven good videos six were once quarantined, and the rest packed with exit 0."""
    (tmp_path / "sitecustomize.py").write_text(LIMIT_WORKERS)
    at_hand = Running(kitchen, tmp_path, raw_miniature("aspset"), "process")
    at_hand.words = [w for w in at_hand.words if w not in ("--set", "run.isolate=false")][:-1]
    at_hand.words += ["--set", "run.max_quarantined=0.9"]
    before = dict(os.environ)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    for megabytes in (1, 12, 40):
        places = {"DATA_ROOT": str(at_hand.data), "PYTHONPATH": path}
        places["MEGABYTES"] = str(megabytes)
        code, out, said = kitchen.cook(at_hand.words, None, **places)
        check_end(code, out, said, "memory")
        check_left(at_hand.data)
    assert dict(os.environ) == before
    at_hand.must_succeed()
    assert len(list(at_hand.data.rglob("*.part"))) == 2
