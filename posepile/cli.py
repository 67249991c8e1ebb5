"""The ``posepile`` command: thin over the pipeline. Exit 0 done, 1 failed, 2 wrong request."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from posepile.errors import PosePileError, UsageError
from posepile.stages import STAGES, UNIT_STAGES

# A step is what one line of a dataset's main.sh runs; ``process`` holds the stages of a unit.
STEPS = ("download", "calibrate", "process", "pack")


def main(argv: list[str] | None = None) -> None:
    """Entry point; turns our errors into one line on stderr and the exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
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
    except OSError as e:  # a full or read-only disk, a folder that is not ours
        place = f"{e.filename}: " if e.filename else ""
        print(f"posepile: {place}{e.strerror or e}", file=sys.stderr)
        code = 1
    sys.exit(code)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run like Ctrl-C does."""


def _terminate(number, frame):
    raise Terminated


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
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
    report = add("report", cmd_report, "write the HTML report of a packed dataset")
    report.add_argument("--out", type=Path, help="default: <name>_work/report.html")
    view = add("view", cmd_view, "draw examples with box, joints and mask into a PNG")
    view.add_argument("--split", choices=("train", "val", "test"), default="train")
    view.add_argument("--index", type=int, nargs="*", default=[0], help="positions in the split")
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


def add_variant(parser: argparse.ArgumentParser) -> None:
    """The option that names a build."""
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="a second build beside the main one, with settings of "
        "its own, which it remembers; also DATASET@NAME",
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose a configuration."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a key of configs/<name>.yaml; may be repeated",
    )
    parser.add_argument("--config", type=Path, help="another file than configs/<name>.yaml")
    add_variant(parser)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``run`` and ``step``, which every main.sh passes through."""
    add_config_options(parser)
    parser.add_argument(
        "--miniature", action="store_true", help="on a tiny made-up copy in the official layout"
    )
    parser.add_argument("--stage", choices=STAGES, help="run only this stage")
    parser.add_argument("--from", dest="start", choices=STAGES, help="run this stage and later")
    parser.add_argument("--jobs", type=positive, default=None, help="worker processes")
    parser.add_argument(
        "--only", metavar="GLOB", help="only units whose id matches; the archive is partial then"
    )
    parser.add_argument(
        "--shard",
        type=shard,
        default=None,
        metavar="I/N",
        help="work on every N-th unit from I on (0-based); default from SLURM_ARRAY_TASK_ID and "
        "SLURM_ARRAY_TASK_COUNT; packing is then a separate last step",
    )
    parser.add_argument("--parts", nargs="*", metavar="SOURCE", help="download only these sources")
    parser.add_argument(
        "--dry-run", action="store_true", help="say which units would be done and why, no more"
    )
    parser.add_argument(
        "--retry", action="store_true", help="try again what is quarantined though unchanged"
    )
    parser.add_argument(
        "--keep-results",
        action="store_true",
        help="take results that other code of the recipe made; the manifest says so",
    )
    parser.add_argument(
        "--checksums",
        choices=("sampled", "full"),
        default="sampled",
        help="full: fingerprint files above 16 MiB by every byte",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def positive(text: str) -> int:
    """A positive number of jobs."""
    value = int(text) if re.fullmatch(r"-?\d+", text) else 0
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def shard(text: str) -> tuple[int, int]:
    """``I/N`` with 0 <= I < N."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise argparse.ArgumentTypeError("expected I/N with 0 <= I < N, e.g. 0/8")
    return int(match[1]), int(match[2])


def slurm_shard() -> tuple[int, int] | None:
    """The share of a Slurm array task, None outside of an array.

    Raises:
        UsageError: The task numbers do not run from SLURM_ARRAY_TASK_MIN in steps of one.
    """
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    if not task:
        return None
    if not os.environ.get("SLURM_ARRAY_TASK_COUNT"):
        raise UsageError("SLURM_ARRAY_TASK_ID is set but SLURM_ARRAY_TASK_COUNT is not")
    count = _number("SLURM_ARRAY_TASK_COUNT")
    index = _number("SLURM_ARRAY_TASK_ID") - _number("SLURM_ARRAY_TASK_MIN", "0")
    if not 0 <= index < count:
        raise UsageError(
            f"SLURM_ARRAY_TASK_ID = {task} with SLURM_ARRAY_TASK_COUNT = {count}: number the "
            "array tasks 0..N-1, or from SLURM_ARRAY_TASK_MIN on without gaps"
        )
    return index, count


def _number(variable: str, default: str = "") -> int:
    text = os.environ.get(variable, default)
    if not re.fullmatch(r"\d+", text):
        raise UsageError(f"environment variable {variable} = {text!r}: expected a number")
    return int(text)


# --------------------------------------------------------------------------------
# Running


def cmd_run(args: argparse.Namespace) -> int:
    """All steps in one process."""
    return run_steps(args, STEPS)


def cmd_step(args: argparse.Namespace) -> int:
    """One line of a main.sh."""
    return run_steps(args, (args.step,))


def run_steps(args: argparse.Namespace, steps: tuple[str, ...]) -> int:
    """Runs those stages of the steps that the options ask for."""
    stages = chosen_stages(args)
    share = args.shard or slurm_shard()
    run = make_run(
        args,
        jobs=args.jobs,
        shard=share or (0, 1),
        only=args.only,
        quiet=args.quiet,
        retry=args.retry,
        keep_results=args.keep_results,
        whole_checksums=args.checksums == "full",
    )
    prepare_data_root(create="download" in stages and not args.dry_run)
    if not args.dry_run:
        _prepare_raw(args, run, steps, stages)
    if "process" in steps or "pack" in steps:
        _process_and_pack(args, run, steps, stages)
    return 0


def _prepare_raw(args: argparse.Namespace, run: Any, steps: tuple, stages: tuple) -> None:
    from posepile.run import raw
    from posepile.run.job import remember_settings

    remember_settings(run)
    if "download" in steps and "download" in stages:
        raw.download(run, args.miniature, args.parts)
    elif args.miniature:
        raw.require_miniature(run)
    if "calibrate" in steps and "calibrate" in stages:
        raw.calibrate(run)


def _process_and_pack(args: argparse.Namespace, run: Any, steps: tuple, stages: tuple) -> None:
    from posepile.run import commands
    from posepile.run.process import default_stages

    # Unless asked for alone, selection and detection happen in passing while cropping.
    unit_stages = tuple(s for s in stages if s in UNIT_STAGES)
    if unit_stages and args.stage is None:
        unit_stages = default_stages(run.config)
    if "process" in steps and unit_stages:
        if args.dry_run:
            commands.dry_run(run, unit_stages)
        else:
            commands.process(run, unit_stages)
    if "pack" in steps and "pack" in stages and not args.dry_run:
        if run.shard != (0, 1) and args.stage != "pack":
            print(f"{run.build}: this was a share of the units; pack with: --stage pack")
        else:
            _report(run, commands.pack(run))


def make_run(args: argparse.Namespace, **more: Any) -> Any:
    """The run that the options of a command describe."""
    from posepile.run import job

    return job.make_run(
        args.name,
        tuple(getattr(args, "set", ())),
        getattr(args, "config", None),
        variant=args.variant,
        **more,
    )


def _report(run: Any, changed: bool) -> None:
    """Writes the page about an archive that was just packed."""
    from posepile.files import disk_error
    from posepile.report import write_report
    from posepile.run.commands import report_path

    report = report_path(run)
    if changed:  # an old page must not pass for this archive's if writing fails
        report.unlink(missing_ok=True)
    if not report.is_file():
        try:
            write_report(run.build, report)
        except OSError as e:
            raise disk_error(e, report) from e
    print(f"  report   {report}")


def prepare_data_root(create: bool) -> None:
    """Makes DATA_ROOT if it is only the last folder of its path that is missing.

    Raises:
        UsageError: The folder does not exist or cannot be written to.
    """
    from posepile import paths

    root = paths.data_root()
    if create and not root.exists() and root.absolute().parent.is_dir():
        try:
            root.mkdir(exist_ok=True)
        except OSError as e:
            raise UsageError(f"DATA_ROOT = {root}: cannot be made: {e.strerror}") from None
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "no such folder; make it or set another"
        raise UsageError(f"DATA_ROOT = {root}: {what}")
    if not os.access(root, os.W_OK | os.X_OK):
        raise UsageError(f"DATA_ROOT = {root}: not writable")


def chosen_stages(args: argparse.Namespace) -> tuple[str, ...]:
    """The stages that ``--stage`` or ``--from`` select, all by default."""
    if args.stage and args.start:
        raise UsageError("--stage and --from exclude each other")
    if args.stage:
        return (args.stage,)
    return STAGES[STAGES.index(args.start) :] if args.start else STAGES


# --------------------------------------------------------------------------------
# Looking


def cmd_list(args: argparse.Namespace) -> int:
    """Lists dataset names with kind and licence."""
    from posepile.ds import dataset_names
    from posepile.run.facts import declared

    for name in dataset_names():
        kind, n_joints, licence = declared(name)
        print(f"{name:12} {kind:10} {n_joints:3} joints  {licence}")
    return 0


def cmd_plan(args: argparse.Namespace) -> int:
    """Prints the download plan."""
    from posepile.run import raw

    print("\n".join(raw.download_plan(make_run(args))))
    return 0


def cmd_doctor(args: argparse.Namespace) -> int:
    """Prints what is wrong with the raw files; exit 1 if anything is."""
    from posepile.run import raw

    ok, lines = raw.doctor(make_run(args), args.checksums)
    print("\n".join(lines))
    return 0 if ok else 1


def cmd_status(args: argparse.Namespace) -> int:
    """Prints how many units each stage has finished."""
    from posepile.run import commands

    print("\n".join(commands.status(make_run(args))))
    return 0


def cmd_report(args: argparse.Namespace) -> int:
    """Writes the report page."""
    from posepile import paths
    from posepile.report import write_report

    build = build_of(args)
    out = args.out or paths.work_dir(build) / "report.html"
    packed_archive(build)
    write_report(build, out)
    print(out)
    return 0


def cmd_view(args: argparse.Namespace) -> int:
    """Writes a PNG of chosen examples."""
    from posepile.report import write_view

    write_view(build_of(args), args.split, args.index, args.out)
    print(args.out)
    return 0


def cmd_verify(args: argparse.Namespace) -> int:
    """Checks a packed dataset; exit 1 if anything is wrong."""
    from posepile.run import commands

    packed_archive(build_of(args))
    ok, lines = commands.verify(make_run(args), args.repair)
    print("\n".join(lines))
    return 0 if ok else 1


def cmd_export(args: argparse.Namespace) -> int:
    """Exports a packed dataset."""
    from posepile import paths
    from posepile.export.upstream import export_upstream

    build = build_of(args)
    out = args.out or paths.data_root() / f"{build}_upstream.barecat"
    n = export_upstream(packed_archive(build), out)
    print(f"{out}: {n} entries")
    return 0


def build_of(args: argparse.Namespace) -> str:
    """The build that a command is about: a dataset, or a variant of it."""
    from posepile.ds import build_name, dataset_dir, split_build

    name, variant = split_build(args.name, args.variant)
    dataset_dir(name)
    return build_name(name, variant)


def packed_archive(build: str) -> Path:
    """The archive of a build.

    Raises:
        UsageError: It has not been packed.
    """
    from posepile import paths

    path = paths.archive_path(build)
    if not path.is_file():
        raise UsageError(f"{path}: {build} has not been packed yet; posepile run {build}")
    return path


if __name__ == "__main__":
    main()
