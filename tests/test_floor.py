"""What datasets are built of: nothing on stock, no dataset's name, and folders that stay small."""

import ast
import sys

import pytest
from conftest import ROOT

from posepile.ds import dataset_names

sys.path.insert(0, str(ROOT / "docs"))
from interface import ROOMS, modules, names_used, public, user_of, users

PACKAGE = ROOT / "posepile"
DATASETS = frozenset(dataset_names())

# Lines of Python in a dataset's folder, eval.py not counted. What two datasets share moves down.
LINES = {
    **{"aspset": 450, "coco": 450, "synthego": 450},
    "agora": 430,
    "genebody": 800,
    **{"amarv": 1300, "egoexo4d": 1300},
}
PLAIN = 300
# Where evaluations have a cap of their own.
EVALUATION_LINES = {"aspset": 150, "egoexo4d": 300}

# Public functions of the floor that fewer than two others use, and why they are there.
BY_PATH = "predictions by image path or key: one benchmark of two; most of those to come"
BY_NAME = "predictions in a file per sequence: one benchmark of two; some of those to come"
FEW_USERS = {
    "posepile.evaluation.predictions.find_file": BY_NAME,
    "posepile.evaluation.predictions.flatten": BY_PATH,
    "posepile.evaluation.predictions.match": BY_PATH,
    "posepile.evaluation.predictions.mean_by": BY_PATH,
    "posepile.evaluation.predictions.read_poses": BY_PATH,
    "posepile.evaluation.predictions.read_pred_json": BY_PATH,
    "posepile.evaluation.predictions.stack_poses": BY_PATH,
    "posepile.evaluation.results.average": "means over sequences: one benchmark of two",
    "posepile.evaluation.results.average_by": "means by group: one benchmark of two",
    "posepile.evaluation.results.write_result": "a submission beside the result: one benchmark",
    "posepile.evaluation.trajectories.read_trajectory": BY_NAME,
    "posepile.evaluation.trajectories.resample": BY_NAME,
}

# Names of datasets that are also names of formats in which others publish.
FORMATS = {"coco"}


def functions(room):
    for module, path in modules(room).items():
        for node in public(path):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}"


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_have_two_users(room):
    """Dataset folders, templates, other rooms, tests of neither this room nor a dataset.

    What only other modules of the same room use is an inner part and has no users of its own.
    """
    used, own, few = users(DATASETS), ("room", room), []
    for name in functions(room):
        others = used.get(name, set()) - {own}
        if name in FEW_USERS:
            continue
        if len(others) == 1:
            ((kind, user),) = others
            few.append(f"{name} (only the {kind} {user})")
        if not others and not used_by_room(room, name):
            few.append(f"{name} (nobody: make it private or drop it)")
    assert not few, f"{len(few)} of {len(list(functions(room)))}:\n" + "\n".join(few)


def used_by_room(room, name):
    """Whether another module of the room uses a function."""
    own = name.rpartition(".")[0]
    others = (path for module, path in modules(room).items() if module != own)
    return any(name in names_used(path.read_text()) for path in others)


def test_exceptions_are_needed():
    used = users(DATASETS)
    for name in FEW_USERS:
        room = name.split(".")[1]
        assert name in set(functions(room))
        assert len(used[name] - {("room", room)}) < 2, f"{name} has users enough: drop it here"


def words_of_code(path):
    """Identifiers and parts of text in a file, docstrings and comments aside."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        texts = []
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts = [] if id(node) in docstrings else [node.value]
        elif isinstance(node, (ast.Name, ast.Attribute, ast.arg, *documented[1:], ast.alias)):
            texts = [
                getattr(node, key, None) or "" for key in ("id", "attr", "arg", "name", "asname")
            ]
        for text in texts:
            line = getattr(node, "lineno", 0)
            yield from ((word, line) for word in split_words(text))


def split_words(text):
    """Words of a text or an identifier, in lower case."""
    return "".join(c.lower() if c.isalnum() else " " for c in text).split()


@pytest.mark.parametrize("room", ROOMS)
def test_no_dataset_is_named(room):
    named = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in modules(room).values()
        for word, line in words_of_code(path)
        if word in DATASETS - FORMATS
    ]
    assert not named


def test_names_of_datasets_are_found(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('"""coco"""\nx = 1  # coco\ny = "a/COCO.json"\ndef is_coco(): "coco"\n')
    assert {line for word, line in words_of_code(path) if word == "coco"} == {3, 4}


def lines_of(name, only_eval=False):
    files = (PACKAGE / "ds" / name).rglob("*.py")
    chosen = [f for f in files if (f.name == "eval.py") == only_eval]
    return sum(len(f.read_text().splitlines()) for f in chosen)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_folders_stay_small(name):
    assert lines_of(name) <= LINES.get(name, PLAIN)


@pytest.mark.parametrize("name", sorted(EVALUATION_LINES))
def test_evaluations_stay_small(name):
    assert 0 < lines_of(name, only_eval=True) <= EVALUATION_LINES[name]
    others = [f.name for f in (PACKAGE / "ds" / name).glob("eval_*.py")]
    assert not others


def test_caps_are_of_datasets_that_exist():
    assert set(LINES) | set(EVALUATION_LINES) <= DATASETS


def test_users_are_told_apart():
    where = {
        "posepile/ds/coco/main.py": ("dataset", "coco"),
        "posepile/templates/stills/main.py": ("template", "stills"),
        "posepile/stages/boxes.py": ("room", "stages"),
        "posepile/config.py": ("room", "config"),
        "tests/test_coco.py": ("dataset", "coco"),
        "tests/aspset_kit.py": ("dataset", "aspset"),
        "tests/test_geometry_cameras.py": ("room", "geometry"),
        "tests/test_archive.py": ("test", "archive"),
    }
    assert {path: user_of(ROOT / path, DATASETS) for path in where} == where
