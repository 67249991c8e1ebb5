"""A mix as a person reads it: its datasets, shares, what an epoch is, joints and licences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from posepile.merging.mixes import Mix
from posepile.merging.mixing import READY, SPLITS, PartState, missing_text

_WIDTH = 99
_SOME = 3  # lines of a file that are shown


def mix_lines(mix: Mix, states: Mapping[str, PartState]) -> list[str]:
    """Returns what a mix is, line by line.

    Args:
        mix: The mix.
        states: What :func:`posepile.merging.mixing.examine` says of it, or what became of the
            parts when it was made.
    """
    return [
        *_wrapped(f"{mix.name}: {mix.file.about or 'a mix'}"),
        *(_wrapped(f"published: {mix.file.published}") if mix.file.published else ()),
        "",
        *_table(_rows(mix, states)),
        "",
        *_epoch(states),
        *_left_out(states),
        *_unmatched(states),
        *_joints(mix, _meant(states)),
        *_licences(_meant(states)),
        *_sources(mix),
        *_notes(mix),
    ]


def _meant(states: Mapping[str, PartState]) -> Mapping[str, PartState]:
    """Returns the datasets of which a mix was made; all where it was not."""
    made = {name: state for name, state in states.items() if state.left_out is not None}
    return made or states


def mix_data(mix: Mix, states: Mapping[str, PartState]) -> dict[str, Any]:
    """Returns the same as plain data, for programs."""
    datasets = {}
    for name, state in states.items():
        part = mix.parts[name]
        datasets[name] = {
            "state": state.state,
            "todo": state.todo,
            "kind": state.kind,
            "skeleton": mix.skeleton(name),
            "n_joints": len(state.joints),
            "counts": state.counts,
            "left_out": state.left_out,
            "group": part.group,
            "share": part.share,
            "weight": state.weight,
            "source": mix.source(name),
            "licence": state.licence,
            "citation": state.citation,
            "note": part.note,
        }
    return {
        "name": mix.name,
        "about": mix.file.about,
        "published": mix.file.published,
        "groups": {name: group.share for name, group in mix.file.groups.items()},
        "n_joints": sum(n for _, n in _skeletons(mix, _meant(states))),
        "missing": [name for name, state in states.items() if state.state != READY],
        "unmatched_exclusions": unmatched_exclusions(states),
        "datasets": datasets,
    }


def unmatched_exclusions(states: Mapping[str, PartState]) -> dict[str, list[str]]:
    """Returns file -> its lines that match no training example of any dataset that reads it."""
    found: dict[str, list[str]] = {}
    for state in states.values():
        for path, lines in state.unmatched.items():
            here = set(lines)
            found[path] = [line for line in found.get(path, lines) if line in here]
    return {path: lines for path, lines in found.items() if lines}


def _rows(mix: Mix, states: Mapping[str, PartState]) -> Iterator[list[str]]:
    grouped = bool(mix.file.groups)
    yield ["dataset", "here", *SPLITS, "share", "drawn", "times", "joints", "source"]
    total = sum(state.counts.get("train", 0) for state in states.values())
    for name, state in states.items():
        part, n = mix.parts[name], state.counts.get("train", 0)
        trains = bool(mix.splits(name)["train"])
        share = "unknown" if part.share is None else f"{part.share:g} of {_of(mix, part.group):g}"
        weight = n / total if state.weight is None and total else state.weight
        drawn = f"{100 * weight:.1f} %" if n else "-"
        yield [
            name,
            state.state,
            *(f"{state.counts[s]:,}" if state.counts else "-" for s in SPLITS),
            (f"{share}, {part.group}" if grouped else share) if trains else "-",
            drawn,
            f"{weight * total / n:.2g}" if n else "-",
            str(len(state.joints)) if state.kind else "-",
            part.source or "unknown",
        ]


def _of(mix: Mix, group: str | None) -> float:
    """The sum of the shares of a group, also of datasets that are not there."""
    return sum(p.share or 0 for p in mix.parts.values() if p.group == group)


def _table(rows: Iterable[list[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = {0, 1, 5, 9}
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _epoch(states: Mapping[str, PartState]) -> Iterator[str]:
    if missing := missing_text(states):
        yield from _wrapped(f"missing: {missing}")
    total = sum(state.counts.get("train", 0) for state in states.values())
    if not total:
        yield "epoch: no training example is there"
        return
    weighted = any(state.weight is not None for state in states.values())
    counted = "" if _meant(states) is not states else ", before filters"
    how = (
        "datasets are drawn by their shares, so that an example of one comes as often in it as "
        "`times` says"
        if weighted
        else "each example once, datasets by their size"
    )
    yield from _wrapped(f"epoch: {total:,} training examples{counted}; {how}")


def _left_out(states: Mapping[str, PartState]) -> Iterator[str]:
    for name, state in states.items():
        if state.left_out:
            said = ", ".join(f"{reason}: {n:,}" for reason, n in state.left_out.items())
            yield from _wrapped(f"left out of {name}: {said}")


def _unmatched(states: Mapping[str, PartState]) -> Iterator[str]:
    for path, lines in unmatched_exclusions(states).items():
        some = ", ".join(lines[:_SOME]) + (", …" if len(lines) > _SOME else "")
        n = f"{len(lines):,} {'line matches' if len(lines) == 1 else 'lines match'}"
        yield from _wrapped(f"exclusions: {path}: {n} no training example: {some}")


def _skeletons(mix: Mix, states: Mapping[str, PartState]) -> list[tuple[str, int]]:
    """Suffixes and how many joints have them; datasets with one suffix share its joints."""
    found: dict[str, set[str]] = {}
    for name, state in states.items():
        if state.joints:
            found.setdefault(mix.skeleton(name), set()).update(state.joints)
    return [(skeleton, len(joints)) for skeleton, joints in found.items()]


def _joints(mix: Mix, states: Mapping[str, PartState]) -> Iterator[str]:
    known = _skeletons(mix, states)
    if known:
        said = ", ".join(f"{n} _{skeleton}" for skeleton, n in known)
        yield from _wrapped(f"joints: {sum(n for _, n in known)}: {said}")


def _licences(states: Mapping[str, PartState]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for name, state in states.items():
        users.setdefault(state.licence or "unknown", []).append(name)
    yield "licences:"
    for licence, names in users.items():
        yield from _wrapped(f"  {licence}: {', '.join(names)}", indent="    ")


def _sources(mix: Mix) -> Iterator[str]:
    used = [p.source for p in mix.parts.values()] + [g.source for g in mix.file.groups.values()]
    named = [source for source in dict.fromkeys(used) if source in mix.file.sources]
    if named:
        yield "sources of the shares:"
    for source in named:
        yield from _wrapped(f"  {source}: {mix.file.sources[source]}", indent="    ")
    for name, group in mix.file.groups.items():
        share = "unknown" if group.share is None else f"{group.share:g}"
        yield from _wrapped(f"group {name}: share {share}, {group.source or 'unknown'}")


def _notes(mix: Mix) -> Iterator[str]:
    for name, part in mix.parts.items():
        if part.note:
            yield from _wrapped(f"note on {name}: {part.note}")
    if mix.file.note:
        yield from _wrapped(f"note: {mix.file.note}")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
