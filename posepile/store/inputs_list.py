"""The list of input files of an archive: millions of them, sorted and unique, on little memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from posepile.errors import WorkError
from posepile.files import encoded_json, own_database

INPUTS_KEY = "inputs.jsonl"


def write_inputs(inputs: Iterable[tuple[str, int, str]], path: Path) -> dict[str, Any]:
    """Writes input files as lines ``["path", bytes, "hash"]``, sorted by path, each once.

    Args:
        inputs: (path, bytes, hash), in any order; a file that several units read comes again.
            Where they recorded different hashes, all are kept.
        path: The file to write.

    Returns:
        What the manifest says of it: ``files``, ``bytes`` (of the input files), ``sha256`` (of the
        lines).
    """
    database = path.with_name(f".{path.name}.sqlite")
    database.unlink(missing_ok=True)
    files, total, digest = 0, 0, hashlib.sha256()
    try:
        address = own_database(database)
        with contextlib.closing(sqlite3.connect(address, isolation_level=None, uri=True)) as db:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN")
            db.execute(
                "CREATE TABLE inputs (path BLOB, bytes INTEGER, hash TEXT, "
                "PRIMARY KEY (path, bytes, hash)) WITHOUT ROWID"
            )
            # Bytes, which sort as the texts do: a file name may be no UTF-8.
            rows = ((name.encode(errors="surrogatepass"), *rest) for name, *rest in inputs)
            db.executemany("INSERT OR IGNORE INTO inputs VALUES (?, ?, ?)", rows)
            last = None
            with open(path, "wb", buffering=1 << 20) as out:
                for encoded, size, content in db.execute("SELECT * FROM inputs ORDER BY path"):
                    name = encoded.decode(errors="surrogatepass")
                    line = json.dumps([name, size, content], ensure_ascii=False) + "\n"
                    line = encoded_json(line)
                    digest.update(line)
                    out.write(line)
                    if name != last:
                        files, total, last = files + 1, total + size, name
    except sqlite3.Error as e:
        raise WorkError(f"{database}: the list of inputs cannot be sorted: {e}") from e
    finally:
        database.unlink(missing_ok=True)
    return {"files": files, "bytes": total, "sha256": digest.hexdigest()}
