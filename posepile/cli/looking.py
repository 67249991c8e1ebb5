"""Commands that look at a dataset, or write it in another form."""

from __future__ import annotations

import argparse
from pathlib import Path

from posepile.cli.builds import make_run
from posepile.terminal import print_json, print_lines


def cmd_verify(args: argparse.Namespace) -> int:
    """Checks a packed dataset; exit 1 if anything is wrong."""
    archive, ok, lines = _verified(args)
    if args.json:
        print_json({"archive": archive, "ok": ok, "lines": lines})
    else:
        print_lines(lines)
    return 0 if ok else 1


def _verified(args: argparse.Namespace) -> tuple[Path | str, bool, list[str]]:
    """What was checked, whether it is right, and what is to be said of it."""
    from posepile.errors import UsageError
    from posepile.paths import is_address
    from posepile.run import commands
    from posepile.store.far import verify_address
    from posepile.store.named import named
    from posepile.store.verifying import verify

    name = args.name
    if is_address(name):
        if args.repair:
            raise UsageError(
                f"{name}: --repair is for archives on disks; posepile upload sends it"
            )
        problems = verify_address(name)
        return name, not problems, problems or [f"{name}: every object fits its SHA-256"]
    found = named(name, args.variant)
    if found.path.suffix != ".barecat":
        raise UsageError(f"{name}: has no checksums; verify the archives that it refers to")
    archive = found.packed()
    if found.kind == "recipe":
        return archive, *commands.verify(make_run(args), args.repair)
    if args.repair:
        raise UsageError(
            f"{archive}: --repair needs a recipe, so name the dataset; without one do again what "
            "has made the archive (posepile import, subset)"
        )
    problems = verify(archive)
    return archive, not problems, problems or [f"{archive}: every checksum and row is right"]
