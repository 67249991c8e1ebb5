"""Drawings as inline SVG, readable at the width of a phone, in light and dark."""

from __future__ import annotations

import math

import numpy as np

from posepile.report.markup import number, text

WIDTH = 340
_LEFT, _RIGHT = 8, 8


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Returns round numbers within a range.

    >>> nice_ticks(0.3, 4.1)
    [1.0, 2.0, 3.0, 4.0]
    """
    span = high - low
    if not span > 0:
        return [low]
    rough = span / most
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(m * base for m in (1, 2, 5, 10) if m * base >= rough)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(width: float, height: float, content: str, label: str) -> str:
    """Returns an SVG that is as wide as its place."""
    return (
        f"<svg viewBox='0 0 {width:g} {height:g}' role=img aria-label='{text(label)}'>"
        f"{content}</svg>"
    )


def _label(x, y, said, anchor="middle", soft=False):
    kind = " class=soft" if soft else ""
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor={anchor}{kind}>{text(said)}</text>"


def _axis(low, high, y, at, unit=""):
    """A line with round numbers below it."""
    parts = [
        f"<path d='M{_LEFT} {y}H{WIDTH - _RIGHT}' stroke='var(--line)' fill=none />",
    ]
    ticks = nice_ticks(low, high)
    for tick in ticks:
        said = number(float(tick)) if tick % 1 or abs(tick) >= 1e15 else number(int(tick))
        x = min(max(at(tick), 14), WIDTH - 14)
        parts.append(f"<path d='M{at(tick):.1f} {y}v4' stroke='var(--soft)' />")
        parts.append(_label(x, y + 16, said, soft=True))
    if unit:
        parts.append(_label(WIDTH - _RIGHT, y + 29, unit, "end", soft=True))
    return "".join(parts)


def spread_of(values: np.ndarray) -> dict[str, float] | None:
    """Returns number, smallest, quartiles, 1 and 99 percent, largest of the finite values.

    >>> spread_of(np.array([1, 2, 3, np.nan]))["median"]
    2.0
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    at = np.percentile(values, [0, 1, 25, 50, 75, 99, 100]).tolist()
    names = ("min", "p1", "p25", "median", "p75", "p99", "max")
    return {"n": len(values), **{k: float(f"{v:.6g}") for k, v in zip(names, at, strict=True)}}


def histogram(values: np.ndarray, unit: str, label: str) -> str:
    """Returns how often values occur; what is far beyond the rest is counted, not drawn.

    Args:
        values: Any numbers; NaN are left out.
        unit: Written at the axis.
        label: For those who do not see it.
    """
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    p1, p99 = np.percentile(values, [1, 99]).tolist()
    reach = max(p99 - p1, 1e-9)
    top, bottom = min(high, p99 + reach), max(low, p1 - reach)
    if not top > bottom:
        bottom, top = bottom - 0.5, top + 0.5
    inside = values[(values >= bottom) & (values <= top)]
    bins = int(min(40, max(8, len(values) ** 0.5)))
    counts, _ = np.histogram(inside, bins=bins, range=(bottom, top))
    height, base = 150, 112

    def at(value):
        return _LEFT + (value - bottom) / (top - bottom) * (WIDTH - _LEFT - _RIGHT)

    step = (WIDTH - _LEFT - _RIGHT) / bins
    bars = "".join(
        f"<rect x='{_LEFT + i * step:.1f}' y='{base - h:.1f}' width='{max(step - 1, 0.5):.1f}' "
        f"height='{h:.1f}' fill='var(--bar)'/>"
        for i, h in enumerate((counts / counts.max() * 96).tolist())
        if h
    )
    middle = at(float(np.median(values)))
    line = f"<path d='M{middle:.1f} 10V{base}' stroke='var(--doubt)' stroke-dasharray='3 3'/>"
    beyond = len(values) - len(inside)
    more = _label(WIDTH - _RIGHT, 12, f"{beyond:,} further out", "end", True) if beyond else ""
    drawing = bars + line + more + _axis(bottom, top, base, at, unit)
    return svg(WIDTH, height, drawing, label)


def share_bars(rows: list[tuple[str, float, str]], label: str) -> str:
    """Returns a bar for each row.

    Args:
        rows: Name, share 0..1, and what is written behind the bar.
        label: For those who do not see it.
    """
    step, left, right = 17, 108, 52
    room = WIDTH - left - right
    parts = []
    for i, (name, share, said) in enumerate(rows):
        y = 4 + i * step
        shown = name if len(name) <= 16 else f"{name[:15]}…"
        parts.append(_label(left - 6, y + 11, shown, "end"))
        parts.append(
            f"<rect x='{left}' y='{y + 1}' width='{room}' height='12' fill='var(--line)'/>"
            f"<rect x='{left}' y='{y + 1}' width='{room * share:.1f}' height='12' "
            "fill='var(--bar)'/>"
        )
        parts.append(_label(WIDTH, y + 11, said, "end", True))
    return svg(WIDTH, len(rows) * step + 8, "".join(parts), label)


def spread_rows(rows: list[tuple[str, np.ndarray, np.ndarray]], unit: str, label: str) -> str:
    """Returns for each row a line of 5 to 95 percent, a box of the quartiles, dots for outliers.

    Args:
        rows: Name, all values, those of them that are outliers.
        unit: Written at the axis.
        label: For those who do not see it.
    """
    step, left = 17, 108
    every = np.concatenate([values for _, values, _ in rows])
    low, high = 0.0, float(every.max()) * 1.02 or 1.0

    def at(value):
        return left + (value - low) / (high - low) * (WIDTH - left - _RIGHT)

    parts = []
    for i, (name, values, odd) in enumerate(rows):
        y = 4 + i * step + 7
        p5, p25, p50, p75, p95 = (at(v) for v in np.percentile(values, [5, 25, 50, 75, 95]))
        shown = name if len(name) <= 16 else f"{name[:15]}…"
        parts.append(_label(left - 6, y + 4, shown, "end"))
        parts.append(
            f"<path d='M{p5:.1f} {y}H{max(p95, p5 + 1):.1f}' stroke='var(--soft)'/>"
            f"<rect x='{p25:.1f}' y='{y - 4}' width='{max(p75 - p25, 1.5):.1f}' height='8' "
            f"fill='var(--bar)'/><path d='M{p50:.1f} {y - 5}v10' stroke='var(--ink)'/>"
        )
        parts += [
            f"<circle cx='{at(v):.1f}' cy='{y}' r='2.5' fill='var(--bad)'/>"
            for v in odd[:30].tolist()
        ]
    base = 4 + len(rows) * step + 2

    def in_axis(value):
        return at(value)

    ticks = "".join(
        f"<path d='M{in_axis(t):.1f} {base}v4' stroke='var(--soft)'/>"
        + _label(min(in_axis(t), WIDTH - 14), base + 16, number(int(t)), soft=True)
        for t in nice_ticks(low, high, 4)
        if t == int(t)
    )
    line = f"<path d='M{left} {base}H{WIDTH - _RIGHT}' stroke='var(--line)'/>"
    unit_text = _label(left - 6, base + 16, unit, "end", True)
    return svg(WIDTH, base + 22, "".join(parts) + line + ticks + unit_text, label)
