"""sources.yaml and the path patterns in it."""

import itertools
import json
from pathlib import Path

import pytest

import posepile.ds
from posepile.acquire.patterns import find_matches, glob_regex
from posepile.acquire.plan import format_plan
from posepile.acquire.sources import load_sources
from posepile.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "expected a mapping"),
        ("a: [", "not valid YAML"),
        ("sources: []", "dataset is missing"),
        ("{dataset: x, sorces: []}", r"unknown key sorces \(did you mean sources\?\)"),
        ("dataset: x\ndataset: y", "key 'dataset' stands twice"),
        ("{dataset: x, sources: [{name: a}]}", r"sources\[a\]: needs exactly one of url"),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', md: 1}]}",
            r"unknown key sources\[a\]\.md \(did you mean md5\?\); allowed here: .*sha256",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', extract: {format: rar}}]}",
            r"sources\[a\]\.extract\.format = 'rar' is not allowed",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', md5: 12ab}]}",
            "'12ab' is not allowed: must be 32 hexadecimal digits",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip', to: ../b}]}",
            r"to = '\.\./b' is not allowed: must be a path relative",
        ),
        ("{dataset: x, sources: [{name: a, url: 'file:///etc/passwd'}]}", "must be an http"),
        ("{dataset: x, sources: [{name: a, url: 'https://u:p@h/a'}]}", "must not hold a user"),
        (
            "{dataset: x, sources: [{name: a, url: 'http://h/a.zip', login: {kind: mpi,"
            " domain: d}}]}",
            "must be https",
        ),
        (
            "{dataset: x, sources: [{name: a, url: 'https://h/a.zip'},"
            " {name: b, url: 'https://k/a.zip'}]}",
            "two sources have the destination 'archives/a.zip'",
        ),
        ("{dataset: x, layout: [{path: 'a/[b'}]}", "without its counterpart"),
        ("{dataset: x, layout: [{path: 'a/<c>', for_each: 'b/<d>'}]}", "for_each has too"),
    ],
)
def test_mistakes_in_sources_yaml_are_one_line(tmp_path, text, expected):
    path = tmp_path / "sources.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=expected) as e:
        load_sources(path)
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


EACH = """
dataset: x
sources:
  - name: "{clip}-{view}"
    each: {clip: [walk, run], view: ["00", "01"]}
    except: [run-00]
    url: https://example.org/{clip}/hd_{view}.mp4
    to: "{clip}/{view}.mp4"
    provides: ["{clip}/{view}.{mp4,avi}"]
    part: "{clip}"
"""


def test_one_entry_for_many_sources(tmp_path):
    path = tmp_path / "sources.yaml"
    path.write_text(EACH)
    sources = load_sources(path)
    assert [s.name for s in sources.sources] == ["walk-00", "walk-01", "run-01"]
    last = sources.sources[-1]
    assert (last.url, last.path) == ("https://example.org/run/hd_01.mp4", "run/01.mp4")
    assert last.provides == ["run/01.{mp4,avi}"]
    assert [s.name for s in sources.select(["walk"])] == ["walk-00", "walk-01"]
    path.write_text(EACH.replace("[walk, run]", "[walk, run, jump, sit]"))
    lines = format_plan("x", path, tmp_path).splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["walk-00", "walk-01", "run-01", "…"]
    assert lines[4].endswith("and 4 more {clip}-{view}, to sit-01")
    assert "7 sources" in lines[5]
    for wrong, message in [
        (EACH.replace("[run-00]", "[run-02]"), "there is no source 'run-02'"),
        (EACH.replace("[walk, run]", "walk"), r"sources\[\{clip\}-\{view\}\]\.each must be names"),
    ]:
        path.write_text(wrong)
        with pytest.raises(UsageError, match=message):
            load_sources(path)


def test_missing_sources_yaml(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_sources(tmp_path / "sources.yaml")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/*.json", ["a/x.json", "a/.json"], ["a/b/x.json", "b/x.json", "a/x.jsonx"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "x/y"]),
        ("a/**", ["a/b", "a/c/d"], ["a", "ab"]),
        ("{left,mid}/[ab]?", ["left/ax", "mid/b1"], ["right/ax", "left/cx"]),
        ("<s>/<s>-<c>.csv", ["q/q-1.csv"], ["q/r-1.csv"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
    ],
)
def test_patterns(tmp_path, pattern, yes, no):
    for path in yes + no:
        assert bool(glob_regex(pattern).fullmatch(path)) == (path in yes)
    for path in yes:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert set(find_matches(tmp_path, pattern)) == set(yes)


def test_one_tree_in_several_places_is_one_pattern():
    """All patterns of ``provides`` have to match: two of one tree would never do so."""
    found = sorted(Path(posepile.ds.__file__).parent.glob("*/sources.yaml"))
    sources = [(path.parent.name, s) for path in found for s in load_sources(path).sources]
    for name, source in sources:
        for a, b in itertools.permutations(source.provides, 2):
            same = a.endswith(f"/{b}") or a.partition("/")[2] == b.partition("/")[2] != ""
            assert not same, f"{name}, {source.name}: {a} and {b}"


def test_all_sources_of_the_project_are_valid():
    found = sorted(Path(posepile.ds.__file__).parent.glob("*/sources.yaml"))
    for path in found:
        assert load_sources(path).dataset == path.parent.name
        assert json.dumps(load_sources(path).model_dump())
