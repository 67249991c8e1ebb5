"""A Dask cluster whose workers are jobs of Slurm, for the time of one run."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from posepile import paths
from posepile.acquire.credentials import clean_environment
from posepile.errors import UsageError, WorkError, one_line
from posepile.files import write_atomically
from posepile.formats.yaml_files import read_yaml
from posepile.run.backends import Backend
from posepile.run.worker_log import last_lines

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from distributed.security import Security

SUBMIT, ASK = "sbatch", "squeue"
SECONDS = 60.0  # for an answer of Slurm
LOOK_EVERY = 10.0  # between two questions for jobs in which no worker has begun yet
TRIES = 3  # jobs that may end in a row before a worker begins in any, all but the last tried again
# What Slurm says for a while of jobs that are over.
_OVER = """BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED
    TIMEOUT""".split()
_LISTS = """job_extra_directives job_directives_skip job_script_prologue worker_extra_args
    """.split()


class SlurmJobs:
    """Jobs in which Dask workers begin. Dask submits those again whose worker has gone.

    Those in which none begins are looked after here, as Dask waits for them for ever.

    Args:
        cluster: What submits them.
        count: How many there are to be.
        logs: Folder of what they say.
    """

    def __init__(self, cluster: SLURMCluster, count: int, logs: Path):
        self.cluster, self.count, self.logs = cluster, count, logs
        self.looked = time.monotonic()
        self.begun: set[str] = set()  # Slurm's numbers of jobs that have been workers
        self.dead: set[str] = set()  # that have ended without
        self.n_in_a_row = 0

    def look(self) -> None:
        """Says which jobs have ended before a worker began, and submits the first ones again.

        Raises:
            WorkError: No job is left.
        """
        names = [w["name"] for w in self.cluster.scheduler_info["workers"].values()]
        jobs = {j.job_id: name for name, j in list(self.cluster.workers.items()) if j.job_id}
        # A job with several workers has names that end in -0, -1, ...
        here = {*names, *(str(name).rpartition("-")[0] for name in names)}
        begun = {number for number, name in jobs.items() if name in here}
        if begun - self.begun:
            self.begun |= begun
            self.n_in_a_row = 0
        unsure = jobs.keys() - self.begun - self.dead
        if not unsure or time.monotonic() - self.looked < LOOK_EVERY:
            return
        self.looked = time.monotonic()
        ended = sorted(_ended(unsure))
        if not ended:
            return
        again = ended[: max(0, TRIES - 1 - self.n_in_a_row)]
        for number in again:  # what Dask does when it misses a worker
            self.cluster.loop.add_callback(self.cluster.workers.pop, jobs[number], None)
        self.n_in_a_row += len(ended)
        self.dead |= set(ended)
        said = (
            f"{self.n_in_a_row} Slurm jobs in a row have ended before a Dask worker began in them"
        )
        log = f"what the last one said is in {self.log(ended[-1])}"
        if not again and not here and self.count == len(self.dead & jobs.keys()):
            raise WorkError(f"{said}, and no other is left; {log}")
        left = f", {len(ended)} now, of which {len(again)} are submitted again"
        tqdm.write(f"{said}{left}; {log}", file=sys.stderr)

    def log(self, number: str) -> str:
        """Returns the file with what a job has said, and its last words."""
        path = self.logs / f"{self.cluster.job_name}-{number}.err"
        try:
            said = path.read_text(errors="replace")
        except OSError:
            return str(self.logs)
        return f"{path}{last_lines(said)[:300]}"


def _ended(numbers: Set[str]) -> list[str]:
    """Returns which jobs are over, as far as Slurm answers."""
    # No header, number and state of each of these jobs.
    words = [ASK, "-h", "-o", "%A %T", "-j", ",".join(sorted(numbers))]
    env = clean_environment(network=False)
    more = {"env": env, "capture_output": True, "text": True, "errors": "replace"}
    try:
        answer = subprocess.run(words, check=False, timeout=SECONDS, **more)
    except (OSError, subprocess.TimeoutExpired):
        return []
    # Of a single job that it has forgotten, Slurm says that there is none.
    if answer.returncode and "Invalid job id" not in answer.stderr:
        return []
    lines = (line.split() for line in answer.stdout.splitlines())
    return list(numbers - {words[0] for words in lines if words[1:] and words[1] not in _OVER})


@contextlib.contextmanager
def started(backend: Backend, work: Path) -> Iterator[SlurmJobs]:
    """Submits jobs in which Dask workers run; they are cancelled at the end.

    The scheduler runs in this process. A job that ends meanwhile, e.g. by its time limit, is
    submitted again.

    Args:
        backend: What the user has said.
        work: Work folder of the run, where what the jobs say is kept.

    Raises:
        UsageError: The configuration is not one of Slurm jobs.
        WorkError: There is no Slurm here, or it refuses such jobs.
    """
    file = backend.config or paths.config_dir() / "slurm.yaml"
    options = read_yaml(file, dict[str, Any], kind="configuration of Slurm jobs")
    count = backend.workers or options.pop("jobs", None)
    options.pop("jobs", None)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UsageError(
            f"{file}: jobs: found {count!r:.40}; expected a number of jobs, from 1 on"
        )
    _require_kinds(options, file)
    if shutil.which(SUBMIT) is None:
        raise WorkError(f"{SUBMIT}: no such program; expected a machine that submits to Slurm")
    logs = work / "slurm"
    if options.get("log_directory") is None:
        options["log_directory"] = str(logs)
    logs.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".key-", dir=logs) as keys,
        contextlib.closing(_cluster(options, file, Path(keys))) as cluster,
    ):
        _require_accepted(cluster.job_script(), file)
        cluster.adapt(minimum_jobs=count, maximum_jobs=count)
        yield SlurmJobs(cluster, count, Path(options["log_directory"]))


def _cluster(options: dict[str, Any], file: Path, keys: Path) -> SLURMCluster:
    cluster_class, job_class = _classes()
    secret = sorted(os.environ.keys() - clean_environment(network=False).keys())
    # Slurm hands the environment of who submits on to the job: without what gives access.
    words = ["env", *(f"--unset={name}" for name in secret), SUBMIT]

    class Job(job_class):
        submit_command = shlex.join(words)

    class Cluster(cluster_class):
        job_cls = Job

    # Any port, as several runs may be at work on one machine; for nobody else to look at.
    pages = "127.0.0.1:0"
    options["scheduler_options"] = {
        "dashboard_address": pages,
        **(options.get("scheduler_options") or {}),
    }
    options["worker_extra_args"] = [
        *("--dashboard-address", pages),
        *(options.get("worker_extra_args") or []),
    ]
    try:
        if options.get("security") is True or not (
            options.get("protocol") or options.get("security")
        ):
            options["security"] = _key_of_this_run(keys)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Cluster(**options)
    except ImportError as e:
        raise UsageError(
            f"{file}: {one_line(e)[:300]}; `pip install cryptography`, or set protocol to tcp:// "
            "where everybody in the network may run code on the nodes as you"
        ) from None
    except (TypeError, ValueError, OSError, RuntimeError) as e:
        first = e  # e.g. a port that is taken; what follows from it says less
        while first.__cause__ or first.__context__:
            first = first.__cause__ or first.__context__
        raise UsageError(
            f"{file}: {one_line(first)[:300]}; expected options of dask_jobqueue.SLURMCluster"
        ) from None


def _require_kinds(options: dict[str, Any], file: Path) -> None:
    """Looks at options that would end up letter by letter, or as minutes, in the job script."""
    # In YAML, 1:00:00 without quotes is a number of seconds; Slurm takes that for minutes.
    kinds: dict[str, tuple[Any, str]] = {"walltime": (str, "a text in quotes, e.g. '01:00:00'")}
    kinds["scheduler_options"] = dict, "options of a Dask scheduler by their names"
    kinds |= dict.fromkeys(_LISTS, (list, "a list of texts"))
    for name, (kind, expected) in kinds.items():
        value = options.get(name)
        good = isinstance(value, kind) and all(isinstance(part, str) for part in value)
        if value is not None and not good:
            raise UsageError(f"{file}: {name}: found {value!r:.60}; expected {expected}")
    for name in ("cores", "processes"):
        value = options.get(name, 1)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{file}: {name}: found {value!r:.60}; expected a number from 1 on")


def _key_of_this_run(folder: Path) -> Security:
    """Makes a key for scheduler, workers and client, which nobody but this user can read."""
    from distributed.security import Security

    texts = Security.temporary().get_tls_config_for_role("worker")
    files = {}
    for name in ("ca_file", "cert", "key"):
        files[name] = str(folder / name)
        write_atomically(folder / name, texts[name].encode())
    roles = {
        f"tls_{role}_{name}": files[name]
        for role in ("client", "scheduler", "worker")
        for name in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=files["ca_file"], **roles)


def _classes() -> tuple[type, type]:
    """Imports the library, which changes what Ctrl-C does to this process; that is undone."""
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue import SLURMCluster
        from dask_jobqueue.slurm import SLURMJob
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)
    return SLURMCluster, SLURMJob


def _require_accepted(script: str, file: Path) -> None:
    """Asks Slurm whether it would take such a job, as it says why not only to who submits it.

    Raises:
        WorkError: What Slurm has said.
    """
    try:
        answer = subprocess.run(
            [SUBMIT, "--test-only"],
            check=False,
            input=script,
            env=clean_environment(network=False),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise WorkError(f"{SUBMIT}: no answer for {SECONDS:g} s; is Slurm running?") from None
    if answer.returncode:
        said = " / ".join(answer.stderr.split("\n")).strip(" /")
        raise WorkError(f"{SUBMIT}: {said[:400]}; correct {file} or give --slurm-config FILE")
