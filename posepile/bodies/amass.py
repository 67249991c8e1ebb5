"""AMASS: motion files, and finding them on somebody's disk."""

from __future__ import annotations

import os
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import files_below, names_in
from posepile.formats.numpy_files import load_npz
from posepile.paths import named_folder

_KEYS = {"poses", "trans", "betas", "gender", "mocap_framerate", "mocap_frame_rate"}


def read_amass(path: str | os.PathLike) -> AmassMotion:
    """Reads an AMASS SMPL-H motion file.

    >>> motion = {"poses": np.zeros((4, 156)), "trans": np.zeros((4, 3)), "betas": np.zeros(16)}
    >>> np.savez(folder / "walk_poses.npz", gender="male", mocap_framerate=120.0, **motion)
    >>> read_amass(folder / "walk_poses.npz").gender
    'male'

    Args:
        path: ``.../<subject>/<name>_poses.npz``.

    Raises:
        CorruptInput: Damaged file, missing key or unexpected shape. Names what was found.
    """
    path = Path(path)
    if not path.is_file():
        raise CorruptInput(path, "AMASS motion file is missing", hint="extract that AMASS part")
    found = load_npz(path, _KEYS)
    rate_key = "mocap_framerate" if "mocap_framerate" in found else "mocap_frame_rate"
    missing = {"poses", rate_key} - found.keys()
    if missing:
        with zipfile.ZipFile(path) as archive:
            keys = sorted(name.removesuffix(".npy") for name in archive.namelist())
        raise CorruptInput(
            path,
            f"has no {', '.join(sorted(missing))} (keys: {', '.join(keys)})",
            hint="a motion file is needed, not shape.npz",
        )
    gender = _parse_gender(found["gender"], path) if "gender" in found else "neutral"
    numbers = {key: _numbers(value, path, key) for key, value in found.items() if key != "gender"}
    poses, trans = numbers["poses"], numbers.get("trans")
    betas = numbers.get("betas", np.zeros(0))
    rates = np.ravel(numbers[rate_key])  # a number, or an array of one
    if poses.ndim != 2 or poses.shape[1] != 156:
        raise CorruptInput(path, f"poses has shape {poses.shape}, expected (T, 156)")
    if trans is not None and trans.shape != (len(poses), 3):
        raise CorruptInput(path, f"trans has shape {trans.shape}, expected ({len(poses)}, 3)")
    if not (rates.size == 1 and np.isfinite(rates[0]) and rates[0] > 0):
        found = rates[0] if rates.size == 1 else f"{rates.size} numbers"
        raise CorruptInput(path, f"{rate_key} is {found}, expected a positive number")
    rows = betas.reshape(-1, betas.shape[-1]) if betas.ndim and betas.size else [np.ravel(betas)]
    if len(rows) > 1 and not (rows == rows[0]).all():
        raise CorruptInput(
            path,
            f"betas of shape {betas.shape} differ from row to row; expected one shape of a body",
            hint="the file is not of the AMASS release, which has one body per file",
        )
    if trans is None:
        trans = np.full((len(poses), 3), np.nan)
    return AmassMotion(poses, trans, rows[0], gender, float(rates[0]))


