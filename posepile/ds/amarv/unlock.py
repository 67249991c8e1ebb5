"""Unlocking the downloaded archives with the password that is made from AMASS.

Only an owner of AMASS can compute it: the MD5 of the joined MD5 sums of 19 AMASS files. Run
``python -m posepile.ds.amarv.unlock [AMASS_ROOT]`` to print it, with ``--files`` to print these.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from posepile.acquire.archives import is_encrypted
from posepile.acquire.credentials import Secret
from posepile.acquire.extract import extract_archive
from posepile.acquire.joined import is_archive_name, is_later_part
from posepile.bodies.amass import AmassIndex, find_amass, read_amass
from posepile.errors import CorruptInput, PosePileError, UsageError, WorkError
from posepile.files import names_in
from posepile.paths import named_folder, raw_dir

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
    """Extracts every archive in ``root/archives``; one that is done is left alone.

    Args:
        root: Raw folder, where the content goes.
        amass_root: Option of that name.

    Returns:
        A line for each file there.

    Raises:
        WorkError: An archive is damaged, or encrypted and AMASS (or part of it) is missing, or
            the password that AMASS gives is not its own; says which files of AMASS are doubtful.
        UsageError: The folder of AMASS that is named does not exist.
    """
    amass = find_amass(root, amass_root)  # a mistyped folder is told before all else
    folder, lines = root / "archives", []
    names = sorted(name for name in names_in(folder) if (folder / name).is_file())
    for name in names:
        archive = folder / name
        if not is_archive_name(name):
            if not is_later_part(archive):
                lines.append(f"{name}: not an archive by its name, left alone")
            continue
        try:
            result = extract_archive(archive, root, password=lambda: _password(root, amass))
        except (UsageError, CorruptInput) as e:
            if amass is None or not is_encrypted(archive):
                raise
            raise WorkError(f"{e}. {judge_password_files(amass)}") from None
        state = "was extracted before" if result.done_before else "extracted"
        lines.append(f"{name}: {state}, {len(result.files)} files")
    return lines


def _password(root: Path, amass: Path | None) -> Secret:
    if amass is None:
        raise WorkError(
            f"{root / 'archives'}: the archives are unlocked with a password made from AMASS, "
            "which was not found; set AMASS_ROOT or dataset.amass_root to its folder"
        )
    return Secret(archive_password(amass))


def doubtful_files(amass_root: Path) -> list[str]:
    """Returns which of the 19 files do not fit what is known of the author's, and why.

    The MD5 sums that the author had are not published, so content can only be judged by its kind.
    """
    index, doubts = AmassIndex(amass_root), []
    for relative in PASSWORD_FILES:
        path = index.find(relative)
        if path is None:
            doubts.append(f"{relative}: missing")
            continue
        if path != amass_root / relative:
            doubts.append(f"{relative}: found as {path.relative_to(amass_root)}")
        try:
            if path.name != "shape.npz":
                read_amass(path)
        except CorruptInput as e:
            doubts.append(f"{relative}: {e.reason}")
    return doubts


def judge_password_files(amass_root: Path) -> str:
    """Returns what can be said of the 19 files when their password is refused."""
    if doubts := doubtful_files(amass_root):
        return f"Of the 19 AMASS files that it is made from, these do not fit: {'; '.join(doubts)}"
    return (
        "All 19 AMASS files that it is made from lie where the author had them and are SMPL+H "
        "motions; so some are of another release of AMASS: `python -m posepile.ds.amarv.unlock "
        f"--files {amass_root}` prints their MD5 sums, to be compared with somebody's whose fit"
    )


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
    """Prints the password, or with ``--files`` the sums it is made from; returns the exit code."""
    folders = [a for a in arguments if a != "--files"]
    try:
        root = Path(folders[0]) if folders else find_amass(raw_dir("amarv"))
        if root is None:
            raise WorkError(
                "AMASS was found in none of the usual places; give its folder: "
                "python -m posepile.ds.amarv.unlock <AMASS folder>, or set AMASS_ROOT"
            )
        password = archive_password(named_folder(root, "AMASS"))
        if "--files" in arguments:
            found, _ = find_password_files(root)
            for relative, path in zip(PASSWORD_FILES, found, strict=True):
                print(_md5(path.read_bytes()), path.stat().st_size, relative)
        else:
            print(password)
    except PosePileError as e:
        print(f"posepile: {e}", file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
