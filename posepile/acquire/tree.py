"""The expected tree, and what of it a raw folder lacks: one rule for plan, download and doctor."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from posepile.acquire.patterns import below, find_matches, glob_regex, is_literal, match_files
from posepile.acquire.sources import Expected, Source, Sources
from posepile.acquire.stated import StatedCount


def bounds(expected: Expected) -> tuple[int, int | None]:
    """Returns the fewest and the most files that one line of the expected tree allows."""
    if expected.count is not None:
        return expected.count, expected.count
    if expected.min is not None:
        return expected.min, expected.max
    return (0 if expected.for_each else 1), expected.max


def too_few(expected: Expected, path: str, n: int) -> str | None:
    """Returns how many files of one kind there are where these are too few, in words.

    Args:
        expected: The line of the expected tree.
        path: Its pattern below the raw folder.
        n: How many files match it.

    Returns:
        What to say of the path: nothing (an empty text) of a single file, which is not there; None
        if there are enough.
    """
    low, _ = bounds(expected)
    if n >= low or (expected.optional and not n):
        return None
    if is_literal(path):
        return ""
    if expected.for_each is not None and n:
        return None  # which ones are missing is said one by one
    least = "" if expected.count is not None else "at least "
    return f"{n} files, {least}{low} expected"


def counterparts(expected: Expected, paths: Iterable[str], for_each: str) -> list[str]:
    """Returns the paths that must exist because of other files, sorted.

    Args:
        expected: A line of the expected tree with ``for_each``.
        paths: Files that match that, in the order of their folders.
        for_each: Its pattern below the raw folder; that of the line itself begins likewise.
    """
    regex, pattern = glob_regex(for_each), expected.path
    result = set()
    for path in match_files([for_each], paths)[0]:
        words = regex.fullmatch(path).groupdict()
        result.add(re.sub(r"<(\w+)>", lambda m, words=words: words[m[1]], pattern))
    return sorted(result)


def standing(sources: Sources, folder: str) -> Sources:
    """Returns the sources with the patterns of the tree for one of the folders it may stand in.

    A line that tells no number has the one that the authors state of the same files.
    """
    layout = [
        e.model_copy(
            update={
                "path": below(folder, e.path),
                "for_each": e.for_each and below(folder, e.for_each),
                "count": _number(e, sources.counts),
            }
        )
        for e in sources.layout
    ]
    absent = [
        a.model_copy(update={"paths": [below(folder, p) for p in a.paths]}) for a in sources.absent
    ]
    return sources.model_copy(update={"layout": layout, "absent": absent})


def _number(expected: Expected, counts: Iterable[StatedCount]) -> int | None:
    """How many files of a line there are, by itself or as the authors state."""
    if expected.count is None and expected.min is None and expected.for_each is None:
        path = _nameless(expected.path)
        for stated in counts:
            if stated.files and _nameless(stated.files) == path:
                return stated.numbers["all"]
    return expected.count


def _nameless(pattern: str) -> str:
    return re.sub(r"<\w+>", "*", pattern)


def provided(source: Source, sources: Sources, root: Path) -> tuple[bool, str]:
    """Returns whether the files are there that a source provides, and what lacks of them.

    One file of each kind shows that somebody has extracted the source; whether all are there is
    told by the expected tree.

    Args:
        source: A source with ``provides``.
        sources: All that ``sources.yaml`` says.
        root: Raw folder.

    Returns:
        Whether there is any of each kind, and in words what lacks; empty where nothing does.
    """
    lacking: list[str] = []
    for folder in sources.roots:
        patterns = [below(folder, p) for p in source.provides]
        if not all(next(find_matches(root, p), None) is not None for p in patterns):
            continue
        stands = standing(sources, folder)
        kinds = [e for e in stands.layout if any(_overlap(p, e.path) for p in patterns)]
        found = next(shortfalls(stands, kinds, root), "")
        if not found:
            return True, ""
        lacking.append(found)
    return bool(lacking), next(iter(lacking), "")


def shortfalls(stands: Sources, kinds: Iterable[Expected], root: Path) -> Iterator[str]:
    """Yields what lacks of some lines of the expected tree, by a look at the disk.

    Args:
        stands: What :func:`standing` gave, for what is known to be absent.
        kinds: Lines of its tree.
        root: Raw folder.
    """
    absent = [glob_regex(p) for a in stands.absent for p in a.paths]
    for expected in kinds:
        n = sum(1 for _ in find_matches(root, expected.path))
        few = too_few(expected, expected.path, n)
        if few is not None:
            yield f"{expected.path}: {few}" if few else f"{expected.path} is missing"
        if not expected.for_each:
            continue
        wanted = counterparts(expected, find_matches(root, expected.for_each), expected.for_each)
        lost = [
            path
            for path in wanted
            if not os.path.isfile(os.path.join(root, path))
            and not any(r.fullmatch(path) for r in absent)
        ]
        if lost:
            yield f"{expected.path}: {len(wanted) - len(lost)} files, {len(wanted)} expected"


@functools.cache
def _overlap(pattern: str, other: str) -> bool:
    """Whether two patterns are about the same files."""
    return _matches(pattern, _example(other)) or _matches(other, _example(pattern))


def _matches(pattern: str, path: str) -> bool:
    return glob_regex(pattern).fullmatch(path) is not None


def _example(pattern: str) -> str:
    """A path that matches a pattern."""
    text = re.sub(r"\{([^,}]*)[^}]*\}", r"\1", pattern)
    text = re.sub(r"\[([^!^\]])[^\]]*\]", r"\1", text)
    return re.sub(r"\*\*|[*?]|<\w+>|\[[^\]]*\]", "0", text)
