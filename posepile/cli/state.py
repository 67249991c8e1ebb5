"""The command ``status``: how far a dataset is, also of a run that goes on elsewhere."""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from posepile.cli.builds import make_run, require_build
from posepile.cli.options import add_json, positive
from posepile.errors import UsageError
from posepile.paths import require_data_root
from posepile.terminal import print_json, print_lines, printable

PAUSE = 5.0  # seconds between two steps of a main.sh, in which nothing seems to run
PATIENCE = 5  # a look at all units is followed by a pause of so many times what it took


def add_status_options(parser: argparse.ArgumentParser) -> None:
    """Whether to look again and again."""
    parser.add_argument(
        "--watch",
        nargs="?",
        type=positive,
        const=2,
        metavar="SECONDS",
        help="look again every so many seconds (2), until the run that is seen has ended",
    )
    add_json(parser, "as JSON, with who is at work and how fast")


def cmd_status(args: argparse.Namespace) -> int:
    """Prints how many units each stage has finished, what is packed and who is at work."""
    from posepile.run.status import status_lines

    if args.json and args.watch:
        raise UsageError("--json and --watch exclude each other")
    if args.watch:
        try:
            return _watch(args)
        except KeyboardInterrupt:  # the way to end it
            return 0
    run, data, _ = _look(args, {})
    if args.json:
        print_json(data)
    else:
        print_lines(status_lines(run, data))
    return 0


def _look(
    args: argparse.Namespace, counted: dict[str, Any]
) -> tuple[Any, dict[str, Any], argparse.Namespace]:
    """The status under the settings asked for; if none are, under those of a run at work.

    Returns:
        The run, its status, and the options with these settings.
    """
    from posepile.run.active import active_runs
    from posepile.run.status import status_data

    run = make_run(args)
    require_data_root()
    require_build(run)
    if not args.set and args.config is None:
        others = {
            (tuple(note["set"]), note["config"])
            for note in active_runs(run)
            if note["build"] == run.build and (note["set"] or note["config"])
        }
        if len(others) == 1:
            args, (settings, config) = copy.copy(args), others.pop()
            args.set, args.config = list(settings), Path(config) if config else None
            run = make_run(args)
    return run, status_data(run, counted), args


def _watch(args: argparse.Namespace) -> int:
    from posepile.run.status import status_lines

    drawn, idle, before, counted = 0, None, [], {}
    while True:
        began = time.monotonic()
        run, data, args = _look(
            args, counted
        )  # what is left when the run has ended is of its settings
        lines = [printable(line) for line in status_lines(run, data)]
        if sys.stdout.isatty():
            drawn = _redraw(lines, drawn)
        elif lines != before:  # a file is no place for the same lines every second
            print_lines(lines)
            before = lines
        sys.stdout.flush()
        if data["active"]:
            idle = began
        elif idle is not None and began - idle > PAUSE:
            return 0
        time.sleep(max(args.watch, PATIENCE * (time.monotonic() - began)))


def _redraw(lines: list[str], drawn: int) -> int:
    """Prints lines over those that were printed before; returns how many there are now."""
    columns, rows = shutil.get_terminal_size()
    width = columns - 1
    wrapped = [
        ("" if at == 0 else "           ") + piece
        for line in lines
        for at, piece in enumerate(textwrap.wrap(line, width - 11, drop_whitespace=False) or [""])
    ]
    shown = wrapped[: rows - 1]
    shown += [""] * (drawn - len(shown))
    if drawn:
        sys.stdout.write("\r" + "\x1b[A" * drawn)
    for line in shown:
        sys.stdout.write(f"{line:{width}}\n")
    return len(shown)
