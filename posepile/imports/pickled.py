"""Pickled datasets of the original PosePile, read without running anything that is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from posepile.errors import UsageError, WorkError
from posepile.imports.facts import complete
from posepile.imports.source import (
    Options,
    Pictures,
    Source,
    Tally,
    Unit,
    by_picture,
    chunks,
    file_stamp,
)
from posepile.recipe import SPLIT_NAMES
from posepile.store import restricted_pickle
from posepile.store.datasets import Pose2DDataset, Pose3DDataset
from posepile.store.encoding import rle_with_counts
from posepile.store.fields import FIELDS, Record
from posepile.store.lazy import LazyExample

# Attributes that no archive has a place for.
_NOT_KEPT = ("univ_coords", "instance_mask", "custom")


def open_source(options: Options) -> Source:
    """Opens a pickled dataset; its pictures are files at ``image_path`` below a folder.

    Raises:
        UsageError: Facts are missing, or it refers to a packed archive.
        WorkError: It is no pickle of a dataset, or names what does not belong into one.
    """
    if len(options.files) != 1:
        raise UsageError("import --from pickle: expected one file")
    path = options.files[0]
    dataset = restricted_pickle.load(path)
    if not isinstance(dataset, (Pose3DDataset, Pose2DDataset)):
        raise WorkError(f"{path}: holds {type(dataset).__name__}, expected a dataset")
    lists = {name: list(dataset.examples[split]) for split, name in SPLIT_NAMES.items()}
    if any(isinstance(ex, LazyExample) for examples in lists.values() for ex in examples[:1]):
        raise UsageError(f"{path}: refers to an archive, which has all it has; it opens as it is")
    kind, info = dataset.kind, dataset.joint_info
    if kind == "3d" and not info.n_joints:
        kind = "parametric"
    needed = ("licence",) if kind == "2d" else ("licence", "world_up")
    facts = complete(options.facts, {}, needed, path)
    pictures = Pictures(options.images)
    stamp = file_stamp(path)

    def units() -> Iterator[Unit]:
        for split, examples in lists.items():
            order = by_picture(str(ex.image_path) for ex in examples)
            pairs = ((str(examples[i].image_path), i) for i in order)
            for number, chunk in enumerate(chunks(pairs)):
                names = dict.fromkeys(str(examples[i].image_path) for i in chunk)
                key = [stamp, number, len(chunk), [pictures.stamp(name) for name in names]]

                def read(tally: Tally, chunk: list = chunk, examples: list = examples) -> Any:
                    return _read([examples[i] for i in chunk], info.n_joints, pictures, tally)

                yield Unit(f"{split}-{number:06d}", split, key, read)

    return Source(str(path), info, facts.kind or kind, facts, units)


def _read(examples, n_joints, pictures, tally) -> Iterator[tuple[Record, Any]]:
    people: dict[str, int] = {}
    for ex in examples:
        name = ex.image_path
        if not isinstance(name, str):
            tally.left_out["a picture in the pickle itself, not a path"] += 1
            continue
        person = people[name] = people.get(name, -1) + 1
        for attribute in _NOT_KEPT:
            if getattr(ex, attribute, None) is not None:
                tally.notes[f"{attribute} not kept"] += 1
        yield _record(ex, person, n_joints), pictures.read(name)


def _record(ex, person, n_joints):
    kind = "2d" if hasattr(ex, "coords") else "3d"
    given = {f.names[kind]: f.name for f in FIELDS.values() if kind in f.names}
    values = {field: getattr(ex, own, None) for own, field in given.items()}
    values = {field: value for field, value in values.items() if value is not None}
    coords = ex.get_world_coords() if kind == "3d" else None
    values["world_coords"] = None if coords is None else np.asarray(coords)
    if values.get("mask") is not None:
        values["mask"] = rle_with_counts(values["mask"])
    if values.get("imshape") is None:
        values["imshape"] = (0, 0)
    values["bbox"] = _box(values.get("bbox"))
    values.update(image_path=ex.image_path, split="train", person=person)
    values.setdefault("frame", -1)
    values["sequence"] = values.get("sequence") or "unknown"
    return Record(**values)


def _box(value):
    box = np.full(4, np.nan, np.float32)
    found = np.asarray(value)
    if value is not None and found.dtype.kind in "fiu" and found.size >= 4:
        box[:] = found.reshape(-1)[:4]
    return box
