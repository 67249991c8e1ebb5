"""Leases under every order of their steps: machines as threads that one hand lets go on in turn.

A step is one call that reads or changes names. Time goes on when somebody sleeps. Machines die,
and stand still for longer than their leases last; they may go on, but their leases are not there.
"""

import builtins
import contextlib
import inspect
import itertools
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import ROOT

from posepile import durable
from posepile.errors import WorkError
from posepile.files import locked
from posepile.locks import holders, leases, renewal, waiting
from posepile.locks.leases import leased

REAL_OPEN = builtins.open


class Dead(BaseException):
    pass


class Machine(threading.Thread):
    """One that takes the lock some times; stands still before each step."""

    def __init__(self, name, world, kinds, has_locks):
        super().__init__(name=name, daemon=True)
        self.world, self.kinds, self.has_locks = world, kinds, has_locks
        self.may, self.stands = threading.Semaphore(0), threading.Semaphore(0)
        self.dead = self.done = False
        self.inside, self.file, self.before = None, None, ""
        self.until, self.was_held_up = 0.0, False

    def run(self):
        try:
            self.step()
            for shared in self.kinds:
                with self.losing(), self.locked(shared):
                    self.inside = "shared" if shared else "alone"
                    for _ in range(2):
                        self.world.sleep(self.world.rng.choice([0, 20, 40]))
                    self.inside = None
        except Dead:
            pass
        except BaseException as e:
            self.world.faults.append(repr(e))
        self.done = True
        self.stands.release()

    @contextlib.contextmanager
    def locked(self, shared):
        """Holds a lease; or a lock of the system, which others that have them see as well."""
        world = self.world
        if not self.has_locks:
            with leased(world.lock, shared=shared) as held:
                assert held
                self.file = world.file_of(self)
                yield
            return
        while any(not (shared and other) for other in world.locks.values()):
            world.sleep(0.5)
        world.locks[self], self.file = shared, world.lock
        with leases.announced(world.lock, shared=shared, wait="always", told=list):
            yield
        del world.locks[self]

    @contextlib.contextmanager
    def losing(self):
        """Who was held up may hear at the end that another has taken over, and only then."""
        try:
            yield
        except WorkError:
            if not self.was_held_up:
                raise
            self.world.losses += 1

    def step(self):
        if not self.dead:
            self.stands.release()
            self.may.acquire()
        if self.dead:  # found out in the middle, or in what it does at its end
            raise Dead


