"""Units on the workers of a Dask cluster: whatever becomes of a unit or a worker, as locally."""

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import fates
import lost_units_kit
import pytest
from cluster_kit import Cluster
from conftest import ROOT
from fates import MB
from lost_units_kit import BAD

import posepile
from posepile import durable
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.run import commands, pack
from posepile.run.backends import Backend, Shared, make_backend
from posepile.run.clusters import batches, connecting, on_worker, same_code
from posepile.run.clusters.workers import Workers
from posepile.run.executor import Limits, Lost, run_tasks

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

lost_units = lost_units_kit.fates
OK = [("double", i) for i in range(6)]


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as cluster:
        cluster.add_worker()
        # Another machine, for who goes by addresses.
        other = {"host": "127.0.0.2"} if sys.platform == "linux" else {}
        cluster.add_worker("--nthreads", "2", **other)
        yield cluster


@pytest.fixture
def results(cluster, tmp_path):
    """Task -> result; every task must come back exactly once, and no child stays."""

    def get(tasks, **options):
        options = {"jobs": None, "backend": cluster.backend, "shared": Shared(tmp_path)} | options
        pairs = list(run_tasks(fates.meet, iter(tasks), **options))
        assert Counter(task for task, _ in pairs) == Counter(tasks)
        assert cluster.children() == []
        assert list(tmp_path.glob(".backend-*")) == []
        return dict(pairs)

    return get


# ---------------------------------------------------------------- what is done


def test_many_tiny_tasks_come_back_once_each(results, monkeypatch):
    sizes = []
    submit = batches._Batches.submit

    def count(self, batch):
        sizes.append(len(batch.tasks))
        submit(self, batch)

    monkeypatch.setattr(batches._Batches, "submit", count)
    monkeypatch.setattr(batches, "MOST", 20)
    found = results([("double", i) for i in range(300)])
    assert found == {("double", i): 2 * i for i in range(300)}
    assert sizes[0] == 1 and max(sizes) == 20


class Seat:
    """What does tasks on a worker that are their own results; a shortage is the last."""

    refusal = None

    def do(self, task):
        if isinstance(task, Lost) and task.kind == "shortage":
            self.refusal = task.reason
        return task


def test_a_batch_ends_when_it_has_taken_long_and_when_the_worker_is_of_no_use(monkeypatch):
    monkeypatch.setattr("distributed.get_worker", lambda: SimpleNamespace(address="tcp://a:1"))
    died, short = Lost("died", "a fault"), Lost("shortage", "no room")
    for tasks, seconds, n, refusal in [
        ([b"1", died, b"2"], 100.0, 3, None),
        ([b"1", b"2"], 0.0, 1, None),
        ([b"1", short, b"2"], 100.0, 2, "no room"),
    ]:
        seat = Seat()
        monkeypatch.setattr(on_worker, "_seat", lambda path, digest, seat=seat: seat)
        done = on_worker.do_units("", "", tasks, seconds)
        assert (done.results, done.worker, done.refusal, done.end) == (
            *(tasks[:n], "tcp://a:1", refusal, None),
        )
        if refusal:
            assert on_worker.do_units("", "", tasks, seconds).results == []


def test_tasks_are_taken_when_they_are_needed(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 3)
    taken = 0

    def tasks():
        nonlocal taken
        while True:
            taken += 1
            yield ("double", taken)

    where = {"backend": cluster.backend, "shared": Shared(tmp_path)}
    with contextlib.closing(run_tasks(fates.meet, tasks(), jobs=5, **where)) as pairs:
        for finished in range(1, 50):
            next(pairs)
            assert taken <= finished + 3 * 5 + 2  # of the batch at hand some came back
    assert cluster.children() == []


def test_children_have_the_callers_variables_but_no_passwords(results, monkeypatch):
    names = ("DATA_ROOT", "POSEPILE_X", "POSEPILE_AMASS_PASSWORD", "ELSEWHERE", "OMP_NUM_THREADS")
    for name in names[:4]:
        monkeypatch.setenv(name, "/here")
    task = ("variables", *names)
    assert results([task]) == {task: ["/here", "/here", None, None, "1"]}


FAILING = {
    ("read_nothing",): ("died", "ended with signal 11 (SIGSEGV)", "in read_nothing"),
    ("leave", 3): ("died", "its worker process ended with exit code 3", ""),
    ("fail", "a fault"): ("exception", "unexpected ValueError: a fault", "in fail"),
    ("no_result",): ("exception", "cannot pickle", ""),
    ("hang_in_c",): ("stalled", "no progress for 9 s", "in hang_in_c"),
    ("eat", 2000 * MB): ("memory", "needed more than 0.3 GB of memory", ""),  # a trace has 20 ms
}


