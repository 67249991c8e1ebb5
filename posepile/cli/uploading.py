"""The command ``upload``: a packed dataset into an object store."""

from __future__ import annotations

import argparse
import sys

from posepile.cli.options import add_json, add_variant
from posepile.errors import UsageError
from posepile.terminal import print_json, print_lines


def add_upload_options(parser: argparse.ArgumentParser) -> None:
    """What to upload, and where to."""
    parser.add_argument("name", metavar="DATASET", help="a packed dataset, or a .barecat")
    parser.add_argument("to", metavar="ADDRESS", help="a folder of a store, as s3://BUCKET/FOLDER")
    add_json(parser, "print the result as JSON")
    add_variant(parser)


def cmd_upload(args: argparse.Namespace) -> int:
    """Uploads the files of an archive, the index last; goes on where it stopped."""
    from posepile import paths
    from posepile.progress import Progress
    from posepile.remote.upload import upload_files
    from posepile.store.layout import archive_files
    from posepile.store.named import named

    if not paths.is_address(args.to) or args.to.endswith(".barecat"):
        raise UsageError(
            f"ADDRESS {args.to}: expected a folder of a store, such as s3://BUCKET/FOLDER"
        )
    found = named(args.name, args.variant)
    if found.path.suffix != ".barecat":
        raise UsageError(f"{args.name}: a mix has no pictures; upload the archives it names")
    archive = found.packed()
    files = archive_files(archive)
    total = sum(path.stat().st_size for path, _ in files)
    quiet = not sys.stderr.isatty()
    with Progress(f"upload {archive.name}", total=total, unit="B", quiet=quiet) as bar:
        done = upload_files(files, args.to, bar.update)
    address = f"{args.to.rstrip('/')}/{archive.name}"
    if args.json:
        result = {"address": address, "sent": done.sent, "there": done.there}
        print_json({**result, "bytes": done.n_bytes})
        return 0
    print_lines(
        [
            f"{address}: {len(done.sent)} files sent ({done.n_bytes / 1e6:.1f} MB), "
            f"{len(done.there)} were there; all compared by checksum",
            f"  use      from posepile.datasets3d import get_dataset; get_dataset({address!r})",
        ]
    )
    return 0
