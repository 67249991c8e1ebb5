"""The list of a dataset's units, kept on the disk: a process reads only its share of it.

``<work>/units.sqlite`` holds all units in archive order, by split, then id. It stands for what the
recipe listed as long as its code and options and every file and folder that listing looked
at are the same; then nobody lists again.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posepile.durable import own_temporary, remove_left
from posepile.errors import UsageError, WorkError, no_raw_data, one_line
from posepile.files import (
    disk_error,
    is_disk_error,
    locked,
    names_in,
    own_database,
    plain,
)
from posepile.recipe import SPLITS, Unit
from posepile.run.apart import call_apart
from posepile.run.found_current import is_believed, say_current
from posepile.run.recipe_calls import calling, short
from posepile.run.watching import are_unchanged, stamp, watching
from posepile.shortage import is_disk_error_of_sqlite

VERSION = 1

MAX_ID = 1000  # characters of a unit's id

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=plain).encode

_TABLES = """
CREATE TABLE units (number INTEGER PRIMARY KEY, id TEXT, split INT, inputs TEXT, args TEXT);
CREATE TABLE seen (path TEXT, stamp TEXT);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TEMP TABLE listed (id TEXT, split INT, inputs TEXT, args TEXT);
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One unit as the index holds it.

    Attributes:
        position: Place in archive order.
        id: The unit's id.
        split: Its split.
        names: Its input files, below the raw folder where they lie there.
        args: Its arguments as JSON.
    """

    position: int
    id: str
    split: str
    names: list[str]
    args: str

    def unit(self, root: Path) -> Unit:
        """Returns the unit as the recipe listed it."""
        with _damage_told(f"units.sqlite, unit {self.id!r}"):
            inputs = tuple(root / name for name in self.names)
            return Unit(self.id, self.split, inputs, json.loads(self.args))

    def digest(self) -> str:
        """Returns a digest of id, split and arguments."""
        text = f"{self.id}\0{self.split}\0{self.args}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@contextlib.contextmanager
def _damage_told(where: object) -> Iterator[None]:
    """Makes one line of what comes of a list of units that was changed or cut."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, LookupError, RecursionError) as e:
        if isinstance(e, sqlite3.Error) and is_disk_error_of_sqlite(e):
            raise
        raise WorkError(
            f"{where}: a damaged list of units ({one_line(e)}); move it away and run again: the "
            "units are listed anew"
        ) from None


class UnitList:
    """The units of a dataset, read from the disk when asked for.

    Attributes:
        path: The file.
        key: What the list depends on besides the files that listing looked at.
        count: Number of units.
    """

    def __init__(self, path: Path):
        self.path = path
        self._matching: dict[str, array] = {}
        # Nobody writes to a file of this name (a new list is renamed into place), so no locks.
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            facts = dict(self._db.execute("SELECT name, value FROM facts"))
            self.key, self.count = facts["key"], int(facts["count"])
        except (sqlite3.Error, KeyError, ValueError, TypeError) as e:
            self._db.close()
            raise ValueError(f"{path}: not a list of units") from e

    def is_current(self, key: str) -> bool:
        """Returns whether listing again would give the same."""
        seen = self._db.execute("SELECT path, stamp FROM seen")
        return self.key == key and are_unchanged(seen)

    def rows(self, positions: Iterable[int]) -> Iterator[Row]:
        """Yields units by place, in the order asked for."""
        columns = "SELECT number - 1, id, split, inputs, args FROM units WHERE number"
        with _damage_told(self.path):
            if isinstance(positions, range) and positions.step == 1:
                bounds = positions.start + 1, positions.stop  # SQLite numbers from 1
                found = self._db.execute(f"{columns} BETWEEN ? AND ? ORDER BY number", bounds)
            else:
                query = f"{columns} = ?"
                found = (self._db.execute(query, (p + 1,)).fetchone() for p in positions)
            for position, id_, split, inputs, args in found:
                yield Row(position, id_, SPLITS[split], json.loads(inputs), args)

    def ids(self) -> Iterator[tuple[str, str]]:
        """Yields id and split of every unit, in archive order."""
        with _damage_told(self.path):
            for id_, split in self._db.execute("SELECT id, split FROM units ORDER BY number"):
                yield id_, SPLITS[split]

    def share(self, index: int, count: int, only: str | None = None) -> range | array:
        """Returns the places of every ``count``-th unit from ``index`` on.

        Args:
            index: Number of the share.
            count: Number of shares.
            only: Glob over ids; the share is one of those that match.
        """
        return self.positions(only)[index::count]

    def positions(self, only: str | None = None) -> range | array:
        """Returns the places of all units, or of those whose id matches the glob ``only``."""
        if only is None:
            return range(self.count)
        if only not in self._matching:
            self._matching[only] = self._find(only)
        return self._matching[only]

    def _find(self, only: str) -> array:
        if not only.isprintable() or "[" in only:  # means something else in SQL
            match = re.compile(fnmatch.translate(only)).match
            ids = self._db.execute("SELECT number - 1, id FROM units INDEXED BY by_id")
            found = array("q", sorted(position for position, id_ in ids if match(id_)))
        else:
            query = "SELECT number - 1 FROM units WHERE id GLOB ? ORDER BY number"
            found = array("q", (number for (number,) in self._db.execute(query, (only,))))
        return found

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def open_units(
    path: Path,
    key: str,
    root: Path,
    list_units: Any,
    options: Any,
    *,
    name: str,
    apart: bool = False,
    quiet: bool = False,
    array: str | None = None,
) -> UnitList:
    """Returns the list of a dataset's units; makes it where it is absent or out of date.

    Of several processes one lists, the others wait.

    Args:
        path: ``units.sqlite``.
        key: What the list depends on besides the files: code and options of the recipe.
        root: Raw folder.
        list_units: The recipe's function.
        options: The recipe's options.
        name: The dataset, for messages.
        apart: List in a process of its own, which a file that crashes its parser ends alone.
        quiet: Do not show since when it lists.
        array: The array of jobs of which this process is a task. The first of its tasks looks
            whether the list is current, and the others believe it.

    Raises:
        WorkError: There is no raw data, no unit, two units have the same id, one is not as
            :class:`posepile.recipe.Unit` says, the recipe raised something, or the disk is full.
    """
    if not names_in(root):
        raise no_raw_data(root, name)
    found = _believed(path, key, array) if array else current_list(path, key)
    if found is not None:
        return found
    waiting = f"{name}: waiting for another process that lists the units"
    with locked(path.with_name(".lock-list"), waiting=waiting):
        found = (_believed(path, key, array) if array else None) or current_list(path, key)
        if found is None:
            try:
                arguments = (path, key, root, list_units, options, name)
                call_apart(lambda: _make(*arguments), f"listing {name}", apart, shown=not quiet)
            except (OSError, sqlite3.Error) as e:  # of our own file: a recipe's is a WorkError
                if is_disk_error(e):
                    raise disk_error(e, path) from e
                raise
            found = UnitList(path)
        if array:
            say_current(path, key, array)
    return found


