"""Manifests of parts of a dataset on S3: what they amount to, and fetching them by ``aws``.

A manifest is a JSON list of ``{"uid", "splits", "benchmarks", "paths": [{"relative_path", "size",
"views", "universities"}]}``, as the program ``egoexo`` of the package ego4d reads it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from posepile.acquire.programs import Keys
from posepile.errors import WorkError
from posepile.files import write_atomically
from posepile.formats.text_files import read_json

_FILE = {"relative_path": str, "size?": int, "*": None}


@dataclass(frozen=True)
class Cost:
    """What some files amount to.

    Attributes:
        files: How many.
        size: Bytes of those whose size is known.
        unsized: How many have no size.
        present: Bytes of those that are on the disk with that size.
    """

    files: int
    size: int
    unsized: int
    present: int


def read_manifest(path: Path) -> list[dict]:
    """Returns the entries of a manifest.

    Raises:
        CorruptInput: What is there is no manifest.
    """
    schema = [{"uid?": str, "paths?": [_FILE], "*": None}]
    return read_json(path, schema, hint="fetch the manifest again")


def fetch_by_aws(url: str, target: Path, profile: str, *, install: str, keys: Keys) -> None:
    """Fetches a file of S3 with the program ``aws``; leaves nothing behind if it does not succeed.

    Args:
        url: ``s3://...``.
        target: Where it shall lie.
        profile: AWS profile with the keys.
        install: How to install ``aws``.
        keys: Of that profile.

    Raises:
        WorkError: ``aws`` is missing, or says why not.
    """
    if shutil.which("aws") is None:
        raise WorkError(f"the program aws is missing: {install}")
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "fetched"
        call = ["aws", "s3", "cp", "--only-show-errors", "--profile", profile, url, str(fetched)]
        try:
            done = subprocess.run(call, capture_output=True, timeout=120, check=False)
        except (subprocess.TimeoutExpired, OSError) as e:
            raise WorkError(f"aws: {e}") from None
        if done.returncode or not fetched.is_file():
            said = " ".join(done.stderr.decode(errors="replace").split())
            reason = keys.renew if keys.fail_in(said) else said[:200] or "no output"
            raise WorkError(f"aws did not get {url}: {reason}")
        write_atomically(target, fetched.read_bytes())


def cost_of(
    root: Path,
    entries: Iterable[Mapping],
    uids: Iterable[str] | None,
    of_entry: Mapping[str, Iterable[str]],
    of_file: Mapping[str, Iterable[str]],
) -> Cost:
    """Returns what the files of a manifest amount to that pass some filters.

    A filter applies only to entries and files that carry its attribute; an empty one passes all.

    Args:
        root: Where the files lie once they are fetched.
        entries: Of the manifest.
        uids: Only entries of these ids; None = of all.
        of_entry: Attribute of an entry -> values of which it must have one.
        of_file: Likewise of a file.
    """
    uids = None if uids is None else set(uids)
    chosen = [
        file
        for entry in entries
        if uids is None or entry.get("uid") is None or entry["uid"] in uids
        if all(_passes(entry.get(key), wanted) for key, wanted in of_entry.items())
        for file in entry.get("paths") or []
        if all(_passes(file.get(key), wanted) for key, wanted in of_file.items())
    ]
    sized = [file for file in chosen if file.get("size") is not None]
    present = 0
    for file in sized:
        here = root / file["relative_path"]
        present += file["size"] if here.is_file() and here.stat().st_size == file["size"] else 0
    size = sum(file["size"] for file in sized)
    return Cost(len(chosen), size, len(chosen) - len(sized), present)


@dataclass(frozen=True)
class Wanted:
    """What of some parts shall be fetched.

    Attributes:
        title: A line above the parts, or nothing.
        manifests: Part -> its manifest, None where it is not at hand.
        share: Of a part that is asked for, where there is no manifest.
        filters: ``uids``, ``of_entry`` and ``of_file`` of :func:`cost_of`.
    """

    title: str
    manifests: Mapping[str, list[dict] | None]
    share: float
    filters: tuple


def plan_lines(
    root: Path, wanted: Iterable[Wanted], published_gb: Mapping[str, float], exact: str
) -> list[str]:
    """Returns what a download would fetch: a line for each part, and the total.

    Args:
        root: Where the files lie once they are fetched.
        wanted: Parts.
        published_gb: Part -> size of the whole part.
        exact: How to get manifests, said where some are not at hand.
    """
    lines, total, estimated = [], 0.0, 0.0
    for some in wanted:
        lines += [some.title] if some.title else []
        for part, entries in some.manifests.items():
            if entries is None:
                size = some.share * published_gb[part]
                estimated += size
                lines.append(f"  {part}: about {size:,.4g} GB, by the published size of the part")
                continue
            cost = cost_of(root, entries, *some.filters)
            total += cost.size / 1e9
            unsized = f"; {cost.unsized} files of unknown size" if cost.unsized else ""
            lines.append(
                f"  {part}: {cost.files} files, {cost.size / 1e9:,.3f} GB, of which "
                f"{cost.present / 1e9:,.3f} GB are here{unsized}"
            )
    lines += [f"  for exact figures: {exact}"] if estimated else []
    total_line = f"  total: {total:,.3f} GB by manifests, about {estimated:,.4g} GB estimated"
    return [*lines, f"{total_line}, into {root}"]


def _passes(values: Iterable[str] | None, wanted: Iterable[str]) -> bool:
    wanted = set(wanted)
    return values is None or not wanted or bool(set(values) & wanted)
