"""The list of units on the disk: in order, current, and read only as far as asked for."""

import functools
import operator
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from posepile.durable import own_temporary
from posepile.errors import CorruptInput, Shortage, UsageError, WorkError
from posepile.recipe import Unit, looked_at
from posepile.run import listing
from posepile.run.listing import check_only, open_units
from posepile.run.watching import is_unchanged, watching
from posepile.store import ahead


class Recipe:
    """Lists one unit per ``*.json`` that has a video, and counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def list_units(self, root, options):
        self.asked += 1
        for file in root.glob("*/*.json"):
            video = file.with_suffix(".mkv")
            if video.is_file():
                split = file.read_text()
                name = f"{file.parent.name}/{file.stem}"
                yield Unit(name, split, (file, video, Path("/elsewhere/x")), {"b": 1, "a": [2]})


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "raw"
    for name, split in (("b/1", "train"), ("a/2", "val"), ("a/1", "train"), ("a/3", "test")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.json").write_text(split)
        (root / f"{name}.mkv").touch()
    return root


@pytest.fixture
def opened(raw):
    recipe = Recipe()

    def get(key="k", **more):
        path = raw.parent / "work" / "units.sqlite"
        return open_units(path, key, raw, recipe.list_units, None, name="fake", **more)

    get.recipe = recipe
    return get


def ids(units, index=0, count=1, only=None):
    return [row.id for row in units.rows(units.share(index, count, only))]


def test_units_are_in_order_of_split_and_id_and_come_back_whole(opened, raw):
    units = opened()
    assert ids(units) == ["a/1", "b/1", "a/2", "a/3"]
    row = next(iter(units.rows([2])))
    assert (row.position, row.split) == (2, "val")
    assert row.names == ["a/2.json", "a/2.mkv", "/elsewhere/x"]
    unit = row.unit(raw)
    assert unit.inputs == (raw / "a/2.json", raw / "a/2.mkv", Path("/elsewhere/x"))
    assert unit.args == {"a": [2], "b": 1}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_disjoint_and_together_all(opened, count):
    units = opened()
    shares = [ids(units, i, count) for i in range(count)]
    assert sorted(functools.reduce(operator.iadd, shares, [])) == sorted(ids(units))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_glob_chooses_by_id_in_the_same_order(opened):
    units = opened()
    assert list(units.positions()) == [0, 1, 2, 3] and list(units.positions("a/*")) == [0, 2, 3]
    assert ids(units, only="a/*") == ["a/1", "a/2", "a/3"]
    assert ids(units, 1, 2, "a/*") == ["a/2"]
    check_only(units, "b/?", "fake")
    with pytest.raises(UsageError, match=r"--only c\*: no unit of fake has such an id"):
        check_only(units, "c*", "fake")


def test_digests_of_units_tell_split_and_arguments_apart():
    row = listing.Row(0, "a", "train", [], "{}")
    others = [
        listing.Row(0, "b", "train", [], "{}"),
        listing.Row(0, "a", "val", [], "{}"),
        listing.Row(0, "a", "train", [], '{"x":1}'),
    ]
    assert row.digest() == listing.Row(7, "a", "train", ["f"], "{}").digest()
    assert row.digest() not in {other.digest() for other in others}


def test_nobody_lists_again_while_nothing_has_changed(opened):
    opened()
    opened()
    assert opened.recipe.asked == 1
    opened("other options or code")
    assert opened.recipe.asked == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda raw: (raw / "a/1.json").write_text("val  "[:3]), ["b/1", "a/1", "a/2", "a/3"]),
        (lambda raw: (raw / "a/1.mkv").unlink(), ["b/1", "a/2", "a/3"]),
        (lambda raw: (raw / "b/1.json").unlink(), ["a/1", "a/2", "a/3"]),
        (lambda raw: (raw / "c").mkdir(), ["a/1", "b/1", "a/2", "a/3"]),
    ],
)
def test_what_listing_looked_at_is_looked_at_again(opened, raw, change, expected):
    for path in (raw, *raw.iterdir()):
        os.utime(path, ns=(1, 1))  # so that a change within a tick of the clock shows
    (raw / "a/1.json").write_text("train")
    opened()
    change(raw)
    assert ids(opened()) == expected
    assert opened.recipe.asked == 2


def test_a_file_that_was_missing_is_noticed_when_it_comes(opened, raw):
    (raw / "a/2.mkv").unlink()
    os.utime(raw / "a", ns=(1, 1))
    assert ids(opened()) == ["a/1", "b/1", "a/3"]
    (raw / "a/2.mkv").touch()
    assert ids(opened()) == ["a/1", "b/1", "a/2", "a/3"]


def test_what_has_nothing_to_do_with_the_list_does_not_matter(opened, raw):
    opened()
    (raw.parent / "other").mkdir()
    (raw / "a/1.mkv").write_bytes(b"another video")
    opened()
    assert opened.recipe.asked == 1


def test_a_damaged_list_is_made_again(opened, raw):
    opened().close()
    path = raw.parent / "work" / "units.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    assert len(ids(opened())) == 4
    path.write_bytes(b"")
    assert len(ids(opened())) == 4


def test_two_units_of_one_name_are_named_with_their_places(raw):
    def list_units(root, options):
        yield Unit("x", "train", (root / "a/1.json",))
        yield Unit("y", "train", ())
        yield Unit("x", "val", (), {"n": 3})

    with pytest.raises(
        WorkError, match=r"two units are called 'x': train, a/1.json and val, {\"n\":3}"
    ):
        open_units(raw.parent / "u.sqlite", "k", raw, list_units, None, name="fake")
    assert not (raw.parent / "u.sqlite").exists()


def test_no_unit_and_no_raw_data_are_errors(raw):
    path = raw.parent / "u.sqlite"
    with pytest.raises(WorkError, match="found no unit of fake; posepile doctor fake"):
        open_units(path, "k", raw, lambda root, options: [], None, name="fake")
    with pytest.raises(WorkError, match="no raw data of fake"):
        open_units(path, "k", raw / "gone", lambda root, options: [], None, name="fake")


def test_what_is_watched(tmp_path):
    (tmp_path / "f").write_text("x")
    with watching(tmp_path) as seen:
        (tmp_path / "f").read_text()
        (tmp_path / "g").write_text("y")
        os.listdir(tmp_path)
        (tmp_path / "no" / "such").exists()
        open(os.__file__).close()
        (tmp_path.parent / "elsewhere").exists()
    elsewhere = str(tmp_path.parent / "elsewhere")
    assert set(seen) == {str(tmp_path / "f"), str(tmp_path), elsewhere}
    assert seen[elsewhere] is None and is_unchanged(elsewhere, None)
    (tmp_path / "later").write_text("z")
    assert str(tmp_path / "later") not in seen


@pytest.mark.parametrize("address", ["{}", "file:{}?mode=ro"])
def test_databases_are_watched(tmp_path, address):
    file = tmp_path / "a b.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE t (x)")
    with watching(tmp_path) as seen:
        where = address.format(str(file).replace(" ", "%20") if ":" in address else file)
        sqlite3.connect(where, uri=True).close()
        sqlite3.connect(":memory:").close()
        sqlite3.connect("file:x?mode=memory", uri=True).close()
    assert set(seen) == {str(file)}
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO t VALUES (1)")
    os.utime(file, ns=(1, 1))
    assert not is_unchanged(str(file), seen[str(file)])


def test_what_a_recipe_says_it_looked_at_is_watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.so").write_text("x")
    looked_at(tmp_path / "unwatched")  # harmless
    with watching(tmp_path) as seen:
        looked_at("code.so")
        looked_at(tmp_path / "missing.h5")
        looked_at(tmp_path.parent)
    named = {tmp_path / "code.so", tmp_path / "missing.h5", tmp_path.parent}
    assert set(seen) == set(map(str, named))
    assert seen[str(tmp_path / "missing.h5")] is None
    (tmp_path / "missing.h5").touch()
    assert not is_unchanged(str(tmp_path / "missing.h5"), None)


# ---------------------------------------------------------------- what goes wrong


def listing_fails(raw, list_units):
    """The text of the error that listing ends with; nothing half-written is left."""
    work = raw.parent / "work"
    with pytest.raises(WorkError) as caught:
        open_units(work / "units.sqlite", "k", raw, list_units, None, name="fake")
    assert {f.name for f in work.iterdir()} <= {".lock-list", "list-error.txt"}
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (
            [Unit(Path("a"), "train", ())],
            r"unit 1: id is PosixPath PosixPath('a'); expected a text",
        ),
        ([Unit("", "train", ())], "unit 1: id is str ''; expected a text, not empty"),
        ([Unit("\udcff", "train", ())], "id is not valid Unicode; expected"),
        (
            [Unit("a", "val", ()), Unit("b", "dev", ())],
            "unit 2 ('b'): split is 'dev'; expected one of train, val, test",
        ),
        ([Unit("a", "val", Path("x"))], "unit 1 ('a'): inputs is the single path"),
        ([Unit("a", "val", "x.npy")], "unit 1 ('a'): inputs is the single path 'x.npy'"),
        ([Unit("a", "val", (Path("x"), 3))], "expected a tuple of paths"),
        ([Unit("a", "val", (b"x",))], "expected a tuple of paths"),
        ([Unit("a", "val", None)], "inputs is None; expected a tuple of paths"),
        ([Unit("a", "val", (), {"f": object()})], "args is not JSON (object has no stable form)"),
        ([Unit("a", "val", (), [1])], "args is list [1]; expected a dict"),
        ([("a", "val", ())], "unit 1: tuple ('a', 'val', ()); expected a posepile.recipe.Unit"),
    ],
)
def test_units_that_are_none_are_named(raw, units, expected):
    said = listing_fails(raw, lambda root, options: iter(units))
    assert said.startswith("fake: list_units, unit ") and expected in said


def test_what_a_recipe_raises_is_one_line_and_its_trace_a_file(raw):
    def query(root):
        sqlite3.connect(":memory:").execute("SELECT * FROM gone")

    def list_units(root, options):
        yield Unit("a", "train", ())
        query(root)

    said = listing_fails(raw, list_units)
    assert said.startswith("fake: list_units raised OperationalError: no such table: gone (")
    assert f"{__file__}, line {query.__code__.co_firstlineno + 1})" in said
    assert "writing failed" not in said
    trace = raw.parent / "work" / "list-error.txt"
    assert str(trace) in said and "in query" in trace.read_text()


@pytest.mark.parametrize("error", [OSError(2, "No such file"), KeyError("x"), ValueError("a\nb")])
def test_faults_of_a_recipe_are_not_taken_for_those_of_the_disk(raw, error):
    def list_units(root, options):
        raise error

    said = listing_fails(raw, list_units)
    assert f"list_units raised {type(error).__name__}: " in said and "make room" not in said


def test_what_a_recipe_says_itself_is_passed_on(raw):
    def list_units(root, options):
        raise CorruptInput("x.json", "not JSON")
        yield

    assert listing_fails(raw, list_units) == "x.json: not JSON"


FULL = """
    import resource, sys
    from pathlib import Path
    from posepile.recipe import Unit
    from posepile.run.listing import open_units

    raw = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    units = (Unit(f"{i:060}", "train", ()) for i in range(5000))
    open_units(raw.parent / "work" / "units.sqlite", "k", raw, lambda *_: units, None, name="fake")
    """


def test_a_disk_that_is_full_is_said(raw):
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(raw)]
    env = os.environ | {"PYTHONPATH": str(Path(listing.__file__).parents[2])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("posepile.errors.Shortage") and "writing failed" in last
    assert [f.name for f in (raw.parent / "work").iterdir()] == [".lock-list"]


@pytest.mark.parametrize(
    ("text", "is_disk"),
    [
        ("database or disk is full", True),
        ("disk I/O error", True),
        ("attempt to write a readonly database", True),
        ("no such table: units", False),
    ],
)
@pytest.mark.parametrize("code", [None, 13, 778, 8])  # 778: SQLITE_IOERR_WRITE
def test_only_the_disk_is_called_full(raw, monkeypatch, text, is_disk, code):
    error = sqlite3.OperationalError(text)  # as before Python 3.11: without a code
    if code is not None:
        error.sqlite_errorcode = code if is_disk else 1

    def fail(*args):
        raise error

    monkeypatch.setattr(listing, "_check_ids", fail)
    with pytest.raises(Shortage if is_disk else sqlite3.OperationalError, match=text):
        open_units(raw.parent / "u.sqlite", "k", raw, Recipe().list_units, None, name="fake")


def test_two_processes_without_locks_do_not_meet(raw, monkeypatch):
    """While one lists, another lists as well; both get a whole list."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    path = raw.parent / "work" / "units.sqlite"

    def inner(root, options):
        yield from (Unit(f"inner{i}", "train", ()) for i in range(3))

    def outer(root, options):
        yield Unit("outer", "train", ())
        other = open_units(path, "k", raw, inner, None, name="fake")
        assert ids(other) == ["inner0", "inner1", "inner2"]
        other.close()

    assert ids(open_units(path, "k", raw, outer, None, name="fake")) == ["outer"]
    assert sorted(f.name for f in path.parent.iterdir()) == [".lock-list", "units.sqlite"]


