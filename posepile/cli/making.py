"""Commands that make a dataset folder."""

from __future__ import annotations

import argparse


def cmd_new(args: argparse.Namespace) -> int:
    """Makes the folder of a new dataset."""
    from posepile.templates import new_dataset, next_steps

    print("\n".join(next_steps(new_dataset(args.name, args.like, args.at))))
    return 0
