"""The command that writes the report page of a dataset."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from posepile.cli.builds import build_of, packed_archive
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

    if args.name.endswith((".pkl", ".barecat")):
        name = str(paths.ensure_absolute(args.name))
        there = find_index(name) is not None if name.endswith("t") else Path(name).is_file()
        if not there:
            raise UsageError(f"{name}: no such dataset")
        out = args.out or Path(f"{name.rpartition('.')[0]}_report.html")
    else:
        name = _mix_of(args) or build_of(args)
        out = args.out or paths.work_dir(name) / "report.html"
        if _mix_of(args) is None:
            packed_archive(name)
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


def _mix_of(args: argparse.Namespace) -> str | None:
    """Returns the name of a mix that was merged; None if a dataset is meant."""
    from posepile import paths
    from posepile.ds import dataset_names, split_build
    from posepile.store.layout import find_index

    with contextlib.suppress(UsageError):  # told where it is looked up
        known = split_build(args.name)[0] in dataset_names()
        if (
            args.variant is None
            and not known
            and find_index(paths.archive_path(args.name)) is None
        ):
            pickle = paths.cache_dir() / f"{args.name}.pkl"
            return args.name if pickle.is_file() else None
    return None
