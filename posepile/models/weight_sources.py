"""Weights as sources of the download step: planned, fetched and checked like raw files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from posepile.acquire.plan import Decision, plan
from posepile.acquire.sources import Extract, Source, Sources
from posepile.errors import CorruptInput
from posepile.models.weights import WeightFile, WeightSpec, checked_file

if TYPE_CHECKING:
    from posepile.acquire.download import Report

_FOLDER_OF_ALL = "models"  # what plans and messages call the folder of weights


def weight_sources(specs: Iterable[WeightSpec], folder: Path) -> Sources:
    """Returns the files of networks as sources; a file that two of them share comes once.

    Args:
        specs: The networks.
        folder: Where their files lie: of a known copy that lies there, the facts are the copy's.
    """
    sources: dict[str, Source] = {}
    for spec in specs:
        for file in spec.files:
            sources.setdefault(file.file_name, _source(spec, file, folder))
    return Sources(dataset=_FOLDER_OF_ALL, sources=list(sources.values()))


def plan_weights(specs: Iterable[WeightSpec], folder: Path) -> list[Decision]:
    """Returns for every file of some networks what is to be done; changes nothing."""
    return plan(weight_sources(specs, folder), folder)


def fetch_weights(
    specs: Iterable[WeightSpec],
    folder: Path,
    *,
    log: Callable[[str], None] = print,
    attempts: int = 5,
    sleep: Callable[[float], None] | None = None,
) -> Report:
    """Brings the files of networks into the folder that all datasets share, and checks them.

    Args:
        specs: The networks.
        folder: The folder.
        log: Called with lines of text.
        attempts: How often in a row an address may fail without a byte gained.
        sleep: Waits between attempts.

    Returns:
        What was done; ``left`` names what is missing or wrong.
    """
    from posepile.acquire.download import run_download  # urllib3 is needed only here

    specs = list(specs)
    sources = weight_sources(specs, folder)
    report = run_download(
        sources.dataset,
        sources,
        folder,
        shared=True,
        log=log,
        strict=False,
        attempts=attempts,
        sleep=sleep,
    )
    for spec in specs:
        for file in spec.files:
            # What comes out of an archive has been compared with nothing yet.
            if file.member is not None and (folder / file.file_name).is_file():
                try:
                    checked_file(spec, file, folder)
                except CorruptInput as e:
                    report.left.append(f"{_name(spec, file)}: {e}")
    return report


def _name(spec: WeightSpec, file: WeightFile) -> str:
    return spec.name if len(spec.files) == 1 else f"{spec.name}.{file.part}"


def _source(spec: WeightSpec, file: WeightFile, folder: Path) -> Source:
    sha256, size = file.sha256, file.bytes
    target = folder / file.file_name
    shared = {
        "name": _name(spec, file),
        "url": file.url,
        "licence": spec.licence,
        "note": f"lies at {target} (sha256 {file.sha256 or 'not published'})",
    }
    if file.member is not None:
        place = file.file_name.rpartition("/")[0]
        return Source(
            **shared,
            sha256=file.archive_sha256,
            bytes=file.archive_bytes,
            extract=Extract(to=place, strip_prefix="**", members=[file.member], keep=False),
            provides=[file.file_name],
        )
    if target.is_file():
        there = target.stat().st_size
        for copy in (c for c in file.copies if c.bytes == there != size):
            sha256, size = copy.sha256, copy.bytes
    return Source(**shared, to=file.file_name, sha256=sha256, bytes=size)
