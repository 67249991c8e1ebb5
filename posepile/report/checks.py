"""Self-checks of the recipe with their limits, limits of every run, networks, body models."""

from __future__ import annotations

from typing import Any

from posepile.recipe import SPLITS
from posepile.report.build import Build
from posepile.report.markup import Raw, Section, table, text, word
from posepile.report.reposed import COLUMNS as COLUMNS_OF_BODIES
from posepile.report.reposed import WORST_COLUMNS, repose_section
from posepile.run.said import check_limit


def checks(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the recipe's self-checks as plain data, those nearest to their limit first.

    Args:
        manifest: Of a run.
    """
    options = manifest["config"].get("dataset") or {}
    found = []
    for split in SPLITS:
        for name, value in manifest["splits"][split]["checks"].items():
            limit = check_limit(options, name)
            used = value["max"] / limit if limit else None
            found.append({"split": split, "check": name, **value, "limit": limit, "used": used})
    return sorted(found, key=lambda e: -1 if e["used"] is None else e["used"], reverse=True)


def checks_section(build: Build) -> Section:
    """Returns the recipe's self-checks, each with its limit, and the limits for all examples."""
    if not build.has_counts:
        return Section("checks", "Self-checks", "")
    found, rows, over = checks(build.manifest), [], 0
    for entry in found:
        verdict: Any = "no limit stated"
        if entry["limit"] is not None:
            beyond = entry["max"] > entry["limit"]
            over += beyond
            verdict = word(*(("doubt", "above") if beyond else ("good", "within")))
        rows.append(
            [
                entry["split"],
                entry["check"],
                f"{entry['mean']:.4g}",
                f"{entry['max']:.4g}",
                "" if entry["limit"] is None else f"{entry['limit']:g}",
                entry["n"],
                verdict,
            ]
        )
    columns = ["split", "check", "mean", "largest", "limit", "values", "state"]
    body = table(columns, rows) if rows else "<p>The recipe has none.</p>"
    limited = sum(entry["limit"] is not None for entry in found)
    summary = f"{limited} with a limit, {over} above it" if found else "the recipe has none"
    if found and limited < len(found):
        without = len(found) - limited
        summary = f"{summary}, {without} without" if limited else f"{without}, no limit stated"
    body += _limits_of_all(build.manifest)
    verdict = "doubt" if over else "good" if limited else ""
    return Section("checks", "Self-checks", body, verdict, summary)


def _limits_of_all(manifest: dict[str, Any]) -> str:
    limits = manifest["config"].get("check")
    if not isinstance(limits, dict):
        return ""
    rows = [[f"check.{key}", str(value)] for key, value in limits.items()]
    said = "Limits that every person-frame is held against before it is cropped"
    state = "" if limits.get("enabled", True) else " (switched off in this build)"
    inner = table(["key", "value"], rows)
    return f"<details><summary>{said}{state}</summary>{inner}</details>"


def networks_section(manifest: dict[str, Any]) -> Section:
    """Returns which networks made boxes and masks, with checksums of their files and licence."""
    models = manifest.get("models")
    rows = [
        [entry["setting"], entry["network"], file["file"], file["sha256"], entry["licence"]]
        for entry in (models.get("weights", []) if isinstance(models, dict) else [])
        for file in entry["files"]
    ]
    if not rows:
        return Section("networks", "Networks", "")
    body = table(["setting", "network", "file", "sha256", "licence"], rows)
    names = ", ".join(dict.fromkeys(str(row[1]) for row in rows))
    return Section("networks", "Networks", body, "", names)


def bodies_section(name: str, dataset: Any) -> Section:
    """Returns body models over the pictures; empty where no example has parameters."""
    found = repose_section(name, dataset)
    if found is None:
        return Section("bodies", "Body models", "")
    lines = "".join(f"<p class=sub>{text(line)}</p>" for line in found.lines)
    rows = table(COLUMNS_OF_BODIES, found.rows) if found.rows else ""
    worst = table(WORST_COLUMNS, found.worst) if found.worst else ""
    verdict = "bad" if found.bad else "good" if found.rows else ""
    title = f"Body models: {found.title}"
    return Section("bodies", title, lines + rows + worst, verdict, found.title)


def kept_section(manifest: dict[str, Any]) -> Section:
    """Returns results that other code of the recipe made, which users must know of."""
    kept = manifest.get("kept_results")
    if not kept:
        return Section("kept", "Results of other code", "")
    rows = [[Raw(f"<code>{text(digest)}</code>"), n] for digest, n in kept.items()]
    n = sum(kept.values())
    return Section(
        "kept",
        "Results of other code",
        table(["code", "units"], rows),
        "doubt",
        f"{n:,} units were made by other code of the recipe (--keep-results)",
    )
