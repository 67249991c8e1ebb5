"""A Dask cluster on this machine: a scheduler and workers, each a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from conftest import ROOT

from posepile.run.backends import Backend

TESTS = Path(__file__).parent


class Cluster:
    """Starts processes on loopback; ``with`` ends them all.

    Args:
        *options: Of ``dask scheduler``.
        **variables: Its environment.
    """

    def __init__(self, *options, **variables):
        self.workers = []
        self.scheduler = self.start("dask_scheduler", "--port", "0", *options, **variables)
        for line in self.scheduler.stdout:
            if b"Scheduler at" in line:
                self.address = line.split()[-1].decode()
                break
        assert self.scheduler.poll() is None

    @property
    def backend(self):
        return Backend("dask", self.address)

    def start(self, name, *options, host="127.0.0.1", code=ROOT, **variables):
        path = os.pathsep.join([str(code), str(TESTS)])
        return subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.{name}", *options),
                *("--host", host, "--no-dashboard"),
            ],
            cwd=code,  # comes before all other folders with code
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdout=subprocess.PIPE if name == "dask_scheduler" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    def add_worker(self, *options, **variables):
        """Starts a worker, which tasks know by the variable ``WORKER``; it is its number.

        Args:
            *options: Of ``dask worker``.
            **variables: Its environment; or ``host``, or ``code``, the folder of the package.
        """
        number = str(len(self.workers))
        options = ("--nthreads", "1", "--no-nanny", *options)
        self.workers.append(
            self.start("dask_worker", self.address, *options, WORKER=number, **variables)
        )
        return self.workers[-1]

    def children(self):
        """Returns all processes that the workers have started."""
        found = []
        for process in self.workers:
            if process.poll() is None:
                found += psutil.Process(process.pid).children(recursive=True)
        return found

    def end(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()
        self.scheduler.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()
