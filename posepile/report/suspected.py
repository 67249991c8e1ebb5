"""Examples that are probably wrong, worst first, each with its reason and a way to look at it."""

from __future__ import annotations

from typing import Any

from posepile.recipe import SPLITS
from posepile.report.build import Build, viewer_link
from posepile.report.markup import Raw, Section, long_table, table, text
from posepile.report.sheets import UNFOLDED, folded_tiles, links_said, tile, view_command
from posepile.suspects.found import KINDS, Suspects
from posepile.suspects.kept import suspects_of

SHOWN, LISTED, GROUPS = 8, 60, 40


def find(build: Build) -> dict[str, Suspects]:
    """Returns split -> suspects, of the splits that have any."""
    found = suspects_of(build.name, build.dataset)
    return {split: found[split] for split in SPLITS if split in found and len(found[split])}


def suspects_as_data(build: Build, found: dict[str, Suspects]) -> dict[str, Any]:
    """Returns counts by kind and the worst examples of each split as plain data."""
    result = {}
    for split, own in found.items():
        examples = build.examples(split)
        worst = []
        for i in own.iter_first(LISTED):
            position = int(own.positions[i])
            path = str(examples[position].image_path)
            worst.append(
                {
                    "image_path": path,
                    "position": position,
                    "kind": own.kind(i),
                    "score": round(float(own.scores[i]), 3),
                    "value": float(own.values[i]),
                    "reason": own.reason(i),
                    "view": view_command(build, path),
                }
            )
        result[split] = {"counts": own.counts(), "worst": worst}
    return result


def suspects_section(build: Build, found: dict[str, Suspects], data: dict[str, Any]) -> Section:
    """Returns pictures of the worst, a list of more, and whole sequences that are odd.

    Args:
        build: What the report is about.
        found: What :func:`find` returned.
        data: What :func:`suspects_as_data` made of it.
    """
    title = "Suspicious examples"
    n_all = sum(len(build.examples(split)) for split in SPLITS)
    if not found:
        body = f"<p>None of {n_all:,} examples is suspicious by what posepile looks for.</p>"
        return Section("suspects", title, body, "good", "none")
    parts, totals = [], dict.fromkeys(KINDS, 0)
    for split, own in found.items():
        for kind, n in own.counts().items():
            totals[kind] += n
        worst = data[split]["worst"]
        tiles = [
            tile(build, split, e["position"], e["reason"], f"<br><code>{text(e['view'])}</code>")
            for e in worst[:SHOWN]
        ]
        rows = [
            [
                Raw(f"<a href='{_link(build, split, e)}'>{text(e['image_path'])}</a>"),
                e["position"],
                e["reason"],
                round(e["score"], 2),
                Raw(f"<code>{text(e['view'])}</code>"),
            ]
            for e in worst
        ]
        header = ["example", "position", "reason", "times the limit", "look at it"]
        parts.append(
            f"<h3>{split}: the worst {min(SHOWN, len(worst))}</h3>"
            f"{folded_tiles(tiles, UNFOLDED)}"
            f"<details><summary>The worst {len(worst)} as a list</summary>"
            f"{table(header, rows)}</details>" + _groups(build, split, own)
        )
    kinds = [
        [Raw(f"{text(KINDS[kind])} <code>{text(kind)}</code>"), n]
        for kind, n in totals.items()
        if n
    ]
    said = (
        "<p>Found by columns and not proven: look before you leave one out. Image paths, one on a "
        "line, in a file that a merge names under <code>exclusions</code> are left out of "
        f"training. {links_said(build)}</p>"
    )
    n = sum(totals.values())
    body = said + table(["what", "examples"], kinds) + "".join(parts)
    worst_kind = max(totals, key=lambda kind: totals[kind])
    summary = f"{n:,} suspicions, most of them: {KINDS[worst_kind]}"
    return Section("suspects", title, body, "doubt", summary)


def _link(build: Build, split: str, entry: dict[str, Any]) -> str:
    return text(viewer_link(build.name, split, entry["image_path"]))


def _groups(build: Build, split: str, own: Suspects) -> str:
    """Sequences of which several examples are odd in one way."""
    groups = [group for group in own.groups() if len(group.members) > 1]
    if not groups:
        return ""
    examples, rows = build.examples(split), []
    for group in groups[:GROUPS]:
        path = str(examples[int(own.positions[group.worst])].image_path)
        rows.append(
            [
                group.sequence,
                KINDS[group.kind],
                f"{len(group.members):,} of {group.total:,}",
                Raw(f"<a href='{text(viewer_link(build.name, split, path))}'>{text(path)}</a>"),
            ]
        )
    header = ["sequence", "what", "examples", "worst"]
    more = "" if len(groups) <= GROUPS else f" ({GROUPS} of {len(groups):,})"
    listed = long_table(header, rows, 12, "sequences")
    return f"<h3>{split}: sequences odd in one way{more}</h3>{listed}"