def _believed(path: Path, key: str, array: str) -> UnitList | None:
    return (
        current_list(path, key, whatever_changed=True) if is_believed(path, key, array) else None
    )


def current_list(path: Path, key: str, whatever_changed: bool = False) -> UnitList | None:
    """Returns the list that is there; None if there is none, or it has to be made again.

    Args:
        path: ``units.sqlite``.
        key: As for :func:`open_units`.
        whatever_changed: Also if files that listing looked at are others by now.
    """
    if not path.is_file():
        return None
    try:
        units = UnitList(path)
    except (ValueError, sqlite3.Error):
        return None
    try:
        if units.key == key if whatever_changed else units.is_current(key):
            return units
    except sqlite3.Error:
        pass
    units.close()
    return None


def count_units(path: Path) -> int:
    """Returns how many units a list holds, whether or not it is of today; 0 if there is none."""
    try:
        units = UnitList(path)
    except (ValueError, sqlite3.Error):
        return 0  # it is made anew when it is needed
    units.close()
    return units.count


def _make(path: Path, key: str, root: Path, list_units: Any, options: Any, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path)
    # A name of its own: where the file system knows no locks, others may list at the same time.
    temporary = own_temporary(path)
    try:
        # SQLite would not name a folder that cannot be written to; the system does.
        temporary.touch(exist_ok=False)
        _write(temporary, path, key, root, list_units, options, name)
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _write(
    temporary: Path,
    path: Path,
    key: str,
    root: Path,
    list_units: Any,
    options: Any,
    name: str,
) -> None:
    # Whatever else the recipe looks at: a folder put below the root, or a download since (its
    # record lies in .posepile), may hold new units even of a recipe that asks for known names.
    always = {str(p): stamp(str(p)) for p in (root, root / ".posepile")}
    with contextlib.closing(
        sqlite3.connect(own_database(temporary), isolation_level=None, uri=True)
    ) as db:
        # Nothing reads this file before it is complete and has its name.
        for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
            db.execute(f"PRAGMA {setting}")
        db.executescript(_TABLES)
        db.execute("BEGIN")
        with watching(root) as seen:
            prefix = os.path.join(root, "")
            listed = enumerate(_listed(list_units, root, options, name, path.parent), 1)
            rows = (_row(unit, number, prefix, name) for number, unit in listed)
            db.executemany("INSERT INTO listed VALUES (?, ?, ?, ?)", rows)
        db.execute(
            "INSERT INTO units (id, split, inputs, args) "
            "SELECT id, split, inputs, args FROM listed ORDER BY split, id, rowid"
        )
        (count,) = db.execute("SELECT COUNT(*) FROM units").fetchone()
        if not count:
            raise WorkError(f"{root}: found no unit of {name}; posepile doctor {name}")
        db.execute("CREATE INDEX by_id ON units (id)")
        _check_ids(db, name)
        seen.update(always)
        own = os.path.join(path.parent, f".{path.name}")
        seen = ((p, s) for p, s in seen.items() if not p.startswith(own))
        db.executemany("INSERT INTO seen VALUES (?, ?)", seen)
        facts = {"key": key, "count": str(count)}
        db.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        db.execute("COMMIT")


