"""Packed datasets: index, table, parts, pickles; opened, read whole and verified."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import archive_kit
import numpy as np

from fuzzing import mutators_store
from fuzzing.looking import look_at
from fuzzing.mutators import GENERIC
from fuzzing.target import Target
from posepile.errors import PosePileError, WorkError
from posepile.store import opening, packing, parts, reading, restricted_pickle, verifying
from posepile.store.fields import FIELDS

HERE = Path(__file__).resolve().parent


def open_and_read(path: Path, out: Path) -> None:
    """Opens an archive, looks at all of it and verifies it.

    Raises:
        PosePileError: What was found first.
        RuntimeError: A problem that is not one line, or damage that verifying does not see.
    """
    os.environ["DATA_ROOT"] = str(path)
    archive = path / "toy.barecat"
    refusals: list[PosePileError] = []

    def attempt(read: Callable[[], object]) -> None:
        try:
            look_at(read())
        except PosePileError as e:
            refusals.append(e)

    problems = verifying.verify(archive)
    for problem in problems:
        if len(problem.splitlines()) != 1 or len(problem) > 2000:
            raise RuntimeError(f"many lines: {problem[:300]!r}")
    attempt(lambda: reading.read_manifest(archive))
    attempt(lambda: opening.get_joint_info(str(archive)))
    attempt(lambda: opening.write_pickle(archive, out / "toy.pkl"))
    with contextlib.suppress(PosePileError):
        dataset = opening.open_dataset(archive)
        for examples in dataset.examples.values():
            attempt(lambda examples=examples: list(examples))
            for i in range(len(examples)):
                attempt(lambda i=i, examples=examples: _whole(examples[i]))
    if refusals:
        if not problems:
            raise RuntimeError(f"verify says nothing of: {refusals[0]}")
        raise refusals[0]
    # The digests notice every change; what else is seen says how far the readers got.
    deeper = [p for p in problems if "SHA-256" not in p]
    if deeper:
        raise WorkError(deeper[0])


def _whole(example):
    loaded = example.load()
    camera = getattr(loaded, "camera", None)
    if camera is not None:
        camera.world_to_image(np.zeros((2, 3)))
    return vars(loaded)


def _archives(folder: Path) -> Sequence[Path]:
    found = []
    for name, kind in (("three", "3d"), ("two", "2d")):
        root = folder / "made" / name
        root.mkdir(parents=True)
        archive_kit.make_archive(root, kind=kind, n=4)
        target = folder / name
        target.mkdir()
        for file in root.glob("toy.barecat*"):
            shutil.copy(file, target / file.name)  # without the parts that share the shards
        found.append(target)
    shutil.rmtree(folder / "made")
    return found


# ---------------------------------------------------------------- parts


def read_parts(path: Path, out: Path) -> None:
    """Reads parts as a resumed run does, checks them, and packs them."""
    files = sorted(path.rglob("*.part"))
    for file in files:
        header = parts.read_header(file)
        if header is not None:
            look_at(header)
        reason = parts.damage_of_part(file)
        if reason is not None and len(reason.splitlines()) != 1:
            raise RuntimeError(f"many lines: {reason!r}")
        with contextlib.suppress(PosePileError):
            look_at(parts.read_arrays(file))
        with contextlib.suppress(PosePileError):
            for record, jpeg in parts.read_part(file):
                look_at([getattr(record, name) for name in FIELDS] + [len(jpeg)])
    packing.pack(files, out / "toy.barecat", archive_kit.spec(), {"sources": []})
    os.environ["DATA_ROOT"] = str(out)
    problems = verifying.verify(out / "toy.barecat")
    if problems:
        raise WorkError(problems[0])


def _parts(folder: Path) -> Sequence[Path]:
    archive_kit.make_parts(folder / "some", n=3)
    return [folder / "some"]


# ---------------------------------------------------------------- pickles


def load_pickle(path: Path, out: Path) -> None:
    """Loads a pickle of a dataset through the restricted reader and looks at its examples."""
    os.environ["DATA_ROOT"] = str(path.parent)
    value = restricted_pickle.load(path)
    look_at(value if isinstance(value, dict) else {})
    lists = getattr(value, "examples", None)
    for examples in lists.values() if isinstance(lists, dict) else ():
        with contextlib.suppress(PosePileError):
            for example in list(examples)[:5]:
                look_at(getattr(example, "__dict__", {}))


def _pickles(folder: Path) -> Sequence[Path]:
    old = HERE.parent / "pickles_0.1.0"
    for file in old.glob("*.pickle"):
        shutil.copy(file, folder / f"{file.stem}.pkl")
    archive_kit.make_archive(folder / "made", n=2)
    os.environ["DATA_ROOT"] = str(folder / "made")
    opening.write_pickle(folder / "made" / "toy.barecat", folder / "new.pkl")
    return sorted(folder.glob("*.pkl"))


TARGETS = [
    Target("archive", _archives, open_and_read, mutators_store.ARCHIVE),
    Target("part", _parts, read_parts, mutators_store.PART),
    Target("dataset-pickle", _pickles, load_pickle, GENERIC),
]
