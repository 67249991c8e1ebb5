"""What raw files need: bytes to fetch, room at the peak, time. From the plan alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from posepile.acquire.plan import Decision, archives_of, host_of
from posepile.acquire.space import free_bytes
from posepile.acquire.workers import AT_ONCE, PER_HOST
from posepile.files import names_in

# Photographs and videos are compressed already, so archives of them hold about their own size.
_OUT_OF = 1.0


@dataclass(frozen=True)
class Estimate:
    """What remains to be fetched and extracted, and the room that this takes. All in bytes.

    Attributes:
        get: What is still to be fetched, as far as it is known.
        unknown: Of how many files it is not.
        on_disk: How many sources are there.
        sources: How many there are.
        extracted: What comes out of archives, about.
        packed: Size of the packed dataset, None if nothing tells it.
        peak: Most that is written while archives are kept.
        lean: Likewise if each archive goes once it is extracted.
        goes: How much of that is archives that can go afterwards.
        free: What is free on the disk.
    """

    get: int
    unknown: int
    on_disk: int
    sources: int
    extracted: int
    packed: int | None
    peak: int
    lean: int
    goes: int
    free: int

    @property
    def too_small(self) -> bool:
        """Whether the disk has too little room for all of it with archives kept."""
        return self.peak > self.free

    @property
    def fits_lean(self) -> bool:
        """Whether it has room if each archive goes once it is extracted."""
        return self.lean <= self.free < self.peak


def estimate(
    decisions: Iterable[Decision],
    root: Path,
    further: int = 0,
    packed: int | None = None,
    packed_here: int = 0,
) -> Estimate:
    """Returns what a plan needs.

    Args:
        decisions: The plan, of raw files and of networks.
        root: Raw folder, on whose disk the room is looked for.
        further: Bytes that a program of the dataset fetches besides.
        packed: About the size of the packed dataset.
        packed_here: How much of it is there already.
    """
    decisions = list(decisions)
    waiting = [d for d in decisions if d.remaining != 0]
    get = sum(d.remaining or 0 for d in waiting) + further
    coming = [d for d in decisions if d.source.extract and d.action != "have"]
    extracted = round(_OUT_OF * sum(_archive_bytes(d, root) for d in coming))
    ours = [d for d in coming if d.source.url]
    goes = sum(d.remaining or 0 for d in ours)
    held = _held(ours)
    rest = max((packed or 0) - packed_here, 0)
    peak = get + extracted + rest
    return Estimate(
        get=get,
        unknown=sum(d.remaining is None for d in waiting),
        on_disk=len(decisions) - len(waiting),
        sources=len(decisions),
        extracted=extracted,
        packed=packed,
        peak=peak,
        lean=peak - goes + held,
        goes=goes,
        free=free_bytes(root),
    )


def _held(decisions: Iterable[Decision]) -> int:
    """Most that archives take which go once they are extracted.

    Some arrive, no more of a host than are fetched from it at a time, while one is extracted.
    """
    rest = sorted(decisions, key=lambda d: d.remaining or 0, reverse=True)
    hosts: Counter[str] = Counter()
    arriving = []
    for d in rest:
        host = host_of(d.source.url)
        if len(arriving) < AT_ONCE and hosts[host] < PER_HOST:
            hosts[host] += 1
            arriving.append(d)
    extracted = [d for d in rest if d not in arriving][:1]
    return sum(d.remaining or 0 for d in arriving + extracted)


def _archive_bytes(decision: Decision, root: Path) -> int:
    """Size of a source's archives: of those on disk, else what is published."""
    there = 0
    for path in archives_of(decision.source, root):
        if (root / path).is_file():
            there += os.path.getsize(root / path)
    return max(there, decision.total or 0)


def packed_bytes(archive: Path) -> int:
    """Returns the size of all files of a packed dataset, 0 if there is none."""
    names = (n for n in names_in(archive.parent) if n.startswith(archive.name))
    return sum(os.path.getsize(archive.parent / n) for n in names)


def roomy_disks(need: int, root: Path) -> list[Path]:
    """Returns folders on other disks that can be written and have so much room, widest first."""
    found: dict[int, tuple[int, Path]] = {}
    here = _device(root)
    for place in _mounts():
        device = _device(place)
        if device in (None, here) or not os.access(place, os.W_OK):
            continue
        try:
            free = free_bytes(place)
        except OSError:
            continue
        if free >= need and (device not in found or len(str(place)) < len(str(found[device][1]))):
            found[device] = free, place
    return [place for _, place in sorted(found.values(), reverse=True)]


def _device(path: Path) -> int | None:
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    try:
        return path.stat().st_dev
    except OSError:
        return None


# What holds no data of anybody, or forgets it.
_NO_DISKS = ("tmpfs", "devtmpfs", "proc", "sysfs", "cgroup", "cgroup2", "overlay", "squashfs")


def _mounts() -> list[Path]:
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as f:
            rows = [line.split() for line in f]
    except OSError:  # not Linux
        return []
    kept = (r[1] for r in rows if len(r) > 2 and r[1].startswith("/") and r[2] not in _NO_DISKS)
    return [
        p
        for p in map(Path, kept)
        if p.is_dir() and not str(p).startswith(("/etc", "/boot", "/sys"))
    ]
