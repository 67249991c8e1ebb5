"""Parts of a dataset on S3, each with a manifest: what they amount to, and fetching manifests.

A manifest is a JSON list of ``{"uid", "paths": [{"relative_path", "size"}]}``, where entries and
files may carry attributes to filter by, as the program ``egoexo`` of the package ego4d reads it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from posepile.acquire.addresses import without_access
from posepile.acquire.amounts import Amount
from posepile.acquire.programs import AWS_KEY_TROUBLE, aws_environment
from posepile.errors import WorkError
from posepile.files import is_left_by_macos, write_atomically
from posepile.formats.text_files import read_json

_FILE = {"relative_path": str, "size?": int, "*": None}


@dataclass(frozen=True)
class Bucket:
    """Where the manifests of a dataset's parts are.

    Attributes:
        url: ``s3://...``, to which ``/<part>/manifest.json`` is added.
        folder: Where they are kept, likewise.
        gigabytes: Published size of every part, for estimates without manifest.
        profile: AWS profile for fetching missing ones; None = they are not fetched.
        install: How to install the program ``aws``.
        renew: What to do when the keys do not work.
        more: How to get exact figures where a manifest is missing.
    """

    url: str
    folder: Path
    gigabytes: Mapping[str, float]
    profile: str | None
    install: str
    renew: str
    more: str


@dataclass(frozen=True)
class Request:
    """What is fetched in one go.

    Attributes:
        parts: Names of parts.
        uids: Only entries of these ids; None = all.
        filters: Attribute -> values of which an entry or a file must have one if it carries the
            attribute; none = any.
        n_all: How many ids there are in all.
        of_what: What the ids are of, e.g. ``takes``.
    """

    parts: list[str]
    uids: list[str] | None = None
    filters: Mapping[str, Iterable[str]] = field(default_factory=dict)
    n_all: int = 0
    of_what: str = ""


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


def plan_requests(
    root: Path,
    bucket: Bucket,
    requests: Iterable[Request],
    expected: Callable[[str, str | None], Iterable[str]] = lambda part, uid: (),
) -> list[str]:
    """Returns what requests amount to, by manifests where they can be had; a line for each part.

    Args:
        root: Where the files lie once they are fetched.
        bucket: Where the manifests are.
        requests: What is to be fetched.
        expected: As of :func:`find_absent`, for what is here without a manifest.

    Returns:
        Lines; those of parts are :class:`~posepile.acquire.amounts.Amount`, for the sum.

    Raises:
        WorkError: As :func:`fetch_by_aws`.
        CorruptInput: What is there is no manifest.
    """
    lines: list[str] = []
    estimated = False
    for request in requests:
        share = 1.0
        if request.uids is not None:
            share = len(request.uids) / max(1, request.n_all)
            lines.append(f"For {len(request.uids)} of {request.n_all} {request.of_what}:")
        for part in request.parts:
            entries = load_manifest(bucket, part)
            if entries is None:
                gigabytes = share * bucket.gigabytes[part]
                estimated = True
                lacking = _share_absent(root, request, part, expected)
                text = f"  {part}: about {gigabytes:,.4g} GB, by the published size of the part"
                here = "" if lacking == 1 else f"; {1 - lacking:.0%} of it is here"
                lines.append(Amount(text + here, 1e9 * gigabytes * lacking))
                continue
            cost = cost_of(root, entries, request)
            text = (
                f"  {part}: {cost.files} files, {cost.size / 1e9:,.3f} GB, of which "
                f"{cost.present / 1e9:,.3f} GB are here"
                + (f"; {cost.unsized} files of unknown size" if cost.unsized else "")
            )
            lines.append(Amount(text, cost.size - cost.present))
    if estimated:
        place = f"{bucket.folder}/PART/manifest.json"
        lines += [
            f"  for exact figures: {bucket.more}; or fetch the manifest of each PART:",
            f"    aws s3 cp {bucket.url}/PART/manifest.json {shlex.quote(place)}",
        ]
    return lines


def _share_absent(
    root: Path,
    request: Request,
    part: str,
    expected: Callable[[str, str | None], Iterable[str]],
) -> float:
    """How much of a part is not here, by whether any file of it is, 0 to 1."""
    globs = [list(expected(part, uid)) for uid in request.uids or [None]]
    known = [g for g in globs if g]
    here = sum(any(is_here(path) for glob in g for path in root.glob(glob)) for g in known)
    return 1 - here / len(known) if known else 1.0


def load_manifest(bucket: Bucket, part: str) -> list[dict] | None:
    """Returns the entries of a part's manifest; None if it is not here and shall not be fetched.

    Raises:
        WorkError: It shall be fetched and ``aws`` is missing or does not get it.
        CorruptInput: What is there is no manifest.
    """
    path = bucket.folder / part / "manifest.json"
    if not path.is_file() and bucket.profile is not None:
        url = f"{bucket.url}/{part}/manifest.json"
        fetch_by_aws(url, path, bucket.profile, install=bucket.install, renew=bucket.renew)
    if not path.is_file():
        return None
    schema = [{"uid?": str, "paths?": [_FILE], "*": None}]
    return read_json(path, schema, hint="fetch the manifest again")


def fetch_by_aws(url: str, target: Path, profile: str, *, install: str, renew: str) -> None:
    """Fetches a file of S3 with the program ``aws``; leaves nothing behind if it does not succeed.

    Args:
        url: ``s3://...``.
        target: Where it shall lie.
        profile: AWS profile with the keys.
        install: How to install ``aws``.
        renew: What to do when the keys do not work.

    Raises:
        WorkError: ``aws`` is missing, or says why not.
    """
    if shutil.which("aws") is None:
        raise WorkError(f"the program aws is missing: {install}")
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "fetched"
        call = ["aws", "s3", "cp", "--only-show-errors", "--profile", profile, url, str(fetched)]
        try:
            done = subprocess.run(
                call, capture_output=True, timeout=120, check=False, env=aws_environment()
            )
        except (subprocess.TimeoutExpired, OSError) as e:
            raise WorkError(f"aws: {e}") from None
        if done.returncode or not fetched.is_file():
            said = without_access(" ".join(done.stderr.decode(errors="replace").split()))
            trouble = any(sign in said for sign in AWS_KEY_TROUBLE)
            why = renew if trouble else said[:200] or "no output"
            raise WorkError(f"aws did not get {url}: {why}")
        write_atomically(target, fetched.read_bytes())


def cost_of(root: Path, entries: Iterable[Mapping], request: Request) -> Cost:
    """Returns what the files of a manifest amount to that a request asks for."""
    chosen = list(_chosen(entries, request))
    sized = [file for file in chosen if file.get("size") is not None]
    present = sum(file["size"] for file in sized if _arrived(root, file))
    size = sum(file["size"] for file in sized)
    return Cost(len(chosen), size, len(chosen) - len(sized), present)


def find_absent(
    root: Path,
    bucket: Bucket,
    request: Request,
    expected: Callable[[str, str | None], Iterable[str]],
) -> Iterator[str]:
    """Yields what of a request has not arrived, one line each.

    The disk is looked at, since programs leave out what a manifest lacks, or lists with another
    size than it has, and end as if all was well.

    Args:
        root: Where the files lie once they are fetched.
        bucket: Where the manifests are; what is here of them tells of every file.
        request: What was fetched.
        expected: Part and id (None = the whole part) -> globs below the root, of which one must
            match a file that is not empty. None of them: nothing is known of it.
    """
    for part in request.parts:
        globs = [list(expected(part, uid)) for uid in request.uids or [None]]
        absent = [
            g
            for g in globs
            if g and not any(is_here(path) for glob in g for path in root.glob(glob))
        ]
        if absent:
            share = f" of {len(absent)} of {len(globs)} {request.of_what}" if request.uids else ""
            yield f"{part}{share} has not arrived: nothing is at {absent[0][0]}"
        entries = load_manifest(replace(bucket, profile=None), part) or []
        files = list(_chosen(entries, request))
        if lost := [file for file in files if not _arrived(root, file)]:
            first = lost[0]["relative_path"]
            yield (
                f"{part}: {len(lost)} of {len(files)} files of its manifest have not arrived with "
                f"their size, the first is {first}"
            )


def is_here(path: Path) -> bool:
    """Returns whether something has arrived: a folder, or a file that is not empty."""
    if is_left_by_macos(path.name):
        return False
    return path.is_dir() or (path.is_file() and path.stat().st_size > 0)


def _arrived(root: Path, file: Mapping) -> bool:
    here = os.path.join(root, file["relative_path"])
    return os.path.isfile(here) and file.get("size") in (None, os.path.getsize(here))


def _chosen(entries: Iterable[Mapping], request: Request) -> Iterator[Mapping]:
    """The files of a manifest that a request asks for."""
    uids = None if request.uids is None else set(request.uids)
    for entry in entries:
        of_these = uids is None or entry.get("uid") is None or entry["uid"] in uids
        if of_these and _passes(entry, request.filters):
            yield from (f for f in entry.get("paths") or [] if _passes(f, request.filters))


def _passes(carrier: Mapping, filters: Mapping[str, Iterable[str]]) -> bool:
    """Whether an entry or a file has one of the values asked for, of attributes that it has."""
    wanted = {key: set(values) for key, values in filters.items() if values}
    has = {key: carrier[key] for key in wanted if carrier.get(key) is not None}
    lists = {key: value if isinstance(value, list) else [value] for key, value in has.items()}
    return all(any(v in wanted[key] for v in lists[key] if isinstance(v, str)) for key in has)
