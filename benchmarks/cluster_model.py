"""What a thousand nodes do to a scheduler, a metadata server and the packing step: a simulation.

    python benchmarks/cluster_model.py [--raw 3e14 --nodes 50 --workers 64 --disks 5e10]
    python benchmarks/cluster_model.py --check

Ten petabytes of video cannot be tried out, so the run is computed by discrete events: workers take
units, and each unit visits stations that serve one visitor after the other (the scheduler, the
file of locks, the metadata server, the journal, the disks) and then is worked on. What a visit
costs is counted and measured on this machine by ``benchmarks/cluster_costs.py``, whose figures
stand below; what a cluster can do is stated in :class:`Cluster`, with where it is known from:
options say what differs most, and for the rest that class is changed.

``--check`` compares the model with what can be had here: a real Dask scheduler with workers that
only sleep, and real processes that contend for the file of locks.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from cluster_tail import tail

from posepile.progress.record import EVERY_SECONDS, MANY
from posepile.store.ahead import THREADS

# Counted by cluster_costs.py: operations of a step, for a unit and for the process as a whole.
# Closing a file costs a server as much as opening it does, where it keeps track of open files.
UNIT = {"create": 2, "open": 6.5, "stat": 11.5, "rename": 2, "unlink": 1, "close": 5}
FRESH = {"open": 1, "stat": 2}  # planning: a unit that has no result yet
CURRENT = {"open": 1, "stat": 5, "close": 1}  # planning: a unit that has one
PACKED = {"open": 5.1, "stat": 16.4, "close": 4.4, "link": 0.5, "rename": 1, "unlink": 1.6}
CODE = {"open": 3500, "stat": 12900, "close": 2600}  # a process that works, mostly imports
NOTE = {"create": 1, "stat": 3, "rename": 1, "close": 1, "lock": 1}  # running-*.json

# Measured by cluster_costs.py, in seconds.
LOCK, LOCK_PER_HELD = 2.5e-6, 3.3e-8  # of a byte of a file of which so many are held
DASK, CALLER, HEAD, INDEX_ROW = 3.5e-3, 2.7e-5, 1.3e-4, 2.0e-5
PACKED_UNIT = 1.4e-3  # by soak.py: all that packing does with a unit of one small picture

# posepile/run's batches for Dask take two seconds and have no more than so many units.
BATCH_SECONDS, MOST_IN_BATCH = 2.0, 100

SCALE = 8


@dataclass(frozen=True)
class Cluster:
    """What a cluster can do: stated, not measured.

    Attributes:
        nodes: Number of nodes.
        workers: Worker processes of a node, one per core.
        rates: Operations of a kind per second that the metadata server does.
        latency: Seconds between asking a server and its answer, when it is idle.
        disks: Bytes per second that all servers of data read or write together.
        link: Bytes per second of a node's network.
        core: Bytes of raw video per second that one core decodes, crops and encodes.
        append: Seconds in which a file that everybody appends to passes from node to node.
        spread: Standard deviation of the logarithm of the units' sizes: with 1, one unit in six
            is larger than 1.6 times the mean, one in a thousand than 13 times.
    """

    nodes: int = 1000
    workers: int = 64
    rates: dict[str, float] = field(
        default_factory=lambda: {"create": 27e3, "stat": 500e3, "unlink": 144e3, "other": 100e3}
    )
    latency: float = 5e-4
    disks: float = 500e9
    link: float = 12.5e9
    core: float = 6.7e6
    append: float = 1e-3
    spread: float = 1.0

    def metadata_seconds(self, operations: dict[str, float]) -> float:
        """Returns how long the metadata server is at some operations."""
        rates = self.rates
        return sum(n / rates.get(kind, rates["other"]) for kind, n in operations.items())


@dataclass(frozen=True)
class Design:
    """How the work is organised.

    Attributes:
        name: Of the row.
        processes: Processes of a node that take part by themselves; each has its share of the
            node's workers and writes its own record of how far it is. 0 = one for each worker.
        locks: Files over which the locks of units are spread.
        journals: ``one`` that all append to, or one ``each``.
        scheduler: Seconds of the scheduler for a task; 0: shares are dealt beforehand.
        task_seconds: So long a task may take, if it has several units.
    """

    name: str
    processes: int = 1
    locks: int = 256
    journals: str = "each"
    scheduler: float = 0.0
    task_seconds: float = BATCH_SECONDS


class Station:
    """Serves one visitor after the other.

    Attributes:
        busy: Seconds in which it served.
    """

    def __init__(self, capacity: float = 1.0):
        self.free, self.busy, self.capacity = 0.0, 0.0, capacity

    def visit(self, now: float, seconds: float) -> float:
        """Returns when a visitor leaves who arrives now and needs so long."""
        seconds /= self.capacity
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


@dataclass
class Found:
    """What became of a simulated run.

    Attributes:
        rate: Units per second.
        use: Station -> share of the time in which it was busy.
        limit: The station that was busiest.
    """

    rate: float
    use: dict[str, float]

    @property
    def limit(self) -> str:
        """The station that decides how fast the run is."""
        name, most = max(self.use.items(), key=lambda item: item[1])
        return name if most > self.use["cores"] else "cores"


def simulate(
    cluster: Cluster, design: Design, unit_bytes: float, share_out: float, visits: int = 9
) -> Found:
    """Computes a run in its middle, when all workers are at work.

    Args:
        cluster: The machines.
        design: How the work is organised.
        unit_bytes: Bytes of raw data of a unit, in the mean.
        share_out: Bytes of crops for each byte of raw data.
        visits: Units of a worker that are simulated.
    """
    n, notes = cluster.nodes * cluster.workers, notes_load(cluster, design)
    stations = {
        "scheduler": Station(),
        "lock file": Station(design.locks),
        "metadata": Station(1 - notes),
        "journal": Station(),
        "caller": Station(),
        "disks": Station(),
    }
    steps = _steps(cluster, design, unit_bytes, share_out)
    # An eighth of the workers before stations that are an eighth as fast queue in the same way.
    slower = [(name, SCALE * cost, delay) for name, cost, delay in steps]
    rate, use = flow(stations, slower, n // SCALE, visits, cluster.spread)
    rate *= SCALE
    use["metadata"] = notes + use["metadata"] * (1 - notes)
    return Found(rate, {**use, "cores": min(1.0, rate * unit_bytes / cluster.core / n)})


def flow(
    stations: dict[str, Station],
    steps: list[tuple[str, float, float]],
    n: int,
    visits: int,
    spread: float = 0.0,
) -> tuple[float, dict[str, float]]:
    """Sends ``n`` workers through steps, again and again; returns rounds per second and use.

    Args:
        stations: By name; what is not among them serves everybody at once.
        steps: Station, seconds of service, seconds that nobody else has to wait for.
        n: Number of workers.
        visits: Rounds of a worker; the first third does not count.
        spread: Of the logarithm of the sizes of rounds: what disks and cores do is multiplied.
    """
    draw = np.random.default_rng(0)
    sizes = draw.lognormal(-(spread**2) / 2, spread, 99_991)
    sizes = (sizes / sizes.mean()).tolist()
    # Workers begin spread over the time of a round, as they are after some rounds.
    alone = sum(cost + delay for _, cost, delay in steps)
    events = [(alone * i / n, i, i) for i in range(n)]
    heapq.heapify(events)
    done, drawn, warm, end = 0, 0, visits * n // 3, visits * n
    begun, busy, last, place = 0.0, {}, len(steps), [0] * n
    # Whoever looks at a run in its middle finds everybody amid a round, more likely a long one.
    size_of = (draw.lognormal(spread**2 / 2, spread, n) * draw.random(n)).tolist()
    plan_ = [(stations.get(s), c, d, s in ("disks", "cores")) for s, c, d in steps]
    while True:
        now, drawn_at, worker = events[0]
        if place[worker] == last:
            done += 1
            if done == warm:
                begun, busy = now, {name: s.busy for name, s in stations.items()}
            if done == end:
                break
            place[worker] = 0
            size_of[worker] = sizes[drawn % len(sizes)]
            drawn += 1
        station, cost, delay, grows = plan_[place[worker]]
        place[worker] += 1
        if grows:
            cost, delay = cost * size_of[worker], delay * size_of[worker]
        after = now + delay
        if station is not None and cost:
            after = station.visit(now, cost) + delay
        heapq.heapreplace(events, (after, drawn_at, worker))
    took = now - begun
    use = {name: (s.busy - busy[name]) / took for name, s in stations.items()}
    return (end - warm) / took, use


def notes_load(cluster: Cluster, design: Design) -> float:
    """Returns the share of the metadata server that is spent on how far everybody is."""
    processes = cluster.nodes * (1 if design.scheduler else design.processes or cluster.workers)
    every = EVERY_SECONDS * max(1, processes / MANY)
    return processes * cluster.metadata_seconds(NOTE) / every


def _steps(
    cluster: Cluster, design: Design, unit_bytes: float, share_out: float
) -> list[tuple[str, float, float]]:
    """Station, seconds there and seconds on the way, for each visit of a unit."""
    held, bytes_ = cluster.nodes * cluster.workers, unit_bytes * (1 + share_out)
    lock = LOCK + LOCK_PER_HELD * held / design.locks
    half = {kind: n / 2 for kind, n in UNIT.items()}
    served, latency = cluster.metadata_seconds(half), cluster.latency
    trips = latency * sum(half.values())
    batch = max(1, min(MOST_IN_BATCH, int(design.task_seconds / (unit_bytes / cluster.core))))
    per_worker = cluster.link / cluster.workers
    central = design.scheduler > 0
    append = cluster.append if design.journals == "one" and not central else 0.0
    return [
        ("scheduler", design.scheduler / batch, 0.0),
        ("lock file", lock, 2 * latency),
        ("metadata", served, trips),
        ("disks", bytes_ / cluster.disks, bytes_ / per_worker),
        ("cores", 0.0, unit_bytes / cluster.core),
        ("metadata", served, trips),
        ("journal", append, 0.0),
        ("caller", CALLER if central else 0.0, 0.0),
    ]


def bound(cluster: Cluster, design: Design, unit_bytes: float, share_out: float) -> float:
    """Returns the units per second that no order of events can exceed."""
    n, needs, alone = cluster.nodes * cluster.workers, Counter(), 0.0
    notes = notes_load(cluster, design)
    free = {"metadata": 1 - notes, "lock file": design.locks}
    for name, cost, delay in _steps(cluster, design, unit_bytes, share_out):
        needs[name] += cost / free.get(name, 1.0)
        alone += cost / free.get(name, 1.0) + delay
    return min(n / alone, 1 / max(needs.values()))


# ---------------------------------------------------------------- what is not units


def plan(cluster: Cluster, units: int, shares: int, operations: dict[str, float]) -> float:
    """Returns seconds until all shares have looked at their units' results."""
    asked = units * cluster.metadata_seconds(operations)
    waited = cluster.latency * sum(operations.values()) / THREADS
    alone = units / shares * (HEAD + waited)
    return max(asked, alone)


