"""``view --rerun`` and ``view --fiftyone``: examples for the viewers of others."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posepile.cli.options import natural
from posepile.errors import UsageError
from posepile.terminal import print_lines, printable

MOST_IN_RERUN = 2000  # their pictures are in memory there
_FILES = (".barecat", ".pkl")

Place = Callable[[], tuple[str, int | None]]


def add_other_viewers(parser: argparse.ArgumentParser, group: Any) -> None:
    """Adds the options.

    Args:
        parser: Of ``view``.
        group: Of those options of which one can be given.
    """
    group.add_argument(
        "--rerun",
        nargs="?",
        const=True,
        metavar="FILE.rrd",
        help="write a recording, or what --where or --index name, for the Rerun viewer; "
        "default: <name>.rrd beside the dataset",
    )
    group.add_argument(
        "--fiftyone",
        nargs="?",
        const=True,
        metavar="DATASET_NAME",
        help="make a FiftyOne dataset of all examples, or what --where or --index name; "
        "default: the same name",
    )
    parser.add_argument(
        "--where",
        action="append",
        metavar="FIELD=TEXT",
        help="with --rerun, --fiftyone: those alone that meet it, such as subject=S1, "
        "'sequence=*walk*', path=left, quality=odd_bone; several must all hold",
    )
    parser.add_argument(
        "--most",
        type=natural,
        help="with --rerun, --fiftyone: no more examples than this; default: "
        f"{MOST_IN_RERUN} with --rerun, all with --fiftyone",
    )


def check_other_viewers(args: argparse.Namespace) -> None:
    """Refuses what cannot be meant, before anything is read.

    Raises:
        UsageError: An option that needs another one, or a file that Rerun would not open.
    """
    if args.rerun is None and args.fiftyone is None:
        for option, value in (("--where", args.where), ("--most", args.most)):
            if value is not None:
                raise UsageError(f"{option}: goes with --rerun or --fiftyone only")
        return
    if args.most == 0:
        raise UsageError("--most 0: expected 1 or more")
    if args.where and (args.image_path is not None or args.index is not None):
        raise UsageError("--where: give it, or an image path, or --index")
    _conditions(args)
    if isinstance(args.rerun, str):
        from posepile.files import require_place

        if not args.rerun.endswith(".rrd"):
            found = Path(args.rerun).suffix or "no suffix"
            raise UsageError(
                f"--rerun {args.rerun}: found {found}, expected .rrd; an image path stands "
                "before --rerun"
            )
        require_place(Path(args.rerun), f"--rerun {args.rerun}")


def write_for_rerun(args: argparse.Namespace, build: str, dataset: Any, place: Place) -> int:
    """Writes the file and opens it, where there is a window to open it in.

    Args:
        args: Of ``view``.
        build: Name or file of the dataset.
        dataset: The dataset.
        place: Returns the split and the position that are asked for.
    """
    from posepile.files import require_place
    from posepile.progress import over
    from posepile.run.apart import call_apart
    from posepile.viewer.rerun_file import write_rrd

    chosen = _chosen(args, build, dataset, place, MOST_IN_RERUN)
    if isinstance(args.rerun, str):
        file = Path(os.path.abspath(args.rerun))
    else:
        folder, name = _beside(build)
        file = folder / f"{name}.rrd"
        require_place(file, f"--rerun {file}")

    def write():
        return write_rrd(
            dataset, chosen, file, lambda items: over(items, "writing for Rerun", len(items))
        )

    written = call_apart(write, "writing for Rerun")
    lines = [f"{file}: {_count(written.examples, 'example')}, {printable(chosen.words)}"]
    if written.lenses:
        lines.append(
            f"note: {_count(written.lenses, 'picture')} with a lens: Rerun draws the pose in "
            "space over them without it; the joints in the picture are exact"
        )
    lines += _left_out(chosen)
    print_lines(lines)
    _open(args, file)
    return 0


def make_in_fiftyone(args: argparse.Namespace, build: str, dataset: Any, place: Place) -> int:
    """Makes the dataset.

    Args:
        args: Of ``view``.
        build: Name or file of the dataset.
        dataset: The dataset.
        place: Returns the split and the position that are asked for.
    """
    from posepile.progress import over
    from posepile.suspects.kept import suspects_of
    from posepile.viewer.fiftyone_set import require_new_name, write_dataset

    beside, own = _beside(build)
    name = args.fiftyone if isinstance(args.fiftyone, str) else own
    require_new_name(name)
    suspects = suspects_of(build, dataset)
    chosen = _chosen(args, build, dataset, place, None, lambda: suspects)
    folder = beside / f"{own}_fiftyone"
    n = write_dataset(
        dataset,
        chosen,
        name,
        folder,
        suspects,
        lambda items: over(items, "handing to FiftyOne", len(items)),
    )
    lines = [
        f"{printable(name)}: FiftyOne has {_count(len(chosen), 'example')} in "
        f"{_count(n, 'picture')}, {printable(chosen.words)}",
        f"the pictures are in {folder}",
        *_left_out(chosen),
        f"look at it: fiftyone app launch {shlex.quote(printable(name))}",
    ]
    print_lines(lines)
    return 0


def _conditions(args):
    found = {}
    for text in args.where or ():
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError(f"--where {text}: expected FIELD=TEXT, such as subject=S1")
        if name in found:
            raise UsageError(f"--where {text}: there is another one of {name}; use a glob")
        found[name] = value
    return found


def _chosen(args, build, dataset, place, most, suspects=None):
    from posepile.recipe import SPLITS
    from posepile.viewer import chosen as choosing

    conditions = _conditions(args)
    if args.index is not None:
        split, _ = place()
        n = len(dataset.examples[SPLITS.index(split)])
        wrong = next((i for i in args.index if not -n <= i < n), None)
        if wrong is not None:
            raise UsageError(f"--index {wrong}: {args.name} has {n} {split} examples")
        found = choosing.at(split, [i % n for i in args.index])
    elif args.image_path is not None or (args.rerun is not None and not conditions):
        split, position = place()
        if not len(dataset.examples[SPLITS.index(split)]):
            raise UsageError(f"{args.name}: has no {split} example")
        found = choosing.whole_recording(dataset, split, position or 0)
    else:
        odd = None
        if "quality" in conditions:
            odd = _suspects_of(build, dataset) if suspects is None else suspects()
        splits = [args.split] if args.split else list(SPLITS)
        found = choosing.that_meet(dataset, conditions, splits, odd)
    if not len(found):
        raise UsageError(f"{found.words}: no example of {args.name} meets it")
    return found.first(most if args.most is None else args.most)


def _suspects_of(build, dataset):
    from posepile.suspects.kept import suspects_of

    return suspects_of(build, dataset)


def _beside(build):
    """Returns the folder in which a dataset lies, and its name."""
    from posepile import paths

    if build.endswith(_FILES):
        return Path(paths.ensure_absolute(build)).parent, Path(build).stem
    return Path(paths.data_root()), build


def _left_out(chosen):
    if not chosen.left_out:
        return []
    return [f"left out: {_count(chosen.left_out, 'example')}: more than --most {len(chosen)}"]


def _open(args, file):
    from posepile.cli.windows import has_windows

    if args.no_open or not has_windows():
        quoted = shlex.quote(str(file))
        print(f"open it: rerun {quoted}  (in a browser: rerun --web-viewer {quoted})")
        return
    subprocess.Popen(
        [sys.executable, "-m", "rerun", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _count(n, what):
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
