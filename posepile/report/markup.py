"""Pieces of the report page: sections, tables, figures; one style for desktop and phone."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from posepile.terminal import printable

# How a section ends, in words: colour never says it alone.
VERDICTS = {"good": "fine", "doubt": "look", "bad": "wrong", "": "for information"}


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: Its anchor.
        title: Its heading.
        body: HTML below the heading; empty = the section is left out.
        verdict: A key of :data:`VERDICTS`.
        summary: One sentence for the overview at the top.
    """

    key: str
    title: str
    body: str
    verdict: str = ""
    summary: str = ""


STYLE = """
:root{--ink:#1d1f23;--soft:#5d636e;--ground:#fff;--panel:#f5f6f8;--line:#d9dce2;--accent:#1f5fbf;
--left:#d96f00;--right:#0b79c4;--middle:#2f9e3f;--bar:#4c82c9;--good:#1b7f3b;--doubt:#a15c00;
--bad:#b00020;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e4e6ea;--soft:#a2a8b3;--ground:#16181c;
--panel:#212429;--line:#3a3f47;--accent:#8ab8ff;--left:#ffa040;--right:#4db7ff;--middle:#6cd97c;
--bar:#6d9fe0;--good:#6fd08c;--doubt:#f0b050;--bad:#ff8090}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1240px;padding:1em;
color:var(--ink);background:var(--ground);overflow-wrap:anywhere}
h1{margin:.2em 0 0;font-size:1.7em}h2{margin:1.8em 0 .4em;font-size:1.25em;
border-top:1px solid var(--line);padding-top:.7em}h3{margin:1.2em 0 .3em;font-size:1.05em}
a{color:var(--accent)}p{margin:.4em 0}.sub{color:var(--soft)}
.good{color:var(--good)}.doubt{color:var(--doubt)}.bad{color:var(--bad)}
.good,.doubt,.bad{font-weight:600;white-space:nowrap}p.bad{white-space:normal}
ul.short{list-style:none;padding:.3em .9em;margin:1em 0;background:var(--panel);
border:1px solid var(--line);border-radius:6px}ul.short li{padding:.15em 0}
.banner{border:2px solid var(--doubt);border-radius:6px;padding:.4em .8em;margin:.8em 0}
code{font:.88em ui-monospace,monospace;background:var(--panel);padding:.05em .3em;
border-radius:3px}
table{border-collapse:collapse;margin:.5em 0 1em;max-width:100%}
td,th{border:1px solid var(--line);padding:.25em .6em;text-align:left;vertical-align:top}
th{background:var(--panel);font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{margin:.5em 0}summary{cursor:pointer;color:var(--accent)}
.tiles{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(250px,1fr))}
.charts{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(310px,1fr))}
figure{margin:0;background:var(--panel);border:1px solid var(--line);border-radius:6px;
padding:8px;min-width:0}
figure img{display:block;width:100%;height:auto;border-radius:4px;background:#202020}
figcaption{font-size:.86em;margin-top:.4em}figcaption code{display:inline-block;max-width:100%}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}
.key span{white-space:nowrap;margin-right:1em}.key i{display:inline-block;width:1em;height:1em;
margin-right:.3em;vertical-align:-2px;border-radius:2px}
@media(max-width:640px){body{padding:.6em}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}.tiles figure{padding:5px}
table.wide,table.wide tbody,table.wide tr{display:block;width:100%}
table.wide tr:first-child{display:none}
table.wide tr{border:1px solid var(--line);border-radius:6px;margin-bottom:.5em;padding:.2em .5em}
table.wide td{border:0;padding:.05em 1em .05em 0;text-align:left!important;white-space:normal;
display:inline-block;width:auto;max-width:100%}
table.wide td:not([data-of=""])::before{content:attr(data-of) ": ";color:var(--soft)}
table.wide td:empty{display:none}}
"""


def text(value: Any) -> str:
    """Returns what a file says as text of the page: no markup, nothing that is not seen."""
    return html.escape(printable(str(value)))


class Raw(str):
    """A cell of a table that is HTML already."""


def number(value: Any) -> str:
    """Returns a count with its thousands set apart, or a figure with four digits.

    >>> number(1234567), number(0.123456)
    ('1,234,567', '0.1235')
    """
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def table(header: list[str], rows: list[list[Any]]) -> str:
    """Returns an HTML table; numbers are aligned right, long rows become cards on a phone.

    Args:
        header: Names of the columns.
        rows: Cells: numbers, text, or :class:`Raw` HTML.
    """
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    head = "".join(
        f"<th{' class=n' if n and rows else ''}>{text(h)}</th>"
        for h, n in zip(header, numeric, strict=True)
    )
    lines = []
    for row in rows:
        cells = "".join(_cell(h, c) for h, c in zip(header, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    kind = " class=wide" if len(header) > 3 else ""
    return f"<table{kind}><tbody><tr>{head}</tr>{''.join(lines)}</tbody></table>"


def _is_number(cell):
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _cell(name, cell):
    of = f" data-of='{text(name)}'"
    if isinstance(cell, Raw):
        return f"<td{of}>{cell}</td>"
    if _is_number(cell):
        return f"<td class=n{of}>{number(cell)}</td>"
    return f"<td{of}>{text(cell)}</td>"


def long_table(header: list[str], rows: list[list[Any]], shown: int, what: str) -> str:
    """Returns a table of which all but the first rows are folded away.

    Args:
        header: Names of the columns.
        rows: Cells.
        shown: How many rows are always seen.
        what: What the others are, in the plural.
    """
    if len(rows) <= shown + 2:
        return table(header, rows)
    rest = f"<summary>{len(rows) - shown:,} more {text(what)}</summary>"
    return f"{table(header, rows[:shown])}<details>{rest}{table(header, rows[shown:])}</details>"


def folded(title: str, body: str) -> str:
    """Returns HTML that is seen when its title is chosen.

    Args:
        title: In words.
        body: HTML.
    """
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def word(verdict: str, said: str | None = None) -> Raw:
    """Returns a verdict as a coloured word."""
    return Raw(f"<span class='{verdict}'>{text(said or VERDICTS[verdict])}</span>")


def figure(picture: str, caption: str) -> str:
    """Returns a figure of two pieces of HTML."""
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def section_html(section: Section) -> str:
    """Returns a section with its heading."""
    mark = f" <small>· {word(section.verdict)}</small>" if section.verdict else ""
    heading = f"<h2>{text(section.title)}{mark}</h2>"
    return f"<section id='{text(section.key)}'>{heading}{section.body}</section>"


def page_html(title: str, head: str, sections: list[Section]) -> str:
    """Returns the whole page: what is said first, the overview, the sections.

    Args:
        title: Of the window.
        head: HTML above the overview.
        sections: Those without a body are left out.
    """
    sections = [section for section in sections if section.body]
    lines = (
        f"<li><a href='#{text(s.key)}'>{text(s.title)}</a> "
        f"{word(s.verdict) if s.verdict else ''} <span class=sub>{text(s.summary)}</span></li>"
        for s in sections
    )
    overview = f"<ul class=short>{''.join(lines)}</ul>"
    body = "".join(map(section_html, sections))
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        "<link rel=icon href='data:,'>"
        f"<title>{text(title)}</title><style>{STYLE}</style></head>"
        f"<body>{head}{overview}{body}</body></html>\n"
    )
