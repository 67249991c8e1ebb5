"""Truth from the packed dataset, for benchmarks whose evaluated frames are its test examples."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from posepile.datasets3d import TEST, get_dataset
from posepile.errors import WorkError
from posepile.evaluation.benchmark import Clip, PackedForm, Picture, Setup

FRAME = re.compile(r"(.*/)([^/]*?)(\d+)(\.\w+)")
NOT_PACKED = "not in the packed dataset"


def packed_clips(setup: Setup, form: PackedForm, name: str) -> Iterator[Clip]:
    """Yields the clips of a protocol, of every ``step`` th frame (a setting of it) from 0.

    Args:
        setup: What is asked for; ``--allow-missing`` leaves out what is not packed.
        form: How the dataset has it.
        name: Of the dataset, or file of an archive.

    Raises:
        WorkError: It lacks evaluated frames: the first of them and their number.
    """
    examples = get_dataset(name).examples[TEST]
    rows = {form.entry(path): i for i, path in enumerate(e.image_path for e in examples)}
    keys = _evaluated_keys(rows, form.views, setup.protocol.settings.get("step", 1))
    lacking = [key for key in keys if key not in rows]
    if not setup.args.allow_missing:
        if lacking:
            raise WorkError(
                f"packed dataset {name}: lacks {lacking[0]} and {len(lacking) - 1} more, "
                f"{len(lacking)} of the {len(keys)} frames that {setup.protocol.name} evaluates "
                "of its takes; take the truth from the raw files, or see --allow-missing"
            )
        if form.entries not in (None, len(keys)):
            raise WorkError(
                f"packed dataset {name}: {len(keys)} frames that are evaluated; expected "
                f"{form.entries}: takes are missing; see --allow-missing"
            )
    clips = defaultdict(list)
    for key in keys:
        clips[key.rpartition("/")[0]].append(key)
    for clip, members in clips.items():
        there = [key for key in members if key in rows]
        chosen = [examples[rows[key]] for key in there]
        joints = np.array([np.float64(example.world_coords) for example in chosen])
        order = slice(None) if form.joints is None else list(form.joints)
        n_lacking = len(members) - len(there)
        yield Clip(
            clip,
            there,
            {"joints": joints[:, order]} if there else {},
            {"activity": [str(example.activity_name) for example in chosen]},
            picture=lambda i, chosen=chosen: _shown(chosen[i]),
            left_out={NOT_PACKED: n_lacking} if n_lacking else {},
        )


def _evaluated_keys(keys: Any, views: bool = False, step: int = 1) -> list[str]:
    """Returns the keys of every frame that a take has, up to the last that any view of it has.

    >>> _evaluated_keys(["walk.c1/f_00.jpg", "walk.c1/f_04.jpg", "walk.c2/f_00.jpg"], True, 2)[2:]
    ['walk.c1/f_04.jpg', 'walk.c2/f_00.jpg', 'walk.c2/f_02.jpg', 'walk.c2/f_04.jpg']

    Args:
        keys: Those that are there.
        views: As of :class:`PackedForm`.
        step: Every so many frames are evaluated.

    Raises:
        WorkError: A key is of another form: the archive is of another dataset.
    """
    last, form, seen = defaultdict(int), {}, set()
    for key in keys:
        if (match := FRAME.fullmatch(key)) is None:
            raise WorkError(f"packed picture {key}: its name has no clip and frame number")
        clip, stem, number, suffix = match.groups()
        take, _, view = clip[:-1].rpartition(".") if views else (clip[:-1], "", "")
        last[take] = max(last[take], int(number))
        form[take] = f"{stem}%0{len(number)}d{suffix}"
        seen.add(view)
    return [
        f"{take}{'.' if views else ''}{view}/{form[take] % frame}"
        for take in sorted(last)
        for view in sorted(seen)
        for frame in range(0, last[take] + 1, step)
    ]


def _shown(example: Any) -> Picture:
    """Returns where an example can be seen: its crop."""
    return Picture(example.image_path, example.camera, lambda: example.load().image)
