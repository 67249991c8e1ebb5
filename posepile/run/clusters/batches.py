"""Units on the workers of a Dask cluster, as :func:`posepile.run.executor.run_tasks` has them.

The scheduler gets two batches of units per thread of its workers and the next one when one is
done, so it keeps few, however many there are. A batch is one unit, or several if those are done in
less than two seconds. When a worker goes, the scheduler gives its units to others; a worker that
comes gets work, and one whose machine lacks something (room, memory) gets none any more. What a
unit leaves is in the shared folders; only its outcome, some hundred bytes, comes back.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import pickle
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posepile.errors import WorkError, one_line
from posepile.run.backends import Backend, Shared
from posepile.run.clusters import on_worker
from posepile.run.clusters.connecting import connected, handed_over
from posepile.run.clusters.same_code import code_here
from posepile.run.clusters.workers import ANSWER_SECONDS, Workers, asked, machine_of
from posepile.run.pool import Limits
from posepile.run.worker import Lost

if TYPE_CHECKING:
    from distributed import Future

END_SECONDS = on_worker.LAST_SECONDS + 1.0  # for workers to leave what they are at
TICK = 0.2  # seconds between two looks at the cluster
AHEAD = 2  # batches at the scheduler per thread of its workers
LEAST_AHEAD = 16  # for clusters that grow when there is work
BATCH_SECONDS = 2.0  # that a batch is to take: the scheduler's own work for it is some ms
MOST = 100  # units in a batch
PLACES = 3  # so many machines may lack what a unit needs, then it is lost by that
TRIES = 3  # so many times may Dask give up a unit as its workers ended under it


def on_cluster(
    function: Callable,
    tasks: Iterable,
    backend: Backend,
    shared: Shared,
    jobs: int | None,
    limits: Limits,
    initialize: Callable[[], None] | None,
    preload: Callable[[], None] | None,
    tick: Callable[[int], None],
) -> Iterator[tuple[Any, Any]]:
    """Yields tasks and results; see :func:`posepile.run.executor.run_tasks`."""
    setup = on_worker.Setup(
        work=pickle.dumps((functools.partial(on_worker.in_bytes, function), initialize), -1),
        preload=None if preload is None else pickle.dumps(preload, -1),
        limits=limits,
        environment=on_worker.environment_to_hand_over(),
        code=code_here(shared.code),
        code_folders=shared.code,
        folders=shared.folders,
        keys=shared.keys,
        run=uuid.uuid4().hex,
    )
    with (
        connected(backend, shared.work) as (client, slurm),
        handed_over(setup, shared.work) as file,
    ):
        batches = _Batches(Workers(client, file, slurm), jobs, tick)
        try:
            batches.workers.check()
            yield from batches.run(iter(tasks))
        finally:
            batches.end()


@dataclass(eq=False)
class _Batch:
    """Tasks that the scheduler has.

    Attributes:
        tasks: The tasks.
        failed: How often its workers have ended under it.
        places: How many machines have lacked what it needs.
        workers: Those that may have it; None = all.
        future: Where its result will be.
        done: The result; None if that is lost.
    """

    tasks: list
    failed: int = 0
    places: int = 0
    workers: list[str] | None = None
    future: Future | None = None
    done: on_worker.Done | None = None


class _Batches:
    """What the workers of a cluster are at for one run."""

    def __init__(self, workers: Workers, most: int | None, tick: Callable[[int], None]):
        self.workers, self.most, self.tick = workers, most, tick
        self.client = workers.client
        self.handed: dict[str, _Batch] = {}
        self.left: deque = deque()  # tasks that came back undone
        self.seconds: float | None = None  # of a unit, the mean of the last ones
        self.done: queue.SimpleQueue = queue.SimpleQueue()
        self.number = 0

    def run(self, tasks: Iterator) -> Iterator[tuple[Any, Any]]:
        """Yields all tasks and their results."""
        looked = time.monotonic()
        while True:
            ahead = self.most or max(AHEAD * self.workers.count_threads(), LEAST_AHEAD)
            while len(self.handed) < ahead:
                taken = self.take(tasks)
                if not taken:
                    break
                self.submit(_Batch(taken))
            if not self.handed:
                return
            for batch in self.wait():
                yield from self.collect(batch)
            now = time.monotonic()
            if now - looked >= TICK:
                looked = now
                self.tick(0)
                self.workers.look()
                self.move_stranded()

    def take(self, tasks: Iterator) -> list:
        """Returns the tasks of the next batch; the more, the less time they take."""
        size = 1
        if self.seconds is not None:
            size = max(1, min(MOST, int(BATCH_SECONDS / max(self.seconds, 1e-6))))
        taken = [self.left.popleft() for _ in range(min(size, len(self.left)))]
        return [*taken, *itertools.islice(tasks, size - len(taken))]

    def submit(self, batch: _Batch) -> None:
        """Gives tasks to the scheduler."""
        self.number += 1
        # Dask takes what comes before the number for the kind of a task.
        path, digest = self.workers.setup
        key = f"posepile-{self.number}-{digest[:8]}"
        batch.workers = self.workers.usable() if self.workers.refused else None
        try:
            tasks = [pickle.dumps(task, -1) for task in batch.tasks]
            batch.future = self.client.submit(
                *on_worker.submitted(path, digest, tasks, BATCH_SECONDS),
                key=key,
                pure=False,
                workers=batch.workers or None,
            )
        except Exception as e:
            raise self.workers.gone(e) from None
        self.handed[key] = batch
        batch.future.add_done_callback(lambda future: self.done.put(future.key))

    def move_stranded(self) -> None:
        """Gives others what waits for workers that have all gone."""
        if not (self.workers.refused and self.workers.threads):
            return
        for key, batch in list(self.handed.items()):
            if batch.workers and not any(w in self.workers.threads for w in batch.workers):
                del self.handed[key]
                batch.future.cancel()
                self.submit(batch)

    def wait(self) -> list[_Batch]:
        """Returns what has ended, after a tick at the latest."""
        keys = []
        with contextlib.suppress(queue.Empty):
            keys.append(self.done.get(timeout=TICK))
            while True:
                keys.append(self.done.get_nowait())
        found = [self.handed.pop(key, None) for key in keys]
        batches = [batch for batch in found if batch is not None]
        futures = {b.future.key: b.future for b in batches if b.future.status == "finished"}
        answers: dict[str, Any] = {}
        if futures:
            with contextlib.suppress(Exception):  # then one by one
                answers = asked(self.client, self.client.gather, futures).result(ANSWER_SECONDS)
        for batch in batches:
            done = answers.get(batch.future.key) or self.answer(batch.future)
            if isinstance(done, tuple):
                worker, why = done
                why = f"{one_line(why)}; expected PosePile as it is here"
                done = on_worker.Done([], 0.0, worker, why, None)
            batch.done = done
        return batches

    def answer(self, future: Future) -> Any:
        """Returns the result of what was submitted; None if that is lost."""
        if future.status != "finished":
            return None
        try:
            return future.result(timeout=1.0)  # what can be had is there by now
        except Exception:  # of many kinds: whoever held it has gone; it is submitted again
            return None

    def collect(self, batch: _Batch) -> Iterator[tuple[Any, Any]]:
        """Yields results of tasks that have ended; gives others to the scheduler again."""
        future, batch.future = batch.future, None
        done = batch.done
        if done is None:
            yield from self.again(batch, future)
            return
        del future  # the scheduler may forget it
        n = len(done.results)
        rest = batch.tasks[n:]
        for task, result in zip(batch.tasks[:n], done.results, strict=True):
            if isinstance(result, bytes):
                yield task, pickle.loads(result)
            elif result.kind == "shortage":
                yield from self.on_another_machine(task, batch, result)
            else:
                yield task, result
        if done.end:
            raise WorkError(f"Dask worker: {done.end}")
        if rest and done.refusal:
            self.workers.refuse(done.worker, done.refusal)
            if not self.workers.usable():
                raise WorkError(f"Dask worker {done.worker}: {done.refusal}")
        if n:
            each = done.seconds / n
            self.seconds = each if self.seconds is None else 0.8 * self.seconds + 0.2 * each
        if batch.places and rest:
            self.submit(_Batch(rest, places=batch.places))
        else:
            self.left.extendleft(reversed(rest))

    def on_another_machine(self, task: Any, batch: _Batch, lost: Lost) -> Iterator[tuple]:
        """Has a task done elsewhere as a machine lacked something; yields it if all do."""
        self.workers.refuse(machine_of(batch.done.worker), lost.reason)
        if batch.places + 1 >= PLACES or not self.workers.usable():
            yield task, lost
        else:
            self.submit(_Batch([task], places=batch.places + 1))

    def again(self, batch: _Batch, future: Future) -> Iterator[tuple[Any, Any]]:
        """Gives tasks to the scheduler again, that have ended without a result of ours."""
        from distributed.scheduler import KilledWorker

        self.workers.require_scheduler()
        error = future.exception() if future.status == "error" else None
        failed = batch.failed + 1
        if len(batch.tasks) > 1 or failed < TRIES:
            for task in batch.tasks:  # each alone, to see whose fault it is
                self.submit(_Batch([task], failed, batch.places))
            return
        [task] = batch.tasks
        if isinstance(error, KilledWorker):
            ends = "Dask workers ended again and again while they were at it; their logs say why"
            yield task, Lost("died", ends)
            return
        why = future.status if error is None else f"{type(error).__name__}: {one_line(error)}"
        raise WorkError(f"the Dask scheduler {self.workers.address} has given up a unit: {why}")

    def end(self) -> None:
        """Has the workers leave what they are at and forget this run."""
        futures = [h.future for h in self.handed.values() if h.future is not None]
        self.handed.clear()
        with contextlib.suppress(Exception):
            if self.client.status == "running":
                if futures:
                    asked(self.client, self.client.cancel, futures).result(END_SECONDS)
                digest = self.workers.setup[1]
                stop = asked(self.client, self.client.run, on_worker.stop, digest)
                stop.result(END_SECONDS)  # a worker that hangs is told when it goes on