def test_tasks_that_fail_are_lost_alone(results):
    found = results([*OK[:3], *FAILING, *OK[3:]], limits=Limits(300 * MB, 9.0))
    for task, (kind, reason, trace) in FAILING.items():
        lost = found.pop(task)
        assert isinstance(lost, Lost)
        assert (lost.kind, reason in lost.reason) == (kind, True), lost
        assert trace in (lost.trace or "")
    assert found == {task: 2 * task[1] for task in OK}


def test_the_same_archive_and_the_same_quarantine_as_of_one_local_process(
    cluster, lost_units, tmp_path
):
    def outcome(**options):
        run = lost_units("run.max_quarantined=0.5", "run.max_idle_minutes=0.15", **options)
        commands.process(run, ("crop",))
        pack.pack(run)
        records = [json.loads(p.read_text()) for p in run.work.glob("quarantine/*/*")]
        reasons = {r["unit"]: (r["key"], r["error"]["reason"]) for r in records}
        files = [*run.archive.parent.glob("fates.barecat*")]
        found = reasons, {p.name: p.read_bytes() for p in files}
        shutil.rmtree(run.work)
        for file in files:
            file.unlink()
        return found

    reasons, archive = outcome(jobs=1)
    assert len(reasons) == len(BAD) and "fates.barecat" in archive
    assert outcome(backend=cluster.backend) == (reasons, archive)


# ---------------------------------------------------------------- what cannot work


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def start(cluster, tmp_path, tasks=OK, **options):
    options = {"backend": cluster.backend, "shared": Shared(tmp_path)} | options
    return list(run_tasks(fates.meet, tasks, jobs=None, **options))


def test_workers_with_other_code_are_named(cluster, tmp_path, monkeypatch):
    other = {**same_code.code_here(), "numpy": "0.1", "the code of PosePile": "0.0 abc"}
    monkeypatch.setattr(batches, "code_here", lambda folders: other)
    with pytest.raises(WorkError) as error:
        start(cluster, tmp_path)
    assert re.fullmatch(
        r"Dask worker tcp://127.0.0.[12]:\d+: the code of PosePile is \S+ \w+, expected 0.0 abc, "
        r"numpy is \S+, expected 0.1; install there what the run itself uses, or start that "
        r"worker anew",
        one_line(error),
    )


def test_code_may_be_edited_while_workers_stay_but_not_what_they_have_loaded(
    tmp_path, monkeypatch
):
    package = tmp_path / "posepile"
    (package / "run").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "run" / "pool.py").touch()
    monkeypatch.setattr(posepile, "__file__", str(package / "__init__.py"))

    runs = itertools.count()

    def refusal(code):
        setup = on_worker.Setup(b"", None, Limits(), {}, code, (), (), str(next(runs)))
        with connecting.handed_over(setup, tmp_path) as (path, digest):
            return on_worker.refusal(path, digest)

    begun = same_code.code_here()
    assert refusal(begun) is None
    (package / "stage.py").write_text("# edited")
    edited = same_code.code_here()
    assert refusal(edited) is None
    assert "the code of PosePile is" in refusal(begun)
    (package / "run" / "pool.py").write_text("# edited")
    same_code._loaded.cache_clear()  # the run is another process than the worker
    edited = same_code.code_here()
    loaded = "posepile/run as it was loaded"
    monkeypatch.setattr(same_code, "_loaded", lambda package: begun[loaded])
    assert re.fullmatch(
        rf"{loaded} is \w+, expected \w+; install .*, or start that worker anew", refusal(edited)
    )


def test_workers_with_other_code_or_none_that_come_late_get_no_work(tmp_path, capsys):
    other, foreign = tmp_path / "other", tmp_path / "foreign"
    shutil.copytree(ROOT / "posepile", other / "posepile", ignore=shutil.ignore_patterns("ds"))
    (other / "posepile" / "ds").mkdir()
    with open(other / "posepile" / "files.py", "a") as f:
        f.write("# of another day\n")
    foreign.mkdir()
    (foreign / "posepile.py").write_text("raise ImportError('not here')")
    tasks = [("wait_there", str(tmp_path), i) for i in range(60)]
    gate = fates.keep_gate(tmp_path)
    said = ""

    def tick(steps):
        nonlocal said
        if len(cluster.workers) == 1 and list(tmp_path.glob("begun-*")):
            cluster.add_worker("--nthreads", "30", code=other)
            cluster.add_worker("--nthreads", "30", code=foreign)
        said += capsys.readouterr().err
        if said.count("gets no more work") == 2:
            gate.close()

    with Cluster(code=foreign) as cluster:  # the scheduler needs no PosePile
        cluster.add_worker()
        pairs = start(cluster, tmp_path, tasks, tick=tick)
        assert all(worker.poll() is None for worker in cluster.workers)
    assert Counter(task for task, _ in pairs) == Counter(tasks)
    assert {worker for _, worker in pairs} == {"0"}
    lines = sorted(line for line in said.splitlines() if "gets no more work" in line)
    words = [line.partition(" gets no more work: ")[2] for line in lines]
    assert "ImportError: not here; expected PosePile as it is here" in words
    assert any(re.match(r"the code of PosePile is \S+ \w+, expected ", word) for word in words)