def _listed(list_units: Any, root: Path, options: Any, name: str, work: Path) -> Iterator[Unit]:
    """Yields what the recipe lists; what it raises becomes one line, its trace a file."""
    with calling(list_units, name, work):
        listed = list_units(root, options)
    if isinstance(listed, (str, bytes, dict)) or not isinstance(listed, Iterable):
        raise WorkError(
            f"{name}: list_units returned {type(listed).__name__} {short(listed)}; expected to be "
            "given posepile.recipe.Unit one by one, by yield or in a list"
        )
    with calling(list_units, name, work):
        yield from listed


def _row(unit: Unit, number: int, prefix: str, name: str) -> tuple[str, int, str, str]:
    """A unit as it is stored.

    Raises:
        WorkError: It is none; says which one, what was found and what was expected.
    """

    def wrong(found: str, expected: str) -> WorkError:
        id_ = unit.id if isinstance(unit, Unit) else None
        which = f" ({short(id_)})" if isinstance(id_, str) and id_ else ""
        return WorkError(f"{name}: list_units, unit {number}{which}: {found}; expected {expected}")

    if not isinstance(unit, Unit):
        raise wrong(f"{type(unit).__name__} {short(unit)}", "a posepile.recipe.Unit")
    if not isinstance(unit.id, str) or not unit.id:
        raise wrong(f"id is {type(unit.id).__name__} {short(unit.id)}", "a text, not empty")
    fault = _fault_of_id(unit.id)
    if fault is not None:
        raise wrong(*fault)
    if not isinstance(unit.split, str) or unit.split not in SPLITS:
        raise wrong(f"split is {short(unit.split)}", f"one of {', '.join(SPLITS)}")
    if isinstance(unit.inputs, (str, bytes, os.PathLike)):
        raise wrong(f"inputs is the single path {short(unit.inputs)}", "a tuple of paths")
    try:
        files = [os.fspath(file) for file in unit.inputs]
        names = _ENCODE([_below(file, prefix) for file in files])
    except TypeError:
        raise wrong(f"inputs is {short(unit.inputs)}", "a tuple of paths") from None
    except Exception as e:  # iterating may call anything
        raise wrong(f"inputs raises {type(e).__name__}", "a tuple of paths") from None
    odd = next((file for file in files if "\0" in file), None)
    if odd is not None:
        raise wrong(f"inputs has {short(odd)}", "paths that a file can have")
    if not isinstance(unit.args, dict):
        raise wrong(f"args is {type(unit.args).__name__} {short(unit.args)}", "a dict")
    try:
        args = _ENCODE(unit.args)
    except (TypeError, ValueError, RecursionError) as e:
        raise wrong(f"args is not JSON ({one_line(e)})", "numbers, texts, lists, dicts") from None
    return unit.id, SPLITS.index(unit.split), names, args


def _fault_of_id(id_: str) -> tuple[str, str] | None:
    """What is wrong with an id and what is expected; None if nothing is.

    Ids become names of files and folders, and stand in tables and messages.
    """
    try:
        id_.encode()
    except UnicodeEncodeError:
        return "id is not valid Unicode", "a text that can be stored as UTF-8"
    if not id_.isprintable():
        return "id has control characters", "a text that can be printed"
    if len(id_) > MAX_ID:
        return f"id has {len(id_)} characters", f"at most {MAX_ID}"
    if any(piece in ("", ".", "..") for piece in id_.split("/")):
        return "id has an empty, '.' or '..' component", "names separated by single slashes"
    return None


def _below(file: str, prefix: str) -> str:
    return file[len(prefix) :] if file.startswith(prefix) else file


def _check_ids(db: sqlite3.Connection, name: str) -> None:
    twice = db.execute(
        "SELECT id, MIN(number), MAX(number) FROM units GROUP BY id HAVING COUNT(*) > 1 LIMIT 1"
    ).fetchone()
    if twice is None:
        return
    id_, *numbers = twice
    places = []
    for number in numbers:
        split, inputs, args = db.execute(
            "SELECT split, inputs, args FROM units WHERE number = ?", (number,)
        ).fetchone()
        files = json.loads(inputs)
        places.append(f"{SPLITS[split]}, {files[0] if files else args}")
    raise WorkError(f"{name}: two units are called {id_!r}: {places[0]} and {places[1]}")


def check_only(units: UnitList, only: str | None, name: str) -> None:
    """Refuses a glob that no unit matches.

    Raises:
        UsageError: No unit has such an id.
    """
    if only is not None and not len(units.positions(only)):
        raise UsageError(f"--only {only}: no unit of {name} has such an id")
