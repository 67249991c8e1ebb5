"""What the download would fetch, by the manifests of the official program."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posepile.ds.egoexo4d import takes
from posepile.ds.egoexo4d.download import (
    INSTALL,
    KEY_TROUBLE,
    PART_GB,
    RENEW,
    DownloadOptions,
    Request,
    label_request,
    video_request,
)
from posepile.errors import WorkError
from posepile.files import write_atomically
from posepile.formats.text_files import read_json

MANIFEST_FILE = {"relative_path": str, "size?": int, "*": None}
BASE = "s3://ego4d-consortium-sharing/egoexo-public"


@dataclass(frozen=True)
class Cost:
    """What a part amounts to, from its manifest."""

    files: int
    size: int
    unsized: int
    present: int


def plan(root: Path, options: Any) -> list[str]:
    """What the download would fetch, by the manifests where they can be had."""
    lines = [f"Program: {'egoexo is installed' if shutil.which('egoexo') else INSTALL}"]
    requests = [label_request(options)]
    needed = [root / "takes.json", root / "annotations" / "splits.json"]
    missing = [str(f) for f in needed if not f.is_file()]
    if not missing:
        video = video_request(root, options)
        requests += [video] if video else []
    elif options.download.every or options.download.uids:
        lines.append(f"Videos are planned once the labels are there ({missing[0]} is missing).")
        share = 1 / options.download.every if options.download.every else 0
        part = "downscaled_takes/448" if options.video == "448" else "takes"
        lines.append(
            f"  at most {PART_GB[part] * share:,.0f} GB for {share:.0%} of all takes; about half "
            "of the takes have pose labels"
        )
    total = estimated = 0.0
    for request in requests:
        share = 1.0
        if request.uids is not None:
            n_takes = len(takes.read_takes(root))
            share = len(request.uids) / max(1, n_takes)
            lines.append(f"For {len(request.uids)} of {n_takes} takes:")
        for part in request.parts:
            entries = load_manifest(root, part, options.download)
            if entries is None:
                estimated += share * PART_GB[part]
                lines.append(
                    f"  {part}: about {share * PART_GB[part]:,.4g} GB, by the published size of "
                    "the part"
                )
                continue
            cost = cost_of(root, entries, request, options.download)
            total += cost.size / 1e9
            lines.append(
                f"  {part}: {cost.files} files, {cost.size / 1e9:,.3f} GB, of which "
                f"{cost.present / 1e9:,.3f} GB are here"
                + (f"; {cost.unsized} files of unknown size" if cost.unsized else "")
            )
    if estimated:
        lines.append(
            "  for exact figures: --set dataset.download.fetch_manifests=true asks for missing "
            "manifests through aws, with your keys (else no network is used); or put them at "
            f"{manifest_path(root, 'PART', options.download.release)}: aws s3 cp "
            f"{manifest_url('PART', options.download.release)} FILE"
        )
    lines.append(
        f"  total: {total:,.3f} GB by manifests, about {estimated:,.4g} GB estimated, into {root}"
    )
    return lines


def manifest_path(root: Path, part: str, release: str) -> Path:
    """Returns where manifests are kept."""
    return root / "manifests" / release / part / "manifest.json"


def manifest_url(part: str, release: str) -> str:
    """Returns where manifests come from."""
    return f"{BASE}/{release}/{part}/manifest.json"


def load_manifest(root: Path, part: str, wanted: DownloadOptions) -> list[dict] | None:
    """A part's manifest: from disk, else (if asked to) through the ``aws`` program, else None.

    Raises:
        WorkError: It was asked for and ``aws`` is missing or does not get it.
        CorruptInput: What is there is no manifest.
    """
    path = manifest_path(root, part, wanted.release)
    if not path.is_file() and wanted.fetch_manifests:
        fetch_manifest(path, part, wanted)
    if not path.is_file():
        return None
    return read_json(
        path, [{"uid?": str, "paths?": [MANIFEST_FILE], "*": None}], hint="fetch it again"
    )


def fetch_manifest(path: Path, part: str, wanted: DownloadOptions) -> None:
    """Fetches a manifest with ``aws``; leaves nothing behind where that does not succeed.

    Raises:
        WorkError: ``aws`` is missing, or says why not.
    """
    if shutil.which("aws") is None:
        raise WorkError(f"the program aws is missing: {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "manifest.json"
        call = ["aws", "s3", "cp", "--only-show-errors", "--profile", wanted.s3_profile]
        call += [manifest_url(part, wanted.release), str(fetched)]
        try:
            done = subprocess.run(call, capture_output=True, timeout=120, check=False)
        except (subprocess.TimeoutExpired, OSError) as e:
            raise WorkError(f"aws: {e}; without fetch_manifests plan needs no network") from None
        if done.returncode or not fetched.is_file():
            said = " ".join(done.stderr.decode(errors="replace").split())
            trouble = any(sign in said for sign in KEY_TROUBLE)
            raise WorkError(
                f"aws did not get {call[-2]}: {RENEW if trouble else said[:200] or 'no output'}"
            )
        write_atomically(path, fetched.read_bytes())


def cost_of(root: Path, entries: list[dict], request: Request, wanted: DownloadOptions) -> Cost:
    """Sums the files of a manifest that pass the filters, as the program applies them.

    A filter applies only to entries (and files) that carry its attribute.
    """
    uids = set(request.uids or ())
    files = size = unsized = present = 0
    for entry in entries:
        if not (
            (request.uids is None or entry.get("uid") is None or entry["uid"] in uids)
            and _passes(entry.get("splits"), wanted.splits)
            and _passes(entry.get("benchmarks"), wanted.benchmarks)
        ):
            continue
        for file in entry.get("paths") or []:
            if not _passes(file.get("views"), request.views):
                continue
            if not _passes(file.get("universities"), wanted.universities):
                continue
            files += 1
            if file.get("size") is None:
                unsized += 1
                continue
            size += file["size"]
            here = root / file["relative_path"]
            if here.is_file() and here.stat().st_size == file["size"]:
                present += file["size"]
    return Cost(files, size, unsized, present)


def _passes(values: Iterable[str] | None, wanted: Iterable[str]) -> bool:
    wanted = set(wanted)
    return values is None or not wanted or bool(set(values) & wanted)
