"""The readers of NumPy, MATLAB and pickle files in :mod:`posepile.formats`."""

from __future__ import annotations

import pickle
from pathlib import Path

import forged_reader
import forging
import numpy as np
import scipy.io.matlab  # noqa: F401  here, so that not every worker imports it

from fuzzing.looking import look_at
from fuzzing.mutators_mat import MAT5, MAT73
from fuzzing.mutators_numpy import NPY, NPZ
from fuzzing.mutators_pickle import OBJECT_NPY, PICKLE, TORCH
from fuzzing.target import Target
from posepile.formats.arrays import read_npy, read_npz
from posepile.formats.matlab_files import MatCells, read_cell_rows, read_mat
from posepile.formats.numpy_files import npy_size
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array
from posepile.formats.tables import paired_rows, read_rows
from posepile.miniature import pickled, writers

RNG = np.random.default_rng(1)
BODIES = {"pose": Array("T", 72), "betas": Array("n"), "gender": str}
BODIES |= {"frames?": Array("T", dtype=int), "*": None}


def npz_samples(folder: Path) -> list[Path]:
    content = {"pose": RNG.normal(size=(3, 72)), "betas": np.zeros(10, np.float32)}
    content |= {"gender": np.array("male"), "frames": np.arange(3)}
    np.savez(folder / "bodies.npz", **content)
    writers.write_npz(folder / "packed.npz", **content, names=np.array(["a", "bc"]))
    np.savez(folder / "objects.npz", **content, more=np.array([{"a": 1}, None], object))
    return [folder / name for name in ("bodies.npz", "packed.npz", "objects.npz")]


def use_npz(path: Path, output: Path) -> None:
    look_at(read_npz(path, BODIES))


def npy_samples(folder: Path) -> list[Path]:
    np.save(folder / "poses.npy", RNG.normal(size=(3, 17, 3)))
    np.save(folder / "fortran.npy", np.asfortranarray(RNG.normal(size=(3, 17, 3))))
    return [folder / "poses.npy", folder / "fortran.npy"]


def use_npy(path: Path, output: Path) -> None:
    npy_size(path)
    look_at(read_npy(path, Array("T", 17, 3, finite=False)))


def object_npy_samples(folder: Path) -> list[Path]:
    content = {"cams": {"K": np.eye(3), "names": ["a", "b"]}, "n": 3, "gender": "male"}
    pickled.write_object_npy(folder / "facts.npy", content)
    np.save(folder / "list.npy", np.array([content, None, "x"], object), allow_pickle=True)
    return [folder / "facts.npy", folder / "list.npy"]


def use_object_npy(path: Path, output: Path) -> None:
    untouched(lambda: look_at(read_npy(path)))


# ---------------------------------------------------------------- pickles

_before: dict = {}


def untouched(read) -> None:
    """Reads a pickle, after which nothing in this process may be altered."""
    if not _before:
        _before.update(forged_reader.fingerprint())
    try:
        read()
    finally:
        after = forged_reader.fingerprint()
        altered = [key for key, value in _before.items() if after[key] != value]
        if altered:
            raise AssertionError(f"the pickle altered {altered[:3]}")


def pickle_samples(folder: Path) -> list[Path]:
    plain = {"a": [1, 2.5, "x", b"y", None, (True, 10**20)], "s": {1, 2}, "f": np.float32(1)}
    plain |= {"o": np.array([np.zeros(2), "text", {}], object), "u": np.array(["a", "bcd"])}
    plain |= {"R": np.eye(3), "t": np.arange(3, dtype="i4"), "r": np.zeros(2, "f8,i4")}
    for protocol in range(6):
        (folder / f"plain{protocol}.pkl").write_bytes(pickle.dumps(plain, protocol))
    (folder / "sparse.pkl").write_bytes(pickle.dumps(_sparse(), 2))
    (folder / "array.pkl").write_bytes(
        forging.end(forging.array((2,), forging.dtype("f8"), bytes(16)))
    )
    return sorted(folder.glob("*.pkl"))


def _sparse():
    from scipy.sparse import csc_matrix

    return {"J_regressor": csc_matrix(np.eye(4)[:3]), "f": np.zeros((2, 3), np.uint32)}


def use_pickle(path: Path, output: Path) -> None:
    untouched(lambda: look_at(read_pickle(path)))


def tensor_samples(folder: Path) -> list[Path]:
    zeros = np.zeros(4, "f4")
    nested = pickled.tensor(RNG.normal(size=(2, 10)).astype(np.float32))
    pickled.write_pickle(folder / "nested.pkl", {"betas": nested, "gender": "male"})
    made = forging.tensor(forging.in_zip(4), 0, (2, 2), (2, 1))
    zipped = forging.torch_zip(made, {"0": zeros}, byteorder=b"little")
    (folder / "new.pt").write_bytes(zipped)
    old = forging.legacy(forging.tensor(forging.in_legacy(4), 0, (4,)), {"0": zeros})
    (folder / "old.pt").write_bytes(old)
    return [folder / name for name in ("nested.pkl", "new.pt", "old.pt")]


