"""The command ``hygiene``: what datasets train on and test on at once."""

from __future__ import annotations

import argparse
import csv
import io
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from posepile.cli.options import add_json
from posepile.errors import UsageError
from posepile.files import require_place, write_atomically
from posepile.terminal import print_json, print_lines

SHOWN = 20  # people and motions that are printed, of each pair of splits


def add_hygiene_options(parser: argparse.ArgumentParser) -> None:
    """What to compare, and where to write what is found."""
    parser.add_argument(
        "names",
        nargs="+",
        metavar="DATASET",
        help="datasets, DATASET@VARIANT, mixes or .barecat files; of one alone, its own splits",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write everything that was found to it, a .csv"
    )
    parser.add_argument(
        "--no-pictures",
        action="store_true",
        help="do not compare pictures, which takes minutes for large datasets",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit 1 if there is anything in common, or if nothing could be compared",
    )
    add_json(parser, "as JSON, with everything that was found")


def cmd_hygiene(args: argparse.Namespace) -> int:
    """Prints which people, motions and pictures are in training and in what is tested on."""
    from posepile.merging import hygiene
    from posepile.store.named import named

    if args.out is not None and args.out.suffix != ".csv":
        raise UsageError(f"--out {args.out}: expected a name that ends with .csv")
    twice = next((n for i, n in enumerate(args.names) if n in args.names[:i]), None)
    if twice is not None:
        raise UsageError(f"{twice}: named twice; name each dataset once, it is compared with all")
    datasets = {name: named(name).open() for name in args.names}
    if args.out is not None:
        require_place(args.out, f"--out {args.out}")
    found = hygiene.find_leaks(datasets, pictures=not args.no_pictures)
    lines = _lines(found)
    if args.no_pictures:
        lines.append("pictures were not compared (--no-pictures)")
    if args.out is not None:
        text = io.StringIO()
        names = [f.name for f in fields(hygiene.Leak)]
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(map(asdict, found.leaks))
        write_atomically(args.out, text.getvalue().encode())
        lines.append(str(args.out))
    if args.json:
        print_json(_facts(found, args))
    else:
        print_lines(lines)
    return 1 if args.strict and (found.leaks or not found.compared) else 0


def _facts(found: Any, args: argparse.Namespace) -> dict[str, Any]:
    unknown = [
        {"dataset": name, "split": split, "reason": why, "examples": n}
        for (name, split, why), n in found.unknown.items()
    ]
    return {
        "leaks": found.leaks,
        "compared": found.compared,
        "unknown": unknown,
        "pictures_compared": not args.no_pictures,
        "file": args.out,
    }


def _lines(found: Any) -> list[str]:
    lines, n_shown, pictures = [], Counter(), {}
    for leak in found.leaks:
        pair = f"{leak.dataset} train - {leak.held_dataset} {leak.held_split}"
        if leak.kind == "picture":
            ours, theirs = pictures.setdefault(pair, (set(), set()))
            ours.add(leak.place)
            theirs.add(leak.held_place)
            continue
        n_shown[leak.kind, pair] += 1
        if n_shown[leak.kind, pair] <= SHOWN:
            lines.append(
                f"{leak.kind} {leak.what}: {leak.dataset} train ({leak.n_examples:,} examples, "
                f"first in {leak.place}), {leak.held_dataset} {leak.held_split} "
                f"({leak.n_held_examples:,}, {leak.held_place})"
            )
    for (kind, pair), n in n_shown.items():
        if n > SHOWN:
            lines.append(f"{pair}: {n - SHOWN:,} more {kind}s; --out FILE.csv has all")
    for pair, (ours, theirs) in pictures.items():
        lines.append(f"pictures: {pair}: {len(ours):,} in {len(theirs):,}")
    if not found.compared:
        lines.append("nothing could be compared, so what is in common is not known")
    elif not found.leaks:
        kinds = ", ".join(f"{kind}s" for kind in found.compared)
        lines.append(f"nothing in common was found: compared were {kinds}")
    for (name, split, why), n in found.unknown.items():
        lines.append(f"not known: {name} {split}, {n:,} examples: {why}")
    return lines
