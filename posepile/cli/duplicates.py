"""The command ``duplicates``: the same photograph in several datasets."""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from posepile.cli.options import add_json, shown
from posepile.errors import UsageError
from posepile.files import require_place, write_atomically
from posepile.terminal import print_json, print_lines


def add_duplicates_options(parser: argparse.ArgumentParser) -> None:
    """What to compare, and where to write what is found."""
    parser.add_argument(
        "names",
        nargs="+",
        metavar="DATASET",
        help="2D datasets, DATASET@VARIANT or .barecat files; of one alone, its own splits",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write every pair to it: .csv, or .jsonl with a line of JSON each",
    )
    parser.add_argument(
        "--max-distance",
        type=distance,
        metavar="D",
        help="up to which pictures are the same, above 0 and below 1; default: 0.2",
    )
    add_json(parser, "as JSON: how many pictures each two splits have in common")


def distance(text: str) -> float:
    """A distance of two pictures."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"found {shown(text)}; expected a distance above 0 and below 1, e.g. 0.2"
        )
    return value


def cmd_duplicates(args: argparse.Namespace) -> int:
    """Prints how many photographs datasets and splits have in common."""
    from posepile.merging import alike, duplicates
    from posepile.store.named import named

    if args.out is not None and args.out.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--out {args.out}: expected a name that ends with .csv or .jsonl")
    twice = next((n for i, n in enumerate(args.names) if n in args.names[:i]), None)
    if twice is not None:
        raise UsageError(f"{twice}: named twice; name each dataset once, it is compared with all")
    datasets = {name: named(name).open() for name in args.names}
    if args.out is not None:
        require_place(args.out, f"--out {args.out}")
    limit = alike.MAX_DISTANCE if args.max_distance is None else args.max_distance
    lines, facts = _compare(duplicates.photographs(datasets), limit, args.out)
    if args.json:
        print_json({**facts, "file": args.out})
    else:
        print_lines(lines)
    return 0


def _compare(
    splits: list, limit: float, out: Path | None
) -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Returns what to print, as lines and as facts, and writes the pairs."""
    from posepile.merging.duplicates import Pair, pairs_among

    lines = [
        f"{s.dataset} {s.split}: {_pictures(len(s.first))}"
        + (
            f", of which {s.n_vague} with too little in them for more than equal pixels"
            if s.n_vague
            else ""
        )
        for s in splits
    ]
    facts = {
        "splits": [
            {
                "dataset": s.dataset,
                "split": s.split,
                "pictures": len(s.first),
                "vague": s.n_vague,
            }
            for s in splits
        ],
        "common": [],
    }
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for f in fields(Pair)], lineterminator="\n")
    if out is not None and out.suffix == ".csv":
        table.writeheader()
    for one, other in itertools.combinations(splits, 2):
        n, ours, theirs = 0, set(), set()
        for pair in pairs_among((one, other), limit):
            n += 1
            ours.add(pair.image)
            theirs.add(pair.other_image)
            if out is not None and out.suffix == ".csv":
                table.writerow(asdict(pair))
            elif out is not None:
                text.write(json.dumps(asdict(pair)) + "\n")
        facts["common"].append(
            {
                "datasets": [one.dataset, other.dataset],
                "splits": [one.split, other.split],
                "pictures": [len(ours), len(theirs)],
                "pairs": n,
            }
        )
        lines.append(
            f"{one.dataset} {one.split} - {other.dataset} {other.split}: "
            + (f"{_pictures(len(ours))} in {len(theirs)}, pairs: {n}" if n else "none in common")
        )
    if out is not None:
        write_atomically(out, text.getvalue().encode())
        lines.append(str(out))
    return lines, facts


def _pictures(n: int) -> str:
    return f"{n} picture" if n == 1 else f"{n} pictures"
