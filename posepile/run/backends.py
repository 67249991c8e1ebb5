"""Where units are worked on: in processes of this machine, on a Dask cluster, in jobs of Slurm."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from posepile.errors import UsageError

Kind = Literal["local", "dask", "slurm"]

_NEEDED = {"local": (), "dask": ("distributed",), "slurm": ("distributed", "dask-jobqueue")}


@dataclass(frozen=True)
class Backend:
    """What a user has said of where units are to be worked on.

    Attributes:
        kind: ``local``: processes of this machine; ``dask``: the workers of a scheduler that
            runs already; ``slurm``: workers in jobs that are submitted for this run.
        scheduler: Address of the Dask scheduler, e.g. ``tcp://head:8786``.
        scheduler_file: The file in which that scheduler has written its address.
        workers: Number of Slurm jobs; None = as the configuration says.
        config: Configuration of the Slurm jobs in place of ``configs/slurm.yaml``.
    """

    kind: Kind = "local"
    scheduler: str | None = None
    scheduler_file: Path | None = None
    workers: int | None = None
    config: Path | None = None


LOCAL = Backend()

# As Dask has them: tcp://head:8786, tls://10.0.0.7:8786, head:8786, tcp://[fd00::7]:8786.
_ADDRESS = re.compile(
    r"(?:(?:tcp|tls|ws|wss|ucx|ucxx)://)?(?:\[[\w:.%]+\]|[\w.-]+):(\d{1,5})", re.ASCII
)


@dataclass(frozen=True)
class Shared:
    """What all machines that work on units must see alike.

    Attributes:
        work: A folder of this run that exists, where it may leave a file for the workers.
        folders: Folders that must be there.
        code: Folders of code besides the package's own.
        keys: Names of variables, ``*`` at the end for any ending, that give workers access to raw
            files; each machine has values of its own.
    """

    work: Path
    folders: tuple[Path, ...] = field(default=())
    code: tuple[Path, ...] = field(default=())
    keys: tuple[str, ...] = field(default=())


def require_address(address: str, where: str) -> str:
    """Returns the address of a Dask scheduler if it looks like one.

    Args:
        address: What was given.
        where: The option or file that has it.

    Raises:
        UsageError: It does not.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[1]) < 2**16:
        raise UsageError(f"{where}: found {address!r:.80}; expected tcp://HOST:PORT")
    return address


def make_backend(
    kind: Kind = "local",
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    workers: int | None = None,
    config: Path | None = None,
) -> Backend:
    """Returns the backend that options ask for; see :class:`Backend`.

    Raises:
        UsageError: The options contradict each other, or the library for it is not installed.
    """
    if scheduler is not None or scheduler_file is not None:
        if kind != "dask":
            option = "--scheduler" if scheduler is not None else "--scheduler-file"
            raise UsageError(f"{option}: goes with --backend dask; found --backend {kind}")
        if scheduler is not None and scheduler_file is not None:
            raise UsageError("--scheduler and --scheduler-file exclude each other")
        if scheduler is not None:
            require_address(scheduler, "--scheduler")
    elif kind == "dask":
        raise UsageError(
            "--backend dask: expected --scheduler tcp://HOST:PORT or --scheduler-file FILE, which "
            "a scheduler writes that was started with: dask scheduler --scheduler-file FILE"
        )
    for option, value in (("--workers", workers), ("--slurm-config", config)):
        if value is not None and kind != "slurm":
            raise UsageError(f"{option}: goes with --backend slurm; found --backend {kind}")
    for option, file in (("--scheduler-file", scheduler_file), ("--slurm-config", config)):
        if file == Path():  # what an empty word becomes
            raise UsageError(f"{option}: is empty; expected a file")
    for package in _NEEDED[kind]:
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            raise UsageError(
                f"--backend {kind}: needs {package}, which is not installed; "
                f"pip install {' '.join(_NEEDED[kind])}"
            )
    return Backend(kind, scheduler, scheduler_file, workers, config)
