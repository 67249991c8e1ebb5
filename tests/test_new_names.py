"""Mixes, imports and subsets share the names that get_dataset opens, and never each other's."""

import pickle

import archive_kit
import imports_kit
import pytest

from posepile import datasets3d
from posepile.cli import main
from posepile.merging.merge import merge_datasets

KINDS = ("import", "mix", "mix --copy", "subset", "subset of a mix")


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = tmp_path / "data"
    monkeypatch.setenv("DATA_ROOT", str(root))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    root.mkdir()
    (root / "cache").mkdir()
    for name in ("one", "two"):
        archive_kit.make_archive(root, name)
    both = merge_datasets({name: datasets3d.get_dataset(name) for name in ("one", "two")})
    (root / "cache" / "both.pkl").write_bytes(pickle.dumps(both))
    (tmp_path / "mix.yaml").write_text("datasets: {one: , two: }")
    return root


def run(*words):
    with pytest.raises(SystemExit) as e:
        main([*map(str, words)])
    return e.value.code


def make(root, kind, name):
    above = root.parent
    if kind == "import":
        path, _ = imports_kit.coco(above)
        words = ("--from", "coco", "--images", above / "images", "--licence", "x")
        return run("import", path, *words, "--name", name)
    if kind.startswith("mix"):
        return run("merge", above / "mix.yaml", "--out", name, *kind.split()[1:])
    return run("subset", "both" if "mix" in kind else "one", "--out", name, "--n", 2)


def files(root):
    return {p.name: p.read_bytes() for p in root.rglob("mine*") if p.is_file()}


@pytest.mark.parametrize("first", KINDS)
def test_none_takes_the_place_of_another(root, first, capsys):
    assert make(root, first, "mine") == 0
    before = files(root)
    capsys.readouterr()
    for other in KINDS:
        if other.split()[0] == first.split()[0]:
            continue
        assert make(root, other, "mine") == 2, other
        error = capsys.readouterr().err
        said = {"import": "an import", "mix": "a mix", "subset": "a subset"}[first.split()[0]]
        assert f"but {said}; take another name" in error and error.count("\n") == 1
        assert files(root) == before
    assert make(root, first, "mine") == 0  # its own is made again


def test_pickles_and_archives_of_others_stay(root, capsys):
    (root / "cache" / "mine.pkl").write_bytes((root / "cache" / "both.pkl").read_bytes())
    before = files(root)
    for kind in KINDS:
        assert make(root, kind, "mine") == 2
        assert make(root, kind, "two") == 2
        assert make(root, kind, "coco") == 2
    assert capsys.readouterr().err.count("take another name") == 15
    assert files(root) == before


def test_a_mix_whose_manifest_is_damaged_is_made_again(root):
    assert make(root, "mix", "mine") == 0
    (root / "cache" / "mine.merge.json").write_text("{")
    assert make(root, "mix", "mine") == 0
    assert datasets3d.get_dataset("mine").is_merged