def pack(
    cluster: Cluster, units: float, crops: float, examples: float, threads: int = 64
) -> dict[str, float]:
    """Returns hours of the parts of packing, which one process of a node does.

    Args:
        cluster: The machines.
        units: Number of units.
        crops: Bytes of pictures.
        examples: Number of pictures.
        threads: That compare checksums.
    """
    trips = cluster.latency * sum(PACKED.values()) / THREADS
    sha = 1.0e9 * threads
    return {
        "parts": units * (PACKED_UNIT + trips) / 3600,
        "pictures": 3 * crops / min(cluster.link, sha) / 3600,  # read twice, written once
        "index": examples * INDEX_ROW / 3600,
    }


# ---------------------------------------------------------------- tables

PB, TB, GB, MB = 1e15, 1e12, 1e9, 1e6
SIZES = (1 * GB, 100 * MB, 10 * MB)  # of units
SHARE_OUT, PICTURE = 0.01, 30e3  # bytes of crops for each byte of raw data, bytes of a crop

DESIGNS = (
    Design("array, a process per node"),
    Design("array, a process per core", processes=0),
    Design("if one file had all locks", locks=1),
    Design("if all wrote into one journal", journals="one"),
    Design("Dask, tasks of 2 s as they are", scheduler=DASK),
    Design("Dask, if tasks took 4 minutes", scheduler=DASK, task_seconds=240),
)


