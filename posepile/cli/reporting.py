"""The command that writes the report page of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from posepile.cli.options import add_json, add_variant
from posepile.errors import UsageError
from posepile.files import require_place
from posepile.progress import doing
from posepile.terminal import paint, print_json, printable


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``posepile report``."""
    parser.add_argument("--out", type=Path, help="default: <name>_work/report.html")
    add_json(parser, "what the page says, as JSON: counts, reasons, suspects, figures")
    add_variant(parser)


def cmd_report(args: argparse.Namespace) -> int:
    """Writes the report page of whatever can be opened by a name."""
    from posepile import paths
    from posepile.report import write_report
    from posepile.report.page import older_line
    from posepile.store.layout import find_index
    from posepile.store.named import named

    found = named(args.name, args.variant)
    name, place = found.name, found.packed()
    if found.kind == "file":
        name = str(place)
        is_archive = place.suffix == ".barecat"
        there = find_index(place) is not None if is_archive else place.is_file()
        if not there:
            raise UsageError(f"{name}: no such dataset")
        out = args.out or Path(f"{name.rpartition('.')[0]}_report.html")
    else:
        out = args.out or paths.work_dir(name) / "report.html"
    if args.out is None:
        out.parent.mkdir(exist_ok=True)
    else:
        require_place(out, f"--out {out}")
    with doing(f"{name}: writing the report"):
        facts = write_report(name, out)
    if args.json:
        print_json(facts)
        return 0
    if facts["last_run_failed"]:
        print(paint(printable(older_line(facts["last_run_failed"])), "bad"))
    for entry in facts["summary"]:
        if entry["verdict"] in ("doubt", "bad"):
            line = f"{entry['title']}: {entry['text']}"
            print(paint(printable(line), entry["verdict"]))
    print(out)
    return 0
