"""What mends a raw folder: for each kind of trouble that was found, one command."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from posepile.acquire.elsewhere import archives_elsewhere, find_elsewhere
from posepile.acquire.findings import DoctorReport
from posepile.acquire.mending import (
    Asked,
    Mend,
    aside_command,
    elsewhere_command,
    link_command,
    move_command,
    quoted,
    resume_command,
)
from posepile.acquire.moves import gather
from posepile.acquire.patterns import below, find_matches, glob_regex, match_files
from posepile.acquire.plan import Decision, archives_of, people_needed, plan
from posepile.acquire.records import read_record
from posepile.acquire.sources import Source, Sources
from posepile.progress.words import byte_size

_Damaged = tuple[str, Source | None]

# What a download does by itself.
_OURS = ("fetch", "resume", "extract", "verify", "tool")


@dataclass
class Remedies:
    """Adds commands to a report.

    Attributes:
        sources: What ``sources.yaml`` says.
        report: The report.
        asked: The dataset and settings that commands are to name.
        look_in: Folders in which to look for data as well.
        others: Names of other datasets' folders.
    """

    sources: Sources
    report: DoctorReport
    asked: Asked
    look_in: Iterable[Path] = ()
    others: Collection[str] = ()

    def nothing_there(self) -> None:
        """Says what to do about an empty raw folder."""
        root = self.report.root
        if self._elsewhere():
            return
        self._archives()
        if root.is_symlink() and not root.exists():
            return
        if people_needed(plan(self.sources, root)) or not self.sources.sources:
            self._add("an empty folder (a person must do something first)", self._plan())
        else:
            self._add("an empty folder", self.asked.command("run"))

    def find(self, decisions: Iterable[Decision], files: Mapping[str, int]) -> None:
        """Says what to do about what was found in a folder.

        Args:
            decisions: The plan.
            files: Size of every file.
        """
        report, decisions = self.report, list(decisions)
        damaged = {f.path: None for f in report.of("truncated")}
        found = {here: to for move in report.moves for here, to in move.files.items()}
        if damaged.keys() & found.keys():  # what is of no use is not brought into place
            report.moves = gather({h: to for h, to in found.items() if h not in damaged})
        if report.moves:
            of_others = report.root.is_symlink() or not os.access(report.root, os.W_OK)
            move = link_command if of_others else move_command
            report.mends.append(move(report.root, report.moves, files, self.asked))
        cut = self._damaged(damaged)
        if not report.of("missing"):
            return
        tree = [below(r, e.path) for e in self.sources.layout for r in self.sources.roots]
        known = any(match_files(tree, files))
        if not known and not report.moves and self._elsewhere():
            return
        self._archives()
        ours = [d for d in decisions if d.action in _OURS and d.source.name not in cut]
        # Whether what is there is right brings nothing that is missing.
        ours = [d for d in ours if d.action != "verify" or d.source.extract]
        begun = any(d.action == "resume" for d in ours)
        hands = [d for d in decisions if d.action in ("manual", "blocked")]
        if ours:
            what = "an unfinished download" if begun else "what is missing"
            self._add(what, self._download())
        if hands or (not ours and not cut and not report.moves):
            self._add("what only a person can get", self._plan())

    def _add(self, what: str, command: str) -> None:
        self.report.mends.append(Mend(what, command))

    def _plan(self) -> str:
        return self.asked.command("plan")

    def _download(self, *parts: str) -> str:
        return self.asked.command("step", "download", last=["--parts", *parts] if parts else [])

    def _elsewhere(self) -> bool:
        found = find_elsewhere(self.sources, self.report.root, self.look_in, self.others)
        for folder, place in itertools.islice(found.items(), 1):
            self.report.add(
                "misplaced", str(folder), "holds what belongs at", place=str(place), telling=True
            )
            command = elsewhere_command(place, folder, self.asked)
            self._add(f"data in another place, {folder}", command)
        return bool(found)

    def _archives(self) -> None:
        found = archives_elsewhere(self.sources, self.report.root, self.look_in)
        for here, there in found.items():
            self.report.add("misplaced", str(here), "belongs at", place=str(there))
        if found:
            folders = dict.fromkeys(there.parent for there in found.values())
            steps = [f"mkdir -p {quoted(*folders)}"]
            steps += [f"ln -s {quoted(here, there)}" for here, there in found.items()]
            self._add("archives in another place", " && ".join(steps))

    def _damaged(self, paths: Iterable[str]) -> set[str]:
        """Adds commands for damaged files; returns the sources that these are about."""
        cut, again, others = set(), [], []
        for path in paths:
            source, is_archive = self._source_of(path)
            if is_archive and source.url:
                then = self._download(source.name)
                self._add("a file that is cut off", resume_command(self.report.root / path, then))
                cut.add(source.name)
            elif self._is_missed(path, source, is_archive):
                self._add("a damaged file", aside_command(self.report.root / path, self._plan()))
            elif source is not None and source.url and self._comes_again(path, source):
                again.append((path, source))
            else:
                others.append((path, source))
        return cut | self._again(again, others)

    def _is_missed(self, path: str, source: Source | None, is_archive: bool) -> bool:
        """Whether a plan says that a file is to be got, or nobody needs it."""
        if is_archive:
            places = [p for p in source.places if glob_regex(p.path).fullmatch(path)]
            found = (sum(1 for _ in find_matches(self.report.root, p.path)) for p in places)
            return all(n <= p.min for n, p in zip(found, places, strict=True))
        tree = [below(r, e.path) for e in self.sources.layout for r in self.sources.roots]
        return source is None and not any(glob_regex(p).fullmatch(path) for p in tree)

    def _comes_again(self, path: str, source: Source) -> bool:
        """Whether a file is missed by a download once it is gone."""
        record = read_record(self.report.root, source.name)
        return (record is not None and path in record["files"]) or (
            source.extract is not None and (self.report.root / source.path).is_file()
        )

    def _again(self, known: list[_Damaged], others: list[_Damaged]) -> set[str]:
        """Puts files aside that are to come again: extracted, fetched, or by a person.

        Args:
            known: Files that a download misses by itself.
            others: Files that it would not, so that it is written down that they are lacking.
        """
        if not known and not others:
            return set()
        damaged, root = [*known, *others], self.report.root
        cut = {path for path, _ in damaged}
        ours = [s for _, s in damaged if s and (s.url or {*archives_of(s, root)} - cut)]
        names = list(dict.fromkeys(source.name for source in ours))
        then = [self._download(*names)] if names else []
        if len(ours) < len(damaged):
            then.append(self._plan())
        (path, _), n = damaged[0], len(damaged)
        if n == 1 and known:
            self._add("a damaged file", aside_command(root / path, then[0]))
        else:
            self.report.aside = [path for path, _ in damaged]
            mend = self.asked.command("doctor", last=["--mend"])
            what = f"{n} damaged files, which it puts aside" if n > 1 else "a damaged file"
            self._add(what + self._in_full(others), " ; ".join([mend, *then]))
        return set(names)

    def _in_full(self, others: list[_Damaged]) -> str:
        """Which archives are fetched for files that are not known to have come out of them."""
        fetched = {s.name: s.size for _, s in others if s and s.url}
        sizes = [f"{n}, {byte_size(size)}" if size else n for n, size in fetched.items()]
        return f" (fetches all of {'; '.join(sizes)})" if sizes else ""

    def _source_of(self, path: str) -> tuple[Source | None, bool]:
        """The source that a file is of, and whether it is one of its archives."""
        for source in self.sources.sources:
            if any(glob_regex(place.path).fullmatch(path) for place in source.places):
                return source, True
        for source in self.sources.sources:
            for root in self.sources.roots:
                if any(glob_regex(below(root, p)).fullmatch(path) for p in source.provides):
                    return source, False
        return None, False
