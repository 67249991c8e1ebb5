"""That the last run of a dataset failed, for those who look at what an earlier one packed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from posepile.errors import PosePileError
from posepile.files import read_object, write_atomically

_FILE = "failed.json"


@contextlib.contextmanager
def noting_failure(work: Path) -> Iterator[None]:
    """Writes down why the work in a block failed; what was asked wrongly is no failed run.

    Args:
        work: Folder of the parts of the build; without it there is nothing to look at.
    """
    try:
        yield
    except PosePileError as e:
        if e.exit_code == 1 and (work / "parts").is_dir():
            with contextlib.suppress(OSError):  # the failure itself is what matters
                note = json.dumps({"error": e.found()})
                write_atomically(work / _FILE, note.encode(), durable=False)
        raise


def last_failure(work: Path) -> str | None:
    """Returns why the last run failed; None if it did not, or nothing is known of it.

    Args:
        work: Folder of the parts of the build.
    """
    found = read_object(work / _FILE)
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, str) else None


def forget_failure(work: Path) -> bool:
    """Takes the note away after a run that went well.

    Args:
        work: Folder of the parts of the build.

    Returns:
        Whether there was one.
    """
    try:
        (work / _FILE).unlink()
    except OSError:
        return False
    return True
