"""Which workers of a cluster may work for a run, and how many units they can be at."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from posepile.errors import WorkError, one_line
from posepile.run.clusters import on_worker
from posepile.terminal import note

if TYPE_CHECKING:
    from distributed import Client

    from posepile.run.clusters.slurm import SlurmJobs

COUNT_SECONDS = 2.0  # between two counts of their threads
WAIT_SECONDS = 10.0  # without a worker or an answer of the scheduler, until that is said
GONE_SECONDS = 60.0  # without an answer of the scheduler, until the run ends
ANSWER_SECONDS = 10.0  # for the first answer of all workers, who may have to import the package


@functools.cache
def machine_of(worker: str) -> str:
    """Returns the host in a worker's address, e.g. of ``tcp://10.0.0.7:4711``; it is its own."""
    return urlsplit(worker).hostname or worker


def asked(client: Client, function: Callable, *args: Any, **kwargs: Any) -> Future:
    """Begins what a method of a client does; Dask's own way has no limit of time.

    Args:
        client: The client.
        function: Its method.
        *args: Given to it.
        **kwargs: Likewise.
    """

    async def call() -> Any:
        return await function(*args, **kwargs)

    return asyncio.run_coroutine_threadsafe(call(), client.loop.asyncio_loop)


class Workers:
    """The workers of a scheduler, as far as one run knows them.

    Args:
        client: Of the scheduler.
        setup: Path and digest of the file with the setup.
        slurm: Jobs in which they are to begin; None = they are started by others.
    """

    def __init__(self, client: Client, setup: tuple[str, str], slurm: SlurmJobs | None):
        self.client, self.setup, self.slurm = client, setup, slurm
        self.address = client.scheduler.address
        self.threads: dict[str, int] = {}
        self.counted: float | None = None
        self.question: Future | None = None  # for them, at the scheduler
        self.asked_at = 0.0
        self.said_silent = False
        self.n_threads = 0  # of those that are usable
        self.refused: set[str] = set()  # addresses of workers, and machines
        self.waiting_since: float | None = time.monotonic()

    def check(self) -> None:
        """Asks each worker whether it can work for this run.

        Raises:
            WorkError: Names a worker that cannot, and why.
        """
        for worker, answer in self.refusals().items():
            if isinstance(answer, OSError):  # it has gone meanwhile
                continue
            if isinstance(answer, Exception):
                why = f"{type(answer).__name__}: {one_line(answer)}; expected PosePile as here"
                raise WorkError(f"Dask worker {worker}: {why}")
            if answer is not None:
                raise WorkError(f"Dask worker {worker}: {answer}")

    def refusals(self) -> dict[str, Any]:
        """Returns what each worker answers; who says nothing is refused and not among them."""

        def ask(**workers: list[str]) -> Future:
            more = {"on_error": "return", **workers}
            return asked(self.client, self.client.run, on_worker.refusal, *self.setup, **more)

        question = ask()
        try:
            return question.result(ANSWER_SECONDS)
        except Late:
            question.cancel()
        except Exception as e:
            raise self.gone(e) from None
        line = f"waiting for workers of the Dask scheduler {self.address} that do not answer yet"
        tqdm.write(line, file=sys.stderr)
        self.count_threads()
        answers: dict[str, Any] = {}
        # The scheduler answers when all have; so it is asked for each.
        questions = {worker: ask(workers=[worker]) for worker in self.threads}
        until = time.monotonic() + 2 * ANSWER_SECONDS
        for worker, question in questions.items():
            try:
                answers |= question.result(max(0.0, until - time.monotonic()))
            except Late:
                question.cancel()
                self.refuse(worker, f"it has not answered for {3 * ANSWER_SECONDS:g} s")
            except Exception as e:
                raise self.gone(e) from None
        if self.threads and not self.usable():
            raise WorkError(f"no worker of the Dask scheduler {self.address} answers")
        return answers

    def look(self) -> None:
        """Sees whether scheduler and workers are there, and says once if no worker is.

        Raises:
            WorkError: The scheduler is not, or workers will not come.
        """
        self.require_scheduler()
        self.count_threads()
        if self.slurm is not None:
            self.slurm.look()
        since = self.waiting_since
        if since is not None and time.monotonic() - since >= WAIT_SECONDS:
            self.waiting_since = float("inf")
            line = f"waiting for workers of the Dask scheduler {self.address}: it has none"
            where = "" if self.slurm is None else f"; what jobs say is in {self.slurm.logs}"
            tqdm.write(line + where, file=sys.stderr)

    def count_threads(self) -> int:
        """Returns the number of threads of all workers that can work for this run."""
        now = time.monotonic()
        if self.counted is None or now - self.counted >= COUNT_SECONDS:
            self.counted = now
            if self.question is None:
                self.question, self.asked_at = asked(self.client, self.client.nthreads), now
            try:
                before, self.threads = self.threads, self.question.result(COUNT_SECONDS)
            except Late:
                self.is_silent(time.monotonic() - self.asked_at)
            except Exception as e:
                raise self.gone(e) from None
            else:
                self.question, self.said_silent = None, False
                self.say_gone(before)
            if self.threads:
                self.waiting_since = None
            elif self.waiting_since is None:
                self.waiting_since = now
            self.n_threads = sum(self.threads[worker] for worker in self.usable())
        return self.n_threads

    def refuse(self, who: str, why: str) -> None:
        """Takes note of a worker or machine that cannot work for this run any more; says so."""
        if self.is_refused(who):
            return
        self.refused.add(who)
        kind = "machine" if who == machine_of(who) else "Dask worker"
        tqdm.write(f"{kind} {who} gets no more work: {why}", file=sys.stderr)
        self.counted = None
        self.count_threads()

    def is_refused(self, who: str) -> bool:
        """Returns whether a worker, its machine, or a machine has been refused."""
        return not self.refused.isdisjoint((who, machine_of(who)))

    def usable(self) -> list[str]:
        """Returns the workers that have not been refused."""
        return [worker for worker in self.threads if not self.is_refused(worker)]

    def is_silent(self, seconds: float) -> None:
        """Says once that the scheduler does not answer; raises a WorkError after a minute."""
        if seconds >= GONE_SECONDS:
            raise self.gone()
        if seconds >= WAIT_SECONDS and not self.said_silent:
            self.said_silent = True
            line = f"the Dask scheduler {self.address} has not answered for {WAIT_SECONDS:g} s"
            tqdm.write(f"{line}; waiting", file=sys.stderr)

    def say_gone(self, before: Iterable[str]) -> None:
        """Says, also in the log, which of the workers that there were have gone."""
        gone = [w for w in before if w not in self.threads and not self.is_refused(w)]
        if gone:
            more = f" and {len(gone) - 1} more have" if gone[1:] else " has"
            line = f"Dask worker {gone[0]}{more} gone; what it was at is done by others"
            tqdm.write(line, file=sys.stderr)
            note(line)

    def require_scheduler(self) -> None:
        """Raises a WorkError if the connection to the scheduler has ended."""
        if self.client.status not in ("running", "connecting"):
            raise self.gone()

    def gone(self, error: BaseException | None = None) -> WorkError:
        """Returns the error for a scheduler that does not answer any more."""
        why = f" ({one_line(error)[:200]})" if error is not None and str(error) else ""
        return WorkError(
            f"the Dask scheduler {self.address} does not answer any more{why}; what is finished "
            "is kept: start it and run again"
        )
