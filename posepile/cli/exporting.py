"""The command ``export``: a packed or merged dataset in the format of another program."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from posepile.cli.options import add_json, add_variant
from posepile.errors import UsageError, WorkError
from posepile.files import require_place
from posepile.terminal import print_json, print_lines


class Format(NamedTuple):
    """A format of :mod:`posepile.export`.

    Attributes:
        suffix: What follows the dataset's name in the default name of the output.
        is_folder: Whether it is a folder.
        options: Options of the command that it takes.
    """

    suffix: str
    is_folder: bool = True
    options: tuple[str, ...] = ()


FORMATS = {
    "upstream": Format("_upstream.barecat", False, ("images",)),
    "pickle": Format("_original.pkl", False, ("cameras",)),
    "folder": Format("_folder"),
    "coco": Format("_coco", True, ("images",)),
    "webdataset": Format("_webdataset"),
    "humandata": Format("_humandata", True, ("images",)),
    "parquet": Format("_parquet", True, ("images",)),
    "labels": Format("_labels.npz", False),
}


def exporter(to: str) -> Callable[..., Any]:
    """Returns the function that writes a format; its module is imported now."""
    if to == "upstream":
        from posepile.export.upstream import export_upstream as function
    elif to == "pickle":
        from posepile.export.original_pickle import export_pickle as function
    elif to == "folder":
        from posepile.export.folder import export_folder as function
    elif to == "coco":
        from posepile.export.coco import export_coco as function
    elif to == "webdataset":
        from posepile.export.webdataset import export_webdataset as function
    elif to == "humandata":
        from posepile.export.humandata import export_humandata as function
    elif to == "parquet":
        from posepile.export.parquet import export_parquet as function
    else:
        from posepile.export.labels import export_labels as function
    return function


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """What to export, to which format, and where to."""
    parser.add_argument(
        "name",
        metavar="DATASET",
        help="a dataset, DATASET@VARIANT, a merged set, .pkl or .barecat",
    )
    parser.add_argument("--to", choices=tuple(FORMATS), required=True, help="see docs/EXPORT.md")
    parser.add_argument(
        "--out", type=Path, help="file or folder to make; default: $DATA_ROOT/<name>_<format>"
    )
    parser.add_argument(
        "--no-images", action="store_true", help="leave the images out, where labels are of use"
    )
    parser.add_argument(
        "--cameras",
        choices=("deltacamera", "cameralib"),
        help="of a pickle: the library whose cameras it names; default: deltacamera",
    )
    add_json(parser, "print the result as JSON")
    add_variant(parser)


def cmd_export(args: argparse.Namespace) -> int:
    """Exports a dataset."""
    from posepile import paths
    from posepile.progress import Progress

    form = FORMATS[args.to]
    options = _options(args, form)
    name, opened = dataset_of(args)
    out = args.out or paths.data_root() / f"{name}{form.suffix}"
    out = Path(os.path.abspath(out))
    if form.is_folder:
        _require_folder(out, args.to, f"--out {out}")
    else:
        require_place(out, f"--out {out}")
    dataset = opened()
    if not any(map(len, dataset.examples.values())):
        raise WorkError(f"{args.name}: has no example; nothing was exported")
    with Progress(f"export {args.name}", unit="examples", quiet=not sys.stderr.isatty()) as bar:
        done = exporter(args.to)(dataset, out, lambda n: bar.update(n - bar.n), **options)
    if args.json:
        print_json(done)
        return 0
    lines = [f"{done.files[0]}: {_count(done.examples, 'example')}"]
    if done.images:
        lines[0] += f", {_count(done.images, 'image')}"
    lines += [str(path) for path in done.files[1:]]
    lines += [f"left out: {_count(n, 'example')}: {why}" for why, n in done.left_out.items()]
    lines += [f"note: {_count(n, 'example')}: {what}" for what, n in (+done.notes).items()]
    print_lines(lines)
    return 0


def _options(args, form):
    given = {"images": False} if args.no_images else {}
    if args.cameras is not None:
        given["cameras"] = args.cameras
    for name in given:
        if name not in form.options:
            option = "--no-images" if name == "images" else f"--{name}"
            taking = [to for to, f in FORMATS.items() if name in f.options]
            raise UsageError(f"{option} with --to {args.to}: is of {', '.join(taking)} only")
    return given


def dataset_of(args: argparse.Namespace) -> tuple[str, Callable[[], Any]]:
    """Returns the name of the packed or merged dataset, and a function that opens it."""
    from posepile.paths import is_address
    from posepile.store.named import named

    found = named(args.name, args.variant)
    if not is_address(args.name):
        found.packed()
    return Path(found.name).stem if found.kind == "file" else found.name, found.open


def _require_folder(out, to, asked):
    from posepile.export.folders import DESCRIPTION, require_own

    if to != "folder":
        require_own(out, to)
    require_place(out / DESCRIPTION if out.is_dir() else out, asked)


def _count(n, what):
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
