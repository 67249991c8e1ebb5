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
            f"{archive}: --repair needs a recipe, so name the dataset; without one do again what "
            "has made the archive (posepile import, subset)"
        )
    problems = verify(archive)
    if as_json:
        print_json({"archive": archive, "ok": not problems, "lines": problems})
    else:
        print_lines(problems or [f"{archive}: every checksum and row is right"])
    return 1 if problems else 0


def _verify_address(address: str, repair: bool, as_json: bool) -> int:
    from posepile.errors import UsageError
    from posepile.store.far import verify_address

    if repair:
        raise UsageError(f"{address}: --repair is for archives on disks; posepile upload sends it")
    problems = verify_address(address)
    if as_json:
        print_json({"archive": address, "ok": not problems, "lines": problems})
    else:
        print_lines(problems or [f"{address}: every object fits its SHA-256"])
    return 1 if problems else 0


def cmd_verify(args: argparse.Namespace) -> int:
    """Checks a packed dataset; exit 1 if anything is wrong."""
    from posepile.errors import UsageError
    from posepile.paths import is_address
    from posepile.run import commands
    from posepile.store.named import named

    if is_address(args.name):
        return _verify_address(args.name, args.repair, args.json)
    found = named(args.name, args.variant)
    if found.path.suffix != ".barecat":
        raise UsageError(f"{args.name}: has no checksums; verify the archives that it refers to")
    archive = found.packed()
    if found.kind != "recipe":
        return _verify_archive(archive, args.repair, args.json)
    ok, lines = commands.verify(make_run(args), args.repair)
    if args.json:
        print_json({"archive": archive, "ok": ok, "lines": lines})
    else:
        print_lines(lines)
    return 0 if ok else 1
