"""Files that lie in the wrong place: where they belong, and what brings all of them there.

Three things go wrong when people unpack archives or tidy up: the tree stands below one folder
more, or lacks one, or a folder of it has another name. All three are recognised by the patterns of
the expected tree, and hundreds of files that moved together are one :class:`Move`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posepile.acquire.joined import is_archive_name
from posepile.acquire.patterns import fixed_part, glob_regex, is_literal, match_files
from posepile.errors import WorkError, raise_if_shortage

_MOST = 50  # moves beside whose files others are looked for
_NAME = 6  # characters of the fixed part by which an archive is known
_SHORTEST = 3  # characters of the fixed part by which a file in a renamed folder is known


@dataclass(frozen=True)
class Move:
    """Files that belong elsewhere and lie together.

    Attributes:
        source: Folder, or file, below the raw folder; empty for that itself.
        target: Where it belongs, likewise.
        files: From where -> to where, of every file.
    """

    source: str
    target: str
    files: dict[str, str] = field(hash=False)

    @property
    def line(self) -> str:
        """The move in words."""
        n = len(self.files)
        if n == 1:
            ((here, there),) = self.files.items()
            return f"{here}: belongs at {there}"
        first = next(iter(self.files))
        return f"{self.source or '.'}/: {n} files, which belong in {self.target or '.'}/: {first}"


@dataclass(frozen=True)
class _Tail:
    """The last components of a pattern, by which a file can be recognised in another place."""

    length: int
    regex: re.Pattern
    head: list[str]
    pattern: str


def where_it_belongs(paths: Iterable[str], patterns: Sequence[str]) -> dict[str, str]:
    """Returns where files belong that match no pattern of the tree where they are.

    Args:
        paths: Files without a place in the tree, by their paths below the raw folder.
        patterns: What is expected there.

    Returns:
        Path -> its place, or the pattern of that, where parts of it are not told by the path.
    """
    tails = [t for pattern in dict.fromkeys(patterns) for t in _tails(pattern)]
    tails.sort(key=lambda t: -t.length)
    found = {}
    for path in paths:
        place = _belongs_at(path, tails)
        if place:
            found[path] = place
    return found


def _tails(pattern: str) -> list[_Tail]:
    parts = pattern.split("/")
    tails = []
    for i in range(len(parts)):
        tail = parts[i:]
        # Without any fixed word (``*/*.json``) too much would be recognised.
        telling = any(is_literal(p) for p in tail) or _is_telling(tail[-1])
        if "**" not in tail and telling:
            tails.append(_Tail(len(tail), glob_regex("/".join(tail)), parts[:i], pattern))
    return tails


def _is_telling(name: str) -> bool:
    """Whether an archive is known by the fixed part of its name (``Videos_S*.tgz``)."""
    end = name.find(".")
    return is_archive_name(name) and end > 0 and len(fixed_part(name[:end])) >= _NAME


def _belongs_at(path: str, tails: list[_Tail]) -> str | None:
    parts = path.split("/")
    for t in tails:
        end = parts[-t.length :]
        if t.length <= len(parts) and (match := t.regex.fullmatch("/".join(end))):
            head = [_filled(p, match.groupdict()) for p in t.head]
            return "/".join([*head, *end]) if all(map(is_literal, head)) else t.pattern
    return None


def _filled(part: str, words: Mapping[str, str]) -> str:
    """A component of a pattern with the words that are known."""
    return re.sub(r"<(\w+)>", lambda m: words.get(m[1], m[0]), part)


def renamed_folders(
    strays: Iterable[str], expected: Mapping[str, int], files: Iterable[str]
) -> dict[str, str]:
    """Returns where files belong that lie in a folder of the tree under another name.

    Args:
        strays: Files without a place in the tree.
        expected: Pattern -> how many files of it there should be; 0 = not known.
        files: All files of the raw folder.

    Returns:
        Path -> its place. A folder counts as renamed if the one that it is taken for is not there
        and every file in it fits.
    """
    strays = list(strays)
    inside = _by_folder(files)
    # The lines of the tree that are about one folder know its files only together.
    together: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    counts: Counter[tuple[str, str]] = Counter()
    for pattern, wanted in expected.items():
        for renamed, there, found in _candidates(pattern, strays):
            if there not in inside:
                together[renamed, there] |= found
                counts[renamed, there] += wanted
    best: dict[str, tuple[float, dict[str, str]]] = {}
    for (renamed, there), found in together.items():
        if len(found) < len(inside.get(renamed, ())):
            continue  # other things lie in it as well
        alike = difflib.SequenceMatcher(None, renamed.lower(), there.lower()).ratio()
        score = alike + (len(found) == counts[renamed, there])
        if score > best.get(renamed, (-1.0, {}))[0]:  # a new name may share no letter
            best[renamed] = score, found
    claimed: set[str] = set()
    result: dict[str, str] = {}
    for _, found in sorted(best.values(), key=lambda b: -b[0]):
        if not claimed & set(found.values()):
            claimed |= set(found.values())
            result |= {k: v for k, v in found.items() if k not in result}
    return result


def _by_folder(files: Iterable[str]) -> dict[str, list[str]]:
    """Files by every folder that they lie below."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in files:
        parts = path.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            found["/".join(parts[:i])].append(path)
    return found