def test_what_killed_processes_left_goes_unless_it_may_be_in_use(opened, raw):
    work = raw.parent / "work"
    work.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    own = own_temporary(work / "units.sqlite")
    ended = subprocess.Popen(["true"])  # but nobody asks yet how it has ended
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    of_the_dead = [
        own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{p.pid}-")) for p in (dead, ended)
    ]
    old = [work / ".units.sqlite.tmp", work / ".units.sqlite.0123abcd.tmp"]
    new = work / ".units.sqlite.4567abcd.tmp"  # perhaps of somebody at work
    for file in (*old, *of_the_dead, new, own):
        file.touch()
    for file in old:
        os.utime(file, ns=(1, 1))
    opened()
    ended.wait()
    assert new.exists() and own.exists()
    assert not any(file.exists() for file in (*old, *of_the_dead))


def test_one_task_of_an_array_looks_whether_the_list_is_current(opened, raw):
    opened(array="7")
    (raw / "a" / "4.json").write_text("train")
    (raw / "a" / "4.mkv").touch()
    assert ids(opened(array="7")) == ["a/1", "b/1", "a/2", "a/3"]  # believes the first task
    assert ids(opened(array="8")) == ["a/1", "a/4", "b/1", "a/2", "a/3"]
    assert opened.recipe.asked == 2


def test_an_array_believes_nothing_of_another_list(opened, raw):
    opened(array="7")
    (raw / "a" / "3.mkv").unlink()
    opened()  # somebody else lists anew
    (raw / "b" / "1.mkv").unlink()
    assert ids(opened(array="7")) == ["a/1", "a/2"]
    assert ids(opened("other code", array="7")) == ["a/1", "a/2"]
    assert opened.recipe.asked == 4


@pytest.mark.parametrize("slow", [0.0, 1.0])
def test_a_slow_server_is_asked_by_threads_with_the_same_answer(opened, raw, monkeypatch, slow):
    monkeypatch.setattr(ahead, "FIRST", 2)
    monkeypatch.setattr(ahead, "SLOW_SECONDS", -1.0 if slow else 1e9)
    opened()
    opened()
    assert opened.recipe.asked == 1
    (raw / "b" / "1.json").write_text("validation"[:3])
    assert ids(opened()) == ["a/1", "a/2", "b/1", "a/3"]
    assert opened.recipe.asked == 2
