"""Path patterns of ``sources.yaml``: ``*``, ``**``, ``[ab]``, ``{a,b}`` and ``<name>``."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from posepile.files import is_left_by_macos

# Everything that the download remembers lies below this folder of the raw tree; no pattern matches
# what is in it.
STATE_DIR = ".posepile"


@functools.lru_cache(maxsize=1 << 14)
def glob_regex(pattern: str) -> re.Pattern[str]:
    """Returns a path pattern as a regular expression for whole relative paths.

    ``*`` and ``?`` stay within one path component, ``**`` as a whole component stands for any
    number of them (also none), ``[ab]`` is one character, ``{a,b}`` one of several words, and
    ``<name>`` one component part that is captured under that name; the same name twice means the
    same text twice.

    Raises:
        ValueError: Unbalanced brackets or an empty pattern.
    """
    if not pattern:
        raise ValueError("empty pattern")
    seen: set[str] = set()
    out, components = "", pattern.split("/")
    for i, component in enumerate(components):
        last = i == len(components) - 1
        if component == "**":
            out += ".+" if last else "(?:[^/]+/)*"
        else:
            out += _component_regex(component, seen) + ("" if last else "/")
    return re.compile(out, re.DOTALL)


def _component_regex(component: str, seen: set[str]) -> str:
    out, i = "", 0
    while i < len(component):
        c = component[i]
        if c == "*":
            out += "[^/]*"
        elif c == "?":
            out += "[^/]"
        elif c in "[{<":
            end = component.find({"[": "]", "{": "}", "<": ">"}[c], i + 1)
            inside = component[i + 1 : end]
            if end < 0 or not inside:
                raise ValueError(
                    f"{component!r}: {c} without its counterpart or with nothing inside"
                )
            if c == "[":
                negated = inside[0] in "!^"
                letters = inside[1:] if negated else inside
                escaped = letters.replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
                out += ("[^/" if negated else "[") + escaped + "]"
            elif c == "{":
                words = (_component_regex(w, seen) for w in inside.split(","))
                out += "(?:" + "|".join(words) + ")"
            elif not inside.isidentifier():
                raise ValueError(f"{component!r}: <{inside}> is not a plain name")
            elif inside in seen:
                out += f"(?P={inside})"
            else:
                seen.add(inside)
                out += f"(?P<{inside}>[^/]+?)"
            i = end
        else:
            out += re.escape(c)
        i += 1
    return out


def is_literal(pattern: str) -> bool:
    """Returns whether a pattern names exactly one path."""
    return not re.search(r"[*?\[{<]", pattern)


def fixed_part(pattern: str) -> str:
    """Returns a pattern without its wildcards.

    >>> fixed_part("video_<c>.{avi,mp4}")
    'video_.'
    """
    return re.sub(r"\{[^}]*\}|\[[^\]]*\]|<\w+>|[*?]", "", pattern)


def find_matches(root: Path, pattern: str) -> Iterator[str]:
    """Yields the files that match a pattern, as sorted paths relative to ``root``, with ``/``.

    Only the folders that can hold a match are listed. What macOS leaves in them does not match.
    """
    yield from _find(os.fspath(root), "", pattern.split("/"), glob_regex(pattern))


def _find(root: str, at: str, components: list[str], whole: re.Pattern[str]) -> Iterator[str]:
    head, rest = components[0], components[1:]
    here = os.path.join(root, at)
    if is_literal(head):
        path = f"{at}{head}"
        if rest:
            yield from _find(root, f"{path}/", rest, whole)
        elif os.path.isfile(os.path.join(root, path)):
            yield path
        return
    try:
        entries = sorted(os.scandir(here), key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    if head == "**":
        for parent, dirs, files in os.walk(here):
            dirs[:] = sorted(d for d in dirs if d != STATE_DIR and not is_left_by_macos(d))
            below = os.path.relpath(parent, root).replace(os.sep, "/")
            below = "" if below == "." else f"{below}/"
            names = sorted(f for f in files if not is_left_by_macos(f))
            yield from (below + f for f in names if whole.fullmatch(below + f))
        return
    # A captured name may stand in several components, so one component alone is matched loosely
    # and the whole path decides.
    one = re.compile(re.sub(r"\(\?P=\w+\)", "[^/]+", _component_regex(head, set())))
    for entry in entries:
        if entry.name == STATE_DIR or is_left_by_macos(entry.name):
            continue
        if not one.fullmatch(entry.name):
            continue
        path = f"{at}{entry.name}"
        if rest and entry.is_dir():
            yield from _find(root, f"{path}/", rest, whole)
        elif not rest and entry.is_file() and whole.fullmatch(path):
            yield path


def below(folder: str, pattern: str) -> str:
    """Returns the pattern for a tree that stands in ``folder``."""
    return pattern if folder in (".", "") else f"{folder}/{pattern}"


def escape(path: str) -> str:
    """Returns a pattern that matches just this path."""
    return re.sub(r"([*?\[{<])", r"[\1]", path)


def match_files(patterns: list[str], files: Iterable[str]) -> list[list[str]]:
    """Returns the files matching each pattern, out of a list that is sorted by folder.

    A pattern is not tried on the millions of files below folders that it cannot match.
    """
    regexes = [glob_regex(p) for p in patterns]
    folders = [_folder_regex(p) for p in patterns]
    result: list[list[str]] = [[] for _ in patterns]
    last, candidates = None, []
    for path in files:
        folder = path.rpartition("/")[0]
        if folder != last:
            last = folder
            candidates = [i for i, r in enumerate(folders) if r is None or r.fullmatch(folder)]
        for i in candidates:
            if regexes[i].fullmatch(path):
                result[i].append(path)
    return result


def _folder_regex(pattern: str) -> re.Pattern | None:
    folder = pattern.rpartition("/")[0]
    if "**" in pattern:
        return None
    return glob_regex(folder) if folder else re.compile("")


def without_copies(paths: Iterable[str]) -> list[str]:
    """Returns paths without the second ones that browsers make of what is fetched twice.

    >>> without_copies(["a/S7.tgz", "a/S7 (1).tgz", "a/S8 (1).tgz"])
    ['a/S7.tgz', 'a/S8 (1).tgz']
    """
    known = list(paths)
    there = set(known)
    return [p for p in known if (first := _COPY.sub(r"\1", p)) == p or first not in there]


# As in ``a (1).zip``.
_COPY = re.compile(r" \(\d{1,3}\)((?:\.[^/]*)?)$")
