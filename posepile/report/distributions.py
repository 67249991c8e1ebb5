"""How sizes, distances, motion, bones and joints are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.recipe import SPLITS
from posepile.report.build import Build
from posepile.report.charts import histogram, share_bars, spread_of, spread_rows
from posepile.report.markup import Section, figure, folded, long_table, number, table, text
from posepile.report.measure import BoneMeans, Figures

QUANTITIES = (
    ("box_side", "px", "Longer side of the box"),
    ("box_shape", "width / height", "Shape of the box"),
    ("distance", "m", "Distance from the camera"),
    ("heights", "m", "Head above feet"),
    ("moved", "mm", "Largest move of a joint since the example before"),
    ("gap", "frames", "Frames since the example before"),
    ("n_joints", "joints", "Joints with coordinates"),
)
MOST_ROWS, WORST = 64, 24
ODD_RATIO = 0.3  # a bone whose mean in a sequence is further from the usual one is named
ODD_SPREAD = 0.15  # a bone that varies more within a sequence, as a share of its length
ODD_MM = 25  # what differs by less is no outlier: bones of hands and faces
ENOUGH = 5  # people in sequences, below which nobody knows what is usual


def figures_of(figures: dict[str, Figures]) -> dict[str, Any]:
    """Returns the quantities of each split as plain numbers."""
    result: dict[str, Any] = {}
    for split, own in figures.items():
        result[split] = {"looked_at": own.n, "of": own.total}
        for key, unit, _ in QUANTITIES:
            spread = spread_of(np.asarray(getattr(own, key), np.float64))
            if spread is not None:
                result[split][key] = {"unit": unit, **spread}
    return result


def distributions_section(figures: dict[str, Figures]) -> Section:
    """Returns histograms of what was measured, of every split."""
    parts = []
    for split in SPLITS:
        if split not in figures:
            continue
        own, charts, same = figures[split], [], []
        for key, unit, title in QUANTITIES:
            values = np.asarray(getattr(own, key), np.float64)
            spread = spread_of(values)
            if spread is None:
                continue
            if spread["min"] == spread["max"]:
                same.append(f"{title}: {spread['min']:.6g} {unit}.")
                continue
            low, middle, high = (f"{spread[k]:.4g}" for k in ("min", "median", "max"))
            caption = (
                f"<b>{title}</b><br>{low} to {high}, median {middle} {unit}; "
                f"{spread['n']:,} examples"
            )
            charts.append(figure(histogram(values, unit, f"{split}: {title}"), caption))
        said = f"{own.total:,}"
        if own.n < own.total:
            said = f"{own.n:,} of {own.total:,}, in evenly spaced blocks"
        own_parts = f"<div class=charts>{''.join(charts)}</div>"
        if same:
            own_parts += f"<p>The same in all. {text(' '.join(same))}</p>"
        heading = f"{split}: {said}"
        parts.append(f"<h3>{heading}</h3>{own_parts}" if not parts else folded(heading, own_parts))
    parts.append(sizes_table(figures))
    summary = ""
    if figures:
        split, own = next(iter(figures.items()))
        spread = spread_of(own.box_side)
        if spread is not None:
            summary = f"boxes of {spread['p1']:.0f} to {spread['p99']:.0f} px in {split}"
            far = spread_of(own.distance)
            summary += f", people {far['p1']:.1f} to {far['p99']:.1f} m away" if far else ""
    return Section("distributions", "Distributions", "".join(parts), "", summary)


def joints_section(build: Build, figures: dict[str, Figures]) -> Section:
    """Returns for each joint in how many examples it has coordinates."""
    names = list(build.dataset.joint_info.names)
    charts, never, rarest = [], [], (1.0, "")
    for split, own in figures.items():
        there = np.flatnonzero(own.could_have)
        share = own.with_joint[there] / own.could_have[there]
        never += [f"{names[j]} ({split})" for j in there[own.with_joint[there] == 0].tolist()]
        rows = [
            (names[j], float(s), f"{s:.1%}") for j, s in zip(there.tolist(), share, strict=True)
        ]
        rarest = min(rarest, *((s, f"{name} in {said} of {split}") for name, s, said in rows))
        left = len(rows) - MOST_ROWS
        if left > 0:  # the rarest say most
            rows = sorted(rows, key=lambda row: row[1])[:MOST_ROWS]
        if rows:
            more = f"; the {MOST_ROWS} rarest of {len(there)}" if left > 0 else ""
            caption = f"<b>{split}</b>: share of examples with the joint{more}"
            charts.append(figure(share_bars(rows, f"{split}: joints with coordinates"), caption))
    body = f"<div class=charts>{charts[0]}</div>" if charts else ""
    if charts[1:]:
        body += folded("the other splits", f"<div class=charts>{''.join(charts[1:])}</div>")
    if never:
        shown = ", ".join(never[:12]) + (f" and {len(never) - 12} more" if len(never) > 12 else "")
        body = f"<p>Never there: {text(shown)}.</p>" + body
    summary = f"rarest: {rarest[1]}" if rarest[1] and rarest[0] < 1 else "all in every example"
    if never:
        summary = f"{len(never)} never there"
    return Section("joints", "Joints that are there", body, "", summary)


def bones_section(build: Build, figures: dict[str, Figures]) -> tuple[Section, list[dict]]:
    """Returns bone lengths over sequences, and the outliers as plain data, worst first."""
    names = list(build.dataset.joint_info.names)
    charts, odd = [], []
    for split, own in figures.items():
        for group in own.bones:
            rows, found = _bone_rows(split, own, group, names)
            odd += found
            if rows:
                caption = (
                    f"<b>{split}</b>: mean length of {len(group.means):,} people in sequences; "
                    "line 5 to 95 %, box the quartiles, red dots outliers"
                )
                charts.append(
                    figure(spread_rows(rows[:MOST_ROWS], "mm", f"{split}: bones"), caption)
                )
    if not charts:
        return Section("bones", "Bones", ""), []
    odd.sort(key=lambda entry: -entry["factor"])
    columns = ["split", "sequence", "person", "bone", "what", "mm", "usual mm"]
    listed = [
        [e["split"], e["sequence"], e["person"], e["bone"], e["what"], e["mm"], e["usual_mm"]]
        for e in odd[: 4 * WORST]
    ]
    body = f"<div class=charts>{charts[0]}</div>"
    if charts[1:]:
        body += folded(f"{len(charts) - 1} more", f"<div class=charts>{''.join(charts[1:])}</div>")
    if listed:
        more = "" if len(odd) <= 4 * WORST else f" The worst {4 * WORST} of {len(odd):,}."
        body += (
            f"<h3>Outliers</h3><p class=sub>A bone more than {ODD_RATIO:.0%} and "
            f"{ODD_MM} mm from the median of all, after the person's size; or that varies by more "
            f"than {ODD_SPREAD:.0%} within a sequence.{more}</p>"
        )
        body += long_table(columns, listed, WORST // 2, "outliers")
    else:
        body += "<p>No sequence has a bone that is an outlier.</p>"
    n = len({(e["split"], e["sequence"]) for e in odd})
    summary = f"outliers in {n:,} sequences" if n else "no outliers"
    return Section("bones", "Bones", body, "doubt" if odd else "good", summary), odd


def _bone_rows(split: str, own: Figures, group: BoneMeans, names: list[str]):
    means = group.means
    if not len(means):
        return [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = _nan_median(means, axis=0)
        # People differ in size as a whole: that is no fault of a bone.
        size = _nan_median(means / usual, axis=1)[:, None]
        ratio = means / usual / np.where(size > 0, size, 1)
        far = np.abs(np.log(np.where(ratio > 0, ratio, np.nan)))
        # Sequences of unrelated pictures are of several people.
        varied = np.where(own.in_time[group.sequences][:, None], group.spread / means, 0)
        varied[group.spread < ODD_MM / 2] = 0
        far[np.abs(means - usual * size) < ODD_MM] = 0
        far[:, np.isfinite(means).sum(axis=0) < ENOUGH] = 0
    limit = np.log1p(ODD_RATIO)
    rows, found = [], []
    for b, (i, j) in enumerate(group.edges.tolist()):
        there = np.isfinite(means[:, b])
        if not there.any():
            continue
        bone = f"{names[i]}–{names[j]}"
        is_far = np.nan_to_num(far[:, b]) > limit
        is_varied = np.nan_to_num(varied[:, b]) > ODD_SPREAD
        rows.append((bone, means[there, b], means[is_far, b]))
        for values, which, top, what in (
            (far[:, b], is_far, limit, "length"),
            (varied[:, b], is_varied, ODD_SPREAD, "varies"),
        ):
            for s in np.flatnonzero(which)[:200].tolist():
                found.append(
                    {
                        "split": split,
                        "sequence": own.sequence_facts[int(group.sequences[s])].id,
                        "person": int(group.people[s]),
                        "bone": bone,
                        "what": what if what == "length" else f"varies by {varied[s, b]:.0%}",
                        "mm": round(float(means[s, b]), 1),
                        "usual_mm": round(float(usual[b]), 1),
                        "factor": round(float(values[s]) / float(top), 3),
                    }
                )
    return rows, found


def _nan_median(values, axis):
    """The median of the finite values; NaN without a warning where there is none."""
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=axis)
    n = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(0, (n - 1) // 2), axis)
    high = np.take_along_axis(ordered, np.minimum(n // 2, values.shape[axis] - 1), axis)
    middle = np.where(n > 0, (low + high) / 2, np.nan)
    return np.squeeze(middle, axis=axis)


def sizes_table(figures: dict[str, Figures]) -> str:
    """Returns the quantities as a table, for those who want the numbers."""
    rows = []
    for split, own in figures.items():
        for key, unit, title in QUANTITIES:
            spread = spread_of(np.asarray(getattr(own, key), np.float64))
            if spread is not None:
                cells = [number(spread[k]) for k in ("min", "p1", "median", "p99", "max")]
                rows.append([split, f"{title}, {unit}", *cells])
    header = ["split", "what", "smallest", "1 %", "median", "99 %", "largest"]
    inner = table(header, rows)
    return f"<details><summary>The same as numbers</summary>{inner}</details>" if rows else ""
