"""Where cameras and people are: seen from above, and from the side with the up vector."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from posepile.recipe import SPLITS
from posepile.report.build import Build
from posepile.report.charts import nice_ticks, svg
from posepile.report.markup import Section, figure, number, text
from posepile.report.measure import Figures
from posepile.report.poses import unit

WIDTH, PEOPLE, CAMERAS, NAMED, WORLDS = 340, 400, 250, 24, 8
LOOK = 34  # length of the wedge that shows where a camera looks
UPRIGHT = 0.9  # share of people who stand along the up vector, below which it is doubted


def cameras_section(build: Build, figures: dict[str, Figures]) -> Section:
    """Returns maps of cameras and people, one for each dataset that was merged.

    Args:
        build: What the report is about.
        figures: Split -> what was measured, without splits that are empty.
    """
    worlds = _worlds(build, figures)
    maps, doubts, notes = [], [], []
    for name, (cameras, people, views, heights, stated) in list(worlds.items())[:WORLDS]:
        told = stated is not None
        up = unit(stated) if told else _usual_up(cameras)
        if up is None:
            continue
        tall = heights[np.isfinite(heights)]
        standing = float((tall > 0).mean()) if len(tall) else None
        if told and standing is not None and standing < UPRIGHT:
            doubts.append(f"{name}: only {standing:.0%} have the head above the feet")
        elif standing is not None:
            notes.append(standing)
        caption = _caption(name, cameras, views, up, told, standing, len(worlds) > 1)
        drawing = _from_above(cameras, people, views, up) + _from_side(cameras, people, up)
        maps.append(figure(drawing, caption))
    if not maps:
        return Section("cameras", "Cameras", "")
    said = (
        "<p class=sub>Blue points are cameras, wedges from them lead to where they look on "
        "average; orange dots are people.</p>"
    )
    if len(worlds) > WORLDS:
        said += f"<p class=sub>{len(worlds) - WORLDS} more datasets are not drawn.</p>"
    verdict = "doubt" if doubts else "good" if notes else ""
    summary = "; ".join(doubts)
    if not doubts:
        summary = f"head above feet in {min(notes):.1%}" if notes else "drawn from above"
    body = said + f"<div class=charts>{''.join(maps)}</div>"
    return Section("cameras", "Cameras and people", body, verdict, summary)


def _worlds(build, figures):
    """Returns dataset -> cameras [m, 24], people [m, 3], views, heights [m], up vector."""
    parts: dict[str, list] = {}
    ups = build.ups()
    for split in SPLITS:
        if split not in figures:
            continue
        own = figures[split]
        there = np.flatnonzero(np.isfinite(own.cameras[:, :21]).all(axis=1))
        if not len(there):
            continue
        if len(there) > 20_000:
            there = there[np.linspace(0, len(there) - 1, 20_000).round().astype(int)]
        some = build.examples(split)[own.positions[there]]
        datasets, names = some.codes("dataset")
        view, view_names = some.codes("view")
        for k, name in enumerate(names):
            which = there[datasets == k]
            views = [view_names[v] for v in view[datasets == k].tolist()]
            entry = (own.cameras[which], own.middles[which], views, own.heights[which])
            parts.setdefault(name, []).append(entry)
    result = {}
    for name, entries in parts.items():
        cameras, people, views, heights = zip(*entries, strict=True)
        joined = [np.concatenate(v) for v in (cameras, people)]
        result[name] = (
            *joined,
            list(itertools.chain(*views)),
            np.concatenate(heights),
            ups.get(name),
        )
    return result


def _usual_up(cameras: np.ndarray) -> np.ndarray | None:
    ups = cameras[:, 21:24].astype(np.float64)
    ups = ups[np.isfinite(ups).all(axis=1)]
    up = unit(np.median(ups, axis=0)) if len(ups) else None
    return unit(-np.median(cameras[:, 3:6], axis=0)) if up is None else up


def _places(cameras, views):
    """Returns distinct places [k, 3], mean directions [k, 3], names."""
    keys = np.round(cameras[:, 18:21].astype(np.float64) / 10).astype(np.int64)
    _, first, number_of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    number_of = number_of.reshape(-1)
    ahead = np.zeros((len(first), 3))
    np.add.at(ahead, number_of, cameras[:, 6:9].astype(np.float64))
    if len(first) > CAMERAS:
        chosen = np.linspace(0, len(first) - 1, CAMERAS).round().astype(int)
        first, ahead = first[chosen], ahead[chosen]
    return cameras[first, 18:21].astype(np.float64), ahead, [views[i] for i in first]


def _basis(up):
    other = np.eye(3)[int(np.argmin(np.abs(up)))]
    # The axis of the world that is most horizontal points to the right.
    right = unit(other - up * (other @ up))
    return right, np.cross(up, right)


def _some_people(people):
    people = people[np.isfinite(people).all(axis=1)].astype(np.float64)
    if len(people) > PEOPLE:
        people = people[np.linspace(0, len(people) - 1, PEOPLE).round().astype(int)]
    return people


def _frame(points, width, height, margin=22):
    """Returns a function from metric places [n, 2] to the drawing, and its scale."""
    low, high = (
        np.percentile(points, [0.5, 99.5], axis=0)
        if len(points) > 400
        else (
            points.min(axis=0),
            points.max(axis=0),
        )
    )
    span = np.maximum(high - low, 500)
    scale = min((width - 2 * margin) / span[0], (height - 2 * margin) / span[1])
    middle = (low + high) / 2

    def at(places):
        moved = (np.atleast_2d(places) - middle) * scale
        return np.stack([width / 2 + moved[:, 0], height / 2 - moved[:, 1]], axis=1)

    return at, scale


def _dots(at, people):
    inside = at(people) if len(people) else np.zeros((0, 2))
    return "".join(
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r=1.8 fill='var(--left)' fill-opacity=.55 />"
        for x, y in inside.tolist()
        if 0 <= x <= WIDTH and 0 <= y <= WIDTH
    )


def _scale_bar(scale, height):
    ticks = [t for t in nice_ticks(0, 80 / scale / 1000, 2) if t > 0]
    metres = ticks[-1] if ticks else 1.0
    length = metres * 1000 * scale
    said = number(metres) if metres % 1 else number(int(metres))
    return (
        f"<path d='M10 {height - 8}h{length:.1f}' stroke='var(--ink)' stroke-width=2 />"
        f"<text x='10' y='{height - 13}'>{said} m</text>"
    )


def _from_above(cameras, people, views, up) -> str:
    right, away = _basis(up)
    flat = np.stack([right, away], axis=1)
    centers, ahead, names = _places(cameras, views)
    people = _some_people(people)
    at, scale = _frame(np.concatenate([centers, people]) @ flat, WIDTH, WIDTH)
    parts, labels, taken, seen = [_dots(at, people @ flat)], [], [], []
    places = at(centers @ flat)
    named = _named(names)
    for (x, y), look, name in zip(places.tolist(), ahead @ flat, names, strict=True):
        direction = unit(look)
        if direction is None:
            parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r=4 fill='var(--right)' />")
        else:
            parts.append(_wedge(x, y, direction))
        if name in named:
            labels.append(_label(x, y, direction, name[:18], taken, seen))
    parts += [*labels, _scale_bar(scale, WIDTH)]
    return svg(WIDTH, WIDTH, "".join(parts), "cameras and people from above")


def _named(names: list[str]) -> set[str]:
    """Which cameras have their names beside them; of many none could be read."""
    known = [name for name in names if name != "unknown"]
    return set(known) if len(known) <= NAMED else set()


def _wedge(x, y, direction):
    """A point where a camera is, and narrow rays from there to where it looks."""
    dx, dy = direction[0], -direction[1]
    a, b = (
        (LOOK * (dx * np.cos(t) - dy * np.sin(t)), LOOK * (dx * np.sin(t) + dy * np.cos(t)))
        for t in (-0.17, 0.17)
    )
    return (
        f"<path d='M{x:.1f} {y:.1f}l{a[0]:.1f} {a[1]:.1f}L{x + b[0]:.1f} {y + b[1]:.1f}z' "
        "fill='var(--right)' fill-opacity=.4 stroke='var(--right)' />"
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r=3 fill='var(--right)' />"
    )


def _label(x, y, direction, name, taken, seen):
    """A name behind the camera, where nothing else is written."""
    to_left = (direction is not None and direction[0] > 0 and x > 60) or x > WIDTH - 70
    x_text, y_text = x + (-6 if to_left else 6), min(max(y + 4, 10), WIDTH - 4)
    if any(name == other and abs(x - u) + abs(y - v) < 20 for u, v, other in seen):
        return ""  # a camera that hardly moved is one in the drawing
    seen.append((x, y, name))
    width = 6.2 * len(name)
    left = x_text - width if to_left else x_text
    for step in (0, 12, -12, 24, -24, 36, -36):
        free = all(
            abs(y_text + step - v) > 11 or left + width < u or u + w < left for u, v, w in taken
        )
        if free and 10 <= y_text + step <= WIDTH - 4:
            y_text += step
            break
    taken.append((left, y_text, width))
    anchor = "end" if to_left else "start"
    return f"<text x='{x_text:.1f}' y='{y_text:.1f}' text-anchor={anchor}>{text(name)}</text>"


def _from_side(cameras, people, up) -> str:
    right, _ = _basis(up)
    flat = np.stack([right, up], axis=1)
    centers, _, _ = _places(cameras, ["unknown"] * len(cameras))
    people = _some_people(people)
    height = 150
    at, scale = _frame(np.concatenate([centers, people]) @ flat, WIDTH, height)
    marks = "".join(
        f"<rect x='{x - 3:.1f}' y='{y - 3:.1f}' width=6 height=6 fill='var(--right)' />"
        for x, y in at(centers @ flat).tolist()
    )
    arrow = (
        f"<path d='M{WIDTH - 14} {height - 14}v-40m-4 8l4-8l4 8' stroke='var(--ink)' fill=none />"
        f"<text x='{WIDTH - 20}' y='{height - 46}' text-anchor=end>up</text>"
    )
    drawing = _dots(at, people @ flat) + marks + arrow + _scale_bar(scale, height)
    return svg(WIDTH, height, drawing, "cameras and people from the side, up is up")


def _caption(name: str, cameras: Any, views, up, told: bool, standing, several: bool) -> str:
    said = [f"<b>{text(name)}</b>: from above" if several else "<b>From above</b>"]
    said[0] += ", and below it from the side"
    numbers = ", ".join(f"{v + 0.0:.3g}" for v in up.tolist())
    origin = "stated by the dataset" if told else "that of its cameras; the dataset states none"
    said.append(f"Up = ({numbers}), {origin}")
    places = len(np.unique(np.round(cameras[:, 18:21] / 10), axis=0))
    _, _, names = _places(cameras, views)
    labelled = sum(name in _named(names) for name in names)
    shown = "all" if labelled == places else f"{labelled} of them" if labelled else "none"
    drawn = f", {len(names)} drawn" if len(names) < places else ""
    said.append(f"{places:,} camera places{drawn}, {shown} named")
    if standing is not None:
        said.append(f"Head above feet in {standing:.1%} of the people")
    return ". ".join(said) + "."
