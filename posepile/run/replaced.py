"""What an archive had that the one which replaces it has not."""

from __future__ import annotations

import io
import json
from typing import Any

from posepile.errors import PosePileError, Shortage, raise_if_shortage
from posepile.miniature import TRUTH
from posepile.run.inputs import archived_name
from posepile.run.job import Run
from posepile.run.listing import UnitList
from posepile.run.manifest import other_settings, stored_manifest
from posepile.store.inputs_list import INPUTS_KEY
from posepile.store.reading import open_archive

KEY = "fewer_than_before"  # in the manifest, where there is any

NAMED, KEPT = 3, 20  # so many files are named in the output and in the manifest


def fewer_than_before(run: Run, units: UnitList) -> dict[str, Any] | None:
    """Returns what the archive that is there was made of and the next one will not be.

    Units that are there but quarantined do not count: they are listed as such.

    Args:
        run: The run.
        units: All units there are now.

    Returns:
        ``units``: how many there were and are, ``files``: how many raw files are not used any
        more, ``names``: the first of them. None if there are as many, no archive, or one of other
        settings.
    """
    before = stored_manifest(run)
    if before is None or other_settings(run):
        return None
    partial = before.get("partial") or {"only": None}
    miniature = (run.root / TRUTH).is_file()
    if partial["only"] != run.only or bool(before.get("miniature")) != miniature:
        return None
    n_before = sum(counts["units"] for counts in before["splits"].values())
    n_before += len(before.get("quarantined_units", ()))
    positions = units.positions(run.only)
    # Numbers that stand for names, as there may be millions of these.
    names = (name for row in units.rows(positions) for name in row.names)
    now = {hash(archived_name(name, run.work)) for name in names}
    lost = [name for name in _input_names(run) if hash(name) not in now]
    if not lost and len(positions) >= n_before:
        return None
    return {"units": [n_before, len(positions)], "files": len(lost), "names": lost[:KEPT]}


def fewer_line(run: Run, fewer: dict[str, Any]) -> str:
    """Returns what is to be said of it."""
    n_before, n_now = fewer["units"]
    words = f"made of {n_now} units where the archive that is replaced had {n_before}"
    if fewer["files"]:
        some = ", ".join(fewer["names"][:NAMED]) + (", …" if fewer["files"] > NAMED else "")
        words += f"; raw files not there or not used any more: {fewer['files']}, {some}"
    return f"{run.build}: {words}"


def _input_names(run: Run) -> list[str]:
    """The raw files that the archive was made of, as far as it can say."""
    try:
        lines = io.BytesIO(open_archive(run.archive)[INPUTS_KEY])
        names = (json.loads(line)[0] for line in lines)
        # Archives of before name what was derived by its absolute path.
        return list(dict.fromkeys(archived_name(name, run.work) for name in names))
    except Shortage:
        raise
    except (
        PosePileError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        RecursionError,
        OSError,
    ) as e:
        raise_if_shortage(run.archive, e)
        return []