class World:
    """The disk, the time, and who goes on next."""

    def __init__(self, folder, rng, monkeypatch):
        self.lock, self.rng, self.now, self.faults = folder / ".lock", rng, 0.0, []
        self.machines, self.turns, self.leases, self.losses = [], 0, {}, 0
        self.locks = {}
        self.lock.touch()
        for name in ("rename", "listdir", "rmdir", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self.stepping(getattr(os, name)))
        monkeypatch.setattr(waiting, "open", self.stepping(REAL_OPEN), raising=False)
        monkeypatch.setattr(Path, "write_text", self.stepping(Path.write_text))
        monkeypatch.setattr(waiting, "time", self)
        monkeypatch.setattr(waiting, "random", rng)
        monkeypatch.setattr(waiting, "_LEFT", {})
        monkeypatch.setattr(leases, "remove_left_once", lambda folder: None)
        monkeypatch.setattr(leases.shutil, "rmtree", lambda folder, ignore_errors: None)
        monkeypatch.setattr(durable, "machine", self.machine)
        monkeypatch.setattr(renewal, "Lease", self.make_lease(), raising=False)
        monkeypatch.setattr(leases, "Lease", renewal.Lease)
        monkeypatch.setattr(waiting, "print", lambda *_, **__: None, raising=False)

    @staticmethod
    def machine():
        return {"host": threading.current_thread().name, "boot": "", "space": ""}

    def make_lease(self):
        world = self

        class Lease(renewal.Lease):
            def __init__(self, file, path, vital):
                self.file, self.path, self.vital, self.pid = file, path, vital, os.getpid()
                self.lost = False
                world.leases[file] = threading.current_thread()

            def end(self):
                world.leases.pop(self.file, None)
                super().end()

        return Lease

    def stepping(self, function):
        def stepped(*args, **kwargs):
            thread = threading.current_thread()
            if isinstance(thread, Machine):
                thread.before = function.__name__
                thread.step()
            return function(*args, **kwargs)

        return stepped

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        threading.current_thread().step()

    def file_of(self, machine):
        return next(file for file, owner in self.leases.items() if owner is machine)

    def look(self):
        """Notes a fault if two are inside, one of them alone."""
        inside = [m for m in self.machines if m.inside and not m.dead and self.holds(m)]
        if len(inside) > 1 and any(m.inside == "alone" for m in inside):
            self.faults.append(f"turn {self.turns}: {[(m.name, m.inside) for m in inside]}")

    @staticmethod
    def holds(machine):
        """Whether its lease is there: who goes on without has to ask before it changes a thing."""
        return os.path.exists(machine.file)

    def renew(self):
        for file, owner in list(self.leases.items()):
            if not owner.dead and owner.until <= self.now:
                try:
                    os.utime(file, ns=(0, int(1e18 + 1e9 * self.now) + self.turns))
                except FileNotFoundError:
                    if not owner.was_held_up:
                        self.faults.append(f"turn {self.turns}: {owner.name} has lost it")

    def play(self, deaths, stalls):
        for machine in self.machines:
            machine.start()
            machine.stands.acquire()
        while going := [m for m in self.machines if not m.done and not m.dead]:
            self.turns += 1
            assert self.turns < 20000, "nobody gets on"
            self.now = max(self.now, min(m.until for m in going))
            self.renew()
            self.look()
            machine = self.rng.choice([m for m in going if m.until <= self.now])
            # Whose note stays: that is told to people, as nobody else can see whether it lives.
            if deaths and not machine.has_locks and self.rng.random() < 0.01:
                machine.dead, deaths = True, deaths - 1
                continue
            # Oftener where a name is to appear that others may not wait for any more.
            appears = machine.before in ("rename", "write_text")
            likely = 0.2 if appears else 0.1 if machine.inside else 0.01
            if stalls and self.rng.random() < likely:
                # As long as a lease lasts, a little shorter, or much longer.
                machine.until = self.now + holders.SECONDS * self.rng.choice([0.9, 1.05, 1.3, 3])
                machine.was_held_up, stalls = True, stalls - 1
                continue
            machine.may.release()
            machine.stands.acquire()
        for machine in self.machines:  # the dead wait in the middle of a step
            machine.may.release()
            machine.join()


def played(folder, monkeypatch, seeds, stalls, mixed):
    """Plays once per seed; returns the faults of each, and how many leases were lost."""
    found, losses = [], 0
    for seed in seeds:
        rng = random.Random(f"{seed} {stalls}")
        place = folder / f"{seed} {stalls} {mixed}"
        place.mkdir()
        with monkeypatch.context() as patches:
            world = World(place, rng, patches)
            for i in range(rng.choice([2, 3, 4])):
                kinds = [rng.random() < 0.5 for _ in range(3)]
                has_locks = mixed and rng.random() < 0.5
                world.machines.append(Machine(f"node{i}", world, kinds, has_locks))
            world.play(deaths=rng.choice([0, 1, 2]), stalls=stalls)
        losses += world.losses
        if world.faults:
            found.append((seed, world.faults))
    return found, losses


@pytest.mark.parametrize("stalls", [0, 6])
@pytest.mark.parametrize("mixed", [False, True])
def test_no_order_of_steps_lets_two_in(tmp_path, monkeypatch, mixed, stalls):
    """With ``mixed``, some machines have locks of the system, which the others do not see."""
    found, losses = played(tmp_path, monkeypatch, range(60), stalls, mixed)
    assert not found
    assert bool(losses) == bool(stalls)