def main():
    """Prints the tables of docs/explanation/scale.md, or those of another cluster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the model with this machine")
    parser.add_argument("--raw", type=float, default=10 * PB, help="bytes of raw video")
    parser.add_argument("--nodes", type=int, default=Cluster.nodes)
    parser.add_argument("--workers", type=int, default=Cluster.workers, help="cores of a node")
    parser.add_argument("--disks", type=float, default=Cluster.disks, help="bytes per second")
    args = parser.parse_args()
    if args.check:
        from cluster_check import check

        for line in check():
            print(json.dumps(line), flush=True)
        return
    cluster = Cluster(nodes=args.nodes, workers=args.workers, disks=args.disks)
    if not args.raw / GB >= cluster.nodes * cluster.workers >= SCALE or cluster.disks <= 0:
        parser.error(f"expected {SCALE} workers or more in all, and a GB of raw video for each")
    for table in (workers, besides, packing, last_hours):
        for row in table(cluster, args.raw):
            print(row, flush=True)
        print()


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _time(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


def _count(n: float) -> str:
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:,.0f}"


def _millions(n: float) -> str:
    return f"{n / 1e6:,.0f}" if n >= 9.5e6 else f"{n / 1e6:.2g}"


def workers(cluster: Cluster, raw: float) -> Iterator[str]:
    """Yields rows of how fast units are worked on."""
    sizes = zip(("1 GB a unit", "100 MB", "10 MB"), SIZES, strict=True)
    heads = (f"{name} ({_count(raw / size)})" for name, size in sizes)
    yield _row("how the work is organised", *heads)
    for design in DESIGNS:
        cells = []
        for size in SIZES:
            found = simulate(cluster, design, size, SHARE_OUT)
            hours = raw / size / found.rate / 3600
            cells.append(f"{found.rate:,.0f}/s, {hours:.3g} h, {found.limit}")
        yield _row(design.name, *cells)


def last_hours(cluster: Cluster, raw: float) -> Iterator[str]:
    """Yields rows of when the last worker has ended, by how units are handed out."""
    yield _row("handed out as", "hours")
    for name, hours in tail(cluster, GB, raw).items():
        yield _row(name, f"{hours:.1f}")


def besides(cluster: Cluster, raw: float) -> Iterator[str]:
    """Yields rows about what the metadata server sees besides units that are worked on."""
    units = int(raw / GB)
    yield _row("when", "operations", "how long")
    for processes in (1, cluster.workers):
        n, operations = cluster.nodes * processes, sum(CODE.values())
        served = n * cluster.metadata_seconds(CODE)
        seconds = max(served, cluster.latency * operations)
        name = f"{n:,} processes import the code from the shared disk"
        yield _row(name, f"{_millions(n * operations)} million", _time(seconds))
    each = units / cluster.rates["stat"]
    asks = "whether the list of units is current, of which listing looked at a folder each"
    for who, n, seconds in (
        ("one process asks", 1, max(each, units * cluster.latency / THREADS)),
        (f"if each of {cluster.nodes:,} asked", cluster.nodes, cluster.nodes * each),
    ):
        yield _row(f"{who} {asks}", f"{_millions(n * units)} million", _time(seconds))
    for shares in (cluster.nodes, 1):
        who = (
            f"{shares:,} shares plan" if shares > 1 else "one process, or `posepile status`, plans"
        )
        asked = [units * sum(a.values()) for a in (FRESH, CURRENT)]
        took = [plan(cluster, units, shares, a) for a in (FRESH, CURRENT)]
        size, unit = (60, "min") if took[1] >= 120 else (1, "s")
        yield _row(
            f"{who} {_count(units)} units",
            f"{_millions(asked[0])} to {_millions(asked[1])} million",
            f"{took[0] / size:.0f} to {took[1] / size:.0f} {unit}",
        )


def packing(cluster: Cluster, raw: float) -> Iterator[str]:
    """Yields rows about packing: as one archive, and as many of 10 TB at the same time."""
    many = max(1, round(raw / (10 * TB)))
    at_once = min(many, cluster.nodes)
    small = dataclasses.replace(cluster, link=min(cluster.link, cluster.disks / at_once))
    columns = ((cluster, GB, 1), (cluster, 100 * MB, 1), (small, GB, many))
    counts = [_count(raw / size / n) for _, size, n in columns]
    yield _row(
        "packing",
        f"one archive of {counts[0]} units",
        f"of {counts[1]} units",
        f"{many:,} archives of {counts[2]} units, on a node each",
    )
    found = [
        pack(c, raw / size / n, SHARE_OUT * raw / n, SHARE_OUT * raw / n / PICTURE)
        for c, size, n in columns
    ]
    for name in found[0]:
        yield _row(name, *(_time(3600 * hours[name]) for hours in found))


if __name__ == "__main__":
    main()
