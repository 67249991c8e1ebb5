"""The command ``merge``: several datasets as one training set."""

from __future__ import annotations

import argparse
import os
import shlex

from posepile.cli.options import add_json
from posepile.errors import PosePileError, UsageError
from posepile.paths import ensure_absolute, require_data_root
from posepile.terminal import complain, print_json, print_lines


def add_merge_options(parser: argparse.ArgumentParser) -> None:
    """What to merge, and where to."""
    parser.add_argument(
        "mix",
        nargs="?",
        metavar="MIX",
        help="name of a mix of configs/merge, or a file of that form; without: list them",
    )
    parser.add_argument("--out", metavar="NAME", help="name of the merged dataset; default: MIX")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what the mix is, what of it is here, and make nothing",
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="do without the datasets that are not here"
    )
    add_json(parser)
    parser.add_argument(
        "--copy",
        action="store_true",
        help="copy what is taken of each dataset, rows and images, so that the mix stands alone",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the mix, e.g. datasets.h36m.share=8; may be repeated",
    )


def cmd_merge(args: argparse.Namespace) -> int:
    """Makes a mix; exit 1 if datasets of it are not here and that was not allowed."""
    from posepile.merging import mix_lines, mixes, mixing
    from posepile.store.new_names import check_new_name

    if args.mix is None:
        return _list_mixes(args)
    mix = mixes.load_mix(args.mix, args.set, args.out)
    require_data_root()
    check_new_name(mix.name, "mix")
    states = mixing.examine(mix)
    missing = None if args.skip_missing else mixing.missing_error(mix, states)
    if args.dry_run or missing is not None:
        _show(args, mix_lines, mix, states)
        if missing is not None:
            complain(missing)
        return 0 if missing is None else 1
    merged = mixing.make_mix(mix, states, skip_missing=args.skip_missing)
    manifest = mixing.mix_manifest(mix, states, merged, _command(args))
    if args.copy:
        merged, manifest = mixing.copy_mix(mix, merged, manifest)
    path = mixing.write_mix(mix, merged, manifest)
    made = {"pickle": str(path)}
    if args.copy:
        archives = {n: str(ensure_absolute(d["archive"])) for n, d in manifest["datasets"].items()}
        made["archives"] = archives
    _show(args, mix_lines, mix, states, made)
    return 0


def _command(args: argparse.Namespace) -> str:
    """What makes the same mix again."""
    words = ["posepile", "merge", args.mix if args.mix in _names() else os.path.abspath(args.mix)]
    words += [word for override in args.set for word in ("--set", override)]
    words += ["--out", args.out] * bool(args.out) + ["--skip-missing"] * args.skip_missing
    return shlex.join(words + ["--copy"] * args.copy)


def _names() -> list[str]:
    from posepile.merging import mixes

    return mixes.mix_names()


def _show(args, mix_lines, mix, states, made=None) -> None:
    made = made or {}
    if args.json:
        print_json({**mix_lines.mix_data(mix, states), **made})
    else:
        files = [made["pickle"], *made.get("archives", {}).values()] if made else []
        print_lines([*mix_lines.mix_lines(mix, states), *files])


def _list_mixes(args: argparse.Namespace) -> int:
    """Lists the mixes that come with the package."""
    from posepile.merging import mixes

    if args.dry_run or args.skip_missing or args.copy or args.set or args.out:
        raise UsageError("posepile merge: name a mix, or give no option to list them")
    found, code = {}, 0
    for name in mixes.mix_names():
        try:
            mix = mixes.load_mix(name)
        except PosePileError as e:
            complain(e)
            code = 1
            continue
        found[name] = {"datasets": len(mix.parts), "about": mix.file.about}
    if args.json:
        print_json(found)
    else:
        width = max(map(len, found), default=0)
        print_lines(
            f"{n:{width}}  {m['datasets']:2} datasets  {m['about']}" for n, m in found.items()
        )
    return code
