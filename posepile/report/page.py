"""Writing the report page and single overlay pictures."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.ds import load_recipe
from posepile.errors import UsageError
from posepile.files import require_place, write_atomically
from posepile.imaging import jpeg
from posepile.recipe import SPLITS
from posepile.report.drawing import LEGEND, contact_sheet, draw_example, with_legend
from posepile.report.reposed import COLUMNS as COLUMNS_OF_BODIES
from posepile.report.reposed import WORST_COLUMNS, repose_section
from posepile.store import reading
from posepile.store.opening import get_dataset
from posepile.terminal import printable

COLUMNS = 4
PER_SPLIT = 12

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1360px;padding:0 1em;
color:#222;background:#fff}
table{border-collapse:collapse;margin:.6em 0 1.4em}td,th{border:1px solid #ccc;padding:.25em .7em;
text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
img{max-width:100%;border-radius:4px}h1{margin-bottom:.1em}.sub{color:#666;margin-top:0}
.bad{color:#b00020;font-weight:600}code{background:#f3f3f3;padding:0 .25em}
.key span{display:inline-block;width:1em;height:1em;margin:0 .3em 0 1em;vertical-align:-2px}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}td,th{border-color:#444}
code{background:#2a2a2a}}
"""


def open_dataset(name: str):
    """The packed dataset, 2D or 3D."""
    return get_dataset(name, None)


def write_report(name: str, out: Path) -> None:
    """Writes the self-contained page of a packed dataset.

    Args:
        name: Dataset name.
        out: The HTML file, replaced atomically.
    """
    manifest = reading.read_manifest(paths.archive_path(name))
    dataset = open_dataset(name)
    body = [
        f"<h1>{_text(name)}</h1>",
        f"<p class=sub>{_text(subtitle(name, manifest))}</p>",
        counts_table(manifest),
        stated_table(manifest),
        bare_list(manifest),
        reasons_table(manifest),
        checks_table(manifest),
        bodies_part(name, dataset),
        networks_table(manifest),
        quarantine_list(manifest),
        fewer_list(manifest),
        "<h2>Contact sheets</h2>",
        legend(),
    ]
    for index, split in enumerate(SPLITS):
        examples = dataset.examples[index]
        if not len(examples):
            continue
        picks = np.unique(np.linspace(0, len(examples) - 1, PER_SPLIT).round().astype(int))
        tiles = [draw_example(examples[int(i)], dataset.joint_info) for i in picks]
        sheet = contact_sheet(tiles, min(COLUMNS, len(tiles)))
        data = base64.b64encode(jpeg.encode(sheet, 88)).decode()
        names = ", ".join(examples[int(i)].image_path for i in picks[:3])
        body.append(
            f"<h3>{split}: {len(picks)} of {len(examples)}, evenly spaced</h3>"
            f"<p class=sub>{_text(names)} …</p>"
            f"<img alt='{split} contact sheet' src='data:image/jpeg;base64,{data}'>"
        )
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>PosePile: {_text(name)}"
        f"</title><style>{STYLE}</style><body>{''.join(body)}</body></html>\n"
    )
    write_atomically(out, page.encode())


def _text(text: str) -> str:
    """What a file says, as text of the page: no markup, nothing that is not seen."""
    return html.escape(printable(text))


def subtitle(name: str, manifest: dict[str, Any]) -> str:
    """One line under the title."""
    spec = load_recipe(name).SPEC
    made_up = "made-up miniature, not the real data · " if manifest.get("miniature") else ""
    part = manifest.get("partial")
    if part:
        made_up += f"partial: {part['units']} of {part['of']} units, --only {part['only']} · "
    masks = manifest["models"]["segment"]["model"]
    up = "" if spec.world_up is None else f"world up {spec.world_up}, "
    return (
        f"{made_up}{spec.kind}, {spec.joint_info.n_joints} joints, {up}"
        f"licence {spec.licence} · masks: {masks} · posepile {manifest['producer']['version']}"
    )


def counts_table(manifest: dict[str, Any]) -> str:
    """Counts per split and stage."""
    columns = ("units", "annotated", "selected", "frames_read", "examples")
    rows = [[split, *(manifest["splits"][split][c] for c in columns)] for split in SPLITS]
    return table(["split", *(c.replace("_", " ") for c in columns)], rows)


def stated_table(manifest: dict[str, Any]) -> str:
    """Numbers that the authors state beside those found; a warning where any differ."""
    compared = manifest.get("stated") or []
    if not compared:
        return ""
    rows = [[e["what"], e["split"], e["stated"], e["found"]] for e in compared]
    n = sum(e["stated"] != e["found"] for e in compared)
    kind, text = (" class=bad", f"{n} of {len(rows)} differ") if n else ("", "all as stated")
    title = f"<h2{kind}>Numbers that the authors state: {text}</h2>"
    return title + table(["what", "split", "stated", "found"], rows)


