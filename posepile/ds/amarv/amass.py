"""Finding AMASS on disk, and the archive password that is made from it.

The AMARV archives are unlocked by a password that only an owner of AMASS can compute: the MD5 of
the joined MD5 sums of 19 AMASS files. Run ``python -m posepile.ds.amarv.amass [AMASS_ROOT]`` to
print it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import Path, PurePosixPath

from posepile.errors import PosePileError, WorkError
from posepile.files import names_in

PASSWORD_FILES = (
    "ACCAD/ACCAD/Female1General_c3d/A10 - lie to crouch_poses.npz",
    "BMLhandball/S01_Expert/shape.npz",
    "BMLmovi/BMLmovi/Subject_11_F_MoSh/shape.npz",
    "BMLrub/BioMotionLab_NTroje/rub001/0000_treadmill_norm_poses.npz",
    "CMU/CMU/01/01_01_poses.npz",
    "DanceDB/20120731_StefanosTheodorou/shape.npz",
    "DFaust_67/DFaust_67/50002/50002_chicken_wings_poses.npz",
    "EKUT/125/SLP101_poses.npz",
    "EyesJapanDataset/Eyes_Japan_Dataset/aita/accident-02-dodge fast-aita_poses.npz",
    "HumanEva/S1/Box_1_poses.npz",
    "KIT/KIT/10/LeftTurn01_poses.npz",
    "MPI_HDM05/bk/HDM_bk_01-01_01_120_poses.npz",
    "MPI_Limits/03099/lar1_poses.npz",
    "MPI_mosh/00008/misc_poses.npz",
    "SFU/0005/0005_2FeetJump001_poses.npz",
    "SSM_synced/20160330_03333/ankles_poses.npz",
    "TCD_handMocap/ExperimentDatabase/BottleA_poses.npz",
    "TotalCapture/TotalCapture/s1/acting1_poses.npz",
    "Transitions_mocap/mazen_c3d/airkick_jumpingtwist360_poses.npz",
)


def amass_candidates(root: Path, configured: str | None = None) -> list[Path]:
    """Lists folders where AMASS may lie, best first: configured, environment, usual places.

    Args:
        root: Raw folder of AMARV.
        configured: Option ``amass_root``; if given, nothing else is looked at.
    """
    if configured:
        return [Path(configured)]
    names = ("amass", "AMASS", "amass_smplh", "AMASS_SMPLH_G")
    places = [Path(os.environ["AMASS_ROOT"])] if os.environ.get("AMASS_ROOT") else []
    places += [folder / name for folder in (root, root.parent) for name in names]
    return [p for p in places if names_in(p)]


def find_amass(root: Path, configured: str | None = None) -> Path | None:
    """Returns the AMASS folder, None if there is none."""
    return next((p for p in amass_candidates(root, configured) if names_in(p)), None)


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
            above = {plain(p) for p in path.relative_to(self.root).parts[:-2]}
            return len(above & {plain(p) for p in parts[:-2]})

        if not candidates:
            return None
        best = max(map(shared, candidates))
        fitting = [c for c in candidates if shared(c) == best]
        if len(fitting) > 1:
            raise WorkError(
                f"{self.root}: several files fit {relative}: "
                f"{', '.join(str(c.relative_to(self.root)) for c in fitting[:3])}; remove all but "
                "the SMPL+H one or name the right folder with dataset.amass_root"
            )
        return fitting[0]

    def _index(self) -> dict[tuple[str, ...], list[Path]]:
        if self._by_tail is None:
            self._by_tail = defaultdict(list)
            for path in sorted(self.root.rglob("*.npz")):
                self._by_tail[path.parts[-2:]].append(path)
        return self._by_tail


@lru_cache(maxsize=2)
def open_index(amass_root: Path) -> AmassIndex:
    """Returns the index of a folder, kept for the life of the process: a search takes a while."""
    return AmassIndex(amass_root)


def plain(name: str) -> str:
    """A folder name without what differs between releases: ``MPI_mosh`` and ``MPImosh``."""
    return "".join(c for c in name.lower() if c.isalnum())


def find_password_files(amass_root: Path) -> tuple[list[Path], list[str]]:
    """Looks for the 19 files: (those found, in order; those missing, as in the author's tree)."""
    index = AmassIndex(amass_root)
    found, missing = [], []
    for relative in PASSWORD_FILES:
        path = index.find(relative)
        if path is None:
            missing.append(relative)
        else:
            found.append(path)
    return found, missing


def archive_password(amass_root: Path) -> str:
    """Computes the password of the AMARV archives.

    Raises:
        WorkError: Some of the files are missing; lists each with the AMASS part it belongs to.
    """
    found, missing = find_password_files(amass_root)
    if missing:
        listed = "; ".join(missing)
        raise WorkError(
            f"{amass_root}: {len(missing)} of {len(PASSWORD_FILES)} AMASS files for the password "
            f"are missing: {listed}. Download these parts (the first folder names the part) as "
            "SMPL+H G from https://amass.is.tue.mpg.de and extract them there"
        )
    joined = "".join(_md5(path) for path in found)
    return hashlib.md5(joined.encode("ascii"), usedforsecurity=False).hexdigest()


def _md5(path: Path) -> str:
    with open(path, "rb") as f:
        digest = hashlib.md5(usedforsecurity=False)
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    """Prints the password; the exit code says whether it could be computed."""
    try:
        configured = arguments[0] if arguments else None
        if configured is None:
            from posepile.paths import raw_dir

            root = find_amass(raw_dir("amarv"))
        else:
            root = Path(configured)
        if root is None:
            raise WorkError(
                "AMASS was found in none of the usual places; give its folder: "
                "python -m posepile.ds.amarv.amass <AMASS folder>, or set AMASS_ROOT"
            )
        print(archive_password(root))
    except PosePileError as e:
        print(f"posepile: {e}", file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
