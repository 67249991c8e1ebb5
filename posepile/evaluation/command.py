"""Command line of an ``eval.py``: the common options, the run, the exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from posepile import paths
from posepile.errors import CorruptInput, PosePileError, no_raw_data
from posepile.evaluation.results import default_output, write_result
from posepile.files import names_in, require_place
from posepile.run.apart import call_apart
from posepile.terminal import OneLineParser, print_lines, printable_output


class Report(NamedTuple):
    """What an evaluation found.

    Attributes:
        result: Every figure and the settings, written as JSON; empty = nothing to write.
        lines: What is printed, besides what the result names under ``left_out`` (reason ->
            number) and ``skipped`` (name -> reason).
        tag: Part of the default name of the JSON file, e.g. ``eval_test``.
    """

    result: dict[str, Any]
    lines: list[str]
    tag: str


def make_parser(name: str, description: str | None = None) -> argparse.ArgumentParser:
    """Returns the parser of a dataset's ``eval.py``, still without options.

    >>> make_parser("mydata").prog
    'python -m posepile.ds.mydata.eval'

    Args:
        name: Dataset.
        description: What ``--help`` says first: the docstring of the ``eval.py``.
    """
    return OneLineParser(
        prog=f"python -m posepile.ds.{name}.eval",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_options(
    parser: argparse.ArgumentParser, name: str, pred_help: str, splits: Iterable[str], split: str
) -> None:
    """Adds the options of every evaluation: predictions, raw data, split, output.

    >>> parser = make_parser("mydata")
    >>> add_options(parser, "mydata", "an .npz file", ("val", "test"), "test")
    >>> args = parser.parse_args(["--pred-path", "p.npz"])
    >>> args.pred_path.name, args.split, args.data_dir, args.out
    ('p.npz', 'test', None, None)

    Args:
        parser: The parser, or that of a subcommand.
        name: Dataset.
        pred_help: What ``--pred-path`` names.
        splits: What ``--split`` may be.
        split: Its default.
    """
    parser.set_defaults(dataset=name)
    parser.add_argument(
        "--pred-path", "--predictions", type=Path, required=True, metavar="PATH", help=pred_help
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help=f"raw data; default $DATA_ROOT/{name}"
    )
    parser.add_argument("--split", choices=tuple(splits), default=split, help=f"default {split}")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="result as JSON; default beside the predictions"
    )


def run(
    parser: argparse.ArgumentParser,
    evaluate: Callable[[Path, argparse.Namespace], Report],
    argv: Sequence[str] | None = None,
) -> int:
    """Parses the arguments, evaluates, writes the result, prints; returns the exit code.

    >>> parser = make_parser("mydata")
    >>> add_options(parser, "mydata", "an .npz file", ("val", "test"), "test")
    >>> def evaluate(root, args):
    ...     return Report({}, [f"{args.split} of {root}"], "eval")
    >>> run(parser, evaluate, ["--pred-path", "p.npz", "--data-dir", "raw"])
    test of raw
    0

    Args:
        parser: With the options of :func:`add_options`.
        evaluate: Gets the folder of the raw data and the arguments.
        argv: Arguments; None = those of the process.

    Returns:
        0 done, 1 the work failed (one line on standard error says why), 2 wrong request.
    """
    with printable_output():
        return _run(parser, evaluate, argv)


def _run(
    parser: argparse.ArgumentParser,
    evaluate: Callable[[Path, argparse.Namespace], Report],
    argv: Sequence[str] | None,
) -> int:
    args = parser.parse_args(argv)
    root = args.data_dir
    try:
        root = root or paths.raw_dir(args.dataset)
        if args.out:
            require_place(args.out, f"--out {args.out}")
        # A file on which a parser crashes ends in one line like any other.
        report = call_apart(lambda: evaluate(root, args), "the evaluation")
        out = args.out or default_output(args.pred_path, report.tag)
        if report.result:
            write_result(out, report.result)
    except PosePileError as e:
        if isinstance(e, CorruptInput) and root in Path(e.file).parents and not names_in(root):
            e = no_raw_data(root, args.dataset)
        print(e, file=sys.stderr)
        return e.exit_code
    print_lines(report.lines)
    print_lines(f"Left out, {why}: {n}" for why, n in report.result.get("left_out", {}).items())
    print_lines(f"Skipped {name}: {why}" for name, why in report.result.get("skipped", {}).items())
    if report.result:
        print(f"Written to {out}")
    return 0