def bare_list(manifest: dict[str, Any]) -> str:
    """Units that gave no example of the people annotated in them."""
    found = manifest.get("without_examples")
    if not found:
        return ""
    rows = [[e["unit"], e["annotated"], f"{e['dropped']} x {e['reason']}"] for e in found["first"]]
    title = f"<h2 class=bad>Units without an example of their people: {found['units']}</h2>"
    return title + table(["unit", "annotated", "mainly dropped"], rows)


def reasons_table(manifest: dict[str, Any]) -> str:
    """What was left out, and why."""
    rows = []
    for split in SPLITS:
        for what in ("dropped", "excluded", "notes"):
            counts = sorted(manifest["splits"][split][what].items())
            rows += [[split, what.removesuffix("s"), reason, n] for reason, n in counts]
    if not rows:
        return ""
    return "<h2>Reasons</h2>" + table(["split", "what", "reason", "person-frames"], rows)


def networks_table(manifest: dict[str, Any]) -> str:
    """Which networks made boxes and masks, with the checksums of their files and their licence."""
    rows = [
        [entry["setting"], entry["network"], file["file"], file["sha256"], entry["licence"]]
        for entry in manifest["models"].get("weights", [])
        for file in entry["files"]
    ]
    if not rows:
        return ""
    return "<h2>Networks</h2>" + table(["setting", "network", "file", "sha256", "licence"], rows)


def checks_table(manifest: dict[str, Any]) -> str:
    """Residuals of the recipe's self-checks."""
    rows = []
    for split in SPLITS:
        for name, value in manifest["splits"][split]["checks"].items():
            figures = [f"{value['mean']:.4g}", f"{value['max']:.4g}"]
            rows.append([split, name, *figures, value["n"]])
    if not rows:
        return ""
    columns = ["split", "check", "mean", "largest", "values"]
    return "<h2>Self-checks</h2>" + table(columns, rows)


def bodies_part(name: str, dataset: Any) -> str:
    """Body models over the pictures; nothing where no example has parameters."""
    section = repose_section(name, dataset)
    if section is None:
        return ""
    title = f"<h2{' class=bad' if section.bad else ''}>Body models: {_text(section.title)}</h2>"
    lines = "".join(f"<p class=sub>{_text(line)}</p>" for line in section.lines)
    rows = table(COLUMNS_OF_BODIES, section.rows) if section.rows else ""
    worst = table(WORST_COLUMNS, section.worst) if section.worst else ""
    return title + lines + rows + worst


def quarantine_list(manifest: dict[str, Any]) -> str:
    """Corrupt input."""
    entries = list(manifest["quarantined_units"])
    for split in SPLITS:
        entries += manifest["splits"][split]["quarantined"]
    if not entries:
        return ""
    rows = [
        [e["file"], "" if e.get("frame") is None else e["frame"], e["reason"]] for e in entries
    ]
    title = f"<h2 class=bad>Quarantined: {len(entries)}</h2>"
    return title + table(["file", "frame", "reason"], rows)


def fewer_list(manifest: dict[str, Any]) -> str:
    """What the archive before this one had been made of and this one is not."""
    fewer = manifest.get("fewer_than_before")
    if not fewer:
        return ""
    before, now = fewer["units"]
    title = f"<h2 class=bad>Fewer than before: {now} units, {before} in the last build</h2>"
    left = fewer["files"] - len(fewer["names"])
    rows = [[name] for name in fewer["names"]] + ([[f"and {left} more"]] if left else [])
    return title + (table(["raw file not used any more"], rows) if rows else "")


def legend() -> str:
    """What the colours mean."""
    spans = "".join(f"<span style='background:rgb{c}'></span>{text}" for c, text in LEGEND)
    return f"<p class=key>{spans}</p>"


def table(header: list[str], rows: list[list[Any]]) -> str:
    """An HTML table; numbers are aligned right."""
    head = "".join(f"<th>{_text(h)}</th>" for h in header)
    lines = []
    for row in rows:
        cells = "".join(
            f"<td{' class=n' if isinstance(c, (int, float)) else ''}>{_text(str(c))}</td>"
            for c in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


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
    sheet = with_legend(contact_sheet(tiles, min(COLUMNS, len(tiles)), 512))
    if not cv2.imwrite(str(out), sheet[..., ::-1]):
        raise UsageError(f"--out {out}: cannot be written; name another file")
