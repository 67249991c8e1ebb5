"""Which clips there are, found by the manifest's patterns alone."""

from __future__ import annotations

import glob
import re
import sys
from pathlib import Path

from posepile.ds.amarv.layout import Clip, Layout, fill
from posepile.errors import WorkError


def find_clips(root: Path, layout: Layout) -> tuple[list[Clip], list[str]]:
    """Lists the clips that the manifest's patterns describe, without opening a file.

    Returns:
        (clips sorted by source and name, problems: files that match the glob but not the
        expression, and view sets that are incomplete or too large).

    Raises:
        WorkError: Nothing matches at all.
    """
    base = layout.base(root)
    pattern = re.compile(layout.clip_regex)
    # (source, name) -> view -> path; one small shared object for all clips of the same views
    # whose paths are those of the pattern, because there may be a million clips.
    regular: dict[frozenset[int], frozenset[int]] = {}
    found: dict[tuple[str, str], frozenset[int] | dict[int, str]] = {}
    strange, n_strange = "", 0
    # Not Path.glob, which remembers all it has found.
    for relative in glob.iglob(layout.clip_glob, root_dir=base, recursive=True):
        m = pattern.search(relative)
        if not m:
            strange, n_strange = min(strange or relative, relative), n_strange + 1
            continue
        groups = m.groupdict()
        view = int(groups["view"]) if groups.get("view") is not None else layout.views[0]
        key = sys.intern(groups.get("source") or ""), groups["clip"]
        before = found.get(key, frozenset())
        is_regular = relative == fill(layout.rgb.path, Clip(*key), view)
        if is_regular and isinstance(before, frozenset):
            views = before | {view}
            found[key] = regular.setdefault(views, views)
        else:
            if isinstance(before, frozenset):
                before = {v: fill(layout.rgb.path, Clip(*key), v) for v in before}
            found[key] = before | {view: max(relative, before.get(view, ""))}
    if not found:
        raise WorkError(
            f"{base}: no file matches clip_glob {layout.clip_glob!r} and clip_regex "
            f"{layout.clip_regex!r}; extract AMARV there and describe its tree in the manifest"
        )
    problems = []
    if n_strange:
        problems.append(
            f"{base}: {n_strange} files match clip_glob but not clip_regex, e.g. {strange}; "
            "make the two agree"
        )
    numbers = {views: tuple(sorted(views)) for views in regular}
    clips = []
    for (source, name), views in sorted(found.items(), key=lambda item: item[0]):
        if isinstance(views, frozenset):
            clips.append(Clip(source, name, numbers[views]))
        else:
            order = tuple(sorted(views))
            clips.append(Clip(source, name, order, tuple(views[v] for v in order)))
        if set(views) != set(layout.views):
            problems.append(
                f"{base}: clip {clips[-1].id} has the views {sorted(views)}, expected "
                f"{sorted(layout.views)}; complete or remove it, or correct views"
            )
    return clips, problems
