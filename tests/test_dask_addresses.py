"""What a run and its cluster know of each other: addresses, who is silent, folders, libraries."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import fates
import pytest
from cluster_kit import Cluster
from conftest import ROOT

from posepile.errors import UsageError, WorkError
from posepile.run.backends import Backend, Shared, make_backend, require_address
from posepile.run.clusters import batches, connecting, on_worker, workers
from posepile.run.executor import run_tasks

pytest.importorskip("distributed")


def start(backend, tmp_path, n=6, **options):
    tasks = [("double", i) for i in range(n)]
    where = {"backend": backend, "shared": Shared(tmp_path)}
    return dict(run_tasks(fates.meet, iter(tasks), jobs=None, **where, **options))


@pytest.mark.parametrize(
    "good", ["tcp://head:8786", "tls://10.0.0.7:1", "a-b.c:65535", "tcp://[fd00::7]:8786"]
)
def test_addresses(good):
    assert require_address(good, "--scheduler") == good


@pytest.mark.parametrize(
    "bad",
    [
        *("", " ", "processes", "head", "http://head:8786", "tcp://head", "tcp://head:0"),
        *("x:65536", "tcp://head:8786/", "tcp://a:b@head:8786", "tcp://head:٣", "x:8786\n"),
    ],
)
def test_what_is_no_address_is_refused_before_it_is_tried(bad, tmp_path):
    with pytest.raises(UsageError, match="^--scheduler: found .*; expected tcp://HOST:PORT") as e:
        make_backend("dask", bad)
    assert "\n" not in str(e.value)
    (tmp_path / "file").write_text(json.dumps({"address": bad}))
    with pytest.raises(UsageError, match="file: found .*; expected tcp://HOST:PORT"):
        connecting.address_in(tmp_path / "file")


def test_empty_names_of_files_are_refused():
    with pytest.raises(UsageError, match="--scheduler-file: is empty"):
        make_backend("dask", scheduler_file=Path(""))
    with pytest.raises(UsageError, match="--slurm-config: is empty"):
        make_backend("slurm", config=Path(""))


@contextlib.contextmanager
def server(answer):
    """Takes connections on loopback and answers them; yields its port."""
    kept = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                kept.append(listening.accept()[0])
                kept[-1].sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


@pytest.mark.parametrize("scheme", ["tcp", "ws", "ucx"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n" + 500 * b"x"])
def test_what_is_no_scheduler(answer, scheme, tmp_path, monkeypatch):
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.2)
    with server(answer) as port:
        address = f"{scheme}://127.0.0.1:{port}"
        with pytest.raises(WorkError) as error:
            start(Backend("dask", address), tmp_path)
    assert str(error.value).startswith(f"no Dask scheduler answers at {address}: ")
    assert "\n" not in str(error.value)


def test_dask_has_nothing_to_say(tmp_path, monkeypatch):
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.2)
    logging.getLogger("distributed.client").setLevel(logging.WARNING)  # as it does
    with pytest.raises(WorkError):
        start(Backend("dask", "tcp://127.0.0.1:1"), tmp_path)
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] in ("distributed", "tornado"):
            assert logging.getLogger(name).getEffectiveLevel() == logging.CRITICAL, name


def test_who_says_nothing_is_named(tmp_path, monkeypatch, capsys):
    from distributed import Client

    with Cluster() as cluster:
        cluster.add_worker()
        start(cluster.backend, tmp_path)  # so that all is imported
        frozen = cluster.add_worker()
        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(2)
        os.kill(frozen.pid, signal.SIGSTOP)
        monkeypatch.setattr(workers, "ANSWER_SECONDS", 1.5)
        monkeypatch.setattr(batches, "END_SECONDS", 0.5)
        assert start(cluster.backend, tmp_path) == {("double", i): 2 * i for i in range(6)}
        said = capsys.readouterr().err
        assert "that do not answer yet" in said
        assert said.count("gets no more work: it has not answered for 4.5 s") == 1

        os.kill(frozen.pid, signal.SIGKILL)
        monkeypatch.setattr(workers, "ANSWER_SECONDS", 60.0)
        for name, seconds in [("COUNT", 0.1), ("WAIT", 0.3), ("GONE", 1.5)]:
            monkeypatch.setattr(workers, f"{name}_SECONDS", seconds)
        monkeypatch.setattr(connecting, "CLOSE_SECONDS", 0.5)
        stop = {"tick": lambda steps: os.kill(cluster.scheduler.pid, signal.SIGSTOP)}
        with pytest.raises(WorkError, match="does not answer any more; what is finished is kept"):
            start(cluster.backend, tmp_path, n=3000, **stop)
        assert "has not answered for 0.3 s; waiting" in capsys.readouterr().err


def test_folders_are_handed_over_as_they_are_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in [
        ("DATA_ROOT", "data"),
        ("CACHE_DIR", ""),
        ("POSEPILE_DATASETS", os.pathsep.join(["ds", "", "/more"])),
        ("POSEPILE_LOCKS", "leases"),
    ]:
        monkeypatch.setenv(name, value)
    found = on_worker.environment_to_hand_over()
    assert found["DATA_ROOT"] == str(tmp_path / "data")
    assert found["POSEPILE_DATASETS"] == os.pathsep.join([str(tmp_path / "ds"), "/more"])
    assert (found["CACHE_DIR"], found["POSEPILE_LOCKS"]) == ("", "leases")


def test_libraries_of_a_checkout_that_is_not_installed_are_compared():
    code = """import importlib.metadata as m
def missing(name): raise m.PackageNotFoundError(name)
m.requires = missing
from posepile.run.clusters.same_code import code_here
print(*code_here())"""
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True)
    assert {"numpy", "av", "scipy"} <= set(done.stdout.split())