def _numbers(value: object, path: Path, key: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise CorruptInput(
            path, f"{key}: found {array.dtype}; expected numbers", hint="extract it again"
        )
    return np.asarray(array, np.float64)


def _parse_gender(value: object, path: str | os.PathLike = "gender") -> str:
    """Gender of an AMASS file as ``male``, ``female`` or ``neutral``.

    >>> _parse_gender(b"female"), _parse_gender(np.array("male"))
    ('female', 'male')

    Args:
        value: str, bytes (old files) or a zero-dimensional array of either. Also the text
            ``"b'female'"`` that a careless writer left; female is tested first because the word
            contains ``male``.
        path: For the message.

    Raises:
        CorruptInput: None of the three.
    """
    if isinstance(value, np.ndarray):
        # As many as there are frames are one, if they agree.
        values = np.unique(value).tolist() if value.dtype.kind in "SU" else value.tolist()
        value = values[0] if isinstance(values, list) and len(values) == 1 else values
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    text = "" if isinstance(value, list) else text
    for word in ("female", "male", "neutral"):
        if word in text.lower():
            return word
    raise CorruptInput(path, f"gender is {value!r}, expected male, female or neutral")


@dataclass(frozen=True)
class AmassMotion:
    """One AMASS motion: SMPL-H parameters over time, z up.

    Attributes:
        poses: float64 ``[T, 156]`` rotation vectors: root, 21 body joints, left and right hand
            (full rotations, mean included).
        trans: float64 ``[T, 3]`` metres, NaN if the file has none.
        betas: float64 ``[16]`` (empty if the file has none).
        gender: ``male``, ``female`` or ``neutral``.
        framerate: Frames per second.
    """

    poses: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    gender: str
    framerate: float


def find_amass(root: Path, configured: str | None = None) -> Path | None:
    """Returns the AMASS folder: configured, or of the environment, or in one of the usual places.

    >>> (folder / "mydata" / "amass" / "CMU").mkdir(parents=True)
    >>> find_amass(folder / "mydata").name
    'amass'

    Args:
        root: Raw folder of the dataset that needs it; AMASS may lie in it or beside it.
        configured: What the option ``dataset.amass_root`` names; if this or ``AMASS_ROOT`` names
            a folder, nothing else is looked at.

    Returns:
        None if none is named and there is none, or nothing in it.

    Raises:
        UsageError: The named folder does not exist, or is empty.
    """
    for named_by, path in (
        ("dataset.amass_root", configured),
        ("environment variable AMASS_ROOT", os.environ.get("AMASS_ROOT")),
    ):
        if path:
            folder = named_folder(path, named_by)
            if not names_in(folder):
                raise UsageError(
                    f"{named_by}: {path}: found an empty folder, expected AMASS in it"
                )
            return folder
    names = ("amass", "AMASS", "amass_smplh", "AMASS_SMPLH_G")
    places = [folder / name for folder in (root, root.parent) for name in names]
    return next((p for p in places if names_in(p)), None)


class AmassIndex:
    """Finds files of AMASS whatever the folders above subject and file are called.

    The releases differ in the names and number of the upper folders; subject and file name stay.
    """

    def __init__(self, amass_root: Path):
        self.root = amass_root
        self._by_tail: dict[tuple[str, ...], list[Path]] | None = None
        self._known: dict[str, Path | None] = {}

    def find(self, relative: str) -> Path | None:
        """Finds a file by its path in the author's tree.

        Args:
            relative: e.g. ``CMU/CMU/01/01_01_poses.npz``.

        Returns:
            The file at exactly that path, else the one with the same subject folder and name, and
            among several the one that shares most names of upper folders.

        Raises:
            WorkError: Several fit equally well.
        """
        if relative not in self._known:  # many clips show the same motion
            self._known[relative] = self._search(relative)
        return self._known[relative]

    def _search(self, relative: str) -> Path | None:
        exact = self.root / relative
        if exact.is_file():
            return exact
        parts = PurePosixPath(relative).parts
        candidates = self._index().get(parts[-2:], [])

        def shared(path: Path) -> int:
            above = {_plain(p) for p in path.relative_to(self.root).parts[:-2]}
            return len(above & {_plain(p) for p in parts[:-2]})

        if not candidates:
            return None
        best = max(map(shared, candidates))
        fitting = [c for c in candidates if shared(c) == best]
        if len(fitting) > 1:
            raise WorkError(
                f"{self.root}: several files fit {relative}: "
                f"{', '.join(str(c.relative_to(self.root)) for c in fitting[:3])}; name the "
                "folder that holds the SMPL+H G release alone with dataset.amass_root"
            )
        return fitting[0]

    def _index(self) -> dict[tuple[str, ...], list[Path]]:
        if self._by_tail is None:
            self._by_tail = defaultdict(list)
            for path in files_below(self.root, "**/*.npz"):
                self._by_tail[path.parts[-2:]].append(path)
        return self._by_tail


def _plain(name: str) -> str:
    """A folder name without what differs between releases: ``MPI_mosh`` and ``MPImosh``."""
    return "".join(c for c in name.lower() if c.isalnum())
