"""``plan`` and ``doctor``: what there is of the raw files, what it takes, and what mends it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from posepile.cli.builds import make_run, require_mounted
from posepile.cli.options import add_json
from posepile.errors import UsageError
from posepile.paths import require_data_root
from posepile.terminal import print_json, print_lines


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``plan``."""
    add_json(parser, "as JSON, with every source")
    parser.add_argument(
        "--rate",
        type=byte_rate,
        default=None,
        metavar="SIZE",
        help="how much the network brings in a second, for the time that it takes; default: 10MB",
    )


def add_doctor_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``doctor``."""
    add_json(parser)
    parser.add_argument("--checksums", action="store_true", help="read and verify every file")
    parser.add_argument(
        "--look-in",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders in which to look for the data as well if they are not in place",
    )
    parser.add_argument(
        "--mend",
        action="store_true",
        help="rename misplaced files to where they belong; nothing is overwritten",
    )
    parser.add_argument(
        "--link-from",
        type=Path,
        metavar="DIR",
        help="fill the raw folder with links to the files of another one, whatever its layout",
    )


def byte_rate(text: str) -> float:
    """A size such as ``50MB``, in bytes."""
    from pydantic import TypeAdapter, ValidationError

    from posepile.acquire.sources import Size

    try:
        size = TypeAdapter(Size).validate_python(text.removesuffix("/s"))
    except ValidationError:
        size = 0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"found {text[:40]!r}; expected a size, e.g. 50MB")
    return float(size)


def cmd_plan(args: argparse.Namespace) -> int:
    """Prints the download plan; exit 1 if a run could not go through now."""
    from posepile.run import raw_state

    run = make_run(args)
    require_mounted(run)
    found = raw_state.make_plan(run, args.rate or raw_state.RATE)
    if args.json:
        print_json(found.data | {"ok": found.ok})
    else:
        print_lines("\n".join(found.lines).split("\n"))
    return 0 if found.ok else 1


def cmd_doctor(args: argparse.Namespace) -> int:
    """Prints what is wrong with the raw files and what mends it; exit 1 if anything is."""
    from posepile.run import raw_state

    run = make_run(args)
    require_data_root()
    args.look_in = [folder.absolute() for folder in args.look_in]
    for folder in (*args.look_in, *([args.link_from] if args.link_from else [])):
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; name the one that holds the data")
    if args.link_from:
        print_lines(raw_state.link_from(run, args.link_from))
    report = raw_state.examine(run, args.checksums, args.look_in)
    if args.mend:
        print_lines(raw_state.mend(run, report))
        report = raw_state.examine(run, args.checksums, args.look_in)
    _print(report, args.json)
    return 0 if report.ok else 1


def _print(report: Any, as_json: bool) -> None:
    if as_json:
        print_json(report.facts)
    else:
        print_lines(report.lines)
