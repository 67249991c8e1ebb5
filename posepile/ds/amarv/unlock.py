"""Extracting the downloaded archives with the password that is made from AMASS."""

from __future__ import annotations

import zipfile
from pathlib import Path

from posepile.acquire.credentials import Secret
from posepile.acquire.extract import extract_archive
from posepile.acquire.sources import Extract
from posepile.ds.amarv import amass
from posepile.ds.amarv.assemble import babel_folder
from posepile.ds.amarv.layout import Layout
from posepile.errors import WorkError
from posepile.files import names_in

SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"


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
    found = amass.find_amass(root, amass_root)
    if found is None:
        raise WorkError(
            f"{root / 'archives'}: the archives are unlocked with a password made from AMASS, "
            "which was not found; set AMASS_ROOT or dataset.amass_root to its folder"
        )
    password = Secret(amass.archive_password(found))
    lines = []
    for archive in archives:
        if not opens_here(archive):
            raise WorkError(
                f"{archive}: 7z or a zip with AES encryption is not opened here; extract it by "
                f"7z x -o{root} {archive}, which asks for the password that "
                f"python -m posepile.ds.amarv.amass {found} prints, then move it out of "
                f"{archive.parent}"
            )
        result = extract_archive(archive, root, Extract(to=".", format="zip"), password=password)
        state = "was extracted before" if result.done_before else "extracted"
        lines.append(f"{archive.name}: {state}, {len(result.files)} files")
    return lines


def require_files(root: Path, layout: Layout, babel_root: str | None) -> None:
    """Makes sure that there is something of what a person must put in place.

    Raises:
        WorkError: No video where the manifest looks for them, or no BABEL labels.
    """
    base = layout.base(root)
    if next(base.glob(layout.clip_glob), None) is None:
        raise WorkError(
            f"{base}: no file matches clip_glob {layout.clip_glob!r} of the layout manifest; put "
            f"the archives into {root / 'archives'}, or describe the extracted tree there "
            "(posepile plan amarv lists the steps)"
        )
    if layout.labels is not None:
        folder = babel_folder(root, babel_root)
        there = names_in(folder)
        missing = [f for f in layout.labels.split_files if f not in there]
        if missing:
            raise WorkError(
                f"{folder / missing[0]}: BABEL labels are missing (posepile plan amarv lists the "
                "steps); or set dataset.babel_root, or labels: null in the layout manifest"
            )


def opens_here(archive: Path) -> bool:
    """False for 7z and for zips with AES encryption (method 99)."""
    with open(archive, "rb") as f:
        if f.read(6) == SEVEN_ZIP:
            return False
    if not zipfile.is_zipfile(archive):
        return True  # let the extraction say what is wrong with it
    with zipfile.ZipFile(archive) as z:
        return all(info.compress_type != 99 for info in z.infolist())