# What is broken -> in which module and part, what stands there, and what stands there then.
BROKEN = {
    "one name for all": (leases, "_take", "uuid.uuid4().hex", '"lease"'),
    "a rename that failed is believed": (
        leases,
        "_rename_into",
        "(place / token).exists()",
        "True",
    ),
    "nobody looks who shares": (leases, "_take", "waiting.living(sharing)", "[]"),
    "shared although the lease was lost": (
        leases,
        "_join",
        "= let_go(passing)",
        "= [let_go(passing)]",
    ),
    "given back before it is shared": (
        leases,
        "_join",
        "mine = sharing / passing.name",
        "mine, let_go = sharing / (passing.unlink() or passing.name), lambda file: True",
    ),
    "renewals are not seen": (waiting, "Waiting", "(status.st_mtime_ns, status", "(status"),
    "no lease looks for notes": (leases, "_take", "while others := in_the_way()", "while False"),
    "no note looks for leases": (leases, "announced", "if not others", "if True"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_step_lets_two_in(tmp_path, monkeypatch, what):
    module, name, right, wrong = BROKEN[what]
    source = inspect.getsource(getattr(module, name))
    assert source.count(right) == 1
    code = "from __future__ import annotations\n" + source.replace(right, wrong)
    monkeypatch.setattr(module, name, None)
    exec(compile(code, what, "exec"), vars(module))
    monkeypatch.setattr(leases, name, getattr(module, name))
    games = itertools.product(range(99), ((12, False), (0, False), (0, True)))
    faults = (played(tmp_path, monkeypatch, [seed], *how)[0] for seed, how in games)
    assert any("alone" in str(found) or "has lost it" in str(found) for found in faults)


# ---------------------------------------------------------------- processes that are killed

WORKER = """
import os, sys
from pathlib import Path
from posepile.durable import process_began
from posepile.files import locked

folder, shared = Path(sys.argv[1]), sys.argv[2] == "shared"
log = os.open(folder / "log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
for i in range(25):
    with locked(folder / ".lock", shared=shared and i % 2 == 0):
        kind = "s" if shared and i % 2 == 0 else "x"
        lines = os.pread(log, 1 << 24, 0).decode().splitlines()
        inside = {}
        for line in lines:
            what, pid, began, their = line.split()
            if what == "in":
                inside[pid] = began, their
            else:
                inside.pop(pid)
        for pid, (began, their) in inside.items():
            if "x" in kind + their and process_began(int(pid)) == began:
                os.write(log, f"TWO {pid} {os.getpid()} {their}{kind}\\n".encode())
                sys.exit(3)
        me = f"{os.getpid()} {process_began(os.getpid())} {kind}\\n"
        os.write(log, f"in {me}".encode())
        for _ in range(50):
            os.sched_yield()
        os.write(log, f"out {me}".encode())
"""


def test_never_two_hold_it_whoever_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEPILE_LOCKS", "leases")
    rng = random.Random(0)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running, killed, ended = [], 0, 0
    while ended < 5 or killed < 5:
        while len(running) < 4:
            arguments = [str(tmp_path), rng.choice(["shared", "alone"])]
            running.append(
                subprocess.Popen([sys.executable, "-c", WORKER, *arguments], env=environment)
            )
        process = running.pop(rng.randrange(4))
        log = tmp_path / "log"
        try:
            if killed < 12:
                process.wait(timeout=rng.random() * 0.5)
            assert process.wait() == 0
            ended += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        assert not log.exists() or "TWO" not in log.read_text()
    for process in running:
        assert process.wait() == 0
    assert "TWO" not in log.read_text()
    with locked(tmp_path / ".lock", busy="no"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".lock", "log"]