@pytest.mark.skipif(sys.platform != "linux", reason="has one address on loopback")
def test_what_one_machine_lacks_is_done_on_another(results, capsys):
    some = [("lack_room_at", "0", i) for i in range(40)]
    assert results(some) == {task: task[2] for task in some}
    said = capsys.readouterr().err
    assert said.count("gets no more work: on ") == 1 and "No space left" in said

    task = ("lack_room_at", "01", 0)
    lost = results([task])[task]
    assert lost.kind == "shortage" and "No space left" in lost.reason


def test_a_unit_that_ends_its_dask_workers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "TRIES", 2)
    with Cluster(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        for _ in range(3):
            cluster.add_worker()

        def tick(steps):
            assert any(worker.poll() is None for worker in cluster.workers)

        pairs = start(cluster, tmp_path, [*OK, ("end_dask_worker",)], tick=tick)
        assert sum(worker.poll() is None for worker in cluster.workers) == 1
    lost = dict(pairs).pop(("end_dask_worker",))
    assert (lost.kind, "Dask workers ended again and again" in lost.reason) == ("died", True)
    assert Counter(pairs) == Counter([*((t, 2 * t[1]) for t in OK), (("end_dask_worker",), lost)])


class Given:
    """Batches of a run with some workers; what is submitted is kept."""

    def __init__(self, monkeypatch, *workers, refused=()):
        self.submitted = []
        monkeypatch.setattr(batches._Batches, "submit", lambda _, b: self.submitted.append(b))
        client = SimpleNamespace(
            scheduler=SimpleNamespace(address="tcp://s:1"), status="running", nthreads=dict
        )
        self.workers = Workers(client, ("", ""), None)
        self.workers.threads = dict.fromkeys(workers, 1)
        self.workers.refused |= set(refused)
        self.batches = batches._Batches(self.workers, None, lambda steps: None)


def test_each_unit_of_a_batch_that_ended_its_worker_is_tried_again_alone(monkeypatch):
    given = Given(monkeypatch)
    killed = distributed.scheduler.KilledWorker("x", None, 0)
    future = SimpleNamespace(status="error", exception=lambda: killed)
    assert list(given.batches.again(batches._Batch(["a", "b"], places=1), future)) == []
    a, b = given.submitted
    assert [(x.tasks, x.failed, x.places) for x in (a, b)] == [(["a"], 1, 1), (["b"], 1, 1)]
    for failed in range(2, batches.TRIES):
        assert list(given.batches.again(a, future)) == []
        a = given.submitted[-1]
        assert (a.tasks, a.failed) == (["a"], failed)
    [(task, lost)] = given.batches.again(a, future)
    assert (task, lost.kind) == ("a", "died")
    future.exception = lambda: ValueError("x")
    with pytest.raises(WorkError, match="tcp://s:1 has given up a unit: ValueError: x"):
        list(given.batches.again(a, future))


def test_what_waits_for_workers_that_have_all_gone_is_given_to_others(monkeypatch):
    here, gone, refused = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1", "tcp://10.0.0.3:1"
    given = Given(monkeypatch, here, refused, refused=["10.0.0.3"])
    assert given.workers.usable() == [here]
    cancelled = []
    for name, workers in [("a", [gone]), ("b", [gone, here]), ("c", None)]:
        future = SimpleNamespace(cancel=lambda name=name: cancelled.append(name))
        given.batches.handed[name] = batches._Batch([name], workers=workers, future=future)
    given.batches.move_stranded()
    assert [batch.tasks for batch in given.submitted] == [["a"]] and cancelled == ["a"]
    assert sorted(given.batches.handed) == ["b", "c"]
    given.workers.threads = {}  # nobody is there to be given it
    given.batches.handed["b"].workers = [gone]
    given.batches.move_stranded()
    assert cancelled == ["a"]


def test_workers_without_the_folders_of_the_run_are_named(cluster, tmp_path):
    with pytest.raises(WorkError) as error:
        start(cluster, tmp_path, shared=Shared(tmp_path, (tmp_path / "raw",)))
    assert f"{tmp_path}/raw: no such folder here; expected the same as" in one_line(error)


def test_a_worker_with_another_disk_sees_that(tmp_path):
    path = tmp_path / "x.setup"
    assert "No such file or directory; expected the disk" in on_worker.refusal(str(path), "ab")
    path.write_bytes(b"of another run")
    assert "is another file here; expected the disk" in on_worker.refusal(str(path), "ab")


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 0.3)
    where = {"shared": Shared(tmp_path)}
    for backend, words in [
        (Backend("dask", "tcp://127.0.0.1:1"), "no Dask scheduler answers at tcp://127.0.0.1:1: "),
        (
            Backend("dask", scheduler_file=tmp_path / "no"),
            "/no: file is missing; give the",
        ),
    ]:
        with pytest.raises((WorkError, CorruptInput)) as error:
            list(run_tasks(fates.meet, OK, backend=backend, **where))
        assert words in one_line(error)
    (tmp_path / "bad").write_text("{}")
    with pytest.raises(CorruptInput, match="bad: .*address"):
        list(run_tasks(fates.meet, OK, backend=Backend("dask", None, tmp_path / "bad"), **where))


