"""Commands that look at a dataset, or write it in another form."""

from __future__ import annotations

import argparse
from pathlib import Path

from posepile.cli.builds import make_run
from posepile.terminal import print_json, print_lines


def _verify_archive(archive: Path, repair: bool, as_json: bool) -> int:
    from posepile.errors import UsageError
    from posepile.store.verifying import verify

    if repair:
        raise UsageError(
            f"{archive}: has no recipe, so --repair cannot make it again; do again what has made "
            "it (posepile import, subset)"
        )
    problems = verify(archive)
    if as_json:
        print_json({"archive": archive, "ok": not problems, "lines": problems})
    else:
        print_lines(problems or [f"{archive}: every checksum and row is right"])
    return 1 if problems else 0


def cmd_verify(args: argparse.Namespace) -> int:
    """Checks a packed dataset; exit 1 if anything is wrong."""
    from posepile.ds import dataset_dir
    from posepile.run import commands
    from posepile.store.named import named

    found = named(args.name, args.variant)
    if found.kind in ("mix", "file"):
        dataset_dir(found.name)  # which raises: there is no archive of that name
    archive = found.packed()
    if found.kind != "recipe":
        return _verify_archive(archive, args.repair, args.json)
    ok, lines = commands.verify(make_run(args), args.repair)
    if args.json:
        print_json({"archive": archive, "ok": ok, "lines": lines})
    else:
        print_lines(lines)
    return 0 if ok else 1
