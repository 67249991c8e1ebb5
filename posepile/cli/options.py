"""Options that several commands have, and what they may hold."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from posepile.errors import UsageError, whole_number
from posepile.stages import STAGES


def add_variant(parser: argparse.ArgumentParser) -> None:
    """The option that names a build."""
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="a second build beside the main one, with settings of "
        "its own, which it remembers; also DATASET@NAME",
    )


def add_json(parser: argparse.ArgumentParser, text: str = "as JSON") -> None:
    """The option for programs: one document on standard output, and nothing else there.

    The command prints it by :func:`posepile.terminal.print_json`. What it prints in another way
    meanwhile is on standard error, so who has parsed the option need not look after that.

    Args:
        parser: Of the command, which finds ``args.json``.
        text: What ``--help`` says of it.
    """
    parser.add_argument("--json", action="store_true", help=text)


def add_said_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command about what it says; before the command's name or after it."""
    unless_given = argparse.SUPPRESS  # a default here would replace what stood before the name
    group = parser.add_argument_group("what is said")
    group.add_argument(
        "--debug",
        action="store_true",
        default=unless_given,
        help="also say where in the program an error comes from",
    )
    group.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        default=unless_given,
        help="append everything that is said, and what became of each unit, with its time, to a "
        "file; of a share, to FILE-I-of-N",
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
    add_backend_options(parser)
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
        "--delete-archives",
        action="store_true",
        help="archives go once every file of them is extracted and checked; those that only a "
        "person can get stay",
    )
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


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Options that say where units are worked on; see :mod:`posepile.run.backends`."""
    group = parser.add_argument_group("many machines")
    group.add_argument(
        "--backend",
        choices=("local", "dask", "slurm"),
        default="local",
        help="where units are worked on: processes of this machine (default), a Dask cluster that "
        "runs already, or jobs that are submitted to Slurm; --jobs is the most at once then",
    )
    group.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, e.g. tcp://head:8786")
    group.add_argument(
        "--scheduler-file",
        type=Path,
        metavar="FILE",
        help="in which the Dask scheduler has written its address",
    )
    group.add_argument("--workers", type=positive, metavar="N", help="number of Slurm jobs")
    group.add_argument(
        "--slurm-config",
        type=Path,
        metavar="FILE",
        help="of the Slurm jobs, another file than configs/slurm.yaml",
    )


def positive(text: str) -> int:
    """A positive number of jobs."""
    value = whole_number(text)
    if not value:
        raise argparse.ArgumentTypeError(f"found {shown(text)}; expected a number, at least 1")
    return value


def natural(text: str) -> int:
    """A number from 0 on."""
    value = whole_number(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"found {shown(text)}; expected a number from 0 on")
    return value


def position(text: str) -> int:
    """A position in a list, from the end if negative."""
    value = whole_number(text.removeprefix("-"))
    if value is None:
        raise argparse.ArgumentTypeError(f"found {shown(text)}; expected a position, e.g. 0")
    return -value if text.startswith("-") else value


def shard(text: str) -> tuple[int, int]:
    """``I/N`` with 0 <= I < N."""
    index, count = (whole_number(part) for part in [*text.split("/"), "", ""][:2])
    if text.count("/") != 1 or index is None or count is None or not index < count:
        raise argparse.ArgumentTypeError(
            f"found {shown(text)}; expected I/N with 0 <= I < N, e.g. 0/8"
        )
    return index, count


def shown(text: str) -> str:
    """What somebody wrote, not for ever."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def log_of_share(log: Path, args: argparse.Namespace) -> Path:
    """Returns where a process that works on a share of the units logs: to a file of its own.

    What several machines append to one file of a shared disk may be written over each other.

    Args:
        log: The file asked for.
        args: The options of the command; only those of ``run`` and ``step`` know shares.

    Raises:
        UsageError: Slurm's variables contradict each other.
    """
    share = (args.shard or slurm_shard()) if hasattr(args, "shard") else None
    if share is None or share == (0, 1):
        return log
    return log.with_name(f"{log.stem}-{share[0]}-of-{share[1]}{log.suffix}")


def slurm_shard() -> tuple[int, int] | None:
    """The share of a Slurm array task, None outside of an array.

    Raises:
        UsageError: A variable that Slurm sets is no number, or they contradict each other.
    """
    if not os.environ.get("SLURM_ARRAY_TASK_ID"):
        return None
    if not os.environ.get("SLURM_ARRAY_TASK_COUNT"):
        raise UsageError(
            "SLURM_ARRAY_TASK_ID is set but SLURM_ARRAY_TASK_COUNT is not; unset both, or give "
            "--shard I/N"
        )
    task, count = _slurm("ID"), _slurm("COUNT")
    first, step = _slurm("MIN", 0), _slurm("STEP", 1)
    # What Slurm says of arrays with gaps (--array=1,5,7) fits no step; it has the largest number.
    last = _slurm("MAX", first + (count - 1) * step)
    index, rest = divmod(task - first, step or 1)
    if not step or rest or not 0 <= index < count or last != first + (count - 1) * step:
        names = (f"SLURM_ARRAY_TASK_{end}" for end in ("ID", "COUNT", "MIN", "MAX", "STEP"))
        found = ", ".join(f"{n} = {os.environ[n]}" for n in names if n in os.environ)
        raise UsageError(
            f"{found}: expected tasks numbered without gaps, e.g. --array=0-7; or give --shard I/N"
        )
    return index, count


def _slurm(end: str, default: int | None = None) -> int:
    variable = f"SLURM_ARRAY_TASK_{end}"
    if default is not None and variable not in os.environ:
        return default
    value = whole_number(os.environ[variable])
    if value is None:
        found = shown(os.environ[variable])
        raise UsageError(f"environment variable {variable} = {found}: expected a number")
    return value
