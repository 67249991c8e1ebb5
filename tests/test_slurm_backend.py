"""Units on jobs that a run submits to Slurm, of which there is a stand-in; arrays with shares."""

import importlib.util
import os
import re
import signal
import socket
import ssl
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import fates
import psutil
import pytest
import slurm_kit

from posepile.errors import UsageError, WorkError
from posepile.run.backends import Backend, Shared
from posepile.run.clusters import slurm, workers
from posepile.run.executor import run_tasks
from posepile.terminal import logged

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")  # before its settings are changed
for needed in ("dask_jobqueue", "cryptography"):  # imported by who uses them
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}", allow_module_level=True)

CONFIG = "{jobs: 2, cores: 1, processes: 1, memory: 1GB, interface: lo}"


@pytest.fixture
def jobs(monkeypatch, tmp_path):
    folder = slurm_kit.install(monkeypatch, tmp_path)
    yield folder
    slurm_kit.end_all(folder)


def run(tmp_path, tasks, config=CONFIG, **options):
    (tmp_path / "jobs.yaml").write_text(config)
    backend = Backend("slurm", config=tmp_path / "jobs.yaml")
    shared = Shared(tmp_path)
    return list(run_tasks(fates.meet, tasks, jobs=None, backend=backend, shared=shared, **options))


def test_jobs_are_submitted_and_cancelled_and_a_killed_one_is_submitted_again(
    jobs, tmp_path, monkeypatch, capsys
):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(workers, "COUNT_SECONDS", 0.1)
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", "xyzzy")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "xyzzy")
    monkeypatch.setenv("POSEPILE_X", "seen")
    tasks = [("wait_there", str(tmp_path), i, "SLURM_JOB_ID") for i in range(20)]
    gate = fates.keep_gate(tmp_path)

    def tick(steps):
        begun = {p.name.rpartition("-")[2] for p in tmp_path.glob("begun-*")}
        if begun == {"1", "2"} and not (jobs / "killed").exists():
            (jobs / "killed").touch()
            os.killpg(int((jobs / "1.pid").read_text()), signal.SIGKILL)
        if "3" in begun:
            gate.close()

    quick = dask.config.set({"distributed.deploy.lost-worker-timeout": "0.1s"})
    with quick, logged(tmp_path / "run.log"):
        pairs = run(tmp_path, tasks, tick=tick)
    assert Counter(task for task, _ in pairs) == Counter(tasks)
    assert {number for _, number in pairs} == {"2", "3"}
    words = r"Dask worker tls://\S+ has gone; what it was at is done by others\n"
    assert len(re.findall(words, capsys.readouterr().err)) == 1
    assert len(re.findall(words, (tmp_path / "run.log").read_text())) == 1
    assert sorted(p.name for p in jobs.glob("*.script")) == ["1.script", "2.script", "3.script"]
    environment = (jobs / "1.environment").read_text()
    assert "POSEPILE_X=seen" in environment and "xyzzy" not in environment
    assert signal.getsignal(signal.SIGINT) is before  # an import changes it
    assert {"2.cancelled", "3.cancelled"} <= {p.name for p in jobs.iterdir()}


def test_nobody_else_in_the_network_reaches_scheduler_or_workers(jobs, tmp_path):
    seen = {}
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def tick(steps):
        scripts = sorted(jobs.glob("*.script"))
        if seen or not scripts:
            return
        [address] = re.findall(r"tls://\S+", scripts[0].read_text())
        [folder] = (tmp_path / "slurm").glob(".key-*")
        seen["mode"] = folder.stat().st_mode & 0o77  # of others
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port)) as plain:
            # Whoever has no certificate of the run hears nothing but that.
            with pytest.raises(ssl.SSLError), trusting.wrap_socket(plain) as connection:
                connection.recv(1)
        seen["open"] = [
            c.laddr.ip
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]
            for c in process.net_connections()
            if c.status == "LISTEN" and not c.laddr.ip.startswith("127.")
        ]

    before = set(Path.cwd().iterdir())
    assert run(tmp_path, [("double", 1)], tick=tick) == [(("double", 1), 2)]
    assert seen == {"mode": 0, "open": []}
    assert list((tmp_path / "slurm").glob(".*")) == []
    assert set(Path.cwd().iterdir()) == before


def test_who_says_so_has_no_tls_or_is_told_what_it_needs(jobs, tmp_path, monkeypatch):
    tcp = CONFIG.replace("}", ", protocol: 'tcp://'}")
    assert run(tmp_path, [("double", 1)], tcp) == [(("double", 1), 2)]
    assert "tcp://" in (jobs / "1.script").read_text()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UsageError, match="jobs.yaml: .*cryptography.*tcp://") as error:
        run(tmp_path, [("double", 1)])
    assert "\n" not in str(error.value)


def test_a_run_whose_jobs_cannot_begin_ends(jobs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slurm, "LOOK_EVERY", 0.0)
    config = CONFIG.replace("}", ", python: /no/python}")
    with pytest.raises(WorkError) as error:
        run(tmp_path, [("double", 1)], config)
    numbers = [int(p.stem) for p in jobs.glob("*.script")]
    assert len(numbers) == 4  # two, and as the third in a row is the last, two once again
    log = rf"{tmp_path}/slurm/dask-worker-[34]\.err"
    assert re.fullmatch(
        r"4 Slurm jobs in a row have ended before a Dask worker began in them, and no other is "
        rf"left; what the last one said is in {log}: \S+ line \d+: /no/python: No such file .*",
        str(error.value),
    )
    assert re.search(r"\d now, of which \d are submitted again; what", capsys.readouterr().err)


def test_what_is_wrong_is_said_in_one_line(jobs, tmp_path):
    for config, kind, words in [
        (CONFIG.replace("}", ", queue: closed}"), WorkError, "sbatch: .*invalid partition.*corre"),
        (CONFIG.replace("jobs: 2", "jobs: none"), UsageError, "jobs: found 'none'; expected a nu"),
        (CONFIG.replace("cores", "coars"), UsageError, "jobs.yaml: .*coars|jobs.yaml: .*cores"),
    ]:
        with pytest.raises(kind, match=words) as error:
            run(tmp_path, [], config)
        assert "\n" not in str(error.value)


def test_a_machine_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkError, match="sbatch: no such program; expected a machine that"):
        run(tmp_path, [])


@pytest.mark.parametrize(
    "option, words",
    [
        ("processes: 0", "processes: found 0; expected a number from 1 on"),
        ("cores: x", "cores: found 'x'; expected a number from 1 on"),
        ("job_extra_directives: --x", "job_extra_directives: found '--x'; expected a list of"),
        ("walltime: [1]", "walltime: found .1.; expected a text in quotes, e.g. '01:00:00'"),
        ("walltime: 1:00:00", "walltime: found 3600; expected a text in quotes"),
        ("scheduler_options: 5", "scheduler_options: found 5; expected options of a Dask sched"),
        ("scheduler_options: {port: PORT}", "Address already in use; expected options of"),
    ],
)
def test_options_that_would_end_up_wrong_in_the_job_script(option, words, jobs, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        option = option.replace("PORT", str(taken.getsockname()[1]))
        name = option.partition(":")[0]
        config = [part for part in CONFIG.strip("{}").split(", ") if not part.startswith(name)]
        with pytest.raises(UsageError, match=f"jobs.yaml: .*{words}"):
            run(tmp_path, [], "{" + ", ".join([*config, option]) + "}")
