"""Which clips there are, found by the layout's patterns alone."""

from __future__ import annotations

import glob
import re
import sys
from pathlib import Path

from posepile.errors import WorkError
from posepile.shapes.described.layout import Clip, Layout, fill


def find_clips(root: Path, layout: Layout) -> tuple[list[Clip], list[str]]:
    """Lists the clips that the layout's patterns describe, without opening a file.

    Returns:
        (clips sorted by source and name, problems: files that do not fit all of the patterns, and
        view sets that are incomplete or too large).

    Raises:
        WorkError: Nothing matches at all.
    """
    base = layout.base(root)
    pattern = re.compile(layout.clip_regex)
    # There may be a million clips: those with the same views share one set of them.
    shared: dict[frozenset[int], frozenset[int]] = {}
    found: dict[tuple[str, str], frozenset[int]] = {}
    strange, n_strange = "", 0
    # Not Path.glob, which remembers all it has found.
    for relative in glob.iglob(layout.clip_glob, root_dir=base, recursive=True):
        match = pattern.search(relative)
        groups = match.groupdict() if match else {}
        view = int(groups["view"]) if groups.get("view") is not None else layout.views[0]
        key = sys.intern(groups.get("source") or ""), groups.get("clip", "")
        if match and fill(layout.rgb.path, Clip(*key), view) == relative:
            views = found.get(key, frozenset()) | {view}
            found[key] = shared.setdefault(views, views)
        else:
            strange, n_strange = min(strange or relative, relative), n_strange + 1
    problems = []
    if n_strange:
        problems.append(
            f"{base}: {n_strange} files match clip_glob but not clip_regex with rgb.path, e.g. "
            f"{strange}; make the three agree in the layout"
        )
    if not found:
        raise WorkError(
            (problems or [f"{base}: no file matches clip_glob {layout.clip_glob!r}"])[0]
            + "; put the data there and describe their tree in the layout"
        )
    clips = [Clip(*key, tuple(sorted(views))) for key, views in sorted(found.items())]
    problems += [
        f"{base}: clip {clip.id} has the views {list(clip.views)}, expected "
        f"{sorted(layout.views)}; complete it, correct views, or move it out of the tree"
        for clip in clips
        if set(clip.views) != set(layout.views)
    ]
    return clips, problems
