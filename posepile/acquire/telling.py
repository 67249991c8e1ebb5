"""What a download says of hundreds of sources: the first ones by name, the others as a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from posepile.acquire.plan import Decision, details
from posepile.acquire.sources import Sources

NAMED = 3  # so many of many are named


class Unpacked:
    """Says of the first archives that they were extracted, and of the others how many.

    >>> unpacked = Unpacked(print)
    >>> for i in range(5):
    ...     unpacked.add(f"part{i}", 10, f"{i}.zip")
    part0: extracted 10 files from 0.zip
    part1: extracted 10 files from 1.zip
    part2: extracted 10 files from 2.zip
    >>> unpacked.say_rest()
    and 20 files from 2 more archives
    """

    def __init__(self, log: Callable[[str], None]):
        self._log = log
        self._files: list[int] = []

    def add(self, name: str, n_files: int, path: str) -> None:
        """Takes an archive of a source and how many files it held."""
        self._files.append(n_files)
        if len(self._files) <= NAMED:
            self._log(f"{name}: extracted {n_files} files from {path}")

    def say_rest(self) -> None:
        """Says how many there were of which nothing was said."""
        rest = self._files[NAMED:]
        if rest:
            more = f"{len(rest)} more archive{'s' * (len(rest) > 1)}"
            self._log(f"and {sum(rest)} files from {more}")


def left_lines(dataset: str, left: Iterable[tuple[str, str]]) -> list[str]:
    """Returns what is left to do, of the same for many sources no more than a line.

    >>> left_lines("mine", [("a", "a.zip is missing"), ("b", "ask its authors")])
    ['a: a.zip is missing', 'b: ask its authors']
    >>> left_lines("mine", [(f"s{i}", f"s{i}.zip is missing") for i in range(450)])
    ['450 sources (s0, s1, s2, …): s0.zip is missing; posepile plan mine lists them']

    Args:
        dataset: Its name, for the command that lists them.
        left: Source and what is left of it, each.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, reason in left:
        alike.setdefault(reason.replace(name, "#"), []).append((name, reason))
    lines = []
    for group in alike.values():
        if len(group) <= NAMED:
            lines += [f"{name}: {reason}" for name, reason in group]
        else:
            names = ", ".join(name for name, _ in group[:NAMED])
            some = f"{len(group)} sources ({names}, …): {group[0][1]}"
            lines.append(f"{some}; posepile plan {dataset} lists them")
    return lines


def tell_people(
    log: Callable[[str], None], sources: Sources, decisions: Sequence[Decision]
) -> None:
    """Says what a person must do for the first sources, and how many others there are.

    Args:
        log: Is given lines.
        sources: Those of the dataset.
        decisions: About the sources that a person must fetch.
    """
    for decision in decisions[:NAMED]:
        for detail in details(sources, decision):
            log(f"{decision.source.name}: {detail}")
    n = len(decisions) - NAMED
    if n > 0:
        name = sources.dataset
        more = f"{n} more source{'s' * (n > 1)} that a person must fetch"
        log(f"and {more}: posepile plan {name} lists them")
