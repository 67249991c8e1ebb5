"""Raw data that are not where they are looked for: another folder, another name, another disk."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from posepile.acquire.mending import OTHER_VERSION
from posepile.acquire.patterns import STATE_DIR, below, find_matches, fixed_part, is_literal
from posepile.acquire.sources import Expected, Sources
from posepile.files import is_left_by_macos, names_in
from posepile.miniature import TRUTH

_MOST = 400  # folders that are looked into
_NAME = 4  # letters of a word by which a folder's name tells a dataset
_FIXED = 3  # characters that a file's name must have besides its wildcards
_SURE = 8  # characters by which one pattern alone is enough


def find_elsewhere(
    sources: Sources, root: Path, look_in: Iterable[Path] = (), others: Collection[str] = ()
) -> dict[Path, Path]:
    """Returns folders that hold what the raw folder of a dataset should -> where they belong.

    Looked into are the folders beside the raw folder and one level below them, those beside the
    folder that holds all datasets, and what is asked for. Nothing is read but names. The fullest
    is first. Where the tree has a single folder at its top, that may be what is found.

    Args:
        sources: What is expected.
        root: The raw folder, which lacks it.
        look_in: Further folders, with two levels below them.
        others: Names of folders beside it that are other datasets' own.
    """
    root = Path(root)
    whole = _patterns(sources)
    kinds = [(whole, root), *_without_top(whole, root)]
    names = [word for word in sources.dataset.split("_") if len(word) >= _NAME]
    found: dict[Path, tuple[float, int]] = {}
    places: dict[Path, Path] = {}
    for order, folder in enumerate(itertools.islice(_candidates(root, look_in, others), _MOST)):
        if any(OTHER_VERSION in name for name in folder.parts):
            continue  # was put aside as it is of no use
        named = any(name in folder.name.lower() for name in names)
        for patterns, place in kinds:
            if not named and not any(_weight(p) > _SURE for p in patterns) and len(patterns) < 2:
                continue  # a folder of pictures is not enough
            held = _share_held(sources, patterns, folder)
            if held > 0 and folder not in found:
                found[folder], places[folder] = (-held, order), place
    best = sorted(found, key=lambda folder: found[folder])
    # Of a folder and one that holds it the outer one, which has the archives too.
    return {f: places[f] for f in best if not any(other in f.parents for other in best)}


def _candidates(root: Path, look_in: Iterable[Path], others: Collection[str]) -> Iterator[Path]:
    given = list(look_in)
    for top in given:
        yield from _with_levels(Path(top), 2)
    beside = [p for p in _folders(root.parent) if p.name not in others or p == root]
    for folder in beside:
        if folder != root and not folder.name.endswith("_work"):
            yield from _with_levels(folder, 1)
    for folder in _folders(root.parent.parent):
        if folder != root.parent:
            yield from _with_levels(folder, 1)


def _with_levels(folder: Path, levels: int) -> Iterator[Path]:
    yield folder
    if levels:
        for inner in _folders(folder):
            yield from _with_levels(inner, levels - 1)


def _folders(folder: Path) -> list[Path]:
    found: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            hidden = entry.name.startswith(".") or is_left_by_macos(entry.name)
            if not hidden and entry.name != STATE_DIR and entry.is_dir():
                found.append(Path(entry.path))
    return sorted(found)


def _patterns(sources: Sources) -> list[str]:
    """What data are known by: the lines of the tree that must be there, if they say enough.

    Otherwise what shows that a source was extracted, or all lines; ``**`` at the beginning of a
    pattern then stands for the folder itself.
    """
    tree = [e.path for e in sources.layout if not e.optional and not e.path.startswith("**/")]
    shown = [p for s in sources.sources if not s.optional for p in s.provides]
    others = [[p.removeprefix("**/") for p in ps] for ps in (shown, map(_path, sources.layout))]
    telling = [list(dict.fromkeys(filter(_tells, ps))) for ps in (tree, *others)]
    every = list(itertools.chain(*telling))
    return telling[0] or next((ps for ps in telling if len(ps) > 1), every)


def _path(expected: Expected) -> str:
    return expected.path


def _without_top(patterns: list[str], root: Path) -> Iterator[tuple[list[str], Path]]:
    """Yields the tree without the single folder at its top, and where that belongs."""
    tops = {p.partition("/")[0] for p in patterns}
    top = tops.pop() if len(tops) == 1 else "*"
    if is_literal(top) and not os.path.lexists(root / top):
        inner = [p.partition("/")[2] for p in patterns]
        yield [p for p in inner if p and _tells(p)], root / top


def _tells(pattern: str) -> bool:
    """Whether a pattern fits to more than any picture in any folder."""
    parts = pattern.split("/")
    words = any("*" not in p and "<" not in p for p in parts[:-1]) or is_literal(parts[-1])
    return words or _weight(pattern) > _FIXED


def _weight(pattern: str) -> int:
    """How many characters of a pattern are fixed, without the ending."""
    return len(fixed_part(os.path.splitext(pattern)[0]).replace("/", ""))


def _share_held(sources: Sources, patterns: list[str], folder: Path) -> float:
    """How much of the expected tree a folder holds, 0 to 1; less than half counts as nothing."""
    if not patterns or TRUTH in names_in(folder):
        return 0.0
    shares = []
    for stands in sources.roots:
        held = sum(_holds(folder, below(stands, p)) for p in patterns)
        shares.append(held / len(patterns) if held >= min(2, len(patterns)) else 0.0)
    best = max(shares)
    return best if best >= 0.5 else 0.0


def _holds(folder: Path, pattern: str) -> bool:
    with contextlib.suppress(OSError):
        return next(find_matches(folder, pattern), None) is not None
    return False


def archives_elsewhere(sources: Sources, root: Path, look_in: Iterable[Path]) -> dict[Path, Path]:
    """Returns archives with the right name in other folders -> where they are looked for.

    Args:
        sources: What is expected.
        root: The raw folder.
        look_in: Folders to look into, with one level below them.
    """
    wanted = {}
    for source in sources.sources:
        for place in source.places:
            name = place.path.rsplit("/", 1)[-1]
            if is_literal(place.path) and not (root / place.path).exists():
                wanted[name] = root / place.path
    found = {}
    for top in look_in:
        for folder in _with_levels(Path(top), 1):
            for name in sorted(names_in(folder) & wanted.keys()):
                if folder / name != wanted[name]:
                    found.setdefault(folder / name, wanted[name])
    return found