def _candidates(pattern: str, strays: list[str]) -> Iterable[tuple[str, str, dict[str, str]]]:
    """Yields folder, what it should be called, and its files, for one pattern."""
    parts = pattern.split("/")
    if "**" in parts:
        return
    for i, word in enumerate(parts[:-1]):
        if not is_literal(word):
            continue
        if len("".join(map(fixed_part, parts[i + 1 :]))) < _SHORTEST:
            continue
        regex = glob_regex("/".join([*parts[:i], "*", *parts[i + 1 :]]))
        groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for path in strays:
            if regex.fullmatch(path):
                own = path.split("/")
                there = "/".join([*own[:i], word])
                groups["/".join(own[: i + 1]), there][path] = "/".join([there, *own[i + 1 :]])
        for (folder, there), found in groups.items():
            yield folder, there, found


def gather(places: Mapping[str, str]) -> list[Move]:
    """Returns the moves that bring files to their places, those of one folder as one.

    Args:
        places: Path -> place, of every misplaced file.
    """
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for here, there in places.items():
        groups[_ends(here, there)][here] = there
    moves = []
    for folders, found in sorted(groups.items()):
        # A file that lies alone moves alone.
        ends = next(iter(found.items())) if len(found) == 1 else folders
        moves.append(Move(*ends, dict(sorted(found.items()))))
    return moves


def _ends(here: str, there: str) -> tuple[str, str]:
    """What of two paths differs, without the part that both end in."""
    a, b = here.split("/"), there.split("/")
    while a and b and a[-1] == b[-1]:
        a.pop()
        b.pop()
    return "/".join(a), "/".join(b)


def follow(
    moves: Sequence[Move], strays: Iterable[str], patterns: Sequence[str]
) -> dict[str, str]:
    """Returns where further files belong: those beside others that moved, if they fit there.

    Args:
        moves: What is known already.
        strays: Other files without a place.
        patterns: What is expected, which here may hold ``**``.
    """
    wanted = {}
    folders = [move for move in moves if len(move.files) > 1][:_MOST]
    for path in strays:
        for move in folders:
            start = f"{move.source}/" if move.source else ""
            if path.startswith(start) and path not in move.files:
                wanted[path] = "/".join(filter(None, [move.target, path[len(start) :]]))
                break
    fitting = {p for found in match_files(list(patterns), sorted(wanted.values())) for p in found}
    return {here: there for here, there in wanted.items() if there in fitting}


def carry_out(root: Path, moves: Iterable[Move]) -> dict[str, str]:
    """Renames files to where they belong; nothing is overwritten, and emptied folders go.

    Args:
        root: Raw folder.
        moves: What is to be done.

    Returns:
        From where -> to where, of every file that was moved.

    Raises:
        WorkError: A place is taken, or the folder may not be written.
    """
    done: dict[str, str] = {}
    for move in moves:
        for here, there in move.files.items():
            source, target = root / here, root / there
            if os.path.lexists(target):
                raise WorkError(
                    f"{target}: is there already, so {here} is not moved onto it; compare the two "
                    "and keep the right one"
                )
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(source, target)
            except OSError as e:
                raise_if_shortage(source, e)
                raise WorkError(
                    f"{source}: cannot be moved to {target} ({e.strerror}); --link-from makes "
                    "links in another folder instead"
                ) from None
            done[here] = there
            _leave_nothing_empty(source.parent, root)
    return done


def _leave_nothing_empty(folder: Path, root: Path) -> None:
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()  # only if nothing is in it
        except OSError:
            return
        folder = folder.parent
