"""Command line of an ``eval.py``: the common options, the run, the exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from posepile import paths
from posepile.errors import CorruptInput, PosePileError, UsageError, no_raw_data, whole_number
from posepile.evaluation.benchmark import MILLIMETRES, Benchmark, Setup
from posepile.evaluation.results import default_output, write_result
from posepile.evaluation.scoring import PACKED, RAW, Scored, explanation, score_protocol, summary
from posepile.evaluation.worst import write_worst
from posepile.files import names_in, require_place
from posepile.run.apart import call_apart
from posepile.terminal import (
    OneLineParser,
    kept_for_json,
    print_json,
    print_lines,
    printable_output,
)


def run_benchmark(
    benchmark: Benchmark, argv: Sequence[str] | None = None, description: str | None = None
) -> int:
    """Evaluates predictions as the command line says, prints, writes; returns the exit code.

    >>> from posepile.evaluation.benchmark import Protocol
    >>> row = {"joints": "17", "root": "none", "alignment": "none", "averaging": "all"}
    >>> protocol = Protocol("mydata.p1", ("MPJPE_mm",), source="ours", **row)
    >>> run_benchmark(Benchmark("mydata", [protocol], list, list, dict), ["--explain"])
     protocol: mydata.p1
      figures: MPJPE
    ...
    0

    Args:
        benchmark: What the ``eval.py`` declares.
        argv: Arguments; None = those of the process.
        description: What ``--help`` says first: the docstring of the ``eval.py``.

    Returns:
        0 done, 1 the work failed (one line on standard error says why), 2 wrong request.
    """
    return exit_code(lambda: _run_benchmark(benchmark, argv, description))


def exit_code(work: Callable[[], int]) -> int:
    """Returns the exit code of a command; an error of ours becomes its one line and code.

    >>> exit_code(lambda: 0)
    0
    """
    with printable_output():
        try:
            return work()
        except PosePileError as e:
            print(e, file=sys.stderr)
            return e.exit_code


def _run_benchmark(
    benchmark: Benchmark, argv: Sequence[str] | None, description: str | None
) -> int:
    parser = benchmark_parser(benchmark, description)
    args = parser.parse_args(argv)
    with kept_for_json(args.json):
        return _evaluate(benchmark, parser, args)


def _evaluate(
    benchmark: Benchmark, parser: argparse.ArgumentParser, args: argparse.Namespace
) -> int:
    names = args.protocol.split(",") if args.protocol else [None]
    protocols = [benchmark.protocol(name) for name in names]
    for i, protocol in enumerate(protocols):
        if protocol in protocols[:i]:
            raise UsageError(f"--protocol {args.protocol}: {protocol.name} is there twice")
    if args.explain:
        asked = protocols if args.protocol else benchmark.protocols
        if args.json:
            print_json({protocol.name: explanation(protocol) for protocol in asked})
        for protocol in asked:
            print_lines([*explanation(protocol), ""])
        return 0
    if args.pred_path is None:
        parser.error("the following arguments are required: --pred-path")
    if not os.path.exists(args.pred_path):  # nor one that must not be looked at
        raise UsageError(f"--pred-path {args.pred_path}: no such file or folder")
    root = args.data_dir or paths.raw_dir(benchmark.name)
    tag = "_".join(p.name.replace(".", "_") for p in protocols)
    if getattr(args, "split", None) != parser.get_default("split"):
        tag += f"_{args.split}"
    out = args.out or default_output(args.pred_path, f"eval_{tag}")
    page = out.parent / f"{out.stem}.worst.html"
    for place in (out, page) if args.worst else (out,):
        require_place(place, f"--out {place}")
        if os.path.realpath(place) == os.path.realpath(args.pred_path):
            raise UsageError(f"--out {place}: holds the predictions; write the result elsewhere")
    setups = [Setup(root, args.pred_path, protocol, args) for protocol in protocols]

    def work() -> list[Scored]:
        found = [score_protocol(benchmark, setup, args.worst) for setup in setups]
        if args.worst:
            write_worst(page, list(zip(protocols, found, strict=True)))
        return [Scored(scored.result, []) for scored in found]

    try:
        # A file on which a parser crashes ends in one line like any other.
        scored = call_apart(work, "the evaluation")
    except CorruptInput as e:
        if root in Path(e.file).parents and not names_in(root):
            raise no_raw_data(root, benchmark.name) from None
        raise
    results = [s.result for s in scored]
    write_result(out, results[0] if len(results) == 1 else results)
    if args.json:
        print_json(results[0] if len(results) == 1 else results)
    for result in results:
        print_lines(summary(result))
    if args.worst:
        print(f"The {args.worst} worst: {page}")
    print(f"Written to {out}")
    return 0


def benchmark_parser(
    benchmark: Benchmark, description: str | None = None
) -> argparse.ArgumentParser:
    """Returns the parser of an ``eval.py``, with the benchmark's own options."""
    parser = OneLineParser(
        prog=f"python -m posepile.ds.{benchmark.name}.eval",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pred-path", "--predictions", type=Path, metavar="PATH", help="file or folder"
    )
    names = ", ".join(protocol.name for protocol in benchmark.protocols)
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help=f"{names}; several are separated by commas; default {benchmark.protocols[0].name}",
    )
    parser.add_argument(
        "--explain", action="store_true", help="print the definition of the protocol; no more"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"raw data; default $DATA_ROOT/{benchmark.name}",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="result as JSON; default beside the predictions"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON as well as writing it"
    )
    parser.add_argument("--units", choices=tuple(MILLIMETRES), help="of lengths in predictions")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out what has no finite prediction, and count it; otherwise an error",
    )
    parser.add_argument(
        "--worst",
        type=_whole,
        default=0,
        metavar="N",
        help="also write a page with the N worst entries drawn over their pictures",
    )
    if benchmark.packed:
        parser.add_argument(
            "--truth",
            default=RAW,
            metavar="PLACE",
            help=f"{RAW} (default), {PACKED}: the dataset built of it, or FILE.barecat",
        )
    if benchmark.add_options:
        benchmark.add_options(parser)
    return parser


def split_option(
    choices: Iterable[str], default: str
) -> Callable[[argparse.ArgumentParser], None]:
    """Returns what adds ``--split``: ``add_options`` of a benchmark.

    >>> parser = OneLineParser()
    >>> split_option(("val", "test"), "test")(parser)
    >>> parser.parse_args([]).split
    'test'

    Args:
        choices: What can be evaluated.
        default: One of them.
    """

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--split", choices=tuple(choices), default=default, help=f"default {default}"
        )

    return add


def _whole(text: str) -> int:
    """Returns the number that an option gives.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    number = whole_number(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return number
