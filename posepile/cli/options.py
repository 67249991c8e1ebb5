"""Options that several commands have, and what they may hold."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from posepile.errors import UsageError
from posepile.stages import STAGES


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
        help="override a key of the dataset's configuration; may be repeated",
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="another file than config.yaml in the dataset's folder, or configs/<name>.yaml",
    )
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
