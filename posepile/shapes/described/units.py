"""From a described tree to units of work, and the validation that stands before them."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from posepile.errors import WorkError
from posepile.files import read_object, write_json
from posepile.recipe import Unit
from posepile.shapes.described.finding import find_clips
from posepile.shapes.described.layout import Clip, Layout
from posepile.shapes.described.sequences import input_files
from posepile.shapes.described.validation import Findings

STAMP = ".posepile/validated.json"  # what was last found good, below the raw folder


def has_pictures(root: Path, layout: Layout) -> bool:
    """Returns whether there is any file where the layout looks for pictures."""
    return next(layout.base(root).glob(layout.clip_glob), None) is not None


def require_pictures(root: Path, layout: Layout, name: str) -> None:
    """Makes sure that there is any file where the layout looks for pictures.

    Raises:
        WorkError: There is none; says what to do.
    """
    if not has_pictures(root, layout):
        base = layout.base(root)
        raise WorkError(
            f"{base}: no file matches clip_glob {layout.clip_glob!r} of the layout; put the data "
            f"there, or describe their tree in the layout (posepile plan {name} lists the steps)"
        )


def validate_once(
    root: Path,
    layout: Layout,
    name: str,
    run_validation: Callable[[], Findings],
    asked: Any = None,
) -> list[str]:
    """Returns the report of a validation; one that was passed is remembered and not run again.

    Args:
        root: Raw folder.
        layout: The layout.
        name: The dataset, for messages.
        run_validation: Does it.
        asked: Plain data; when these, the layout or the clips change, it is run again.

    Raises:
        WorkError: It found problems.
    """
    state = [_state(root, layout), asked]
    stamp = read_object(root / STAMP) or {}
    if stamp.get("state") != state:
        findings = run_validation()
        if findings.problems:
            raise WorkError(
                f"{findings.problems[0]} ({len(findings.problems)} problems in all; posepile "
                f"doctor {name} lists them)"
            )
        stamp = {"state": state, "report": findings.lines}
        write_json(root / STAMP, stamp)
    return stamp["report"]


def validated_clips(root: Path, layout: Layout, name: str) -> list[Clip]:
    """Returns the clips of a tree that layout and files were found to agree on.

    Raises:
        WorkError: They were not, or something has changed since.
    """
    clips, _ = find_clips(root, layout)
    if (read_object(root / STAMP) or {}).get("state", [None])[0] != _state(root, layout, clips):
        raise WorkError(
            f"{root}: the layout is not validated against these files; run the calibrate stage "
            f"(posepile doctor {name} lists what is wrong)"
        )
    return clips


def clip_units(
    root: Path,
    layout: Layout,
    clips: Iterable[Clip],
    split_of: Callable[[Clip], str],
    clips_per_unit: int = 1,
    *,
    wanted: Callable[[Clip], bool] = lambda clip: True,
    describe: Callable[[Clip], dict] = lambda clip: {},
    more_inputs: Callable[[Clip], Iterable[Path]] = lambda clip: (),
) -> Iterator[Unit]:
    """Yields units of some clips of one source and split each, with all their views.

    Args:
        root: Raw folder.
        layout: The layout.
        clips: All clips.
        split_of: The split of a clip.
        clips_per_unit: How many clips make a unit.
        wanted: Which clips to take; the units of the others stay what they are.
        describe: What ``load_unit`` must know of a clip besides its name, as plain data.
        more_inputs: Further files that a clip's result depends on.
    """
    groups = defaultdict(list)
    for clip in clips:
        groups[split_of(clip), clip.source].append(clip)
    for (split, source), members in sorted(groups.items()):
        for i in range(0, len(members), clips_per_unit):
            group = [clip for clip in members[i : i + clips_per_unit] if wanted(clip)]
            files = [Path(f) for clip in group for f in input_files(root, layout, clip)]
            files += [path for clip in group for path in more_inputs(clip)]
            args = [
                {"source": c.source, "name": c.name, "views": list(c.views), **describe(c)}
                for c in group
            ]
            if group:
                parts = (split, source, f"{i // clips_per_unit:05d}")
                unit_id = "/".join(part for part in parts if part)
                yield Unit(unit_id, split, tuple(dict.fromkeys(files)), {"clips": args})


def clip_of(args: dict) -> Clip:
    """Returns the clip that a unit's arguments describe."""
    return Clip(args["source"], args["name"], tuple(args["views"]))


def _state(root: Path, layout: Layout, clips: list[Clip] | None = None) -> str:
    """A digest of layout and clips, by which a passed validation is known."""
    clips = find_clips(root, layout)[0] if clips is None else clips
    digest = hashlib.blake2b(layout.model_dump_json().encode(), digest_size=16)
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.views]).encode())
    return digest.hexdigest()
