"""Predictions of people in a zip of pickles, one per person, as for AGORA."""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.evaluation.benchmark import Clip, Predictions, Taken
from posepile.evaluation.forms import check_pred
from posepile.evaluation.library_bodies import library_body
from posepile.evaluation.predictions import WRITE_AGAIN, advising_to_write_again
from posepile.files import files_below
from posepile.formats.pickles import loads
from posepile.formats.schema import Array

LARGEST_MEMBER = 2**26  # bytes; a person with all vertices takes half a megabyte


def zipped_people(
    path: Path, read: Callable[[dict, Path], Mapping[str, np.ndarray]], **more: Any
) -> Predictions:
    """Returns people whose pickles are in a zip, named ``<entry>_personId_<k>.pkl``.

    >>> import pickle
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as archive:
    ...     archive.writestr("predictions/a_personId_0.pkl", pickle.dumps({"joints": [[1, 2]]}))
    >>> opened = zipped_people(folder / "a.zip", lambda person, where: person)
    >>> opened.names, opened.take(Clip("a", ["a"], {})).arrays
    (['a'], {'joints': [array([[[1, 2]]])]})

    Args:
        path: The zip, or the folder that it was made of.
        read: From the content of a pickle and its name to arrays, under the same names and of
            the same shapes for all people of an entry.
        **more: Attributes of :class:`Predictions`.

    Raises:
        CorruptInput: Unreadable, a person is there twice, or there is none.
    """
    members, archive = defaultdict(dict), _opened(path)
    for name in _member_names(path, archive):
        if not name.endswith(".pkl") or name.startswith("__MACOSX/"):
            continue
        match = re.fullmatch(r"(?:.*/)?([^/]+)_personId_(\d{1,9})\.pkl", name)
        if match is None:
            reason = f"{name}: expected a name like predictions/<image>_personId_0.pkl"
            raise CorruptInput(path, reason, hint=WRITE_AGAIN)
        entry, person = match[1], int(match[2])
        if person in members[entry]:
            reason = f"{entry}_personId_{person}.pkl is there twice; expected each person once"
            raise CorruptInput(path, reason, hint=WRITE_AGAIN)
        members[entry][person] = name
    if not members:
        reason = "found no person; expected predictions/<image>_personId_<k>.pkl"
        raise CorruptInput(path, reason, hint=WRITE_AGAIN)

    def take(clip: Clip) -> Taken:
        entries = []
        for key in clip.keys:
            names = [name for _, name in sorted(members.get(key, {}).items())]
            people = [(path / name, _read_member(path, archive, name)) for name in names]
            entries.append([read(person, where) for where, person in people])
        kinds = dict.fromkeys(kind for people in entries for person in people for kind in person)
        arrays = {
            kind: [np.array([person[kind] for person in people]) for people in entries]
            for kind in kinds
        }
        return Taken(arrays, np.array([len(people) > 0 for people in entries], bool), path)

    return Predictions(path, take, list(members), **more)


def read_body(
    person: dict, where: Path, *, rules: Mapping[str, Any], models_root: Path | None = None
) -> dict[str, np.ndarray]:
    """Returns a person of AGORA's two forms: 2D points (px), joints and vertices (m).

    >>> person = {"joints": np.zeros((24, 2)), "verts": np.zeros((6890, 3))}
    >>> person["allSmplJoints3d"] = np.zeros((45, 3))
    >>> rules = {"model": "SMPL", "joints": [1, 2], "n": (6890, 24, 45)}
    >>> body = read_body(person, Path("a.pkl"), rules=rules)
    >>> {name: values.shape for name, values in body.items()}
    {'points': (24, 2), 'joints': (2, 3), 'vertices': (6890, 3)}

    Args:
        person: ``joints`` (2D), and ``verts`` and ``allSmplJoints3d``, or ``params``.
        where: The pickle.
        rules: ``model``: SMPL or SMPLX; ``joints``: which 3D joints are taken; ``n``: the number
            of vertices, and the numbers of joints that there may be.
        models_root: Folder of the model folders, for ``params``.

    Raises:
        CorruptInput: Neither form, another shape, or a number that is not finite.
    """
    n_vertices, *n_joints = rules["n"]
    points = check_pred(person, {"joints": Array("joints of the image", 2)}, where)["joints"]
    if len(points) < 24:
        reason = f"joints: found {len(points)} points of the image; expected 24"
        raise CorruptInput(where, reason, hint=WRITE_AGAIN)
    if "verts" not in person and "params" in person:
        params = check_pred(person, {"params": {"*": None}}, where)["params"]
        body = library_body(rules["model"].lower(), params, where, models_root)
        if (n := len(body["vertices"])) != n_vertices:
            reason = f"params: the body model on disk has {n} vertices; expected {n_vertices}"
            raise CorruptInput(where, reason, hint="get the official model file")
        return {"points": points[:24], **{name: v / 1000 for name, v in body.items()}}
    schema = {"verts": Array(n_vertices, 3), "allSmplJoints3d": Array("joints", 3)}
    found = check_pred(person, schema, where)
    joints = found["allSmplJoints3d"]
    if len(joints) not in n_joints:
        expected = " or ".join(map(str, n_joints))
        reason = f"allSmplJoints3d: found {len(joints)} joints; expected {expected}"
        raise CorruptInput(where, reason, hint=WRITE_AGAIN)
    return {"points": points[:24], "joints": joints[rules["joints"]], "vertices": found["verts"]}


def _opened(path: Path) -> zipfile.ZipFile | None:
    """Returns the zip, opened once: its list of members is read then; None for a folder."""
    if path.is_dir():
        return None
    with _readable(path):
        return zipfile.ZipFile(path)


def _member_names(path: Path, archive: zipfile.ZipFile | None) -> list[str]:
    if archive is None:
        return [file.relative_to(path).as_posix() for file in files_below(path, "**/*.pkl")]
    return archive.namelist()


def _read_member(path: Path, archive: zipfile.ZipFile | None, name: str) -> dict:
    with _readable(path / name):
        if archive is None:
            size = (path / name).stat().st_size
            content = (path / name).read_bytes() if size <= LARGEST_MEMBER else b""
        else:
            size = archive.getinfo(name).file_size
            content = archive.read(name) if size <= LARGEST_MEMBER else b""
    if not content:
        reason = f"found {size} bytes; expected between 1 and {LARGEST_MEMBER}"
        raise CorruptInput(path / name, reason, hint=WRITE_AGAIN)
    with advising_to_write_again():
        found = loads(content, path / name)
    return check_pred(found, {"*": None}, path / name)


@contextlib.contextmanager
def _readable(where: Path) -> Iterator[None]:
    """Turns what zipfile raises of damaged, encrypted and unusual files into a CorruptInput."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as e:
        raise CorruptInput(where, f"not readable: {one_line(e)}", hint=WRITE_AGAIN) from None
