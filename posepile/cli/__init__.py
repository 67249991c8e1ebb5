"""The ``posepile`` command: thin over the rooms. Exit 0 done, 1 failed, 2 wrong request."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from posepile.cli.checking import add_check_options, cmd_check
from posepile.cli.looking import (
    cmd_doctor,
    cmd_export,
    cmd_list,
    cmd_plan,
    cmd_report,
    cmd_status,
    cmd_verify,
    cmd_view,
)
from posepile.cli.making import cmd_new
from posepile.cli.options import add_config_options, add_run_options, add_variant
from posepile.cli.running import STEPS, cmd_run, cmd_step
from posepile.errors import PosePileError
from posepile.shortage import allow_open_files, shortage_behind
from posepile.terminal import printable_output


def main(argv: list[str] | None = None) -> None:
    """Entry point; turns our errors into one line on stderr and the exit code."""
    with printable_output():
        sys.exit(_main(argv))


def _main(argv: list[str] | None) -> int:
    parser = make_parser()
    args = parser.parse_args(argv)
    allow_open_files()
    # Batch systems ask with SIGTERM before they kill.
    signal.signal(signal.SIGTERM, _terminate)
    # Workers and libraries may have another working directory.
    for variable in ("DATA_ROOT", "CACHE_DIR"):
        if os.environ.get(variable):
            os.environ[variable] = os.path.abspath(os.environ[variable])
    try:
        code = args.function(args)
    except PosePileError as e:
        print(f"posepile: {e}", file=sys.stderr)
        code = e.exit_code
    except KeyboardInterrupt as e:
        print("posepile: interrupted; run again to go on where it stopped", file=sys.stderr)
        code = 143 if isinstance(e, Terminated) else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as e:
        # What else would be a traceback may come of an interpreter without memory.
        lack = shortage_behind(e, in_doubt=not isinstance(e, OSError))
        if lack is None and isinstance(e, OSError):  # a folder that is not ours
            place = f"{e.filename}: " if e.filename else ""
            lack = f"{place}{e.strerror or e}"
            if isinstance(e, PermissionError):
                lack += "; make it accessible and run again"
        if lack is None:
            raise
        print(f"posepile: {lack}", file=sys.stderr)
        code = 1
    return code


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run like Ctrl-C does."""


def _terminate(number, frame):
    raise Terminated


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong with a command in one line, as all our errors do."""

    def error(self, message: str) -> NoReturn:
        """Prints the error and where the options are listed; exit 2."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help lists the options\n")


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(
        prog="posepile", description="Pose datasets, from raw files to training data."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, description, dataset=True):
        sub = commands.add_parser(name, help=description, description=description)
        sub.set_defaults(function=function)
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
    report = add("report", cmd_report, "write the HTML report of a packed dataset")
    report.add_argument("--out", type=Path, help="default: <name>_work/report.html")
    view = add("view", cmd_view, "draw examples with box, joints and mask into a PNG")
    view.add_argument("--split", choices=("train", "val", "test"), default="train")
    view.add_argument("--index", type=int, nargs="+", default=[0], help="positions in the split")
    view.add_argument("--out", type=Path, default=Path("view.png"))
    verify = add("verify", cmd_verify, "check every checksum and row of a packed dataset")
    add_config_options(verify)
    verify.add_argument(
        "--repair", action="store_true", help="make again what is damaged, and nothing else"
    )
    export = add("export", cmd_export, "write a packed dataset in another format")
    export.add_argument("--to", choices=("upstream",), required=True)
    export.add_argument("--out", type=Path, help="default: $DATA_ROOT/<name>_upstream.barecat")
    for sub in (report, view, export):
        add_variant(sub)
    return parser
