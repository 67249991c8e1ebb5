"""The list of units on the disk: in order, current, and read only as far as asked for."""

import functools
import operator
import os
from pathlib import Path

import pytest

from posepile.errors import UsageError, WorkError
from posepile.recipe import Unit
from posepile.run import listing
from posepile.run.listing import check_only, open_units
from posepile.run.watching import is_unchanged, watching


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

    def get(key="k"):
        path = raw.parent / "work" / "units.sqlite"
        return open_units(path, key, raw, recipe.list_units, None, name="fake")

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
