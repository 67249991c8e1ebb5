"""Contact sheets: which examples are shown, why, and how."""

from __future__ import annotations

import base64
import shlex
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.errors import PosePileError, one_line
from posepile.imaging import jpeg
from posepile.recipe import SPLITS
from posepile.report.build import Build, viewer_link
from posepile.report.drawing import draw_example, legend_of
from posepile.report.markup import Section, figure, folded, number, text
from posepile.report.measure import Figures
from posepile.report.poses import extent, three_sides

SEQUENCES, RANDOM = 8, 4
UNFOLDED, UNFOLDED_LATER = 4, 2  # tiles of the first split, of the others
TILE, QUALITY = 340, 82
_UNREAD = "<p class=bad>cannot be read, "


@dataclass(frozen=True)
class Pick:
    """An example to be shown.

    Attributes:
        position: In the list of its split.
        why: Why it was chosen, in words.
    """

    position: int
    why: str


def choose(figures: Figures) -> list[Pick]:
    """Returns which examples of a split are shown: sequences, extremes, and some at random.

    The same examples of the same dataset every time; none twice.

    Args:
        figures: What was measured of it.
    """
    picks = [*_of_sequences(figures), *_extremes(figures), *_random(figures)]
    found: dict[int, list[str]] = {}
    for pick in picks:
        found.setdefault(pick.position, []).append(pick.why)
    return [Pick(position, "; ".join(whys)) for position, whys in found.items()]


