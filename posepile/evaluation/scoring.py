"""Scoring predictions by a protocol: the result with every figure, and what is printed of it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from posepile.errors import WorkError
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol, Setup, label_of, unit_of
from posepile.evaluation.checked import clip_arrays
from posepile.evaluation.packed import packed_clips
from posepile.evaluation.tally import Tally, Worst
from posepile.version import __version__

SHOWN_UNKNOWN = 10
FAR_MM = 150.0  # beyond what the worst of networks scores after alignment
RAW, PACKED = "raw", "packed"  # where truth comes from; else a file


class Scored(NamedTuple):
    """What an evaluation found.

    Attributes:
        result: Everything, for JSON.
        worst: The worst entries, the worst first.
    """

    result: dict[str, Any]
    worst: list[Worst]


def score_protocol(benchmark: Benchmark, setup: Setup, n_worst: int = 0) -> Scored:
    """Returns the figures of predictions under a protocol.

    Args:
        benchmark: What is evaluated, and how.
        setup: Raw data, predictions, protocol and options.
        n_worst: How many of the worst entries are kept.

    Raises:
        WorkError: Nothing to evaluate, or predictions are missing or cannot be used.
    """
    protocol = setup.protocol
    pred = benchmark.predictions(setup)
    tally, left_out, skipped, known = Tally(protocol, n_worst), Counter(), {}, set()
    there = Counter()
    for clip in _clips(benchmark, setup):
        known.update([clip.name] if pred.of_clips() else clip.keys)
        left_out.update(clip.left_out)
        if not len(clip.keys):
            continue
        there.update(entries=len(clip.keys), clips=1)
        kept, arrays = clip_arrays(setup, clip, pred, left_out, skipped)
        if len(kept.keys):
            tally.add(kept, arrays, benchmark.score(setup, kept, arrays))
    if not known:
        raise WorkError(
            f"{setup.root}: no truth to evaluate {protocol.name} with{_reasons(left_out)}"
        )
    if not tally.entries:
        raise WorkError(f"{setup.pred_path}: nothing to evaluate{_reasons(left_out)}")
    averaged = tally.figures()
    figures = benchmark.finish(setup, dict(averaged))
    if absent := [name for name in protocol.figures if name not in figures]:
        raise WorkError(
            f"{protocol.name}: its eval.py gives no {absent[0]}; it gives {', '.join(figures)}"
        )
    # What was made of other figures has no interval of its own.
    intervals = {k: v for k, v in tally.intervals().items() if figures.get(k) == averaged[k]}
    unknown = sorted(set(pred.names) - known)
    result = {
        "protocol": protocol.name,
        "official": protocol.official,
        "options": benchmark.options(setup.args),
        "truth": _truth_place(benchmark, setup),
        "figures": {name: figures[name] for name in protocol.figures},
        "more_figures": {k: v for k, v in figures.items() if k not in protocol.figures},
        "intervals_95": {k: list(v) for k, v in intervals.items()},
        "entries": tally.entries,
        "clips": len(tally.clips),
        "notes": [*_lacking_truth(protocol, there), *_unlikely(figures)],
        "left_out": dict(left_out),
        "skipped": skipped,
        "not_evaluated": {"number": len(unknown), "first": unknown[:SHOWN_UNKNOWN]},
        "groups": tally.per_group(),
        "joints": _joints_by_name(protocol, tally.per_joint()),
        "per_clip": tally.per_clip(),
        "definition": definition(protocol),
        "predictions": _fingerprint(setup.pred_path),
        "posepile": __version__,
    }
    return Scored(result, tally.worst())


def _lacking_truth(protocol: Protocol, there: Mapping[str, int]) -> list[str]:
    """Returns what differs between the truth that is there and that of the whole benchmark."""
    return [
        f"the truth has {there[what]} {what}, {protocol.name} has {n}: these are not its figures"
        for what, n in protocol.expected.items()
        if there[what] != n
    ]


def _unlikely(figures: Mapping[str, float]) -> list[str]:
    """Returns what large errors point to: no network is that bad."""
    error, aligned = (figures.get(name, math.nan) for name in ("MPJPE_mm", "PA-MPJPE_mm"))
    if aligned > FAR_MM:
        return ["poses are far off even when aligned: are joints in the protocol's order?"]
    if error > 2 * FAR_MM and error > 3 * aligned:
        return ["only aligned poses fit: are axes and root those of the protocol?"]
    return []


def _truth_place(benchmark: Benchmark, setup: Setup) -> str:
    """Returns where truth comes from: ``raw``, ``packed``, or the file of an archive."""
    return setup.args.truth if benchmark.packed else RAW


def _clips(benchmark: Benchmark, setup: Setup) -> Iterable[Clip]:
    """Returns the truth of a protocol, from the raw files or the packed dataset."""
    place = _truth_place(benchmark, setup)
    if place == RAW:
        return benchmark.truth(setup)
    return packed_clips(setup, benchmark.packed, benchmark.name if place == PACKED else place)


def _reasons(left_out: Mapping[str, int]) -> str:
    """Returns what was left out, in words."""
    return "".join(f"; left out, {why}: {n}" for why, n in left_out.items())


def _joints_by_name(protocol: Protocol, joints: dict[str, list[float]]) -> dict[str, Any]:
    """Returns figure -> name of the joint -> mean, where names are known."""
    names = protocol.joint_names
    return {
        figure: dict(zip(names, means, strict=True)) if len(names) == len(means) else means
        for figure, means in joints.items()
    }


def definition(protocol: Protocol) -> dict[str, str]:
    """Returns the row of a protocol in the table of official definitions.

    >>> row = definition(Protocol("x.p1", ("MPJPE_mm",), "17", "pelvis", "none", "poses", "paper"))
    >>> row["unit"], row["root"]
    ('mm', 'pelvis')
    """
    units = [unit_of(figure) or "fraction" for figure in protocol.figures]
    return {
        "protocol": protocol.name,
        "figures": ", ".join(label_of(figure) for figure in protocol.figures),
        "frames": protocol.frames,
        "joints": protocol.joints,
        "root": protocol.root,
        "alignment": protocol.alignment,
        "unit": ", ".join(dict.fromkeys(units)),
        "averaging": protocol.averaging,
        "source": protocol.source,
        "note": protocol.note,
    }


def explanation(protocol: Protocol) -> list[str]:
    """Returns the definition of a protocol as lines."""
    row = {key: text for key, text in definition(protocol).items() if text}
    width = max(map(len, row))
    return [f"{key:>{width}}: {text}" for key, text in row.items()]


def summary(result: Mapping[str, Any]) -> list[str]:
    """Returns what is printed: figures with units and intervals, groups, what is lacking."""
    official = "" if result["official"] else ", not an official figure"
    lines = [
        f"{result['protocol']}{official}: {result['entries']} entries of {result['clips']} clips"
    ]
    figures = {**result["figures"], **result["more_figures"]}
    width = max(len(label_of(name)) for name in figures)
    for name, value in figures.items():
        low, high = result["intervals_95"].get(name, (math.nan, math.nan))
        interval = "" if math.isnan(low) else f"  (95 %: {number(low)} to {number(high)})"
        text = f"{number(value):>10} {unit_of(name)}".rstrip()
        lines.append(f"  {label_of(name):<{width}} {text}{interval}")
    for grouping, labels in result["groups"].items():
        names = [n for n in result["figures"] if all(n in row for row in labels.values())]
        if names and len(labels) > 1:
            lines.append(f"By {grouping}:")
            lines += _group_lines(labels, names)
    lines += [f"Note: {note}" for note in result["notes"]]
    for why, n in result["left_out"].items():
        lines.append(f"Left out, {why}: {n}")
    lines += [f"Skipped {clip}: {why}" for clip, why in result["skipped"].items()]
    unknown = result["not_evaluated"]
    if unknown["number"]:
        lines.append(
            f"Predicted but not evaluated: {unknown['number']}, e.g. {unknown['first'][0]}"
        )
    return lines


def _group_lines(labels: Mapping[str, Mapping[str, float]], names: Iterable[str]) -> list[str]:
    """Returns a line per label with each figure and its unit."""
    width = max(map(len, labels))
    cells = {
        label: ", ".join(
            f"{label_of(name)} {number(row[name])} {unit_of(name)}".rstrip() for name in names
        )
        for label, row in labels.items()
    }
    return [f"  {label:>{width}}: {text}" for label, text in cells.items()]


def number(value: float) -> str:
    """Returns a figure with as many digits as papers print, at least.

    >>> number(47.3912), number(0.7518), number(123456.0), number(math.nan)
    ('47.39', '0.7518', '123456', 'nan')
    """
    if not math.isfinite(value):
        return str(value)
    digits = 0 if abs(value) >= 1e4 else 2 if abs(value) >= 10 else 4
    return f"{value:.{digits}f}"


def _fingerprint(path: Path) -> dict[str, Any]:
    """Returns which predictions these are: path, and size and checksum of a file."""
    if not path.is_file():
        return {"path": str(path)}
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
