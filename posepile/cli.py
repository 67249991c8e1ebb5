"""The ``posepile`` command: thin over the pipeline. Exit 0 done, 1 failed, 2 wrong request."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from pathlib import Path

from posepile.errors import PosePileError, UsageError
from posepile.run.pipeline import STAGES, UNIT_STAGES

# A step is what one line of a dataset's main.sh runs; ``process`` holds the stages of a unit.
STEPS = ("download", "calibrate", "process", "pack")


def main(argv: list[str] | None = None) -> None:
    """Entry point; turns our errors into one line on stderr and the exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    # Batch systems ask with SIGTERM before they kill.
    signal.signal(signal.SIGTERM, _terminate)
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
        ("status", cmd_status, "show how far a dataset is"),
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
    add("verify", cmd_verify, "check every checksum and row of a packed dataset")
    export = add("export", cmd_export, "write a packed dataset in another format")
    export.add_argument("--to", choices=("upstream",), required=True)
    export.add_argument("--out", type=Path, help="default: $DATA_ROOT/<name>_upstream.barecat")
    return parser


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


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``run`` and ``step``, which every main.sh passes through."""
    add_config_options(parser)
    parser.add_argument(
        "--miniature", action="store_true", help="on a tiny made-up copy in the official layout"
    )
    parser.add_argument("--stage", choices=STAGES, help="run only this stage")
    parser.add_argument("--from", dest="start", choices=STAGES, help="run this stage and later")
    parser.add_argument("--jobs", type=positive, default=None, help="worker processes")
    parser.add_argument("--only", metavar="GLOB", help="only units whose id matches; no packing")
    parser.add_argument(
        "--shard",
        type=shard,
        default=None,
        metavar="I/N",
        help="work on every N-th unit from I on (0-based); default from SLURM_ARRAY_TASK_ID and "
        "SLURM_ARRAY_TASK_COUNT; packing is then a separate last step",
    )
    parser.add_argument("--parts", nargs="*", metavar="SOURCE", help="download only these sources")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def positive(text: str) -> int:
    """A positive number of jobs."""
    value = int(text)
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
    count = os.environ.get("SLURM_ARRAY_TASK_COUNT")
    if not count:
        raise UsageError("SLURM_ARRAY_TASK_ID is set but SLURM_ARRAY_TASK_COUNT is not")
    index = int(task) - int(os.environ.get("SLURM_ARRAY_TASK_MIN", "0"))
    if not 0 <= index < int(count):
        raise UsageError(
            f"SLURM_ARRAY_TASK_ID = {task} with SLURM_ARRAY_TASK_COUNT = {count}: number the "
            "array tasks 0..N-1, or from SLURM_ARRAY_TASK_MIN on without gaps"
        )
    return index, int(count)


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
    from posepile.run import commands as actions
    from posepile.run import pipeline

    stages = chosen_stages(args)
    share = args.shard or slurm_shard()
    run = pipeline.make_run(
        args.name,
        tuple(args.set),
        jobs=args.jobs or pipeline.cpu_count(),
        shard=share or (0, 1),
        only=args.only,
        quiet=args.quiet,
        config_path=args.config,
    )
    prepare_data_root(create="download" in stages)
    if "download" in steps and "download" in stages:
        actions.download(run, args.miniature, args.parts)
    elif args.miniature:
        actions.require_miniature(run)
    if "calibrate" in steps and "calibrate" in stages:
        actions.calibrate(run)
    if "process" in steps:
        unit_stages = tuple(s for s in stages if s in UNIT_STAGES)
        if unit_stages:
            # Unless asked for alone, selection and detection happen in passing while cropping.
            alone = args.stage is not None
            actions.process(run, unit_stages if alone else pipeline.default_stages(run.config))
    if "pack" in steps and "pack" in stages:
        if (share or args.only) and args.stage != "pack":
            print(f"{args.name}: this was a share of the units; pack with: --stage pack")
        else:
            actions.pack(run)
    return 0


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
    from posepile.ds import dataset_names, load_recipe

    for name in dataset_names():
        spec = load_recipe(name).SPEC
        print(f"{name:12} {spec.kind:10} {spec.joint_info.n_joints:3} joints  {spec.licence}")
    return 0


def cmd_plan(args: argparse.Namespace) -> int:
    """Prints the download plan."""
    from posepile.run import commands as actions
    from posepile.run import pipeline

    run = pipeline.make_run(args.name, tuple(args.set), config_path=args.config)
    print("\n".join(actions.plan(run)))
    return 0


def cmd_doctor(args: argparse.Namespace) -> int:
    """Prints what is wrong with the raw files; exit 1 if anything is."""
    from posepile.run import commands as actions
    from posepile.run import pipeline

    run = pipeline.make_run(args.name, tuple(args.set), config_path=args.config)
    ok, lines = actions.doctor(run, args.checksums)
    print("\n".join(lines))
    return 0 if ok else 1


def cmd_status(args: argparse.Namespace) -> int:
    """Prints how many units each stage has finished."""
    from posepile.run import commands as actions
    from posepile.run import pipeline

    run = pipeline.make_run(args.name, tuple(args.set), config_path=args.config)
    print("\n".join(actions.status(run)))
    return 0


def cmd_report(args: argparse.Namespace) -> int:
    """Writes the report page."""
    from posepile import paths
    from posepile.ds import dataset_dir
    from posepile.report import write_report

    dataset_dir(args.name)
    out = args.out or paths.work_dir(args.name) / "report.html"
    write_report(args.name, out)
    print(out)
    return 0


def cmd_view(args: argparse.Namespace) -> int:
    """Writes a PNG of chosen examples."""
    from posepile.ds import dataset_dir
    from posepile.report import write_view

    dataset_dir(args.name)
    write_view(args.name, args.split, args.index, args.out)
    print(args.out)
    return 0


def cmd_verify(args: argparse.Namespace) -> int:
    """Checks a packed dataset; exit 1 if anything is wrong."""
    from posepile import paths
    from posepile.ds import dataset_dir
    from posepile.store import verifying

    dataset_dir(args.name)
    problems = verifying.verify(packed_archive(args.name))
    for problem in problems:
        print(problem)
    state = f"{len(problems)} problems" if problems else "ok"
    print(f"{paths.archive_path(args.name)}: {state}")
    return 1 if problems else 0


def cmd_export(args: argparse.Namespace) -> int:
    """Exports a packed dataset."""
    from posepile import paths
    from posepile.ds import dataset_dir
    from posepile.export.upstream import export_upstream

    dataset_dir(args.name)
    out = args.out or paths.data_root() / f"{args.name}_upstream.barecat"
    n = export_upstream(packed_archive(args.name), out)
    print(f"{out}: {n} entries")
    return 0


def packed_archive(name: str) -> Path:
    """The archive of a dataset.

    Raises:
        UsageError: The dataset has not been packed.
    """
    from posepile import paths

    path = paths.archive_path(name)
    if not path.is_file():
        raise UsageError(f"{path}: {name} has not been packed yet; posepile run {name}")
    return path


if __name__ == "__main__":
    main()
