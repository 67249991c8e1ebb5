"""A whole dataset on many machines leaves the bytes of one process: Dask, and jobs of Slurm."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import slurm_kit
from cluster_kit import Cluster
from conftest import ROOT

pytest.importorskip("distributed")

SECONDS = 300  # then the test fails instead of waiting for ever


class Pipe:
    """What the workers tell."""

    def __init__(self, path):
        os.mkfifo(path)
        self.file = os.fdopen(os.open(path, os.O_RDWR), "rb")  # open for writing: never at its end

    def wait_for(self, *wanted):
        """Reads until one of the lines has come; returns it."""
        for line in self.file:
            if line.decode().strip() in wanted:
                return line.decode().strip()


@pytest.fixture
def alarm():
    """Ends what waits for too long."""

    def end(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def archive(root):
    """Bytes of the archive's files; the manifest says how long the work took."""
    files = sorted(root.glob("aspset.barecat*"))
    return {f.name: f.read_bytes() for f in files if "manifest" not in f.name}


def start_run(root, *options):
    """Starts a run of the miniature."""
    return subprocess.Popen(
        [sys.executable, "-m", "posepile", "run", "aspset", "--miniature", *options],
        env=os.environ | {"DATA_ROOT": str(root), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(run):
    """What a run has said that did all units."""
    said, errors = run.communicate()
    assert run.returncode == 0, said + errors
    assert "7 units: 7 done now, 0 kept, 0 quarantined" in said


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Where one process has made the archive."""
    root = tmp_path_factory.mktemp("alone")
    with start_run(root, "--jobs", "1") as run:
        end_of(run)
    assert len(archive(root)) > 2
    return root


@pytest.fixture
def root(alone, tmp_path):
    """A DATA_ROOT with the raw files alone."""
    shutil.copytree(alone / "aspset", tmp_path / "aspset")
    return tmp_path


def test_workers_are_killed_and_come(alone, root, alarm):
    pipe = Pipe(root / "pipe")
    tell = {"TELL": str(root / "pipe")}
    telling = ("--preload", "telling_worker")
    with Cluster() as cluster:
        workers = [cluster.add_worker(*telling, **tell) for _ in range(3)]
        where = ("--backend", "dask", "--scheduler", cluster.address)
        with start_run(root, *where) as run:
            killed = int(pipe.wait_for("0 executing", "1 executing", "2 executing")[0])
            workers[killed].kill()
            others = [w for w in workers if w is not workers[killed]]
            for worker in others:  # the next one finds something left to do
                worker.send_signal(signal.SIGSTOP)
            cluster.add_worker(*telling, **tell)
            pipe.wait_for("3 memory")
            for worker in others:
                worker.send_signal(signal.SIGCONT)
            end_of(run)
        assert cluster.children() == []
    assert archive(root) == archive(alone)


def test_jobs_are_submitted(alone, root, monkeypatch, alarm):
    pytest.importorskip("dask_jobqueue")
    pytest.importorskip("cryptography")
    jobs = slurm_kit.install(monkeypatch, root)
    config = root / "jobs.yaml"
    config.write_text("{jobs: 1, cores: 2, processes: 1, memory: 4GB, interface: lo}")
    try:
        with start_run(root, "--backend", "slurm", "--slurm-config", config) as run:
            end_of(run)
    finally:
        slurm_kit.end_all(jobs)
    assert [p.name for p in jobs.glob("*.cancelled")] == ["1.cancelled"]
    assert archive(root) == archive(alone)
