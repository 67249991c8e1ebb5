"""Writing the report page and single overlay pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posepile.errors import UsageError
from posepile.files import require_place, write_atomically
from posepile.recipe import SPLITS
from posepile.report import checks, counts, distributions, overhead, sheets, suspected, timings
from posepile.report.build import Build, open_build
from posepile.report.drawing import contact_sheet, draw_example, legend_of, with_legend
from posepile.report.markup import page_html, text
from posepile.report.measure import measure
from posepile.run.failed import last_failure
from posepile.store.bulk import has_any
from posepile.store.example_list import as_example_list
from posepile.store.opening import get_dataset

COLUMNS = 4


def open_dataset(name: str):
    """The packed dataset, 2D or 3D."""
    return get_dataset(name, None)


def write_report(name: str, out: Path) -> dict[str, Any]:
    """Writes the self-contained page of a packed, merged or imported dataset.

    Args:
        name: Dataset name, ``NAME@VARIANT``, or name of a mix or import.
        out: The HTML file, replaced atomically.

    Returns:
        What the page says, as plain data.
    """
    build = open_build(name)
    ups = build.ups()
    figures = {
        split: measure(build.examples(split), build.dataset.joint_info, ups)
        for split in SPLITS
        if len(build.examples(split))
    }
    found = suspected.find(build)
    suspects = suspected.suspects_as_data(build, found)
    times = timings.read_timings(build.work)
    bones, odd_bones = distributions.bones_section(build, figures)
    manifest = build.manifest
    sections = [
        counts.counts_section(build),
        counts.stated_section(manifest),
        counts.bare_section(manifest),
        counts.quarantine_section(manifest),
        counts.fewer_section(manifest),
        checks.kept_section(manifest),
        suspected.suspects_section(build, found, suspects),
        checks.checks_section(build),
        checks.bodies_section(name, build.dataset),
        sheets.sheets_section(build, figures),
        distributions.distributions_section(figures),
        bones,
        distributions.joints_section(build, figures),
        overhead.cameras_section(build, figures),
        checks.networks_section(manifest),
        timings.timings_section(times),
    ]
    head = f"<h1>{text(name)}</h1><p class=sub>{text(subtitle(build))}</p>"
    failed = last_failure(build.work)
    head += older(failed) + banner(manifest)
    write_atomically(out, page_html(f"PosePile: {name}", head, sections).encode())
    return {
        "dataset": name,
        "report": str(out),
        "kind": build.dataset.kind,
        "miniature": bool(manifest.get("miniature")),
        "last_run_failed": failed,
        "summary": [
            {"section": s.key, "title": s.title, "verdict": s.verdict, "text": s.summary}
            for s in sections
            if s.body
        ],
        "examples": {split: len(build.examples(split)) for split in SPLITS},
        "counts": _stage_counts(build),
        "reasons": counts.reasons(manifest) if build.has_counts else [],
        "checks": checks.checks(manifest) if build.has_counts else [],
        "suspects": suspects,
        "figures": distributions.figures_of(figures),
        "odd_bones": odd_bones[:100],
        "timings": times,
    }


def _stage_counts(build: Build) -> dict[str, Any]:
    if not build.has_counts:
        return {}
    names = ("units", "annotated", "selected", "frames_read", "examples")
    return {split: {n: build.manifest["splits"][split][n] for n in names} for split in SPLITS}


def subtitle(build: Build) -> str:
    """Returns one line under the title."""
    dataset, manifest = build.dataset, build.manifest
    said = [dataset.kind, f"{dataset.joint_info.n_joints} joints"]
    up = build.world_up()
    if up is not None:
        said.append("world up " + "(" + ", ".join(f"{v + 0.0:g}" for v in up.tolist()) + ")")
    licences = dict.fromkeys(str(part.get("licence") or "") for part in dataset.parts.values())
    licences.pop("", None)
    if len(licences) == 1:
        said.append(f"licence {next(iter(licences))}")
    elif licences:
        said.append(f"{len(licences)} licences")
    models = manifest.get("models")
    has_masks = has_any(build.lists, "mask")  # a setting alone brings none
    if isinstance(models, dict) and isinstance(models.get("segment"), dict) and has_masks:
        said.append(f"masks: {models['segment'].get('model')}")
    producer = manifest.get("producer")
    version = producer.get("version") if isinstance(producer, dict) else None
    if version or manifest.get("made_by"):
        said.append(f"posepile {version}" if version else str(manifest["made_by"]))
    return " · ".join(said)


def older(failed: str | None) -> str:
    """Returns that the archive is not what the last run was to make.

    Args:
        failed: Why the last run failed; None if it did not.
    """
    if failed is None:
        return ""
    return f"<p class='banner bad'>{text(older_line(failed))}</p>"


def older_line(failed: str) -> str:
    """Returns the same as a person reads it in a terminal.

    >>> older_line("gym: 3 of 9 units are quarantined")
    'the last run failed: gym: 3 of 9 units are quarantined; this is the older archive'
    """
    return f"the last run failed: {failed}; this is the older archive"


def banner(manifest: dict[str, Any]) -> str:
    """Returns what nobody may overlook: that the data is made up, or not all of it."""
    said = []
    if manifest.get("miniature"):
        said.append("Made-up miniature, not the real data.")
    part = manifest.get("partial")
    if part:
        said.append(f"Partial: {part['units']} of {part['of']} units, --only {part['only']}.")
    return f"<p class=banner><b>{text(' '.join(said))}</b></p>" if said else ""


def write_view(name: str, split: str, indices: list[int], out: Path) -> None:
    """Draws chosen examples into one PNG.

    Raises:
        UsageError: An index is outside the split, or no picture can be written there.
    """
    import cv2

    require_place(out, f"--out {out}")
    if not cv2.haveImageWriter(str(out)):
        raise UsageError(f"--out {out}: found {out.suffix or 'no suffix'}, expected .png or .jpg")
    dataset = open_dataset(name)
    examples = dataset.examples[SPLITS.index(split)]
    for i in indices:
        if not -len(examples) <= i < len(examples):
            raise UsageError(f"--index {i}: {name} has {len(examples)} {split} examples")
    tiles = [draw_example(examples[i], dataset.joint_info, 512) for i in indices]
    legend = legend_of([as_example_list(some) for some in dataset.examples.values()])
    sheet = with_legend(contact_sheet(tiles, min(COLUMNS, len(tiles)), 512), legend)
    if not cv2.imwrite(str(out), sheet[..., ::-1]):
        raise UsageError(f"--out {out}: cannot be written; name another file")
