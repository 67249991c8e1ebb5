"""Shared fixtures: the environment points nowhere unless a test says where."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests run in as many processes as there are processors. Before numpy is imported: threads of its
# linear algebra that wait for each other would take the time of the other processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from posepile.checking.check import run_script
from posepile.ds import load_miniature

ROOT = Path(__file__).parent.parent

# The same examples in every run, so that a change is judged by what it changes. HYPOTHESIS=explore
# draws others; what it finds becomes an @example.
# How fast the machine is says nothing about the code.
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore")
settings.load_profile(os.environ.get("HYPOTHESIS", "same"))


def pytest_runtest_logreport(report):
    """Says at once what failed and why: a run that is ended from outside never tells."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        why = str(report.longrepr).strip().splitlines() or [""]
        reason = next((line for line in why if line.startswith("E  ")), why[-1])
        reason = reason.removeprefix("E").strip()[:300]
        print(f"\n{report.nodeid} ({report.when}): {reason}", flush=True)


@pytest.fixture(autouse=True)
def _no_outside_environment(monkeypatch):
    for name in ("DATA_ROOT", "CACHE_DIR", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _no_outside_programs(tmp_path_factory):
    """Programs that would reach the network are there, do nothing, and must not be called."""
    folder = tmp_path_factory.mktemp("programs")
    log = folder / "calls"
    for name in ("aws", "egoexo", "wget", "curl"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexit 1\n')
        program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    yield
    os.environ["PATH"] = before
    assert not log.exists(), f"tests called outside programs: {log.read_text()}"


@pytest.fixture(scope="session")
def run_main():
    """Runs a dataset's main.sh the way a user does; returns the finished process."""

    def run(name, data_root, *options, check=True):
        done = run_script(name, data_root, *options)
        if check and done.returncode:
            raise AssertionError(f"main.sh of {name} failed:\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def miniature(run_main, tmp_path_factory):
    """DATA_ROOT of a dataset's processed miniature, made once per session and read only."""
    made = {}

    def get(name):
        if name not in made:
            root = tmp_path_factory.mktemp(f"data_{name}")
            made[name] = root, run_main(name, root, "--miniature")
        return made[name][0]

    get.output = lambda name: made[name][1].stdout
    return get


@pytest.fixture(scope="session")
def raw_miniature(tmp_path_factory):
    """Raw folder of a dataset's miniature, made once per session and read only."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(f"raw_{name}") / name
            load_miniature(name).build(made[name])
        return made[name]

    return get


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """An environment's prefix with the unpacked wheel in its site-packages, and those."""
    from wheel_kit import install_package

    return install_package(tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium, see browser_kit; skips where there is none.

    For one module: Playwright's event loop and its program would be in the way of what others
    fork, which would keep its pipe open.
    """
    from browser_kit import start

    yield from start()


@pytest.fixture
def browser(chromium):
    """The same, whose pages are closed after each test."""
    yield chromium
    chromium.close_pages()


@pytest.fixture
def server():
    """A web server on this machine."""
    from web_kit import Server

    s = Server()
    yield s
    s.close()


@pytest.fixture
def serve():
    """Makes web servers on this machine that misbehave."""
    from hostile_servers import Hostile

    servers = []

    def make(*answers, **kwargs):
        servers.append(Hostile(*answers, **kwargs))
        return servers[-1]

    yield make
    for s in servers:
        s.close()


@pytest.fixture
def no_accounts(monkeypatch, tmp_path):
    """No terminal, no proxy and nobody's passwords."""
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in list(os.environ):
        if name.startswith("POSEPILE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("POSEPILE_CREDENTIALS", str(tmp_path / "credentials.yaml"))


@pytest.fixture
def no_fsync(monkeypatch):
    """Does not wait for the disk, in tests that write very much and are not about power cuts."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
