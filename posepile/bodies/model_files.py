"""Files of body models, looked at before a library of others reads them.

The library loads pickles in the ordinary way, which runs what is in them, and takes what it finds
for a model. So it gets none of others: what the safe loader has read is written anew for it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import pickletools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.arrays import read_npy
from posepile.formats.numpy_files import load_npz
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array, check

_HINT = "download that body model again"
_MOST_PLACES = 1_000_000
_MODEL = {
    "v_template": Array("V", 3),
    "shapedirs": Array("V", 3, "n_betas"),
    "posedirs": Array("V", 3, "n_rotations"),
    "weights": Array("V", "J"),
    "kintree_table": Array(2, "J", dtype=np.int64),
    "f": Array("F", 3, dtype=np.int64),
    "J_regressor": None,
    "J_shapedirs?": Array("J", 3, "n_betas"),
    "J_template?": Array("J", 3),
}


@contextlib.contextmanager
def readable_model(path: Path, folder: Path) -> Iterator[Path]:
    """Yields the folder from which the library may load a model, once it was looked at.

    >>> from posepile.miniature.bodies import write_body_models
    >>> write_body_models(folder, ("smpl",))
    >>> smpl = folder / "smpl"
    >>> with readable_model(smpl / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", smpl) as copy:
    ...     sorted(path.name for path in copy.iterdir())
    ['basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl', 'kid_template.npy']

    Args:
        path: Pickle or npz.
        folder: Of the models of that kind; ``kid_template.npy`` in it is looked at, too.

    Raises:
        CorruptInput: What was found and what was expected.
    """
    content = _checked_model(path, folder)
    if path.suffix == ".npz":  # NumPy runs nothing that is in one
        yield folder
        return
    with tempfile.TemporaryDirectory() as copy:
        with open(Path(copy, path.name), "wb") as f:
            pickle.dump(content, f, protocol=4)
        kid = folder / "kid_template.npy"
        if kid.exists():
            os.symlink(kid.resolve(), Path(copy, kid.name))
        yield Path(copy)


def _checked_model(path: Path, folder: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a model file that holds plain data and a whole model.

    Args:
        path: Pickle or npz.
        folder: Of the models of that kind; ``kid_template.npy`` in it is looked at, too.

    Raises:
        CorruptInput: What was found and what was expected.
    """
    names = [name.removesuffix("?") for name in _MODEL]
    content = load_npz(path, names) if path.suffix == ".npz" else _unpickled(path)
    found = check(content, _MODEL, path, hint=_HINT)
    regressor = found["J_regressor"]
    dense = regressor.toarray() if hasattr(regressor, "toarray") else regressor
    n_vertices, n_joints = found["weights"].shape
    check(dense, Array(n_joints, n_vertices), path, "J_regressor", hint=_HINT)
    if found["posedirs"].shape[2] != 9 * (n_joints - 1):
        n = found["posedirs"].shape[2]
        raise CorruptInput(
            path,
            f"posedirs: found {n} columns; expected 9 for each joint but the root",
            hint=_HINT,
        )
    parents = found["kintree_table"][0, 1:]
    if ((parents < 0) | (parents > np.arange(n_joints - 1))).any():
        raise CorruptInput(
            path, "kintree_table: found a joint before its parent; expected it behind", hint=_HINT
        )
    faces = found["f"]
    if faces.size and not 0 <= faces.min() <= faces.max() < n_vertices:
        raise CorruptInput(
            path, f"f: found a face of vertex {faces.max()} of {n_vertices}", hint=_HINT
        )
    if "kid_template.npy" in names_in(folder):  # if it is not, the library says so
        read_npy(folder / "kid_template.npy", Array(n_vertices, 3), hint=_HINT)
    arrays = {k: np.asarray(content[k]) for k in found if k != "J_regressor"}
    return arrays | {"J_regressor": np.asarray(dense)}


def _unpickled(path: Path) -> Any:
    content = read_pickle(path)
    with path.open("rb") as f:
        for opcode, argument, _ in pickletools.genops(f):
            # Python makes room for as many values as the highest place says.
            if opcode.name.endswith("PUT") and argument > _MOST_PLACES:
                raise CorruptInput(
                    path, f"found a value in place {argument}; expected few values", hint=_HINT
                )
    return content
