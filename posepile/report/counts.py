"""What there is, what was left out, and why: from the manifest, or from what else is known."""

from __future__ import annotations

from typing import Any

from posepile.recipe import SPLITS
from posepile.report.build import Build
from posepile.report.markup import Raw, Section, long_table, table, word


def counts_section(build: Build) -> Section:
    """Returns how many examples each split has and where the others went."""
    if build.has_counts:
        body = counts_table(build.manifest) + reasons_table(build.manifest)
    else:
        body = plain_counts(build)
    sizes = {split: len(build.examples(split)) for split in SPLITS}
    summary = ", ".join(f"{n:,} {split}" for split, n in sizes.items() if n) or "no example"
    return Section(
        "counts", "Counts and reasons", body, "" if sum(sizes.values()) else "bad", summary
    )


def counts_table(manifest: dict[str, Any]) -> str:
    """Returns counts per split and stage."""
    columns = ("units", "annotated", "selected", "frames_read", "examples")
    rows = [[split, *(manifest["splits"][split][c] for c in columns)] for split in SPLITS]
    return table(["split", *(c.replace("_", " ") for c in columns)], rows)


def reasons(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns everything that was left out or noted, as plain data, most frequent first.

    Args:
        manifest: Of a run.
    """
    found = []
    for split in SPLITS:
        own = manifest["splits"][split]
        lost = {
            "excluded": own["excluded"],
            "dropped": own["dropped"],
            "quarantined": {"corrupt input, listed below": len(own["quarantined"])},
            "note": own["notes"],
        }
        unchosen = own["annotated"] - own["selected"] - sum(own["excluded"].values())
        if unchosen > 0:
            how = manifest["config"].get("select", {}).get("method", "")
            why = f"selection kept other frames (select.method: {how})"
            lost = {"not selected": {why: unchosen}, **lost}
        for what, counts in lost.items():
            entries = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
            found += [
                {"split": split, "what": what, "reason": reason, "n": n}
                for reason, n in entries
                if n
            ]
    return found


def reasons_table(manifest: dict[str, Any]) -> str:
    """Returns what was left out, and why, with its share of the annotated person-frames."""
    found = reasons(manifest)
    if not found:
        return "<p>Nothing was left out.</p>"
    rows = []
    for entry in found:
        offered = manifest["splits"][entry["split"]]["annotated"]
        share = f"{entry['n'] / offered:.1%}" if offered else ""
        rows.append([entry["split"], entry["what"], entry["reason"], entry["n"], share])
    header = ["split", "what", "reason", "person-frames", "of annotated"]
    return "<h3>Reasons</h3>" + long_table(header, rows, 30, "reasons")


def plain_counts(build: Build) -> str:
    """Returns counts of what was merged, imported or cut, by dataset, with what was left out."""
    parts, manifest = build.dataset.parts, build.manifest
    body = table(["split", "examples"], [[split, len(build.examples(split))] for split in SPLITS])
    if len(parts) > 1:
        rows = [
            [name, *(_count(part, split) for split in SPLITS), part.get("licence") or ""]
            for name, part in parts.items()
        ]
        body += "<h3>Datasets in it</h3>"
        body += long_table(["dataset", *SPLITS, "licence"], rows, 40, "datasets")
    body += _left_out(build)
    skipped = manifest.get("skipped")
    if isinstance(skipped, dict) and skipped:
        rows = [[name, Raw(word("doubt", str(why)))] for name, why in skipped.items()]
        body += "<h3>Skipped datasets</h3>" + table(["dataset", "why"], rows)
    return body


def _count(part, split):
    return (part.get("counts") or {}).get(split, 0)


def _left_out(build: Build) -> str:
    rows: list[list[Any]] = []
    datasets = build.manifest.get("datasets")
    for name, part in datasets.items() if isinstance(datasets, dict) else ():
        own = part.get("left_out") if isinstance(part, dict) else None
        rows += [[name, why, n] for why, n in own.items()] if isinstance(own, dict) else []
    if not rows and build.dataset.left_out:
        rows = [[name, "left out when merging", n] for name, n in build.dataset.left_out.items()]
    for what in ("left_out", "notes"):
        own = build.manifest.get(what)
        if isinstance(own, dict):
            said = "" if what == "left_out" else "note: "
            rows += [["", f"{said}{why}", n] for why, n in own.items()]
    if not rows:
        return ""
    return "<h3>Reasons</h3>" + table(["dataset", "reason", "examples"], rows)


def stated_section(manifest: dict[str, Any]) -> Section:
    """Returns numbers that the authors state beside those found; doubted where any differ."""
    compared = manifest.get("stated") or []
    title = "Numbers that the authors state"
    if not compared:
        return Section("stated", title, "")
    rows = [[e["what"], e["split"], e["stated"], e["found"], word(*_same(e))] for e in compared]
    n = sum(e["stated"] != e["found"] for e in compared)
    summary = f"{n} of {len(rows)} differ" if n else "all as stated"
    body = f"<p>{summary}</p>" + table(["what", "split", "stated", "found", "state"], rows)
    return Section("stated", title, body, "bad" if n else "good", summary)


def _same(entry):
    return ("good", "same") if entry["stated"] == entry["found"] else ("bad", "differs")


def bare_section(manifest: dict[str, Any]) -> Section:
    """Returns units that gave no example of the people annotated in them."""
    found, title = manifest.get("without_examples"), "Units without an example of their people"
    if not found:
        return Section("bare", title, "")
    rows = [[e["unit"], e["annotated"], f"{e['dropped']} x {e['reason']}"] for e in found["first"]]
    body = table(["unit", "annotated", "mainly dropped"], rows)
    left = found["units"] - len(rows)
    body += f"<p>and {left:,} more</p>" if left > 0 else ""
    return Section(
        "bare", f"{title}: {found['units']:,}", body, "bad", f"{found['units']:,} units"
    )


def quarantine_section(manifest: dict[str, Any]) -> Section:
    """Returns corrupt input."""
    entries = list(manifest.get("quarantined_units") or [])
    splits = manifest.get("splits")
    for split in SPLITS if isinstance(splits, dict) else ():
        entries += splits.get(split, {}).get("quarantined", [])
    if not entries:
        return Section("quarantine", "Corrupt input", "")
    rows = [
        [e["file"], "" if e.get("frame") is None else str(e["frame"]), e["reason"]]
        for e in entries
    ]
    body = long_table(["file", "frame", "reason"], rows[:2000], 20, "files")
    if len(rows) > 2000:
        body += f"<p>and {len(rows) - 2000:,} more, in the manifest</p>"
    title = f"Quarantined: {len(entries):,}"
    return Section("quarantine", title, body, "bad", "corrupt input that was left out")


def fewer_section(manifest: dict[str, Any]) -> Section:
    """Returns what the archive before this one had been made of and this one is not."""
    fewer = manifest.get("fewer_than_before")
    if not fewer:
        return Section("fewer", "Fewer than before", "")
    before, now = fewer["units"]
    title = f"Fewer than before: {now} units, {before} in the last build"
    left = fewer["files"] - len(fewer["names"])
    rows = [[name] for name in fewer["names"]] + ([[f"and {left} more"]] if left else [])
    body = table(["raw file not used any more"], rows) if rows else "<p>No file is missing.</p>"
    return Section("fewer", title, body, "bad", f"{fewer['files']:,} raw files are not used now")
