"""What macOS leaves on every disk it touches (``._x``, ``.DS_Store``, ``__MACOSX``) is never data.

Beside every raw file of every dataset, and in every folder, it changes nothing: neither the list
of units, nor what is loaded, nor what the doctor says.
"""

import dataclasses
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from posepile.acquire.doctor import run_doctor
from posepile.acquire.extract import extract_archive
from posepile.acquire.patterns import find_matches
from posepile.config import NoOptions, load_config
from posepile.ds import dataset_names, load_recipe
from posepile.files import files_below, is_left_by_macos, names_in, presence
from posepile.recipe import Stills

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "
DATASETS = [name for name in dataset_names() if (ROOT / "posepile" / "ds" / name).is_dir()]

ONLY_LISTED = {"agora"}  # loading reads all label images, of 4K; half a minute


def litter(root):
    """Puts beside every file and folder what macOS puts there; returns how many files that is."""
    made = []
    for parent, folders, files in list(os.walk(root)):
        made += [Path(parent, f"._{name}") for name in (*folders, *files)]
        made.append(Path(parent, ".DS_Store"))
        below = Path(root, "__MACOSX", os.path.relpath(parent, root))
        made += [below / f"._{name}" for name in files]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(APPLE_DOUBLE)
    return len(made)


def loaded(name, root):
    """What a recipe says of a raw folder: all units, and everything that is in the first."""
    recipe = load_recipe(name)
    options = load_config(name, getattr(recipe, "Options", NoOptions)).dataset
    if hasattr(recipe, "calibrate"):
        recipe.calibrate(root, options)
    if recipe.SPEC.kind == "helper":
        files = [f for made in recipe.artefacts(root, options) for f in (made, *made.rglob("*"))]
        files = [f for f in files if f.is_file() and not is_left_by_macos(f.name)]
        return {f.relative_to(root.parent).as_posix(): f.read_bytes() for f in files}
    units = {}
    for unit in recipe.list_units(root, options):
        sequences = [] if units or name in ONLY_LISTED else recipe.load_unit(root, unit, options)
        sequences = [describe(s, root) for s in sequences]
        inputs = sorted(p.relative_to(root.parent).as_posix() for p in unit.inputs)
        units[unit.id] = (unit.split, inputs, unit.args, sequences)
    return units


def describe(sequence, root):
    frames = sequence.frames
    paths = frames.paths if isinstance(frames, Stills) else [frames.path]
    tracks = [
        {
            f.name: np.asarray(value).tolist() if not callable(value) else None
            for f in dataclasses.fields(track)
            if f.name in ("frames", "person", "world_coords", "image_coords", "activity")
            and (value := getattr(track, f.name)) is not None
        }
        for track in sequence.tracks
    ]
    files = [p.relative_to(root).as_posix() for p in paths]
    return repr((sequence.id, files, tracks, dict(sequence.dropped), sequence.checks))


@pytest.mark.parametrize("name", DATASETS)
def test_a_littered_raw_folder_gives_the_same(name, raw_miniature, tmp_path, monkeypatch):
    clean, littered = tmp_path / "clean" / name, tmp_path / "littered" / name
    for root in (clean, littered):
        shutil.copytree(raw_miniature(name), root)
    n = litter(littered)
    assert n > 3 * len(list(littered.parent.glob("*")))
    results = []
    for root in (clean, littered):
        monkeypatch.setenv("DATA_ROOT", str(root.parent))
        results.append(loaded(name, root))
    expected, found = results
    assert expected and found == expected
    sources = ROOT / "posepile" / "ds" / name / "sources.yaml"
    reports = [run_doctor(name, sources, root, checksums=True) for root in (clean, littered)]
    assert reports[0].counts == reports[1].counts and reports[0].notes == reports[1].notes


def test_the_same_bytes_are_packed(miniature, run_main, tmp_path):
    """The whole job on a littered folder, with the smallest of the datasets."""
    root = tmp_path / "data"
    shutil.copytree(miniature("coco") / "coco", root / "coco")
    litter(root / "coco")
    run_main("coco", root, "--miniature", "--quiet", "--jobs", "1")
    clean, littered = (
        {p.name: p.read_bytes() for p in folder.glob("coco.barecat-shard*")}
        for folder in (miniature("coco"), root)
    )
    assert clean and littered == clean
    assert (root / "coco" / "._miniature_truth.json").is_file()  # was not made anew


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_littered_archive_of_a_dataset_gives_the_same_files(kind, raw_miniature, tmp_path):
    """As an archive that somebody has packed again under macOS."""
    clean, littered = tmp_path / "clean", tmp_path / "littered"
    for root in (clean, littered):
        shutil.copytree(raw_miniature("synthego"), root)
    litter(littered)
    for root in (clean, littered):
        shutil.make_archive(str(root), kind, root)
        extract_archive(root.with_suffix(f".{kind}"), tmp_path / f"from_{root.name}")
    names = [files_of(tmp_path / f"from_{root.name}") for root in (clean, littered)]
    assert names[0] and names[0] == names[1]


