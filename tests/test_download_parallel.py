"""Several sources at a time: how many, in which order they are told, and how they end."""

import io
import os
import queue
import signal
import threading

import pytest
from web_kit import DATA, Case, Server, make_zip

from posepile.acquire import transfer, workers
from posepile.acquire.lockfile import read_lock
from posepile.acquire.workers import Stop, Stopped, Task, run_tasks

pytestmark = pytest.mark.usefixtures("no_accounts")
PATIENCE = 30  # seconds after which a meeting that does not come about is a failure


@pytest.fixture
def three_hosts(server):
    others = [Server("127.0.0.2"), Server("127.0.0.3")]
    yield [server, *others]
    for s in others:
        s.close()


class Seen(list):
    wait = None


@pytest.fixture
def begun(monkeypatch):
    """How many threads were at work, whenever there was nothing more to begin.

    No answer is given until everything has been started that may be.
    """
    seen, settled = Seen(), threading.Event()

    class Queue(queue.SimpleQueue):
        def get(self, timeout=None):
            seen.append(sum("(work)" in t.name for t in threading.enumerate()))
            settled.set()
            return super().get(timeout=timeout)

    monkeypatch.setattr(workers.queue, "SimpleQueue", Queue)
    seen.wait = lambda path: settled.wait(PATIENCE)
    return seen


def sources(servers, per_server, content=DATA):
    result = []
    for i in range(per_server):
        for k, s in enumerate(servers):
            s.files[f"/{i}.bin"] = content
            result.append({"name": f"s{k}-{i}", "url": f"{s.url}/{i}.bin", "to": f"{k}/{i}.bin"})
    return result


def test_two_at_a_time_from_one_host(tmp_path, server, begun):
    case = Case(tmp_path, *sources([server], 6))
    server.before_answer = begun.wait
    assert case.run().ok
    assert begun[0] == max(begun) == 2


def test_four_at_a_time_from_several_hosts(tmp_path, three_hosts, begun):
    case = Case(tmp_path, *sources(three_hosts, 3))
    for s in three_hosts:
        s.before_answer = begun.wait
    assert case.run().ok
    assert begun[0] == max(begun) == 4


def test_one_extraction_at_a_time_besides(tmp_path, server, begun):
    wanted = sources([server], 3)
    case = Case(tmp_path, *wanted)
    for i in range(3):
        (case.root / "in").mkdir(parents=True, exist_ok=True)
        (case.root / f"in/{i}.zip").write_bytes(make_zip({f"{i}.txt": b"x"}))
        places = {"steps": ["Ask."], "places": [f"in/{i}.zip"]}
        wanted.append({"name": f"m{i}", "manual": places, "extract": {}})
    case = Case(tmp_path, *wanted)
    server.before_answer = begun.wait
    assert case.run().ok
    assert max(begun) == 3


def test_all_are_remembered_and_told_in_the_order_of_the_file(tmp_path, three_hosts):
    wanted = sources(three_hosts, 8)
    case = Case(tmp_path, *wanted)
    report = case.run()
    assert report.fetched == [s["name"] for s in wanted]
    assert sorted(read_lock(case.root)) == sorted(s["to"] for s in wanted)
    assert case.actions() == ["have"] * len(wanted)


def test_order_of_the_report_is_not_that_of_arrival(tmp_path, server):
    second = threading.Event()

    def log(line):
        if line.startswith("s0-1: extracted"):
            second.set()

    server.files["/1.zip"] = make_zip({"1.txt": b"1"})
    server.before_answer = lambda path: path != "/0.bin" or second.wait(PATIENCE)
    one = sources([server], 1)[0]
    two = {"name": "s0-1", "url": f"{server.url}/1.zip", "extract": {}}
    case = Case(tmp_path, one, two)
    # The second is extracted while the first is still being fetched.
    report = case.run(log=log)
    assert second.is_set() and report.fetched == ["s0-0", "s0-1"]


def test_one_that_fails_leaves_the_others_alone(tmp_path, three_hosts):
    wanted = sources(three_hosts, 2)
    wanted[0]["md5"] = "0" * 32
    wanted[4]["url"] = f"{three_hosts[1].url}/gone.bin"
    case = Case(tmp_path, *wanted)
    report = case.run()
    assert [line.split(":")[0] for line in report.left] == ["s0-0", "s1-1"]
    assert report.fetched == ["s1-0", "s2-0", "s0-1", "s2-1"]


def test_interruption_ends_all_and_leaves_what_can_be_continued(tmp_path, server, monkeypatch):
    case = Case(tmp_path, *sources([server], 4))
    hanging, real, chunks = threading.Event(), transfer._receive, {}
    server.before_end = lambda path: hanging.wait(PATIENCE)

    def receive(response):
        me = threading.get_ident()
        chunks[me] = chunks.get(me, 0) + 1
        if len(chunks) == 2 and min(chunks.values()) == 2:  # both have written their first piece
            os.kill(os.getpid(), signal.SIGINT)
        return real(response)

    monkeypatch.setattr(transfer, "_receive", receive)
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert not hanging.is_set() and not [t for t in threading.enumerate() if "work" in t.name]
    hanging.set()
    parts = sorted(p.name for p in (case.root / "0").glob("*.part"))
    assert parts == ["0.bin.part", "1.bin.part"] and len(server.requests) == 2
    assert all((case.root / "0" / p).stat().st_size > 0 for p in parts)
    monkeypatch.undo()
    server.before_end = None
    assert case.actions() == ["resume", "resume", "fetch", "fetch"]
    assert Case.run(case).ok
    ranges = [h.get("Range") for _, h, _ in server.requests[2:]]
    assert sum(r is not None for r in ranges) == 2
    assert all((case.root / "0" / f"{i}.bin").read_bytes() == DATA for i in range(4))


def test_lines_are_whole_and_come_one_at_a_time(tmp_path, three_hosts):
    case, out = Case(tmp_path, *sources(three_hosts, 3)), io.StringIO()

    def log(line):
        for letter in f"{line}\n":
            out.write(letter)
            os.sched_yield()  # lets another thread write, if it may

    for s in three_hosts:
        s.cut_after = [500_000] * 3
    assert case.run(log=log).ok
    lines = out.getvalue().splitlines()
    assert len(lines) > 3 and all(line.endswith("trying again in 1 s") for line in lines)


def test_stop_calls_what_unblocks_and_refuses_what_comes_later():
    stop, called = Stop(), []
    with stop.unblocking(lambda: called.append(1)):
        stop.set()
    assert called == [1]
    with pytest.raises(Stopped), stop.unblocking(lambda: called.append(2)):
        pass
    with pytest.raises(Stopped):
        stop.wait(PATIENCE)
    assert called == [1]


def test_an_unexpected_exception_ends_the_others_and_is_raised():
    stop, ended = Stop(), []

    def fail():
        raise ZeroDivisionError

    def wait():
        try:
            stop.wait(PATIENCE)
        except Stopped:
            ended.append(1)
            raise

    with pytest.raises(ZeroDivisionError):
        run_tasks([Task("a", wait), Task("b", fail)], stop, at_once=2)
    assert ended == [1]


def test_what_follows_is_done_last():
    done, second = [], Task("x", lambda: done.append("second"))
    first = Task("y", lambda: done.append("first") or second)
    run_tasks([first, Task("x", lambda: done.append("other"))], Stop(), at_once=1)
    assert done == ["first", "other", "second"]
