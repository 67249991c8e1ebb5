"""What the download would fetch, by the manifests of the official program."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from posepile.acquire.manifests import Cost, cost_of, fetch_by_aws, read_manifest
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

BASE = "s3://ego4d-consortium-sharing/egoexo-public"


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
            cost = cost_of_request(root, entries, request, options.download)
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

        def explain(said: str) -> str | None:
            return RENEW if any(sign in said for sign in KEY_TROUBLE) else None

        url = manifest_url(part, wanted.release)
        fetch_by_aws(url, path, wanted.s3_profile, install=INSTALL, explain=explain)
    return read_manifest(path) if path.is_file() else None


def cost_of_request(
    root: Path, entries: list[dict], request: Request, wanted: DownloadOptions
) -> Cost:
    """Sums the files of a manifest that pass the filters, as the program applies them."""
    of_entry = {"splits": wanted.splits, "benchmarks": wanted.benchmarks}
    of_file = {"views": request.views, "universities": wanted.universities}
    return cost_of(root, entries, request.uids, of_entry, of_file)
