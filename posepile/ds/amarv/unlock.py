"""Unlocking the downloaded archives with the password that is made from AMASS.

Only an owner of AMASS can compute it: the MD5 of the joined MD5 sums of 19 AMASS files. Run
``python -m posepile.ds.amarv.unlock [AMASS_ROOT]`` to print it.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

from posepile.acquire.credentials import Secret
from posepile.acquire.extract import extract_archive
from posepile.acquire.sources import Extract
from posepile.bodies.amass import AmassIndex, find_amass
from posepile.errors import PosePileError, WorkError
from posepile.paths import raw_dir

SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
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


def unlock(root: Path, amass_root: str | None) -> list[str]:
    """Extracts every zip in ``root/archives``; an archive that is done is left alone.

    Args:
        root: Raw folder, where the content goes.
        amass_root: Option of that name.

    Returns:
        A line for each archive.

    Raises:
        WorkError: AMASS (or part of it) is missing, or an archive is of a kind that only an
            outside program can open; says how.
        UsageError: The password is refused.
    """
    archives = sorted(p for p in (root / "archives").glob("*") if p.is_file())
    if not archives:
        return []
    found = find_amass(root, amass_root)
    if found is None:
        raise WorkError(
            f"{root / 'archives'}: the archives are unlocked with a password made from AMASS, "
            "which was not found; set AMASS_ROOT or dataset.amass_root to its folder"
        )
    password, lines = Secret(archive_password(found)), []
    for archive in archives:
        if not opens_here(archive):
            raise WorkError(
                f"{archive}: 7z or a zip with AES encryption is not opened here; extract it by "
                f"7z x -o{root} {archive}, which asks for the password that "
                f"python -m posepile.ds.amarv.unlock {found} prints, then move it out of "
                f"{archive.parent}"
            )
        result = extract_archive(archive, root, Extract(to=".", format="zip"), password=password)
        state = "was extracted before" if result.done_before else "extracted"
        lines.append(f"{archive.name}: {state}, {len(result.files)} files")
    return lines


def opens_here(archive: Path) -> bool:
    """False for 7z and for zips with AES encryption (method 99)."""
    with open(archive, "rb") as f:
        if f.read(6) == SEVEN_ZIP:
            return False
    if not zipfile.is_zipfile(archive):
        return True  # let the extraction say what is wrong with it
    with zipfile.ZipFile(archive) as z:
        return all(info.compress_type != 99 for info in z.infolist())


def archive_password(amass_root: Path) -> str:
    """Computes the password of the AMARV archives.

    Raises:
        WorkError: Some of the files are missing; lists each with the AMASS part it belongs to.
    """
    found, missing = find_password_files(amass_root)
    if missing:
        raise WorkError(
            f"{amass_root}: {len(missing)} of {len(PASSWORD_FILES)} AMASS files for the password "
            f"are missing: {'; '.join(missing)}. Download these parts (the first folder names the "
            "part) as SMPL+H G from https://amass.is.tue.mpg.de and extract them there"
        )
    return _md5("".join(_md5(path.read_bytes()) for path in found).encode("ascii"))


def find_password_files(amass_root: Path) -> tuple[list[Path], list[str]]:
    """Looks for the 19 files: (those found, in order; those missing, as in the author's tree)."""
    index = AmassIndex(amass_root)
    places = {relative: index.find(relative) for relative in PASSWORD_FILES}
    missing = [relative for relative, path in places.items() if path is None]
    return [path for path in places.values() if path is not None], missing


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def main(arguments: list[str]) -> int:
    """Prints the password; the exit code says whether it could be computed."""
    try:
        root = Path(arguments[0]) if arguments else find_amass(raw_dir("amarv"))
        if root is None:
            raise WorkError(
                "AMASS was found in none of the usual places; give its folder: "
                "python -m posepile.ds.amarv.unlock <AMASS folder>, or set AMASS_ROOT"
            )
        print(archive_password(root))
    except PosePileError as e:
        print(f"posepile: {e}", file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
