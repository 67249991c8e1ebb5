"""The command that checks a dataset's folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from posepile.cli.options import natural


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``check``."""
    parser.add_argument("names", metavar="DATASET", nargs="+")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the data in DIR/DATASET")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of the miniature")


def cmd_check(args: argparse.Namespace) -> int:
    """Checks datasets by their miniatures; exit 1 if anything is wrong."""
    from posepile.checking.check import check

    return 0 if check(args.names, args.keep, args.seed) else 1