def files_of(root):
    files = (p for p in root.rglob("*") if p.is_file() and ".posepile" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def test_listings_of_folders(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.npz").touch()
    litter(tmp_path)
    assert names_in(tmp_path) == {"a"} and names_in(tmp_path / "a" / "b") == {"1.npz"}
    assert not presence()(tmp_path / "a" / "._b")
    assert files_below(tmp_path, "**/*.npz") == [tmp_path / "a" / "b" / "1.npz"]
    for pattern in ("**/*.npz", "*/*/*", "**", "a/b/*"):
        assert list(find_matches(tmp_path, pattern)) == ["a/b/1.npz"], pattern
    assert list(find_matches(tmp_path, "a/b/._1.npz")) == ["a/b/._1.npz"]  # asked for by name


# Listings of what is no raw data, or whose patterns no such name can match: by module and how
# many they have. Everything else goes through posepile.files or filters by the same function.
OTHER_LISTINGS = {
    "acquire/elsewhere.py": 1,  # filters
    "acquire/manifests.py": 2,  # asks is_here of each
    "acquire/mending.py": 1,  # whether rmdir would remove it
    "acquire/records.py": 1,  # own records, by the name of a source
    "acquire/staging.py": 1,  # own staging folder
    "checking/whole.py": 1,  # finished archives by name
    "ds/__init__.py": 1,  # recipes
    "ds/genebody/subjects.py": 1,  # two digits
    "ds/emdb/eval.py": 2,  # begin with P; folders by name
    "imaging/compiling.py": 1,
    "imports/forms.py": 1,  # its docstring's example
    "imports/writing.py": 1,  # own parts
    "locks/leases.py": 1,  # own leases; another file there is let go as one that nobody renews
    "locks/waiting.py": 1,  # the same
    "miniature/bodies.py": 1,
    "remote/copies.py": 1,  # own versions of an archive
    "remote/contents.py": 1,  # own files, with those a recipe derives
    "remote/stand_ins.py": 2,  # likewise
    "report/page.py": 0,
    "run/active.py": 2,  # own notes, begin with .active-
    "run/pack.py": 1,
    "run/raw.py": 1,  # modules
    "run/raw_state.py": 1,  # own results
    "run/worker.py": 2,
    "shapes/described/finding.py": 1,  # glob.iglob leaves out hidden files
    "shapes/described/units.py": 1,  # the same
    "store/layout.py": 4,
    "durable.py": 2,  # own temporary files; what was extracted
    "cli/builds.py": 1,  # folders of builds
    "checking/bench.py": 3,  # all that is there
    "checking/leftovers.py": 6,  # the same
    "checking/power_cuts.py": 3,  # the same
    "checking/victims.py": 1,  # the same
    "store/verifying.py": 1,  # leaves out hidden files
    "templates/__init__.py": 1,
    "acquire/patterns.py": 2,  # filter
    "acquire/doctor.py": 1,  # filters
    "files.py": 3,  # filter; folders to be removed again
    "ds/synthego/splice.py": 1,  # own temporary files
    "bodies/model_files.py": 1,  # its docstring's example
}


def test_no_other_module_lists_folders_by_itself():
    """A new one is to go through names_in, files_below or find_matches, or to be named here."""
    listing = re.compile(r"\.(?:r?glob|iglob|iterdir)\(|os\.(?:listdir|walk|scandir)\(")
    found = {}
    for path in sorted((ROOT / "posepile").rglob("*.py")):
        if n := len(listing.findall(path.read_text())):
            found[path.relative_to(ROOT / "posepile").as_posix()] = n
    assert found == {name: n for name, n in OTHER_LISTINGS.items() if n}


def test_names():
    assert all(map(is_left_by_macos, ("._a.npz", "._", ".DS_Store", "__MACOSX")))
    assert not any(map(is_left_by_macos, ("a._b", ".posepile", "_a", "DS_Store", ".a", "MACOSX")))