def test_a_scheduler_that_ends_amid_the_work(tmp_path):
    with Cluster() as cluster:
        where = {"backend": cluster.backend, "shared": Shared(tmp_path)}
        end = {"tick": lambda steps: cluster.scheduler.kill()}
        again = {"distributed.comm.timeouts.connect": "1s"}  # else it is looked for longer
        with dask.config.set(again), pytest.raises(WorkError) as error:
            list(run_tasks(fates.meet, OK, jobs=None, **where, **end))
        assert "does not answer any more" in one_line(error)
        assert "run again" in one_line(error)


def test_tls_as_a_configuration_file_of_dask_says(tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    own = {name: str(tmp_path / f"{name}.pem") for name in ("key", "cert")}
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x".split()
    words += ["-keyout", own["key"], "-out", own["cert"]]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    tls = {"ca-file": own["cert"], **dict.fromkeys(("scheduler", "worker", "client"), own)}
    (tmp_path / "dask.yaml").write_text(json.dumps({"distributed": {"comm": {"tls": tls}}}))
    with Cluster("--protocol", "tls", DASK_CONFIG=str(tmp_path)) as cluster:
        assert cluster.address.startswith("tls://")
        cluster.add_worker(DASK_CONFIG=str(tmp_path))
        monkeypatch.setattr(connecting, "CONNECT_SECONDS", 1.0)
        with pytest.raises(WorkError, match="no Dask scheduler answers at tls://.*TLS"):
            start(cluster, tmp_path)
        try:
            dask.config.refresh(paths=[tmp_path])  # what importing Dask does
            assert start(cluster, tmp_path, OK[3:4]) == [(("double", 3), 6)]
        finally:
            dask.config.refresh()


def test_builds_of_a_library_for_a_server_or_a_gpu_are_the_library(monkeypatch):
    metadata = same_code.importlib.metadata
    there = {"opencv-python-headless": "5", "onnxruntime-gpu": "1.31"}

    def version(name):
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(metadata, "version", version)
    assert same_code.version_of("opencv-python") == "5"
    assert same_code.version_of("onnxruntime") == "1.31"
    assert same_code.version_of("numpy") is None


def test_options_that_contradict_each_other():
    for options, words in [
        ({"kind": "dask"}, "--backend dask: expected --scheduler"),
        ({"scheduler": "tcp://x:1"}, "--scheduler: goes with --backend dask; found --backend"),
        ({"kind": "dask", "scheduler": "x", "scheduler_file": "y"}, "exclude each other"),
        (
            {"kind": "dask", "scheduler": "x:1", "workers": 2},
            "--workers: goes with --backend slurm",
        ),
    ]:
        with pytest.raises(UsageError, match=words):
            make_backend(**options)


def test_what_a_killed_run_has_left_goes(tmp_path, cluster):
    address = tmp_path / "scheduler.json"
    address.write_text(json.dumps({"address": cluster.address}))
    left = tmp_path / f".backend-{durable.host()}-{2**22 + 5}-abc.setup"
    others = tmp_path / ".backend-another-7-abc.setup"
    left.touch()
    others.touch()
    assert not start(cluster, tmp_path, (), backend=Backend("dask", scheduler_file=address))
    assert not left.exists() and others.exists()
