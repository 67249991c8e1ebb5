"""``posepile eval``: the benchmarks, by the names of their protocols."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from posepile.ds import dataset_names, has_evaluation, load_evaluation
from posepile.terminal import print_lines

if TYPE_CHECKING:
    from posepile.evaluation.benchmark import Benchmark


def add_eval_options(parser: argparse.ArgumentParser) -> None:
    """Adds the dataset; what follows its name is read by its own ``eval.py``."""
    parser.add_argument(
        "name", metavar="DATASET", nargs="?", help="without it, all protocols are listed"
    )
    parser.add_argument(
        "rest",
        metavar="OPTION",
        nargs=argparse.REMAINDER,
        help="e.g. --pred-path FILE --protocol NAME; see posepile eval DATASET --help",
    )


def cmd_eval(args: argparse.Namespace) -> int:
    """Evaluates predictions, or lists the protocols of all benchmarks."""
    if args.name is not None:
        name, _, protocol = args.name.partition(".")
        rest = ["--protocol", args.name, *args.rest] if protocol else args.rest
        return load_evaluation(name).main(rest)
    for name in dataset_names():
        if has_evaluation(name):
            print_lines(protocol_lines(load_evaluation(name).BENCHMARK))
    return 0


def protocol_lines(benchmark: Benchmark) -> list[str]:
    """Returns a line per protocol: its name, its figures, and whether it is an official one."""
    return [
        f"{p.name:28} {', '.join(p.figures)}{'' if p.official else '  (not official)'}"
        for p in benchmark.protocols
    ]