ROW = {"name": str, "joints": Array("P", 2, 3), "age": int, "note?": str}


def frame_samples(folder: Path) -> list[Path]:
    columns = {"name": ["x", "y", "z"], "joints": list(RNG.normal(size=(3, 1, 2, 3)))}
    columns |= {"age": [7, 8, 9], "height": [1.5, 1.6, 1.7], "weight": [1.0, 2.0, 3.0]}
    pickled.write_pickle(folder / "rows.pkl", pickled.frame(columns))
    pickled.write_pickle(folder / "old.pkl", pickled.frame(columns), protocol=2)
    return [folder / "rows.pkl", folder / "old.pkl"]


def use_frame(path: Path, output: Path) -> None:
    untouched(lambda: look_at(read_rows(path, ROW)))


def pair_samples(folder: Path) -> list[Path]:
    place = folder / "frames"
    for name in ("a", "b"):
        columns = {"file": ["x", "y"], "joints": list(RNG.normal(size=(2, 2, 3)))}
        pickled.write_pickle(place / f"{name}.pkl", pickled.frame(columns))
    return [place]


def use_pair(path: Path, output: Path) -> None:
    schema = {"file": str, "joints": Array("P", 3)}
    pair = (path / "a.pkl", schema), (path / "b.pkl", schema)
    untouched(lambda: look_at(list(paired_rows(*pair, "file"))))


# ---------------------------------------------------------------- MATLAB

MAT = {"joints3D": Array(3, 24, "T"), "gender": Array(1, "T", dtype=int, squeezed=True)}
MAT |= {"name?": str, "*": None}
NAMED = {"joints3D": MAT["joints3D"], "name?": str, "absent?": None}


def mat5_samples(folder: Path) -> list[Path]:
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.eye(2), "text"
    content = {"joints3D": RNG.normal(size=(3, 24, 2)), "gender": np.array([[1, 0]], np.uint8)}
    content |= {"name": "walk", "cells": cells, "lens": {"f": 500.0, "c": [1, 2], "n": {"a": "b"}}}
    content |= {"mask": np.eye(3, dtype=bool), "z": np.array([[1 + 2j]]), "i": np.int64([[5]])}
    writers.write_mat(folder / "info.mat", content)
    from scipy.io import savemat

    savemat(folder / "plain.mat", content, do_compression=False)
    return [folder / "info.mat", folder / "plain.mat"]


def use_mat(path: Path, output: Path) -> None:
    look_at(read_mat(path, MAT))


def use_mat_named(path: Path, output: Path) -> None:
    """Only some of the variables; of the others no more than their names is read."""
    look_at(read_mat(path, NAMED))


def use_cell_rows(path: Path, output: Path) -> None:
    """Cells of a variable, row by row."""
    look_at(read_cell_rows(path, "cells", 1, None))


def mat73_samples(folder: Path) -> list[Path]:
    cells = np.empty((1, 3), object)
    cells[0, :] = [np.eye(2), "text", np.zeros((0, 0))]
    content = {"joints3D": RNG.normal(size=(3, 24, 2)), "gender": np.array([[1.0, 0.0]])}
    content |= {"name": "walk", "cells": cells, "lens": {"f": np.array([[500.0]]), "n": "b"}}
    writers.write_mat73(folder / "info.mat", content)
    return [folder / "info.mat"]


def cells_samples(folder: Path) -> list[Path]:
    cells = np.empty((1, 4), object)
    cells[0, :] = [np.eye(2), np.zeros((300, 40), np.uint8), np.zeros((0, 0)), np.ones((3, 1))]
    writers.write_mat73(folder / "masks.mat", {"Masks": cells, "other": np.eye(2)})
    return [folder / "masks.mat"]


def use_cells(path: Path, output: Path) -> None:
    look_at(list(MatCells(path, "Masks")))


TARGETS = [
    Target("npz", npz_samples, use_npz, NPZ),
    Target("npy", npy_samples, use_npy, NPY),
    Target("object_npy", object_npy_samples, use_object_npy, (*OBJECT_NPY, *NPY)),
    Target("pickle", pickle_samples, use_pickle, PICKLE),
    Target("tensor", tensor_samples, use_pickle, TORCH),
    Target("frame", frame_samples, use_frame, PICKLE),
    Target("frame_pair", pair_samples, use_pair, PICKLE),
    Target("mat5", mat5_samples, use_mat, MAT5),
    Target("mat5_named", mat5_samples, use_mat_named, MAT5),
    Target("mat5_cell_rows", mat5_samples, use_cell_rows, MAT5),
    Target("mat73", mat73_samples, use_mat, MAT73, isolated=True),
    Target("mat_cells", cells_samples, use_cells, MAT73, isolated=True),
]