def _of_sequences(figures):
    """The middle example of sequences that are spread over all people."""
    counts = np.bincount(figures.sequences, minlength=len(figures.sequence_facts))
    starts = np.concatenate([[0], np.cumsum(counts)])
    order = np.argsort(figures.sequences, kind="stable")
    middles = order[starts[:-1] + counts // 2]
    by_person = defaultdict(list)
    chosen = range(len(middles))
    if len(middles) > 4096:
        chosen = np.linspace(0, len(middles) - 1, 4096).round().astype(int).tolist()
    for k in chosen:
        by_person[figures.sequence_facts[k].subject].append(k)
    result, rounds = [], 0
    # One of each person, then a second one of each; those of a person evenly spaced.
    while len(result) < min(SEQUENCES, len(chosen)):
        for own in by_person.values():
            share = len(own) * _spread(rounds)
            k = own[min(int(share), len(own) - 1)]
            if k not in result:
                result.append(k)
        rounds += 1
        if rounds > 64:
            result += [k for k in chosen if k not in result]
    n = len(figures.sequence_facts)
    return [
        Pick(int(figures.positions[middles[k]]), f"sequence {k + 1:,} of {n:,}")
        for k in sorted(result[:SEQUENCES])
    ]


def _spread(i):
    """Returns the i-th of numbers 0..1 that are far from each other: halves, quarters."""
    result, step = 0.0, 0.5
    i += 1
    while i:
        result += step * (i & 1)
        i >>= 1
        step /= 2
    return result


def _extremes(figures):
    wanted = (
        (figures.box_side, -1, "largest box, {:.0f} px"),
        (figures.box_side, 1, "smallest box, {:.0f} px"),
        (figures.distance, 1, "nearest, {:.2f} m"),
        (figures.distance, -1, "furthest, {:.2f} m"),
        (figures.moved / figures.gap, -1, "fastest, {:.0f} mm per frame"),
        (figures.n_joints.astype(np.float32), 1, "fewest joints, {:.0f}"),
        (figures.box_shape, -1, "widest box, {:.2f} of its height"),
    )
    for values, sign, said in wanted:
        there = np.isfinite(values)
        if there.any() and float(np.ptp(values[there])) > 0:
            k = int(np.argmin(np.where(there, sign * values, np.inf)))
            yield Pick(int(figures.positions[k]), said.format(float(values[k])))


def _random(figures):
    picks = np.random.default_rng(figures.total).choice(
        figures.total, min(RANDOM, figures.total), replace=False
    )
    return [Pick(int(i), "at random") for i in sorted(picks.tolist())]


def tile(build: Build, split: str, position: int, why: str, extra: str = "") -> str:
    """Returns one example as a figure: picture, pose, its name, why it is there.

    Args:
        build: What the report is about.
        split: Name of the split.
        position: In its list.
        why: In words.
        extra: HTML below.
    """
    example = build.examples(split)[position]
    path = str(example.image_path)
    shown = _shown(example, build.dataset.joint_info, path)
    up = build.ups().get(example.dataset)
    pose = three_sides(example, build.dataset.joint_info, up)
    tall = extent(example, up) if pose else None
    facts = [f"{split} {position:,}", f"frame {number(int(example.frame))}"]
    if example.person:
        facts.append(f"person {int(example.person)}")
    if len(build.dataset.parts) > 1:
        facts.insert(0, example.dataset)
    if example.sequence:
        facts.append(f"sequence {example.sequence}")
    if tall is not None:
        facts.append(f"{tall:.2f} m high")
    link = viewer_link(build.name, split, path)
    caption = (
        f"<b>{text(why)}</b><br><a href='{text(link)}'>{text(path)}</a><br>"
        f"<span class=sub>{text(' · '.join(facts))}</span>{extra}"
    )
    return figure(shown + pose, caption)


def _shown(example: Any, joint_info: Any, path: str) -> str:
    """Returns the picture as HTML; one that cannot be drawn is said, the others are worth it."""
    note = ""
    try:
        try:
            picture = draw_example(example, joint_info, TILE)
        except ValueError as e:  # a mask of somebody else's file
            example = example.load(load_image=False)
            example.mask = None
            picture = draw_example(example, joint_info, TILE)
            note = f"{_UNREAD}the mask: {text(one_line(e))}</p>"
    except (OSError, PosePileError) as e:
        return f"{_UNREAD}the picture: {text(one_line(e))}</p>"
    data = base64.b64encode(jpeg.encode(picture, QUALITY)).decode()
    size = f"width={picture.shape[1]} height={picture.shape[0]}"
    return f"<img {size} alt='{text(path)}' src='data:image/jpeg;base64,{data}'>{note}"


def folded_tiles(tiles: list[str], shown: int) -> str:
    """Returns tiles of which all but the first few are folded away; they fill a phone for long.

    Args:
        tiles: Figures.
        shown: How many are always seen.
    """
    first = f"<div class=tiles>{''.join(tiles[:shown])}</div>"
    rest = tiles[shown:]
    if not rest:
        return first
    return first + folded(f"{len(rest)} more", f"<div class=tiles>{''.join(rest)}</div>")


def view_command(build: Build, path: str) -> str:
    """Returns what opens an example in the viewer, to be typed."""
    return f"posepile view {shlex.quote(build.name)} {shlex.quote(path)}"


def links_said(build: Build) -> str:
    """Returns when the links of the page lead to what they name, as HTML."""
    command = f"posepile view {shlex.quote(build.name)}"
    return (
        f"Names lead to the example while <code>{text(command)}</code> runs on its usual port, "
        "8765; should another viewer be there, give that command the name, too."
    )


def legend(build: Build) -> str:
    """Returns what the colours mean that are drawn.

    Args:
        build: What the report is about.
    """
    spans = "".join(
        f"<span><i style='background:rgb{c}'></i>{text(said)}</span> "
        for c, said in legend_of(build.lists)
    )
    return f"<p class=key>{spans}</p>"


def sheets_section(build: Build, figures: dict[str, Figures]) -> Section:
    """Returns the contact sheets of all splits.

    Args:
        build: What the report is about.
        figures: Split -> what was measured, without splits that are empty.
    """
    parts, n, lost = [], 0, 0
    for split in SPLITS:
        if split not in figures:
            continue
        picks = choose(figures[split])
        tiles = [tile(build, split, p.position, p.why) for p in picks]
        n += len(picks)
        lost += sum(_UNREAD in one for one in tiles)
        shown = UNFOLDED_LATER if parts else UNFOLDED
        heading = f"<h3>{split}: {len(picks)} of {figures[split].total:,}</h3>"
        parts.append(heading + folded_tiles(tiles, shown))
    said = (
        "<p>Pictures chosen to cover people and sequences, the extremes, and some at random. "
        f"Below each the pose from three sides. {links_said(build)}</p>"
    )
    body = said + legend(build) + "".join(parts) if parts else ""
    if lost:
        summary = f"{lost} of {n} pictures or masks cannot be read"
        return Section("sheets", "Contact sheets", body, "bad", summary)
    return Section("sheets", "Contact sheets", body, "", f"{n} examples, each with why")
