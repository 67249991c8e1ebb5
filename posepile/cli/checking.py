"""The command that checks a dataset's folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from posepile.cli.options import add_json, natural
from posepile.terminal import print_json


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``check``."""
    parser.add_argument("names", metavar="DATASET", nargs="+", help="datasets with a folder")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the data in DIR/DATASET")
    add_json(parser, "as JSON: every question with its answer")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of the miniature")


def cmd_check(args: argparse.Namespace) -> int:
    """Checks datasets by their miniatures; exit 1 if anything is wrong."""
    from posepile.checking.check import check

    found: dict = {}
    well = check(args.names, args.keep, args.seed, found)
    if args.json:
        print_json({"ok": well, "answers": {n: _facts(answers) for n, answers in found.items()}})
    return 0 if well else 1


def _facts(answers: dict) -> dict:
    return {
        question: {"verdict": a.verdict, "note": a.note, "findings": a.findings}
        for question, a in answers.items()
    }
