"""Commands that make a dataset folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from posepile.terminal import print_json, print_lines


def add_new_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``posepile new``."""
    parser.add_argument(
        "--like",
        choices=("multiview", "stills", "coco", "videos"),
        required=True,
        help="calibrated videos; pictures with a camera and bodies each; COCO's annotation files; "
        "videos with a calibration and 3D key points as programs write them",
    )
    parser.add_argument(
        "--at",
        type=Path,
        default=Path("."),
        metavar="DIR",
        help="folder to make it in; default: .",
    )
    parser.add_argument(
        "--raw",
        type=Path,
        metavar="DIR",
        help="with --like videos: the folder of the recordings, which is looked at to fill in "
        "what is found there; it stays where it is",
    )


def cmd_new(args: argparse.Namespace) -> int:
    """Makes the folder of a new dataset."""
    from posepile.errors import UsageError
    from posepile.templates import new_dataset, next_steps

    said, steps = [], {}
    if args.raw is None:
        folder = new_dataset(args.name, args.like, args.at)
    else:
        if args.like != "videos":
            raise UsageError(f"--raw goes with --like videos; found --like {args.like}")
        from posepile.recordings.filled import filled_files
        from posepile.recordings.found import look_at_recordings

        found = look_at_recordings(args.raw)
        filled = filled_files(args.name, args.raw, found)
        folder = new_dataset(args.name, args.like, args.at, filled)
        said, steps = found.said, {"raw": args.raw}
    lines = next_steps(folder, **steps)
    if args.json:
        print_json({"folder": folder, "found": said, "next": lines[1:]})
    else:
        print_lines([*said, *lines])
    return 0
