"""The ``posepile`` command: thin over the rooms. Exit 0 done, 1 failed, 2 wrong request."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import traceback

from posepile.cli.checking import add_check_options, cmd_check
from posepile.cli.completion import add_completion_options, cmd_completion
from posepile.cli.duplicates import add_duplicates_options, cmd_duplicates
from posepile.cli.evaluating import add_eval_options, cmd_eval
from posepile.cli.exporting import add_export_options, cmd_export
from posepile.cli.help import MainParser, add_examples, version_line
from posepile.cli.hygiene import add_hygiene_options, cmd_hygiene
from posepile.cli.importing import add_import_options, cmd_import
from posepile.cli.listing import add_list_options, cmd_list
from posepile.cli.looking import (
    cmd_verify,
)
from posepile.cli.making import add_new_options, cmd_new
from posepile.cli.merging import add_merge_options, cmd_merge
from posepile.cli.models import add_model_commands
from posepile.cli.options import (
    add_config_options,
    add_json,
    add_run_options,
    add_said_options,
    log_of_share,
)
from posepile.cli.raw_files import add_doctor_options, add_plan_options, cmd_doctor, cmd_plan
from posepile.cli.reporting import add_report_options, cmd_report
from posepile.cli.running import STEPS, cmd_run, cmd_step
from posepile.cli.skeletons import add_skeleton_options, cmd_skeleton
from posepile.cli.state import add_status_options, cmd_status
from posepile.cli.subsetting import add_subset_options, cmd_subset
from posepile.cli.uploading import add_upload_options, cmd_upload
from posepile.cli.viewing import add_view_options, cmd_view
from posepile.errors import PosePileError
from posepile.files import require_place
from posepile.shortage import allow_open_files, shortage_behind
from posepile.terminal import (
    OneLineParser,
    complain,
    kept_for_json,
    logged,
    note,
    printable_output,
)


def main(argv: list[str] | None = None) -> None:
    """Entry point; turns our errors into one line on stderr and the exit code."""
    with printable_output():
        sys.exit(_main(argv))


def _main(argv: list[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    parser = make_parser()
    if not words:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(words)
    log = getattr(args, "log", None)
    try:
        if log is not None:
            log = log_of_share(log, args)
            require_place(log, f"--log {log}")
        with logged(log), kept_for_json(getattr(args, "json", False)):
            note(f"posepile {shlex.join(words)}")
            code = _obey(args)
            note(f"exit {code}")
            return code
    except (PosePileError, OSError) as e:  # of the log's file
        complain(e if isinstance(e, PosePileError) else f"--log {log}: {e.strerror or e}")
        return getattr(e, "exit_code", 2)


def _obey(args: argparse.Namespace) -> int:
    """Runs a command; returns its exit code."""
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
        if getattr(args, "debug", False):
            traceback.print_exc()
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
            note(traceback.format_exc())
            raise
        if getattr(args, "debug", False):
            traceback.print_exc()
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
    parser = MainParser(
        prog="posepile", description="Pose datasets, from raw files to training data."
    )
    parser.add_argument("--version", action="version", version=version_line(), help="say which")
    add_said_options(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=OneLineParser)
    parser.described = described = {}

    def add(name, function, description, dataset=True):
        sub = commands.add_parser(name, help=description, description=description)
        described[name] = description
        sub.set_defaults(function=function, parser=sub)
        add_said_options(sub)
        add_examples(sub, name)
        if dataset:
            sub.add_argument("name", metavar="DATASET")
        return sub

    add_list_options(add("list", cmd_list, "list the datasets", dataset=False))
    add_run_options(add("run", cmd_run, "run all steps, or some, on a dataset"))
    step = add("step", cmd_step, "run one step of a dataset's main.sh")
    step.add_argument("step", choices=STEPS)
    add_run_options(step)
    for name, function, text in (
        ("plan", cmd_plan, "show what a download takes; exit 1 if a run could not go through now"),
        ("doctor", cmd_doctor, "compare the raw files on disk with the expected layout"),
        ("status", cmd_status, "show how far a dataset is under a configuration"),
    ):
        sub = add(name, function, text)
        add_config_options(sub)
        if name == "status":
            add_status_options(sub)
        if name == "plan":
            add_plan_options(sub)
        if name == "doctor":
            add_doctor_options(sub)
    new = add("new", cmd_new, "make the folder of a new dataset, complete, to be filled in")
    add_new_options(new)
    add_json(new, "as JSON")
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
    add_report_options(add("report", cmd_report, "write the HTML report of a dataset"))
    add_view_options(add("view", cmd_view, "look through a dataset in a browser, or draw a PNG"))
    verify = add("verify", cmd_verify, "check every checksum and row of a packed dataset")
    add_config_options(verify)
    add_json(verify, "as JSON, with every problem")
    verify.add_argument(
        "--repair", action="store_true", help="make again what is damaged, and nothing else"
    )
    add_subset_options(
        add("subset", cmd_subset, "cut a small dataset out of a big one", dataset=False)
    )
    add_export_options(
        add("export", cmd_export, "write a dataset in another format", dataset=False)
    )
    add_upload_options(
        add("upload", cmd_upload, "bring a packed dataset into an object store", dataset=False)
    )
    add_import_options(
        add("import", cmd_import, "make a packed dataset of other formats", dataset=False)
    )
    described["model"] = "look at networks: which there are, what one is"
    add_model_commands(commands.add_parser("model", help=described["model"]))
    text = "print what a shell needs to complete commands, options and datasets by Tab"
    add_completion_options(add("completion", cmd_completion, text, dataset=False), parser)
    return parser
