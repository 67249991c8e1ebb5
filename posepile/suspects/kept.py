"""Suspects of a dataset, found once and kept beside its archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import PosePileError, WorkError
from posepile.files import write_atomically
from posepile.recipe import SPLIT_NAMES
from posepile.store import opening
from posepile.store.example_list import as_example_list
from posepile.suspects.found import KINDS, Suspects
from posepile.suspects.search import find_suspects

NAME = "suspects.npz"
# Of what is looked for: what was found by other rules is not shown any more.
VERSION = 4
_ARRAYS = {
    "positions": np.int32,
    "kinds": np.int8,
    "scores": np.float32,
    "values": np.float32,
    "details": np.int32,
    "sequences": np.int32,
    "sequence_sizes": np.int32,
}
_TEXTS = ("texts", "sequence_names")
_DAMAGED = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile)


def suspects_of(build: str, dataset: Any = None) -> dict[str, Suspects]:
    """Returns the suspects of each split of a build; found once, then read.

    They are kept in ``<build>_work/suspects.npz`` where there is such a folder, else in the folder
    of pickles, and found anew when the examples are others. Where neither can be written to,
    nothing is kept, and nothing of a part of the examples.

    Args:
        build: Name of a dataset, ``NAME@VARIANT``, a mix, or a file.
        dataset: The same, opened already.

    Returns:
        ``train``, ``val``, ``test`` -> suspects.
    """
    given = dataset
    dataset = opening.get_dataset(build, None) if dataset is None else dataset
    place, keys = _place(build), _keys(dataset)
    kept = {} if place is None else _read(place)
    found = {}
    for split, name in SPLIT_NAMES.items():
        if split not in dataset.examples:
            continue
        key, suspects = kept.get(name, (None, None))
        if suspects is None or key is None or key != keys[name]:
            suspects = find_suspects(dataset, split)
        found[name] = suspects
    fresh = [name for name in found if found[name] is not kept.get(name, (None, None))[1]]
    if place is not None and fresh and all(keys.values()) and _is_whole(build, given, keys):
        with contextlib.suppress(OSError, PosePileError):  # a folder that is not ours
            write_atomically(place, _packed(found, keys), durable=False)
    return found


def packed_suspects(build: str) -> bytes:
    """Returns the suspects of a build as :func:`unpacked_suspects` takes them.

    Args:
        build: As for :func:`suspects_of`.
    """
    return _packed(suspects_of(build), _keys(opening.get_dataset(build, None)))


def unpacked_suspects(data: bytes, dataset: Any) -> dict[str, Suspects]:
    """Returns what another process has found of the examples of a dataset.

    Args:
        data: Of :func:`packed_suspects`.
        dataset: The build, opened here.

    Raises:
        WorkError: They are of other examples.
    """
    found = _read(io.BytesIO(data))
    if {split: key for split, (key, _) in found.items()} != _keys(dataset):
        raise WorkError("the examples are others by now; open the dataset again")
    return {split: suspects for split, (_, suspects) in found.items()}


def _keys(dataset: Any) -> dict[str, str | None]:
    """Returns what tells the examples of each split apart."""
    return {
        name: _key(dataset.examples[split])
        for split, name in SPLIT_NAMES.items()
        if split in dataset.examples
    }


def _is_whole(build: str, given: Any, keys: dict[str, str | None]) -> bool:
    """Returns whether a dataset that was given has all examples of the build, in their order."""
    if given is None:
        return True
    try:
        return _keys(opening.get_dataset(build, None)) == keys
    except (OSError, PosePileError):
        return False


def _place(build: str) -> Path | None:
    """Returns the file in which suspects of a build are kept; None without any place."""
    name = os.path.basename(build)
    for ending in (".barecat", ".pkl"):
        if name.endswith(ending):
            folder = Path(os.path.abspath(build)).parent
            work = folder / f"{name.removesuffix(ending)}_work"
            return work / NAME if work.is_dir() else None
    with contextlib.suppress(PosePileError):  # without DATA_ROOT
        work = paths.work_dir(build)
        if work.is_dir():
            return work / NAME
        return paths.cache_dir() / f"{build}_{NAME}"
    return None


def _key(examples: Any) -> str | None:
    """Returns what tells lists of examples apart; None for some that are in memory."""
    examples = as_example_list(examples)
    digest, n = hashlib.blake2b(digest_size=16), 0
    for positions, rows, source in examples.by_source():
        n += len(positions)
        place = str(source.annotation_path)
        identity = getattr(source, "identity", None)
        if identity is None:
            status = os.stat(paths.ensure_absolute(place))
            identity = (status.st_mtime_ns, status.st_size)
        digest.update(repr((Path(place).name, identity, len(positions))).encode())
        for some in (positions, rows):
            digest.update(
                repr(some).encode() if isinstance(some, range) else np.asarray(some).tobytes()
            )
    return digest.hexdigest() if n == len(examples) else None


def _packed(found: dict[str, Suspects], keys: dict[str, str | None]) -> bytes:
    arrays = {"version": np.array([VERSION, len(KINDS)])}
    for split, suspects in found.items():
        arrays[f"{split}_key"] = np.array(keys[split] or "")
        arrays[f"{split}_n"] = np.array(suspects.n)
        for name in _ARRAYS:
            arrays[f"{split}_{name}"] = getattr(suspects, name)
        for name in _TEXTS:
            text = "\0".join(getattr(suspects, name)).encode()
            arrays[f"{split}_{name}"] = np.frombuffer(text, np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _read(place: Path | io.BytesIO) -> dict[str, tuple[str, Suspects]]:
    """Returns split -> (key, suspects); nothing of a file that is damaged or of other rules."""
    try:
        with np.load(place, allow_pickle=False) as file:
            if file["version"].tolist() != [VERSION, len(KINDS)]:
                return {}
            return {
                split: (str(file[f"{split}_key"]), _unpacked(file, split))
                for split in SPLIT_NAMES.values()
                if f"{split}_key" in file
            }
    except _DAMAGED:
        return {}


def _unpacked(file: Any, split: str) -> Suspects:
    arrays = {}
    for name, dtype in _ARRAYS.items():
        values = file[f"{split}_{name}"]
        if values.dtype != dtype or values.ndim != 1:
            raise ValueError(name)
        arrays[name] = values
    if len({len(v) for name, v in arrays.items() if name != "sequence_sizes"}) > 1:
        raise ValueError("lengths")
    for name in _TEXTS:
        text = file[f"{split}_{name}"].tobytes().decode()
        arrays[name] = tuple(text.split("\0")) if text or name == "sequence_names" else ()
    return Suspects(**arrays, n=int(file[f"{split}_n"]))
