"""The way from a run to the workers of a cluster: a client of its scheduler, and a file."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posepile.durable import is_of_the_dead, own_name
from posepile.errors import WorkError, one_line
from posepile.files import names_in, write_atomically
from posepile.formats.text_files import read_json
from posepile.run.backends import Backend, require_address
from posepile.run.clusters.on_worker import Setup

if TYPE_CHECKING:
    from distributed import Client

    from posepile.run.clusters.slurm import SlurmJobs

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 3.0  # for saying goodbye

# Those to which Dask gives levels of their own, so that one for "distributed" is not enough.
_LOGGERS = """distributed distributed.client distributed.gc tornado tornado.application
    asyncio""".split()

_BEGINNING, _END = ".backend-", ".setup"


@contextlib.contextmanager
def connected(backend: Backend, work: Path) -> Iterator[tuple[Client, SlurmJobs | None]]:
    """A client of the cluster that the user has named, or of jobs that are submitted for him.

    Raises:
        WorkError: No scheduler answers, or Slurm takes no jobs.
    """
    import distributed  # noqa: F401 - sets levels when it is imported

    # What happens to workers and scheduler is said here in words of ours.
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if backend.kind == "slurm":
            from posepile.run.clusters.slurm import started

            slurm = stack.enter_context(started(backend, work))
            address: Any = slurm.cluster
        else:
            slurm, address = None, backend.scheduler or address_in(backend.scheduler_file)
        try:
            client = _client(address)
        except (OSError, ValueError, ImportError, TypeError) as e:
            raise WorkError(
                f"no Dask scheduler answers at {address}: {one_line(e)[:200]}; is it running, and "
                "is its port open for this machine?"
            ) from None
        stack.callback(_close, client)
        yield client, slurm


def _client(address: Any) -> Client:
    """Connects to a scheduler.

    Dask has no limit of time for one that takes a connection and says nothing. What answers in
    another language fails in many ways; after all but two of them Dask leaves things open.

    Raises:
        OSError, ImportError: There is none, or one of another version.
    """
    from distributed import Client

    class Connecting(Client):
        async def _ensure_connected(self, timeout: float | None = None) -> None:
            limit = timeout and 2 * timeout
            try:
                await asyncio.wait_for(super()._ensure_connected(timeout=timeout), limit)
            except asyncio.TimeoutError:
                raise OSError(f"no answer for {limit:g} s") from None
            except (OSError, ImportError):
                raise
            except Exception as e:
                raise OSError(f"{type(e).__name__}: {one_line(e)}") from None

    return Connecting(address, timeout=CONNECT_SECONDS, set_as_default=False)


def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=CLOSE_SECONDS)
    client.status = "closed"  # else it tries again when Python ends


def address_in(path: Path) -> str:
    """Returns the address in a file that a Dask scheduler has written.

    Raises:
        CorruptInput: There is no such file, or no address in it.
        UsageError: What it has for an address is none.
    """
    hint = "give the file that `dask scheduler --scheduler-file` writes when it is ready"
    return require_address(read_json(path, {"address": str}, hint=hint)["address"], str(path))


@contextlib.contextmanager
def handed_over(setup: Setup, work: Path) -> Iterator[tuple[str, str]]:
    """Leaves the setup where each worker reads it: who cannot has not the disk of this run."""
    data = pickle.dumps(setup, -1)
    for name in names_in(work):  # left by runs of this machine that were killed
        if name.startswith(_BEGINNING) and is_of_the_dead(name.removeprefix(_BEGINNING)):
            with contextlib.suppress(OSError):
                (work / name).unlink()
    path = (work / f"{_BEGINNING}{own_name()}-{setup.run[:8]}{_END}").absolute()
    write_atomically(path, data)
    try:
        yield str(path), hashlib.sha256(data).hexdigest()
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
