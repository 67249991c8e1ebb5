"""``posepile eval``: the benchmarks, by the names of their protocols."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from posepile.cli.options import add_json
from posepile.ds import dataset_names, has_evaluation, load_evaluation
from posepile.terminal import print_json, print_lines

if TYPE_CHECKING:
    from posepile.evaluation.benchmark import Benchmark


def add_eval_options(parser: argparse.ArgumentParser) -> None:
    """Adds the dataset; what follows its name is read by its own ``eval.py``."""
    add_json(parser, "as JSON; without a dataset, the protocols")
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
        rest = ["--json", *rest] if args.json else rest
        return load_evaluation(name).main(rest)
    if args.json:
        print_json(_all_protocols())
        return 0
    for name in dataset_names():
        if has_evaluation(name):
            print_lines(protocol_lines(load_evaluation(name).BENCHMARK))
    return 0


def _all_protocols() -> list[dict[str, Any]]:
    return [
        {"name": p.name, "figures": p.figures, "official": p.official, "source": p.source}
        for name in dataset_names()
        if has_evaluation(name)
        for p in load_evaluation(name).BENCHMARK.protocols
    ]


def protocol_lines(benchmark: Benchmark) -> list[str]:
    """Returns a line per protocol: its name, its figures, and whether it is an official one."""
    return [
        f"{p.name:28} {', '.join(p.figures)}{'' if p.official else '  (not official)'}"
        for p in benchmark.protocols
    ]
