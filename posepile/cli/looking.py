"""Commands that look at a dataset, or write it in another form."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from posepile.cli.builds import (
    build_of,
    has_recipe,
    make_run,
    packed_archive,
    require_build,
    require_data_root,
)
from posepile.errors import PosePileError
from posepile.files import require_place
from posepile.terminal import print_lines


def cmd_list(args: argparse.Namespace) -> int:
    """Lists dataset names with kind and licence; exit 1 if a recipe cannot be imported."""
    from posepile.ds import dataset_names, load_recipe, missing_folders

    code = 0
    for folder in missing_folders():
        print(f"POSEPILE_DATASETS: {folder} is no folder", file=sys.stderr)
    for name in dataset_names():
        try:
            spec = load_recipe(name).SPEC
            is_helper = spec.kind == "helper"
            joints = "         -" if is_helper else f"{spec.joint_info.n_joints:3} joints"
        except Exception as e:  # a recipe at work in somebody's own folder
            reason = e if isinstance(e, PosePileError) else f"{type(e).__name__}: {e}"
            print(f"{name:12} cannot be read: {reason}")
            code = 1
            continue
        print(f"{name:12} {spec.kind:10} {joints}  {spec.licence}")
    return code


def cmd_plan(args: argparse.Namespace) -> int:
    """Prints the download plan."""
    from posepile.run import raw

    run = make_run(args)
    if args.json:
        print(json.dumps(raw.plan_data(run), indent=1))
    else:
        print("\n".join(raw.download_plan(run)))
    return 0


def cmd_doctor(args: argparse.Namespace) -> int:
    """Prints what is wrong with the raw files; exit 1 if anything is."""
    from posepile.run import raw

    run = make_run(args)
    require_data_root()
    ok, lines = raw.doctor(run, args.checksums)
    print_lines(lines)
    return 0 if ok else 1


def cmd_status(args: argparse.Namespace) -> int:
    """Prints how many units each stage has finished."""
    from posepile.run import commands

    run = make_run(args)
    require_data_root()
    require_build(run)
    print_lines(commands.status(run))
    return 0


def cmd_report(args: argparse.Namespace) -> int:
    """Writes the report page."""
    from posepile import paths
    from posepile.report import write_report

    build = build_of(args)
    out = args.out or paths.work_dir(build) / "report.html"
    packed_archive(build)
    require_place(out, f"--out {out}")
    write_report(build, out)
    print(out)
    return 0


def cmd_view(args: argparse.Namespace) -> int:
    """Writes a PNG of chosen examples."""
    from posepile.report import write_view
    from posepile.run.apart import call_apart

    build = build_of(args)
    packed_archive(build)
    call_apart(lambda: write_view(build, args.split, args.index, args.out), "drawing examples")
    print(args.out)
    return 0


def _verify_archive(archive: Path, repair: bool) -> int:
    from posepile.errors import UsageError
    from posepile.store.verifying import verify

    if repair:
        raise UsageError(
            f"{archive}: has no recipe, so --repair cannot make it again; do again what has made "
            "it (posepile import, subset)"
        )
    problems = verify(archive)
    print_lines(problems or [f"{archive}: every checksum and row is right"])
    return 1 if problems else 0


def cmd_verify(args: argparse.Namespace) -> int:
    """Checks a packed dataset; exit 1 if anything is wrong."""
    from posepile.run import commands

    build = build_of(args)
    archive = packed_archive(build)
    if not has_recipe(build):
        return _verify_archive(archive, args.repair)
    ok, lines = commands.verify(make_run(args), args.repair)
    print_lines(lines)
    return 0 if ok else 1
