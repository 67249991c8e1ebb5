"""The command ``subset``: a small dataset cut out of a big one."""

from __future__ import annotations

import argparse
import pickle
import sys

from posepile.cli.exporting import dataset_of
from posepile.cli.options import add_json, add_variant
from posepile.errors import UsageError
from posepile.terminal import print_json, print_lines

_SPLITS = ("train", "val", "test")


def add_subset_options(parser: argparse.ArgumentParser) -> None:
    """What to cut out of which dataset, and where to."""
    parser.add_argument(
        "name", metavar="DATASET", help="a dataset, a merged set, .pkl or .barecat"
    )
    parser.add_argument("--out", required=True, metavar="NAME", help="name of the subset")
    parser.add_argument(
        "--n", type=_count, metavar="N", help="at most N examples of a dataset and split, spread"
    )
    parser.add_argument(
        "--every", type=_count, default=1, metavar="K", help="each K-th of a dataset and split"
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        choices=_SPLITS,
        default=list(_SPLITS),
        help="splits to take from; default: all",
    )
    parser.add_argument("--subjects", nargs="+", metavar="NAME", help="only of these people")
    for option, text in (("only", "of which one must match"), ("without", "none of which may")):
        parser.add_argument(
            f"--{option}",
            action="append",
            default=[],
            metavar="COLUMN=GLOB",
            help=f"a pattern, {text}, such as sequence=*walk*; may be repeated",
        )
    add_json(parser, "print the result as JSON")
    add_variant(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1")
    return number


def cmd_subset(args: argparse.Namespace) -> int:
    """Writes a subset, its archives and the pickle that opens it."""
    from posepile import paths
    from posepile.files import write_atomically
    from posepile.merging import subset
    from posepile.paths import require_data_root
    from posepile.progress import Progress
    from posepile.store.new_names import check_new_name

    require_data_root()
    out = args.out
    check_new_name(out, "subset")
    filters = _filters(args)
    name, opened = dataset_of(args)
    chosen, reasons = subset.choose(
        opened(), splits=args.splits, filters=filters, every=args.every, n=args.n
    )
    facts = {
        "of": name,
        "splits": args.splits,
        "every": args.every,
        "n": args.n,
        "filters": filters.model_dump(mode="json", exclude_defaults=True),
    }
    with Progress(f"subset {out}", unit="examples", quiet=not sys.stderr.isatty()) as bar:
        archive, step = paths.archive_path(out), lambda n: bar.update(n - bar.n)
        made = subset.write_subset(chosen, archive, facts, step)
    pickle_path = paths.cache_dir() / f"{out}.pkl"
    pickle_path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(pickle_path, pickle.dumps(made.dataset, protocol=4))
    counts = subset.counts_of(made.dataset)
    if args.json:
        result = {
            "pickle": str(pickle_path),
            "archives": {name: str(path) for name, path in made.archives.items()},
            "counts": counts,
            "images": made.n_images,
            "not_chosen": dict(reasons),
            "left_out": dict(made.left_out),
        }
        print_json(result)
        return 0
    total = ", ".join(f"{n} {split}" for split, n in counts.items() if n)
    lines = [
        f"{pickle_path}: {total} of {made.n_images} images"
        + (f"; --n: at most {args.n} of each dataset and split" if args.n else ""),
        *map(str, made.archives.values()),
    ]
    lines += [f"  not chosen: {n} {why}" for why, n in reasons.items()]
    lines += [f"  left out: {n} {why}" for why, n in made.left_out.items()]
    print_lines(lines)
    return 0


def _filters(args):
    from pydantic import ValidationError

    from posepile.merging.filters import Filters

    found = {"only": {}, "without": {}}
    for option, columns in found.items():
        for given in getattr(args, option):
            column, equals, glob = given.partition("=")
            if not (column and equals and glob):
                raise UsageError(f"--{option} {given}: expected COLUMN=GLOB")
            columns.setdefault(column, []).append(glob)
    if args.subjects:
        found["only"].setdefault("subject", []).extend(args.subjects)
    try:
        return Filters(**found)
    except ValidationError as e:
        why = e.errors()[0]
        raise UsageError(
            f"--{why['loc'][0]}: {why['msg'].removeprefix('Value error, ')}"
        ) from None
