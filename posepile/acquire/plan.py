"""Deciding what is to be done about each source, from the disk alone, and telling it."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posepile.acquire.addresses import shown_address, without_access
from posepile.acquire.aside import lacking as put_aside
from posepile.acquire.credentials import have_credentials, variable_names
from posepile.acquire.joined import is_archive_name, is_later_part
from posepile.acquire.lockfile import read_lock
from posepile.acquire.patterns import below, find_matches, without_copies
from posepile.acquire.places import Place, notes_path, part_path
from posepile.acquire.records import is_extracted, read_record, record_names
from posepile.acquire.sources import Source, Sources, load_sources
from posepile.acquire.space import free_bytes
from posepile.acquire.tree import provided
from posepile.errors import UsageError
from posepile.files import names_in
from posepile.paths import data_root
from posepile.progress.words import byte_size

# Of sources that differ only in the values of their entry, so many lines.
SHOWN_ALIKE = 4

# What a person must do something for.
_BY_PERSON = ("manual", "blocked")
_UNVERIFIED = "found extracted on disk; not verified"


@dataclass(frozen=True)
class Decision:
    """What is to be done about one source.

    Attributes:
        source: The source.
        action: ``have``: nothing; ``verify``: the file is there but was never checked;
            ``extract``: it only has to be extracted; ``resume`` and ``fetch``: over the network;
            ``tool``: by the dataset's own program; ``manual``: by a person; ``blocked``:
            credentials are lacking.
        reason: One phrase.
        total: Size of the file in bytes, None if unknown.
        offset: How much of it is there.
        found: Part of it, or of what comes out of it, is on disk already or was put aside.
        unverified: What comes out of it is there and was not compared with anything.
    """

    source: Source
    action: str
    reason: str = ""
    total: int | None = None
    offset: int = 0
    found: bool = False
    unverified: bool = False

    @property
    def remaining(self) -> int | None:
        """Bytes still to be fetched; None if unknown."""
        if self.action not in ("fetch", "resume", "blocked", "manual", "tool"):
            return 0
        return None if self.total is None else max(self.total - self.offset, 0)


# ---------------------------------------------------------------- deciding


def plan(sources: Sources, root: Path, only: Iterable[str] | None = None) -> list[Decision]:
    """Returns for every source what is to be done; asks no server and changes nothing.

    Args:
        sources: The dataset's sources.
        root: Its raw folder.
        only: Names or parts; everything that is not optional if left out.

    Raises:
        UsageError: ``only`` names something that does not exist.
    """
    root, lock = Path(root), read_lock(root)
    decisions = [decide(source, sources, root, lock) for source in sources.select(only)]
    return _settle(decisions, root)


def _settle(decisions: list[Decision], root: Path) -> list[Decision]:
    """Leaves out what need not be asked for, of sources that stand for each other."""
    by_hand = {d.source.name: d.action == "manual" for d in decisions}
    kept, covered = [], {}
    for d in decisions:
        others = by_hand.keys() & set(d.source.instead_of)
        begun = bool(others) and bool(record_names(root, f"{d.source.name}--*"))
        if others and (d.action == "manual" or not (begun or any(by_hand[n] for n in others))):
            continue  # not there, or the others are there by themselves
        if d.action != "manual":
            covered |= dict.fromkeys(others, d.source.places[0].path)
        kept.append(d)
    return [
        replace(d, action="have", reason=f"comes in {covered[d.source.name]}", total=0)
        if d.action == "manual" and d.source.name in covered
        else d
        for d in kept
    ]


def decide(source: Source, sources: Sources, root: Path, lock: dict[str, dict]) -> Decision:
    """Returns what is to be done about one source.

    Args:
        source: The source.
        sources: All that ``sources.yaml`` says: where the extracted tree may stand, and what is
            expected of it.
        root: Raw folder.
        lock: What :func:`~posepile.acquire.lockfile.read_lock` gave.
    """
    if source.url is None:
        return _decide_places(source, sources, root, lock)
    size, target = source.size, root / source.path
    if source.extract and is_extracted(root, source.name, source.extract):
        return Decision(source, "have", "extracted", size)
    suspicious = ""
    there, lacking = (False, "") if target.is_file() else _found(source, sources, root)
    if target.is_file():
        found, fault = target.stat().st_size, source.fault(target)
        if fault is None:
            confirmed = source.is_confirmed(target, lock.get(source.path))
            if not confirmed or notes_path(target).exists():
                return Decision(source, "verify", "on disk, not checked yet", found, found)
            action = "extract" if source.extract else "have"
            return Decision(source, action, "downloaded and checked", found, found)
        suspicious = f"{source.path}: {fault}: it will be replaced"
    elif there and not lacking:
        return Decision(source, "have", _UNVERIFIED, size, unverified=True)
    elif lacking:
        suspicious = f"not all of it is there: {lacking}"
    part = part_path(target)
    offset = part.stat().st_size if part.is_file() else 0
    reason = suspicious or shown_address(source.url)
    if source.login and not _can_log_in(source):
        user, password = variable_names(source.login.account)
        lacks = f"no user name and password for {source.login.account}: set {user} and {password}"
        return Decision(source, "blocked", lacks, size, offset)
    action = "resume" if offset else "fetch"
    return Decision(source, action, reason, size, offset, bool(lacking))


def _decide_places(
    source: Source, sources: Sources, root: Path, lock: dict[str, dict]
) -> Decision:
    if source.extract and _hand_archives_extracted(source, root):
        return Decision(source, "have", "extracted", source.size)
    found, lacking = _found(source, sources, root)
    if found and not lacking:
        return Decision(source, "have", "found on disk", source.size)
    if all(_is_shared_model(place, root) for place in source.places):
        return Decision(source, "have", "in the body models of all datasets", source.size)
    unchecked = False
    for place in source.places:
        matches = list(without_copies(find_matches(root, place.path)))
        reason, aside = _place_fault(place, matches, root)
        if reason:
            reason = f"not all of it is there: {lacking}" if lacking else reason
            action, begun = "manual" if source.manual else "tool", bool(lacking) or aside
            return Decision(source, action, reason, source.size, found=begun)
        unchecked |= not all(place.is_confirmed(root / m, lock.get(m)) for m in matches)
    if source.tool:
        return Decision(source, "have", "on disk", source.size)
    if unchecked:
        return Decision(source, "verify", "on disk, not checked yet", source.size)
    if source.extract:
        return Decision(source, "extract", "on disk and checked", source.size)
    return Decision(source, "have", "on disk and checked", source.size)


def _is_shared_model(place: Place, root: Path) -> bool:
    """Whether a body model is among those of all datasets; a folder in ``root`` goes first."""
    folder, _, name = place.path.partition("/")
    if folder != "body_models" or names_in(root / folder):
        return False
    shared = os.environ.get("SMPLFITTER_BODY_MODELS")
    if not shared and os.environ.get("DATA_ROOT"):
        shared = data_root() / folder
    return bool(shared) and any(find_matches(Path(shared), name))


def _place_fault(place: Place, matches: list[str], root: Path) -> tuple[str, bool]:
    """What is wrong with the files of a place, empty if nothing; and whether one is put aside."""
    if len(matches) < place.min:
        found = f", {len(matches)} of {place.min} there" if place.min > 1 else ""
        return f"{place.path} is missing{found}", False
    if gone := put_aside(root, [place.path]):
        return f"{gone[0]} was put aside as damaged", True
    faults = ((match, place.fault(root / match)) for match in matches)
    return next((f"{match}: {fault}" for match, fault in faults if fault), ""), False


def _found(source: Source, sources: Sources, root: Path) -> tuple[bool, str]:
    """Whether somebody has extracted a source, and what lacks of it."""
    if not source.provides or read_record(root, source.name) is not None:
        # We extracted it ourselves, in another way or not to the end, or files have been lost.
        return False, ""
    there, lacking = provided(source, sources, root)
    patterns = [below(r, p) for r in sources.roots for p in source.provides]
    if gone := put_aside(root, patterns):
        there, lacking = True, f"{gone[0]} was put aside as damaged"
    others = (s.name for s in sources.sources if source.name in s.instead_of)
    if any(record_names(root, f"{name}--*") for name in others):
        return there, ""  # it came out of another's archive, whatever that held
    return there, lacking


def archives_of(source: Source, root: Path) -> list[str]:
    """Returns the archives of a source that are to be extracted, relative to the raw folder."""
    if source.url:
        return [source.path]
    found = {m for place in source.places for m in find_matches(root, place.path)}
    found = set(without_copies(found))
    # By their content it is told what others are.
    archives = [m for m in found if is_archive_name(m)]
    return sorted(archives or [m for m in found if not is_later_part(root / m)])


def record_name(source: Source, archive: str) -> str:
    """Returns the name under which the extraction of an archive is recorded."""
    return source.name if source.url else f"{source.name}--{archive.rsplit('/', 1)[-1]}"


def _hand_archives_extracted(source: Source, root: Path) -> bool:
    names = set(record_names(root, f"{source.name}--*"))
    names |= {record_name(source, a) for a in archives_of(source, root)}
    archives = [p for p in source.places if is_archive_name(p.path)]
    others = [p for p in source.places if p not in archives]
    return (
        len(names) >= max(sum(p.min for p in archives), 1)
        and all(is_extracted(root, n, source.extract) for n in names)
        and all(len(list(find_matches(root, p.path))) >= p.min for p in others)
    )


def _can_log_in(source: Source) -> bool:
    asked = sys.stdin is not None and sys.stdin.isatty()
    return asked or have_credentials(source.login.account, host=host_of(source.url))


def host_of(url: str) -> str:
    """Returns the host of an address, without the port."""
    return urllib.parse.urlsplit(url).hostname or ""


def people_needed(decisions: Iterable[Decision]) -> list[str]:
    """Returns what a person must do before a download can go through, in words."""
    missing = [d.source.tool.command[0] for d in decisions if d.action == "tool"]
    programs = dict.fromkeys(p for p in missing if shutil.which(p) is None)
    n = Counter(d.action for d in decisions)
    found = [f"{n['blocked']} without user name and password"] if n["blocked"] else []
    found += [f"{n['manual']} to be fetched by hand"] if n["manual"] else []
    return [*found, *(f"{program} is not installed" for program in programs)]


# ---------------------------------------------------------------- telling


def format_plan(
    name: str,
    sources_path: str | os.PathLike,
    root: str | os.PathLike,
    only: Iterable[str] | None = None,
) -> str:
    """Returns the plan as text: one line per source, the steps for a person, and the sums.

    Raises:
        UsageError: Something is wrong with the request or with ``sources.yaml``.
    """
    sources = sources_of(name, sources_path)
    return plan_text(sources, plan(sources, Path(root), only), Path(root))


def plan_entries(
    name: str, sources_path: str | os.PathLike, root: str | os.PathLike
) -> list[dict[str, Any]]:
    """Returns the plan as plain data, one entry per source.

    Raises:
        UsageError: Something is wrong with ``sources.yaml``.
    """
    sources = sources_of(name, sources_path)
    return [
        {
            "name": d.source.name,
            "action": d.action,
            "reason": without_access(d.reason),
            "url": d.source.url and shown_address(d.source.url),
            "paths": [os.path.join(root, place.path) for place in d.source.places],
            "bytes": d.total,
            "remaining": d.remaining,
            "licence": d.source.licence or sources.licence,
        }
        for d in plan(sources, Path(root))
    ]


def sources_of(name: str, path: str | os.PathLike) -> Sources:
    """Returns what ``sources.yaml`` says about a dataset.

    Raises:
        UsageError: It is about another dataset, or something is wrong with it.
    """
    sources = load_sources(path)
    if sources.dataset != name:
        raise UsageError(f"{path}: is about {sources.dataset}, not {name}")
    return sources


def plan_text(sources: Sources, decisions: list[Decision], root: Path) -> str:
    """Returns decisions as text; see :func:`format_plan`."""
    lines = plan_lines(sources, decisions, root)
    sums = f"  {sum_line(decisions)}; {byte_size(free_bytes(root))} free on the disk"
    return "\n".join([*lines, *by_hand_lines(sources, decisions), sums])


def plan_lines(sources: Sources, decisions: list[Decision], root: Path) -> list[str]:
    """Returns what a plan does by itself, what is on disk, and what is optional, in lines.

    Args:
        sources: What ``sources.yaml`` says.
        decisions: What is to be done.
        root: Raw folder.
    """
    head = [f"{sources.dataset}: {root}"]
    head += [f"  page     {sources.page}"] if sources.page else []
    head += [f"  licence  {sources.licence}"] if sources.licence else []
    lines = _source_lines(sources, [d for d in decisions if d.action not in _BY_PERSON])
    if sources.absent:
        lines.append(f"  known to be absent: {'; '.join(a.what for a in sources.absent)}")
    lines += _optional_lines(sources, decisions)
    return without_access("\n".join(head + lines)).split("\n")


def by_hand_lines(sources: Sources, decisions: list[Decision]) -> list[str]:
    """Returns what a person must do, in lines.

    Args:
        sources: What ``sources.yaml`` says.
        decisions: What is to be done.
    """
    lines = _source_lines(sources, [d for d in decisions if d.action in _BY_PERSON])
    logins = {s.login.account for s in sources.sources if s.login}
    for account, service in sources.services.items():
        if account not in logins:  # needed by the recipe's own download
            lines.append(f"  by hand  {account}")
            lines += [f"{'':11}{i}. {step}" for i, step in enumerate(service.steps, 1)]
            lines += [f"{'':11}see {service.url}"] if service.url else []
    return without_access("\n".join(lines)).split("\n") if lines else []


def _source_lines(sources: Sources, decisions: list[Decision]) -> list[str]:
    width = max([len(d.source.name) for d in decisions], default=0)
    lines = []
    words = {"manual": "by hand"}
    alike = Counter((d.source.one_of, d.action) for d in decisions if d.source.one_of)
    shown: Counter = Counter()
    last = {(d.source.one_of, d.action): d.source.name for d in decisions}
    for d in decisions:
        kind = (d.source.one_of, d.action)
        shown[kind] += 1
        if alike[kind] > SHOWN_ALIKE and shown[kind] >= SHOWN_ALIKE:
            if shown[kind] == SHOWN_ALIKE:
                more = f"{alike[kind] - SHOWN_ALIKE + 1} more {d.source.one_of}, to {last[kind]}"
                lines.append(f"  {words.get(d.action, d.action):8} … and {more}")
            continue
        size = byte_size(d.total) if d.total is not None else "unknown size"
        if d.action == "resume":
            size = f"{byte_size(d.offset)} of {size}"
        size = "" if d.action == "have" else f"{size}  "
        lines.append(
            f"  {words.get(d.action, d.action):8} {d.source.name:{width}}  {size}{d.reason}"
        )
        lines += [f"{'':11}{note}" for note in details(sources, d)]
    return lines


def sum_line(decisions: list[Decision], further: int = 0) -> str:
    """Returns in words what decisions come to.

    Args:
        decisions: What is to be done.
        further: Bytes that are fetched besides.
    """
    waiting = [d for d in decisions if d.remaining != 0]
    known = sum(d.remaining or 0 for d in waiting) + further
    unknown = sum(d.remaining is None for d in waiting)
    to_get = [f"{byte_size(known)} to get"] if known or not unknown else []
    more = "more" if known else "to get"
    to_get += [f"{unknown} {more} whose size is known once they are fetched"] if unknown else []
    there = len(decisions) - len(waiting)
    n = f"{len(decisions)} source{'' if len(decisions) == 1 else 's'}"
    own = f" ({byte_size(further)} of it by the dataset's own program)" if further else ""
    return f"in all: {n}, {there} on disk, {' and '.join(to_get)}{own}"


def _optional_lines(sources: Sources, decisions: list[Decision]) -> list[str]:
    """What else there is, by the word that it is asked for with."""
    if any(d.source.optional for d in decisions):
        return []  # was asked for by name
    needed = {s.part for s in sources.sources if not s.optional}
    groups: dict[str, list[Source]] = {}
    for s in sources.sources:
        if s.optional:
            groups.setdefault(s.name if s.part in needed else s.part or s.name, []).append(s)
    if not groups:
        return []
    lines = [f"  optional, by posepile step {sources.dataset} download --parts WORD:"]
    for word, members in groups.items():
        names = ", ".join(dict.fromkeys(s.one_of or s.name for s in members))
        names = "" if names == word else f" ({names})"
        note = next((f": {s.note}" for s in members if s.note), "")
        lines.append(f"    {word}{names}{note}")
    return lines


def details(sources: Sources, decision: Decision) -> Iterator[str]:
    """Yields what a person should know or do about a source, one line each."""
    source = decision.source
    if source.note:
        yield source.note
    if source.licence and decision.action != "have":
        yield f"licence: {source.licence}"
    if decision.action == "blocked" and source.login.account in sources.services:
        service = sources.services[source.login.account]
        yield from service.steps
        yield from ([f"account: {service.url}"] if service.url else [])
    if decision.action == "manual" and source.manual:
        for i, step in enumerate(source.manual.steps, 1):
            yield f"{i}. {step}"
        if source.manual.url:
            yield f"see {source.manual.url}"
        for place in source.places:
            yield place.instruction
    if decision.action == "tool" and source.tool:
        yield f"runs {' '.join(source.tool.command)}"
        if shutil.which(source.tool.command[0]) is None:
            yield f"which is not installed: {source.tool.install}"
