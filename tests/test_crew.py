"""Children that many threads ask: each gets its own result, however the crew ends."""

import os
import pickle
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import fates
import pytest

from posepile.acquire.credentials import clean_environment
from posepile.errors import WorkError
from posepile.run.clusters import crew
from posepile.run.clusters.crew import Crew, Stopped
from posepile.run.clusters.on_worker import in_bytes
from posepile.run.pool import Limits, Pool
from posepile.run.worker import Lost

WORK = pickle.dumps((partial(in_bytes, fates.meet), None), -1)


class Begin:
    """Starts pools of three children and keeps them."""

    def __init__(self, work=WORK):
        self.work = work
        self.pools = []

    def __call__(self, tasks, tick, wake):
        words = pickle.dumps((self.work, None), -1)
        pool = Pool(words, tasks, 3, Limits(None, None), tick, wake=wake)
        self.pools.append(pool)
        pool.start_server(clean_environment(network=False), None)
        return pool


def ask(crew, *task):
    result = crew.ask(pickle.dumps(task, -1))
    return pickle.loads(result) if isinstance(result, bytes) else result


def end(crew, begin):
    leader = crew.leader
    crew.stop()
    if leader is not None:
        leader.join()
    assert not crew.at_work
    assert all(pool.server.poll() is not None for pool in begin.pools)


def test_each_of_many_threads_gets_its_own_result_from_one_pool():
    begin = Begin()
    team = Crew(begin)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: ask(team, "double", i), range(200)))
        assert found == [2 * i for i in range(200)]
        kinds = ["leave", "double", "leave", "double"]
        found = list(threads.map(lambda kind: ask(team, kind, 3), kinds))
        assert [isinstance(f, Lost) for f in found] == [True, False] * 2
    assert len(begin.pools) == 1 and len(begin.pools[0].workers) <= 3
    end(team, begin)
    with pytest.raises(Stopped):
        ask(team, "double", 1)


def test_children_that_nobody_needs_are_ended_and_others_started(monkeypatch):
    monkeypatch.setattr(crew, "IDLE_SECONDS", 0.0)
    begin = Begin()
    team = Crew(begin)
    for i in range(3):
        leader = team.leader
        if leader is not None:
            leader.join()
        assert ask(team, "double", i) == 2 * i
    assert len(begin.pools) == 3
    end(team, begin)


def test_who_asks_while_idle_children_are_ended_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(crew, "IDLE_SECONDS", 0.0)
    begin = Begin()
    team = Crew(begin)
    found = queue.SimpleQueue()

    def ask_and_end(pool, end=Pool.end):
        monkeypatch.setattr(Pool, "end", end)  # the leader has found nothing to do, and is there
        another = threading.Thread(target=lambda: found.put(ask(team, "double", 2)), daemon=True)
        another.start()
        with team.changed:
            team.changed.wait_for(lambda: team.open)
        end(pool)

    monkeypatch.setattr(Pool, "end", ask_and_end)
    assert ask(team, "double", 1) == 2
    assert found.get(timeout=60) == 4
    end(team, begin)


def test_who_waits_is_told_of_the_end(tmp_path):
    begin = Begin()
    team = Crew(begin)
    with ThreadPoolExecutor(5) as threads:
        os.mkfifo(path := tmp_path / "pipe")
        asked = [threads.submit(ask, team, "tell_and_stay", str(path)) for _ in range(5)]
        with os.fdopen(os.open(path, os.O_RDWR), "rb", buffering=0) as pipe:
            assert [pipe.read(6) for _ in range(3)] == [b"at it\n"] * 3
        end(team, begin)
        assert [type(a.exception()) for a in asked] == [Stopped] * 5


def test_children_that_cannot_be_started_are_said_to_all_and_tried_again():
    begin = Begin(pickle.dumps((fates.meet, fates.initialize_badly), -1))
    team = Crew(begin)
    for _ in range(2):
        with pytest.raises(WorkError, match="no such luck"):
            ask(team, "double", 1)
    assert len(begin.pools) == 2
    end(team, begin)
