"""The ``posepile`` command: thin over the rooms. Exit 0 done, 1 failed, 2 wrong request."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

from posepile.cli.checking import add_check_options, cmd_check
from posepile.cli.duplicates import add_duplicates_options, cmd_duplicates
from posepile.cli.evaluating import add_eval_options, cmd_eval
from posepile.cli.exporting import add_export_options, cmd_export
from posepile.cli.hygiene import add_hygiene_options, cmd_hygiene
from posepile.cli.importing import add_import_options, cmd_import
from posepile.cli.looking import (
    cmd_doctor,
    cmd_list,
    cmd_plan,
    cmd_report,
    cmd_status,
    cmd_verify,
    cmd_view,
)
from posepile.cli.making import cmd_new
from posepile.cli.merging import add_merge_options, cmd_merge
from posepile.cli.models import add_model_commands
from posepile.cli.options import add_config_options, add_run_options, add_variant, position
from posepile.cli.running import STEPS, cmd_run, cmd_step
from posepile.cli.skeletons import add_skeleton_options, cmd_skeleton
from posepile.cli.subsetting import add_subset_options, cmd_subset
from posepile.errors import PosePileError
from posepile.shortage import allow_open_files, shortage_behind
from posepile.terminal import OneLineParser, complain, printable_output


def main(argv: list[str] | None = None) -> None:
    """Entry point; turns our errors into one line on stderr and the exit code."""
    with printable_output():
        sys.exit(_main(argv))


def _main(argv: list[str] | None) -> int:
    args = make_parser().parse_args(argv)
    allow_open_files()
    # Batch systems ask with SIGTERM before they kill; SIGHUP is a terminal that was closed, which
    # nohup has ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    # Workers and libraries may have another working directory.
    for variable in ("DATA_ROOT", "CACHE_DIR", "POSEPILE_MODELS"):
        if os.environ.get(variable):
            os.environ[variable] = os.path.abspath(os.environ[variable])
    try:
        code = args.function(args)
        sys.stdout.flush()  # whoever reads it may be gone
    except PosePileError as e:
        complain(e)
        code = e.exit_code
    except KeyboardInterrupt as e:
        code = interrupted(e)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except Exception as e:
        # What else would be a traceback may come of an interpreter without memory.
        lack = shortage_behind(e, in_doubt=not isinstance(e, OSError))
        if lack is None and isinstance(e, OSError):  # a folder that is not ours
            place = e.filename2 or e.filename  # the second is what a file was to be renamed to
            lack = f"{place}: {e.strerror or e}" if place else f"{e.strerror or e}"
            if isinstance(e, PermissionError):
                lack += "; make it accessible and run again"
        if lack is None:
            raise
        complain(lack)
        code = 1
    return code


class Ended(KeyboardInterrupt):
    """A signal that ends a run like Ctrl-C does.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def _end(number, frame):
    raise Ended(number)


def interrupted(error: KeyboardInterrupt) -> int:
    """Says that a run was ended from outside; returns the exit code."""
    # Whoever presses Ctrl-C again wants what happens anyway, not the trace of it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # the terminal may be gone
        complain("interrupted; run again to go on where it stopped")
    return 128 + getattr(error, "number", signal.SIGINT)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(
        prog="posepile", description="Pose datasets, from raw files to training data."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, description, dataset=True):
        sub = commands.add_parser(name, help=description, description=description)
        sub.set_defaults(function=function, parser=sub)
        if dataset:
            sub.add_argument("name", metavar="DATASET")
        return sub

    add("list", cmd_list, "list the datasets", dataset=False)
    add_run_options(add("run", cmd_run, "run all steps, or some, on a dataset"))
    step = add("step", cmd_step, "run one step of a dataset's main.sh")
    step.add_argument("step", choices=STEPS)
    add_run_options(step)
    for name, function, text in (
        ("plan", cmd_plan, "show what would be downloaded and what a person must do by hand"),
        ("doctor", cmd_doctor, "compare the raw files on disk with the expected layout"),
        ("status", cmd_status, "show how far a dataset is under a configuration"),
    ):
        sub = add(name, function, text)
        add_config_options(sub)
        if name == "plan":
            sub.add_argument("--json", action="store_true", help="as JSON, with every source")
        if name == "doctor":
            sub.add_argument("--checksums", action="store_true", help="read and verify every file")
    new = add("new", cmd_new, "make the folder of a new dataset, complete, to be filled in")
    new.add_argument(
        "--like",
        choices=("multiview", "stills", "coco"),
        required=True,
        help="calibrated videos; pictures with a camera and bodies each; COCO's annotation files",
    )
    new.add_argument(
        "--at",
        type=Path,
        default=Path("."),
        metavar="DIR",
        help="folder to make it in; default: .",
    )
    add_check_options(
        add("check", cmd_check, "test a dataset's folder by its miniature", dataset=False)
    )
    add_eval_options(
        add("eval", cmd_eval, "score predictions by the protocol of a benchmark", dataset=False)
    )
    add_duplicates_options(
        add(
            "duplicates",
            cmd_duplicates,
            "list photographs that several datasets or splits have in common",
            dataset=False,
        )
    )
    add_skeleton_options(
        add("skeleton", cmd_skeleton, "print, convert or draw the joints of a dataset", False)
    )
    text = "list people, motions and pictures that are both trained on and tested on"
    add_hygiene_options(add("hygiene", cmd_hygiene, text, dataset=False))
    add_merge_options(
        add("merge", cmd_merge, "make one training set of several datasets", dataset=False)
    )
    report = add("report", cmd_report, "write the HTML report of a packed dataset")
    report.add_argument("--out", type=Path, help="default: <name>_work/report.html")
    view = add("view", cmd_view, "draw examples with box, joints and mask into a PNG")
    view.add_argument("--split", choices=("train", "val", "test"), default="train")
    view.add_argument(
        "--index", type=position, nargs="+", default=[0], help="positions in the split"
    )
    view.add_argument("--out", type=Path, default=Path("view.png"))
    verify = add("verify", cmd_verify, "check every checksum and row of a packed dataset")
    add_config_options(verify)
    verify.add_argument(
        "--repair", action="store_true", help="make again what is damaged, and nothing else"
    )
    add_subset_options(
        add("subset", cmd_subset, "cut a small dataset out of a big one", dataset=False)
    )
    add_export_options(
        add("export", cmd_export, "write a dataset in another format", dataset=False)
    )
    add_import_options(
        add("import", cmd_import, "make a packed dataset of other formats", dataset=False)
    )
    model = commands.add_parser("model", help="look at networks: which there are, what one is")
    add_model_commands(model)
    for sub in (report, view):
        add_variant(sub)
    return parser
