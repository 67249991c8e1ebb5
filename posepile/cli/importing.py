"""The command that reads the files of others into a packed dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from posepile.cli.options import add_json

FORMS = ("coco", "humandata", "pickle", "upstream", "webdataset")


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``posepile import``."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="in their order")
    parser.add_argument(
        "--from",
        dest="form",
        choices=FORMS,
        required=True,
        help="form of the files; see docs/IMPORT.md",
    )
    parser.add_argument("--name", required=True, help="of the dataset that is made")
    parser.add_argument(
        "--images", type=Path, metavar="PLACE", help="folder or archive of the pictures"
    )
    parser.add_argument(
        "--facts", type=Path, metavar="FILE", help="YAML with what the files do not tell"
    )
    parser.add_argument("--units", choices=("mm", "cm", "m"), help="of 3D coordinates")
    parser.add_argument("--axes", choices=("world", "camera"), help="of 3D coordinates")
    parser.add_argument(
        "--world-up",
        metavar="AXIS",
        help="y, z, …, three numbers, or unknown; --world-up=-y with = where a - comes first",
    )
    parser.add_argument("--licence", help="of the data; unknown is an answer")
    parser.add_argument(
        "--split", choices=("train", "val", "test"), help="of examples whose files do not tell"
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out examples without a picture"
    )
    add_json(parser, "print the result as JSON")


def cmd_import(args: argparse.Namespace) -> int:
    """Imports files and prints what has become of them."""
    from posepile.imports import writing
    from posepile.imports.facts import read_facts
    from posepile.imports.forms import import_dataset
    from posepile.paths import require_data_root
    from posepile.terminal import print_json, print_lines

    require_data_root()
    named = ("units", "axes", "world_up", "licence", "split")
    facts = read_facts(args.facts, {name: getattr(args, name) for name in named})
    imported = import_dataset(
        args.files,
        args.form,
        args.name,
        facts,
        images=args.images,
        skip_missing=args.skip_missing,
        tell=lambda line: print(line, file=sys.stderr),
    )
    if args.json:
        print_json(writing.plain(imported))
    else:
        print_lines(writing.summary(imported))
    return 0
