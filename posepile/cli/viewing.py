"""The ``view`` command: the interactive page of a dataset, or a picture of some examples."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from posepile.cli.options import add_variant, natural, position
from posepile.cli.other_viewers import (
    add_other_viewers,
    check_other_viewers,
    make_in_fiftyone,
    write_for_rerun,
)
from posepile.cli.windows import has_windows
from posepile.errors import UsageError
from posepile.terminal import printable

_MOST_PORTS = 65535


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``view``."""
    parser.add_argument(
        "image_path", metavar="IMAGE_PATH", nargs="?", help="the example to begin with"
    )
    parser.add_argument(
        "--split", choices=("train", "val", "test"), help="default: the first that has examples"
    )
    parser.add_argument(
        "--index",
        type=position,
        nargs="+",
        help="positions in the split; several with --png, --rerun",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--png",
        "--out",
        dest="png",
        type=Path,
        metavar="FILE",
        help="draw the examples into a picture instead",
    )
    add_other_viewers(parser, instead)
    parser.add_argument(
        "--port", type=natural, default=None, help="default: 8765, or the next free one"
    )
    parser.add_argument(
        "--no-open", action="store_true", help="print the address and open no browser"
    )
    parser.add_argument(
        "--exclusions",
        type=Path,
        metavar="FILE",
        help="where examples that are marked as bad are listed; "
        "default: <name>_exclusions.txt beside the dataset",
    )
    add_variant(parser)


def cmd_view(args: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C, or writes chosen examples into files."""
    from posepile.store.named import named

    check_other_viewers(args)
    if args.image_path is not None and args.index is not None:
        raise UsageError(f"{args.image_path}, --index: give one of them")
    elsewhere = any(value is not None for value in (args.png, args.rerun, args.fiftyone))
    if args.index is not None and len(args.index) > 1 and not elsewhere:
        raise UsageError(
            f"--index {' '.join(map(str, args.index))}: several examples; add --png FILE"
        )
    if args.png is not None:
        _check_picture(args.png)
    found = named(args.name, args.variant)
    build, dataset = found.name, found.open()
    if args.png is not None:
        return _draw(args, build, dataset)
    if args.rerun is not None:
        return write_for_rerun(args, build, dataset, lambda: _place(args, dataset))
    if args.fiftyone is not None:
        return make_in_fiftyone(args, build, dataset, lambda: _place(args, dataset))
    return _serve(args, build, dataset)


def _check_picture(place):
    """Refuses a place where no picture can be written, before anything is read."""
    import cv2

    from posepile.files import require_place

    require_place(place, f"--png, --out {place}")
    if not cv2.haveImageWriter(str(place)):
        found = place.suffix or "no suffix"
        raise UsageError(f"--png, --out {place}: found {found}, expected .png or .jpg")


def _place(args, dataset) -> tuple[str, int | None]:
    """Returns the split and the position that are asked for; None: no certain example."""
    from posepile.recipe import SPLIT_NAMES
    from posepile.viewer.browsing import Browsed

    counts = {name: len(dataset.examples[number]) for number, name in SPLIT_NAMES.items()}
    first = next((name for name, n in counts.items() if n), "train")
    if args.image_path is None:
        split = args.split or first
        if args.index is None:
            return split, None
        index = args.index[0]
        if not -counts[split] <= index < counts[split]:
            raise UsageError(f"--index {index}: {args.name} has {counts[split]} {split} examples")
        return split, index % counts[split]
    for number, name in SPLIT_NAMES.items():
        if args.split in (None, name):
            found = Browsed(dataset.examples[number]).find(args.image_path)
            if len(found):
                return name, int(found[0])
    where = f"the {args.split} examples of " if args.split else ""
    raise UsageError(f"{args.image_path}: no such image path in {where}{args.name}")


def _draw(args, build, dataset):
    from posepile.report import write_view
    from posepile.run.apart import call_apart

    split, index = _place(args, dataset)
    indices = args.index or [index or 0]
    call_apart(lambda: write_view(build, split, indices, args.png), "drawing examples")
    print(args.png)
    return 0


def _serve(args, build, dataset):
    from posepile import paths
    from posepile.store.named import FILES
    from posepile.viewer import DEFAULT_PORT, make_server, serve
    from posepile.viewer.answers import Answers
    from posepile.viewer.marks import Marks, default_place
    from posepile.viewer.quality import Quality
    from posepile.viewer.serving import link_to

    port = DEFAULT_PORT if args.port is None else args.port
    if port > _MOST_PORTS:
        raise UsageError(f"--port {port}: expected a number up to {_MOST_PORTS}")
    is_file = build.endswith(FILES)
    name = Path(build).stem if is_file else build
    if args.exclusions is not None:
        listed = args.exclusions
    else:
        on_disk = is_file and not paths.is_address(build)
        folder = paths.ensure_absolute(build).parent if on_disk else paths.data_root()
        listed = default_place(name, Path(folder))
    listed = Path(os.path.abspath(listed))  # what a mix's file can name, wherever that lies
    if listed.is_dir():
        raise UsageError(f"--exclusions {listed}: found a folder, expected a text file")
    split, index = _place(args, dataset)
    answers = Answers(name, dataset, Marks(listed), Quality(build, dataset))
    server = make_server(answers, port)
    given = server.server_address[1]
    if port and given != port:
        print(f"port {port} is taken; this is {given}", file=sys.stderr)
    if index is None:
        link = link_to(server.url, name, split if args.split else "")
    else:
        example = dataset.examples[_number(split)][index]
        person = 0 if args.image_path else int(getattr(example, "person", 0) or 0)
        link = link_to(server.url, name, split, example.image_path, person)
    print(f"{printable(name)}: {link}")
    print(f"Ctrl-C ends it; what you mark as bad is listed in {listed}", flush=True)
    if os.environ.get("SSH_CONNECTION"):
        host = os.uname().nodename
        print(f"from another machine: ssh -L {given}:127.0.0.1:{given} {host}", flush=True)
    if not args.no_open and has_windows():
        import webbrowser

        webbrowser.open(link)
    serve(server)
    return 0


def _number(split):
    from posepile.recipe import SPLIT_NAMES

    return next(number for number, name in SPLIT_NAMES.items() if name == split)
