"""Commands that do work: ``run`` and ``step``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from posepile import paths
from posepile.cli.builds import make_run, require_mounted
from posepile.cli.options import slurm_shard
from posepile.errors import UsageError
from posepile.files import leaving_nothing_empty
from posepile.paths import require_data_root
from posepile.progress import doing
from posepile.stages import STAGES, UNIT_STAGES
from posepile.terminal import print_lines

# A step is what one line of a dataset's main.sh runs; ``process`` holds the stages of a unit.
STEPS = ("download", "calibrate", "process", "pack")


def cmd_run(args: argparse.Namespace) -> int:
    """All steps in one process."""
    return run_steps(args, STEPS)


def cmd_step(args: argparse.Namespace) -> int:
    """One line of a main.sh."""
    return run_steps(args, (args.step,))


def run_steps(args: argparse.Namespace, steps: tuple[str, ...]) -> int:
    """Runs those stages of the steps that the options ask for."""
    from posepile.run.backends import make_backend

    stages = chosen_stages(args)
    share = args.shard or slurm_shard()
    backend = make_backend(
        args.backend, args.scheduler, args.scheduler_file, args.workers, args.slurm_config
    )
    run = make_run(
        args,
        miniature=args.miniature,
        jobs=args.jobs,
        backend=backend,
        shard=share or (0, 1),
        only=args.only,
        quiet=args.quiet,
        retry=args.retry,
        keep_results=args.keep_results,
        whole_checksums=args.checksums == "full",
    )
    made = (run.work, run.root, paths.work_dir(run.name))
    with leaving_nothing_empty(made, always=args.dry_run):
        _run_steps(args, run, steps, stages)
    return 0


def _run_steps(args: argparse.Namespace, run: Any, steps: tuple, stages: tuple) -> None:
    from posepile.run.active import noted
    from posepile.run.failed import noting_failure

    prepare_data_root(create="download" in stages and not args.dry_run)
    if args.dry_run:
        _take_steps(args, run, steps, stages)
        return
    with noted(run, "run", run.work), noting_failure(run.work):
        _take_steps(args, run, steps, stages)


def _take_steps(args: argparse.Namespace, run: Any, steps: tuple, stages: tuple) -> None:
    if "download" in steps or "calibrate" in steps:
        require_mounted(run)
    if not args.dry_run:
        _prepare_raw(args, run, steps, stages)
    if run.recipe.SPEC.kind == "helper":
        if run.stand_in and "download" in steps:
            print(f"{run.build}: {run.stand_in}")
        if steps != ("download",):
            done = "calibrate" in steps and "calibrate" in stages and not args.dry_run
            _finish_helper(run, done)
    elif "process" in steps or "pack" in steps:
        _process_and_pack(args, run, steps, stages)


def _prepare_raw(args: argparse.Namespace, run: Any, steps: tuple, stages: tuple) -> None:
    from posepile.run import raw
    from posepile.run.job import remember_settings

    remember_settings(run)
    if "download" in steps and "download" in stages:
        keep = not args.delete_archives
        raw.download(run, args.miniature, args.parts, keep_archives=keep)
    elif args.miniature:
        raw.require_miniature(run)
    if "calibrate" in steps and "calibrate" in stages:
        raw.calibrate(run)


def _finish_helper(run: Any, calibrated: bool) -> None:
    """A helper has no units: when its files are there, it is done."""
    from posepile.run import raw
    from posepile.run.stated import compare, difference_lines

    if calibrated:
        raw.require_artefacts(run)
    print_lines(raw.artefact_lines(run))
    print_lines([f"  {line}" for line in difference_lines(run.name, compare(run, None))])


def _process_and_pack(args: argparse.Namespace, run: Any, steps: tuple, stages: tuple) -> None:
    from posepile.run import commands
    from posepile.run.process import default_stages

    # Unless asked for alone, selection and detection happen in passing while cropping.
    unit_stages = tuple(s for s in stages if s in UNIT_STAGES)
    if unit_stages and args.stage is None:
        unit_stages = default_stages(run.config)
    said = []
    if "process" in steps and unit_stages:
        if args.dry_run and args.miniature and not run.root.is_dir():
            print(f"{run.build}: the miniature would be made, and all of its units be done")
        elif args.dry_run:
            commands.dry_run(run, unit_stages)
        else:
            said = commands.process(run, unit_stages)
    if "pack" in steps and "pack" in stages and not args.dry_run:
        if run.shard != (0, 1) and args.stage != "pack":
            print(f"{run.build}: this was a share of the units; when all are done: --stage pack")
        else:
            _report(run, commands.pack(run, said))


def _report(run: Any, changed: bool) -> None:
    """Writes the page about an archive that was just packed."""
    from posepile.files import disk_error
    from posepile.report import write_report
    from posepile.run.commands import report_path
    from posepile.run.said import next_lines

    report = report_path(run)
    if changed:  # an old page must not pass for this archive's if writing fails
        report.unlink(missing_ok=True)
    if not report.is_file():
        try:
            with doing(f"{run.build}: writing the report", quiet=run.quiet):
                write_report(run.build, report)
        except OSError as e:
            raise disk_error(e, report) from e
        changed = True
    if changed:
        print(f"  report   {report}")
        print_lines(next_lines(run))


def prepare_data_root(create: bool) -> None:
    """Makes DATA_ROOT if it is only the last folder of its path that is missing.

    Raises:
        UsageError: The folder does not exist or cannot be written to.
    """
    root = paths.data_root()
    if create and not root.exists() and root.absolute().parent.is_dir():
        try:
            root.mkdir(exist_ok=True)
        except OSError as e:
            raise UsageError(f"DATA_ROOT = {root}: cannot be made: {e.strerror}") from None
    require_data_root()
    if not os.access(root, os.W_OK | os.X_OK):
        raise UsageError(f"DATA_ROOT = {root}: not writable")
    cache = paths.cache_dir()  # of no use before packing, which may be days away
    above = next(p for p in (cache, *cache.parents) if os.path.lexists(p))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        found = "not writable" if above.is_dir() else f"{above} is no folder"
        raise UsageError(f"CACHE_DIR = {cache}: {found}; set another")


def chosen_stages(args: argparse.Namespace) -> tuple[str, ...]:
    """The stages that ``--stage`` or ``--from`` select, all by default."""
    if args.stage and args.start:
        raise UsageError("--stage and --from exclude each other")
    if args.stage:
        return (args.stage,)
    return STAGES[STAGES.index(args.start) :] if args.start else STAGES
